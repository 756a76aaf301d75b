"""`psdist bench`: how fast parameters are exchanged on this machine, and where a round's time goes."""

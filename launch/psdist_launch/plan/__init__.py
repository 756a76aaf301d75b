"""`psdist plan`: how long a training step would take on a cluster that is not there.

The real rules of servers (`Server`, `Shard`) and workers (`Client`, `Layout`) are played in virtual time: which
slice travels when, what a round waits for, what is added and updated, is decided by them, not by a formula. What
each of it costs was measured on a real machine (`costs.json`, `--calibrate`). Between processes are links with a
rate and a delay; within one, threads that each do one thing at a time, on cores that they share.

Simplifications, all of them: servers are alike, so one stands for all when there are many, and what a worker does
for it counts for the others too; a switch has room for everything; a message crosses a link as a whole; cores are
like the one that was measured; nobody fails.
"""

# Until somebody has pushed, one worker may be about to give the first values and the optimizer for all: a newcomer
# waits, and is told so by Welcome alone. Then it is let in.
scheduler workers=2 servers=1 elastic=1:3
w0 hello
w1 hello
s0 hello
w2 hello
at 1
w0 alive 1
w2 alive 0

# Staleness 1: pushes are applied as they come; a worker that has pushed n rounds pulls with min_clock = n - 1.
shard
view workers=0,1
w0 hello
    w0 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w1 hello
    w1 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w0 init a 0
    w0 <- Done seq=2 ack=0
w0 optimizer sgd lr=1
    w0 <- Done seq=3 ack=0
w0 staleness 1
    w0 <- Done seq=4 ack=0
w0 push a 0 -1
    w0 <- Done seq=5 ack=1
w0 pull a 0
    w0 <- Values seq=6 clocks=(0) values=([1])
w0 push a 1 -1
    w0 <- Done seq=7 ack=1
w0 pull a 1
w1 push a 0 -4
    w0 <- Values seq=8 clocks=(1) values=([6])
    w1 <- Done seq=2 ack=1
# the dial is turned to 0 while w0 is a round ahead: w1's push completes round 1 alone
w0 staleness 0
    w0 <- Done seq=9 ack=0
w1 push a 1 -4
    w1 <- Done seq=3 ack=1
w1 pull a 2
    w1 <- Values seq=4 clocks=(2) values=([10])
w0 push a 2 -1
w1 push a 2 -4
    w0 <- Done seq=10 ack=1
    w1 <- Done seq=5 ack=1
w0 pull a 3
    w0 <- Values seq=11 clocks=(3) values=([15])

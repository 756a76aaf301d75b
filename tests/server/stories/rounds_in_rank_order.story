# Three workers push in another order than their ranks. The sum is ((w0 + w1) + w2) all the same: 1e8 + 1 - 1e8 would
# be 0 or 1 in another order.
shard
view workers=0,1,2
w0 hello
    w0 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w1 hello
    w1 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w2 hello
    w2 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w0 init a 0
    w0 <- Done seq=2 ack=0
w2 push a 0 1
w1 push a 0 -100000000
w1 pull a 1
# the round is complete with w0: the answers go out in the order of asking
w0 push a 0 100000000
    w2 <- Done seq=2 ack=1
    w1 <- Done seq=2 ack=1
    w1 <- Values seq=3 clocks=(1) values=([1])
    w0 <- Done seq=3 ack=1
w0 pull a 1
    w0 <- Values seq=4 clocks=(1) values=([1])
# and the next one in reverse
w0 push a 1 1
w1 push a 1 2
w2 push a 1 4
    w0 <- Done seq=5 ack=1
    w1 <- Done seq=4 ack=1
    w2 <- Done seq=3 ack=1
w2 pull a 2
    w2 <- Values seq=4 clocks=(2) values=([7])

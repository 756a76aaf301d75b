# A worker may push several rounds ahead; each is applied when the others have come to it.
shard
view workers=0,1
w0 hello
    w0 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w1 hello
    w1 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w0 init a 0
    w0 <- Done seq=2 ack=0
w0 push a 0 1
w0 push a 1 2
w0 push a 2 3
w1 push a 0 10
    w0 <- Done seq=3 ack=1
    w1 <- Done seq=2 ack=1
w1 pushpull a 1 2 10
    w0 <- Done seq=4 ack=1
    w1 <- Values seq=3 clocks=(2) values=([12])
w1 pull a 3
w1 push a 2 10
    w0 <- Done seq=5 ack=1
    w1 <- Values seq=4 clocks=(3) values=([13])
    w1 <- Done seq=5 ack=1
# but not too far: that would be memory without bound
w0 push a 67 1
    w0 <- Error seq=6 code='bad-value' text="round 67 of 'a' is too far ahead: 3 are applied, and 64 may be open"
w0 push a 66 1

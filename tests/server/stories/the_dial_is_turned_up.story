# From synchronous to asynchronous: what waited in open rounds is applied at once.
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
w0 push a 0 -1
w0 push a 1 -1
w0 staleness -1
    w0 <- Done seq=4 ack=1
    w0 <- Done seq=5 ack=1
    w0 <- Done seq=6 ack=0
w0 pull a 0
    w0 <- Values seq=7 clocks=(0) values=([2])
w1 push a 0 -4
    w1 <- Done seq=2 ack=1
w1 pull a 1
    w1 <- Values seq=3 clocks=(1) values=([6])

# Uneven data: w1 has left; rounds that waited for it close, and later ones do not wait for it. What it pushed counts.
shard
view workers=0,1
w0 hello
    w0 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w1 hello
    w1 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w0 init a 0
    w0 <- Done seq=2 ack=0
w0 push a 0 1
w1 push a 0 10
    w0 <- Done seq=3 ack=1
    w1 <- Done seq=2 ack=1
w0 push a 1 1
w0 pull a 2
w1 push a 2 10
view workers=0 epoch=2
    w0 <- Done seq=4 ack=1
    w0 <- Values seq=5 clocks=(2) values=([1])
w0 push a 2 1 epoch=2
    w0 <- Done seq=6 ack=1
w0 pull a 3
    w0 <- Values seq=7 clocks=(3) values=([11])
w1 push a 3 1
    w1 <- Error seq=4 code='not-admitted' text='say Hello to server 0 first, then send again'
# what is stamped with an epoch before the fence is refused
view workers=0 epoch=3 fence=3
w0 push a 3 1 epoch=2
    w0 <- Error seq=8 code='stale-epoch' text='a push of epoch 2 came after a change; now it is 3'
w0 push a 3 1 epoch=3
    w0 <- Done seq=9 ack=1

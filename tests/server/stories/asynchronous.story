# Without a bound each push is applied as it comes, and a key's clock is that of its slowest worker.
shard
view workers=0,1
w0 hello
    w0 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w1 hello
    w1 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w0 init a 0
    w0 <- Done seq=2 ack=0
w0 staleness -1
    w0 <- Done seq=3 ack=0
w0 push a 0 1
    w0 <- Error seq=4 code='bad-value' text="'a': pushing asynchronously needs an optimizer on the servers; call set_optimizer first"
w0 optimizer sgd lr=1
    w0 <- Done seq=5 ack=0
w0 push a 0 -1
    w0 <- Done seq=6 ack=1
w0 push a 1 -1
    w0 <- Done seq=7 ack=1
w0 pull a 0
    w0 <- Values seq=8 clocks=(0) values=([2])
# once more, and out of order: a push waits for the one before it
w0 push a 1 -1
    w0 <- Done seq=9 ack=1
w0 push a 3 -8
w0 pull a 0
    w0 <- Values seq=11 clocks=(0) values=([2])
w0 push a 2 -1
    w0 <- Done seq=10 ack=1
    w0 <- Done seq=12 ack=1
w0 pull a 0
    w0 <- Values seq=13 clocks=(0) values=([11])
w1 pushpull a 0 0 -16
    w1 <- Values seq=2 clocks=(1) values=([27])
w1 pull a 1
    w1 <- Values seq=3 clocks=(1) values=([27])

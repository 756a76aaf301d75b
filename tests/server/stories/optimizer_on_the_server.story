# With an optimizer, a round's sum is a gradient. SGD with momentum: m = 0.5 m - lr g; w = w + m.
shard
view workers=0,1
w0 hello
    w0 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w1 hello
    w1 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w0 init a 1 1 | b 1
    w0 <- Done seq=2 ack=0
w0 optimizer sgd lr=0.5 momentum=0.5 b
    w0 <- Done seq=3 ack=0
w0 push a 0 1 1 ; b 0 1
w1 push a 0 1 3 ; b 0 1
    w0 <- Done seq=4 ack=1
    w1 <- Done seq=2 ack=1
# b learns at half the rate
w1 pull a 1 ; b 1
    w1 <- Values seq=3 clocks=(1, 1) values=([0 -1], [0.5])
# a rate from round 2 on: round 1 still uses the old one, although w1 comes to it later
w0 push a 1 1 1
w0 hyper 2 lr=0.25
    w0 <- Done seq=6 ack=0
w0 push a 2 1 1
w1 push a 1 1 1
    w0 <- Done seq=5 ack=1
    w1 <- Done seq=4 ack=1
w1 pull a 2
    w1 <- Values seq=5 clocks=(2) values=([-1.5 -3])
w1 push a 2 1 1
    w0 <- Done seq=7 ack=1
    w1 <- Done seq=6 ack=1
w1 pull a 3
    w1 <- Values seq=7 clocks=(3) values=([-2.75 -4.5])
# its state can be read, and put back
w0 getstate a
    w0 <- States seq=8 num_updates=(3) counts=(1) values=([-1.25 -1.5])
w0 getstate b
    w0 <- States seq=9 num_updates=(1) counts=(1) values=([-0.5])
w0 setstate a 7 1 100 200
    w0 <- Done seq=10 ack=0
w0 getstate a
    w0 <- States seq=11 num_updates=(7) counts=(1) values=([100 200])
w0 setstate a 7 2 100 200
    w0 <- Error seq=12 code='bad-value' text="'a': this state is not one of sgd's"
w0 setstate a 7 1 100
    w0 <- Error seq=13 code='bad-value' text="'a': this state is not one of sgd's"
# the same rule again keeps the state; another one begins anew
w1 optimizer sgd lr=0.5 momentum=0.5
    w1 <- Done seq=8 ack=0
w0 getstate a
    w0 <- States seq=14 num_updates=(7) counts=(1) values=([100 200])
w1 optimizer adam lr=0.5
    w1 <- Done seq=9 ack=0
w0 getstate a
    w0 <- States seq=15 num_updates=(0) counts=(0) values=()

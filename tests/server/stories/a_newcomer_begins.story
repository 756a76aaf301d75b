# rounds wait for the newcomer from its View on, until it says where it begins
shard
view workers=0
w0 hello
    w0 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w0 init a 0 0 ; b 0
    w0 <- Done seq=2 ack=0
w0 push a 0 1 1
    w0 <- Done seq=3 ack=1
w0 push a 1 1 1
    w0 <- Done seq=4 ack=1
view workers=0,1 epoch=2
w1 hello
    w1 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w0 push a 2 1 1
w1 join
    w1 <- Clocks seq=2 keys=(12879428041476107001, 12783853381405053106) clocks=(2, 0)
w1 begin a 2 ; b 0
    w1 <- Done seq=3 ack=0
w0 push b 0 5
w1 push a 2 2 2
    w0 <- Done seq=5 ack=1
    w1 <- Done seq=4 ack=1
w1 push b 0 6
    w0 <- Done seq=6 ack=1
    w1 <- Done seq=5 ack=1
w0 pull a 3 ; b 1
    w0 <- Values seq=7 clocks=(3, 1) values=([3 3], [11])

# A round that is open when a worker comes waits for it; what is added already stays so.
shard
view workers=0,2,3
w0 hello
    w0 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w2 hello
    w2 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w3 hello
    w3 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w0 init a 0
    w0 <- Done seq=2 ack=0
w0 push a 0 1
w2 push a 0 2
view workers=0,1,2,3 epoch=2
w1 hello
    w1 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w1 join
    w1 <- Clocks seq=2 keys=(12879428041476107001) clocks=(0)
w1 begin a 0
    w1 <- Done seq=3 ack=0
w3 push a 0 8
w1 push a 0 4
    w0 <- Done seq=3 ack=1
    w2 <- Done seq=2 ack=1
    w3 <- Done seq=2 ack=1
    w1 <- Done seq=4 ack=1
w0 pull a 1
    w0 <- Values seq=4 clocks=(1) values=([15])

# What a dead worker has pushed stays; its next life does not push to the same rounds, so that nothing of it is taken for
# a repetition.
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
w0 staleness -1
    w0 <- Done seq=4 ack=0
w1 push a 0 -1
    w1 <- Done seq=2 ack=1
w1 push a 1 -4
    w1 <- Done seq=3 ack=1
view workers=0 epoch=2
view workers=0,1 epoch=3
w1' hello
    w1' <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w1' join
    w1' <- Clocks seq=2 keys=(12879428041476107001) clocks=(2)
w0 staleness 0
    w0 <- Done seq=5 ack=0
w1' begin a 2
    w1' <- Done seq=3 ack=0
w1' push a 2 -16
w1' again

# ZeroMQ reads from its connections in turn, also from those that broke: what comes late from an old one does not take
# the place of the new one, whose requests would stay without an answer.
shard
view workers=0,1
w1 hello
    w1 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w0 hello
    w0 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w0' hello seq=9
    w0' <- Welcome seq=9 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w0' init a 0
    w0' <- Done seq=2 ack=0
w0' push a 0 1
w0 hello seq=4
w1 push a 0 2
    w0' <- Done seq=3 ack=1
    w1 <- Done seq=2 ack=1
w0'' hello seq=12
    w0'' <- Welcome seq=12 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w0'' push a 1 1
w0 push a 1 1
    w0 <- Error seq=3 code='not-admitted' text='say Hello to server 0 first, then send again'

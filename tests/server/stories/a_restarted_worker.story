# The View names another incarnation: the old process is nobody any more.
shard
view workers=0,1
w0 hello
    w0 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w1 hello
    w1 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w0 init a 0
    w0 <- Done seq=2 ack=0
view workers=0,1 epoch=2 incarnation=3
w0 push a 0 1
    w0 <- Error seq=3 code='not-admitted' text='say Hello to server 0 first, then send again'
w0 hello
    w0 <- Error seq=4 code='refused' text='worker 0: incarnation 0 is over; incarnation 3 has its place'
w0 hello incarnation=3
    w0 <- Welcome seq=5 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0

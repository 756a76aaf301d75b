# A push that is sent again, before or after its round, on the same connection or another, changes nothing and gets
# the same reply.
shard
view workers=0,1
w0 hello
    w0 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w1 hello
    w1 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w0 init a 0 0
    w0 <- Done seq=2 ack=0
w0 push a 0 1 1
w0 again
w0 push a 0 1 1
w1 push a 0 2 2
    w0 <- Done seq=3 ack=1
    w0 <- Done seq=4 ack=1
    w1 <- Done seq=2 ack=1
# a copy of what has been answered is answered again
w0 again
    w0 <- Done seq=4 ack=1
w0 pull a 1
    w0 <- Values seq=5 clocks=(1) values=([3 3])
# w0 lost its connection before the reply came: it says Hello on a new one, and sends again what has no reply
w0 push a 1 10 10
w0' hello
    w0' <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w0' push a 1 10 10
w1 push a 1 20 20
    w0' <- Done seq=2 ack=1
    w1 <- Done seq=3 ack=1
w0' pull a 2
    w0' <- Values seq=3 clocks=(2) values=([30 30])
# the old connection is nobody now
w0 pull a 2
    w0 <- Error seq=7 code='not-admitted' text='say Hello to server 0 first, then send again'

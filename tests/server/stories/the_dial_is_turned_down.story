# From no bound to synchronous: w0 is two rounds ahead, and w1 has pushed none. Rounds 0 and 1 wait for w1 alone; when
# it leaves they wait for nobody, and round 2 for those who are there.
shard
view workers=0,1,2
w0 hello
    w0 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w1 hello
    w1 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w2 hello
    w2 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w0 init a 0 0
    w0 <- Done seq=2 ack=0
w0 optimizer sgd lr=1
    w0 <- Done seq=3 ack=0
w0 staleness -1
    w0 <- Done seq=4 ack=0
w0 push a 0 -1 -1
    w0 <- Done seq=5 ack=1
w0 push a 1 -1 -1
    w0 <- Done seq=6 ack=1
w2 push a 0 -4 -4
    w2 <- Done seq=2 ack=1
w2 push a 1 -4 -4
    w2 <- Done seq=3 ack=1
w0 staleness 0
    w0 <- Done seq=7 ack=0
w0 push a 2 -16 -16
w2 push a 2 -64 -64
w1 push a 0 -256 -256
    w1 <- Done seq=2 ack=1
w0 pull a 3
view workers=0,2
    w0 <- Done seq=8 ack=1
    w2 <- Done seq=4 ack=1
    w0 <- Values seq=9 clocks=(3) values=([346 346])

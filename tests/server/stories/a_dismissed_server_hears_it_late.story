# a server that is not needed any more did not hear so, because its connection broke; the job ends, but not the
# scheduler, before it has heard
scheduler workers=1 servers=2
s0 hello
    s0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
s1 hello
    s1 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
w0 hello
    w0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    s0 <- View epoch=1 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0)
    s1 <- View epoch=1 fence=0 rank=1 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0)
    w0 <- View epoch=1 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0)
l0 hello
    l0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
l0 scale 1
    s0 <- View epoch=2 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) shards=(0, 1+0?>0)
    s1 <- View epoch=2 fence=0 rank=1 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) shards=(0, 1+0?>0)
    w0 <- View epoch=2 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) shards=(0, 1+0?>0)
    l0 <- Done seq=2 ack=0
s1 handed 1 0
    s0 <- View epoch=3 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) shards=(0, 0)
    s1 <- View epoch=3 fence=0 rank=1 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) shards=(0, 0)
    w0 <- View epoch=3 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) shards=(0, 0)
    s0 <- View epoch=4 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, worker 0) shards=(0, 0)
    w0 <- View epoch=4 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, worker 0) shards=(0, 0)
s0 alive 0 epoch=4
    s1 <- Finish reason='the job goes on with 1 servers'
w0 leave
    s0 <- Finish reason='all workers have finished'
s0 leave
    s0 <- Done seq=3 ack=0
    w0 <- Done seq=2 ack=0
at 1
s1 hello seq=9
    s1 <- Welcome seq=9 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=59
    s1 <- Finish reason='all workers have finished'
s1 leave
    s1 <- Done seq=4 ack=0
at 1.1
    ended: End(code=0, reason='all workers have finished')

# with two copies, the third server goes on, though the second had no time to make anything anew
scheduler workers=1 servers=3 replicas=2
s0 hello
    s0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
s1 hello
    s1 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
s2 hello
    s2 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
w0 hello
    w0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    s0 <- View epoch=1 fence=0 rank=0 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=2 shards=(0+1+2, 1+2+0, 2+0+1)
    s1 <- View epoch=1 fence=0 rank=1 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=2 shards=(0+1+2, 1+2+0, 2+0+1)
    s2 <- View epoch=1 fence=0 rank=2 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=2 shards=(0+1+2, 1+2+0, 2+0+1)
    w0 <- View epoch=1 fence=0 rank=0 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=2 shards=(0+1+2, 1+2+0, 2+0+1)
l0 hello
    l0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
l0 lost server 0 exit code -9
    s1 <- View epoch=2 fence=0 rank=1 num_workers=1 num_servers=3 members=(server 1, server 2, worker 0) replicas=2 shards=(1+2, 1+2, 2+1)
    s2 <- View epoch=2 fence=0 rank=2 num_workers=1 num_servers=3 members=(server 1, server 2, worker 0) replicas=2 shards=(1+2, 1+2, 2+1)
    w0 <- View epoch=2 fence=0 rank=0 num_workers=1 num_servers=3 members=(server 1, server 2, worker 0) replicas=2 shards=(1+2, 1+2, 2+1)
    l0 <- Done seq=2 ack=0
l0 lost server 1 exit code -9
    s2 <- View epoch=3 fence=0 rank=2 num_workers=1 num_servers=3 members=(server 2, worker 0) replicas=2 shards=(2, 2, 2)
    w0 <- View epoch=3 fence=0 rank=0 num_workers=1 num_servers=3 members=(server 2, worker 0) replicas=2 shards=(2, 2, 2)
    l0 <- Done seq=3 ack=0

# the old primary keeps a complete copy until others have one
scheduler workers=1 servers=3 replicas=1
s0 hello
    s0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
s1 hello
    s1 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
s2 hello
    s2 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
w0 hello
    w0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    s0 <- View epoch=1 fence=0 rank=0 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=1 shards=(0+1, 1+2, 2+0)
    s1 <- View epoch=1 fence=0 rank=1 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=1 shards=(0+1, 1+2, 2+0)
    s2 <- View epoch=1 fence=0 rank=2 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=1 shards=(0+1, 1+2, 2+0)
    w0 <- View epoch=1 fence=0 rank=0 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=1 shards=(0+1, 1+2, 2+0)
l0 hello
    l0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
l0 scale 1
    l0 <- Error seq=2 code='refused' text='1 servers: with 1 copies of each shard on other servers it needs 2'
l0 scale 2
    s0 <- View epoch=2 fence=0 rank=0 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=1 shards=(0+1, 1+2+0?, 2+0+1?>0)
    s1 <- View epoch=2 fence=0 rank=1 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=1 shards=(0+1, 1+2+0?, 2+0+1?>0)
    s2 <- View epoch=2 fence=0 rank=2 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=1 shards=(0+1, 1+2+0?, 2+0+1?>0)
    w0 <- View epoch=2 fence=0 rank=0 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=1 shards=(0+1, 1+2+0?, 2+0+1?>0)
    l0 <- Done seq=3 ack=0
s2 handed 2 0
    s0 <- View epoch=3 fence=0 rank=0 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=1 shards=(0+1, 1+2+0?, 0+1?+2)
    s1 <- View epoch=3 fence=0 rank=1 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=1 shards=(0+1, 1+2+0?, 0+1?+2)
    s2 <- View epoch=3 fence=0 rank=2 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=1 shards=(0+1, 1+2+0?, 0+1?+2)
    w0 <- View epoch=3 fence=0 rank=0 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=1 shards=(0+1, 1+2+0?, 0+1?+2)
s1 synced 1 0
    s0 <- View epoch=4 fence=0 rank=0 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=1 shards=(0+1, 1+0, 0+1?+2)
    s1 <- View epoch=4 fence=0 rank=1 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=1 shards=(0+1, 1+0, 0+1?+2)
    s2 <- View epoch=4 fence=0 rank=2 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=1 shards=(0+1, 1+0, 0+1?+2)
    w0 <- View epoch=4 fence=0 rank=0 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=1 shards=(0+1, 1+0, 0+1?+2)
s0 synced 2 1
    s0 <- View epoch=5 fence=0 rank=0 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=1 shards=(0+1, 1+0, 0+1)
    s1 <- View epoch=5 fence=0 rank=1 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=1 shards=(0+1, 1+0, 0+1)
    s2 <- View epoch=5 fence=0 rank=2 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=1 shards=(0+1, 1+0, 0+1)
    w0 <- View epoch=5 fence=0 rank=0 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=1 shards=(0+1, 1+0, 0+1)
    s0 <- View epoch=6 fence=0 rank=0 num_workers=1 num_servers=3 members=(server 0, server 1, worker 0) replicas=1 shards=(0+1, 1+0, 0+1)
    s1 <- View epoch=6 fence=0 rank=1 num_workers=1 num_servers=3 members=(server 0, server 1, worker 0) replicas=1 shards=(0+1, 1+0, 0+1)
    w0 <- View epoch=6 fence=0 rank=0 num_workers=1 num_servers=3 members=(server 0, server 1, worker 0) replicas=1 shards=(0+1, 1+0, 0+1)
s0 alive 0 epoch=6
s1 alive 0 epoch=6
    s2 <- Finish reason='the job goes on with 2 servers'
s2 leave
    s2 <- Done seq=3 ack=0

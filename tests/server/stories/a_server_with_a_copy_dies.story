# its shard is served by the next server, which makes a new copy; a server started again keeps copies
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
l0 lost server 1 exit code -9
    s0 <- View epoch=2 fence=0 rank=0 num_workers=1 num_servers=3 members=(server 0, server 2, worker 0) replicas=1 shards=(0+2?, 2+0?, 2+0)
    s2 <- View epoch=2 fence=0 rank=2 num_workers=1 num_servers=3 members=(server 0, server 2, worker 0) replicas=1 shards=(0+2?, 2+0?, 2+0)
    w0 <- View epoch=2 fence=0 rank=0 num_workers=1 num_servers=3 members=(server 0, server 2, worker 0) replicas=1 shards=(0+2?, 2+0?, 2+0)
    l0 <- Done seq=2 ack=0
s2 synced 1 0
    s0 <- View epoch=3 fence=0 rank=0 num_workers=1 num_servers=3 members=(server 0, server 2, worker 0) replicas=1 shards=(0+2?, 2+0, 2+0)
    s2 <- View epoch=3 fence=0 rank=2 num_workers=1 num_servers=3 members=(server 0, server 2, worker 0) replicas=1 shards=(0+2?, 2+0, 2+0)
    w0 <- View epoch=3 fence=0 rank=0 num_workers=1 num_servers=3 members=(server 0, server 2, worker 0) replicas=1 shards=(0+2?, 2+0, 2+0)
s1' hello rank=1 incarnation=1 token=301
    s1' <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    s0 <- View epoch=4 fence=0 rank=0 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=1 shards=(0+2?, 2+0, 2+0)
    s2 <- View epoch=4 fence=0 rank=2 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=1 shards=(0+2?, 2+0, 2+0)
    w0 <- View epoch=4 fence=0 rank=0 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=1 shards=(0+2?, 2+0, 2+0)
    s1' <- View epoch=4 fence=0 rank=1 num_workers=1 num_servers=3 members=(server 0, server 1, server 2, worker 0) replicas=1 shards=(0+2?, 2+0, 2+0) joined=4
# an old life of it is told so
s1 alive 3
    s1 <- Error seq=-1 code='refused' text='server 1 was taken for dead (exit code -9), and the job has gone on without it'
# the copy of shard 2 was on server 0, that of shard 1 is, too, now
l0 lost server 2 exit code -9
    s0 <- View epoch=5 fence=0 rank=0 num_workers=1 num_servers=3 members=(server 0, server 1, worker 0) replicas=1 shards=(0+1?, 0+1?, 0+1?)
    w0 <- View epoch=5 fence=0 rank=0 num_workers=1 num_servers=3 members=(server 0, server 1, worker 0) replicas=1 shards=(0+1?, 0+1?, 0+1?)
    s1' <- View epoch=5 fence=0 rank=1 num_workers=1 num_servers=3 members=(server 0, server 1, worker 0) replicas=1 shards=(0+1?, 0+1?, 0+1?) joined=4
    l0 <- Done seq=3 ack=0
# what server 0 said of the older life of server 1 does not count
s0 synced 0 1 epoch=1
# nothing is left to copy to but server 1, which has not said that its copies are complete
l0 lost server 0 exit code -9
    s0 <- Abort reason='server 0 died in step 0, 0.0 s after the start (exit code -9), and no other server has a complete copy of its shard 0' role='server' rank=0 step=0 when=0
    s2 <- Abort reason='server 0 died in step 0, 0.0 s after the start (exit code -9), and no other server has a complete copy of its shard 0' role='server' rank=0 step=0 when=0
    w0 <- Abort reason='server 0 died in step 0, 0.0 s after the start (exit code -9), and no other server has a complete copy of its shard 0' role='server' rank=0 step=0 when=0
    s1' <- Abort reason='server 0 died in step 0, 0.0 s after the start (exit code -9), and no other server has a complete copy of its shard 0' role='server' rank=0 step=0 when=0
    l0 <- Abort reason='server 0 died in step 0, 0.0 s after the start (exit code -9), and no other server has a complete copy of its shard 0' role='server' rank=0 step=0 when=0
    l0 <- Done seq=4 ack=0

# the heir dies before it has everything: the shard stays, and moves when the server comes again
scheduler workers=1 servers=1 shards=2
s0 hello
    s0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
w0 hello
    w0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    s0 <- View epoch=1 fence=0 rank=0 num_workers=1 num_servers=1 members=(server 0, worker 0) shards=(0, 0)
    w0 <- View epoch=1 fence=0 rank=0 num_workers=1 num_servers=1 members=(server 0, worker 0) shards=(0, 0)
l0 hello
    l0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
l0 scale 2
    s0 <- View epoch=2 fence=0 rank=0 num_workers=1 num_servers=1 members=(server 0, worker 0) shards=(0, 0)
    w0 <- View epoch=2 fence=0 rank=0 num_workers=1 num_servers=1 members=(server 0, worker 0) shards=(0, 0)
    l0 <- Done seq=2 ack=0
s1 hello
    s1 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    s0 <- View epoch=3 fence=0 rank=0 num_workers=1 num_servers=1 members=(server 0, server 1, worker 0) shards=(0+1?>1, 0)
    w0 <- View epoch=3 fence=0 rank=0 num_workers=1 num_servers=1 members=(server 0, server 1, worker 0) shards=(0+1?>1, 0)
    s1 <- View epoch=3 fence=0 rank=1 num_workers=1 num_servers=1 members=(server 0, server 1, worker 0) shards=(0+1?>1, 0) joined=3
l0 lost server 1 exit code -9
    s0 <- View epoch=4 fence=0 rank=0 num_workers=1 num_servers=1 members=(server 0, worker 0) shards=(0, 0)
    w0 <- View epoch=4 fence=0 rank=0 num_workers=1 num_servers=1 members=(server 0, worker 0) shards=(0, 0)
    l0 <- Done seq=3 ack=0
# what its primary says of the dead heir is not true of the next one
s1' hello rank=1 incarnation=1 token=301
    s1' <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    s0 <- View epoch=5 fence=0 rank=0 num_workers=1 num_servers=1 members=(server 0, server 1, worker 0) shards=(0+1?>1, 0)
    w0 <- View epoch=5 fence=0 rank=0 num_workers=1 num_servers=1 members=(server 0, server 1, worker 0) shards=(0+1?>1, 0)
    s1' <- View epoch=5 fence=0 rank=1 num_workers=1 num_servers=1 members=(server 0, server 1, worker 0) shards=(0+1?>1, 0) joined=5
s0 handed 0 1 epoch=3
s0 handed 0 1 epoch=5
    s0 <- View epoch=6 fence=0 rank=0 num_workers=1 num_servers=1 members=(server 0, server 1, worker 0) shards=(1, 0)
    w0 <- View epoch=6 fence=0 rank=0 num_workers=1 num_servers=1 members=(server 0, server 1, worker 0) shards=(1, 0)
    s1' <- View epoch=6 fence=0 rank=1 num_workers=1 num_servers=1 members=(server 0, server 1, worker 0) shards=(1, 0) joined=5
# a server with a shard, of which there is no copy, is not survived
l0 lost server 1 exit code -9
    s0 <- Abort reason='server 1 died in step 0, 0.0 s after the start (exit code -9)' role='server' rank=1 step=0 when=0
    w0 <- Abort reason='server 1 died in step 0, 0.0 s after the start (exit code -9)' role='server' rank=1 step=0 when=0
    s1' <- Abort reason='server 1 died in step 0, 0.0 s after the start (exit code -9)' role='server' rank=1 step=0 when=0
    l0 <- Abort reason='server 1 died in step 0, 0.0 s after the start (exit code -9)' role='server' rank=1 step=0 when=0
    l0 <- Done seq=4 ack=0

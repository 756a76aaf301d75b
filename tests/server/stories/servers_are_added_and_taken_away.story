# two servers with two shards each; a third comes, then all but one go
scheduler workers=1 servers=2 shards=2
s0 hello
    s0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
s1 hello
    s1 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
w0 hello
    w0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    s0 <- View epoch=1 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) shards=(0, 1, 0, 1)
    s1 <- View epoch=1 fence=0 rank=1 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) shards=(0, 1, 0, 1)
    w0 <- View epoch=1 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) shards=(0, 1, 0, 1)
l0 hello
    l0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
l0 scale 9
    l0 <- Error seq=2 code='refused' text="9 servers: job 'job' has 4 shards, so that 1 to 4 servers have something to do; PSDIST_MAX_SERVERS (psdist run --max-servers), when a job begins, makes more"
l0 scale 0
    l0 <- Error seq=3 code='refused' text="0 servers: job 'job' has 4 shards, so that 1 to 4 servers have something to do; PSDIST_MAX_SERVERS (psdist run --max-servers), when a job begins, makes more"
l0 scale 3
    s0 <- View epoch=2 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) shards=(0, 1, 0, 1)
    s1 <- View epoch=2 fence=0 rank=1 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) shards=(0, 1, 0, 1)
    w0 <- View epoch=2 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) shards=(0, 1, 0, 1)
    l0 <- Done seq=4 ack=0
# it waits for the server
l0 status
    l0 <- StatusReport seq=5 job='job' state='running' reason='' epoch=2 uptime_s=0 num_workers=1 num_servers=3 members=(server 0 alive step 0 silent 0, server 1 alive step 0 silent 0, worker 0 alive step 0 silent 0) num_shards=4 num_moving=1
s2 hello
    s2 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    s0 <- View epoch=3 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, server 2, worker 0) shards=(0+2?>2, 1, 0, 1)
    s1 <- View epoch=3 fence=0 rank=1 num_workers=1 num_servers=2 members=(server 0, server 1, server 2, worker 0) shards=(0+2?>2, 1, 0, 1)
    w0 <- View epoch=3 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, server 2, worker 0) shards=(0+2?>2, 1, 0, 1)
    s2 <- View epoch=3 fence=0 rank=2 num_workers=1 num_servers=2 members=(server 0, server 1, server 2, worker 0) shards=(0+2?>2, 1, 0, 1) joined=3
# shard 0 moves to it; only its primary, and only of this heir, is believed
s1 handed 0 2
s0 handed 0 1
s0 handed 0 2
    s0 <- View epoch=4 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, server 2, worker 0) shards=(2, 1, 0, 1)
    s1 <- View epoch=4 fence=0 rank=1 num_workers=1 num_servers=2 members=(server 0, server 1, server 2, worker 0) shards=(2, 1, 0, 1)
    w0 <- View epoch=4 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, server 2, worker 0) shards=(2, 1, 0, 1)
    s2 <- View epoch=4 fence=0 rank=2 num_workers=1 num_servers=2 members=(server 0, server 1, server 2, worker 0) shards=(2, 1, 0, 1) joined=3
s0 handed 0 2
l0 status
    l0 <- StatusReport seq=6 job='job' state='running' reason='' epoch=4 uptime_s=0 num_workers=1 num_servers=3 members=(server 0 alive step 0 silent 0, server 1 alive step 0 silent 0, server 2 alive step 0 silent 0, worker 0 alive step 0 silent 0) num_shards=4 num_moving=0
l0 scale 1
    s0 <- View epoch=5 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, server 2, worker 0) shards=(2+0?>0, 1+0?>0, 0, 1+0?>0)
    s1 <- View epoch=5 fence=0 rank=1 num_workers=1 num_servers=2 members=(server 0, server 1, server 2, worker 0) shards=(2+0?>0, 1+0?>0, 0, 1+0?>0)
    w0 <- View epoch=5 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, server 2, worker 0) shards=(2+0?>0, 1+0?>0, 0, 1+0?>0)
    s2 <- View epoch=5 fence=0 rank=2 num_workers=1 num_servers=2 members=(server 0, server 1, server 2, worker 0) shards=(2+0?>0, 1+0?>0, 0, 1+0?>0) joined=3
    l0 <- Done seq=7 ack=0
# the last shard of a server has gone: it is told to end
s2 handed 0 0
    s0 <- View epoch=6 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, server 2, worker 0) shards=(0, 1+0?>0, 0, 1+0?>0)
    s1 <- View epoch=6 fence=0 rank=1 num_workers=1 num_servers=2 members=(server 0, server 1, server 2, worker 0) shards=(0, 1+0?>0, 0, 1+0?>0)
    w0 <- View epoch=6 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, server 2, worker 0) shards=(0, 1+0?>0, 0, 1+0?>0)
    s2 <- View epoch=6 fence=0 rank=2 num_workers=1 num_servers=2 members=(server 0, server 1, server 2, worker 0) shards=(0, 1+0?>0, 0, 1+0?>0) joined=3
    s0 <- View epoch=7 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) shards=(0, 1+0?>0, 0, 1+0?>0)
    s1 <- View epoch=7 fence=0 rank=1 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) shards=(0, 1+0?>0, 0, 1+0?>0)
    w0 <- View epoch=7 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) shards=(0, 1+0?>0, 0, 1+0?>0)
s1 alive 0 epoch=7
s0 alive 0 epoch=7
    s2 <- Finish reason='the job goes on with 1 servers'
s2 hello seq=9
    s2 <- Welcome seq=9 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    s2 <- Finish reason='the job goes on with 1 servers'
s2 leave
    s2 <- Done seq=4 ack=0
s1 handed 1 0
    s0 <- View epoch=8 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) shards=(0, 0, 0, 1+0?>0)
    s1 <- View epoch=8 fence=0 rank=1 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) shards=(0, 0, 0, 1+0?>0)
    w0 <- View epoch=8 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) shards=(0, 0, 0, 1+0?>0)
s1 handed 3 0
    s0 <- View epoch=9 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) shards=(0, 0, 0, 0)
    s1 <- View epoch=9 fence=0 rank=1 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) shards=(0, 0, 0, 0)
    w0 <- View epoch=9 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) shards=(0, 0, 0, 0)
    s0 <- View epoch=10 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, worker 0) shards=(0, 0, 0, 0)
    w0 <- View epoch=10 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, worker 0) shards=(0, 0, 0, 0)
s0 alive 0 epoch=10
    s1 <- Finish reason='the job goes on with 1 servers'
s1 leave
    s1 <- Done seq=6 ack=0
l0 status
    l0 <- StatusReport seq=8 job='job' state='running' reason='' epoch=10 uptime_s=0 num_workers=1 num_servers=1 members=(server 0 alive step 0 silent 0, server 1 left step 0 silent 0, server 2 left step 0 silent 0, worker 0 alive step 0 silent 0) num_shards=4 num_moving=0
w0 leave
    s0 <- Finish reason='all workers have finished'
s0 leave
    s0 <- Done seq=7 ack=0
    w0 <- Done seq=2 ack=0

scheduler workers=2 servers=1
w0 status
    w0 <- Error seq=1 code='not-admitted' text='say Hello to the scheduler first, then send again'
w0 hello rank=-1
    w0 <- Welcome seq=2 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
# who wants a rank gets it, although another came first
w1 hello rank=0
    w1 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
s0 hello rank=-1
    s0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    w0 <- View epoch=1 fence=0 rank=1 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 1)
    w1 <- View epoch=1 fence=0 rank=0 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 1)
    s0 <- View epoch=1 fence=0 rank=0 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 1)
l0 hello rank=-1
    l0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
l0 status
    l0 <- StatusReport seq=2 job='job' state='running' reason='' epoch=1 uptime_s=0 num_workers=2 num_servers=1 members=(server 0 alive step 0 silent 0, worker 0 alive step 0 silent 0, worker 1 alive step 0 silent 0) num_shards=1 num_moving=0
at 1
    w0 <- Alive role='scheduler' rank=-1 epoch=1 step=0 nbytes=0 num_keys=0
    w1 <- Alive role='scheduler' rank=-1 epoch=1 step=0 nbytes=0 num_keys=0
    s0 <- Alive role='scheduler' rank=-1 epoch=1 step=0 nbytes=0 num_keys=0
w0 alive 3
l0 status
    l0 <- StatusReport seq=3 job='job' state='running' reason='' epoch=1 uptime_s=1 num_workers=2 num_servers=1 members=(server 0 alive step 0 silent 1, worker 0 alive step 0 silent 1, worker 1 alive step 3 silent 0) num_shards=1 num_moving=0
w0 leave
    w1 <- View epoch=2 fence=0 rank=0 num_workers=2 num_servers=1 members=(server 0, worker 0)
    s0 <- View epoch=2 fence=0 rank=0 num_workers=2 num_servers=1 members=(server 0, worker 0)
# it has left when the servers know
s0 alive 3 epoch=2
    w0 <- Done seq=4 ack=0
w1 leave
    s0 <- Finish reason='all workers have finished'
at 2
s0 leave
    s0 <- Done seq=3 ack=0
    w1 <- Done seq=2 ack=0
at 2.1
    ended: End(code=0, reason='all workers have finished')

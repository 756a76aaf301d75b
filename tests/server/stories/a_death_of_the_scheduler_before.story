# a launcher tells a scheduler that was started again how the one before has died: that is nothing to die of
scheduler workers=1 servers=1
l0 hello
    l0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
l0 lost scheduler 0 exit code -9
    l0 <- Done seq=2 ack=0
s0 hello
    s0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
l0 lost scheduler -1 killed by signal 9
    l0 <- Done seq=3 ack=0
w0 hello
    w0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    s0 <- View epoch=1 fence=0 rank=0 num_workers=1 num_servers=1 members=(server 0, worker 0)
    w0 <- View epoch=1 fence=0 rank=0 num_workers=1 num_servers=1 members=(server 0, worker 0)
l0 lost scheduler 0 exit code -9
    l0 <- Done seq=4 ack=0
l0 status
    l0 <- StatusReport seq=5 job='job' state='running' reason='' epoch=1 uptime_s=0 num_workers=1 num_servers=1 members=(server 0 alive step 0 silent 0, worker 0 alive step 0 silent 0) num_shards=1 num_moving=0

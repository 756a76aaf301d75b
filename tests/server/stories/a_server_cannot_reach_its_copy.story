# its copy is dropped, and tried again half a minute later
scheduler workers=1 servers=2 replicas=1
s0 hello
    s0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
s1 hello
    s1 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
w0 hello
    w0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    s0 <- View epoch=1 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) replicas=1 shards=(0+1, 1+0)
    s1 <- View epoch=1 fence=0 rank=1 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) replicas=1 shards=(0+1, 1+0)
    w0 <- View epoch=1 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) replicas=1 shards=(0+1, 1+0)
s0 lost server 1 has not answered server 0 for 8.0 s
    s0 <- View epoch=2 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) replicas=1 shards=(0, 1+0)
    s1 <- View epoch=2 fence=0 rank=1 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) replicas=1 shards=(0, 1+0)
    w0 <- View epoch=2 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) replicas=1 shards=(0, 1+0)
    s0 <- Done seq=2 ack=0
at 2
    s0 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
    s1 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
    w0 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
s0 alive 1
s1 alive 1
w0 alive 1
at 4
    s0 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
    s1 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
    w0 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
s0 alive 1
s1 alive 1
w0 alive 1
at 8
    s0 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
    s1 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
    w0 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
s0 alive 1
s1 alive 1
w0 alive 1
at 12
    s0 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
    s1 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
    w0 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
s0 alive 1
s1 alive 1
w0 alive 1
at 16
    s0 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
    s1 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
    w0 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
s0 alive 1
s1 alive 1
w0 alive 1
at 20
    s0 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
    s1 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
    w0 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
s0 alive 1
s1 alive 1
w0 alive 1
at 24
    s0 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
    s1 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
    w0 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
s0 alive 1
s1 alive 1
w0 alive 1
at 28
    s0 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
    s1 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
    w0 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
s0 alive 1
s1 alive 1
w0 alive 1
at 31
    s0 <- View epoch=3 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) replicas=1 shards=(0+1?, 1+0)
    s1 <- View epoch=3 fence=0 rank=1 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) replicas=1 shards=(0+1?, 1+0)
    w0 <- View epoch=3 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) replicas=1 shards=(0+1?, 1+0)
    s0 <- Alive role='scheduler' rank=-1 epoch=3 step=0 nbytes=0 num_keys=0
    s1 <- Alive role='scheduler' rank=-1 epoch=3 step=0 nbytes=0 num_keys=0
    w0 <- Alive role='scheduler' rank=-1 epoch=3 step=0 nbytes=0 num_keys=0
s0 synced 0 1
    s0 <- View epoch=4 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) replicas=1 shards=(0+1, 1+0)
    s1 <- View epoch=4 fence=0 rank=1 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) replicas=1 shards=(0+1, 1+0)
    w0 <- View epoch=4 fence=0 rank=0 num_workers=1 num_servers=2 members=(server 0, server 1, worker 0) replicas=1 shards=(0+1, 1+0)

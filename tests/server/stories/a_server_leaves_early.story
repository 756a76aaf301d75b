scheduler workers=1 servers=1
w0 hello
    w0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
s0 hello
    s0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    w0 <- View epoch=1 fence=0 rank=0 num_workers=1 num_servers=1 members=(server 0, worker 0)
    s0 <- View epoch=1 fence=0 rank=0 num_workers=1 num_servers=1 members=(server 0, worker 0)
at 2
    w0 <- Alive role='scheduler' rank=-1 epoch=1 step=0 nbytes=0 num_keys=0
    s0 <- Alive role='scheduler' rank=-1 epoch=1 step=0 nbytes=0 num_keys=0
s0 leave
    w0 <- Abort reason='server 0 left while workers were training' role='server' rank=0 step=0 when=2
    s0 <- Done seq=2 ack=0

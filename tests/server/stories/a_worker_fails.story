scheduler workers=1 servers=1
w0 hello
    w0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
s0 hello
    s0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    w0 <- View epoch=1 fence=0 rank=0 num_workers=1 num_servers=1 members=(server 0, worker 0)
    s0 <- View epoch=1 fence=0 rank=0 num_workers=1 num_servers=1 members=(server 0, worker 0)
w0 alive 4
at 2
    w0 <- Alive role='scheduler' rank=-1 epoch=1 step=0 nbytes=0 num_keys=0
    s0 <- Alive role='scheduler' rank=-1 epoch=1 step=0 nbytes=0 num_keys=0
w0 abort ValueError: no such file
    w0 <- Abort reason='worker 0 failed in step 4, 2.0 s after the start: ValueError: no such file' role='worker' rank=0 step=4 when=2
    s0 <- Abort reason='worker 0 failed in step 4, 2.0 s after the start: ValueError: no such file' role='worker' rank=0 step=4 when=2
s0 abort me too

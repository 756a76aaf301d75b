scheduler workers=2 servers=1
w0 hello
    w0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
w1 hello
    w1 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
s0 hello
    s0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    w0 <- View epoch=1 fence=0 rank=0 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 1)
    w1 <- View epoch=1 fence=0 rank=1 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 1)
    s0 <- View epoch=1 fence=0 rank=0 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 1)
l0 hello
    l0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
w1 alive 12
at 3
    w0 <- Alive role='scheduler' rank=-1 epoch=1 step=0 nbytes=0 num_keys=0
    w1 <- Alive role='scheduler' rank=-1 epoch=1 step=0 nbytes=0 num_keys=0
    s0 <- Alive role='scheduler' rank=-1 epoch=1 step=0 nbytes=0 num_keys=0
w0 alive 12
s0 alive 12
l0 lost worker 1 exit code -9
    w0 <- Abort reason='worker 1 died in step 12, 3.0 s after the start (exit code -9)' role='worker' rank=1 step=12 when=3
    w1 <- Abort reason='worker 1 died in step 12, 3.0 s after the start (exit code -9)' role='worker' rank=1 step=12 when=3
    s0 <- Abort reason='worker 1 died in step 12, 3.0 s after the start (exit code -9)' role='worker' rank=1 step=12 when=3
    l0 <- Abort reason='worker 1 died in step 12, 3.0 s after the start (exit code -9)' role='worker' rank=1 step=12 when=3
    l0 <- Done seq=2 ack=0
l0 lost worker 0 exit code 1
    l0 <- Done seq=3 ack=0

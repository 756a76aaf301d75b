scheduler workers=2 servers=1
l0 hello
    l0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
w0 hello
    w0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
at 2
    w0 <- Alive role='scheduler' rank=-1 epoch=0 step=0 nbytes=0 num_keys=0
l0 lost worker 1 exit code 2
    w0 <- Abort reason='worker 1 died before it joined (exit code 2)' role='worker' rank=1 step=0 when=2
    l0 <- Abort reason='worker 1 died before it joined (exit code 2)' role='worker' rank=1 step=0 when=2
    l0 <- Done seq=2 ack=0
w1 hello
    w1 <- Error seq=1 code='aborted' text="job 'job' has ended: worker 1 died before it joined (exit code 2)"

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
at 1
    w0 <- Alive role='scheduler' rank=-1 epoch=1 step=0 nbytes=0 num_keys=0
    w1 <- Alive role='scheduler' rank=-1 epoch=1 step=0 nbytes=0 num_keys=0
    s0 <- Alive role='scheduler' rank=-1 epoch=1 step=0 nbytes=0 num_keys=0
w0 barrier epoch 0
w0 alive 57
w1 alive 57
s0 alive 57
at 5
    w0 <- Alive role='scheduler' rank=-1 epoch=1 step=0 nbytes=0 num_keys=0
    w1 <- Alive role='scheduler' rank=-1 epoch=1 step=0 nbytes=0 num_keys=0
    s0 <- Alive role='scheduler' rank=-1 epoch=1 step=0 nbytes=0 num_keys=0
w0 alive 60
s0 alive 60
at 6
    w0 <- Alive role='scheduler' rank=-1 epoch=1 step=0 nbytes=0 num_keys=0
    w1 <- Alive role='scheduler' rank=-1 epoch=1 step=0 nbytes=0 num_keys=0
    s0 <- Alive role='scheduler' rank=-1 epoch=1 step=0 nbytes=0 num_keys=0
at 6.5
    w0 <- Error seq=2 code='aborted' text='worker 1 died in step 57, 6.5 s after the start (silent for 5.5 s)'
    w0 <- Abort reason='worker 1 died in step 57, 6.5 s after the start (silent for 5.5 s)' role='worker' rank=1 step=57 when=6.5
    w1 <- Abort reason='worker 1 died in step 57, 6.5 s after the start (silent for 5.5 s)' role='worker' rank=1 step=57 when=6.5
    s0 <- Abort reason='worker 1 died in step 57, 6.5 s after the start (silent for 5.5 s)' role='worker' rank=1 step=57 when=6.5
    l0 <- Abort reason='worker 1 died in step 57, 6.5 s after the start (silent for 5.5 s)' role='worker' rank=1 step=57 when=6.5
l0 status
    l0 <- StatusReport seq=2 job='job' state='aborted' reason='worker 1 died in step 57, 6.5 s after the start (silent for 5.5 s)' epoch=1 uptime_s=6.5 num_workers=2 num_servers=1 members=(server 0 alive step 60 silent 1.5, worker 0 alive step 60 silent 1.5, worker 1 dead step 57 silent 5.5) num_shards=1 num_moving=0
w0 barrier epoch 0
    w0 <- Error seq=5 code='aborted' text='worker 1 died in step 57, 6.5 s after the start (silent for 5.5 s)'
at 8.1

# Nobody knows whether what the dead worker was to give for all has been given. Whoever still waits when a job ends is
# told so.
scheduler workers=2 servers=1 elastic=1:3
l0 hello
    l0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
w0 hello
    w0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
w1 hello
    w1 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
s0 hello
    s0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    w0 <- View epoch=1 fence=0 rank=0 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 1)
    w1 <- View epoch=1 fence=0 rank=1 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 1)
    s0 <- View epoch=1 fence=0 rank=0 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 1)
l0 lost worker 0 exit code -9
    w0 <- Abort reason='worker 0 died in step 0, 0.0 s after the start (exit code -9), and nobody had pushed yet: --elastic holds from the first push on' role='worker' rank=0 step=0 when=0
    w1 <- Abort reason='worker 0 died in step 0, 0.0 s after the start (exit code -9), and nobody had pushed yet: --elastic holds from the first push on' role='worker' rank=0 step=0 when=0
    s0 <- Abort reason='worker 0 died in step 0, 0.0 s after the start (exit code -9), and nobody had pushed yet: --elastic holds from the first push on' role='worker' rank=0 step=0 when=0
    l0 <- Abort reason='worker 0 died in step 0, 0.0 s after the start (exit code -9), and nobody had pushed yet: --elastic holds from the first push on' role='worker' rank=0 step=0 when=0
    l0 <- Done seq=2 ack=0
scheduler workers=2 servers=1 elastic=1:3
w0 hello
    w0 <- Welcome seq=2 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
w1 hello
    w1 <- Welcome seq=2 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
s0 hello
    s0 <- Welcome seq=2 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    w0 <- View epoch=1 fence=0 rank=0 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 1)
    w1 <- View epoch=1 fence=0 rank=1 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 1)
    s0 <- View epoch=1 fence=0 rank=0 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 1)
w2 hello
    w2 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
w0 leave
    w1 <- View epoch=2 fence=0 rank=1 num_workers=1 num_servers=1 members=(server 0, worker 1)
    s0 <- View epoch=2 fence=0 rank=0 num_workers=1 num_servers=1 members=(server 0, worker 1)
s0 alive 0 epoch=2
    w0 <- Done seq=3 ack=0
w1 leave
    w2 <- Error seq=1 code='aborted' text="job 'job' has ended: all workers have finished"
    s0 <- Finish reason='all workers have finished'
s0 leave
    s0 <- Done seq=4 ack=0
    w1 <- Done seq=3 ack=0

# workers die and come; who stands before a barrier does not wait for newcomers
scheduler workers=2 servers=1 elastic=1:3
s0 hello
    s0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
w0 hello
    w0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
w1 hello
    w1 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    s0 <- View epoch=1 fence=0 rank=0 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 1)
    w0 <- View epoch=1 fence=0 rank=0 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 1)
    w1 <- View epoch=1 fence=0 rank=1 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 1)
w0 alive 3
w0 barrier epoch 0
w2 hello rank=2
    w2 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    s0 <- View epoch=2 fence=0 rank=0 num_workers=3 num_servers=1 members=(server 0, worker 0, worker 1, worker 2)
    w0 <- View epoch=2 fence=0 rank=0 num_workers=3 num_servers=1 members=(server 0, worker 0, worker 1, worker 2)
    w1 <- View epoch=2 fence=0 rank=1 num_workers=3 num_servers=1 members=(server 0, worker 0, worker 1, worker 2)
    w2 <- View epoch=2 fence=0 rank=2 num_workers=3 num_servers=1 members=(server 0, worker 0, worker 1, worker 2) joined=2 meetings={'epoch': 1}
w1 barrier epoch 0
    w0 <- Done seq=3 ack=0
    w1 <- Done seq=2 ack=0
at 1
    s0 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
    w0 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
    w1 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
    w2 <- Alive role='scheduler' rank=-1 epoch=2 step=0 nbytes=0 num_keys=0
l0 hello
    l0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=59
l0 lost worker 1 exit code 1
    s0 <- View epoch=3 fence=0 rank=0 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 2)
    w0 <- View epoch=3 fence=0 rank=0 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 2)
    w2 <- View epoch=3 fence=0 rank=2 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 2) joined=2 meetings={'epoch': 1}
    l0 <- Done seq=2 ack=0
# its place is taken by a higher incarnation only
w3 hello rank=1 token=777
    w3 <- Error seq=1 code='refused' text='worker 1 has left or was taken for dead, and the job has gone on without incarnation 0; a new process in its place needs a higher PSDIST_INCARNATION'
w3 hello rank=1 token=777 incarnation=1
    w3 <- Welcome seq=2 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=59
    s0 <- View epoch=4 fence=0 rank=0 num_workers=3 num_servers=1 members=(server 0, worker 0, worker 1, worker 2)
    w0 <- View epoch=4 fence=0 rank=0 num_workers=3 num_servers=1 members=(server 0, worker 0, worker 1, worker 2)
    w2 <- View epoch=4 fence=0 rank=2 num_workers=3 num_servers=1 members=(server 0, worker 0, worker 1, worker 2) joined=2 meetings={'epoch': 1}
    w3 <- View epoch=4 fence=0 rank=1 num_workers=3 num_servers=1 members=(server 0, worker 0, worker 1, worker 2) joined=4 meetings={'epoch': 1}
w4 hello rank=-1 token=778
    w4 <- Error seq=1 code='refused' text="job 'job' has 3 workers, and --elastic allows no more"
w0 leave
    s0 <- View epoch=5 fence=0 rank=0 num_workers=2 num_servers=1 members=(server 0, worker 1, worker 2)
    w2 <- View epoch=5 fence=0 rank=2 num_workers=2 num_servers=1 members=(server 0, worker 1, worker 2) joined=2 meetings={'epoch': 1}
    w3 <- View epoch=5 fence=0 rank=1 num_workers=2 num_servers=1 members=(server 0, worker 1, worker 2) joined=4 meetings={'epoch': 1}
s0 alive 3 epoch=5
    w0 <- Done seq=4 ack=0
l0 lost worker 2 exit code 1
    s0 <- View epoch=6 fence=0 rank=0 num_workers=1 num_servers=1 members=(server 0, worker 1)
    w3 <- View epoch=6 fence=0 rank=1 num_workers=1 num_servers=1 members=(server 0, worker 1) joined=4 meetings={'epoch': 1}
    l0 <- Done seq=3 ack=0
l0 lost worker 1 exit code 1
    s0 <- Abort reason='worker 1 died in step 0, 1.0 s after the start (exit code 1); 0 workers are left, and --elastic wants at least 1' role='worker' rank=1 step=0 when=1
    w2 <- Abort reason='worker 1 died in step 0, 1.0 s after the start (exit code 1); 0 workers are left, and --elastic wants at least 1' role='worker' rank=1 step=0 when=1
    w3 <- Abort reason='worker 1 died in step 0, 1.0 s after the start (exit code 1); 0 workers are left, and --elastic wants at least 1' role='worker' rank=1 step=0 when=1
    l0 <- Abort reason='worker 1 died in step 0, 1.0 s after the start (exit code 1); 0 workers are left, and --elastic wants at least 1' role='worker' rank=1 step=0 when=1
    l0 <- Done seq=4 ack=0

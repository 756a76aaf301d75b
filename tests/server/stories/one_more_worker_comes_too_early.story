# one more worker than the job begins with waits while the others join, and joins when somebody has pushed
scheduler workers=2 servers=1 elastic=1:3
s0 hello
    s0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
w2 hello rank=2
    w2 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
w3 hello rank=3 token=333
    w3 <- Error seq=1 code='refused' text="worker 3 wants to join, but job 'job' has workers 0 to 1"
w0 hello rank=0
    w0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
w1 hello rank=1
    w1 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    s0 <- View epoch=1 fence=0 rank=0 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 1)
    w0 <- View epoch=1 fence=0 rank=0 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 1)
    w1 <- View epoch=1 fence=0 rank=1 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 1)
w0 alive 3
    w2 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    s0 <- View epoch=2 fence=0 rank=0 num_workers=3 num_servers=1 members=(server 0, worker 0, worker 1, worker 2)
    w0 <- View epoch=2 fence=0 rank=0 num_workers=3 num_servers=1 members=(server 0, worker 0, worker 1, worker 2)
    w1 <- View epoch=2 fence=0 rank=1 num_workers=3 num_servers=1 members=(server 0, worker 0, worker 1, worker 2)
    w2 <- View epoch=2 fence=0 rank=2 num_workers=3 num_servers=1 members=(server 0, worker 0, worker 1, worker 2) joined=2

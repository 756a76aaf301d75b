# who leaves is told so when every server knows, since a scheduler that is started again asks them; or in a while
scheduler workers=2 servers=2
s0 hello
    s0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
s1 hello
    s1 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
w0 hello
    w0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
w1 hello
    w1 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    s0 <- View epoch=1 fence=0 rank=0 num_workers=2 num_servers=2 members=(server 0, server 1, worker 0, worker 1)
    s1 <- View epoch=1 fence=0 rank=1 num_workers=2 num_servers=2 members=(server 0, server 1, worker 0, worker 1)
    w0 <- View epoch=1 fence=0 rank=0 num_workers=2 num_servers=2 members=(server 0, server 1, worker 0, worker 1)
    w1 <- View epoch=1 fence=0 rank=1 num_workers=2 num_servers=2 members=(server 0, server 1, worker 0, worker 1)
w0 leave
    s0 <- View epoch=2 fence=0 rank=0 num_workers=2 num_servers=2 members=(server 0, server 1, worker 1)
    s1 <- View epoch=2 fence=0 rank=1 num_workers=2 num_servers=2 members=(server 0, server 1, worker 1)
    w1 <- View epoch=2 fence=0 rank=1 num_workers=2 num_servers=2 members=(server 0, server 1, worker 1)
s0 alive 0 epoch=2
s1 alive 0 epoch=1
s1 alive 0 epoch=2
    w0 <- Done seq=2 ack=0
w1 leave
    s0 <- Finish reason='all workers have finished'
    s1 <- Finish reason='all workers have finished'
s0 leave
    s0 <- Done seq=3 ack=0
at 1.9
at 2
    w1 <- Done seq=2 ack=0

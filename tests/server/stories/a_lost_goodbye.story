# Whoever has left and did not hear the answer, because his connection broke, says Hello and asks again. A server that
# did not hear that the job has finished hears it again.
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
w0 leave
    w1 <- View epoch=2 fence=0 rank=1 num_workers=2 num_servers=1 members=(server 0, worker 1)
    s0 <- View epoch=2 fence=0 rank=0 num_workers=2 num_servers=1 members=(server 0, worker 1)
w0 hello
    w0 <- Welcome seq=3 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
w0 leave
s0 alive 0 epoch=2
    w0 <- Done seq=2 ack=0
    w0 <- Done seq=4 ack=0
w1 leave
    s0 <- Finish reason='all workers have finished'
w1 hello
    w1 <- Welcome seq=3 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
w1 leave
s0 hello
    s0 <- Welcome seq=3 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    s0 <- View epoch=2 fence=0 rank=0 num_workers=2 num_servers=1 members=(server 0)
    s0 <- Finish reason='all workers have finished'
s0 leave
    s0 <- Done seq=4 ack=0
    w1 <- Done seq=2 ack=0
    w1 <- Done seq=4 ack=0
at 2.1
    ended: End(code=0, reason='all workers have finished')

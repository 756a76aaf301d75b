# Until somebody has pushed, one worker may be about to give the first values and the optimizer for all: a newcomer
# waits, and is told so by Welcome alone. Then it is let in.
scheduler workers=2 servers=1 elastic=1:3
w0 hello
    w0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
w1 hello
    w1 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
s0 hello
    s0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    w0 <- View epoch=1 fence=0 rank=0 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 1)
    w1 <- View epoch=1 fence=0 rank=1 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 1)
    s0 <- View epoch=1 fence=0 rank=0 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 1)
w2 hello
    w2 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
at 1
    w0 <- Alive role='scheduler' rank=-1 epoch=1 step=0 nbytes=0 num_keys=0
    w1 <- Alive role='scheduler' rank=-1 epoch=1 step=0 nbytes=0 num_keys=0
    s0 <- Alive role='scheduler' rank=-1 epoch=1 step=0 nbytes=0 num_keys=0
w0 alive 1
    w2 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=59
    w0 <- View epoch=2 fence=0 rank=0 num_workers=3 num_servers=1 members=(server 0, worker 0, worker 1, worker 2)
    w1 <- View epoch=2 fence=0 rank=1 num_workers=3 num_servers=1 members=(server 0, worker 0, worker 1, worker 2)
    s0 <- View epoch=2 fence=0 rank=0 num_workers=3 num_servers=1 members=(server 0, worker 0, worker 1, worker 2)
    w2 <- View epoch=2 fence=0 rank=2 num_workers=3 num_servers=1 members=(server 0, worker 0, worker 1, worker 2) joined=2
w2 alive 0

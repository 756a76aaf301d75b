# The start has a deadline; who has not come is named, as far as ranks were wished for.
scheduler workers=3 servers=2 start=4
w0 hello rank=0
    w0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=4
at 3
    w0 <- Alive role='scheduler' rank=-1 epoch=0 step=0 nbytes=0 num_keys=0
w2 hello rank=2
    w2 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=1
s0 hello rank=-1
    s0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=1
at 4
    w0 <- Alive role='scheduler' rank=-1 epoch=0 step=0 nbytes=0 num_keys=0
    w2 <- Alive role='scheduler' rank=-1 epoch=0 step=0 nbytes=0 num_keys=0
    s0 <- Alive role='scheduler' rank=-1 epoch=0 step=0 nbytes=0 num_keys=0
at 4.1
    w0 <- Abort reason='not everyone came within 4 s: missing worker 1, server 1 (2 of 3 workers came, 1 of 2 servers came); look at their logs, or raise PSDIST_START_TIMEOUT' role='scheduler' rank=-1 step=0 when=4.1
    w2 <- Abort reason='not everyone came within 4 s: missing worker 1, server 1 (2 of 3 workers came, 1 of 2 servers came); look at their logs, or raise PSDIST_START_TIMEOUT' role='scheduler' rank=-1 step=0 when=4.1
    s0 <- Abort reason='not everyone came within 4 s: missing worker 1, server 1 (2 of 3 workers came, 1 of 2 servers came); look at their logs, or raise PSDIST_START_TIMEOUT' role='scheduler' rank=-1 step=0 when=4.1
w1 hello
    w1 <- Error seq=1 code='aborted' text="job 'job' has ended: not everyone came within 4 s: missing worker 1, server 1 (2 of 3 workers came, 1 of 2 servers came); look at their logs, or raise PSDIST_START_TIMEOUT"
at 6.2
    ended: End(code=1, reason='not everyone came within 4 s: missing worker 1, server 1 (2 of 3 workers came, 1 of 2 servers came); look at their logs, or raise PSDIST_START_TIMEOUT')

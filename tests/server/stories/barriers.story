scheduler workers=2 servers=0
w0 hello
    w0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
w1 hello
    w1 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    w0 <- View epoch=1 fence=0 rank=0 num_workers=2 num_servers=0 members=(worker 0, worker 1)
    w1 <- View epoch=1 fence=0 rank=1 num_workers=2 num_servers=0 members=(worker 0, worker 1)
w0 barrier init 0
w0 again
w1 barrier init 0
    w0 <- Done seq=2 ack=0
    w1 <- Done seq=2 ack=0
# its reply was lost: asked again, it is answered again
w0 again
    w0 <- Done seq=2 ack=0
w1 barrier init 1
w0 barrier init 3
    w0 <- Error seq=3 code='bad-value' text="worker 0 is at barrier 'init' for time 3, which has opened 1 times"
# who has left is not waited for
w0 leave
    w1 <- View epoch=2 fence=0 rank=1 num_workers=2 num_servers=0 members=(worker 1)
    w1 <- Done seq=3 ack=0
    w0 <- Done seq=4 ack=0

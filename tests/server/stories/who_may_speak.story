# Who says Hello too early waits for the View; who does not belong is told why, naming both sides.
shard
w0 hello
w1 hello rank=7
view workers=0,1
    w0 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
    w1 <- Error seq=1 code='refused' text="worker 7 is not in job 'job' now; its workers are 0, 1 (epoch 1)"
w1 hello job=other
    w1 <- Error seq=2 code='refused' text="server 0 belongs to job 'job', the caller to 'other'"
w1 hello role=server
    w1 <- Error seq=3 code='refused' text='server 0 serves workers; the caller is a server'
w1 hello incarnation=2
    w1 <- Error seq=4 code='refused' text='worker 1: incarnation 2 has not joined yet; 0 has its place'
w1 hello token=5
    w1 <- Error seq=5 code='refused' text='worker 1 is another process already (incarnation 0); two cannot have one rank'
w1 hello
    w1 <- Welcome seq=6 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w1' hello token=5
    w1' <- Error seq=1 code='refused' text='worker 1 is another process already (incarnation 0); two cannot have one rank'
w0 leave
    w0 <- Error seq=2 code='refused' text='Leave is for the scheduler, not for server 0'

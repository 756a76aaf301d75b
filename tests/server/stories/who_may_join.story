scheduler workers=2 servers=1
w0 hello job=other
    w0 <- Error seq=1 code='refused' text="this scheduler serves job 'job'; worker 0 is of 'other'"
w0 hello role=king
    w0 <- Error seq=2 code='refused' text="no role 'king'; wanted worker or server"
w0 hello rank=2
    w0 <- Error seq=3 code='refused' text="worker 2 wants to join, but job 'job' has workers 0 to 1"
w0 hello rank=-5
    w0 <- Error seq=4 code='refused' text="the worker wants to join, but job 'job' has workers 0 to 1"
w0 hello
    w0 <- Welcome seq=5 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
# a second claimant of the rank
w1 hello rank=0
    w1 <- Error seq=1 code='refused' text='worker 0 has joined already (incarnation 0), and this is another process (incarnation 0); two cannot have one rank'
w1 hello rank=0 incarnation=1
    w1 <- Error seq=2 code='refused' text='worker 0 has joined already (incarnation 0), and this is another process (incarnation 1); two cannot have one rank'
# a reconnect of the first
w0' hello
    w0' <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
w1 hello rank=-1
    w1 <- Welcome seq=3 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
w2 hello rank=-1
    w2 <- Error seq=1 code='refused' text="job 'job' has its 2 workers already; one more worker came"
# all have come
s0 hello
    s0 <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    w0' <- View epoch=1 fence=0 rank=0 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 1)
    w1 <- View epoch=1 fence=0 rank=1 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 1)
    s0 <- View epoch=1 fence=0 rank=0 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 1)
s1 hello rank=0
    s1 <- Error seq=1 code='refused' text='server 0 has joined already (incarnation 0), and this is another process (incarnation 0); two cannot have one rank'
w3 hello rank=0
    w3 <- Error seq=1 code='refused' text='worker 0 has joined already (incarnation 0), and this is another process (incarnation 0); two cannot have one rank'
w3 hello rank=0 incarnation=-1
    w3 <- Error seq=2 code='refused' text='worker 0: incarnation -1 is over; incarnation 0 has joined'
# a reconnect gets the View again
w1' hello rank=-1 token=101
    w1' <- Welcome seq=1 rank=-1 heartbeat_s=1 dead_after_s=5 start_within_s=60
    w1' <- View epoch=1 fence=0 rank=1 num_workers=2 num_servers=1 members=(server 0, worker 0, worker 1)
# roles
w0' lost worker 1 because
    w0' <- Error seq=2 code='refused' text='Lost is not for a worker to send'
w0' push a 0 1
    w0' <- Error seq=3 code='refused' text='Push is for a server'

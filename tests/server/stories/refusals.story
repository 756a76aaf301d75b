# What is refused changes nothing, and the server goes on.
shard
view workers=0,1
w0 push a 0 1
    w0 <- Error seq=1 code='not-admitted' text='say Hello to server 0 first, then send again'
w0 hello
    w0 <- Welcome seq=2 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w1 hello
    w1 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w0 push a 0 1
    w0 <- Error seq=3 code='unknown-key' text='key number 0xb2bceb90ca636af9 was never initialised on server 0, which has no keys yet'
w0 pull a 0
    w0 <- Error seq=4 code='unknown-key' text='key number 0xb2bceb90ca636af9 was never initialised on server 0, which has no keys yet'
w0 init a 1 1 1 1
    w0 <- Done seq=5 ack=0
w0 init a 1 1 1
    w0 <- Error seq=6 code='bad-value' text="'a' was initialised as float32 (4,), and now comes as float32 (3,)"
w0 init a 1 1 1 1 dtype=float64
    w0 <- Error seq=7 code='bad-value' text="'a' was initialised as float32 (4,), and now comes as float64 (4,)"
w0 init b 1 1 dtype=complex64
    w0 <- Error seq=8 code='bad-value' text="'s:b': dtype 'complex64'; wanted one of float32, float64, float16, uint8, int32, int8, int64, bool"
w0 declare c/3
w0 pull c 0
    w0 <- Error seq=10 code='unknown-key' text="'c' is declared, but no worker has given its first value yet"
w0 push a 0 1 1
    w0 <- Error seq=11 code='bad-value' text="'a' is float32 (4,): 4 elements; the push has 2 of float32"
w0 push a[2] 0 1 1
    w0 <- Error seq=12 code='bad-value' text="'a' has no slice at element 2 on server 0; PSDIST_SLICE_BYTES must be the same in the whole job"
w0 push nothere 0 1
    w0 <- Error seq=13 code='unknown-key' text="key number 0x1765fe7853d1b8c3 was never initialised on server 0, which has 2 keys: 'a', 'c'"
w0 pull 3 0
    w0 <- Error seq=14 code='unknown-key' text="key number 0x1388a48c8b29bac0 was never initialised on server 0, which has 2 keys: 'a', 'c'"
w0 push a 0 1 1 1 1 ack=3
    w0 <- Error seq=15 code='unsupported' text='server 0 has no log, so that it acknowledges no push as on disk (3): start the job by `psdist run --ack on-disk --snapshot-dir DIR --snapshot-every N`'
w0 hyper 0 lr=0.1
    w0 <- Error seq=16 code='bad-value' text='a learning rate without an optimizer; call set_optimizer first'
w0 getstate a
    w0 <- Error seq=17 code='bad-value' text='no optimizer is set, so there is no state; call set_optimizer first'
w0 optimizer nosuch
    w0 <- Error seq=18 code='bad-value' text="no optimizer 'nosuch'; known are adadelta, adagrad, adam, adamax, dcasgd, ftml, ftrl, groupadagrad, lamb, lars, lbsgd, nadam, nag, rmsprop, sgd, sgld, signum, test"
w0 optimizer sgd momentum=0.9 lr=nan
    w0 <- Error seq=19 code='bad-value' text='lr nan, wd 0.0; wanted finite numbers'
w0 optimizer sgd moment=0.9
    w0 <- Error seq=20 code='bad-value' text="optimizer 'sgd': no number 'moment'; it takes clip_gradient, momentum, rescale_grad"
w0 staleness -2
    w0 <- Error seq=21 code='bad-value' text='staleness -2; wanted 0, a bound above it, or -1 for none'
w0 barrier x 0
    w0 <- Error seq=22 code='refused' text='Barrier is for the scheduler, not for server 0'
# a batch is refused whole: its first slice is not touched
w0 push a 0 1 1 1 1 ; nothere 0 1
    w0 <- Error seq=23 code='unknown-key' text="key number 0x1765fe7853d1b8c3 was never initialised on server 0, which has 2 keys: 'a', 'c'"
w0 push a 0 1 1 1 1 ; a 0 1 1
    w0 <- Error seq=24 code='bad-value' text="'a' is float32 (4,): 4 elements; the push has 2 of float32"
w0 push a 0 5 5 5 5
w1 push a 0 6 6 6 6
    w0 <- Done seq=25 ack=1
    w1 <- Done seq=2 ack=1
w1 pull a 1
    w1 <- Values seq=3 clocks=(1) values=([11 11 11 11])

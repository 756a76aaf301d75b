# Rank 0 gives the values; the others declare the same keys and are answered when the values are there.
shard
view workers=0,1
w0 hello
    w0 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w1 hello
    w1 <- Welcome seq=1 rank=0 heartbeat_s=1 dead_after_s=8 start_within_s=0
w1 declare a/2 | 3/1
w0 init a 1 2
    w0 <- Done seq=2 ack=0
w0 init 3 7
    w1 <- Done seq=2 ack=0
    w0 <- Done seq=3 ack=0
# once more: the first value stays
w1 init a 9 9
    w1 <- Done seq=3 ack=0
w1 pull a 0 ; 3 0
    w1 <- Values seq=4 clocks=(0, 0) values=([1 2], [7])
# the same number of elements, cut differently
w0 init b[0]/8 1 2 3 4 | b[4]/8 5 6 7 8
    w0 <- Done seq=4 ack=0
w1 init b/8 1 2 3 4 5 6 7 8
    w1 <- Error seq=5 code='bad-value' text="'b' is cut into slices differently: 0:8 here is 0:4; PSDIST_SLICE_BYTES must be the same in the whole job"
w1 init b[4]/8 5 6
    w1 <- Error seq=6 code='bad-value' text="'b' is cut into slices differently: 4:6 here is 4:8; PSDIST_SLICE_BYTES must be the same in the whole job"
w1 init b[2]/8 5 6
    w1 <- Error seq=7 code='bad-value' text="'b' is cut into slices differently: 2:4 here is 0:4; PSDIST_SLICE_BYTES must be the same in the whole job"
w1 init b[6]/8 5 6 7
    w1 <- Error seq=8 code='bad-value' text="'b' has 8 elements; no slice can be 6:9"
w1 pull b[4] 0 ; b 0
    w1 <- Values seq=9 clocks=(0, 0) values=([5 6 7 8], [1 2 3 4])

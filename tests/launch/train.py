"""A worker for the launcher's tests: trains one key for 20 steps or for ever, then ends as it is told."""

import os
import sys

import psdist as mx

how = sys.argv[1]
kv = mx.kv.create("dist_sync")
kv.init("w", mx.nd.zeros(8))
value = mx.nd.zeros(8)
step = 0
while how == "for-ever" or step < 20:
    kv.push("w", mx.nd.ones(8))
    kv.pull("w", out=value)
    value.wait_to_read()
    if step == 3:
        print("pid", os.getpid(), flush=True)
    if step == 1500:  # a second or two later
        print("is far", flush=True)
    step += 1
if kv.rank == 1:
    if how == "raise":
        raise ValueError("something of mine is wrong")
    if how == "vanish":
        os._exit(0)
    if how == "stay":
        kv.barrier()
elif how in ("vanish", "stay"):
    kv.barrier()

"""A worker that trains some arrays for a fixed number of steps, while the test changes the number of servers.

Before the last step it waits for a file, so that the servers have been changed by then. Rank 0 prints a digest.
"""

import hashlib
import os
import sys
import time

import numpy as np

import psdist as mx

until, num_steps = sys.argv[1], 120
kv = mx.kv.create("dist_sync")
shapes = {f"w{i}": (1 + 997 * i,) for i in range(12)} | {"large": (300, 1000)}
for key, shape in shapes.items():
    kv.init(key, mx.nd.array(np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)))
kv.set_optimizer(mx.optimizer.Adam(learning_rate=0.01))
values = {key: mx.nd.zeros(shape) for key, shape in shapes.items()}
for step in range(num_steps):
    while step == num_steps - 1 and not os.path.exists(until):
        time.sleep(0.01)
    for i, (key, shape) in enumerate(shapes.items()):
        noise = np.random.default_rng([kv.rank, step, i]).standard_normal(shape).astype(np.float32)
        kv.push(key, mx.nd.array(noise) + values[key])
    for key, value in values.items():
        kv.pull(key, out=value)
    if step == 20 and kv.rank == 0:
        print("is training", flush=True)
digest = hashlib.sha256(b"".join(values[key].asnumpy().tobytes() for key in shapes))
if kv.rank == 0:
    print("digest", digest.hexdigest(), flush=True)
kv.close()

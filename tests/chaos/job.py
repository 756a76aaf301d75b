"""The training that the faults meet: `python job.py OPTIONS`, OPTIONS as JSON, run as every worker of a job.

First rounds of a ledger, whose every pull is checked: nothing is missing, nothing there twice, nothing comes too
early or goes away again. Then rounds of Adam on float32 arrays, whose last bits are compared with those of a job
without faults. In between, a barrier. Says `acked T` when its push for round T is acknowledged, and at the end
`RESULT` and what it found. At a round of `holds` it waits for a byte from a pipe that the test has made.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import ledger  # type: ignore[import-not-found]  # beside this script
import numpy as np

import psdist as mx
from psdist.kvstore.partition import partition
from psdist.settings import Settings
from psdist.wire import key_number

SIZE = 20000  # elements of the ledger, 160 KB: several slices, on each server
SHAPES: dict[str, tuple[int, ...]] = {"bias": (7,), "weight": (50, 40), "large": (300, 100)}


def say(text: str) -> None:
    print(text, flush=True)


def main(
    kind: str = "dist_sync",
    rounds: int = 20,
    adam: int = 10,
    holds: tuple[int, ...] = (),
    folder: str = "",
    staleness: int = 0,
    elastic: bool = False,
    slow: float = 0.0,
    uneven: bool = False,
    end: str = "close",
) -> None:
    kv = mx.kv.create(kind)
    rank = kv.rank
    begins_at = getattr(kv, "begins_at", 0)
    say(f"joined as {rank} pid {os.getpid()}, begins at {begins_at}")
    own = ledger.rounds(begins_at, begins_at)
    kv.init("ledger", mx.nd.zeros((SIZE,), dtype="float64"))
    kv.set_optimizer(mx.optimizer.SGD(learning_rate=1.0, wd=0.0, rescale_grad=1.0))
    out = mx.nd.zeros((SIZE,), dtype="float64")
    seen = dict.fromkeys(range(ledger.MAX_WORKERS), 0)
    last = rounds // 2 if uneven and rank == 1 else rounds
    for step in range(begins_at, last):
        if step in holds:
            say(f"holds at {step}")
            with open(Path(folder) / f"hold-{rank}-{step}", "rb") as pipe:
                pipe.read(1)
        if slow and rank == 0:
            time.sleep(slow)
        kv.push("ledger", mx.nd.array(-ledger.push(rank, step, SIZE, rounds), dtype="float64"))
        own |= 1 << step
        kv.pull("ledger", out=out)
        if kind == "dist_sync":
            say(f"acked {step}")
        try:
            seen = check(
                ledger_of(out, kind, rounds, elastic),
                seen,
                own,
                rank,
                step,
                kv,
                kind,
                elastic,
                uneven,
                staleness,
            )
        except AssertionError as e:
            say(f"VIOLATION in round {step} at worker {rank}: {e}")
            raise
    if kind != "dist_sync":
        kv.barrier()
        kv.pull("ledger", out=out)
        seen = ledger.read(out.asnumpy(), rounds)
    digest = train(kv, adam) if adam else ""
    result = {"rank": rank, "begins_at": begins_at, "pushes": seen, "digest": digest}
    say("RESULT " + json.dumps(result))
    if end == "exit":
        sys.exit(0)  # without close: the interpreter's end says goodbye
    if end == "code":
        sys.exit(7)
    if end == "vanish":
        os._exit(0)
    kv.close()


def ledger_of(out: Any, kind: str, rounds: int, elastic: bool) -> list[Any]:
    """The pushes in each slice. Of a synchronous pull all slices are alike, except for the last push of a worker
    that died of it: what had reached its server is there."""
    value = out.asnumpy()
    if kind == "dist_sync" and not elastic:
        return [ledger.read(value, rounds)]
    num_servers, nbytes = int(os.environ["DMLC_NUM_SERVER"]), int(os.environ["PSDIST_SLICE_BYTES"])
    num_shards = num_servers * Settings.read().shards_per_server
    return [
        ledger.read(value[one.offset : one.offset + one.length], rounds, one.offset)
        for one in partition(key_number("s:ledger"), SIZE, 8, num_servers, nbytes, num_shards=num_shards)
    ]


def check(
    found: list[Any],
    seen: Any,
    own: int,
    rank: int,
    step: int,
    kv: Any,
    kind: str,
    elastic: bool,
    uneven: bool,
    staleness: int,
) -> Any:
    """What must hold of every pull; the pushes that are in all slices."""
    now = dict(found[0])
    for one in found[1:]:
        now = {worker: now[worker] & one[worker] for worker in now}
    if kind == "dist_sync":
        for worker, pushes in ((worker, pushes) for one in found for worker, pushes in one.items()):
            early = pushes >> (step + 1)
            assert not early, f"worker {worker}'s pushes after round {step} are there already: {early:b}"
    for worker, pushes in now.items():
        lost = seen[worker] & ~pushes
        assert not lost, f"a pull went back: worker {worker}'s pushes {lost:b} were there before"
    lost = own & ~now[rank]
    assert not lost, f"own pushes {lost:b} are missing"
    if not elastic and not uneven and kind in ("dist_sync", "dist_ssp"):
        due = ledger.rounds(0, max(0, step + 1 - staleness))
        for worker in range(kv.num_workers):
            lost = due & ~now[worker]
            assert not lost, f"worker {worker}'s pushes {lost:b} are missing after round {step}"
    return now


def train(kv: Any, num_rounds: int) -> str:
    """Rounds of Adam; the last values' digest."""
    rng = np.random.default_rng(1)
    kv.barrier()
    kv.set_optimizer(mx.optimizer.Adam(learning_rate=0.01, wd=0.001))
    outs = {}
    for key, shape in SHAPES.items():
        kv.init(key, mx.nd.array(rng.standard_normal(shape).astype(np.float32)))
        outs[key] = mx.nd.zeros(shape)
    for step in range(num_rounds):
        rng = np.random.default_rng((2, kv.rank, step))
        for i, (key, shape) in enumerate(SHAPES.items()):
            kv.push(key, mx.nd.array(rng.standard_normal(shape).astype(np.float32)), priority=-i)
        for i, key in enumerate(SHAPES):
            kv.pull(key, out=outs[key], priority=-i)
    digest = hashlib.sha256()
    for array in outs.values():
        digest.update(array.asnumpy().tobytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))

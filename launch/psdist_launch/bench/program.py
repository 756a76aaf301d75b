"""What each worker of `psdist bench` runs: `python -m psdist_launch.bench.program FILE REPEATS OPTIMIZER WORK ...`

Worker 0 draws the progress bar and leaves in FILE, as JSON, the begin and end of every round by name of work:
[[seconds, seconds], ...] of CLOCK_MONOTONIC, the first after `_WARM_UP` rounds that touch fresh memory.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

import psdist as mx
from psdist.callback import ProgressBar
from psdist.model import BatchEndParam

from .works import WORKS, Work

__all__ = ["main"]

_WARM_UP = 2


def main() -> None:
    file, repeats, optimizer, *names = sys.argv[1:]
    works = [WORKS[name] for name in names]
    rounds: dict[str, list[tuple[float, float]]] = {work.name: [] for work in works}
    bar = ProgressBar(total=int(repeats) * len(works), length=30)
    with mx.kv.create("dist_sync") as kv:
        exchanges = [_Exchange(kv, work) for work in works]
        if optimizer:
            kv.set_optimizer(mx.optimizer.create(optimizer, learning_rate=0.01))
        for repeat in range(int(repeats)):
            for i, exchange in enumerate(exchanges):
                kv.barrier()
                rounds[exchange.work.name] += exchange.measure(warm_up=0 if repeat else _WARM_UP)
                if kv.rank == 0:
                    bar.text = f"{exchange.work.name:14} "
                    done = repeat * len(works) + i
                    bar(BatchEndParam(epoch=0, nbatch=done, eval_metric=None, locals=None))
        if kv.rank == 0:
            Path(file).write_text(json.dumps(rounds))


class _Exchange:
    """One work's arrays."""

    def __init__(self, kv: mx.kvstore.KVStore, work: Work) -> None:
        self.work = work
        self._kv = kv
        self._keys = [f"{work.name}:{i}" for i in range(work.num_keys)]
        self._grads = [np.ones(work.size, np.float32) for _ in self._keys]
        self._outs = [np.empty(work.size, np.float32) for _ in self._keys]
        kv.init(self._keys, self._grads)

    def measure(self, warm_up: int) -> list[tuple[float, float]]:
        """Begin and end of each round."""
        kv, keys, grads, outs = self._kv, self._keys, self._grads, self._outs
        times = []
        for _ in range(warm_up + self.work.rounds):
            began = time.perf_counter()
            kv.pushpull(keys, grads, out=outs)
            times.append((began, time.perf_counter()))
        return times[warm_up:]


if __name__ == "__main__":
    main()

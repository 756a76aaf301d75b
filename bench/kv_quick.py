"""How fast the distributed store is on this machine: 2 workers + 1 server, synchronous, TCP on loopback.

    python bench/kv_quick.py            goodput per worker, bytes pushed + pulled, median of 5
    python bench/kv_quick.py --profile DIR     also a cProfile of every process

`push+pull` is a push and then a pull of every key, as training does it; `pushpull` is both in one message.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

WORK = {  # name: (keys, elements of a key, rounds in one measurement)
    "1 KB": (1, 256, 300),
    "64 KB": (1, 16 << 10, 200),
    "1 MB": (1, 1 << 18, 100),
    "64 MB": (1, 1 << 24, 3),
    "100 x 1 MB": (100, 1 << 18, 2),
    "10,000 x 64 B": (10_000, 16, 5),
}
REPEATS = 5


def work(only: str) -> dict[str, dict[str, float]]:
    """What a worker does: seconds for a round of each kind of work."""
    import psdist.kvstore

    results: dict[str, dict[str, float]] = {}
    with psdist.kvstore.create("dist_sync") as kv:
        for name, (num_keys, size, rounds) in WORK.items():
            if only and only not in name:
                continue
            keys = [f"{name}:{i}" for i in range(num_keys)]
            grads = [np.ones(size, np.float32) for _ in keys]
            outs = [np.empty(size, np.float32) for _ in keys]
            kv.init(keys, grads)

            def push_then_pull(keys: Any = keys, grads: Any = grads, outs: Any = outs) -> None:
                kv.push(keys, grads)
                kv.pull(keys, out=outs)

            def pushpull(keys: Any = keys, grads: Any = grads, outs: Any = outs) -> None:
                kv.pushpull(keys, grads, out=outs)

            results[name] = {
                "push+pull": _measure(kv.barrier, push_then_pull, rounds),
                "pushpull": _measure(kv.barrier, pushpull, rounds),
            }
            assert all((out == kv.num_workers).all() for out in outs)
    return results


def _measure(barrier: Callable[[], None], do: Callable[[], None], rounds: int) -> float:
    seconds = []
    for repeat in range(REPEATS + 1):
        barrier()
        start = time.perf_counter()
        for _ in range(rounds):
            do()
        if repeat:  # the first one touches fresh memory
            seconds.append((time.perf_counter() - start) / rounds)
    return statistics.median(seconds)


def _profiled(folder: str, name: str, do: Callable[[], Any]) -> Any:
    """Run `do` under cProfile, threads that it starts too."""
    if not folder:
        return do()
    profiles = [cProfile.Profile()]
    run = threading.Thread.run

    def run_profiled(thread: threading.Thread) -> None:
        profile = cProfile.Profile()
        profiles.append(profile)
        profile.runcall(run, thread)

    threading.Thread.run = run_profiled  # type: ignore[method-assign]
    try:
        return profiles[0].runcall(do)
    finally:
        for i, profile in enumerate(profiles):
            profile.dump_stats(Path(folder) / f"{name}-{i}.prof")


def _serve() -> int:
    from psdist_server.__main__ import main

    return main()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="", help="only work whose name has this in it")
    parser.add_argument("--profile", default="", metavar="DIR", help="write cProfile files there")
    parser.add_argument("--servers", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    role = os.environ.get("DMLC_ROLE", "")
    name = f"{role}-{os.environ.get('PSDIST_RANK', '')}"
    if role == "worker":
        results = _profiled(options.profile, name, lambda: work(options.only))
        sys.stdout.write(json.dumps(results) + "\n")
        return
    if role:
        sys.exit(_profiled(options.profile, name, _serve))
    _report(_run(options.workers, options.servers))


def _run(num_workers: int, num_servers: int) -> dict[str, dict[str, float]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = os.environ | {
        "DMLC_PS_ROOT_URI": "127.0.0.1",
        "DMLC_PS_ROOT_PORT": str(port),
        "DMLC_NUM_WORKER": str(num_workers),
        "DMLC_NUM_SERVER": str(num_servers),
        "OPENBLAS_NUM_THREADS": "1",
    }

    def start(role: str, rank: int) -> subprocess.Popen[str]:
        own = {"DMLC_ROLE": role, "PSDIST_RANK": str(rank)}
        err = None if role == "worker" else subprocess.DEVNULL
        return subprocess.Popen(
            [sys.executable, *sys.argv], env=env | own, stdout=subprocess.PIPE, stderr=err, text=True
        )

    processes = [start("scheduler", 0)]
    try:
        processes += [start("server", rank) for rank in range(num_servers)]
        workers = [start("worker", rank) for rank in range(num_workers)]
        processes += workers
        results = [json.loads(worker.communicate(timeout=600)[0]) for worker in workers]
    finally:
        for process in processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    return dict(results[0])


def _report(results: dict[str, dict[str, float]]) -> None:
    for name, seconds in results.items():
        num_keys, size, _ = WORK[name]
        nbytes = 2 * 4 * num_keys * size
        columns = [
            f"{way} {s * 1e6:9.0f} us {nbytes / s / 1e9:5.2f} GB/s {s / num_keys * 1e6:8.1f} us/key"
            for way, s in seconds.items()
        ]
        sys.stdout.write(f"{name:14s} {'    '.join(columns)}\n")


if __name__ == "__main__":
    main()

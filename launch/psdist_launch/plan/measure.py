"""What the worker of `psdist plan --calibrate` runs: `python -m psdist_launch.plan.measure FILE SECONDS`

One worker and one server exchange arrays, each way for some seconds, and the processor time of each of their
threads is read: what a thread costs depends little on who else uses the machine, as elapsed time does. What remains
of that, others' share of caches and memory, is kept small by taking the lower quartile of many short windows.
Linux only.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

import psdist as mx
from psdist.errors import ConfigError
from psdist.settings import Settings

__all__ = ["BYTES", "SMALL_KEYS", "main"]

BYTES: Final = (256 << 10, 1 << 20)  # of keys: each is a message of its own
_TOGETHER: Final = 24 << 20  # bytes of keys in a call
SMALL_KEYS: Final = 8192  # of 64 bytes, in a list
_WINDOW_S: Final = 0.1
_TICK_S: Final = 1.0 / os.sysconf("SC_CLK_TCK")


def main() -> None:
    file, seconds = sys.argv[1], float(sys.argv[2])
    measured: dict[str, Any] = {"verbs": []}
    with mx.kv.create("dist_sync") as kv:
        server = next(_servers_of(Settings.read().job))
        for nbytes in BYTES:
            keys, grads, outs = _arrays(kv, nbytes, _TOGETHER // nbytes)
            for verb, do in {
                "push": partial(kv.push, keys, grads),
                "pull": partial(kv.pull, keys, out=outs),
                "pushpull": partial(kv.pushpull, keys, grads, out=outs),
            }.items():
                costs = _measure(do, partial(kv.pull, keys[0], out=outs[0]), server, seconds)
                measured["verbs"].append([verb, nbytes, {t: cost / len(keys) for t, cost in costs.items()}])
        keys, grads, outs = _arrays(kv, 64, SMALL_KEYS)
        costs = _measure(partial(kv.pushpull, keys, grads, out=outs), lambda: None, server, seconds)
        measured["keys"] = {t: cost / SMALL_KEYS for t, cost in costs.items()}
        one, out = np.ones(256, np.float32), np.empty(256, np.float32)
        kv.init("one", one)
        trips = []
        for _ in range(500):
            began = time.perf_counter()
            kv.pushpull("one", one, out=out)
            trips.append(time.perf_counter() - began)
        measured["trip"] = statistics.quantiles(trips, n=4)[0]
    Path(file).write_text(json.dumps(measured))


def _arrays(kv: Any, nbytes: int, num: int) -> tuple[list[str], list[Any], list[Any]]:
    keys = [f"{nbytes}:{i}" for i in range(num)]
    grads = [np.ones(nbytes // 4, np.float32) for _ in keys]
    outs = [np.empty(nbytes // 4, np.float32) for _ in keys]
    kv.init(keys, grads)
    return keys, grads, outs


def _measure(
    do: Callable[[], object], settle: Callable[[], object], server: int, seconds: float
) -> dict[str, float]:
    """Processor seconds of each thread in a call of `do`. `settle` waits for what it has left behind."""
    for _ in range(3):
        do()
    settle()
    windows: list[dict[str, float]] = []
    loop_before, all_before = _ticks(server)
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        before, calls = _times(server), 0
        window = time.perf_counter() + _WINDOW_S
        while time.perf_counter() < window or not calls:
            do()
            calls += 1
        settle()
        windows.append({t: (after - before[t]) / calls for t, after in _times(server).items()})
    costs = {t: sorted(w[t] for w in windows)[len(windows) // 4] for t in windows[0]}
    # of another process's threads only hundredths of a second are known: its whole is shared out by them
    loop, all_ = _ticks(server)
    whole = costs.pop("server")
    share = (loop - loop_before) / max(1, all_ - all_before)
    return costs | {"loop": whole * share, "server net": whole * (1 - share)}


def _servers_of(job: str) -> Iterator[int]:
    """The process ids of this job's servers. Raises ConfigError where there is no /proc."""
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except OSError as e:
        raise ConfigError(f"what threads cost is read from /proc, and it cannot be read: {e}") from None
    for pid in pids:
        try:
            environ = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"PSDIST_JOB={job}".encode() in environ and b"DMLC_ROLE=server" in environ:
            yield pid


def _times(server: int) -> dict[str, float]:
    """Processor seconds of each of this process's threads, and of the server's process, so far."""
    times = dict.fromkeys(("script", "io", "net", "server"), 0.0)
    io = {thread.native_id for thread in threading.enumerate() if thread.name == "psdist-worker-io"}
    for tid in map(int, os.listdir("/proc/self/task")):
        thread = "script" if tid == os.getpid() else "io" if tid in io else "net"
        times[thread] += time.clock_gettime(~tid << 3 | 6)  # Linux's number for the clock of a thread
    times["server"] = time.clock_gettime(~server << 3 | 2)  # and of a process
    return times


def _ticks(server: int) -> tuple[int, int]:
    """Ticks of a server's first thread, and of all, so far."""
    ticks = {}
    for tid in os.listdir(f"/proc/{server}/task"):
        fields = Path(f"/proc/{server}/task/{tid}/stat").read_text().rpartition(")")[2].split()
        ticks[int(tid)] = int(fields[11]) + int(fields[12])
    return ticks[server], sum(ticks.values())


if __name__ == "__main__":
    main()

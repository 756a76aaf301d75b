"""What safety costs, and how long recovery takes: `python bench/resilience.py`, all sides in one run.

Throughput of two workers and two servers with SGD and momentum: plain, with a copy of each shard, with snapshots.
Recovery: from kill -9 to the next round that is done, of a server with a copy and of an elastic worker, at
default settings, with the launcher that notices the death.
"""

from __future__ import annotations

import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

WORKER = """
import os, sys, time
import psdist as mx
from psdist import nd
what, num = sys.argv[1], int(sys.argv[2])
kv = mx.kv.create("dist_sync")
shape = (512, 512)
keys = [str(i) for i in range(8)]
for key in keys:
    kv.init(key, nd.zeros(shape))
kv.set_optimizer(mx.optimizer.SGD(learning_rate=0.1, momentum=0.9))
outs, grads = [nd.zeros(shape) for _ in keys], [nd.ones(shape) for _ in keys]
for step in range(kv.begins_at, num):
    if step == 10:
        begin = time.monotonic()
    kv.pushpull(keys, grads, out=outs)
    if what == "recovery" and kv.rank == 0:
        print("step", step, time.monotonic(), flush=True)
if what == "speed" and kv.rank == 0:
    print("speed", (num - 10) * len(keys) * 2 * 512 * 512 * 4 / (time.monotonic() - begin) / 1e9, flush=True)
kv.close()
"""


def launch(*options: str, program: tuple[str, ...]) -> list[str]:
    run = [sys.executable, "-m", "psdist_launch.cli", "run", "-n", "2", "-s", "2", *options, "--"]
    return [*run, "python", "-c", WORKER, *program]


def speed(*options: str) -> float:
    """Gigabytes a second, pushed and pulled, of one worker."""
    out = subprocess.run(
        launch(*options, program=("speed", "110")),
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    found = re.search(rb"speed ([\d.]+)", out.stdout)
    assert found, out.stdout
    return float(found[1])


def recovery(role: str, *options: str) -> float:
    """Seconds from kill -9 of server 1 or worker 1 to the next round that is done."""
    with subprocess.Popen(
        launch(*options, program=("recovery", "400")),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as job:
        assert job.stdout is not None
        killed_at = 0.0
        longest = 0.0
        before = None
        for line in job.stdout:
            if not (found := re.search(r"step (\d+) ([\d.]+)", line)):
                continue
            step, now = int(found[1]), float(found[2])
            if step == 30:
                os.kill(process_of(job.pid, role), signal.SIGKILL)
                killed_at = time.monotonic()
            if killed_at and before is not None:
                longest = max(longest, now - max(before, killed_at))
            before = now
        assert job.wait() == 0, f"the job ended with {job.returncode}"
    return longest


def process_of(launcher: int, role: str) -> int:
    """The process of server 1 or worker 1 below the launcher."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                env = file.read().split(b"\0")
            with open(f"/proc/{name}/stat") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == launcher and f"DMLC_ROLE={role}".encode() in env and b"PSDIST_RANK=1" in env:
            return int(name)
    raise AssertionError(f"no {role} 1 is there")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        sides = {
            "plain": (),
            "--replicas 1": ("--replicas", "1"),
            "--snapshot-every 20": ("--snapshot-dir", folder, "--snapshot-every", "20"),
        }
        speeds: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(3):
            for name, options in sides.items():
                speeds[name].append(speed(*options))
    plain = statistics.median(speeds["plain"])
    for name, figures in speeds.items():
        middle = statistics.median(figures)
        print(f"{name:22} {middle:6.2f} GB/s per worker   {middle / plain:4.2f} of plain", flush=True)
    for role, options in (("server", ("--replicas", "1")), ("worker", ("--elastic", "1:2"))):
        times = sorted(recovery(role, *options) for _ in range(5))
        print(f"recovery of a {role}:    p50 {times[2]:5.2f} s   max {times[-1]:5.2f} s", flush=True)


if __name__ == "__main__":
    main()

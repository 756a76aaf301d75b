"""What it costs to lose nothing: throughput with a replica, with snapshots, with both, as a ratio to that without.

    python bench/durability_cost.py               the table, as Markdown: median of 5, all in one run
    python bench/durability_cost.py --out docs    also docs/durability-cost.md

2 workers and 2 servers on one machine push and pull 16 keys of 1 MB (SGD with momentum on the servers). The ways
take turns, and so do the repeats, so that what else the machine does hits all alike.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_KEYS, _SIZE = 16, 1 << 18
_SNAPSHOTS = ("--snapshot-every", "25")
WAYS: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "`--replicas 1`": ("--replicas", "1"),
    "`--snapshot-every 25`": ("--snapshot-dir", "DIR", *_SNAPSHOTS),
    "both": ("--replicas", "1", "--snapshot-dir", "DIR", *_SNAPSHOTS),
    "`--ack on-disk`, and its snapshots": ("--ack", "on-disk", "--snapshot-dir", "DIR", *_SNAPSHOTS),
}


def work(num_rounds: int, busy_s: float) -> None:
    """A worker: seconds for the rounds, after some to warm up."""
    import numpy as np

    import psdist as mx

    with mx.kv.create("dist_sync") as kv:
        keys = [f"w{i}" for i in range(_KEYS)]
        grads = [np.ones(_SIZE, np.float32) for _ in keys]
        outs = [np.empty(_SIZE, np.float32) for _ in keys]
        kv.init(keys, grads)
        kv.set_optimizer(mx.optimizer.SGD(learning_rate=0.01, momentum=0.9))
        for step in range(10 + num_rounds):
            if step == 10:
                kv.barrier()
                began = time.perf_counter()
            until = time.perf_counter() + busy_s
            while time.perf_counter() < until:  # computing the gradients
                pass
            kv.push(keys, grads)
            kv.pull(keys, out=outs)
        seconds = time.perf_counter() - began
        if kv.rank == 0:
            print(f"TOOK {seconds / num_rounds}", flush=True)


def measure(way: tuple[str, ...], num_rounds: int, busy_s: float) -> float:
    """Seconds for a round."""
    with tempfile.TemporaryDirectory() as folder:
        options = [folder if option == "DIR" else option for option in way]
        script = [sys.executable, __file__, "--work", "--rounds", str(num_rounds), "--busy", str(busy_s)]
        done = subprocess.run(
            [sys.executable, "-m", "psdist_launch.cli", "run", "-n", "2", "-s", "2", *options, "--", *script],
            capture_output=True,
            text=True,
        )
    found = re.search(r"TOOK (\S+)", done.stdout)
    if done.returncode or found is None:
        raise SystemExit(done.stdout + done.stderr)
    return float(found.group(1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=120)
    parser.add_argument("--busy", type=float, default=0.1, help="seconds of computing in a training round")
    parser.add_argument("--out", type=Path, help="a folder for durability-cost.md")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.rounds, options.busy)
        return
    loads = {"nothing but pushing and pulling": 0.0, f"{options.busy:g} s of computing a round": options.busy}
    took: dict[str, dict[str, list[float]]] = {load: {way: [] for way in WAYS} for load in loads}
    for _ in range(options.repeats):
        for load, busy_s in loads.items():
            for way, args in WAYS.items():
                num_rounds = options.rounds if not busy_s else options.rounds // 2
                took[load][way].append(measure(args, num_rounds, busy_s))
                sys.stderr.write(f"{load}, {way}: {took[load][way][-1] * 1e3:.1f} ms a round\n")
    text = table(took)
    sys.stdout.write(text)
    if options.out is not None:
        (options.out / "durability-cost.md").write_text(page(text, options.repeats))


def table(took: dict[str, dict[str, list[float]]]) -> str:
    """Throughput as a ratio to that of the first way."""
    lines = [f"| with | {' | '.join(took)} |", f"|--|{'--|' * len(took)}"]
    for way in WAYS:
        cells = []
        for seconds in took.values():
            # within each repeat, since what else the machine does changes from one to the next
            ratio = statistics.median(a / b for a, b in zip(seconds["nothing"], seconds[way], strict=True))
            cells.append(f"{ratio:.2f} ({statistics.median(seconds[way]) * 1e3:.0f} ms a round)")
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def page(text: str, num: int) -> str:
    nbytes = _KEYS * _SIZE * 4 / 1e6
    machine = f"{os.cpu_count()} cores (load {os.getloadavg()[0]:.1f} at the end)"
    return f"""# What durability costs

Throughput as a ratio to that without, all in one run, median of {num} repeats' ratios.
2 workers and 2 servers on one machine with {machine}, {_KEYS} keys of 1 MB
({nbytes:.0f} MB pushed and pulled by each worker in a round), SGD with momentum on the servers.
Made by `python bench/durability_cost.py --out docs`.

{text}
A replica gets the sum of each round and applies it again, which is the servers' work once more; on one machine that
work competes with the workers for the same cores, on several it does not. A snapshot is written by a thread beside
the training; what is seen of it is the disk's and the digests' share of the cores. A log gets the sum of each round, and a
round's replies wait until the disk has synced it: that costs what the disk costs. On a machine that does other work,
too, differences of 0.1 mean nothing.
"""


if __name__ == "__main__":
    main()

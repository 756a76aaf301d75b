"""How much of the exchange is hidden under computing: a network of 10 million parameters, 2 workers, 1 server.

    python bench/overlap.py [--batch 128] [--laps 5] [--write docs/overlap.md]

In one job, in turn: steps whose gradients leave while earlier layers are computed (as `Module.fit` trains), steps that
exchange everything after the way back, and steps that exchange nothing. What takes the difference of the last two is
communication; hidden is the share of it that the first kind does not show.

Communication on one machine is work for its processors. Where the workers are as many as the cores, computing leaves none of
them idle, so that the exchange's processor time stays visible, spread over the cores at best: no more than the rest of
communication, which is waiting, can be hidden.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import figures
import numpy as np

WIDTHS = (784, 2048, 2048, 2048, 10)
STEPS = 5  # of each kind in a lap
WAYS: dict[str, dict[str, str]] = {"memory": {}, "TCP": {"PSDIST_SHM_BYTES": "0"}}


def work(file: str, batch: int, laps: int) -> None:
    """A worker. Rank 0 leaves in `file`: by kind, the seconds of each step, and the job's processor time of one."""
    import psdist as mx

    kv = mx.kv.create("dist_sync")
    x = mx.sym.Variable("data")
    for i, width in enumerate(WIDTHS[1:]):
        x = mx.sym.FullyConnected(x, num_hidden=width, name=f"fc{i}")
        x = mx.sym.Activation(x, act_type="relu") if i < len(WIDTHS) - 2 else x
    mod = mx.mod.Module(mx.sym.SoftmaxOutput(x, name="softmax"))
    mod.bind([("data", (batch, WIDTHS[0]))], [("softmax_label", (batch,))])
    mod.init_params(mx.init.Xavier())
    mod.init_optimizer(kvstore=kv, optimizer_params={"learning_rate": 0.01, "rescale_grad": 1 / (2 * batch)})
    random = np.random.RandomState(kv.rank)
    data = mx.nd.array(random.rand(batch, WIDTHS[0]))
    label = mx.nd.array(random.randint(0, 10, batch))
    one = mx.io.DataBatch([data], [label])

    def apart() -> None:
        mod.forward_backward(one)
        mod.update()

    kinds: dict[str, Any] = {
        "overlapped": lambda: mod._train_on(one),
        "apart": apart,
        "computing": lambda: mod.forward_backward(one),
    }
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    spent: dict[str, float] = dict.fromkeys(kinds, 0.0)
    for step in kinds.values():
        step()
    for _ in range(laps):
        for kind, step in kinds.items():
            kv.barrier()
            before = job_seconds()
            for i in range(STEPS):
                kv.barrier()
                began = time.perf_counter()
                step()
                if i:
                    seconds[kind].append(time.perf_counter() - began)
            kv.barrier()
            spent[kind] += (job_seconds() - before) / (STEPS * laps)
    if kv.rank == 0:
        Path(file).write_text(json.dumps([seconds, spent]))
    mod.close()
    kv.close()


def job_seconds() -> float:
    """The processor time that the job's workers and servers have taken so far."""
    ticks = 0
    own = f"PSDIST_JOB={os.environ['PSDIST_JOB']}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            variables = (process / "environ").read_bytes().split(b"\0")
            if own in variables and (b"DMLC_ROLE=worker" in variables or b"DMLC_ROLE=server" in variables):
                ticks += sum(map(int, (process / "stat").read_text().rpartition(")")[2].split()[11:13]))
        except OSError:  # it has ended, or is another user's
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(variables: dict[str, str], batch: int, laps: int) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of a step of each kind, and processor time."""
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder, "seconds.json"))
        run = [sys.executable, "-m", "psdist_launch.cli", "run", "-n", "2", "-s", "1", "--"]
        own = [sys.executable, __file__, "--batch", str(batch), "--laps", str(laps), "--work", file]
        done = subprocess.run([*run, *own], env=os.environ | variables, capture_output=True, timeout=280)
        if done.returncode:
            raise SystemExit(done.stderr.decode())
        found, spent = json.loads(Path(file).read_text())
    return {kind: statistics.median(seconds) for kind, seconds in found.items()}, spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--laps", type=int, default=5)
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="put the table between the marks of this page"
    )
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.batch, options.laps)
        return
    load = figures.load()
    size = sum(a * b + b for a, b in pairwise(WIDTHS))
    lines = [
        "| over | computing | exchanged after | while computing | communication | hidden of it | wanted "
        "| processor time of computing | of the exchange | could be hidden |",
        "|--|--|--|--|--|--|--|--|--|--|",
    ]
    for way, variables in WAYS.items():
        s, spent = measure(variables, options.batch, options.laps)
        cores = min(2, len(os.sched_getaffinity(0)))  # that two workers fill
        work_s = spent["apart"] - spent["computing"]
        talking = s["apart"] - s["computing"]
        hidden = (s["apart"] - s["overlapped"]) / talking
        most = 1 - min(1.0, work_s / cores / talking)
        figures_ = [f"{1e3 * s[kind]:.1f} ms" for kind in ("computing", "apart", "overlapped")]
        lines.append(
            f"| {way} | {' | '.join(figures_)} | {1e3 * talking:.1f} ms | {hidden:.0%} | 80% | "
            f"{1e3 * spent['computing']:.0f} ms | {1e3 * work_s:.0f} ms | {most:.0%} |"
        )
    text = (
        "\n".join(lines)
        + f"\n\n{size:,} parameters, batches of {options.batch} a worker, 2 workers, 1 server. {load}\n"
    )
    print(text)
    if options.write:
        figures.put(options.write, text)


if __name__ == "__main__":
    main()

"""How much of the exchange is hidden under computing: a network of 10 million parameters, 2 workers, 1 server.

    python bench/overlap.py [--batch 128] [--laps 5] [--write docs/overlap.md]

In one job, in turn: steps whose gradients leave while earlier layers are computed (as `Module.fit` trains), steps that
exchange everything after the way back, and steps that exchange nothing. What takes the difference of the last two is
communication; hidden is the share of it that the first kind does not show.
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
    """A worker. Rank 0 leaves in `file`: by kind, the seconds of each step."""
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
    for step in kinds.values():
        step()
    for _ in range(laps):
        for kind, step in kinds.items():
            for i in range(STEPS):
                kv.barrier()
                began = time.perf_counter()
                step()
                if i:
                    seconds[kind].append(time.perf_counter() - began)
    if kv.rank == 0:
        Path(file).write_text(json.dumps(seconds))
    mod.close()
    kv.close()


def measure(variables: dict[str, str], batch: int, laps: int) -> dict[str, float]:
    """Seconds of a step of each kind."""
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder, "seconds.json"))
        run = [sys.executable, "-m", "psdist_launch.cli", "run", "-n", "2", "-s", "1", "--"]
        own = [sys.executable, __file__, "--batch", str(batch), "--laps", str(laps), "--work", file]
        done = subprocess.run([*run, *own], env=os.environ | variables, capture_output=True, timeout=280)
        if done.returncode:
            raise SystemExit(done.stderr.decode())
        found = json.loads(Path(file).read_text())
    return {kind: statistics.median(seconds) for kind, seconds in found.items()}


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
        "| over | computing | exchanged after | while computing | communication | hidden of it | wanted |",
        "|--|--|--|--|--|--|--|",
    ]
    for way, variables in WAYS.items():
        s = measure(variables, options.batch, options.laps)
        talking = s["apart"] - s["computing"]
        hidden = (s["apart"] - s["overlapped"]) / talking
        figures_ = [f"{1e3 * s[kind]:.1f} ms" for kind in ("computing", "apart", "overlapped")]
        lines.append(f"| {way} | {' | '.join(figures_)} | {1e3 * talking:.1f} ms | {hidden:.0%} | 80% |")
    text = (
        "\n".join(lines)
        + f"\n\n{size:,} parameters, batches of {options.batch} a worker, 2 workers, 1 server. {load}\n"
    )
    print(text)
    if options.write:
        figures.put(options.write, text)


if __name__ == "__main__":
    main()

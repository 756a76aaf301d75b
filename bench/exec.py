"""How fast psdist computes, without and with its compiler: every row beside MXNet, torch and JAX, in one run.

    python bench/exec.py --mxnet PATH/python --peers PATH/python      (also PSDIST_BENCH_MXNET, PSDIST_BENCH_PEERS)
    python bench/exec.py --only LeNet --threads 1 --no-write

The sides are processes of their own interpreters; for every row each is asked in turn, five times over, so that what
else the machine does meets all alike. The median is shown, and by how much psdist is faster. Writes
docs/bench-exec.md and a plot beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent / "docs"
OWN = ("psdist", "psdist [jit]")
PEERS = ("MXNet", "torch", "torch channels-last", "JAX")

# row -> targets by peer: peer's time / psdist's time, at one thread
ROWS: dict[str, dict[str, float]] = {
    "imperative operator, 1 element": {"MXNet": 25, "torch": 1.5},
    "recorded operator + backward, 1 element": {"MXNet": 12, "torch": 2},
    "symbolic plan, per tiny node": {"MXNet": 4},
    "chain of elementwise operators, 1 M": {"MXNet": 8, "torch": 5, "JAX": 0.95},
    "chain of elementwise operators, 10 M": {"MXNet": 8, "torch": 5, "JAX": 0.95},
    "the same chain, imperative, 1 M": {},
    "MLP 784-512-256-10, Module.fit step": {"MXNet": 1.5, "torch": 1.0},
    "LeNet 28×28 batch 64, step": {"MXNet": 1.1, "torch": 1.3, "torch channels-last": 1.0},
    "convolution 3×3 64→64 32×32 batch 16, forward + backward": {"MXNet": 1.2, "torch channels-last": 1.1},
    "LSTM 256 hidden, 35 steps, batch 32, step": {"MXNet": 1.0, "torch": 1.0},
    "SGD momentum, 10 M": {"MXNet": 1.5, "torch": 0.75},
    "Adam, 10 M": {"MXNet": 1.5, "torch": 0.5},
}
WITH_JIT: dict[str, dict[str, float]] = {
    "chain of elementwise operators, 1 M": {"JAX": 2},
    "chain of elementwise operators, 10 M": {"JAX": 2},
    "SGD momentum, 10 M": {"torch": 1},
    "Adam, 10 M": {"torch": 1},
}
LENET = "LeNet 28×28 batch 64, step"


class Side:
    """A process that does one side's work when asked."""

    def __init__(self, name: str, python: str, threads: int, clock: str) -> None:
        env = os.environ | dict.fromkeys(
            ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads)
        )
        env["XLA_FLAGS"] = (
            f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'} intra_op_parallelism_threads={threads}"
        )
        env["MXNET_CPU_WORKER_NTHREADS"] = "1"
        env["PSDIST_JIT"] = "1" if name == "psdist [jit]" else "0"
        command = [python, str(HERE / "exec_sides.py"), name, clock]
        self.name = name
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=env,
        )

    def begin(self, row: str) -> None:
        """Have a row measured once; `end` gives the answer."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(row + "\n")
            self._process.stdin.flush()

    def end(self) -> dict[str, Any]:
        """What `begin` asked for."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line else {"missing": f"exited with {self._process.wait()}"}

    def ask(self, row: str) -> dict[str, Any]:
        """One measurement of a row."""
        self.begin(row)
        return self.end()

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(30)


@dataclass
class Result:
    """Seconds by side of one row with some threads."""

    row: str
    threads: int
    seconds: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def ratio(self, side: str, own: str = "psdist") -> float | None:
        """By how much psdist is faster."""
        if side not in self.seconds or own not in self.seconds:
            return None
        return self.seconds[side] / self.seconds[own]


@contextmanager
def started(pythons: dict[str, str], threads: int, clock: str) -> Iterator[list[Side]]:
    """The sides' processes, ended in any case."""
    with ExitStack() as stack:
        sides = []
        for name, python in pythons.items():
            sides.append(Side(name, python, threads, clock))
            stack.callback(sides[-1].close)
        yield sides


def measured(row: str, sides: list[Side], threads: int, repeats: int) -> Result:
    """The sides in turn, `repeats` times over."""
    times: dict[str, list[float]] = {}
    result = Result(row, threads)
    for _ in range(repeats + 1):  # the first round prepares
        for side in sides:
            if side.name in result.missing:
                continue
            answer = side.ask(row)
            if "missing" in answer:
                result.missing[side.name] = answer["missing"]
            else:
                times.setdefault(side.name, []).append(answer["seconds"])
    result.seconds = {name: statistics.median(found[1:]) for name, found in times.items()}
    return result


def together(pythons: dict[str, str], repeats: int) -> dict[tuple[str, int], float]:
    """LeNet in one and in two processes of one thread at once: images a second of all, by side and processes."""
    names = [n for n in (*OWN, "torch", "torch channels-last") if n in pythons]
    rates: dict[tuple[str, int], list[float]] = {}
    with ExitStack() as stack:
        sides: dict[str, list[Side]] = {}
        for name in names:
            for _ in range(2):
                side = Side(name, pythons[name], 1, "wall")
                stack.callback(side.close)
                sides.setdefault(name, []).append(side)
        for again in range(repeats + 1):  # the first round prepares
            for name in names:
                for count in (2, 1):
                    for side in sides[name][:count]:
                        side.begin(LENET)
                    answers = [side.end() for side in sides[name][:count]]
                    if again and all("seconds" in a for a in answers):
                        rates.setdefault((name, count), []).append(sum(64 / a["seconds"] for a in answers))
    return {key: statistics.median(found) for key, found in rates.items()}


def pairs(found: dict[tuple[str, int], float]) -> list[str]:
    """What `together` found, in Markdown. A ratio in bold misses its target."""
    lines = ["## Two processes of one thread, LeNet, images a second", ""]
    lines += [
        "| side | one process | two at once | two over one | psdist's two over these |",
        "|--" * 5 + "|",
    ]
    for name in dict.fromkeys(n for n, _ in found):
        if (name, 1) not in found or (name, 2) not in found or ("psdist", 2) not in found:
            continue
        scale, over = found[name, 2] / found[name, 1], found["psdist", 2] / found[name, 2]
        scaled = f"{scale:.2f} ×"
        if name == "psdist":
            scaled = f"{scaled if scale >= 1.8 else f'**{scaled}**'} (≥ 1.8)"
        shown = "–"
        if name not in OWN:
            shown = f"{over:.2f} ×" if over >= 1 else f"**{over:.2f} ×**"
            shown += " (≥ 1)"
        lines.append(f"| {name} | {found[name, 1]:,.0f} | {found[name, 2]:,.0f} | {scaled} | {shown} |")
    return [*lines, ""]


def memory_and_bind() -> list[str]:
    """The two rows that are psdist's alone."""
    sys.path.insert(0, str(HERE.parent))
    import psdist as mx

    def unit(x: Any, n: int, stride: int, is_same: bool) -> Any:
        y = x
        for k, (size, channels) in enumerate(((1, n // 4), (3, n // 4), (1, n))):
            step = stride if k == 0 else 1
            y = mx.sym.Convolution(
                y,
                kernel=(size, size),
                pad=(size // 2,) * 2,
                stride=(step, step),
                num_filter=channels,
                no_bias=True,
            )
            y = mx.sym.BatchNorm(y, fix_gamma=False)
            y = mx.sym.Activation(y, act_type="relu") if k < 2 else y
        if not is_same:
            x = mx.sym.BatchNorm(
                mx.sym.Convolution(x, kernel=(1, 1), stride=(stride, stride), num_filter=n, no_bias=True)
            )
        return mx.sym.Activation(x + y, act_type="relu")

    x = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(7, 7), stride=(2, 2), pad=(3, 3), num_filter=64)
    x = mx.sym.Pooling(
        mx.sym.Activation(x, act_type="relu"), kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="max"
    )
    for stage, (count, channels) in enumerate(((3, 256), (4, 512), (6, 1024), (3, 2048))):
        for k in range(count):
            x = unit(x, channels, 2 if k == 0 and stage else 1, k > 0)
    x = mx.sym.Pooling(x, global_pool=True, kernel=(7, 7), pool_type="avg")
    resnet = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(mx.sym.Flatten(x), num_hidden=1000), name="softmax")
    seconds = []
    for compiled in "01":  # the second time with the compiler, if it is installed
        os.environ["PSDIST_JIT"] = compiled
        start = time.process_time()
        plan = resnet.simple_bind(mx.cpu(), data=(1, 3, 64, 64))._plan(True)
        seconds.append(time.process_time() - start)

    x = mx.sym.Variable("data")
    for n in (20, 50):
        x = mx.sym.Activation(mx.sym.Convolution(x, kernel=(5, 5), num_filter=n), act_type="relu")
        x = mx.sym.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max")
    x = mx.sym.Activation(mx.sym.FullyConnected(mx.sym.Flatten(x), num_hidden=500), act_type="relu")
    lenet = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(x, num_hidden=10), name="softmax")
    memory = lenet.simple_bind(mx.cpu(), data=(64, 1, 28, 28))._plan(True).memory
    return [
        f"`bind` of ResNet-50 (training plan, {len(plan.program.steps)} operators): {seconds[0]:.2f} s, target 0.5 s; "
        f"with [jit] {seconds[1]:.2f} s, compiling included",
        f"memory of LeNet's training plan: {memory.size / 2**20:.1f} MB, {memory.size / memory.unshared:.2f} of its "
        "intermediates' sum, target 0.6",
    ]


def duration(seconds: float) -> str:
    """A time with three figures."""
    scale, name = next((u for u in ((1, "s"), (1e3, "ms")) if seconds * u[0] >= 1), (1e6, "µs"))
    return f"{seconds * scale:.3g} {name}"


def table(results: list[Result]) -> list[str]:
    """The results in Markdown. A ratio in bold misses its target."""
    lines = []
    for threads in sorted({r.threads for r in results}):
        lines += [f"## {threads} thread{'s' if threads > 1 else ''}", ""]
        lines += [f"| work | {' | '.join((*OWN, *PEERS))} |", "|--" * (3 + len(PEERS)) + "|"]
        for r in results:
            if r.threads != threads:
                continue
            cells = [r.row, *(duration(r.seconds[own]) if own in r.seconds else "–" for own in OWN)]
            for side in PEERS:
                parts = []
                for own, targets in zip(OWN, (ROWS, WITH_JIT), strict=True):
                    ratio = r.ratio(side, own)
                    target = targets.get(r.row, {}).get(side) if threads == 1 else None
                    if ratio is None or (
                        own != "psdist" and target is None and ratio < 1.04 * (r.ratio(side) or 0)
                    ):
                        continue  # the compiler changes nothing there
                    shown = f"{ratio:.3g} ×"
                    shown = f"**{shown}**" if target and ratio < target else shown
                    shown += f" (≥ {target:g})" if target else ""
                    parts.append(shown if own == "psdist" else f"jit {shown}")
                cells.append(f"{duration(r.seconds[side])} {', '.join(parts)}" if parts else "–")
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return lines


def plot(results: list[Result], path: Path) -> None:
    """Ratios at one thread, on a logarithmic axis."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    own = [r for r in results if r.threads == min(x.threads for x in results)]
    figure, axes = pyplot.subplots(figsize=(9, 0.55 * len(own) + 1.5))
    for k, side in enumerate(PEERS):
        at = [(i + 0.18 * (k - 1.5), r.ratio(side)) for i, r in enumerate(own)]
        at = [(y, x) for y, x in at if x]
        axes.barh([y for y, _ in at], [x - 1 for _, x in at], 0.17, left=1, label=side)
        compiled = [(i + 0.18 * (k - 1.5), r.ratio(side, OWN[1]), r.ratio(side)) for i, r in enumerate(own)]
        faster = [(y, x) for y, x, plain in compiled if x and plain and x > 1.1 * plain]
        label = "the same with [jit]" if k == 0 else None
        axes.plot([x for _, x in faster], [y for y, _ in faster], "k>", markersize=4, label=label)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yticks(range(len(own)), [r.row.split(", forward")[0] for r in own])
    axes.invert_yaxis()
    axes.set_xlabel("time of the other / time of psdist: right of 1, psdist is faster")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--mxnet", default=os.environ.get("PSDIST_BENCH_MXNET", ""), help="an interpreter that has MXNet"
    )
    parser.add_argument(
        "--peers", default=os.environ.get("PSDIST_BENCH_PEERS", ""), help="an interpreter that has torch, JAX"
    )
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--clock", choices=["wall", "cpu"], default="wall", help="cpu on a machine that others use"
    )
    parser.add_argument("--no-write", action="store_true", help="leave docs/ alone")
    options = parser.parse_args()
    pythons = dict.fromkeys(OWN, sys.executable)
    if options.mxnet:
        pythons["MXNet"] = options.mxnet
    for side in PEERS[1:]:
        pythons[side] = options.peers or sys.executable
    rows = [row for row in ROWS if options.only.lower() in row.lower()]
    results: list[Result] = []
    for threads in options.threads:
        with started(pythons, threads, options.clock) as sides:
            for row in rows:
                result = measured(row, sides, threads, options.repeats)
                results.append(result)
                shown = [
                    f"{side} {duration(s)} ({s / result.seconds['psdist']:.2f})"
                    for side, s in result.seconds.items()
                    if "psdist" in result.seconds
                ]
                print(f"{threads} thread(s)  {row}: {', '.join(shown)}", flush=True)
                for side, why in result.missing.items():
                    if why != "not a row of this side":
                        print(f"    {side}: {why}")
    if options.no_write:
        return 0
    extra = memory_and_bind()
    pair: list[str] = []
    if options.clock == "wall":  # beside other work, two processes at once say nothing
        pair = pairs(together(pythons, options.repeats))
    chain, same = (
        next((r for r in results if r.row == name), None)
        for name in ("chain of elementwise operators, 1 M", "the same chain, imperative, 1 M")
    )
    if chain and same and "psdist" in chain.seconds and "psdist" in same.seconds:
        over = [
            f"{same.seconds['psdist'] / chain.seconds[own]:.2f} × ({own})"
            for own in OWN
            if own in chain.seconds
        ]
        extra.append(f"the chain of 1 M, symbolic over imperative: {', '.join(over)}, target 2")
    write(results, pair, extra, options.clock)
    return 0


def write(results: list[Result], pair: list[str], extra: list[str], clock: str) -> None:
    """docs/bench-exec.md and its plot."""
    page = [
        "# Execution beside MXNet, torch and JAX",
        "",
        "Written by `make bench-exec` (`bench/exec.py`): all sides in one run, asked in turn, median of at least 5, "
        f"{'wall-clock time' if clock == 'wall' else 'CPU time of the process, on a machine that others used'}. "
        f"Python {platform.python_version()}, NumPy {np.__version__}, {os.cpu_count()} cores.",
        "A ratio is the other's time over psdist's: above 1 psdist is faster. In brackets the target; bold is below it. "
        "`[jit]` is psdist with llvmlite installed, and its ratios are shown where they have a target or differ.",
        "",
        "![ratios](bench-exec.png)",
        "",
        *table(results),
        *pair,
        "## Others",
        "",
        *(f"- {line}" for line in extra),
        "",
    ]
    notes = HERE / "exec_notes.md"
    if notes.exists():
        page.append(notes.read_text(encoding="utf-8"))
    (DOCS / "bench-exec.md").write_text("\n".join(page), encoding="utf-8")
    plot(results, DOCS / "bench-exec.png")
    print("\n".join([*pair, *extra]))


if __name__ == "__main__":
    sys.exit(main())

"""`psdist bench`: start the job, read what worker 0 has measured, tell it as tables and a picture."""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from psdist.errors import ConfigError

from .works import PROFILED, WORKS, Work

__all__ = ["Launch", "add_arguments", "run"]

Launch = Callable[[argparse.Namespace, tuple[str, ...], Mapping[str, str]], int]
Rounds = dict[str, list[tuple[float, float]]]

_VARIABLES = {"memory": {}, "TCP": {"PSDIST_SHM_BYTES": "0"}}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command, beside the numbers of workers and servers."""
    parser.add_argument(
        "--profile", action="store_true", help="name where a round's time goes: serialise, wire, reduce, ..."
    )
    parser.add_argument(
        "--over",
        choices=["memory", "TCP"],
        help="how arrays travel: through shared memory, or as between machines (default: first one, then the other)",
    )
    parser.add_argument(
        "--work",
        action="append",
        default=[],
        choices=list(WORKS),
        help="only this; may be given several times",
    )
    parser.add_argument(
        "--repeats", type=int, default=5, metavar="N", help="how often to measure (default: %(default)s)"
    )
    parser.add_argument(
        "--optimizer",
        metavar="NAME",
        default=None,
        help="what the servers run: sgd, adam, ...; by default nothing, with --profile sgd",
    )
    parser.add_argument(
        "--plot", metavar="PATH", default="bench.png", help="the picture; '' for none (default: %(default)s)"
    )


def run(options: argparse.Namespace, launch: Launch) -> int:
    """Measure what was asked for. `launch` starts a job and gives its exit code."""
    if options.repeats < 1:
        raise ConfigError(f"--repeats {options.repeats}: wanted 1 or more")
    over = [options.over] if options.over else list(_VARIABLES)
    names = options.work or list(PROFILED if options.profile else WORKS)
    load = os.getloadavg()[0]
    print(
        f"-n {options.workers} -s {options.servers}, synchronous, on {os.cpu_count()} cores; load "
        f"{load:.1f} before. Goodput: bytes that a worker pushes and pulls, by the time of a round",
        flush=True,
    )
    if options.profile:
        return _profile(options, launch, over, names)
    measured: dict[str, Rounds] = {}
    for way in over:
        code, measured[way] = _measure(options, launch, way, names, {}, options.optimizer or "")
        if code:
            return code
    show = {
        way: {name: _seconds(rounds) for name, rounds in found.items()} for way, found in measured.items()
    }
    print(_table(show))
    print(_picture_of(options.plot, show))
    return 0


def _measure(
    options: argparse.Namespace,
    launch: Launch,
    way: str,
    names: list[str],
    variables: Mapping[str, str],
    optimizer: str,
) -> tuple[int, Rounds]:
    """(exit code, what worker 0 has measured)."""
    with tempfile.TemporaryDirectory(prefix="psdist-bench-") as folder:
        file = Path(folder, "rounds.json")
        program = ("-m", "psdist_launch.bench.program", str(file), str(options.repeats), optimizer, *names)
        code = launch(options, program, {**_VARIABLES[way], **variables})
        return code, json.loads(file.read_text()) if code == 0 else {}


def _middle(rounds: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those of middling length, half of them: a machine has other things to do now and then."""
    by_length = sorted(rounds, key=lambda one: one[1] - one[0])
    return sorted(by_length[len(rounds) // 4 : -(-len(rounds) * 3 // 4)])


def _seconds(rounds: list[tuple[float, float]]) -> list[float]:
    return sorted(ended - began for began, ended in rounds)


# --- goodput ---------------------------------------------------------------------------------------


def _table(measured: Mapping[str, Mapping[str, list[float]]]) -> str:
    lines = [["push + pull", *measured]]
    for name in next(iter(measured.values())):
        lines.append([name, *(_told(WORKS[name], found[name]) for found in measured.values())])
    lines.append(["", *[""] * len(measured)])
    copy, add = _bounds()
    text = _columns(lines)
    return f"{text}this machine, one thread, 64 MB: copies {copy:.1f} GB/s, adds in place {add:.1f} GB/s"


def _told(work: Work, seconds: list[float]) -> str:
    middle = statistics.median(seconds)
    if work.unit == "µs":
        return f"{middle * 1e6:.0f} µs, p99 {_quantile(seconds, 0.99) * 1e6:.0f} µs"
    if work.unit == "µs a key":
        return f"{middle / work.num_keys * 1e6:.2f} µs a key"
    return f"{work.nbytes / middle / 1e9:.2f} GB/s ({middle * 1e3:.2f} ms)"


def _quantile(ascending: list[float], share: float) -> float:
    return ascending[min(len(ascending) - 1, math.ceil(share * len(ascending)) - 1)]


def _bounds() -> tuple[float, float]:
    """GB/s of copying, and of adding in place."""
    import numpy as np

    a, b = np.ones(1 << 24, np.float32), np.ones(1 << 24, np.float32)
    rates = []
    for do in (lambda: np.copyto(a, b), lambda: np.add(a, b, out=a)):
        times = []
        for _ in range(4):
            began = time.perf_counter()
            do()
            times.append(time.perf_counter() - began)
        rates.append(a.nbytes / min(times) / 1e9)
    return rates[0], rates[1]


def _columns(lines: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "".join(
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))]
        ).rstrip()
        + "\n"
        for line in lines
    )


# --- where the time goes ---------------------------------------------------------------------------


def _profile(options: argparse.Namespace, launch: Launch, over: list[str], names: list[str]) -> int:
    from .profile import PHASES, phases_of, read_stamps

    optimizer = "sgd" if options.optimizer is None else options.optimizer
    shares: dict[str, dict[str, float]] = {}
    for way in over:
        code, plain = _measure(options, launch, way, names, {}, optimizer)
        if code:
            return code
        with tempfile.TemporaryDirectory(prefix="psdist-stamps-") as folder:
            code, rounds = _measure(options, launch, way, names, {"PSDIST_STAMPS": folder}, optimizer)
            if code:
                return code
            stamped = read_stamps(Path(folder))
        lines = [[f"over {way}, ms", *PHASES, "sum", "unstamped"]]
        for name in names:
            phases = phases_of(stamped, _middle(rounds[name]))
            shares[f"{name}, {way}"] = phases
            unstamped = statistics.mean(_seconds(_middle(plain[name])))
            cells = (*(phases[phase] for phase in PHASES), sum(phases.values()), unstamped)
            lines.append([name, *(f"{seconds * 1e3:.3f}" for seconds in cells)])
        print(_columns(lines))
    print(
        "Each instant counts for the first of these that goes on then; the last column was measured without stamps."
    )
    print(_picture_of_phases(options.plot, shares))
    return 0


# --- pictures --------------------------------------------------------------------------------------


def _pyplot(path: str) -> Any:
    """matplotlib, when a picture is wanted and can be drawn."""
    if not path:
        return None
    try:
        import matplotlib as mpl
    except ImportError:
        return None
    mpl.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _saved(path: str, plt: Any) -> str:
    if plt is not None:
        return f"picture saved to {path}"
    return "no picture: it needs matplotlib (pip install 'psdist[plot]')" if path else ""


def _picture_of(path: str, measured: Mapping[str, Mapping[str, list[float]]]) -> str:
    plt = _pyplot(path)
    if plt is not None:
        figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
        for way, found in measured.items():
            one = [work for work in WORKS.values() if work.name in found and work.num_keys == 1]
            goodput = [work.nbytes / statistics.median(found[work.name]) / 1e9 for work in one]
            left.plot([4 * work.size for work in one], goodput, "o-", label=way)
            if "1 KB" in found:
                seconds = found["1 KB"]
                right.plot(
                    [s * 1e6 for s in seconds], [i / len(seconds) for i in range(len(seconds))], label=way
                )
        left.set(title="push + pull of one key", xscale="log", yscale="log", xlabel="bytes", ylabel="GB/s")
        right.set(title="one key of 1 KB", xlabel="µs", ylabel="share of rounds", xscale="log")
        left.legend()
        figure.savefig(path, dpi=120)
        plt.close(figure)
    return _saved(path, plt)


def _picture_of_phases(path: str, shares: Mapping[str, Mapping[str, float]]) -> str:
    plt = _pyplot(path)
    if plt is not None:
        figure, axes = plt.subplots(figsize=(10, 1 + 0.4 * len(shares)), layout="constrained")
        names = list(shares)
        left = [0.0] * len(names)
        for phase in next(iter(shares.values())):
            parts = [shares[name][phase] / sum(shares[name].values()) for name in names]
            axes.barh(names, parts, left=left, label=phase)
            left = [a + b for a, b in zip(left, parts, strict=True)]
        axes.invert_yaxis()
        axes.set(xlabel="share of a round", xlim=(0, 1))
        figure.legend(loc="outside upper center", ncols=7, frameon=False)
        figure.savefig(path, dpi=120)
        plt.close(figure)
    return _saved(path, plt)

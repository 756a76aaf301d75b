"""How long training stands still when a process is killed: from kill -9 to the end of the next round begun after it.

    python bench/recovery.py                 10 kills of each kind; the table, as Markdown
    python bench/recovery.py --out docs      also docs/recovery.md and docs/recovery.svg

Default settings throughout, 2 or 3 workers and 2 servers on one machine; the launcher sees its processes die. `cut
off` is a death that no launcher sees: SIGSTOP, as if the machine were gone, so that silence has to tell it.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_ROUND = struct.Struct("dd")
_SERVER = ("-n", "2", "-s", "2", "--replicas", "1")
_WORKER = ("-n", "3", "-s", "2", "--elastic", "1:3")


@dataclass(frozen=True)
class Kind:
    """A kind of death."""

    name: str
    options: tuple[str, ...]
    victim: tuple[str, int]
    number: signal.Signals = signal.SIGKILL
    wanted_s: float | None = None


KINDS = [
    Kind("server, with a replica", (*_SERVER, "--restarts", "0"), ("server", 1), wanted_s=2.0),
    Kind("worker, elastic", (*_WORKER, "--restarts", "0"), ("worker", 1), wanted_s=1.0),
    Kind("server, cut off", (*_SERVER, "--restarts", "0"), ("server", 1), signal.SIGSTOP),
    Kind("worker, cut off", (*_WORKER, "--restarts", "0"), ("worker", 1), signal.SIGSTOP),
    Kind("scheduler, with a replica", _SERVER, ("scheduler", 0)),
]


def work(folder: Path) -> None:
    """A worker: rounds without end; when each began and ended goes to a file."""
    import psdist as mx

    kv = mx.kv.create("dist_sync")
    value = mx.nd.zeros((500, 1000))
    kv.init("w", value)
    kv.set_optimizer(mx.optimizer.SGD(learning_rate=0.1, momentum=0.9))
    grad = mx.nd.ones((500, 1000))
    with open(folder / f"rounds-{kv.rank}", "ab", buffering=0) as file:
        print("trains", flush=True)
        while True:
            began = time.monotonic()
            kv.push("w", grad)
            kv.pull("w", out=value)
            file.write(_ROUND.pack(began, time.monotonic()))


@contextmanager
def job(folder: Path, options: tuple[str, ...]) -> Iterator[subprocess.Popen[str]]:
    """`psdist run`, ended by SIGTERM."""
    script = [sys.executable, __file__, "--work", str(folder)]
    popen = subprocess.Popen(
        [sys.executable, "-m", "psdist_launch.cli", "run", *options, "--", *script],
        env=os.environ | {"RECOVERY_BENCH": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield popen
    finally:
        popen.terminate()
        popen.communicate()


def find(folder: Path, role: str, rank: int) -> int:
    """The process of a member."""
    wanted = {f"RECOVERY_BENCH={folder}", f"DMLC_ROLE={role}", f"PSDIST_RANK={rank}"}
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if wanted <= set(path.read_bytes().decode(errors="replace").split("\0")):
                return int(path.parent.name)
        except OSError:
            continue
    raise SystemExit(f"there is no {role} {rank}")


def trial(kind: Kind, limit_s: float = 30.0) -> tuple[float, list[float]]:
    """One death: the recovery time, and when rounds of worker 0 ended, in seconds after it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with job(folder, kind.options) as popen:
            assert popen.stdout is not None
            num, said = 0, []
            for line in popen.stdout:
                said.append(line)
                num += bool(re.search(r"\] trains$", line.rstrip()))
                if num == int(kind.options[1]):
                    break
            else:
                raise SystemExit("the job did not begin:\n" + "".join(said))
            time.sleep(1.5)  # so that it is in full swing, and all copies are complete
            pid = find(folder, *kind.victim)
            killed = time.monotonic()
            os.kill(pid, kind.number)
            while time.monotonic() < killed + limit_s:
                time.sleep(0.05)
                rounds = read(folder / "rounds-0")
                after = [end - killed for began, end in rounds if began > killed]
                if after and time.monotonic() > killed + after[0] + 0.5:
                    break
            else:
                raise SystemExit(f"{kind.name}: no round within {limit_s:g} s")
        return after[0], [end - killed for _, end in rounds]


def read(path: Path) -> list[tuple[float, float]]:
    data = path.read_bytes()
    return list(_ROUND.iter_unpack(data[: len(data) // _ROUND.size * _ROUND.size]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--only", default="", help="only kinds whose name has this in it")
    parser.add_argument("--out", type=Path, help="a folder for recovery.md and recovery.svg")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work is not None:
        work(options.work)
        return
    times: dict[Kind, list[float]] = {}
    ends: dict[Kind, list[float]] = {}
    for kind in KINDS:
        if options.only in kind.name:
            for i in range(options.trials):
                seconds, ends[kind] = trial(kind)
                times.setdefault(kind, []).append(seconds)
                sys.stderr.write(f"{kind.name}, {i + 1} of {options.trials}: {seconds:.3f} s\n")
    text = table(times)
    sys.stdout.write(text)
    if options.out is not None:
        plot(times, ends, options.out / "recovery.svg")
        (options.out / "recovery.md").write_text(page(text, options.trials))


def table(times: dict[Kind, list[float]]) -> str:
    lines = ["| who dies | median | longest | target |", "|--|--|--|--|"]
    for kind, seconds in times.items():
        target = f"under {kind.wanted_s:g} s" if kind.wanted_s else "–"
        lines.append(
            f"| {kind.name} | {statistics.median(seconds):.2f} s | {max(seconds):.2f} s | {target} |"
        )
    return "\n".join(lines) + "\n"


def page(text: str, num: int) -> str:
    load = os.getloadavg()[0]
    machine = (
        f"{os.cpu_count()} cores, Linux {platform.release().partition('-')[0]}, load {load:.1f} at the end"
    )
    return f"""# Recovery times

How long training stands still when a process dies: from the kill to the end of the next round that worker 0 begins
after it. {num} deaths of each kind, default settings, 2 or 3 workers and 2 servers on one machine ({machine}),
one key of 2 MB, SGD with momentum. Made by `python bench/recovery.py --out docs`.

{text}
![Rounds around a death, and recovery times](recovery.svg)

`psdist run` sees its processes die and tells the scheduler at once. Where nobody sees it (*cut off*: the process is
stopped, as if its machine were gone), silence has to tell: `PSDIST_DEAD_AFTER`, 8 s by default, is nearly all of the time,
and a smaller one shortens it. A dead scheduler stops nobody's rounds.
"""


def plot(times: dict[Kind, list[float]], ends: dict[Kind, list[float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "recovery"
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for i, (kind, seconds) in enumerate(times.items()):
        left.plot(seconds, [i] * len(seconds), "|", markersize=14, label=kind.name)
        window = [at for at in ends[kind] if -1.5 < at < max(seconds) + 0.5]
        right.plot(window, [i] * len(window), "|", markersize=10, rasterized=True)  # thousands
    left.set_yticks(range(len(times)), [kind.name for kind in times])
    left.set_xlabel("seconds from the kill to the next round")
    left.set_xscale("log")
    right.set_yticks([])
    right.set_xlabel("seconds after the kill; a line is a round that ends")
    right.axvline(0, color="red", linewidth=0.8)
    for axes in (left, right):
        axes.set_ylim(len(times) - 0.5, -0.5)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()

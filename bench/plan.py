"""How well `psdist plan` predicts: jobs of 1 to 4 workers measured on this machine, and the same jobs played.

    python bench/plan.py [--out docs]

Costs are measured anew, with one worker, then each job is measured several times, all in one run, in turn; what is
predicted is the median time of a round. Cores that others on the machine use meanwhile are not there for the job: both
are told for what was left. Writes docs/plan.md and docs/plan.svg with --out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import figures
from psdist_launch.bench.works import WORKS
from psdist_launch.plan.calibrate import calibrate
from psdist_launch.plan.costs import Costs
from psdist_launch.plan.world import Job, play

WORKERS = (1, 2, 3, 4)
WORK = ("1 MB", "16 MB", "100 x 1 MB", "10,000 x 64 B")
WAYS: dict[str, dict[str, str]] = {"memory": {}, "TCP": {"PSDIST_SHM_BYTES": "0"}}
WANTED = 0.2


def launch(program: tuple[str, ...], variables: Mapping[str, str]) -> int:
    """Run a program as one worker with one server."""
    with start(program, variables, 1) as job:
        return job.wait(300)


def start(
    program: tuple[str, ...], variables: Mapping[str, str], num_workers: int
) -> subprocess.Popen[bytes]:
    run = [sys.executable, "-m", "psdist_launch.cli", "run", "-n", str(num_workers), "-s", "1"]
    env = os.environ | dict(variables)
    return subprocess.Popen(
        [*run, "--", "python", *program], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def measure(way: str, num_workers: int) -> tuple[dict[str, float], float]:
    """Seconds of a round of each work, and how many cores others left to the job meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "rounds.json")
        program = ("-m", "psdist_launch.bench.program", str(file), "3", "", *WORK)
        mark = f"PSDIST_BENCH_PLAN={folder}"
        samples: list[tuple[float, float, float]] = []  # when, processor seconds of all, of the job
        with start(program, WAYS[way] | dict([mark.split("=")]), num_workers) as job:
            pids: list[int] = []
            while job.poll() is None:
                if len(pids) < num_workers + 2:  # a scheduler and a server
                    pids = of_job(mark.encode())
                samples.append((time.perf_counter(), busy(), sum(map(processor_time, pids))))
                time.sleep(0.05)
        if job.returncode:
            raise SystemExit(f"the job ended with {job.returncode}")
        rounds = json.loads(file.read_text())
    begin = min(one[0][0] for one in rounds.values())
    end = max(one[-1][1] for one in rounds.values())
    first, *_, last = [one for one in samples if begin <= one[0] <= end]
    wall, others = last[0] - first[0], (last[1] - first[1]) - (last[2] - first[2])
    seconds = {name: statistics.median(high - low for low, high in rounds[name]) for name in WORK}
    return seconds, (os.cpu_count() or 1) - others / wall


def of_job(mark: bytes) -> list[int]:
    """The processes with this variable in their environment."""
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            environ = Path(f"/proc/{name}/environ").read_bytes()
            if mark in environ and b"DMLC_ROLE=" in environ:
                found.append(int(name))
    return found


def processor_time(pid: int) -> float:
    try:
        return time.clock_gettime(~pid << 3 | 2)  # Linux's number for the clock of a process
    except OSError:
        return 0.0


def busy() -> float:
    """Processor seconds of everybody, idle and waiting excepted."""
    user, nice, system, _, _, *more = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9])
    return (user + nice + system + sum(more)) / os.sysconf("SC_CLK_TCK")


def predict(way: str, num_workers: int, name: str, costs: Costs, cores: float) -> float:
    """Seconds of a round where others leave `cores`: no less than its work takes on them. A thread that mostly sleeps is
    served at once, so that a chain of such is as fast as on a machine of its own."""
    work, whole = WORKS[name], os.cpu_count() or 1
    job = Job(
        num_workers=num_workers,
        num_servers=1,
        keys=(work.size,) * work.num_keys,
        way=way,
        cores=whole,
        one_host=True,
        rounds=10 if work.num_keys == 1 else 3,
    )
    result = play(job, costs)
    work_s = result.step_s * result.busy["cores"] * whole  # of processors
    return max(result.step_s, work_s / cores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--laps", type=int, default=3)
    parser.add_argument("--costs", type=Path, help="these, instead of measuring anew")
    parser.add_argument("--keep", type=Path, help="where to leave the costs")
    parser.add_argument("--out", type=Path, help="a folder for plan.md and plan.svg")
    options = parser.parse_args()
    load = figures.load()
    costs = Costs.read(options.costs) if options.costs else calibrate(launch, 1.5)
    if options.keep:
        costs.write(options.keep)
    jobs = [(way, n) for way in WAYS for n in WORKERS]
    measured: dict[tuple[str, int], list[tuple[dict[str, float], float]]] = {job: [] for job in jobs}
    for lap in range(options.laps):
        for way, n in jobs:
            measured[way, n].append(measure(way, n))
            sys.stderr.write(f"lap {lap + 1} of {options.laps}: {n} workers, {way}\n")
    rows = []
    for way, n in jobs:
        for name in WORK:
            ratios = [(one[name], predict(way, n, name, costs, cores)) for one, cores in measured[way, n]]
            seen, told = sorted(ratios, key=lambda pair: pair[1] / pair[0])[len(ratios) // 2]
            rows.append((way, n, name, seen, told))
    text = table(rows)
    sys.stdout.write(text)
    if options.out:
        plot(rows, options.out / "plan.svg")
        figures.put(options.out / "plan.md", text + f"\n{load}\n")


def table(rows: list[tuple[str, int, str, float, float]]) -> str:
    lines = ["| over | workers | exchange | measured | predicted | ratio |", "|--|--|--|--|--|--|"]
    for way, n, name, seen, foretold in rows:
        ratio = foretold / seen
        lines.append(
            f"| {way} | {n} | {name} | {seen * 1e3:.2f} ms | {foretold * 1e3:.2f} ms | {ratio:.2f} |"
        )
    near = sum(abs(foretold / seen - 1) <= WANTED for *_, seen, foretold in rows)
    return "\n".join(lines) + f"\n\nWithin {WANTED:.0%} of what was measured: {near} of {len(rows)}.\n"


def plot(rows: list[tuple[str, int, str, float, float]], path: Path) -> None:
    plt = figures.pyplot()
    figure, axes = plt.subplots(1, len(WORK), figsize=(11, 3), layout="constrained")
    for ax, name in zip(axes, WORK, strict=True):
        for way, colour in zip(WAYS, figures.COLOURS, strict=False):
            found = [(n, seen, told) for w, n, work, seen, told in rows if (w, work) == (way, name)]
            ax.plot(
                [n for n, _, _ in found],
                [s * 1e3 for _, s, _ in found],
                "o",
                color=colour,
                label=f"{way}, measured",
            )
            ax.plot(
                [n for n, _, _ in found], [t * 1e3 for _, _, t in found], "-", color=colour, label="predicted"
            )
        ax.set(title=name, xlabel="workers", xticks=WORKERS, ylim=(0, None))
    axes[0].set_ylabel("a round, ms")
    axes[0].legend(fontsize=7)
    figures.save(figure, path)


if __name__ == "__main__":
    main()

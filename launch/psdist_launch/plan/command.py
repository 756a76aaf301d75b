"""`psdist plan`: what the command line asks for, and what it is told."""

from __future__ import annotations

import argparse
import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from psdist.errors import ConfigError

from .costs import SHIPPED, Costs

if TYPE_CHECKING:
    from .calibrate import Launch
    from .world import Job, Result

__all__ = ["add_arguments", "job_of", "rate_of", "run", "tell"]

_UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command, but for the numbers of workers and servers."""
    parser.add_argument(
        "--model", default="10e6", metavar="N", help="parameters, float32 (default: %(default)s)"
    )
    parser.add_argument(
        "--keys",
        type=int,
        default=50,
        metavar="N",
        help="arrays that they are in, of one size (default: %(default)s)",
    )
    parser.add_argument(
        "--link",
        default="10gbit",
        metavar="RATE",
        help="each machine's link, both ways, such as 25gbit (default: %(default)s)",
    )
    parser.add_argument(
        "--delay",
        type=float,
        default=50.0,
        metavar="US",
        help="of a link, in µs, one way (default: %(default)s)",
    )
    parser.add_argument(
        "--cores", type=int, default=8, metavar="N", help="of each machine (default: %(default)s)"
    )
    parser.add_argument(
        "--compute",
        type=float,
        default=0.1,
        metavar="S",
        help="seconds of forward and backward in a step; 0: only exchange (default: %(default)s)",
    )
    parser.add_argument("--no-overlap", action="store_true", help="exchange after backward, not during it")
    parser.add_argument(
        "--optimizer",
        default="sgd",
        choices=["", "sgd", "adam"],
        help="on the servers (default: %(default)s)",
    )
    parser.add_argument(
        "--costs",
        type=Path,
        default=SHIPPED,
        metavar="FILE",
        help="a table of costs (default: the one shipped)",
    )
    parser.add_argument(
        "--calibrate",
        type=Path,
        metavar="FILE",
        help="measure this machine's costs into FILE, half a minute, and use them",
    )


def rate_of(text: str) -> float:
    """Bytes a second of "25gbit" or "100mbit". Raises ConfigError."""
    match = re.fullmatch(r"([0-9.]+)\s*([kmgt]?)(bit|B)(/s|ps)?", text.strip(), re.IGNORECASE)
    try:
        rate = float(match[1]) * _UNITS[match[2].lower()] / (1 if match[3] == "B" else 8) if match else 0.0
    except ValueError:
        rate = 0.0
    if not rate > 0:
        raise ConfigError(f"--link {text!r}: wanted a rate, such as 25gbit, 100mbit or 3GB")
    return rate


def job_of(options: argparse.Namespace) -> Job:
    """The job that the options describe. Raises ConfigError."""
    from .world import Job

    try:
        size = int(float(options.model))
    except ValueError:
        size = 0
    for name, value in (("workers", options.workers), ("servers", options.servers), ("cores", options.cores)):
        if value < 1:
            raise ConfigError(f"--{name} {value}: wanted 1 or more")
    if not 0 < options.keys <= size:
        raise ConfigError(
            f"--model {options.model} --keys {options.keys}: wanted at least one parameter a key"
        )
    if not (0 <= options.compute < math.inf and 0 <= options.delay < math.inf):
        raise ConfigError(f"--compute {options.compute:g} --delay {options.delay:g}: wanted 0 or more")
    each = size // options.keys
    return Job(
        num_workers=options.workers,
        num_servers=options.servers,
        keys=(size - each * (options.keys - 1), *[each] * (options.keys - 1)),
        link_rate=rate_of(options.link),
        delay_s=options.delay * 1e-6,
        cores=options.cores,
        compute_s=options.compute,
        overlaps=not options.no_overlap,
        optimizer=options.optimizer,
        rounds=2
        if options.workers <= 100
        else 1,  # a round after the first is like the next, and takes a while
    )


def run(options: argparse.Namespace, launch: Launch) -> int:
    """Predict. `launch` runs a program as one worker with one server, to calibrate."""
    from psdist.callback import ProgressBar  # only now: with the world come NumPy and the rules of both roles
    from psdist.model import BatchEndParam

    from .calibrate import calibrate
    from .world import play

    job = job_of(options)
    if options.calibrate is not None:
        calibrate(launch, seconds=1.5).write(options.calibrate)
    costs = Costs.read(options.calibrate or options.costs)
    bar = ProgressBar(total=1 + job.rounds, length=30, text="rounds ")

    def on_round(num: int) -> None:
        bar(BatchEndParam(epoch=0, nbatch=num - 1, eval_metric=None, locals=None))

    result = play(job, costs, on_round)
    sys.stderr.flush()
    print(tell(job, result, costs))
    return 0


def tell(job: Job, result: Result, costs: Costs) -> str:
    """The prediction in words."""
    values = sum(job.keys)
    lines = [
        f"{job.num_workers:,} workers, {job.num_servers:,} servers, {values:,} parameters ({4 * values / 1e6:,.0f} MB) in "
        f"{len(job.keys)} keys, links of {job.link_rate * 8 / 1e9:g} Gbit/s",
        f"costs measured on {costs.machine}",
        "",
        f"step         {result.step_s * 1e3:,.1f} ms",
    ]
    if job.compute_s:
        lines.append(
            f"computing    {job.compute_s * 1e3:,.1f} ms, so that efficiency is {job.compute_s / result.step_s:.1%}"
            f"{'' if job.overlaps else ' (nothing overlaps)'}"
        )
    lines.append(f"goodput      {8 * values / result.step_s / 1e9:,.2f} GB/s a worker, pushed and pulled")
    by_share = sorted(result.busy.items(), key=lambda pair: -pair[1])
    name, share = by_share[0]
    lines += ["", f"bottleneck   {name}, {share:.0%} of the step at work", "then         "]
    lines[-1] += ", ".join(f"{name} {share:.0%}" for name, share in by_share[1:6])
    return "\n".join(lines)

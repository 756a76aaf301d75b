"""`psdist torture`: what the command line asks for."""

from __future__ import annotations

import argparse
import itertools
import math
import secrets
import time

from psdist.errors import ConfigError

from .size import Size

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--seeds", type=int, metavar="N", help="how many schedules to play (default: 1000)")
    parser.add_argument(
        "--seed", type=int, metavar="S", help="the first seed (default: 0); alone, only that one"
    )
    parser.add_argument("--fresh", action="store_true", help="begin at a seed that nobody has chosen")
    parser.add_argument("--minutes", type=float, metavar="M", help="play for so long at most")
    parser.add_argument("--trace", action="store_true", help="show every message and fault of one schedule")
    parser.add_argument(
        "-j", "--jobs", type=int, default=2, metavar="N", help="processes (default: %(default)s)"
    )
    for name, value in Size().options().items():
        choices, help_text = Size.choices(name)
        parser.add_argument(
            f"--{name}",
            type=type(value),
            default=value,
            choices=choices,
            help=f"{help_text} (default: %(default)s)",
        )


def run(options: argparse.Namespace) -> int:
    """Play what was asked for. The exit code is 1 when something did not hold."""
    from .report import Tally, Trace  # only now: with them come NumPy and the rules of both roles
    from .runner import play, play_many
    from .scenario import Scenario

    size = Size.of(options)
    if options.jobs < 1:
        raise ConfigError(f"--jobs {options.jobs}: wanted 1 or more")
    if options.fresh and options.seed is not None:
        raise ConfigError("--fresh and --seed: one or the other says where to begin")
    first = secrets.randbits(40) if options.fresh else options.seed or 0
    if options.trace:
        scenario = Scenario.draw(first, size)
        trace = Trace(scenario)
        outcome = play(first, size, trace.note)
        trace.finish(outcome)
        return 1 if outcome.violations else 0
    seconds = math.inf if options.minutes is None else options.minutes * 60
    if not seconds > 0:
        raise ConfigError(f"--minutes {options.minutes:g}: wanted more than 0")
    by_time = options.minutes is not None and options.seeds is None
    num = options.seeds or (1 if options.seed is not None else 1000)
    seeds = itertools.count(first) if by_time else range(first, first + num)
    print(f"seeds from {first}" + ("" if by_time else f" to {first + num - 1}"))
    tally = Tally(size, max(1, round(seconds)) if by_time else num, by_time=by_time)
    began = time.monotonic()
    jobs = options.jobs if by_time else min(options.jobs, num)
    play_many(
        seeds,
        size,
        jobs=jobs,
        until=began + seconds,
        hear=lambda outcome: tally.add(outcome, time.monotonic() - began),
    )
    tally.finish(time.monotonic() - began, jobs)
    return 1 if tally.failures else 0

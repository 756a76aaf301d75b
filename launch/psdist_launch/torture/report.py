"""What many schedules, or one, come to, in words."""

from __future__ import annotations

import sys
from collections import Counter
from statistics import median
from typing import Final, TextIO

from psdist.callback import ProgressBar
from psdist.model import BatchEndParam

from .scenario import Scenario
from .size import Size
from .world import Outcome

__all__ = ["Tally", "Trace", "replay_command"]

_SHOWN: Final = 10  # violations told in full


def replay_command(seed: int, size: Size) -> str:
    """The command that plays a seed again, and shows what happens."""
    default = Size()
    words = ["psdist torture", f"--seed {seed}"]
    for name, value in size.options().items():
        if value != default.options()[name]:
            words.append(f"--{name} {value}")
    return " ".join([*words, "--trace"])


class Tally:
    """Counts outcomes as they come, behind a progress bar."""

    def __init__(self, size: Size, total: int, *, by_time: bool, out: TextIO | None = None) -> None:
        self._size = size
        self._total = total  # seeds; with `by_time`, seconds
        self._by_time = by_time
        self._out = out or sys.stdout
        self._bar = ProgressBar(total, 30, text="torture ")
        self.outcomes = 0
        self.failures: list[Outcome] = []  # with violations
        self._finished = 0
        self._steps = self._messages = self._reads = 0
        self._virtual_s = 0.0
        self._faults: Counter[str] = Counter()
        self._recoveries: dict[str, list[float]] = {}
        self._traces = 0

    def add(self, outcome: Outcome, elapsed_s: float) -> None:
        """One more schedule was played."""
        self.outcomes += 1
        self._finished += outcome.ending == "finished"
        self._steps += outcome.num_steps
        self._messages += outcome.num_messages
        self._reads += outcome.num_reads
        self._virtual_s += outcome.virtual_s
        self._faults += outcome.faults
        for kind, seconds in outcome.recoveries:
            self._recoveries.setdefault(kind, []).append(seconds)
        if outcome.violations:
            self.failures.append(outcome)
            if len(self.failures) <= _SHOWN:
                self._tell(outcome)
        done = int(elapsed_s) if self._by_time else self.outcomes
        if not self._by_time or done < self._total:
            rate = f"{self.outcomes / max(elapsed_s, 1e-3) * 60:,.0f} schedules/min"
            self._bar.text = f"torture {rate}, {len(self.failures)} violations "
            self._bar(BatchEndParam(0, done - 1, None, None))

    def finish(self, elapsed_s: float, jobs: int) -> None:
        """The whole account."""
        if self._by_time:
            self._bar(BatchEndParam(0, self._total - 1, None, None))
        size, n = self._size, self.outcomes
        rate = n / max(elapsed_s, 1e-3) * 60
        lines = [
            f"{n:,} schedules in {elapsed_s:.1f} s, {rate:,.0f} a minute in {jobs} processes "
            f"({size.num_servers} servers, {size.num_workers} workers, mode {size.mode})",
            f"steps of training {self._steps:,} · messages {self._messages:,} · reads checked {self._reads:,} "
            f"· virtual time {self._virtual_s / 3600:.2f} h",
            f"jobs that finished {self._finished:,} · that ended with a cause {n - self._finished:,}",
            "faults: " + ", ".join(f"{kind} {num:,}" for kind, num in sorted(self._faults.items())),
        ]
        if self._recoveries:
            lines.append("until every worker that went on had done one more step, in virtual seconds:")
            for kind, times in sorted(self._recoveries.items()):
                lines.append(
                    f"  {kind:<12} p50 {median(times):6.3f}   max {max(times):7.3f}   ({len(times):,} times)"
                )
        if not self._by_time and n < self._total:
            lines.append(f"the time was over after {n:,} of {self._total:,} schedules")
        num = len(self.failures)
        lines.append(f"violations: {num}" if num else "violations: none")
        if num:
            first = self.failures[0]
            lines.append(f"the first, again: {replay_command(first.seed, size)}")
        print("\n".join(lines), file=self._out)

    def _tell(self, outcome: Outcome) -> None:
        print(f"\nseed {outcome.seed} ({outcome.mode}):", file=self._out)
        for text in outcome.violations[:3]:
            print(f"  {text}", file=self._out)
        print(f"  {replay_command(outcome.seed, self._size)}", file=self._out)


class Trace:
    """One schedule, told message by message."""

    def __init__(self, scenario: Scenario, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        name, numbers = scenario.optimizer or ("no optimizer", {})
        self._say(
            f"seed {scenario.seed}: {scenario.mode}, staleness {scenario.staleness}, {name} {numbers or ''}"
        )
        for spec in scenario.keys:
            self._say(f"  key {spec.key!r}: {spec.length} of {spec.dtype.name}")
        for rank, program in enumerate(scenario.programs):
            self._say(f"  worker {rank}: {len(program)} steps")
        for fault in scenario.faults:
            self._say(f"  fault: {fault}")

    def note(self, now: float, text: str) -> None:
        self._say(f"{now:10.4f}  {text}")

    def finish(self, outcome: Outcome) -> None:
        self._say(f"{outcome.ending}; trace {outcome.trace:08x}")
        for text in outcome.violations or ("no violation",):
            self._say(text)

    def _say(self, text: str) -> None:
        print(text, file=self._out)

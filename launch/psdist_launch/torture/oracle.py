"""What must hold, whatever goes wrong.

At every read, of the values of exact keys:

- each push is in a value once or not at all, of each worker the first few, and none that nobody has made (I2);
- every push that was acknowledged before the read was asked for is in it (I1);
- a read at clock c holds every worker's pushes of all rounds before c, and c is what was asked for, or more (I4);
- what a worker has read before is in what it reads now (I4);

of all keys of a synchronous job: the value is, bit for bit, the one that plain arithmetic in rank order gives
for that clock (I3). At the end the servers' values hold every push of a job that finished, and every
acknowledged push of one that failed. And everybody has ended in time: well, or naming whoever was to blame
(I5). Nothing of this looks into the rules.
"""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psdist_server.parts import part_place
from psdist_worker.plan import KeyInfo, key_info

from psdist.optimizer import from_wire
from psdist.table import split
from psdist.wire import key_name, key_number

from .processes import Process, SchedulerProcess, ServerProcess, WorkerProcess
from .scenario import KeySpec, Scenario

if TYPE_CHECKING:
    from .world import World

__all__ = ["Oracle", "expected_values"]

Place = tuple[int, int]
_MOST_VIOLATIONS = 20


def expected_values(scenario: Scenario, spec: KeySpec) -> list[NDArray[Any]]:
    """The values of a key after 0, 1, 2, ... rounds of a synchronous job: no rules, no slices, no messages."""
    value = scenario.initial[spec.key].copy()
    values = [value.copy()]
    rule = state = None
    if scenario.optimizer is not None:
        rule = from_wire(*scenario.optimizer)
        state = rule.create_state(value)
    lr, wd = scenario.rates
    for clock in range(max(scenario.num_steps)):
        total: NDArray[Any] | None = None
        for rank, num_steps in enumerate(scenario.num_steps):
            if clock < num_steps:
                grad = scenario.data[spec.key][rank, clock]
                total = grad.copy() if total is None else total + grad
        assert total is not None, clock
        if clock < scenario.num_steps[0] and (rates := scenario.programs[0][clock].rates) is not None:
            lr, wd = rates
        if rule is None or state is None:
            value = total
        else:
            wd_here = 0.0 if spec.is_exact and scenario.decodes else wd
            rule.update(value, total, state, lr=lr, wd=wd_here, t=clock + 1)
        values.append(value.copy())
    return values


class _Place:
    """What the oracle knows of a slice. A set of rounds is an integer, with bit `r` for round `r`."""

    __slots__ = ("acknowledged", "expected", "label", "length", "made", "offset", "read", "spec")

    def __init__(self, spec: KeySpec, offset: int, length: int, num_columns: int) -> None:
        self.spec = spec
        self.offset = offset
        self.length = length
        self.label = f"{spec.key!r}[{offset}:{offset + length}]"
        self.made = [0] * num_columns  # by column: the rounds pushed
        self.acknowledged = [0] * num_columns
        self.read: dict[int, list[int]] = {}  # by reader: what its last read held, by column
        self.expected: list[NDArray[Any]] = []  # by clock; empty where rounds do not tell


class Oracle:
    """Sees what a job does, and says what is wrong with it."""

    def __init__(self, world: World) -> None:
        self.violations: list[str] = []
        self.num_reads = 0
        self.stepped_at = 0.0  # when a worker has last done a step
        self.is_finished = False  # the job, as it should be
        self._world = world
        scenario = self._scenario = world.scenario
        self._num = scenario.num_columns
        self._places: dict[Place, _Place] = {}
        steps = range(max(scenario.num_steps))
        self._rounds = {  # by sum: which rounds are in it
            sum(4**i for i in steps if rounds >> i & 1): rounds for rounds in range(1 << len(steps))
        }
        has_rounds = scenario.mode == "sync" and not scenario.num_portions
        for spec in scenario.keys:
            number = key_number(key_name(spec.key))
            info = key_info(
                spec.key,
                (spec.length,),
                spec.dtype,
                scenario.num_servers,
                scenario.slice_nbytes,
                num_shards=scenario.num_shards,
                together=scenario.needs_whole,
            )
            values = expected_values(scenario, spec) if has_rounds else []
            for s in info.slices:
                place = self._places[number, s.offset] = _Place(spec, s.offset, s.length, self._num)
                place.expected = [value[s.offset : s.offset + s.length] for value in values]
        if (spec_of := scenario.table) is not None:
            number, num_rows = key_number(key_name(spec_of.key)), spec_of.num_rows
            values = expected_values(scenario, spec_of) if has_rounds else []
            for part, rows in enumerate(split(np.arange(num_rows), scenario.num_shards)):
                length = len(rows) * spec_of.length // num_rows
                place = self._places[part_place(number, part)] = _Place(spec_of, 0, length, self._num)
                place.label = f"part {part} of {spec_of.key!r}"
                place.expected = [value.reshape(num_rows, -1)[rows].reshape(-1) for value in values]
        self._stepped: dict[str, list[float]] = {}

    def violation(self, text: str) -> None:
        """Something does not hold."""
        if len(self.violations) < _MOST_VIOLATIONS:
            self.violations.append(f"at {self._world.events.now:.3f} s: {text}")
            self._world.note(f"VIOLATION: {text}")

    def members_change(self) -> None:
        """From now on rounds may have other members than planned, so that their sums are not known."""
        if self._scenario.is_elastic:
            for place in self._places.values():
                place.expected = []

    # --- what workers do --------------------------------------------------------------------------

    def pushed(self, worker: WorkerProcess, info: KeyInfo, clock: int) -> None:
        """A worker pushes to a round of a key."""
        for s in info.slices:
            self._places[info.number, s.offset].made[worker.column] |= 1 << clock

    def acknowledged(self, worker: WorkerProcess, info: KeyInfo, clock: int) -> None:
        """A worker's push has been acknowledged."""
        for s in info.slices:
            self._places[info.number, s.offset].acknowledged[worker.column] |= 1 << clock

    def promised(self, places: list[Place]) -> list[list[int]]:
        """What a read that is asked for now must hold."""
        return [self._places[place].acknowledged.copy() for place in places]

    def stepped(self, worker: WorkerProcess) -> None:
        """A worker has done one more step."""
        self.stepped_at = self._world.events.now
        self._stepped.setdefault(worker.name, []).append(self.stepped_at)

    def read(
        self,
        worker: WorkerProcess,
        where: Place,
        min_clock: int,
        clock: int,
        value: NDArray[Any],
        promised: list[int],
    ) -> None:
        """A worker has read a slice."""
        self.num_reads += 1
        place = self._places[where]
        who = f"{worker.name} read {place.label} at clock {clock}"
        if clock < min_clock:
            self.violation(f"{who}, and had asked for {min_clock}")
        if value.size != place.length or value.dtype != place.spec.dtype:
            self.violation(f"{who}: {value.size} elements of {value.dtype}; wanted {place.length}")
            return
        self._compare(who, place, clock, value)
        if not (self._scenario.decodes and place.spec.is_exact):
            return
        held = self._decode(who, place, value)
        if held is None:
            return
        before = place.read.get(worker.column)
        blamed = self._world.faults.blamed
        for member in self._world.workers:
            column = member.column
            rounds = held[column]
            if lost := promised[column] & ~rounds:
                self._missing(who, member, lost, "though it was acknowledged")
            if self._scenario.num_portions:
                pass  # a clock says nothing of portions
            elif column < self._scenario.num_workers and member.name not in blamed:
                wanted = (1 << min(clock, self._scenario.num_steps[column])) - 1
                if lost := wanted & ~rounds:
                    self._missing(who, member, lost, "though the clock says it is there")
            if before is not None and (lost := before[column] & ~rounds):
                self._missing(who, member, lost, "though it was there in an earlier read")
        place.read[worker.column] = held

    def kept(self, where: Place, what: str, clock: int, value: NDArray[Any]) -> None:
        """A slice was kept somewhere: as a copy, or in a snapshot."""
        place = self._places[where]
        who = f"{what}: {place.label}"
        self._compare(who, place, clock, value)
        if self._scenario.decodes and place.spec.is_exact:
            self._decode(who, place, value)

    def recovered(self, where: Place, what: str, value: NDArray[Any]) -> None:
        """A slice came back from the disk: it has all that was acknowledged."""
        place = self._places[where]
        if not (self._scenario.decodes and place.spec.is_exact):
            return
        held = self._decode(f"{what}: {place.label}", place, value)
        if held is None:
            return
        for worker in self._world.workers:
            if lost := place.acknowledged[worker.column] & ~held[worker.column]:
                self._missing(f"{what}: {place.label}", worker, lost, "though it was acknowledged")

    def must_have(self, found: set[Place], what: str) -> None:
        """These slices came back from the disk, and no others."""
        for where, place in self._places.items():
            if where not in found and any(place.acknowledged):
                self.violation(
                    f"{what}: the log has nothing of {place.label}, of which pushes were acknowledged"
                )

    def _missing(self, who: str, member: WorkerProcess, rounds: int, though: str) -> None:
        self.violation(f"{who}: push {_first(rounds)} of {member.name} is missing, {though}")

    def _compare(self, who: str, place: _Place, clock: int, value: NDArray[Any]) -> None:
        if not place.expected:
            return
        if clock >= len(place.expected):
            self.violation(f"{who}, and there are {len(place.expected) - 1} rounds")
        elif value.tobytes() != place.expected[clock].tobytes():
            i = int(np.flatnonzero(value != place.expected[clock])[:1].sum())
            self.violation(
                f"{who}: not the bits of a run without faults; element {i} is {value[i]!r}, "
                f"wanted {place.expected[clock][i]!r}"
            )

    def _decode(self, who: str, place: _Place, value: NDArray[Any]) -> list[int] | None:
        """Which rounds of each column a value holds; None, and a violation, when it cannot be so. Where portions of
        data are counted: of every column all portions."""
        if self._scenario.num_portions:
            portions = self._decode_portions(who, place, value)
            return None if portions is None else [portions] * self._num
        held = []
        if not value.size:  # a part without rows
            return place.made.copy()
        for column in range(self._num):
            sums = value[(column - place.offset) % self._num :: self._num].tolist()
            total = sums[0]
            rounds = self._rounds.get(total)
            if rounds is None or sums.count(total) != len(sums):
                counts = [f"{n} x push {i}" for i, n in enumerate(_digits(total)) if n] or ["nothing"]
                self.violation(f"{who}: of column {column} it holds {', '.join(counts)} ({sums[:4]})")
                return None
            if never := rounds & ~place.made[column]:
                self.violation(
                    f"{who}: it holds push {_first(never)} of column {column}, which was never made"
                )
            start = rounds & -rounds
            if rounds and (rounds // start + 1) & (rounds // start):
                self.violation(
                    f"{who}: of column {column} it holds the rounds {rounds:b}, not one after the other"
                )
            held.append(rounds)
        return held

    def _decode_portions(self, who: str, place: _Place, value: NDArray[Any]) -> int | None:
        counts = _digits(float(value[0]))
        if any(n > 1 for n in counts) or (value != value[0]).any():
            twice = ", ".join(f"{n} x portion {i}" for i, n in enumerate(counts) if n > 1)
            self.violation(f"{who}: it holds {twice or 'other portions in some elements'} ({value[:4]})")
            return None
        portions = sum(1 << i for i, n in enumerate(counts) if n)
        if never := portions & ~functools.reduce(operator.or_, place.made):
            self.violation(f"{who}: it holds portion {_first(never)}, which was never pushed")
        return portions

    # --- the end ----------------------------------------------------------------------------------

    def judge(self) -> None:
        """Nothing will happen any more: was all as it must be?"""
        world = self._world
        for process in world.processes:
            if process.is_there:
                waits = (
                    f", waiting for {process.script.describe_wait()}"
                    if isinstance(process, WorkerProcess)
                    else ""
                )
                self.violation(f"{process.name} has not ended{waits}")
        if self.violations:
            return
        blamed = world.faults.blamed
        self.is_finished = world.scheduler.job_state == "finished"
        first = [p for p in world.processes if p not in world.workers[world.scenario.num_workers :]]
        failed = [p for p in first if p.exit_code and p.name not in blamed and p.incarnation == 0]
        if not self.is_finished:
            failed = [process for process in world.processes if process.exit_code]
        failed = [p for p in failed if not (isinstance(p, ServerProcess) and p.is_stray)]
        if failed and not self._died_when_all_was_done(failed):
            self._judge_failure(failed)
        self._judge_values()

    def _died_when_all_was_done(self, failed: list[Process]) -> bool:
        """Whether nobody failed but schedulers, of which one died in the moment of the end: the next one misses those
        who had been let go, and cannot know that they did not die."""
        schedulers = [p for p in failed if isinstance(p, SchedulerProcess)]
        return len(schedulers) == len(failed) and any(p.job_state == "finished" for p in schedulers)

    def _judge_failure(self, failed: list[Process]) -> None:
        faults = self._world.faults
        if not faults.may_end_job:
            first = min(failed, key=lambda p: (p.name in faults.blamed, p.ended_at))
            self.violation(f"the job ended for no good reason: {first.name}: {first.reason}")
            return
        for process in failed:
            if process.state != "ended" or process.name in faults.blamed:
                continue
            if not any(name in process.reason for name in faults.blamed):
                blamed = " or ".join(sorted(faults.blamed))
                self.violation(f"{process.name} ended without naming {blamed}: {process.reason}")

    def _judge_values(self) -> None:
        scenario = self._scenario
        for where, value, clock, is_copy in self._world.held_values():
            place = self._places[where]
            who = f"{place.label} in the end"
            if is_copy:
                self.kept(where, "a copy in the end", clock, value)
                continue
            if self.is_finished:
                self._compare(who, place, max(scenario.num_steps), value)
            if not (scenario.decodes and place.spec.is_exact):
                continue
            held = self._decode(who, place, value)
            if held is None:
                continue
            self._judge_portions(who, held[0])
            for worker in self._world.workers:
                ended_well = self.is_finished and worker.exit_code == 0
                wanted = (place.made if ended_well else place.acknowledged)[worker.column]
                if lost := wanted & ~held[worker.column]:
                    self._missing(who, worker, lost, "though it was acknowledged")

    def _judge_portions(self, who: str, portions: int) -> None:
        """Nobody ends well before all data is learned from."""
        ended_well = any(worker.exit_code == 0 for worker in self._world.workers)
        if lost := ((1 << self._scenario.num_portions) - 1) & ~portions if ended_well else 0:
            self.violation(f"{who}: portion {_first(lost)} of the data is missing")

    def recoveries(self) -> list[tuple[str, float]]:
        """For each fault of a job that finished: how long it took until every worker that went on had done one
        more step."""
        times: list[tuple[str, float]] = []
        if not self.is_finished:
            return times
        for at, fault in self._world.faults.fired:
            after = [next((t for t in steps if t > at), None) for steps in self._stepped.values()]
            later = [t for t in after if t is not None]
            if later:
                times.append((fault.kind, max(later) - at))
        return times


def _first(rounds: int) -> int:
    return (rounds & -rounds).bit_length() - 1


def _digits(total: float) -> list[int]:
    number = int(total) if total == total and 0 <= total < 2**53 else 0
    digits = []
    while number:
        number, digit = divmod(number, 4)
        digits.append(digit)
    return digits

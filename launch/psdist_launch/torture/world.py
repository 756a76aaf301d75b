"""One schedule: a job in a world of its own, from its seed to its end."""

from __future__ import annotations

import random
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any, Final

from numpy.typing import NDArray

from psdist.wire import BadMessage

from .clock import Events
from .disk import Disk
from .injector import Faults
from .logs import Logs
from .network import Network, Parcel
from .oracle import Oracle
from .processes import Launcher, Process, SchedulerProcess, ServerProcess, WorkerProcess
from .scenario import DEAD_AFTER_S, REQUEST_TIMEOUT_S, START_TIMEOUT_S, Scenario

__all__ = ["Outcome", "World"]

_PATIENCE_S: Final = START_TIMEOUT_S + REQUEST_TIMEOUT_S + 3 * DEAD_AFTER_S  # after the last fault or step
_MOST_EVENTS: Final = 200_000

Note = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a schedule ended."""

    seed: int
    mode: str
    ending: str  # "finished", or why not
    violations: tuple[str, ...]
    trace: int  # a checksum of everything that was said, and when
    num_messages: int
    num_steps: int  # of training, all workers together
    num_reads: int  # that the oracle has seen
    faults: Counter[str]
    recoveries: tuple[tuple[str, float], ...]  # (kind of fault, seconds of virtual time)
    virtual_s: float
    wall_s: float
    blamed: tuple[str, ...] = field(default=())


class World:
    """A job's processes, what lies between them, and what happens to them."""

    def __init__(self, scenario: Scenario, note: Note | None = None) -> None:
        self.scenario = scenario
        self.job = "torture"
        self.random = random.Random(scenario.seed)
        self.events = Events()
        self.counts: Counter[str] = Counter()
        self.num_messages = 0
        self.trace = 0
        self._note = note
        self.network = Network(self)
        self.oracle = Oracle(self)
        self.faults = Faults(self)
        self.disk = Disk(self) if scenario.snapshot_every else None
        self.logs = Logs(self, self.disk) if scenario.logs and self.disk is not None else None
        self.launcher = Launcher(self)
        self._scheduler = SchedulerProcess(self, "scheduler", -1)
        self.processes: list[Process] = [
            self._scheduler,
            *(ServerProcess(self, f"server {i}", i) for i in range(scenario.num_servers)),
        ]
        self.workers: list[WorkerProcess] = []  # every life of every worker, by column
        for rank in range(scenario.num_workers):
            self._new_worker(rank, 0)
        self._by_name = {process.name: process for process in self.processes}

    def _new_worker(self, rank: int, incarnation: int) -> WorkerProcess:
        worker = WorkerProcess(self, f"worker {rank}", rank, incarnation, len(self.workers))
        self.workers.append(worker)
        self.processes.append(worker)
        return worker

    def restart(self, process: Process) -> None:
        """A process that has died comes again."""
        if self._by_name[process.name] is not process or not self.is_anybody_there:
            return
        again: Process
        if isinstance(process, WorkerProcess):
            if len(self.workers) >= self.scenario.num_columns:
                return
            again = self._new_worker(process.rank, process.incarnation + 1)
        elif isinstance(process, SchedulerProcess):
            again = self._scheduler = SchedulerProcess(self, process.name, -1, process.incarnation + 1)
            self.processes.append(again)
        else:
            again = ServerProcess(self, process.name, process.rank, process.incarnation + 1)
            self.processes.append(again)
        self.note(f"{process.name} comes again, incarnation {again.incarnation}")
        self._by_name[process.name] = again
        again.begin()  # a server or a worker asks for its rank; the scheduler asks who is there

    def add_worker(self) -> None:
        """One more worker comes, as far as there may be more."""
        rank = self.scenario.num_workers
        if f"worker {rank}" not in self._by_name and len(self.workers) < self.scenario.num_columns:
            worker = self._by_name[f"worker {rank}"] = self._new_worker(rank, 0)
            self.note(f"{worker.name} comes")
            worker.begin()

    def add_servers(self, num_servers: int) -> None:
        """There are to be so many: those that are not there come in a moment."""
        for rank in range(num_servers):
            self.events.after(self.random.uniform(0.05, 0.5), partial(self._come, f"server {rank}", rank))

    def _come(self, name: str, rank: int) -> None:
        old = self._by_name.get(name)
        if old is not None and (old.is_there or old.state == "crashed" or self.launcher.abort is not None):
            return
        server = ServerProcess(self, name, rank, old.incarnation + 1 if old is not None else 0)
        self.processes.append(server)
        self._by_name[name] = server
        self.note(f"{name} comes")
        server.begin()

    @property
    def is_anybody_there(self) -> bool:
        """Whether a server or a worker is left, for whom a launcher would start somebody again."""
        return any(p.is_there for p in self.processes if p is not self._scheduler)

    @property
    def scheduler(self) -> SchedulerProcess:
        return self._scheduler

    def by_name(self, name: str) -> Process:
        """The newest life of a process."""
        return self._by_name[name]

    def find(self, name: str) -> Process | None:
        """The newest life of a process; None when it has not come."""
        return self._by_name.get(name)

    def run(self) -> Outcome:
        """Let it all happen."""
        try:
            return self._run()
        finally:
            if self.logs is not None:
                self.logs.close()
            if self.disk is not None:
                self.disk.close()

    def _run(self) -> Outcome:
        began = perf_counter()
        events = self.events
        self._scheduler.begin()
        events.after(0.001, self.launcher.start)
        for process in self.processes[1:]:
            events.at(self.random.uniform(0.0, 0.1), process.begin)
        while any(process.is_there for process in self.processes) and events.step():
            last_at = max(self.faults.last_at, self.oracle.stepped_at)
            if events.now > last_at + _PATIENCE_S or events.num_done > _MOST_EVENTS:
                break
        self.oracle.judge()
        workers = self.workers
        failed = "" if self.oracle.is_finished else next((w.reason for w in workers if w.exit_code), "?")
        return Outcome(
            seed=self.scenario.seed,
            mode=self.scenario.mode,
            ending=failed or "finished",
            violations=tuple(self.oracle.violations),
            trace=self.trace,
            num_messages=self.num_messages,
            num_steps=sum(worker.num_steps for worker in workers),
            num_reads=self.oracle.num_reads,
            faults=self.counts,
            recoveries=tuple(self.oracle.recoveries()),
            virtual_s=events.now,
            wall_s=perf_counter() - began,
            blamed=tuple(sorted(self.faults.blamed)),
        )

    def held_values(self) -> Iterator[tuple[tuple[int, int], NDArray[Any], int, bool]]:
        """(place, value, clock, whether it is a copy) of every slice of the servers that nothing has happened to."""
        for process in self.processes:
            if isinstance(process, ServerProcess) and process.name not in self.faults.blamed:
                yield from process.held_values()

    # --- what the parts tell ----------------------------------------------------------------------

    def arrive(self, target: Process, source: Any, sender: Process, parcel: Parcel) -> None:
        """A message has come to a process's socket."""
        if target.state == "running":
            self._handle(target, source, sender, parcel)
        elif target.state == "stalled":
            target.take(lambda: self._handle(target, source, sender, parcel), source)

    def _handle(self, target: Process, source: Any, sender: Process, parcel: Parcel) -> None:
        self.num_messages += 1
        try:
            message = parcel.open()
        except BadMessage as e:
            error = e
            target.guard(lambda: target.refuse(source, error))
            return
        kind = type(message).__name__
        line = f"{self.events.now:.6f} {sender.name} {target.name} {kind} {getattr(message, 'seq', 0)}"
        self.trace = zlib.crc32(line.encode(), self.trace)
        if parcel.frames is not None:
            for frame in parcel.frames:
                self.trace = zlib.crc32(frame, self.trace)
        if self._note is not None:
            self._note(self.events.now, f"{sender.name} -> {target.name}  {message}")
        faults = self.faults
        faults.before(target, message)
        if target.state == "running":
            target.guard(lambda: target.handle(source, message))
        elif target.state == "stalled":
            target.take(lambda: target.handle(source, message), source)
        faults.after()

    def note(self, text: str) -> None:
        """For the trace that people read."""
        if self._note is not None:
            self._note(self.events.now, f"** {text}")

    def count(self, fault: str) -> None:
        self.counts[fault] += 1

"""A schedule's faults while it runs: waits for their triggers, does them, and remembers what they excuse."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from . import intruder
from .faults import Fault

if TYPE_CHECKING:
    from psdist.wire.messages import Message

    from .processes import Process
    from .world import World

__all__ = ["Faults"]

_SILENT: Final = ("partition", "split", "one_way", "isolate", "stall", "busy")
_SURVIVED_S: Final = 5.0  # silence, all together, that is taken for death by nobody


class Faults:
    """The faults of a schedule while it runs."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._armed = list(world.scenario.faults)
        self._seen: Counter[str] = Counter()
        self._due: list[Fault] = []  # triggered by the message that is handled now
        self.fired: list[tuple[float, Fault]] = []
        self.last_at = 0.0  # when the last one ends
        self.silence_s = 0.0  # how long, all together, somebody was not heard
        self.blamed: set[str] = set()  # who may be named as the cause if the job ends
        self.has_no_log = False  # a server could not write its log
        self.is_fatal = False  # somebody died at a moment when nobody can be replaced

    @property
    def may_end_job(self) -> bool:
        """Whether what went wrong is more than the job must survive."""
        if self.has_no_log:
            return True
        scenario = self._world.scenario
        dead = {fault.process for fault in self._crashes}
        if self.silence_s > _SURVIVED_S:
            if not self._is_one_stall:
                return True
            dead |= {fault.process for _, fault in self.fired if fault.kind in _SILENT}
        roles = [name.split()[0] for name in dead]
        if "scheduler" in roles:  # it must come again, and finds who is there, and nobody else
            return self.is_fatal or len(dead) > 1 or not self._crashes or not self._crashes[0].restarts
        # the job has too few workers left, or none of them had pushed yet
        too_few = not scenario.is_elastic or "--elastic" in self._world.scheduler.job_reason
        return (
            (self.is_fatal and bool(dead))
            or roles.count("server") > scenario.replicas
            or ("worker" in roles and too_few)
        )

    @property
    def _is_one_stall(self) -> bool:
        """Whether the silence was that of one process that stood still: the same as its death."""
        silent = [fault for _, fault in self.fired if fault.kind in _SILENT]
        return len(silent) == 1 and silent[0].kind in ("stall", "busy") and not self._crashes

    @property
    def _crashes(self) -> list[Fault]:
        return [fault for _, fault in self.fired if fault.kind == "crash"]

    def no_log(self, server: Process) -> None:
        """A server cannot write its log: the job ends."""
        self.has_no_log = True
        self.blamed.add(server.name)
        self.last_at = max(self.last_at, self._world.events.now)

    def before(self, target: Process, message: Message) -> None:
        """A message is about to be handled."""
        if not self._armed:
            return
        name = type(message).__name__
        self._seen[name] += 1
        self._seen[""] += 1
        due = [f for f in self._armed if self._seen[f.trigger.kind] == f.trigger.number]
        if not due:
            return
        self._armed = [fault for fault in self._armed if fault not in due]
        for fault in due:
            if fault.trigger.moment == "before":
                self._fire(fault)
                continue
            self._due.append(fault)
            if fault.kind == "crash" and fault.trigger.moment == "during":
                process = self._world.find(fault.process)
                if process is not None:
                    process.is_mute = True  # it handles the message; nobody hears of it

    def after(self) -> None:
        """The message has been handled."""
        if self._due:
            due, self._due = self._due, []
            for fault in due:
                self._fire(fault)

    def _fire(self, fault: Fault) -> None:
        world = self._world
        process = world.launcher if fault.kind == "scale" else world.find(fault.process)
        if process is None:
            return
        if not process.is_there:
            process.is_mute = False
            return
        if process.role == "scheduler" and fault.kind == "crash" and not world.is_anybody_there:
            return  # it has nothing left to do
        now = world.events.now
        world.note(f"fault: {fault}")
        world.count(fault.kind)
        self.fired.append((now, fault))
        self.last_at = max(self.last_at, now)
        getattr(self, f"_{fault.kind}")(fault, process)

    def _lasts(self, fault: Fault, *names: str) -> None:
        """For a while, these may not be heard of by others."""
        self.last_at = max(self.last_at, self._world.events.now + fault.duration_s)
        self.silence_s += fault.duration_s
        self.blamed.update(names)
        if self.silence_s > _SURVIVED_S:
            self._may_die(fault)

    def _may_die(self, fault: Fault) -> None:
        self._world.oracle.members_change()
        if self._world.scheduler.job_state == "joining":
            self.is_fatal = True

    def _reset(self, fault: Fault, process: Process) -> None:
        for dealer in self._world.network.dealers:
            if dealer.owner is process and dealer.target is not None and dealer.target.name == fault.other:
                dealer.reset()

    def _resets(self, fault: Fault, process: Process) -> None:
        for dealer in list(self._world.network.dealers):
            if process in (dealer.owner, dealer.target):
                dealer.reset()

    def _partition(self, fault: Fault, process: Process) -> None:
        self._cut(fault, [(fault.process, fault.other), (fault.other, fault.process)])

    def _one_way(self, fault: Fault, process: Process) -> None:
        self._cut(fault, [(fault.process, fault.other)])

    def _split(self, fault: Fault, process: Process) -> None:
        pairs = [(name, "scheduler") for name in (fault.process, fault.other)]
        self._cut(fault, pairs + [(b, a) for a, b in pairs])

    def _isolate(self, fault: Fault, process: Process) -> None:
        others = [p.name for p in self._world.processes if p is not process]
        if process.role == "scheduler":
            self.blamed.update(others)  # it takes them for dead
        self._cut(
            fault,
            [(process.name, other) for other in others] + [(other, process.name) for other in others],
        )

    def _cut(self, fault: Fault, pairs: list[tuple[str, str]]) -> None:
        world = self._world
        self._lasts(
            fault, *(name for pair in pairs for name in pair if fault.kind != "isolate"), fault.process
        )
        world.network.cut(pairs)
        # ZeroMQ's own heartbeats give up a connection after as long as ours do
        resets = fault.resets or fault.duration_s > 6.0

        def heal() -> None:
            world.note(f"healed: {fault}")
            world.network.heal(pairs, reset=resets)

        world.events.after(fault.duration_s, heal)

    def _stall(self, fault: Fault, process: Process) -> None:
        self._lasts(fault, process.name)
        if process.role == "scheduler" and fault.duration_s > _SURVIVED_S:
            # who has given it up meanwhile is dead when it looks again
            self.blamed.update(one.name for one in self._world.processes)
        process.stall(busy=fault.kind == "busy")

        def wake() -> None:
            self._world.note(f"goes on: {process.name}")
            process.wake()

        self._world.events.after(fault.duration_s, wake)

    _busy = _stall

    def _slow(self, fault: Fault, process: Process) -> None:
        self._world.network.slow_down(process.name, 0.05)

    def _crash(self, fault: Fault, process: Process) -> None:
        world = self._world
        self.blamed.add(process.name)
        self._may_die(fault)
        process.crash()
        delay_s = 0.01 + (fault.draw % 100) / 200
        if fault.is_noticed:
            world.launcher.saw_death(process, delay_s)
        if fault.restarts and (
            (process.role == "worker" and world.scenario.is_elastic)
            or process.role == "scheduler"
            or (process.role == "server" and world.scenario.replicas)
        ):
            world.events.after(delay_s + (fault.draw // 100 % 100) / 50, lambda: world.restart(process))

    def _join(self, fault: Fault, process: Process) -> None:
        if self._world.scheduler.job_state in ("joining", "running"):
            self._world.oracle.members_change()
            self._world.add_worker()

    def _scale(self, fault: Fault, process: Process) -> None:
        if self._world.scheduler.job_state == "running":
            self._world.launcher.scale(fault.draw)

    def _intrude(self, fault: Fault, process: Process) -> None:
        intruder.intrude(self._world, process, fault.draw)

"""What a worker's script does: it declares keys, trains, and leaves; and what of the store stands in between.

The rules are the real ones: `Client`, `Layout`, `KeyInfo`. What the real store (store.py) adds to them needs a
thread that blocks; here a script is a generator that yields what it waits for: a call, a number of seconds
that it computes, or a condition.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from psdist_worker.client import SCHEDULER, Call, Client, Reply, Request
from psdist_worker.plan import (
    KeyInfo,
    Layout,
    Layouts,
    Piece,
    begin_together,
    init_messages,
    key_info,
    slices_of,
)

from psdist.errors import PSError
from psdist.wire import key_name
from psdist.wire import messages as m
from psdist.wire.spans import Spans

from .scenario import CLOSE_TIMEOUT_S, REQUEST_TIMEOUT_S, Scenario, Step
from .table import Table

if TYPE_CHECKING:
    from .processes import WorkerProcess

__all__ = ["Script"]

_ROUNDS_AHEAD = 4  # as in store.py
_HURRY = 1 << 60

Wait = Call | float | Callable[[], bool]


class Script:
    """One worker's training."""

    def __init__(self, worker: WorkerProcess, scenario: Scenario) -> None:
        self.waits_for: Wait | None = None
        self.step = 0  # how many steps are done
        self.worker = worker
        self.scenario = scenario
        self.client: Client = worker.client
        self.oracle = worker.world.oracle
        self._infos: list[KeyInfo] = []
        self.table: Table | None = None
        self._layouts = Layouts()
        self.staleness = scenario.staleness
        self._barriers = 0
        self._missing: list[int] = []  # portions of the data, when it was last asked
        self._in_flight = 0  # calls in the background
        self._error: PSError | None = None  # of one of them
        self._is_asleep = False
        self._is_running = False
        self._steps = self._train_portions() if scenario.num_portions else self._train()

    @property
    def rank(self) -> int:
        return self.client.rank

    def start(self) -> None:
        join = self.call(1)
        self.client.start("tcp://scheduler:1", join, self.worker.clock.read())
        self.waits_for = join

    # --- the script's thread ----------------------------------------------------------------------

    def go_on(self) -> None:
        """Run until the script has to wait."""
        if self._is_running or not self.worker.is_awake:
            return
        self._is_running = True
        try:
            while self._is_ready():
                error = self.waits_for.error if isinstance(self.waits_for, Call) else self._error
                self.waits_for = self._steps.throw(error) if error is not None else next(self._steps)
                if isinstance(self.waits_for, float):
                    self._sleep(self.waits_for)
        except StopIteration:
            self.worker.end(0, "trained")
        except PSError as e:
            self.worker.fail(e)
        finally:
            self._is_running = False

    def _is_ready(self) -> bool:
        waits = self.waits_for
        if isinstance(waits, Call):
            return waits.is_done
        if isinstance(waits, float):
            return not self._is_asleep
        return waits is None or self._error is not None or waits()

    def _sleep(self, seconds: float) -> None:
        self._is_asleep = True

        def woken() -> None:
            self._is_asleep = False
            self.go_on()

        worker = self.worker
        worker.world.events.after(seconds, lambda: worker.take(woken))

    def describe_wait(self) -> str:
        waits = self.waits_for
        what = (
            "a call" if isinstance(waits, Call) else "a moment" if isinstance(waits, float) else "a condition"
        )
        return f"{what} in step {self.step}"

    # --- training ---------------------------------------------------------------------------------

    def _train(self) -> Generator[Wait, None, None]:
        scenario = self.scenario
        yield from self._declare()
        like = self.rank % scenario.num_workers  # one more worker does as another does
        steps = scenario.programs[like]
        infos = self._infos if self.table is None else [*self._infos, self.table.info]
        begins = max([info.clock for info in infos], default=0)
        for i, step in list(enumerate(steps))[begins:]:
            yield self._think_s(like)
            if step.staleness is not None:
                yield from self._turn_dial(step.staleness)
            groups = [[info] for info in self._infos] if step.each_key else [self._infos]
            if self.table is not None:
                self.worker.submit(self._new_rates(i, step))
                # first, and not waited for: a newcomer may begin it a round earlier than the other keys, or later
                yield from self.table.push()
            for infos in groups:
                yield from self._push(infos, i, step)
            if step.pulls and not step.fuses:
                for infos in groups:
                    yield self._pull(infos)
            if step.pulls and self.table is not None:
                yield self.table.pull()
            if step.barrier:
                yield self._barrier()
            self.step = i + 1
            self.worker.num_steps += 1
            self.oracle.stepped(self.worker)
        yield lambda: not self._in_flight
        if self._error is not None:
            raise self._error
        yield self._pull(self._infos)
        if self.table is not None:
            yield self.table.pull()
        call = Call(1, CLOSE_TIMEOUT_S, lambda call: None)
        self.worker.leave(call)
        yield call

    def _train_portions(self) -> Generator[Wait, None, None]:
        """Learn from the portions that are this worker's, as psdist.io's PortionIter hands them out."""
        scenario = self.scenario
        yield from self._declare()
        like = self.rank % scenario.num_workers
        steps = scenario.programs[like]
        share: list[int] = []
        mine: list[int] = []
        while True:
            assert self.client.view is not None
            ranks = sorted(m.rank for m in self.client.view.members if m.role == "worker")
            if ranks != share:
                share = ranks
                mine = yield from self._deal(ranks)
                continue
            if not mine:
                yield from self._deal(ranks)
                mine = self._missing[:1]  # what others have not pushed yet, should they die
                if not mine:
                    break
            portion = mine.pop(0)
            yield self._think_s(like)
            step = steps[self.step % len(steps)]
            yield from self._push(self._infos, self.step, step, portion)
            if step.pulls and not step.fuses:
                yield self._pull(self._infos)
            self.step += 1
            self.worker.num_steps += 1
            self.oracle.stepped(self.worker)
        yield lambda: not self._in_flight
        if self._error is not None:
            raise self._error
        yield self._pull(self._infos)
        call = Call(1, CLOSE_TIMEOUT_S, lambda call: None)
        self.worker.leave(call)
        yield call

    def _think_s(self, like: int) -> float:
        """How long a step computes: five of them, which others may be ahead, never as long as they wait for it."""
        mean_s = self.scenario.think_s[like]
        return min(self.worker.world.random.expovariate(1 / mean_s), 4 * mean_s, REQUEST_TIMEOUT_S / 6)

    def _deal(self, ranks: list[int]) -> Generator[Wait, None, list[int]]:
        found: list[Spans] = []

        def take(reply: Reply) -> None:
            assert isinstance(reply, m.Portions), reply
            if reply.is_any:
                found.append(Spans(reply.bounds))

        yield lambda: not self._in_flight
        shards = range(self.client.num_shards)
        yield self.ask([(shard, m.GetPortions(self.client.next_seq())) for shard in shards], take)
        applied = functools.reduce(operator.and_, found) if found else Spans()
        self._missing = list(applied.missing(self.scenario.num_portions))
        return [p for p in self._missing if p % len(ranks) == ranks.index(self.rank)]

    def _declare(self) -> Generator[Wait, None, None]:
        scenario, client = self.scenario, self.client
        begins: dict[int, int] = {}
        if client.is_late:
            begins = yield from self._catch_up()
        elif scenario.staleness and client.leads:
            yield self._ask_servers(lambda seq: m.SetStaleness(seq, scenario.staleness))
        self._infos = [
            key_info(
                spec.key,
                (spec.length,),
                spec.dtype,
                client.num_servers,
                scenario.slice_nbytes,
                num_shards=client.num_shards,
                together=scenario.needs_whole,
            )
            for spec in scenario.keys
        ]
        for info in self._infos:
            info.begin(begins.get(info.number, 0))
        gives = client.leads and not all(info.number in begins for info in self._infos)
        flats = [scenario.initial[spec.key].copy() for spec in scenario.keys] if gives else None
        yield self.ask(list(init_messages(self._infos, flats, client.next_seq)))
        if scenario.table is not None and not scenario.num_portions:
            self.table = Table(self, scenario.table, begins)
            yield self.table.declare()
        if scenario.optimizer is not None and not client.is_late:
            name, numbers = scenario.optimizer
            lr, wd = scenario.rates
            specs = (*scenario.keys, scenario.table) if scenario.table is not None else scenario.keys
            wd_mult = {key_name(spec.key): 0.0 for spec in specs if spec.is_exact and scenario.decodes}
            if client.leads:
                yield self._ask_servers(
                    lambda seq: m.SetOptimizer(seq, name, dict(numbers), lr, wd, {}, wd_mult, True)
                )
            yield self._barrier()

    def _catch_up(self) -> Generator[Wait, None, dict[int, int]]:
        """The job was running when this worker came: learn how far it is, and say where this worker begins."""
        clocks: dict[int, int] = {}

        def take(reply: Reply) -> None:
            assert isinstance(reply, m.Clocks), reply
            for number, clock in zip(reply.keys, reply.clocks, strict=True):
                clocks[number] = max(clock, clocks.get(number, 0))

        next_seq, shards = self.client.next_seq, range(self.client.num_shards)
        yield self.ask([(shard, m.Join(next_seq())) for shard in shards], take)
        clocks = begin_together(clocks, _ROUNDS_AHEAD + max(self.staleness, 0))
        begins = [*clocks], [*clocks.values()]
        yield self.ask([(shard, m.Begin(next_seq(), *begins)) for shard in shards])
        assert self.client.view is not None
        self._barriers = int(self.client.view.meetings.get("", 0) or 0)
        return clocks

    def _turn_dial(self, staleness: int) -> Generator[Wait, None, None]:
        yield lambda: not self._in_flight
        if self.client.leads:
            yield self._ask_servers(lambda seq: m.SetStaleness(seq, staleness))
        self.staleness = staleness

    # --- what store.py does -----------------------------------------------------------------------

    def call(self, num_requests: int, done: Callable[[Call], None] | None = None) -> Call:
        return Call(num_requests, REQUEST_TIMEOUT_S, done or (lambda call: None))

    def ask(
        self, messages: Sequence[tuple[int, Any]], deliver: Callable[[Reply], None] | None = None
    ) -> Call:
        call = self.call(len(messages))
        self.worker.submit([Request(peer, message, call, deliver=deliver) for peer, message in messages])
        return call

    def _ask_servers(self, message: Callable[[int], Any]) -> Call:
        return self.ask([(rank, message(self.client.next_seq())) for rank in range(self.client.num_shards)])

    def _barrier(self) -> Call:
        message = m.Barrier(self.client.next_seq(), "", self._barriers)
        self._barriers += 1
        return self.ask([(SCHEDULER, message)])

    def _push(
        self, infos: list[KeyInfo], i: int, step: Step, portion: int = -1
    ) -> Generator[Wait, None, None]:
        ahead = _ROUNDS_AHEAD + max(self.staleness, 0)
        yield lambda: all(info.clock - info.acknowledged < ahead for info in infos)
        layout = self._layouts.layout(tuple(info.key for info in infos), lambda: infos)
        data = self.scenario.data
        if portion < 0:
            flats = [data[info.key][self.worker.column, info.clock] for info in infos]
        else:
            flats = [np.full(math.prod(info.shape), -(4.0**portion), info.dtype) for info in infos]
        portions = [portion] if portion >= 0 else []
        requests = self._new_rates(i, step) if infos[0] is self._infos[0] and self.table is None else []
        what = {info.key: info.clock if portion < 0 else portion for info in infos}

        def done(call: Call) -> None:
            self._in_flight -= 1
            if call.error is not None:
                self._error = self._error or call.error
                return
            for info in infos:
                info.acknowledge()
                self.oracle.acknowledged(self.worker, info, what[info.key])

        call = self.call(len(layout.pieces), done)
        client = self.client
        view, next_seq = client.view, client.next_seq
        assert view is not None
        for piece in layout.pieces:
            now, values = layout.clocks(piece), slices_of(piece, flats)
            message: m.Push | m.PushPull
            if step.fuses:
                seen = self.seen([clock + 1 for clock in now])
                message = m.PushPull(
                    next_seq(),
                    view.epoch,
                    client.ack,
                    piece.numbers,
                    piece.offsets,
                    now,
                    seen,
                    portions,
                    values,
                )
            else:
                message = m.Push(
                    next_seq(), view.epoch, client.ack, piece.numbers, piece.offsets, now, portions, values
                )
            deliver = self._reader(layout, piece, self.seen([c + 1 for c in now])) if step.fuses else None
            requests.append(Request(piece.server, message, call, deliver=deliver))
        for info in infos:
            self.oracle.pushed(self.worker, info, what[info.key])
            info.count()
        self.client.step = max(self.client.step, max(info.clock for info in infos))
        self._in_flight += 1
        self.worker.submit(requests)
        if step.fuses or step.waits:
            yield call

    def _new_rates(self, i: int, step: Step) -> list[Request]:
        if step.rates is None:
            return []
        lr, wd = step.rates

        def done(call: Call) -> None:
            self._in_flight -= 1
            self._error = self._error or call.error

        self._in_flight += 1
        servers = range(self.client.num_shards)
        call = self.call(len(servers), done)
        next_seq = self.client.next_seq
        return [Request(rank, m.SetHyper(next_seq(), i, lr, wd), call, _HURRY) for rank in servers]

    def _pull(self, infos: list[KeyInfo]) -> Call:
        layout = self._layouts.layout(tuple(info.key for info in infos), lambda: infos)
        call = self.call(len(layout.pieces))
        requests = []
        for piece in layout.pieces:
            clocks = self.seen(layout.clocks(piece))
            message = m.Pull(self.client.next_seq(), piece.numbers, piece.offsets, clocks)
            requests.append(Request(piece.server, message, call, deliver=self._reader(layout, piece, clocks)))
        self.worker.submit(requests)
        return call

    def begin(self, requests: list[Request]) -> None:
        """Send what is not waited for."""
        self._in_flight += 1
        self.worker.submit(requests)

    def finish(self, call: Call) -> None:
        """It is answered."""
        self._in_flight -= 1
        self._error = self._error or call.error

    def seen(self, clocks: m.Ints) -> m.Ints:
        if self.staleness == 0:
            return clocks
        if self.staleness < 0:
            return [0] * len(clocks)
        return [max(0, clock - self.staleness) for clock in clocks]

    def _reader(self, layout: Layout, piece: Piece, min_clocks: m.Ints) -> Callable[[Reply], None]:
        """Shows what is read to the oracle."""
        places = list(zip(piece.numbers, piece.offsets, strict=True))
        promised = self.oracle.promised(places)

        def deliver(reply: Reply) -> None:
            assert isinstance(reply, m.Values), reply
            for i, place in enumerate(places):
                self.oracle.read(
                    self.worker, place, min_clocks[i], reply.clocks[i], reply.values[i], promised[i]
                )

        return deliver

"""A job in virtual time: the rules of workers and servers, and how long what they ask for takes.

A push goes through the script's thread, the socket's thread, ZeroMQ's, the worker's link, the server's link, ZeroMQ's
thread there, and the server's loop, where the rules run; the reply goes back the same way. What waits where, and
for whom, is what comes out.

Gradients are arrays without memory (one number, seen 262,144 times), so that a thousand workers fit. The sums
are real.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from psdist_server.rounds import Round, Slice
from psdist_server.server import Server
from psdist_server.shard import SCHEDULER as SCHEDULER_LINE
from psdist_server.updates import Updates
from psdist_worker import client as rules
from psdist_worker.client import Call, Client, Request
from psdist_worker.plan import KeyInfo, Layout, Rounds, init_messages, key_info, slices_of

from psdist.errors import PSError
from psdist.settings import Settings
from psdist.wire import messages as m
from psdist.wire.codec import Packed

from ..torture.clock import Events
from .costs import Costs, Verb, Way
from .stations import Host, Link, Thread

__all__ = ["Job", "Result", "play"]

_MEMORY_WINDOW: Final = 4 << 20  # bytes that a worker shares at first: psdist_worker/shm.py
_HEADER: Final = 150  # bytes of a message beside its arrays, with TCP's own
_PLAYED: Final = 4  # so many servers are played each
_FORWARD: Final = 1 / 3  # of a step's computing; the way back is the rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be predicted."""

    num_workers: int
    num_servers: int
    keys: tuple[int, ...]  # elements of each array, in the order in which the forward pass needs them
    way: str = "TCP"
    link_rate: float = math.inf  # bytes a second, each way, of each process's host
    delay_s: float = 0.0
    cores: int = 8  # of each process's host
    one_host: bool = False  # all processes on one host with `cores`
    compute_s: float = 0.0  # forward and backward of a step
    overlaps: bool = False  # gradients leave while earlier layers' are computed
    optimizer: str = ""
    slice_nbytes: int = 1 << 20
    rounds: int = 2


@dataclass(frozen=True, slots=True)
class Result:
    """What came out."""

    step_s: float
    busy: dict[str, float]  # share of the time that each thread and link was at work, of its busiest
    num_messages: int


def play(job: Job, costs: Costs, on_round: Callable[[int], None] | None = None) -> Result:
    """Play some rounds; the step time is that of the later ones. `on_round` hears how many are done."""
    return _World(job, costs, on_round).run()


class _World:
    def __init__(self, job: Job, costs: Costs, on_round: Callable[[int], None] | None) -> None:
        self.job = job
        self.costs = costs
        self.way: Way = costs.ways[job.way]
        self.events = Events()
        self.num_messages = 0
        self._on_round = on_round
        self.infos = infos = [
            key_info(i, (size,), np.dtype(np.float32), job.num_servers, job.slice_nbytes)
            for i, size in enumerate(job.keys)
        ]
        self._layouts: dict[tuple[int, ...], Layout] = {}
        shares = [0] * job.num_servers
        for info in infos:
            for part in info.slices:
                shares[part.server] += part.length
        # of many servers the fullest stands for all, and what a worker does for it counts for the others, too
        most = max(range(job.num_servers), key=shares.__getitem__)
        played = range(job.num_servers) if job.num_servers <= _PLAYED else [most]
        self.weight = sum(shares) / sum(shares[i] for i in played)
        self._arithmetic_s = 0.0
        shared = Host(job.cores) if job.one_host else None
        self.servers = {i: _Server(self, i, shared or Host(job.cores)) for i in played}
        self.workers = [_Worker(self, i, shared or Host(job.cores)) for i in range(job.num_workers)]
        members = tuple(
            [
                m.Member("server", s.rank, 0, 1 + s.rank, f"tcp://server-{s.rank}")
                for s in self.servers.values()
            ]
            + [m.Member("worker", w.rank, 0, 1 + w.rank, "") for w in self.workers]
        )
        self.view = m.View(1, 1, -1, job.num_workers, job.num_servers, members)

    def run(self) -> Result:
        with self._counted():
            for server in self.servers.values():
                server.begin()
            for worker in self.workers:
                worker.begin()
            self.servers_take_values()
            began = 0.0
            for worker in self.workers:
                worker.go_on()
            first = False
            while self.events.step():
                if not first and all(len(worker.ends) >= 1 for worker in self.workers):
                    first, began = True, self.events.now
                    self.reset_busy()
        ended = self.events.now
        steps = [(w.ends[-1] - w.ends[0]) / (len(w.ends) - 1) for w in self.workers]
        return Result(sum(steps) / len(steps), self._busy(ended - began), self.num_messages)

    def servers_take_values(self) -> None:
        """Rank 0 gives the first values."""
        worker = self.workers[0]
        flats = [_hollow(info.shape[0]) for info in worker.infos]
        for number, init in init_messages(worker.infos, flats, worker.client.next_seq):
            if number in self.servers:
                self.servers[number].rules.step(worker.line(number), init, 0.0)

    def layout(self, keys: tuple[int, ...]) -> Layout:
        """The layout of these keys, to be given the caller's own clocks, as far as it is about servers that are
        played."""
        if keys not in self._layouts:
            layout = self._layouts[keys] = Layout([self.infos[i] for i in keys])
            layout.pieces = [piece for piece in layout.pieces if piece.server in self.servers]
        return copy(self._layouts[keys])

    def round_is_done(self, worker: _Worker) -> None:
        if worker.rank == 0 and self._on_round is not None:
            self._on_round(len(worker.ends))

    # --- who was busy ------------------------------------------------------------------------------

    def _parts(self) -> Iterator[tuple[str, Thread | Link]]:
        for worker in self.workers:
            yield "workers' scripts", worker.script
            yield "workers' socket threads", worker.io
            yield "workers' ZeroMQ threads", worker.net
            yield "workers' links, out", worker.up
            yield "workers' links, in", worker.down
        for server in self.servers.values():
            yield "servers' loops", server.loop
            yield "servers' ZeroMQ threads", server.net
            yield "servers' links, in", server.down
            yield "servers' links, out", server.up

    def reset_busy(self) -> None:
        for _, part in self._parts():
            part.busy_s = 0.0
        for server in self.servers.values():
            server.reduce_s = server.update_s = 0.0

    def _busy(self, seconds: float) -> dict[str, float]:
        busy: dict[str, float] = {}
        for name, part in self._parts():
            busy[name] = max(busy.get(name, 0.0), part.busy_s / seconds)
        busy["servers' loops: adding"] = max(s.reduce_s for s in self.servers.values()) / seconds
        busy["servers' loops: updating"] = max(s.update_s for s in self.servers.values()) / seconds
        if self.job.one_host:
            total = sum(part.busy_s for _, part in self._parts() if isinstance(part, Thread))
            busy["cores"] = total / seconds / self.job.cores
        return busy

    # --- what the servers' arithmetic costs --------------------------------------------------------

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Have the additions and updates of the rules counted while this world runs."""
        add_up, apply = Round.add_up, Updates.apply
        world, costs = self, self.costs
        copies = self.job.way == "memory" and self.job.num_workers == 1

        def counted_add_up(round_: Round, *how: Any) -> bool:
            before = max(1, round_.num_added)
            is_complete = add_up(round_, *how)
            if round_.total is not None and round_.num_added > before:
                world.reduced((round_.num_added - before) * round_.total.nbytes * costs.reduce_byte)
            return is_complete

        def counted_apply(updates: Updates, piece: Slice, *how: Any) -> None:
            apply(updates, piece, *how)
            name = world.job.optimizer
            if name or copies:  # else the sum becomes the value
                world.updated(piece.value.nbytes * costs.update_byte[name])

        patches: tuple[tuple[type, str, Any, Any], ...] = (
            (Round, "add_up", counted_add_up, add_up),
            (Updates, "apply", counted_apply, apply),
        )
        for owner, name, ours, _ in patches:
            setattr(owner, name, ours)
        try:
            yield
        finally:
            for owner, name, _, plain in patches:
                setattr(owner, name, plain)

    def reduced(self, seconds: float) -> None:
        self._arithmetic_s += seconds
        self.stepping.reduce_s += seconds

    def updated(self, seconds: float) -> None:
        self._arithmetic_s += seconds
        self.stepping.update_s += seconds

    def take_arithmetic(self) -> float:
        seconds, self._arithmetic_s = self._arithmetic_s, 0.0
        return seconds

    stepping: _Server  # whose rules run now


def _hollow(size: int) -> m.Tensor:
    """An array of zeros that takes no memory, and that nobody may write."""
    return np.broadcast_to(np.float32(0), size)


def _verb(message: m.Message) -> Verb:
    return (
        "pushpull" if isinstance(message, m.PushPull) else "push" if isinstance(message, m.Push) else "pull"
    )


class _Server:
    def __init__(self, world: _World, rank: int, host: Host) -> None:
        job = world.job
        self.world = world
        self.rank = rank
        self.rules = Server("plan", token=1 + rank)
        self.loop = Thread(world.events, host, world.way.wake_s)
        self.net = Thread(world.events, host, world.way.wake_s)
        self.down = Link(world.events, job.link_rate, job.delay_s)
        self.up = Link(world.events, job.link_rate, job.delay_s)
        self.reduce_s = self.update_s = 0.0
        self._asked: dict[tuple[bytes, int], tuple[Verb, int]] = {}

    def begin(self) -> None:
        view = self.world.view
        rank = self.rank
        self.rules.step(
            SCHEDULER_LINE, m.View(1, 1, rank, view.num_workers, view.num_servers, view.members), 0.0
        )

    def take(self, line: bytes, message: Any, nbytes: int) -> None:
        """A request has come through the link."""
        world, verb, keys = self.world, _verb(message), len(message.keys)
        way = world.way
        self._asked[line, message.seq] = verb, keys
        out: list[tuple[bytes, m.Message]] = []

        def step() -> float:
            world.stepping = self
            out.extend(self.rules.step(line, message, world.events.now))
            world.num_messages += 1
            small = way.key["loop"] * keys if keys > 1 else 0.0
            return way.request(verb, "loop", nbytes) + small + world.take_arithmetic()

        def stepped() -> None:
            for destination, reply in out:
                self._answer(destination, reply)

        def came() -> None:
            self.loop.put(step, stepped)

        self.net.put(lambda: way.request(verb, "server net", nbytes), came)

    def _answer(self, line: bytes, reply: m.Message) -> None:
        if isinstance(reply, m.Error):
            raise PSError(f"the rules have refused what was planned: {reply.text}")
        assert isinstance(reply, m.Values | m.Done), reply
        verb, keys = self._asked.pop((line, reply.seq))
        nbytes = sum(v.nbytes for v in _arrays(reply)) if isinstance(reply, m.Values) else 0
        world, way = self.world, self.world.way
        worker = world.workers[int(line.split(b".")[0])]

        def sent() -> None:
            on_wire = (0 if world.job.way == "memory" else nbytes) + _HEADER
            self.up.send(on_wire, lambda: worker.hear(self.rank, reply, verb, nbytes, on_wire, keys))

        def made() -> None:
            self.net.put(lambda: way.reply(verb, "server net", nbytes), sent)

        self.loop.put(lambda: way.reply(verb, "loop", nbytes), made)


def _arrays(message: Any) -> Sequence[m.Tensor]:
    values = message.values
    return [values.flat] if isinstance(values, Packed) else values


class _Worker:
    """A worker: its client's rules, and a script that trains."""

    def __init__(self, world: _World, rank: int, host: Host) -> None:
        job, events, wake_s = world.job, world.events, world.way.wake_s
        self.world = world
        self.rank = rank
        settings = Settings(role="worker", root_uri="x", root_port=1, job="plan", wanted_rank=rank)
        self.client = Client(settings, 1 + rank)
        self.script = Thread(events, host, wake_s)
        self.io = Thread(events, host, wake_s)
        self.net = Thread(events, host, wake_s)
        self.up = Link(events, job.link_rate, job.delay_s)
        self.down = Link(events, job.link_rate, job.delay_s)
        self.ends: list[float] = []  # of rounds
        self.infos = [replace(info, rounds=Rounds(1)) for info in world.infos]  # alike, but for the clocks
        self._layouts: dict[tuple[int, ...], Layout] = {}
        self._heap: list[tuple[int, int, rules.Send]] = []
        self._order = itertools.count()
        self._in_flight = 0
        self._is_sending = False
        self._steps = self._train()

    def line(self, server: int) -> bytes:
        """What the server knows this worker's connection by."""
        return b"%d.%d" % (self.rank, server)

    def begin(self) -> None:
        """Join: everybody is there already, so this takes no time."""
        client, view = self.client, self.world.view
        client.start("tcp://scheduler", Call(1, 1e9, lambda call: None), 0.0)
        client.receive(rules.SCHEDULER, m.Welcome(client.outbox.pop().message.seq, -1, 1.0, 1e9, 1e9), 0.0)  # type: ignore[union-attr]
        own = m.View(1, 1, self.rank, view.num_workers, view.num_servers, view.members)
        client.receive(rules.SCHEDULER, own, 0.0)
        while client.outbox:
            action = client.outbox.popleft()
            if isinstance(action, rules.Send) and isinstance(action.message, m.Hello) and action.peer >= 0:
                server = self.world.servers[action.peer]
                for _, reply in server.rules.step(self.line(action.peer), action.message, 0.0):
                    client.receive(action.peer, reply, 0.0)
        assert client.state == "joined", client.failure

    # --- the script --------------------------------------------------------------------------------

    def go_on(self) -> None:
        next(self._steps, None)

    def _train(self) -> Generator[None, None, None]:
        """Each `yield` waits for something that calls `go_on`."""
        job = self.world.job
        everything = tuple(range(len(job.keys)))
        for _ in range(1 + job.rounds):
            if job.compute_s and not job.overlaps:
                yield from self._compute(job.compute_s)
            if job.overlaps and job.compute_s:
                yield from self._compute(job.compute_s * _FORWARD)
                total = sum(job.keys)
                for i in reversed(everything):
                    yield from self._compute(job.compute_s * (1 - _FORWARD) * job.keys[i] / total)
                    self._ask("push", (i,), -i, None)
                self._ask("pull", everything, 0, self.go_on)
            else:
                self._ask("pushpull", everything, 0, self.go_on)
            yield
            self.ends.append(self.world.events.now)
            self.world.round_is_done(self)

    def _compute(self, seconds: float) -> Generator[None, None, None]:
        self.script.put(lambda: seconds, self.go_on)
        yield

    def _ask(self, verb: Verb, keys: tuple[int, ...], priority: int, then: Callable[[], None] | None) -> None:
        """What store.py does: messages for each piece, made by the script's thread."""
        infos: list[KeyInfo] = [self.infos[i] for i in keys]
        layout = self._layouts.get(keys)
        if layout is None:
            layout = self._layouts[keys] = self.world.layout(keys)
            layout.infos = infos
        pieces = layout.pieces

        def done(call: Call) -> None:
            if call.error is not None:
                raise call.error
            if then is not None:
                self.script.put(lambda: 0.0, then)

        if not pieces:  # all of it is on servers that are not played
            if then is not None:
                self.script.put(lambda: 0.0, then)
            return
        call = Call(len(pieces), 1e9, done)
        flats = [_hollow(info.shape[0]) for info in infos]
        requests = []
        way, cost = self.world.way, 0.0
        for piece in pieces:
            seq, clocks = self.client.next_seq(), layout.clocks(piece)
            values: m.Tensors = slices_of(piece, flats) if verb != "pull" else []
            if values and piece.is_small:
                values = Packed(np.concatenate(values), piece.lengths)
            message: m.Push | m.Pull | m.PushPull
            if verb == "push":
                message = m.Push(seq, 1, 1, piece.numbers, piece.offsets, clocks, [], values)
            elif verb == "pull":
                message = m.Pull(seq, piece.numbers, piece.offsets, clocks)
            else:
                seen = [clock + 1 for clock in clocks]
                message = m.PushPull(seq, 1, 1, piece.numbers, piece.offsets, clocks, seen, [], values)
            requests.append(Request(piece.server, message, call, priority))
            nbytes = 4 * sum(piece.lengths)
            if verb == "push":  # else the caller's own thread sends and reads while it waits: see `_own`
                cost += way.request(verb, "script", nbytes) + way.reply(verb, "script", nbytes)
            cost += way.key["script"] * len(piece.items) if len(piece.items) > 1 else 0.0
        if verb != "pull":
            for info in infos:
                info.count()

        def made() -> None:
            for request in requests:
                self.client.submit(request, self.world.events.now)
            self._act()

        self.script.put(lambda: cost * self.world.weight, made)

    # --- the socket's thread -----------------------------------------------------------------------

    def _act(self) -> None:
        outbox = self.client.outbox
        while outbox:
            action = outbox.popleft()
            assert isinstance(action, rules.Send), action
            heapq.heappush(self._heap, (-action.priority, next(self._order), action))
        self._send_some()

    def _send_some(self) -> None:
        """One message after the other, as long as there is room in the memory that is shared."""
        if not self._heap or self._is_sending:
            return
        send = self._heap[0][2]
        message: Any = send.message
        verb = _verb(message)
        nbytes = 0 if verb == "pull" else sum(v.nbytes for v in _arrays(message))
        world = self.world
        if world.job.way == "memory" and verb == "pushpull":
            if self._in_flight and self._in_flight + nbytes > _MEMORY_WINDOW:
                return
            self._in_flight += nbytes
        heapq.heappop(self._heap)
        self._is_sending = True
        way, weight, keys = world.way, world.weight, len(message.keys)
        on_wire = (0 if world.job.way == "memory" else nbytes) + _HEADER
        server = world.servers[send.peer]

        def cost() -> float:
            small = way.key["io"] * keys / 2 if keys > 1 else 0.0
            return (way.request(verb, "io", nbytes) + self._own(way.request, verb, nbytes) + small) * weight

        def sent() -> None:
            self._is_sending = False
            self.net.put(lambda: way.request(verb, "net", nbytes) * weight, leave)
            self._send_some()

        def leave() -> None:
            self.up.send(on_wire * weight, arrive)

        def arrive() -> None:
            server.down.send(on_wire, lambda: server.take(self.line(send.peer), message, nbytes))

        self.io.put(cost, sent)

    @staticmethod
    def _own(cost: Callable[[Verb, str, int], float], verb: Verb, nbytes: int) -> float:
        """What the calling thread spends on a message that it waits for: it drives the sockets meanwhile."""
        return cost(verb, "script", nbytes) if verb != "push" else 0.0

    def hear(
        self, server: int, reply: m.Values | m.Done, verb: Verb, nbytes: int, on_wire: int, keys: int
    ) -> None:
        """A reply has left the server's link."""
        world = self.world
        way, weight = world.way, world.weight

        def cost() -> float:
            small = way.key["io"] * keys / 2 if keys > 1 else 0.0
            return (way.reply(verb, "io", nbytes) + self._own(way.reply, verb, nbytes) + small) * weight

        def heard() -> None:
            if world.job.way == "memory" and verb == "pushpull":
                self._in_flight -= nbytes
            self.client.receive(server, reply, world.events.now)
            self._act()

        def came() -> None:
            self.net.put(lambda: way.reply(verb, "net", nbytes) * weight, lambda: self.io.put(cost, heard))

        self.down.send(on_wire * weight, came)

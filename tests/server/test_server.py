"""Shards with copies, in a small world of queues: connections break and servers die, and no bit is lost."""

from __future__ import annotations

import functools
import random
from collections import deque
from typing import Any

import numpy as np
import pytest
from psdist_server.scheduler import Scheduler
from psdist_server.server import Server
from psdist_server.shard import SCHEDULER

from psdist.optimizer import from_wire
from psdist.table import Evict, First, Rows, Table, chunks, merge, split
from psdist.wire import decode, encode, key_number
from psdist.wire import messages as m

LENGTH, NUM_ROUNDS = 4, 8
KEYS = [f"i:{i}" for i in range(4)]  # key i is in shard i % num_servers


def gradient(rank: int, clock: int, i: int) -> m.Tensor:
    rng = np.random.default_rng([rank, clock, i])
    return rng.standard_normal(LENGTH).astype(np.float32)


def expected(num_workers: int, i: int, num_rounds: int) -> bytes:
    value, rule = np.zeros(LENGTH, np.float32), from_wire("adam", {})
    state = rule.create_state(value)
    for clock in range(num_rounds):
        total = gradient(0, clock, i)
        for rank in range(1, num_workers):
            total = total + gradient(rank, clock, i)
        rule.update(value, total, state, lr=0.1, wd=0.0, t=clock + 1)
    return value.tobytes()


TABLE, ROWS, WIDTH = "i:9", 24, 2  # a table that lets rows go, in one part for each server
FIRST, EVICT = First("normal", {"sigma": 1.0, "seed": 5}), Evict("ttl", 2)


def rows(rank: int, clock: int, part: int, num_parts: int) -> Rows:
    rng = np.random.default_rng([rank, clock])
    ids = np.sort(rng.choice(ROWS, 6, replace=False))
    data = rng.standard_normal((6, WIDTH)).astype(np.float32)
    mine = split(ids, num_parts)[part]
    return Rows(ids[mine], data[mine])


@functools.cache
def expected_rows(num_workers: int, part: int, num_parts: int, num_rounds: int) -> bytes:
    table = Table(key_number(TABLE), WIDTH, np.dtype(np.float32), FIRST, EVICT)
    for clock in range(num_rounds):
        total = rows(0, clock, part, num_parts)
        for rank in range(1, num_workers):
            total = merge(total, rows(rank, clock, part, num_parts))
        table.update(total, clock, from_wire("adam", {}), lr=0.1, wd=0.0, t=clock + 1, lazy=True)
        table.remove(table.due())
    return table.read(split(np.arange(ROWS), num_parts)[part]).tobytes()


def over_the_wire(message: m.Message) -> m.Message:
    return decode([bytearray(bytes(memoryview(frame).cast("B"))) for frame in encode(message)])  # type: ignore[arg-type]


class World:
    """Everybody, and the queues between them. A worker trains NUM_ROUNDS rounds and checks every value."""

    def __init__(
        self, rng: random.Random, num_workers: int, num_servers: int, replicas: int, has_table: bool
    ) -> None:
        self.rng = rng
        self.has_table = has_table
        self.now = 0.0
        self.num_workers, self.num_servers = num_workers, num_servers
        self.queues: dict[tuple[str, str], deque[m.Message]] = {}  # (from, to), each in order
        self.lives: dict[tuple[str, str], int] = {}  # of the connection from one to the other
        self.epochs: set[int] = set()
        self.scheduler = Scheduler(
            job="job",
            num_workers=num_workers,
            num_servers=num_servers,
            now=0.0,
            heartbeat_s=1.0,
            dead_after_s=1e6,
            start_timeout_s=60.0,
            replicas=replicas,
        )
        self.servers = {f"s{i}": Server("job", token=200 + i) for i in range(num_servers)}
        self.workers = {f"w{i}": Worker(i, self) for i in range(num_workers)}
        for name in (*self.servers, *self.workers):
            role, rank = ("server" if name[0] == "s" else "worker"), int(name[1:])
            token = (200 if role == "server" else 100) + rank
            self.put(name, "scheduler", m.Hello(1, m.VERSION, "job", role, rank, 0, token, f"tcp://{name}"))

    def put(self, source: str, target: str, message: m.Message) -> None:
        self.queues.setdefault((source, target), deque()).append(over_the_wire(message))

    def connection(self, source: str, target: str) -> bytes:
        """The routing id that the target knows the source by."""
        return f"{source}>{target}>{self.lives.get((source, target), 0)}".encode()

    def break_connection(self, source: str, target: str) -> None:
        """What is on its way is lost, and the target sees another connection."""
        self.lives[source, target] = self.lives.get((source, target), 0) + 1
        for pair in ((source, target), (target, source)):
            self.queues.pop(pair, None)

    def turn(self) -> bool:
        """Deliver one message; whether there was one."""
        ready = [pair for pair, queue in self.queues.items() if queue]
        if not ready:
            return False
        source, target = self.rng.choice(ready)
        message = self.queues[source, target].popleft()
        if target == "scheduler":
            self.route("scheduler", self.scheduler.step(source.encode(), message, self.now))
        elif target in self.workers:
            self.workers[target].hear(source, message)
        elif (server := self.servers.get(target)) is not None:
            if source == "scheduler":
                sender = SCHEDULER
                if isinstance(message, m.View):
                    self.epochs.add(message.epoch)
            elif source.startswith("to "):  # an answer, on the connection that the target made
                sender = next((d for d, one in server.links.items() if f"s{one.rank}" == source[3:]), b"?")
            else:
                sender = self.connection(source, target)
            self.route(target, server.step(sender, message, self.now))
        return True

    def route(self, source: str, out: Any) -> None:
        links = self.servers[source].links if source in self.servers else {}
        for destination, message in out:
            if destination == SCHEDULER:
                self.put(source, "scheduler", message)
            elif destination in links:
                self.put(source, f"s{links[destination].rank}", message)
            elif source == "scheduler":
                self.put(source, destination.decode(), message)
            else:
                other, _, life = destination.decode().split(">")
                if int(life) == self.lives.get((other, source), 0):
                    self.put(f"to {source}" if other in self.servers else source, other, message)

    def kill(self, name: str) -> None:
        del self.servers[name]
        for pair in [pair for pair in self.queues if name in pair or f"to {name}" in pair]:
            del self.queues[pair]
        self.route(
            "scheduler", self.scheduler.step(b"l", m.Hello(1, m.VERSION, "job", "launcher", -1, 0, 9, ""), 0)
        )
        self.route(
            "scheduler", self.scheduler.step(b"l", m.Lost(2, "server", int(name[1:]), "killed"), self.now)
        )
        self.queues.pop(("scheduler", "l"), None)

    def tick(self) -> None:
        self.now += 1.5
        for name, server in self.servers.items():
            self.route(name, server.tick(self.now))


class Worker:
    """Pushes and pulls each key once a round; asks again on every new connection what was not answered."""

    def __init__(self, rank: int, world: World) -> None:
        self.rank = rank
        self.world = world
        self.name = f"w{rank}"
        self.seq = 100
        self.serves: dict[int, str] = {}
        self.pending: dict[int, tuple[int, m.Message]] = {}
        self.rounds = [0] * len(KEYS)
        self.table_rounds = [0 if world.has_table else NUM_ROUNDS] * world.num_servers
        self.is_set_up = False
        self.acks: set[int] = set()

    @property
    def is_done(self) -> bool:
        return min(*self.rounds, *self.table_rounds) == NUM_ROUNDS

    def hear(self, source: str, message: m.Message) -> None:
        match message:
            case m.View():
                for shard, place in enumerate(m.placements(message)):
                    server = f"s{place.primary}"
                    if self.serves.get(shard) != server:
                        self.serves[shard] = server
                        self.greet(shard)
                if not self.is_set_up:
                    self.is_set_up = True
                    self.set_up()
            case m.Welcome() if message.seq < 100:
                for shard, request in list(self.pending.values()):
                    if shard == message.seq:
                        self.say(shard, request)
            case m.RowValues():
                found = self.pending.pop(message.seq, None)
                if found is not None:
                    part, num = found[0], self.world.num_servers
                    self.table_rounds[part] += 1
                    assert message.clock == self.table_rounds[part]
                    wanted = expected_rows(self.world.num_workers, part, num, message.clock)
                    assert b"".join(value.tobytes() for value in message.values) == wanted
                    self.push_rows(part)
            case m.Done() | m.Values():
                found = self.pending.pop(message.seq, None)
                if found is not None and isinstance(found[1], m.PushRows):
                    part, clock = found[0], found[1].clock + 1
                    mine = split(np.arange(ROWS), self.world.num_servers)[part]
                    self.ask(part, lambda seq: m.PullRows(seq, key_number(TABLE), part, clock, [mine]))
                    return
                if found is not None and isinstance(found[1], m.PushPull):
                    i = KEYS.index(next(k for k in KEYS if key_number(k) == found[1].keys[0]))
                    assert isinstance(message, m.Values)
                    self.rounds[i] += 1
                    assert message.clocks[0] == self.rounds[i]
                    assert message.values[0].tobytes() == expected(self.world.num_workers, i, self.rounds[i])
                    self.push(i)
                elif found is not None and not any(
                    isinstance(r, m.Init | m.InitRows | m.SetOptimizer) for _, r in self.pending.values()
                ):
                    for i in range(len(KEYS)):
                        self.push(i)
                    for part in range(self.world.num_servers):
                        self.push_rows(part)
            case m.Error():
                assert message.code == "not-admitted", message

    def greet(self, shard: int) -> None:
        self.world.break_connection(f"{self.name}/{shard}", self.serves[shard])
        hello = m.Hello(shard, m.VERSION, "job", "worker", self.rank, 0, 100 + self.rank, "", shard)
        self.say(shard, hello)

    def say(self, shard: int, message: m.Message) -> None:
        self.world.put(f"{self.name}/{shard}", self.serves[shard], message)

    def ask(self, shard: int, make: Any) -> None:
        self.seq += 1
        message = make(self.seq)
        self.pending[self.seq] = shard, message
        self.say(shard, message)

    def set_up(self) -> None:
        for shard in self.serves:
            if self.rank == 0:
                self.ask(shard, lambda seq: m.SetOptimizer(seq, "adam", {}, 0.1, 0.0, {}, {}, True))
            empty = Rows(np.empty(0, np.int64), np.empty((0, WIDTH), np.float32))
            how = FIRST.kind, dict(FIRST.numbers), EVICT.policy, EVICT.limit
            told = (
                shard,
                self.world.num_servers,
                *how,
                self.rank == 0,
                True,
                chunks(empty) if self.rank == 0 else [],
            )
            self.ask(shard, lambda seq, told=told: m.InitRows(seq, TABLE, "float32", (ROWS, WIDTH), *told))
        for i, key in enumerate(KEYS):
            values = [np.zeros(LENGTH, np.float32)] if self.rank == 0 else []
            columns = (key,), ("float32",), ((LENGTH,),), (0,), (LENGTH,), values
            self.ask(i % self.world.num_servers, lambda seq, columns=columns: m.Init(seq, *columns))

    def push(self, i: int) -> None:
        clock = self.rounds[i]
        if clock < NUM_ROUNDS:
            column = [key_number(KEYS[i])], [0], [clock], [clock + 1], [], [gradient(self.rank, clock, i)]
            self.ask(i % self.world.num_servers, lambda seq: m.PushPull(seq, 1, 2, *column))

    def push_rows(self, part: int) -> None:
        clock = self.table_rounds[part]
        if clock < NUM_ROUNDS:
            values = chunks(rows(self.rank, clock, part, self.world.num_servers))
            self.ask(part, lambda seq: m.PushRows(seq, 1, 2, key_number(TABLE), part, clock, values))


# a worker's connections are one for each shard: "w0/1" is heard by worker w0
class _Names(dict[str, Worker]):
    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.split("/")[0])

    def __getitem__(self, name: str) -> Worker:
        return super().__getitem__(name.split("/")[0])


@pytest.mark.parametrize("seed", range(60))
def test_whatever_breaks_and_whoever_dies_every_value_has_the_bits_of_a_run_without_faults(seed: int) -> None:
    rng = random.Random(seed)
    num_servers = rng.choice([2, 3, 4])
    replicas = rng.randint(1, num_servers - 1)
    world = World(rng, rng.randint(1, 3), num_servers, replicas, has_table=seed % 5 == 0)
    world.workers = _Names(world.workers)
    deaths = sorted(rng.sample(range(50, 600), rng.randint(1, num_servers - 1)), reverse=True)
    turns = 0
    while not all(worker.is_done for worker in world.workers.values()):
        turns += 1
        assert turns < 100_000, "nothing moves any more"
        if deaths and turns >= deaths[-1]:
            # who dies next must leave complete copies; the scheduler knows which there are
            if all(shard.synced for shard in world.scheduler._places.shards):
                deaths.pop()
                world.kill(rng.choice(sorted(world.servers)))
        elif rng.random() < 0.02 and len(world.servers) > 1:
            source, target = rng.sample(sorted(world.servers), 2)
            world.break_connection(source, target)
            world.queues.pop((f"to {target}", source), None)
        elif rng.random() < 0.01:
            worker = rng.choice(sorted(world.workers))
            world.workers[worker].greet(
                rng.choice(sorted(world.workers[worker].serves) or [0])
            ) if world.workers[worker].serves else None
        if not world.turn():
            world.tick()
    assert world.scheduler.state == "running"

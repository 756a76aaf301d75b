"""Tables on a shard: what is refused, what comes twice or late, and what a snapshot of one is worth."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import psdist_server.replica
import psdist_server.state
import pytest
from psdist_server import snapshot
from psdist_server.replica import Backup, Link, Primary
from psdist_server.shard import SCHEDULER, Shard
from psdist_server.taking import Taken, Taker

from psdist.optimizer import from_wire
from psdist.table import Evict, First, Rows, Table, chunks, merge, split
from psdist.wire import decode, encode, key_number
from psdist.wire import messages as m

KEY, SHAPE = key_number("s:t"), (50, 3)
FIRST = First("uniform", {"low": -1.0, "high": 1.0, "seed": 2})
F4 = np.dtype(np.float32)


def rows_of(*ids: int, value: float = 1.0, width: int = 3) -> Rows:
    return Rows(np.array(ids, np.int64), np.full((len(ids), width), value, np.float32))


def init_rows(
    seq: int, part: int = 0, num_parts: int = 1, *, gives: bool = True, rows: Rows | None = None, **other: Any
) -> m.InitRows:
    values = chunks(rows or rows_of()) if gives else []
    told: dict[str, Any] = {"name": "s:t", "dtype": "float32", "shape": SHAPE} | {
        "first": FIRST.kind,
        "numbers": dict(FIRST.numbers),
        "evict": "",
        "limit": 0,
        "is_last": True,
    }
    return m.InitRows(seq, part=part, num_parts=num_parts, gives=gives, values=values, **(told | other))


class Here:
    """A shard with two workers and a table."""

    def __init__(self, num_workers: int = 2, **other: Any) -> None:
        self.shard = Shard("job")
        workers = tuple(m.Member("worker", rank, 0, rank, "") for rank in range(num_workers))
        self.shard.step(SCHEDULER, m.View(1, 0, 0, num_workers, 1, workers), 0.0)
        for rank in range(num_workers):
            self.say(rank, m.Hello(1, m.VERSION, "job", "worker", rank, 0, rank, ""))
        self.seq = 10
        self.ask(0, m.SetOptimizer, "sgd", {}, 1.0, 0.0, {}, {}, True)
        self.say(0, init_rows(5, **other))

    def say(self, rank: int, message: m.Message) -> list[tuple[int, m.Message]]:
        return [(int(to), reply) for to, reply in self.shard.step(b"%d" % rank, message, 0.0)]

    def ask(self, rank: int, cls: Any, *args: Any) -> list[tuple[int, m.Message]]:
        self.seq += 1
        return self.say(rank, cls(self.seq, *args))

    def push(self, rank: int, clock: int, rows: Rows) -> list[tuple[int, m.Message]]:
        return self.ask(rank, m.PushRows, 1, 1, KEY, 0, clock, chunks(rows))

    def pull(self, *ids: int, clock: int = 0) -> Any:
        ((_, reply),) = self.ask(0, m.PullRows, KEY, 0, clock, [np.array(ids, np.int64)])
        assert isinstance(reply, m.RowValues), reply
        return np.concatenate(reply.values).reshape(len(ids), 3)


def text(replies: list[tuple[int, m.Message]]) -> str:
    ((_, reply),) = replies
    assert isinstance(reply, m.Error), reply
    return f"{reply.code}: {reply.text}"


BAD_ROWS = {
    "rows that do not ascend": ([3, 1], 6, "the numbers of rows do not ascend"),
    "a row that comes twice": ([3, 3], 6, "the numbers of rows do not ascend, or one comes twice"),
    "a row below the first": ([-1, 3], 6, "'t' has 50 rows; there is no row -1"),
    "a row beyond the last": ([3, 50], 6, "'t' has 50 rows; there is no row 50"),
    "rows of another width": ([3, 4], 4, "with rows of 3; for 2 rows came 4 elements"),
}


@pytest.mark.parametrize("what", BAD_ROWS)
def test_bad_rows_are_refused_and_the_shard_goes_on(what: str) -> None:
    ids, size, why = BAD_ROWS[what]
    here = Here()
    values = [np.array(ids, np.int64), np.zeros(size, np.float32)]
    assert why in text(here.ask(0, m.PushRows, 1, 1, KEY, 0, 0, values))
    if size == 6:
        assert why in text(here.ask(0, m.PullRows, KEY, 0, 0, values[:1]))
    assert here.push(0, 0, rows_of(1)) == []
    assert len(here.push(1, 0, rows_of(1))) == 2
    assert (here.pull(1, clock=1) == here.pull(1) - 0).all()


def test_numbers_of_another_type_are_refused() -> None:
    here = Here()
    values = [np.array([1], np.int32), np.zeros(3, np.float32)]
    assert "numbers of rows are int64, not int32" in text(here.ask(0, m.PushRows, 1, 1, KEY, 0, 0, values))
    values = [np.array([1], np.int64), np.zeros(3, np.float64)]
    assert "came 3 elements of float64" in text(here.ask(0, m.PushRows, 1, 1, KEY, 0, 0, values))
    assert "0 arrays; wanted pairs" in text(here.ask(0, m.PushRows, 1, 1, KEY, 0, 0, []))


def test_a_row_of_another_part_is_refused() -> None:
    here = Here(num_parts=2)
    theirs = int(split(np.arange(50), 2)[1][0])
    assert "rows of another part than 0 of 2" in text(here.push(0, 0, rows_of(theirs)))


def test_a_table_is_no_array_and_an_array_no_table() -> None:
    here = Here()
    flat = m.Push(80, 1, 1, [KEY], [0], [0], [], [np.zeros(150, np.float32)])
    assert "'t' is a table: its rows are pushed and pulled by their numbers" in text(here.say(0, flat))
    init = m.Init(81, ("s:t",), ("float32",), (SHAPE,), [0], [150], [np.zeros(150, np.float32)])
    assert "'t' is a table, and now comes as an array" in text(here.say(0, init))
    here.say(0, m.Init(82, ("s:a",), ("float32",), (SHAPE,), [0], [150], [np.zeros(150, np.float32)]))
    assert "'a' is an array, not a table" in text(here.ask(0, m.PullRows, key_number("s:a"), 0, 0, []))
    assert "initialised as array float32 (50, 3), and now comes as table" in text(
        here.say(0, init_rows(83, name="s:a"))
    )
    assert "was never initialised" in text(here.ask(0, m.PullRows, 7, 0, 0, []))
    assert "'t' has no part 4" in text(here.ask(0, m.PullRows, KEY, 4, 0, []))


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (
            {"shape": (51, 3)},
            "was initialised as table float32 (50, 3), and now comes as table float32 (51, 3)",
        ),
        ({"dtype": "float16"}, "and now comes as table float16 (50, 3)"),
        ({"num_parts": 2}, "'t' has 1 parts, and now comes in 2"),
        ({"part": 3}, "there is no part 3 of 1"),
        ({"first": "zeta"}, "no rows begin as 'zeta'"),
        ({"evict": "lru"}, "evict 'lru' with the limit 0; wanted 1 or more"),
        ({"shape": ()}, "no table has the shape ()"),
        ({"name": "t"}, "'t' is no key's name"),
    ],
)
def test_a_table_that_is_declared_otherwise_is_refused(other: dict[str, Any], why: str) -> None:
    assert why in text(Here().say(1, init_rows(90, **other)))


def test_who_only_declares_is_answered_when_the_last_first_rows_are_there() -> None:
    here = Here(is_last=False, rows=rows_of(3, value=5.0))
    assert here.say(1, init_rows(70, gives=False)) == []
    assert "its first rows are not there yet" in text(here.push(0, 0, rows_of(1)))
    replies = here.say(0, init_rows(71, rows=rows_of(3, 4, value=7.0)))
    assert sorted(replies, key=lambda pair: pair[0]) == [(0, m.Done(71, 0)), (1, m.Done(70, 0))]
    assert here.pull(3, 4)[:, 0].tolist() == [5, 7]  # the first value wins
    assert here.say(0, init_rows(72, rows=rows_of(3, 9, value=9.0))) == [(0, m.Done(72, 0))]
    assert here.pull(3)[0, 0] == 5
    assert here.say(1, init_rows(73, gives=False)) == [(1, m.Done(73, 0))]


def test_a_pull_waits_for_its_clock_and_reading_makes_no_row() -> None:
    here = Here()
    before = here.pull(1, 2)
    pull = m.PullRows(60, KEY, 0, 1, [np.array([1, 2])])
    assert here.say(1, pull) == []
    here.push(0, 0, rows_of(1))
    replies = dict(here.push(1, 0, rows_of(1, value=2.0)))
    reply = next(r for r in (*replies.values(),) if isinstance(r, m.RowValues | m.Done))
    assert reply is not None
    assert (here.pull(1, 2) == before - np.array([[3.0], [0.0]], np.float32)).all()
    ((_, stored),) = here.ask(0, m.PullRows, KEY, 0, 1, [])
    assert isinstance(stored, m.RowValues)
    assert stored.values[0].tolist() == [1]


def test_without_a_mind_to_wait_every_push_is_applied_as_it_comes() -> None:
    here = Here()
    first = here.pull(1)
    here.ask(0, m.SetStaleness, -1)
    for clock in range(3):
        assert len(here.push(0, clock, rows_of(1))) == 1
    assert (here.pull(1) == first - 1 - 1 - 1).all()


def test_nan_is_refused_where_the_guard_says_so() -> None:
    here = Here()
    here.shard.guard = "refuse"
    assert "worker 0 pushed 3 of 3 elements that are NaN" in text(here.push(0, 0, rows_of(1, value=np.nan)))


@pytest.mark.parametrize("seed", range(8))
def test_whatever_the_order_and_however_often_the_rows_have_the_bits_of_rank_order(seed: int) -> None:
    rng = random.Random(seed)
    num_workers, num_rounds = 3, 5
    here = Here(num_workers, evict="ttl", limit=2)
    here.ask(0, m.SetOptimizer, "adam", {}, 0.1, 0.01, {}, {}, True)

    def gradient(rank: int, clock: int) -> Rows:
        numbers = np.random.default_rng([seed, rank, clock])
        ids = np.sort(numbers.choice(SHAPE[0], numbers.integers(0, 20), replace=False))
        return Rows(ids, numbers.standard_normal((len(ids), 3)).astype(np.float32))

    messages = [
        (rank, m.PushRows(1000 * rank + clock, 1, 1, KEY, 0, clock, chunks(gradient(rank, clock))))
        for rank in range(num_workers)
        for clock in range(num_rounds)
    ]
    messages += rng.sample(messages, 8)
    rng.shuffle(messages)
    done: set[tuple[int, int]] = set()
    for rank, message in messages:
        for to, reply in here.say(rank, message):
            assert isinstance(reply, m.Done), reply
            done.add((to, reply.seq))
    assert len(done) == num_workers * num_rounds
    table, rule = Table(KEY, 3, F4, FIRST, Evict("ttl", 2)), from_wire("adam", {})
    for clock in range(num_rounds):
        total = gradient(0, clock)
        for rank in range(1, num_workers):
            total = merge(total, gradient(rank, clock))
        table.update(total, clock, rule, lr=0.1, wd=0.01, t=clock + 1, lazy=True)
        table.remove(table.due())
    everything = np.arange(SHAPE[0])
    assert here.pull(*everything, clock=num_rounds).tobytes() == table.read(everything).tobytes()


def test_the_memory_of_a_table_is_counted_as_it_grows() -> None:
    here = Here()
    before = here.shard.nbytes
    for rank in (0, 1):
        here.push(rank, 0, rows_of(*range(20)))
    assert here.shard.nbytes >= before + 20 * 3 * 4


# --- copies ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("busy", [1, 2, 3])
def test_a_copy_that_comes_in_portions_while_training_goes_on_is_the_table(
    busy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psdist_server.state, "_BATCH_NBYTES", 100)
    monkeypatch.setattr(psdist_server.replica, "_WINDOW", 150)
    (shard,) = shards_with_a_table(1)
    train([shard], range(3))
    primary, backup = Primary(0, shard), Backup(Shard("job"))
    hello = m.Hello(0, m.VERSION, "job", "server", 0, 0, 1, "")
    link = Link(b"l", m.Member("server", 1, 0, 2, ""), hello, 0.0)
    ((_, greeting),) = link.greet(0.0)
    link.step(m.Welcome(greeting.seq, 1, 1.0, 8.0, 0.0), 0.0)
    assert shard.view is not None
    out = primary.take_view(shard.view, m.Placement(0, (1,), ()), {1: link}, 0.0)
    queue = [message for to, message in out if to == b"l"]
    clock, num = 3, 0
    while queue:
        message = decode([bytearray(memoryview(f).cast("B")) for f in encode(queue.pop(0))])
        backup.step(message)
        num += isinstance(message, m.CopyRows)
        link.step(m.Done(message.seq, 2), 0.0)
        out = primary.go_on(0.0)
        if clock < 12 and len(queue) < busy:
            numbers = np.random.default_rng(clock)
            ids = np.sort(numbers.choice(SHAPE[0], 12, replace=False))
            data = numbers.standard_normal((12, 3)).astype(np.float32)
            out += primary.step(
                b"w", m.PushRows(100 + clock, 1, 1, KEY, 0, clock, chunks(Rows(ids, data))), 0.0
            )
            clock += 1
        queue += [message for destination, message in out if destination == b"l"]
    assert num > 5
    (mine,), (theirs,) = shard.tables.values(), backup.shard.tables.values()
    assert (theirs.clock, theirs.num_updates, theirs.applied) == (12, 12, mine.applied)
    ids = mine.table.stored()
    assert theirs.table.stored().tolist() == ids.tolist()
    assert theirs.table.read(ids).tobytes() == mine.table.read(ids).tobytes()
    assert [a.tobytes() for a in theirs.table.states_of(ids)] == [
        a.tobytes() for a in mine.table.states_of(ids)
    ]


def test_states_that_are_put_back_reach_the_copy_and_wrong_ones_change_nothing() -> None:
    (shard,) = shards_with_a_table(1)
    train([shard], range(3))
    primary, backup = Primary(0, shard), Backup(Shard("job"))
    link = Link(
        b"l", m.Member("server", 1, 0, 2, ""), m.Hello(0, m.VERSION, "job", "server", 0, 0, 1, ""), 0.0
    )
    ((_, greeting),) = link.greet(0.0)
    link.step(m.Welcome(greeting.seq, 1, 1.0, 8.0, 0.0), 0.0)
    assert shard.view is not None
    out = primary.take_view(shard.view, m.Placement(0, (1,), ()), {1: link}, 0.0)
    ((_, states),) = shard.step(b"w", m.GetState(50, [KEY], [0]), 0.0)
    assert isinstance(states, m.States)
    ids, mean, var = states.values
    bad = m.SetState(51, [KEY], [0], [2], [3], [ids, mean[1:], var])
    assert "this state is not one of adam's" in text([(0, primary.step(b"w", bad, 0.0)[0][1])])
    out += primary.step(b"w", m.SetState(52, [KEY], [0], [7], [3], [ids[1:], 2 * mean[3:], 3 * var[3:]]), 0.0)
    for destination, message in out:
        if destination == b"l":
            backup.step(message)
    for one in (shard, backup.shard):
        (part,) = one.tables.values()
        assert part.num_updates == 7
        got = part.table.states_of(ids)
        assert (got[0][0] == 0).all()
        assert got[0][1:].tobytes() == (2 * mean[3:]).tobytes()
        assert got[1][1:].tobytes() == (3 * var[3:]).tobytes()


# --- snapshots ------------------------------------------------------------------------------------------


def shards_with_a_table(num: int, shards: list[Shard] | None = None) -> list[Shard]:
    shards = shards or [Shard("job") for _ in range(num)]
    for i, shard in enumerate(shards):
        shard.step(SCHEDULER, m.View(1, 0, 0, 1, num, (m.Member("worker", 0, 0, 1, ""),)), 0.0)
        shard.step(b"w", m.Hello(1, m.VERSION, "job", "worker", 0, 0, 1, ""), 0.0)
        shard.step(b"w", m.SetOptimizer(2, "adam", {}, 0.1, 0.0, {}, {}, True), 0.0)
        shard.step(b"w", init_rows(3, i, num, evict="ttl", limit=4), 0.0)
    return shards


def train(shards: list[Shard], clocks: range, takers: list[Taker] | None = None) -> list[Taken]:
    taken = []
    for clock in clocks:
        numbers = np.random.default_rng(clock)
        ids = np.sort(numbers.choice(SHAPE[0], 12, replace=False))
        data = numbers.standard_normal((12, 3)).astype(np.float32)
        for i, (shard, mine) in enumerate(zip(shards, split(ids, len(shards)), strict=True)):
            push = m.PushRows(100 + clock, 1, 1, KEY, i, clock, chunks(Rows(ids[mine], data[mine])))
            ((_, reply),) = shard.step(b"w", push, 0.0)
            assert isinstance(reply, m.Done), reply
            if takers is not None and (one := takers[i].look()) is not None:
                taken.append(one)
    return taken


def values(shards: list[Shard], clock: int) -> bytes:
    out = np.empty(SHAPE, np.float32)
    for i, (shard, mine) in enumerate(zip(shards, split(np.arange(SHAPE[0]), len(shards)), strict=True)):
        ((_, reply),) = shard.step(b"w", m.PullRows(999, KEY, i, clock, [mine]), 0.0)
        assert isinstance(reply, m.RowValues), reply
        out[mine] = np.concatenate(reply.values).reshape(len(mine), 3)
    return out.tobytes()


@pytest.mark.parametrize("num_after", [1, 2, 5])
def test_a_snapshot_of_a_table_goes_on_with_the_same_bits_on_any_number_of_servers(
    tmp_path: Path, num_after: int, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = shards_with_a_table(1)
    train(whole, range(9))
    before = shards_with_a_table(3)
    takers = [Taker(i, shard, 6) for i, shard in enumerate(before)]
    for taken in train(before, range(6), takers):
        snapshot.write(tmp_path, "job", 3, taken, keep=2)
    (found,) = snapshot.find(tmp_path)
    first = snapshot.restorer(found, "job", 4096)
    after = shards_with_a_table(num_after, [first(i, num_after, num_after) for i in range(num_after)])
    train(after, range(6, 9))
    assert values(after, 9) == values(whole, 9)
    assert snapshot.main(["inspect", str(tmp_path)]) == 0
    assert "'t': 3" in (told := capsys.readouterr().out)
    assert "rows of float32 (50, 3), clock 6, state of 2 arrays" in told
    assert snapshot.main(["restore", str(tmp_path), "--to", str(tmp_path / "t.params")]) == 0

"""A portion of the data is in a slice once, whoever pushes it, and copies know it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from psdist_server.replica import Backup, Link, Primary
from psdist_server.shard import SCHEDULER, Shard
from psdist_server.state import put_slices, slices_of

from psdist.wire import key_name, key_number
from psdist.wire import messages as m

WORKERS = tuple(m.Member("worker", rank, 0, rank + 1, "") for rank in range(2))
NAMES = tuple(f"s:{i}" for i in range(20))
KEYS = [key_number(name) for name in NAMES]
MEAN = key_number(key_name("mean", averaged=True))


def a_primary(staleness: int = 0) -> Primary:
    primary = Primary(0, Shard("j"))
    primary.step(SCHEDULER, m.View(1, 0, 0, 2, 1, WORKERS), 0.0)
    for rank in range(2):
        primary.step(b"w%d" % rank, m.Hello(1, m.VERSION, "j", "worker", rank, 0, rank + 1, "", 0), 0.0)
    primary.step(b"w0", m.SetStaleness(2, staleness), 0.0)
    primary.step(b"w0", m.SetOptimizer(3, "sgd", {}, 1.0, 0.0, {}, {}), 0.0)
    names = (*NAMES, key_name("mean", averaged=True))
    num = len(names)
    init = m.Init(
        4, names, ("float32",) * num, ((1,),) * num, [0] * num, [1] * num, [np.zeros(1, np.float32)] * num
    )
    primary.step(b"w0", init, 0.0)
    return primary


def push(
    primary: Primary, rank: int, clock: int, portions: list[int], keys: list[int] = KEYS, value: float = -1
) -> list[Any]:
    num = len(keys)
    values = [np.full(1, value, np.float32) for _ in keys]
    seq = 100 + clock
    return primary.step(
        b"w%d" % rank, m.Push(seq, 1, 1, keys, [0] * num, [clock] * num, portions, values), 0.0
    )


def held(primary: Primary) -> list[int]:
    ((_, reply),) = primary.step(b"w0", m.GetPortions(9), 0.0)
    assert isinstance(reply, m.Portions)
    return [*reply.bounds] if reply.is_any else [-1]


def values(shard: Shard) -> set[float]:
    return {float(shard.slices[key, 0].value[0]) for key in KEYS}


def test_what_is_here_already_counts_as_zeros_whoever_pushes_it() -> None:
    primary = a_primary()
    assert held(primary) == [-1]
    push(primary, 0, 0, [0])
    assert held(primary) == [-1]  # a round that is open may be lost
    push(primary, 1, 0, [1])
    push(primary, 0, 1, [1])
    push(primary, 1, 1, [2])
    assert values(primary.shard) == {3.0}
    assert held(primary) == [0, 3]


def test_of_two_who_push_one_portion_in_a_round_the_first_counts() -> None:
    primary = a_primary()
    push(primary, 1, 0, [5])
    push(primary, 0, 0, [5])
    assert values(primary.shard) == {1.0}
    assert held(primary) == [5, 6]


@pytest.mark.parametrize("staleness", [0, -1])
def test_groups_of_small_keys_count_for_all_their_members(staleness: int) -> None:
    primary = a_primary(staleness)
    for clock in range(4):
        push(primary, 0, clock, [2 * clock])
        push(primary, 1, clock, [2 * clock + 1])
        push(primary, 1, clock, [2 * clock + 1])  # sent again
    push(primary, 0, 4, [3])
    push(primary, 1, 4, [99])
    assert values(primary.shard) == {9.0}
    assert held(primary) == [0, 8, 99, 100]


def test_a_portion_that_reached_some_slices_only_is_added_where_it_is_missing() -> None:
    primary = a_primary()
    push(primary, 1, 0, [7], KEYS[:3])
    push(primary, 0, 0, [8])
    primary.step(SCHEDULER, m.View(2, 0, 0, 2, 1, WORKERS[:1]), 0.0)  # worker 1 died in the midst of its push
    assert held(primary) == [8, 9]
    push(primary, 0, 1, [7])
    assert values(primary.shard) == {2.0}
    assert held(primary) == [7, 9]


def test_portions_of_which_some_are_here_are_refused_and_nothing_changes() -> None:
    primary = a_primary()
    for rank in range(2):
        push(primary, rank, 0, [rank])
    ((_, refusal),) = push(primary, 0, 1, [1, 2])
    assert (refusal.code, refusal.text) == (
        "bad-value",
        "'0': 1 of the 2 portions of a push are in it already, the others not; one gradient cannot be divided",
    )
    assert push(primary, 0, 1, [2, 3]) == []


def test_averaged_keys_hold_no_portions() -> None:
    primary = a_primary()
    for rank in range(2):
        push(primary, rank, 0, [0], [MEAN], value=rank + 2)
    assert primary.shard.slices[MEAN, 0].value[0] == 2.5
    assert held(primary) == [-1]


def test_copies_and_snapshots_hold_them_too() -> None:
    primary, backup, later = a_primary(), Backup(Shard("j")), Backup(Shard("j"))
    links = [
        Link(b"s%d" % i, m.Member("server", i, 0, 9, ""), m.Hello(0, 1, "j", "server", 0, 0, 8, ""), 0.0)
        for i in range(2)
    ]
    view = primary.shard.view
    assert view is not None
    out = primary.take_view(view, m.Placement(0, (1,), ()), {1: links[0]}, 0.0)
    for rank in range(2):
        out += push(primary, rank, 0, [rank])
    out += primary.take_view(view, m.Placement(0, (1, 2), (1,)), {1: links[0], 2: links[1]}, 0.0)
    for rank in range(2):
        out += push(primary, rank, 1, [4 + rank])
    for to, message in out:
        if to in (b"s0", b"s1") and not isinstance(message, m.Hello):
            (backup if to == b"s0" else later).step(message)
    snapshot = Shard("j")
    put_slices(snapshot, slices_of(list(primary.shard.slices.values()), 0, 0, 0))
    for shard in (backup.shard, later.shard, snapshot):
        assert shard.slices[KEYS[0], 0].portions.bounds == [0, 2, 4, 6]
        assert shard.slices[KEYS[0], 0].value[0] == 4


def test_optimizers_that_look_at_whole_arrays_count_as_well() -> None:
    primary = a_primary()
    primary.step(b"w0", m.SetOptimizer(5, "lars", {}, 1.0, 0.0, {}, {}), 0.0)
    assert primary.shard.keys[KEYS[0]].rule is not None
    for rank in range(2):
        push(primary, rank, 0, [rank])
    assert held(primary) == [0, 2]

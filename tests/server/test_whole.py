"""Slices that go together: an optimizer that looks at whole arrays sees whole arrays, whatever happens."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from psdist_server import replica, state
from psdist_server.replica import Backup, Link, Primary
from psdist_server.shard import Shard

from psdist.optimizer import from_wire
from psdist.wire import key_number
from psdist.wire import messages as m

W = key_number("s:w")
SHAPE, LENGTHS, OFFSETS = (3, 4), [5, 5, 2], [0, 5, 10]
WORKERS = tuple(m.Member("worker", rank, 0, rank + 1, "") for rank in range(2))
START = np.linspace(1, 2, 12, dtype=np.float32)


def parts(array: Any) -> list[Any]:
    return [array[low : low + n].copy() for low, n in zip(OFFSETS, LENGTHS, strict=True)]


def gradient(rank: int, clock: int) -> Any:
    return np.random.default_rng((rank, clock)).standard_normal(12).astype(np.float32)


VIEW = m.View(1, 0, 0, 2, 1, WORKERS)


def a_primary(staleness: int = 0) -> Primary:
    """A shard with one key in three slices, LAMB, and two workers."""
    primary = Primary(0, Shard("j"))
    primary.take_view(VIEW, m.Placement(0, (), ()), {}, 0.0)
    for rank in range(2):
        primary.step(b"w%d" % rank, m.Hello(1, m.VERSION, "j", "worker", rank, 0, rank + 1, "", 0), 0.0)
    if staleness:
        primary.step(b"w0", m.SetStaleness(2, staleness), 0.0)
    primary.step(b"w0", m.SetOptimizer(3, "lamb", {}, 0.1, 0.01, {}, {}), 0.0)
    init = m.Init(4, ("s:w",) * 3, ("float32",) * 3, (SHAPE,) * 3, OFFSETS, LENGTHS, parts(START))
    primary.step(b"w0", init, 0.0)
    return primary


def push(primary: Primary, rank: int, clock: int, i: int) -> list[Any]:
    """Worker `rank` pushes slice i of its gradient; the replies."""
    value = parts(gradient(rank, clock))[i]
    seq = 100 + 10 * clock + i
    return primary.step(b"w%d" % rank, m.Push(seq, 1, 1, [W], [OFFSETS[i]], [clock], [], [value]), 0.0)


def value_of(shard: Shard) -> Any:
    return np.concatenate([shard.slices[W, offset].value for offset in OFFSETS])


def in_one_process(groups: list[list[Any]]) -> Any:
    """LAMB on the whole array, a step for each group of gradients."""
    rule = from_wire("lamb", {})
    value = START.reshape(SHAPE).copy()
    arrays = rule.create_state(value)
    for t, group in enumerate(groups, 1):
        total = group[0]
        for other in group[1:]:
            total = total + other
        rule.update(value, total.reshape(SHAPE), arrays, lr=0.1, wd=0.01, t=t)
    return value.reshape(-1)


def test_no_slice_is_updated_before_the_round_is_complete_in_all() -> None:
    primary = a_primary()
    for rank, i in ((1, 2), (0, 0), (0, 2), (1, 0), (0, 1)):
        assert push(primary, rank, 0, i) == []
        np.testing.assert_array_equal(value_of(primary.shard), START)
    assert len(push(primary, 1, 0, 1)) == 6
    wanted = in_one_process([[gradient(0, 0), gradient(1, 0)]])
    np.testing.assert_array_equal(value_of(primary.shard), wanted)


def test_asynchronous_pushes_are_applied_one_by_one_and_whole() -> None:
    primary = a_primary(staleness=-1)
    for rank, i in ((1, 2), (0, 0), (0, 1), (1, 0)):
        assert push(primary, rank, 0, i) == []
    assert len(push(primary, 1, 0, 1)) == 3
    assert len(push(primary, 0, 0, 2)) == 3
    wanted = in_one_process([[gradient(1, 0)], [gradient(0, 0)]])
    np.testing.assert_array_equal(value_of(primary.shard), wanted)


def test_a_dial_that_is_turned_in_the_midst_of_a_round_takes_what_was_summed_up_together() -> None:
    primary = a_primary()
    for i in range(3):
        push(primary, 0, 0, i)
    push(primary, 1, 0, 0)  # is in the sum of the first slice only
    primary.step(b"w0", m.SetStaleness(5, 1), 0.0)
    push(primary, 1, 0, 1)
    np.testing.assert_array_equal(value_of(primary.shard), START)
    push(primary, 1, 0, 2)
    wanted = in_one_process([[gradient(0, 0), gradient(1, 0)]])
    np.testing.assert_array_equal(value_of(primary.shard), wanted)


def test_a_copy_that_is_made_while_rounds_go_on_has_all_slices_of_a_key_or_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replica, "_WINDOW", 1)  # one message of slices at a time,
    monkeypatch.setattr(state, "_BATCH_NBYTES", 1)  # and one slice in a message
    primary, backup = a_primary(), Backup(Shard("j"))
    link = Link(
        b"s1", m.Member("server", 1, 0, 9, "tcp://s:1"), m.Hello(0, 1, "j", "server", 0, 0, 8, ""), 0.0
    )
    messages: list[Any] = []

    def carry(out: list[Any]) -> None:
        """To the copy, which acknowledges when all is over."""
        messages.extend(message for to, message in out if to == b"s1" and not isinstance(message, m.Hello))

    carry(primary.take_view(VIEW, m.Placement(0, (1,), ()), {1: link}, 0.0))
    for clock in range(2):
        for i in range(3):
            for rank in range(2):
                carry(primary.step(b"w%d" % rank, m.Alive("worker", rank, 1, 0, 0, 0), 0.0))
                carry(push(primary, rank, clock, i))
    for message in messages:
        backup.step(message)
    wanted = in_one_process([[gradient(0, c), gradient(1, c)] for c in range(2)])
    np.testing.assert_array_equal(value_of(primary.shard), wanted)
    np.testing.assert_array_equal(value_of(backup.shard), wanted)


def test_an_array_of_which_a_part_is_elsewhere_is_refused_and_the_way_out_is_named() -> None:
    primary = a_primary()
    init = m.Init(7, ("s:v",), ("float32",), (SHAPE,), [0], [5], [START[:5]])
    primary.step(b"w0", init, 0.0)
    v = key_number("s:v")
    ((_, refusal),) = primary.step(b"w0", m.Push(8, 1, 1, [v], [0], [0], [], [START[:5]]), 0.0)
    wanted = (
        "lamb needs whole arrays, and of 'v' only 5 of 12 elements are on this server: set the optimizer before "
        "the keys are initialised"
    )
    assert (refusal.code, refusal.text) == ("bad-value", wanted)
    ((_, refusal),) = primary.step(b"w0", m.SetOptimizer(9, "lars", {}, 0.1, 0.0, {}, {}), 0.0)
    assert refusal.text == wanted.replace("lamb", "lars")

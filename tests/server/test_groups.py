"""Groups of small keys with copies, snapshots and the guard: each sees the keys, and is spared them one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest
from psdist_server.replica import Backup, Changes, Link, Primary
from psdist_server.shard import Out, Shard
from psdist_server.taking import Taken, Taker

from psdist.wire import decode, encode
from psdist.wire import messages as m
from psdist.wire.codec import Packed

from .test_shard import NUM_SMALL, SMALL, own_copy, small_shard, small_story

COPY = b"copy"


class Kept:
    """A shard and a copy of it; what one sends reaches the other as bytes, at once."""

    def __init__(self, shard: Shard) -> None:
        member = m.Member("server", 1, 0, 9, "tcp://s:1")
        self.link = Link(COPY, member, m.Hello(0, m.VERSION, "job", "server", 0, 0, 8, ""), 0.0)
        ((_, hello),) = self.link.greet(0.0)
        self.link.step(m.Welcome(cast(m.Hello, hello).seq, 1, 1.0, 8.0, 0.0), 0.0)
        shard.max_ack = m.ACK_REPLICATED
        self.primary = Primary(0, shard)
        self.backup = Backup(Shard("job"))
        assert shard.view is not None
        place = m.Placement(0, (1,), ())
        self.carry(self.primary.take_view(shard.view, place, {1: self.link}, 0.0))

    def carry(self, out: Out) -> Out:
        others: Out = []
        while out:
            destination, message = out.pop(0)
            if destination != COPY:
                others.append((destination, message))
                continue
            change = cast(Changes, decode([bytes(cast(bytes, frame)) for frame in encode(message)]))
            self.backup.step(change)
            self.link.step(m.Done(change.seq, m.ACK_REPLICATED), 0.0)
            out += self.primary.go_on(0.0)
        return others

    def step(self, sender: bytes, message: m.Message) -> Out:
        return self.carry(self.primary.step(sender, message, 0.0))


def has_group(shard: Shard) -> bool:
    return any(group is not None and group.one is not None for group in shard._groups.values())


@pytest.mark.parametrize("rule", ["", "sgd", "adam"])
@pytest.mark.parametrize("seed", range(6))
def test_a_copy_of_groups_is_a_copy_of_every_key(seed: int, rule: str) -> None:
    shard = small_shard(groups=True, rule=rule)
    kept = Kept(shard)
    formed_here = formed_there = False
    for sender, message in small_story(seed):
        kept.step(sender, own_copy(message))
        formed_here |= has_group(shard)
        formed_there |= has_group(kept.backup.shard)
    assert formed_here
    assert formed_there
    copies = kept.backup.shard.slices
    assert len(copies) == NUM_SMALL
    for place, piece in shard.slices.items():
        copy = copies[place]
        assert (copy.clock, copy.applied, copy.num_updates) == (piece.clock, piece.applied, piece.num_updates)
        np.testing.assert_array_equal(copy.value, piece.value)
        for mine, its in zip(piece.state or (), copy.state or (), strict=True):
            np.testing.assert_array_equal(mine, its)


def pushes(num: int) -> Iterator[tuple[bytes, m.Push, Any]]:
    """(sender, push, its elements) of both workers, all keys, for so many rounds."""
    lengths = tuple(1 + i % 5 for i in range(NUM_SMALL))
    for clock in range(num):
        for rank in range(2):
            flat = np.arange(sum(lengths), dtype=np.float32) + clock + rank
            keys, zeros, clocks = SMALL, [0] * NUM_SMALL, [clock] * NUM_SMALL
            yield (
                b"%d" % rank,
                m.Push(100 + clock, 1, 1, keys, zeros, clocks, [], Packed(flat, lengths)),
                flat,
            )


def snapshots(*, groups: bool) -> list[Taken]:
    shard = small_shard(groups=groups, rule="adam")
    taker = Taker(0, shard, 10)
    taken = []
    for sender, push, _ in pushes(25):
        shard.step(sender, push, 0.0)
        if (one := taker.look()) is not None:
            taken.append(one)
    assert has_group(shard) == groups
    return taken


def test_a_snapshot_has_every_key_of_a_group_and_the_group_goes_on() -> None:
    grouped, plain = snapshots(groups=True), snapshots(groups=False)
    assert [(one.step, len(one.messages)) for one in grouped] == [(10, NUM_SMALL + 1), (20, NUM_SMALL + 1)]
    for mine, its in zip(grouped, plain, strict=True):
        for one, other in zip(mine.messages, its.messages, strict=True):
            assert [bytes(cast(bytes, f)) for f in encode(one)] == [
                bytes(cast(bytes, f)) for f in encode(other)
            ]


def test_the_guard_names_the_key_of_a_group_that_holds_nan() -> None:
    shard = small_shard(groups=True, rule="")
    shard.guard = "refuse"
    replies = []
    for i, (sender, push, flat) in enumerate(pushes(4)):
        if i == 7:
            flat[3] = np.nan
        replies += [reply for _, reply in shard.step(sender, push, 0.0)]
    refusal = replies[-1]
    assert isinstance(refusal, m.Error)
    assert "worker 1 pushed 1 of 3 elements that are NaN or infinite, to 2 in round 3" in refusal.text
    assert all(isinstance(reply, m.Done) for reply in replies[:-1])

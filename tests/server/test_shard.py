"""What holds for a shard whatever the order of messages, and what it does with memory."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psdist_server.shard import SCHEDULER, Shard

from psdist.optimizer import Rule, from_wire
from psdist.wire import key_number
from psdist.wire import messages as m
from psdist.wire.codec import Packed

NUM_KEYS, LENGTH = 3, 5
KEYS = [key_number(f"i:{i}") for i in range(NUM_KEYS)]
LARGE = 4096  # elements: a frame of its own


def shard_of(num_workers: int, *, length: int = LENGTH) -> Shard:
    """A shard with workers admitted, and keys of zeros."""
    shard = Shard("job")
    workers = tuple(m.Member("worker", rank, 0, rank, "") for rank in range(num_workers))
    shard.step(SCHEDULER, m.View(1, 0, 0, num_workers, 1, workers), 0.0)
    for rank in range(num_workers):
        shard.step(b"%d" % rank, m.Hello(1, m.VERSION, "job", "worker", rank, 0, rank, ""), 0.0)
    for i in range(NUM_KEYS):
        zeros = np.zeros(length, np.float32)
        init = m.Init(2, (f"i:{i}",), ("float32",), ((length,),), (0,), (length,), [zeros])
        assert isinstance(shard.step(b"0", init, 0.0)[0][1], m.Done)
    return shard


def pull(shard: Shard, clock: int = 0) -> list[m.Tensor]:
    ((_, reply),) = shard.step(b"0", m.Pull(999_999, KEYS, [0] * NUM_KEYS, [clock] * NUM_KEYS), 0.0)
    assert isinstance(reply, m.Values), reply
    return list(reply.values)


def gradient(rank: int, clock: int, i: int) -> m.Tensor:
    rng = np.random.default_rng([rank, clock, i])
    return (rng.standard_normal(LENGTH) * 10.0 ** rng.integers(-4, 5)).astype(np.float32)


def pushes(num_workers: int, num_rounds: int) -> list[list[tuple[int, int, int]]]:
    """For each worker its pushes (rank, clock, key)."""
    return [[(rank, c, i) for c in range(num_rounds) for i in range(NUM_KEYS)] for rank in range(num_workers)]


def disordered(queues: list[list[Any]], rng: random.Random) -> Iterator[Any]:
    """All of them, as a bad network delivers: workers interleaved, some messages late, some twice."""
    flat = [item for queue in queues for item in queue]
    flat += rng.sample(flat, len(flat) // 2)
    rng.shuffle(flat)
    return iter(flat)


def expected(num_workers: int, num_rounds: int, rule: Rule | None) -> list[m.Tensor]:
    values = [np.zeros(LENGTH, np.float32) for _ in KEYS]
    states = [rule.create_state(v) if rule else () for v in values]
    for clock in range(num_rounds):
        for i in range(NUM_KEYS):
            total = gradient(0, clock, i)
            for rank in range(1, num_workers):
                total = total + gradient(rank, clock, i)
            if rule is None:
                values[i] = total
            else:
                rule.update(values[i], total, states[i], lr=0.1, wd=0.01, t=clock + 1)
    return values


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.sampled_from([None, "sgd", "adam"]),
    st.randoms(use_true_random=False),
)
def test_any_order_and_any_repetition_of_pushes_gives_the_same_bits(
    num_workers: int, num_rounds: int, name: str | None, rng: random.Random
) -> None:
    shard = shard_of(num_workers)
    rule = None
    if name is not None:
        rule = from_wire(name, {})
        shard.step(b"0", m.SetOptimizer(3, name, {}, 0.1, 0.01, {}, {}), 0.0)
    replies: dict[tuple[bytes, int], int] = {}
    for seq, (rank, clock, i) in enumerate(disordered(pushes(num_workers, num_rounds), rng), 10):
        push = m.Push(seq, 1, 1, [KEYS[i]], [0], [clock], [], [gradient(rank, clock, i)])
        for destination, reply in shard.step(b"%d" % rank, push, 0.0):
            assert isinstance(reply, m.Done)
            replies[destination, reply.seq] = replies.get((destination, reply.seq), 0) + 1
    for value, wanted in zip(pull(shard, num_rounds), expected(num_workers, num_rounds, rule), strict=True):
        assert value.tobytes() == wanted.tobytes()
    assert set(replies.values()) == {1}
    assert len(replies) == sum(map(len, pushes(num_workers, num_rounds))) * 3 // 2


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 6), st.randoms(use_true_random=False))
def test_asynchronous_pushes_are_each_applied_once(
    num_workers: int, num_rounds: int, rng: random.Random
) -> None:
    shard = shard_of(num_workers)
    shard.step(b"0", m.SetStaleness(3, -1), 0.0)
    shard.step(b"0", m.SetOptimizer(4, "sgd", {}, 1.0, 0.0, {}, {}), 0.0)
    # each push is a bit of its own, so that a value tells which pushes are in it, and how often
    for seq, (rank, clock, i) in enumerate(disordered(pushes(num_workers, num_rounds), rng), 10):
        bit = np.zeros(LENGTH, np.float32)
        bit[rank] = -float(4**clock)
        shard.step(b"%d" % rank, m.Push(seq, 1, 1, [KEYS[i]], [0], [clock], [], [bit]), 0.0)
    for value in pull(shard, num_rounds):
        assert value[:num_workers].tolist() == [sum(4**c for c in range(num_rounds))] * num_workers


def push_all(shard: Shard, clock: int, values: list[m.Tensor], seq: int = 50) -> None:
    """One round of key 0, pushed by every worker."""
    for rank, value in enumerate(values):
        shard.step(b"%d" % rank, m.Push(seq + clock, 1, 1, [KEYS[0]], [0], [clock], [], [value]), 0.0)


@pytest.mark.parametrize("length", [LENGTH, LARGE])
@pytest.mark.parametrize("with_optimizer", [False, True])
def test_a_value_that_was_handed_out_is_never_written_again(length: int, with_optimizer: bool) -> None:
    shard = shard_of(2, length=length)
    if with_optimizer:
        shard.step(b"0", m.SetOptimizer(3, "sgd", {"momentum": 0.9}, 0.1, 0.0, {}, {}), 0.0)
    held = []
    for clock in range(5):
        value = pull(shard)[0]
        held.append((value, value.copy()))
        push_all(shard, clock, [np.full(length, clock + 1.0, np.float32) for _ in range(2)])
    for value, copy in held:
        np.testing.assert_array_equal(value, copy)
    assert len({copy.tobytes() for _, copy in held}) == 5


def test_an_optimizer_updates_in_place_when_nobody_holds_the_value() -> None:
    shard = shard_of(1, length=LARGE)
    shard.step(b"0", m.SetOptimizer(3, "sgd", {}, 0.1, 0.0, {}, {}), 0.0)
    where = set()
    for clock in range(4):
        push_all(shard, clock, [np.ones(LARGE, np.float32)])
        where.add(pull(shard)[0].ctypes.data)
    assert len(where) == 1


def test_two_buffers_are_enough_while_the_last_value_is_always_held() -> None:
    shard = shard_of(1, length=LARGE)
    shard.step(b"0", m.SetOptimizer(3, "sgd", {}, 0.1, 0.0, {}, {}), 0.0)
    where = set()
    for clock in range(6):
        held = pull(shard)[0]
        where.add(held.ctypes.data)
        push_all(shard, clock, [np.ones(LARGE, np.float32)])
    del held
    assert len(where) <= 3


def test_the_gradient_of_rank_0_becomes_the_sum_and_the_value_without_a_copy() -> None:
    shard = shard_of(3, length=LARGE)
    first = np.ones(LARGE, np.float32)
    values = [first, np.ones(LARGE, np.float32), np.ones(LARGE, np.float32)]
    push_all(shard, 0, values)
    assert pull(shard)[0] is first
    assert first[0] == 3


def test_a_small_value_does_not_keep_the_frame_it_came_in() -> None:
    shard = shard_of(1)
    frame = np.ones(100_000, np.float32)
    push_all(shard, 0, [frame[:LENGTH]])
    assert not np.shares_memory(pull(shard)[0], frame)


def test_a_gradient_in_read_only_memory_is_added_all_the_same() -> None:
    shard = shard_of(2)
    ones = np.frombuffer(np.ones(LENGTH, np.float32).tobytes(), np.float32)
    push_all(shard, 0, [ones, ones])
    assert pull(shard)[0].tolist() == [2] * LENGTH


def test_a_late_copy_of_an_old_setting_changes_nothing() -> None:
    shard = shard_of(1)
    slow, fast = m.SetOptimizer(3, "sgd", {}, 0.1, 0.0, {}, {}), m.SetHyper(4, 0, 1.0, 0.0)
    for message in (slow, fast, slow):
        ((_, reply),) = shard.step(b"0", message, 0.0)
        assert isinstance(reply, m.Done)
    push_all(shard, 0, [np.ones(LENGTH, np.float32)])
    assert pull(shard)[0].tolist() == [-1] * LENGTH


def test_a_rate_that_changes_every_round_is_exact_and_needs_bounded_memory() -> None:
    shard = shard_of(1)
    shard.step(b"0", m.SetOptimizer(3, "sgd", {}, 0.0, 0.0, {}, {}), 0.0)
    for clock in range(1500):
        shard.step(b"0", m.SetHyper(10_000 + clock, clock, float(clock % 7), 0.0), 0.0)
        ones = np.ones(LENGTH, np.float32)
        push = m.Push(clock + 20_000, 1, 1, KEYS, [0] * NUM_KEYS, [clock] * NUM_KEYS, [], [ones, ones, ones])
        shard.step(b"0", push, 0.0)
    assert pull(shard)[0].tolist() == [-sum(clock % 7 for clock in range(1500))] * LENGTH
    assert len(shard.updates.hypers) <= 1025


def test_nbytes_counts_values_and_states() -> None:
    shard = shard_of(1)
    assert shard.nbytes == NUM_KEYS * LENGTH * 4
    shard.step(b"0", m.SetOptimizer(3, "adam", {}, 0.1, 0.0, {}, {}), 0.0)
    push_all(shard, 0, [np.ones(LENGTH, np.float32)])
    assert shard.nbytes == (NUM_KEYS + 2) * LENGTH * 4


def test_a_refused_init_leaves_nothing_behind() -> None:
    shard = shard_of(1)
    values = [np.ones(4, np.float32), np.ones(3, np.float32)]
    init = m.Init(5, ("s:new", "i:0"), ("float32",) * 2, ((4,), (3,)), (0, 0), (4, 3), values)
    ((_, reply),) = shard.step(b"0", init, 0.0)
    assert isinstance(reply, m.Error)
    assert reply.text == "0 was initialised as float32 (5,), and now comes as float32 (3,)"
    assert set(shard.keys) == set(KEYS)
    assert shard.nbytes == NUM_KEYS * LENGTH * 4


def test_a_push_of_nan_is_taken_warned_of_or_refused_as_the_guard_says() -> None:
    shard = shard_of(1)
    for clock, value in enumerate((float("nan"), float("inf"))):
        push_all(shard, clock, [np.array([1, value, 3, value, 5], np.float32)])
    shard.guard = "warn"
    push_all(shard, 2, [np.array([1, float("nan"), 3, 4, 5], np.float32)])
    push_all(shard, 3, [np.full(LENGTH, 3e38, np.float32)])  # its sum is infinite, and none of it is
    assert shard.warnings == [
        "worker 0 pushed 1 of 5 elements that are NaN or infinite, to 0 in round 2 (1 such so far)"
    ]
    shard.guard = "refuse"
    push = m.Push(99, 1, 1, [KEYS[0]], [0], [4], [], [np.array([1, 2, 3, 4, -float("inf")], np.float32)])
    ((_, reply),) = shard.step(b"0", push, 0.0)
    assert isinstance(reply, m.Error)
    assert reply.text == (
        "worker 0 pushed 1 of 5 elements that are NaN or infinite, to 0 in round 4; "
        "PSDIST_GUARD=refuse does not take them"
    )
    assert pull(shard, 0)[0].tolist() == np.full(LENGTH, 3e38, np.float32).tolist()


NUM_SMALL = 24
SMALL = [key_number(f"i:{i}") for i in range(NUM_SMALL)]


def small_shard(*, groups: bool, rule: str) -> Shard:
    """Two workers and a list of small keys, long enough to become a group, where groups are allowed."""
    shard = Shard("job")
    if not groups:
        shard.may_group = False
    workers = tuple(m.Member("worker", rank, 0, rank, "") for rank in range(2))
    shard.step(SCHEDULER, m.View(1, 0, 0, 2, 1, workers), 0.0)
    for rank in range(2):
        shard.step(b"%d" % rank, m.Hello(1, m.VERSION, "job", "worker", rank, 0, rank, ""), 0.0)
    names = tuple(f"i:{i}" for i in range(NUM_SMALL))
    lengths = [1 + i % 5 for i in range(NUM_SMALL)]
    shapes = tuple((n,) for n in lengths)
    zeros = [np.zeros(n, np.float32) for n in lengths]
    init = m.Init(2, names, ("float32",) * NUM_SMALL, shapes, [0] * NUM_SMALL, lengths, zeros)
    assert isinstance(shard.step(b"0", init, 0.0)[0][1], m.Done)
    if rule:
        shard.step(b"0", m.SetOptimizer(3, rule, {}, 0.1, 0.01, {}, {}), 0.0)
    return shard


def small_story(seed: int) -> list[tuple[bytes, m.Message]]:
    """What two workers send: mostly whole lists, sometimes single keys, settings, and everything twice."""
    rng = random.Random(seed)
    clocks = [[0] * NUM_SMALL for _ in range(2)]
    told: list[tuple[bytes, m.Message]] = []
    for seq in range(10, 60):
        rank = rng.randrange(2) if seq > 20 else seq % 2
        mine = clocks[rank]
        chosen = (
            range(NUM_SMALL)
            if seq < 30 or rng.random() < 0.85
            else rng.sample(range(NUM_SMALL), rng.randint(1, 20))
        )
        which = [i for i in chosen if mine[i] < min(clocks[1 - rank]) + 3]
        keys, offsets = tuple(SMALL[i] for i in which), (0,) * len(which)
        kind = rng.random() if seq > 20 else 0.0
        message: m.Message
        if kind < 0.7 and which:
            values = [gradient(rank, mine[i], i)[: 1 + i % 5] for i in which]
            packed = Packed(np.concatenate(values), tuple(v.size for v in values))
            at = [mine[i] for i in which]
            for i in which:
                mine[i] += 1
            if kind < 0.35:
                message = m.Push(seq, 1, 1, keys, offsets, at, [], packed)
            else:
                message = m.PushPull(seq, 1, 1, keys, offsets, at, [c + 1 for c in at], [], packed)
        elif kind < 0.9:
            message = m.Pull(seq, keys, offsets, [mine[i] for i in which])
        elif kind < 0.95:
            message = m.SetHyper(seq, max(max(c) for c in clocks), rng.random(), 0.0)
        else:
            message = m.GetState(seq, keys, offsets)
        told.append((b"%d" % rank, message))
        if rng.random() < 0.2:
            told.append(told[-1])
    return told


@pytest.mark.parametrize("rule", ["", "sgd", "adam"])
@pytest.mark.parametrize("seed", range(12))
def test_a_group_of_small_keys_answers_every_message_as_the_keys_themselves_do(seed: int, rule: str) -> None:
    grouped, plain = small_shard(groups=True, rule=rule), small_shard(groups=False, rule=rule)
    has_formed = False
    for sender, message in small_story(seed):
        answers = []
        for shard in (grouped, plain):
            out = shard.step(sender, own_copy(message), 0.0)
            answers.append(
                sorted(
                    (to, said.seq, type(said).__name__, list(getattr(said, "clocks", ())), text_of(said))
                    for to, said in out
                    if isinstance(said, m.Values | m.Done | m.Error | m.States)
                )
            )
        assert answers[0] == answers[1], message
        has_formed |= any(group is not None and group.one is not None for group in grouped._groups.values())
    assert has_formed
    for place, piece in plain.slices.items():
        same = grouped.slices[place]
        assert (same.clock, same.applied, same.num_updates) == (piece.clock, piece.applied, piece.num_updates)
        np.testing.assert_array_equal(same.value, piece.value)


def own_copy(message: m.Message) -> m.Message:
    """A push's gradients belong to the shard that takes them."""
    if isinstance(message, m.Push | m.PushPull):
        assert isinstance(message.values, Packed)
        packed = Packed(message.values.flat.copy(), message.values.lengths)
        return dataclasses.replace(message, values=packed)
    return message


def text_of(said: m.Message) -> list[Any]:
    if isinstance(said, m.Error):
        return [said.code]
    return [value.tolist() for value in getattr(said, "values", ())]

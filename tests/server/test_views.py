"""Pulls in fewer bytes: whoever pulls, and when, reads the same bits, which stay near the value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from psdist_server.shard import SCHEDULER, Shard
from psdist_server.snapshot import _cut, _Whole
from psdist_server.state import put_settings, put_slices, settings_of, slices_of

from psdist.kvstore.compress import unpack
from psdist.wire import key_number
from psdist.wire import messages as m

WORKERS = tuple(m.Member("worker", rank, 0, rank + 1, "") for rank in range(2))
SIZE = 5000
KEY = key_number("s:w")
SMALL = key_number("s:b")


class Story:
    """A server whose pulls are compressed, and its two workers."""

    def __init__(self, *, has_rule: bool = True, code: str = "4level") -> None:
        self.shard = Shard("j")
        self.seq = 10
        self.clock = 0
        self.rng = np.random.default_rng(1)
        self.shard.step(SCHEDULER, m.View(1, 0, 0, 2, 1, WORKERS), 0.0)
        for rank in range(2):
            hello = m.Hello(1, m.VERSION, "j", "worker", rank, 0, rank + 1, "", 0)
            self.shard.step(b"w%d" % rank, hello, 0.0)
        if has_rule:
            self.ask(m.SetOptimizer, "sgd", {"momentum": 0.9}, 0.1, 0.0, {}, {})
        self.ask(m.SetPullCode, code, {})
        first = self.rng.standard_normal(SIZE).astype(np.float32)
        names, shapes, zeros = ("s:w", "s:b"), ((SIZE,), (3,)), np.zeros(3, np.float32)
        self.ask(m.Init, names, ("float32",) * 2, shapes, [0, 0], [SIZE, 3], [first, zeros])

    def ask(self, make: Any, *fields: Any, rank: int = 0) -> Any:
        """The one reply."""
        self.seq += 1
        ((_, reply),) = self.shard.step(b"w%d" % rank, make(self.seq, *fields), 0.0)
        return reply

    def round(self, gradient: np.ndarray | None = None) -> None:
        for rank in range(2):
            self.seq += 1
            grad = self.rng.standard_normal(SIZE).astype(np.float32) if gradient is None else gradient.copy()
            small = np.ones(3, np.float32)
            push = m.Push(self.seq, 1, 1, [KEY, SMALL], [0, 0], [self.clock] * 2, [], [grad, small])
            self.shard.step(b"w%d" % rank, push, 0.0)
        self.clock += 1

    def pull(self, base: int) -> np.ndarray:
        reply = self.ask(m.PullChange, [KEY], [0], [self.clock], [base])
        assert isinstance(reply, m.Values)
        assert list(reply.clocks) == [self.clock]
        return np.asarray(reply.values[0])

    def read(self) -> np.ndarray:
        """By a worker that asks for whole values."""
        return np.asarray(self.ask(m.Pull, [KEY], [0], [self.clock]).values[0])

    @property
    def value(self) -> np.ndarray:
        return self.shard.slices[KEY, 0].value


class Reader:
    """A worker that builds upon what it holds."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.base = 0
        self.value = np.zeros(SIZE, np.float32)
        self.nbytes = 0

    def pull(self) -> np.ndarray:
        data = self.story.pull(self.base)
        self.nbytes = data.nbytes
        if data.dtype == np.float32:
            self.value = data.copy()
        else:
            (base,) = data[:8].view("<u8")
            if base == 0:
                self.value = unpack(data[8:], SIZE)
            else:
                assert base == self.base
                num = self.story.clock + 1 - self.base
                for change in np.split(data[8:], num) if num else ():
                    self.value = self.value + unpack(change, SIZE)
        self.base = self.story.clock + 1
        return self.value


@pytest.mark.parametrize("code", ["4level", "1bit", "int8", "bf16"])
def test_whoever_pulls_and_when_reads_the_same_bits(code: str) -> None:
    story = Story(code=code)
    always, seldom = Reader(story), Reader(story)
    always.pull(), seldom.pull()
    for clock in range(30):
        story.round()
        np.testing.assert_array_equal(always.pull(), story.read())
        assert always.nbytes < 4 * SIZE / 1.9
        if clock % 5 == 4:  # a few rounds at once
            np.testing.assert_array_equal(seldom.pull(), always.value)
            assert seldom.nbytes < 4 * SIZE * 5 / 1.9
    for _ in range(9):  # more than are remembered
        story.round()
    np.testing.assert_array_equal(seldom.pull(), story.read())
    assert seldom.nbytes == 4 * SIZE
    assert seldom.pull().nbytes == 4 * SIZE
    assert seldom.nbytes == 8  # nothing new


def test_what_is_lost_comes_later() -> None:
    story = Story()
    reader = Reader(story)
    reader.pull()
    for _ in range(20):
        story.round()
    away = np.abs(story.read() - story.value).max()
    assert away > 0
    story.ask(m.SetHyper, story.clock, 0.0, 0.0)  # the value stands still
    for _ in range(120):
        story.round()
        reader.pull()
    assert np.abs(reader.value - story.value).max() < away / 1000


def test_a_small_array_is_read_as_it_is() -> None:
    story = Story()
    story.round()
    reply = story.ask(m.PullChange, [SMALL, KEY], [0, 0], [1, 1], [1, 1])
    assert [value.dtype.name for value in reply.values] == ["float32", "uint8"]
    np.testing.assert_array_equal(reply.values[0], story.shard.slices[SMALL, 0].value)


def test_without_an_optimizer_the_sum_is_what_is_compressed_and_what_it_loses_is_in_the_next() -> None:
    story = Story(has_rule=False)
    gradient = story.rng.standard_normal(SIZE).astype(np.float32)
    reader, total = Reader(story), np.zeros(SIZE, np.float64)
    for _ in range(100):
        story.round(gradient)
        total += reader.pull()
        assert reader.nbytes < 4 * SIZE / 14
        np.testing.assert_array_equal(reader.value, story.read())
    np.testing.assert_allclose(total / 100, 2 * gradient, atol=0.1)


@pytest.mark.parametrize("has_rule", [True, False])
def test_a_value_that_is_not_finite_travels_whole_and_does_no_harm_after(has_rule: bool) -> None:
    story = Story(has_rule=has_rule)
    reader = Reader(story)
    reader.pull()
    story.round()
    reader.pull()
    bad = np.ones(SIZE, np.float32)
    bad[7] = np.inf
    story.round(bad)
    np.testing.assert_array_equal(reader.pull(), story.value)
    assert not np.isfinite(reader.value[7])
    if not has_rule:
        story.round()
        assert np.isfinite(reader.pull()).all()


@pytest.mark.parametrize("has_rule", [True, False])
def test_a_copy_and_a_snapshot_go_on_with_the_same_bits(has_rule: bool) -> None:
    story = Story(has_rule=has_rule)
    for _ in range(5):
        story.round()
    piece = story.shard.slice_at(KEY, 0)
    message = slices_of([piece], 1, 1, 0)
    others = [Shard("j"), Shard("j")]
    for other in others:
        put_settings(other, settings_of(story.shard, 1, 1, 0))
    put_slices(others[0], message)
    whole = _Whole("s:w", np.dtype(np.float32), (SIZE,), [np.array(value) for value in message.values])
    whole.clock, whole.num_updates = piece.clock, piece.num_updates
    whole.learned = piece.portions
    _cut(
        {"s:w": whole},
        lambda *_: [type("Part", (), {"server": 0, "offset": 0, "length": SIZE})],
        0,
        1,
        others[1],
    )
    grad = story.rng.standard_normal(SIZE).astype(np.float32)
    for other in others:
        copy = other.slice_at(KEY, 0)
        copy.replay([0, 1], 5, 6)
        other.apply(copy, grad * 2, 5, (0, 1))
    story.round(grad)
    for other in others:
        assert other.nbytes >= (3 if has_rule else 2) * 4 * SIZE
        np.testing.assert_array_equal(other._read([other.slice_at(KEY, 0)], [])[0], story.read())


def test_the_optimizer_s_state_is_told_without_what_is_kept_for_pulls() -> None:
    story = Story()
    story.round()
    states = story.ask(m.GetState, [KEY], [0])
    assert list(states.counts) == [1]
    assert isinstance(story.ask(m.SetState, [KEY], [0], [1], [1], states.values), m.Done)


def test_it_can_be_begun_and_ended_between_rounds() -> None:
    story = Story()
    reader = Reader(story)
    for _ in range(3):
        story.round()
        reader.pull()
    story.ask(m.SetPullCode, "", {})
    np.testing.assert_array_equal(story.read(), story.value)
    assert story.pull(reader.base).dtype == np.float32
    story.ask(m.SetPullCode, "int8", {})
    np.testing.assert_array_equal(story.read(), story.value)
    story.ask(m.SetOptimizer, "adam", {}, 0.1, 0.0, {}, {})
    np.testing.assert_array_equal(story.read(), story.value)
    story.ask(m.SetPullCode, "", {})
    assert story.shard.updates.nbytes == 0


def test_what_it_does_not_go_with_is_said() -> None:
    story = Story()
    refusal = story.ask(m.SetStaleness, 2)
    assert "compressed pulls need rounds that are applied whole" in refusal.text
    assert "wanted one of none, 2bit" in story.ask(m.SetPullCode, "3bit", {}).text
    story.ask(m.SetPullCode, "", {})
    story.ask(m.SetStaleness, 2)
    assert "take staleness 0" in story.ask(m.SetPullCode, "4level", {}).text
    assert "columns of other lengths" in story.ask(m.PullChange, [KEY], [0], [0], [0, 0]).text

"""Long lists of small keys: counted, gathered and spread at once, like a few keys one by one."""

import numpy as np
import pytest
from psdist_worker.memory import Sources, Targets
from psdist_worker.plan import LONG, KeyInfo, Layout, Rounds, key_info

from psdist.wire import messages as m
from psdist.wire.codec import Packed, decode, encode
from psdist.wire.kinds import Column


def keys(num: int, rounds: Rounds | None = None) -> list[KeyInfo]:
    return [
        key_info(f"k{i}", (1 + i % 3,), np.dtype(np.float32), 1, 1 << 20, rounds=rounds) for i in range(num)
    ]


@pytest.mark.parametrize("num", [1, LONG - 1, LONG, 3 * LONG])
def test_rounds_are_counted_alike_for_short_and_long_lists(num: int) -> None:
    infos = keys(num, Rounds())
    layout, first = Layout(infos), Layout(infos[:1])
    first.count()
    first.count()
    layout.count()
    first.acknowledge()
    (piece,) = layout.pieces
    assert layout.newest == 3
    assert layout.num_open == 2
    assert list(layout.clocks(piece)) == [3] + [1] * (num - 1)
    assert list(layout.clocks(piece, 2)) == [1] + [0] * (num - 1)
    layout.acknowledge()
    assert [info.acknowledged for info in infos] == [2] + [1] * (num - 1)


def test_keys_that_are_counted_apart_make_a_list_all_the_same() -> None:
    small = Rounds(LONG)
    infos = keys(LONG, small) + keys(2)
    assert small.is_full
    layout = Layout(infos)
    layout.count()
    layout.acknowledge()
    assert {(info.clock, info.acknowledged) for info in infos} == {(1, 1)}


@pytest.mark.parametrize("is_lasting", [False, True])
def test_values_are_gathered_as_they_are_now_and_spread_to_where_they_belong(is_lasting: bool) -> None:
    infos = keys(20)
    (piece,) = Layout(infos).pieces
    mine = [np.zeros(info.shape, np.float32) for info in infos]
    outs = [np.zeros(info.shape, np.float32) for info in infos]
    sources = Sources(mine, is_lasting=is_lasting)
    targets = Targets(infos, [[out] for out in outs], is_lasting=is_lasting)
    for step in range(3):
        for i, array in enumerate(mine):
            array[:] = 100 * step + i
        values = sources.values(piece)
        for array in mine:
            array[:] = -1  # a message has the values of when it was made
        assert isinstance(values, Packed)
        targets.deliver(piece)(m.Values(1, [step] * len(infos), values))
        assert [out.tolist() for out in outs] == [[100.0 * step + i] * (1 + i % 3) for i in range(20)]


def test_a_column_of_bytes_is_read_like_one_of_numbers() -> None:
    numbers = [3, 1 << 63, 0, 7]
    column = Column(numbers)
    assert list(column) == numbers
    assert (len(column), column[1], column[1:]) == (4, 1 << 63, (1 << 63, 0, 7))
    pull = m.Pull(1, column, Column(np.arange(4)), [5] * 4)
    read = decode([bytes(frame) for frame in encode(pull)])
    assert read == m.Pull(1, tuple(numbers), (0, 1, 2, 3), (5,) * 4)

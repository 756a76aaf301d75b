"""Sets of numbers as runs are sets of numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psdist.wire.spans import Spans

NUMBERS = st.lists(st.integers(0, 30))


def spans(numbers: list[int]) -> Spans:
    made = Spans()
    for number in numbers:
        made.add(number)
    return made


@given(NUMBERS, NUMBERS)
def test_they_hold_what_was_added_and_share_what_both_hold(one: list[int], other: list[int]) -> None:
    a, b = spans(one), spans(other)
    assert list(a) == sorted(set(one))
    assert len(a) == len(set(one))
    assert [n in a for n in range(32)] == [n in one for n in range(32)]
    assert list(a & b) == sorted({*one} & {*other})
    assert list(a.missing(20)) == sorted({*range(20)} - {*one})
    assert Spans(a.bounds) == a == spans(sorted(one))


def test_numbers_in_order_are_one_run() -> None:
    assert spans([3, 0, 2, 1, 4]).bounds == [0, 5]


@pytest.mark.parametrize("bounds", [[1], [2, 2], [3, 1], [0, 2, 2, 4]])
def test_bounds_that_are_no_runs_are_refused(bounds: list[int]) -> None:
    with pytest.raises(ValueError, match="are not the bounds of runs"):
        Spans(bounds)

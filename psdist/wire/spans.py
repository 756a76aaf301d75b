"""Sets of whole numbers that mostly follow one another, as the bounds of their runs: which data was applied.

`[0, 5, 7, 8]` are the numbers 0 to 4, and 7: begin, end, begin, end, ascending, no run empty or touching the next.
Numbers that are added roughly in order, from however many sides, stay a few runs, whatever their count.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterator, Sequence

__all__ = ["Spans"]


class Spans:
    """A set of numbers."""

    __slots__ = ("bounds",)

    def __init__(self, bounds: Sequence[int] = ()) -> None:
        """Raises ValueError for bounds that are none."""
        if len(bounds) % 2 or any(low >= high for low, high in itertools.pairwise(bounds)):
            raise ValueError(f"{list(bounds)[:8]} are not the bounds of runs")
        self.bounds = list(bounds)

    def __contains__(self, number: int) -> bool:
        return bisect_right(self.bounds, number) % 2 == 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spans) and self.bounds == other.bounds

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __len__(self) -> int:
        """How many numbers."""
        return sum(self.bounds[1::2]) - sum(self.bounds[::2])

    def __iter__(self) -> Iterator[int]:
        for low, high in zip(self.bounds[::2], self.bounds[1::2], strict=True):
            yield from range(low, high)

    def __repr__(self) -> str:
        return f"Spans({self.bounds})"

    @property
    def end(self) -> int:
        """One more than the greatest number; 0 for none."""
        return self.bounds[-1] if self.bounds else 0

    def add(self, number: int) -> None:
        """Put a number in."""
        bounds = self.bounds
        i = bisect_right(bounds, number)
        if i % 2:
            return
        follows = i > 0 and bounds[i - 1] == number
        leads = i < len(bounds) and bounds[i] == number + 1
        new = ([] if follows else [number]) + ([] if leads else [number + 1])
        bounds[i - follows : i + leads] = new

    def missing(self, end: int) -> Iterator[int]:
        """The numbers below `end` that are not in it."""
        low = 0
        for begin, after in zip(self.bounds[::2], self.bounds[1::2], strict=True):
            yield from range(low, min(begin, end))
            low = after
        yield from range(low, end)

    def __and__(self, other: Spans) -> Spans:
        """The numbers that are in both."""
        both: list[int] = []
        i = j = 0
        a, b = self.bounds, other.bounds
        while i < len(a) and j < len(b):
            low, high = max(a[i], b[j]), min(a[i + 1], b[j + 1])
            if low < high:
                both += (low, high)
            if a[i + 1] < b[j + 1]:
                i += 2
            else:
                j += 2
        return Spans(both)

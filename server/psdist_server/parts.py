"""A part of a table: those rows of an array that this server holds, going through rounds as a slice does.

Its gradients are `Rows`; a worker pushes to every part in every round, if only no rows. The rounds, the clocks and
what was applied are the slice's; the rows lie in a `Table`. A part's offset is negative, so that no message about
slices can name it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from psdist.table import Evict, First, Rows, Table, merge

from .rounds import Key, Slice

__all__ = ["TablePart", "part_place"]

_NO_VALUE = np.empty(0, np.uint8)


def part_place(number: int, part: int) -> tuple[int, int]:
    """Where a part stands among the slices of a shard."""
    return number, -1 - part


class TablePart(Slice):
    """Part `part` of `num_parts` of a table."""

    __slots__ = ("is_open", "num_parts", "part", "table")

    def __init__(self, key: Key, part: int, num_parts: int, first: First, evict: Evict) -> None:
        super().__init__(key, part_place(key.number, part)[1], _NO_VALUE)
        self.part = part
        self.num_parts = num_parts
        width = int(np.prod(key.shape[1:], dtype=np.int64))
        self.table = Table(key.number, width, key.dtype, first, evict)
        self.is_open = False  # all first rows are there: it is among its key's slices

    @property
    def nbytes(self) -> int:
        return self.table.nbytes

    def plus(self, total: Any, part: Any) -> Any:
        return merge(total, part)

    def forget_state(self) -> None:
        super().forget_state()
        self.table.state = None

    def open(self) -> None:
        """All first rows are there."""
        self.is_open = True
        self.key.slices[self.offset] = self


def kept(rows: Rows) -> Rows:
    """The same rows in memory that is nobody else's: a pusher's is his again when he has the reply."""
    ids, data = (a if a.flags.writeable else a.copy() for a in rows)
    return Rows(ids, data)

"""Where each row of a table lies: a hash table in NumPy arrays, asked for many rows at once.

Open addressing with linear probing; at most 7/10 of it are full. What is removed leaves a mark that searching passes
over, until the next time that all is put in anew.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Index"]

Array = NDArray[Any]

_FREE: Final = -1
_GONE: Final = -2
_MIX: Final = np.uint64(
    0xD6E8FEB86659FD93
)  # odd, and another than rows.py's: all rows of a part agree in that one
_SMALLEST: Final = 10  # bits


class Index:
    """Row number (int64, from 0) to slot (below 2³¹)."""

    def __init__(self) -> None:
        self._bits = _SMALLEST
        self._clear()

    def _clear(self) -> None:
        size = 1 << self._bits
        self._rows = np.full(size, _FREE, np.int64)
        self._slots = np.empty(size, np.int32)
        self._used = 0  # rows and marks
        self._num = 0  # rows

    def __len__(self) -> int:
        return self._num

    @property
    def nbytes(self) -> int:
        return self._rows.nbytes + self._slots.nbytes

    def find(self, ids: Array) -> Array:
        """The slots of these rows, -1 for one that is not there."""
        at = self._places(ids)
        return np.where(self._rows[at] == ids, self._slots[at], -1)

    def add(self, ids: Array, slots: Array) -> None:
        """Put in rows, all of them new, none twice."""
        if 10 * (self._used + len(ids)) > 7 * len(self._rows):
            self._renew(len(ids))
        rows, mask = self._rows, len(self._rows) - 1
        home = self._home(ids)
        todo = np.arange(len(ids))
        while len(todo):
            at = home[todo]
            free = rows[at] == _FREE
            rows[at[free]] = ids[todo[free]]  # of two that want the same place, the last gets it
            is_in = rows[at] == ids[todo]
            self._slots[at[is_in]] = slots[todo[is_in]]
            todo = todo[~is_in]
            home[todo] = (home[todo] + 1) & mask
        self._used += len(ids)
        self._num += len(ids)

    def remove(self, ids: Array) -> None:
        """Take out rows, all of them there."""
        self._rows[self._places(ids)] = _GONE
        self._num -= len(ids)

    def _places(self, ids: Array) -> Array:
        """Where each row is, or the free place at which the search for it ends."""
        rows, mask = self._rows, len(self._rows) - 1
        at = self._home(ids)
        there = rows[at]
        todo = np.flatnonzero((there != ids) & (there != _FREE))
        while len(todo):
            at[todo] = (at[todo] + 1) & mask
            there = rows[at[todo]]
            todo = todo[(there != ids[todo]) & (there != _FREE)]
        return at

    def _home(self, ids: Array) -> Array:
        return ((ids.astype(np.uint64) * _MIX) >> np.uint64(64 - self._bits)).astype(np.int64)

    def _renew(self, num_new: int) -> None:
        """Put all in anew, with room for more."""
        is_there = self._rows >= 0
        ids, slots = self._rows[is_there], self._slots[is_there]
        while 2 * (len(ids) + num_new) > 1 << self._bits:
            self._bits += 1
        self._clear()
        if len(ids):
            self.add(ids, slots)

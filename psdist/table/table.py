"""The rows of a table that were touched: their values, the optimizer's state of each, and which go when it is full.

To touch a row is to push to it; reading changes nothing, so that a table does not depend on who reads when. What is
evicted depends on the rounds alone: "lru" keeps the `limit` rows that were touched last (of rows touched last in the
same round, those of higher numbers), "ttl" those that were touched in the last `limit` rounds. A row that comes back
begins anew, with its first value and a fresh state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from .first import First
from .index import Index
from .rows import Rows, put_rows

__all__ = ["Evict", "Table"]

Array = NDArray[Any]

_MIN_ROWS: Final = 64
_BLOCK: Final = 1 << 17  # elements of an update: their rows stay in the cache until they are put back


class Rule(Protocol):
    """What a table needs of an optimizer's rule, which works on each element by itself."""

    def create_state(self, value: Array, /) -> tuple[Array, ...]: ...

    def update(
        self, value: Array, grad: Array, state: tuple[Array, ...], /, *, lr: float, wd: float, t: int
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Evict:
    """Which rows are let go: "" none, "lru" all but `limit`, "ttl" those not touched for `limit` rounds."""

    policy: str = ""
    limit: int = 0

    def check(self) -> None:
        """Raise ConfigError unless it makes sense."""
        if self.policy not in ("", "lru", "ttl"):
            raise ConfigError(f"rows are not evicted by {self.policy!r}; wanted 'lru', 'ttl' or ''")
        if (self.limit < 1) if self.policy else self.limit:
            raise ConfigError(f"evict {self.policy!r} with the limit {self.limit}; wanted 1 or more")


class Table:
    """Rows of `width` elements by their numbers."""

    def __init__(self, number: int, width: int, dtype: np.dtype[Any], first: First, evict: Evict) -> None:
        self.number = number  # the key's: tables of one seed begin differently
        self.width = width
        self.dtype = dtype
        self.first = first
        self.evict = evict
        self.state: tuple[Array, ...] | None = None  # None: never updated
        self.newest = -1  # the latest round that was applied
        self.clear()

    def clear(self) -> None:
        """Forget all rows and states."""
        self._index = Index()
        self._ids = np.full(0, -1, np.int64)  # by slot; -1: free
        self._touched = np.empty(0, np.int64)  # by slot: the last round that touched the row
        self._data = np.empty((0, self.width), self.dtype)
        self._end = 0  # slots from here on were never used
        self._free = np.empty(0, np.int64)  # slots before it that are free
        self.state = None

    def __len__(self) -> int:
        return len(self._index)

    @property
    def num_slots(self) -> int:
        """As many as were ever in use at once: what `portion` counts in."""
        return self._end

    @property
    def nbytes(self) -> int:
        """Of the rows and their states, as far as they are in use, and the index."""
        arrays = (self._data, self._touched, *(self.state or ()))
        per_slot = self._ids.itemsize + sum(a[:1].nbytes for a in arrays)
        return self._end * per_slot + self._index.nbytes

    # --- reading ----------------------------------------------------------------------------------

    def read(self, ids: Array, empty: Callable[[int, np.dtype[Any]], Array] = np.empty) -> Array:
        """These rows, (len(ids), width), in memory from `empty`."""
        out = empty(len(ids) * self.width, self.dtype).reshape(len(ids), self.width)
        slots = self._index.find(ids)
        if self._end:
            np.take(self._data, slots, axis=0, out=out, mode="clip")
        missing = np.flatnonzero(slots < 0)
        if len(missing):
            out[missing] = self._first(ids[missing])
        return out

    def stored(self) -> Array:
        """The numbers of the rows that are stored, ascending."""
        return np.sort(self._ids[: self._end][self._ids[: self._end] >= 0])

    def portion(self, begin: int, end: int) -> tuple[Array, ...]:
        """Copies of numbers, last rounds, rows and states of what lies in these slots."""
        slots = begin + np.flatnonzero(self._ids[begin : min(end, self._end)] >= 0)
        return tuple(a[slots] for a in (self._ids, self._touched, self._data, *(self.state or ())))

    def states_of(self, ids: Array) -> tuple[Array, ...]:
        """Copies of the states of these rows, which are stored."""
        slots = self._index.find(ids)
        return tuple(a[slots] for a in self.state or ())

    # --- writing ----------------------------------------------------------------------------------

    def put(self, ids: Array, touched: Array, data: Array, state: tuple[Array, ...] = ()) -> None:
        """Store these rows as they are given, in place of what was there."""
        slots, _ = self._locate(ids, draws=False)
        self._data[slots] = data
        self._touched[slots] = touched
        if state and self.state is None:
            self.state = tuple(np.zeros((len(self._ids), self.width), a.dtype) for a in state)
        for mine, given in zip(self.state or (), state, strict=True):
            mine[slots] = given

    def put_states(self, ids: Array, state: tuple[Array, ...]) -> None:
        """Give rows these states; those that are not there are created."""
        slots, _ = self._locate(ids)
        if self.state is None:
            self.state = tuple(np.zeros((len(self._ids), self.width), a.dtype) for a in state)
        for mine, given in zip(self.state, state, strict=True):
            mine[slots] = given

    def give(self, rows: Rows) -> None:
        """First values of rows; where there is one, it stays."""
        if len(self):
            is_new = self._index.find(rows.ids) < 0
            if not is_new.all():
                rows = Rows(rows.ids[is_new], rows.data[is_new])
        self.put(rows.ids, np.full(len(rows.ids), self.newest), rows.data)

    def replace(self, rows: Rows, clock: int) -> None:
        """Without an optimizer, the sum of a round is the value: these rows, and zero elsewhere."""
        self.clear()
        self.first = First("constant", {"value": 0.0})
        self.put(rows.ids, np.full(len(rows.ids), clock), rows.data)
        self.newest = max(self.newest, clock)

    def update(self, rows: Rows, clock: int, rule: Rule, *, lr: float, wd: float, t: int, lazy: bool) -> None:
        """Apply the gradient of round `clock`: to its rows alone, or where the rule is not lazy to every stored row."""
        slots, made = self._locate(rows.ids)
        if self.state is None:
            self.state = rule.create_state(self._data)
        elif len(made):
            for mine, fresh in zip(self.state, rule.create_state(self._data[made]), strict=True):
                mine[made] = fresh
        if self.evict.policy:
            self._touched[slots] = np.maximum(self._touched[slots], clock)
        self.newest = max(self.newest, clock)
        if lazy:
            arrays = (self._data, *self.state)
            most = max(1, _BLOCK // max(1, self.width))
            scratch = [np.empty((min(most, len(slots)), self.width), a.dtype) for a in arrays]
            for low in range(0, len(slots), most):  # so that rows are in the cache when they are put back
                some = slots[low : low + most]
                parts = [a[: len(some)] for a in scratch]
                for whole, part in zip(arrays, parts, strict=True):
                    np.take(whole, some, axis=0, out=part, mode="clip")
                rule.update(parts[0], rows.data[low : low + most], tuple(parts[1:]), lr=lr, wd=wd, t=t)
                for whole, part in zip(arrays, parts, strict=True):
                    put_rows(whole, some, part)
            return
        grad = np.zeros((self._end, self.width), rows.data.dtype)
        grad[slots] = rows.data
        state = tuple(a[: self._end] for a in self.state)
        rule.update(self._data[: self._end], grad, state, lr=lr, wd=wd, t=t)

    def _locate(self, ids: Array, *, draws: bool = True) -> tuple[Array, Array]:
        """Where these rows are, and of those the slots that are new: of rows created with their first values, which
        are not drawn where the caller writes others."""
        slots = self._index.find(ids)
        new = np.flatnonzero(slots < 0)
        if not len(new):
            return slots, new
        made = self._take(len(new))
        slots[new] = made
        self._index.add(ids[new], made)
        self._ids[made] = ids[new]
        self._touched[made] = -1
        if draws:
            self._data[made] = self._first(ids[new])
        return slots, made

    def _first(self, ids: Array) -> Array:
        return self.first.draw(ids, self.width, self.number, self.dtype)

    def _take(self, num: int) -> Array:
        """Slots for new rows: those that became free, then new ones."""
        again, self._free = self._free[:num], self._free[num:]
        begin, self._end = self._end, self._end + num - len(again)
        if self._end > len(self._ids):
            self._grow()
        return np.concatenate([again, np.arange(begin, self._end)])

    def _grow(self) -> None:
        # memory that nobody writes to is not taken from the machine
        size = max(_MIN_ROWS, self._end, 2 * len(self._ids))
        self._ids = _longer(self._ids, size, -1)
        self._touched = _longer(self._touched, size, 0)
        self._data = _longer(self._data, size, 0)
        if self.state is not None:
            self.state = tuple(_longer(a, size, 0) for a in self.state)

    # --- evicting ---------------------------------------------------------------------------------

    def due(self) -> Array:
        """The rows that are to be evicted now, ascending. Looks at every slot: some milliseconds a million."""
        ids, touched = self._ids[: self._end], self._touched[: self._end]
        limit = self.evict.limit
        if self.evict.policy == "ttl":
            return np.sort(ids[(touched <= self.newest - limit) & (ids >= 0)])
        num = len(self) - limit
        if self.evict.policy != "lru" or num <= 0:
            return ids[:0]
        live = np.flatnonzero(ids >= 0)
        ids, touched = ids[live], touched[live]
        last = np.partition(touched, num - 1)[num - 1]
        older = ids[touched < last]
        ties = np.sort(ids[touched == last])
        return np.sort(np.concatenate([older, ties[: num - len(older)]]))

    def remove(self, ids: Array) -> None:
        """Let go of rows; those that are not there are no matter."""
        slots = self._index.find(ids)
        ids, slots = ids[slots >= 0], slots[slots >= 0]
        if len(ids):
            self._index.remove(ids)
            self._ids[slots] = -1
            self._free = np.concatenate([self._free, slots])
            for a in (self._data, *(self.state or ())):
                a[slots] = 0  # a rule that is not lazy goes over them as well

    def portions(self, num_rows: int) -> Iterator[tuple[Array, ...]]:
        """All of it, in portions of at most so many rows."""
        for begin in range(0, self._end, num_rows):
            yield self.portion(begin, begin + num_rows)


def _longer(a: Array, size: int, fill: int) -> Array:
    out = np.full((size, *a.shape[1:]), fill, a.dtype) if fill else np.zeros((size, *a.shape[1:]), a.dtype)
    out[: len(a)] = a
    return out

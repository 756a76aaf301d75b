"""One slice of a key, and the rounds it goes through: the arithmetic of a parameter server.

A push is `(rank, clock, gradient)`. With staleness 0 the gradients of a round are added in **rank order**,
whatever order they come in, as soon as the prefix is there; a complete round is applied and the slice's
clock moves on. With any other staleness each push is applied when it comes, per worker in the order of its
clocks, and the slice's clock is that of its slowest worker. `applied` says for each worker how many of its
pushes are in the value; together with the open rounds it tells every repeated push from a new one, so the
memory of what was done needs no log.

Who owns which memory. A gradient that is pushed belongs to the slice from then on: rank 0's becomes the
round's accumulator. A value that was handed out may still be on its way to a socket, so it is never written
again: `writable` gives the value itself when nobody else holds it and a copy otherwise, and the old array
is kept as a spare for the next time. Who holds it is asked of CPython's reference count, which ZeroMQ's
zero-copy frames keep up until they are sent. Results never depend on the answer.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from psdist.wire.codec import PACKED
from psdist.wire.messages import Tensor, key_label, key_number
from psdist.wire.spans import Spans

if TYPE_CHECKING:
    from psdist.optimizer import Rule

    from .groups import Group

__all__ = ["ADDED", "Apply", "Empty", "Key", "Round", "Slice", "Waiter"]

Empty = Callable[[int, np.dtype[Any]], Tensor]  # gives memory for so many elements

ADDED: Final = np.empty(0, np.uint8)  # stands in Round.parts for a gradient that is in the sum
_UNSHARED: Final = 2  # sys.getrefcount of an array that one attribute holds


class Apply(Protocol):
    """What to do with a round's sum, or in async mode with one gradient, of round `clock`, to which `ranks`
    have pushed gradients of these portions of the data."""

    def __call__(
        self, piece: Slice, grad: Any, clock: int, ranks: tuple[int, ...], portions: tuple[int, ...], /
    ) -> None: ...


class Key:
    """A parameter array, of which this server holds some slices."""

    __slots__ = (
        "dtype",
        "empty",
        "is_averaged",
        "is_table",
        "label",
        "lr_mult",
        "name",
        "num_elements",
        "number",
        "rule",
        "shape",
        "slices",
        "starts",
        "wd_mult",
    )

    def __init__(
        self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], empty: Empty = np.empty
    ) -> None:
        self.name = name
        self.empty = empty
        self.is_averaged = name.startswith("m:")  # its value is the mean of a round's pushes
        self.label = key_label(name)
        self.number = key_number(name)
        self.shape = shape
        self.dtype = dtype
        self.num_elements = math.prod(shape)
        self.is_table = False  # its slices are parts of a table, see parts.py
        self.slices: dict[int, Slice] = {}  # by offset
        self.starts: list[int] = []  # the offsets, sorted
        self.lr_mult = 1.0
        self.wd_mult = 1.0
        self.rule: Rule | None = None  # that looks at all of the array, so that slices go together (whole.py)

    def pieces(self) -> list[Slice]:
        """The slices in the order of their offsets."""
        return [self.slices[start] for start in self.starts]

    def missing(self) -> str:
        """Why no rule can look at all of the array: "" when one can."""
        if self.is_table:
            return f"needs whole arrays, and {self.label} is a table, of which a server has some rows"
        held = sum(piece.value.size for piece in self.slices.values())
        if held == self.num_elements:
            return ""
        return (
            f"needs whole arrays, and of {self.label} only {held} of {self.num_elements} elements are on this "
            "server: set the optimizer before the keys are initialised"
        )

    def own(self, value: Tensor) -> Tensor:
        """A copy in this server's memory."""
        copy = self.empty(value.size, value.dtype)
        np.copyto(copy, value)
        return copy

    def misfit(self, offset: int, length: int) -> str:
        """Why no slice can lie there: "" when one can, or does."""
        if offset + length > self.num_elements:
            return (
                f"{self.label} has {self.num_elements} elements; no slice can be {offset}:{offset + length}"
            )
        i = bisect_right(self.starts, offset)
        if i and (start := self.starts[i - 1]) + (n := self.slices[start].value.size) > offset:
            if start != offset or n != length:
                return self._sliced_differently(offset, length, start)
        elif i < len(self.starts) and self.starts[i] < offset + length:
            return self._sliced_differently(offset, length, self.starts[i])
        return ""

    def _sliced_differently(self, offset: int, length: int, start: int) -> str:
        there = f"{start}:{start + self.slices[start].value.size}"
        return (
            f"{self.label} is cut into slices differently: {offset}:{offset + length} here is {there}; "
            "PSDIST_SLICE_BYTES must be the same in the whole job"
        )

    def add(self, offset: int, value: Tensor) -> Slice:
        """A new slice."""
        piece = self.slices[offset] = Slice(self, offset, value)
        self.starts.insert(bisect_right(self.starts, offset), offset)
        return piece


class Waiter(Protocol):
    """Somebody who waits for slices to get somewhere."""

    def one_is_there(self) -> None:
        """One of the things waited for is there."""

    def waits_for_more(self, num: int) -> None:
        """What was one thing to wait for is `num` more."""


class Round:
    """The gradients of one round of a slice, summed in rank order."""

    __slots__ = ("num_added", "order", "parts", "portions", "total")

    def __init__(self, order: Sequence[int]) -> None:
        self.order = order  # the ranks this round needs, ascending; the first `num_added` are in `total`
        self.num_added = 0
        self.parts: dict[int, Any] = {}  # by rank; ADDED for those in `total`; a table's are Rows
        self.portions: dict[int, Sequence[int]] = {}  # of the data, by rank, where they are counted
        self.total: Any = None

    def take_portions(self, ranks: Iterable[int]) -> tuple[int, ...]:
        """The portions of the data that these ranks have pushed gradients of; they are not given again."""
        if not self.portions:
            return ()
        return tuple(sorted(p for rank in ranks for p in self.portions.pop(rank, ())))

    def add_up(self, plus: Callable[[Any, Any], Any]) -> bool:
        """Add what the order allows; whether the round is complete."""
        order, parts = self.order, self.parts
        while self.num_added < len(order):
            rank = order[self.num_added]
            part = parts.get(rank)
            if part is None:
                return False
            self.total = part if self.total is None else plus(self.total, part)
            parts[rank] = ADDED
            self.num_added += 1
        return True


class Slice:
    """A run of elements of a key: its value, clock, open rounds, optimizer state, and who waits for it."""

    __slots__ = (
        "_spare",
        "applied",
        "changes",
        "clock",
        "group",
        "key",
        "num_updates",
        "offset",
        "portions",
        "rounds",
        "stands_for",
        "state",
        "value",
        "view",
        "waiting",
    )

    def __init__(self, key: Key, offset: int, value: Tensor) -> None:
        self.key = key
        self.offset = offset
        self.value = value  # never written while somebody else holds it
        self.clock = 0  # rounds applied; of the slowest worker where pushes are applied one by one
        self.applied: dict[int, int] = {}  # by rank: how many of its pushes are in the value
        self.rounds: dict[int, Round] = {}  # by clock; only rounds that are not complete
        self.portions = Spans()  # of the data, that are in the value
        self.num_updates = 0
        self.state: tuple[Tensor, ...] | None = None  # None: never updated
        self.view: Tensor | None = None  # for compressed pulls, see views.py
        self.changes: list[tuple[int, Tensor]] = []  # likewise: (clock then, bytes), the newest last
        self.waiting: list[tuple[int, int, Waiter]] = []  # (rank or -1, need, who): see `has`
        self.group: Group | None = None  # which has all of this while it stands for this slice
        self.stands_for: Group | None = None  # whose members this slice is
        self._spare: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """Of the value; of a table's part also of the states."""
        return self.value.nbytes

    def plus(self, total: Any, part: Any) -> Any:
        """The sum of gradients so far, and one more."""
        if total.flags.writeable:
            return np.add(total, part, out=total)
        # the pusher's own memory: read, never written
        return np.add(total, part, out=self.key.empty(part.size, part.dtype))

    def forget_state(self) -> None:
        """The optimizer is another."""
        self.state, self.num_updates = None, 0

    def knows(self, rank: int, clock: int) -> bool:
        """Whether this worker's push of round `clock` was applied, or is in an open round."""
        if clock < self.applied.get(rank, 0):
            return True
        round_ = self.rounds.get(clock)
        return round_ is not None and rank in round_.parts

    def first_free(self, rank: int) -> int:
        """The first round that is not over, and that this rank has not pushed to, nor to a later one."""
        pushed = [clock + 1 for clock, round_ in self.rounds.items() if rank in round_.parts]
        return max(self.clock, self.applied.get(rank, 0), *pushed)

    def put(
        self, rank: int, clock: int, grad: Any, ranks: Sequence[int], portions: Sequence[int] = ()
    ) -> None:
        """Take a push that is not known yet; `settle` applies it. `ranks` are the workers, ascending. Of portions
        that are here already, whoever pushed them, nothing is added: it counts as zeros."""
        round_ = self.rounds.get(clock)
        if round_ is None:
            round_ = self.rounds[clock] = Round(self._needed(clock, ranks))
        if portions and not self.key.is_averaged:
            if self.num_here(portions):
                grad = np.zeros_like(grad)
            else:
                round_.portions[rank] = portions
        round_.parts[rank] = grad

    def num_here(self, portions: Sequence[int]) -> int:
        """How many of these portions are in the value or in open rounds."""
        pushed = {p for round_ in self.rounds.values() for of in round_.portions.values() for p in of}
        return sum(p in self.portions or p in pushed for p in portions)

    def _needed(self, clock: int, ranks: Sequence[int]) -> Sequence[int]:
        applied = self.applied
        if all(applied.get(rank, 0) <= clock for rank in ranks):
            return ranks
        return [rank for rank in ranks if applied.get(rank, 0) <= clock]

    def settle(self, ranks: Sequence[int], each: bool, apply: Apply) -> None:
        """Apply what can be applied: whole rounds, or with `each` every push in its worker's order."""
        before, is_applied = self.clock, False
        if each:
            is_applied = self._settle_each(ranks, apply)
        else:
            while self.is_due(ranks):
                clock = self.clock
                round_ = self.close_round()
                if round_ is not None and round_.total is not None:
                    ranks_of = tuple(sorted(round_.parts))
                    apply(self, round_.total, clock, ranks_of, round_.take_portions(ranks_of))
        # of a thousand workers' pushes only the last one gets a round anywhere
        if self.waiting and (is_applied or self.clock != before):
            self.wake()

    def is_due(self, ranks: Sequence[int]) -> bool:
        """Whether the round at `clock` is complete, or has nobody who will push to it: it was applied push by
        push, before the dial was turned."""
        round_ = self.rounds.get(self.clock)
        if round_ is not None:
            return round_.add_up(self.plus)
        applied, clock = self.applied, self.clock
        return bool(ranks) and all(applied.get(rank, 0) > clock for rank in ranks)

    def close_round(self) -> Round | None:
        """Count the round that is due as applied."""
        round_ = self.rounds.pop(self.clock, None)
        self.clock += 1
        for rank in round_.parts if round_ is not None else ():
            self.applied[rank] = self.clock
        return round_

    def _settle_each(self, ranks: Sequence[int], apply: Apply) -> bool:
        """Whether anything was applied."""
        applied = self.applied
        is_applied = False
        for clock in sorted(self.rounds):
            round_ = self.rounds[clock]
            if round_.total is not None:  # begun while rounds were applied whole
                added = tuple(sorted(rank for rank, part in round_.parts.items() if part is ADDED))
                applied.update(dict.fromkeys(added, clock + 1))
                apply(self, round_.total, clock, added, round_.take_portions(added))
                round_.total = None
            for rank in sorted(round_.parts):
                part = round_.parts[rank]
                if part is ADDED:
                    applied[rank] = clock + 1
                elif applied.get(rank, 0) == clock:
                    applied[rank] = clock + 1  # first: a snapshot is taken while it is applied
                    apply(self, part, clock, (rank,), round_.take_portions((rank,)))
                else:
                    continue  # an earlier push of this worker is still on its way
                is_applied = True
                del round_.parts[rank]
            if not round_.parts:
                del self.rounds[clock]
        if ranks:
            self.clock = max(self.clock, min(applied.get(rank, 0) for rank in ranks))
        return is_applied

    def replay(self, ranks: Sequence[int], clock: int, after: int) -> None:
        """Take note that round `clock`, to which `ranks` have pushed, was applied elsewhere."""
        for rank in ranks:
            self.applied[rank] = max(self.applied.get(rank, 0), clock + 1)
        self.clock = max(self.clock, after)

    def regroup(self, ranks: Sequence[int]) -> None:
        """The workers are others now: open rounds need those, and whoever has already pushed."""
        for clock, round_ in self.rounds.items():
            added = round_.order[: round_.num_added]  # they stay the first; who comes later is added later
            others = {*self._needed(clock, ranks), *round_.parts}.difference(added)
            round_.order = [*added, *sorted(others)]

    def has(self, rank: int, need: int) -> bool:
        """Whether `need` pushes of the worker `rank` are applied; for rank -1, `need` rounds."""
        return (self.clock if rank < 0 else self.applied.get(rank, 0)) >= need

    def wake(self) -> None:
        """Tell those who wait for what is there now."""
        still = []
        for rank, need, waiter in self.waiting:
            if self.has(rank, need):
                waiter.one_is_there()
            else:
                still.append((rank, need, waiter))
        self.waiting = still

    def replace(self, value: Tensor) -> None:
        """Take a new value. A large array becomes the value; copied is a small one, as it lies in a frame
        that it would keep alive with all its neighbours, and one in the pusher's memory."""
        if value.nbytes > PACKED and value.flags.aligned and value.flags.writeable:
            self.value = value
        elif sys.getrefcount(self.value) <= _UNSHARED and self.value.flags.writeable:
            np.copyto(self.value, value)
        else:
            self.value = self.key.own(value)

    def writable(self) -> Tensor:
        """The value's array, to be updated in place: a copy when somebody else holds the value."""
        if sys.getrefcount(self.value) <= _UNSHARED and self.value.flags.writeable:
            return self.value
        spare, self._spare = self._spare, None
        if spare is None or sys.getrefcount(spare) > _UNSHARED:  # this variable holds it
            spare = self.key.empty(self.value.size, self.value.dtype)
        np.copyto(spare, self.value)
        if self.value.flags.writeable:
            self._spare = self.value
        self.value = spare
        return spare

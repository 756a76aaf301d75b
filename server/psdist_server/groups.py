"""Small keys that are always pushed together, as one: a list of keys is one slice for as long as it lasts.

Ten thousand keys of 64 bytes, each with its rounds and clocks, cost more to keep than to add. When a worker
sends the same list of small slices again, and all of them are at the same point, their values are put side by
side into one slice, which goes through rounds like any other: a push of the list is one sum. Whoever asks for
one of the keys, or for all there is, first has the group dissolved into its members, with everything that was
under way. So a group can never be seen from outside, and what it computes is the same: rules are elementwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from psdist.wire.codec import PACKED, Packed
from psdist.wire.messages import Tensor, Tensors
from psdist.wire.spans import Spans

from .rounds import ADDED, Key, Round, Slice

__all__ = ["MIN_MEMBERS", "Group"]

MIN_MEMBERS: Final = 16  # fewer are quick enough by themselves
_SHORT: Final = 8  # uses: a group that lives no longer was not worth it,
_STRIKES: Final = 8  # and is given up after so many times


class Group:
    """A list of slices that was sent more than once."""

    __slots__ = ("_strikes", "_uses", "lengths", "members", "numbers", "offsets", "one")

    def __init__(self, members: list[Slice]) -> None:
        self.members = members
        self.numbers = tuple([piece.key.number for piece in members])
        self.offsets = tuple([piece.offset for piece in members])
        self.lengths = tuple([piece.value.size for piece in members])
        self.one: Slice | None = None  # stands for all members; None: each stands for itself
        self._uses = 0
        self._strikes = 0

    def flat(self, values: Tensors) -> Tensor | None:
        """The members' arrays in a message as one, when it has them side by side."""
        if type(values) is not Packed or values.lengths != self.lengths:
            return None
        return values.flat if values.flat.dtype == self.members[0].key.dtype else None

    def form(self) -> Slice | None:
        """The slice that stands for all members; None when they differ in anything."""
        if self.one is not None:
            self._uses += 1
            return self.one
        if self._strikes >= _STRIKES or not self._are_alike():
            return None
        members = self.members
        first = members[0]
        key = Key("", (sum(self.lengths),), first.key.dtype, first.key.empty)
        key.label = f"{len(members)} keys ({first.key.label} to {members[-1].key.label})"
        key.lr_mult, key.wd_mult = first.key.lr_mult, first.key.wd_mult
        key.is_averaged = first.key.is_averaged
        one = Slice(key, 0, self._side_by_side([piece.value for piece in members]))
        one.clock, one.num_updates, one.applied = first.clock, first.num_updates, dict(first.applied)
        one.portions = Spans(first.portions.bounds)
        if first.state is not None:
            columns = zip(*[piece.state or () for piece in members], strict=True)
            one.state = tuple([self._side_by_side(column) for column in columns])
        for piece in members:
            piece.group = self
        one.stands_for = self
        self.one = one
        self._uses = 1
        return one

    def _are_alike(self) -> bool:
        first = self.members[0]
        key, state = first.key, first.state
        return len({id(piece) for piece in self.members}) == len(self.members) and all(
            piece.group is None
            and piece.clock == first.clock
            and piece.num_updates == first.num_updates
            and not piece.rounds
            and not piece.waiting
            and piece.view is None
            and piece.applied == first.applied
            and piece.portions == first.portions
            and piece.value.nbytes <= PACKED
            and (piece.key.dtype, piece.key.lr_mult, piece.key.wd_mult, piece.key.is_averaged)
            == (key.dtype, key.lr_mult, key.wd_mult, key.is_averaged)
            and (piece.state is None) == (state is None)
            and all(array.size == piece.value.size for array in piece.state or ())
            for piece in self.members
        )

    def _side_by_side(self, arrays: Sequence[Tensor]) -> Tensor:
        key = self.members[0].key
        return np.concatenate(arrays, out=key.empty(sum(self.lengths), arrays[0].dtype))

    def parts(self) -> Iterator[Slice]:
        """What each member is now, without open rounds: for a snapshot, while the group goes on."""
        assert self.one is not None, "a group that is not formed has its members for that"
        for piece, part in self._cuts():
            copy = Slice(piece.key, piece.offset, piece.value)
            _put_part(self.one, part, copy)
            yield copy

    def _cuts(self) -> Iterator[tuple[Slice, slice]]:
        """Each member, and where it lies."""
        low = 0
        for piece, size in zip(self.members, self.lengths, strict=True):
            yield piece, slice(low, low + size)
            low += size

    def dissolve(self) -> list[Slice]:
        """Give everything back to the members. Returns those who wait for it now."""
        one = self.one
        assert one is not None, "a group that is not formed has nothing to give back"
        self.one = None
        self._strikes += self._uses < _SHORT
        for piece, part in self._cuts():
            piece.group = None
            _put_part(one, part, piece)
            piece.rounds = {clock: _part_of(round_, part) for clock, round_ in one.rounds.items()}
            piece.waiting = list(one.waiting)
        for _, _, waiter in one.waiting:
            waiter.waits_for_more(len(self.members) - 1)
        return self.members


def _put_part(one: Slice, part: slice, piece: Slice) -> None:
    piece.value = one.value[part].copy()  # somebody may hold the group's
    if one.state is not None:
        piece.state = tuple([array[part].copy() for array in one.state])
    piece.clock, piece.num_updates, piece.applied = one.clock, one.num_updates, dict(one.applied)
    piece.portions = Spans(one.portions.bounds)


def _part_of(whole: Round, part: slice) -> Round:
    round_ = Round(whole.order)
    round_.num_added = whole.num_added
    round_.portions = dict(whole.portions)
    round_.parts = {rank: grad if grad is ADDED else grad[part] for rank, grad in whole.parts.items()}
    round_.total = whole.total[part] if whole.total is not None else None
    return round_

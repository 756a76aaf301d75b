"""Which messages a call on the store becomes: slices of keys, side by side, one list for each server.

A `Layout` holds what stays the same when the same keys are pushed or pulled again, as in every training
step: which slices go to which server in which message. What changes, clocks and values, is filled in each
time. Large slices travel alone, so that the next is on its way while the first is added; small ones share a
message, since a message costs more than a small value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psdist.kvstore.base import Key
from psdist.kvstore.partition import Slice, partition
from psdist.wire import key_name, key_number
from psdist.wire import messages as m
from psdist.wire.codec import PACKED
from psdist.wire.kinds import Column, Ints

__all__ = [
    "LONG",
    "Array",
    "KeyInfo",
    "Layout",
    "Layouts",
    "Piece",
    "Rounds",
    "begin_together",
    "init_messages",
    "key_info",
    "slices_of",
]

Array = NDArray[Any]

_BATCH_NBYTES = 256 << 10  # of values in one message of small slices
_BATCH_SLICES = 2048  # in one message: the server decodes one while the next is written
_INIT_SLICES = 512  # in one Init, whose names are a list: the codec allows 1024


LONG = (
    16  # keys in a list: from so many on it is worth remembering, and NumPy counts rounds quicker than a loop
)


class Rounds:
    """How far keys are, side by side: a step of ten thousand small keys counts in one operation."""

    CAPACITY = 1 << 20  # memory that nobody has written to costs nothing

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.clock = np.zeros(capacity, np.int64)  # rounds that this worker has pushed
        self.acknowledged = np.zeros(capacity, np.int64)  # of them, how many the servers have applied
        self._used = 0

    @property
    def is_full(self) -> bool:
        return self._used == len(self.clock)

    def place(self) -> int:
        """The place of one more key."""
        self._used += 1
        return self._used - 1


@dataclass(slots=True)
class KeyInfo:
    """A key that this worker has initialised."""

    key: Key
    name: str  # on the wire
    number: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    slices: tuple[Slice, ...]
    rounds: Rounds = field(default_factory=lambda: Rounds(1))
    at: int = field(init=False)  # its place there

    def __post_init__(self) -> None:
        self.at = self.rounds.place()

    @property
    def clock(self) -> int:
        """Rounds that this worker has pushed."""
        return int(self.rounds.clock[self.at])

    @property
    def acknowledged(self) -> int:
        """Of them, how many the servers have applied."""
        return int(self.rounds.acknowledged[self.at])

    def begin(self, clock: int) -> None:
        """The next push is of round `clock`."""
        self.rounds.clock[self.at] = self.rounds.acknowledged[self.at] = clock

    def count(self) -> None:
        """A round is pushed."""
        self.rounds.clock[self.at] += 1

    def acknowledge(self) -> None:
        """A round is applied."""
        self.rounds.acknowledged[self.at] += 1


def key_info(
    key: Key,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    num_servers: int,
    slice_nbytes: int,
    *,
    num_shards: int = 0,
    together: bool = False,
    averaged: bool = False,
    rounds: Rounds | None = None,
) -> KeyInfo:
    """A new key, cut into slices: spread over the servers and their shards, or `together` in one."""
    name = key_name(key, averaged=averaged)
    number = key_number(name)
    size, itemsize = math.prod(shape), dtype.itemsize
    slices = partition(
        number, size, itemsize, num_servers, slice_nbytes, num_shards=num_shards, together=together
    )
    return KeyInfo(key, name, number, shape, dtype, slices, rounds or Rounds(1))


@dataclass(frozen=True, slots=True)
class Piece:
    """One message's share of a layout: columns, whose i-th items belong together."""

    server: int
    items: list[int]  # which key of the layout
    numbers: Column
    offsets: Column
    ends: list[int]
    is_whole: bool  # each slice is all of its key: nothing to cut
    is_small: bool  # several, of one dtype, which share the common frame
    lengths: tuple[int, ...]
    at: NDArray[np.int64]  # the place of each slice's key in the rounds


class Layout:
    """The pieces for some keys in some order."""

    def __init__(self, infos: Sequence[KeyInfo]) -> None:
        self.infos = list(infos)
        self.keys = [info.key for info in infos]
        self.pieces = list(_pieces(self.infos))
        self.nbytes = sum(math.prod(info.shape) * info.dtype.itemsize for info in infos)
        one = infos[0].rounds if infos else None
        is_long = len(infos) >= LONG and all(info.rounds is one for info in infos)
        self._rounds = one if is_long else None  # of all: else a loop counts
        self._at = np.array([info.at for info in infos], np.int64)

    def clocks(self, piece: Piece, behind: int = 0) -> Ints:
        """The clock that the next push of each slice carries; so many rounds less, how many its pull must show."""
        if self._rounds is not None:
            return Column(np.maximum(self._rounds.clock[piece.at] - behind, 0))
        infos = self.infos
        return [max(infos[i].clock - behind, 0) for i in piece.items]

    @property
    def newest(self) -> int:
        """The highest of the clocks."""
        if self._rounds is not None:
            return int(self._rounds.clock[self._at].max())
        return max([info.clock for info in self.infos], default=0)

    @property
    def num_open(self) -> int:
        """How many rounds of a key are pushed and not acknowledged, at most."""
        if self._rounds is not None:
            return int((self._rounds.clock[self._at] - self._rounds.acknowledged[self._at]).max())
        return max([info.clock - info.acknowledged for info in self.infos], default=0)

    def count(self) -> None:
        """A round of each is pushed."""
        if self._rounds is not None:
            self._rounds.clock[self._at] += 1
        else:
            for info in self.infos:
                info.count()

    def acknowledge(self) -> None:
        """A round of each is applied."""
        if self._rounds is not None:
            self._rounds.acknowledged[self._at] += 1
        else:
            for info in self.infos:
                info.acknowledge()

    def describe(self, piece: Piece, clock: int) -> str:
        """The keys of a piece, for an error message."""
        keys = list(dict.fromkeys(self.keys[i] for i in piece.items))
        more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
        return f"{keys[0]!r}{more} at clock {clock}"


def begin_together(clocks: Mapping[int, int], ahead: int) -> dict[int, int]:
    """Where a late worker begins each key, by number, given the first round of each that it may push to.

    Keys that are pushed in every step stand up to `ahead` rounds apart while pushes are on their way. Were each begun
    where it stands, the newcomer would be rounds behind with some for ever, and it and the others would wait for
    each other; so they begin at the highest, and the rounds before do without it. What is further behind is
    pushed less often, and begins where it stands.
    """
    highest = max(clocks.values(), default=0)
    return {number: highest if clock >= highest - ahead else clock for number, clock in clocks.items()}


class Layouts:
    """Layouts by keys, so that a training step plans nothing anew."""

    _MOST = 4096  # a script that never repeats a list of keys must not fill the memory

    def __init__(self) -> None:
        self._by_keys: dict[tuple[Key, ...], Layout] = {}

    def layout(self, keys: tuple[Key, ...], infos: Callable[[], Sequence[KeyInfo]]) -> Layout:
        """The layout of these keys."""
        found = self._by_keys.get(keys)
        if found is None:
            if len(self._by_keys) >= self._MOST:
                self._by_keys.clear()
            found = self._by_keys[keys] = Layout(infos())
        return found


def slices_of(piece: Piece, flats: Sequence[Array]) -> list[Array]:
    """The slices of a piece, as views of the keys' flat arrays."""
    if piece.is_whole:
        return [flats[i] for i in piece.items]
    return [flats[i][low:high] for i, low, high in zip(piece.items, piece.offsets, piece.ends, strict=True)]


def init_messages(
    infos: Sequence[KeyInfo], flats: Sequence[Array] | None, next_seq: Callable[[], int]
) -> Iterator[tuple[int, m.Init]]:
    """(server, Init) for new keys: with values where `flats` has them, else only declared."""
    for piece in _pieces(infos, _INIT_SLICES):
        of = [infos[i] for i in piece.items]
        yield (
            piece.server,
            m.Init(
                next_seq(),
                tuple(info.name for info in of),
                tuple(info.dtype.name for info in of),
                tuple(info.shape for info in of),
                piece.offsets,
                [high - low for low, high in zip(piece.offsets, piece.ends, strict=True)],
                slices_of(piece, flats) if flats is not None else [],
            ),
        )


def _pieces(infos: Sequence[KeyInfo], most: int = _BATCH_SLICES) -> Iterator[Piece]:
    open_: dict[int, tuple[list[tuple[int, Slice]], int]] = {}  # by server: slices so far, their bytes
    for i, info in enumerate(infos):
        for s in info.slices:
            nbytes = s.length * info.dtype.itemsize
            if nbytes >= _BATCH_NBYTES:
                yield _piece(infos, s.server, [(i, s)])
                continue
            slices, total = open_.get(s.server, ([], 0))
            if slices and (total + nbytes > _BATCH_NBYTES or len(slices) >= most):
                yield _piece(infos, s.server, slices)
                slices, total = [], 0
            slices.append((i, s))
            open_[s.server] = slices, total + nbytes
    for server, (slices, _) in open_.items():
        yield _piece(infos, server, slices)


def _piece(infos: Sequence[KeyInfo], server: int, slices: Sequence[tuple[int, Slice]]) -> Piece:
    return Piece(
        server,
        [i for i, _ in slices],
        Column([infos[i].number for i, _ in slices]),
        Column([s.offset for _, s in slices]),
        [s.offset + s.length for _, s in slices],
        all(len(infos[i].slices) == 1 for i, _ in slices),
        len(slices) > 1
        and len({infos[i].dtype for i, _ in slices}) == 1
        and all(s.length * infos[i].dtype.itemsize <= PACKED for i, s in slices),
        tuple([s.length for _, s in slices]),
        np.array([infos[i].at for i, _ in slices], np.int64),
    )

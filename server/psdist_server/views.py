"""What the workers hold of an array whose pulls are compressed, and the few bytes that bring it up to date.

With an optimizer the value moves on by little in a round, and a worker holds what it pulled last. So a slice keeps
`view`, the value as all workers hold it; after each round what the code makes of value - view is added to it, here and, from
the same bytes, there. What the code loses is in the next difference, since the value itself is never rounded: the
error feedback of Tang et al. 2019, "DoubleSqueeze". Whoever has missed more rounds than are remembered, is new, or asks
without saying what it has, is given the view itself: all read the same bits.

Without an optimizer the value is the sum of a round's pushes and has nothing to do with the last one. Then `view` is
what the code has lost so far; it is added to the next sum, and the value becomes what the code makes of both.

Both follow from the rounds alone, whoever pulls and when, so that a copy on another server has the same.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import numpy as np

from psdist.wire.codec import PACKED
from psdist.wire.messages import Tensor

from .rounds import Key, Slice

if TYPE_CHECKING:
    from psdist.kvstore.compress import Code

__all__ = ["answer", "begin", "follow", "is_compressed", "of_sum", "read"]

_MOST: Final = 8  # rounds that a worker may have missed: as bytes they weigh about half of the value
_BASE: Final = struct.Struct("<Q")  # before the bytes: 1 + the clock they begin at
_NOTHING: Final = 0  # they are all of the value


def is_compressed(key: Key) -> bool:
    """Whether pulls of this key are, when any are."""
    return (
        key.dtype == np.float32 and 4 * key.num_elements > PACKED and not key.is_averaged and not key.is_table
    )


def begin(piece: Slice, has_rule: bool) -> None:
    """From here on pulls of this slice are compressed: the workers hold the value as it is."""
    piece.changes = []
    piece.view = piece.value.copy() if has_rule else np.zeros_like(piece.value)


def follow(piece: Slice, clock: int, code: Code) -> None:
    """Round `clock` has changed the value: bring the view after it."""
    from psdist.kvstore.compress import pack  # only now: with the store comes much else

    view = piece.view
    assert view is not None, piece.key.label
    with np.errstate(all="ignore"):
        change = np.subtract(piece.value, view)
    if not _is_finite(change):
        np.copyto(view, piece.value)
        piece.changes.clear()
        return
    data = code.compress(change)
    view += code.decompress(data, view.size)
    _remember(piece, clock + 1, pack(code, data))


def of_sum(piece: Slice, total: Tensor, clock: int, code: Code) -> Tensor:
    """What becomes the value, where a round's sum would."""
    from psdist.kvstore.compress import pack

    left = piece.view
    assert left is not None, piece.key.label
    piece.changes.clear()
    if not _is_finite(total):
        return total
    left += total
    data = code.compress(left)
    value = code.decompress(data, left.size)
    left -= value
    _remember(piece, clock + 1, pack(code, data))
    return value


def read(piece: Slice, has_rule: bool) -> Tensor:
    """The value as workers read it."""
    if piece.view is None or not has_rule:
        return piece.value
    return piece.key.own(piece.view)  # which goes on, while this is on its way


def answer(piece: Slice, base: int, has_rule: bool) -> Tensor:
    """What a worker is sent that holds the slice of clock `base` - 1, or nothing (0): bytes, or the value."""
    parts: list[Tensor] = []
    if piece.view is not None and not has_rule:
        base = _NOTHING
        parts = [data for clock, data in piece.changes if clock == piece.clock]
        is_known = bool(parts)
    else:
        parts = [data for clock, data in piece.changes if clock >= base]
        is_known = piece.view is not None and 0 < base == piece.clock + 1 - len(parts)
    if not is_known:
        return read(piece, has_rule)
    return np.concatenate([np.frombuffer(_BASE.pack(base), np.uint8), *parts])


def _remember(piece: Slice, clock: int, data: Tensor) -> None:
    if piece.changes and piece.changes[-1][0] != clock - 1:
        piece.changes.clear()  # a round that nobody pushed to lies between
    piece.changes.append((clock, data))
    del piece.changes[:-_MOST]


def _is_finite(array: Tensor) -> bool:
    return bool(np.isfinite(array).all())

"""What workers ask of arrays: to declare slices, to push to them and to pull them. Tables are tables.py's.

A message is checked whole before the first of it is applied: what is refused changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from psdist.errors import BadValue, ConfigError
from psdist.wire.codec import DTYPES
from psdist.wire.messages import Init, Pull, PullChange, Push, PushPull, Tensor, key_number

from . import whole
from .checks import check_push, check_round, look_for_nan
from .rounds import Key, Slice
from .updates import Refused

if TYPE_CHECKING:
    from .shard import Destination, Shard

__all__ = ["init_slices", "pull_slices", "push_slices"]

_DTYPES: Final = {dtype.name: dtype for dtype in DTYPES.values()}
_MAX_ELEMENTS: Final = 1 << 60
_MAX_BOUNDS: Final = 32768  # of the runs of portions of a slice: 256 KB


def init_slices(shard: Shard, sender: Destination, rank: int, init: Init) -> None:
    """Declare slices, and give their first values; without values, wait for them."""
    if shard.is_pending(sender, init.seq):
        return
    num = len(init.names)
    columns = (init.dtypes, init.shapes, init.offsets, init.lengths)
    if any(len(column) != num for column in columns) or len(init.values) not in (0, num):
        raise Refused("bad-value", f"Init of {num} slices has columns of other lengths")
    pending = shard.begin(sender, init.seq, 0, None)
    new: list[tuple[Key, int]] = []
    added: list[tuple[int, int]] = []
    missing: list[tuple[int, int]] = []
    try:
        for i in range(num):
            value = init.values[i] if init.values else None
            key, number = _declare(shard, init, i, value, new)
            place = (number, init.offsets[i])
            if place in shard.held:
                continue
            if value is None:
                missing.append(place)
            else:
                shard.held[place] = key.add(init.offsets[i], key.own(value))
                shard.value_nbytes += value.nbytes
                added.append(place)
    except Refused:
        shard.forget(sender, init.seq)
        for place in added:
            key = shard.keys[place[0]]
            shard.value_nbytes -= shard.held.pop(place).value.nbytes
            del key.slices[place[1]]
            key.starts.remove(place[1])
        for _, number in new:
            del shard.keys[number]
        raise
    if added:
        shard.was_asked(rank, init)
    for place in added:
        shard.updates.welcome(shard.held[place])
        for waiter in shard.declared.pop(place, ()):
            waiter.one_is_there()
    for place in missing:
        shard.declared.setdefault(place, []).append(pending)
        pending.missing += 1
    pending.one_is_there()


def _declare(
    shard: Shard, init: Init, i: int, value: Tensor | None, new: list[tuple[Key, int]]
) -> tuple[Key, int]:
    """The key of the i-th slice, after checking that the slice fits it."""
    name, shape, offset, length = init.names[i], init.shapes[i], init.offsets[i], init.lengths[i]
    dtype = _DTYPES.get(init.dtypes[i])
    if name[:2] not in ("i:", "s:", "m:"):
        raise Refused("bad-value", f"{name!r} is no key's name; wanted 'i:3', 's:weight' or 'm:mean'")
    if dtype is None:
        raise Refused("bad-value", f"{name!r}: dtype {init.dtypes[i]!r}; wanted one of {', '.join(_DTYPES)}")
    if len(shape) > 32 or min(shape, default=0) < 0 or math.prod(shape) > _MAX_ELEMENTS:
        raise Refused("bad-value", f"{name!r}: no array has the shape {shape}")
    number = key_number(name)
    key = shard.keys.get(number)
    if key is None:
        key = shard.keys[number] = Key(name, shape, dtype, shard.empty)
        shard.updates.fit(key)
        new.append((key, number))
    elif key.is_table:
        raise Refused("bad-value", f"{key.label} is a table, and now comes as an array")
    elif key.name != name:
        raise Refused("bad-value", f"the keys {key.name!r} and {name!r} have the same number; rename one")
    if key.shape != shape or key.dtype != dtype:
        raise Refused(
            "bad-value",
            f"{key.label} was initialised as {key.dtype.name} {key.shape}, "
            f"and now comes as {dtype.name} {shape}",
        )
    if misfit := key.misfit(offset, length):
        raise Refused("bad-value", misfit)
    if value is not None and (value.size != length or value.dtype != dtype):
        raise Refused(
            "bad-value",
            f"{key.label}: the value has {value.size} elements of {value.dtype.name}; "
            f"wanted {length} of {dtype.name}",
        )
    return key, number


def push_slices(shard: Shard, sender: Destination, rank: int, push: Push | PushPull) -> None:
    """Add gradients to their rounds; a PushPull also reads, when the clocks are there."""
    if shard.is_pending(sender, push.seq):
        return
    check_push(shard, push)
    num = len(push.values)
    pulls = isinstance(push, PushPull)
    if len(push.clocks) != num or (isinstance(push, PushPull) and len(push.min_clocks) != num):
        raise Refused("bad-value", f"a push of {num} slices has columns of other lengths")
    clocks, values = push.clocks, push.values
    needs = push.min_clocks if isinstance(push, PushPull) else clocks
    group = shard.group(push.keys, push.offsets, clocks, needs)
    if (
        group is not None
        and (flat := group.flat(values)) is not None
        and (shard.guard == "off" or _is_finite(flat))  # else the key that is not is to be named
        and (one := group.form()) is not None
    ):
        pieces, clocks, values = [one], clocks[:1], [flat]
    else:
        group = None
        pieces = shard.locate(type(push).__name__, push.keys, push.offsets, num)
    for i, (piece, clock, grad) in enumerate(zip(pieces, clocks, values, strict=True)):
        if grad.size != piece.value.size or grad.dtype != piece.key.dtype:
            values = [*values[:i], _decompressed(piece, grad), *values[i + 1 :]]
        check_round(shard, piece, rank, clock)
    if push.portions:
        _check_portions(rank, push.portions, pieces, clocks)
    if shard.guard != "off":
        look_for_nan(shard, rank, clocks, values, pieces)
    pending = shard.begin(sender, push.seq, push.ack, pieces if pulls else None)
    pending.group = group
    ranks, each = shard.ranks, shard.each
    for piece, clock, grad in zip(pieces, clocks, values, strict=True):
        if not piece.knows(rank, clock):
            piece.put(rank, clock, grad, ranks, push.portions)
            if piece.key.rule is None:
                piece.settle(ranks, each, shard.apply)
            elif each or piece.is_due(ranks):
                whole.settle(piece.key.pieces(), ranks, each, shard.apply_whole)
            if piece.clock > shard.step_clock:
                shard.step_clock = piece.clock
    for piece, clock in zip(pieces, clocks, strict=True):
        if not piece.has(rank, clock + 1):
            piece.waiting.append((rank, clock + 1, pending))
            pending.missing += 1
    if isinstance(push, PushPull):
        shard.wait_for_clocks(pieces, push.min_clocks[: len(pieces)], pending)
    pending.one_is_there()


def _check_portions(rank: int, portions: Sequence[int], pieces: list[Slice], clocks: Sequence[int]) -> None:
    for piece, clock in zip(pieces, clocks, strict=True):
        if piece.knows(rank, clock) or piece.key.is_averaged:
            continue
        if len(piece.portions.bounds) > _MAX_BOUNDS:
            raise Refused(
                "bad-value",
                f"{piece.key.label}: the portions of the data that it holds are more than {_MAX_BOUNDS // 2} runs; "
                "number them from 0 in the order in which they are handed out",
            )
        if 0 < (num := piece.num_here(portions)) < len(portions):
            raise Refused(
                "bad-value",
                f"{piece.key.label}: {num} of the {len(portions)} portions of a push are in it already, the "
                "others not; one gradient cannot be divided",
            )


def pull_slices(shard: Shard, sender: Destination, pull: Pull | PullChange) -> None:
    """Read slices, when their clocks are there."""
    if shard.is_pending(sender, pull.seq):
        return
    bases = pull.bases if isinstance(pull, PullChange) else ()
    if bases and len(bases) != len(pull.keys):
        raise Refused("bad-value", f"PullChange of {len(pull.keys)} slices has columns of other lengths")
    group = None if bases else shard.group(pull.keys, pull.offsets, pull.min_clocks, pull.min_clocks)
    if group is not None and (one := group.form()) is not None:
        pieces = [one]
    else:
        group = None
        pieces = shard.locate(type(pull).__name__, pull.keys, pull.offsets, len(pull.min_clocks))
    pending = shard.begin(sender, pull.seq, 0, pieces)
    pending.group, pending.bases = group, bases
    shard.wait_for_clocks(pieces, pull.min_clocks[: len(pieces)], pending)
    pending.one_is_there()


def _is_finite(array: Tensor) -> bool:
    """Whether all are finite; of numbers whose sum overflows, it may be said that not."""
    with np.errstate(all="ignore"):
        return array.dtype.kind != "f" or math.isfinite(float(array.sum()))


def _decompressed(piece: Slice, grad: Tensor) -> Tensor:
    """What a push of bytes to an array of float32 means. Raises Refused."""
    if grad.dtype != np.uint8 or piece.key.dtype != np.float32:
        raise Refused("bad-value", _misfit(piece, grad))
    from psdist.kvstore.compress import unpack  # only now: with the store comes much else

    try:
        return unpack(grad, piece.value.size)
    except (BadValue, ConfigError) as e:
        raise Refused("bad-value", f"{piece.key.label}: {e}") from None


def _misfit(piece: Slice, grad: Tensor) -> str:
    key = piece.key
    where = "" if piece.value.size == key.num_elements else f" in its slice at {piece.offset}"
    return (
        f"{key.label} is {key.dtype.name} {key.shape}: {piece.value.size} elements{where}; "
        f"the push has {grad.size} of {grad.dtype.name}"
    )

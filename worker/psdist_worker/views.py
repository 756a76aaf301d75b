"""What this worker holds of arrays whose pulls are compressed: to that a pull adds what has changed since.

`psdist_server/views.py` has the rule. The arrays that a script pulls into are its own to change, so what the changes are
added to is kept here, once more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from psdist.errors import BadValue, ConfigError, ProtocolError
from psdist.kvstore.compress import Code, packed_nbytes, unpack
from psdist.wire import messages as m
from psdist.wire.codec import PACKED

from .client import Reply
from .plan import Array, KeyInfo, Layout, Piece

__all__ = ["Views"]

_HEAD = 8  # bytes: 1 + the clock that the changes begin at; 0: they are all of the value


class Views:
    """The values as last pulled, each slice with its clock. One thread at a time takes replies."""

    def __init__(self) -> None:
        self.code: Code | None = None  # of pulls
        self._steps: dict[int, int] = {}  # bytes of one change of so many elements
        self._age = 0
        self._arrays: dict[int, Array] = {}  # by key number, flat
        self._held: dict[
            tuple[int, int], tuple[int, tuple[int, int]]
        ] = {}  # by place: clock, and of which life

    def begin(self, code: Code | None) -> None:
        """From now on pulls are compressed in this way; what is held counts no more."""
        self.code, self._steps = code, {}
        self.forget()

    def forget(self) -> None:
        """Nothing that is held counts: the servers have begun anew."""
        self._age += 1

    def concern(self, layout: Layout, piece: Piece) -> bool:
        """Whether any slice of a piece is pulled in this way."""
        return self.code is not None and any(_is_compressed(layout.infos[i]) for i in piece.items)

    def bases(self, piece: Piece, life: int) -> list[int]:
        """What to say of the slices that are held."""
        found = [self._held.get(place) for place in zip(piece.numbers, piece.offsets, strict=True)]
        return [one[0] + 1 if one is not None and one[1] == (self._age, life) else 0 for one in found]

    def deliver(
        self, layout: Layout, piece: Piece, life: int, keeps: bool, then: Callable[[Reply], None]
    ) -> Callable[[Reply], None]:
        """What takes the reply to a piece, and gives it on to `then` with values in place of changes. `keeps` whether
        the next pull can build upon it."""
        age = self._age

        def take(reply: Reply) -> None:
            assert isinstance(reply, m.Values), reply
            if not len(reply.values) == len(reply.clocks) == len(piece.items):
                raise ProtocolError(f"{len(reply.values)} values came for {len(piece.items)} slices")
            values = []
            for j, (i, value, clock) in enumerate(zip(piece.items, reply.values, reply.clocks, strict=True)):
                info = layout.infos[i]
                if _is_compressed(info):
                    part = slice(piece.offsets[j], piece.ends[j])
                    value = self._taken(info, part, value, clock, (age, life), keeps)
                values.append(value)
            then(replace(reply, values=values))

        return take

    def _taken(
        self, info: KeyInfo, part: slice, value: Array, clock: int, life: tuple[int, int], keeps: bool
    ) -> Array:
        """A slice, after taking note of it."""
        size = part.stop - part.start
        place = info.number, part.start
        held = self._held.get(place)
        if value.dtype != np.uint8:
            if not keeps or value.size != size:
                return value
            if held is None or held[1] != life or held[0] < clock:  # else another pull was quicker
                view = self._arrays.get(info.number)
                if view is None:
                    view = self._arrays[info.number] = np.empty(math.prod(info.shape), info.dtype)
                view[part] = value
                self._held[place] = clock, life
            return self._arrays[info.number][part]
        try:
            if value.size < _HEAD:
                raise BadValue(f"{value.size} bytes of a change")
            base = int(value[:_HEAD].copy().view("<u8")[0])
            if not base:
                return unpack(value[_HEAD:], size)
            if held is None or held[1] != life or not base <= held[0] + 1:
                raise BadValue(f"a change since clock {base - 1} of what is not held")
            view = self._arrays[info.number][part]
            step = self._step(size)
            if value.size != _HEAD + step * (clock + 1 - base):
                raise BadValue(f"{value.size} bytes of changes of {size} elements from {base - 1} to {clock}")
            for low in range(_HEAD + step * (held[0] + 1 - base), value.size, step):
                view += unpack(value[low : low + step], size)
            self._held[place] = max(clock, held[0]), life
            return view
        except (BadValue, ConfigError) as e:
            raise ProtocolError(f"{info.key!r}: {e}") from None

    def _step(self, size: int) -> int:
        if size not in self._steps:
            assert self.code is not None, "changes came without a code"
            self._steps[size] = packed_nbytes(self.code, size)
        return self._steps[size]


def _is_compressed(info: KeyInfo) -> bool:
    return info.dtype == np.float32 and 4 * math.prod(info.shape) > PACKED and not info.name.startswith("m:")

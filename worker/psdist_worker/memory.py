"""Where values lie on a worker: where pulled ones go, and what pushed ones are copied to."""

from __future__ import annotations

import itertools
import math
import operator
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from psdist.errors import ProtocolError
from psdist.wire import messages as m
from psdist.wire.codec import Packed

from .client import Reply
from .plan import Array, KeyInfo, Piece, slices_of

__all__ = ["Buffers", "Targets"]


def _raw(arrays: Sequence[Array]) -> list[memoryview]:
    """Their bytes. Copying between these costs a third of what it costs between the arrays."""
    return [array.view(np.uint8).data for array in arrays]


def _spreader(targets: Sequence[Array], sizes: Sequence[int]) -> Callable[[Array], None]:
    """What copies an array to these, one after the other, again and again; they have one dtype."""
    staging = np.empty(sum(sizes), targets[0].dtype)
    ends = list(itertools.accumulate(sizes, initial=0))
    to, of = _raw(targets), _raw([staging[low:high] for low, high in itertools.pairwise(ends)])

    copy: Any = operator.setitem  # without a loop in Python

    def spread(flat: Array) -> None:
        staging[:] = flat
        deque(map(copy, to, itertools.repeat(slice(None)), of), 0)

    return spread


class Sources:
    """What is pushed of each key, flat. Of those that are used again, `is_lasting`, it keeps where they lie."""

    def __init__(self, flats: Sequence[Array], *, is_lasting: bool = False) -> None:
        self.flats = flats
        self._is_lasting = is_lasting
        self._raw: dict[int, list[memoryview]] = {}  # by the identity of the piece

    def values(self, piece: Piece) -> m.Tensors:
        """The arrays of a piece: small ones copied to lie side by side."""
        if not piece.is_small:
            return slices_of(piece, self.flats)
        if not self._is_lasting:
            return Packed(np.concatenate(slices_of(piece, self.flats)), piece.lengths)
        raw = self._raw.get(id(piece))
        if raw is None:
            raw = self._raw[id(piece)] = _raw(slices_of(piece, self.flats))
        return Packed(np.frombuffer(b"".join(raw), self.flats[piece.items[0]].dtype), piece.lengths)


class Targets:
    """Where pulled values go: each key's first array directly when it can be written flat, else through a
    buffer; the other devices' arrays are copies of it. Those that are used again, `is_lasting`, keep how they lie."""

    def __init__(
        self, infos: Sequence[KeyInfo], outs: Sequence[list[Array]], *, is_lasting: bool = False
    ) -> None:
        self._takers: dict[int, Callable[[Reply], None]] | None = {} if is_lasting else None
        self._flats: list[Array] = []
        self._copies: list[tuple[Array, Array]] = []  # (to, from) when all is there
        for info, arrays in zip(infos, outs, strict=True):
            first = arrays[0]
            if first.dtype != info.dtype or not first.flags.c_contiguous:
                source = np.empty(info.shape, info.dtype)
                self._copies.extend((out, source) for out in arrays)
            else:
                source = first
                if len(arrays) > 1:
                    self._copies.extend((out, source) for out in arrays[1:])
            self._flats.append(source if source.ndim == 1 else source.reshape(-1))

    def deliver(self, piece: Piece) -> Callable[[Reply], None]:
        """What takes the reply to a piece."""
        if self._takers is None:
            return self._taker(piece)
        taker = self._takers.get(id(piece))
        if taker is None:
            taker = self._takers[id(piece)] = self._taker(piece)
        return taker

    def _taker(self, piece: Piece) -> Callable[[Reply], None]:
        targets = slices_of(piece, self._flats)
        sizes = tuple([target.size for target in targets])
        dtypes = {target.dtype for target in targets}
        spread = _spreader(targets, sizes) if piece.is_small and self._takers is not None else None

        def take(reply: Reply) -> None:
            assert isinstance(reply, m.Values), reply
            values = reply.values
            if (
                spread is not None
                and type(values) is Packed
                and values.lengths == sizes
                and values.flat.dtype in dtypes
            ):
                spread(values.flat)
                return
            if len(values) != len(targets):
                raise ProtocolError(f"{len(values)} values came for {len(targets)} slices")
            for target, value in zip(targets, values, strict=True):
                if value.size != target.size or value.dtype != target.dtype:
                    raise ProtocolError(
                        f"a slice of {value.size} {value.dtype.name} came; "
                        f"wanted {target.size} {target.dtype.name}"
                    )
                target[:] = value

        return take

    def finish(self) -> None:
        for to, source in self._copies:
            np.copyto(to, source, casting="unsafe")


class Buffers:
    """Flat arrays that are reused: a fresh page costs more than what is written to it."""

    def __init__(self, empty: Callable[[int, np.dtype[Any]], Array] = np.empty) -> None:
        self._empty = empty
        self._lock = threading.Lock()  # guards _free
        self._free: dict[tuple[int, np.dtype[Any]], list[Array]] = {}

    def take(self, info: KeyInfo) -> Array:
        size = math.prod(info.shape)
        with self._lock:
            free = self._free.get((size, info.dtype))
            if free:
                return free.pop()
        return self._empty(size, info.dtype)

    def give_back(self, buffers: Iterable[Array]) -> None:
        with self._lock:
            for buffer in buffers:
                self._free.setdefault((buffer.size, buffer.dtype), []).append(buffer)

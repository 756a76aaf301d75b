"""Where values lie on a worker: where pulled ones go, and what pushed ones are copied to."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from psdist.errors import ProtocolError
from psdist.wire import messages as m
from psdist.wire.codec import Packed

from .client import Reply
from .plan import Array, KeyInfo, Piece, slices_of

__all__ = ["Buffers", "Targets"]


class Targets:
    """Where pulled values go: each key's first array directly when it can be written flat, else through a
    buffer; the other devices' arrays are copies of it."""

    def __init__(self, infos: Sequence[KeyInfo], outs: Sequence[list[Array]]) -> None:
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
        targets = slices_of(piece, self._flats)
        sizes = tuple([target.size for target in targets])
        dtype = targets[0].dtype if len({target.dtype for target in targets}) == 1 else None

        def take(reply: Reply) -> None:
            assert isinstance(reply, m.Values), reply
            values = reply.values
            if type(values) is Packed and values.lengths == sizes and values.flat.dtype == dtype:
                flat, low = values.flat, 0
                for target, size in zip(targets, sizes, strict=True):
                    target[:] = flat[low : low + size]
                    low += size
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

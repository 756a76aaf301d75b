"""The optimizer's state of whole keys, from and to the slices that servers hold: pure, no messages are sent.

A file of states is what `optimizer.Updater` writes, whichever store made it, so that states saved with three
servers can be loaded with one, or by a local store.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from psdist.errors import BadValue, ProtocolError, UnknownKey
from psdist.kvstore.base import Key
from psdist.ndarray import NDArray
from psdist.optimizer import Updater
from psdist.wire import messages as m

from .plan import Array, KeyInfo, Layout, Piece

__all__ = ["gather", "set_state_message", "spread"]


def gather(layout: Layout, replies: Mapping[int, m.States], optimizer: Any) -> Updater:
    """An updater with the states that the servers hold. `replies` are those to the layout's pieces."""
    arrays: dict[int, list[Array]] = {}
    updates: dict[int, int] = {}
    for p, piece in enumerate(layout.pieces):
        reply = replies[p]
        if len(reply.counts) != len(piece.items) or sum(reply.counts) != len(reply.values):
            raise ProtocolError(f"{len(reply.counts)} states came for {len(piece.items)} slices")
        values = iter(reply.values)
        columns = zip(piece.items, piece.offsets, piece.ends, reply.counts, reply.num_updates, strict=True)
        for i, low, high, count, num_updates in columns:
            updates[i] = max(updates.get(i, 0), num_updates)
            info = layout.infos[i]
            for s in range(count):
                value = next(values)
                whole = arrays.setdefault(i, [])
                if s == len(whole):
                    whole.append(np.zeros(math.prod(info.shape), value.dtype))
                whole[s][low:high] = value
    updater = Updater(optimizer)
    for i, info in enumerate(layout.infos):
        parts = [NDArray(a.reshape(info.shape)) for a in arrays.get(i, ())]
        updater.states[info.key] = tuple(parts) if len(parts) > 1 else parts[0] if parts else None
        optimizer._index_update_count[info.key] = optimizer.begin_num_update + updates.get(i, 0)
    return updater


def spread(updater: Updater, infos: Mapping[Key, KeyInfo]) -> dict[Key, tuple[list[Array], int]]:
    """For each key its state's flat arrays and its number of updates. Raises UnknownKey, BadValue."""
    optimizer = updater.optimizer
    by_key: dict[Key, tuple[list[Array], int]] = {}
    for key, state in updater.states.items():
        info = infos.get(key) if isinstance(key, (str, int)) else None
        if info is None:
            raise UnknownKey(f"the states of {key!r} are in the file, but {key!r} was never initialised")
        parts = state if isinstance(state, (tuple, list)) else () if state is None else (state,)
        flats = [np.ascontiguousarray(part._data).reshape(-1) for part in parts]
        for part in parts:
            if part.shape != info.shape:
                raise BadValue(f"the state of {key!r} has shape {part.shape}, the key {info.shape}")
        count = optimizer._index_update_count.get(key, optimizer.begin_num_update)
        by_key[info.key] = flats, count - optimizer.begin_num_update
    return by_key


def set_state_message(
    seq: int, layout: Layout, piece: Piece, states: Mapping[Key, tuple[Sequence[Array], int]]
) -> m.SetState:
    """The states of one piece; keys without one start anew."""
    found = [states.get(layout.keys[i], ((), 0)) for i in piece.items]
    values = [
        flat[low:high]
        for (flats, _), low, high in zip(found, piece.offsets, piece.ends, strict=True)
        for flat in flats
    ]
    return m.SetState(
        seq,
        piece.numbers,
        piece.offsets,
        [num_updates for _, num_updates in found],
        [len(flats) for flats, _ in found],
        values,
    )

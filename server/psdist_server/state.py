"""All that a shard holds, as messages and back: for a copy on another server, and for a snapshot on disk.

The settings are one message, `CopySettings`; slices go many to a message, `CopySlices`; a part of a table goes
in portions, `CopyRows`. Open rounds are not
among them: whoever pushed to one has no reply yet, and sends it again. An optimizer's state is updated in
place, so that it is copied here; a value is never written while somebody holds it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from psdist.errors import ConfigError
from psdist.table import Evict, First
from psdist.wire.messages import CopyRows, CopySettings, CopySlices, Tensor, key_number
from psdist.wire.spans import Spans

from .parts import TablePart, part_place
from .rounds import Key, Slice
from .shard import Shard
from .views import is_compressed

__all__ = [
    "Place",
    "batches",
    "portion_of",
    "put_rows",
    "put_settings",
    "put_slices",
    "rows_of",
    "settings_of",
    "slices_of",
]

Place = tuple[int, int]  # (key number, offset) of a slice

_BATCH_SLICES = 256  # in one message; names are a list, and the codec allows 1024
_BATCH_NBYTES = 1 << 20


def settings_of(shard: Shard, seq: int, epoch: int, number: int) -> CopySettings:
    """The settings of a shard."""
    updates = shard.updates
    if updates.pull is not None:
        from psdist.kvstore.compress import numbers_of  # only now, as in updates.py
    name, numbers = updates.rule.to_wire() if updates.rule is not None else ("", {})
    controls = [(rank, seq) for rank, seqs in shard.controls.items() for seq in seqs]
    return CopySettings(
        seq,
        epoch,
        number,
        name,
        numbers,
        dict(updates.lr_mult),
        dict(updates.wd_mult),
        shard.each,
        updates.lazy,
        updates.pull.name if updates.pull is not None else "",
        numbers_of(updates.pull) if updates.pull is not None else {},
        [rank for rank, _ in controls],
        [seq for _, seq in controls],
        [start for start, _, _ in updates.hypers],
        [
            np.array([lr for _, lr, _ in updates.hypers], np.float64),
            np.array([wd for _, _, wd in updates.hypers], np.float64),
        ],
    )


def put_settings(shard: Shard, message: CopySettings) -> None:
    """Give an empty shard these settings. Raises ConfigError for an optimizer that is not known here."""
    updates = shard.updates
    if message.name:
        from psdist.optimizer import from_wire  # only now, as in updates.py

        updates.rule = from_wire(message.name, message.numbers)
    if message.pull:
        from psdist.kvstore.compress import code_of

        updates.pull = code_of({"type": message.pull, **message.pull_numbers})
    if len(message.values) != 2 or any(len(rates) != len(message.from_rounds) for rates in message.values):
        raise ConfigError("the rates of an optimizer are not three columns of one length")
    lrs, wds = message.values
    updates.hypers = [
        (start, float(lr), float(wd)) for start, lr, wd in zip(message.from_rounds, lrs, wds, strict=True)
    ]
    updates.lr_mult, updates.wd_mult = message.lr_mult, message.wd_mult
    shard.each, updates.lazy = message.each, message.lazy
    for rank, seq in zip(message.ranks, message.seqs, strict=True):
        shard.controls.setdefault(rank, {})[seq] = None


def batches(shard: Shard, places: Sequence[Place]) -> Iterator[list[Place]]:
    """The places in portions, each for one message."""
    batch: list[Place] = []
    nbytes = 0
    for place in places:
        piece = shard.slices[place]
        size = piece.value.nbytes * (1 + len(_kept(piece))) + 8 * len(piece.portions.bounds)
        if batch and (nbytes + size > _BATCH_NBYTES or len(batch) >= _BATCH_SLICES):
            yield batch
            batch, nbytes = [], 0
        batch.append(place)
        nbytes += size
    if batch:
        yield batch


def slices_of(pieces: Sequence[Slice], seq: int, epoch: int, number: int) -> CopySlices:
    """These slices, whole."""
    keys = [piece.key for piece in pieces]
    values: list[Tensor] = []
    for piece in pieces:
        values.append(piece.value)
        values.extend(array.copy() for array in _kept(piece))
    return CopySlices(
        seq,
        epoch,
        number,
        tuple(key.name for key in keys),
        tuple(key.dtype.name for key in keys),
        tuple(key.shape for key in keys),
        [piece.offset for piece in pieces],
        [piece.clock for piece in pieces],
        [piece.num_updates for piece in pieces],
        [len(_kept(piece)) for piece in pieces],
        [len(piece.applied) for piece in pieces],
        [rank for piece in pieces for rank in piece.applied],
        [clock for piece in pieces for clock in piece.applied.values()],
        [len(piece.portions.bounds) for piece in pieces],
        [bound for piece in pieces for bound in piece.portions.bounds],
        values,
    )


def _kept(piece: Slice) -> tuple[Tensor, ...]:
    """The arrays beside the value."""
    return (*(piece.state or ()), *((piece.view,) if piece.view is not None else ()))


def put_slices(shard: Shard, message: CopySlices) -> None:
    """Put slices into a shard, in place of what was there."""
    values = iter(message.values)
    bounds = iter(message.bounds)
    applied = iter(zip(message.ranks, message.rounds, strict=True))
    columns = zip(
        message.names,
        message.dtypes,
        message.shapes,
        message.offsets,
        message.clocks,
        message.num_updates,
        message.counts,
        message.num_applied,
        message.num_bounds,
        strict=True,
    )
    for name, dtype, shape, offset, clock, num_updates, count, num_applied, num_bounds in columns:
        number = key_number(name)
        key = shard.keys.get(number)
        if key is None:
            key = shard.keys[number] = Key(name, shape, np.dtype(dtype), shard.empty)
            shard.updates.fit(key)
        value = key.own(next(values))
        piece = shard.slices.get((number, offset))
        if piece is None:
            piece = shard.slices[number, offset] = key.add(offset, value)
        piece.value = value
        state = tuple(np.array(next(values)) for _ in range(count))
        piece.view, piece.changes = None, []
        if shard.updates.pull is not None and is_compressed(key) and state:
            *state_, piece.view = state
            state = tuple(state_)
        piece.state = state if state or num_updates else None
        piece.clock, piece.num_updates = clock, num_updates
        piece.applied = dict(next(applied) for _ in range(num_applied))
        piece.portions = Spans(list(itertools.islice(bounds, num_bounds)))
    shard.count()


def portion_of(
    part: TablePart, seq: int, epoch: int, number: int, begin: int, *, anew: bool = True
) -> tuple[CopyRows, int]:
    """What lies in some slots of a part's table, from `begin` on; and where the next portion begins. Where it is not
    `anew`, the rows of the copy stay."""
    table = part.table
    per_row = table.width * table.dtype.itemsize * (1 + len(table.state or ()))
    end = min(begin + max(1, _BATCH_NBYTES // max(1, per_row)), table.num_slots)
    ids, touched, *arrays = table.portion(begin, end)
    key = part.key
    message = CopyRows(
        seq,
        epoch,
        number,
        key.name,
        key.dtype.name,
        key.shape,
        part.part,
        part.num_parts,
        table.first.kind,
        dict(table.first.numbers),
        table.evict.policy,
        table.evict.limit,
        part.is_open,
        anew and begin == 0,
        part.clock,
        table.newest + 1,
        part.num_updates,
        len(arrays) - 1,
        list(part.applied),
        list(part.applied.values()),
        [ids, touched, *(array.reshape(-1) for array in arrays)],
    )
    return message, end


def rows_of(part: TablePart, seq: int, epoch: int, number: int) -> Iterator[CopyRows]:
    """All of a part."""
    message, end = portion_of(part, seq, epoch, number, 0)
    yield message
    while end < part.table.num_slots:
        message, end = portion_of(part, seq, epoch, number, end)
        yield message


def put_rows(shard: Shard, message: CopyRows) -> None:
    """Put rows into a part, in place of what was there."""
    number = key_number(message.name)
    place = part_place(number, message.part)
    key = shard.keys.get(number)
    if key is None:
        key = shard.keys[number] = Key(message.name, message.shape, np.dtype(message.dtype), shard.empty)
        key.is_table = True
        shard.updates.fit(key)
    part = shard.tables.get(place)
    if part is None or message.begins:
        first, evict = First(message.first, message.numbers), Evict(message.evict, message.limit)
        part = TablePart(key, message.part, message.num_parts, first, evict)
        shard.tables[place] = shard.slices[place] = part
    ids, touched, *arrays = message.values
    data, *state = (array.reshape(len(ids), part.table.width) for array in arrays)
    if not state:
        part.table.state = None
    part.table.put(ids, touched, data, tuple(state))
    part.clock, part.num_updates = message.clock, message.num_updates
    part.table.newest = message.newest - 1
    part.applied = dict(zip(message.ranks, message.rounds, strict=True))
    if message.is_open:
        part.open()

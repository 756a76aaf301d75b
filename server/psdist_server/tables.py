"""What workers ask of tables: to declare a part, to push rows and to read them. Everything else is the slices'.

Rows that come are checked here: how many, of what type, which numbers, and whether this part holds them. What is
refused changes nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from psdist.errors import ConfigError
from psdist.table import Evict, First, Rows, chunks, is_of, row_chunks
from psdist.wire.codec import DTYPES
from psdist.wire.messages import (
    GetState,
    InitRows,
    Message,
    PullRows,
    PushRows,
    RowValues,
    SetState,
    States,
    Tensor,
    Tensors,
    key_number,
)

from .checks import check_push, check_round, look_for_nan
from .parts import TablePart, part_place
from .rounds import Key
from .updates import Refused

if TYPE_CHECKING:
    from .shard import Destination, Shard

__all__ = ["get_states", "init_rows", "named", "pull_rows", "push_rows", "set_states"]

_DTYPES: Final = {dtype.name: dtype for dtype in DTYPES.values()}
_MAX_WIDTH: Final = 1 << 40
_MAX_PARTS: Final = 1 << 20


def init_rows(shard: Shard, sender: Destination, rank: int, init: InitRows) -> None:
    """Declare a part, and take first rows."""
    if shard.is_pending(sender, init.seq):
        return
    first, evict = First(init.first, init.numbers), Evict(init.evict, init.limit)
    part = _declared(shard, init, first, evict)
    place = part_place(part.key.number, part.part)
    rows = _rows(part, init.values) if init.gives and not part.is_open else None
    if place not in shard.tables:
        shard.keys[part.key.number] = part.key
        shard.tables[place] = shard.slices[place] = part
    if rows is not None:
        part.table.first, part.table.evict = first, evict  # the giver's count
        part.table.give(rows)
        if init.is_last:
            part.open()
        shard.was_asked(rank, init)
    pending = shard.begin(sender, init.seq, 0, None)
    if part.is_open:
        for waiter in shard.declared.pop(place, ()):
            waiter.one_is_there()
    elif not init.gives:
        shard.declared.setdefault(place, []).append(pending)
        pending.missing += 1
    pending.one_is_there()


def _declared(shard: Shard, init: InitRows, first: First, evict: Evict) -> TablePart:
    """The part, after checking that it fits what is known of the table; a new one is not put in yet."""
    name, shape, dtype = init.name, init.shape, _DTYPES.get(init.dtype)
    if name[:2] not in ("i:", "s:"):
        raise Refused("bad-value", f"{name!r} is no key's name; wanted 'i:3' or 's:weight'")
    if dtype is None:
        raise Refused("bad-value", f"{name!r}: dtype {init.dtype!r}; wanted one of {', '.join(_DTYPES)}")
    if (
        not 1 <= len(shape) <= 32
        or min(shape) < 0
        or math.prod(shape[1:]) > _MAX_WIDTH
        or shape[0] >= 1 << 63
    ):
        raise Refused("bad-value", f"{name!r}: no table has the shape {shape}")
    if not 0 <= init.part < init.num_parts <= _MAX_PARTS:
        raise Refused("bad-value", f"{name!r}: there is no part {init.part} of {init.num_parts}")
    try:
        first.check()
        evict.check()
    except ConfigError as e:
        raise Refused("bad-value", f"{name!r}: {e}") from None
    number = key_number(name)
    key = shard.keys.get(number)
    if key is None:
        key = Key(name, shape, dtype, shard.empty)
        key.is_table = True
        shard.updates.fit(key)
    elif key.name != name:
        raise Refused("bad-value", f"the keys {key.name!r} and {name!r} have the same number; rename one")
    elif not key.is_table or (key.shape, key.dtype) != (shape, dtype):
        was = "table" if key.is_table else "array"
        raise Refused(
            "bad-value",
            f"{key.label} was initialised as {was} {key.dtype.name} {key.shape}, "
            f"and now comes as table {dtype.name} {shape}",
        )
    part = shard.tables.get(part_place(number, init.part))
    if part is None:
        return TablePart(key, init.part, init.num_parts, first, evict)
    if part.num_parts != init.num_parts:
        raise Refused(
            "bad-value", f"{key.label} has {part.num_parts} parts, and now comes in {init.num_parts}"
        )
    return part


def push_rows(shard: Shard, sender: Destination, rank: int, push: PushRows) -> None:
    """Add rows to a round."""
    if shard.is_pending(sender, push.seq):
        return
    check_push(shard, push)
    part = _part(shard, push.key, push.part)
    rows = _rows(part, push.values)
    check_round(shard, part, rank, push.clock)
    if shard.guard != "off":
        look_for_nan(shard, rank, [push.clock], [rows.data], [part])
    pending = shard.begin(sender, push.seq, push.ack, None)
    shard.put(part, rank, push.clock, rows)
    if not part.has(rank, push.clock + 1):
        part.waiting.append((rank, push.clock + 1, pending))
        pending.missing += 1
    pending.one_is_there()


def pull_rows(shard: Shard, sender: Destination, pull: PullRows) -> None:
    """Read rows, when the part's clock is there."""
    if shard.is_pending(sender, pull.seq):
        return
    part = _part(shard, pull.key, pull.part)
    ids = _joined(pull.values) if pull.values else None
    if ids is not None:
        _check_ids(part, ids)
    pending = shard.begin(sender, pull.seq, 0, None)

    def reply() -> Message:
        table, empty = part.table, part.key.empty
        if ids is None:
            stored = table.stored()
            return RowValues(pull.seq, part.clock, chunks(Rows(stored, table.read(stored, empty))))
        return RowValues(pull.seq, part.clock, row_chunks(table.read(ids, empty)))

    pending.reply = reply
    shard.wait_for_clocks([part], [pull.min_clock], pending)
    pending.one_is_there()


def named(shard: Shard, message: GetState | SetState) -> TablePart | None:
    """The part of a table that a message about one state names, if it does: its offset is the part's number."""
    if len(message.keys) != 1 or len(message.offsets) != 1:
        return None
    return shard.tables.get(part_place(message.keys[0], message.offsets[0]))


def get_states(part: TablePart, message: GetState) -> States:
    """The states of all rows that are stored: numbers, then each array's rows; again, where they are many."""
    ids = part.table.stored()
    arrays = part.table.states_of(ids)
    values: list[Tensor] = []
    for low, high in _ranges(len(ids), part.table.width) if arrays else ():
        values += [ids[low:high], *(array[low:high].reshape(-1) for array in arrays)]
    return States(message.seq, [part.num_updates], [len(values)], values)


def set_states(shard: Shard, part: TablePart, message: SetState) -> None:
    """Put back what `get_states` gave. Raises Refused."""
    rule, table, values = shard.updates.rule, part.table, message.values
    if rule is None:
        raise Refused("bad-value", "no optimizer is set, so there is no state; call set_optimizer first")
    wanted = rule.create_state(np.empty((0, table.width), table.dtype))
    group = 1 + len(wanted)
    if len(message.num_updates) != 1 or list(message.counts) != [len(values)] or len(values) % group:
        raise Refused("bad-value", f"SetState of {part.key.label} has columns of other lengths")
    for i in range(0, len(values), group):
        ids, *arrays = values[i : i + group]
        _check_ids(part, ids)
        for array, one in zip(arrays, wanted, strict=True):
            if array.size != len(ids) * table.width or array.dtype != one.dtype:
                raise Refused("bad-value", f"{part.key.label}: this state is not one of {rule.name}'s")
    table.state = None  # rows that are not among these begin anew
    for i in range(0, len(values), group):
        ids, *arrays = values[i : i + group]
        table.put_states(ids, tuple(array.reshape(len(ids), table.width) for array in arrays))
    part.num_updates = message.num_updates[0]


def _ranges(num: int, width: int) -> list[tuple[int, int]]:
    """Rows whose arrays of 8-byte elements are not too large for a frame."""
    most = max(1, (4 << 20) // (8 * max(1, width)))
    return [(low, min(low + most, num)) for low in range(0, num, most)]


def _part(shard: Shard, number: int, which: int) -> TablePart:
    part = shard.tables.get(part_place(number, which))
    if part is not None and part.is_open:
        return part
    key = shard.keys.get(number)
    if part is not None:
        raise Refused("unknown-key", f"{part.key.label} is declared, but its first rows are not there yet")
    if key is None:
        raise Refused(
            "unknown-key", f"the table of number {number:#018x} was never initialised on {shard.where}"
        )
    if not key.is_table:
        raise Refused("bad-value", f"{key.label} is an array, not a table: push and pull all of it")
    raise Refused("bad-value", f"{key.label} has no part {which} on {shard.where}")


def _rows(part: TablePart, values: Tensors) -> Rows:
    """The rows of a message, after checking that this part holds them."""
    key, width = part.key, part.table.width
    if len(values) % 2 or not values:
        raise Refused("bad-value", f"{key.label}: {len(values)} arrays; wanted pairs of numbers and rows")
    ids = _joined(values[::2])
    for given, data in zip(values[::2], values[1::2], strict=True):
        if data.dtype != key.dtype or data.size != given.size * width:
            raise Refused(
                "bad-value",
                f"{key.label} is {key.dtype.name} with rows of {width}; for {given.size} rows came "
                f"{data.size} elements of {data.dtype.name}",
            )
    _check_ids(part, ids)
    return Rows(ids, _joined(values[1::2]).reshape(len(ids), width))


def _check_ids(part: TablePart, ids: Tensor) -> None:
    label, num_rows = part.key.label, part.key.shape[0]
    if ids.dtype != np.int64:
        raise Refused("bad-value", f"{label}: numbers of rows are int64, not {ids.dtype.name}")
    if not len(ids):
        return
    if not (ids[1:] > ids[:-1]).all():
        raise Refused("bad-value", f"{label}: the numbers of rows do not ascend, or one comes twice")
    if ids[0] < 0 or ids[-1] >= num_rows:
        bad = int(ids[0] if ids[0] < 0 else ids[-1])
        raise Refused("bad-value", f"{label} has {num_rows} rows; there is no row {bad}")
    if not is_of(ids, part.part, part.num_parts):
        raise Refused("bad-value", f"{label}: rows of another part than {part.part} of {part.num_parts}")


def _joined(arrays: Any) -> Tensor:
    if len(arrays) == 1:
        return arrays[0]  # type: ignore[no-any-return]
    if len({a.dtype for a in arrays}) > 1:
        raise Refused("bad-value", "the arrays of one message's rows are of several types")
    return np.concatenate(arrays)

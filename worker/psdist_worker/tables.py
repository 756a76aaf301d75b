"""The tables of a store, which is their friend: values of which only the rows that are used travel.

A push is one message to every server, which says that this worker has pushed, if only no rows of that server's; so
rounds are those of whole arrays. A pull asks the servers that hold the rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from psdist.errors import ConfigError, ProtocolError
from psdist.kvstore.base import Key, Spec, check_row_ids
from psdist.kvstore.reduce import add_into
from psdist.ndarray import NDArray
from psdist.optimizer import Updater, from_wire
from psdist.table import Evict, First, Rows, chunks, merge, split
from psdist.wire import key_name, key_number
from psdist.wire import messages as m
from psdist.wire.codec import DTYPES, draft, frame_limit

from .client import Call, Reply, Request
from .plan import Array, KeyInfo, Layout

if TYPE_CHECKING:
    from .store import DistKVStore

__all__ = ["Tables"]

_INIT_NBYTES: Final = 16 << 20  # of rows in one message
_DTYPES: Final = frozenset(DTYPES.values())
_MOST_IN_FILE: Final = 1 << 28  # elements
_ROWS_AT_ONCE: Final = 1 << 12
_NO_ROWS: Final = np.empty(0, np.int64)


class Tables:
    """The tables that this worker has initialised."""

    def __init__(self, store: DistKVStore) -> None:
        self._store = store
        self.infos: dict[Key, KeyInfo] = {}

    def declare(self, key: Key, spec: Spec, first: First, evict: Evict, rows: Rows | None) -> None:
        """A new table, with these first rows where this worker is to give them."""
        store, shape, dtype = self._store, spec.shape, spec.dtype
        store._check()
        if dtype not in _DTYPES:
            known = ", ".join(one.name for one in DTYPES.values())
            raise ConfigError(f"init {key!r}: dtype {dtype.name}; servers hold {known}")
        if not shape:
            raise ConfigError(f"init {key!r}: a table has rows, and this has no axis")
        if rows is not None:
            check_row_ids("init", key, rows.ids, shape[0])
        row_nbytes = _width(shape) * dtype.itemsize
        if row_nbytes > (limit := frame_limit(store._settings.slice_nbytes)):
            raise ConfigError(
                f"{key!r}: a row has {row_nbytes} bytes; at most {limit} can travel (PSDIST_SLICE_BYTES)"
            )
        if evict.policy == "lru":  # each server keeps its share
            evict = Evict("lru", -(-evict.limit // store._client.num_shards))
        if store._needs_whole:
            raise _needs_whole(key)
        name = key_name(key)
        info = KeyInfo(key, name, key_number(name), shape, dtype, ())
        begins = store._begins.get(info.number)
        info.begin(begins or 0)
        gives = store._client.leads and begins is None
        about = repr(key) + ("" if gives else ", given by the first worker")
        messages = list(self._init_messages(info, first, evict, rows if gives else None, gives))
        # the last of each part comes last, whatever way each message takes
        for is_last in (False, True):
            store._ask_all([one for one in messages if one[1].is_last == is_last], what=lambda: about)
        self.infos[key] = info
        store._client.num_keys = len(store._infos) + len(self.infos)

    def _init_messages(
        self, info: KeyInfo, first: First, evict: Evict, rows: Rows | None, gives: bool
    ) -> Iterator[tuple[int, m.InitRows]]:
        num_parts = self._store._client.num_shards
        for part, (ids, data) in enumerate(self._parts(info, rows)):
            most = max(1, _INIT_NBYTES // max(8, data.itemsize * data.shape[1]))
            lows = range(0, max(1, len(ids)), most)
            for low in lows:
                some = Rows(ids[low : low + most], data[low : low + most])
                yield (
                    part,
                    m.InitRows(
                        self._store._client.next_seq(),
                        info.name,
                        info.dtype.name,
                        info.shape,
                        part,
                        num_parts,
                        first.kind,
                        dict(first.numbers),
                        evict.policy,
                        evict.limit,
                        gives,
                        low == lows[-1],
                        chunks(some) if gives else [],
                    ),
                )

    def _parts(self, info: KeyInfo, rows: Rows | None) -> Iterator[Rows]:
        """Each server's rows, copied into memory that it may read."""
        width = _width(info.shape)
        if rows is None:
            rows = Rows(_NO_ROWS, np.empty((0, width), info.dtype))
        empty = self._store._sharing.empty
        for places in split(rows.ids, self._store._client.num_shards):
            data = empty(len(places) * width, info.dtype).reshape(len(places), width)
            ids = empty(len(places), rows.ids.dtype)
            if len(places) == len(rows.ids):
                np.copyto(data, rows.data, casting="same_kind")
                np.copyto(ids, rows.ids)
            elif rows.data.dtype == info.dtype:
                np.take(rows.data, places, axis=0, out=data, mode="clip")
                np.take(rows.ids, places, out=ids, mode="clip")
            else:
                np.copyto(data, rows.data[places], casting="same_kind")
                np.take(rows.ids, places, out=ids, mode="clip")
            yield Rows(ids, data)

    def check_optimizer(self, needs_whole: bool) -> None:
        """Raise ConfigError for an optimizer that cannot update rows."""
        for key in self.infos if needs_whole else ():
            raise _needs_whole(key)

    def rows_of(self, verb: str, key: Key, arrays: Sequence[Any]) -> Rows:
        """What row_sparse arrays hold, summed in device order. Raises BadValue."""
        info = self.infos[key]
        total: Rows | None = None
        for array in arrays:
            held = array._stored()
            check_row_ids(verb, key, held.indices, info.shape[0])
            rows = Rows(held.indices, held.data.reshape(len(held.indices), _width(info.shape)))
            total = rows if total is None else merge(total, rows)
        assert total is not None, "a push has the value of one device at least"
        return total

    def push(self, key: Key, rows: Rows, priority: int) -> None:
        """Send a gradient."""
        store, info = self._store, self.infos[key]
        layout = Layout([info])
        store._check()
        store._wait_for_room(layout)

        def done(call: Call) -> None:
            store._acknowledged(layout, call.error, rows.data.nbytes)

        client = store._client
        call = Call(client.num_shards, store._settings.request_timeout_s, done)
        with store._lock:
            assert client.view is not None
            requests = store._new_rates(layout)
            clock = info.clock
            for part, mine in enumerate(self._parts(info, rows)):
                message = m.PushRows(
                    client.next_seq(), client.view.epoch, client.ack, info.number, part, clock, chunks(mine)
                )
                about = _about(key, clock)
                requests.append(Request(part, message, call, priority, about, draft=draft(message)))
            store._count(layout, rows.data.nbytes)
            store._submit(requests)

    def push_dense(self, key: Key, arrays: Sequence[Array], priority: int) -> None:
        """Send a gradient that has every row."""
        info = self.infos[key]
        total = np.empty(info.shape, info.dtype)
        add_into(total, arrays)
        self.push(
            key, Rows(np.arange(info.shape[0]), total.reshape(info.shape[0], _width(info.shape))), priority
        )

    def pull_dense(self, key: Key, outs: Sequence[Array], priority: int) -> None:
        """Read every row."""
        data = self.pull(key, np.arange(self.infos[key].shape[0]), priority)
        for out in outs:
            np.copyto(out, data, casting="unsafe")

    def pull(self, key: Key, ids: Array, priority: int) -> Array:
        """These rows, (len(ids), *rest of the shape); `ids` ascend, and none comes twice."""
        store, info = self._store, self.infos[key]
        out = np.empty((len(ids), _width(info.shape)), info.dtype)
        messages = []
        takers: list[Callable[[Reply], None]] = []
        with store._lock:
            seen = max(info.clock - store._behind(), 0)
            for part, places in enumerate(split(ids, store._client.num_shards)):
                if len(places):
                    mine = ids if len(places) == len(ids) else ids[places]
                    values = [mine[low : low + (1 << 19)] for low in range(0, len(mine), 1 << 19)]
                    messages.append(
                        (part, m.PullRows(store._client.next_seq(), info.number, part, seen, values))
                    )
                    takers.append(_taker(out, None if len(places) == len(ids) else places))
        store._ask_all(
            messages, what=_about(key, seen), deliver=lambda i, reply: takers[i](reply), priority=priority
        )
        return out.reshape(len(ids), *info.shape[1:])

    def stored(self, key: Key, priority: int) -> tuple[Array, Array]:
        """All rows that the servers store: (rows, their numbers, ascending)."""
        store, info = self._store, self.infos[key]
        width = _width(info.shape)
        found: list[list[Array]] = []

        def take(_: int, reply: Reply) -> None:
            assert isinstance(reply, m.RowValues), reply
            found.append([value.copy() for value in reply.values])  # they lie in the server's memory

        seen = max(info.clock - store._behind(), 0)
        servers = range(store._client.num_shards)
        store._ask_all(
            [(part, m.PullRows(store._client.next_seq(), info.number, part, seen, [])) for part in servers],
            what=_about(key, seen),
            deliver=take,
            priority=priority,
        )
        ids = np.concatenate([values for arrays in found for values in arrays[::2]])
        data = np.concatenate([values for arrays in found for values in arrays[1::2]]).reshape(
            len(ids), width
        )
        order = np.argsort(ids)
        return data[order].reshape(len(ids), *info.shape[1:]), ids[order]

    # --- the optimizer's states -------------------------------------------------------------------

    def check_size(self, verb: str) -> None:
        """Raise ConfigError for a table whose states would not go into a file."""
        for key, info in self.infos.items():
            if math.prod(info.shape) > _MOST_IN_FILE:
                raise ConfigError(
                    f"{verb}: {key!r} has the shape {info.shape}, and a file has states of whole arrays; "
                    "psdist run --snapshot-dir keeps those of a table's rows, --restore brings them back"
                )

    def gather_states(self, updater: Updater) -> None:
        """Add the states of the tables to an updater's."""
        optimizer = updater.optimizer
        rule = from_wire(*optimizer.to_wire())
        for key, info in self.infos.items():
            width = _width(info.shape)
            replies: list[m.States] = []
            number = info.number

            def ask(seq: int, part: int, number: int = number) -> m.GetState:
                return m.GetState(seq, [number], [part])

            self._ask_parts(info, ask, replies)
            fresh = rule.create_state(np.zeros((1, width), info.dtype))
            wholes = [np.zeros((info.shape[0], width), one.dtype) for one in fresh]
            for reply in replies:
                for i in range(0, len(reply.values), 1 + len(wholes)):
                    ids, *arrays = reply.values[i : i + 1 + len(wholes)]
                    for whole, array in zip(wholes, arrays, strict=True):
                        whole[ids] = array.reshape(len(ids), width)
            num = max(reply.num_updates[0] for reply in replies)
            parts = [NDArray(whole.reshape(info.shape)) for whole in wholes] if num else []
            updater.states[key] = tuple(parts) if len(parts) > 1 else parts[0] if parts else None
            optimizer._index_update_count[key] = optimizer.begin_num_update + num

    def spread_states(self, states: Mapping[Key, tuple[Sequence[Array], int]]) -> None:
        """Give the servers the states of the tables' rows, as far as they are not zero."""
        for key, info in self.infos.items():
            flats, num_updates = states.get(key, ((), 0))
            wholes = [flat.reshape(info.shape[0], _width(info.shape)) for flat in flats]
            some = (
                np.flatnonzero(np.any([whole.any(axis=1) for whole in wholes], axis=0))
                if wholes
                else _NO_ROWS
            )
            mine = [some[places] for places in split(some, self._store._client.num_shards)]

            def make(
                seq: int,
                part: int,
                info: KeyInfo = info,
                wholes: Any = wholes,
                mine: Any = mine,
                num: int = num_updates,
            ) -> m.SetState:
                values = []
                for low in range(0, len(mine[part]), _ROWS_AT_ONCE):
                    ids = mine[part][low : low + _ROWS_AT_ONCE]
                    values += [ids, *(whole[ids].reshape(-1) for whole in wholes)]
                return m.SetState(seq, [info.number], [part], [num], [len(values)], values)

            self._ask_parts(info, make, [])

    def _ask_parts(self, info: KeyInfo, make: Callable[[int, int], Any], replies: list[Any]) -> None:
        client = self._store._client
        self._store._ask_all(
            [(part, make(client.next_seq(), part)) for part in range(client.num_shards)],
            what=lambda: f"states of {info.key!r}",
            deliver=lambda _, reply: replies.append(_kept(reply)),
        )


def _kept(reply: Reply) -> Reply:
    """Arrays of a reply may lie in the server's memory."""
    if isinstance(reply, m.States):
        return replace(reply, values=[value.copy() for value in reply.values])
    return reply


def _taker(out: Array, places: Array | None) -> Callable[[Reply], None]:
    """Puts the rows of a reply where they belong in `out`."""

    def take(reply: Reply) -> None:
        assert isinstance(reply, m.RowValues), reply
        width, low = out.shape[1], 0
        wanted = len(out) if places is None else len(places)
        if sum(value.size for value in reply.values) != wanted * width:
            raise ProtocolError(f"rows of other numbers came; wanted {wanted} of {width} elements")
        for value in reply.values:
            rows = value.reshape(-1, width) if width else out[:0]
            high = low + len(rows)
            out[slice(low, high) if places is None else places[low:high]] = rows
            low = high

    return take


def _needs_whole(key: Key) -> ConfigError:
    return ConfigError(
        f"the optimizer needs whole arrays, and {key!r} is a table, of which each server has some rows; wanted one "
        "that updates each element by itself, as SGD, Adam, AdaGrad or Ftrl"
    )


def _width(shape: tuple[int, ...]) -> int:
    """Elements of a row."""
    return int(np.prod(shape[1:], dtype=np.int64))


def _about(key: Key, clock: int) -> Callable[[], str]:
    return lambda: f"rows of {key!r} at clock {clock}"

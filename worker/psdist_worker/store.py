"""The store over a cluster: what `kvstore.create("dist_...")` gives.

`push` returns as soon as its messages are made; the training goes on while they travel. So the gradient is
copied first (or summed over the devices, which is a copy, too): a message that was not acknowledged may have
to be sent again, exactly as it was, long after the training has overwritten the gradient. The copies live in
a pool and are given back with the acknowledgement. `pushpull` does not return before the reply is there; it
sends from the caller's own array, without a copy.

A push that fails in the background makes the store fail: its error is raised by the next call, and by every
later one, since the values are no longer what the script believes them to be.
"""

from __future__ import annotations

import atexit
import functools
import math
import operator
import os
import secrets
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from psdist import optimizer as opt
from psdist.errors import BadValue, ClosedError, ConfigError, PSError, RequestTimeout
from psdist.kvstore.base import Key, KVStore, Pairs, Spec, each, is_sparse
from psdist.kvstore.compress import Code, code_of, pack, with_feedback
from psdist.kvstore.reduce import add_into
from psdist.settings import Settings
from psdist.table import Evict, First, Rows
from psdist.wire import messages as m
from psdist.wire.codec import DTYPES, PACKED, Packed, draft
from psdist.wire.spans import Spans

from . import states
from .client import SCHEDULER, Call, Client, Reply, Request
from .io import IO
from .memory import Buffers, Targets
from .plan import Array, KeyInfo, Layout, Layouts, Piece, begin_together, init_messages, key_info, slices_of
from .rates import Rates
from .shm import Sharing
from .tables import Tables

__all__ = ["DistKVStore", "create"]

_ROUNDS_AHEAD = 4  # of a key, pushed and not acknowledged: bounds the pool, and stays within MAX_ROUNDS_AHEAD
_SSP_STALENESS = 4  # dist_ssp's, until set_staleness
_BACKSTOP_S = 10.0  # beyond a deadline that the socket thread keeps: if it does not, this thread gives up
_LONG = 16  # keys in a list, from which on it is worth remembering
_SWITCH_S = 0.0005
_DTYPES = frozenset(DTYPES.values())


def create(kind: str, settings: Settings) -> DistKVStore:
    """Join the job that the settings describe. Returns when all its members have come."""
    settings.require_root()
    if "async" in kind:
        staleness = -1
    elif "ssp" in kind:
        staleness = _SSP_STALENESS
    else:
        staleness = 0
    return DistKVStore(kind, settings, staleness)


class DistKVStore(KVStore):
    """One worker's view of the arrays that the servers hold."""

    def __init__(self, kind: str, settings: Settings, staleness: int) -> None:
        super().__init__(kind)
        self._settings = settings
        self._staleness = staleness
        self._infos: dict[Key, KeyInfo] = {}
        self._tables = Tables(self)
        self._layouts = Layouts()
        self._sharing = Sharing(settings.shm_nbytes)
        self._buffers = Buffers(self._sharing.empty)
        self._lock = (
            threading.Lock()
        )  # guards clocks, so that messages are queued in the order of their clocks
        self._acks = threading.Condition()  # guards `acknowledged`, `_in_flight`, `_unacked_nbytes`, `_error`
        self._in_flight = 0  # calls in the background, pushes above all, without acknowledgement
        self._unacked_nbytes = 0  # of gradients, before compression
        self._error: PSError | None = None  # of something in the background
        self._last_targets: tuple[Pairs | None, Targets] = None, Targets((), ())  # of a long list
        self._last_flats: tuple[Pairs | None, list[Array]] = None, []  # likewise, where no copies are needed
        self._code: Code | None = None  # how gradients are compressed
        self._residuals: dict[Key, Array] = {}  # what compression has left over
        self._barriers = 0
        self._begins: dict[int, int] = {}  # by key number: the clock at which this worker, a late one, begins
        self._optimizer: Any = None  # the one given to set_optimizer
        self._needs_whole = False  # whether it looks at whole arrays, so that their slices stay together
        self._rates = Rates()
        self._is_closed = False
        self._pid = os.getpid()
        # half a millisecond, so that a loop of small operators does not starve the socket thread of the GIL
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_S))
        self._client = Client(settings, secrets.randbits(62))
        self._io = IO(self._client, settings, self._sharing)
        self._io.start()
        try:
            self._join()
        except BaseException as e:
            self._abort(e)
            self._io.close(linger_s=0.5)
            raise
        atexit.register(self._at_exit)

    def _join(self) -> None:
        uri, port = self._settings.root_uri, self._settings.root_port
        address = f"tcp://[{uri}]:{port}" if ":" in uri else f"tcp://{uri}:{port}"
        limit_s = self._settings.connect_timeout_s + self._settings.start_timeout_s
        wait = _Wait()
        # ten times, since the scheduler's own setting counts, and the client knows when to stop
        call = Call(1, 10 * limit_s, wait.wake)
        self._io.do(lambda now: self._client.start(address, call, now))
        wait.until(call)
        view = self._client.view
        assert view is not None
        if self._settings.ack == "replicated" and not view.replicas:
            raise ConfigError(
                "PSDIST_ACK=replicated, but this job keeps no copies: start it by `psdist run --replicas 1`"
            )
        if self._client.is_late or self._settings.restore:
            self._catch_up()
        if not self._client.is_late and self._staleness and self._client.leads:
            self.set_staleness(self._staleness)

    def _catch_up(self) -> None:
        """The job was running when this worker came: learn how far it is, and say where this worker begins."""
        clocks: dict[int, int] = {}

        def take(_: int, reply: Reply) -> None:
            assert isinstance(reply, m.Clocks), reply
            for number, clock in zip(reply.keys, reply.clocks, strict=True):
                clocks[number] = max(clock, clocks.get(number, 0))

        next_seq = self._client.next_seq
        shards = range(self._client.num_shards)
        about = "where the job is"
        self._ask_all([(shard, m.Join(next_seq())) for shard in shards], what=lambda: about, deliver=take)
        if self._client.is_late:
            clocks = begin_together(clocks, _ROUNDS_AHEAD + max(self._staleness, 0))
        numbers, begins = list(clocks), list(clocks.values())
        self._ask_all([(shard, m.Begin(next_seq(), numbers, begins)) for shard in shards], what=lambda: about)
        self._begins = clocks
        self._client.step = max(begins, default=0)
        view = self._client.view
        assert view is not None
        self._barriers = int(view.meetings.get("", 0) or 0)

    @property
    def begins_at(self) -> int:
        """The round with which this worker begins: 0, or where the job was when it came."""
        return max(self._begins.values(), default=0)

    @property
    def rank(self) -> int:
        return self._client.rank

    @property
    def num_workers(self) -> int:
        assert self._client.view is not None
        return self._client.view.num_workers

    def placement(self) -> dict[int, tuple[int, int]]:
        view = self._client.view
        assert view is not None
        homes = [place.primary for place in m.placements(view)]
        shares = {member.rank: (0, 0) for member in view.members if member.role == "server"}
        for info in self._infos.values():
            for part in info.slices:
                values, nbytes = shares.get(homes[part.server], (0, 0))
                shares[homes[part.server]] = values + part.length, nbytes + part.length * info.dtype.itemsize
        return shares

    @property
    def share(self) -> tuple[int, int]:
        """(num_parts, part_index) for the iterators of psdist.io: which share of the data is this worker's, among
        those who are here now. It changes when workers come, finish or die."""
        view = self._client.view
        assert view is not None
        ranks = sorted(member.rank for member in view.members if member.role == "worker")
        return max(1, len(ranks)), ranks.index(self.rank) if self.rank in ranks else 0

    def applied_portions(self) -> Spans:
        about = "which portions of the data are applied"
        found: list[Spans] = []

        def take(_: int, reply: Reply) -> None:
            assert isinstance(reply, m.Portions), reply
            if reply.is_any:
                found.append(Spans(reply.bounds))

        self._drain()
        self._ask_all(
            [(shard, m.GetPortions(self._client.next_seq())) for shard in range(self._client.num_shards)],
            what=lambda: about,
            deliver=take,
        )
        return functools.reduce(operator.and_, found) if found else Spans()

    # --- values -----------------------------------------------------------------------------------

    def init(self, key: Any, value: Any, *, averaged: bool = False) -> None:
        """As KVStore's; a row_sparse value becomes a table, of which later only the rows that are used travel."""
        given = each("init", key, value)
        tables = [
            (k, arrays)
            for k, arrays in given
            if not averaged and len(arrays) == 1 and _is_row_sparse(arrays[0])
        ]
        if len(tables) < len(given):
            names = {k for k, _ in tables}
            others = [(k, arrays) for k, arrays in given if k not in names]
            super().init([k for k, _ in others], [arrays for _, arrays in others], averaged=averaged)
        for k, (array,) in tables:
            self._new_key("init", k)
            held = array._stored()
            spec = Spec(array.shape, np.dtype(array.dtype))
            width = math.prod(array.shape[1:])
            rows = Rows(held.indices, held.data.reshape(len(held.indices), width))
            self._tables.declare(k, spec, First("constant", {"value": 0.0}), Evict(), rows)
            self._specs[k] = spec

    def _init_table(self, key: Key, spec: Spec, first: First, evict: Evict) -> None:
        self._check()
        self._tables.declare(key, spec, first, evict, None)

    def push(self, key: Any, value: Any, priority: int = 0) -> None:
        for part_key, part_value, is_table in self._parted("push", key, value):
            if is_table:
                self._tables.push(part_key, self._tables.rows_of("push", part_key, part_value), priority)
            else:
                super().push(part_key, part_value, priority)

    def pushpull(self, key: Any, value: Any, out: Any = None, priority: int = 0) -> None:
        out = value if out is None else out
        if not self._tables.infos:
            super().pushpull(key, value, out, priority)
            return
        outs = each("pushpull", key, out)
        others = [k for k, _ in outs if k not in self._tables.infos]
        values = each("pushpull", key, value)
        for k, arrays in values:
            if k not in others:
                self.push(k, arrays, priority)
        if others:
            super().pushpull(
                others,
                [arrays for k, arrays in values if k in others],
                [arrays for k, arrays in outs if k in others],
                priority,
            )
        for k, arrays in outs:
            if k not in others:
                self.pull(k, arrays, priority, ignore_sparse=False)

    def _parted(self, verb: str, key: Any, value: Any) -> list[tuple[Any, Any, bool]]:
        """(key, arrays, True) for each table that sparse arrays are given for, and (keys, values, False) for the
        rest, as it was given where that is all."""
        infos = self._tables.infos
        if not infos:
            return [(key, value, False)]
        tables: dict[Any, list[Any]] = {}
        rest: list[tuple[Any, list[Any]]] = []
        for k, arrays in each(verb, key, value):
            if k in infos and all(_is_row_sparse(a) for a in arrays):
                tables.setdefault(k, []).extend(arrays)
            else:
                rest.append((k, arrays))
        parts: list[tuple[Any, Any, bool]] = []
        for k, arrays in tables.items():
            for a in arrays:
                if a.shape != self._specs[k].shape:
                    raise BadValue(
                        f"{verb} {k!r}: shape {a.shape}, wanted {self._specs[k].shape} as initialised"
                    )
            parts.append((k, arrays, True))
        if not tables:
            return [(key, value, False)]
        if rest:
            parts.append(([k for k, _ in rest], [arrays for _, arrays in rest], False))
        return parts

    def _pull_sparse(self, pairs: list[tuple[Any, list[Any]]], priority: int, ignore_sparse: bool) -> None:
        for k, arrays in pairs:
            sparse = [a for a in arrays if _is_row_sparse(a)] if k in self._tables.infos else []
            others = [a for a in arrays if not any(a is one for one in sparse)]
            if others:
                super()._pull_sparse([(k, others)], priority, ignore_sparse)
            if sparse and not ignore_sparse:
                data, ids = self._tables.stored(k, priority)
                for a in sparse:
                    a.store(data, ids)

    def _row_reader(self, key: Key, priority: int) -> Callable[[Array], Array]:
        if key not in self._tables.infos:
            return super()._row_reader(key, priority)
        return lambda ids: self._tables.pull(key, ids, priority)

    def _init(self, pairs: list[tuple[Key, Array]]) -> None:
        infos = []
        for key, value in pairs:
            if value.dtype not in _DTYPES:
                known = ", ".join(dtype.name for dtype in DTYPES.values())
                raise ConfigError(f"init {key!r}: dtype {value.dtype.name}; servers hold {known}")
            client, nbytes = self._client, self._settings.slice_nbytes
            averaged = key in self._averaged
            infos.append(
                key_info(
                    key,
                    value.shape,
                    value.dtype,
                    client.num_servers,
                    nbytes,
                    num_shards=client.num_shards,
                    together=self._needs_whole,
                    averaged=averaged,
                )
            )
        for info in infos:
            info.clock = info.acknowledged = self._begins.get(info.number, 0)
        # a late worker's first values are those that the others have come to
        gives = self._client.leads and not all(info.number in self._begins for info in infos)
        flats = [np.ascontiguousarray(value).reshape(-1) for _, value in pairs] if gives else None
        about = _keys_text([key for key, _ in pairs]) + ("" if gives else ", given by the first worker")
        self._ask_all(
            [(server, message) for server, message in init_messages(infos, flats, self._client.next_seq)],
            what=lambda: about,
        )
        self._infos.update((info.key, info) for info in infos)
        self._client.num_keys = len(self._infos) + len(self._tables.infos)

    def _push(self, pairs: Pairs, priority: int) -> None:
        self._check()
        pairs = self._without_tables(
            pairs, lambda key, arrays: self._tables.push_dense(key, arrays, priority)
        )
        if not pairs:
            return
        layout = self._layout(pairs)
        self._wait_for_room(layout)
        buffers: list[Array] = []
        flats = self._flats(layout, pairs, buffers, self._copied)
        nbytes = self._checked_nbytes(layout, flats)

        def done(call: Call) -> None:
            if call.error is None:
                self._buffers.give_back(buffers)
            self._acknowledged(layout.infos, call.error, nbytes)

        call = Call(len(layout.pieces), self._settings.request_timeout_s, done)
        with self._lock:
            requests = self._new_rates(layout.infos)
            for piece in layout.pieces:
                requests.append(self._push_request(layout, piece, flats, call, priority))
            self._count(layout, nbytes)
            if any(request.draft.large for request in requests if request.draft is not None):
                self._submit(requests)  # while the training goes on
            elif self._begin(requests):
                self._io.send()

    def _without_tables(self, pairs: Pairs, do: Callable[[Key, list[Array]], None]) -> Pairs:
        """Do this with the tables among the pairs; returns the others."""
        if not self._tables.infos:
            return pairs
        for key, arrays in pairs:
            if key in self._tables.infos:
                do(key, arrays)
        return [pair for pair in pairs if pair[0] not in self._tables.infos]

    def _pull(self, pairs: Pairs, priority: int) -> None:
        self._check()
        pairs = self._without_tables(pairs, lambda key, outs: self._tables.pull_dense(key, outs, priority))
        if not pairs:
            return
        layout = self._layout(pairs)
        targets = self._targets(layout, pairs)
        wait = _Wait()
        call = Call(len(layout.pieces), self._settings.request_timeout_s, wait.wake)
        with self._lock:
            requests = []
            for piece in layout.pieces:
                clocks = self._seen(layout.clocks(piece))
                message = m.Pull(self._client.next_seq(), piece.numbers, piece.offsets, clocks)
                requests.append(
                    Request(
                        piece.server,
                        message,
                        call,
                        priority,
                        _about(layout, piece),
                        targets.deliver(piece),
                        draft(message),
                    )
                )
            has_turn = self._begin(requests)
        self._wait(call, wait, has_turn)
        targets.finish()

    def _pushpull(self, pushed: Pairs, pulled: Pairs, priority: int) -> None:
        if [key for key, _ in pushed] != [key for key, _ in pulled]:
            super()._pushpull(pushed, pulled, priority)
            return
        self._check()
        layout = self._layout(pushed)
        self._wait_for_room(layout)
        buffers: list[Array] = []
        flats = self._flats(layout, pushed, buffers, self._summed)
        nbytes = self._checked_nbytes(layout, flats)
        targets = self._targets(layout, pulled)
        wait = _Wait()

        def done(call: Call) -> None:
            if call.error is None:
                self._buffers.give_back(buffers)
            self._acknowledged(layout.infos, call.error, nbytes)
            wait.wake(call)

        call = Call(len(layout.pieces), self._settings.request_timeout_s, done)
        with self._lock:
            requests = self._new_rates(layout.infos)
            for piece in layout.pieces:
                requests.append(self._push_request(layout, piece, flats, call, priority, targets))
            self._count(layout, nbytes)
            has_turn = self._begin(requests)
        self._wait(call, wait, has_turn)
        targets.finish()

    def _push_request(
        self,
        layout: Layout,
        piece: Piece,
        flats: list[Array],
        call: Call,
        priority: int,
        targets: Targets | None = None,
    ) -> Request:
        view = self._client.view
        assert view is not None
        clocks = layout.clocks(piece)
        slices = slices_of(piece, flats)
        values: m.Tensors = slices
        if self._code is not None:
            values = self._compressed(layout, piece, slices, self._code)
        elif piece.is_small:
            values = Packed(np.concatenate(slices), piece.lengths)
        seq = self._client.next_seq()
        message: m.Push | m.PushPull
        if targets is None:
            message = m.Push(
                seq,
                view.epoch,
                self._client.ack,
                piece.numbers,
                piece.offsets,
                clocks,
                self.portions,
                values,
            )
        else:
            seen = self._seen([clock + 1 for clock in clocks])
            message = m.PushPull(
                seq,
                view.epoch,
                self._client.ack,
                piece.numbers,
                piece.offsets,
                clocks,
                seen,
                self.portions,
                values,
            )
        deliver = targets.deliver(piece) if targets is not None else None
        # encoded here: small values are copied by it, before the caller may change them
        return Request(piece.server, message, call, priority, _about(layout, piece), deliver, draft(message))

    def _targets(self, layout: Layout, pairs: Pairs) -> Targets:
        known, targets = self._last_targets
        if known is pairs:
            return targets
        targets = Targets(layout.infos, [outs for _, outs in pairs])
        if len(pairs) >= _LONG:
            self._last_targets = pairs, targets
        return targets

    def _flats(
        self,
        layout: Layout,
        pairs: Pairs,
        buffers: list[Array],
        flat: Callable[[KeyInfo, list[Array], list[Array]], Array],
    ) -> list[Array]:
        """What is pushed of each key, flat; in `buffers` are those that are copies."""
        known, flats = self._last_flats
        if known is pairs:
            return flats
        flats = [flat(info, arrays, buffers) for info, (_, arrays) in zip(layout.infos, pairs, strict=True)]
        if len(pairs) >= _LONG and not buffers and max(a.nbytes for a in flats) <= PACKED:
            self._last_flats = pairs, flats
        return flats

    def _compressed(self, layout: Layout, piece: Piece, slices: list[Array], code: Code) -> list[Array]:
        """The slices of a piece, the large ones of float32 in fewer bytes."""
        values = []
        for i, low, high, part in zip(piece.items, piece.offsets, piece.ends, slices, strict=True):
            info = layout.infos[i]
            if info.dtype == np.float32 and part.nbytes > PACKED and info.key not in self._averaged:
                residual = self._residuals.get(info.key)
                if residual is None:
                    size = math.prod(info.shape)
                    residual = self._residuals[info.key] = np.zeros(size, np.float32)
                part = pack(code, with_feedback(code, part, residual[low:high]))
            values.append(part)
        return values

    def _layout(self, pairs: Pairs) -> Layout:
        infos = self._infos
        return self._layouts.layout(
            tuple([key for key, _ in pairs]), lambda: [infos[key] for key, _ in pairs]
        )

    def _seen(self, clocks: list[int]) -> list[int]:
        """The clocks that a value must have for this worker, which has pushed `clocks`."""
        if self._staleness == 0:
            return clocks
        if self._staleness < 0:
            return [0] * len(clocks)
        return [max(0, clock - self._staleness) for clock in clocks]

    def _checked_nbytes(self, layout: Layout, flats: list[Array]) -> int:
        """The bytes of gradients. Raises BadValue for what cannot be compressed, before anything is: what is left of
        one gradient must not move when the next one is refused."""
        if self._code is not None:
            for info, flat in zip(layout.infos, flats, strict=True):
                if info.dtype == np.float32 and not np.isfinite(flat).all():
                    raise BadValue(
                        f"push {info.key!r}: NaN or infinity cannot be compressed ({self._code.name}); what the code "
                        "loses is added to the next gradient, so that it would stay for ever"
                    )
        return sum(flat.nbytes for flat in flats)

    def _count(self, layout: Layout, nbytes: int) -> None:
        """A round of these keys is on its way."""
        for info in layout.infos:
            info.clock += 1
        client = self._client
        client.step = max(client.step, max((info.clock for info in layout.infos), default=0))
        client.nbytes += nbytes
        with self._acks:
            self._in_flight += 1
            self._unacked_nbytes += nbytes

    def _summed(self, info: KeyInfo, arrays: list[Array], buffers: list[Array]) -> Array:
        """The devices' sum as a flat array: the caller's own where there is but one, else in a buffer."""
        first = arrays[0]
        if len(arrays) == 1 and first.dtype == info.dtype and first.flags.c_contiguous:
            return first if first.ndim == 1 else first.reshape(-1)
        buffer = self._buffers.take(info)
        add_into(buffer.reshape(info.shape), arrays)
        buffers.append(buffer)
        return buffer

    def _copied(self, info: KeyInfo, arrays: list[Array], buffers: list[Array]) -> Array:
        """Likewise, but never the caller's own, unless it is so small that encoding copies it."""
        first = arrays[0]
        if (
            first.nbytes <= PACKED
            or len(arrays) > 1
            or first.dtype != info.dtype
            or (self._code is not None and info.dtype == np.float32)  # compressing is copying
        ):
            return self._summed(info, arrays, buffers)
        buffer = self._buffers.take(info)
        np.copyto(buffer.reshape(info.shape), first)
        buffers.append(buffer)
        return buffer

    def set_gradient_compression(self, compression_params: Mapping[str, Any]) -> None:
        """Push gradients of float32 and more than 8 KB in fewer bytes: {'type': '2bit', 'threshold': 0.5}, or 1bit,
        int8, fp16, bf16, topk with 'k'; "none" ends it. What that loses is added to the next gradient. Every
        worker may choose for itself. Raises ConfigError."""
        self._code = code_of(compression_params)

    # --- acknowledgements -------------------------------------------------------------------------

    def _wait_for_room(self, layout: Layout) -> None:
        """Until no key has too many rounds on their way, nor all of them too many bytes. One round of each key may
        always go: workers push in different orders, and would wait for each other."""
        ahead = _ROUNDS_AHEAD + max(self._staleness, 0)
        window = self._settings.window_nbytes

        def has_room() -> bool:
            rounds = max([info.clock - info.acknowledged for info in layout.infos], default=0)
            return not rounds or (rounds < ahead and self._unacked_nbytes < window)

        if has_room():
            return
        limit_s = self._settings.request_timeout_s + _BACKSTOP_S
        self._io.wake()
        with self._acks:
            if not self._acks.wait_for(lambda: self._error is not None or has_room(), limit_s):
                raise RequestTimeout(
                    f"push {_keys_text(layout.keys)}: {ahead} rounds, or {window} bytes (PSDIST_WINDOW_BYTES), are not "
                    f"acknowledged after {limit_s:g} s"
                )
        self._check()

    def _acknowledged(self, infos: Iterable[KeyInfo], error: PSError | None, nbytes: int = 0) -> None:
        with self._acks:
            self._in_flight -= 1
            self._unacked_nbytes -= nbytes
            if error is not None:
                self._error = self._error or error
            else:
                for info in infos:
                    info.acknowledged += 1
            self._acks.notify_all()

    def _check(self) -> None:
        if self._is_closed:
            raise ClosedError("this store is closed")
        if self._error is not None:
            raise _again(self._error)

    # --- how values change ------------------------------------------------------------------------

    def set_optimizer(self, optimizer: Any) -> None:
        """From now on the servers update by `optimizer`. Every worker calls this; rank 0's counts.

        One that looks at whole arrays (LAMB, LARS, LBSGD) has each key initialised from now on placed whole, on
        one server: set it before `init`.

        Its learning rate may be changed later, by hand or by its scheduler: rank 0 tells the servers before
        the round that it is for. Raises ConfigError for an optimizer that servers cannot run.
        """
        name, numbers = optimizer.to_wire()
        needs_whole = not opt.from_wire(name, numbers).elementwise
        if needs_whole:
            for info in self._infos.values():
                if spread := len({part.server for part in info.slices}) - 1:
                    raise ConfigError(
                        f"{name} needs whole arrays, and {info.key!r} is spread over {spread + 1} servers since "
                        "it was initialised: call set_optimizer before init, or update on the workers "
                        "(update_on_kvstore=False)"
                    )
        self._tables.check_optimizer(needs_whole)
        self._check()
        self._optimizer, self._needs_whole = optimizer, needs_whole
        # another may have to lead later
        if self._client.leads or self._client.is_late or self._settings.elastic is not None:
            with self._lock:
                message = self._rates.set_optimizer(
                    optimizer,
                    self._infos | self._tables.infos,
                    self._client.next_seq,
                    goes_on=bool(self._begins),
                )
        if self._client.is_late:  # the servers have it; the others will not come to a barrier here
            return
        if self._client.leads:
            self._ask_servers(lambda: message(), "set_optimizer")
        self.barrier()

    def set_updater(self, updater: Any) -> None:
        raise ConfigError(
            "set_updater: the servers of a distributed store run no code of a script; use set_optimizer, or "
            "pull the summed gradients and update on the workers"
        )

    def set_staleness(self, staleness: int) -> None:
        """How many rounds the fastest worker may lead: 0 synchronous, n bounded, -1 without a bound."""
        if staleness < -1:
            raise ConfigError(f"set_staleness: {staleness}; wanted 0, a bound above it, or -1 for none")
        self._check()
        if self._client.leads:
            self._ask_servers(lambda: m.SetStaleness(self._client.next_seq(), staleness), "set_staleness")
        self._staleness = staleness

    def _new_rates(self, infos: Sequence[KeyInfo]) -> list[Request]:
        """What the servers must know before the next round of these keys."""
        hyper = self._rates.for_round(max([info.clock for info in infos], default=0))
        if hyper is None or not self._client.leads:
            return []
        from_round, lr, wd = hyper

        def done(call: Call) -> None:
            self._acknowledged((), call.error)

        with self._acks:
            self._in_flight += 1
        call = Call(self._client.num_shards, self._settings.request_timeout_s, done)
        next_seq = self._client.next_seq
        return [
            Request(server, m.SetHyper(next_seq(), from_round, lr, wd), call, 1 << 60)
            for server in range(self._client.num_shards)
        ]

    def save_optimizer_states(self, fname: Any, dump_optimizer: bool = False) -> None:
        """Gather the optimizer's state of every key from the servers, into a file that any store loads.

        In the file, states are arrays of the key's shape. Raises ConfigError for tables that are too large for that.
        """
        optimizer = self._need_optimizer()
        self._tables.check_size("save_optimizer_states")
        self._drain()
        layout = Layout(list(self._infos.values()))
        messages = [
            (piece.server, m.GetState(self._client.next_seq(), piece.numbers, piece.offsets))
            for piece in layout.pieces
        ]
        replies: dict[int, m.States] = {}

        def take(i: int, reply: Reply) -> None:
            assert isinstance(reply, m.States), reply
            replies[i] = reply

        self._ask_all(messages, what=lambda: "every key", deliver=take)
        updater = states.gather(layout, replies, optimizer)
        self._tables.gather_states(updater)
        Path(fname).write_bytes(updater.get_states(dump_optimizer))

    def load_optimizer_states(self, fname: Any) -> None:
        """Give the servers the states in a file. Every worker calls this; rank 0's file counts."""
        optimizer = self._need_optimizer()
        self._drain()
        if self._client.leads:
            updater = opt.Updater(optimizer)
            updater.set_states(Path(fname).read_bytes())
            by_key = states.spread(updater, self._infos | self._tables.infos)
            layout = Layout(list(self._infos.values()))
            next_seq = self._client.next_seq
            self._ask_all(
                [
                    (piece.server, states.set_state_message(next_seq(), layout, piece, by_key))
                    for piece in layout.pieces
                ],
                what=lambda: "every key",
            )
            self._tables.spread_states(by_key)
            self._rates.resume()
        self.barrier()

    def _need_optimizer(self) -> Any:
        self._check()
        if self._optimizer is None:
            raise ConfigError("this store has no optimizer, so no states: call set_optimizer first")
        return self._optimizer

    def _drain(self) -> None:
        """Wait until what was pushed is applied. Raises the error of a push."""
        limit_s = self._settings.request_timeout_s + _BACKSTOP_S
        self._io.wake()
        with self._acks:
            self._acks.wait_for(lambda: self._error is not None or not self._in_flight, limit_s)
        self._check()

    # --- together ---------------------------------------------------------------------------------

    def barrier(self) -> None:
        """Return when every worker has come here as often as this one."""
        self._check()
        with self._lock:
            message = m.Barrier(self._client.next_seq(), "", self._barriers)
            self._barriers += 1
        self._ask_all(
            [(SCHEDULER, message)], what=lambda: f"number {message.clock}, to which every worker must come"
        )

    def close(self) -> None:
        """Wait until what was pushed is applied, say goodbye, and end the thread. May be called twice."""
        self._close(None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(error)

    def _close(self, error: BaseException | None) -> None:
        if self._is_closed:
            return
        atexit.unregister(self._at_exit)
        settings = self._settings
        linger_s = 0.0 if self._client.failure is not None else min(1.0, settings.close_timeout_s)
        try:
            if error is not None and not isinstance(error, SystemExit):
                self._abort(error)
                return
            self._drain()
            wait = _Wait()
            call = Call(1, settings.close_timeout_s, wait.wake)
            self._io.do(lambda now: self._client.leave(call, now))
            wait.until(call)
        except PSError as e:
            self._abort(e)
            raise
        finally:
            self._is_closed = True
            self._io.close(linger_s=linger_s)

    def _abort(self, error: BaseException) -> None:
        """Tell the others that this worker has failed, unless they know it or failed first."""
        reason = f"{type(error).__name__}: {error}"
        self._io.do(lambda now: self._client.abort(reason))

    def _at_exit(self) -> None:
        """The script has ended without close(); how, decides what the others hear."""
        if os.getpid() != self._pid:
            return  # a forked child
        error = None if hasattr(sys, "ps1") else getattr(sys, "last_value", None)
        try:
            self._close(error)
        except PSError as e:
            sys.stderr.write(f"psdist: worker {self.rank} could not leave: {type(e).__name__}: {e}\n")

    # --- asking -----------------------------------------------------------------------------------

    def _submit(self, requests: list[Request]) -> None:
        """Have the socket thread send these."""
        self._io.do(self._sending(requests))

    def _begin(self, requests: list[Request]) -> bool:
        """Send these; True: by this thread, which must go on by `_wait` or `IO.send`."""
        return self._io.begin(self._sending(requests))

    def _sending(self, requests: list[Request]) -> Callable[[float], None]:
        submit = self._client.submit

        def work(now: float) -> None:
            for request in requests:
                submit(request, now)

        return work

    def _wait(self, call: Call, wait: _Wait, has_turn: bool) -> None:
        """Return when the call is done. Raises its error."""
        if has_turn:
            self._io.wait(call)
        wait.until(call)

    def _ask_all(
        self,
        messages: Sequence[tuple[int, Any]],
        *,
        what: Callable[[], str],
        deliver: Callable[[int, Reply], None] | None = None,
        priority: int = 0,
    ) -> None:
        """Send messages to peers and wait for all replies; the i-th goes to `deliver(i, reply)`."""
        self._check()
        if not messages:
            return
        wait = _Wait()
        call = Call(len(messages), self._settings.request_timeout_s, wait.wake)

        def taker(i: int) -> Callable[[Reply], None] | None:
            return (lambda reply: deliver(i, reply)) if deliver is not None else None

        requests = [
            Request(peer, message, call, priority, what, taker(i))
            for i, (peer, message) in enumerate(messages)
        ]
        self._wait(call, wait, self._begin(requests))

    def _ask_servers(self, message: Callable[[], Any], what: str) -> None:
        servers = range(self._client.num_shards)
        self._ask_all([(server, message()) for server in servers], what=lambda: what)


def _is_row_sparse(value: Any) -> bool:
    return is_sparse(value) and value.stype == "row_sparse"


class _Wait:
    """One thread's wait for one call."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()  # held until the call is done
        self._lock.acquire()

    def wake(self, call: Call) -> None:
        self._lock.release()

    def until(self, call: Call) -> None:
        """Return when the call is done. Raises its error."""
        limit_s = call.timeout_s + _BACKSTOP_S
        if not self._lock.acquire(timeout=limit_s):
            raise RequestTimeout(
                f"the socket thread did not answer within {limit_s:g} s; is this process starved of time?"
            )
        if call.error is not None:
            raise _again(call.error)


def _again(error: PSError) -> PSError:
    """The same error, to be raised in one more place: a traceback belongs to one raise."""
    copy = type(error)(*error.args)
    copy.__cause__ = error.__cause__
    return copy


def _about(layout: Layout, piece: Piece) -> Callable[[], str]:
    clock = layout.infos[piece.items[0]].clock
    return lambda: layout.describe(piece, clock)


def _keys_text(keys: Sequence[Key]) -> str:
    return f"{keys[0]!r}" + (f" and {len(keys) - 1} more" if len(keys) > 1 else "")

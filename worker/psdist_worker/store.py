"""The store over a cluster: what `kvstore.create("dist_...")` gives.

`push` returns as soon as its messages are made; the training goes on while they travel. So the gradient is
copied first (or summed over the devices, which is a copy, too): a message that was not acknowledged may have
to be sent again, exactly as it was, long after the training has overwritten the gradient. The copies live in
a pool and are given back with the acknowledgement. `pushpull` does not return before the reply is there; it
sends from the caller's own array, without a copy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from psdist.errors import BadValue, ConfigError
from psdist.kvstore.base import Key, Pairs, Spec, each, is_sparse
from psdist.kvstore.compress import Code, codes_of, pack, with_feedback
from psdist.kvstore.reduce import add_into
from psdist.settings import Settings
from psdist.table import Evict, First, Rows
from psdist.wire import messages as m
from psdist.wire.codec import DTYPES, PACKED, draft

from .client import Call, Request
from .member import Wait, keys_text
from .memory import Buffers, Sources, Targets
from .plan import LONG, Array, KeyInfo, Layout, Layouts, Piece, Rounds, init_messages, key_info, slices_of
from .steering import SteeringStore
from .tables import Tables

__all__ = ["DistKVStore", "create"]

_SSP_STALENESS = 4  # dist_ssp's, until set_staleness
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


class DistKVStore(SteeringStore):
    """One worker's view of the arrays that the servers hold."""

    def __init__(self, kind: str, settings: Settings, staleness: int) -> None:
        super().__init__(kind, settings, staleness)
        self._tables = Tables(self)
        self._layouts = Layouts()
        self._rounds = Rounds()  # of the keys that are initialised next
        self._buffers = Buffers(self._sharing.empty)
        # of the last long list, which training repeats
        self._last_layout: tuple[Pairs | None, Layout] = None, Layout(())
        self._last_fused: tuple[Pairs | None, Pairs | None] = None, None  # what was pushed and pulled at once
        self._last_targets: tuple[Pairs | None, Targets] = None, Targets((), ())
        self._last_sources: tuple[Pairs | None, Sources] = (
            None,
            Sources(()),
        )  # likewise, where no copies are needed
        self._code: Code | None = None  # how gradients are compressed
        self._residuals: dict[Key, Array] = {}  # what compression has left over

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
            if self._rounds.is_full:
                self._rounds = Rounds()
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
                    rounds=self._rounds,
                )
            )
        for info in infos:
            info.begin(self._begins.get(info.number, 0))
        # a late worker's first values are those that the others have come to
        gives = self._client.leads and not all(info.number in self._begins for info in infos)
        flats = [np.ascontiguousarray(value).reshape(-1) for _, value in pairs] if gives else None
        about = keys_text([key for key, _ in pairs]) + ("" if gives else ", given by the first worker")
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
        sources = self._sources(layout, pairs, buffers, self._copied)
        self._check_values(layout, sources)
        nbytes = layout.nbytes

        def done(call: Call) -> None:
            if call.error is None:
                self._buffers.give_back(buffers)
            self._acknowledged(layout, call.error, nbytes)

        call = Call(len(layout.pieces), self._settings.request_timeout_s, done)
        with self._lock:
            requests = self._new_rates(layout)
            for piece in layout.pieces:
                requests.append(self._push_request(layout, piece, sources, call, priority))
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
        wait = Wait()
        call = Call(len(layout.pieces), self._settings.request_timeout_s, wait.wake)
        with self._lock:
            requests = []
            for piece in layout.pieces:
                clocks = layout.clocks(piece, self._behind())
                seq, deliver = self._client.next_seq(), targets.deliver(piece)
                message: m.Pull | m.PullChange
                if self._views.concern(layout, piece):
                    life = self._client.life(piece.server)
                    bases = self._views.bases(piece, life)
                    message = m.PullChange(seq, piece.numbers, piece.offsets, clocks, bases)
                    deliver = self._views.deliver(layout, piece, life, self._optimizer is not None, deliver)
                else:
                    message = m.Pull(seq, piece.numbers, piece.offsets, clocks)
                requests.append(
                    Request(
                        piece.server,
                        message,
                        call,
                        priority,
                        _about(layout, piece),
                        deliver,
                        draft(message),
                    )
                )
            has_turn = self._begin(requests)
        self._wait(call, wait, has_turn)
        targets.finish()

    def _pushpull(self, pushed: Pairs, pulled: Pairs, priority: int) -> None:
        if self._views.code is not None or not self._have_same_keys(pushed, pulled):
            super()._pushpull(pushed, pulled, priority)
            return
        self._check()
        layout = self._layout(pushed)
        self._wait_for_room(layout)
        buffers: list[Array] = []
        sources = self._sources(layout, pushed, buffers, self._summed)
        self._check_values(layout, sources)
        nbytes = layout.nbytes
        targets = self._targets(layout, pulled)
        wait = Wait()

        def done(call: Call) -> None:
            if call.error is None:
                self._buffers.give_back(buffers)
            self._acknowledged(layout, call.error, nbytes)
            wait.wake(call)

        call = Call(len(layout.pieces), self._settings.request_timeout_s, done)
        with self._lock:
            requests = self._new_rates(layout)
            for piece in layout.pieces:
                requests.append(self._push_request(layout, piece, sources, call, priority, targets))
            self._count(layout, nbytes)
            has_turn = self._begin(requests)
        self._wait(call, wait, has_turn)
        targets.finish()

    def _push_request(
        self,
        layout: Layout,
        piece: Piece,
        sources: Sources,
        call: Call,
        priority: int,
        targets: Targets | None = None,
    ) -> Request:
        view = self._client.view
        assert view is not None
        clocks = layout.clocks(piece)
        values: m.Tensors
        if self._code is not None:
            values = self._compressed(layout, piece, slices_of(piece, sources.flats), self._code)
        else:
            values = sources.values(piece)
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
            seen = layout.clocks(piece, self._behind(1))
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
        is_long = len(pairs) >= LONG
        targets = Targets(layout.infos, [outs for _, outs in pairs], is_lasting=is_long)
        if is_long:
            self._last_targets = pairs, targets
        return targets

    def _sources(
        self,
        layout: Layout,
        pairs: Pairs,
        buffers: list[Array],
        flat: Callable[[KeyInfo, list[Array], list[Array]], Array],
    ) -> Sources:
        """What is pushed of each key; in `buffers` are those arrays that are copies."""
        known, sources = self._last_sources
        if known is pairs:
            return sources
        flats = [flat(info, arrays, buffers) for info, (_, arrays) in zip(layout.infos, pairs, strict=True)]
        if len(pairs) >= LONG and not buffers and max(a.nbytes for a in flats) <= PACKED:
            sources = Sources(flats, is_lasting=True)
            self._last_sources = pairs, sources
            return sources
        return Sources(flats)

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

    def _have_same_keys(self, pushed: Pairs, pulled: Pairs) -> bool:
        """Whether these are the same keys in the same order."""
        known = self._last_fused
        if known[0] is pushed and known[1] is pulled:
            return True
        if [key for key, _ in pushed] != [key for key, _ in pulled]:
            return False
        if len(pushed) >= LONG:
            self._last_fused = pushed, pulled
        return True

    def _layout(self, pairs: Pairs) -> Layout:
        known, layout = self._last_layout
        if known is pairs:
            return layout
        infos = self._infos
        layout = self._layouts.layout(
            tuple([key for key, _ in pairs]), lambda: [infos[key] for key, _ in pairs]
        )
        if len(pairs) >= LONG:
            self._last_layout = pairs, layout
        return layout

    def _behind(self, pushed: int = 0) -> int:
        """How far behind this worker's clock, which grows by `pushed` first, a value that it reads may be."""
        return self._staleness - pushed if self._staleness >= 0 else 1 << 62

    def _check_values(self, layout: Layout, sources: Sources) -> None:
        """Raise BadValue for gradients that cannot be compressed, before anything is: what is left of one must not
        move when the next one is refused."""
        if self._code is not None:
            for info, flat in zip(layout.infos, sources.flats, strict=True):
                if info.dtype == np.float32 and not np.isfinite(flat).all():
                    raise BadValue(
                        f"push {info.key!r}: NaN or infinity cannot be compressed ({self._code.name}); what the code "
                        "loses is added to the next gradient, so that it would stay for ever"
                    )

    def _count(self, layout: Layout, nbytes: int) -> None:
        """A round of these keys is on its way."""
        layout.count()
        client = self._client
        client.step = max(client.step, layout.newest)
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
        int8, fp16, bf16, topk with 'k', 4level; "none" ends it. What that loses is added to the next gradient. Every
        worker may choose for itself.

        With 'pull' values come back in fewer bytes, too: {..., 'pull': '4level'}, or another of these, its number as
        'pull_k' or 'pull_threshold'. All workers read the same bits; what is lost on the way to them comes in the next
        rounds. Without it, as in MXNet, values are pulled as they are. Where pulls are or have been compressed, every
        worker calls this with the same parameters between rounds. Needs staleness 0. Raises ConfigError, BadValue."""
        code, pull = codes_of(compression_params)
        if pull is not None and self._staleness:
            raise ConfigError(
                f"set_gradient_compression: 'pull' {pull.name!r} with staleness {self._staleness}: what workers hold would "
                "depend on who was quicker; compressed pulls need staleness 0 (dist_sync)"
            )
        if pull is not None or self._views.code is not None:
            self._set_pull_code(pull)
            self._views.begin(pull)
        self._code = code


def _is_row_sparse(value: Any) -> bool:
    return is_sparse(value) and value.stype == "row_sparse"


def _about(layout: Layout, piece: Piece) -> Callable[[], str]:
    clock = layout.infos[piece.items[0]].clock
    return lambda: layout.describe(piece, clock)

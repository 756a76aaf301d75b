"""A worker's table: what the store's tables.py does, for a script that is a generator."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

import numpy as np
from psdist_server.parts import part_place
from psdist_worker.client import Call, Reply, Request
from psdist_worker.plan import KeyInfo

from psdist.kvstore.partition import Slice
from psdist.table import Rows, chunks, split
from psdist.wire import key_name, key_number
from psdist.wire import messages as m

from .scenario import KeySpec

if TYPE_CHECKING:
    from .program import Script, Wait

__all__ = ["Table"]

_ROUNDS_AHEAD = 4  # as in store.py


class Table:
    """Rows that are pushed in every step: those of the step's gradient that are not zero."""

    def __init__(self, script: Script, spec: KeySpec, begins: dict[int, int]) -> None:
        self._script = script
        self._spec = spec
        name = key_name(spec.key)
        number = key_number(name)
        self._width = spec.length // spec.num_rows
        self._parts = split(np.arange(spec.num_rows), script.client.num_shards)
        slices = tuple(
            Slice(part, part_place(number, part)[1], len(rows) * self._width)
            for part, rows in enumerate(self._parts)
        )
        shape = spec.num_rows, self._width
        self.info = KeyInfo(spec.key, name, number, shape, spec.dtype, slices)
        self.info.begin(begins.get(number, 0))
        self._gives = script.client.leads and number not in begins

    def declare(self) -> Call:
        client, info = self._script.client, self.info
        first = self._script.scenario.initial[info.key].reshape(info.shape)
        num = len(self._parts)
        return self._script.ask(
            [
                (
                    part,
                    m.InitRows(
                        client.next_seq(),
                        info.name,
                        info.dtype.name,
                        info.shape,
                        part,
                        num,
                        "constant",
                        {"value": 0.0},
                        "",
                        0,
                        self._gives,
                        True,
                        chunks(Rows(rows, first[rows])) if self._gives else [],
                    ),
                )
                for part, rows in enumerate(self._parts)
            ]
        )

    def push(self) -> Generator[Wait, None, None]:
        script, info = self._script, self.info
        ahead = _ROUNDS_AHEAD + max(script.staleness, 0)
        yield lambda: info.clock - info.acknowledged < ahead
        clock = info.clock
        grad = script.scenario.data[info.key][script.worker.column, clock].reshape(info.shape)

        def done(call: Call) -> None:
            script.finish(call)
            if call.error is None:
                info.acknowledge()
                script.oracle.acknowledged(script.worker, info, clock)

        client = script.client
        assert client.view is not None
        call = script.call(len(self._parts), done)
        requests = []
        for part, rows in enumerate(self._parts):
            some = rows[grad[rows].any(axis=1)]
            values = chunks(Rows(some, grad[some]))
            push = m.PushRows(
                client.next_seq(), client.view.epoch, client.ack, info.number, part, clock, values
            )
            requests.append(Request(part, push, call))
        script.oracle.pushed(script.worker, info, clock)
        info.count()
        script.begin(requests)

    def pull(self) -> Call:
        script, info = self._script, self.info
        (seen,) = script.seen([info.clock])
        call = script.call(len(self._parts))
        script.worker.submit(
            [
                Request(
                    part,
                    m.PullRows(script.client.next_seq(), info.number, part, seen, [rows]),
                    call,
                    deliver=self._reader(part, seen),
                )
                for part, rows in enumerate(self._parts)
            ]
        )
        return call

    def _reader(self, part: int, min_clock: int) -> Callable[[Reply], None]:
        place = part_place(self.info.number, part)
        (promised,) = self._script.oracle.promised([place])

        def deliver(reply: Reply) -> None:
            assert isinstance(reply, m.RowValues), reply
            (value,) = reply.values
            self._script.oracle.read(self._script.worker, place, min_clock, reply.clock, value, promised)

        return deliver

"""A store that tells the servers how values change: optimizer, its rates and states, staleness."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from psdist import optimizer as opt
from psdist.errors import ConfigError
from psdist.kvstore.compress import Code, numbers_of
from psdist.settings import Settings
from psdist.wire import messages as m

from . import states
from .client import Call, Reply, Request
from .member import MemberStore
from .plan import Layout
from .rates import Rates
from .tables import Tables
from .views import Views

__all__ = ["SteeringStore"]


class SteeringStore(MemberStore):
    """One worker's hand on the servers' updates."""

    _tables: Tables

    def __init__(self, kind: str, settings: Settings, staleness: int) -> None:
        self._optimizer: Any = None  # the one given to set_optimizer
        self._needs_whole = False  # whether it looks at whole arrays, so that their slices stay together
        self._rates = Rates()
        self._views = Views()
        super().__init__(kind, settings, staleness)

    def _join(self) -> None:
        super()._join()
        if not self._client.is_late and self._staleness and self._client.leads:
            self.set_staleness(self._staleness)

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
        self._views.forget()
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
        if staleness and self._views.code is not None:
            raise ConfigError(
                f"set_staleness: {staleness} while pulls are compressed, which needs 0: give set_gradient_compression "
                "no 'pull' first"
            )
        self._check()
        if self._client.leads:
            self._ask_servers(lambda: m.SetStaleness(self._client.next_seq(), staleness), "set_staleness")
        self._staleness = staleness

    def _set_pull_code(self, code: Code | None) -> None:
        """Tell the servers how pulls are compressed."""
        self._drain()
        if self._client.is_late:  # they know
            return
        if self._client.leads:
            name, numbers = (code.name, numbers_of(code)) if code is not None else ("", {})
            self._ask_servers(
                lambda: m.SetPullCode(self._client.next_seq(), name, numbers), "set_gradient_compression"
            )
        self.barrier()

    def _new_rates(self, layout: Layout) -> list[Request]:
        """What the servers must know before the next round of these keys."""
        hyper = self._rates.for_round(layout.newest)
        if hyper is None or not self._client.leads:
            return []
        from_round, lr, wd = hyper

        def done(call: Call) -> None:
            self._acknowledged(None, call.error)

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

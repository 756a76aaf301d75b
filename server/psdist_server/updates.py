"""What a round's sum does to a value: the optimizer on the server, its rates, and its states.

Without an optimizer the sum becomes the value. With one, the sum is a gradient; the rule came as a name and
numbers and is looked up in psdist.optimizer's table. A rate holds from a round on, not from a moment on: a
worker may be rounds ahead of another, and every run must use the same rate for the same round.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from psdist.errors import ConfigError
from psdist.table import Rows
from psdist.wire.messages import (
    ErrorCode,
    GetState,
    SetHyper,
    SetOptimizer,
    SetPullCode,
    SetState,
    States,
    Tensor,
)

from . import views
from .parts import TablePart
from .rounds import Key, Slice

if TYPE_CHECKING:
    from psdist.kvstore.compress import Code
    from psdist.optimizer import Rule

__all__ = ["Refused", "Updates"]

_MAX_HYPERS: Final = 1024  # learning rates ahead of the slowest key


class Refused(Exception):
    """The request is understood and refused."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code: ErrorCode = code
        self.text = text


class Updates:
    """The optimizer of all keys of a server."""

    def __init__(self) -> None:
        self.rule: Rule | None = None
        self.nbytes = 0  # of the states, and of what is kept for compressed pulls
        self.pull: Code | None = None  # how pulls are compressed
        self.lazy = False  # of a table, update only the rows that were pushed
        self.hypers: list[tuple[int, float, float]] = []  # (from round, lr, wd), ascending
        self.lr_mult: dict[str, float] = {}
        self.wd_mult: dict[str, float] = {}

    def count(self, pieces: Iterable[Slice]) -> None:
        """States were put in from outside."""
        self.nbytes = sum(_nbytes(piece.state) + _view_nbytes(piece) for piece in pieces)

    def fit(self, key: Key) -> None:
        """Give a key its multipliers."""
        key.lr_mult = self.lr_mult.get(key.name, 1.0)
        key.wd_mult = self.wd_mult.get(key.name, 1.0)
        rule = self.rule
        key.rule = None if rule is None or rule.elementwise or key.is_averaged else rule.for_key(key.name)

    def apply(self, piece: Slice, grad: Tensor, clock: int, num_pushes: int) -> None:
        """Apply the sum, or the one gradient, of round `clock` to the slice's value."""
        rule = self.rule
        if piece.key.is_averaged:
            piece.replace(np.divide(grad, num_pushes, dtype=grad.dtype))
            return
        if rule is None:
            if self.pull is not None and piece.view is not None:
                grad = views.of_sum(piece, grad, clock, self.pull)
            piece.replace(grad)
            return
        value = piece.writable()
        if piece.state is None:
            piece.state = rule.create_state(value)
            self.nbytes += _nbytes(piece.state)
        piece.num_updates += 1
        lr, wd = self._rates(piece.key, clock)
        rule.update(value, grad, piece.state, lr=lr, wd=wd, t=piece.num_updates)
        if self.pull is not None and piece.view is not None:
            views.follow(piece, clock, self.pull)

    def apply_rows(self, part: TablePart, rows: Rows, clock: int, gone: Tensor | None = None) -> Tensor:
        """Likewise to a part of a table, and evict `gone`, or what is due. Returns the rows that were evicted."""
        rule, table = self.rule, part.table
        if rule is None:
            table.replace(rows, clock)
        else:
            part.num_updates += 1
            lr, wd = self._rates(part.key, clock)
            table.update(rows, clock, rule, lr=lr, wd=wd, t=part.num_updates, lazy=self.lazy)
        gone = table.due() if gone is None else gone
        table.remove(gone)
        return gone

    def apply_whole(self, pieces: Sequence[Slice], grads: Sequence[Tensor], clock: int) -> None:
        """`apply` for all slices of a key at once, by a rule that looks at the whole array."""
        first = pieces[0]
        key, rule = first.key, first.key.rule
        assert rule is not None, key.label
        if first.state is None:
            whole = rule.create_state(np.zeros(key.shape, key.dtype))
            for piece in pieces:
                low, high = piece.offset, piece.offset + piece.value.size
                piece.state = tuple([array.reshape(-1)[low:high].copy() for array in whole])
                self.nbytes += _nbytes(piece.state)
        values = [piece.writable() for piece in pieces]
        columns = [values, *zip(*[piece.state or () for piece in pieces], strict=True)]
        arrays = [_joined(column).reshape(key.shape) for column in columns]
        for piece in pieces:
            piece.num_updates += 1
        lr, wd = self._rates(key, clock)
        grad = _joined(grads).reshape(key.shape)
        rule.update(arrays[0], grad, tuple(arrays[1:]), lr=lr, wd=wd, t=first.num_updates)
        if len(pieces) > 1:
            for array, column in zip(arrays, columns, strict=True):
                flat = array.reshape(-1)
                for piece, part in zip(pieces, column, strict=True):
                    np.copyto(part, flat[piece.offset : piece.offset + part.size])
        for piece in pieces:
            if self.pull is not None and piece.view is not None:
                views.follow(piece, clock, self.pull)

    def _rates(self, key: Key, clock: int) -> tuple[float, float]:
        """lr and wd of a key for a round."""
        i = bisect_right(self.hypers, clock, key=_from_round) - 1
        _, lr, wd = self.hypers[max(i, 0)]
        return lr * key.lr_mult, wd * key.wd_mult

    def set_optimizer(self, message: SetOptimizer, keys: Iterable[Key]) -> None:
        from psdist.optimizer import from_wire  # only now: with it comes much that a server can do without

        try:
            rule = from_wire(message.name, message.numbers)
        except ConfigError as e:
            raise Refused("bad-value", str(e)) from None
        _check_rate(message.lr, message.wd)
        if not rule.elementwise:
            keys = list(keys)
            for key in keys:
                if key.slices and (missing := key.missing()):
                    raise Refused("unsupported", f"{message.name} {missing}")
                if len({piece.clock for piece in key.slices.values()}) > 1:
                    raise Refused(
                        "unsupported",
                        f"{message.name} needs whole arrays, and a round of {key.label} is applied in some of its "
                        "slices only: pull before set_optimizer",
                    )
        _try_out(rule, message)
        is_another = rule != self.rule
        self.rule, self.lazy = rule, message.lazy
        self.hypers = [(0, message.lr, message.wd)]
        self.lr_mult, self.wd_mult = message.lr_mult, message.wd_mult
        for key in keys:
            self.fit(key)
            if is_another:
                for piece in key.slices.values():
                    self.nbytes -= _nbytes(piece.state)
                    piece.forget_state()
        if is_another:
            self._begin_views(piece for key in keys for piece in key.slices.values())

    def set_pull(self, message: SetPullCode, pieces: Iterable[Slice]) -> None:
        """From now on pulls are compressed by another code, or by none."""
        from psdist.kvstore.compress import code_of

        try:
            self.pull = code_of({"type": message.name or "none", **message.numbers})
        except ConfigError as e:
            raise Refused("bad-value", str(e)) from None
        self._begin_views(pieces)

    def _begin_views(self, pieces: Iterable[Slice]) -> None:
        for piece in pieces:
            self.nbytes -= _view_nbytes(piece)
            piece.view, piece.changes = None, []
            self.welcome(piece)

    def welcome(self, piece: Slice) -> None:
        """A slice is new here."""
        if self.pull is not None and views.is_compressed(piece.key):
            views.begin(piece, self.rule is not None)
            self.nbytes += _view_nbytes(piece)

    def set_hyper(self, message: SetHyper, pieces: Collection[Slice]) -> None:
        if self.rule is None:
            raise Refused("bad-value", "a learning rate without an optimizer; call set_optimizer first")
        _check_rate(message.lr, message.wd)
        new = (message.from_round, message.lr, message.wd)
        i = bisect_right(self.hypers, message.from_round, key=_from_round)
        if i and self.hypers[i - 1][0] == message.from_round:
            self.hypers[i - 1] = new
        else:
            self.hypers.insert(i, new)
        if len(self.hypers) > _MAX_HYPERS:
            # what no round to come can use; with a key that is never pushed, the oldest
            slowest = min((piece.clock for piece in pieces), default=0)
            first = bisect_right(self.hypers, slowest, key=_from_round) - 1
            self.hypers = self.hypers[max(first, len(self.hypers) - _MAX_HYPERS) :]

    def get_state(self, message: GetState, pieces: Sequence[Slice]) -> States:
        self._rule_or_refuse()
        states = [piece.state or () for piece in pieces]
        values = [array.copy() for state in states for array in state]  # states are updated in place
        counts = [len(state) for state in states]
        return States(message.seq, [piece.num_updates for piece in pieces], counts, values)

    def set_state(self, message: SetState, pieces: Sequence[Slice]) -> None:
        rule = self._rule_or_refuse()
        num = len(pieces)
        if len(message.num_updates) != num or sum(message.counts) != len(message.values):
            raise Refused("bad-value", f"SetState of {num} slices has columns of other lengths")
        arrays = iter(message.values)
        states: list[tuple[Tensor, ...] | None] = []
        for piece, count in zip(pieces, message.counts, strict=True):
            state = tuple(np.array(next(arrays)) for _ in range(count))
            wanted = rule.create_state(piece.value)
            if count and [(a.size, a.dtype) for a in state] != [(a.size, a.dtype) for a in wanted]:
                raise Refused("bad-value", f"{piece.key.label}: this state is not one of {rule.name}'s")
            states.append(state if count or not wanted else None)
        for piece, new, num_updates in zip(pieces, states, message.num_updates, strict=True):
            self.nbytes += _nbytes(new) - _nbytes(piece.state)
            piece.state, piece.num_updates = new, num_updates

    def _rule_or_refuse(self) -> Rule:
        if self.rule is None:
            raise Refused("bad-value", "no optimizer is set, so there is no state; call set_optimizer first")
        return self.rule


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _nbytes(state: tuple[Tensor, ...] | None) -> int:
    return sum(array.nbytes for array in state or ())


def _view_nbytes(piece: Slice) -> int:
    return piece.view.nbytes if piece.view is not None else 0


def _from_round(hyper: tuple[int, float, float]) -> int:
    return hyper[0]


def _check_rate(lr: float, wd: float) -> None:
    if not (math.isfinite(lr) and math.isfinite(wd)):
        raise Refused("bad-value", f"lr {lr}, wd {wd}; wanted finite numbers")


def _try_out(rule: Rule, message: SetOptimizer) -> None:
    """Run the rule on nothing that matters: numbers that break it must not break a server later."""
    value = np.ones(1, np.float32)
    try:
        with np.errstate(all="ignore"):
            state = rule.create_state(value)
            for t in (1, 2, 3):
                rule.update(value, value.copy(), state, lr=message.lr, wd=message.wd, t=t)
    except MemoryError:
        raise
    except Exception as e:
        text = f"optimizer {message.name!r} does not work with these numbers: {e!r}"
        raise Refused("bad-value", text) from e

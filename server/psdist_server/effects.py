"""What a message has changed in a shard: its copies hear of it (replica.py)."""

from __future__ import annotations

from dataclasses import dataclass

from psdist.table import Rows
from psdist.wire.messages import (
    Begin,
    Init,
    InitRows,
    SetHyper,
    SetOptimizer,
    SetPullCode,
    SetStaleness,
    Tensor,
)

from .parts import TablePart
from .rounds import Slice

__all__ = ["Applied", "AppliedRows", "Asked", "Effect", "Rewritten"]


@dataclass(frozen=True, slots=True)
class Applied:
    """A round's sum, or in async mode one gradient, is in the slice's value."""

    piece: Slice
    grad: Tensor  # not to be written: it may be the value by now
    clock: int
    ranks: tuple[int, ...]
    portions: tuple[int, ...]  # of the data, that it is the first gradient of


@dataclass(frozen=True, slots=True)
class AppliedRows:
    """Likewise, to a part of a table."""

    piece: TablePart
    rows: Rows
    gone: Tensor  # the numbers of the rows that were evicted after it
    clock: int
    after: int  # the part's clock then
    ranks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """A worker's request was done: new keys, or a setting."""

    rank: int
    message: Init | InitRows | SetOptimizer | SetHyper | SetStaleness | SetPullCode | Begin


@dataclass(frozen=True, slots=True)
class Rewritten:
    """These slices have changed in another way than by rounds."""

    pieces: list[Slice]


Effect = Applied | AppliedRows | Asked | Rewritten

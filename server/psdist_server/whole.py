"""Slices of one key that go through rounds together, for an optimizer that looks at the whole array.

LAMB and LARS scale a step by the norms of the whole value and gradient. All slices of such a key are on one
server (psdist.kvstore.partition, `together`), and none of its rounds is applied before it is complete in every
slice; then the array is put together, updated as in one process, and cut again. Slices keep their own clocks,
waiters and copies, so that messages, replication and snapshots know nothing of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from psdist.wire.messages import Tensor

from .rounds import ADDED, Round, Slice

__all__ = ["ApplyWhole", "settle"]


class ApplyWhole(Protocol):
    """What to do with a round's sums, or in async mode with one gradient: of each slice its part, the ranks
    that have pushed it, and the portions of the data that it is of."""

    def __call__(
        self,
        pieces: Sequence[Slice],
        grads: Sequence[Tensor],
        clock: int,
        ranks: Sequence[tuple[int, ...]],
        portions: Sequence[tuple[int, ...]],
        /,
    ) -> None: ...


def settle(pieces: Sequence[Slice], ranks: Sequence[int], each: bool, apply: ApplyWhole) -> None:
    """`Slice.settle` for all slices of a key, in the order of their offsets."""
    if each:
        _settle_each(pieces, ranks, apply)
    else:
        # the last first: it is mostly the last to come
        while all(piece.is_due(ranks) for piece in reversed(pieces)):
            clock = pieces[0].clock
            rounds = [piece.close_round() for piece in pieces]
            # without a round in every slice, a worker that is dead by now had pushed to some of them
            totals = [round_.total for round_ in rounds if round_ is not None and round_.total is not None]
            if len(totals) == len(pieces):
                pushed = [tuple(sorted(round_.parts)) for round_ in rounds if round_ is not None]
                portions = [round_.take_portions(round_.parts) for round_ in rounds if round_ is not None]
                apply(pieces, totals, clock, pushed, portions)
    for piece in pieces:
        if piece.waiting:
            piece.wake()


def _settle_each(pieces: Sequence[Slice], ranks: Sequence[int], apply: ApplyWhole) -> None:
    for clock in sorted(pieces[0].rounds):
        rounds = [round_ for piece in pieces if (round_ := piece.rounds.get(clock)) is not None]
        if len(rounds) < len(pieces):
            continue
        # in some slice these were summed up already, while rounds were applied whole
        begun = {rank for round_ in rounds for rank, part in round_.parts.items() if part is ADDED}
        alone = [(rank,) for rank in sorted(rounds[0].parts) if rank not in begun]
        for group in ([tuple(sorted(begun))] if begun else []) + alone:
            if all(
                rank in round_.parts and piece.applied.get(rank, 0) == clock
                for piece, round_ in zip(pieces, rounds, strict=True)
                for rank in group
            ):
                grads = [_take(round_, group, is_begun=group[0] in begun) for round_ in rounds]
                portions = [round_.take_portions(group) for round_ in rounds]
                for piece in pieces:  # first: a snapshot is taken while it is applied
                    piece.applied.update(dict.fromkeys(group, clock + 1))
                apply(pieces, grads, clock, [group] * len(pieces), portions)
        for piece, round_ in zip(pieces, rounds, strict=True):
            if not round_.parts:
                del piece.rounds[clock]
    if ranks:
        for piece in pieces:
            piece.clock = max(piece.clock, min(piece.applied.get(rank, 0) for rank in ranks))


def _take(round_: Round, group: tuple[int, ...], *, is_begun: bool) -> Tensor:
    """The sum of what these ranks have pushed, out of the round."""
    total: Tensor | None = round_.total if is_begun else None
    if is_begun:
        round_.total = None
    for rank in group:
        part = round_.parts.pop(rank)
        if part is not ADDED:
            total = part if total is None else np.add(total, part)
    assert total is not None, group
    return total

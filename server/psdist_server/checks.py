"""Whether a push may be taken: its time, its durability, its round, its numbers. For arrays and tables alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from psdist.wire.messages import (
    ACK_APPLIED,
    ACK_ON_DISK,
    MAX_ROUNDS_AHEAD,
    Push,
    PushPull,
    PushRows,
    Tensors,
)

from .rounds import Slice
from .updates import Refused

if TYPE_CHECKING:
    from .shard import Shard

__all__ = ["check_push", "check_round", "look_for_nan"]


def check_push(shard: Shard, push: Push | PushPull | PushRows) -> None:
    """Whether a push is of this time, and may ask for its durability. Raises Refused."""
    assert shard.view is not None, "a worker was admitted without a View"
    if push.epoch < shard.view.fence:
        raise Refused(
            "stale-epoch",
            f"a push of epoch {push.epoch} came after a change; now it is {shard.view.epoch}",
        )
    if not ACK_APPLIED <= push.ack <= shard.max_ack:
        raise Refused("unsupported", _ack_is_too_high(push.ack, shard.where))


def check_round(shard: Shard, piece: Slice, rank: int, clock: int) -> None:
    """Whether a worker may push to this round of a slice. Raises Refused."""
    if clock < piece.clock:
        if not piece.knows(rank, clock):
            raise Refused("stale-round", f"round {clock} of {piece.key.label} closed; now {piece.clock}")
    elif clock - (applied := piece.applied.get(rank, 0) if shard.each else piece.clock) >= MAX_ROUNDS_AHEAD:
        raise Refused(
            "bad-value",
            f"round {clock} of {piece.key.label} is too far ahead: {applied} are applied, "
            f"and {MAX_ROUNDS_AHEAD} may be open",
        )
    if shard.updates.rule is None:
        if shard.each:
            raise Refused(
                "bad-value",
                f"{piece.key.label}: pushing asynchronously needs an optimizer on the servers; "
                "call set_optimizer first",
            )
    elif piece.key.dtype.kind != "f":
        raise Refused("bad-value", f"{piece.key.label} is {piece.key.dtype.name}; an optimizer needs floats")
    elif piece.key.rule is not None and (missing := piece.key.missing()):
        raise Refused("bad-value", f"{shard.updates.rule.name} {missing}")


def look_for_nan(
    shard: Shard, rank: int, clocks: Sequence[int], values: Tensors, pieces: list[Slice]
) -> None:
    """Whether all numbers of a push are finite, as the guard wants it. Raises Refused."""
    for piece, clock, grad in zip(pieces, clocks, values, strict=True):
        # a sum of finite numbers may overflow, but one of others is never finite: most are read once
        with np.errstate(all="ignore"):
            if grad.dtype.kind != "f" or math.isfinite(float(grad.sum())):
                continue
        num = grad.size - int(np.isfinite(grad).sum())
        if num and not piece.knows(rank, clock):
            text = (
                f"worker {rank} pushed {num} of {grad.size} elements that are NaN or infinite, to "
                f"{piece.key.label} in round {clock}"
            )
            if shard.guard == "refuse":
                raise Refused("bad-value", f"{text}; PSDIST_GUARD=refuse does not take them")
            shard.num_warned += 1
            if shard.num_warned & (shard.num_warned - 1) == 0:  # the 1st, 2nd, 4th, ...
                shard.warnings.append(f"{text} ({shard.num_warned} such so far)")


def _ack_is_too_high(ack: int, where: str) -> str:
    if ack == ACK_ON_DISK:
        return (
            f"{where} has no log, so that it acknowledges no push as on disk (3): start the job by "
            "`psdist run --ack on-disk --snapshot-dir DIR --snapshot-every N`"
        )
    return f"{where} acknowledges what is applied (1), not level {ack}; replicas are made by --replicas 1"

"""The barriers of a job: who stands before which, and how often each has opened. Rules, with no I/O.

A barrier opens when every worker that has been in the job since the first one came to it stands before it; who
joins while others stand there counts with the next time. Each call returns what to send because of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from psdist.wire.messages import Barrier, Done, Error, Numbers

from .shard import Destination, Out

__all__ = ["Barriers"]

_MOST: Final = 1024  # names


@dataclass(slots=True)
class _Barrier:
    """How often it has opened, and who stands before it now."""

    opened: int = 0
    since: int = 0  # the epoch in which the first of those came who stand before it
    waiting: dict[int, tuple[Destination, int]] = field(default_factory=dict)  # by rank: (sender, seq)

    def let_through(self) -> Out:
        waiting, self.waiting = self.waiting, {}
        return [(sender, Done(seq, 0)) for sender, seq in waiting.values()]


class Barriers:
    """All barriers of a job, by name."""

    def __init__(self) -> None:
        self._barriers: dict[str, _Barrier] = {}

    def come(
        self, sender: Destination, asked: Barrier, *, rank: int, name: str, epoch: int, was_away: bool
    ) -> Out:
        """A worker comes to a barrier. `name`: the worker's, for people. `was_away`: the scheduler was, so that barriers
        may have opened that are not known here."""
        barrier = self._barriers.get(asked.name)
        if barrier is None:
            if len(self._barriers) >= _MOST:
                return [(sender, Error(asked.seq, "refused", f"{_MOST} barriers have names already"))]
            barrier = self._barriers[asked.name] = _Barrier()
        out: Out = []
        if was_away and asked.clock > barrier.opened:
            # those before this one have opened: nobody comes here who has not been let through there
            out += barrier.let_through()
            barrier.opened = asked.clock
        if asked.clock < barrier.opened:
            out.append((sender, Done(asked.seq, 0)))
        elif asked.clock > barrier.opened:
            text = (
                f"{name} is at barrier {asked.name!r} for time {asked.clock}, "
                f"which has opened {barrier.opened} times"
            )
            out.append((sender, Error(asked.seq, "bad-value", text)))
        else:
            if not barrier.waiting:
                barrier.since = epoch
            barrier.waiting[rank] = (sender, asked.seq)
        return out

    def open(self, joined: Mapping[int, int]) -> Out:
        """Open those before which all stand. `joined`: by the ranks of the workers that are here, the epoch of their
        coming."""
        out: Out = []
        for barrier in self._barriers.values():
            # who came later begins to count with the next time
            ranks = [rank for rank, since in joined.items() if since <= max(barrier.since, 1)]
            if barrier.waiting and all(rank in barrier.waiting for rank in ranks):
                out += barrier.let_through()
                barrier.opened += 1
        return out

    def passed(self, counts: Numbers) -> Out:
        """A worker tells how often it has passed each, though not everybody has heard that they opened."""
        out: Out = []
        for name, opened in counts.items():
            barrier = self._barriers.get(name)
            if barrier is None and len(self._barriers) < _MOST:
                barrier = self._barriers[name] = _Barrier()
            if barrier is not None and isinstance(opened, int) and opened > barrier.opened:
                out += barrier.let_through()
                barrier.opened = opened
        return out

    def date(self, epoch: int) -> None:
        """Those who stand before one came in this epoch."""
        for barrier in self._barriers.values():
            barrier.since = epoch

    def counts(self) -> Numbers:
        """How often each has opened, from where a newcomer begins to count."""
        return {name: one.opened + bool(one.waiting) for name, one in self._barriers.items()}

    def keep(self, ranks: Collection[int]) -> None:
        """Wait for these workers only, and forget that others came."""
        for barrier in self._barriers.values():
            barrier.waiting = {rank: one for rank, one in barrier.waiting.items() if rank in ranks}

    def give_up(self, reason: str) -> Out:
        """The job has ended: nobody waits any more."""
        out: Out = []
        for barrier in self._barriers.values():
            out += [(sender, Error(seq, "aborted", reason)) for sender, seq in barrier.waiting.values()]
            barrier.waiting = {}
        return out

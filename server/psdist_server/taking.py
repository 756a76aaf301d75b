"""When a shard's state is taken for a snapshot: all slices at one clock, while training goes on. No disk here.

A snapshot of step N has every slice as it was after N rounds. Slices come to N one after the other, so each is
taken at the round that brings it there; whoever is far behind by then (a key that is not pushed in every
round, or never) is taken as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from psdist.wire.messages import CopyRows, CopySettings, CopySlices

from .parts import TablePart
from .rounds import Slice
from .shard import Shard
from .state import Place, rows_of, settings_of, slices_of

__all__ = ["Taken", "Taker"]

_PATIENCE: Final = (
    8  # rounds that the fastest slice may be beyond a snapshot's step, until the others are taken
)


@dataclass(frozen=True, slots=True)
class Taken:
    """A shard's state at a step."""

    shard: int
    step: int
    messages: list[CopySettings | CopySlices | CopyRows]
    run: int = 0  # of the job
    mark: str = "0"  # of this taking, which no other in the run has; in hexadecimal digits and dashes
    logged: int = 0  # the last message that went into the log before, if there is one


class Taker:
    """Takes the state of one shard every so many rounds."""

    def __init__(self, number: int, shard: Shard, every: int) -> None:
        self._number = number
        self._shard = shard
        self._every = every
        self._step = 0  # which is being taken; 0: none
        self._due = self._after(shard.step_clock)
        self._slices: dict[Place, list[CopySlices | CopyRows]] = {}
        shard.on_round = self._on_round

    def look(self) -> Taken | None:
        """Look at the shard after each message; a snapshot, when one is complete."""
        shard = self._shard
        if not self._step:
            return None
        patience = min(_PATIENCE, self._every)
        if len(self._slices) < shard.num_slices and shard.step_clock < self._step + patience:
            return None
        if len(self._slices) < shard.num_slices:
            for place, piece in shard.slices.items():
                if place not in self._slices:
                    self._take(place, piece)
        slices = [message for messages in self._slices.values() for message in messages]
        taken = Taken(self._number, self._step, [settings_of(shard, 0, 0, self._number), *slices])
        self._slices = {}
        self._step, self._due = 0, self._after(shard.step_clock)
        return taken

    def _after(self, clock: int) -> int:
        return (clock // self._every + 1) * self._every

    def _on_round(self, piece: Slice) -> None:
        if not self._step:
            if piece.clock < self._due:
                return
            self._step = self._due
        if piece.clock == self._step:
            for one in piece.stands_for.parts() if piece.stands_for is not None else (piece,):
                self._take((one.key.number, one.offset), one)

    def _take(self, place: Place, piece: Slice) -> None:
        if isinstance(piece, TablePart):
            self._slices[place] = [*rows_of(piece, 0, 0, self._number)]
        else:
            self._slices[place] = [slices_of([piece], 0, 0, self._number)]

"""A shard as its log tells: the newest snapshot that the log has marked, and every change after it, done again.

All shards of a synchronous job come back at one round, so that its workers go on as if they had never been away: the last
that every slice of every shard has reached (but for keys that are not pushed in every step, which stay where they were).
Nothing that a shard has beyond it is lost: such a round keeps the sum that was applied and acknowledged, and is applied
again when the workers have come to it again, whatever they push then (`Kept`). So values can be read that are all of
one round, a script that begins at that round has the bits of a run without the crash, and what was acknowledged is in it
exactly once. In asynchronous jobs each shard comes back with all it had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from psdist.errors import ConfigError
from psdist.table import Rows
from psdist.wire import decode
from psdist.wire.messages import (
    CopyEnd,
    CopyRows,
    CopySettings,
    CopySlices,
    Init,
    InitRows,
    Message,
    Replicate,
    ReplicateRequest,
    ReplicateRows,
    SetStaleness,
    key_number,
)

from . import snapshot
from .log import BadLog, Entry, about_of, entries, place_of, segments
from .parts import part_place
from .replica import BROKEN, Backup
from .rounds import ADDED, Round, Slice
from .shard import Shard
from .state import Place, put_rows, put_settings, put_slices

__all__ = ["Kept", "recover", "restorer"]

_AHEAD: Final = 64  # rounds that a key which is pushed in every step may be behind another: MAX_ROUNDS_AHEAD
_FOREVER: Final = 1 << 62


class Kept(Round):
    """A round that was applied before the crash: its sum waits until the workers come to it again."""

    __slots__ = ("learned", "pushers", "sum")

    def __init__(self, total: Any, pushers: Sequence[int], learned: Sequence[int]) -> None:
        super().__init__(())
        self.sum = total
        self.pushers = pushers
        self.learned = tuple(learned)  # the portions of the data that it is of
        if learned:
            self.portions = {-1: learned}

    def take_portions(self, ranks: Iterable[int]) -> tuple[int, ...]:
        """Those of the sum, not of what is pushed now."""
        return self.learned

    def add_up(self, plus: Callable[[Any, Any], Any]) -> bool:
        """Whether all have come; what they have pushed is in the sum already."""
        if any(rank not in self.parts for rank in self.order):
            return False
        self.parts.update(dict.fromkeys(self.pushers, ADDED))
        self.total = self.sum
        return True


@dataclass(slots=True)
class _Base:
    """From where a shard is done again."""

    messages: list[Message]  # the state
    begin: tuple[int, int, int]  # up to here, what is no round is in it
    has_snapshot: bool


def restorer(folder: Path, job: str, **options: Any) -> Callable[[int, int, int], Shard]:
    """What makes shard i of n on m servers, with which a job begins again. Raises BadLog, BadSnapshot; it raises
    ConfigError for another n or m than the log's."""
    told = about_of(folder)
    if told is None:
        return lambda number, of_shards, of_servers: Shard(job, **options)
    num_shards, num_servers = told["num_shards"], told["num_servers"]
    abouts = [{**told, "shard": shard} for shard in range(num_shards)]
    ends = [_ends(folder, about) for about in abouts]
    cut = _cut([clocks for clocks, _ in ends]) if not any(each for _, each in ends) else _FOREVER

    def first(number: int, of_shards: int, of_servers: int) -> Shard:
        if (of_shards, of_servers) != (num_shards, num_servers):
            raise ConfigError(
                f"{folder}: the log is of {num_shards} shards on {num_servers} servers; begin with as many (`psdist "
                "scale` changes it later), or restore one of its snapshots by name, without what came after"
            )
        return recover(folder, abouts[number], cut, Shard(job, **options))

    return first


def _cut(ends: Sequence[dict[Place, int]]) -> int:
    """The round to which all go back."""
    clocks = [clock for one in ends for clock in one.values()]
    highest = max(clocks, default=0)
    return min((clock for clock in clocks if clock >= highest - _AHEAD), default=0)


def _base(folder: Path, about: dict[str, Any]) -> _Base:
    shard = about["shard"]
    first: Entry | None = None
    opened: tuple[int, int, int] | None = None
    copied: tuple[int, int, int] | None = None  # where the last complete copy of everything begins
    marks: dict[str, tuple[int, int, int]] = {}
    for entry in entries(folder, shard, about):
        first = first or entry
        if entry.message is None:
            marks[entry.mark] = entry.at
        elif isinstance(entry.message, CopySettings):
            opened = entry.at
        elif isinstance(entry.message, CopyEnd):
            copied = opened
    for found in reversed(snapshot.find(folder)):
        if found.num_shards != about["num_shards"]:
            continue
        name = list(found.files)[shard]
        at = next((at for mark, at in marks.items() if name.endswith(mark)), None)
        if at is not None and (copied is None or at > copied):
            return _Base(list(snapshot.load_shard(found, shard)), at, True)
    if copied is not None:
        return _Base([], copied, False)
    if opened is not None and first is not None and opened == first.at:
        # it began with what a snapshot of that time held, before all of that was in the log
        complete = snapshot.find(folder)
        return _Base(
            list(snapshot.load_shard(complete[-1], shard)) if complete else [], (_FOREVER, 0, 0), True
        )
    begins = opened is None or (first is not None and first.at[:2] < opened[:2])
    if first is not None and (place_of(segments(folder, shard)[0])[::2] != (1, 1) or not begins):
        raise BadLog(
            f"{folder}: the log of shard {shard} begins in the middle, and the snapshot that it goes on from is not there"
        )
    return _Base([], (0, 0, 0), False)


def _changes(folder: Path, about: dict[str, Any], base: _Base) -> Iterator[Entry]:
    """What comes after the base, and rounds that may come after it."""
    for entry in entries(folder, about["shard"], about):
        if entry.message is None:
            continue
        is_round = isinstance(entry.message, Replicate | ReplicateRows)
        if entry.at <= base.begin and not (base.has_snapshot and is_round):
            if entry.at != base.begin or base.has_snapshot or base.begin == (0, 0, 0):
                continue
        elif isinstance(entry.message, CopySettings):
            return  # a copy that was begun and not completed: nothing was acknowledged since
        yield entry


def _ends(folder: Path, about: dict[str, Any]) -> tuple[dict[Place, int], bool]:
    """The clocks of all slices in the end, and whether pushes were applied one by one then."""
    clocks: dict[Place, int] = {}
    each = False
    base = _base(folder, about)
    for message in [*base.messages, *(entry.message for entry in _changes(folder, about, base))]:
        match message:
            case CopySettings():
                each = message.each
            case CopySlices():
                places = zip(map(key_number, message.names), message.offsets, strict=True)
                clocks |= dict(zip(places, message.clocks, strict=True))
            case CopyRows():
                clocks[part_place(key_number(message.name), message.part)] = message.clock
            case Replicate():
                for place, clock in zip(
                    zip(message.keys, message.offsets, strict=True), message.clocks, strict=True
                ):
                    clocks[place] = max(clock, clocks.get(place, 0))
            case ReplicateRows():
                place = part_place(message.key, message.part)
                clocks[place] = max(message.clock, clocks.get(place, 0))
            case ReplicateRequest():
                match decode(message.values):
                    case SetStaleness() as asked:
                        each = asked.staleness != 0
                    case Init() as asked:
                        for name, offset in zip(asked.names, asked.offsets, strict=True):
                            clocks.setdefault((key_number(name), offset), 0)
                    case InitRows() as asked:
                        clocks.setdefault(part_place(key_number(asked.name), asked.part), 0)
    return clocks, each


def recover(folder: Path, about: dict[str, Any], cut: int, shard: Shard) -> Shard:
    """The shard of a log, at round `cut`. Raises BadLog, BadSnapshot."""
    base = _base(folder, about)
    for message in base.messages:
        if isinstance(message, CopySettings):
            put_settings(shard, message)
        elif isinstance(message, CopySlices):
            put_slices(shard, message)
        elif isinstance(message, CopyRows):
            put_rows(shard, message)
    shard.may_group = False  # rounds are told apart by slice
    backup = Backup(shard)
    backup.epoch = 0
    life = (0, 0)
    for entry in _changes(folder, about, base):
        if entry.life != life:
            life = entry.life
            _now(backup).controls.clear()  # workers count their requests anew
        try:
            _do(backup, entry.message, cut)
        except BROKEN as e:
            raise BadLog(
                f"{folder}: the log of shard {about['shard']}: message {entry.seq} of life {entry.life} does not fit "
                f"what came before it: {e!r}"
            ) from e
    shard = backup.shard
    shard.may_group = True
    shard.controls.clear()
    shard.count()
    return shard


def _now(backup: Backup) -> Shard:
    return backup.shard if backup.coming is None else backup.coming


def _do(backup: Backup, message: Message | None, cut: int) -> None:
    shard = _now(backup)
    match message:
        case Replicate():
            fresh: list[int] = []
            for i, place in enumerate(zip(message.keys, message.offsets, strict=True)):
                piece, clock = shard.held[place], message.rounds[i]
                ranks, portions = message.ranks[message.groups[i]], message.portions[message.groups[i]]
                if all(piece.applied.get(rank, 0) > clock for rank in ranks):
                    continue  # it is in the snapshot, or was done again after a crash
                if clock < cut or message.clocks[i] <= clock:  # or no whole round: a push by itself
                    fresh.append(i)
                elif not _is_there(piece, clock, ranks):
                    piece.rounds[clock] = Kept(message.values[i], ranks, portions)
            if fresh:
                backup.step(_only(message, fresh))
        case ReplicateRows():
            part = shard.tables[part_place(message.key, message.part)]
            if all(part.applied.get(rank, 0) > message.round for rank in message.ranks):
                return
            if message.round < cut or message.clock <= message.round:
                backup.step(message)
            elif not _is_there(part, message.round, message.ranks):
                _, *pairs = message.values
                ids = np.concatenate(pairs[::2])
                rows = Rows(ids, np.concatenate(pairs[1::2]).reshape(len(ids), part.table.width))
                part.rounds[message.round] = Kept(rows, message.ranks, ())
        case CopySettings() | CopySlices() | CopyRows() | CopyEnd() | ReplicateRequest():
            backup.step(message)
        case _:
            raise ValueError(f"{type(message).__name__} has no place in a log")


def _is_there(piece: Slice, clock: int, ranks: Sequence[int]) -> bool:
    """Whether this round waits already: it was done again after one crash, before another."""
    round_ = piece.rounds.get(clock)
    return isinstance(round_, Kept) and not set(ranks).isdisjoint(round_.pushers)


def _only(message: Replicate, which: list[int]) -> Replicate:
    """Some of the rounds of a message."""

    def of(column: Sequence[Any]) -> list[Any]:
        return [column[i] for i in which]

    return replace(
        message,
        keys=of(message.keys),
        offsets=of(message.offsets),
        rounds=of(message.rounds),
        clocks=of(message.clocks),
        groups=of(message.groups),
        values=of(message.values),
    )

"""A shard's copies on other servers: what they are told, and when the shard may answer its workers.

What is replicated is what was applied: the sum of a round, to be applied again there, which is exact, since a
rule is a pure function, and costs one array whatever the optimizer's state is. New keys and settings are
passed on as the worker said them. All that one message to the shard changed is one message to its copies.

    Link      from this process to another server's: everything arrives once and in order, whatever happens to
              the connection, or the scheduler is told that it does not
    Primary   a shard that is served here: tells its copies what it applies, and holds back every reply until
              all complete copies have what the reply may show
    Backup    a copy that is kept here, until the View says that it serves

A copy that is made anew gets the settings, then slice after slice, while training goes on: a round of a slice
that is still to come is in it when it comes. Until the copy is complete nothing waits for it, but when the View calls
it `synced`: then it has what an earlier primary answered, keeps that beside the new one until the new one is
complete, and nothing is answered before. So whoever dies, every copy that is synced has all that was ever answered.

A shard that is handed over falls silent as soon as its heir's copy is complete: what workers ask is put aside. When
the heir has acknowledged everything, the scheduler is told (`Handed`), and the next View says who serves.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from psdist.errors import ConfigError, ProtocolError
from psdist.table import Rows, chunks
from psdist.wire import decode, encode
from psdist.wire.codec import Packed
from psdist.wire.messages import (
    ACK_APPLIED,
    ACK_ON_DISK,
    ACK_REPLICATED,
    NOBODY,
    VERSION,
    Begin,
    CopyEnd,
    CopyRows,
    CopySettings,
    CopySlices,
    Done,
    Error,
    Handed,
    Hello,
    Init,
    InitRows,
    Member,
    Message,
    Placement,
    Push,
    PushPull,
    PushRows,
    Replicate,
    ReplicateRequest,
    ReplicateRows,
    SetHyper,
    SetOptimizer,
    SetPullCode,
    SetStaleness,
    Synced,
    Tensor,
    View,
    Welcome,
)

from .effects import Applied, AppliedRows, Asked, Rewritten
from .groups import Group
from .parts import TablePart, part_place
from .rounds import Slice
from .shard import SCHEDULER, Destination, Out, Shard
from .state import (
    Place,
    batches,
    portion_of,
    put_rows,
    put_settings,
    put_slices,
    settings_of,
    slices_of,
)
from .taking import Taken, Taker
from .updates import Refused

__all__ = ["BROKEN", "LOG_RANK", "Backup", "Changes", "Copy", "Link", "LogLink", "Primary"]

_WINDOW: Final = 16 << 20  # bytes of whole slices on their way to a new copy
_GREETINGS: Final = 1 << 40  # where the numbers of Hellos begin, so that 1, 2, 3, ... are the copies'

_FOREVER: Final = 1 << 62
LOG_RANK: Final = -2  # of the copy that is a log on disk

Changes = CopySettings | CopySlices | CopyRows | CopyEnd | Replicate | ReplicateRows | ReplicateRequest
BROKEN: Final = (
    Refused,
    ConfigError,
    ProtocolError,
    LookupError,
    ValueError,
    StopIteration,
)  # a copy that is not one


class Link:
    """The way to one process of another server."""

    def __init__(
        self, destination: Destination, member: Member, hello: Hello, now: float, last_seq: int = 0
    ) -> None:
        """`last_seq`: of an earlier link to that process, whose messages will not come any more."""
        self.destination = destination
        self.member = member
        self.is_needed = True
        self.last_seq = last_seq
        self._hello = replace(hello, epoch=last_seq)
        self._next_hello = itertools.count(_GREETINGS)
        self._greeting = -1  # the Hello that is not answered yet; -1: none
        self._unacked: deque[tuple[int, Changes, Callable[[], None]]] = deque()
        self._progress_at = now  # when something was acknowledged, or there was nothing to be
        self._greeted_at = now
        self._complained_at = now
        self.fenced: list[
            tuple[int, int]
        ] = []  # (shard, epoch) that the other says is over: another serves it

    def greet(self, now: float) -> Out:
        """Say Hello; what is not acknowledged is sent when it is answered."""
        self._greeting = next(self._next_hello)
        self._greeted_at = now
        return [(self.destination, replace(self._hello, seq=self._greeting))]

    def next_seq(self) -> int:
        self.last_seq += 1
        return self.last_seq

    def send(self, message: Changes, on_ack: Callable[[], None], now: float) -> Out:
        """Have a message arrive, once and in order; then `on_ack` is called."""
        if not self._unacked:
            self._progress_at = now
        self._unacked.append((message.seq, message, on_ack))
        return [(self.destination, message)] if self._greeting < 0 else []

    def step(self, message: Message, now: float) -> Out:
        """Take what the other server says."""
        match message:
            case Welcome() if self._greeting >= 0:
                self._greeting = -1
                # one connection keeps the order: what was sent before a Hello is acknowledged by now, or lost
                return [(self.destination, entry[1]) for entry in self._unacked]
            case Done():
                while self._unacked and self._unacked[0][0] <= message.seq:
                    self._progress_at = now
                    self._unacked.popleft()[2]()
            case Error(code="not-admitted") if self._greeting < 0:
                return self.greet(now)
            case Error(code="stale-epoch") if self._unacked and self._unacked[0][0] == message.seq:
                self._progress_at = now
                change = self._unacked.popleft()[1]
                self.fenced.append((change.shard, change.epoch))
            case _:
                pass
        return []

    def tick(self, now: float, every_s: float) -> Out:
        """Ask whether the other is still there, when it has not answered for a while."""
        if (not self._unacked and self._greeting < 0) or now - max(
            self._progress_at, self._greeted_at
        ) < every_s:
            return []
        return self.greet(now)

    def slept(self, seconds: float) -> None:
        """This process stood still."""
        self._progress_at += seconds

    def silent_s(self, now: float) -> float:
        """How long it has owed an answer."""
        return now - self._progress_at if self._unacked else 0.0

    def complains(self, now: float, after_s: float) -> bool:
        """Whether it is time to say that it does not answer; once every `after_s`."""
        if self.silent_s(now) < after_s or now - self._complained_at < after_s:
            return False
        self._complained_at = now
        return True


class LogLink(Link):
    """The way to this process's own disk, which never has to be greeted. It acknowledges what is safe."""

    def __init__(self, destination: Destination, now: float) -> None:
        nobody = Member("server", LOG_RANK, 0, 0, "")
        super().__init__(destination, nobody, Hello(0, VERSION, "", "server", LOG_RANK, 0, 0, ""), now)

    def greet(self, now: float) -> Out:
        """Nothing: it hears everything."""
        return []


class Copy:
    """One copy of a shard, as its primary sees it."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.to_come: dict[Place, None] = {}  # slices that were not sent yet
        self.begun: dict[Place, int] = {}  # of those, tables: how many of their slots were sent
        self.in_flight = 0  # bytes of whole slices
        self.unacked: deque[int] = deque()  # the changes that were sent and are not acknowledged
        self.is_complete = False  # all has been sent, so that what it acknowledges can be relied on
        self.is_synced = False  # and acknowledged once

    @property
    def acked(self) -> int:
        """All changes up to this one are there."""
        return self.unacked[0] - 1 if self.unacked else _FOREVER

    def has(self, piece: Slice) -> bool:
        """Whether it must hear of a round of this slice: of the rest, it gets what has become of it."""
        place = piece.key.number, piece.offset
        return place not in self.to_come or place in self.begun


class Primary:
    """A shard that is served here, with its copies elsewhere."""

    def __init__(
        self, number: int, shard: Shard, began: int = 0, term: int = 0, *, is_logged: bool = False
    ) -> None:
        """`began`: the epoch of the View by which it serves here; `term`: as in the View; `is_logged`: the log has
        what the shard begins with."""
        self.is_logged = is_logged
        self.number = number
        self.shard = shard
        self.began = began
        self.term = term
        self.epoch = 0
        self.copies: dict[int, Copy] = {}  # by server rank
        self._required: frozenset[int] = frozenset()  # copies without which nothing is answered
        self._heir = NOBODY  # to whom it is handed over
        self._handed_at: float | None = None  # when the scheduler was last told that the heir has all
        self._aside: list[tuple[Destination, Message]] = []  # what workers ask meanwhile
        self._index = 0  # of the last change
        self._held: deque[tuple[int, Destination, Message]] = deque()  # replies, and what they may show
        self._levels: dict[
            Destination, int
        ] = {}  # the durability that a connection asks for; by default the highest
        self._news: Out = []  # for the scheduler
        self.is_fenced = False
        self.is_silent = False  # since its heir's copy is complete
        self.taker: Taker | None = None  # of snapshots
        self.taken: list[Taken] = []  # that are complete, to be written

    def step(self, sender: Destination, message: Message, now: float) -> Out:
        """Take one message of a worker; what to send because of it."""
        if self.is_fenced:
            return []
        if self.is_silent:
            self._aside.append((sender, message))
            return []
        if isinstance(message, Push | PushPull | PushRows):
            self._levels[sender] = message.ack
        return self._step(sender, message, now)

    def _step(self, sender: Destination, message: Message, now: float) -> Out:
        out = self.shard.step(sender, message, now)
        taken = self.taker.look() if self.taker is not None else None
        if not self.copies:
            self.taken += [taken] if taken is not None else []
            return [self._as_promised(pair) for pair in out] if self.shard.max_ack > ACK_APPLIED else out
        changes = self._publish(now)
        if taken is not None:
            log = self.copies.get(LOG_RANK)
            self.taken.append(replace(taken, logged=log.link.last_seq) if log is not None else taken)
        for destination, reply in out:
            self._held.append((self._index, destination, reply))
        return changes + self.go_on(now)

    def take_view(self, view: View, place: Placement, links: dict[int, Link], now: float) -> Out:
        """Keep copies on the servers of these links, by rank, and on no others; hand over to the heir."""
        self.epoch = view.epoch
        out: Out = []
        self.copies = {rank: copy for rank, copy in self.copies.items() if links.get(rank) is copy.link}
        self.shard.effects = [] if links else None
        for rank, link in links.items():
            copy = self.copies.get(rank)
            if copy is None and rank == LOG_RANK and self.is_logged:
                copy = self.copies[rank] = Copy(link)
                copy.is_complete = copy.is_synced = True
            elif copy is None:
                copy = self.copies[rank] = Copy(link)
                copy.to_come = dict.fromkeys(sorted(self.shard.slices))
                message = settings_of(self.shard, link.next_seq(), view.epoch, self.number)
                out += self._send(rank, copy, message, 0, now)
            elif (
                copy.is_synced and rank not in place.synced and rank != LOG_RANK
            ):  # the scheduler may have missed that
                self._news.append((SCHEDULER, Synced(self.epoch, self.number, rank)))
        self.is_logged = False
        self._required = frozenset((*place.synced, LOG_RANK)) & self.copies.keys()
        self._heir = place.heir
        heir = self.copies.get(self._heir)
        if self.is_silent and heir is not None and heir.is_synced:
            return out + self.go_on(now)
        self.is_silent, self._handed_at = False, None
        out += self._step(SCHEDULER, replace(view, rank=self.number), now)
        out += self.go_on(now)
        aside, self._aside = self._aside, []
        for sender, asked in aside:
            out += self.step(sender, asked, now)
        return out

    def go_on(self, now: float) -> Out:
        """Send slices that are to come, and the replies that were waited for."""
        out: Out = []
        for rank, copy in self.copies.items():
            begun = -1  # a key whose slices go together, in the copy too
            tables = self.shard.tables
            for places in batches(self.shard, [place for place in copy.to_come if place not in tables]):
                if copy.in_flight >= _WINDOW and places[0][0] != begun:
                    break
                pieces = [self.shard.slices[place] for place in places]
                begun = places[-1][0] if pieces[-1].key.rule is not None else -1
                for place in places:
                    del copy.to_come[place]
                out += self._send_slices(rank, copy, pieces, now)
            for place in [place for place in copy.to_come if place in tables]:
                out += self._send_portions(rank, copy, place, tables[place], now)
            if not copy.to_come and not copy.is_complete:
                copy.is_complete = True
                end = CopyEnd(copy.link.next_seq(), self.epoch, self.number)
                out += self._send(rank, copy, end, 0, now)
        if self.is_fenced:
            return out
        heir = self.copies.get(self._heir)
        if heir is not None and heir.is_synced:
            self.is_silent = True
            if self._handed_at is None and not heir.unacked:
                out += self._tell_handed(now)
        replicated, on_disk = self._acked(is_log=False), self._acked(is_log=True)
        acked = {ACK_APPLIED: _FOREVER, ACK_REPLICATED: replicated}
        held, self._held = self._held, deque()
        for index, destination, reply in held:
            level = self._levels.get(destination, ACK_ON_DISK)
            if index <= acked.get(level, min(replicated, on_disk)) or isinstance(reply, Error | Welcome):
                out.append(self._as_promised((destination, reply)))
            else:
                self._held.append((index, destination, reply))
        news, self._news = self._news, []
        # a group's members reach a copy together or not at all
        self.shard.may_group = all(copy.is_complete for copy in self.copies.values())
        return out + news

    def _acked(self, *, is_log: bool) -> int:
        """All changes up to this one are in every copy that counts, or in the log."""
        return min(
            (
                copy.acked if copy.is_complete else -1
                for rank, copy in self.copies.items()
                if (rank == LOG_RANK) == is_log and (copy.is_complete or rank in self._required)
            ),
            default=_FOREVER,
        )

    def tick(self, now: float, every_s: float) -> Out:
        """Say again what the scheduler may not have heard."""
        if self._handed_at is None or now - self._handed_at < every_s:
            return []
        return self._tell_handed(now)

    def _tell_handed(self, now: float) -> Out:
        self._handed_at = now
        return [(SCHEDULER, Handed(self.epoch, self.number, self._heir))]

    def fence(self) -> None:
        """Another server serves this shard now: answer nobody any more."""
        self.is_fenced = True
        self._held.clear()

    def _as_promised(self, pair: tuple[Destination, Message]) -> tuple[Destination, Message]:
        """A push's Done states what is true: without a complete copy it is applied, and no more."""
        destination, reply = pair
        is_kept = any(copy.is_complete for rank, copy in self.copies.items() if rank != LOG_RANK)
        if isinstance(reply, Done) and reply.ack == ACK_REPLICATED and not is_kept:
            return destination, Done(reply.seq, ACK_APPLIED)
        return pair

    # --- changes -----------------------------------------------------------------------------------

    def _publish(self, now: float) -> Out:
        """Tell the copies what the last message changed."""
        effects = self.shard.effects
        if not effects:
            return []
        self.shard.effects = []
        out: Out = []
        last = {effect.piece: effect for effect in effects if isinstance(effect, AppliedRows)}
        for rank, copy in self.copies.items():
            rounds: list[Applied] = []
            for effect in effects:
                match effect:
                    case Applied(piece=Slice(stands_for=Group() as group)):
                        out += self._send_rounds(rank, copy, rounds, now)
                        rounds = []
                        out += self._send_group(rank, copy, effect, group, now)
                    case Applied():
                        if copy.has(effect.piece):
                            rounds.append(effect)
                    case AppliedRows():
                        if copy.has(effect.piece):
                            clock = effect.piece.clock if last[effect.piece] is effect else effect.after
                            out += self._send_rows(rank, copy, effect, clock, now)
                    case Asked():
                        out += self._send_rounds(rank, copy, rounds, now)
                        rounds = []
                        message = _request(effect, copy.link.next_seq(), self.epoch, self.number)
                        out += self._send(rank, copy, message, 0, now)
                    case Rewritten():
                        out += self._send_rounds(rank, copy, rounds, now)
                        rounds = []
                        out += self._send_anew(rank, copy, effect.pieces, now)
            out += self._send_rounds(rank, copy, rounds, now)
        return out

    def _send_rounds(self, rank: int, copy: Copy, rounds: list[Applied], now: float) -> Out:
        if not rounds:
            return []
        pushed = dict.fromkeys((effect.ranks, effect.portions) for effect in rounds)
        groups = {one: i for i, one in enumerate(pushed)}
        message = Replicate(
            copy.link.next_seq(),
            self.epoch,
            self.number,
            [effect.piece.key.number for effect in rounds],
            [effect.piece.offset for effect in rounds],
            [effect.clock for effect in rounds],
            [effect.piece.clock for effect in rounds],
            [groups[effect.ranks, effect.portions] for effect in rounds],
            tuple(ranks for ranks, _ in groups),
            tuple(portions for _, portions in groups),
            [effect.grad for effect in rounds],
        )
        return self._send(rank, copy, message, 0, now)

    def _send_group(self, rank: int, copy: Copy, effect: Applied, group: Group, now: float) -> Out:
        """One round of many slices, which the copy takes as one, too."""
        num = len(group.members)
        message = Replicate(
            copy.link.next_seq(),
            self.epoch,
            self.number,
            group.numbers,
            group.offsets,
            [effect.clock] * num,
            [effect.piece.clock] * num,
            [0] * num,
            (effect.ranks,),
            (effect.portions,),
            Packed(effect.grad, group.lengths),
        )
        return self._send(rank, copy, message, 0, now)

    def _send_slices(self, rank: int, copy: Copy, pieces: list[Slice], now: float) -> Out:
        message = slices_of(pieces, copy.link.next_seq(), self.epoch, self.number)
        return self._send(rank, copy, message, sum(value.nbytes for value in message.values), now)

    def _send_anew(self, rank: int, copy: Copy, pieces: list[Slice], now: float) -> Out:
        """Slices that have changed otherwise than by rounds."""
        out: Out = []
        for piece in pieces:
            if not isinstance(piece, TablePart):
                copy.to_come.pop((piece.key.number, piece.offset), None)
            elif copy.has(piece):
                begin, end = 0, piece.table.num_slots
                while begin < end:
                    # row by row in place of the old: a copy that gets some of them only is still one
                    message, begin = portion_of(
                        piece, copy.link.next_seq(), self.epoch, self.number, begin, anew=False
                    )
                    out += self._send(rank, copy, message, 0, now)
        arrays = [piece for piece in pieces if not isinstance(piece, TablePart)]
        return out + self._send_slices(rank, copy, arrays, now) if arrays else out

    def _send_rows(self, rank: int, copy: Copy, effect: AppliedRows, clock: int, now: float) -> Out:
        message = ReplicateRows(
            copy.link.next_seq(),
            self.epoch,
            self.number,
            effect.piece.key.number,
            effect.piece.part,
            effect.clock,
            clock,
            effect.ranks,
            [effect.gone, *chunks(effect.rows)],
        )
        return self._send(rank, copy, message, 0, now)

    def _send_portions(self, rank: int, copy: Copy, place: Place, part: TablePart, now: float) -> Out:
        """Of a table, as much as may be on its way."""
        out: Out = []
        while place in copy.to_come and copy.in_flight < _WINDOW:
            begin = copy.begun.get(place, 0)
            message, end = portion_of(part, copy.link.next_seq(), self.epoch, self.number, begin)
            copy.begun[place] = max(end, 1)
            if end >= part.table.num_slots:
                del copy.to_come[place], copy.begun[place]
            out += self._send(rank, copy, message, sum(value.nbytes for value in message.values), now)
        return out

    def _send(self, rank: int, copy: Copy, message: Changes, nbytes: int, now: float) -> Out:
        self._index += 1
        copy.unacked.append(self._index)
        copy.in_flight += nbytes
        was_last = copy.is_complete

        def acked() -> None:
            copy.in_flight -= nbytes
            copy.unacked.popleft()
            if was_last and not copy.is_synced and self.copies.get(rank) is copy:
                copy.is_synced = True
                if rank != LOG_RANK:
                    self._news.append((SCHEDULER, Synced(self.epoch, self.number, rank)))

        return copy.link.send(message, acked, now)


class Backup:
    """A copy of a shard that is kept here."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard  # as it would be served
        self.epoch = -1  # in which its settings came; before, it is no copy of anything
        self.source = 0  # the token of whose copy it is
        self.coming: Shard | None = None  # a newer copy, until it is complete

    def fall_back_on(self, primary: Primary) -> None:
        """Keep what was served here, now that another server has all of it, until its copy of that is complete; that
        may be so already."""
        if self.source == 0 or self.coming is not None:
            primary.shard.rest()
            self.shard, self.source = primary.shard, self.source or -1
        self.epoch = max(self.epoch, primary.epoch)

    def is_older(self, message: Changes, source: int) -> bool:
        """Whether the sender served this shard before the one whose copy is kept here."""
        if self.source in (0, source):
            return False
        return not isinstance(message, CopySettings) or message.epoch < self.epoch

    def step(self, message: Changes, source: int = 0) -> None:
        """Change as the primary did. Raises ProtocolError for a change to what was never begun."""
        if isinstance(message, CopySettings):
            old = self.shard
            self.coming = Shard(
                old.job, heartbeat_s=old.heartbeat_s, dead_after_s=old.dead_after_s, empty=old.empty
            )
            put_settings(self.coming, message)
            self.epoch, self.source = message.epoch, source
            return
        if self.epoch < 0:
            raise ProtocolError(f"{type(message).__name__} came before the settings of the copy")
        shard = self.coming if self.coming is not None else self.shard
        match message:
            case CopySlices():
                put_slices(shard, message)
            case CopyRows():
                put_rows(shard, message)
            case CopyEnd():
                self.shard, self.coming = shard, None
            case Replicate():
                self._replay(shard, message)
            case ReplicateRows():
                self._replay_rows(shard, message)
            case ReplicateRequest():
                shard.replay(_asked(message))

    def _replay(self, shard: Shard, message: Replicate) -> None:
        values = message.values
        if type(values) is Packed and message.groups.count(0) == len(message.groups):
            group = shard.group(message.keys, message.offsets, message.rounds, message.clocks)
            flat = group.flat(values) if group is not None else None
            if group is not None and flat is not None and (one := group.form()) is not None:
                clock, ranks = message.rounds[0], message.ranks[0]
                one.replay(ranks, clock, message.clocks[0])
                shard.apply(one, flat, clock, ranks, message.portions[0])
                shard.step_clock = max(shard.step_clock, one.clock)
                return
        columns = zip(
            message.keys,
            message.offsets,
            message.rounds,
            message.clocks,
            message.groups,
            message.values,
            strict=True,
        )
        together: list[
            tuple[Slice, Tensor, tuple[int, ...], tuple[int, ...]]
        ] = []  # of one key, until all its slices are there
        for number, offset, clock, after, group, grad in columns:
            piece = shard.slice_at(number, offset)
            ranks, portions = message.ranks[group], message.portions[group]
            piece.replay(ranks, clock, after)
            if piece.key.rule is None:
                shard.apply(piece, grad, clock, ranks, portions)
            else:
                together.append((piece, grad, ranks, portions))
                if len(together) == len(piece.key.slices):
                    pieces, grads, of_ranks, of_portions = zip(*together, strict=True)
                    shard.apply_whole(pieces, grads, clock, of_ranks, of_portions)
                    together.clear()
            if piece.clock > shard.step_clock:
                shard.step_clock = piece.clock
        if together:
            raise ProtocolError(
                f"a round of {together[0][0].key.label} came in {len(together)} of its slices"
            )

    def _replay_rows(self, shard: Shard, message: ReplicateRows) -> None:
        part = shard.tables[part_place(message.key, message.part)]
        gone, *pairs = message.values
        ids = np.concatenate(pairs[::2])
        rows = Rows(ids, np.concatenate(pairs[1::2]).reshape(len(ids), part.table.width))
        part.replay(message.ranks, message.round, message.clock)
        shard.updates.apply_rows(part, rows, message.round, gone)
        shard.step_clock = max(shard.step_clock, part.clock)


def _request(asked: Asked, seq: int, epoch: int, number: int) -> ReplicateRequest:
    frames = [np.frombuffer(memoryview(frame).cast("B"), np.uint8) for frame in encode(asked.message)]  # type: ignore[arg-type]
    return ReplicateRequest(seq, epoch, number, asked.rank, frames)


def _asked(message: ReplicateRequest) -> Asked:
    asked = decode(message.values)
    if not isinstance(asked, Init | InitRows | SetOptimizer | SetHyper | SetStaleness | SetPullCode | Begin):
        raise ProtocolError(f"{type(asked).__name__} is nothing to be replicated")
    return Asked(message.rank, asked)

"""What one server process does: the shards it serves, the copies it keeps. Rules, with no socket in them.

The View says where each shard is. A shard that comes to be here is the copy that was kept here, or, when the
job begins, a new one; one that goes to another server stays as a copy, or is let go. Workers say in Hello which
shard they want; servers that send copies say Hello, too.
Whoever knocks before the View that explains him waits for it.

A destination is a connection's routing id, or `SCHEDULER`, or one of `links`, the servers that keep our copies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, Literal

import numpy as np

from psdist.wire.messages import (
    ACK_APPLIED,
    ACK_ON_DISK,
    ACK_REPLICATED,
    VERSION,
    Done,
    Error,
    ErrorCode,
    Hello,
    Lost,
    Member,
    Message,
    Placement,
    View,
    Welcome,
    placements,
)

from .replica import BROKEN, LOG_RANK, Backup, Changes, Link, LogLink, Primary
from .rounds import Empty
from .shard import SCHEDULER, Destination, Out, Shard
from .state import settings_of
from .taking import Taken, Taker

__all__ = ["LOG", "Server"]

LOG: Final[Destination] = b"\xfflog"  # to this process's disk; no routing id of ZeroMQ's begins like this

_MAX_EARLY = 65536  # callers that may wait for a View


class _Source:
    """A process of another server, that sends us copies."""

    __slots__ = ("last", "member")

    def __init__(self, member: Member) -> None:
        self.member = member
        self.last = 0  # the number of its last message that was done


class Server:
    """The shards and copies of one server process."""

    def __init__(
        self,
        job: str,
        *,
        incarnation: int = 0,
        token: int = 0,
        heartbeat_s: float = 1.0,
        dead_after_s: float = 8.0,
        snapshot_every: int = 0,
        first: Callable[[int, int, int], Shard] | None = None,
        guard: Literal["off", "warn", "refuse"] = "off",
        empty: Empty = np.empty,
        logs: bool = False,
        is_logged: bool = True,
    ) -> None:
        """`snapshot_every`: take the state every so many rounds; 0: never. `first(i, n, m)` is shard i of n,
        m servers, with which the job begins; by default an empty one. `logs`: what changes goes to `LOG`, too, which answers
        when it is on disk; `is_logged`: what the job begins with is there already."""
        self.job = job
        self._empty = empty
        self.view: View | None = None
        self.fenced = ""  # why this process must end without a word: another one serves its shards
        self.primaries: dict[int, Primary] = {}  # by shard
        self.backups: dict[int, Backup] = {}
        self._incarnation = incarnation
        self._token = token
        self._heartbeat_s = heartbeat_s
        self._dead_after_s = dead_after_s
        self._snapshot_every = snapshot_every
        self._first = first
        self._guard = guard
        self._log = LogLink(LOG, 0.0) if logs else None
        self._is_logged = is_logged
        self._links: dict[Destination, Link] = {}
        self._last_seqs: dict[Destination, int] = {}  # of links that were needed earlier
        self._shard_of: dict[Destination, int] = {}  # whom a connection was shown to
        self._connections: dict[tuple[int, int], Destination] = {}  # the newest, by (worker, shard)
        self._sources: dict[int, _Source] = {}  # by token
        self._source_of: dict[Destination, _Source] = {}
        self._early: list[tuple[Destination, Hello]] = []
        self._num_lost = 0
        self._warnings: list[str] = []
        self._num_taken = 0
        self._loose: list[Taken] = []  # snapshots of shards that were handed over since

    @property
    def rank(self) -> int:
        return self.view.rank if self.view is not None else -1

    @property
    def where(self) -> str:
        """This server's name, for people."""
        return f"server {self.rank}" if self.rank >= 0 else "this server"

    @property
    def step_clock(self) -> int:
        """The highest clock of a slice that is served here."""
        return max((primary.shard.step_clock for primary in self.primaries.values()), default=0)

    @property
    def nbytes(self) -> int:
        """Of the values and optimizer states that are served here."""
        return sum(primary.shard.nbytes for primary in self.primaries.values())

    @property
    def num_keys(self) -> int:
        return len({key for primary in self.primaries.values() for key in primary.shard.keys})

    @property
    def links(self) -> Mapping[Destination, Member]:
        """The servers to be connected to."""
        return {destination: link.member for destination, link in self._links.items()}

    def serves(self, sender: Destination) -> bool:
        """Whether this connection is a worker's that was let in."""
        return sender in self._shard_of

    def step(self, sender: Destination, message: Message, now: float) -> Out:
        """Take one message; what to send because of it."""
        if self.fenced:
            return []
        if sender == SCHEDULER:
            return self._take_view(message, now) if isinstance(message, View) else []
        if sender == LOG and self._log is not None:
            return self._hear(self._log, message, now)
        if (link := self._links.get(sender)) is not None:
            return self._hear(link, message, now)
        if isinstance(message, Hello):
            return self._hello(sender, message, now)
        if (shard := self._shard_of.get(sender)) is not None and shard in self.primaries:
            return self.primaries[shard].step(sender, message, now)
        if (source := self._source_of.get(sender)) is not None:
            if isinstance(message, Changes):
                return self._copy(sender, source, message)
            return _refuse(
                sender, message, "refused", f"{type(message).__name__} is not for a server to send"
            )
        return _refuse(sender, message, "not-admitted", f"say Hello to {self.where} first, then send again")

    def tick(self, now: float) -> Out:
        """What to send because time passed."""
        out: Out = []
        for link in self._links.values():
            out += link.tick(now, self._heartbeat_s)
            if link.complains(now, self._dead_after_s):
                self._num_lost += 1
                why = f"has not answered {self.where} for {link.silent_s(now):.1f} s"
                out.append((SCHEDULER, Lost(self._num_lost, "server", link.member.rank, why)))
                self._warnings.append(
                    f"server {link.member.rank} {why}: what it keeps copies of is not replicated until "
                    "another server has one"
                )
        for primary in self.primaries.values():
            out += primary.tick(now, self._heartbeat_s)
        return out

    def slept(self, seconds: float) -> None:
        """This process stood still: the others' silence of that time is our own."""
        for link in self._links.values():
            link.slept(seconds)

    # --- the View ----------------------------------------------------------------------------------

    def _take_view(self, view: View, now: float) -> Out:
        if self.view is not None and view.epoch < self.view.epoch:
            return []  # overtaken
        is_first, self.view = self.view is None and view.joined <= 1, view
        out: Out = []
        places = placements(view)
        servers = {member.rank: member for member in view.members if member.role == "server"}
        wanted = {
            rank
            for place in places
            if place.primary == view.rank
            for rank in place.backups
            if rank in servers
        }
        links = {rank: self._link(servers[rank], now) for rank in sorted(wanted)}
        for link in links.values():
            if link.destination not in self._links:
                out += link.greet(now)
        self._last_seqs |= {destination: link.last_seq for destination, link in self._links.items()}
        self._links = {link.destination: link for link in links.values()}
        for number, place in enumerate(places):
            primary = self.primaries.get(number)
            if primary is not None and (place.primary, place.term) != (view.rank, primary.term):
                del self.primaries[number]
                self._loose = [*self._loose, *primary.taken]
                if view.rank in place.backups:  # handed over: all that was answered is here
                    backup = self.backups.setdefault(number, Backup(self._new_shard()))
                    backup.fall_back_on(primary)
                primary = None
            if place.primary == view.rank:
                if primary is None:
                    primary = self._serve(number, view, place, is_first)
                primary.shard.guard = self._guard
                primary.shard.max_ack = ACK_REPLICATED if view.replicas else ACK_APPLIED
                copies = {rank: links[rank] for rank in place.backups if rank in links}
                if self._log is not None:
                    primary.shard.max_ack = ACK_ON_DISK
                    copies[LOG_RANK] = self._log
                out += primary.take_view(view, place, copies, now)
            elif view.rank in place.backups:
                self.backups.setdefault(number, Backup(self._new_shard()))
            elif (old := self.backups.get(number)) is not None and old.epoch <= view.epoch:
                del self.backups[number]  # a newer one was begun under a View that is on its way
        alive = {member.token for member in servers.values()}
        self._sources = {token: source for token, source in self._sources.items() if token in alive}
        early, self._early = self._early, []
        for sender, hello in early:
            out += self._hello(sender, hello, now)
        return out

    def warnings(self) -> list[str]:
        """What people should know; each is given once."""
        warnings = self._warnings
        warnings += [one for primary in self.primaries.values() for one in primary.shard.warnings]
        self._warnings = []
        for primary in self.primaries.values():
            primary.shard.warnings = []
        return warnings

    def taken(self) -> list[Taken]:
        """The snapshots to be written now; each is given once."""
        taken, self._loose = self._loose, []
        taken += [one for primary in self.primaries.values() for one in primary.taken]
        for primary in self.primaries.values():
            primary.taken = []
        return [self._marked(one) for one in taken]

    def empty(self) -> list[Taken]:
        """The shards served here that hold nothing, for snapshots that others begin."""
        empty = [one for one in self.primaries.values() if not one.shard.num_slices and not one.shard.tables]
        return [
            self._marked(Taken(one.number, 0, [settings_of(one.shard, 0, 0, one.number)])) for one in empty
        ]

    def _marked(self, taken: Taken) -> Taken:
        """Named for ever: another process may take the same shard at the same step, and this one again."""
        self._num_taken += 1
        run = self.view.run if self.view is not None else 0
        return replace(taken, run=run, mark=f"{self._token:x}-{self._num_taken:x}")

    def _serve(self, number: int, view: View, place: Placement, is_first: bool) -> Primary:
        """Begin to serve a shard: with the copy that was kept, or as the job begins."""
        backup = self.backups.pop(number, None)
        if backup is not None:
            shard = backup.shard
        else:
            assert is_first, f"shard {number} is to be served by {self.where}, which has no copy of it"
            num = len(placements(view))
            shard = self._first(number, num, view.num_servers) if self._first else self._new_shard()
        primary = self.primaries[number] = Primary(
            number, shard, view.epoch, place.term, is_logged=self._is_logged and backup is None
        )
        if self._snapshot_every:
            primary.taker = Taker(number, shard, self._snapshot_every)
        return primary

    def _new_shard(self) -> Shard:
        return Shard(
            self.job, heartbeat_s=self._heartbeat_s, dead_after_s=self._dead_after_s, empty=self._empty
        )

    def _link(self, member: Member, now: float) -> Link:
        # no routing id of ZeroMQ's begins like this
        destination = b"\xff%d.%d.%d" % (member.rank, member.incarnation, member.token)
        known = self._links.get(destination)
        if known is not None:
            return known
        hello = Hello(0, VERSION, self.job, "server", self.rank, self._incarnation, self._token, "")
        return Link(destination, member, hello, now, self._last_seqs.get(destination, 0))

    # --- who speaks --------------------------------------------------------------------------------

    def _hello(self, sender: Destination, hello: Hello, now: float) -> Out:
        if hello.job != self.job:
            text = f"{self.where} belongs to job {self.job!r}, the caller to {hello.job!r}"
            return _refuse(sender, hello, "refused", text)
        if hello.role not in ("worker", "server"):
            text = f"{self.where} serves workers; the caller is a {hello.role}"
            return _refuse(sender, hello, "refused", text)
        view = self.view
        if view is None:
            return self._wait(sender, hello)
        members = {m.rank: m for m in view.members if m.role == hello.role}
        member = members.get(hello.rank)
        number = view.rank if hello.shard < 0 else hello.shard
        if number >= (num := len(placements(view))):
            text = f"there is no shard {number}; job {self.job!r} has {num}"
            return _refuse(sender, hello, "refused", text)
        if member is None or hello.incarnation > member.incarnation:
            return self._wait(sender, hello)  # for the View that it is in
        if hello.role == "worker":
            if number not in self.primaries or self.primaries[number].is_silent:
                return self._wait(sender, hello)  # one of us has an old View
            out = self.primaries[number].step(sender, hello, now)
            if any(isinstance(reply, Welcome) for _, reply in out):
                # the worker's older connection to this shard is of no use any more
                self._shard_of.pop(self._connections.get((hello.rank, number), b""), None)
                self._connections[hello.rank, number] = sender
                self._shard_of[sender] = number
            return out
        if (hello.incarnation, hello.token) != (member.incarnation, member.token):
            return _refuse(sender, hello, "refused", f"server {hello.rank} is another process now")
        source = self._sources.setdefault(hello.token, _Source(member))
        self._source_of = {s: one for s, one in self._source_of.items() if one is not source}
        self._source_of[sender] = source
        source.last = max(source.last, hello.epoch)
        return [(sender, Welcome(hello.seq, self.rank, self._heartbeat_s, self._dead_after_s, 0.0))]

    def _wait(self, sender: Destination, hello: Hello) -> Out:
        if len(self._early) >= _MAX_EARLY:
            text = f"{len(self._early)} callers already wait for {self.where} to start"
            return _refuse(sender, hello, "refused", text)
        self._early.append((sender, hello))
        return []

    # --- copies ------------------------------------------------------------------------------------

    def _hear(self, link: Link, message: Message, now: float) -> Out:
        """Take what a server says that keeps our copies."""
        out = link.step(message, now)
        fenced, link.fenced = link.fenced, []
        for number, epoch in fenced:
            primary = self.primaries.get(number)
            # a silent one has handed it over, and hears so soon
            if primary is not None and epoch >= primary.began and not primary.is_silent:
                primary.fence()
                self.fenced = (
                    f"{self.where} was taken for dead: server {link.member.rank} has a newer view of the job, "
                    f"in which another server serves shard {number} (here it is epoch {primary.epoch})"
                )
                return []
        for primary in self.primaries.values():
            out += primary.go_on(now)
        return out

    def _copy(self, sender: Destination, source: _Source, message: Changes) -> Out:
        """Change a copy that is kept here, as the primary did."""
        assert self.view is not None, "a server was admitted without a View"
        if message.seq > source.last + 1:
            return []  # one before it was lost; it will come again
        places = placements(self.view)
        if not 0 <= message.shard < len(places):
            return _refuse(sender, message, "bad-value", f"there is no shard {message.shard}")
        place = places[message.shard]
        backup = self.backups.get(message.shard)
        token = source.member.token
        is_over = message.epoch < self.view.epoch and place.primary != source.member.rank
        if is_over or (backup is not None and backup.is_older(message, token)):
            source.last = max(source.last, message.seq)
            text = (
                f"shard {message.shard} is served by server {place.primary} now (epoch {self.view.epoch}; "
                f"server {source.member.rank} is at {message.epoch})"
            )
            return _refuse(sender, message, "stale-epoch", text)
        if message.seq <= source.last:
            return [(sender, Done(message.seq, ACK_REPLICATED))]
        if backup is None and message.epoch > self.view.epoch:
            backup = self.backups[message.shard] = Backup(self._new_shard())  # our View is on its way
        if backup is not None:
            try:
                backup.step(message, token)
            except BROKEN as e:
                return _refuse(sender, message, "bad-value", f"shard {message.shard}: {e!r}")
        source.last = message.seq
        return [(sender, Done(message.seq, ACK_REPLICATED))]


def _refuse(sender: Destination, message: Message, code: ErrorCode, text: str) -> Out:
    return [(sender, Error(getattr(message, "seq", -1), code, text))]

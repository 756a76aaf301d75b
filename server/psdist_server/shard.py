"""What one server does with its slices: rules with no socket, thread, clock or randomness in them.

`step(sender, message, now)` takes one message and returns the messages to send, as `(destination,
message)`; so a test writes a story as a list of steps, and the loop that owns the socket has nothing left
to decide. A sender is the routing id of a connection; `SCHEDULER` stands for the one to the scheduler. A
refusal is a reply, `Error`, and changes nothing: a batch is checked whole before the first of it is
applied.

The arrays of a message belong to the shard once they are handed in; the arrays it hands out are never
written again (rounds.py says how). A server counts *workers*, as the View names them, never connections or
requests. What workers ask of arrays is in arrays.py, and of tables in tables.py.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, assert_never

import numpy as np

from psdist.wire.codec import Packed
from psdist.wire.messages import (
    ACK_APPLIED,
    SENDERS,
    Abort,
    Alive,
    Barrier,
    Begin,
    Clocks,
    CopyEnd,
    CopyRows,
    CopySettings,
    CopySlices,
    Done,
    Error,
    Finish,
    GetPortions,
    GetState,
    Handed,
    Hello,
    Init,
    InitRows,
    Join,
    Leave,
    Lost,
    Member,
    Message,
    Portions,
    Pull,
    PullChange,
    PullRows,
    Push,
    PushPull,
    PushRows,
    Replicate,
    ReplicateRequest,
    ReplicateRows,
    RowValues,
    Scale,
    SetHyper,
    SetOptimizer,
    SetPullCode,
    SetStaleness,
    SetState,
    Share,
    States,
    Status,
    StatusReport,
    Synced,
    Tensor,
    Values,
    View,
    Welcome,
)

from . import arrays, tables, views, whole
from .effects import Applied, AppliedRows, Asked, Effect, Rewritten
from .groups import MIN_MEMBERS, Group
from .parts import TablePart, kept
from .rounds import Empty, Key, Slice
from .updates import Refused, Updates

__all__ = ["SCHEDULER", "Destination", "Out", "Shard"]

Destination = bytes
Out = list[tuple[Destination, Message]]

SCHEDULER: Final[Destination] = b""  # no routing id is empty
_MAX_GROUPS: Final = 4096  # lists of keys that are remembered
_MAX_CONTROLS: Final = 64  # of one worker, remembered so that a late copy of an old one changes nothing
_NOT_WHOLE: Final = (
    "compressed pulls need rounds that are applied whole: with a staleness other than 0 what workers hold would depend "
    "on who was quicker; take staleness 0, or no 'pull' in set_gradient_compression"
)
_MAX_EARLY: Final = 65536  # workers that may knock before the View is there


class _Pending:
    """A request whose reply waits for `missing` things."""

    __slots__ = ("ack", "bases", "group", "missing", "pieces", "reply", "sender", "seq", "shard")

    def __init__(
        self, shard: Shard, sender: Destination, seq: int, ack: int, pieces: list[Slice] | None
    ) -> None:
        self.shard = shard
        self.sender = sender
        self.seq = seq
        self.ack = ack
        self.pieces = pieces  # to read for the reply; None: it is Done
        self.bases: Sequence[int] = ()  # what the reader holds of them, see views.py
        self.group: Group | None = None  # which `pieces` stands for
        self.reply: Callable[[], Message] | None = None  # makes another reply
        self.missing = 1  # itself, until all its conditions are counted

    def waits_for_more(self, num: int) -> None:
        self.missing += num

    def one_is_there(self) -> None:
        self.missing -= 1
        if not self.missing:
            self.shard._finish(self)


class Shard:
    """The slices of one server, and the workers admitted to it."""

    def __init__(
        self, job: str, *, heartbeat_s: float = 1.0, dead_after_s: float = 8.0, empty: Empty = np.empty
    ) -> None:
        self.job = job
        self.empty = empty
        self.rank = -1  # the View says it
        self.step_clock = 0  # the highest clock of a slice
        self.value_nbytes = 0
        self.keys: dict[int, Key] = {}
        self.heartbeat_s = heartbeat_s
        self.dead_after_s = dead_after_s
        self.view: View | None = None
        self._workers: dict[int, Member] = {}
        self.ranks: tuple[int, ...] = ()  # of the workers, ascending
        self._peers: dict[Destination, Member] = {}  # who said Hello, and was right to
        self._connections: dict[int, Destination] = {}  # of a rank: its newest
        self._greeted: dict[int, int] = {}  # the seq of the Hello on it
        self._early: list[tuple[Destination, Hello]] = []  # knocked before the View was there
        self.held: dict[
            tuple[int, int], Slice
        ] = {}  # by (key number, offset); a group may stand for some: see `slices`
        self.tables: dict[tuple[int, int], TablePart] = {}  # those of the slices that are parts of tables
        self.may_group = True  # see groups.py
        self._groups: dict[tuple[tuple[int, ...], tuple[int, ...]], Group | None] = {}  # None: seen once
        self.declared: dict[tuple[int, int], list[_Pending]] = {}  # wait for a first value
        self._pending: dict[tuple[Destination, int], _Pending] = {}
        self.controls: dict[int, dict[int, None]] = {}  # by rank: the seqs of its latest settings
        self.each = False  # apply every push as it comes, not whole rounds
        self.updates = Updates()
        self.max_ack = ACK_APPLIED  # the durability that a push may ask for
        self.guard: Literal["off", "warn", "refuse"] = "off"  # against pushes that hold NaN or infinity
        self.warnings: list[str] = []  # for the log
        self.num_warned = 0
        self.on_round: Callable[[Slice], None] | None = None  # is told after each round of a slice
        self.effects: list[Effect] | None = None  # what changed; a list when somebody keeps a copy
        self._out: Out = []

    def step(self, sender: Destination, message: Message, now: float) -> Out:
        """Take one message; what to send because of it."""
        self._out = []
        try:
            self._take(sender, message)
        except Refused as e:
            self._out.append((sender, Error(getattr(message, "seq", -1), e.code, e.text)))
        return self._out

    @property
    def nbytes(self) -> int:
        """Of values and optimizer states."""
        return self.value_nbytes + self.updates.nbytes + sum(part.nbytes for part in self.tables.values())

    @property
    def where(self) -> str:
        """This server's name, for people."""
        return f"server {self.rank}" if self.rank >= 0 else "this server"

    @property
    def num_slices(self) -> int:
        return len(self.held)

    def slice_at(self, number: int, offset: int) -> Slice:
        """One slice, standing for itself. Raises KeyError."""
        piece = self.held[number, offset]
        if piece.group is not None:
            self._dissolve(piece.group)
        return piece

    @property
    def slices(self) -> dict[tuple[int, int], Slice]:
        """All slices, by (key number, offset), each standing for itself."""
        self._dissolve_all()
        return self.held

    # --- who speaks --------------------------------------------------------------------------------

    def _take(self, sender: Destination, message: Message) -> None:
        if isinstance(message, Hello):
            self._hello(sender, message)
            return
        role = "scheduler" if sender == SCHEDULER else "worker"
        if role not in SENDERS[type(message)]:
            raise Refused("refused", f"{type(message).__name__} is not for a {role} to send")
        if sender == SCHEDULER:
            if isinstance(message, View):
                self._admit(message)
            return
        peer = self._peers.get(sender)
        if peer is None:
            raise Refused("not-admitted", f"say Hello to {self.where} first, then send again")
        match message:
            case Push() | PushPull():
                arrays.push_slices(self, sender, peer.rank, message)
            case Pull() | PullChange():
                arrays.pull_slices(self, sender, message)
            case Init():
                arrays.init_slices(self, sender, peer.rank, message)
            case InitRows():
                tables.init_rows(self, sender, peer.rank, message)
            case PushRows():
                tables.push_rows(self, sender, peer.rank, message)
            case PullRows():
                tables.pull_rows(self, sender, message)
            case SetOptimizer() | SetHyper() | SetStaleness() | SetPullCode() | SetState() | Begin():
                self._set(sender, peer.rank, message)
            case Join():
                self._tell_clocks(sender, peer.rank, message)
            case GetState():
                self._get_state(sender, message)
            case GetPortions():
                self._tell_portions(sender, message)
            case Alive() | Abort() | Welcome() | View() | Values() | States() | Finish() | StatusReport():
                pass
            case Done() | Error() | Clocks() | Portions() | Synced():
                pass
            case CopySettings() | CopySlices() | CopyEnd() | Replicate() | ReplicateRequest():
                pass
            case CopyRows() | ReplicateRows() | RowValues() | Share() | Handed():
                pass
            case Barrier() | Leave() | Status() | Lost() | Scale():
                raise Refused(
                    "refused", f"{type(message).__name__} is for the scheduler, not for {self.where}"
                )
            case _:
                assert_never(message)

    def _hello(self, sender: Destination, hello: Hello) -> None:
        if hello.job != self.job:
            raise Refused(
                "refused",
                f"{self.where} belongs to job {self.job!r}, the caller to {hello.job!r}",
            )
        if hello.role != "worker":
            raise Refused("refused", f"{self.where} serves workers; the caller is a {hello.role}")
        if self.view is None:
            if len(self._early) >= _MAX_EARLY:
                raise Refused("refused", f"{len(self._early)} callers already wait for {self.where} to start")
            self._early.append((sender, hello))
            return
        member = self._workers.get(hello.rank)
        if member is None:
            raise Refused(
                "refused",
                f"worker {hello.rank} is not in job {self.job!r} now; its workers are "
                f"{', '.join(map(str, self.ranks))} (epoch {self.view.epoch})",
            )
        if (hello.incarnation, hello.token) != (member.incarnation, member.token):
            raise Refused("refused", _another(hello, member))
        old = self._connections.get(hello.rank)
        if old is not None and old != sender:
            if self._peers.get(old) == member and hello.seq < self._greeted[hello.rank]:
                return  # from a connection that was replaced, and read late
            self._drop(old)
        self._peers[sender] = member
        self._connections[hello.rank] = sender
        self._greeted[hello.rank] = hello.seq
        welcome = Welcome(hello.seq, self.rank, self.heartbeat_s, self.dead_after_s, 0.0)
        self._out.append((sender, welcome))

    def _drop(self, sender: Destination) -> None:
        """The connection is gone: what it asked for is done, but not answered."""
        self._peers.pop(sender, None)
        for place in [place for place in self._pending if place[0] == sender]:
            del self._pending[place]

    def _admit(self, view: View) -> None:
        if self.view is not None and view.epoch < self.view.epoch:
            return  # overtaken
        self._dissolve_all()
        self.view = view
        self.rank = view.rank
        self._workers = {m.rank: m for m in view.members if m.role == "worker"}
        ranks = tuple(sorted(self._workers))
        for rank, sender in list(self._connections.items()):
            if self._workers.get(rank) != self._peers.get(sender):
                self._drop(sender)
                del self._connections[rank]
                self.controls.pop(rank, None)
        if ranks != self.ranks:
            self.ranks = ranks
            for piece in self.slices.values():
                piece.regroup(ranks)
            for piece in self.slices.values():
                self._settle(piece)
        early, self._early = self._early, []
        for sender, hello in early:
            try:
                self._hello(sender, hello)
            except Refused as e:
                self._out.append((sender, Error(hello.seq, e.code, e.text)))

    # --- declaring ---------------------------------------------------------------------------------

    def was_asked(self, rank: int, message: Init | InitRows) -> None:
        """A worker has declared something: copies must hear of it."""
        if self.effects is not None:
            self.effects.append(Asked(rank, message))

    # --- pushing and pulling -----------------------------------------------------------------------

    def locate(self, what: str, keys: Sequence[int], offsets: Sequence[int], num: int) -> list[Slice]:
        if len(keys) != num or len(offsets) != num:
            raise Refused("bad-value", f"{what} of {num} slices has columns of other lengths")
        get = self.held.get
        pieces: list[Slice] = []
        for place in zip(keys, offsets, strict=True):
            piece = get(place)
            if piece is None:
                raise self._unknown(*place)
            if piece.group is not None:
                self._dissolve(piece.group)
            pieces.append(piece)
        return pieces

    def _unknown(self, number: int, offset: int) -> Refused:
        key = self.keys.get(number)
        if key is None:
            labels = sorted(key.label for key in self.keys.values())
            some = ", ".join(labels[:8]) + (", ..." if len(labels) > 8 else "")
            return Refused(
                "unknown-key",
                f"key number {number:#018x} was never initialised on {self.where}, which has "
                f"{f'{len(labels)} keys: {some}' if labels else 'no keys yet'}",
            )
        if key.is_table:
            return Refused(
                "bad-value", f"{key.label} is a table: its rows are pushed and pulled by their numbers"
            )
        if (number, offset) in self.declared:
            return Refused(
                "unknown-key", f"{key.label} is declared, but no worker has given its first value yet"
            )
        return Refused(
            "bad-value",
            f"{key.label} has no slice at element {offset} on {self.where}; "
            "PSDIST_SLICE_BYTES must be the same in the whole job",
        )

    def put(self, piece: Slice, rank: int, clock: int, grad: Any) -> None:
        """Add a push to its round, unless it is known."""
        if not piece.knows(rank, clock):
            piece.put(rank, clock, grad, self.ranks)
            self._settle(piece)

    # --- groups ------------------------------------------------------------------------------------

    def group(
        self, keys: Sequence[int], offsets: Sequence[int], clocks: Sequence[int], min_clocks: Sequence[int]
    ) -> Group | None:
        """The group of these slices, when the message may see it as one."""
        num = len(keys)
        rule = self.updates.rule
        if rule is not None and not rule.elementwise:
            return None
        if num < MIN_MEMBERS or not self.may_group:
            return None
        if len(clocks) != num or clocks.count(clocks[0]) != num or min_clocks.count(min_clocks[0]) != num:
            return None
        place = (tuple(keys), tuple(offsets))
        group = self._groups.get(place)
        if group is None:
            if place not in self._groups:  # it may never come again
                if len(self._groups) >= _MAX_GROUPS:
                    self._dissolve_all()
                    self._groups.clear()
                self._groups[place] = None
                return None
            group = self._groups[place] = Group(self.locate("a list", keys, offsets, num))
        return group

    def _dissolve(self, group: Group) -> None:
        members = group.dissolve()
        for pending in self._pending.values():
            if pending.group is group:
                pending.group = None
                if pending.pieces is not None:
                    pending.pieces = members

    def _dissolve_all(self) -> None:
        for group in self._groups.values():
            if group is not None and group.one is not None:
                self._dissolve(group)

    def wait_for_clocks(self, pieces: list[Slice], clocks: Sequence[int], pending: _Pending) -> None:
        for piece, clock in zip(pieces, clocks, strict=True):
            if piece.clock < clock:
                piece.waiting.append((-1, clock, pending))
                pending.missing += 1

    def apply(
        self,
        piece: Slice,
        grad: Any,
        clock: int,
        ranks: tuple[int, ...],
        portions: tuple[int, ...] = (),
    ) -> None:
        """Apply a round's sum, or one gradient, to a slice."""
        if isinstance(piece, TablePart):
            gone = self.updates.apply_rows(piece, grad, clock)
            if self.effects is not None:
                self.effects.append(AppliedRows(piece, kept(grad), gone, clock, piece.clock, ranks))
            if self.on_round is not None:
                self.on_round(piece)
        else:
            self.updates.apply(piece, grad, clock, len(ranks))
            self._applied(piece, grad, clock, ranks, portions)

    def apply_whole(
        self,
        pieces: Sequence[Slice],
        grads: Sequence[Tensor],
        clock: int,
        ranks: Sequence[tuple[int, ...]],
        portions: Sequence[tuple[int, ...]],
    ) -> None:
        """`apply` for all slices of a key."""
        self.updates.apply_whole(pieces, grads, clock)
        for piece, grad, pushers, of in zip(pieces, grads, ranks, portions, strict=True):
            self._applied(piece, grad, clock, pushers, of)

    def _applied(
        self, piece: Slice, grad: Tensor, clock: int, ranks: tuple[int, ...], portions: tuple[int, ...]
    ) -> None:
        for portion in portions:
            piece.portions.add(portion)
        if self.effects is not None:
            if not grad.flags.writeable:  # the pusher's memory, which is his again when he has the reply
                grad = grad.copy()
            self.effects.append(Applied(piece, grad, clock, ranks, portions))
        if self.on_round is not None:
            self.on_round(piece)

    def _settle(self, piece: Slice) -> None:
        if piece.key.rule is None:
            piece.settle(self.ranks, self.each, self.apply)
        else:
            whole.settle(piece.key.pieces(), self.ranks, self.each, self.apply_whole)
        self.step_clock = max(self.step_clock, piece.clock)

    # --- replying ----------------------------------------------------------------------------------

    def is_pending(self, sender: Destination, seq: int) -> bool:
        return (sender, seq) in self._pending

    def begin(self, sender: Destination, seq: int, ack: int, pieces: list[Slice] | None) -> _Pending:
        pending = self._pending[sender, seq] = _Pending(self, sender, seq, ack, pieces)
        return pending

    def forget(self, sender: Destination, seq: int) -> None:
        """The request that was begun is refused."""
        del self._pending[sender, seq]

    def _finish(self, pending: _Pending) -> None:
        if self._pending.pop((pending.sender, pending.seq), None) is None:
            return  # its connection is gone
        pieces = pending.pieces
        reply: Message
        if pending.reply is not None:
            reply = pending.reply()
        elif pieces is None:
            reply = Done(pending.seq, pending.ack)
        else:
            group = pending.group
            if group is None:
                reply = Values(pending.seq, [p.clock for p in pieces], self._read(pieces, pending.bases))
            else:
                clocks = [pieces[0].clock] * len(group.lengths)
                reply = Values(pending.seq, clocks, Packed(pieces[0].value, group.lengths))
        self._out.append((pending.sender, reply))

    def _read(self, pieces: list[Slice], bases: Sequence[int]) -> list[Tensor]:
        if self.updates.pull is None:
            return [piece.value for piece in pieces]
        has_rule = self.updates.rule is not None
        if not bases:
            return [views.read(piece, has_rule) for piece in pieces]
        return [views.answer(piece, base, has_rule) for piece, base in zip(pieces, bases, strict=True)]

    # --- settings and the optimizer's state --------------------------------------------------------

    def _set(
        self,
        sender: Destination,
        rank: int,
        message: SetOptimizer | SetHyper | SetStaleness | SetPullCode | SetState | Begin,
    ) -> None:
        self._dissolve_all()
        seen = self.controls.setdefault(rank, {})
        if message.seq not in seen:
            match message:
                case SetOptimizer():
                    self.updates.set_optimizer(message, self.keys.values())
                case SetHyper():
                    self.updates.set_hyper(message, self.slices.values())
                case SetStaleness():
                    self._set_staleness(message.staleness)
                case SetPullCode():
                    if self.each:
                        raise Refused("bad-value", _NOT_WHOLE)
                    self.updates.set_pull(message, self.slices.values())
                case SetState() if (part := tables.named(self, message)) is not None:
                    tables.set_states(self, part, message)
                    if self.effects is not None:
                        self.effects.append(Rewritten([part]))
                case SetState():
                    num = len(message.counts)
                    pieces = self.locate("SetState", message.keys, message.offsets, num)
                    self.updates.set_state(message, pieces)
                    if self.effects is not None:
                        self.effects.append(Rewritten(_with_siblings(pieces)))
                case Begin():
                    self._begin_at(rank, message)
                case _:
                    assert_never(message)
            if self.effects is not None and not isinstance(message, SetState):
                self.effects.append(Asked(rank, message))
            seen[message.seq] = None
            if len(seen) > _MAX_CONTROLS:
                del seen[next(iter(seen))]
        self._out.append((sender, Done(message.seq, 0)))

    def _set_staleness(self, staleness: int) -> None:
        if staleness < -1:
            raise Refused("bad-value", f"staleness {staleness}; wanted 0, a bound above it, or -1 for none")
        if staleness and self.updates.pull is not None:
            raise Refused("bad-value", _NOT_WHOLE)
        self.each = staleness != 0
        for piece in self.slices.values():
            self._settle(piece)

    def _get_state(self, sender: Destination, message: GetState) -> None:
        if (part := tables.named(self, message)) is not None:
            self._out.append((sender, tables.get_states(part, message)))
            return
        pieces = self.locate("GetState", message.keys, message.offsets, len(message.keys))
        self._out.append((sender, self.updates.get_state(message, pieces)))

    def _tell_portions(self, sender: Destination, message: GetPortions) -> None:
        pushed = [
            p
            for p in self.slices.values()
            if (p.clock or p.applied) and not p.key.is_averaged and not isinstance(p, TablePart)
        ]
        if not pushed:
            self._out.append((sender, Portions(message.seq, False, [])))
            return
        shared = functools.reduce(operator.and_, [piece.portions for piece in pushed])
        self._out.append((sender, Portions(message.seq, True, shared.bounds)))

    # --- newcomers ---------------------------------------------------------------------------------

    def _tell_clocks(self, sender: Destination, rank: int, join: Join) -> None:
        """The first rounds that a newcomer can push to. The View has made every round wait for it, so that they
        stay the first; rounds that an earlier life of its rank has pushed to are not for it."""
        self._dissolve_all()
        numbers = [number for number, key in self.keys.items() if key.slices]
        clocks = [max(p.first_free(rank) for p in self.keys[number].slices.values()) for number in numbers]
        self._out.append((sender, Clocks(join.seq, numbers, clocks)))

    def _begin_at(self, rank: int, begin: Begin) -> None:
        if len(begin.keys) != len(begin.clocks):
            raise Refused("bad-value", f"Begin of {len(begin.keys)} keys has columns of other lengths")
        for number, clock in zip(begin.keys, begin.clocks, strict=True):
            key = self.keys.get(number)
            pieces = list(key.slices.values()) if key is not None else []
            for piece in pieces:
                piece.applied[rank] = max(piece.applied.get(rank, 0), clock)
                piece.regroup(self.ranks)
            for piece in pieces:
                self._settle(piece)

    # --- copies ------------------------------------------------------------------------------------

    def count(self) -> None:
        """Slices were put in from outside."""
        self.value_nbytes = sum(piece.value.nbytes for piece in self.slices.values())
        self.updates.count(self.slices.values())
        self.step_clock = max((piece.clock for piece in self.slices.values()), default=0)

    def rest(self) -> None:
        """Be nobody's any more: only what is applied is kept. Whoever waits here asks elsewhere."""
        self._dissolve_all()
        self.effects = self.on_round = None
        self._peers.clear()
        self._connections.clear()
        self._pending.clear()
        self.declared.clear()
        for piece in self.held.values():
            piece.rounds.clear()
            piece.waiting.clear()

    def replay(self, asked: Asked) -> None:
        """Do what a worker asked this shard's primary for. Raises Refused."""
        self._out = []
        if isinstance(asked.message, Init):
            arrays.init_slices(self, SCHEDULER, asked.rank, asked.message)
            self._pending.clear()
        elif isinstance(asked.message, InitRows):
            tables.init_rows(self, SCHEDULER, asked.rank, asked.message)
        else:
            self._set(SCHEDULER, asked.rank, asked.message)


def _with_siblings(pieces: list[Slice]) -> list[Slice]:
    """These slices, and those that go with them: a copy has all of them or none."""
    if pieces and pieces[0].key.rule is not None:
        keys = {piece.key.number: piece.key for piece in pieces}
        return [piece for key in keys.values() for piece in key.pieces()]
    return pieces


def _another(hello: Hello, member: Member) -> str:
    who = f"worker {hello.rank}"
    if hello.incarnation < member.incarnation:
        return (
            f"{who}: incarnation {hello.incarnation} is over; incarnation {member.incarnation} has its place"
        )
    if hello.incarnation > member.incarnation:
        return (
            f"{who}: incarnation {hello.incarnation} has not joined yet; {member.incarnation} has its place"
        )
    return f"{who} is another process already (incarnation {member.incarnation}); two cannot have one rank"

"""What one server does with its slices: rules with no socket, thread, clock or randomness in them.

`step(sender, message, now)` takes one message and returns the messages to send, as `(destination,
message)`; so a test writes a story as a list of steps, and the loop that owns the socket has nothing left
to decide. A sender is the routing id of a connection; `SCHEDULER` stands for the one to the scheduler. A
refusal is a reply, `Error`, and changes nothing: a batch is checked whole before the first of it is
applied.

The arrays of a message belong to the shard once they are handed in; the arrays it hands out are never
written again (rounds.py says how). A server counts *workers*, as the View names them, never connections or
requests.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, assert_never

import numpy as np

from psdist.errors import BadValue, ConfigError
from psdist.table import Rows
from psdist.wire.codec import DTYPES, Packed
from psdist.wire.messages import (
    ACK_APPLIED,
    ACK_ON_DISK,
    MAX_ROUNDS_AHEAD,
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
    SetStaleness,
    SetState,
    Share,
    States,
    Status,
    StatusReport,
    Synced,
    Tensor,
    Tensors,
    Values,
    View,
    Welcome,
    key_number,
)

from . import tables, whole
from .groups import MIN_MEMBERS, Group
from .parts import TablePart, kept
from .rounds import Empty, Key, Slice
from .updates import Refused, Updates

__all__ = [
    "SCHEDULER",
    "Applied",
    "AppliedRows",
    "Asked",
    "Destination",
    "Effect",
    "Out",
    "Rewritten",
    "Shard",
]

Destination = bytes
Out = list[tuple[Destination, Message]]

SCHEDULER: Final[Destination] = b""  # no routing id is empty
_DTYPES: Final = {dtype.name: dtype for dtype in DTYPES.values()}
_MAX_ELEMENTS: Final = 1 << 60
_MAX_GROUPS: Final = 4096  # lists of keys that are remembered
_MAX_CONTROLS: Final = 64  # of one worker, remembered so that a late copy of an old one changes nothing
_MAX_BOUNDS: Final = 32768  # of the runs of portions of a slice: 256 KB
_MAX_EARLY: Final = 65536  # workers that may knock before the View is there


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
    message: Init | InitRows | SetOptimizer | SetHyper | SetStaleness | Begin


@dataclass(frozen=True, slots=True)
class Rewritten:
    """These slices have changed in another way than by rounds."""

    pieces: list[Slice]


Effect = Applied | AppliedRows | Asked | Rewritten


class _Pending:
    """A request whose reply waits for `missing` things."""

    __slots__ = ("ack", "group", "missing", "pieces", "reply", "sender", "seq", "shard")

    def __init__(
        self, shard: Shard, sender: Destination, seq: int, ack: int, pieces: list[Slice] | None
    ) -> None:
        self.shard = shard
        self.sender = sender
        self.seq = seq
        self.ack = ack
        self.pieces = pieces  # to read for the reply; None: it is Done
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
        self._nbytes = 0  # of values
        self.keys: dict[int, Key] = {}
        self.heartbeat_s = heartbeat_s
        self.dead_after_s = dead_after_s
        self._view: View | None = None
        self._workers: dict[int, Member] = {}
        self._ranks: tuple[int, ...] = ()  # of the workers, ascending
        self._peers: dict[Destination, Member] = {}  # who said Hello, and was right to
        self._connections: dict[int, Destination] = {}  # of a rank: its newest
        self._greeted: dict[int, int] = {}  # the seq of the Hello on it
        self._early: list[tuple[Destination, Hello]] = []  # knocked before the View was there
        self._slices: dict[tuple[int, int], Slice] = {}
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
        self._num_warned = 0
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
        return self._nbytes + self.updates.nbytes + sum(part.nbytes for part in self.tables.values())

    @property
    def where(self) -> str:
        """This server's name, for people."""
        return f"server {self.rank}" if self.rank >= 0 else "this server"

    @property
    def num_slices(self) -> int:
        return len(self._slices)

    def slice_at(self, number: int, offset: int) -> Slice:
        """One slice, standing for itself. Raises KeyError."""
        piece = self._slices[number, offset]
        if piece.group is not None:
            self._dissolve(piece.group)
        return piece

    @property
    def slices(self) -> dict[tuple[int, int], Slice]:
        """All slices, by (key number, offset), each standing for itself."""
        self._dissolve_all()
        return self._slices

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
                self._push(sender, peer.rank, message)
            case Pull():
                self._pull(sender, message)
            case Init():
                self._init(sender, peer.rank, message)
            case InitRows():
                tables.init_rows(self, sender, peer.rank, message)
            case PushRows():
                tables.push_rows(self, sender, peer.rank, message)
            case PullRows():
                tables.pull_rows(self, sender, message)
            case SetOptimizer() | SetHyper() | SetStaleness() | SetState() | Begin():
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
        if self._view is None:
            if len(self._early) >= _MAX_EARLY:
                raise Refused("refused", f"{len(self._early)} callers already wait for {self.where} to start")
            self._early.append((sender, hello))
            return
        member = self._workers.get(hello.rank)
        if member is None:
            raise Refused(
                "refused",
                f"worker {hello.rank} is not in job {self.job!r} now; its workers are "
                f"{', '.join(map(str, self._ranks))} (epoch {self._view.epoch})",
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
        if self._view is not None and view.epoch < self._view.epoch:
            return  # overtaken
        self._dissolve_all()
        self._view = view
        self.rank = view.rank
        self._workers = {m.rank: m for m in view.members if m.role == "worker"}
        ranks = tuple(sorted(self._workers))
        for rank, sender in list(self._connections.items()):
            if self._workers.get(rank) != self._peers.get(sender):
                self._drop(sender)
                del self._connections[rank]
                self.controls.pop(rank, None)
        if ranks != self._ranks:
            self._ranks = ranks
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

    def _init(self, sender: Destination, rank: int, init: Init) -> None:
        if self.is_pending(sender, init.seq):
            return
        num = len(init.names)
        columns = (init.dtypes, init.shapes, init.offsets, init.lengths)
        if any(len(column) != num for column in columns) or len(init.values) not in (0, num):
            raise Refused("bad-value", f"Init of {num} slices has columns of other lengths")
        pending = self.begin(sender, init.seq, 0, None)
        new: list[tuple[Key, int]] = []
        added: list[tuple[int, int]] = []
        missing: list[tuple[int, int]] = []
        try:
            for i in range(num):
                value = init.values[i] if init.values else None
                key, number = self._declare(init, i, value, new)
                place = (number, init.offsets[i])
                if place in self._slices:
                    continue
                if value is None:
                    missing.append(place)
                else:
                    self._slices[place] = key.add(init.offsets[i], key.own(value))
                    self._nbytes += value.nbytes
                    added.append(place)
        except Refused:
            del self._pending[sender, init.seq]
            for place in added:
                key = self.keys[place[0]]
                self._nbytes -= self._slices.pop(place).value.nbytes
                del key.slices[place[1]]
                key.starts.remove(place[1])
            for _, number in new:
                del self.keys[number]
            raise
        if added:
            self.was_asked(rank, init)
        for place in added:
            for waiter in self.declared.pop(place, ()):
                waiter.one_is_there()
        for place in missing:
            self.declared.setdefault(place, []).append(pending)
            pending.missing += 1
        pending.one_is_there()

    def _declare(
        self, init: Init, i: int, value: Tensor | None, new: list[tuple[Key, int]]
    ) -> tuple[Key, int]:
        """The key of the i-th slice, after checking that the slice fits it."""
        name, shape, offset, length = init.names[i], init.shapes[i], init.offsets[i], init.lengths[i]
        dtype = _DTYPES.get(init.dtypes[i])
        if name[:2] not in ("i:", "s:", "m:"):
            raise Refused("bad-value", f"{name!r} is no key's name; wanted 'i:3', 's:weight' or 'm:mean'")
        if dtype is None:
            raise Refused(
                "bad-value", f"{name!r}: dtype {init.dtypes[i]!r}; wanted one of {', '.join(_DTYPES)}"
            )
        if len(shape) > 32 or min(shape, default=0) < 0 or math.prod(shape) > _MAX_ELEMENTS:
            raise Refused("bad-value", f"{name!r}: no array has the shape {shape}")
        number = key_number(name)
        key = self.keys.get(number)
        if key is None:
            key = self.keys[number] = Key(name, shape, dtype, self.empty)
            self.updates.fit(key)
            new.append((key, number))
        elif key.is_table:
            raise Refused("bad-value", f"{key.label} is a table, and now comes as an array")
        elif key.name != name:
            raise Refused("bad-value", f"the keys {key.name!r} and {name!r} have the same number; rename one")
        if key.shape != shape or key.dtype != dtype:
            raise Refused(
                "bad-value",
                f"{key.label} was initialised as {key.dtype.name} {key.shape}, "
                f"and now comes as {dtype.name} {shape}",
            )
        if misfit := key.misfit(offset, length):
            raise Refused("bad-value", misfit)
        if value is not None and (value.size != length or value.dtype != dtype):
            raise Refused(
                "bad-value",
                f"{key.label}: the value has {value.size} elements of {value.dtype.name}; "
                f"wanted {length} of {dtype.name}",
            )
        return key, number

    def was_asked(self, rank: int, message: Init | InitRows) -> None:
        """A worker has declared something: copies must hear of it."""
        if self.effects is not None:
            self.effects.append(Asked(rank, message))

    # --- pushing and pulling -----------------------------------------------------------------------

    def _locate(self, what: str, keys: Sequence[int], offsets: Sequence[int], num: int) -> list[Slice]:
        if len(keys) != num or len(offsets) != num:
            raise Refused("bad-value", f"{what} of {num} slices has columns of other lengths")
        get = self._slices.get
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

    def _push(self, sender: Destination, rank: int, push: Push | PushPull) -> None:
        if self.is_pending(sender, push.seq):
            return
        self.check_push(push)
        num = len(push.values)
        pulls = isinstance(push, PushPull)
        if len(push.clocks) != num or (isinstance(push, PushPull) and len(push.min_clocks) != num):
            raise Refused("bad-value", f"a push of {num} slices has columns of other lengths")
        clocks, values = push.clocks, push.values
        needs = push.min_clocks if isinstance(push, PushPull) else clocks
        group = self.group(push.keys, push.offsets, clocks, needs)
        if (
            group is not None
            and (flat := group.flat(values)) is not None
            and (self.guard == "off" or _is_finite(flat))  # else the key that is not is to be named
            and (one := group.form()) is not None
        ):
            pieces, clocks, values = [one], clocks[:1], [flat]
        else:
            group = None
            pieces = self._locate(type(push).__name__, push.keys, push.offsets, num)
        for i, (piece, clock, grad) in enumerate(zip(pieces, clocks, values, strict=True)):
            if grad.size != piece.value.size or grad.dtype != piece.key.dtype:
                values = [*values[:i], _decompressed(piece, grad), *values[i + 1 :]]
            self.check_round(piece, rank, clock)
        if push.portions:
            self._check_portions(rank, push.portions, pieces, clocks)
        if self.guard != "off":
            self.look_for_nan(rank, clocks, values, pieces)
        pending = self.begin(sender, push.seq, push.ack, pieces if pulls else None)
        pending.group = group
        ranks, each = self._ranks, self.each
        for piece, clock, grad in zip(pieces, clocks, values, strict=True):
            if not piece.knows(rank, clock):
                piece.put(rank, clock, grad, ranks, push.portions)
                if piece.key.rule is None:
                    piece.settle(ranks, each, self.apply)
                elif each or piece.is_due(ranks):
                    whole.settle(piece.key.pieces(), ranks, each, self.apply_whole)
                if piece.clock > self.step_clock:
                    self.step_clock = piece.clock
        for piece, clock in zip(pieces, clocks, strict=True):
            if not piece.has(rank, clock + 1):
                piece.waiting.append((rank, clock + 1, pending))
                pending.missing += 1
        if isinstance(push, PushPull):
            self.wait_for_clocks(pieces, push.min_clocks[: len(pieces)], pending)
        pending.one_is_there()

    def check_push(self, push: Push | PushPull | PushRows) -> None:
        """Whether a push is of this time, and may ask for its durability. Raises Refused."""
        assert self._view is not None, "a worker was admitted without a View"
        if push.epoch < self._view.fence:
            raise Refused(
                "stale-epoch",
                f"a push of epoch {push.epoch} came after a change; now it is {self._view.epoch}",
            )
        if not ACK_APPLIED <= push.ack <= self.max_ack:
            raise Refused("unsupported", _ack_is_too_high(push.ack, self.where))

    def check_round(self, piece: Slice, rank: int, clock: int) -> None:
        """Whether a worker may push to this round of a slice. Raises Refused."""
        if clock < piece.clock:
            if not piece.knows(rank, clock):
                raise Refused("stale-round", f"round {clock} of {piece.key.label} closed; now {piece.clock}")
        elif (
            clock - (applied := piece.applied.get(rank, 0) if self.each else piece.clock) >= MAX_ROUNDS_AHEAD
        ):
            raise Refused(
                "bad-value",
                f"round {clock} of {piece.key.label} is too far ahead: {applied} are applied, "
                f"and {MAX_ROUNDS_AHEAD} may be open",
            )
        if self.updates.rule is None:
            if self.each:
                raise Refused(
                    "bad-value",
                    f"{piece.key.label}: pushing asynchronously needs an optimizer on the servers; "
                    "call set_optimizer first",
                )
        elif piece.key.dtype.kind != "f":
            raise Refused(
                "bad-value", f"{piece.key.label} is {piece.key.dtype.name}; an optimizer needs floats"
            )
        elif piece.key.rule is not None and (missing := piece.key.missing()):
            raise Refused("bad-value", f"{self.updates.rule.name} {missing}")

    def put(self, piece: Slice, rank: int, clock: int, grad: Any) -> None:
        """Add a push to its round, unless it is known."""
        if not piece.knows(rank, clock):
            piece.put(rank, clock, grad, self._ranks)
            self._settle(piece)

    def _check_portions(
        self, rank: int, portions: Sequence[int], pieces: list[Slice], clocks: Sequence[int]
    ) -> None:
        for piece, clock in zip(pieces, clocks, strict=True):
            if piece.knows(rank, clock) or piece.key.is_averaged:
                continue
            if len(piece.portions.bounds) > _MAX_BOUNDS:
                raise Refused(
                    "bad-value",
                    f"{piece.key.label}: the portions of the data that it holds are more than {_MAX_BOUNDS // 2} runs; "
                    "number them from 0 in the order in which they are handed out",
                )
            if 0 < (num := piece.num_here(portions)) < len(portions):
                raise Refused(
                    "bad-value",
                    f"{piece.key.label}: {num} of the {len(portions)} portions of a push are in it already, the "
                    "others not; one gradient cannot be divided",
                )

    def look_for_nan(self, rank: int, clocks: Sequence[int], values: Tensors, pieces: list[Slice]) -> None:
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
                if self.guard == "refuse":
                    raise Refused("bad-value", f"{text}; PSDIST_GUARD=refuse does not take them")
                self._num_warned += 1
                if self._num_warned & (self._num_warned - 1) == 0:  # the 1st, 2nd, 4th, ...
                    self.warnings.append(f"{text} ({self._num_warned} such so far)")

    def _pull(self, sender: Destination, pull: Pull) -> None:
        if self.is_pending(sender, pull.seq):
            return
        group = self.group(pull.keys, pull.offsets, pull.min_clocks, pull.min_clocks)
        if group is not None and (one := group.form()) is not None:
            pieces = [one]
        else:
            group = None
            pieces = self._locate("Pull", pull.keys, pull.offsets, len(pull.min_clocks))
        pending = self.begin(sender, pull.seq, 0, pieces)
        pending.group = group
        self.wait_for_clocks(pieces, pull.min_clocks[: len(pieces)], pending)
        pending.one_is_there()

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
            group = self._groups[place] = Group(self._locate("a list", keys, offsets, num))
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
            piece.settle(self._ranks, self.each, self.apply)
        else:
            whole.settle(piece.key.pieces(), self._ranks, self.each, self.apply_whole)
        self.step_clock = max(self.step_clock, piece.clock)

    # --- replying ----------------------------------------------------------------------------------

    def is_pending(self, sender: Destination, seq: int) -> bool:
        return (sender, seq) in self._pending

    def begin(self, sender: Destination, seq: int, ack: int, pieces: list[Slice] | None) -> _Pending:
        pending = self._pending[sender, seq] = _Pending(self, sender, seq, ack, pieces)
        return pending

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
                reply = Values(pending.seq, [p.clock for p in pieces], [p.value for p in pieces])
            else:
                clocks = [pieces[0].clock] * len(group.lengths)
                reply = Values(pending.seq, clocks, Packed(pieces[0].value, group.lengths))
        self._out.append((pending.sender, reply))

    # --- settings and the optimizer's state --------------------------------------------------------

    def _set(
        self,
        sender: Destination,
        rank: int,
        message: SetOptimizer | SetHyper | SetStaleness | SetState | Begin,
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
                case SetState() if (part := tables.named(self, message)) is not None:
                    tables.set_states(self, part, message)
                    if self.effects is not None:
                        self.effects.append(Rewritten([part]))
                case SetState():
                    num = len(message.counts)
                    pieces = self._locate("SetState", message.keys, message.offsets, num)
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
        self.each = staleness != 0
        for piece in self.slices.values():
            self._settle(piece)

    def _get_state(self, sender: Destination, message: GetState) -> None:
        if (part := tables.named(self, message)) is not None:
            self._out.append((sender, tables.get_states(part, message)))
            return
        pieces = self._locate("GetState", message.keys, message.offsets, len(message.keys))
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
                piece.regroup(self._ranks)
            for piece in pieces:
                self._settle(piece)

    # --- copies ------------------------------------------------------------------------------------

    def count(self) -> None:
        """Slices were put in from outside."""
        self._nbytes = sum(piece.value.nbytes for piece in self.slices.values())
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
        for piece in self._slices.values():
            piece.rounds.clear()
            piece.waiting.clear()

    def replay(self, asked: Asked) -> None:
        """Do what a worker asked this shard's primary for. Raises Refused."""
        self._out = []
        if isinstance(asked.message, Init):
            self._init(SCHEDULER, asked.rank, asked.message)
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


def _is_finite(array: Tensor) -> bool:
    """Whether all are finite; of numbers whose sum overflows, it may be said that not."""
    with np.errstate(all="ignore"):
        return array.dtype.kind != "f" or math.isfinite(float(array.sum()))


def _ack_is_too_high(ack: int, where: str) -> str:
    if ack == ACK_ON_DISK:
        return (
            f"{where} acknowledges no push as on disk (3): a snapshot holds what was applied until its round, and no "
            "more; what is safe in other servers' memory is acknowledged as replicated (2), with --replicas 1"
        )
    return f"{where} acknowledges what is applied (1), not level {ack}; replicas are made by --replicas 1"


def _decompressed(piece: Slice, grad: Tensor) -> Tensor:
    """What a push of bytes to an array of float32 means. Raises Refused."""
    if grad.dtype != np.uint8 or piece.key.dtype != np.float32:
        raise Refused("bad-value", _misfit(piece, grad))
    from psdist.kvstore.compress import unpack  # only now: with the store comes much else

    try:
        return unpack(grad, piece.value.size)
    except (BadValue, ConfigError) as e:
        raise Refused("bad-value", f"{piece.key.label}: {e}") from None


def _misfit(piece: Slice, grad: Tensor) -> str:
    key = piece.key
    where = "" if piece.value.size == key.num_elements else f" in its slice at {piece.offset}"
    return (
        f"{key.label} is {key.dtype.name} {key.shape}: {piece.value.size} elements{where}; "
        f"the push has {grad.size} of {grad.dtype.name}"
    )


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

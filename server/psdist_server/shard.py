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

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, assert_never

import numpy as np

from psdist import errors
from psdist.wire.codec import DTYPES, PACKED
from psdist.wire.messages import (
    ACK_APPLIED,
    MAX_ROUNDS_AHEAD,
    SENDERS,
    Abort,
    Alive,
    Barrier,
    Done,
    Error,
    ErrorCode,
    Finish,
    GetState,
    Hello,
    Init,
    Leave,
    Lost,
    Member,
    Message,
    Pull,
    Push,
    PushPull,
    SetHyper,
    SetOptimizer,
    SetStaleness,
    SetState,
    States,
    Status,
    StatusReport,
    Tensor,
    Values,
    View,
    Welcome,
    key_number,
)

from .rounds import Key, Slice

if TYPE_CHECKING:
    from psdist.optimizer import Rule

__all__ = ["SCHEDULER", "Destination", "Out", "Shard"]

Destination = bytes
Out = list[tuple[Destination, Message]]

SCHEDULER: Final[Destination] = b""  # no routing id is empty
_DTYPES: Final = {dtype.name: dtype for dtype in DTYPES.values()}
_MAX_ELEMENTS: Final = 1 << 60
_MAX_CONTROLS: Final = 64  # of one worker, remembered so that a late copy of an old one changes nothing
_MAX_HYPERS: Final = 1024  # learning rates ahead of the slowest key
_MAX_EARLY: Final = 65536  # workers that may knock before the View is there


class _Refused(Exception):
    """The request is understood and refused."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code: ErrorCode = code
        self.text = text


class _Pending:
    """A request whose reply waits for `missing` things."""

    __slots__ = ("ack", "missing", "pieces", "sender", "seq", "shard")

    def __init__(
        self, shard: Shard, sender: Destination, seq: int, ack: int, pieces: list[Slice] | None
    ) -> None:
        self.shard = shard
        self.sender = sender
        self.seq = seq
        self.ack = ack
        self.pieces = pieces  # to read for the reply; None: it is Done
        self.missing = 1  # itself, until all its conditions are counted

    def one_is_there(self) -> None:
        self.missing -= 1
        if not self.missing:
            self.shard._finish(self)


class Shard:
    """The slices of one server, and the workers admitted to it."""

    def __init__(self, job: str, *, heartbeat_s: float = 1.0, dead_after_s: float = 8.0) -> None:
        self.job = job
        self.rank = -1  # the View says it
        self.step_clock = 0  # the highest clock of a slice
        self.nbytes = 0  # of values and optimizer states
        self.keys: dict[int, Key] = {}
        self._heartbeat_s = heartbeat_s
        self._dead_after_s = dead_after_s
        self._view: View | None = None
        self._workers: dict[int, Member] = {}
        self._ranks: tuple[int, ...] = ()  # of the workers, ascending
        self._peers: dict[Destination, Member] = {}  # who said Hello, and was right to
        self._connections: dict[int, Destination] = {}  # of a rank: its newest
        self._early: list[tuple[Destination, Hello]] = []  # knocked before the View was there
        self._slices: dict[tuple[int, int], Slice] = {}
        self._declared: dict[tuple[int, int], list[_Pending]] = {}  # wait for a first value
        self._pending: dict[tuple[Destination, int], _Pending] = {}
        self._controls: dict[int, dict[int, None]] = {}  # by rank: the seqs of its latest settings
        self._each = False  # apply every push as it comes, not whole rounds
        self._rule: Rule | None = None
        self._hypers: list[tuple[int, float, float]] = []  # (from round, lr, wd), ascending
        self._lr_mult: dict[str, float] = {}
        self._wd_mult: dict[str, float] = {}
        self._out: Out = []

    def step(self, sender: Destination, message: Message, now: float) -> Out:
        """Take one message; what to send because of it."""
        self._out = []
        try:
            self._take(sender, message)
        except _Refused as e:
            self._out.append((sender, Error(getattr(message, "seq", -1), e.code, e.text)))
        return self._out

    @property
    def where(self) -> str:
        """This server's name, for people."""
        return f"server {self.rank}" if self.rank >= 0 else "this server"

    # --- who speaks --------------------------------------------------------------------------------

    def _take(self, sender: Destination, message: Message) -> None:
        if isinstance(message, Hello):
            self._hello(sender, message)
            return
        role = "scheduler" if sender == SCHEDULER else "worker"
        if role not in SENDERS[type(message)]:
            raise _Refused("refused", f"{type(message).__name__} is not for a {role} to send")
        if sender == SCHEDULER:
            if isinstance(message, View):
                self._admit(message)
            return
        peer = self._peers.get(sender)
        if peer is None:
            raise _Refused("not-admitted", f"say Hello to {self.where} first, then send again")
        match message:
            case Push() | PushPull():
                self._push(sender, peer.rank, message)
            case Pull():
                self._pull(sender, message)
            case Init():
                self._init(sender, message)
            case SetOptimizer() | SetHyper() | SetStaleness() | SetState():
                self._set(sender, peer.rank, message)
            case GetState():
                self._get_state(sender, message)
            case Alive() | Abort() | Welcome() | View() | Values() | States() | Finish() | StatusReport():
                pass
            case Done() | Error():
                pass
            case Barrier() | Leave() | Status() | Lost():
                raise _Refused(
                    "refused", f"{type(message).__name__} is for the scheduler, not for {self.where}"
                )
            case _:
                assert_never(message)

    def _hello(self, sender: Destination, hello: Hello) -> None:
        if hello.job != self.job:
            raise _Refused(
                "refused",
                f"{self.where} belongs to job {self.job!r}, the caller to {hello.job!r}",
            )
        if hello.role != "worker":
            raise _Refused("refused", f"{self.where} serves workers; the caller is a {hello.role}")
        if self._view is None:
            if len(self._early) >= _MAX_EARLY:
                raise _Refused(
                    "refused", f"{len(self._early)} callers already wait for {self.where} to start"
                )
            self._early.append((sender, hello))
            return
        member = self._workers.get(hello.rank)
        if member is None:
            raise _Refused(
                "refused",
                f"worker {hello.rank} is not in job {self.job!r} now; its workers are "
                f"{', '.join(map(str, self._ranks))} (epoch {self._view.epoch})",
            )
        if (hello.incarnation, hello.token) != (member.incarnation, member.token):
            raise _Refused("refused", _another(hello, member))
        old = self._connections.get(hello.rank)
        if old is not None and old != sender:
            self._drop(old)
        self._peers[sender] = member
        self._connections[hello.rank] = sender
        welcome = Welcome(hello.seq, self.rank, self._heartbeat_s, self._dead_after_s, 0.0)
        self._out.append((sender, welcome))

    def _drop(self, sender: Destination) -> None:
        """The connection is gone: what it asked for is done, but not answered."""
        self._peers.pop(sender, None)
        for place in [place for place in self._pending if place[0] == sender]:
            del self._pending[place]

    def _admit(self, view: View) -> None:
        if self._view is not None and view.epoch < self._view.epoch:
            return  # overtaken
        self._view = view
        self.rank = view.rank
        self._workers = {m.rank: m for m in view.members if m.role == "worker"}
        ranks = tuple(sorted(self._workers))
        for rank, sender in list(self._connections.items()):
            if self._workers.get(rank) != self._peers.get(sender):
                self._drop(sender)
                del self._connections[rank]
                self._controls.pop(rank, None)
        if ranks != self._ranks:
            self._ranks = ranks
            for piece in self._slices.values():
                piece.regroup(ranks)
                self._settle(piece)
        early, self._early = self._early, []
        for sender, hello in early:
            try:
                self._hello(sender, hello)
            except _Refused as e:
                self._out.append((sender, Error(hello.seq, e.code, e.text)))

    # --- declaring ---------------------------------------------------------------------------------

    def _init(self, sender: Destination, init: Init) -> None:
        if self._is_pending(sender, init.seq):
            return
        num = len(init.names)
        columns = (init.dtypes, init.shapes, init.offsets, init.lengths)
        if any(len(column) != num for column in columns) or len(init.values) not in (0, num):
            raise _Refused("bad-value", f"Init of {num} slices has columns of other lengths")
        pending = self._begin(sender, init.seq, 0, None)
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
                    large = value.nbytes > PACKED and value.flags.aligned and value.flags.writeable
                    self._slices[place] = key.add(init.offsets[i], value if large else np.array(value))
                    self.nbytes += value.nbytes
                    added.append(place)
        except _Refused:
            del self._pending[sender, init.seq]
            for place in added:
                key = self.keys[place[0]]
                self.nbytes -= self._slices.pop(place).value.nbytes
                del key.slices[place[1]]
                key.starts.remove(place[1])
            for _, number in new:
                del self.keys[number]
            raise
        for place in added:
            for waiter in self._declared.pop(place, ()):
                waiter.one_is_there()
        for place in missing:
            self._declared.setdefault(place, []).append(pending)
            pending.missing += 1
        pending.one_is_there()

    def _declare(
        self, init: Init, i: int, value: Tensor | None, new: list[tuple[Key, int]]
    ) -> tuple[Key, int]:
        """The key of the i-th slice, after checking that the slice fits it."""
        name, shape, offset, length = init.names[i], init.shapes[i], init.offsets[i], init.lengths[i]
        dtype = _DTYPES.get(init.dtypes[i])
        if name[:2] not in ("i:", "s:"):
            raise _Refused("bad-value", f"{name!r} is no key's name; wanted 'i:3' or 's:weight'")
        if dtype is None:
            raise _Refused(
                "bad-value", f"{name!r}: dtype {init.dtypes[i]!r}; wanted one of {', '.join(_DTYPES)}"
            )
        if len(shape) > 32 or min(shape, default=0) < 0 or math.prod(shape) > _MAX_ELEMENTS:
            raise _Refused("bad-value", f"{name!r}: no array has the shape {shape}")
        number = key_number(name)
        key = self.keys.get(number)
        if key is None:
            key = self.keys[number] = Key(name, shape, dtype)
            key.lr_mult = self._lr_mult.get(name, 1.0)
            key.wd_mult = self._wd_mult.get(name, 1.0)
            new.append((key, number))
        elif key.name != name:
            raise _Refused(
                "bad-value", f"the keys {key.name!r} and {name!r} have the same number; rename one"
            )
        if key.shape != shape or key.dtype != dtype:
            raise _Refused(
                "bad-value",
                f"{key.label} was initialised as {key.dtype.name} {key.shape}, "
                f"and now comes as {dtype.name} {shape}",
            )
        if misfit := key.misfit(offset, length):
            raise _Refused("bad-value", misfit)
        if value is not None and (value.size != length or value.dtype != dtype):
            raise _Refused(
                "bad-value",
                f"{key.label}: the value has {value.size} elements of {value.dtype.name}; "
                f"wanted {length} of {dtype.name}",
            )
        return key, number

    # --- pushing and pulling -----------------------------------------------------------------------

    def _locate(self, what: str, keys: Sequence[int], offsets: Sequence[int], num: int) -> list[Slice]:
        if len(keys) != num or len(offsets) != num:
            raise _Refused("bad-value", f"{what} of {num} slices has columns of other lengths")
        get = self._slices.get
        pieces: list[Slice] = []
        for place in zip(keys, offsets, strict=True):
            piece = get(place)
            if piece is None:
                raise self._unknown(*place)
            pieces.append(piece)
        return pieces

    def _unknown(self, number: int, offset: int) -> _Refused:
        key = self.keys.get(number)
        if key is None:
            labels = sorted(key.label for key in self.keys.values())
            some = ", ".join(labels[:8]) + (", ..." if len(labels) > 8 else "")
            return _Refused(
                "unknown-key",
                f"key number {number:#018x} was never initialised on {self.where}, which has "
                f"{f'{len(labels)} keys: {some}' if labels else 'no keys yet'}",
            )
        if (number, offset) in self._declared:
            return _Refused(
                "unknown-key", f"{key.label} is declared, but no worker has given its first value yet"
            )
        return _Refused(
            "bad-value",
            f"{key.label} has no slice at element {offset} on {self.where}; "
            "PSDIST_SLICE_BYTES must be the same in the whole job",
        )

    def _push(self, sender: Destination, rank: int, push: Push | PushPull) -> None:
        if self._is_pending(sender, push.seq):
            return
        assert self._view is not None, "a worker was admitted without a View"
        if push.epoch < self._view.fence:
            raise _Refused(
                "stale-epoch",
                f"a push of epoch {push.epoch} came after a change; now it is {self._view.epoch}",
            )
        if push.ack != ACK_APPLIED:
            raise _Refused(
                "unsupported", f"{self.where} acknowledges what is applied (1), not level {push.ack}"
            )
        num = len(push.values)
        pieces = self._locate(type(push).__name__, push.keys, push.offsets, num)
        pulls = isinstance(push, PushPull)
        if len(push.clocks) != num or (isinstance(push, PushPull) and len(push.min_clocks) != num):
            raise _Refused("bad-value", f"a push of {num} slices has columns of other lengths")
        for piece, clock, grad in zip(pieces, push.clocks, push.values, strict=True):
            if grad.size != piece.value.size or grad.dtype != piece.key.dtype:
                raise _Refused("bad-value", _misfit(piece, grad))
            if clock < piece.clock:
                if not piece.knows(rank, clock):
                    raise _Refused(
                        "stale-round", f"round {clock} of {piece.key.label} closed; now {piece.clock}"
                    )
            elif (
                clock - (applied := piece.applied.get(rank, 0) if self._each else piece.clock)
                >= MAX_ROUNDS_AHEAD
            ):
                raise _Refused(
                    "bad-value",
                    f"round {clock} of {piece.key.label} is too far ahead: {applied} are applied, "
                    f"and {MAX_ROUNDS_AHEAD} may be open",
                )
            if self._rule is None:
                if self._each:
                    raise _Refused(
                        "bad-value",
                        f"{piece.key.label}: pushing asynchronously needs an optimizer on the servers; "
                        "call set_optimizer first",
                    )
            elif piece.key.dtype.kind != "f":
                raise _Refused(
                    "bad-value", f"{piece.key.label} is {piece.key.dtype.name}; an optimizer needs floats"
                )
        pending = self._begin(sender, push.seq, push.ack, pieces if pulls else None)
        ranks, each = self._ranks, self._each
        for piece, clock, grad in zip(pieces, push.clocks, push.values, strict=True):
            if not piece.knows(rank, clock):
                piece.put(rank, clock, grad, ranks)
                piece.settle(ranks, each, self._apply)
                if piece.clock > self.step_clock:
                    self.step_clock = piece.clock
        for piece, clock in zip(pieces, push.clocks, strict=True):
            if not piece.has(rank, clock + 1):
                piece.waiting.append((rank, clock + 1, pending))
                pending.missing += 1
        if isinstance(push, PushPull):
            self._wait_for_clocks(pieces, push.min_clocks, pending)
        pending.one_is_there()

    def _pull(self, sender: Destination, pull: Pull) -> None:
        if self._is_pending(sender, pull.seq):
            return
        pieces = self._locate("Pull", pull.keys, pull.offsets, len(pull.min_clocks))
        pending = self._begin(sender, pull.seq, 0, pieces)
        self._wait_for_clocks(pieces, pull.min_clocks, pending)
        pending.one_is_there()

    def _wait_for_clocks(self, pieces: list[Slice], clocks: Sequence[int], pending: _Pending) -> None:
        for piece, clock in zip(pieces, clocks, strict=True):
            if piece.clock < clock:
                piece.waiting.append((-1, clock, pending))
                pending.missing += 1

    def _settle(self, piece: Slice) -> None:
        piece.settle(self._ranks, self._each, self._apply)
        self.step_clock = max(self.step_clock, piece.clock)

    def _apply(self, piece: Slice, grad: Tensor, clock: int) -> None:
        rule = self._rule
        if rule is None:
            piece.replace(grad)
            return
        value = piece.writable()
        if piece.state is None:
            piece.state = rule.create_state(value)
            self.nbytes += sum(array.nbytes for array in piece.state)
        piece.num_updates += 1
        i = bisect_right(self._hypers, clock, key=_from_round) - 1
        _, lr, wd = self._hypers[max(i, 0)]
        key = piece.key
        rule.update(value, grad, piece.state, lr=lr * key.lr_mult, wd=wd * key.wd_mult, t=piece.num_updates)

    # --- replying ----------------------------------------------------------------------------------

    def _is_pending(self, sender: Destination, seq: int) -> bool:
        return (sender, seq) in self._pending

    def _begin(self, sender: Destination, seq: int, ack: int, pieces: list[Slice] | None) -> _Pending:
        pending = self._pending[sender, seq] = _Pending(self, sender, seq, ack, pieces)
        return pending

    def _finish(self, pending: _Pending) -> None:
        if self._pending.pop((pending.sender, pending.seq), None) is None:
            return  # its connection is gone
        pieces = pending.pieces
        reply: Message
        if pieces is None:
            reply = Done(pending.seq, pending.ack)
        else:
            reply = Values(pending.seq, [p.clock for p in pieces], [p.value for p in pieces])
        self._out.append((pending.sender, reply))

    # --- settings and the optimizer's state --------------------------------------------------------

    def _set(
        self, sender: Destination, rank: int, message: SetOptimizer | SetHyper | SetStaleness | SetState
    ) -> None:
        seen = self._controls.setdefault(rank, {})
        if message.seq not in seen:
            match message:
                case SetOptimizer():
                    self._set_optimizer(message)
                case SetHyper():
                    self._set_hyper(message)
                case SetStaleness():
                    self._set_staleness(message.staleness)
                case SetState():
                    self._set_state(message)
                case _:
                    assert_never(message)
            seen[message.seq] = None
            if len(seen) > _MAX_CONTROLS:
                del seen[next(iter(seen))]
        self._out.append((sender, Done(message.seq, 0)))

    def _set_optimizer(self, message: SetOptimizer) -> None:
        from psdist.optimizer import from_wire  # only now: with it comes much that a server can do without

        try:
            rule = from_wire(message.name, message.numbers)
        except errors.ConfigError as e:
            raise _Refused("bad-value", str(e)) from None
        _check_rate(message.lr, message.wd)
        if not rule.elementwise:
            raise _Refused(
                "unsupported",
                f"{message.name} needs whole arrays, and servers hold slices of them; "
                "use it with update_on_kvstore=False",
            )
        _try_out(rule, message)
        if rule != self._rule:
            for piece in self._slices.values():
                if piece.state is not None:
                    self.nbytes -= sum(array.nbytes for array in piece.state)
                piece.state = None
                piece.num_updates = 0
        self._rule = rule
        self._hypers = [(0, message.lr, message.wd)]
        self._lr_mult, self._wd_mult = message.lr_mult, message.wd_mult
        for key in self.keys.values():
            key.lr_mult = message.lr_mult.get(key.name, 1.0)
            key.wd_mult = message.wd_mult.get(key.name, 1.0)

    def _set_hyper(self, message: SetHyper) -> None:
        if self._rule is None:
            raise _Refused("bad-value", "a learning rate without an optimizer; call set_optimizer first")
        _check_rate(message.lr, message.wd)
        new = (message.from_round, message.lr, message.wd)
        i = bisect_right(self._hypers, message.from_round, key=_from_round)
        if i and self._hypers[i - 1][0] == message.from_round:
            self._hypers[i - 1] = new
        else:
            self._hypers.insert(i, new)
        if len(self._hypers) > _MAX_HYPERS:
            self._trim_hypers()

    def _trim_hypers(self) -> None:
        """Forget rates that no round to come can use; with a key that is never pushed, the oldest."""
        slowest = min((piece.clock for piece in self._slices.values()), default=0)
        first = bisect_right(self._hypers, slowest, key=_from_round) - 1
        self._hypers = self._hypers[max(first, len(self._hypers) - _MAX_HYPERS) :]

    def _set_staleness(self, staleness: int) -> None:
        if staleness < -1:
            raise _Refused("bad-value", f"staleness {staleness}; wanted 0, a bound above it, or -1 for none")
        self._each = staleness != 0
        for piece in self._slices.values():
            self._settle(piece)

    def _get_state(self, sender: Destination, message: GetState) -> None:
        if self._rule is None:
            raise _Refused("bad-value", "no optimizer is set, so there is no state; call set_optimizer first")
        pieces = self._locate("GetState", message.keys, message.offsets, len(message.keys))
        states = [piece.state or () for piece in pieces]
        values = [array.copy() for state in states for array in state]  # states are updated in place
        counts = [len(state) for state in states]
        reply = States(message.seq, [piece.num_updates for piece in pieces], counts, values)
        self._out.append((sender, reply))

    def _set_state(self, message: SetState) -> None:
        if self._rule is None:
            raise _Refused("bad-value", "no optimizer is set, so there is no state; call set_optimizer first")
        num = len(message.counts)
        pieces = self._locate("SetState", message.keys, message.offsets, num)
        if len(message.num_updates) != num or sum(message.counts) != len(message.values):
            raise _Refused("bad-value", f"SetState of {num} slices has columns of other lengths")
        arrays = iter(message.values)
        states: list[tuple[Tensor, ...] | None] = []
        for piece, count in zip(pieces, message.counts, strict=True):
            state = tuple(np.array(next(arrays)) for _ in range(count))
            wanted = self._rule.create_state(piece.value)
            if count and [(a.size, a.dtype) for a in state] != [(a.size, a.dtype) for a in wanted]:
                raise _Refused(
                    "bad-value", f"{piece.key.label}: this state is not one of {self._rule.name}'s"
                )
            states.append(state if count or not wanted else None)
        for piece, state_, num_updates in zip(pieces, states, message.num_updates, strict=True):
            self.nbytes += sum(a.nbytes for a in state_ or ()) - sum(a.nbytes for a in piece.state or ())
            piece.state = state_
            piece.num_updates = num_updates


def _from_round(hyper: tuple[int, float, float]) -> int:
    return hyper[0]


def _check_rate(lr: float, wd: float) -> None:
    if not (math.isfinite(lr) and math.isfinite(wd)):
        raise _Refused("bad-value", f"lr {lr}, wd {wd}; wanted finite numbers")


def _try_out(rule: Rule, message: SetOptimizer) -> None:
    """Run the rule once on nothing that matters: numbers that break it must not break a server later."""
    value = np.ones(1, np.float32)
    try:
        with np.errstate(all="ignore"):
            state = rule.create_state(value)
            for t in (1, 2, 3):
                rule.update(value, value.copy(), state, lr=message.lr, wd=message.wd, t=t)
    except Exception as e:
        raise _Refused(
            "bad-value", f"optimizer {message.name!r} does not work with these numbers: {e!r}"
        ) from e


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

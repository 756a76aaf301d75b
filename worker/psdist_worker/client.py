"""The worker's rules: joining, requests and their replies, deadlines, deaths; no socket, thread or clock.

Tell a `Client` what happens (`submit`, `receive`, `reconnected`, `tick`), and do what it puts into `outbox`.
Whoever owns the sockets has nothing left to decide, and a test tells a story as a list of such calls.

    start -> joining: Hello to the scheduler -> Welcome -> View (when all have come) -> Hello to each server
          -> joined, when each has welcomed us -> leaving: Leave to the scheduler -> left

A request stays in `pending` until its one reply comes. After a reconnect the worker says Hello again and
sends again what is pending there: servers know what they have applied, so that nothing is applied twice. So
it does when a View says that another server serves a shard; a peer is a shard, wherever it is. A
request that passes its deadline is given up, after asking the scheduler who is behind. The first fatal thing
that happens (an Abort, a silent scheduler, a refusal to join) is kept in `failure`, fails what is pending,
and fails every later request at once.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from psdist.errors import ClosedError, PeerLost, ProtocolError, PSError, RequestTimeout
from psdist.settings import Settings
from psdist.wire import messages as m
from psdist.wire.codec import Draft

__all__ = ["SCHEDULER", "Action", "Call", "Client", "Connect", "Peer", "Request", "Send"]

Peer = int  # a shard: what began on the server of that rank; or:
SCHEDULER: Final = -1

_BLAME_S: Final = 1.0  # how long to wait for the scheduler's word on who is behind
_TICK_S: Final = (
    0.05  # how old the scheduler's idea of our step may be: it names the step in which somebody died
)


class Call:
    """What a caller waits for: done when every request that belongs to it has its reply.

    `on_done` is called once, by whoever handles the last reply or the first error.
    """

    __slots__ = ("error", "is_done", "on_done", "remaining", "timeout_s")

    def __init__(self, num_requests: int, timeout_s: float, on_done: Callable[[Call], None]) -> None:
        self.remaining = num_requests
        self.timeout_s = timeout_s
        self.on_done = on_done
        self.error: PSError | None = None
        self.is_done = False

    def finish_one(self) -> None:
        """One of its requests was answered."""
        self.remaining -= 1
        if self.remaining == 0 and not self.is_done:
            self.is_done = True
            self.on_done(self)

    def fail(self, error: PSError) -> None:
        """It will not be done; later replies are of no interest."""
        if not self.is_done:
            self.is_done = True
            self.error = error
            self.on_done(self)


Ask = (
    m.Hello
    | m.Init
    | m.Push
    | m.Pull
    | m.PullChange
    | m.PushPull
    | m.InitRows
    | m.PushRows
    | m.PullRows
    | m.SetOptimizer
    | m.SetHyper
    | m.SetStaleness
    | m.SetPullCode
    | m.GetPortions
    | m.GetState
    | m.SetState
    | m.Join
    | m.Begin
    | m.Barrier
    | m.Leave
    | m.Status
)
Reply = (
    m.Welcome | m.Values | m.RowValues | m.Portions | m.States | m.Clocks | m.StatusReport | m.Done | m.Error
)


@dataclass(slots=True, eq=False)
class Request:
    """A message that wants a reply."""

    peer: Peer
    message: Ask
    call: Call
    priority: int = 0
    what: Callable[[], str] | None = None  # the keys and clock it is about
    deliver: Callable[[Reply], None] | None = None  # takes the values before the call is done
    draft: Draft | None = None  # the message's bytes, when they are made already
    deadline: float = 0.0


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a connection to a peer."""

    peer: Peer
    address: str


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message to a peer; higher priorities first. `request` is whose message it is, if any's."""

    peer: Peer
    message: m.Message
    priority: int = 0
    request: Request | None = None


Action = Connect | Send

_HURRY: Final = 1 << 60  # the priority of what must not wait behind gradients


class Client:
    """One worker's part in a job."""

    def __init__(self, settings: Settings, token: int) -> None:
        self.settings = settings
        self.outbox: deque[Action] = deque()
        self.state: Literal["new", "joining", "joined", "leaving", "left"] = "new"
        self.failure: PSError | None = None
        self.view: m.View | None = None
        self.rank = -1
        self.step = 0  # rounds pushed: told to the scheduler, so that it can name the slow
        self.nbytes = 0  # pushed
        self.num_keys = 0
        self._token = token
        self._seq = itertools.count(1)
        self._pending: dict[int, Request] = {}  # by seq, in the order of sending
        self._expired: list[Request] = []  # past their deadline, until the scheduler has said who is behind
        self._blame_until = 0.0
        self._address: dict[Peer, str] = {}
        self._passed: dict[str, int] = {}  # barriers by name: how often
        self._served_by: dict[Peer, tuple[m.Member, int]] = {}  # and in which term
        self._lives: dict[Peer, int] = {}  # how many servers have served it
        self._greeting: dict[Peer, int] = {}  # seq of the Hello that is not answered yet
        self._welcomed: set[Peer] = set()
        self._turned_away: set[Peer] = set()
        self._join: Call | None = None
        self._heartbeat_s = settings.heartbeat_s
        self._dead_after_s = settings.dead_after_s
        self._join_by = 0.0
        self._next_alive = 0.0
        self._told = 0  # the step that the scheduler knows
        self._heard = 0.0  # when the scheduler last said something
        self._ticked = 0.0

    def next_seq(self) -> int:
        """A number for a request. May be called by any thread."""
        return next(self._seq)

    @property
    def ack(self) -> int:
        """The durability that pushes ask for."""
        if self.settings.ack:
            return {"applied": m.ACK_APPLIED, "replicated": m.ACK_REPLICATED, "on-disk": m.ACK_ON_DISK}[
                self.settings.ack
            ]
        return m.ACK_REPLICATED if self.view is not None and self.view.replicas else m.ACK_APPLIED

    @property
    def is_late(self) -> bool:
        """Whether the job was running when this worker came."""
        return self.view is not None and self.view.joined > 1

    @property
    def leads(self) -> bool:
        """Whether this worker speaks for all, where one must: the first of those who are here."""
        ranks = [member.rank for member in self.view.members if member.role == "worker"] if self.view else []
        return self.rank == min(ranks, default=0)

    @property
    def num_servers(self) -> int:
        """With which the job began: slices are spread over so many."""
        return self.view.num_servers if self.view is not None else 0

    @property
    def is_busy(self) -> bool:
        """Whether a reply is waited for."""
        return self.failure is None and bool(
            self._pending or self._expired or self._greeting or self.state == "joining"
        )

    @property
    def num_shards(self) -> int:
        """The peers that hold slices are 0, 1, ..., this less one."""
        return len(m.placements(self.view)) if self.view is not None else 0

    # --- what happens -----------------------------------------------------------------------------

    def start(self, address: str, join: Call, now: float) -> None:
        """Join the job whose scheduler is at `address`."""
        assert self.state == "new"
        self.state = "joining"
        self._join = join
        self._address[SCHEDULER] = address
        self._join_by = now + self.settings.connect_timeout_s
        self._ticked = self._heard = now
        self.outbox.append(Connect(SCHEDULER, address))
        self._greet(SCHEDULER)

    def submit(self, request: Request, now: float) -> None:
        """Send a request, or fail it at once when nothing can come of it."""
        if self.failure is not None:
            request.call.fail(self.failure)
        elif self.state not in ("joined", "leaving"):
            request.call.fail(ClosedError("the store is closed"))
        elif not request.call.is_done:
            request.deadline = now + request.call.timeout_s
            self._pending[request.message.seq] = request
            if request.peer not in self._greeting:  # else it is sent when the peer has welcomed us
                self._send(request)

    def receive(self, peer: Peer, message: m.Message, now: float) -> None:
        """A message has come from a peer."""
        if peer == SCHEDULER:
            self._heard = now
        match message:
            case (
                m.Values()
                | m.RowValues()
                | m.Portions()
                | m.Done()
                | m.States()
                | m.Clocks()
                | m.StatusReport()
            ):
                self._answer(message)
            case m.Error():
                self._refused(peer, message)
            case m.Welcome():
                self._welcome(peer, message, now)
            case m.View():
                self._take_view(message)
            case m.Abort():
                self._aborted(message)
            case m.Alive():
                pass
            case m.Finish():
                pass  # for servers; our own Leave was the last word
            case _:
                self.fail(
                    ProtocolError(f"{self._name(peer)} sent {type(message).__name__}, not for a worker")
                )

    def bad_message(self, peer: Peer, error: ProtocolError, seq: int) -> None:
        """Bytes came from a peer that are no message; `seq` is the request they answer, -1 if unknown."""
        error = ProtocolError(f"{self._name(peer)} sent {error}")
        request = self._pending.pop(seq, None)
        if request is not None:
            request.call.fail(error)
        else:
            self.fail(error)

    def turned_away(self, peer: Peer) -> None:
        """Somebody listens where the peer should be, but does not speak with us: mostly a matter of keys."""
        self._turned_away.add(peer)

    def reconnected(self, peer: Peer, now: float) -> None:
        """The connection to a peer broke and is there again: nobody knows what arrived."""
        if self.state not in ("new", "left") and self.failure is None:
            self._greeting.pop(peer, None)
            self._greet(peer)

    def tick(self, now: float) -> None:
        """Time has passed: heartbeats, deadlines, silence."""
        asleep = now - self._ticked - 2 * self._heartbeat_s
        if asleep > 0:  # this process was stopped: what others said meanwhile is still on its way in
            self._heard += asleep
        self._ticked = now
        if self.failure is not None or self.state in ("new", "left"):
            return
        if self.state == "joining" and now >= self._join_by:
            self._give_up_joining()
            return
        if SCHEDULER in self._welcomed:
            patience = self._dead_after_s
            if self.state == "joined":
                patience = max(patience, self.settings.scheduler_away_s)
            if now - self._heard > patience:
                if self.state == "leaving":
                    self._leave_unheard()
                    return
                self.fail(
                    PeerLost(
                        f"the scheduler ({self._address[SCHEDULER]}) has been silent for "
                        f"{now - self._heard:.1f} s, so it is dead or cut off; "
                        f"this worker was at step {self.step}"
                    )
                )
                return
            if now >= self._next_alive or self.step != self._told:
                self._next_alive = now + self._heartbeat_s
                self._told = self.step
                self._tell_alive()
        self._expire(now)

    def wake_at(self, now: float) -> float:
        """When `tick` is due."""
        return now + min(_TICK_S, self._heartbeat_s)

    def leave(self, done: Call, now: float) -> None:
        """Say goodbye to the scheduler and every server."""
        if self.failure is not None or self.state != "joined":
            done.fail(self.failure or ClosedError("not a member"))
            return
        self.state = "leaving"
        done.remaining = 1

        def left(reply: Reply) -> None:
            self.state = "left"

        # last of all: after every push that still waits for its turn
        self.submit(Request(SCHEDULER, m.Leave(self.next_seq()), done, -_HURRY, deliver=left), now)

    def _leave_unheard(self) -> None:
        """Nobody answers our goodbye. All we have pushed is acknowledged, so that nothing has failed: the job is
        over and the scheduler gone, or it will miss us."""
        self.state = "left"
        for goodbye in [r for r in self._pending.values() if isinstance(r.message, m.Leave)]:
            del self._pending[goodbye.message.seq]
            goodbye.call.finish_one()

    def abort(self, reason: str) -> None:
        """This worker has failed: tell the scheduler, who tells everybody."""
        if self.failure is None and self.state in ("joining", "joined", "leaving"):
            abort = m.Abort(reason, "worker", self.rank, self.step, -1.0)
            self.outbox.append(Send(SCHEDULER, abort, _HURRY))
            self.fail(PeerLost(f"this worker has failed and ended the job: {reason}"))

    def fail(self, error: PSError) -> None:
        """Nothing more can come of this job: fail what is pending and what will be asked."""
        if self.failure is not None:
            return
        self.failure = error
        join, self._join = self._join, None
        pending, self._pending = self._pending, {}
        expired, self._expired = self._expired, []
        if join is not None:
            join.fail(error)
        for request in (*pending.values(), *expired):
            request.call.fail(error)

    # --- joining ----------------------------------------------------------------------------------

    def _greet(self, peer: Peer) -> None:
        if peer in self._greeting:
            return
        settings = self.settings
        wanted = self.rank if self.rank >= 0 else m.ANY_RANK if settings.rank is None else settings.rank
        seq = self._greeting[peer] = self.next_seq()
        epoch = self.view.epoch if self.view is not None else 0
        hello = m.Hello(
            seq, m.VERSION, settings.job, "worker", wanted, settings.incarnation, self._token, "", peer, epoch
        )
        self.outbox.append(Send(peer, hello, _HURRY))

    def _welcome(self, peer: Peer, message: m.Welcome, now: float) -> None:
        if self._greeting.get(peer) != message.seq:
            return  # an answer to an older Hello
        del self._greeting[peer]
        self._welcomed.add(peer)
        if peer == SCHEDULER and self.state == "joining":
            # one that was started again has its time from then on
            self._heartbeat_s, self._dead_after_s = message.heartbeat_s, message.dead_after_s
            # the scheduler gives up first, since it knows who is missing
            self._join_by = now + message.start_within_s + self._dead_after_s
        if peer == SCHEDULER and self.view is not None:  # it may have been started again, and know nothing
            view = replace(self.view, meetings=dict(self._passed))
            self.outbox.append(Send(SCHEDULER, view, _HURRY))
        for request in list(self._pending.values()):
            if request.peer == peer:
                self._send(request)
        self._see_whether_joined()

    def _take_view(self, view: m.View) -> None:
        if self.view is not None and view.epoch < self.view.epoch:
            return
        old, self.view = self.view, view
        if self.rank < 0:
            self.rank = view.rank
        servers = {member.rank: member for member in view.members if member.role == "server"}
        for shard, place in enumerate(m.placements(view)):
            member = servers.get(place.primary)
            if member is None or self._served_by.get(shard) == (member, place.term):
                continue
            is_heir_of_the_dead = old is not None and place.survived > old.epoch
            if is_heir_of_the_dead and self.ack < m.ACK_REPLICATED and self.step:
                self.fail(
                    PeerLost(
                        f"server {self._served_by[shard][0].rank} is dead, and pushes that it has acknowledged may "
                        "be lost with it, since PSDIST_ACK=applied does not wait for the copies"
                    )
                )
                return
            self._served_by[shard] = member, place.term
            self._forget_views(shard)
            self._address[shard] = member.address
            self._greeting.pop(shard, None)
            self.outbox.append(Connect(shard, member.address))
            self._greet(shard)
        self._see_whether_joined()

    def _forget_views(self, shard: Peer) -> None:
        """Another server serves the shard: what this worker holds of it is nothing that changes can be told to."""
        self._lives[shard] = self._lives.get(shard, 0) + 1
        for request in self._pending.values():
            message = request.message
            if request.peer == shard and isinstance(message, m.PullChange):
                request.message = replace(message, bases=[0] * len(message.bases))
                request.draft = None

    def life(self, shard: Peer) -> int:
        """A number that is another whenever the shard's server is."""
        return self._lives.get(shard, 0)

    def _see_whether_joined(self) -> None:
        if self.state == "joining" and self.view is not None and not self._greeting:
            self.state = "joined"
            join, self._join = self._join, None
            if join is not None:
                join.finish_one()

    def _give_up_joining(self) -> None:
        settings = self.settings
        waited_for = [self._name(peer) for peer in sorted(self._greeting)]
        if turned_away := sorted(self._turned_away - self._welcomed):
            names = " and ".join(self._name(peer) for peer in turned_away)
            self.fail(
                RequestTimeout(
                    f"{names} did not let this worker in: PSDIST_KEY_FILE must name the job's keys on both "
                    "sides, or on neither"
                )
            )
        elif SCHEDULER not in self._welcomed:
            self.fail(
                RequestTimeout(
                    f"no scheduler answered at {self._address[SCHEDULER]} within "
                    f"{settings.connect_timeout_s:g} s: is it running, and are DMLC_PS_ROOT_URI and "
                    "DMLC_PS_ROOT_PORT its address? PSDIST_CONNECT_TIMEOUT is how long to try"
                )
            )
        elif waited_for:
            self.fail(RequestTimeout(f"could not join: no word from {', '.join(waited_for)}"))
        else:
            self.fail(
                RequestTimeout(
                    f"the scheduler at {self._address[SCHEDULER]} did not start the job in time; "
                    "`psdist status` says who is missing, PSDIST_START_TIMEOUT there how long to wait"
                )
            )

    # --- requests ---------------------------------------------------------------------------------

    def _send(self, request: Request) -> None:
        self.outbox.append(Send(request.peer, request.message, request.priority, request))

    def _answer(
        self, reply: m.Values | m.RowValues | m.Portions | m.Done | m.States | m.Clocks | m.StatusReport
    ) -> None:
        request = self._pending.pop(reply.seq, None)
        if request is None or request.call.is_done:
            return  # answered before, or given up
        if isinstance(request.message, m.Barrier):
            self._passed[request.message.name] = request.message.clock + 1
        if request.deliver is not None:
            try:
                request.deliver(reply)
            except ProtocolError as e:
                request.call.fail(e)
                return
        request.call.finish_one()

    def _refused(self, peer: Peer, reply: m.Error) -> None:
        if reply.code == "not-admitted":  # the peer does not know this connection: the reply to Hello goes on
            if peer in self._welcomed:
                self._greet(peer)
            return
        if (
            self.state == "leaving"
            and peer == SCHEDULER
            and (reply.code == "aborted" or self._greeting.get(peer) == reply.seq)
        ):  # it was started again since it heard our goodbye, and knows from others that we have left
            self._leave_unheard()
            return
        if self._greeting.get(peer) == reply.seq:
            refusal = m.error_class(reply.code)
            self.fail(refusal(f"{self._name(peer)} refused this worker: {reply.text}"))
            return
        if reply.code == "aborted":
            self.fail(PeerLost(reply.text))
            return
        if peer == SCHEDULER and reply.code == "refused" and reply.seq < 0:  # not of anything it asked
            self.fail(PeerLost(f"the scheduler said: {reply.text}"))
            return
        request = self._pending.pop(reply.seq, None)
        if request is None:
            if reply.seq < 0:
                self.fail(ProtocolError(f"{self._name(peer)} could not read a message: {reply.text}"))
            return
        error = reply.to_exception()
        request.call.fail(error)
        if isinstance(request.message, (m.Push, m.PushPull)):
            self._fail_readers(set(request.message.keys), error)
        elif isinstance(request.message, m.PushRows):
            self._fail_readers({request.message.key}, error)

    def _fail_readers(self, keys: set[int], error: PSError) -> None:
        """Whoever waits for a value that a refused push was to change waits for ever."""
        for request in list(self._pending.values()):
            match request.message:
                case m.Pull() | m.PullChange() | m.PushPull():
                    waits = not keys.isdisjoint(request.message.keys)
                case m.PullRows():
                    waits = request.message.key in keys
                case _:
                    waits = False
            if waits:
                del self._pending[request.message.seq]
                request.call.fail(error)

    # --- time -------------------------------------------------------------------------------------

    def _tell_alive(self) -> None:
        epoch = self.view.epoch if self.view is not None else 0
        alive = m.Alive("worker", self.rank, epoch, self.step, self.nbytes, self.num_keys)
        self.outbox.append(Send(SCHEDULER, alive, _HURRY))

    def _expire(self, now: float) -> None:
        late = [r for r in self._pending.values() if now >= r.deadline]
        for request in late:
            if isinstance(request.message, m.Leave):
                self._leave_unheard()
                continue
            del self._pending[request.message.seq]
            if request.call.is_done or isinstance(request.message, m.Status):
                continue
            if not self._expired:
                self._blame_until = now + _BLAME_S
                self._ask_who_is_behind(now)
            self._expired.append(request)
        if self._expired and now >= self._blame_until:
            self._fail_expired("")

    def _ask_who_is_behind(self, now: float) -> None:
        call = Call(1, _BLAME_S, lambda call: None)
        status = m.Status(self.next_seq())

        def deliver(reply: Reply) -> None:
            assert isinstance(reply, m.StatusReport), reply
            self._fail_expired(_who_is_behind(reply.members, self.rank))

        self.submit(Request(SCHEDULER, status, call, _HURRY, deliver=deliver), now)

    def _fail_expired(self, blame: str) -> None:
        expired, self._expired = self._expired, []
        for request in expired:
            about = f" of {request.what()}" if request.what is not None else ""
            request.call.fail(
                RequestTimeout(
                    f"no reply to {type(request.message).__name__}{about} from {self._name(request.peer)} "
                    f"after {request.call.timeout_s:g} s{blame}; PSDIST_REQUEST_TIMEOUT is how long to wait"
                )
            )

    def _aborted(self, abort: m.Abort) -> None:
        self.fail(PeerLost(abort.reason))

    def _name(self, peer: Peer) -> str:
        who = "the scheduler" if peer == SCHEDULER else f"server {peer}"
        return f"{who} ({self._address.get(peer, 'address unknown')})"


def _who_is_behind(members: Sequence[m.MemberStatus], rank: int) -> str:
    """For an error message: the members that others may be waiting for."""
    own = max((s.step for s in members if s.role == "worker" and s.rank == rank), default=0)
    words = [
        f"{s.role} {s.rank} is {s.state}, silent for {s.silent_s:.1f} s"
        if s.state in ("dead", "left") or s.silent_s > 3
        else f"worker {s.rank} is at step {s.step}, this worker at {own}"
        for s in members
        if s.state in ("dead", "left") or s.silent_s > 3 or (s.role == "worker" and s.step < own)
    ]
    return f": {'; '.join(words)}" if words else ""

"""Who belongs to the job: the scheduler's rules, with no socket, thread or clock in them.

The job goes through states, and only forward:

    joining ──all have come──> running ──all workers have left──> finished
       └──────────── a death, a failure, a deadline ──────────> aborted

Joining, everybody is let in who fits; when all have come, ranks are given out (first to those who wanted
one) and each gets the View. Running, everybody shows signs of life; who is silent too long is dead, and a
death ends the job: everybody is told who, when, and in which step. A worker that has finished leaves, and
nobody waits for it any more.

Two kinds of death are survived. With replicas, the next in line that has a complete copy serves a dead
server's shards, and copies are made anew on other servers; a server that is started again keeps copies,
too. When the job is elastic, the others go on without a dead worker as long as there are enough of them, and
newcomers are let in while it runs; both from the first push on, since before it somebody may have been about to
give the first values, or the optimizer, for all. Each change is a new View, with a new epoch. Who was taken for dead and
speaks again is told so, and ends.

Servers may be added and taken away (`Scale`): placing.py says where shards go then, and a server that is left with
nothing is told to end.

A scheduler that is started again knows nothing, but its callers do: their Hello says which epoch they are in,
and they tell the View that they have. The newest of them is taken up again, when all its members have come
or have had the time to; whoever has not is dead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Literal, assert_never

from psdist.wire.messages import (
    ANY_RANK,
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
    ErrorCode,
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
    MemberStatus,
    Message,
    Numbers,
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
    Values,
    View,
    Welcome,
    placements,
)

from .barriers import Barriers
from .membership import End, who
from .placing import ShardPlaces
from .roster import Process, Roster
from .shard import Destination, Out

__all__ = ["Scheduler"]

State = Literal["joining", "running", "finished", "aborted"]
_MAX_LAUNCHERS = 256  # the newest; each `psdist status` is one


@dataclass(frozen=True, slots=True)
class _Held:
    """What somebody who leaves is told, when every server knows that he does: a scheduler that is started again would
    else miss him."""

    epoch: int  # in which he is gone
    until: float  # when it is said all the same
    sender: Destination
    message: Message


class Scheduler:
    """The members of a job, its barriers, and its end."""

    def __init__(
        self,
        *,
        job: str,
        num_workers: int,
        num_servers: int,
        now: float,
        heartbeat_s: float,
        dead_after_s: float,
        start_timeout_s: float,
        replicas: int = 0,
        elastic: tuple[int, int] | None = None,
        is_restored: bool = False,
        shards_per_server: int = 1,
    ) -> None:
        """`replicas`: copies of each shard, on other servers. `elastic`: the fewest and the most workers with which
        the job goes on; None: with those that it began with, and no others. `is_restored`: the shards are
        not empty at first, so that copies have to be made. `shards_per_server`: at the beginning."""
        self.job = job
        self.state: State = "joining"
        self.reason = ""
        self.epoch = 0
        self._run = 0  # drawn from those with whom it began
        self.ended: End | None = None
        self._roster = Roster(num_workers, num_servers)
        self._replicas = max(0, min(replicas, num_servers - 1))
        self._num_shards = num_servers * shards_per_server
        self._places = ShardPlaces(num_servers, self._replicas)
        self._elastic = elastic
        self._is_restored = is_restored
        self._recalled: View | None = (
            None  # the newest that a member of the job has told, until it is taken up
        )
        self._recall_at: float | None = None  # when at the latest
        self._told: dict[int, Member] = {}  # by token: the servers of all Views that were told until then
        self._was_away = False  # barriers have opened that are not known here
        self._began = now
        self._heartbeat_s = heartbeat_s
        self._dead_after_s = dead_after_s
        self._start_timeout_s = start_timeout_s
        self._farewell_s = 2 * heartbeat_s  # how long a job that has failed still says why
        self._end_at = 0.0
        self._next_alive = now
        self._launchers: dict[Destination, None] = {}  # in the order they came
        self._barriers = Barriers()
        self._has_begun = False  # somebody has pushed
        self._waiting: dict[int, tuple[Destination, Hello]] = {}  # by token: newcomers, until then
        self._held: list[_Held] = []
        self._now = now
        self._out: Out = []

    def step(self, sender: Destination, message: Message, now: float) -> Out:
        """Take one message; what to send because of it."""
        self._out, self._now = [], now
        self._take(sender, message, now)
        self._let_go(now)
        return self._out

    def tick(self, now: float) -> Out:
        """What to send because time passed; sets `ended` when the job is over and everybody knows."""
        self._out, self._now = [], now
        self._let_go(now)
        if self.state in ("finished", "aborted"):
            gone = self.state == "finished" and not any(p.here or p.is_dismissed for p in self._roster)
            if gone or now >= self._end_at:
                self.ended = End(0 if self.state == "finished" else 1, self.reason)
            return self._out
        for process in self._roster:
            silent = now - process.heard_at
            if process.here and silent > self._dead_after_s:
                self._fail(process, f"silent for {silent:.1f} s", now)
                if self.state != "running":
                    return self._out
        if self._recall_at is not None and now >= self._recall_at:
            self._take_up(now)
        if self.state == "joining" and now - self._began > self._start_timeout_s:
            text = (
                f"not everyone came within {self._start_timeout_s:g} s: {self._roster.missing()}; "
                "look at their logs, or raise PSDIST_START_TIMEOUT"
            )
            self._abort(text, "scheduler", ANY_RANK, 0, now)
            return self._out
        self._try_the_avoided(now)
        if now >= self._next_alive:
            self._next_alive = now + self._heartbeat_s
            alive = Alive("scheduler", ANY_RANK, self.epoch, 0, 0, 0)
            self._out += [(p.sender, alive) for p in self._roster if p.here]
        return self._out

    def slept(self, seconds: float) -> None:
        """This process stood still: the others' silence of that time is our own."""
        for process in self._roster:
            process.heard_at += seconds

    def stop(self, reason: str, now: float) -> Out:
        """The scheduler itself is told to end: so does the job."""
        self._out = []
        if self.state not in ("finished", "aborted"):
            self._abort(reason, "scheduler", ANY_RANK, 0, now)
        return self._out

    # --- who speaks -------------------------------------------------------------------------------

    def _take(self, sender: Destination, message: Message, now: float) -> None:
        if isinstance(message, Hello):
            self._hello(sender, message, now)
            return
        seq = getattr(message, "seq", -1)
        process = self._roster.by_sender(sender)
        if process is not None and process.state == "dead" and self.state == "running":
            text = f"{process.name} was taken for dead ({process.why}), and the job has gone on without it"
            self._refuse(sender, seq, "refused", text)
            return
        if process is not None:
            process.heard_at = now
            role = process.role
        elif sender in self._launchers:
            role = "launcher"
        else:
            self._refuse(sender, seq, "not-admitted", "say Hello to the scheduler first, then send again")
            return
        if role not in SENDERS[type(message)]:
            self._refuse(sender, seq, "refused", f"{type(message).__name__} is not for a {role} to send")
            return
        match message:
            case Alive():
                if process is not None:
                    process.epoch = max(process.epoch, message.epoch)
                    process.step = message.step
                    if message.step and process.role == "worker" and not self._has_begun:
                        self._begin_training(now)
                    process.nbytes, process.num_keys = message.nbytes, message.num_keys
            case Barrier():
                if process is not None:
                    self._barrier(sender, process, message)
            case Leave():
                if process is not None:
                    self._leave(process, now)
                if role == "worker" and self.state in ("running", "finished"):
                    self._hold(sender, Done(seq, 0))
                else:
                    self._out.append((sender, Done(seq, 0)))
            case Lost():
                if process is None:
                    self._lost(message, now)
                else:
                    self._unreached(process, message, now)
                self._out.append((sender, Done(seq, 0)))
            case Status():
                self._out.append((sender, self._report(seq, now)))
            case Synced() | Handed():
                if process is not None and process.state == "alive" and self.state == "running":
                    self._progressed(process, message)
            case Scale():
                self._scale(sender, message)
            case Abort():
                self._aborted_by(process, message, now)
            case (
                Init()
                | PullChange()
                | SetPullCode()
                | Push()
                | Pull()
                | PushPull()
                | SetOptimizer()
                | SetHyper()
                | SetStaleness()
            ):
                self._refuse(sender, seq, "refused", f"{type(message).__name__} is for a server")
            case InitRows() | PushRows() | PullRows() | GetPortions() | GetState() | SetState():
                self._refuse(sender, seq, "refused", f"{type(message).__name__} is for a server")
            case Join() | Begin() | Share():
                self._refuse(sender, seq, "refused", f"{type(message).__name__} is for a server")
            case CopySettings() | CopySlices() | CopyEnd() | Replicate() | ReplicateRequest() | Clocks():
                pass
            case CopyRows() | ReplicateRows() | RowValues():
                pass
            case View():
                if process is not None:
                    self._recall(process, message, now)
            case Portions():
                pass
            case Welcome() | Values() | States() | Finish() | StatusReport() | Done() | Error():
                pass
            case _:
                assert_never(message)

    def _refuse(self, sender: Destination, seq: int, code: ErrorCode, text: str) -> None:
        self._out.append((sender, Error(seq, code, text)))

    # --- joining ----------------------------------------------------------------------------------

    def _hello(self, sender: Destination, hello: Hello, now: float) -> None:
        if hello.job != self.job:
            self._refuse(
                sender,
                hello.seq,
                "refused",
                f"this scheduler serves job {self.job!r}; {who(hello.role, hello.rank)} is of {hello.job!r}",
            )
            return
        if hello.role == "launcher":
            self._launchers[sender] = None
            if len(self._launchers) > _MAX_LAUNCHERS:
                del self._launchers[next(iter(self._launchers))]
            self._welcome(sender, hello, now)
            return
        if hello.role not in self._roster.wanted:
            self._refuse(sender, hello.seq, "refused", f"no role {hello.role!r}; wanted worker or server")
            return
        if (known := self._roster.known(hello)) is not None:
            self._held = [
                replace(one, sender=sender) if one.sender == known.sender else one for one in self._held
            ]
            self._roster.reconnect(known, sender, now)
            self._welcome(sender, hello, now)
            if known.state == "alive":
                self._out.append((sender, self._view(known)))
            if self.state == "aborted":
                self._out.append((sender, Abort(self.reason, "scheduler", ANY_RANK, 0, now - self._began)))
            elif any(one.sender == sender for one in self._held):
                pass
            elif known.role == "server" and (self.state == "finished" or not known.here):
                self._out.append((sender, Finish(self.reason or known.why)))
            return
        if hello.role == "server" and self._was_let_go(hello):
            why = self.reason or f"the job goes on with {self._places.num_servers} servers"
            self._roster.add(Process(hello, sender, hello.rank, now, "left", why=why, is_dismissed=True))
            self._welcome(sender, hello, now)
            self._out.append((sender, Finish(why)))
            return
        if self.state in ("finished", "aborted"):
            self._refuse(sender, hello.seq, "aborted", f"job {self.job!r} has ended: {self.reason}")
            return
        if self._must_wait(hello):
            self._waiting[hello.token] = (sender, hello)
            self._welcome(sender, hello, now)
            return
        if self.state == "running":
            self._replaced(hello, now)
        if self.state == "aborted":
            self._refuse(sender, hello.seq, "aborted", f"job {self.job!r} has ended: {self.reason}")
            return
        if refusal := self._why_not(hello):
            self._refuse(sender, hello.seq, "refused", refusal)
            return
        if hello.epoch and self.state == "joining" and self._recall_at is None:
            self._recall_at = now + self._dead_after_s
        process = Process(hello, sender, ANY_RANK, now)
        self._roster.add(process)
        self._welcome(sender, hello, now)
        if self.state == "running":
            self._admit(process)
            return
        if self._recall_at is None and self._roster.is_complete:
            self._form()

    def _welcome(self, sender: Destination, hello: Hello, now: float) -> None:
        left = max(0.0, self._start_timeout_s - (now - self._began))
        self._out.append((sender, Welcome(hello.seq, ANY_RANK, self._heartbeat_s, self._dead_after_s, left)))

    def _was_let_go(self, hello: Hello) -> bool:
        """Whether this server was a member that a scheduler before this one has let go, and did not hear so."""
        if not hello.epoch or self._roster.was_taken_for_dead(hello):
            return False
        return self.state == "finished" or (
            self.state == "running" and hello.rank >= self._places.num_servers
        )

    def _must_wait(self, hello: Hello) -> bool:
        """Whether this is a worker that can join when training has begun: until then others give the first values."""
        if hello.role != "worker" or self._elastic is None or self._has_begun or hello.epoch:
            return False  # with an epoch it was a member, before this scheduler was started
        if self.state == "running":
            return True
        wanted = self._roster.wanted["worker"]
        is_one_more = hello.rank >= wanted or (hello.rank < 0 and len(self._roster.of("worker")) >= wanted)
        return self.state == "joining" and is_one_more and hello.rank < self._elastic[1]

    def _why_not(self, hello: Hello) -> str:
        """Why this newcomer cannot join; "" when it can."""
        return self._roster.why_not(
            self.job,
            hello,
            is_running=self.state == "running",
            num_servers=self._places.num_servers,
            most_workers=self._elastic[1] if self._elastic else None,
            is_replaced=hello.role == "server" or self._can_be_replaced(),
        )

    def _form(self) -> None:
        """All have come: give out ranks and begin."""
        for role in self._roster.wanted:
            for rank, process in self._roster.assign(role).items():
                process.given, process.state = rank, "alive"
        self.state = "running"
        tokens = " ".join(str(p.hello.token) for p in self._roster if p.here)
        self._run = int.from_bytes(blake2b(tokens.encode(), digest_size=7).digest(), "big")
        self._places.begin(self._num_shards, is_empty=not self._is_restored)
        self._change()

    def _recall(self, process: Process, view: View, now: float) -> None:
        """A member of a running job tells its View, and how often it has passed each barrier."""
        if process.role == "worker":
            self._out += self._barriers.passed(view.meetings)
        if self.state != "joining":
            return
        process.joined, process.given, process.epoch = view.joined, view.rank, view.epoch
        self._was_away = True
        self._told |= {member.token: member for member in view.members if member.role == "server"}
        if self._recall_at is None:
            self._recall_at = now + self._dead_after_s
        if self._recalled is None or view.epoch > self._recalled.epoch:
            self._recalled = view
        tokens = {p.hello.token for p in self._roster if p.state != "dead"}
        if all(member.token in tokens for member in self._recalled.members):
            self._take_up(now)

    def _take_up(self, now: float) -> None:
        """Go on with the job that was running before this scheduler was started."""
        view, self._recall_at = self._recalled, None
        if view is None:
            return
        self.state, self.epoch, self._run = "running", view.epoch, view.run
        by_token = {p.hello.token: p for p in self._roster}
        missing = []
        for member in view.members:
            process = by_token.pop(member.token, None)
            if process is None:
                process = Process(_hello_of(self.job, member), b"gone", member.rank, now)
                self._roster.add(process)
                missing.append(process)
            process.given = member.rank
            if process.state != "left":
                process.state = "alive"
        newcomers = [p for p in by_token.values() if p.state == "joining"]
        for process in newcomers:
            self._roster.remove(process)
        # a server of an older View may have been let go and not have heard so: it is told when it comes
        members = {member.token for member in view.members}
        for member in self._told.values():
            if member.token not in members and member.token not in by_token:
                old = Process(
                    _hello_of(self.job, member), b"gone", member.rank, now, "left", is_dismissed=True
                )
                old.why = "the job has gone on without it"
                self._roster.add(old)
        num = 1 + max((member.rank for member in view.members if member.role == "server"), default=0)
        self._places.recall(placements(view), num)
        if not self._roster.of("worker"):  # all have left, and servers may have ended since
            for process in missing:
                process.state = "left"
        for process in missing:
            if self.state == "running" and process.here:
                self._fail(process, "it has not come back to the scheduler that was started again", now)
        if self.state == "running" and not self._roster.of("worker"):
            self._finish(now)
        elif self.state == "running":
            self._change()
        for process in newcomers:
            self._hello(process.sender, process.hello, now)
        if self.state == "running":
            self._barriers.date(view.epoch)  # who stands before one came before the View
            self._open()

    def _can_be_replaced(self, process: Process | None = None) -> bool:
        """Whether the job goes on when this one, or a worker, dies, and takes another in its place."""
        if process is not None and process.role == "server":
            return bool(self._replicas) or not self._places.num_served(process.rank)
        return self._elastic is not None and self._has_begun

    def _begin_training(self, now: float) -> None:
        """Somebody has pushed, so that first values and the optimizer are there: now workers may come and go."""
        self._has_begun = True
        waiting, self._waiting = self._waiting, {}
        for sender, hello in waiting.values():
            self._hello(sender, hello, now)

    def _replaced(self, hello: Hello, now: float) -> None:
        """A newer life of a rank has come: the older one is dead, whoever noticed."""
        for p in self._roster.of(hello.role) if hello.rank >= 0 else ():
            is_older = p.rank == hello.rank and p.hello.incarnation < hello.incarnation
            if is_older and self._can_be_replaced(p):
                self._fail(p, f"incarnation {hello.incarnation} of it has come", now)

    def _admit(self, process: Process) -> None:
        """Let somebody in while the job runs."""
        free = self._roster.free_rank(process.role, self._places.num_servers)
        process.given = process.hello.rank if process.hello.rank >= 0 else free
        process.state, process.joined = "alive", self.epoch + 1
        self._roster.forget_older(process)
        self._arrange()
        self._change()

    def _arrange(self) -> bool:
        """Choose where shards go; whether that changed anything."""
        return self._places.arrange(self._roster.servers, self.epoch + 1)

    def _try_the_avoided(self, now: float) -> None:
        """Who could not be reached may be reached again."""
        if self.state == "running" and self._places.forgive(now) and self._arrange():
            self._change()

    def _change(self) -> None:
        """Tell everybody who is there now."""
        self.epoch += 1
        self._out += [(p.sender, self._view(p)) for p in self._roster if p.state == "alive"]
        self._dismiss()

    def _dismiss(self) -> None:
        """Let those servers go that are too many, and have nothing any more."""
        num = self._places.num_servers
        free = [p for p in self._roster.of("server") if p.rank >= num and not self._places.needs(p.rank)]
        for process in free:
            process.state, process.why = "left", f"the job goes on with {num} servers"
            process.is_dismissed = True
        if free:
            self._change()
            for process in free:
                self._hold(process.sender, Finish(process.why))

    def _hold(self, sender: Destination, message: Message) -> None:
        """Say this to somebody who leaves when that cannot be forgotten, or in a while."""
        self._held.append(_Held(self.epoch, self._now + self._farewell_s, sender, message))

    def _let_go(self, now: float) -> None:
        """Say what was held back, as far as that is so now."""
        if not self._held:
            return
        known = min((p.epoch for p in self._roster.of("server")), default=self.epoch)
        if self.state == "finished" and self._roster.of("server"):
            known = 0  # the last word is known when they have ended
        elif self.state not in ("running", "finished"):
            known = self.epoch
        self._out += [
            (one.sender, one.message) for one in self._held if one.epoch <= known or now >= one.until
        ]
        self._held = [one for one in self._held if one.epoch > known and now < one.until]

    def _view(self, process: Process) -> View:
        alive = [p for p in self._roster if p.state == "alive"]
        alive.sort(key=lambda p: (p.role, p.rank))
        members = tuple(
            Member(p.role, p.rank, p.hello.incarnation, p.hello.token, p.hello.address) for p in alive
        )
        num = self._roster.wanted
        num_workers = len(self._roster.of("worker")) if self._elastic else num["worker"]
        meetings: Numbers = self._barriers.counts() if process.joined > 1 else {}
        return View(
            self.epoch,
            0,
            process.rank,
            num_workers,
            num["server"],
            members,
            self._replicas,
            () if self._places.is_plain else self._places.placements(),
            process.joined,
            meetings,
            self._run,
        )

    # --- together ---------------------------------------------------------------------------------

    def _barrier(self, sender: Destination, process: Process, barrier: Barrier) -> None:
        if self.state == "aborted":
            self._refuse(sender, barrier.seq, "aborted", self.reason)
            return
        self._out += self._barriers.come(
            sender,
            barrier,
            rank=process.rank,
            name=process.name,
            epoch=self.epoch,
            was_away=self._was_away or (self.state == "joining" and process.hello.epoch > 0),
        )
        self._open()

    def _open(self) -> None:
        """Open the barriers before which all stand."""
        if self.state == "running":
            self._out += self._barriers.open({p.given: p.joined for p in self._roster.of("worker")})

    # --- leaving and dying ------------------------------------------------------------------------

    def _leave(self, process: Process, now: float) -> None:
        if process.is_dismissed:
            process.is_dismissed = False
            self._held = [one for one in self._held if one.sender != process.sender]
        if not process.here:
            return
        if self.state == "joining":
            if process.hello.epoch:
                process.state = "left"  # of the job that is about to be taken up
            else:
                self._roster.remove(process)  # as if it had never come
            return
        process.state = "left"
        if self.state != "running":
            return
        if process.role == "server":
            self._abort(
                f"{process.name} left while workers were training", "server", process.rank, process.step, now
            )
        elif self._roster.of("worker"):
            self._change()
            self._open()
        else:
            self._finish(now)

    def _finish(self, now: float) -> None:
        self.state, self.reason = "finished", "all workers have finished"
        self._end_at = now + self._dead_after_s
        self._turn_away()
        self._out += [(p.sender, Finish(self.reason)) for p in self._roster.of("server")]

    def _turn_away(self) -> None:
        """Newcomers that still wait to be let in come too late."""
        for sender, hello in self._waiting.values():
            self._refuse(sender, hello.seq, "aborted", f"job {self.job!r} has ended: {self.reason}")
        self._waiting = {}

    def _lost(self, lost: Lost, now: float) -> None:
        if lost.role not in self._roster.wanted:
            return  # a scheduler that was here before this one
        process = self._roster.at(lost.role, lost.rank)
        if process is not None:
            if process.here:
                self._fail(process, lost.why, now)
        elif (
            self.state == "joining" and self._recall_at is None
        ):  # else it is missed when the job is taken up
            name = who(lost.role, lost.rank)
            self._abort(f"{name} died before it joined ({lost.why})", lost.role, lost.rank, 0, now)

    def _fail(self, process: Process, why: str, now: float) -> None:
        process.state, process.why = "dead", why
        if self.state in ("finished", "aborted"):
            return
        when = now - self._began
        step = f"in step {process.step}" if self.state == "running" else "before the job began"
        reason = f"{process.name} died {step}, {when:.1f} s after the start ({why})"
        if self.state == "running":
            lost = self._survive_server(process) if process.role == "server" else self._survive_worker()
            if lost is None:
                return
            reason += lost
        self._abort(reason, process.role, process.rank, process.step, now)

    def _survive_server(self, dead: Process) -> str | None:
        """Have the copies of its shards served. None when the job goes on, else what to add to the reason."""
        shard = self._places.lost(dead.rank, self._roster.servers, self.epoch + 1)
        if shard >= 0:
            none = f", and no other server has a complete copy of its shard {shard}"
            return none if self._replicas else ""
        self._arrange()
        self._change()
        return None

    def _survive_worker(self) -> str | None:
        """Go on without one. None when the job goes on, else what to add to the reason."""
        if self._elastic is None:
            return ""
        if not self._has_begun:
            return ", and nobody had pushed yet: --elastic holds from the first push on"
        left = len(self._roster.of("worker"))
        finished = sum(p.role == "worker" and p.state == "left" for p in self._roster)
        if left == 0 or left + finished < self._elastic[0]:
            return f"; {left} workers are left, and --elastic wants at least {self._elastic[0]}"
        self._change()
        self._barriers.keep({p.given for p in self._roster.of("worker")})
        self._open()
        return None

    def _progressed(self, process: Process, told: Synced | Handed) -> None:
        """A copy is complete, or has become the heir of a primary that is silent now."""
        places = self._places
        if not 0 <= told.shard < len(places.shards):
            return
        if isinstance(told, Synced):
            is_news = places.synced(told.shard, process.rank, told.backup, told.epoch)
        else:
            is_news = places.handed(told.shard, process.rank, told.heir, told.epoch, self.epoch + 1)
        if is_news:
            self._arrange()
            self._change()  # so that it is known even if this scheduler dies

    def _unreached(self, process: Process, lost: Lost, now: float) -> None:
        """A server cannot reach one that keeps its copies: choose another, or none."""
        if self.state == "running" and self._places.unreached(process.rank, lost.rank, now):
            self._arrange()
            self._change()

    # --- more servers, and fewer ------------------------------------------------------------------

    def _scale(self, sender: Destination, scale: Scale) -> None:
        """There should be another number of servers."""
        num, shards = scale.num_servers, len(self._places.shards)
        if self.state != "running":
            text = f"job {self.job!r} is {self.state}; servers are added and taken away while it runs"
        elif not 1 <= num <= shards:
            text = (
                f"{num} servers: job {self.job!r} has {shards} shards, so that 1 to {shards} servers have something "
                "to do; PSDIST_MAX_SERVERS (psdist run --max-servers), when a job begins, makes more"
            )
        elif num <= self._replicas:
            need = self._replicas + 1
            text = (
                f"{num} servers: with {self._replicas} copies of each shard on other servers it needs {need}"
            )
        else:
            text = ""
        if text:
            self._refuse(sender, scale.seq, "refused", text)
            return
        if num != self._places.num_servers or self._places.is_scaling:
            self._places.num_servers = num
            self._places.is_scaling = True
            self._arrange()
            self._change()
        self._out.append((sender, Done(scale.seq, 0)))

    def _aborted_by(self, process: Process | None, abort: Abort, now: float) -> None:
        if self.state in ("finished", "aborted"):
            return
        if process is None:
            self._abort(abort.reason, "launcher", ANY_RANK, 0, now)
            return
        if self.state == "running" and self._can_be_replaced(process):
            process.step = max(process.step, abort.step)
            self._fail(process, f"it failed: {abort.reason}", now)
            return
        process.state = "dead"
        step = max(process.step, abort.step)
        when = now - self._began
        reason = f"{process.name} failed in step {step}, {when:.1f} s after the start: {abort.reason}"
        self._abort(reason, process.role, process.rank, step, now)

    def _abort(self, reason: str, role: str, rank: int, step: int, now: float) -> None:
        self.state, self.reason = "aborted", reason
        self._turn_away()
        self._end_at = now + self._farewell_s
        self._out += self._barriers.give_up(reason)
        abort = Abort(reason, role, rank, step, now - self._began)
        self._out += [(p.sender, abort) for p in self._roster if p.state != "left"]
        self._out += [(sender, abort) for sender in self._launchers]

    def _report(self, seq: int, now: float) -> StatusReport:
        members = tuple(
            MemberStatus(
                p.role,
                p.rank,
                p.hello.incarnation,
                p.hello.address,
                p.state,
                p.step,
                now - p.heard_at,
                p.nbytes,
                p.num_keys,
                self._places.num_served(p.rank) if p.role == "server" else 0,
            )
            for p in sorted(self._roster, key=lambda p: (p.role, p.rank))
        )
        places = self._places
        return StatusReport(
            seq,
            self.job,
            self.state,
            self.reason,
            self.epoch,
            now - self._began,
            self._roster.wanted["worker"],
            places.num_servers,
            members,
            len(places.shards),
            places.num_moving,
        )


def _hello_of(job: str, member: Member) -> Hello:
    """What a member would say that has not come."""
    return Hello(0, 0, job, member.role, member.rank, member.incarnation, member.token, member.address)

"""Messages about who belongs to the job, and where its shards are: what everybody says to the scheduler, and it to them."""

from __future__ import annotations

from dataclasses import dataclass, field

from .kinds import NOBODY, Numbers, message

__all__ = [
    "Abort",
    "Alive",
    "Barrier",
    "Finish",
    "Handed",
    "Hello",
    "Leave",
    "Lost",
    "Member",
    "MemberStatus",
    "Placement",
    "Scale",
    "Status",
    "StatusReport",
    "View",
    "Welcome",
    "placements",
]

# --- who is who -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Member:
    """A process that is admitted now. `address` is where others reach it, "" for a worker."""

    role: str
    rank: int
    incarnation: int
    token: int  # drawn once per process: tells a reconnect from a second claimant of the rank
    address: str


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """What the scheduler knows of one process. `state`: joining, alive, left, dead."""

    role: str
    rank: int
    incarnation: int
    address: str
    state: str
    step: int  # the clock it last told
    silent_s: float  # since its last sign of life
    nbytes: int  # of parameters held by a server; of gradients sent by a worker
    num_keys: int
    num_shards: int = 0  # served by a server


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one shard is: the server that serves it, and those that keep a copy, the next in line first; of them
    those `synced` that have all that it ever answered. It is handed over to `heir`, one of them, if that is not -1.
    The primary has served since epoch `term`, 0 for the beginning; `survived` is the epoch in which a copy last took a
    dead primary's place."""

    primary: int
    backups: tuple[int, ...]
    synced: tuple[int, ...]
    heir: int = NOBODY
    term: int = 0
    survived: int = 0


# --- joining --------------------------------------------------------------------------------------


@message(1, senders="worker server launcher")
@dataclass(frozen=True, slots=True)
class Hello:
    """Ask to join: the first message on every connection, to the scheduler and to each server.
    `rank` -1 takes any. `token` is a random number drawn once per process. `address` is where a server is
    reached. `shard` is the one that is asked for on this connection, -1 the server's own: a server may have
    taken over others. `epoch` is that of the View that the caller has, 0 for none: a scheduler that was started
    again builds its own from them; from one server to another it is the `seq` of the last message that will not come
    any more. A launcher is no member: it asks for `Status`, reports `Lost`, and hears of an `Abort`.
    Reply: Welcome, at once from the scheduler; from a server when it serves that shard. Errors: refused."""

    seq: int
    version: int
    job: str
    role: str
    rank: int
    incarnation: int
    token: int
    address: str
    shard: int = -1
    epoch: int = 0


@message(2, senders="scheduler server")
@dataclass(frozen=True, slots=True)
class Welcome:
    """Accepted. `rank` is the answerer's own number at a server, and not yet said (-1) at the scheduler:
    the View says it. `heartbeat_s`: send Alive that often. `dead_after_s`: silence that long means dead, in
    both directions."""

    seq: int
    rank: int
    heartbeat_s: float
    dead_after_s: float
    start_within_s: float  # how long the scheduler waits for everybody to come


@message(3, senders="scheduler server worker")
@dataclass(frozen=True, slots=True)
class View:
    """Who belongs to the job now: told to each member when all have come, and at every change.
    `rank` is the receiver's own. Servers and workers are in rank order. `epoch` grows with every change;
    what is stamped with an epoch older than `fence` is refused. `shards[i]` says where shard i is (an empty list:
    there are `num_servers`, each on the server of its number, without a copy), `replicas` how many copies there
    should be. Slices are spread as over the `num_servers` with which the job began (see Shards). A newcomer to a
    running job has `joined` > 1, the epoch of its coming, and `meetings` says how often each barrier has opened
    before. `run` tells this run of the job from all others, whatever its name. A member that has a View tells it to the
    scheduler after Welcome."""

    epoch: int
    fence: int
    rank: int
    num_workers: int  # expected, as configured
    num_servers: int
    members: tuple[Member, ...]
    replicas: int = 0
    shards: tuple[Placement, ...] = ()
    joined: int = 1
    meetings: Numbers = field(default_factory=dict)
    run: int = 0


@message(4, senders="worker server scheduler")
@dataclass(frozen=True, slots=True)
class Alive:
    """A sign of life, both ways between the scheduler and each member; from a server also at each View. `step` is the
    sender's clock: rounds pushed by a worker, applied by a server. `nbytes`, `num_keys` as in MemberStatus."""

    role: str
    rank: int
    epoch: int
    step: int
    nbytes: int
    num_keys: int


# --- together -------------------------------------------------------------------------------------


@message(30, senders="worker")
@dataclass(frozen=True, slots=True)
class Barrier:
    """Wait at the scheduler until every worker has come to barrier `name` for the `clock`-th time, counting
    from 0.
    Reply: Done, when all are there. Errors: aborted."""

    seq: int
    name: str
    clock: int


@message(31, senders="worker server")
@dataclass(frozen=True, slots=True)
class Leave:
    """The sender has finished; rounds and barriers no longer wait for it. Reply: Done, to a worker when every server is in
    an epoch without it, which a scheduler that is started again will hear from them, or after two heartbeats."""

    seq: int


@message(32, senders="launcher server")
@dataclass(frozen=True, slots=True)
class Lost:
    """A launcher saw the process of a member die: `why` says how ("exit code -9"). From a server: it cannot
    reach the one that keeps its copies, and wants another. Reply: Done."""

    seq: int
    role: str
    rank: int
    why: str


@message(33, senders="scheduler worker server launcher")
@dataclass(frozen=True, slots=True)
class Abort:
    """The job has failed and ends now: told to the scheduler by whoever fails, and by it to everybody.
    `role`, `rank` are the first cause, `step` where it was, `when` seconds since the job began (-1: not
    known to the sender)."""

    reason: str
    role: str
    rank: int
    step: int
    when: float


@message(34, senders="scheduler")
@dataclass(frozen=True, slots=True)
class Finish:
    """Every worker has left: servers end, too, with exit code 0."""

    reason: str


@message(35, senders="launcher worker")
@dataclass(frozen=True, slots=True)
class Status:
    """Ask the scheduler who is there. Reply: StatusReport."""

    seq: int


@message(36, senders="scheduler")
@dataclass(frozen=True, slots=True)
class StatusReport:
    """`state`: joining, running, finished, aborted; then `reason` says why. `uptime_s` since the scheduler
    began. `num_servers` is how many there should be now; `num_moving` of `num_shards` are not where they should be."""

    seq: int
    job: str
    state: str
    reason: str
    epoch: int
    uptime_s: float
    num_workers: int
    num_servers: int
    members: tuple[MemberStatus, ...]
    num_shards: int = 0
    num_moving: int = 0


# --- more servers, and fewer -----------------------------------------------------------------------


@message(70, senders="launcher")
@dataclass(frozen=True, slots=True)
class Scale:
    """From now on there should be `num_servers` servers, of ranks 0, 1, ...; shards move to those that come, and from
    those that are too many, which then hear Finish. Reply: Done, at once; StatusReport tells how far it is. Errors:
    refused."""

    seq: int
    num_servers: int


@message(71, senders="server")
@dataclass(frozen=True, slots=True)
class Handed:
    """Told to the scheduler by the primary of `shard`, again and again until a View answers: it answers nobody any
    more, and server `heir` has all that it has answered."""

    epoch: int
    shard: int
    heir: int


def placements(view: View) -> tuple[Placement, ...]:
    """Where each shard is."""
    return view.shards or tuple(Placement(shard, (), ()) for shard in range(view.num_servers))

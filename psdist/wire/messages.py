"""Every message of the protocol, in the order a worker meets them.

A message is a numbered frozen dataclass; its docstring says meaning, reply and errors. A request begins
with `seq`, and has exactly one reply, which begins with the same `seq`: the one named in its docstring, or
`Error`. What has no `seq` (`View`, `Alive`, `Abort`, `Finish`) is told, not asked, and not answered.

Arrays travel flat, as *slices* of a key: (key, offset, elements). Batches are columns: the i-th of `keys`,
`offsets`, `clocks` and `values` belong together, so that ten thousand small keys are one header and one
frame. Clocks count from 0: the first push of a key is round 0, and a key's clock is the number of rounds
applied, so that a worker that has pushed `n` rounds and wants to see them pulls with `min_clock = n`.

Numbers are never reused: 40-59 are kept for copies, 60-69 for snapshots, 70-79 for migration, 80-89
for shared memory. Whoever adds a message also adds its row to docs/PROTOCOL.md, which a test compares with
this file. The fields of `Hello` up to `version` stand for ever; everything else may change with `VERSION`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final, Literal, TypeVar

from numpy.typing import NDArray

from .. import errors

__all__ = [
    "ACK_APPLIED",
    "ACK_ON_DISK",
    "ACK_REPLICATED",
    "ANY_RANK",
    "MAX_ROUNDS_AHEAD",
    "MESSAGES",
    "NOBODY",
    "SENDERS",
    "VERSION",
    "Abort",
    "Alive",
    "Barrier",
    "Begin",
    "Clocks",
    "CopyEnd",
    "CopyRows",
    "CopySettings",
    "CopySlices",
    "Done",
    "Error",
    "ErrorCode",
    "Finish",
    "GetPortions",
    "GetState",
    "Handed",
    "Hello",
    "Init",
    "InitRows",
    "Ints",
    "Join",
    "Leave",
    "Lost",
    "Member",
    "MemberStatus",
    "Message",
    "Numbers",
    "Placement",
    "Portions",
    "Pull",
    "PullRows",
    "Push",
    "PushPull",
    "PushRows",
    "Replicate",
    "ReplicateRequest",
    "ReplicateRows",
    "Role",
    "RowValues",
    "Scale",
    "SetHyper",
    "SetOptimizer",
    "SetStaleness",
    "SetState",
    "Share",
    "States",
    "Status",
    "StatusReport",
    "Synced",
    "Tensor",
    "Tensors",
    "Values",
    "View",
    "Welcome",
    "error_class",
    "key_label",
    "key_name",
    "key_number",
    "placements",
]

VERSION: Final = 1  # of the protocol; both ends must speak the same one
ANY_RANK: Final = -1
NOBODY: Final = -1  # in the place of a server's rank
MAX_ROUNDS_AHEAD: Final = 64  # rounds that a worker may push beyond a slice's clock: bounds memory

ACK_APPLIED: Final = 1  # in the memory of the key's server
ACK_REPLICATED: Final = 2  # also in its replica's
ACK_ON_DISK: Final = 3  # in a snapshot

Role = Literal["scheduler", "server", "worker", "launcher"]
ErrorCode = Literal[
    "unknown-key",
    "bad-value",
    "stale-round",
    "stale-epoch",
    "refused",
    "not-admitted",
    "unsupported",
    "aborted",
    "protocol",
]
Tensor = NDArray[Any]  # on the wire: one-dimensional, C-contiguous, dtype of codec.DTYPES
Tensors = Sequence[Tensor]
Ints = Sequence[int]  # a column of unsigned 64-bit numbers
Numbers = dict[str, float | int | bool | str | None]

_ERROR_CLASSES: Final[dict[str, type[errors.PSError]]] = {
    "unknown-key": errors.UnknownKey,
    "bad-value": errors.BadValue,
    "stale-round": errors.StaleRound,
    "stale-epoch": errors.StaleRound,  # stamped with a membership that is over: take the new View, send again
    "refused": errors.RemoteError,  # may not join, or not do this
    "not-admitted": errors.TransportError,  # no Hello on this connection yet: say it, then send again
    "unsupported": errors.RemoteError,
    "aborted": errors.PeerLost,  # the job has ended
    "protocol": errors.ProtocolError,
}

_T = TypeVar("_T")

MESSAGES: Final[dict[int, type[Any]]] = {}  # by number
SENDERS: Final[dict[type[Any], frozenset[str]]] = {}  # the roles that may send it


def message(number: int, senders: str) -> Callable[[type[Any]], type[Any]]:
    """Give a dataclass its number on the wire, and say which roles may send it."""

    def register(cls: type[_T]) -> type[_T]:
        assert number not in MESSAGES, f"message number {number} is taken by {MESSAGES[number].__name__}"
        MESSAGES[number] = cls
        SENDERS[cls] = frozenset(senders.split())
        return cls

    return register


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
    before. A member that has one tells it to the scheduler after Welcome."""

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


@message(4, senders="worker server scheduler")
@dataclass(frozen=True, slots=True)
class Alive:
    """A sign of life, both ways between the scheduler and each member. `step` is the sender's clock: rounds
    pushed by a worker, applied by a server. `nbytes`, `num_keys` as in MemberStatus."""

    role: str
    rank: int
    epoch: int
    step: int
    nbytes: int
    num_keys: int


# --- keys and values ------------------------------------------------------------------------------


@message(10, senders="worker")
@dataclass(frozen=True, slots=True)
class Init:
    """Declare slices, with their first values. The i-th slice is `values[i]`, at `offsets[i]` in the flat
    array of the key `names[i]` ("s:fc1_weight" or "i:3"), whose whole shape is `shapes[i]` and whose dtype
    is `dtypes[i]`. Idempotent: the first value wins. Without values (an empty list; then `lengths` says how
    long each slice is) it declares and checks, and is answered when somebody has given the values.
    Reply: Done. Errors: bad-value (another shape, dtype or slicing than declared, or two names of one
    number)."""

    seq: int
    names: tuple[str, ...]
    dtypes: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    offsets: Ints
    lengths: Ints
    values: Tensors


@message(11, senders="worker")
@dataclass(frozen=True, slots=True)
class Push:
    """Add `values[i]` to round `clocks[i]` of the slice (`keys[i]`, `offsets[i]`). All or nothing; sent
    again, it changes nothing and is answered again. `ack` is the durability that the reply shall have: 1
    applied, 2 replicated, 3 on disk. While a shard has no complete copy, 2 is answered by 1.
    `portions` are the numbers of the portions of the data that the values are of, none when they are not counted. A
    slice that has them all already takes the value for zeros.
    Bytes (uint8) for a key of float32 are a compressed gradient (see Compression).
    Reply: Done, when every round is applied. Errors: unknown-key, bad-value, stale-round, stale-epoch,
    unsupported."""

    seq: int
    epoch: int
    ack: int
    keys: Ints
    offsets: Ints
    clocks: Ints
    portions: Ints
    values: Tensors


@message(12, senders="worker")
@dataclass(frozen=True, slots=True)
class Pull:
    """Read the slices (`keys[i]`, `offsets[i]`), each at a clock of at least `min_clocks[i]`: the rounds
    that the reader has pushed, less the staleness it allows. Reply: Values, when all are there. Errors:
    unknown-key, bad-value."""

    seq: int
    keys: Ints
    offsets: Ints
    min_clocks: Ints


@message(13, senders="worker")
@dataclass(frozen=True, slots=True)
class PushPull:
    """Push, then Pull the same slices, in one round trip. Sent again, it pushes nothing and is answered
    again.
    Reply: Values, when all rounds are applied and all clocks are there. Errors: those of Push."""

    seq: int
    epoch: int
    ack: int
    keys: Ints
    offsets: Ints
    clocks: Ints
    min_clocks: Ints
    portions: Ints
    values: Tensors


@message(14, senders="server")
@dataclass(frozen=True, slots=True)
class Values:
    """The slices asked for, in the order of the request, and the clock of each."""

    seq: int
    clocks: Ints
    values: Tensors


@message(15, senders="worker")
@dataclass(frozen=True, slots=True)
class InitRows:
    """Declare part `part` of `num_parts` of the table `name`: those rows of an array of this shape that the server
    of that part holds (see Tables). A row that nobody has given or pushed has the value that `first` ("constant",
    "uniform" or "normal") with `numbers` draws for it. `evict` is "", "lru" or "ttl" with its `limit`. The worker
    that `gives` sends rows: `values` are their numbers and then they themselves, in several messages when they are
    many; the first value of a row wins, and after the message that `is_last` no more are taken. The others' Init
    is answered then. Reply: Done. Errors: bad-value."""

    seq: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    part: int
    num_parts: int
    first: str
    numbers: Numbers
    evict: str
    limit: int
    gives: bool
    is_last: bool
    values: Tensors


@message(16, senders="worker")
@dataclass(frozen=True, slots=True)
class PushRows:
    """Add rows to round `clock` of part `part` of the table `key`, as Push does. `values` are the rows' numbers
    (int64, ascending, none twice) and then the rows, one after the other; many rows come in several such pairs. A
    worker that has no rows for a part pushes none, for a round waits for every worker.
    Reply: Done, when the round is applied. Errors: those of Push."""

    seq: int
    epoch: int
    ack: int
    key: int
    part: int
    clock: int
    values: Tensors


@message(17, senders="worker")
@dataclass(frozen=True, slots=True)
class PullRows:
    """Read the rows of these numbers (ascending, none twice; `values` are one or more arrays of them), at a clock of
    at least `min_clock`; without any, all rows that are stored. Reading changes nothing.
    Reply: RowValues. Errors: unknown-key, bad-value."""

    seq: int
    key: int
    part: int
    min_clock: int
    values: Tensors


@message(18, senders="server")
@dataclass(frozen=True, slots=True)
class RowValues:
    """The rows asked for, in the order of the request, in arrays of whole rows; and the part's clock. When all were
    asked for, `values` are pairs: numbers, rows."""

    seq: int
    clock: int
    values: Tensors


@message(19, senders="worker")
@dataclass(frozen=True, slots=True)
class GetPortions:
    """Ask which portions of the data have been applied. Reply: Portions."""

    seq: int


@message(29, senders="server")
@dataclass(frozen=True, slots=True)
class Portions:
    """The numbers of the portions that are in all slices here that were ever pushed to, as the bounds of their runs:
    begin, end, begin, end, ascending. `is_any`: there are such slices; keys that are averaged, and tables, do not count."""

    seq: int
    is_any: bool
    bounds: Ints


# --- how values change ----------------------------------------------------------------------------


@message(20, senders="worker")
@dataclass(frozen=True, slots=True)
class SetOptimizer:
    """From now on a round's sum is a gradient, and the rule `name` with `numbers` applies it. `lr`, `wd`
    hold until a SetHyper; `lr_mult`, `wd_mult` multiply them for the keys named ("s:bias"). Clears the
    optimizer's state unless the rule is the same. `lazy`: of a table, only the rows that were pushed are updated.
    Reply: Done. Errors: bad-value (no such rule or number)."""

    seq: int
    name: str
    numbers: Numbers
    lr: float
    wd: float
    lr_mult: dict[str, float]
    wd_mult: dict[str, float]
    lazy: bool = False


@message(21, senders="worker")
@dataclass(frozen=True, slots=True)
class SetHyper:
    """From round `from_round` of every key on, use `lr` and `wd`. Sent before the first push of that round,
    it takes effect at exactly that round, in every run. Reply: Done. Errors: bad-value (no optimizer)."""

    seq: int
    from_round: int
    lr: float
    wd: float


@message(22, senders="worker")
@dataclass(frozen=True, slots=True)
class SetStaleness:
    """The consistency dial: 0 applies a round when every worker has pushed it; n, or -1 for no bound,
    applies each push as it comes. (The bound itself is kept by `min_clock`.) Reply: Done. Errors:
    bad-value."""

    seq: int
    staleness: int


@message(23, senders="worker")
@dataclass(frozen=True, slots=True)
class GetState:
    """Read the optimizer's state of slices; or of one part of a table, whose number is the offset.
    Reply: States. Errors: unknown-key, bad-value (no optimizer)."""

    seq: int
    keys: Ints
    offsets: Ints


@message(24, senders="server")
@dataclass(frozen=True, slots=True)
class States:
    """The optimizer's state of the slices asked for: `counts[i]` arrays each (0: never updated), one after
    the other in `values`, after `num_updates[i]` updates. Of a part of a table: numbers of rows, then these rows of each
    array; again, where they are many."""

    seq: int
    num_updates: Ints
    counts: Ints
    values: Tensors


@message(25, senders="worker")
@dataclass(frozen=True, slots=True)
class SetState:
    """Put back what States gave. All or nothing. Reply: Done. Errors: unknown-key, bad-value."""

    seq: int
    keys: Ints
    offsets: Ints
    num_updates: Ints
    counts: Ints
    values: Tensors


@message(26, senders="worker")
@dataclass(frozen=True, slots=True)
class Join:
    """A newcomer asks how far the keys are. No round that the View's newcomer has a part in closes before it
    has said Begin. Reply: Clocks."""

    seq: int


@message(27, senders="server")
@dataclass(frozen=True, slots=True)
class Clocks:
    """The first round of each key that the newcomer may push to: none of its slices here has closed it."""

    seq: int
    keys: Ints
    clocks: Ints


@message(28, senders="worker")
@dataclass(frozen=True, slots=True)
class Begin:
    """The newcomer's first push of `keys[i]` is round `clocks[i]`; earlier rounds do without it. Reply:
    Done. Errors: bad-value."""

    seq: int
    keys: Ints
    clocks: Ints


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
    """The sender has finished; rounds and barriers no longer wait for it. Reply: Done."""

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


# --- copies: from the server that serves a shard to those that keep a copy of it ------------------
#
# `seq` counts 1, 2, 3, ... from one server process to another, over all shards and connections: what was done
# is answered again, and what comes before its turn is not answered. A sender that no longer serves the shard
# is refused by stale-epoch.


@message(40, senders="server")
@dataclass(frozen=True, slots=True)
class CopySettings:
    """A copy of `shard` begins anew, with these settings: the optimizer (`name` "" for none), its rates
    (`values` are the lr and the wd from round `from_rounds[i]` on), whether every push is applied as it comes, whether
    tables are updated lazily, and the settings that were already taken: `seqs[i]` of worker `ranks[i]`.
    Reply: Done. Errors: stale-epoch."""

    seq: int
    epoch: int
    shard: int
    name: str
    numbers: Numbers
    lr_mult: dict[str, float]
    wd_mult: dict[str, float]
    each: bool
    lazy: bool
    ranks: Ints
    seqs: Ints
    from_rounds: Ints
    values: Tensors


@message(41, senders="server")
@dataclass(frozen=True, slots=True)
class CopySlices:
    """Whole slices, in place of what was there. Of the i-th, `values` hold the value and then `counts[i]`
    arrays of state; it has had `num_updates[i]` updates; of `num_applied[i]` workers, `ranks`, the first
    `rounds` pushes are in it; the portions of the data that it holds are `num_bounds[i]` of `bounds` (see Portions).
    Reply: Done. Errors: stale-epoch."""

    seq: int
    epoch: int
    shard: int
    names: tuple[str, ...]
    dtypes: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    offsets: Ints
    clocks: Ints
    num_updates: Ints
    counts: Ints
    num_applied: Ints
    ranks: Ints
    rounds: Ints
    num_bounds: Ints
    bounds: Ints
    values: Tensors


@message(42, senders="server")
@dataclass(frozen=True, slots=True)
class Replicate:
    """What one message to the shard applied: sum `values[i]` is round `rounds[i]` of slice (`keys[i]`,
    `offsets[i]`); the pushes of the workers `ranks[groups[i]]` are in it, which are of the portions
    `portions[groups[i]]`; then the slice's clock is `clocks[i]`. In the order given. Reply: Done. Errors: stale-epoch."""

    seq: int
    epoch: int
    shard: int
    keys: Ints
    offsets: Ints
    rounds: Ints
    clocks: Ints
    groups: Ints
    ranks: tuple[tuple[int, ...], ...]
    portions: tuple[tuple[int, ...], ...]
    values: Tensors


@message(43, senders="server")
@dataclass(frozen=True, slots=True)
class ReplicateRequest:
    """Worker `rank` asked the shard for this, and it was done: `values` are the frames of its message, an
    Init or a setting. Reply: Done. Errors: stale-epoch."""

    seq: int
    epoch: int
    shard: int
    rank: int
    values: Tensors


@message(47, senders="server")
@dataclass(frozen=True, slots=True)
class CopyEnd:
    """The copy that CopySettings began has every slice now, and takes the place of the one that was kept before.
    Reply: Done. Errors: stale-epoch."""

    seq: int
    epoch: int
    shard: int


@message(44, senders="server")
@dataclass(frozen=True, slots=True)
class Synced:
    """Told to the scheduler: `backup` has a complete copy of `shard`, and could serve it."""

    epoch: int
    shard: int
    backup: int


@message(45, senders="server")
@dataclass(frozen=True, slots=True)
class CopyRows:
    """Some rows of a part of a table; with `begins`, in place of all that was there. The first fields are InitRows',
    `is_open` says whether all first rows are there. `values` are the rows' numbers, the rounds that have touched
    them last, the rows, and `count` arrays of state. `ranks`, `rounds`: as in CopySlices; `newest` is one more
    than the latest round that was applied. Reply: Done. Errors: stale-epoch."""

    seq: int
    epoch: int
    shard: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    part: int
    num_parts: int
    first: str
    numbers: Numbers
    evict: str
    limit: int
    is_open: bool
    begins: bool
    clock: int
    newest: int
    num_updates: int
    count: int
    ranks: Ints
    rounds: Ints
    values: Tensors


@message(46, senders="server")
@dataclass(frozen=True, slots=True)
class ReplicateRows:
    """The sum of round `round` was applied to a part of a table: `values` are the numbers of the rows that were
    evicted after it, and then pairs as in PushRows. The pushes of the workers `ranks` are in it; then the part's
    clock is `clock`. Reply: Done. Errors: stale-epoch."""

    seq: int
    epoch: int
    shard: int
    key: int
    part: int
    round: int
    clock: int
    ranks: Ints
    values: Tensors


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


# --- memory that is shared, when both are on one host ---------------------------------------------


@message(80, senders="worker server")
@dataclass(frozen=True, slots=True)
class Share:
    """The sender's memory, which the receiver may map and read. A worker says it when a server has welcomed
    it; if the server can map that, it answers by Share of its own, and from then on arrays of more than 8192
    bytes may travel both ways as places (see Memory). `turn` is drawn anew for each agreement, and both
    answers have the same. `lane` is the name of the server's socket for short messages (see Lanes), "" where
    there is none, and from a worker. Reply: Share. Errors: unsupported."""

    seq: int
    turn: int
    host: str
    pid: int
    fd: int
    nbytes: int
    token: int
    counter: int
    lane: str = ""


# --- replies that many share ----------------------------------------------------------------------


@message(90, senders="scheduler server")
@dataclass(frozen=True, slots=True)
class Done:
    """It is done. For a push `ack` states its durability; else 0."""

    seq: int
    ack: int


@message(91, senders="scheduler server")
@dataclass(frozen=True, slots=True)
class Error:
    """Understood and refused: nothing was changed. `seq` is -1 where the request's could not be read."""

    seq: int
    code: ErrorCode
    text: str

    def to_exception(self) -> errors.PSError:
        """The error to raise at the caller."""
        return error_class(self.code)(self.text)


Message = (
    Hello
    | Welcome
    | View
    | Alive
    | Init
    | Push
    | Pull
    | PushPull
    | Values
    | InitRows
    | PushRows
    | PullRows
    | RowValues
    | SetOptimizer
    | SetHyper
    | SetStaleness
    | GetState
    | States
    | GetPortions
    | Portions
    | SetState
    | Join
    | Clocks
    | Begin
    | Barrier
    | Leave
    | Lost
    | Abort
    | Finish
    | Status
    | StatusReport
    | CopySettings
    | CopySlices
    | Replicate
    | ReplicateRequest
    | CopyRows
    | ReplicateRows
    | CopyEnd
    | Synced
    | Scale
    | Handed
    | Share
    | Done
    | Error
)


def error_class(code: str) -> type[errors.PSError]:
    """The class in psdist.errors that a code stands for; RemoteError for one we do not know."""
    return _ERROR_CLASSES.get(code, errors.RemoteError)


def placements(view: View) -> tuple[Placement, ...]:
    """Where each shard is."""
    return view.shards or tuple(Placement(shard, (), ()) for shard in range(view.num_servers))


def key_name(key: int | str, *, averaged: bool = False) -> str:
    """A key's name on the wire. 3 and "3" are different keys: "i:3" and "s:3". "m:bn_mean" is a key whose value is
    the mean of what a round's workers have pushed, whatever the optimizer."""
    return f"m:{key}" if averaged else f"i:{key}" if isinstance(key, int) else f"s:{key}"


def key_label(name: str) -> str:
    """A key as its user wrote it, for people: `'fc1_weight'` or `3`."""
    return name[2:] if name.startswith("i:") else repr(name[2:])


def key_number(name: str) -> int:
    """The key's number: the first 8 bytes of BLAKE2b of its wire name, little-endian. Init finds a
    collision."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")

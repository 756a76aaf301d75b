"""Messages between workers and servers: keys and their values, and how these change.

The i-th of `keys`, `offsets`, `clocks` and `values` belong together (see messages.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from .kinds import Ints, Numbers, Tensors, message

__all__ = [
    "Begin",
    "Clocks",
    "GetPortions",
    "GetState",
    "Init",
    "InitRows",
    "Join",
    "Portions",
    "Pull",
    "PullChange",
    "PullRows",
    "Push",
    "PushPull",
    "PushRows",
    "RowValues",
    "SetHyper",
    "SetOptimizer",
    "SetPullCode",
    "SetStaleness",
    "SetState",
    "States",
    "Values",
]

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


@message(37, senders="worker")
@dataclass(frozen=True, slots=True)
class SetPullCode:
    """From now on a worker that pulls an array of float32 and more than 8192 bytes reads what the code `name` with
    `numbers` makes of it ("" ends it), the same for all workers (see Compressed pulls). Reply: Done. Errors: bad-value
    (no such code; rounds that are not applied whole)."""

    seq: int
    name: str
    numbers: Numbers


@message(38, senders="worker")
@dataclass(frozen=True, slots=True)
class PullChange:
    """Pull, by a worker that holds the i-th slice as it was at clock `bases[i]` - 1, where that is not 0. For a slice
    whose pulls are compressed the reply may have bytes (uint8): what it has become since then (see Compressed pulls).
    Reply: Values. Errors: those of Pull."""

    seq: int
    keys: Ints
    offsets: Ints
    min_clocks: Ints
    bases: Ints


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

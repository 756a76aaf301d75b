"""Messages from the server that serves a shard to those that keep a copy of it.

`seq` counts 1, 2, 3, ... from one server process to another, over all shards and connections: what was done
is answered again, and what comes before its turn is not answered. A sender that no longer serves the shard
is refused by stale-epoch.
"""

from __future__ import annotations

from dataclasses import dataclass

from .kinds import Ints, Numbers, Tensors, message

__all__ = [
    "CopyEnd",
    "CopyRows",
    "CopySettings",
    "CopySlices",
    "Replicate",
    "ReplicateRequest",
    "ReplicateRows",
    "Synced",
]


@message(40, senders="server")
@dataclass(frozen=True, slots=True)
class CopySettings:
    """A copy of `shard` begins anew, with these settings: the optimizer (`name` "" for none), its rates
    (`values` are the lr and the wd from round `from_rounds[i]` on), whether every push is applied as it comes, whether
    tables are updated lazily, the code of pulls (`pull` "" for none), and the settings that were already taken: `seqs[i]`
    of worker `ranks[i]`. Reply: Done. Errors: stale-epoch."""

    seq: int
    epoch: int
    shard: int
    name: str
    numbers: Numbers
    lr_mult: dict[str, float]
    wd_mult: dict[str, float]
    each: bool
    lazy: bool
    pull: str
    pull_numbers: Numbers
    ranks: Ints
    seqs: Ints
    from_rounds: Ints
    values: Tensors


@message(41, senders="server")
@dataclass(frozen=True, slots=True)
class CopySlices:
    """Whole slices, in place of what was there. Of the i-th, `values` hold the value and then `counts[i]` arrays of
    state, the last of them what is kept for compressed pulls where this key's are; it has had `num_updates[i]` updates;
    of `num_applied[i]` workers, `ranks`, the first `rounds` pushes are in it; the portions of the data that it holds are
    `num_bounds[i]` of `bounds` (see Portions). Reply: Done. Errors: stale-epoch."""

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

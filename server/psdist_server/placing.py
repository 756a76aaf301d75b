"""Where each shard is, and where it is to go: which server serves it, which keep copies, who is its heir.

The shards of a job are as many from its beginning to its end; servers come and go. `arrange` is called after
every change and always asks the same question: given who is alive and how many servers there should be, what is
missing? So there is no plan to lose: whatever happened meanwhile, the next answer is right.

A shard moves in three steps, each of them a View. Its heir is made a copy like any other; when that is complete its
primary falls silent, and tells so when the heir has all it ever answered (`Handed`); then the heir serves. A copy
that the old primary answered to stays `synced` until copies enough are where they should be.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from psdist.wire.messages import NOBODY, Placement

__all__ = ["ShardPlace", "ShardPlaces"]

_AVOID_S: Final = 30.0  # until a server that another could not reach may keep its copies again


@dataclass(slots=True)
class ShardPlace:
    """Where one shard is."""

    primary: int
    backups: list[int]  # the next in line first
    synced: set[int]  # of the backups: those with a complete copy
    heir: int = NOBODY  # of the backups: to whom the primary hands it over
    term: int = 0  # the epoch since which the primary serves it
    survived: int = 0  # the epoch in which a dead primary's place was last taken
    since: dict[int, int] = field(default_factory=dict)  # of a backup: the epoch from which it is one
    avoided: dict[int, float] = field(default_factory=dict)  # servers its primary could not reach; until when

    @property
    def home(self) -> int:
        """The server that serves it, or will."""
        return self.primary if self.heir == NOBODY else self.heir


class ShardPlaces:
    """Where all shards of a job are."""

    def __init__(self, num_servers: int, replicas: int) -> None:
        self.num_servers = num_servers  # that there should be: those of ranks 0, 1, ...
        self.replicas = replicas
        self.shards: list[ShardPlace] = []
        self.is_scaling = False  # shards are still to move

    def begin(self, num_shards: int, *, is_empty: bool) -> None:
        """Give every shard its first place: shard i on server i, and so round."""
        num = self.num_servers
        for number in range(num_shards):
            backups = [(number + i) % num for i in range(1, self.replicas + 1)]
            # empty copies are complete
            self.shards.append(ShardPlace(number % num, backups, set(backups) if is_empty else set()))

    def recall(self, placements: Iterable[Placement], num_servers: int) -> None:
        """Take up what a View says; a move that was begun goes on."""
        self.num_servers = num_servers
        for place in placements:
            backups, synced = list(place.backups), set(place.synced)
            self.shards.append(
                ShardPlace(place.primary, backups, synced, place.heir, place.term, place.survived)
            )
        self.is_scaling = any(shard.heir != NOBODY for shard in self.shards)

    def placements(self) -> tuple[Placement, ...]:
        return tuple(
            Placement(
                one.primary, tuple(one.backups), tuple(sorted(one.synced)), one.heir, one.term, one.survived
            )
            for one in self.shards
        )

    @property
    def is_plain(self) -> bool:
        """Whether shard i is on server i, as at the beginning, and nothing else is to be said."""
        return not self.replicas and self.placements() == tuple(
            Placement(number, (), ()) for number in range(len(self.shards))
        )

    @property
    def num_moving(self) -> int:
        """Shards that are not where they should be; while servers are still to come, at least one."""
        moving = sum(one.heir != NOBODY or one.primary >= self.num_servers for one in self.shards)
        return max(moving, int(self.is_scaling))

    def num_served(self, server: int) -> int:
        """How many shards a server serves."""
        return sum(shard.primary == server for shard in self.shards)

    def needs(self, server: int) -> bool:
        """Whether a server serves anything, or keeps a copy."""
        return any(server == one.primary or server in one.backups for one in self.shards)

    # --- what happens -----------------------------------------------------------------------------

    def lost(self, server: int, alive: Collection[int], epoch: int) -> int:
        """Have the copies of a dead server's shards served, from `epoch` on. The number of a shard of which there is
        none that is complete, or -1."""
        for number, shard in enumerate(self.shards):
            if shard.primary != server:
                continue
            heirs = [rank for rank in shard.backups if rank in shard.synced and rank in alive]
            if not self.replicas or not heirs:
                return number
            self._pass_on(shard, heirs[0], epoch)
            shard.survived = epoch
        return -1

    def handed(self, number: int, primary: int, heir: int, told_in: int, epoch: int) -> bool:
        """The primary has fallen silent, and its heir has all: whether that holds, so that the heir serves from `epoch`
        on."""
        shard = self.shards[number]
        # what was said of an older life of the heir is not true of this one
        if (shard.primary, shard.heir) != (primary, heir) or told_in < shard.since.get(heir, 0):
            return False
        self._pass_on(shard, heir, epoch)
        if self.replicas:  # it has all, too, and is let go when others have
            shard.backups.append(primary)
            shard.synced.add(primary)
        return True

    def _pass_on(self, shard: ShardPlace, to: int, epoch: int) -> None:
        shard.primary, shard.term = to, epoch
        shard.backups.remove(to)
        shard.synced.discard(to)
        # the others have all that was answered; the new primary answers nothing before it has told them all it has
        shard.since = dict.fromkeys(shard.backups, epoch)
        shard.avoided = {}
        if shard.heir == to:
            shard.heir = NOBODY

    def synced(self, number: int, primary: int, backup: int, told_in: int) -> bool:
        """A copy is complete: whether that is news."""
        shard = self.shards[number]
        is_news = backup in shard.backups and backup not in shard.synced
        # what was said of an older life of that server is not true of this one
        is_current = told_in >= shard.since.get(backup, 0)
        if shard.primary != primary or not is_news or not is_current:
            return False
        shard.synced.add(backup)
        return True

    def unreached(self, primary: int, backup: int, now: float) -> bool:
        """A server cannot reach one that keeps its copies: whether it had any there."""
        changed = False
        for shard in self.shards:
            if shard.primary == primary and backup in shard.backups:
                shard.backups.remove(backup)
                shard.synced.discard(backup)
                shard.avoided[backup] = now + _AVOID_S
                changed = True
        return changed

    def forgive(self, now: float) -> bool:
        """Who could not be reached may be reached again: whether there is somebody."""
        over = [
            (shard, rank) for shard in self.shards for rank, until in shard.avoided.items() if now >= until
        ]
        for shard, rank in over:
            del shard.avoided[rank]
        return bool(over)

    # --- what follows -----------------------------------------------------------------------------

    def arrange(self, alive: Collection[int], epoch: int) -> bool:
        """Choose heirs and backups, from `epoch` on; whether anything changed."""
        before = self.placements(), self.is_scaling
        wanted = sorted(rank for rank in alive if rank < self.num_servers) or sorted(alive)
        for shard in self.shards:
            shard.backups = [rank for rank in shard.backups if rank in alive]
            shard.synced &= set(shard.backups)
            if shard.heir not in shard.backups:
                shard.heir = NOBODY
        if self.is_scaling:
            self._choose_heirs(wanted)
        for shard in self.shards:
            self._choose_backups(shard, wanted, epoch)
        if self.is_scaling and len(wanted) == self.num_servers:
            self.is_scaling = any(
                one.heir != NOBODY or not {one.primary, *one.backups} <= set(wanted) for one in self.shards
            )
        return before != (self.placements(), self.is_scaling)

    def _choose_heirs(self, wanted: list[int]) -> None:
        loads: dict[int, list[ShardPlace]] = {rank: [] for rank in wanted}
        homeless = []
        for shard in self.shards:
            if shard.heir not in loads:
                shard.heir = NOBODY
            if shard.home in loads:
                loads[shard.home].append(shard)
            else:
                homeless.append(shard)
        for shard in homeless:
            near = [rank for rank in wanted if rank not in shard.avoided]
            if near:  # with those that have a copy before those that have none
                shard.heir = min(near, key=lambda rank: (len(loads[rank]), rank not in shard.synced, rank))
                loads[shard.heir].append(shard)
        while wanted:
            most = max(wanted, key=lambda rank: (len(loads[rank]), -rank))
            least = min(wanted, key=lambda rank: (len(loads[rank]), rank))
            if len(loads[most]) - len(loads[least]) < 2:
                return
            may = [one for one in loads[most] if least not in one.avoided]
            if not may:
                return
            shard = min(may, key=lambda one: (one.heir != NOBODY, least not in one.synced))
            loads[most].remove(shard)
            loads[least].append(shard)
            shard.heir = NOBODY if least == shard.primary else least

    def _choose_backups(self, shard: ShardPlace, wanted: list[int], epoch: int) -> None:
        """The next ones round the ring keep the copies that are missing; one that is too many goes when enough of the
        others are complete."""
        if shard.heir != NOBODY and shard.heir not in shard.backups:
            shard.backups.append(shard.heir)
            shard.since[shard.heir] = epoch
        others = [rank for rank in shard.backups if rank != shard.heir]
        good = [rank for rank in others if rank in wanted and rank != shard.primary]
        keep = sorted(good, key=lambda rank: rank not in shard.synced)[: self.replicas]
        num = self.num_servers
        for rank in ((shard.home + i) % num for i in range(1, num)):
            if len(keep) >= self.replicas:
                break
            if rank in wanted and rank not in shard.avoided and rank not in (shard.primary, *shard.backups):
                shard.backups.append(rank)
                shard.since[rank] = epoch
                keep.append(rank)
        is_enough = sum(rank in shard.synced for rank in keep) >= self.replicas
        for rank in others:
            if rank not in keep and (is_enough or rank not in shard.synced):
                shard.backups.remove(rank)
                shard.synced.discard(rank)

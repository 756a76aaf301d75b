"""The simulator can find bugs: with one rule switched off at a time, it finds each, in few seeds.

A mutant is a change at a small named point of the rules. When a rule is written anew, its mutant has to be found a new
point; a mutant that is not caught is a fault or a check that the simulator lacks.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import psdist_server.log
import psdist_server.recovery
import psdist_server.replica
import psdist_server.rounds
import psdist_server.scheduler
import psdist_server.server
import psdist_server.shard
import psdist_server.snapshot
import pytest
from psdist_launch.torture import disk
from psdist_launch.torture.program import Script
from psdist_launch.torture.runner import play
from psdist_launch.torture.scenario import Scenario
from psdist_launch.torture.size import Size
from psdist_worker.client import Client

from psdist.wire import messages as m

rounds, replica, shard = psdist_server.rounds, psdist_server.replica, psdist_server.shard
scheduler, server = psdist_server.scheduler, psdist_server.server
Patch = pytest.MonkeyPatch
_MOST_SEEDS = 500


def no_dedup(patch: Patch) -> None:
    """A push that comes again is applied again."""
    knows = rounds.Slice.knows

    def forgets(piece: Any, rank: int, clock: int) -> bool:
        piece.applied[rank] = min(piece.applied.get(rank, 0), clock)
        return clock < piece.clock and not piece.rounds and knows(piece, rank, clock)

    patch.setattr(rounds.Slice, "knows", forgets)


def no_rank_order(patch: Patch) -> None:
    """Gradients are added as they come."""

    add_up = rounds.Round.add_up

    def as_they_come(self: Any, *rest: Any) -> bool:
        arrived = [rank for rank in self.parts if rank in self.order]
        self.order = [*arrived, *(rank for rank in self.order if rank not in self.parts)]
        return add_up(self, *rest)

    patch.setattr(rounds.Round, "add_up", as_they_come)


def no_epoch_fence(patch: Patch) -> None:
    """A server that was replaced takes the refusal of its copies for an acknowledgement."""
    step = replica.Link.step

    def deaf(self: Any, message: m.Message, now: float) -> Any:
        if isinstance(message, m.Error) and message.code == "stale-epoch":
            message = m.Done(message.seq, m.ACK_REPLICATED)
        return step(self, message, now)

    patch.setattr(replica.Link, "step", deaf)


def no_replication_before_ack(patch: Patch) -> None:
    """A push is acknowledged before its copy is."""
    patch.setattr(
        replica.Copy, "acked", property(lambda self: 1 << 60, lambda self, value: None), raising=False
    )


def no_silence_before_a_hand_over(patch: Patch) -> None:
    """A shard that is handed over goes on answering until the next View."""
    patch.setattr(
        replica.Primary, "is_silent", property(lambda self: False, lambda self, value: None), raising=False
    )


def no_wait_for_the_heir(patch: Patch) -> None:
    """A shard is handed over before its heir has acknowledged everything."""
    patch.setattr(
        replica.Copy, "is_synced", property(lambda self: True, lambda self, value: None), raising=False
    )
    patch.setattr(
        replica.Copy, "unacked", property(lambda self: _Forgetful(), lambda self, value: None), raising=False
    )


class _Forgetful(deque[int]):
    """Nothing is ever waited for."""

    def popleft(self) -> int:
        return self.pop() if self else 0

    def __bool__(self) -> bool:
        return False


def no_old_copy_beside_the_new(patch: Patch) -> None:
    """A copy that is made anew is thrown away before the new one is there."""
    step = replica.Backup.step

    def throws_away(self: Any, message: Any, source: int = 0) -> None:
        step(self, message, source)
        if isinstance(message, m.CopySettings):
            self.shard, self.coming = self.coming, None

    patch.setattr(replica.Backup, "step", throws_away)


def no_monotonic_pull(patch: Patch) -> None:
    """A pull does not wait for the rounds that its reader has pushed."""
    patch.setattr(shard.Shard, "wait_for_clocks", lambda self, pieces, clocks, pending: None)


def no_resend_after_reconnect(patch: Patch) -> None:
    """After a reconnect, what was not answered is not sent again."""
    send = Client._send
    sent: set[int] = set()

    def once(self: Any, request: Any) -> None:
        if id(request) not in sent:
            sent.add(id(request))
            self._kept = [*getattr(self, "_kept", ()), request]  # or its id would be used again
            send(self, request)

    patch.setattr(Client, "_send", once)


def no_copy_on_write(patch: Patch) -> None:
    """A value is written while it is on its way to somebody."""
    patch.setattr(rounds.Slice, "writable", lambda self: self.value)


def no_order_of_copies(patch: Patch) -> None:
    """A copy applies again what comes again."""
    copy = server.Server._copy

    def forgets(self: Any, sender: bytes, source: Any, message: Any) -> Any:
        source.last = min(source.last, message.seq - 1)
        return copy(self, sender, source, message)

    patch.setattr(server.Server, "_copy", forgets)


def no_goodbye(patch: Patch) -> None:
    """Rounds wait for workers that have left."""
    patch.setattr(rounds.Slice, "regroup", lambda self, ranks: None)


def no_names_at_the_servers(patch: Patch) -> None:
    """A server lets in whoever names a rank."""

    hello = shard.Shard._hello

    def believes(self: Any, sender: bytes, message: m.Hello) -> None:
        member = self._workers.get(message.rank)
        if member is not None:
            message = m.Hello(
                message.seq,
                message.version,
                self.job,
                "worker",
                message.rank,
                member.incarnation,
                member.token,
                "",
            )
        hello(self, sender, message)

    patch.setattr(shard.Shard, "_hello", believes)


def no_fsync(patch: Patch) -> None:
    """A snapshot is renamed before it is on the disk."""
    patch.setattr(disk.Watched, "fsync", lambda self, fd: None)


def no_fsync_before_the_acknowledgement(patch: Patch) -> None:
    """What is written to a log is acknowledged before it is on the disk."""
    patch.setattr(psdist_server.log.Log, "sync", lambda self: self._file.flush() if self._file else None)


def no_wait_for_the_log(patch: Patch) -> None:
    """A push is acknowledged as on disk when it is in the copies."""
    acked = replica.Primary._acked
    patch.setattr(
        replica.Primary, "_acked", lambda self, *, is_log: 1 << 60 if is_log else acked(self, is_log=False)
    )


def no_memory_in_the_log(patch: Patch) -> None:
    """After a crash, what the snapshot holds already is done again."""
    step = psdist_server.recovery._do

    def again(backup: Any, message: Any, cut: int) -> None:
        if isinstance(message, m.Replicate):
            backup.step(message)
        else:
            step(backup, message, cut)

    patch.setattr(psdist_server.recovery, "_do", again)


def no_sync_of_folders(patch: Patch) -> None:
    """A snapshot's new name is not on the disk when the snapshot counts."""
    patch.setattr(psdist_server.snapshot, "_sync", lambda folder: None)


def no_file_of_ones_own(patch: Patch) -> None:
    """Whoever takes a shard for a snapshot writes the same file."""
    patch.setattr(server.Server, "_marked", lambda self, taken: taken)
    patch.setattr(psdist_server.snapshot, "_run_of", lambda step: "")


def no_goodbye_that_lasts(patch: Patch) -> None:
    """Who leaves is told so before anybody else knows."""

    def at_once(self: Any, sender: bytes, message: m.Message) -> None:
        self._out.append((sender, message))

    patch.setattr(scheduler.Scheduler, "_hold", at_once)


def no_heartbeats(patch: Patch) -> None:
    """Nobody is ever taken for dead."""
    patch.setattr(scheduler.Scheduler, "_fail", lambda self, process, why, now: None)


def no_memory_of_data(patch: Patch) -> None:
    """A portion of the data is added again when another worker pushes it."""
    patch.setattr(rounds.Slice, "num_here", lambda self, portions: 0)


def no_data_dealt_anew(patch: Patch) -> None:
    """The portions of workers that died are nobody's."""
    deal = Script._deal

    def keeps(self: Any, ranks: list[int]) -> Any:
        ranks = self._first_ranks = getattr(self, "_first_ranks", ranks)
        mine = yield from deal(self, ranks)
        self._missing = []
        return mine

    patch.setattr(Script, "_deal", keeps)


_HAND_OVERS = (no_silence_before_a_hand_over, no_wait_for_the_heir)
_RARE = (
    *_HAND_OVERS,
    no_epoch_fence,
    no_old_copy_beside_the_new,
    no_file_of_ones_own,
    no_goodbye_that_lasts,
)

MUTANTS: list[tuple[Callable[[Patch], None], Size]] = [
    (no_dedup, Size()),
    (no_rank_order, Size(mode="sync")),
    (no_epoch_fence, Size()),
    (no_replication_before_ack, Size()),
    (no_silence_before_a_hand_over, Size()),
    (no_wait_for_the_heir, Size()),
    (no_old_copy_beside_the_new, Size()),
    (no_monotonic_pull, Size()),
    (no_resend_after_reconnect, Size()),
    (no_copy_on_write, Size()),
    (no_order_of_copies, Size()),
    (no_goodbye, Size()),
    (no_names_at_the_servers, Size()),
    (no_fsync, Size()),
    (no_fsync_before_the_acknowledgement, Size()),
    (no_wait_for_the_log, Size()),
    (no_memory_in_the_log, Size()),
    (no_sync_of_folders, Size()),
    (no_file_of_ones_own, Size()),
    (no_goodbye_that_lasts, Size()),
    (no_heartbeats, Size()),
    (no_memory_of_data, Size()),
    (no_data_dealt_anew, Size()),
]


def _may_show(mutant: Callable[[Patch], None], seed: int, size: Size) -> bool:
    """Two primaries at a time are rare; only such schedules can miss the fence between them."""
    if mutant in (no_memory_of_data, no_data_dealt_anew):
        return Scenario.draw(seed, size).num_portions > 0
    if mutant in (no_fsync_before_the_acknowledgement, no_wait_for_the_log, no_memory_in_the_log):
        return Scenario.draw(seed, size).logs
    if mutant not in _RARE:
        return True
    scenario = Scenario.draw(seed, size)
    if mutant is no_goodbye_that_lasts:
        return any(
            (f.kind, f.trigger.kind, f.process) == ("crash", "Leave", "scheduler") for f in scenario.faults
        )
    if mutant is no_file_of_ones_own:
        return bool(scenario.snapshot_every) and any(fault.kind == "scale" for fault in scenario.faults)
    if mutant in _HAND_OVERS:
        return any(fault.kind == "scale" for fault in scenario.faults)
    if mutant is no_old_copy_beside_the_new:
        triggers = [fault.trigger.kind for fault in scenario.faults if fault.kind == "crash"]
        return scenario.replicas > 1 and ("CopySettings" in triggers or "CopySlices" in triggers)
    divided = any(fault.kind == "split" for fault in scenario.faults)
    return divided and scenario.is_elastic and scenario.replicas > 0 and scenario.mode != "sync"


@pytest.mark.slow
@pytest.mark.parametrize(("mutant", "size"), MUTANTS, ids=[mutant.__name__ for mutant, _ in MUTANTS])
def test_a_rule_that_is_switched_off_is_missed(
    mutant: Callable[[Patch], None], size: Size, monkeypatch: Patch
) -> None:
    mutant(monkeypatch)
    for seed in itertools.islice((s for s in itertools.count() if _may_show(mutant, s, size)), _MOST_SEEDS):
        with np.errstate(all="ignore"):
            violations = play(seed, size).violations
        assert not any(" raised " in text for text in violations), "the mutant itself is broken"
        if violations:
            return
    pytest.fail(f"not missed in {_MOST_SEEDS} seeds")

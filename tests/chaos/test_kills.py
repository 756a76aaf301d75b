"""kill -9 at every step of the protocol: nothing acknowledged is lost, nothing is there twice, the bits are the same.

A point is a moment of a message and how often it comes first; docs/PROTOCOL.md says what each message is. The
ledger's rounds are 2 pushes a server and round, and Adam's follow after them.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from . import ledger
from .harness import Launched, assert_right

ROUNDS = 20
KEPT = ("--replicas", 1)

Jobs = Callable[..., Launched]
slice_ = pytest.mark.slice


def ordered(point: str, action: str = "kill") -> dict[str, str]:
    step, _, count = point.partition("@")
    return {"PSDIST_FAILPOINT": f"{step}={action}@{count or 1}"}


def assert_reached(job: Launched, point: str) -> None:
    assert job.has(rf"failpoint {point.partition('@')[0]}=.* is reached by pid"), "the fault never came"


# ── servers ───────────────────────────────────────────────────────────────────────────────────────────

PRIMARY = {
    "while keys are declared": "receive-Init@1",
    "when keys are declared": "sent-Done@1",
    "before the optimizer is set": "receive-SetOptimizer@1",
    "after the optimizer is set": "handled-SetOptimizer@1",
    "before a push is counted": "receive-Push@9",
    "after the first push of a round": "handled-Push@9",
    "after a round is applied": "handled-Push@10",
    "before it is replicated": "send-Replicate@7",
    "after it is replicated": "sent-Replicate@7",
    "when its copy has answered": "receive-Done@9",
    "before it is acknowledged": "send-Done@12",
    "after it is acknowledged": "sent-Done@13",
    "before a pull is heard": "receive-Pull@9",
    "before a value is sent": "send-Values@9",
    "after a value is sent": "sent-Values@10",
    "in the rounds of Adam": "handled-Push@60",
}


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(point, id=name.replace(" ", "-"), marks=slice_ if i in (6, 8, 11) else ())
        for i, (name, point) in enumerate(PRIMARY.items())
    ],
)
def test_a_server_killed_at_any_step_changes_no_bit(launched: Jobs, faultless: Any, point: str) -> None:
    job = launched(*KEPT, rounds=ROUNDS, env=ordered(f"server0.{point}"))
    assert job.end() == 0, job.text
    assert_reached(job, f"server0.{point}")
    assert_right(job, ROUNDS, faultless())


BACKUP = {
    "before it hears of a round": "receive-Replicate@7",
    "when it has applied a round": "handled-Replicate@7",
    "while its copy is made": "receive-CopySettings@1",
    "while it gets settings": "handled-ReplicateRequest@1",
}


@pytest.mark.parametrize("point", [pytest.param(p, id=n.replace(" ", "-")) for n, p in BACKUP.items()])
def test_a_replica_killed_at_any_step_changes_no_bit(launched: Jobs, faultless: Any, point: str) -> None:
    job = launched(*KEPT, rounds=ROUNDS, servers=3, env=ordered(f"server2.{point}"))
    assert job.end() == 0, job.text
    assert_reached(job, f"server2.{point}")
    assert_right(job, ROUNDS, faultless())


@pytest.mark.parametrize("delay_ms", [0, 1, 3, 10, 30])
def test_a_server_killed_while_it_does_anything_changes_no_bit(
    launched: Jobs, faultless: Any, delay_ms: int
) -> None:
    """In the midst of an update, of a copy, of a frame: wherever it is so many milliseconds later."""
    job = launched(*KEPT, rounds=ROUNDS, env=ordered("server1.receive-Push@15", f"kill+{delay_ms}"))
    assert job.end() == 0, job.text
    assert_reached(job, "server1.receive-Push")
    assert_right(job, ROUNDS, faultless())


def test_a_server_that_fails_by_itself_is_replaced_like_one_that_is_killed(
    launched: Jobs, faultless: Any
) -> None:
    job = launched(*KEPT, rounds=ROUNDS, env=ordered("server0.receive-Push@9", "exit:3"))
    assert job.end() == 0, job.text
    assert_right(job, ROUNDS, faultless())


def test_two_servers_killed_one_after_the_other_change_no_bit(launched: Jobs, faultless: Any) -> None:
    faults = "server0.handled-Push=kill@9,server1.handled-Push=kill+200@60"
    job = launched(*KEPT, rounds=60, servers=3, env={"PSDIST_FAILPOINT": faults})
    code = job.end()
    if code:  # the second died before the first one's copies were made anew: then the cause must be named
        assert job.has("no other server has a complete copy of its shard"), job.lines
        assert not job.violations
        return
    assert_right(job, 60, faultless())


@slice_
def test_all_servers_but_one_may_die_one_after_the_other(
    launched: Jobs, faultless: Any, folder: Path
) -> None:
    """The second when the first one's shard has a complete copy again: the scheduler hears that as a 7th Synced,
    after two for each shard at the beginning."""
    for rank in range(2):
        os.mkfifo(folder / f"hold-{rank}-10")
    faults = "server0.handled-Push=kill@9,scheduler.receive-Synced=sleep:0@7"
    job = launched(
        *("--replicas", 2, "--restarts", 0),
        rounds=ROUNDS,
        servers=3,
        holds=[10],
        env={"PSDIST_FAILPOINT": faults},
    )
    job.wait_for_all(r"\[worker 0\] holds", r"\[worker 1\] holds", r"scheduler.receive-Synced=.* is reached")
    os.kill(job.pid("server", 1), signal.SIGKILL)
    job.wait_for("server 1 was killed by SIGKILL")
    for rank in range(2):
        job.let_go(rank, 10)
    assert job.end() == 0, job.text
    assert_reached(job, "server0.handled-Push")
    assert_right(job, ROUNDS, faultless())


@slice_
def test_a_server_that_dies_in_every_life_is_given_up_and_changes_no_bit(
    launched: Jobs, faultless: Any
) -> None:
    env = {"PSDIST_FAILPOINT": "server1.receive-Hello=kill@2/each"}
    job = launched(*KEPT, "--restarts", 3, rounds=ROUNDS, servers=3, env=env)
    assert job.end() == 0, job.text
    assert_right(job, ROUNDS, faultless())


@slice_
def test_when_all_servers_die_the_job_ends_and_names_one_of_them(launched: Jobs) -> None:
    env = {"PSDIST_FAILPOINT": "server.handled-Push=kill@9"}
    job = launched(*KEPT, rounds=ROUNDS, env=env)
    assert job.end() != 0
    assert not job.violations
    assert "server" in job.last_line, job.last_line


@slice_
def test_without_a_replica_a_killed_server_ends_the_job_and_is_named(launched: Jobs) -> None:
    job = launched(rounds=ROUNDS, env=ordered("server1.handled-Push@9"))
    assert job.end() == 128 + signal.SIGKILL
    assert_reached(job, "server1.handled-Push")
    assert "server 1 " in job.last_line
    assert "was killed by SIGKILL" in job.last_line


# ── the scheduler ─────────────────────────────────────────────────────────────────────────────────────

SCHEDULER = {
    "at the first word": "receive-Hello@1",
    "before the job begins": "send-View@1",
    "while the job is told that it begins": "sent-View@2",
    "in steady training": "receive-Alive@12",
    "in a barrier": "receive-Barrier@2",
    "before a barrier opens": "send-Done@1",
    "while a worker leaves": "receive-Leave@1",
}


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(p, id=n.replace(" ", "-"), marks=slice_ if i in (1, 3) else ())
        for i, (n, p) in enumerate(SCHEDULER.items())
    ],
)
def test_a_killed_scheduler_ends_the_job_and_is_named(launched: Jobs, point: str) -> None:
    job = launched(rounds=60, slow=0.02, env=ordered(f"scheduler.{point}"))
    assert job.end() == 128 + signal.SIGKILL
    assert_reached(job, f"scheduler.{point}")
    assert not job.violations
    assert "scheduler " in job.last_line
    assert "was killed by SIGKILL" in job.last_line


@pytest.mark.parametrize(
    "point",
    [
        "before-the-job-begins",
        "in-steady-training",
        "in-a-barrier",
        "while-a-worker-leaves",
    ],
)
def test_with_replicas_a_killed_scheduler_is_started_again_and_changes_no_bit(
    launched: Jobs, faultless: Any, point: str
) -> None:
    step = f"scheduler.{SCHEDULER[point.replace('-', ' ')]}"
    job = launched(*KEPT, rounds=60, slow=0.02, env=ordered(step))
    assert job.end() == 0, job.text
    assert_reached(job, step)
    assert_right(job, 60, faultless())


def test_a_scheduler_killed_during_a_failover_changes_no_bit(launched: Jobs, faultless: Any) -> None:
    faults = "server0.handled-Push=kill@9,scheduler.send-View=kill@6"
    job = launched(*KEPT, rounds=ROUNDS, env={"PSDIST_FAILPOINT": faults})
    code = job.end()
    assert_reached(job, "scheduler.send-View")
    assert not job.violations
    assert code == 0, job.text
    assert_right(job, ROUNDS, faultless())


# ── workers ───────────────────────────────────────────────────────────────────────────────────────────

WORKER = {
    "before it joins": "send-Hello@1",
    "while it joins": "receive-View@1",
    "before a push": "send-Push@9",
    "after a push": "sent-Push@9",
    "before a push is acknowledged to it": "receive-Done@9",
    "after a push is acknowledged to it": "handled-Done@9",
    "in a pull": "sent-Pull@9",
    "with the value in its hands": "receive-Values@9",
    "at a barrier": "sent-Barrier@1",
}


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(p, id=n.replace(" ", "-"), marks=slice_ if i == 3 else ())
        for i, (n, p) in enumerate(WORKER.items())
    ],
)
def test_a_killed_worker_ends_the_job_and_is_named(launched: Jobs, point: str) -> None:
    job = launched(rounds=ROUNDS, env=ordered(f"worker1.{point}"))
    assert job.end() == 128 + signal.SIGKILL
    assert_reached(job, f"worker1.{point}")
    assert not job.violations
    assert "worker 1 " in job.last_line
    assert "was killed by SIGKILL" in job.last_line


ELASTIC = {name: point for name, point in WORKER.items() if "join" not in name and "barrier" not in name}


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(p, id=n.replace(" ", "-"), marks=slice_ if i in (1, 4) else ())
        for i, (n, p) in enumerate(ELASTIC.items())
    ],
)
def test_the_others_go_on_without_a_killed_worker_and_lose_nothing(launched: Jobs, point: str) -> None:
    options = ("--elastic", "1:3", "--restarts", 0)
    job = launched(*options, workers=3, rounds=60, adam=0, elastic=True, env=ordered(f"worker1.{point}"))
    code = job.end()
    assert_reached(job, f"worker1.{point}")
    assert_elastic(job, 60, {0, 2}, {1})
    assert code == 0, job.text


@pytest.mark.parametrize(
    "point", [pytest.param("send-Push@9", marks=slice_), "sent-Push@9", "receive-Values@9"]
)
def test_a_killed_worker_is_started_again_and_begins_where_the_job_is(launched: Jobs, point: str) -> None:
    job = launched(
        *("--elastic", "1:3"),
        workers=3,
        rounds=400,
        adam=0,
        elastic=True,
        slow=0.01,
        env=ordered(f"worker1.{point}"),
    )
    code = job.end()
    assert_reached(job, f"worker1.{point}")
    assert code == 0, job.text
    assert_elastic(job, 400, {0, 2}, {1})
    begun = job.results[1]["begins_at"]
    assert begun > 0
    pushes = job.results[0]["pushes"][1]
    assert ledger.rounds(begun, 400) & ~pushes == 0, "a push of its second life is missing"


def assert_elastic(job: Launched, num_rounds: int, whole: set[int], broken: set[int]) -> None:
    """The `whole` workers' pushes are all there once, and of the `broken` ones' at least what was acknowledged."""
    assert not job.violations, job.violations
    results = job.results
    assert set(results) >= whole, f"no result of some worker: {sorted(results)}"
    assert len({str(one["pushes"]) for one in results.values()}) == 1, results
    pushes = next(iter(results.values()))["pushes"]
    for rank in whole:
        assert pushes[rank] == ledger.rounds(0, num_rounds), f"pushes of worker {rank} are missing"
    for rank in broken:
        lost = job.acked(rank) & ~pushes[rank]
        assert not lost, f"worker {rank}'s pushes {lost:b} were acknowledged, and are lost"
        assert pushes[rank], "the killed worker had pushed before"

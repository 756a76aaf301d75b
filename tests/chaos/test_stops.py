"""SIGSTOP, SIGCONT and slowness: a short sleep is forgiven, a long one is a death, and a zombie hurts nobody."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from .harness import Launched, assert_right

ROUNDS = 20
LIVELY = {"PSDIST_HEARTBEAT": 0.5, "PSDIST_DEAD_AFTER": 4}
PATIENT = {"PSDIST_HEARTBEAT": 0.5, "PSDIST_DEAD_AFTER": 30}

Jobs = Callable[..., Launched]
slice_ = pytest.mark.slice


def stop_at(point: str, **env: Any) -> dict[str, Any]:
    step, _, count = point.partition("@")
    return {"PSDIST_FAILPOINT": f"{step}=stop@{count}"} | env


def wait_until_stopped(job: Launched, role: str, rank: int = 0) -> int:
    pid = int(job.wait_for(r"failpoint .* is reached by pid (\d+)").group(1))
    assert pid == job.pid(role, rank)
    job.wait_until_stopped(pid)
    return pid


@pytest.mark.parametrize(
    "point",
    [
        pytest.param("server1.handled-Push@9", marks=slice_),
        "server1.sent-Replicate@7",
        "worker1.sent-Push@9",
        "worker1.receive-Values@9",
        "worker1.sent-Barrier@1",
        "scheduler.receive-Alive@12",
        "scheduler.receive-Barrier@1",
    ],
)
def test_a_short_stop_of_anybody_changes_no_bit_and_nobody_dies(
    launched: Jobs, faultless: Any, point: str
) -> None:
    role = point.partition(".")[0].rstrip("01")
    job = launched("--replicas", 1, rounds=ROUNDS, env=stop_at(point, **PATIENT))
    pid = wait_until_stopped(job, role, int(role != "scheduler"))
    os.kill(pid, signal.SIGCONT)
    assert job.end() == 0, job.text
    assert_right(job, ROUNDS, faultless())
    assert not job.has("starting it again")


@slice_
@pytest.mark.parametrize("point", ["handled-Push@9", "sent-Replicate@7", "send-Done@12"])
def test_a_server_that_stands_still_is_replaced_and_as_a_zombie_it_hurts_nobody(
    launched: Jobs, faultless: Any, point: str
) -> None:
    """It goes on in the midst of training, with a reply of old on its lips."""
    job = launched(
        *("--replicas", 1),
        rounds=400,
        slow=0.005,
        env=stop_at(f"server1.{point}", **LIVELY),
    )
    pid = wait_until_stopped(job, "server", 1)
    job.wait_for(r"\[server 0\].*it serves shards? .*1")
    job.wait_for(r"acked \d+")
    os.kill(pid, signal.SIGCONT)
    assert job.end() == 0, job.text
    assert_right(job, 400, faultless())


@slice_
def test_a_worker_that_stands_still_ends_the_job_and_is_named(launched: Jobs) -> None:
    job = launched(rounds=ROUNDS, env=stop_at("worker1.sent-Push@9", **LIVELY))
    wait_until_stopped(job, "worker", 1)
    assert job.end() != 0
    assert "worker 1 " in job.last_line


def test_the_others_go_on_without_a_worker_that_stands_still(launched: Jobs) -> None:
    job = launched(
        *("--elastic", "1:3", "--restarts", 0),
        workers=3,
        rounds=60,
        adam=0,
        elastic=True,
        env=stop_at("worker1.sent-Push@9", **LIVELY),
    )
    pid = wait_until_stopped(job, "worker", 1)
    job.wait_for_all(r"\[worker 0\] RESULT", r"\[worker 2\] RESULT")
    os.kill(pid, signal.SIGCONT)
    job.end()
    assert not job.violations
    pushes = job.results[0]["pushes"]
    assert pushes[0] == pushes[2] == (1 << 60) - 1
    assert job.acked(1) & ~pushes[1] == 0


def test_a_scheduler_that_stands_still_ends_the_job_and_is_named(launched: Jobs) -> None:
    job = launched(rounds=100_000, adam=0, env=stop_at("scheduler.receive-Alive@12", **LIVELY))
    wait_until_stopped(job, "scheduler")
    assert job.end() != 0
    assert job.has("scheduler .*has been silent for"), job.text
    assert not job.violations


@pytest.mark.parametrize("role", ["server", "worker", "scheduler"])
def test_a_process_that_is_ten_times_slower_is_no_dead_one(launched: Jobs, faultless: Any, role: str) -> None:
    """It runs for a tenth of the time."""
    job = launched("--replicas", 1, rounds=ROUNDS, env=PATIENT)
    job.wait_for("acked 0$")
    pid = job.pid(role, int(role != "scheduler"))
    try:
        while len(job.results) < 2:
            os.kill(pid, signal.SIGSTOP)
            job.listen(0.09)
            os.kill(pid, signal.SIGCONT)
            job.listen(0.01)
    except ProcessLookupError:
        pass  # it is done
    assert job.end() == 0, job.text
    assert_right(job, ROUNDS, faultless())


@slice_
@pytest.mark.parametrize("kind", ["dist_async", "dist_ssp"])
def test_a_slow_worker_and_a_killed_server_leave_no_push_out_whatever_the_staleness(
    launched: Jobs, kind: str
) -> None:
    """Own pushes are seen, no pull goes back, nobody is further ahead than the bound: job.py looks at each pull."""
    training = {"kind": kind, "rounds": 40, "adam": 0, "slow": 0.01, "staleness": 4}
    job = launched("--replicas", 1, **training, env={"PSDIST_FAILPOINT": "server0.handled-Push=kill@25"})
    assert job.end() == 0, job.text
    assert job.has("failpoint .* is reached")
    assert not job.violations, job.violations
    for one in job.results.values():
        assert one["pushes"][0] == one["pushes"][1] == (1 << 40) - 1

"""Whoever dies, errs or does not come: the others hear it at once, by name, and nobody hangs."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import zmq

from psdist.settings import Settings

from .conftest import worker_argv

_FAST = {"PSDIST_HEARTBEAT": 0.3, "PSDIST_DEAD_AFTER": 3, "PSDIST_SCHEDULER_AWAY": 3}


def test_every_mistake_is_one_error_at_the_caller_and_the_job_goes_on(clusters: Any) -> None:
    first, second = clusters(2, 2).run("mistakes")
    assert first[0] == "UnknownKey: 'fc1_weight' was never initialised; no key was: call init first"
    assert first[1] == "UnknownKey: 'fc1_wieght' was never initialised; did you mean 'fc1_weight'?"
    assert first[2] == "BadValue: push 'fc1_weight': shape (3, 2), wanted (2, 3) as initialised"
    both = first + second
    assert any("'uneven' was initialised as float32 (2,), and now comes as float32 (3,)" in s for s in both)
    assert any("OwnOptimizer is code of your own, which a server does not execute" in s for s in first)
    assert first[-1] == second[-1] == "ClosedError: this store is closed"


def test_a_second_worker_of_a_rank_is_refused_and_the_job_goes_on(clusters: Any) -> None:
    cluster = clusters(2, 1)
    others = cluster.serve()
    twins = [cluster.worker(0, "join"), cluster.worker(0, "join")]
    start = time.monotonic()
    while all(twin._popen.poll() is None for twin in twins) and time.monotonic() < start + 10:
        time.sleep(0.05)
    refused, accepted = sorted(twins, key=lambda twin: twin._popen.poll() is None)
    ended = refused.wait(1)
    assert ended.code == 1
    assert "RemoteError: the scheduler" in ended.last_line
    assert "refused this worker: worker 0 has joined already" in ended.last_line
    second = cluster.worker(1, "join")
    assert accepted.wait().result == [0, 2]
    assert second.wait().result == [1, 2]
    assert [process.wait().code for process in others] == [0, 0]


def test_one_worker_too_many_is_refused(clusters: Any) -> None:
    cluster = clusters(1, 1)
    cluster.serve()
    worker = cluster.worker(5, "join")
    assert "worker 5 wants to join, but job" in worker.wait(10).last_line
    assert cluster.worker(0, "join").wait().result == [0, 1]


def test_a_missing_scheduler_is_an_error_in_less_than_ten_seconds_by_default(clusters: Any) -> None:
    assert Settings().connect_timeout_s == 8
    cluster = clusters(1, 1, PSDIST_CONNECT_TIMEOUT=1)
    start = time.monotonic()
    ended = cluster.worker(0, "join").wait(10)
    assert time.monotonic() - start < 10
    assert ended.code == 1
    assert f"no scheduler answered at tcp://127.0.0.1:{cluster.port} within 1 s" in ended.last_line


def test_a_port_in_use_is_an_error_of_the_scheduler_at_once(clusters: Any) -> None:
    cluster = clusters(1, 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", cluster.port))
        taken.listen()
        ended = cluster.scheduler().wait(10)
    assert ended.code == 2
    assert f"port {cluster.port} on 127.0.0.1 is in use by another process" in ended.last_line


def test_a_worker_of_another_job_is_refused(clusters: Any) -> None:
    cluster = clusters(1, 1)
    cluster.serve()
    stale = cluster.start("stale", worker_argv("join"), DMLC_ROLE="worker", PSDIST_JOB="yesterday")
    ended = stale.wait(10)
    assert "refused this worker: " in ended.last_line
    assert f"job '{cluster.env['PSDIST_JOB']}'" in ended.last_line
    assert "is of 'yesterday'" in ended.last_line
    assert cluster.worker(0, "join").wait().result == [0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["worker 1", "server 1", "scheduler"])
def test_after_kill_9_every_process_ends_within_15_s_and_says_who_died(clusters: Any, victim: str) -> None:
    cluster = clusters(2, 2, **_FAST)
    processes = cluster.serve()
    workers = [cluster.worker(rank, "train_until_killed") for rank in range(2)]
    assert [worker.line() for worker in workers] == ["training"] * 2
    start = time.monotonic()
    dead = next(p for p in [*processes, *workers] if p.name == victim)
    dead.kill()
    assert dead.wait().code == -signal.SIGKILL
    for process in [*processes, *workers]:
        if process is not dead:
            ended = process.wait(15)
            assert ended.code not in (0, -signal.SIGKILL), f"{ended.name}: {ended.code}"
            if victim == "scheduler":
                assert "the scheduler" in ended.last_line
                assert "has been silent for" in ended.last_line
            else:
                assert f"{victim} died in step" in ended.last_line, f"{ended.name} said {ended.last_line}"
                assert "s after the start" in ended.last_line
    assert time.monotonic() - start < 15


def test_a_worker_whose_script_fails_ends_the_job_with_its_words(clusters: Any) -> None:
    cluster = clusters(2, 1)
    processes = cluster.serve()
    workers = [cluster.worker(rank, "train_until_killed", fail_at=3) for rank in range(2)]
    ends = [process.wait(10) for process in [*processes, *workers]]
    assert all(ended.code == 1 for ended in ends)
    assert ends[-1].last_line == "KeyError: 'the 5th file is not there'"
    for ended in ends[:-1]:
        assert "worker 1 failed in step 3" in ended.last_line, f"{ended.name} said {ended.last_line}"
        assert "KeyError: 'the 5th file is not there'" in ended.last_line


@pytest.mark.slow
def test_a_worker_that_waits_too_long_names_the_server_the_key_and_the_slow_worker(clusters: Any) -> None:
    cluster = clusters(2, 1, **_FAST)
    cluster.serve()
    slow = cluster.worker(1, "wait_for_a_slow_worker")
    hasty = cluster.worker(0, "wait_for_a_slow_worker", {"PSDIST_REQUEST_TIMEOUT": "2"})
    said = hasty.wait(15).result
    assert said.startswith("no reply to ")
    assert "of 'w' at clock " in said
    assert "from server 0 (tcp://127.0.0.1:" in said
    assert "after 2 s: worker 1 is at step 0, this worker at 1" in said
    slow.wait(15)


@pytest.fixture
def key_file(tmp_path: Path) -> str:
    public, secret = zmq.curve_keypair()
    path = tmp_path / "job.key"
    path.touch(0o600)
    path.write_text(f'curve\n    public-key = "{public.decode()}"\n    secret-key = "{secret.decode()}"\n')
    return str(path)


def test_a_job_with_keys_is_joined_by_those_who_have_them_and_by_nobody_else(
    clusters: Any, key_file: str
) -> None:
    cluster = clusters(1, 1, PSDIST_KEY_FILE=key_file, PSDIST_CONNECT_TIMEOUT=2)
    others = cluster.serve()
    stranger = cluster.worker(0, "join", {"PSDIST_KEY_FILE": ""}).wait(10)
    assert stranger.code == 1
    assert "did not let this worker in: PSDIST_KEY_FILE must name the job's keys" in stranger.last_line
    assert cluster.worker(0, "join").wait().result == [0, 1]
    assert [process.wait().code for process in others] == [0, 0]


def test_one_script_serves_every_role(clusters: Any) -> None:
    cluster = clusters(1, 1)
    others = [
        cluster.start(role, worker_argv("serve_or_train"), DMLC_ROLE=role) for role in ("scheduler", "server")
    ]
    assert cluster.worker(0, "serve_or_train").wait().result == [0, 1]
    assert [process.wait().code for process in others] == [0, 0]

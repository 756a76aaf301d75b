"""However a job ends, it ends in time, says why, and leaves nothing behind."""

from __future__ import annotations

import re
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .harness import Bare, Launched, assert_right

LONG = {"rounds": 100_000, "adam": 0}
SOON_S = 30.0  # 5 on a machine that has nothing else to do

Jobs = Callable[..., Launched]
slice_ = pytest.mark.slice


@slice_
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_launcher_ends_everything(launched: Jobs, number: signal.Signals) -> None:
    job = launched("--replicas", 1, **LONG)
    job.wait_for("acked 3$")
    job.launcher.send_signal(number)
    assert job.end() == 128 + number
    assert f"stopped by {number.name}" in job.last_line
    assert not job.violations


@slice_
def test_a_launcher_that_is_killed_takes_everything_with_it(launched: Jobs) -> None:
    job = launched("--replicas", 1, "--elastic", "1:2", **LONG)
    job.wait_for("acked 3$")
    job.launcher.kill()
    assert job.end() == -signal.SIGKILL


@pytest.mark.parametrize("after", [0.3, 1.0, 2.0])
def test_a_launcher_that_is_killed_while_the_job_starts_takes_everything_with_it(
    launched: Jobs, after: float
) -> None:
    job = launched(**LONG)
    job.listen(after)
    job.launcher.kill()
    assert job.end() == -signal.SIGKILL


@pytest.mark.parametrize(("how", "code"), [("exit", 0), ("code", 7)])
def test_the_job_has_the_exit_code_of_its_workers(
    launched: Jobs, faultless: Any, how: str, code: int
) -> None:
    job = launched(rounds=10, end=how)
    assert job.end() == code, job.text
    if code == 0:
        assert_right(job, 10, faultless())


def test_workers_that_vanish_with_code_0_when_all_is_done_end_a_job_with_0(launched: Jobs) -> None:
    job = launched(rounds=10, end="vanish", env={"PSDIST_HEARTBEAT": 0.5, "PSDIST_DEAD_AFTER": 4})
    assert job.end() == 0, job.text  # all had done their work


@slice_
def test_workers_with_uneven_data_do_not_wait_for_those_who_have_finished(launched: Jobs) -> None:
    job = launched(rounds=20, adam=0, uneven=True)
    assert job.end() == 0, job.text
    assert not job.violations
    assert job.results[0]["pushes"][0] == (1 << 20) - 1
    assert job.results[0]["pushes"][1] == (1 << 10) - 1


@slice_
def test_uneven_data_and_a_killed_server_together(launched: Jobs) -> None:
    fault = {"PSDIST_FAILPOINT": "server1.handled-Push=kill@22"}  # when worker 1 has left, or is about to
    job = launched("--replicas", 1, rounds=20, adam=0, uneven=True, env=fault)
    assert job.end() == 0, job.text
    assert job.has("failpoint .* is reached")
    assert not job.violations
    assert job.results[0]["pushes"][0] == (1 << 20) - 1
    assert job.results[0]["pushes"][1] == (1 << 10) - 1


@slice_
def test_a_taken_port_is_an_error_at_once(bare: Callable[..., Bare]) -> None:
    job = bare()
    with socket.socket() as other:
        other.bind(("127.0.0.1", job.port))
        other.listen()
        began = time.monotonic()
        job.scheduler()
        assert job.finish() == {"scheduler": 2}
    assert time.monotonic() - began < SOON_S
    assert job.has(rf"port {job.port} on 127.0.0.1 is in use by another process")


@pytest.mark.parametrize("role", ["server", "worker"])
def test_a_wrong_host_name_is_an_error_at_once(bare: Callable[..., Bare], role: str) -> None:
    job = bare(DMLC_PS_ROOT_URI="no-such-host.invalid", PSDIST_CONNECT_TIMEOUT=3)
    job.env["DMLC_PS_ROOT_URI"] = "no-such-host.invalid"
    began = time.monotonic()
    job.server(0) if role == "server" else job.worker(0)
    (code,) = job.finish().values()
    assert code != 0
    assert time.monotonic() - began < SOON_S
    assert job.has("no-such-host.invalid")


def test_an_address_where_nobody_answers_is_an_error_in_time(bare: Callable[..., Bare]) -> None:
    job = bare(PSDIST_CONNECT_TIMEOUT=3)
    job.server(0)
    job.worker(0)
    assert 0 not in job.finish().values()
    assert job.has(rf"\[server 0\].*no scheduler answered at 127.0.0.1:{job.port} within 3 s")
    assert job.has(r"\[worker 0\].*no scheduler answered at .* within 3 s")


def test_who_does_not_come_is_named(bare: Callable[..., Bare]) -> None:
    job = bare(PSDIST_START_TIMEOUT=8, PSDIST_DEAD_AFTER=4, PSDIST_HEARTBEAT=0.5)
    job.scheduler()
    job.server(0)
    job.worker(1)
    assert 0 not in job.finish().values()
    for name in ("scheduler", "server 0", "worker 1"):
        assert job.has(rf"\[{name}\].*missing worker 0, server 1"), job.text
    job.assert_nothing_left()


@slice_
@pytest.mark.parametrize("num", [18, 24, 30])
def test_a_server_that_runs_out_of_descriptors_ends_or_serves(
    bare: Callable[..., Bare], faultless: Any, num: int
) -> None:
    """It has room for itself, and for nobody else, or for some."""
    job = bare(
        servers=1,
        PSDIST_START_TIMEOUT=10,
        PSDIST_CONNECT_TIMEOUT=5,
        PSDIST_DEAD_AFTER=4,
        PSDIST_HEARTBEAT=0.5,
        PSDIST_REQUEST_TIMEOUT=10,
    )

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (num, num))

    job.scheduler()
    job.start(
        "server 0",
        [sys.executable, "-m", "psdist_server"],
        {"DMLC_ROLE": "server", "PSDIST_RANK": 0},
        preexec_fn=limit,
    )
    for rank in range(2):
        job.worker(rank, rounds=10)
    codes = job.finish()
    assert not job.violations
    if any(codes.values()):
        assert codes["worker 0"] != 0, codes
        assert codes["worker 1"] != 0, codes
    else:
        assert_right(job, 10, faultless())
    job.assert_nothing_left()


@slice_
@pytest.mark.parametrize("spare", [0, 1 << 20, 8 << 20, 512 << 20])
def test_a_server_that_runs_out_of_memory_ends_or_serves(
    bare: Callable[..., Bare], faultless: Any, spare: int
) -> None:
    """When the workers begin it may have so many bytes more than it has, and they bring about 1 MB."""
    job = bare(servers=1, PSDIST_DEAD_AFTER=4, PSDIST_HEARTBEAT=0.5, PSDIST_REQUEST_TIMEOUT=10)
    job.scheduler()
    job.server(0)
    job.wait_for(r"\[server 0\].*has let us in")
    pid = job.pid("server")
    has = int(re.search(r"VmSize:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) << 10  # type: ignore[index]
    resource.prlimit(pid, resource.RLIMIT_AS, (has + spare, has + spare))
    for rank in range(2):
        job.worker(rank, rounds=10)
    codes = job.finish()
    job.assert_nothing_left()
    if set(codes.values()) == {0}:
        assert_right(job, 10, faultless())
    else:
        assert spare < 512 << 20, job.text
        assert 0 not in codes.values(), (codes, job.text)
        assert job.has(r"server 0 failed in step \d+, .*(out of memory|failed to map)"), job.text
        assert not job.violations

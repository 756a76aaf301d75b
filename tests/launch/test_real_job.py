"""A real job under the launcher: it ends well, and whoever is killed is named while all else ends in time."""

import os
import re
import signal
import socket
import stat
import sys
import time
from pathlib import Path

import psutil
import pytest

TRAIN = ("python", str(Path(__file__).with_name("train.py")))
QUICK = {"PSDIST_HEARTBEAT": "0.2", "PSDIST_DEAD_AFTER": "2"}
WITHIN_S = 15


def role_pid(job, role):
    """The process of the first member of `role`."""
    for pid in job.processes():
        try:
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if f"DMLC_ROLE={role}".encode() in variables and b"psdist_server" in command:
            return pid
    raise AssertionError(f"no {role} among {job.processes()}")


def own_address():
    """An address of this machine that is not loopback."""
    for addresses in psutil.net_if_addrs().values():
        for one in addresses:
            if one.family == socket.AF_INET and not one.address.startswith("127."):
                return one.address
    pytest.skip("this machine has loopback addresses only")


def test_a_job_runs_and_everything_ends_with_0(launch):
    job = launch("run", "-n", "2", "-s", "2", "--", *TRAIN, "end")
    assert job.finish() == 0, job.lines
    job.assert_nothing_left()
    assert not [line for line in job.lines if line.startswith("psdist run")]


@pytest.mark.parametrize("victim", ["worker", "server", pytest.param("scheduler", marks=pytest.mark.slow)])
def test_whoever_is_killed_is_named_with_time_and_step_while_all_else_ends(launch, victim):
    job = launch("run", "-n", "2", "-s", "2", "--", *TRAIN, "for-ever", env=QUICK)
    job.wait_for("is far")
    pid = job.pid_of("worker 1") if victim == "worker" else role_pid(job, victim)
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    assert job.finish() == 137
    assert time.monotonic() - began < WITHIN_S
    job.assert_nothing_left()
    assert re.fullmatch(
        rf"psdist run: {victim}( \d)? \(pid {pid}\) was killed by SIGKILL at \d\d:\d\d:\d\d, in step \d+",
        job.last_line,
    )


def test_an_error_of_a_worker_is_named_and_its_code_is_the_job_s(launch):
    job = launch("run", "-n", "2", "-s", "1", "--", *TRAIN, "raise")
    assert job.finish() == 1
    job.assert_nothing_left()
    assert re.fullmatch(
        r"psdist run: worker 1 \(pid \d+\) exited with code 1 \(ValueError: something of mine is wrong\) "
        r"at \d\d:\d\d:\d\d, .*step \d+.*",
        job.last_line,
    )


@pytest.mark.slow
def test_a_worker_that_vanishes_with_code_0_in_the_middle_hangs_nobody(launch):
    job = launch("run", "-n", "2", "-s", "1", "--", *TRAIN, "vanish", env=QUICK)
    assert job.finish() != 0
    job.assert_nothing_left()


@pytest.mark.slow
def test_a_server_that_is_stopped_is_given_up(launch):
    job = launch("run", "-n", "2", "-s", "1", "--", *TRAIN, "for-ever", env=QUICK)
    job.pid_of("worker 0")
    pid = role_pid(job, "server")
    began = time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    assert job.finish() != 0
    assert time.monotonic() - began < WITHIN_S
    job.assert_nothing_left()
    assert "server 0" in job.last_line


@pytest.mark.slow
def test_ctrl_c_ends_a_job_with_130(launch):
    job = launch("run", "-n", "2", "-s", "1", "--", *TRAIN, "for-ever")
    job.pid_of("worker 0")
    job.popen.send_signal(signal.SIGINT)
    assert job.finish() == 130
    job.assert_nothing_left()
    assert re.fullmatch(r"psdist run: stopped by SIGINT at \d\d:\d\d:\d\d, .*step.*", job.last_line)


def test_a_killed_launcher_takes_a_real_job_with_it(launch):
    job = launch("run", "-n", "2", "-s", "1", "--", *TRAIN, "for-ever")
    job.pid_of("worker 0")
    job.popen.kill()
    assert job.finish() == -signal.SIGKILL
    job.assert_nothing_left()


@pytest.mark.slow
def test_status_shows_the_running_job(launch, tmp_path):
    own = {"XDG_RUNTIME_DIR": str(tmp_path)}
    job = launch("run", "-n", "2", "-s", "1", "--job", "mine", "--", *TRAIN, "for-ever", env=own)
    job.pid_of("worker 0")
    status = launch("status", env=own)
    assert status.finish() == 0
    assert status.lines[0].startswith("job mine: running, up ")
    assert [line.split()[:2] for line in status.lines[2:]] == [
        ["server", "0"],
        ["worker", "0"],
        ["worker", "1"],
    ]
    job.popen.send_signal(signal.SIGTERM)
    assert job.finish() == 143


@pytest.mark.slow
def test_an_address_that_others_can_reach_gets_keys_that_only_the_job_reads(launch, tmp_path):
    script = "import os; print('keys', os.environ['PSDIST_KEY_FILE'], flush=True)"
    own = {"XDG_RUNTIME_DIR": str(tmp_path)}
    train = "import psdist as mx; kv = mx.kv.create('dist_sync'); print('joined', flush=True); kv.barrier()"
    job = launch(
        *("run", "-n", "1", "-s", "1", "--host", own_address(), "--"),
        *(sys.executable, "-c", f"{script}; {train}; import time; time.sleep(100)"),
        env=own,
    )
    file = Path(job.wait_for(r"keys (\S+)").group(1))
    job.wait_for("joined")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    job.popen.send_signal(signal.SIGTERM)
    assert job.finish() == 143
    assert not file.exists()

"""`python -m psdist_server` as a process: exit codes, signals, and the last line of the log."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

PATIENT = {"PSDIST_CONNECT_TIMEOUT": "8"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(role: str, port: int, **environ: str) -> Iterator[subprocess.Popen[str]]:
    given = {
        "DMLC_ROLE": role,
        "DMLC_PS_ROOT_URI": "127.0.0.1",
        "DMLC_PS_ROOT_PORT": str(port),
        "DMLC_NUM_WORKER": "1",
        "DMLC_NUM_SERVER": "1",
        "PSDIST_JOB": "job",
        "PSDIST_HEARTBEAT": "0.1",
        "PSDIST_DEAD_AFTER": "1",
        "PSDIST_CONNECT_TIMEOUT": "0.5",
        "PSDIST_CLOSE_TIMEOUT": "0.5",
    }
    command = [sys.executable, "-m", "psdist_server"]
    with subprocess.Popen(
        command, env=os.environ | given | environ, stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def last_line(running: subprocess.Popen[str]) -> str:
    """The last line of its log, without the time, when it has ended."""
    assert running.stderr is not None
    return running.stderr.read().splitlines()[-1].split(" ", 1)[1]


def wait_for_line(running: subprocess.Popen[str], text: str) -> None:
    assert running.stderr is not None
    for line in running.stderr:
        if text in line:
            return
    raise AssertionError(f"it ended without saying {text!r}")


def test_a_missing_scheduler_is_the_last_line_and_exit_code_1() -> None:
    port = free_port()
    with process("server", port) as server:
        assert last_line(server).startswith(f"ERROR no scheduler answered at 127.0.0.1:{port} within 0.5 s")
        assert server.wait() == 1


def test_wrong_settings_are_one_line_and_exit_code_2() -> None:
    with process("scheduler", free_port(), DMLC_NUM_WORKER="many") as scheduler:
        assert last_line(scheduler) == "ERROR DMLC_NUM_WORKER='many': wanted a whole number from 1 to 65535"
        assert scheduler.wait() == 2


def test_a_port_in_use_is_one_line_and_exit_code_2() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with process("scheduler", port) as scheduler:
            assert f"port {port} on 127.0.0.1 is in use by another process" in last_line(scheduler)
            assert scheduler.wait() == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_scheduler_and_the_server_hears_why(number: signal.Signals) -> None:
    port = free_port()
    with process("scheduler", port) as scheduler, process("server", port, **PATIENT) as server:
        wait_for_line(server, "the scheduler has let us in")
        scheduler.send_signal(number)
        assert last_line(scheduler) == f"ERROR stopped by {number.name}"
        assert scheduler.wait() == 128 + number
        assert last_line(server) == f"ERROR the job ended: stopped by {number.name}"
        assert server.wait() == 1


def test_a_scheduler_that_is_killed_is_noticed_by_the_server() -> None:
    port = free_port()
    with process("scheduler", port) as scheduler, process("server", port, **PATIENT) as server:
        wait_for_line(server, "the scheduler has let us in")
        scheduler.kill()
        text = last_line(server)
        assert text.startswith(f"ERROR the scheduler at 127.0.0.1:{port} has been silent for ")
        assert server.wait() == 1

"""Who does not belong, or does not speak the protocol, changes nothing, stops nobody, and is told so in words."""

from __future__ import annotations

import os
import re
import resource
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from psdist.wire import decode, encode, key_number
from psdist.wire import messages as m

from .harness import Bare, assert_right, free_port

ROUNDS = 20
_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_READY = b"\x04\x26\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x00"

slice_ = pytest.mark.slice
Jobs = Callable[..., Bare]


def begin(bare: Jobs, **env: Any) -> tuple[Bare, list[int]]:
    """A job that is held in round 5, and the ports on which it listens."""
    job = bare(**env)
    job.scheduler()
    for rank in range(2):
        job.server(rank)
        job.hold(rank, 5)
        job.worker(rank, rounds=ROUNDS, holds=[5])
    job.wait_for_all(*(rf"\[worker {rank}\] holds at 5$" for rank in range(2)))
    found = [re.search(r"^\[server \d\].* at tcp://127.0.0.1:(\d+) asks", line) for line in job.lines]
    return job, [job.port, *(int(one.group(1)) for one in found if one)]


def assert_unimpressed(job: Bare, digest: str) -> None:
    """The job goes on as if nothing had been."""
    for rank in range(2):
        job.let_go(rank, 5)
    codes = job.finish()
    assert set(codes.values()) == {0}, (codes, job.text)
    assert_right(job, ROUNDS, digest)
    job.assert_nothing_left()


def memory(pid: int) -> int:
    """Bytes of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def dealer(port: int) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.DEALER) as sock:
        sock.linger = 0
        sock.rcvtimeo = 20_000
        sock.connect(f"tcp://127.0.0.1:{port}")
        yield sock


def ask(sock: zmq.Socket[bytes], message: Any) -> Any:
    """The answer to a message, Alives and Views aside."""
    sock.send_multipart(encode(message) if not isinstance(message, list) else message)
    while True:
        answer = decode(sock.recv_multipart(copy=False))
        if not isinstance(answer, m.Alive | m.View):
            return answer


def hello(job: str, role: str, rank: int, version: int = m.VERSION, token: int = 99) -> m.Hello:
    return m.Hello(1, version, job, role, rank, 0, token, "", -1)


@slice_
def test_garbage_changes_nothing(bare: Jobs, faultless: Any) -> None:
    job, ports = begin(bare)
    rng = np.random.default_rng(7)
    for port in ports:
        for opening in (b"", _GREETING, _GREETING + _READY, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" * 50):
            with socket.create_connection(("127.0.0.1", port)) as sock:
                sock.sendall(opening + rng.bytes(3000))
        with dealer(port) as sock:
            for size in (0, 1, 10, 1000, 100_000):
                answer = ask(sock, [rng.bytes(size)])
                assert isinstance(answer, m.Error)
                assert answer.code == "protocol"
    assert_unimpressed(job, faultless())


@slice_
def test_frames_that_claim_to_be_huge_and_bombs_take_no_memory(bare: Jobs, faultless: Any) -> None:
    job, ports = begin(bare)
    pids = [job.pid("scheduler"), job.pid("server", 0), job.pid("server", 1)]
    before = [memory(pid) for pid in pids]
    with ExitStack() as stack:
        for port in ports:
            for nbytes in (1 << 34, 1 << 62, (1 << 64) - 1):
                sock = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                sock.sendall(_GREETING + _READY + b"\x02" + struct.pack(">Q", nbytes) + bytes(100_000))
            one = stack.enter_context(dealer(port))
            for bomb in (
                b"\x91" * 65_000,  # nested arrays
                b"\x92\x0b\xdd\xff\xff\xff\xff",  # an array of 4 G items
                b"\x92\x0b\xc6\xff\xff\xff\xff",  # a binary of 4 GB
                b"\xdc\xff\xff" + b"\x90" * 65_535,
            ):
                answer = ask(one, [bomb])
                assert isinstance(answer, m.Error)
                assert answer.code == "protocol"
            grown = [memory(pid) - was for pid, was in zip(pids, before, strict=True)]
            assert max(grown) < 64 << 20, grown
    assert_unimpressed(job, faultless())


@slice_
@pytest.mark.parametrize("num", [900, 10_000])
def test_many_who_connect_and_say_nothing_or_one_byte_stop_nobody(
    bare: Jobs, faultless: Any, num: int
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if num + 100 > hard:
        pytest.skip(f"needs {num} descriptors and may have {hard}")
    job, ports = begin(bare)
    with ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, num + 100), hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for i in range(num):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", ports[i % len(ports)])))
            sock.sendall(_GREETING[: i % 12])
        assert_unimpressed(job, faultless())


@slice_
def test_who_has_not_said_hello_changes_nothing(bare: Jobs, faultless: Any) -> None:
    """Also not by a push that was seen on the wire: a connection counts, not what is said on it."""
    job, ports = begin(bare)
    key = key_number("s:ledger")
    push = m.Push(5, 1, 1, [key], [0], [5], [], [np.full(2048, 2.0**40)])
    for port in ports[1:]:
        with dealer(port) as sock:
            for message in (push, m.SetStaleness(6, -1), m.Pull(7, [key], [0], [0]), m.Leave(8)):
                answer = ask(sock, message)
                assert isinstance(answer, m.Error)
                assert answer.code in ("not-admitted", "refused"), answer
    with dealer(ports[0]) as sock:
        for message in (m.Barrier(5, "", 0), m.Leave(6), m.Synced(2, 0, 1), m.Finish("over")):
            sock.send_multipart(encode(message))
        assert isinstance(ask(sock, m.Barrier(9, "", 0)), m.Error)
    assert_unimpressed(job, faultless())


@slice_
@pytest.mark.parametrize(
    ("who", "said"),
    [
        ({"job": "another"}, r"serves job 'chaos-\w+'; worker 0 is of 'another'"),
        ({"rank": 0}, r"worker 0"),
        ({"rank": 2}, r"worker 2 wants to join, but job '.*' has workers 0 to 1"),
        ({"role": "server", "rank": 0}, r"server 0"),
        ({"version": m.VERSION + 1}, rf"version {m.VERSION}.*{m.VERSION + 1}|{m.VERSION + 1}.*{m.VERSION}"),
    ],
    ids=["of-another-job", "a-second-worker-0", "one-too-many", "a-second-server-0", "of-another-version"],
)
def test_a_stranger_is_refused_in_words(bare: Jobs, faultless: Any, who: Any, said: str) -> None:
    job, ports = begin(bare)
    with dealer(ports[0]) as sock:
        answer = ask(sock, hello(**({"job": job.name, "role": "worker", "rank": 0} | who)))
    assert isinstance(answer, m.Error)
    assert re.search(said, answer.text), answer.text
    assert_unimpressed(job, faultless())


@slice_
def test_a_worker_of_a_job_that_is_over_is_refused_within_seconds(bare: Jobs, faultless: Any) -> None:
    job, _ = begin(bare)
    began = time.monotonic()
    job.start(
        "stale",
        [sys.executable, "-c", "import psdist; psdist.kv.create('dist_sync')"],
        {"PSDIST_JOB": "the-one-before", "DMLC_ROLE": "worker", "PSDIST_RANK": 0},
    )
    stale = job.wait_for(r"\[stale\] .*RemoteError: .*refused this worker: (.*)$").group(1)
    assert time.monotonic() - began < 30
    assert "the-one-before" in stale
    assert job.name in stale
    for rank in range(2):
        job.let_go(rank, 5)
    job.finish()
    assert_right(job, ROUNDS, faultless())


@slice_
def test_a_worker_cannot_send_what_is_for_servers_or_the_scheduler_to_send(
    bare: Jobs, faultless: Any
) -> None:
    job = bare(workers=3)
    job.scheduler()
    for rank in range(2):
        job.server(rank)
        job.hold(rank, 0)
        job.worker(rank, rounds=ROUNDS, holds=[0], elastic=True)  # worker 2 pushes nothing
    key = key_number("s:ledger")
    with dealer(job.port) as scheduler, ExitStack() as stack:
        welcome = ask(scheduler, hello(job.name, "worker", 2))
        assert isinstance(welcome, m.Welcome)
        view = None
        while not isinstance(view, m.View):
            view = decode(scheduler.recv_multipart(copy=False))
        for member in view.members:
            if member.role != "server":
                continue
            sock = stack.enter_context(dealer(int(member.address.rpartition(":")[2])))
            assert isinstance(ask(sock, hello(job.name, "worker", 2)), m.Welcome)
            copy = m.Replicate(2, 9, 0, [key], [0], [0], [9], [0], ((0, 1),), ((),), [np.ones(8)])
            settings = m.CopySettings(3, 9, 0, "", {}, {}, {}, False, False, "", {}, [], [], [], [])
            sock.send_multipart(encode(m.Abort("over", "scheduler", 0, 1, 0.0)))
            sock.send_multipart(encode(m.View(99, 99, 0, 1, 1, ())))
            for forbidden in (copy, settings, m.Finish("over")):
                answer = ask(sock, forbidden)
                assert isinstance(answer, m.Error)
                assert answer.code == "refused"
                assert f"{type(forbidden).__name__} is not for a worker to send" in answer.text
        assert isinstance(ask(scheduler, m.Leave(7)), m.Done)
    job.wait_for_all(*(rf"\[worker {rank}\] holds at 0$" for rank in range(2)))
    for rank in range(2):
        job.let_go(rank, 0)
    codes = job.finish()
    assert set(codes.values()) == {0}, (codes, job.text)
    assert not job.violations
    assert all(one["pushes"][0] == (1 << ROUNDS) - 1 for one in job.results.values())


@slice_
@pytest.mark.parametrize("keys", ["none", "other"])
def test_without_the_key_nobody_gets_in(bare: Jobs, faultless: Any, folder: Path, keys: str) -> None:
    files = {name: folder / name for name in ("job", "other")}
    maker = bare()
    for name, file in files.items():
        maker.start(name, [sys.executable, "-m", "psdist_launch.cli", "keygen", str(file)])
    assert set(maker.finish().values()) == {0}, maker.text
    job, ports = begin(bare, PSDIST_KEY_FILE=files["job"])
    own = {"none": "", "other": files["other"]}[keys]
    job.start(
        "stranger",
        [sys.executable, "-c", "import psdist; psdist.kv.create('dist_sync')"],
        {"DMLC_ROLE": "worker", "PSDIST_RANK": 0, "PSDIST_KEY_FILE": own, "PSDIST_CONNECT_TIMEOUT": 3},
    )
    assert job.wait_for_end("stranger") == 1
    assert job.has(r"\[stranger\] psdist.errors.RequestTimeout: the scheduler .* did not let this worker in")
    with dealer(ports[1]) as sock:
        sock.rcvtimeo = 1000
        with pytest.raises(zmq.Again):
            ask(sock, m.Leave(1))
    for rank in range(2):
        job.let_go(rank, 5)
    codes = job.finish()
    assert codes.pop("stranger") == 1
    assert set(codes.values()) == {0}, (codes, job.text)
    assert_right(job, ROUNDS, faultless())


def test_the_ports_of_a_job_that_was_killed_can_be_used_at_once(bare: Jobs, faultless: Any) -> None:
    job, _ = begin(bare)
    port = job.port
    for pid in job.processes():
        os.kill(pid, 9)
    job.finish()
    job.assert_nothing_left()
    again = bare()
    again.env["DMLC_PS_ROOT_PORT"] = str(port)
    again.scheduler()
    for rank in range(2):
        again.server(rank)
        again.worker(rank, rounds=ROUNDS)
    assert set(again.finish().values()) == {0}, again.text
    assert_right(again, ROUNDS, faultless())
    assert port != free_port()

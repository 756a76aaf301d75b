"""Clusters for tests, over real sockets on loopback: as processes, or as threads of this one.

A worker runs one function of programs.py. Of a process, what it returns is its `Ended.result`; whatever a test
leaves running is killed, and fails the test. Threads start in no time, and do for tests in which nobody dies.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import zmq
import zmq.utils.garbage
from psdist_server import snapshot
from psdist_server.loop import Loop, SchedulerLoop, ServerLoop

from psdist.settings import Settings
from psdist.wire import decode, encode
from psdist.wire import messages as m

from . import programs

_PROGRAMS = Path(__file__).with_name("programs.py")
_SERVE = [sys.executable, "-m", "psdist_server"]
DEADLINE_S = 60.0  # generous: the machine may be busy; no test waits this long when all is well


@dataclass
class Ended:
    """How a process ended."""

    name: str
    code: int
    out: str
    err: str

    @property
    def last_line(self) -> str:
        lines = self.err.strip().splitlines()
        return lines[-1] if lines else ""

    @property
    def result(self) -> Any:
        """What a worker's program returned."""
        assert self.code == 0, f"{self.name} ended with {self.code}:\n{self.err}"
        return json.loads(self.out.splitlines()[-1])


class Process:
    """A process of a cluster."""

    def __init__(self, name: str, argv: list[str], env: dict[str, str]) -> None:
        self.name = name
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("DMLC_", "PSDIST_"))}
        self._popen = subprocess.Popen(
            argv,
            env={**clean, "OPENBLAS_NUM_THREADS": "1", **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        """The next line that it prints: tests let processes wait for each other by it."""
        assert self._popen.stdout is not None
        line = self._popen.stdout.readline().strip()
        if not line:
            pytest.fail(f"{self.name} has ended: {self.wait()}")
        return line

    def err_line(self) -> str:
        """The next line of its log. Fails the test at the end of the log."""
        assert self._popen.stderr is not None
        line = self._popen.stderr.readline()
        assert line, f"{self.name} has ended"
        return line

    def kill(self, number: int = signal.SIGKILL) -> None:
        self._popen.send_signal(number)

    def wait(self, timeout_s: float = DEADLINE_S) -> Ended:
        """Its end. Fails the test when it does not come."""
        try:
            out, err = self._popen.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            out, err = self._popen.communicate()
            pytest.fail(f"{self.name} did not end within {timeout_s:g} s:\n{out}\n{err}")
        return Ended(self.name, self._popen.returncode, out, err)

    def bury(self) -> bool:
        """Kill it if it still runs; whether it did."""
        if self._popen.poll() is not None:
            if self._popen.stdout is not None and not self._popen.stdout.closed:
                self._popen.communicate()
            return False
        self._popen.kill()
        self._popen.communicate()
        return True


def worker_argv(program: str, **options: object) -> list[str]:
    """The command of a worker."""
    return [sys.executable, str(_PROGRAMS), program, json.dumps(options)]


class Cluster:
    """The processes of one job."""

    def __init__(self, num_workers: int, num_servers: int, **settings: object) -> None:
        self.port = free_port()
        self.env = {
            "DMLC_PS_ROOT_URI": "127.0.0.1",
            "DMLC_PS_ROOT_PORT": str(self.port),
            "DMLC_NUM_WORKER": str(num_workers),
            "DMLC_NUM_SERVER": str(num_servers),
            "PSDIST_JOB": f"test-{os.getpid()}-{self.port}",
            "PSDIST_REQUEST_TIMEOUT": "20",
        } | {name: str(value) for name, value in settings.items()}
        self.num_servers = num_servers
        self.processes: list[Process] = []

    def start(self, name: str, argv: list[str], **env: str) -> Process:
        process = Process(name, argv, self.env | env)
        self.processes.append(process)
        return process

    def scheduler(self) -> Process:
        return self.start("scheduler", _SERVE, DMLC_ROLE="scheduler")

    def server(self, rank: int) -> Process:
        return self.start(f"server {rank}", _SERVE, DMLC_ROLE="server", PSDIST_RANK=str(rank))

    def lost(self, role: str, rank: int) -> None:
        """Tell the scheduler that this process is dead, as the launcher does."""
        with zmq.Context() as context, context.socket(zmq.DEALER) as sock:
            sock.linger = 0
            sock.connect(f"tcp://127.0.0.1:{self.port}")
            hello = m.Hello(1, m.VERSION, self.env["PSDIST_JOB"], "launcher", m.ANY_RANK, 0, 1, "")
            for message in (hello, m.Lost(2, role, rank, "killed by a test")):
                sock.send_multipart(encode(message))
                assert sock.poll(DEADLINE_S * 1000), "the scheduler does not answer"
                reply = decode(sock.recv_multipart())
                assert isinstance(reply, m.Welcome | m.Done | m.Abort), reply

    def serve(self) -> list[Process]:
        """Scheduler and servers."""
        return [self.scheduler(), *(self.server(rank) for rank in range(self.num_servers))]

    def worker(
        self, rank: int, program: str, env: dict[str, str] | None = None, **options: object
    ) -> Process:
        own = {"DMLC_ROLE": "worker", "PSDIST_RANK": str(rank)} | (env or {})
        return self.start(f"worker {rank}", worker_argv(program, **options), **own)

    def run(self, program: str, **options: object) -> list[Any]:
        """Run the program on all workers; what each returned. Everybody must end well."""
        others = self.serve()
        num = int(self.env["DMLC_NUM_WORKER"])
        workers = [self.worker(rank, program, **options) for rank in range(num)]
        results = [worker.wait().result for worker in workers]
        for ended in [process.wait() for process in others]:
            assert ended.code == 0, f"{ended.name} ended with {ended.code}:\n{ended.err}"
        return results


def run_threads(
    program: str,
    *,
    num_workers: int = 2,
    num_servers: int = 1,
    slice_nbytes: int = 1 << 20,
    shm_nbytes: int | None = None,
    **options: object,
) -> list[Any]:
    """Run the program on workers that are threads, with scheduler and servers beside them; what each returned."""
    common = Settings(
        root_uri="127.0.0.1",
        root_port=free_port(),
        num_workers=num_workers,
        num_servers=num_servers,
        job="threads",
        request_timeout_s=20.0,
        slice_nbytes=slice_nbytes,
        **({} if shm_nbytes is None else {"shm_nbytes": shm_nbytes}),
    )

    def work(rank: int) -> Any:
        programs.here.settings = dataclasses.replace(common, wanted_rank=rank)
        try:
            return getattr(programs, program)(**options)
        finally:
            programs.here.settings = None

    with contextlib.ExitStack() as stack:
        loops: list[Loop] = [
            stack.enter_context(SchedulerLoop(dataclasses.replace(common, role="scheduler")))
        ]
        for rank in range(num_servers):
            settings = dataclasses.replace(common, role="server", wanted_rank=rank)
            loops.append(stack.enter_context(ServerLoop(settings)))
        pool = stack.enter_context(ThreadPoolExecutor(num_workers + len(loops)))
        ends = [pool.submit(loop.run) for loop in loops]
        workers = [pool.submit(work, rank) for rank in range(num_workers)]
        done, _ = wait(workers, DEADLINE_S, FIRST_EXCEPTION)
        if any(worker.exception() for worker in done) or len(done) < num_workers:
            for loop in loops:
                loop.stop("the test has failed")
        results = [worker.result(DEADLINE_S) for worker in workers]
        assert [end.result(DEADLINE_S).code for end in ends] == [0] * len(loops)
    return results


@pytest.fixture(autouse=True, scope="session")
def _pyzmqs_own_thread() -> None:
    """pyzmq starts it at the first zero-copy send and ends it with the interpreter: no test's leftover."""
    if not zmq.utils.garbage.gc.is_alive():
        zmq.utils.garbage.gc.start()


def wait_for_snapshot(folder: Path) -> int:
    """The step of the newest complete snapshot, when there is one."""
    end = time.monotonic() + DEADLINE_S
    while not (found := snapshot.find(folder)):
        assert time.monotonic() < end, f"no snapshot in {folder} is complete: {sorted(folder.rglob('*'))}"
        time.sleep(0.02)  # it is written by other processes, which say nothing
    return found[-1].step


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def clusters() -> Iterator[Any]:
    """Makes a Cluster; at the end of the test nothing of it may still run."""
    made: list[Cluster] = []

    def make(num_workers: int = 2, num_servers: int = 1, **settings: object) -> Cluster:
        made.append(Cluster(num_workers, num_servers, **settings))
        return made[-1]

    yield make
    end = time.monotonic() + 3.0
    left = []
    for cluster in made:
        for process in cluster.processes:
            while process._popen.poll() is None and time.monotonic() < end:
                time.sleep(0.02)
            if process.bury():
                left.append(process.name)
    assert not left, f"left running: {', '.join(left)}"

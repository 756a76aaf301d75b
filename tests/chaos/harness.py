"""Jobs of real processes, under the launcher or each started by itself, and what must be left of them: nothing.

A test waits for lines that the processes print, with a deadline; whoever is to die says so by a failpoint, or
is sent a signal by its role and rank. Deadlines are generous, since the machine may be busy: no test waits that
long when all is well.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import selectors
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import pytest

from . import ledger

DEADLINE_S = 120.0
JOB = str(Path(__file__).with_name("job.py"))
_MARK = "PSDIST_TEST_CHAOS"
# several shards for each server, as in a job that may grow
_COMMON = {"PSDIST_SLICE_BYTES": "16384", "PSDIST_REQUEST_TIMEOUT": "60", "PSDIST_MAX_SERVERS": "8"}


class Job:
    """Some processes that belong together: their lines, their ends, and a search for what is left of them."""

    def __init__(self, folder: Path, env: dict[str, Any] | None = None) -> None:
        self.folder = folder
        self.name = f"chaos-{secrets.token_hex(4)}"
        self.lines: list[str] = []
        self.codes: dict[str, int] = {}
        self._seen = 0
        self._popens: dict[str, subprocess.Popen[bytes]] = {}
        self._rests: dict[str, bytes] = {}
        self._selector = selectors.DefaultSelector()
        self._holds: list[int] = []
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("DMLC_", "PSDIST_"))}
        own = {
            _MARK: self.name,
            "XDG_RUNTIME_DIR": str(folder),
            "TMPDIR": str(folder),
            "PYTHONUNBUFFERED": "1",
        }
        given = {name: str(value) for name, value in (env or {}).items()}
        self.env = inherited | own | {"OPENBLAS_NUM_THREADS": "1"} | _COMMON | given

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End what a failed test has left, by force."""
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
        for popen in self._popens.values():
            popen.kill()
            popen.wait()
            assert popen.stdout is not None
            popen.stdout.close()
        self._selector.close()
        for fd in self._holds:
            os.close(fd)
        self._holds.clear()

    # --- starting ---------------------------------------------------------------------------------

    def start(self, name: str, argv: list[str], env: dict[str, Any] | None = None, **how: Any) -> None:
        """Start a process whose lines will be `[name] ...`, or as they are when the name is empty."""
        own = {variable: str(value) for variable, value in (env or {}).items()}
        popen = subprocess.Popen(
            argv,
            env=self.env | own,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **how,
        )
        assert popen.stdout is not None
        self._popens[name] = popen
        self._rests[name] = b""
        self._selector.register(popen.stdout, selectors.EVENT_READ, name)

    def hold(self, rank: int, step: int) -> None:
        """Make the pipe at which a worker will wait in a round."""
        os.mkfifo(self.folder / f"hold-{rank}-{step}")

    def let_go(self, rank: int, step: int) -> None:
        """Let it go on."""
        fd = os.open(self.folder / f"hold-{rank}-{step}", os.O_RDWR)  # for writing alone could wait
        os.write(fd, b"!")
        self._holds.append(fd)

    # --- watching ---------------------------------------------------------------------------------

    def wait_for(self, pattern: str, deadline_s: float = DEADLINE_S) -> re.Match[str]:
        """The next line that matches; fails the test when none comes."""
        end = time.monotonic() + deadline_s
        while True:
            while self._seen < len(self.lines):
                self._seen += 1
                if match := re.search(pattern, self.lines[self._seen - 1]):
                    return match
            if not self._read(end):
                self.fail(f"no line matched {pattern!r}")

    def wait_for_all(self, *patterns: str, deadline_s: float = DEADLINE_S) -> None:
        """Until there was a line for each of them, in any order."""
        end = time.monotonic() + deadline_s
        missing = list(patterns)
        while missing := [one for one in missing if not self.has(one)]:
            if not self._read(end):
                self.fail(f"no line matched {missing!r}")

    def has(self, pattern: str) -> bool:
        """Whether a line matches."""
        return any(re.search(pattern, line) for line in self.lines)

    def listen(self, seconds: float) -> None:
        """Read what comes in so much time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._read(end, may_be_silent=True):
            pass

    def finish(self, deadline_s: float = DEADLINE_S) -> dict[str, int]:
        """The exit codes, by name, when all has ended and was read."""
        end = time.monotonic() + deadline_s
        while self._read(end):
            pass
        for name, popen in self._popens.items():
            self.codes[name] = popen.wait(max(1.0, end - time.monotonic()))
        return self.codes

    def wait_for_end(self, name: str, deadline_s: float = DEADLINE_S) -> int:
        """The exit code of one process."""
        end = time.monotonic() + deadline_s
        while self._popens[name].poll() is None:
            if not self._read(min(end, time.monotonic() + 0.1), may_be_silent=time.monotonic() < end):
                return self._popens[name].wait(max(1.0, end - time.monotonic()))
        return self._popens[name].returncode

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def violations(self) -> list[str]:
        return [line for line in self.lines if "VIOLATION" in line]

    @property
    def results(self) -> dict[int, dict[str, Any]]:
        """What each worker said at its end, by rank."""
        found = {}
        for line in self.lines:
            if match := re.search(r"RESULT (\{.*\})$", line):
                one = json.loads(match.group(1))
                one["pushes"] = {int(worker): pushes for worker, pushes in one["pushes"].items()}
                found[one["rank"]] = one
        return found

    def acked(self, rank: int) -> int:
        """The rounds whose pushes a worker said were acknowledged."""
        steps = [re.search(rf"\[worker {rank}\] acked (\d+)$", line) for line in self.lines]
        return sum({1 << int(step.group(1)) for step in steps if step})

    def fail(self, why: str) -> None:
        pytest.fail(f"{why}; the job said:\n" + "\n".join(self.lines[-80:]))

    def _read(self, end: float, may_be_silent: bool = False) -> bool:
        """Read some output; False at its end. Fails the test at the deadline."""
        if not self._selector.get_map():
            return False
        ready = self._selector.select(max(0.0, end - time.monotonic()))
        if not ready and not may_be_silent:
            self.fail("neither ended nor went on")
        for key, _ in ready:
            name = key.data
            data = os.read(key.fd, 1 << 16)
            if not data:
                self._selector.unregister(key.fileobj)
            *whole, self._rests[name] = (self._rests[name] + data).split(b"\n")
            prefix = f"[{name}] " if name else ""
            self.lines += [prefix + line.decode(errors="replace") for line in whole]
        return True

    # --- the processes ----------------------------------------------------------------------------

    def processes(self) -> list[int]:
        """Who of the job still runs."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            variables = _environ(folder)
            if variables.get(_MARK) == self.name and _state(int(folder.name)) not in "ZX":
                found.append(int(folder.name))
        return found

    def pid(self, role: str, rank: int = 0, life: int = 0) -> int:
        """The process of a member, which must run."""
        for pid in self.processes():
            variables = _environ(Path(f"/proc/{pid}"))
            found = (variables.get("DMLC_ROLE"), variables.get("PSDIST_RANK", "0"))
            if found == (role, str(rank)) and int(variables.get("PSDIST_INCARNATION") or 0) == life:
                return pid
        self.fail(f"there is no {role} {rank} in its life {life}")
        raise AssertionError

    def wait_until_stopped(self, pid: int) -> None:
        """Until a process is in state T."""
        end = time.monotonic() + DEADLINE_S
        while _state(pid) != "T":
            if time.monotonic() > end:
                self.fail(f"process {pid} did not stop")
            self._read(time.monotonic() + 0.02, may_be_silent=True)

    def assert_nothing_left(self) -> None:
        """No process, no folder, no socket file, no shared memory of the job's is there any more."""
        end = time.monotonic() + 5  # an orphan's last second, and pid 1's
        while left := self.processes():
            if time.monotonic() > end:
                self.fail(f"still there: {[(pid, _command(pid)) for pid in left]}")
            time.sleep(0.02)
        memory = [path for path in Path("/dev/shm").iterdir() if self.name in path.name]
        assert not memory, f"shared memory is left: {memory}"
        folder = self.folder / "psdist"
        files = [path for path in folder.rglob("*") if self.name in str(path)] if folder.exists() else []
        assert not files, f"files are left: {files}"


class Launched(Job):
    """A job under `psdist run`."""

    def run(self, *options: object, workers: int = 2, servers: int = 2, **training: Any) -> Self:
        """Start it. `options` are the launcher's, `training` job.py's."""
        sizes = ["-n", workers, "-s", servers, "--job", self.name]
        script = ["--", sys.executable, JOB, json.dumps({"folder": str(self.folder)} | training)]
        argv = [sys.executable, "-m", "psdist_launch.cli", "run", *sizes, *options, *script]
        self.start("", [str(part) for part in argv])
        return self

    @property
    def launcher(self) -> subprocess.Popen[bytes]:
        return self._popens[""]

    def end(self, deadline_s: float = DEADLINE_S) -> int:
        """The launcher's exit code, when nothing is left of the job."""
        code = self.finish(deadline_s)[""]
        self.assert_nothing_left()
        return code

    @property
    def last_line(self) -> str:
        return self.lines[-1] if self.lines else ""


class Bare(Job):
    """A job whose processes are started one by one, so that each may have its own way to the others."""

    def __init__(
        self, folder: Path, workers: int = 2, servers: int = 2, env: dict[str, Any] | None = None
    ) -> None:
        super().__init__(folder, env)
        self.num_workers, self.num_servers = workers, servers
        self.port = free_port()
        self.env |= {
            "DMLC_PS_ROOT_URI": "127.0.0.1",
            "DMLC_PS_ROOT_PORT": str(self.port),
            "DMLC_NUM_WORKER": str(workers),
            "DMLC_NUM_SERVER": str(servers),
            "PSDIST_JOB": self.name,
        }

    def scheduler(self, **env: Any) -> None:
        self.start("scheduler", _SERVE, {"DMLC_ROLE": "scheduler", "PSDIST_RANK": 0} | env)

    def server(self, rank: int, **env: Any) -> None:
        self.start(f"server {rank}", _SERVE, {"DMLC_ROLE": "server", "PSDIST_RANK": rank} | env)

    def worker(self, rank: int, env: dict[str, Any] | None = None, **training: Any) -> None:
        argv = [sys.executable, JOB, json.dumps({"folder": str(self.folder)} | training)]
        self.start(f"worker {rank}", argv, {"DMLC_ROLE": "worker", "PSDIST_RANK": rank} | (env or {}))


_SERVE = [sys.executable, "-m", "psdist_server"]


def assert_right(job: Job, num_rounds: int, digest: str, workers: int = 2) -> None:
    """Nobody saw a violation, every push is there once, and the bits are those of a job without faults."""
    assert not job.violations, job.violations
    results = job.results
    assert sorted(results) == list(range(workers)), f"no result of some worker: {sorted(results)}"
    for one in results.values():
        for worker in range(workers):
            assert one["pushes"][worker] == ledger.rounds(0, num_rounds), f"{one} lacks pushes of {worker}"
        assert one["digest"] == digest, "the bits are others than without the fault"


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environ(folder: Path) -> dict[str, str]:
    try:
        raw = (folder / "environ").read_bytes()
    except OSError:
        return {}
    pairs = (item.partition(b"=") for item in raw.split(b"\0"))
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, _, value in pairs}


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
    except OSError:
        return "gone"

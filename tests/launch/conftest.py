"""Launches for tests: real processes, lines waited for with a deadline, and a search for leftovers."""

from __future__ import annotations

import json
import os
import re
import secrets
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_DEADLINE_S = 30.0  # generous: the machine may be busy; no test waits this long when all is well
_TEST = "PSDIST_TEST_LAUNCH"

# Stands in for scheduler and servers, and ends as they do: with 0, on SIGTERM.
SERVICE = ("sh", "-c", "trap 'kill $!; exit 0' TERM; sleep 100 & echo $DMLC_ROLE serves; wait")

_RUN_STANDIN = """
import json, os, sys
from psdist_launch.cluster import Cluster
from psdist_launch.local import JobFolder
from psdist_launch.logs import Screen
from psdist_launch.supervise import Supervisor

service, workers, servers, grace, kill, *command = json.loads(sys.argv[1])
with JobFolder("test") as folder:
    cluster = Cluster(command=tuple(command), num_workers=workers, num_servers=servers, host="127.0.0.1",
                      port=1, job="test", mark=folder.path.name, service_command=tuple(service))
    screen = Screen.on(sys.stdout.buffer, sys.stderr.buffer)
    limits = {"folder": str(folder.path), "grace_s": grace, "kill_s": kill}
    with Supervisor(cluster, screen, base=os.environ, **limits) as job:
        verdict = job.run()
if verdict.text:
    screen.say(verdict.text)
sys.exit(verdict.exit_code)
"""


class Launch:
    """A launcher that runs, as the test sees it: its lines, its exit code, the processes of its job."""

    def __init__(self, argv: list[str], env: dict[str, str]) -> None:
        self.mark = f"{_TEST}={secrets.token_hex(8)}"
        name, _, value = self.mark.partition("=")
        self.popen = subprocess.Popen(
            argv,
            env={**os.environ, **env, name: value},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self.popen.stdout is not None
        self._stream = self.popen.stdout
        self._rest = b""
        self.lines: list[str] = []
        self._seen = 0  # lines that a `wait_for` has passed

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The next line that matches; fails the test when none comes."""
        end = time.monotonic() + _DEADLINE_S
        while True:
            while self._seen < len(self.lines):
                self._seen += 1
                if match := re.search(pattern, self.lines[self._seen - 1]):
                    return match
            if not self._read(end):
                pytest.fail(f"no line matched {pattern!r} in:\n" + "\n".join(self.lines))

    def pid_of(self, member: str) -> int:
        """The process of `member`, which prints "pid N" when it is ready."""
        self._seen = 0
        return int(self.wait_for(rf"^\[{member}\] pid (\d+)$").group(1))

    def hang_up(self) -> None:
        """Read no more, as a pager that was quit."""
        self._stream.close()

    def finish(self) -> int:
        """The exit code, when everything was read."""
        end = time.monotonic() + _DEADLINE_S
        while self._read(end):
            pass
        return self.popen.wait(max(0.1, end - time.monotonic()))

    @property
    def last_line(self) -> str:
        return self.lines[-1]

    def processes(self) -> list[int]:
        """Who of the job still runs, launcher and watchdog included."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
            except OSError:
                continue
        return found

    def assert_nothing_left(self) -> None:
        """Every process of the job has ended; an orphan's last second is allowed for."""
        end = time.monotonic() + 3
        while left := self.processes():
            if time.monotonic() > end:
                names = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in left}
                pytest.fail(f"still there: {names}; the launcher said:\n" + "\n".join(self.lines))
            time.sleep(0.02)

    def close(self) -> None:
        """End it by force, if a test failed before it did."""
        self.popen.kill()
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
        self._stream.close()
        self.popen.wait()

    def _read(self, end: float) -> bool:
        """Read some output; False at its end or at the deadline."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._stream, selectors.EVENT_READ)
            if not selector.select(max(0.0, end - time.monotonic())):
                pytest.fail("the launcher neither ended nor went on; it said:\n" + "\n".join(self.lines))
        data = os.read(self._stream.fileno(), 1 << 16)
        *whole, self._rest = (self._rest + data).split(b"\n")
        self.lines += [line.decode() for line in whole]
        return bool(data)


@pytest.fixture
def launch() -> Iterator[Callable[..., Launch]]:
    """launch(*args) runs `psdist ARGS`."""
    launches: list[Launch] = []

    def start(*args: str, env: dict[str, str] | None = None) -> Launch:
        launches.append(Launch([sys.executable, "-m", "psdist_launch.cli", *args], env or {}))
        return launches[-1]

    yield start
    for one in launches:
        one.close()


@pytest.fixture
def standin() -> Iterator[Callable[..., Launch]]:
    """standin(*command) launches workers that run `command`, and `service` as the rest."""
    launches: list[Launch] = []

    def start(
        *command: str,
        workers: int = 2,
        servers: int = 1,
        service: tuple[str, ...] = SERVICE,
        grace: float = 0.5,
        kill: float = 0.5,
        env: dict[str, str] | None = None,
        prefix: tuple[str, ...] = (),
    ) -> Launch:
        plan = json.dumps((service, workers, servers, grace, kill, *command))
        launches.append(Launch([*prefix, sys.executable, "-c", _RUN_STANDIN, plan], env or {}))
        return launches[-1]

    yield start
    for one in launches:
        one.close()

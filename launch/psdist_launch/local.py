"""This machine's side of a launch: a free port, and a folder per running job for its keys and address.

The folder lies in the user's own runtime folder, is readable by nobody else, and goes with the job. `psdist
status` finds the running job by it.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import stat
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from psdist.errors import ConfigError

__all__ = ["Job", "JobFolder", "check_port", "free_port", "new_name", "running_jobs"]

_FILE = "job.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Where a running job's scheduler is."""

    name: str
    host: str
    port: int
    pid: int  # the launcher's
    key_file: str


def new_name() -> str:
    """A job id that no other job has: processes of another job are refused by it."""
    return f"job-{secrets.token_hex(4)}"


def free_port(host: str) -> int:
    """A port of `host`, an address of this machine, that nobody listens on now. Raises ConfigError."""
    return _bind(host, 0)


def check_port(host: str, port: int) -> None:
    """Raise ConfigError unless `port` can be listened on."""
    _bind(host, port)


def _bind(host: str, port: int) -> int:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as ZeroMQ does
            probe.bind(address)
            return int(probe.getsockname()[1])
    except socket.gaierror as e:
        raise ConfigError(f"--host {host}: no such host ({e.strerror})") from e
    except OSError as e:
        if port == 0:
            raise ConfigError(f"--host {host}: cannot listen there: {e.strerror}") from e
        raise ConfigError(
            f"port {port} of {host}: {e.strerror}; choose another --port, or leave it out"
        ) from e


class JobFolder:
    """The folder of one job, as a `with` block: made when entered, gone when left."""

    def __init__(self, name: str) -> None:
        self._base = _runtime_folder()
        self._name = name
        self.path = Path()

    def __enter__(self) -> JobFolder:
        self.path = Path(tempfile.mkdtemp(prefix=f"{self._name}.", dir=self._base))  # mode 0700
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def announce(self, job: Job) -> None:
        """Let `running_jobs` find it."""
        partial = self.path / f"{_FILE}.new"
        partial.write_text(json.dumps(asdict(job)))
        partial.rename(self.path / _FILE)


def running_jobs() -> list[Job]:
    """This user's jobs on this machine whose launcher lives, newest first."""
    found = []
    for file in _runtime_folder().glob(f"*/{_FILE}"):
        try:
            job = Job(**json.loads(file.read_text()))
            started = file.stat().st_mtime
            os.kill(job.pid, 0)
        except (OSError, ValueError, TypeError):  # ended meanwhile, or of another version
            continue
        found.append((started, job))
    return [job for _, job in sorted(found, key=lambda pair: pair[0], reverse=True)]


def _runtime_folder() -> Path:
    """The user's own folder for what lives as long as a process. Raises ConfigError if it is not his own."""
    parent = os.environ.get("XDG_RUNTIME_DIR", "")
    path = (
        Path(parent) / "psdist"
        if os.path.isdir(parent)
        else Path(tempfile.gettempdir()) / f"psdist-{os.getuid()}"
    )
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError as e:
        raise ConfigError(
            f"{path}: cannot make the folder for running jobs: {e.strerror}; set XDG_RUNTIME_DIR"
        ) from e
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ConfigError(
            f"{path} must be a folder of yours with mode 0700; remove it, or set XDG_RUNTIME_DIR"
        )
    return path

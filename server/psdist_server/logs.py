"""The thread that writes the logs of a server's shards, so that the loop never waits for the disk.

Everything that has come while it synced is written and synced together: one sync for all the rounds that wait. What
is safe then rings a bell, a descriptor that the loop polls. A log that cannot be written is the end: what was acknowledged
is on the disk, and nothing more is.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from psdist.errors import ConfigError
from psdist.failpoints import open_failpoints
from psdist.settings import Settings

from . import snapshot
from .log import Writer, has_log
from .replica import Changes
from .taking import Taken

__all__ = ["Logs", "check_folder"]

_log = logging.getLogger("psdist.server")

_AT_ONCE: Final = 4096  # messages that are synced together, at most


def check_folder(settings: Settings) -> None:
    """Whether the job may begin with this folder of snapshots and logs. Raises ConfigError."""
    where = settings.snapshot_dir
    logs = settings.ack == "on-disk"
    if logs and (not where or not settings.snapshot_every):
        raise ConfigError(
            "PSDIST_ACK=on-disk needs a folder for logs, and snapshots that cut them: set PSDIST_SNAPSHOT_DIR and "
            "PSDIST_SNAPSHOT_EVERY (psdist run --snapshot-dir DIR --snapshot-every N)"
        )
    if logs and "://" in where:
        raise ConfigError(
            f"PSDIST_ACK=on-disk: a log is appended to, which {where} cannot do; wanted a folder"
        )
    if where and "://" not in where and has_log(Path(where)):
        if not logs:
            raise ConfigError(
                f"{where} holds the log of a job that acknowledged on disk, which snapshots of another would belie: "
                "go on with PSDIST_ACK=on-disk, or take another folder"
            )
        if not settings.restore and settings.incarnation == 0:
            raise ConfigError(
                f"{where} holds the log of a job: go on from it by --restore {where}, or take another folder"
            )


class Logs:
    """A `with` block around the thread."""

    def __init__(self, settings: Settings) -> None:
        self._folder = Path(settings.snapshot_dir)
        self._patience_s = settings.request_timeout_s
        self._points = open_failpoints(settings)
        self._num_shards = self._num_servers = self._of_run = 0
        self._waiting: queue.SimpleQueue[Changes | Taken | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._safe = 0  # the last message that is on the disk
        self._marked: list[Taken] = []  # whose marks are there
        self._error = ""
        self._bell, self._rope = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="psdist-logs", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def bell(self) -> int:
        """A descriptor that can be read when there is news."""
        return self._bell

    def begin(self, num_shards: int, num_servers: int, run: int) -> None:
        """So large is the job at its beginning."""
        self._num_shards, self._num_servers, self._of_run = num_shards, num_servers, run

    def write(self, message: Changes) -> None:
        """Have a message written."""
        self._waiting.put(message)

    def mark(self, taken: Taken) -> None:
        """Have the mark of a snapshot written; it must be there before the snapshot is."""
        self._waiting.put(taken)

    def news(self) -> tuple[int, list[Taken]]:
        """The last message that is safe, and snapshots whose marks are; each is given once. Raises OSError when the
        log could not be written."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._bell, 4096)
        with self._lock:
            marked, self._marked = self._marked, []
            if self._error:
                raise OSError(self._error)
            return self._safe, marked

    def close(self) -> None:
        """Write what was given, as long as PSDIST_REQUEST_TIMEOUT allows, and end. May be called twice."""
        if not self._is_closed:
            self._is_closed = True
            self._waiting.put(None)
            self._thread.join(self._patience_s)
            if self._thread.is_alive():
                _log.error(
                    "the disk has not written the log in %s within %g s", self._folder, self._patience_s
                )
                return
            os.close(self._bell)
            os.close(self._rope)

    def _run(self) -> None:
        writer: Writer | None = None
        try:
            while True:
                batch = self._next()
                writer = writer or Writer(
                    self._folder, self._num_shards, self._num_servers, self._of_run, self._points
                )
                last, marked = writer.write([one for one in batch if one is not None])
                with self._lock:
                    self._safe = max(self._safe, last)
                    self._marked += marked
                self._ring()
                if None in batch:
                    writer.close()
                    return
        except (OSError, snapshot.BadSnapshot) as e:
            with self._lock:
                self._error = (
                    f"the log in {self._folder} cannot be written: {e}; what was acknowledged is there: make room, or mend "
                    f"the disk, and go on by --restore {self._folder}"
                )
            self._ring()

    def _next(self) -> list[Changes | Taken | None]:
        """What waits, at least one."""
        batch = [self._waiting.get()]
        with contextlib.suppress(queue.Empty):
            while len(batch) < _AT_ONCE:
                batch.append(self._waiting.get_nowait())
        return batch

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._rope, b".")

"""The thread that writes snapshots, so that a slow disk does not stop the training.

The arrays that it is given are not written by anybody: a value that somebody holds is copied before it
changes. A snapshot that cannot be written is told of and given up; the training goes on, and the next one may
succeed. While one is being written, one more may wait; further ones are left out.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Final, Self

from psdist.failpoints import open_failpoints
from psdist.settings import Settings

from . import snapshot
from .remote import folder_at
from .taking import Taken

__all__ = ["Disk"]

_log = logging.getLogger("psdist.server")

_LOOK_EVERY_S: Final = 0.25  # into the folder, for snapshots that others have begun
_FAREWELL_S: Final = 1.0
_MAX_STEPS: Final = (
    2  # one that is being written and one that waits; each holds a copy of the optimizer's state
)


class Disk:
    """A `with` block around the thread. `close` lets it write what it was given."""

    def __init__(self, settings: Settings) -> None:
        self._folder = folder_at(settings.snapshot_dir)
        self._job = settings.job
        self._keep = settings.snapshot_keep
        self._patience_s = settings.request_timeout_s
        self._what = ""  # is being written
        self._points = open_failpoints(settings)
        self._waiting: queue.Queue[tuple[Taken, int] | None] = queue.Queue()
        self._look_at = 0.0
        self._num_told = 0  # how often `fill` was called
        self._seen_at: dict[int, int] = {}  # when a step was first seen in the folder, by that number
        self._empty: tuple[list[Taken], int] = ([], 0)  # shards that hold nothing, and the number of all
        self._lock = threading.Lock()
        self._steps: Counter[int] = Counter()  # shards that are not written yet, by step
        self._thread = threading.Thread(target=self._run, name="psdist-disk", daemon=True)
        self._is_closed = False
        self.num_written = 0
        self.num_failed = 0
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, taken: Taken, num_shards: int) -> None:
        """Have a shard's state written."""
        with self._lock:
            is_welcome = taken.step in self._steps or len(self._steps) < _MAX_STEPS
            if is_welcome:
                self._steps[taken.step] += 1
        if not is_welcome:
            self.num_failed += 1
            _log.warning(
                "the disk is too slow: shard %d is not in the snapshot of step %d", taken.shard, taken.step
            )
        else:
            self._waiting.put((taken, num_shards))

    def fill(self, empty: list[Taken], num_shards: int) -> None:
        """Have shards that hold nothing written into every snapshot that others begin, from now on."""
        self._empty = empty, num_shards
        self._num_told += 1

    def close(self) -> None:
        """Write what was given, as long as PSDIST_REQUEST_TIMEOUT allows, and end. May be called twice."""
        if not self._is_closed:
            self._is_closed = True
            self._waiting.put(None)
            self._thread.join(self._patience_s)
            if self._thread.is_alive():
                self.num_failed += 1
                _log.error(
                    "the disk has not written %s to %s within %g s: that snapshot is not complete, and does not count",
                    self._what,
                    self._folder,
                    self._patience_s,
                )

    def _next(self) -> tuple[Taken, int] | None:
        """What is to be written now; None at the end. Looks into the folder now and then."""
        while True:
            now = time.monotonic()
            if now >= self._look_at:
                self._look_at = now + _LOOK_EVERY_S
                self._look()
            with contextlib.suppress(queue.Empty):
                return self._waiting.get(timeout=_LOOK_EVERY_S)

    def _look(self) -> None:
        """Fill those steps of which it was told, after they were seen here, that a shard still holds nothing: what
        was told before may be older than the step."""
        told, (empty, num_shards) = self._num_told, self._empty
        try:
            steps = snapshot.begun(self._folder, empty[0].run) if empty else []
        except (OSError, ValueError) as e:
            _log.debug("%s cannot be looked into: %s", self._folder, e)
            return
        self._seen_at = {step: self._seen_at.get(step, self._num_told) for step in steps}
        ripe = [step for step in steps if self._is_closed or told >= self._seen_at[step] + 2]
        for nothing in empty:
            try:
                snapshot.fill(self._folder, self._job, num_shards, nothing, ripe, self._keep)
            except (OSError, snapshot.BadSnapshot) as e:
                _log.debug("shard %d, which holds nothing, could not be written: %s", nothing.shard, e)

    def _run(self) -> None:
        while (work := self._next()) is not None:
            taken, num_shards = work
            self._what = f"shard {taken.shard} of step {taken.step}"
            began = time.monotonic()
            try:
                path = snapshot.write(self._folder, self._job, num_shards, taken, self._keep, self._points)
            except (OSError, snapshot.BadSnapshot) as e:
                self.num_failed += 1
                _log.error("shard %d could not be written for step %d: %s", taken.shard, taken.step, e)
            else:
                self.num_written += 1
                _log.info("wrote %s in %.2f s", path, time.monotonic() - began)
            with self._lock:
                self._steps[taken.step] -= 1
                self._steps += Counter()  # forgets those of which nothing is left
        end = time.monotonic() + _FAREWELL_S
        while self._empty[0] and time.monotonic() < end:  # the others may be writing their last one
            self._look()
            time.sleep(_LOOK_EVERY_S / 5)

"""When a process did what, for `psdist bench --profile`: moments in a list, written to a file when it ends.

`PSDIST_STAMPS` names a folder. In it, every process of the job leaves one file, `ROLE-RANK.json`: a list of rows
[seconds, moment, message, seq, connection, rank], in order. Seconds are of CLOCK_MONOTONIC, which all processes of
one machine share; on several machines they cannot be compared. Moments are those of failpoints.py (receive,
handled, send, sent), and:

    do       the training thread hands messages to the socket thread
    make     a worker begins to make a message's frames; an array may be copied for it
    came     a message's frames are there, not decoded yet
    reduce, update    each begins, and ends (`reduce.`, `update.`): gradients added, a sum applied to a value

Where the variable is unset there is no object, and a call site is `if points is not None`. A stamp is one append,
0.3 µs.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from .failpoints import Failpoints, open_failpoints
from .settings import Settings

__all__ = ["Points", "Row", "Stamps", "open_points"]

Row = tuple[float, str, str, int, str, int]

_MOST: Final = 4_000_000  # rows: half a gigabyte; what comes later is not noted


class Stamps:
    """The moments of one process. Any thread may add one."""

    def __init__(self, folder: str, role: str) -> None:
        self._folder = folder
        self._role = role
        self._rows: list[tuple[float, str, str, int, bytes, int]] = []

    def reached(self, step: str) -> None:
        """Something that is about no message in particular."""
        self.at(step, None)

    def at(self, moment: str, message: object, who: bytes = b"") -> None:
        """This process is at `moment` of a message, which came from or goes to the connection `who`."""
        if len(self._rows) < _MOST:
            # the numbers now, and not the message, whose arrays would be kept alive
            kind, seq, rank = (
                type(message).__name__,
                getattr(message, "seq", -1),
                getattr(message, "rank", -1),
            )
            self._rows.append((time.perf_counter(), moment, kind, seq, who, rank))

    def around(self, name: str, do: Callable[..., Any]) -> Callable[..., Any]:
        """`do`, with a stamp before and one after it."""
        end = f"{name}."

        def timed(*args: Any) -> Any:
            self.at(name, None)
            result = do(*args)
            self.at(end, None)
            return result

        return timed

    def write(self, rank: int) -> None:
        """Leave the file. A process that never got a rank says so by its number."""
        name = f"{self._role}-{rank if rank >= 0 else f'pid{os.getpid()}'}.json"
        rows = [(*row[:4], row[4].hex(), row[5]) for row in self._rows]
        Path(self._folder, name).write_text(json.dumps(rows))


Points = Failpoints | Stamps


def open_points(settings: Settings) -> Points | None:
    """What is to happen at the named moments of a process with these settings: None, mostly. Raises ConfigError."""
    if settings.stamps_dir:
        return Stamps(settings.stamps_dir, settings.role)
    return open_failpoints(settings)

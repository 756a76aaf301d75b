"""Monitor: statistics of an executor's arrays, every so many batches, to see where a network goes wrong."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable
from typing import Any, Protocol

from .errors import BadType, ConfigError
from .ndarray import NDArray

__all__ = ["Monitor"]

_log = logging.getLogger("psdist.monitor")

Stat = NDArray | list[NDArray]


class Monitored(Protocol):
    """What a monitor asks of an executor."""

    arg_dict: dict[str, NDArray]
    aux_dict: dict[str, NDArray]

    def set_monitor_callback(
        self, callback: Callable[[str, NDArray], None], monitor_all: bool = False
    ) -> None: ...


class Monitor:
    """Watch outputs as they are computed, and arguments afterwards, in every `interval`-th batch.

    `stat_func` makes the statistic (by default the root mean square), `pattern` selects arrays by name,
    `sort` orders the result by name, `monitor_all` also watches the operators' inputs. Around a batch call
    `tic()` and `toc()`; `toc` gives (batch, name, text) for each statistic.
    """

    def __init__(
        self,
        interval: int,
        stat_func: Callable[[NDArray], Stat] | None = None,
        pattern: str = ".*",
        sort: bool = False,
        monitor_all: bool = False,
    ) -> None:
        if interval < 1:
            raise ConfigError(f"Monitor: interval is {interval}; wanted 1 or more batches")
        self.interval = interval
        self.stat_func = stat_func or _root_mean_square
        self.re_prog = re.compile(pattern)
        self.sort = sort
        self.monitor_all = monitor_all
        self.activated = False
        self.queue: list[tuple[int, str, Stat]] = []
        self.step = 0
        self.exes: list[Any] = []

    def stat_helper(self, name: str, array: NDArray) -> None:
        """What executors call for each array that they compute."""
        if self.activated and self.re_prog.match(name):
            self.queue.append((self.step, name, _kept(self.stat_func(array))))

    def install(self, exe: Monitored) -> None:
        """Watch an executor."""
        if not hasattr(exe, "set_monitor_callback"):
            raise BadType(f"install: exe is {type(exe).__name__}; wanted an Executor, as bind gives")
        exe.set_monitor_callback(self.stat_helper, self.monitor_all)
        self.exes.append(exe)

    def tic(self) -> None:
        """Before a batch: begin to watch, if it is this batch's turn."""
        if self.step % self.interval == 0:
            self.queue = []
            self.activated = True
        self.step += 1

    def toc(self) -> list[tuple[int, str, str]]:
        """After a batch: the statistics, or nothing if it was not watched."""
        if not self.activated:
            return []
        for exe in self.exes:
            for name, array in [*exe.arg_dict.items(), *exe.aux_dict.items()]:
                self.stat_helper(name, array)
        self.activated = False
        queue, self.queue = self.queue, []
        if self.sort:
            queue.sort(key=lambda entry: entry[1])
        return [(step, name, _text(name, stat)) for step, name, stat in queue]

    def toc_print(self) -> None:
        """As `toc`, into the log."""
        for step, name, text in self.toc():
            _log.info("Batch: %7d %30s %s", step, name, text)


def _root_mean_square(x: NDArray) -> NDArray:
    result: NDArray = x.norm() / math.sqrt(x.size)
    return result


def _kept(stat: Stat) -> Stat:
    """A copy: executors write the next batch into the same arrays."""
    return (
        [s.copy() for s in stat]
        if isinstance(stat, list)
        else stat.copy()
        if isinstance(stat, NDArray)
        else stat
    )


def _text(name: str, stat: Any) -> str:
    stats = stat if isinstance(stat, list) else [stat]
    for s in stats:
        if not isinstance(s, NDArray):
            raise ConfigError(
                f"Monitor: stat_func gave {type(s).__name__} for {name!r}; wanted an NDArray or a list of them"
            )
    return "".join(f"{s.asscalar() if s.shape in ((), (1,)) else s.asnumpy()}\t" for s in stats)

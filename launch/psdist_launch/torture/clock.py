"""Virtual time: what is to happen, in order; and clocks that do not quite agree about it."""

from __future__ import annotations

import heapq
from collections.abc import Callable

__all__ = ["Clock", "Events"]


class Events:
    """What is to happen, soonest first; at one moment, in the order in which it was planned."""

    def __init__(self) -> None:
        self.now = 0.0
        self.num_done = 0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._planned = 0

    def at(self, when: float, do: Callable[[], None]) -> None:
        """Do this then; at once, when that is over."""
        self._planned += 1
        heapq.heappush(self._heap, (max(when, self.now), self._planned, do))

    def after(self, delay_s: float, do: Callable[[], None]) -> None:
        """Do this in a while."""
        self.at(self.now + delay_s, do)

    def step(self) -> bool:
        """Let the next thing happen; whether there was one."""
        if not self._heap:
            return False
        self.now, _, do = heapq.heappop(self._heap)
        self.num_done += 1
        do()
        return True


class Clock:
    """A process's monotonic clock: it began at some time, and runs a little too fast or too slow."""

    def __init__(self, events: Events, offset_s: float, rate: float) -> None:
        self._events = events
        self._offset_s = offset_s
        self._rate = rate

    def read(self) -> float:
        """The time, as this clock has it."""
        return self._offset_s + self._rate * self._events.now

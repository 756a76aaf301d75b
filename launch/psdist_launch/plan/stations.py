"""What takes time in the virtual world: cores, threads, links. Each knows how long it was busy."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ..torture.clock import Events

__all__ = ["Host", "Link", "Thread"]


class Host:
    """A machine's cores: who is ready first runs first, and gives way after each piece of work."""

    def __init__(self, cores: int) -> None:
        self._free = cores
        self._ready: deque[Callable[[], None]] = deque()

    def acquire(self, run: Callable[[], None]) -> None:
        if self._free:
            self._free -= 1
            run()
        else:
            self._ready.append(run)

    def release(self) -> None:
        if self._ready:
            self._ready.popleft()()
        else:
            self._free += 1


class Thread:
    """Does one piece of work after the other. One that sleeps takes a moment to wake."""

    def __init__(self, events: Events, host: Host, wake_s: float) -> None:
        self.busy_s = 0.0
        self._events = events
        self._host = host
        self._wake_s = wake_s
        self._work: deque[tuple[Callable[[], float], Callable[[], None]]] = deque()
        self._is_awake = False

    def put(self, cost: Callable[[], float], then: Callable[[], None]) -> None:
        """Work: `cost()` is called when it begins, and says how long it takes; `then` when it ends."""
        self._work.append((cost, then))
        if not self._is_awake:
            self._is_awake = True
            self._events.after(self._wake_s, lambda: self._host.acquire(self._run))

    def _run(self) -> None:
        cost, then = self._work.popleft()
        seconds = cost()
        self.busy_s += seconds

        def done() -> None:
            self._host.release()
            then()
            if self._work:
                self._host.acquire(self._run)
            else:
                self._is_awake = False

        self._events.after(seconds, done)


class Link:
    """One direction of a network card: bytes one after the other, and then a delay."""

    def __init__(self, events: Events, rate: float, delay_s: float) -> None:
        """`rate` in bytes a second."""
        self.busy_s = 0.0
        self._events = events
        self._rate = rate
        self._delay_s = delay_s
        self._free_at = 0.0

    def send(self, nbytes: float, then: Callable[[], None]) -> None:
        seconds = nbytes / self._rate
        self.busy_s += seconds
        self._free_at = max(self._free_at, self._events.now) + seconds
        self._events.at(self._free_at + self._delay_s, then)

"""Many seeds on several cores, until they are all played or the time is over."""

from __future__ import annotations

import itertools
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import Final

from .scenario import Scenario
from .size import Size
from .world import Note, Outcome, World

__all__ = ["play", "play_many"]

_CHUNK: Final = 8  # seeds that a process is given at a time


def play(seed: int, size: Size, note: Note | None = None) -> Outcome:
    """Play one schedule. `note(time, text)` hears of every message and fault."""
    return World(Scenario.draw(seed, size), note).run()


def play_many(
    seeds: Iterable[int], size: Size, *, jobs: int, until: float, hear: Callable[[Outcome], None]
) -> None:
    """Play schedules in `jobs` processes; each outcome goes to `hear`. Past `until` (monotonic) none is begun."""
    chunks = _chunks(seeds, until)
    if jobs == 1:
        for chunk in chunks:
            for outcome in _play_chunk(chunk, size):
                hear(outcome)
        return
    context = multiprocessing.get_context("spawn")  # the parent may have threads
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        try:
            running: set[Future[list[Outcome]]] = set()
            while True:
                for chunk in itertools.islice(chunks, 2 * jobs - len(running)):
                    running.add(pool.submit(_play_chunk, chunk, size))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    for outcome in future.result():
                        hear(outcome)
        finally:
            pool.shutdown(cancel_futures=True)


def _chunks(seeds: Iterable[int], until: float) -> Iterator[list[int]]:
    iterator = iter(seeds)
    while time.monotonic() < until and (chunk := list(itertools.islice(iterator, _CHUNK))):
        yield chunk


def _play_chunk(seeds: list[int], size: Size) -> list[Outcome]:
    return [play(seed, size) for seed in seeds]

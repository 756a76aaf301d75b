"""Pushes that can be told apart in a sum: from a value one reads which pushes are in it, and how often each.

The push of worker w for round t adds 4 ** ((t % B) * W + w) to every element that belongs to the rounds around t:
two bits for each worker and round, so that a push which was applied twice or three times does not look like
another one. Element i belongs to the rounds from i % P * B on. Numbers stay below 2 ** 52, so that float64 is exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np

MAX_WORKERS = 4  # W: ranks that a ledger tells apart
_ROUNDS_AN_ELEMENT = 52 // (2 * MAX_WORKERS)  # B

Pushes = dict[int, int]  # by worker: a number whose bit t says that its push for round t is there


class Damaged(AssertionError):
    """A value that no set of pushes adds up to, each once."""


def num_planes(num_rounds: int) -> int:
    """P: among so many elements that follow one another there is one for every round."""
    return -(-num_rounds // _ROUNDS_AN_ELEMENT)


def push(worker: int, step: int, size: int, num_rounds: int) -> Any:
    """What a worker pushes for a round."""
    plane, place = divmod(step, _ROUNDS_AN_ELEMENT)
    out = np.zeros(size)
    out[plane :: num_planes(num_rounds)] = 4.0 ** (place * MAX_WORKERS + worker)
    return out


def read(value: Any, num_rounds: int, offset: int = 0) -> Pushes:
    """The pushes in a value, or in a slice of one that begins at an offset. Raises Damaged when elements do not hold
    the same, or hold a push twice."""
    found = dict.fromkeys(range(MAX_WORKERS), 0)
    for plane in range(num_planes(num_rounds)):
        numbers = np.unique(value[(plane - offset) % num_planes(num_rounds) :: num_planes(num_rounds)])
        if len(numbers) != 1:
            raise Damaged(f"slices differ: rounds from {plane * _ROUNDS_AN_ELEMENT} on are {numbers}")
        number = int(numbers[0])
        if number != numbers[0] or number < 0:
            raise Damaged(f"{numbers[0]!r} is no sum of pushes")
        for place in range(_ROUNDS_AN_ELEMENT):
            for worker in range(MAX_WORKERS):
                count = number >> 2 * (place * MAX_WORKERS + worker) & 3
                step = plane * _ROUNDS_AN_ELEMENT + place
                if count > 1:
                    raise Damaged(f"worker {worker}'s push for round {step} is there {count} times")
                found[worker] |= count << step
    return found


def rounds(first: int, end: int) -> int:
    """The pushes for the rounds from `first` on, before `end`."""
    return (1 << end) - (1 << first)

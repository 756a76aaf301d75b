"""A stranger on the network: garbage, half messages, another job's processes, somebody else's name.

Whatever it says, nothing may change. The oracle need not know that it is there.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from psdist.wire import encode
from psdist.wire.messages import (
    ANY_RANK,
    VERSION,
    Abort,
    Alive,
    Finish,
    Hello,
    Leave,
    Message,
    Push,
    SetStaleness,
    key_name,
    key_number,
)

from .network import Parcel
from .processes import Process

if TYPE_CHECKING:
    from .world import World

__all__ = ["Stranger", "intrude"]


class Stranger(Process):
    """Somebody who hears all answers, and minds none."""

    def handle(self, source: Any, message: Message) -> None:
        pass


def intrude(world: World, process: Process, draw: int) -> None:
    """Speak to a server or to the scheduler."""
    target = (
        world.by_name(f"server {draw % world.scenario.num_servers}") if process.role == "worker" else process
    )
    stranger = Stranger(world, "stranger", 0)
    dealer = world.network.connect(stranger, "victim", target.address)
    rng = random.Random(draw)
    for _ in range(rng.randint(1, 6)):
        for frames in rng.choice(_WAYS)(rng, world):
            dealer.send(Parcel(None, frames))


def _garbage(rng: random.Random, world: World) -> list[list[Any]]:
    return [[rng.randbytes(rng.randint(0, 60)) for _ in range(rng.randint(1, 4))]]


def _damaged(rng: random.Random, world: World) -> list[list[Any]]:
    """A message of which a byte has changed, or the end is missing."""
    frames = [bytearray(frame) for frame in encode(_push(rng, world))]
    frame = rng.choice(frames)
    if frame:
        frame[rng.randrange(len(frame))] ^= 1 << rng.randrange(8)
    if rng.random() < 0.5:
        del frame[rng.randrange(len(frame) + 1) :]
    return [frames]


def _unadmitted(rng: random.Random, world: World) -> list[list[Any]]:
    """A worker's or a scheduler's words, from one who has not said Hello."""
    message: Message = rng.choice(
        (
            _push(rng, world),
            SetStaleness(1, 5),
            Alive("worker", 0, 1, 10**6, 0, 0),
            Leave(1),
            Abort("I said so", "worker", 0, 0, 0.0),
            Finish("all is over"),
        )
    )
    return [encode(message)]


def _of_another_job(rng: random.Random, world: World) -> list[list[Any]]:
    rank = rng.choice((ANY_RANK, 0, 1))
    hello = Hello(1, VERSION, "yesterday", "worker", rank, rng.randint(0, 3), rng.getrandbits(60), "")
    return [encode(hello), encode(_push(rng, world)), encode(Leave(2))]


def _of_a_member(rng: random.Random, world: World) -> list[list[Any]]:
    """The name of a worker that is there, but another process."""
    rank = rng.randrange(world.scenario.num_workers)
    if world.scheduler.job_state != "running" or not world.by_name(f"worker {rank}").is_there:
        return []  # whoever comes first is the one
    seq = rng.choice((1, 1 << 40))
    hello = Hello(seq, VERSION, world.job, "worker", rank, 0, rng.getrandbits(60), "")
    return [encode(hello), encode(_push(rng, world)), encode(Leave(2))]


def _push(rng: random.Random, world: World) -> Push:
    spec = rng.choice(world.scenario.keys)
    number = key_number(key_name(spec.key))
    value = np.ones(rng.choice((1, 8, spec.length)), spec.dtype)
    return Push(1, 1, 1, [number], [0], [rng.randint(0, 4)], [], [value])


_WAYS: Final[list[Callable[[random.Random, World], list[list[Any]]]]] = [
    _garbage,
    _damaged,
    _unadmitted,
    _of_another_job,
    _of_a_member,
]

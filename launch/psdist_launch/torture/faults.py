"""What can go wrong, and when: at a message of some kind, for some process, before, while or after it is handled.

A new fault is a name in `KINDS` with its weight, and a method of the same name in injector.py.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["KINDS", "Fault", "Trigger", "draw_faults", "draw_goodbye", "draw_scales"]

Moment = Literal["before", "during", "after"]

KINDS: Final = {
    "reset": 6,  # a connection breaks
    "resets": 2,  # all connections of a process break
    "partition": 3,  # two processes cannot speak
    "one_way": 3,  # one does not hear the other
    "split": 1,  # a server and a worker do not hear the scheduler, nor it them, long enough to be taken for dead
    "isolate": 2,  # one hears nobody, and nobody it
    "stall": 5,  # SIGSTOP, and later SIGCONT
    "busy": 3,  # it does something else, while its sockets go on
    "slow": 2,  # every message to and from a process is late
    "crash": 3,  # kill -9
    "intrude": 4,  # a stranger speaks
    "join": 2,  # one more worker comes; to an elastic job
}
_SEEN: Final = (  # the messages that mark the steps of the protocol, and how often each is a trigger
    ("Push", 5),
    ("PushPull", 3),
    ("Pull", 3),
    ("Values", 3),
    ("Done", 4),
    ("Hello", 3),
    ("Welcome", 2),
    ("View", 2),
    ("Init", 2),
    ("SetOptimizer", 1),
    ("SetHyper", 1),
    ("Barrier", 2),
    ("Leave", 2),
    ("Alive", 2),
    ("Replicate", 4),
    ("CopySlices", 2),
    ("CopySettings", 1),
    ("ReplicateRequest", 2),
    ("Synced", 2),
    ("Lost", 1),
    ("Join", 2),
    ("Begin", 2),
    ("", 8),  # any
)

_LASTS: Final = ((0.01, 2.5), (6.0, 20.0))  # seconds: to be survived, and to be taken for death


@dataclass(frozen=True, slots=True)
class Trigger:
    """The `number`-th message of a kind that arrives."""

    kind: str  # of message; "" for any
    number: int
    moment: Moment

    def __str__(self) -> str:
        return f"{self.moment} {self.kind or 'message'} {self.number}"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong."""

    kind: str
    trigger: Trigger
    process: str
    other: str  # the second one of a pair
    duration_s: float
    is_noticed: bool  # the launcher sees a death; else silence must tell
    restarts: bool  # who was killed comes again, with a new incarnation
    resets: bool  # a partition breaks connections
    draw: int  # what else has to be chosen

    def __str__(self) -> str:
        names = self.process
        if self.kind in ("partition", "one_way", "reset", "split"):
            names += (
                f" {'->' if self.kind == 'one_way' else 'and' if self.kind == 'split' else '--'} {self.other}"
            )
        lasts = (
            ""
            if self.kind in ("reset", "resets", "crash", "intrude", "join", "scale")
            else f" for {self.duration_s:.1f} s"
        )
        return f"{self.kind} {names}{lasts}, {self.trigger}"


def draw_faults(
    rng: random.Random, num_servers: int, num_workers: int, replicas: int, is_elastic: bool
) -> tuple[Fault, ...]:
    """The faults of a schedule; often several, seldom none."""
    servers = [f"server {i}" for i in range(num_servers)]
    workers = [f"worker {i}" for i in range(num_workers)]
    everyone = ["scheduler", *servers, *workers]
    faults: list[Fault] = []
    for _ in range(rng.choice((0, 1, 1, 2, 2, 3, 4))):
        weights: dict[str, float] = {
            **KINDS,
            "crash": 9 if replicas or is_elastic else 3,
            "join": 2 if is_elastic else 0,
        }
        weights["split"] = 6 if replicas and is_elastic else 0.5
        kind = rng.choices(list(weights), list(weights.values()))[0]
        process = rng.choice(rng.choice((["scheduler"], servers, servers, workers, workers)))
        if kind == "crash" and rng.random() < 0.8:  # mostly of those whose death is survived
            process = rng.choice(servers * bool(replicas) + workers * is_elastic or everyone)
        if kind in ("reset", "partition", "one_way"):  # between those that speak with each other
            process = rng.choice(workers + servers)
            other = rng.choice(["scheduler", *servers]) if process in workers else "scheduler"
            if kind == "one_way" and rng.random() < 0.5:
                process, other = other, process
        elif kind == "split":
            process, other = rng.choice(servers), rng.choice(workers)
        else:
            other = rng.choice([name for name in everyone if name != process])
        seen = rng.choices([name for name, _ in _SEEN], [weight for _, weight in _SEEN])[0]
        number = rng.randint(1, 400) if not seen else 1 + int(rng.expovariate(1 / 12))
        if kind == "split":  # soon: it takes long
            seen, number = "Push", rng.randint(1, 12)
        trigger = Trigger(seen, number, rng.choice(("before", "during", "after")))
        faults.append(
            Fault(
                kind=kind,
                trigger=trigger,
                process=process,
                other=other,
                # mostly short enough to be survived, sometimes long enough to be taken for death
                duration_s=rng.uniform(*_LASTS[0 if rng.random() < 0.85 and kind != "split" else 1]),
                is_noticed=rng.random() < 0.6,
                restarts=rng.random() < 0.6,
                resets=rng.random() < 0.5,
                draw=rng.getrandbits(32),
            )
        )
    return tuple(faults)


def draw_goodbye(rng: random.Random, num_workers: int) -> tuple[Fault, ...]:
    """The scheduler dies, and comes again, when somebody has just left, or is about to."""
    moment: Moment = rng.choice(("before", "during", "after", "after"))
    trigger = Trigger("Leave", rng.randint(1, num_workers), moment)
    noticed = rng.random() < 0.6
    return (Fault("crash", trigger, "scheduler", "", 0.0, noticed, True, False, rng.getrandbits(32)),)


def draw_scales(
    rng: random.Random, num_servers: int, num_shards: int, replicas: int, *, at_once: bool
) -> tuple[Fault, ...]:
    """How the number of servers is changed while the job runs, and the deaths that go with it: mostly of those that come
    or go. `at_once`: also as many deaths, one right after another, as there are copies."""
    faults: list[Fault] = []

    def add(kind: str, trigger: Trigger, process: str, draw: int = 0) -> None:
        noticed, restarts = rng.random() < 0.6, rng.random() < 0.5
        faults.append(Fault(kind, trigger, process, "", 0.0, noticed, restarts, False, draw))

    if num_shards > num_servers:
        for _ in range(rng.randint(1, 3)):
            seen = rng.choice(("Push", "Push", "Values", "Done", "Handed", "Synced", "CopyEnd", "Replicate"))
            trigger = Trigger(seen, 1 + int(rng.expovariate(1 / 10)), "after")
            add("scale", trigger, "launcher", rng.randint(replicas + 1, num_shards))
        if rng.random() < 0.5:
            seen = rng.choice(("Scale", "CopySettings", "CopySlices", "CopyEnd", "Synced", "Handed", "View"))
            trigger = Trigger(
                seen, 1 + int(rng.expovariate(1 / 3)), rng.choice(("before", "during", "after"))
            )
            names = ["scheduler", *(f"server {i}" for i in range(num_servers + 2))]
            add("crash", trigger, rng.choice(names[1:] if replicas else names))
    if at_once:
        seen, number = rng.choice(("Push", "PushPull", "Replicate", "")), rng.randint(1, 60)
        first, is_soon = rng.randrange(num_servers), rng.random() < 0.4
        for i in range(replicas):  # mostly the next in line, while it makes copies of what it has inherited
            moment: Moment = rng.choice(("before", "during", "after"))
            add("crash", Trigger(seen, number, moment), f"server {(first + i) % num_servers}")
            if not is_soon:
                copies = num_shards * replicas  # made at the beginning
                seen, number = rng.choice(("CopySettings", "CopySlices")), copies + rng.randint(1, 6)
    return tuple(faults)

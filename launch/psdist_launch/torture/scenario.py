"""What a seed means: how large the job is, what it trains, in what weather, and what goes wrong.

All of it is drawn before anything runs, so that the same job can also be run without its faults, or shown.
A key's gradients are exact integers in bit-fields. Each worker process has a column; to element `e` of a key
column `e mod C` adds 4 to the power of the round, so that two bits of the value count how often the push of that
worker and round is in it, in every slice. Other keys hold float32 numbers, whose sum depends on the order of adding.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psdist.optimizer import from_wire

from .faults import Fault, draw_faults, draw_goodbye, draw_scales
from .size import MODES, Mode, Size

__all__ = [
    "CLOSE_TIMEOUT_S",
    "DEAD_AFTER_S",
    "HEARTBEAT_S",
    "REQUEST_TIMEOUT_S",
    "SCHEDULER_AWAY_S",
    "START_TIMEOUT_S",
    "KeySpec",
    "Mode",
    "Scenario",
    "Size",
]

HEARTBEAT_S = 1.0
DEAD_AFTER_S = 8.0
START_TIMEOUT_S = 20.0
REQUEST_TIMEOUT_S = 30.0
CLOSE_TIMEOUT_S = 5.0
SCHEDULER_AWAY_S = 15.0

_NEWCOMERS = 3  # worker processes that may come while an elastic job runs
_MOST_COLUMNS = 8  # elements of the smallest slice


@dataclass(frozen=True, slots=True)
class KeySpec:
    """A key that the job trains."""

    key: str | int
    length: int
    dtype: np.dtype[Any]
    is_exact: bool  # its values tell which pushes they hold
    num_rows: int = 0  # of a table; 0: an array


@dataclass(frozen=True, slots=True)
class Step:
    """How a worker does one step."""

    fuses: bool = False  # push and pull in one message
    pulls: bool = True
    waits: bool = False  # for the acknowledgement, before it pulls
    each_key: bool = False  # a call for every key instead of one for all
    barrier: bool = False
    rates: tuple[float, float] | None = None  # lr, wd from this round on; of rank 0
    staleness: int | None = None  # turn the dial before this step; all workers alike


@dataclass(frozen=True, slots=True)
class Scenario:
    """One schedule."""

    seed: int
    num_servers: int
    num_workers: int
    mode: Mode
    staleness: int  # 0, n, or -1
    optimizer: tuple[str, dict[str, float]] | None
    rates: tuple[float, float]  # lr, wd at the beginning
    keys: tuple[KeySpec, ...]
    table: KeySpec | None  # of which rows are pushed and pulled
    slice_nbytes: int
    replicas: int
    shards_per_server: int
    is_elastic: bool
    snapshot_every: int  # rounds; 0: no snapshots
    logs: bool  # pushes are acknowledged as on disk
    disk: str  # honest; full, from time to time; or it lies about what is safe
    programs: tuple[tuple[Step, ...], ...]  # by worker
    think_s: tuple[float, ...]  # by worker: the mean time that a step computes
    encodes: bool  # run every message through the codec, not only those with arrays
    delay_s: float
    late: float  # the share of messages that are late, by up to `late_s`
    late_s: float
    duplicates: float  # the share of messages that come twice
    drift: float
    faults: tuple[Fault, ...]
    data: dict[str | int, NDArray[Any]] = field(repr=False)  # by key: [column, round, element]
    initial: dict[str | int, NDArray[Any]] = field(repr=False)

    @classmethod
    def draw(cls, seed: int, size: Size) -> Scenario:
        """The schedule of a seed."""
        rng = random.Random(seed)
        mode: Mode = rng.choice([mode for mode in MODES if size.mode in (mode, "mixed")])
        staleness = {"sync": 0, "ssp": rng.randint(1, 3), "async": -1}[mode]
        exact: tuple[str, dict[str, float]] = ("sgd", {})
        optimizer: tuple[str, dict[str, float]] | None = exact
        if mode == "sync":
            optimizer = rng.choice([None, exact, exact, ("sgd", {"momentum": 0.9}), ("adam", {})])
            if optimizer == ("adam", {}) and seed % 2:
                optimizer = ("lamb", {})  # which looks at whole arrays
        decodes = optimizer == exact
        keys = _draw_keys(rng, mode)
        is_table = seed % 4 == 1 and (optimizer is None or from_wire(*optimizer).elementwise)
        replicas = min(rng.choice((0, 0, 1, 1, 2)), size.num_servers - 1)
        is_elastic = rng.random() < 0.35 and size.num_workers + _NEWCOMERS <= _MOST_COLUMNS
        faults = draw_faults(rng, size.num_servers, size.num_workers, replicas, is_elastic)
        is_divided = any(fault.kind == "split" for fault in faults)
        longest = 5 if is_divided else rng.randint(2, 5)
        uneven = not is_divided and rng.random() < 0.4
        lengths = [rng.randint(1, longest) if uneven else longest for _ in range(size.num_workers)]
        programs = _draw_programs(rng, lengths, mode, optimizer is not None, decodes, is_elastic)
        think_s = [rng.choice((0.001, 0.01, 0.05)) for _ in lengths]
        if rng.random() < 0.2:
            think_s[rng.randrange(len(think_s))] *= 10  # ten times slower than it was
        if is_divided or rng.random() < 0.1:  # so long that a job goes on after a death by silence
            think_s = [3.0 if is_divided else rng.choice((1.0, 3.0)) for _ in lengths]
        stormy = rng.random() < 0.5
        num_columns = size.num_workers + (_NEWCOMERS if is_elastic else 0)
        late = random.Random(f"{seed} servers")  # drawn apart, so that the rest of a seed stays what it was
        shards_per_server = late.randint(2, 3) if late.random() < 0.3 else 1
        num_shards = size.num_servers * shards_per_server
        at_once = replicas > 1 and late.random() < 0.5
        faults += draw_scales(late, size.num_servers, num_shards, replicas, at_once=at_once)
        apart = random.Random(f"{seed} goodbye")
        if apart.random() < 0.05:
            faults += draw_goodbye(apart, size.num_workers)
        table = _table(decodes, num_columns) if is_table else None
        of_data = (*keys, table) if table is not None else keys
        data, initial = _draw_data(seed, of_data, num_columns, longest, optimizer is not None)
        scenario = cls(
            seed=seed,
            num_servers=size.num_servers,
            num_workers=size.num_workers,
            mode=mode,
            staleness=staleness,
            optimizer=optimizer,
            rates=(1.0, 0.0) if decodes else (0.125, 0.01),
            keys=keys,
            table=table,
            slice_nbytes=16384 if len(keys) > 3 or keys[-1].key == "large" else rng.choice((64, 128, 16384)),
            replicas=replicas,
            shards_per_server=shards_per_server,
            is_elastic=is_elastic,
            snapshot_every=rng.randint(1, 2) if rng.random() < 0.12 else 0,
            logs=False,
            disk=rng.choice(("honest", "honest", "full", "lies")),
            programs=programs,
            think_s=tuple(think_s),
            encodes=rng.random() < 0.25,
            delay_s=rng.choice((0.0005, 0.003, 0.02)),
            late=rng.choice((0.0, 0.05, 0.2)) if stormy else 0.0,
            late_s=rng.choice((0.05, 0.5)),
            duplicates=rng.choice((0.0, 0.02, 0.1)) if stormy else 0.0,
            drift=rng.choice((0.0, 0.0, 0.02)),
            faults=faults,
            data=data,
            initial=initial,
        )
        of_log = random.Random(f"{seed} log")  # drawn apart, too
        if of_log.random() >= 0.02:
            return scenario
        every = of_log.choice((1, 2, 2, 9))
        return replace(scenario, logs=True, snapshot_every=scenario.snapshot_every or every)

    def without_faults(self) -> Scenario:
        """The same job on a perfect day."""
        return replace(self, faults=(), late=0.0, duplicates=0.0, drift=0.0, snapshot_every=0, logs=False)

    @property
    def num_columns(self) -> int:
        """How many worker processes there may be, one after the other."""
        return self.num_workers + (_NEWCOMERS if self.is_elastic else 0)

    @property
    def elastic(self) -> tuple[int, int] | None:
        """The fewest and the most workers, where their number may change."""
        return (1, self.num_workers + 1) if self.is_elastic else None

    @property
    def num_shards(self) -> int:
        return self.num_servers * self.shards_per_server

    @property
    def decodes(self) -> bool:
        """Whether the values of exact keys tell which pushes they hold."""
        return self.optimizer == ("sgd", {})

    @property
    def needs_whole(self) -> bool:
        """Whether the optimizer looks at whole arrays, so that their slices stay together."""
        return self.optimizer is not None and not from_wire(*self.optimizer).elementwise

    @property
    def num_steps(self) -> tuple[int, ...]:
        """By worker."""
        return tuple(len(program) for program in self.programs)

    @property
    def num_portions(self) -> int:
        """How many portions of data the job counts, which workers share; 0 where each has its own steps."""
        return sum(self.num_steps) if self.is_elastic and self.decodes and self.seed % 2 == 0 else 0

    @property
    def turns_dial(self) -> bool:
        """Whether staleness changes on the way."""
        return any(step.staleness is not None for program in self.programs for step in program)


def _draw_keys(rng: random.Random, mode: Mode) -> tuple[KeySpec, ...]:
    float32, float64 = np.dtype(np.float32), np.dtype(np.float64)
    keys = [KeySpec("weight", rng.choice((24, 40, 48)), float64, True), KeySpec("bias", 8, float64, True)]
    if mode == "sync":
        keys.append(KeySpec(3, rng.choice((1, 7, 33)), float32, False))
    if rng.random() < 0.15:
        keys.append(KeySpec("large", 4096, float64, True))  # travels without a copy
    return tuple(keys)


def _table(decodes: bool, num_columns: int) -> KeySpec:
    """A table: its rows have a column for each worker where the pushes are to be told from one another."""
    if decodes:
        return KeySpec("table", 9 * num_columns, np.dtype(np.float64), True, 9)
    return KeySpec("table", 24, np.dtype(np.float32), False, 8)


def _draw_programs(
    rng: random.Random,
    lengths: list[int],
    mode: Mode,
    has_optimizer: bool,
    decodes: bool,
    is_elastic: bool,
) -> tuple[tuple[Step, ...], ...]:
    # a newcomer cannot know at which barrier the others stand
    barriers = [not is_elastic and rng.random() < 0.15 for _ in range(max(lengths))]
    dial: list[int | None] = [None] * max(lengths)
    if mode != "sync" and not is_elastic and rng.random() < 0.25:
        dial[rng.randrange(len(dial))] = rng.choice((0, 1, 2, -1))
    fuses, pulls, waits = rng.random(), rng.choice((1.0, 1.0, 0.6)), rng.random()
    programs = []
    for rank, length in enumerate(lengths):
        steps = []
        for i in range(length):
            rates = None
            if rank == 0 and has_optimizer and rng.random() < 0.25:
                rates = (1.0 if decodes else rng.choice((0.5, 0.25, 0.0625)), rng.choice((0.0, 0.125)))
            steps.append(
                Step(
                    fuses=rng.random() < fuses,
                    pulls=rng.random() < pulls,
                    waits=rng.random() < waits,
                    each_key=rng.random() < 0.3,
                    barrier=barriers[i] or dial[i] is not None,
                    rates=rates,
                    staleness=dial[i],
                )
            )
        programs.append(tuple(steps))
    return tuple(programs)


def _draw_data(
    seed: int, keys: tuple[KeySpec, ...], num_columns: int, num_steps: int, has_optimizer: bool
) -> tuple[dict[str | int, NDArray[Any]], dict[str | int, NDArray[Any]]]:
    rng = np.random.default_rng(seed)
    data: dict[str | int, NDArray[Any]] = {}
    initial: dict[str | int, NDArray[Any]] = {}
    for spec in keys:
        shape = (num_columns, num_steps, spec.length)
        if spec.is_exact:
            grads = np.zeros(shape, spec.dtype)
            sign = -1.0 if has_optimizer else 1.0  # SGD with rate 1 subtracts
            for column in range(num_columns):
                for step in range(num_steps):
                    grads[column, step, column::num_columns] = sign * 4.0**step
            data[spec.key], initial[spec.key] = grads, np.zeros(spec.length, spec.dtype)
        else:
            data[spec.key] = rng.standard_normal(shape).astype(spec.dtype)
            initial[spec.key] = rng.standard_normal(spec.length).astype(spec.dtype)
    return data, initial

"""Keys whose rounds are averaged: no optimizer touches them, and copies hold the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from psdist_server.replica import Backup, Link, Primary
from psdist_server.shard import Shard

from psdist.wire import key_name, key_number
from psdist.wire import messages as m

NAMES = (key_name("mean", averaged=True), key_name("weight"))
KEYS = [key_number(name) for name in NAMES]
WORKERS = tuple(m.Member("worker", rank, 0, rank + 1, "") for rank in range(3))


VIEW = m.View(1, 0, 0, 3, 1, WORKERS)


def a_primary(staleness: int = 0) -> Primary:
    primary = Primary(0, Shard("j"))
    primary.take_view(VIEW, m.Placement(0, (), ()), {}, 0.0)
    for rank in range(3):
        primary.step(b"w%d" % rank, m.Hello(1, m.VERSION, "j", "worker", rank, 0, rank + 1, "", 0), 0.0)
    primary.step(b"w0", m.SetStaleness(2, staleness), 0.0)
    primary.step(b"w0", m.SetOptimizer(3, "sgd", {}, 1.0, 0.0, {}, {}), 0.0)
    zeros = [np.zeros(2, np.float32), np.zeros(2, np.float32)]
    primary.step(b"w0", m.Init(4, NAMES, ("float32",) * 2, ((2,), (2,)), [0, 0], [2, 2], zeros), 0.0)
    return primary


def push(primary: Primary, rank: int, value: float) -> list[Any]:
    values = [np.full(2, value, np.float32), np.full(2, value, np.float32)]
    return primary.step(b"w%d" % rank, m.Push(9, 1, 1, KEYS, [0, 0], [0, 0], [], values), 0.0)


def values(shard: Shard) -> list[float]:
    return [float(shard.slices[key, 0].value[0]) for key in KEYS]


def test_a_round_becomes_its_mean_beside_parameters_that_learn_from_its_sum() -> None:
    primary, backup = a_primary(), Backup(Shard("j"))
    link = Link(b"s", m.Member("server", 1, 0, 9, ""), m.Hello(0, 1, "j", "server", 0, 0, 8, ""), 0.0)
    out = primary.take_view(VIEW, m.Placement(0, (1,), ()), {1: link}, 0.0)
    for rank, value in enumerate((1.0, 2.0, 6.0)):
        out += push(primary, rank, value)
    assert values(primary.shard) == [3.0, -9.0]
    for to, message in out:
        if to == b"s" and not isinstance(message, m.Hello):
            backup.step(message)
    assert values(backup.shard) == [3.0, -9.0]


def test_a_round_of_fewer_workers_is_the_mean_of_those() -> None:
    primary = a_primary()
    push(primary, 0, 1.0)
    push(primary, 2, 4.0)
    view = m.View(2, 0, 0, 3, 1, (WORKERS[0], WORKERS[2]))
    primary.take_view(view, m.Placement(0, (), ()), {}, 0.0)
    assert values(primary.shard) == [2.5, -5.0]


def test_without_rounds_the_latest_counts() -> None:
    primary = a_primary(staleness=-1)
    for rank, value in ((1, 1.0), (0, 5.0)):
        push(primary, rank, value)
    assert values(primary.shard) == [5.0, -6.0]

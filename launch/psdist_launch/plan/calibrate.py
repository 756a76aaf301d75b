"""A table of costs from what measure.py has measured: a line through two sizes, for each thread and verb."""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from psdist.errors import PSError

from .costs import THREADS, VERBS, Costs, Line, Way
from .measure import BYTES, SMALL_KEYS

__all__ = ["calibrate"]

_WAYS: Final = {"memory": {}, "TCP": {"PSDIST_SHM_BYTES": "0"}}
_HOPS: Final = 8  # threads that a request and its reply wake, one after the other
_OPTIMIZERS: Final = ("sgd", "adam")
_BATCH: Final = 256 << 10  # bytes of small keys in a message: psdist_worker/plan.py

Launch = Callable[[tuple[str, ...], Mapping[str, str]], int]


def calibrate(launch: Launch, seconds: float) -> Costs:
    """Measure this machine. `launch` runs a program as one worker with one server. Raises PSError."""
    ways = {}
    for name, variables in _WAYS.items():
        with tempfile.TemporaryDirectory(prefix="psdist-plan-") as folder:
            file = Path(folder, "measured.json")
            if code := launch(("-m", "psdist_launch.plan.measure", str(file), f"{seconds:g}"), variables):
                raise PSError(f"the job that measures costs ended with {code}")
            ways[name] = _way(json.loads(file.read_text()))
    copy_byte, reduce_byte, update_byte = _arithmetic()
    memory = ways["memory"]
    # there a lone worker's gradient is copied into the value: that is told apart, since a sum is not
    for verb in ("push", "pushpull"):
        line = memory.verbs[verb]["loop"]
        without = Line(line.fixed, max(0.0, line.byte - copy_byte))
        memory.verbs[verb]["loop"] = without  # type: ignore[index]
    machine = (
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}"
    )
    return Costs(machine, ways, reduce_byte, {"": copy_byte, **update_byte})


def _way(measured: dict[str, Any]) -> Way:
    cost = {(verb, nbytes): by for verb, nbytes, by in measured["verbs"]}
    low, high = BYTES
    verbs: dict[str, dict[str, Line]] = {}
    for verb in VERBS:
        verbs[verb] = {}
        for thread in THREADS:
            small, large = cost[verb, low][thread], cost[verb, high][thread]
            byte = max(0.0, (large - small) / (high - low))
            verbs[verb][thread] = Line(max(0.0, small - byte * low), byte)
    share = -(-SMALL_KEYS // min(2048, _BATCH // 64)) / SMALL_KEYS  # messages for a key
    key = {}
    for thread in THREADS:
        line = verbs["pushpull"][thread]
        key[thread] = max(0.0, measured["keys"][thread] - line.fixed * share - line.byte * 64)
    fixed = sum(line.fixed for line in verbs["pushpull"].values())
    return Way(verbs, key, max(2e-6, (measured["trip"] - fixed) / _HOPS))


def _arithmetic() -> tuple[float, float, dict[str, float]]:
    """Processor seconds for a byte: to copy, to add, and to update by each optimizer."""
    from psdist import optimizer

    arrays = [np.ones(1 << 18, np.float32) for _ in range(64)]  # more than a cache holds
    values, grads, outs = arrays[:20], arrays[20:40], arrays[40:60]

    def seconds_of(do: Callable[[int], object]) -> float:
        times = []
        for _ in range(7):
            began = time.thread_time()
            for i in range(20):
                do(i)
            times.append((time.thread_time() - began) / 20 / arrays[0].nbytes)
        return sorted(times)[1]

    copy = seconds_of(lambda i: np.copyto(outs[i], values[i]))
    add = seconds_of(lambda i: np.add(values[i], grads[i], out=outs[i]))
    updates = {}
    for name in _OPTIMIZERS:
        rule = optimizer.from_wire(*optimizer.create(name, learning_rate=0.01).to_wire())
        states = [rule.create_state(value) for value in values]
        updates[name] = seconds_of(partial(_update, rule, values, grads, states))
    return copy, add, updates


def _update(rule: Any, values: list[Any], grads: list[Any], states: list[Any], i: int) -> None:
    rule.update(values[i], grads[i], states[i], lr=0.01, wd=0.0, t=1)

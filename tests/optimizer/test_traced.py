"""An update that was written down has the bits of the rule run as it stands, whoever carries it out."""

from __future__ import annotations

import numpy as np
import pytest

from psdist import jit, optimizer
from psdist.optimizer import ElementwiseRule, traced

SIZE = traced.BLOCK + 13
RULES = [n for n in optimizer.rule_names() if isinstance(optimizer.from_wire(n, {}), ElementwiseRule)]
DRAWS = {"sgld"}  # random numbers cannot be written down
NUMBERS = ({}, {"rescale_grad": 0.3, "clip_gradient": 0.5}, {"momentum": 0.9})
ENGINES = [
    "numpy",
    pytest.param("llvmlite", marks=pytest.mark.skipif(not jit.available(), reason="no llvmlite")),
]


def takes(name, numbers):
    return numbers.keys() <= optimizer.from_wire(name, {}).to_wire()[1].keys()


CASES = [(n, numbers) for n in sorted(set(RULES) - DRAWS) for numbers in NUMBERS if takes(n, numbers)]


def updated(rule, dtype, wd, engine, monkeypatch):
    """Value and state after three updates, and whether each was written down."""
    found, run = [], traced.run
    if engine == "as it stands":
        monkeypatch.setattr(traced, "run", lambda *args: False)
    else:
        monkeypatch.setattr(traced, "run", lambda *args: found.append(run(*args)) or found[-1])
    if engine == "numpy":
        monkeypatch.setattr(traced, "engine", lambda: None)
    rng = np.random.default_rng(0)
    value = rng.standard_normal(SIZE).astype(dtype)
    value[:3] = 0.0, -0.0, np.inf
    state = rule.create_state(value)
    with np.errstate(all="ignore"):
        for t in (1, 2, 3):
            grad = rng.standard_normal(SIZE).astype(dtype)
            grad[:2] = -0.0
            given = grad.copy()
            rule.update(value, grad, state, lr=0.1, wd=wd, t=t)
            assert grad.tobytes() == given.tobytes()
    monkeypatch.undo()
    return [value, *state], found


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("name", "numbers"), CASES)
def test_an_update_has_every_bit_of_the_rule_as_it_stands(name, numbers, engine, monkeypatch):
    dtype = np.float32 if numbers else np.float64
    rule, wd = optimizer.from_wire(name, numbers), 0.0 if "momentum" in numbers else 0.01
    got, done = updated(rule, dtype, wd, engine, monkeypatch)
    wanted, _ = updated(rule, dtype, wd, "as it stands", monkeypatch)
    assert done == [True] * 3
    for a, b in zip(got, wanted, strict=True):
        assert np.array_equal(np.isnan(a), np.isnan(b))
        assert np.nan_to_num(a).tobytes() == np.nan_to_num(b).tobytes()


def test_a_rule_that_draws_numbers_runs_as_it_stands(monkeypatch):
    _, done = updated(optimizer.from_wire("sgld", {}), np.float32, 0.0, "any", monkeypatch)
    assert done == [False] * 3


def nothing(w, g, state, room):
    """A step that changes nothing."""


def test_arrays_of_mixed_precision_or_in_shared_memory_are_refused():
    value = np.ones(SIZE, np.float32)
    assert not traced.run(nothing, value, np.ones(SIZE, np.float16), [], 1)
    assert not traced.run(nothing, value, value[::-1], [], 1)


def test_a_step_that_asks_for_a_value_is_refused_and_changes_nothing():
    def step(w, g, state, room):
        w *= 2.0
        if g > 0:
            w *= 3.0

    value = np.ones(SIZE, np.float32)
    assert not traced.run(step, value, np.ones(SIZE, np.float32), [], 1)
    assert (value == 1).all()


@pytest.mark.skipif(not jit.available(), reason="no llvmlite")
def test_a_new_learning_rate_needs_no_new_kernel():
    rule = optimizer.from_wire("adam", {})
    value = np.ones(SIZE, np.float32)
    state = rule.create_state(value)
    counts = []
    for t in range(1, 5):
        rule.update(value, np.ones_like(value), state, lr=0.1 / t, wd=0.01 * t, t=t)
        counts.append(jit.engine().num_kernels)
    assert len(set(counts)) == 1

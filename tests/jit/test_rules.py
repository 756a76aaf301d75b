"""Compiled optimizers have the bits of NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from psdist import optimizer
from psdist.jit import rules as jit
from psdist.optimizer import ElementwiseRule

SIZE = jit.LEAST + 13
RULES = [n for n in optimizer.rule_names() if isinstance(optimizer.from_wire(n, {}), ElementwiseRule)]
DRAWS = {"sgld"}  # random numbers: stays with NumPy
NUMBERS = ({}, {"rescale_grad": 0.3, "clip_gradient": 0.5}, {"momentum": 0.9})


def takes(name, numbers):
    return numbers.keys() <= optimizer.from_wire(name, {}).to_wire()[1].keys()


CASES = [(n, numbers) for n in sorted(set(RULES) - DRAWS) for numbers in NUMBERS if takes(n, numbers)]


def trained(rule, dtype, wd, compiled, monkeypatch):
    """Value and state after three updates, and whether each was compiled."""
    found, run = [], jit.run
    if not compiled:
        monkeypatch.setattr(jit, "run", lambda *args: False)
    else:
        monkeypatch.setattr(jit, "run", lambda *args: found.append(run(*args)) or found[-1])
    rng = np.random.default_rng(0)
    value = rng.standard_normal(SIZE).astype(dtype)
    value[:3] = 0.0, -0.0, np.inf
    state = rule.create_state(value)
    with np.errstate(all="ignore"):
        for t in (1, 2, 3):
            grad = rng.standard_normal(SIZE).astype(dtype)
            grad[:2] = -0.0
            rule.update(value, grad, state, lr=0.1, wd=wd, t=t)
    monkeypatch.undo()
    return [value, *state], found


@pytest.mark.parametrize(("name", "numbers"), CASES)
def test_a_compiled_update_has_every_bit_of_numpy_s(name, numbers, monkeypatch):
    dtype = np.float32 if numbers else np.float64
    rule, wd = optimizer.from_wire(name, numbers), 0.0 if "momentum" in numbers else 0.01
    got, compiled = trained(rule, dtype, wd, True, monkeypatch)
    wanted, _ = trained(rule, dtype, wd, False, monkeypatch)
    assert compiled == [True] * 3
    for a, b in zip(got, wanted, strict=True):
        assert np.array_equal(np.isnan(a), np.isnan(b))
        assert np.nan_to_num(a).tobytes() == np.nan_to_num(b).tobytes()


def test_a_rule_that_draws_numbers_is_left_to_numpy(monkeypatch):
    _, compiled = trained(optimizer.from_wire("sgld", {}), np.float32, 0.0, True, monkeypatch)
    assert compiled == [False] * 3


def test_arrays_of_mixed_precision_are_left_to_numpy():
    value, grad = np.ones(SIZE, np.float32), np.ones(SIZE, np.float16)
    assert not jit.run(lambda w, g, state, room: None, value, grad, [], 1)


def test_a_new_learning_rate_needs_no_new_kernel(monkeypatch):
    rule = optimizer.from_wire("adam", {})
    value = np.ones(SIZE, np.float32)
    state = rule.create_state(value)
    counts = []
    for t in range(1, 5):
        rule.update(value, np.ones_like(value), state, lr=0.1 / t, wd=0.01 * t, t=t)
        counts.append(jit.engine().num_kernels)
    assert len(set(counts)) == 1

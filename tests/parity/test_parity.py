"""psdist's operators against the answers of MXNet 1.9.1, kept in `oracle/` (see make_oracle.py)."""

import gzip
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import psdist.ops as ops

sys.path.insert(0, str(Path(__file__).parent))
import departures
from cases import EXAMPLES, cases
from digest import differs, fingerprint

with gzip.open(Path(__file__).parent / "oracle" / "answers.jsonl.gz", "rt") as _f:
    ANSWERS = {r["op"]: r["cases"] for r in map(json.loads, _f)}


def forward(op, arrays, params):
    extra = {"out": None, "outs": None, "is_train": True, "rng": np.random.default_rng(0)}
    y = op.kernel(*arrays, **params, **{name: extra[name] for name in op.asks})
    return list(y) if isinstance(y, tuple | list) else [y]


def compare(op, example, arrays, kept):
    """What differs from the oracle in one case."""
    factor = departures.TOLERANCE.get(op.name, 1.0)
    number = kept["n"]
    inputs = [x.copy() for x in arrays]
    params = op.parse({k: str(v) for k, v in example.params.items()})
    y = forward(op, inputs, params)
    seen = y[: op.num_visible(params)]
    if "like" in kept:
        assert [[v.dtype.name, list(v.shape)] for v in seen] == kept["like"]
        return
    assert len(seen) == len(kept["out"]), f"{len(seen)} outputs, not {len(kept['out'])}"
    for i, (v, want) in enumerate(zip(seen, kept["out"], strict=True)):
        why = differs(v, want, number, factor)
        assert why is None, f"output {i}: {why}"
    if "grad" in kept and op.gradient_kernel is not None and op.name not in departures.NO_GRADIENT:
        compare_gradients(op, params, inputs, y, kept, factor)
    for i, x in enumerate(inputs):
        if (op.name, i) in departures.WRITTEN:
            continue
        want = kept["after"].get(str(i))
        if want is not None:
            why = differs(x, want, number, factor)
            assert why is None, f"input {i} became {why}"
        else:
            assert np.array_equal(x, arrays[i], equal_nan=True), f"input {i} was written"


def compare_gradients(op, params, inputs, y, kept, factor):
    number = kept["n"]
    rng = np.random.default_rng(number)
    heads = [rng.uniform(-1, 1, v.shape).astype(v.dtype) for v in y[: op.num_visible(params)]]
    grads = op.backward(heads, y, inputs, params, (True,) * len(inputs))
    for i, (g, want) in enumerate(zip(grads, kept["grad"], strict=True)):
        if want is not None and (op.name, i) not in departures.NO_GRADIENT:
            why = differs(g, want, number, factor)
            assert why is None, f"gradient {i}: {why}"


def words(params):
    """Names of parameters that are set, and their values."""
    return {k for k, v in params.items() if v} | {v for v in params.values() if isinstance(v, str)}


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_operator_gives_what_mxnet_gives(name):
    if name not in ANSWERS or not ANSWERS[name]:
        assert name in departures.UNASKED, f"the oracle has no answer for {name}: run make_oracle.py {name}"
        return
    op = ops.get(name)
    kept = {r["n"]: r for r in ANSWERS[name]}
    wrong = []
    for number, example, dtype, arrays in cases(name):
        if number not in kept or any((name, word) in departures.EXAMPLES for word in words(example.params)):
            continue
        assert fingerprint(arrays) == kept[number]["in"], (
            "NumPy draws other numbers than the oracle's NumPy did"
        )
        try:
            with ops.silent():
                compare(op, example, arrays, kept[number])
        except AssertionError as e:
            wrong.append(
                f"case {number}, {dtype}, {example.params}, {[x.shape for x in arrays]}: {str(e)[:600]}"
            )
    assert not wrong, f"{len(wrong)} of {len(kept)} differ; the first: {wrong[0]}"

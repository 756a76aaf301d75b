"""What holds for every operator. Registering one is testing it, once it has examples in `examples_of`."""

import inspect
import sys
from pathlib import Path

import numpy as np
import pytest

import psdist.ops as ops
from psdist.errors import ConfigError, ShapeError
from psdist.ops.params import REQUIRED, format_param

sys.path.insert(0, str(Path(__file__).parent))
from examples_of import EXAMPLES

ALL = sorted(set(ops.all_ops()) - {"Custom"})  # what that one does is its caller's
DTYPES = ("float64", "float32", "float16")
SMALL = 1e-6


def call(op, arrays, params, out=None, is_train=True, outs=None):
    """All outputs, as a list."""
    extra = {"out": out, "outs": outs, "is_train": is_train, "rng": np.random.default_rng(0)}
    with ops.silent():
        y = op.kernel(*arrays, **params, **{name: extra[name] for name in op.asks})
    return list(y) if isinstance(y, tuple | list) else [y]


def cases(name, dtypes=DTYPES):
    op = ops.get(name)
    for i, example in enumerate(EXAMPLES[name]):
        for dtype in dtypes:
            if dtype in example.dtypes:
                yield op, example, op.parse(example.params), example.draw(i, dtype)


def test_every_operator_has_examples_and_a_manual():
    for name in ALL:
        op = ops.get(name)
        assert EXAMPLES.get(name), f"add examples of {name} in tests/ops/examples_of"
        assert len(op.doc) > 10, name
        assert op.manual().startswith(op.doc)


@pytest.mark.parametrize("name", ALL)
def test_inference_tells_what_the_kernel_returns(name):
    for op, example, params, arrays in cases(name):
        shapes, dtypes = [x.shape for x in arrays], [x.dtype.name for x in arrays]
        assert len(op.active(params, len(arrays))) == len(arrays), example.params
        ins, outs = op.infer_shape(shapes, params)
        assert ins == shapes
        type_ins, type_outs = op.infer_type(dtypes, params)
        assert type_ins == dtypes
        given = [x.copy() for x in arrays]
        y = call(op, given, params)
        assert [v.shape for v in y] == outs, example.params
        assert [v.dtype.name for v in y] == type_outs, (example.params, dtypes)
        assert len(y) == op.num_outputs(params) == len(op.output_names(params))
        assert op.num_visible(params) <= len(y)
        written = set(op.mutates)
        for n, x, before in zip(op.active(params, len(arrays)), given, arrays, strict=True):
            if n not in written and op.inputs[-1:] != tuple(written):
                assert np.array_equal(x, before, equal_nan=True), f"{n} was written"
            assert not any(np.shares_memory(x, v) for v in y), f"a view of {n} came out"


def test_inference_knows_what_it_does_not_know_and_refuses_in_words():
    refusals = []
    for name in ALL:
        op = ops.get(name)
        for example in EXAMPLES[name]:
            params, shapes = op.parse(example.params), [i.shape for i in example.inputs]
            for known in (
                [None] * len(shapes), [(0,) * len(s) for s in shapes], [(0, *s[1:]) for s in shapes],
                [s if k else None for k, s in enumerate(shapes)], [None if k else s for k, s in enumerate(shapes)],
                [(*s, 3) for s in shapes], [s[:-1] for s in shapes],
            ):  # fmt: skip
                try:
                    ins, outs = op.infer_shape(known, params)
                except ShapeError as e:
                    refusals.append((name, str(e)))
                else:
                    assert (len(ins), len(outs)) == (len(shapes), op.num_outputs(params)), name
            ins, outs = op.infer_type([None] * len(shapes), params)
            assert (len(ins), len(outs)) == (len(shapes), op.num_outputs(params)), name
    assert not [text for name, text in refusals if not text.startswith(f"{name}: ")]


@pytest.mark.parametrize("name", [n for n in ALL if "out" in ops.get(n).asks])
def test_writing_into_out_gives_the_same(name):
    for op, example, params, arrays in cases(name):
        expected = call(op, [x.copy() for x in arrays], params)
        out = np.full_like(expected[0], 7)
        y = call(op, [x.copy() for x in arrays], params, out)
        assert np.shares_memory(y[0], out), example.params
        assert np.array_equal(out, expected[0], equal_nan=True)


@pytest.mark.parametrize("name", [n for n in ALL if "outs" in ops.get(n).asks])
def test_writing_into_outs_gives_the_same(name):
    for op, example, params, arrays in cases(name):
        expected = call(op, [x.copy() for x in arrays], params)
        outs = tuple(np.full_like(y, 7) for y in expected)
        got = call(op, arrays, params, outs=outs)
        assert all(np.shares_memory(y, out) for y, out in zip(got, outs, strict=True)), example.params
        for k in range(op.num_visible(params)):
            assert np.array_equal(outs[k], expected[k], equal_nan=True)


@pytest.mark.parametrize("name", [n for n in ALL if ops.get(n).gradient_kernel is not None])
def test_gradients_have_the_shape_and_dtype_of_their_inputs(name):
    for op, example, params, arrays in cases(name):
        arrays = [x.copy() for x in arrays]
        y = call(op, arrays, params)
        heads = [np.ones_like(v) for v in y[: op.num_visible(params)]]
        with ops.silent():
            grads = op.backward(heads, y, arrays, params, (True,) * len(arrays))
        assert len(grads) == len(arrays)
        for g, x, n in zip(grads, arrays, op.active(params, len(arrays)), strict=True):
            if g is not None and x.dtype.kind == "f":
                assert g.shape == x.shape, (n, example.params)
                assert g.dtype == x.dtype, (n, g.dtype, x.dtype, example.params)


def scalar(op, arrays, params, heads):
    y = call(op, [x.copy() for x in arrays], params)
    return sum(float((h * v).sum()) for h, v in zip(heads, y, strict=False))


@pytest.mark.parametrize("name", [n for n in ALL if ops.get(n).gradient_kernel is not None])
def test_gradients_are_those_of_central_differences(name):
    for op, example, params, arrays in cases(name, ("float64",)):
        if not example.grad or op.ignores_head:
            continue
        y = call(op, [x.copy() for x in arrays], params)
        rng = np.random.default_rng(1)
        heads = [rng.uniform(-1, 1, v.shape) for v in y[: op.num_visible(params)]]
        with ops.silent():
            grads = op.backward(heads, y, arrays, params, (True,) * len(arrays))
        for g, x, drawn in zip(grads, arrays, example.inputs, strict=True):
            if not drawn.smooth or x.dtype != np.float64 or (g is None and op.aux):
                continue
            numeric = np.zeros_like(x)
            for at in np.ndindex(x.shape):
                value = x[at]
                x[at] = value + SMALL
                up = scalar(op, arrays, params, heads)
                x[at] = value - SMALL
                down = scalar(op, arrays, params, heads)
                x[at] = value
                numeric[at] = (up - down) / (2 * SMALL)
            found = np.zeros_like(x) if g is None else g
            scale = max(1.0, float(np.abs(numeric).max()))
            assert np.allclose(found, numeric, rtol=1e-5, atol=1e-6 * scale), (example.params, found, numeric)


def test_parameters_survive_as_text():
    for name in ALL:
        op = ops.get(name)
        for example in EXAMPLES[name]:
            params = op.parse(example.params)
            assert op.parse({k: format_param(v) for k, v in params.items()}) == params, name


def test_unknown_and_missing_parameters_are_named():
    for name in ALL:
        op = ops.get(name)
        with pytest.raises(ConfigError, match=f"^{name}: no parameter 'colour'"):
            op.parse({"colour": 1})
        missing = [p.name for p in op.params.values() if p.default is REQUIRED]
        if missing:
            with pytest.raises(ConfigError, match=f"^{name}: the parameter '{missing[0]}' is missing"):
                op.parse({})


def test_a_gradient_takes_every_parameter():
    for name in ALL:
        op = ops.get(name)
        if op.gradient_kernel is None:
            continue
        accepted = inspect.signature(op.gradient_kernel).parameters.values()
        if not any(p.kind is p.VAR_KEYWORD for p in accepted):
            keywords = {p.name for p in accepted if p.kind is p.KEYWORD_ONLY}
            assert keywords - {"needs", "is_train"} == set(op.params), name

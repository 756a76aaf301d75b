"""Compiled groups against the walk over the operators."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from psdist import jit

if not jit.available():
    pytest.skip("llvmlite is not installed", allow_module_level=True)

import psdist as mx
from psdist.executor.executor import Executor
from psdist.executor.fused import Fused
from psdist.executor.plan import PLAIN, Options

from . import models
from .test_plan import bound, close, ran

COMPILED = Options(jit=True)


def groups(executor, is_train=True):
    return [i for i in executor._plan(is_train).instrs if isinstance(i, Fused)]


@pytest.mark.parametrize("is_train", [True, False])
@pytest.mark.parametrize("name", models.MODELS)
def test_a_compiled_plan_is_within_its_tolerance(name, is_train):
    close(ran(bound(name, COMPILED), is_train), ran(bound(name, PLAIN), is_train, walk=True))


@pytest.mark.parametrize("name", ["chain", "lenet", "residual"])
def test_a_compiled_plan_gives_the_same_bits_in_two_runs_and_in_two_threads(name):
    wanted, found = ran(bound(name, COMPILED)), []
    executors = [bound(name, COMPILED) for _ in range(2)]
    assert groups(executors[0])
    for e in executors:
        mx.random.seed(3)
        e._plan(True)

    def work(executor):
        executor.forward(is_train=True)
        executor.backward()
        found.append({n: g.asnumpy() for n, g in executor.grad_dict.items()})

    threads = [threading.Thread(target=work, args=(e,)) for e in executors]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert len(found) == 2
    for grads in found:
        for n, g in grads.items():
            np.testing.assert_array_equal(g, wanted[f"gradient {n}"], err_msg=n)


def drawn(rng, dtype):
    """A random elementwise graph over a matrix, a column, a row and a number, with reductions of rows here and there."""
    x, y = mx.sym.Variable("x"), mx.sym.Variable("y")
    column, row = mx.sym.Variable("column"), mx.sym.Variable("row")
    values = [x, y, mx.sym.tanh(x)]
    for _ in range(14):
        a, b = (values[int(k)] for k in rng.integers(0, len(values), 2))
        kind = int(rng.integers(0, 12))
        values.append(
            [
                lambda a, b: a + b, lambda a, b: a * b, lambda a, b: a - 2 * b, lambda a, b: mx.sym.tanh(a),
                lambda a, b: mx.sym.exp(mx.sym.tanh(a)), lambda a, b: mx.sym.sigmoid(a) * b,
                lambda a, b: mx.sym.relu(a) + b, lambda a, b: mx.sym.broadcast_mul(a, column),
                lambda a, b: mx.sym.broadcast_add(a, row), lambda a, b: mx.sym.softmax(a),
                lambda a, b: mx.sym.log(mx.sym.square(a) + 1.0), lambda a, b: mx.sym.where(a > b, a, b * 0.5),
            ][kind](a, b)
        )  # fmt: skip
    n, m = int(rng.integers(20, 40)), int(rng.integers(50, 150))
    shapes = {"x": (n, m), "y": (n, m), "column": (n, 1), "row": (1, m)}
    symbol = mx.sym.MakeLoss(sum(values[-4:], values[0]) * 0.1)
    used = symbol.list_arguments()
    return symbol, {
        k: mx.nd.array(rng.standard_normal(s) * 0.5, dtype=dtype) for k, s in shapes.items() if k in used
    }


@pytest.mark.parametrize("seed", range(12))
def test_a_random_graph_is_within_its_tolerance(seed):
    rng = np.random.default_rng(seed)
    dtype = "float64" if seed % 4 == 3 else "float32"
    symbol, args = drawn(rng, dtype)
    results = []
    for options in (COMPILED, PLAIN):
        grads = {n: mx.nd.zeros(a.shape, dtype=dtype) for n, a in args.items()}
        e = Executor(symbol, mx.cpu(), args, grads, options=options)
        e.forward(is_train=True)
        e.backward()
        results.append({"out": e.outputs[0].asnumpy(), **{n: g.asnumpy() for n, g in grads.items()}})
        assert bool(groups(e)) == options.jit
    close(*results)


@pytest.mark.parametrize("kernel", [(3, 3), (2, 5), (4,)])
@pytest.mark.parametrize(
    ("stride", "dilate", "dtype"), [(1, 1, "float32"), (1, 2, "float64"), (2, 1, "float32")]
)
def test_depthwise_convolution_is_a_loop_for_each_channel(kernel, stride, dilate, dtype):
    dims = len(kernel)
    symbol = mx.sym.Convolution(
        mx.sym.Variable("data"), kernel=kernel, stride=(stride, 1)[-dims:], dilate=(dilate,) * dims,
        pad=tuple(k // 2 for k in kernel), num_filter=6, num_group=6,
    )  # fmt: skip
    shape = (5, 6, 13, 14)[: 2 + dims]
    arg_shapes, out_shapes, _ = symbol.infer_shape(data=shape)
    rng = np.random.default_rng(0)
    args = {
        n: mx.nd.array(rng.standard_normal(s), dtype=dtype)
        for n, s in zip(symbol.list_arguments(), arg_shapes, strict=True)
    }
    head = mx.nd.array(rng.standard_normal(out_shapes[0]), dtype=dtype)
    results = []
    for options in (COMPILED, PLAIN):
        grads = {n: mx.nd.zeros(a.shape, dtype=dtype) for n, a in args.items()}
        e = Executor(symbol, mx.cpu(), args, grads, options=options)
        e.forward(is_train=True)
        e.backward(head)
        results.append({"out": e.outputs[0].asnumpy(), **{n: g.asnumpy() for n, g in grads.items()}})
        if options.jit:
            assert sum("depthwise" in i.title for i in e._plan(True).instrs) >= 2
    close(*results)


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("shape", [(40, 130), (3, 5, 200)])
def test_layer_norm_is_one_loop_each_way(shape, axis):
    symbol = mx.sym.MakeLoss(mx.sym.square(mx.sym.LayerNorm(mx.sym.Variable("data"), axis=axis)))
    arg_shapes, _, _ = symbol.infer_shape(data=shape)
    rng = np.random.default_rng(0)
    args = {
        n: mx.nd.array(rng.standard_normal(s))
        for n, s in zip(symbol.list_arguments(), arg_shapes, strict=True)
    }
    results = []
    for options in (COMPILED, PLAIN):
        grads = {n: mx.nd.zeros(a.shape) for n, a in args.items()}
        e = Executor(symbol, mx.cpu(), args, grads, options=options)
        e.forward(is_train=True)
        e.backward()
        results.append({"out": e.outputs[0].asnumpy(), **{n: g.asnumpy() for n, g in grads.items()}})
        if options.jit and axis == -1:
            assert sum("add.reduce" in g.title for g in groups(e)) == 2
    close(*results)


def test_arrays_that_lie_otherwise_than_expected_are_served_too():
    x = mx.sym.Variable("x")
    symbol = mx.sym.tanh(x * 2.0) + x
    wide = np.random.default_rng(0).standard_normal((60, 120)).astype(np.float32)
    a = mx.nd.NDArray(wide[:, ::2])
    e = Executor(symbol, mx.cpu(), {"x": a}, options=COMPILED)
    assert groups(e, False)
    np.testing.assert_allclose(
        e.forward()[0].asnumpy(), np.tanh(wide[:, ::2] * 2) + wide[:, ::2], rtol=1e-5, atol=1e-6
    )


def test_slices_of_a_matrix_are_read_where_they_lie():
    x = mx.sym.Variable("x")
    a, b = mx.sym.SliceChannel(x, num_outputs=2, axis=1)
    data = np.random.default_rng(0).standard_normal((64, 200)).astype(np.float32)
    e = Executor(mx.sym.sigmoid(a) * mx.sym.tanh(b), mx.cpu(), {"x": mx.nd.array(data)}, options=COMPILED)
    assert len(groups(e, False)) == 1
    left, right = data[:, :100].astype(float), data[:, 100:].astype(float)
    np.testing.assert_allclose(
        e.forward()[0].asnumpy(), np.tanh(right) / (1 + np.exp(-left)), rtol=1e-5, atol=1e-6
    )


def test_gradients_that_are_added_to_by_every_step_are_sums_of_them_all():
    """A weight that is used three times, with grad_req="add": the plan adds to one array again and again."""
    x, w = mx.sym.Variable("x"), mx.sym.Variable("w")
    h = x
    for _ in range(3):
        h = mx.sym.tanh(h * w)
    rng = np.random.default_rng(0)
    args = {name: rng.standard_normal((256, 64)).astype(np.float32) for name in "xw"}

    def gradient(options):
        grad = mx.nd.ones((256, 64))
        arrays = {name: mx.nd.array(a) for name, a in args.items()}
        e = Executor(h, mx.cpu(), arrays, {"w": grad}, {"w": "add", "x": "null"}, options=options)
        e.forward(is_train=True)
        e.backward(mx.nd.ones((256, 64)))
        assert bool(groups(e)) == options.jit
        return grad.asnumpy()

    np.testing.assert_allclose(gradient(COMPILED), gradient(PLAIN), rtol=1e-5, atol=1e-6)


def test_the_setting_turns_it_off(monkeypatch):
    symbol, shapes = models.MODELS["chain"]()
    assert symbol.simple_bind(mx.cpu(), **shapes)._options.jit
    monkeypatch.setenv("PSDIST_JIT", "0")
    assert not symbol.simple_bind(mx.cpu(), **shapes)._options.jit


def test_an_explanation_names_what_was_compiled():
    text = bound("chain", COMPILED).explain()
    assert "compiled" in text
    assert "fuse" in text


def test_layers_that_differ_in_their_numbers_share_a_kernel():
    def bound_to(factor):
        x = mx.sym.Variable("x")
        y = mx.sym.exp(x * factor) + x / (factor + 1)
        return y.simple_bind(mx.cpu(), x=(64, 100), grad_req="null")

    bound_to(0.125)._plan(False)
    before = jit.engine().num_kernels
    for factor in (0.3, 0.7):
        executor = bound_to(factor)
        executor.arg_dict["x"][:] = 2
        wanted = np.exp(2 * factor) + 2 / (factor + 1)
        np.testing.assert_allclose(executor.forward()[0].asnumpy(), np.full((64, 100), wanted), rtol=1e-6)
    assert jit.engine().num_kernels == before

"""The compiled functions against NumPy's in long doubles, and loops of every form against NumPy."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from psdist import jit, ops

if not jit.available():
    pytest.skip("llvmlite is not installed", allow_module_level=True)

from psdist.jit import engine
from psdist.jit.engine import Engine, Table
from psdist.jit.lanes import ULPS
from psdist.jit.loops import Body, Input, Step, is_known, scratch, source
from psdist.ops import rnn_compiled

JIT_ENGINE = sys.modules["psdist.jit.engine"]  # the package has a function of that name
DTYPES = {"float": np.float32, "double": np.float64, "i1": np.bool_}


def ran(body, ins, outs, rows, size, numbers=()):
    """Run a body on arrays whose rows lie close together."""
    room = [np.empty(size, DTYPES[kind]) for kind in scratch(body)]
    table = Table.of([*ins, *outs, *room], [size] * (len(ins) + len(outs)))
    given = np.array([*numbers, 0.0])
    engine().kernel(source(body)).for_size(rows * size)(table, given.ctypes.data, rows, size)
    return outs[0]


def applied(ufunc, kind, x):
    body = Body((Input(kind, "whole"),), (Step(ufunc, kind, (0,), kind),), (1,))
    return ran(body, [x], [np.empty_like(x)], 1, x.size)


SPANS = {
    "exp": ((-86, 88), (-700, 709)),
    "expm1": ((-30, 88), (-50, 709)),
    "tanh": ((-12, 12), (-25, 25)),
    "log": ((1e-44, 3e38), (1e-320, 1e308)),
    "log1p": ((-0.999, 1e6), (-0.999, 1e12)),
}


@pytest.mark.parametrize("kind", ["float", "double"])
@pytest.mark.parametrize("ufunc", SPANS)
def test_a_function_is_within_the_promised_units_of_the_last_place(ufunc, kind):
    low, high = SPANS[ufunc][kind == "double"]
    parts = [np.geomspace(max(low, 1e-30), high, 5001), np.linspace(max(low, -20), min(high, 20), 5001)]
    if low < 0:
        parts.append(np.linspace(low, high, 5001))
    x = np.concatenate(parts).astype(DTYPES[kind])
    with np.errstate(all="ignore"):
        wanted = getattr(np, ufunc)(x.astype(np.longdouble))
        error = np.abs(applied(ufunc, kind, x) - wanted) / np.spacing(np.abs(wanted).astype(x.dtype))
    assert error.max() <= ULPS, x[error.argmax()]


@pytest.mark.parametrize("kind", ["float", "double"])
@pytest.mark.parametrize("ufunc", [*SPANS, "sqrt", "sign", "rint", "floor", "reciprocal", "negative"])
def test_a_function_of_infinities_zeros_and_nan_is_what_numpy_says(ufunc, kind):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, -1.0, 1.0, 2.5, -1e30, 1e30], DTYPES[kind])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(applied(ufunc, kind, x), getattr(np, ufunc)(x), rtol=1e-6)


EDGES = np.array([np.nan, -0.0, 0.0, -np.inf, np.inf, 1.0, -1.0], np.float32)


@pytest.mark.parametrize("ufunc", ["maximum", "minimum"])
def test_maxima_have_numpy_s_bits_for_nan_and_for_zeros_of_either_sign(ufunc):
    a, b = (np.ascontiguousarray(v.ravel()) for v in np.meshgrid(EDGES, EDGES[1:]))
    body = Body((Input("float", "whole"),) * 2, (Step(ufunc, "float", (0, 1), "float"),), (2,))
    assert ran(body, [a, b], [np.empty_like(a)], 1, a.size).tobytes() == getattr(np, ufunc)(a, b).tobytes()


@pytest.mark.parametrize("high", [0.0, 0.5, np.inf])
def test_clipping_has_numpy_s_bits(high):
    ends = (Input("float", "const", -high), Input("float", "const", high))
    body = Body((Input("float", "whole"), *ends), (Step("clip", "float", (0, 1, 2), "float"),), (3,))
    got = ran(body, [EDGES], [np.empty_like(EDGES)], 1, EDGES.size)
    assert got.tobytes() == EDGES.clip(-high, high).tobytes()


@pytest.mark.parametrize("size", [1, 10, 63, 64, 65, 200])
def test_softmax_is_three_passes_over_a_row_of_any_size(size):
    steps = (
        Step("maximum", "float", (0,), "float", True),
        Step("subtract", "float", (0, 1), "float"),
        Step("exp", "float", (2,), "float"),
        Step("add", "float", (3,), "float", True),
        Step("divide", "float", (3, 4), "float"),
    )
    body = Body((Input("float", "whole"),), steps, (5, 4))
    x = np.random.default_rng(0).standard_normal((7, size)).astype(np.float32)
    total = np.empty((7, 1), np.float32)
    y = ran(body, [x], [np.empty_like(x), total], 7, size)
    e = np.exp(x - x.max(1, keepdims=True))
    np.testing.assert_allclose(y, e / e.sum(1, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(total, e.sum(1, keepdims=True), rtol=1e-5)


def test_operands_may_be_columns_rows_numbers_masks_and_of_two_precisions():
    rng = np.random.default_rng(0)
    x, mask = rng.standard_normal((5, 70)), rng.random((5, 70)) < 0.5
    column, row, one = (rng.standard_normal(s).astype(np.float32) for s in ((5, 1), (70,), (1,)))
    inputs = (
        Input("double", "whole"), Input("float", "column"), Input("float", "row"), Input("float", "number"),
        Input("i1", "whole"), Input("double", "given"), Input("double", "const", 0.25),
    )  # fmt: skip
    steps = (
        Step("multiply", "float", (1, 2), "float"),
        Step("add", "float", (7, 3), "float"),
        Step("add", "double", (0, 8), "double"),
        Step("where", "double", (4, 9, 5), "double"),
        Step("greater", "double", (10, 6), "i1"),
        Step("logical_xor", "i1", (11, 4), "i1"),
    )
    above = np.empty((5, 70), bool)
    y = ran(
        Body(inputs, steps, (10, 12)), [x, column, row, one, mask], [np.empty_like(x), above], 5, 70, [1.5]
    )
    wanted = np.where(mask, x + (column * row + one), 1.5)
    np.testing.assert_array_equal(y, wanted)
    np.testing.assert_array_equal(above, (wanted > 0.25) ^ mask)


def test_equal_text_is_compiled_once_even_by_many_threads_at_once():
    body = Body(
        (Input("float", "whole"), Input("float", "const", 0.125)),
        (Step("add", "float", (0, 1), "float"),),
        (2,),
    )
    before, found = engine().num_kernels, []

    def work():
        x = np.arange(1000, dtype=np.float32)
        found.append(ran(body, [x], [np.empty_like(x)], 1, 1000).sum())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    assert engine().num_kernels == before + 1
    assert len(set(found)) == 1
    assert len(found) == 8


def test_a_setting_leaves_the_compiler_alone(monkeypatch):
    monkeypatch.setenv("PSDIST_JIT", "0")
    assert JIT_ENGINE._started.__wrapped__() is None
    monkeypatch.setenv("PSDIST_JIT", "1")
    assert isinstance(JIT_ENGINE._started.__wrapped__(), Engine)


def test_what_is_known_depends_on_the_kind():
    assert is_known("exp", "float")
    assert not is_known("sin", "float")
    assert not is_known("add", "i1")
    assert is_known("maximum", "double", reduces=True)
    assert not is_known("logical_and", "float", reduces=True)


@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "num_layers": 2, "state_outputs": True}])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_compiled_lstm_gives_what_numpy_gives(options, dtype, monkeypatch):
    options = {"mode": "lstm", "state_size": 48, "num_layers": 1, **options}
    op = ops.get("RNN")
    params = op.parse(options)
    shapes, _ = op.infer_shape([(5, 24, 7), None, None, None], params)
    rng = np.random.default_rng(0)
    arrays = [(rng.standard_normal(s) * 0.3).astype(dtype) for s in shapes]
    results = []
    for compiled in (True, False):
        if not compiled:
            monkeypatch.setattr(rnn_compiled, "engine", lambda: None)
        outs = op.kernel(*arrays, **params, is_train=True, rng=rng)
        visible = op.num_visible(params)
        heads = [np.cos(y) for y in outs[:visible]]
        grads = op.backward(heads, outs, arrays, params, (True,) * len(arrays))
        results.append([*outs[:visible], *grads])
    for got, wanted in zip(*results, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_no_two_threads_start_an_engine(monkeypatch):
    meeting = threading.Barrier(2)

    def started():
        with pytest.raises(threading.BrokenBarrierError):
            meeting.wait(0.05)  # were the other thread let in, they would meet

    monkeypatch.setattr(JIT_ENGINE, "_started", started)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda _: JIT_ENGINE.engine(), range(2))) == [None, None]

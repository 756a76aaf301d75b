"""Convolution by tiles against convolution by sums."""

from __future__ import annotations

import numpy as np
import pytest

import psdist as mx
from psdist import jit
from psdist.executor.executor import Executor
from psdist.executor.plan import Options


def ran(shape, filters, pad, options):
    x = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), pad=pad, num_filter=filters, name="conv")
    shapes, (out,), _ = x.infer_shape(data=shape)
    rng = np.random.default_rng(0)
    args = [mx.nd.array(rng.standard_normal(s)) for s in shapes]
    grads = [mx.nd.zeros(s) for s in shapes]
    executor = Executor(x, mx.cpu(), args, grads, options=options)
    executor.forward(is_train=True)
    executor.backward(mx.nd.array(rng.standard_normal(out)))
    titles = [i.title for i in executor._plans[True].instrs]
    return [executor.outputs[0].asnumpy(), *(g.asnumpy() for g in grads)], titles


@pytest.mark.parametrize(
    ("shape", "filters", "pad"),
    [
        ((16, 32, 8, 8), 32, (1, 1)),  # whole tiles
        ((16, 32, 7, 9), 33, (1, 1)),  # tiles that stick out
        ((16, 33, 10, 6), 40, (0, 0)),
        ((3, 32, 5, 30), 32, (2, 1)),  # more padding than a window's half
        ((4, 32, 40, 44), 36, (0, 2)),  # several blocks
    ],
)
def test_tiles_give_what_sums_give_within_their_tolerance(shape, filters, pad):
    by_tiles, titles = ran(shape, filters, pad, Options())
    by_sums, _ = ran(shape, filters, pad, Options(winograd=False))
    assert any("Winograd" in t for t in titles)
    for got, wanted in zip(by_tiles, by_sums, strict=True):
        assert np.abs(got - wanted).max() <= 1e-4 * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("shape", "filters"), [((16, 8, 8, 8), 32), ((16, 32, 8, 8), 8), ((1, 32, 8, 8), 32)]
)
def test_small_convolutions_go_by_sums(shape, filters):
    _, titles = ran(shape, filters, (1, 1), Options())
    assert not any("Winograd" in t for t in titles)


def test_a_variable_turns_tiles_off(monkeypatch):
    monkeypatch.setenv("PSDIST_WINOGRAD", "0")
    x = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=32)
    assert "Winograd" not in x.simple_bind(mx.cpu(), grad_req="null", data=(16, 32, 8, 8)).explain()
    monkeypatch.delenv("PSDIST_WINOGRAD")
    assert "Winograd" in x.simple_bind(mx.cpu(), grad_req="null", data=(16, 32, 8, 8)).explain()


def test_recomputing_keeps_no_transform():
    x = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=32, pad=(1, 1))
    x = mx.sym.MakeLoss(x)
    args = [mx.nd.ones(s) for s in x.infer_shape(data=(16, 32, 16, 16))[0]]
    grads = [mx.nd.ones(a.shape) for a in args]
    kept, again = (
        Executor(x, mx.cpu(), args, grads, options=Options(recompute=r))._plan(True) for r in (False, True)
    )

    def transforms(plan):
        return [v.shape for i in plan.instrs if "Winograd" in i.title for v in i.writes[1:]]

    assert transforms(kept) == [(36 * 32 * 4 * 4 * 16,)]
    assert transforms(again) == []
    results = []
    for r in (False, True):
        executor = Executor(x, mx.cpu(), args, grads, options=Options(recompute=r))
        executor.forward(is_train=True)
        executor.backward()
        results.append([g.asnumpy() for g in grads])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(not jit.available(), reason="llvmlite is not installed")
@pytest.mark.parametrize("shape", [(16, 32, 7, 9), (4, 32, 40, 44)])
def test_compiled_transforms_have_the_bits_of_numpy_s(shape):
    compiled, titles = ran(shape, 36, (1, 1), Options(jit=True))
    plain, _ = ran(shape, 36, (1, 1), Options())
    assert any("Winograd" in t for t in titles)
    for a, b in zip(compiled[1:3], plain[1:3], strict=True):  # the bias is a sum, in another order
        np.testing.assert_array_equal(a, b)

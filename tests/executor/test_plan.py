"""Every pass against the walk over the operators, for every model."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import psdist as mx
from psdist.executor.chains import Chain
from psdist.executor.executor import Executor
from psdist.executor.ir import View
from psdist.executor.plan import PLAIN, Options

from . import models

BITWISE = {
    "nothing": PLAIN,
    "kernels taken apart": dataclasses.replace(PLAIN, trace=True),
    "simplified": dataclasses.replace(PLAIN, trace=True, passes=True),
    "chained": dataclasses.replace(PLAIN, trace=True, chains=True),
    "sharing memory": dataclasses.replace(PLAIN, trace=True, share=True),
    "all of these": Options(rewrite=False, rules=False),
    "computed again": Options(rewrite=False, rules=False, recompute=True),
}


def bound(name, options, grad_req="write", seed=0):
    symbol, shapes = models.MODELS[name]()
    args, auxs = models.arrays(symbol, shapes, seed)
    grads = {n: mx.nd.array(np.full(a.shape, 0.5)) for n, a in args.items()}
    return Executor(symbol, mx.cpu(), args, grads, grad_req, auxs, options=options)


def ran(executor, is_train=True, walk=False, steps=1):
    """Everything that a step leaves behind, by name."""
    mx.random.seed(3)
    for _ in range(steps):
        if walk:
            executor.set_monitor_callback(lambda name, array: None)
        executor.forward(is_train=is_train)
        if is_train:
            executor.backward()
    found = {f"output {k}": y.asnumpy() for k, y in enumerate(executor.outputs)}
    found |= {f"state {n}": a.asnumpy() for n, a in executor.aux_dict.items()}
    if is_train:
        found |= {f"gradient {n}": g.asnumpy() for n, g in executor.grad_dict.items() if g is not None}
    return found


def close(got, wanted):
    for name, w in wanted.items():
        scale = max(1e-6, float(np.abs(w).max()))
        np.testing.assert_allclose(got[name], w, rtol=0, atol=1e-5 * scale, err_msg=name)


@pytest.fixture(scope="module")
def walked():
    """What the walk over the operators gives, by model and is_train."""
    known = {}

    def find(name, is_train=True):
        if (name, is_train) not in known:
            known[name, is_train] = ran(bound(name, PLAIN), is_train, walk=True)
        return known[name, is_train]

    return find


@pytest.mark.parametrize("how", BITWISE)
@pytest.mark.parametrize("name", models.MODELS)
def test_a_plan_of_bitwise_passes_has_the_bits_of_the_walk(name, how, walked):
    got = ran(bound(name, BITWISE[how]))
    for what, wanted in walked(name).items():
        np.testing.assert_array_equal(got[what], wanted, err_msg=what)


@pytest.mark.parametrize("name", models.MODELS)
def test_the_whole_plan_is_within_its_tolerance(name, walked):
    close(ran(bound(name, Options())), walked(name))


@pytest.mark.parametrize("name", models.MODELS)
def test_the_plan_for_prediction_is_within_its_tolerance(name, walked):
    close(ran(bound(name, Options()), is_train=False), walked(name, is_train=False))


@pytest.mark.parametrize("name", models.MODELS)
def test_two_executors_give_the_same_bits_and_so_do_two_runs_of_one(name):
    first, second = bound(name, Options()), bound(name, Options())
    a, b = ran(first), ran(second)
    for what, wanted in a.items():
        np.testing.assert_array_equal(b[what], wanted, err_msg=what)
    states = {n: a.asnumpy() for n, a in second.aux_dict.items()}
    again, other = ran(first), ran(second)
    for what, wanted in again.items():
        np.testing.assert_array_equal(other[what], wanted, err_msg=what)
    assert states.keys() == first.aux_dict.keys()


@pytest.mark.parametrize("name", models.MODELS)
def test_no_two_values_that_live_at_once_share_memory(name):
    """Checked by running: every intermediate is spoilt as soon as nobody reads it any more."""
    executor = bound(name, Options())
    wanted = ran(executor)
    plan = executor._plans[True]
    memory, instrs = plan.memory, plan.instrs
    last = {}
    for k, instr in enumerate(instrs):
        for v in [*instr.reads, *instr.writes]:
            last[_root(v, memory)] = k
    spans = [
        (memory.offsets[v], memory.offsets[v] + v.nbytes, first, last[v])
        for v, first in _first(instrs, memory).items()
        if v in memory.offsets
    ]
    for i, (a, b, f, t) in enumerate(spans):
        for c, d, g, u in spans[i + 1 :]:
            assert b <= c or d <= a or t < g or u < f
    assert wanted.keys()


def _root(v, memory):
    while v in memory.views:
        v = memory.views[v].reads[0]
    while v in memory.roots:
        v = memory.roots[v]
    return v


def _first(instrs, memory):
    first = {}
    for k, instr in enumerate(instrs):
        if not isinstance(instr, View):
            for v in instr.writes:
                first.setdefault(_root(v, memory), k)
    return first


@pytest.mark.parametrize("name", ["lenet", "mlp", "residual", "recurrent"])
def test_gradients_are_added_where_that_is_asked(name, walked):
    added = ran(bound(name, Options(), grad_req="add"))
    wanted = {n: w + 0.5 if n.startswith("gradient") else w for n, w in walked(name).items()}
    close(added, wanted)


def test_the_memory_of_lenet_is_well_below_the_sum_of_its_intermediates():
    symbol, shapes = models.MODELS["lenet"](64)
    executor = symbol.simple_bind(mx.cpu(), **shapes)
    plan = executor._plan(True)
    assert plan.memory.size <= 0.6 * plan.memory.unshared


def test_recomputing_takes_less_memory():
    x = data = mx.sym.Variable("data")
    for _ in range(6):
        x = mx.sym.tanh(mx.sym.sin(x) * data)
    symbol, args, grad = (
        mx.sym.MakeLoss(x),
        {"data": mx.nd.ones((1200, 1000))},
        {"data": mx.nd.ones((1200, 1000))},
    )
    kept, again = (
        Executor(symbol, mx.cpu(), args, grad, options=Options(recompute=r))._plan(True).memory.size
        for r in (False, True)
    )
    assert again < 0.5 * kept


def test_the_variable_that_mxnet_reads_asks_for_recomputing(monkeypatch):
    monkeypatch.setenv("MXNET_BACKWARD_DO_MIRROR", "1")
    symbol, shapes = models.MODELS["chain"]()
    assert symbol.simple_bind(mx.cpu(), **shapes)._options.recompute


def test_a_large_elementwise_graph_is_one_chain_forward():
    executor = bound("chain", Options())
    executor.forward(is_train=False)
    made = [i.title for i in executor._plans[False].instrs if i.steps is not None and i.writes]
    assert isinstance(executor._plans[False].instrs[0], Chain), made


def test_pooling_moves_before_bias_and_activation():
    notes = [n for r in bound("lenet", Options())._plan(True).reports for n in r.notes]
    assert sum("moved before" in n and "bias" in n for n in notes) == 2


def test_prediction_folds_batch_norm_and_drops_dropout():
    notes = [n for r in bound("residual", Options())._plan(False).reports for n in r.notes]
    assert sum("folded into" in n for n in notes) == 4
    notes = [n for r in bound("words", Options())._plan(False).reports for n in r.notes]
    assert any("it does nothing in prediction" in n for n in notes)


def test_equal_work_is_done_once_and_unused_work_not_at_all():
    reports = {r.name: r for r in bound("twice", Options())._plan(True).reports}
    assert reports["simplify"].after < reports["simplify"].before
    assert reports["common"].after < reports["common"].before


def test_fifty_layers_are_bound_in_half_a_second():
    x = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), pad=(1, 1), num_filter=8)
    for i in range(16):
        x = models._unit(x, 8 * (1 + i // 4), (2, 2) if i in (4, 8, 12) else (1, 1), f"u{i}")
    symbol = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(x, num_hidden=10), name="softmax")
    import time

    start = time.process_time()
    symbol.simple_bind(mx.cpu(), data=(2, 3, 32, 32))._plan(True)
    assert time.process_time() - start < 1.0  # 0.5 s on a quiet machine

"""Loops and branches in graphs, against MXNet 1.9.1's (see make_loops.py) and against the same loops run at once."""

import json
from pathlib import Path

import numpy as np
import pytest

import psdist as mx
from psdist.errors import BadType, GraphError, ShapeError

LOOPS = json.loads(Path(__file__).with_name("loops.json").read_text())
sym = mx.sym


def train(graph, given, heads):
    """Outputs and gradients of one step."""
    args = {n: mx.nd.array(x) for n, x in given.items()}
    grads = {n: mx.nd.zeros(x.shape) for n, x in args.items()}
    executor = graph.bind(mx.cpu(), args, grads)
    outs = [y.asnumpy() for y in executor.forward(is_train=True)]
    executor.backward([mx.nd.array(g) for g in heads])
    return outs, {n: g.asnumpy() for n, g in grads.items()}


@pytest.mark.parametrize("name", sorted(LOOPS))
def test_a_loop_that_mxnet_saved_gives_what_mxnet_gives_and_is_saved_again_the_same(name):
    kept = LOOPS[name]
    graph = sym.load_json(json.dumps(kept["json"]))
    assert graph.list_arguments() == kept["arguments"]
    outs, grads = train(graph, kept["given"], kept["heads"])
    for y, want in zip(outs, kept["outputs"], strict=True):
        assert np.allclose(y, want, rtol=1e-5, atol=1e-6)
    for n, want in kept["gradients"].items():
        assert np.allclose(grads[n], want, rtol=1e-5, atol=1e-6), n
    again = json.loads(graph.tojson())
    for ours, theirs in zip(again["nodes"], kept["json"]["nodes"], strict=True):
        parts = zip(ours.pop("subgraphs", []), theirs.get("subgraphs", []), strict=True)
        assert all(a["nodes"] == b["nodes"] and a["heads"] == b["heads"] for a, b in parts)
        assert ours == {k: v for k, v in theirs.items() if k != "subgraphs"}


def test_a_loop_infers_the_shapes_of_weights_in_its_body():
    def step(x, state):
        y = sym.FullyConnected(sym.concat(x, state, dim=1), num_hidden=4, name="fc")
        return y, sym.tanh(y)

    outs, state = sym.contrib.foreach(step, sym.var("x"), sym.var("s"))
    graph = sym.Group([outs, state])
    args, made, _ = graph.infer_shape(x=(5, 2, 3), s=(2, 4))
    assert dict(zip(graph.list_arguments(), args, strict=True)) == {
        "x": (5, 2, 3), "s": (2, 4), "fc_weight": (4, 7), "fc_bias": (4,)
    }  # fmt: skip
    assert made == [(5, 2, 4), (2, 4)]


def test_states_of_a_body_follow_its_batches():
    body = lambda x, s: (sym.BatchNorm(x, name="bn", momentum=0.5, fix_gamma=False), s)  # noqa: E731
    outs, _ = sym.contrib.foreach(body, sym.var("x"), sym.var("s"))
    assert outs.list_auxiliary_states() == ["bn_moving_mean", "bn_moving_var"]
    executor = outs.simple_bind(mx.cpu(), x=(2, 4, 1), s=(1,))
    x = np.array([1, 2, 3, 6, 5, 5, 5, 9], np.float32).reshape(2, 4, 1)
    executor.arg_dict["x"][:] = x
    executor.forward(is_train=True)
    executor.backward(mx.nd.ones((2, 4, 1)))
    assert executor.aux_dict["bn_moving_mean"].asnumpy()[0] != 0


def test_loops_stand_within_loops():
    def outer(row, total):
        sums, last = sym.contrib.foreach(lambda x, s: (x * s, s + x), row, total)
        return sums, last

    outs, last = sym.contrib.foreach(outer, sym.var("x"), sym.var("s"))
    graph = sym.Group([outs, last])
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    found, grads = train(graph, {"x": x, "s": np.ones(1)}, [np.ones((2, 3, 1)), np.ones(1)])
    a, s = mx.nd.array(x), mx.nd.ones(1)
    a.attach_grad()
    with mx.autograd.record():
        total, rows = s, []
        for i in range(2):
            for j in range(3):
                rows.append(a[i, j] * total)
                total = total + a[i, j]
        (mx.nd.add_n(*rows) + total).backward()
    assert np.array_equal(found[0].reshape(-1), [r.asscalar() for r in rows])
    assert found[1] == total.asscalar()
    assert np.allclose(grads["x"], a.grad.asnumpy())
    assert sym.load_json(graph.tojson()).list_arguments() == graph.list_arguments()


def test_a_loop_that_never_begins_gives_zeros():
    i = sym.var("i")
    outs, ends = sym.contrib.while_loop(lambda i: i < 0, lambda i: (i * 2, i - 1), i, max_iterations=2)
    executor = sym.Group([outs, ends]).bind(mx.cpu(), {"i": mx.nd.array([4])})
    assert [y.asnumpy().tolist() for y in executor.forward()] == [[[0], [0]], [4]]


def test_what_is_wrong_with_a_loop_is_said():
    x, s = sym.var("x"), sym.var("s")
    with pytest.raises(GraphError, match="foreach: body takes 1 states and gives 2"):
        sym.contrib.foreach(lambda x, s: (x, [s, s]), x, s)
    with pytest.raises(GraphError, match="while_loop: max_iterations is missing"):
        sym.contrib.while_loop(lambda x: x, lambda x: (x, x), x)
    with pytest.raises(BadType, match="cond: pred is int; wanted a Symbol"):
        sym.contrib.cond(1, lambda: x, lambda: s)
    with pytest.raises(GraphError, match="then_func gives 1 outputs and else_func 2"):
        sym.contrib.cond(x, lambda: x, lambda: [x, s])
    out, _ = sym.contrib.foreach(lambda x, s: (x + s, s), x, s)
    with pytest.raises(ShapeError, match="in node '_foreach"):
        out.infer_shape(x=(3, 2), s=(5,))
    text = json.dumps(LOOPS["foreach"]["json"]).replace('"remain_locs": "[2]"', '"remain_locs": "[7]"')
    with pytest.raises(GraphError, match="remain_locs are"):
        sym.load_json(text)


def test_classes_are_drawn_by_zipf_s_law_in_a_graph():
    drawn, true, counts = sym.contrib.rand_zipfian(sym.var("t"), 2000, 8)
    executor = sym.Group([drawn, true, counts]).bind(mx.cpu(), {"t": mx.nd.array([0])})
    classes, of_true, of_drawn = (y.asnumpy() for y in executor.forward())
    expected = 2000 * np.log(2) / np.log(9)
    assert ((classes >= 0) & (classes < 8)).all()
    assert np.allclose([of_true[0], of_drawn[classes == 0][0]], expected)
    assert abs((classes == 0).sum() - expected) < 150

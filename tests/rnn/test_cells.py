"""Recurrent cells make MXNet's graphs, node by node, and compute its numbers (make_oracle.py)."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

import psdist as mx
from psdist import rnn_weights
from psdist.errors import ConfigError, GraphError, ShapeError

from . import nets

ORACLE = Path(__file__).parent / "oracle"
GRAPHS = json.loads(gzip.decompress((ORACLE / "graphs.json.gz").read_bytes()))
RUNS = np.load(ORACLE / "runs.npz")
WEIGHTS = np.load(ORACLE / "weights.npz")


@pytest.mark.parametrize("way", nets.WAYS)
@pytest.mark.parametrize("cell", nets.CELLS)
def test_a_cell_makes_mxnets_graph(cell, way):
    symbol, answer = nets.unroll(mx, cell, way), GRAPHS[f"{cell}/{way}"]
    assert symbol.list_arguments() == answer["arguments"]
    assert symbol.list_outputs() == answer["outputs"]
    nodes = json.loads(symbol.tojson())["nodes"]
    assert [[n["op"], n["name"], n.get("attrs", {}), n["inputs"]] for n in nodes] == answer["nodes"]


@pytest.mark.parametrize("cell", nets.RUN)
def test_a_cell_computes_mxnets_numbers(cell):
    exe = nets.unroll(mx, cell, "one").simple_bind(mx.cpu(), **nets.input_shapes(cell, "one"))
    for k, array in enumerate(exe.arg_arrays):
        array[:] = np.sin(np.arange(array.size) + k).reshape(array.shape) * 0.5
    for k, out in enumerate(exe.forward(is_train=False)):
        np.testing.assert_allclose(out.asnumpy(), RUNS[f"{cell}/output/{k}"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", rnn_weights.GATES)
@pytest.mark.parametrize("both", [False, True])
def test_packed_parameters_come_apart_as_mxnets_and_together_again(mode, both):
    cell = mx.rnn.FusedRNNCell(3, num_layers=2, mode=mode, bidirectional=both, prefix="f_")
    wanted = {k.split("/")[2]: WEIGHTS[k] for k in WEIGHTS.files if k.startswith(f"{mode}/{both}/")}
    packed = mx.nd.arange(sum(w.size for w in wanted.values()))
    unpacked = cell.unpack_weights({"f_parameters": packed, "other": packed})
    assert set(unpacked) == {*wanted, "other"}
    for name, answer in wanted.items():
        assert np.array_equal(unpacked[name].asnumpy(), answer), name
    again = cell.pack_weights(unpacked)
    assert set(again) == {"f_parameters", "other"}
    assert np.array_equal(again["f_parameters"].asnumpy(), packed.asnumpy())


@pytest.mark.parametrize("mode", ["rnn_tanh", "rnn_relu", "lstm", "gru"])
@pytest.mark.parametrize("both", [False, True])
def test_a_fused_network_and_its_unfused_cells_compute_the_same(mode, both):
    fused = mx.rnn.FusedRNNCell(3, num_layers=2, mode=mode, bidirectional=both, prefix="f_")
    data = mx.sym.Variable("data")
    a = fused.unroll(4, data, merge_outputs=True)[0].simple_bind(mx.cpu(), data=(2, 4, 5))
    stack = fused.unfuse()
    b = stack.unroll(4, data, merge_outputs=True)[0].simple_bind(mx.cpu(), data=(2, 4, 5))
    rng = np.random.default_rng(0)
    for array in a.arg_arrays:
        array[:] = rng.uniform(-0.5, 0.5, array.shape)
    apart = stack.pack_weights(fused.unpack_weights({"f_parameters": a.arg_dict["f_parameters"]}))
    b.copy_params_from({**apart, "data": a.arg_dict["data"]})
    outs = [exe.forward(is_train=False)[0].asnumpy() for exe in (a, b)]
    np.testing.assert_allclose(*outs, rtol=1e-5, atol=1e-6)


def test_weights_of_single_cells_come_apart_and_together():
    cell = mx.rnn.LSTMCell(2, prefix="l_")
    shapes = {"l_i2h_weight": (8, 3), "l_i2h_bias": (8,), "l_h2h_weight": (8, 2), "l_h2h_bias": (8,)}
    args = {n: mx.nd.array(np.arange(np.prod(s)).reshape(s)) for n, s in shapes.items()}
    apart = cell.unpack_weights(args)
    assert len(apart) == 16
    assert np.array_equal(apart["l_i2h_c_weight"].asnumpy(), args["l_i2h_weight"].asnumpy()[4:6])
    again = cell.pack_weights(apart)
    assert set(again) == set(args)
    assert all(np.array_equal(again[n].asnumpy(), args[n].asnumpy()) for n in args)
    with pytest.raises(GraphError, match="no parameter 'l_i2h_weight'; there are none"):
        cell.unpack_weights({})


def test_a_fused_networks_parameters_begin_gate_by_gate():
    cell = mx.rnn.FusedRNNCell(2, num_layers=1, mode="lstm", prefix="f_", forget_bias=3.0)
    out = cell.unroll(2, mx.sym.Variable("data"), merge_outputs=True)[0]
    attrs = out.attr_dict()["f_parameters"]
    flat = mx.nd.zeros((2 * 4 * (5 + 2 + 2),))
    init = mx.init.One()
    init(mx.init.InitDesc("f_parameters", attrs, global_init=init), flat)
    apart = cell.unpack_weights({"f_parameters": flat})
    assert set(apart["f_l0_i2h_i_weight"].asnumpy().ravel()) == {1.0}
    assert set(apart["f_l0_h2h_f_bias"].asnumpy()) == {3.0}
    assert set(apart["f_l0_h2h_i_bias"].asnumpy()) == {0.0}
    with pytest.raises(ConfigError, match="FusedRNN: no initializer for the parts of 'x'; give init"):
        mx.init.FusedRNN(None, 2, 1, "lstm")._init_weight("x", flat)


def test_cells_that_are_given_the_same_parameters_share_them():
    first = mx.rnn.RNNCell(3, prefix="a_")
    second = mx.rnn.RNNCell(3, prefix="b_", params=first.params)
    assert second.unroll(1, [mx.sym.Variable("x")])[0][0].list_arguments()[1] == "a_i2h_weight"
    stack = mx.rnn.SequentialRNNCell(params=mx.rnn.RNNParams())
    with pytest.raises(GraphError, match="SequentialRNNCell was given parameters, and so was a cell in it"):
        stack.add(second)


def test_states_may_begin_as_variables():
    cell = mx.rnn.ZoneoutCell(mx.rnn.LSTMCell(4, prefix="l_"), 0.1, 0.1)
    states = cell.begin_state(func=mx.sym.Variable)
    assert [s.name for s in states] == ["l_begin_state_0", "l_begin_state_1"]
    assert cell.state_shape == [(0, 4), (0, 4)]


def test_rnn_unroll_makes_its_own_inputs():
    outputs, _ = mx.rnn.rnn_unroll(mx.rnn.RNNCell(3), 2, input_prefix="in_")
    assert mx.sym.Group(outputs).list_arguments()[0] == "in_t0_data"


def test_what_cannot_be_done_says_why():
    x = mx.sym.Variable("x")
    inner = mx.rnn.RNNCell(3)
    mx.rnn.ResidualCell(inner)
    with pytest.raises(GraphError, match="this RNNCell is part of a modifier cell; call that one instead"):
        inner.begin_state()
    with pytest.raises(NotImplementedError, match=r"cannot be stepped; use unroll, or unfuse\(\) it first"):
        mx.rnn.FusedRNNCell(3)(x, [])
    both = mx.rnn.BidirectionalCell(mx.rnn.RNNCell(3, prefix="l_"), mx.rnn.RNNCell(3, prefix="r_"))
    with pytest.raises(NotImplementedError, match="a BidirectionalCell cannot be stepped"):
        both(x, [])
    for cell in (both, mx.rnn.FusedRNNCell(3)):
        with pytest.raises(ConfigError, match=f"ZoneoutCell: a {type(cell).__name__} cannot be stepped"):
            mx.rnn.ZoneoutCell(cell, 0.1)
    with pytest.raises(ConfigError, match="mode is 'lsmt'; wanted one of rnn_relu, rnn_tanh, lstm, gru"):
        mx.rnn.FusedRNNCell(3, mode="lsmt")
    with pytest.raises(GraphError, match="unroll: 1 inputs for 2 steps"):
        mx.rnn.RNNCell(3).unroll(2, [x])
    with pytest.raises(GraphError, match="layout 'NC' has no T for the steps"):
        mx.rnn.RNNCell(3).unroll(2, x, layout="NC")
    with pytest.raises(ConfigError, match="dropout is 1; wanted a number from 0 to below 1"):
        mx.rnn.DropoutCell(1)
    with pytest.raises(
        ShapeError, match=r"7 elements are no gru of 1 layers, 3 hidden: wanted 9 x \(inputs \+ 5\)"
    ):
        rnn_weights.num_inputs(7, 3, 1, "gru", False)

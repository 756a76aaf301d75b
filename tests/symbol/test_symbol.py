"""Writing graphs: names, attributes, composition, inference. What MXNet 1.9.1 answers stands in the asserts."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import psdist as mx
from psdist.errors import GraphError, PSError, ShapeError

data = mx.sym.Variable("data")


def layer():
    return mx.sym.FullyConnected(data, num_hidden=3, name="fc")


def test_missing_arrays_become_variables_named_after_the_operator():
    assert layer().list_arguments() == ["data", "fc_weight", "fc_bias"]
    assert layer().list_outputs() == ["fc_output"]
    bn = mx.sym.BatchNorm(data, name="bn")
    assert bn.list_arguments() == ["data", "bn_gamma", "bn_beta"]
    assert bn.list_auxiliary_states() == ["bn_moving_mean", "bn_moving_var"]
    assert bn.list_inputs() == ["data", "bn_gamma", "bn_beta", "bn_moving_mean", "bn_moving_var"]


def test_names_count_up_and_a_prefix_stands_before_all():
    with mx.name.NameManager():
        first, second = (mx.sym.FullyConnected(data, num_hidden=2) for _ in range(2))
    assert [first.name, second.name] == ["fullyconnected0", "fullyconnected1"]
    with mx.name.Prefix("p_"):
        assert mx.sym.FullyConnected(data, num_hidden=2, name="q").list_arguments() == [
            "data",
            "p_q_weight",
            "p_q_bias",
        ]


def test_attributes_pass_to_what_is_made_in_their_scope():
    with mx.AttrScope(ctx_group="g", __x__="1"):
        made = mx.sym.FullyConnected(data, num_hidden=2, name="f")
    wanted = {"__ctx_group__": "g", "__x__": "1", "num_hidden": "2", "ctx_group": "g"}
    assert made.list_attr() == wanted
    assert made.attr_dict() == dict.fromkeys(("f", "f_weight", "f_bias"), wanted)
    v = mx.sym.Variable("v", lr_mult=2.0, attr={"mood": "x"})
    assert (v.attr("__lr_mult__"), v.attr("lr_mult"), v.attr("mood"), v.attr("none")) == (
        "2.0",
        "2.0",
        "x",
        None,
    )


def test_groups_are_several_outputs():
    group = mx.sym.Group([layer(), mx.sym.sin(layer(), name="s")])
    assert group.list_outputs() == ["fc_output", "s_output"]
    assert len(group) == 2
    assert group.name is None
    assert [s.name for s in group] == ["fc", "s"]
    assert group["s_output"].name == group[-1].name == "s"
    with pytest.raises(ValueError, match="no output named 'x'; there are fc_output, s_output"):
        group["x"]
    with pytest.raises(IndexError, match="output 2 of a symbol that has 2"):
        group[2]
    with pytest.raises(TypeError, match="wanted a list of Symbols"):
        mx.sym.Group([])


def test_internals_and_children():
    inner = layer().get_internals()
    assert inner.list_outputs() == ["data", "fc_weight", "fc_bias", "fc_output"]
    assert inner["fc_output"].list_arguments() == ["data", "fc_weight", "fc_bias"]
    assert layer().get_children().list_outputs() == ["data", "fc_weight", "fc_bias"]
    assert data.get_children() is None


def test_an_operator_of_several_outputs_is_as_many_symbols():
    parts = mx.sym.SliceChannel(data, num_outputs=3, name="cut")
    assert parts.list_outputs() == ["cut_output0", "cut_output1", "cut_output2"]
    assert parts[1].list_outputs() == ["cut_output1"]
    with pytest.raises(GraphError, match="has 3 outputs"):
        mx.sym.sin(parts)


def test_composing_puts_symbols_in_the_place_of_variables():
    head = mx.sym.FullyConnected(mx.sym.Variable("x"), num_hidden=4, name="head")
    whole = head(x=layer())
    assert whole.list_arguments() == ["data", "fc_weight", "fc_bias", "head_weight", "head_bias"]
    assert head.list_arguments()[0] == "x"
    assert head(layer()).list_arguments() == whole.list_arguments()
    with pytest.raises(GraphError, match="compose: no variable 'y'; there are x"):
        head(y=layer())


def test_arithmetic_takes_symbols_and_numbers_on_either_side():
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    y = (2 - a) * b / 4 + a**2 + 3**b - (a > b) + abs(-a) + 1 / b + (a % 2)
    values = {"a": mx.nd.array([3.0]), "b": mx.nd.array([2.0])}
    wanted = (2 - 3) * 2 / 4 + 9 + 9 - 1 + 3 + 0.5 + 1
    assert y.eval(**values)[0].asnumpy().tolist() == [wanted]
    with pytest.raises(TypeError, match="a Symbol with a str: wanted a Symbol or a number"):
        a + "b"
    with pytest.raises(PSError, match="has no value before it is bound and run"):
        bool(a)


# -- inference -----------------------------------------------------------------------------------------------


def test_shapes_follow_from_the_data_and_back_from_the_parameters():
    assert layer().infer_shape(data=(2, 4)) == ([(2, 4), (3, 4), (3,)], [(2, 3)], [])
    assert layer().infer_shape((2, 4))[1] == [(2, 3)]
    assert layer().infer_shape() == (None, None, None)
    known, outs, _ = (data + mx.sym.Variable("other")).infer_shape(other=(5, 6))
    assert known == [(5, 6), (5, 6)]
    assert outs == [(5, 6)]


def test_partial_shapes_say_what_is_known():
    assert layer().infer_shape_partial()[0] == [(), (), ()]  # nothing follows from num_hidden alone
    assert layer().infer_shape_partial(data=(0, 5))[0] == [(0, 5), (3, 5), (3,)]
    args, outs, _ = layer().infer_shape_partial(data=(0, 4))
    assert args == [(0, 4), (3, 4), (3,)]
    assert outs == [(0, 3)]


def test_a_contradiction_is_told_by_its_node():
    with pytest.raises(ShapeError, match=r"in node 'fc', given data\(2, 3\), fc_weight\(3, 9\)"):
        layer().infer_shape(data=(2, 3), fc_weight=(3, 9))
    with pytest.raises(
        GraphError, match="infer_shape: no argument 'dta'; there are data, fc_weight, fc_bias"
    ):
        layer().infer_shape(dta=(2, 3))


def test_a_variable_may_know_its_shape_and_dtype():
    x = mx.sym.Variable("x", shape=(4, 2), dtype="float64")
    y = mx.sym.FullyConnected(x, num_hidden=3)
    assert y.infer_shape()[1] == [(4, 3)]
    assert y.infer_type()[1] == [np.float64]


def test_dtypes_follow_and_arrays_are_float32_where_nothing_is_said():
    assert layer().infer_type(data="float64") == ([np.float64] * 3, [np.float64], [])
    assert layer().infer_type() == (None, None, None)
    assert layer().bound_types()[0] == [np.float32] * 3
    assert mx.sym.Cast(data, dtype="int32").infer_type_partial() == ([None], [np.int32], [])


# -- files ---------------------------------------------------------------------------------------------------


def network():
    with mx.name.NameManager():
        x = mx.sym.Convolution(data, kernel=(3, 3), num_filter=4, attr={"mood": "x"})
        x = mx.sym.Pooling(mx.sym.BatchNorm(x), kernel=(2, 2), pool_type="max")
        parts = mx.sym.SliceChannel(x * 2 + 1, num_outputs=2)
        return mx.sym.Group([parts[1], mx.sym.SoftmaxOutput(mx.sym.Flatten(parts[0]), name="softmax")])


def test_a_graph_comes_back_from_its_json_as_it_was(tmp_path):
    symbol = network()
    symbol.save(tmp_path / "net.json")
    for back in (
        mx.sym.load_json(symbol.tojson()),
        mx.sym.load(str(tmp_path / "net.json")),
        copy.deepcopy(symbol),
        pickle.loads(pickle.dumps(symbol)),
    ):
        assert back.tojson() == symbol.tojson()
        assert back.list_arguments() == symbol.list_arguments()
        assert back.list_auxiliary_states() == symbol.list_auxiliary_states()
        assert back.infer_shape(data=(2, 1, 8, 8)) == symbol.infer_shape(data=(2, 1, 8, 8))
        assert back.attr_dict() == symbol.attr_dict()


def test_old_files_are_read():
    old = """{"nodes": [
      {"op": "null", "param": {}, "name": "data", "inputs": []},
      {"op": "null", "param": {}, "name": "bn_gamma", "inputs": []},
      {"op": "null", "param": {}, "name": "bn_beta", "inputs": []},
      {"op": "BatchNorm", "param": {"eps": "0.01"}, "name": "bn", "inputs": [[0, 0], [1, 0], [2, 0]],
       "attr": {"weight_lr_mult": "2", "mood": "x"}}],
      "arg_nodes": [0, 1, 2], "heads": [[3, 0]]}"""
    symbol = mx.sym.load_json(old)
    assert symbol.list_auxiliary_states() == ["bn_moving_mean", "bn_moving_var"]
    assert symbol.attr("__mood__") == "x"
    assert symbol.attr("eps") == "0.01"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not a symbol's JSON"),
        ('{"nodes": 3, "heads": []}', "nodes and heads are not lists"),
        (
            '{"nodes": [{"op": "Sni", "name": "s", "inputs": []}], "heads": [[0, 0]]}',
            r"node 0 \('s'\).*no operator 'Sni'",
        ),
        (
            '{"nodes": [{"op": "sin", "name": "s", "inputs": [[7, 0]]}], "heads": [[0, 0]]}',
            "input 7 does not stand before",
        ),
        ('{"nodes": [{"op": "null", "name": "x", "inputs": []}], "heads": [[4, 0]]}', "heads .* do not fit"),
    ],
)
def test_a_damaged_file_is_told_by_its_node(text, said):
    with pytest.raises(GraphError, match=said):
        mx.sym.load_json(text)


def test_none_is_kept_where_it_is_not_the_default():
    x = mx.sym.Variable("x")
    assert mx.sym.sort(x, axis=None, name="s").attr_dict() == {"s": {"axis": "None"}}
    assert mx.sym.sort(x, axis=None).infer_shape(x=(2, 3))[1] == [(6,)]
    assert mx.sym.sum(x, axis=None, name="s").attr_dict() == {}


def test_under_np_shape_what_does_not_follow_is_none_or_minus_one():
    x, y = mx.sym.var("x"), mx.sym.var("y")
    product = mx.sym.batch_dot(x, y)
    with mx.np_shape():
        assert mx.sym.sin(x).infer_shape_partial() == ([None], [None], [])
        assert product.infer_shape_partial(x=(-1, 3, 4), y=(-1, 4, 5))[1] == [(-1, 3, 5)]
        assert product.infer_shape_partial(x=(-1, 3, 4), y=(-1, -1, 5))[1] == [None]
        assert product.infer_shape(x=(-1, 3, 4), y=(-1, 4, 5)) == (None, None, None)
    assert mx.sym.sin(x).infer_shape_partial() == ([()], [()], [])

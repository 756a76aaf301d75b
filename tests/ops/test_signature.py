"""The shape rules' little language, the parameters, and what they say when something is wrong."""

import numpy as np
import pytest

import psdist as mx
import psdist.ops as ops
from psdist.errors import ConfigError, GraphError, ShapeError
from psdist.ops.params import format_param
from psdist.ops.signature import Signature, broadcast_shapes, merge_shapes

FC = ops.get("FullyConnected")
CONV = ops.get("Convolution")


def infer(op, ins, outs=None, **params):
    return op.infer_shape(ins, op.parse(params), outs)


def test_data_and_a_parameter_settle_the_weights():
    ins, outs = infer(FC, [(8, 5), None, None], num_hidden=3)
    assert ins == [(8, 5), (3, 5), (3,)]
    assert outs == [(8, 3)]


def test_weights_settle_what_they_can_of_unknown_data():
    ins, outs = infer(FC, [(0, 5), None, None], num_hidden=3)
    assert ins == [(0, 5), (3, 5), (3,)]
    assert outs == [(0, 3)]


def test_the_result_settles_the_batch():
    ins, _ = infer(FC, [(0, 5), None, None], [(8, 3)], num_hidden=3)
    assert ins[0] == (8, 5)


def test_nothing_known_leaves_everything_open_but_what_parameters_say():
    ins, outs = infer(FC, [None, None, None], num_hidden=3)
    assert ins == [None, (3, 0), (3,)]
    assert outs == [None]


def test_elementwise_shapes_pass_in_every_direction():
    add = ops.get("elemwise_add")
    assert infer(add, [None, (2, 3)]) == ([(2, 3), (2, 3)], [(2, 3)])
    assert infer(add, [None, None], [(2, 3)]) == ([(2, 3), (2, 3)], [(2, 3)])
    assert infer(add, [(2, 0), (0, 3)]) == ([(2, 3), (2, 3)], [(2, 3)])


def test_sizes_that_need_arithmetic_are_computed():
    ins, outs = infer(
        CONV, [(8, 3, 28, 28), None, None], kernel=(5, 5), num_filter=20, stride=(2, 2), pad=(1, 1)
    )
    assert ins[1:] == [(20, 3, 5, 5), (20,)]
    assert outs == [(8, 20, 13, 13)]


def test_a_contradiction_names_operator_size_and_rule():
    with pytest.raises(
        ShapeError, match=r"^FullyConnected: i is 5 and should be 4 in \(first|^FullyConnected: i is"
    ):
        infer(FC, [(8, 4), (3, 5), None], num_hidden=3)
    with pytest.raises(ShapeError, match=r"^elemwise_add: s is \(2, 3\) and also \(3, 2\)"):
        infer(ops.get("elemwise_add"), [(2, 3), (3, 2)])
    with pytest.raises(ShapeError, match=r"^broadcast_add: cannot broadcast \(2, 3\) with \(4, 3\)"):
        infer(ops.get("broadcast_add"), [(2, 3), (4, 3)])


def test_a_kernel_larger_than_the_data_is_named():
    with pytest.raises(
        ShapeError, match=r"^Convolution: kernel \(5, 5\) .* exceeds the padded input \(3, 3\)"
    ):
        infer(CONV, [(1, 1, 3, 3), None, None], kernel=(5, 5), num_filter=1)


def test_dtypes_that_contradict_are_named():
    with pytest.raises(ShapeError, match="dtype T is float32 and also float64"):
        FC.infer_type(["float32", "float64", None], FC.parse({"num_hidden": 3}))
    assert FC.infer_type(["float64", None, None], FC.parse({"num_hidden": 3})) == (
        ["float64"] * 3,
        ["float64"],
    )


def test_partial_shapes_broadcast_and_merge():
    assert broadcast_shapes([(2, 1), (0, 3)]) == (2, 3)
    assert broadcast_shapes([(0, 1), (1, 3)]) == (0, 3)
    assert merge_shapes((0, 3), (2, 0)) == (2, 3)
    with pytest.raises(ShapeError, match="does not fit"):
        merge_shapes((1, 2), (1, 3))


def test_a_rule_may_hold_numbers_and_runs():
    rule = Signature("(n, 2, *s) -> (*s, n)")
    assert rule.infer("it", [(4, 2, 5, 6)], [None], [0], {}) == ([(4, 2, 5, 6)], [(5, 6, 4)])
    with pytest.raises(ShapeError, match="it: 2 is 2 and also 3"):
        rule.infer("it", [(4, 3, 5)], [None], [0], {})


def test_no_bias_takes_the_bias_away():
    params = FC.parse({"num_hidden": 3, "no_bias": True})
    assert FC.active(params) == ("data", "weight")
    assert FC.infer_shape([(2, 5), None], params)[0] == [(2, 5), (3, 5)]


def test_parameters_come_as_text_numbers_or_python_values():
    for kernel in ("(3, 3)", "[3, 3]", (3, 3), [3, 3], np.array([3, 3]), "(3L, 3L)"):
        assert CONV.parse({"kernel": kernel, "num_filter": "8"})["kernel"] == (3, 3)
    parsed = CONV.parse({"kernel": 3, "num_filter": 8, "no_bias": "True", "cudnn_tune": "None"})
    assert parsed["kernel"] == (3,)
    assert parsed["no_bias"] is True
    assert parsed["cudnn_tune"] is None


def test_a_wrong_parameter_says_what_was_wanted():
    with pytest.raises(
        ConfigError, match=r"FullyConnected: no parameter 'num_hiden'; did you mean 'num_hidden'\?"
    ):
        FC.parse({"num_hiden": 3})
    with pytest.raises(ConfigError, match=r"FullyConnected: num_hidden is 'many'; wanted int"):
        FC.parse({"num_hidden": "many"})
    with pytest.raises(
        ConfigError, match=r"Activation: act_type is 'reul'; wanted one of .*; did you mean 'relu'\?"
    ):
        ops.get("Activation").parse({"act_type": "reul"})
    with pytest.raises(ConfigError, match="FullyConnected: the parameter 'num_hidden' is missing"):
        FC.parse({})


def test_an_unknown_operator_names_the_nearest():
    with pytest.raises(GraphError, match="no operator 'Convolutoin'; did you mean 'Convolution'"):
        ops.get("Convolutoin")


def test_text_of_parameters_is_mxnets():
    assert format_param((3, 3)) == "(3, 3)"
    assert format_param((3,)) == "(3,)"
    assert format_param(True) == "True"
    assert format_param(np.float32) == "float32"
    assert format_param(None) == "None"


def test_a_rule_marked_as_partial_takes_sizes_that_are_not_known_yet():
    x, y = mx.sym.Variable("x", shape=(0, 15, 0)), mx.sym.Variable("y", shape=(3, 5, 2))
    parts = mx.sym.SliceChannel(x, num_outputs=3, name="parts")
    assert (parts[1] + y).infer_shape()[0] == [(3, 15, 2), (3, 5, 2)]
    x, y = mx.sym.Variable("x", shape=(0, 2, 0)), mx.sym.Variable("y", shape=(7, 4, 0))
    assert (mx.sym.transpose(x, axes=(2, 0, 1)) + y).infer_shape_partial()[0] == [(4, 2, 7), (7, 4, 2)]


def test_the_space_of_a_convolution_follows_from_its_output_where_windows_move_by_1():
    x, y = mx.sym.Variable("x", shape=(0, 2, 0, 0)), mx.sym.Variable("y", shape=(5, 3, 8, 9))
    net = mx.sym.Convolution(x, num_filter=3, kernel=(3, 5), dilate=(2, 1), pad=(2, 1), name="c")
    assert (net + y).infer_shape()[0][0] == (5, 2, 8, 11)


def test_a_product_of_batches_waits_for_its_inner_size():
    z = mx.sym.batch_dot(mx.sym.Variable("x"), mx.sym.Variable("y"))
    assert z.infer_shape_partial(x=(0, 3, 4), y=(6, 4, 5))[1] == [(6, 3, 5)]
    assert z.infer_shape_partial(x=(0, 3, 4), y=(0, 0, 5))[1] == [()]


def test_a_reversed_reshape_has_the_split_behind_its_two_sizes():
    def to(shape, codes):
        return mx.sym.Reshape(mx.sym.Variable("d"), shape=codes, reverse=True).infer_shape(d=shape)[1][0]

    assert to((64,), (16, -1, -4)) == (16, 4)
    assert to((8, 3), (2, 4, -4, 3)) == (2, 4, 3)
    assert to((1, 2, 3, 64), (-2, -1, 16, -4)) == (1, 2, 3, 4, 16)


def test_whole_numbers_ascend_by_whole_steps():
    assert mx.nd.arange(1.3, 10, 1.3, dtype="int32").asnumpy().tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert mx.nd.arange(5, 0, -1.5, dtype="int64").asnumpy().tolist() == [5, 4, 3, 2]


def test_parameters_that_make_no_sense_are_refused():
    with pytest.raises(mx.MXNetError, match=r"scale is -1\.0; wanted 0 or more"):
        mx.nd.random.normal(0, -1, (2, 2))
    with pytest.raises(mx.MXNetError, match="lhs_axes and rhs_axes are empty"):
        mx.nd.broadcast_like(mx.nd.ones((1, 2)), mx.nd.ones((3, 2)), lhs_axes=(), rhs_axes=())

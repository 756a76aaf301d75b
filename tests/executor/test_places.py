"""Which device simple_bind puts arguments on, and what it makes of shapes that a graph has no use for."""

import pytest

import psdist as mx
from psdist.errors import ConfigError


def test_simple_bind_puts_arguments_where_their_group_lives_and_passes_over_shapes_of_others():
    with mx.AttrScope(ctx_group="first"):
        net = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=3, name="fc1")
    with mx.AttrScope(ctx_group="second"):
        net = mx.sym.FullyConnected(net, num_hidden=2, name="fc2")
    places = {"first": mx.cpu(1), "second": mx.cpu(2)}
    ex = net.simple_bind(mx.cpu(0), group2ctx=places, data=(4, 5), softmax_label=(4,))
    assert ex.arg_dict["data"].context == ex.grad_dict["fc1_weight"].context == mx.cpu(1)
    assert ex.arg_dict["fc2_bias"].context == mx.cpu(2)
    with pytest.raises(mx.MXNetError, match="simple_bind: no argument 'dta'; did you mean 'data'"):
        net.simple_bind(mx.cpu(0), dta=(4, 5))
    with pytest.raises(mx.MXNetError, match="simple_bind: no argument 'grad_rq'; did you mean 'grad_req'"):
        net.simple_bind(mx.cpu(0), data=(4, 5), grad_rq="null")


def test_binding_to_a_gpu_that_is_not_there_is_refused():
    x = mx.sym.Variable("x")
    with pytest.raises(
        ConfigError, match=r"gpu\(1\): this machine has no GPU that psdist can use; use mx.cpu\(\)"
    ):
        (x * 2).simple_bind(mx.gpu(1), x=(2,))

"""What a user does with an executor."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import psdist as mx
from psdist.errors import GraphError, PSError, ShapeError

from . import models


@pytest.fixture
def product():
    """a · b at (1, 2) and (3, 4), whose gradients are added for a and not wanted for b."""
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    args = {"a": mx.nd.array([1, 2]), "b": mx.nd.array([3, 4])}
    return (a * b).bind(mx.cpu(), args, args_grad={"a": mx.nd.zeros(2)}, grad_req={"a": "add", "b": "null"})


def layer(**shapes):
    data = mx.sym.Variable("data")
    return mx.sym.FullyConnected(data, num_hidden=3, name="fc").simple_bind(
        mx.cpu(), **(shapes or {"data": (4, 2)})
    )


def softmax(shape=(4, 6), **kwargs):
    x = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=3, name="fc")
    return mx.sym.SoftmaxOutput(x, name="softmax").simple_bind(mx.cpu(), data=shape, **kwargs)


def test_forward_computes_and_takes_arrays_by_name(product):
    assert product.forward()[0].asnumpy().tolist() == [3, 8]
    assert product.forward(a=mx.nd.array([10, 20]))[0].asnumpy().tolist() == [30, 80]
    assert product.arg_dict["a"].asnumpy().tolist() == [10, 20]


def test_outputs_are_the_same_arrays_in_every_run(product):
    first = product.outputs[0]
    assert product.forward()[0] is first
    assert product.forward(is_train=True)[0] is first


def test_gradients_are_added_where_asked_and_left_out_where_not(product):
    for _ in range(2):
        product.forward(is_train=True)
        product.backward(mx.nd.ones(2))
    assert product.grad_dict["a"].asnumpy().tolist() == [6, 8]
    assert product.grad_dict["b"] is None


def test_backward_computes_first_what_it_needs(product):
    product.backward(mx.nd.ones(2))
    assert product.grad_dict["a"].asnumpy().tolist() == [3, 4]


def test_backward_after_a_prediction_goes_by_the_arrays_as_they_are_now(product):
    product.forward(is_train=True)
    product.forward(is_train=False, b=mx.nd.array([5, 6]))
    product.backward(mx.nd.ones(2))
    assert product.grad_dict["a"].asnumpy().tolist() == [5, 6]


def test_what_is_no_loss_wants_its_gradient(product):
    product.forward(is_train=True)
    with pytest.raises(
        GraphError, match=r"'_mul\d*_output' is not a loss, so its gradient is wanted in out_grads"
    ):
        product.backward()
    with pytest.raises(ShapeError, match=r"out_grads\[0\] has shape \(3,\), the output \(2,\)"):
        product.backward(mx.nd.ones(3))
    with pytest.raises(TypeError, match=r"out_grads\[0\] is a float; wanted an NDArray"):
        product.backward([1.0])


def test_a_gradient_that_nothing_reads_may_be_given_in_any_shape(product):
    product.forward(is_train=True)
    product.backward([mx.nd.ones(2), mx.nd.ones((7, 7))])  # more than there are outputs
    assert product.grad_dict["a"].asnumpy().tolist() == [3, 4]
    size = mx.sym.size_array(mx.sym.Variable("x")).simple_bind(mx.cpu(), x=(2, 3))
    size.forward(is_train=True)
    size.backward(mx.nd.ones((2, 3)))
    assert not size.grad_dict["x"].asnumpy().any()


def test_an_argument_made_of_a_transposed_array_is_as_good_as_its_copy():
    given = np.arange(24, dtype=np.float32).reshape(2, 3, 4).T
    product = mx.sym.dot(mx.sym.Variable("a"), mx.sym.Variable("b"), transpose_a=True)
    executor = product.bind(mx.cpu(), {"a": mx.nd.array(given), "b": mx.nd.ones((4, 2))})
    executor.forward()
    executor.arg_dict["a"][:] = 2 * given
    assert (executor.forward()[0].asnumpy()[..., 0] == 2 * given.sum(axis=0)).all()


def test_what_only_stops_gradients_wants_none():
    x = mx.sym.Variable("x")
    executor = mx.sym.Group([mx.sym.MakeLoss(x * x), mx.sym.BlockGrad(x)]).simple_bind(mx.cpu(), x=(2,))
    executor.forward(is_train=True, x=mx.nd.array([3, 4]))
    executor.backward()
    assert executor.grad_dict["x"].asnumpy().tolist() == [6, 8]


def test_the_gradient_of_an_argument_that_nothing_uses_is_zero():
    x, y = mx.sym.Variable("x"), mx.sym.Variable("y")
    executor = mx.sym.MakeLoss(x * 2 + mx.sym.BlockGrad(y)).simple_bind(mx.cpu(), x=(2,), y=(2,))
    executor.grad_dict["y"][:] = 7
    executor.forward(is_train=True)
    executor.backward()
    assert executor.grad_dict["y"].asnumpy().tolist() == [0, 0]


def test_misspelt_words_are_told_what_was_meant(product):
    with pytest.raises(TypeError, match="forward: no argument 'is_trian'; did you mean 'is_train'"):
        product.forward(is_trian=True)
    with pytest.raises(TypeError, match="backward: no argument 'out_grad'; did you mean 'out_grads'"):
        product.backward(out_grad=mx.nd.ones(2))
    with pytest.raises(TypeError, match="simple_bind: no argument 'dta'; did you mean 'data'"):
        layer(dta=(4, 2))
    with pytest.raises(TypeError, match="bind: no argument 'arg_grads'; did you mean 'args_grad'"):
        mx.sym.Variable("x").bind(mx.cpu(), {"x": mx.nd.ones(1)}, arg_grads=None)


def test_bind_says_what_is_missing_or_does_not_fit():
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    with pytest.raises(GraphError, match="bind: 'b' is missing in args; wanted are a, b"):
        (a * b).bind(mx.cpu(), {"a": mx.nd.ones(2)})
    with pytest.raises(GraphError, match="args has 1 arrays for 2 names: a, b"):
        (a * b).bind(mx.cpu(), [mx.nd.ones(2)])
    with pytest.raises(TypeError, match="'a' in args is a float; wanted an NDArray"):
        (a * b).bind(mx.cpu(), [1.0, mx.nd.ones(2)])
    with pytest.raises(ShapeError, match=r"in node '_mul\d*'"):
        (a * b).bind(mx.cpu(), [mx.nd.ones(3), mx.nd.ones(2)])
    with pytest.raises(PSError, match="grad_req of 'a' is 'wrote'; wanted 'write', 'add' or 'null'"):
        (a * b).bind(mx.cpu(), [mx.nd.ones(2)] * 2, [mx.nd.ones(2)] * 2, grad_req="wrote")
    with pytest.raises(ShapeError, match=r"the gradient of 'a' has shape \(3,\), the argument \(2,\)"):
        (a * b).bind(mx.cpu(), [mx.nd.ones(2)] * 2, {"a": mx.nd.ones(3)})
    with pytest.raises(GraphError, match="two different variables are named 'a'"):
        (a * mx.sym.Variable("a")).bind(mx.cpu(), {"a": mx.nd.ones(2)})
    with pytest.raises(
        ShapeError, match=r"simple_bind: these shapes do not follow from those given: data: unknown"
    ):
        layer(fc_bias=(3,))


def test_the_hook_sees_each_gradient_when_it_is_complete_last_layer_first():
    symbol, shapes = models.MODELS["mlp"]()
    executor = symbol.simple_bind(
        mx.cpu(),
        grad_req={n: "write" for n in symbol.list_arguments() if "fc" in n or "fully" in n},
        **shapes,
    )
    for name, a in models.arrays(symbol, shapes)[0].items():
        executor.arg_dict[name][:] = a
    seen = {}

    def spoil(name, gradient):
        seen[name] = gradient.asnumpy()
        gradient[:] = np.nan  # as a store may, that overwrites it with the sum of all workers

    executor.forward(is_train=True)
    executor.backward()
    wanted = {n: g.asnumpy() for n, g in executor.grad_dict.items() if g is not None}
    executor.on_gradient = spoil
    executor.forward(is_train=True)
    executor.backward()
    order = [n.split("_")[0] for n in seen]
    assert order == ["fullyconnected0"] * 2 + ["fc1"] * 2 + ["fc0"] * 2
    for name, g in wanted.items():
        np.testing.assert_array_equal(seen[name], g)


@pytest.mark.parametrize("name", models.MODELS)
def test_a_store_may_overwrite_a_gradient_as_soon_as_it_is_handed_out(name):
    symbol, shapes = models.MODELS[name]()
    args, auxs = models.arrays(symbol, shapes)
    grads = {n: mx.nd.zeros(a.shape) for n, a in args.items()}
    executor = symbol.bind(mx.cpu(), args, grads, "write", auxs)
    first, states = {}, {n: a.copy() for n, a in auxs.items()}
    mx.random.seed(5)
    executor.forward(is_train=True)
    executor.backward()
    wanted = {n: g.asnumpy() for n, g in grads.items()}

    def take(name, gradient):
        first[name] = gradient.asnumpy()
        gradient[:] = np.nan

    for n, a in states.items():
        auxs[n][:] = a
    executor.on_gradient = take
    mx.random.seed(5)
    executor.forward(is_train=True)
    executor.backward()
    assert first.keys() == wanted.keys()
    for n, g in wanted.items():
        np.testing.assert_array_equal(first[n], g, err_msg=n)


def test_a_monitor_sees_every_operator_s_outputs_and_may_ask_for_inputs():
    executor, names = layer(), []
    executor.set_monitor_callback(lambda name, array: names.append((name, array.shape)))
    executor.forward()
    assert names == [("fc_output", (4, 3))]
    names.clear()
    executor.set_monitor_callback(lambda name, array: names.append(name), monitor_all=True)
    executor.forward()
    assert names == ["data", "fc_weight", "fc_bias", "fc_output"]


def test_a_loss_takes_a_gradient_of_any_shape_unless_it_is_asked_to_multiply_by_it():
    shapes = {"x": (2, 3), "label": (2,)}
    for out_grad in (False, True):
        net = mx.sym.SoftmaxOutput(mx.sym.var("x"), mx.sym.var("label"), out_grad=out_grad)
        executor = net.simple_bind(mx.cpu(), **shapes)
        executor.forward(is_train=True)
        executor.backward(mx.nd.ones((2, 3)))
        once = executor.grad_dict["x"].asnumpy()
        executor.forward(is_train=True)
        executor.backward(mx.nd.full((2, 3), 2))
        np.testing.assert_array_equal(executor.grad_dict["x"].asnumpy(), once * (2 if out_grad else 1))
        if out_grad:
            with pytest.raises(ShapeError, match=r"out_grads\[0\] has shape \(5,\)"):
                executor.backward(mx.nd.ones(5))
        else:
            executor.backward(mx.nd.ones(5))
            np.testing.assert_array_equal(executor.grad_dict["x"].asnumpy(), once)


def test_a_monitor_stays_when_the_executor_is_reshaped():
    executor, names = layer(), []
    executor.set_monitor_callback(lambda name, array: names.append((name, array.shape)))
    data = (2, *executor.arg_dict["data"].shape[1:])
    executor.reshape(data=data, partial_shaping=True).forward()
    assert names == [("fc_output", (2, 3))]


@pytest.mark.parametrize("mode", ["training", "always"])
@pytest.mark.parametrize("is_train", [False, True])
def test_gradients_of_prediction_go_back_through_the_same_draws(mode, is_train):
    net = mx.sym.Dropout(mx.sym.var("x"), p=0.5, mode=mode)
    executor = net.simple_bind(mx.cpu(), x=(8, 8))
    executor.arg_dict["x"][:] = 1
    executor.forward(is_train=is_train)
    seen = executor.outputs[0].asnumpy()
    executor.backward([mx.nd.ones((8, 8))], is_train=False)
    np.testing.assert_array_equal(executor.grad_dict["x"].asnumpy(), seen)
    assert (seen == 0).any() == (is_train or mode == "always")


def test_backward_goes_on_from_a_monitored_pass():
    watched, plain = softmax(), softmax()
    watched.set_monitor_callback(lambda name, array: None)
    for e in (watched, plain):
        e.arg_dict["fc_weight"][:] = np.arange(18).reshape(3, 6) / 20
        e.forward(is_train=True, data=mx.nd.ones((4, 6)))
        e.backward()
    np.testing.assert_array_equal(
        watched.grad_dict["fc_weight"].asnumpy(), plain.grad_dict["fc_weight"].asnumpy()
    )


def test_reshape_shares_parameters_and_refuses_surprises():
    executor = layer()
    with pytest.raises(
        ShapeError, match=r"'data' would grow from \(4, 2\) to \(8, 2\); set allow_up_sizing=True"
    ):
        executor.reshape(data=(8, 2))
    with pytest.raises(
        ShapeError, match=r"'fc_weight' would change from \(3, 2\) to \(3, 3\); set partial_shaping"
    ):
        executor.reshape(data=(2, 3))
    smaller = executor.reshape(data=(2, 2))
    executor.arg_dict["fc_bias"][:] = 5
    assert smaller.forward()[0].shape == (2, 3)
    assert smaller.outputs[0].asnumpy().tolist() == [[5, 5, 5]] * 2
    assert executor.reshape(allow_up_sizing=True, data=(8, 2)).outputs[0].shape == (8, 3)


def test_parameters_are_copied_by_name():
    executor = layer()
    executor.copy_params_from({"fc_bias": mx.nd.array([1, 2, 3])})
    assert executor.forward()[0].asnumpy()[0].tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="copy_params_from: no argument 'fc_bas'"):
        executor.copy_params_from({"fc_bas": mx.nd.ones(3)})
    executor.copy_params_from({"fc_bas": mx.nd.ones(3)}, allow_extra_params=True)
    with pytest.raises(ShapeError, match=r"'fc_bias' has shape \(4,\), bound was \(3,\)"):
        executor.copy_params_from({"fc_bias": mx.nd.ones(4)})


def test_simple_bind_takes_dtypes_and_shares_another_executor_s_arrays():
    wide = softmax(type_dict={"data": "float64"})
    assert wide.arg_dict["fc_weight"].dtype == np.float64
    first = softmax()
    second = softmax((2, 6), shared_exec=first, shared_arg_names=["fc_weight", "fc_bias"])
    assert second.arg_dict["fc_weight"] is first.arg_dict["fc_weight"]
    assert second.arg_dict["data"] is not first.arg_dict["data"]


def test_executors_that_share_run_in_the_same_memory_and_notice_one_another():
    first = softmax((8, 6))
    second = softmax((2, 6), shared_exec=first, shared_arg_names=["fc_weight", "fc_bias"])
    first.arg_dict["fc_weight"][:] = np.arange(18).reshape(3, 6) / 20
    alone = softmax((8, 6))
    alone.arg_dict["fc_weight"][:] = first.arg_dict["fc_weight"]
    for executor in (first, alone):
        executor.forward(is_train=True, data=mx.nd.ones((8, 6)))
    second.forward(is_train=True, data=mx.nd.ones((2, 6)) * 5)
    assert first._workspace is second._workspace
    for executor in (first, alone):
        executor.backward()
    np.testing.assert_array_equal(
        first.grad_dict["fc_weight"].asnumpy(), alone.grad_dict["fc_weight"].asnumpy()
    )


def test_dropout_draws_anew_in_every_pass_and_the_same_after_a_seed():
    x = mx.sym.MakeLoss(mx.sym.Dropout(mx.sym.Variable("x"), p=0.5))
    executor = x.simple_bind(mx.cpu(), x=(100,))
    executor.arg_dict["x"][:] = 1
    mx.random.seed(7)
    first = executor.forward(is_train=True)[0].asnumpy()
    second = executor.forward(is_train=True)[0].asnumpy()
    mx.random.seed(7)
    again = executor.forward(is_train=True)[0].asnumpy()
    assert (first != second).any()
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(executor.forward(is_train=False)[0].asnumpy(), np.ones(100))


def test_executors_in_threads_do_not_disturb_one_another():
    def train(device, found):
        executor = softmax()
        executor.arg_dict["fc_weight"][:] = device
        for _ in range(50):
            executor.forward(is_train=True, data=mx.nd.ones((4, 6)))
            executor.backward()
        found[device] = executor.grad_dict["fc_weight"].asnumpy()

    alone, together = {}, {}
    for device in range(4):
        train(device, alone)
    threads = [threading.Thread(target=train, args=(device, together)) for device in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for device, wanted in alone.items():
        np.testing.assert_array_equal(together[device], wanted)


def test_a_failing_step_is_told_by_its_node():
    executor = layer()
    executor.forward()
    plan = executor._plans[False]
    plan.forward[1] = (np.matmul, (np.ones((2, 3)), np.ones((2, 3))))
    with pytest.raises(ShapeError, match=r"node 'fc' \(add\): matmul"):
        executor.forward()


def test_infinities_are_results_and_not_warnings():
    x = mx.sym.Variable("x")
    executor = mx.sym.MakeLoss(mx.sym.log(x) / x).simple_bind(mx.cpu(), x=(2,))
    assert np.isinf(executor.forward(is_train=True)[0].asnumpy()).all()
    executor.backward()


def test_eval_and_debug_str():
    a, b = mx.sym.Variable("a"), mx.sym.Variable("b")
    assert (a + b).eval(a=mx.nd.ones(2), b=mx.nd.ones(2))[0].asnumpy().tolist() == [2, 2]
    assert "Total" in layer().debug_str()


def test_gradients_of_losses_at_the_end_may_be_left_out():
    x = mx.sym.var("x")
    group = mx.sym.Group([x * 2, mx.sym.MakeLoss(x * x), mx.sym.BlockGrad(x)])
    e = group.simple_bind(mx.cpu(), x=(2,))
    e.forward(is_train=True, x=mx.nd.array([1, 2]))
    e.backward([mx.nd.array([10, 10])])
    assert e.grad_dict["x"].asnumpy().tolist() == [22, 24]

"""Operators that users write: as arrays, with autograd, in graphs, in a Module."""

import numpy as np
import pytest

import psdist as mx


class Scale(mx.operator.CustomOp):
    """y = factor · x, and a count of calls in a state."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, is_train, req, in_data, out_data, aux):
        assert not mx.autograd.is_recording()
        self.assign(out_data[0], req[0], in_data[0] * self.factor)
        if is_train:
            aux[0][:] += 1

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        self.assign(in_grad[0], req[0], out_grad[0] * self.factor)


@mx.operator.register("test_scale")
class ScaleProp(mx.operator.CustomOpProp):
    def __init__(self, factor="2"):
        super().__init__(need_top_grad=True)
        self.factor = float(factor)

    def list_auxiliary_states(self):
        return ["count"]

    def infer_shape(self, in_shape):
        return in_shape, in_shape, [[1]]

    def create_operator(self, ctx, shapes, dtypes):
        assert isinstance(ctx, mx.Context)
        assert isinstance(shapes[0], list)
        return Scale(self.factor)


class Softmax(mx.operator.CustomOp):
    def forward(self, is_train, req, in_data, out_data, aux):
        x = in_data[0].asnumpy()
        y = np.exp(x - x.max(axis=1, keepdims=True))
        self.assign(out_data[0], req[0], mx.nd.array(y / y.sum(axis=1, keepdims=True)))

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        label = in_data[1].asnumpy().ravel().astype(int)
        y = out_data[0].asnumpy()
        y[np.arange(len(label)), label] -= 1.0
        self.assign(in_grad[0], req[0], mx.nd.array(y))


@mx.operator.register("test_softmax")
class SoftmaxProp(mx.operator.CustomOpProp):
    def __init__(self):
        super().__init__(need_top_grad=False)

    def list_arguments(self):
        return ["data", "label"]

    def infer_shape(self, in_shape):
        return [in_shape[0], (in_shape[0][0],)], [in_shape[0]], []

    def create_operator(self, ctx, shapes, dtypes):
        return Softmax()


class Dropping(mx.operator.CustomOp):
    """Keeps in `self` what its backward needs."""

    def forward(self, is_train, req, in_data, out_data, aux):
        self.kept = in_data[0].asnumpy().copy()
        self.assign(out_data[0], req[0], in_data[0])
        self.assign(out_data[1], req[1], in_data[0] + 1)

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        self.assign(in_grad[0], req[0], mx.nd.array(self.kept) + out_grad[0] + out_grad[1])


@mx.operator.register("test_keeping")
class KeepingProp(mx.operator.CustomOpProp):
    def list_outputs(self):
        return ["same", "more"]

    def create_operator(self, ctx, shapes, dtypes):
        return Dropping()


def test_it_runs_on_arrays_and_has_a_gradient():
    x, count = mx.nd.array([1, 2, 3]), mx.nd.zeros(1)
    x.attach_grad()
    with mx.autograd.record():
        y = mx.nd.Custom(x, count, op_type="test_scale", factor=3)
    y.backward()
    assert y.asnumpy().tolist() == [3, 6, 9]
    assert x.grad.asnumpy().tolist() == [3, 3, 3]
    assert count.asscalar() == 1
    mx.nd.Custom(data=x, count=count, op_type="test_scale")
    assert count.asscalar() == 1


def test_it_is_composed_inferred_bound_and_saved_like_any_operator():
    net = mx.sym.Custom(data=mx.sym.var("x") * 1, op_type="test_scale", name="s", factor="5")
    net = mx.sym.load_json(net.tojson())
    assert net.list_arguments() == ["x"]
    assert net.list_auxiliary_states() == ["s_count"]
    assert net.list_outputs() == ["s_output"]
    assert net.infer_shape(x=(2, 3)) == ([(2, 3)], [(2, 3)], [(1,)])
    ex = net.simple_bind(mx.cpu(), x=(2, 3))
    ex.arg_dict["x"][:] = 2
    for _ in range(2):
        ex.forward(is_train=True)
    ex.backward(mx.nd.ones((2, 3)))
    assert ex.outputs[0].asnumpy().tolist() == [[10] * 3] * 2
    assert ex.grad_dict["x"].asnumpy().tolist() == [[5] * 3] * 2
    assert ex.aux_dict["s_count"].asscalar() == 2


def test_a_state_is_remembered_between_forward_and_backward_of_one_executor_only():
    a, b = (mx.sym.Custom(mx.sym.var("x"), op_type="test_keeping", name="k"),) * 2
    assert a.list_outputs() == ["k_same", "k_more"]
    first, second = (s.simple_bind(mx.cpu(), x=(2,)) for s in (a, b))
    first.forward(is_train=True, x=mx.nd.array([1, 2]))
    second.forward(is_train=True, x=mx.nd.array([100, 200]))
    first.backward([mx.nd.ones(2), mx.nd.ones(2)])
    assert first.grad_dict["x"].asnumpy().tolist() == [3, 4]


def test_an_output_that_is_not_used_has_a_gradient_of_zero():
    x = mx.nd.array([1, 2])
    x.attach_grad()
    with mx.autograd.record():
        same, _ = mx.nd.Custom(x, op_type="test_keeping")
    same.backward()
    assert x.grad.asnumpy().tolist() == [2, 3]


def test_a_loss_of_ones_own_trains_a_module():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4)).astype("float32")
    y = (x @ np.array([[1, -1], [2, -2], [0, 0], [-1, 1]])).argmax(axis=1).astype("float32")
    data = mx.io.NDArrayIter(x, y, 20, label_name="softmax_label")
    net = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=2, name="fc")
    net = mx.sym.Custom(data=net, op_type="test_softmax", name="softmax")
    assert net.list_arguments() == ["data", "fc_weight", "fc_bias", "softmax_label"]
    module = mx.mod.Module(net, context=[mx.cpu(0), mx.cpu(1)])
    mx.random.seed(1)
    module.fit(data, num_epoch=4, optimizer="sgd", optimizer_params={"learning_rate": 0.5})
    assert dict(module.score(data, "acc"))["accuracy"] > 0.95


def test_the_older_classes_work():
    class OldSoftmax(mx.operator.NumpyOp):
        def __init__(self):
            super().__init__(need_top_grad=False)

        def list_arguments(self):
            return ["data", "label"]

        def infer_shape(self, in_shape):
            return [in_shape[0], (in_shape[0][0],)], [in_shape[0]]

        def forward(self, in_data, out_data):
            x, y = in_data[0], out_data[0]
            y[:] = np.exp(x - x.max(axis=1, keepdims=True))
            y /= y.sum(axis=1, keepdims=True)

        def backward(self, out_grad, in_data, out_data, in_grad):
            dx = in_grad[0]
            dx[:] = out_data[0]
            dx[np.arange(len(dx)), in_data[1].astype(int)] -= 1

    class OldDouble(mx.operator.NDArrayOp):
        def forward(self, in_data, out_data):
            out_data[0][:] = in_data[0] * 2

        def backward(self, out_grad, in_data, out_data, in_grad):
            in_grad[0][:] = out_grad[0] * 2

    net = OldSoftmax()(data=OldDouble()(mx.sym.var("data"), name="double"), name="softmax")
    ex = net.simple_bind(mx.cpu(), data=(2, 2), grad_req={"data": "write"})
    assert net.list_outputs() == ["softmax_output"]
    ex.forward(is_train=True, data=mx.nd.array([[0, 0], [5, -5]]), softmax_label=mx.nd.array([0, 0]))
    ex.backward()
    np.testing.assert_allclose(ex.outputs[0].asnumpy(), [[0.5, 0.5], [1, 0]], atol=1e-4)
    np.testing.assert_allclose(ex.grad_dict["data"].asnumpy(), [[-1, 1], [0, 0]], atol=1e-4)


def test_assign_follows_the_request():
    op = mx.operator.CustomOp()
    x = mx.nd.ones(2)
    op.assign(x, "null", mx.nd.zeros(2))
    op.assign(x, "add", mx.nd.array([1, 2]))
    assert x.asnumpy().tolist() == [2, 3]
    op.assign(x, "inplace", 7)
    assert x.asnumpy().tolist() == [7, 7]
    with pytest.raises(mx.MXNetError, match="req is 'wrote'; wanted null, write, inplace or add"):
        op.assign(x, "wrote", 1)


def test_registered_operators_are_listed():
    names = mx.operator.get_all_registered_operators()
    assert {"test_scale", "test_softmax", "FullyConnected"} <= set(names)


def failing(name, **methods):
    prop = type(f"{name}Prop", (mx.operator.CustomOpProp,), methods)
    mx.operator.register(f"test_{name}")(prop)
    return f"test_{name}"


def test_an_error_of_the_users_reaches_the_caller_with_the_operators_name():
    class Breaking(mx.operator.CustomOp):
        def forward(self, is_train, req, in_data, out_data, aux):
            raise ZeroDivisionError("by nothing")

    name = failing("breaking", create_operator=lambda self, ctx, shapes, dtypes: Breaking())
    with pytest.raises(
        mx.MXNetError, match=r"Custom 'test_breaking': Breaking.forward raised ZeroDivisionError: by nothing"
    ) as caught:
        mx.nd.Custom(mx.nd.ones(2), op_type=name)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    ex = mx.sym.Custom(mx.sym.var("x"), op_type=name).simple_bind(mx.cpu(), x=(2,))
    with pytest.raises(mx.MXNetError, match=r"Breaking.forward raised ZeroDivisionError"):
        ex.forward()


def test_what_infer_shape_gives_is_checked():
    wrong_count = failing("wrong_count", infer_shape=lambda self, s: (s, [s[0], s[0]], []))
    with pytest.raises(mx.MXNetError, match="'test_wrong_count': infer_shape gave 2 outputs; wanted 1"):
        mx.nd.Custom(mx.nd.ones(2), op_type=wrong_count)
    not_fitting = failing("not_fitting", infer_shape=lambda self, s: ([(3,)], [(3,)], []))
    with pytest.raises(mx.MXNetError, match=r"'data' has shape \(2,\); infer_shape wants \(3,\)"):
        mx.nd.Custom(mx.nd.ones(2), op_type=not_fitting)


def test_a_wrong_name_or_parameter_is_named():
    with pytest.raises(
        mx.MXNetError, match="no operator 'test_scales' is registered; did you mean 'test_scale'"
    ):
        mx.sym.Custom(mx.sym.var("x"), op_type="test_scales")
    with pytest.raises(mx.MXNetError, match="the parameter 'op_type' is missing"):
        mx.nd.Custom(mx.nd.ones(2))
    with pytest.raises(mx.MXNetError, match=r"ScaleProp\(speed='2'\) raised TypeError"):
        mx.nd.Custom(mx.nd.ones(2), op_type="test_scale", speed=2)
    with pytest.raises(mx.MXNetError, match="is no subclass of CustomOpProp"):
        mx.operator.register("x")(int)


def test_sparse_arrays_arrive_dense_and_sparse_states_are_written():
    x = mx.nd.array([[1, 0], [0, 2]]).tostype("csr")
    count = mx.nd.sparse.zeros("row_sparse", (1,))
    x.attach_grad()
    with mx.autograd.record():
        y = mx.nd.Custom(x, count, op_type="test_scale", factor=3)
    y.backward()
    assert y.asnumpy().tolist() == [[3, 0], [0, 6]]
    assert x.grad.stype == "csr"
    assert x.grad.asnumpy().tolist() == [[3, 3], [3, 3]]
    assert count.asnumpy().tolist() == [1]


def test_an_operator_tells_what_it_takes():
    found = mx.operator.get_operator_arguments("Activation")
    assert (found.narg, found.names) == (2, ["data", "act_type"])
    assert found.types == [
        "NDArray-or-Symbol",
        "{'relu', 'sigmoid', 'softrelu', 'softsign', 'tanh'}, required",
    ]
    assert mx.operator.get_operator_arguments("Concat").types[:2] == [
        "NDArray-or-Symbol[]",
        "int, optional, default='0'",
    ]

"""Sparse arrays bound to a graph: arguments, gradients, and the lazy steps that follow from them."""

import numpy as np
import pytest

import psdist as mx

DENSE = np.array([[0, 1, 0], [0, 0, 0], [2, 0, 3], [0, 0, 0]], "float32")


def test_a_sparse_argument_takes_part_with_its_values_of_now():
    x = mx.nd.array(DENSE).tostype("csr")
    net = mx.sym.sparse.dot(mx.sym.var("x", stype="csr"), mx.sym.var("w"))
    ex = net.bind(mx.cpu(), {"x": x, "w": mx.nd.ones((3, 2))})
    assert ex.forward()[0].asnumpy().tolist() == (DENSE @ np.ones((3, 2))).tolist()
    ex.arg_dict["x"][:] = mx.nd.array(DENSE * 2).tostype("csr")
    assert ex.forward()[0].asnumpy().tolist() == (DENSE @ np.ones((3, 2)) * 2).tolist()
    ex.forward(x=mx.nd.array(DENSE).tostype("csr"))
    assert ex.outputs[0].asnumpy().tolist() == (DENSE @ np.ones((3, 2))).tolist()


@pytest.mark.parametrize("grad_req", ["write", "add"])
def test_a_gradient_is_stored_as_the_array_that_was_bound_for_it(grad_req):
    x = mx.nd.array(DENSE).tostype("row_sparse")
    grad = mx.nd.sparse.row_sparse_array(([[1, 1, 1]], [3]), shape=(4, 3))
    ex = mx.sym.square(mx.sym.var("x")).bind(mx.cpu(), {"x": x}, {"x": grad}, grad_req)
    seen = []
    ex.on_gradient = lambda name, g: seen.append((name, g.asnumpy().tolist()))
    ex.forward(is_train=True)
    ex.backward(mx.nd.ones((4, 3)))
    wanted = 2 * DENSE
    if grad_req == "add":
        wanted[3] += 1
    assert ex.grad_dict["x"] is grad
    assert grad.asnumpy().tolist() == wanted.tolist()
    assert seen == [("x", wanted.tolist())]


def test_simple_bind_makes_row_sparse_gradients_where_few_rows_are_touched():
    rows = mx.sym.Embedding(mx.sym.var("data"), input_dim=5, output_dim=3, sparse_grad=True, name="e")
    ex = rows.simple_bind(mx.cpu(), data=(2,), grad_req={"e_weight": "write"})
    ex.forward(is_train=True, data=mx.nd.array([1, 3]))
    ex.backward(mx.nd.ones((2, 3)))
    assert ex.grad_dict["e_weight"].stype == "row_sparse"
    assert ex.grad_dict["e_weight"].indices.asnumpy().tolist() == [1, 3]
    product = mx.sym.dot(mx.sym.var("x", stype="csr"), mx.sym.var("w"))
    assert product.simple_bind(mx.cpu(), x=(2, 3), w=(3, 4)).grad_dict["w"].stype == "row_sparse"


def train(sparse_grad):
    rows = mx.sym.Embedding(mx.sym.var("data"), input_dim=6, output_dim=2, sparse_grad=sparse_grad, name="e")
    net = mx.sym.LinearRegressionOutput(mx.sym.sum(rows, axis=1), mx.sym.var("label"))
    module = mx.mod.Module(net, label_names=["label"])
    module.bind([("data", (4,))], [("label", (4,))])
    module.init_params(mx.init.One())
    numbers = {"momentum": 0.9, "wd": 0.1, "learning_rate": 0.1}
    module.init_optimizer(optimizer="sgd", optimizer_params=numbers)
    for k in range(2):
        module.forward_backward(mx.io.DataBatch([mx.nd.array([0, 1, 1, 2 + k])], [mx.nd.ones(4)]))
        module.update()
    return module.get_params()[0]["e_weight"].asnumpy()[:, 0]


def test_a_module_steps_lazily_as_mxnet_does():
    # MXNet 1.9.1's numbers: rows that a batch does not have neither decay nor go on by momentum
    np.testing.assert_allclose(train(True), [0.9006, 0.8326, 0.965, 0.965, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(train(False), [0.9006, 0.8326, 0.92385, 0.9466, 0.9711, 0.9711], rtol=1e-6)


def test_a_sparse_embedding_has_a_row_sparse_gradient_of_the_rows_looked_up():
    rows = mx.sym.contrib.SparseEmbedding(
        mx.sym.var("data"), input_dim=5, output_dim=3, deterministic=True, name="e"
    )
    e = rows.simple_bind(mx.cpu(), data=(3,))
    e.arg_dict["data"][:] = [3, 1, 3]
    e.forward(is_train=True)
    e.backward(mx.nd.ones((3, 3)))
    assert e.grad_dict["e_weight"].stype == "row_sparse"
    assert e.grad_dict["e_weight"].asnumpy().tolist() == [[0] * 3, [1] * 3, [0] * 3, [2] * 3, [0] * 3]

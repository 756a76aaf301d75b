"""Mistakes that users make, and what they are told: which operator or call, which argument, what was given, what was
wanted."""

import numpy as np
import pytest

import psdist as mx

nd, sym = mx.nd, mx.sym
X = nd.ones((2, 3))
NET = sym.FullyConnected(sym.Variable("data"), num_hidden=2, name="fc")


def module():
    m = mx.mod.Module(sym.SoftmaxOutput(NET, name="softmax"))
    m.bind([("data", (5, 4))], [("softmax_label", (5,))])
    m.init_params()
    return m


def store():
    kv = mx.kv.create()
    kv.init("a", nd.ones((2, 2)))
    return kv


MISTAKES = [
    (lambda: nd.FullyConnected(X, nd.ones((4, 5)), nd.ones(4), num_hidden=4), "FullyConnected: i is 5 and should be 3"),
    (lambda: nd.FullyConnected(X, nd.ones((4, 3)), nd.ones(4)), "FullyConnected: the parameter 'num_hidden' is missing"),
    (lambda: nd.FullyConnected(X, nd.ones((4, 3)), num_hidden=4), r"wanted 3: .*'bias' is missing \(or say no_bias=True"),
    (lambda: nd.Activation(X, act_type="rleu"), "Activation: act_type is 'rleu'; .* did you mean 'relu'"),
    (lambda: nd.Pooling(X, kernel=(3, 3), pool_typ="max"), "Pooling: no parameter 'pool_typ'; did you mean 'pool_type'"),
    (lambda: X + nd.ones(4), r"broadcast_add: shapes \(2, 3\) and \(4,\) cannot be broadcast"),
    (lambda: X + "a", "an NDArray with a str: wanted an NDArray or a number"),
    (lambda: nd.dot(X, X), r"dot: the inner sizes of \(2, 3\) and \(2, 3\) are 3 and 2"),
    (lambda: nd.dot(X, nd.ones((3, 2), dtype="float64")), "dot: dtype T is float32 and also float64"),
    (lambda: X.reshape((4, 2)), r"\(2, 3\) has 6 elements, \(4, 2\) has 8"),
    (lambda: nd.split(X, num_outputs=2, axis=1), "size 3 of axis 1 .* not a multiple of num_outputs=2"),
    (lambda: nd.sum(np.ones(3)), r"sum: 'data' is a numpy array of shape \(3,\); wanted an NDArray; mx.nd.array"),
    (lambda: nd.sum(NET), "sum: 'data' is <Symbol fc>; wanted an NDArray"),
    (lambda: sym.sum(X), r"sum: 'data' is a psdist array of shape \(2, 3\); wanted a Symbol"),
    (lambda: nd.zeros(3, dtype="flaot32"), "dtype is 'flaot32'; .* did you mean 'float32'"),
    (lambda: nd.zeros(3, ctx="cpu"), r"ctx is 'cpu'; wanted a Context, such as mx.cpu\(\)"),
    (lambda: nd.zeros(3, ctx=mx.gpu(0)), "no GPU that psdist can use; use mx.cpu"),
    (lambda: nd.Convolutoin, "mx.nd has no operator 'Convolutoin'; did you mean 'Convolution'"),
    (lambda: nd.Embedding(X, X, input_dim=5, output_dim=3), "Embedding: input_dim is 5 and also 2"),
    (lambda: NET.bind(mx.cpu(), {"data": X}), "bind: 'fc_weight' is missing in args; wanted are data, fc_weight"),
    (lambda: NET.infer_shape(data=(2, 2), fc_weight=(3, 3)), "in node 'fc', given .*num_hidden is 2 and also 3"),
    (lambda: NET.simple_bind(mx.cpu(), dta=(2, 2)), "simple_bind: no argument 'dta'; did you mean 'data'"),
    (lambda: mx.mod.Module(NET, data_names=["x"]), "data_names has 'x', .* its inputs are data"),
    (lambda: module().init_optimizer(optimizer="sdg"), "optimizer 'sdg' is not registered; did you mean 'sgd'"),
    (
        lambda: module().init_optimizer(optimizer_params={"learning_rat": 1}),
        "SGD has no argument learning_rat; .* did you mean learning_rate",
    ),
    (
        lambda: module().set_params({"fc_weight": X, "fc_bias": nd.ones(2)}, {}),
        r"set_params: 'fc_weight' is \(2, 3\); the model's is \(2, 4\)",
    ),
    (lambda: module().set_params({}, {}), "fc_bias is not among the parameters given"),
    (lambda: mx.io.NDArrayIter(np.ones((10, 4)), np.zeros(9), 5), "softmax_label has 9 rows, data has 10"),
    (lambda: mx.io.NDArrayIter(np.ones((3, 4)), None, 2, last_batch_handle="padd"), "last_batch_handle is 'padd'; wanted"),
    (lambda: mx.kv.create("dits_sync"), "no store is named 'dits_sync'; .* did you mean 'dist_sync'"),
    (lambda: store().push("a", X), r"push 'a': shape \(2, 3\), wanted \(2, 2\)"),
    (lambda: store().pull("b", out=X), "'b' was never initialised"),
    (lambda: store().set_optimizer("sgd"), "set_optimizer: optimizer is 'sgd'; wanted an Optimizer; mx.optimizer.create"),
    (lambda: mx.mon.Monitor(1).install(3), "install: exe is int; wanted an Executor"),
]  # fmt: skip


@pytest.mark.parametrize("i", range(len(MISTAKES)))
def test_a_mistake_is_told(i):
    mistake, words = MISTAKES[i]
    with pytest.raises(Exception, match=f"(?s){words}"):  # its class is told by the tests of each part
        mistake()

"""The models that every plan is tested on: what people build, and the corners of what a plan does."""

from __future__ import annotations

import functools

import numpy as np

import psdist as mx

MODELS = {}


def model(function):
    """Register a model: a function that gives a symbol and the shapes of its inputs."""

    @functools.wraps(function)
    def named(*args):
        with mx.name.NameManager():  # the same names in every copy
            return function(*args)

    MODELS[function.__name__] = named
    return named


@model
def mlp():
    x = mx.sym.Variable("data")
    for i, n in enumerate((32, 16)):
        x = mx.sym.Activation(mx.sym.FullyConnected(x, num_hidden=n, name=f"fc{i}"), act_type="relu")
    return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(x, num_hidden=10), name="softmax"), {"data": (16, 20)}


@model
def lenet(batch=4):
    x = mx.sym.Variable("data")
    for n in (5, 8):
        x = mx.sym.Convolution(x, kernel=(5, 5), num_filter=n)
        x = mx.sym.Activation(x, act_type="tanh")
        x = mx.sym.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max")
    x = mx.sym.Activation(mx.sym.FullyConnected(mx.sym.Flatten(x), num_hidden=30), act_type="relu")
    return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(x, num_hidden=10), name="softmax"), {
        "data": (batch, 1, 28, 28)
    }


def _unit(x, n, stride, name):
    """A residual unit."""
    same = stride == (1, 1)
    y = mx.sym.Convolution(
        x, kernel=(3, 3), pad=(1, 1), stride=stride, num_filter=n, no_bias=True, name=f"{name}_a"
    )
    y = mx.sym.Activation(mx.sym.BatchNorm(y, fix_gamma=False, name=f"{name}_bn"), act_type="relu")
    y = mx.sym.Convolution(y, kernel=(3, 3), pad=(1, 1), num_filter=n, no_bias=True, name=f"{name}_b")
    y = mx.sym.BatchNorm(y, name=f"{name}_bn2")
    short = x if same else mx.sym.Convolution(x, kernel=(1, 1), stride=stride, num_filter=n, no_bias=True)
    return mx.sym.Activation(y + short, act_type="relu")


@model
def residual():
    x = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), pad=(1, 1), num_filter=8, name="conv0")
    x = _unit(_unit(x, 8, (1, 1), "u1"), 12, (2, 2), "u2")
    x = mx.sym.Pooling(x, global_pool=True, kernel=(2, 2), pool_type="avg")
    return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(x, num_hidden=5), name="softmax"), {
        "data": (4, 3, 12, 12)
    }


@model
def windows():
    """Groups, dilation, odd strides and pads, pooling of every kind, one dimension of space."""
    data = mx.sym.Variable("data")
    a = mx.sym.Convolution(
        data, kernel=(3, 2), stride=(2, 1), pad=(2, 0), dilate=(1, 2), num_filter=6, num_group=2
    )
    a = mx.sym.Pooling(a, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="avg")
    b = mx.sym.Convolution(data, kernel=(5, 5), pad=(1, 3), num_filter=4)
    b = mx.sym.Pooling(b, kernel=(3, 3), stride=(2, 2), pooling_convention="full", pool_type="max")
    c = mx.sym.Pooling(data, kernel=(2, 3), stride=(3, 2), pool_type="sum")
    d = mx.sym.Pooling(data, kernel=(3, 3), stride=(1, 1), pad=(1, 1), pool_type="max")
    e = mx.sym.Convolution(
        mx.sym.reshape(data, shape=(0, 0, -1)), kernel=(3,), num_filter=4, stride=(2,), pad=(1,)
    )
    e = mx.sym.Pooling(e, kernel=(2,), stride=(2,), pool_type="max")
    f = mx.sym.Convolution(data, kernel=(1, 1), num_filter=3)
    g = mx.sym.Convolution(data, kernel=(3, 3), num_filter=4, num_group=4, pad=(1, 1))
    parts = [mx.sym.Flatten(p) for p in (a, b, c, d, e, f, g)]
    return mx.sym.MakeLoss(mx.sym.mean(mx.sym.square(mx.sym.Concat(*parts, dim=1)))), {"data": (3, 4, 11, 12)}


@model
def chain():
    """Elementwise, larger than a block, of an odd size."""
    x = data = mx.sym.Variable("data")
    for _ in range(3):
        x = mx.sym.sigmoid(mx.sym.exp(mx.sym.tanh(x * 0.5) + 1.0) - data) * data
    x = mx.sym.broadcast_add(x, mx.sym.Variable("shift", shape=(331, 1)))
    return mx.sym.MakeLoss(mx.sym.sum(mx.sym.abs(x) / 3 + mx.sym.maximum(x, data))), {"data": (331, 917)}


@model
def recurrent():
    """An LSTM written out, its weights used at every step."""
    w, u = mx.sym.Variable("w"), mx.sym.Variable("u")
    bias = mx.sym.Variable("b")
    steps = mx.sym.SliceChannel(mx.sym.Variable("data"), num_outputs=4, axis=1, squeeze_axis=True)
    h, c = mx.sym.Variable("h"), mx.sym.Variable("c")
    for t in range(4):
        gates = mx.sym.FullyConnected(steps[t], weight=w, bias=bias, num_hidden=24)
        gates = gates + mx.sym.FullyConnected(h, weight=u, num_hidden=24, no_bias=True)
        i, f, o, g = mx.sym.SliceChannel(gates, num_outputs=4)
        c = mx.sym.sigmoid(f) * c + mx.sym.sigmoid(i) * mx.sym.tanh(g)
        h = mx.sym.sigmoid(o) * mx.sym.tanh(c)
    out = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(h, num_hidden=5), name="softmax")
    return mx.sym.Group([out, mx.sym.BlockGrad(h)]), {"data": (3, 4, 7), "h": (3, 6), "c": (3, 6)}


@model
def words():
    """Lookup, dropout, several losses, an argument that is also an output, a constant."""
    ids = mx.sym.Variable("data")
    x = mx.sym.Embedding(ids, input_dim=20, output_dim=6, name="embed")
    x = mx.sym.Dropout(mx.sym.Flatten(x), p=0.4)
    score = mx.sym.FullyConnected(x, num_hidden=3)
    label = mx.sym.Variable("linear_label")
    a = mx.sym.LinearRegressionOutput(score, label, name="linear")
    b = mx.sym.LogisticRegressionOutput(mx.sym.FullyConnected(x, num_hidden=2), name="logistic")
    c = mx.sym.MakeLoss(mx.sym.mean(mx.sym.square(mx.sym.softmax(score) - mx.sym.ones((5, 3)) * 0.5)))
    return mx.sym.Group([a, b, c, label]), {"data": (5, 4)}


@model
def twice():
    """One array used many times, equal work written twice, work that does nothing or is not used."""
    x, y = mx.sym.Variable("data"), mx.sym.Variable("other")
    a = mx.sym.exp(x) * mx.sym.exp(x) + mx.sym.transpose(mx.sym.transpose(y)) * 1.0
    b = (x + y) - 0.0 + x / 1.0
    parts = mx.sym.SliceChannel(a, num_outputs=2)
    c = mx.sym.Concat(parts[1], parts[0], dim=1) + mx.sym.reshape(
        mx.sym.reshape(b, shape=(-1,)), shape=(6, 4)
    )
    return mx.sym.MakeLoss(mx.sym.negative(-c)), {"data": (6, 4), "other": (6, 4)}


@model
def norms():
    """Normalisation on matrices and images, with the moving averages, and of other kinds."""
    x = mx.sym.Variable("data")
    y = mx.sym.BatchNorm(mx.sym.FullyConnected(x, num_hidden=8), fix_gamma=False, eps=1e-3, momentum=0.5)
    z = mx.sym.Convolution(mx.sym.reshape(x, shape=(0, 2, 3, 4)), kernel=(1, 1), num_filter=3)
    z = mx.sym.BatchNorm(z, use_global_stats=True, fix_gamma=False)
    z = mx.sym.LRN(mx.sym.Activation(z, act_type="softrelu"), nsize=3)
    w = mx.sym.L2Normalization(mx.sym.Flatten(z))
    out = mx.sym.Concat(mx.sym.Flatten(y), mx.sym.Flatten(w), dim=1)
    return mx.sym.SoftmaxOutput(out, name="softmax"), {"data": (6, 24)}


def arrays(symbol, shapes, seed=0):
    """(arguments, auxiliary states) by name, of fixed random numbers."""
    rng = np.random.default_rng(seed)
    arg_shapes, _, aux_shapes = symbol.infer_shape(**shapes)
    args = {}
    for name, shape in zip(symbol.list_arguments(), arg_shapes, strict=True):
        is_index = name.endswith("softmax_label") or (
            name == "data" and "embed_weight" in symbol.list_arguments()
        )
        value = rng.integers(0, 5, shape) if is_index else rng.standard_normal(shape) * 0.3
        args[name] = mx.nd.array(value)
    auxs = {
        n: mx.nd.array(rng.uniform(0.5, 1.5, s))
        for n, s in zip(symbol.list_auxiliary_states(), aux_shapes, strict=True)
    }
    return args, auxs

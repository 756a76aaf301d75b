"""SVRGModule: the steps of the formula, its optimizer, and what is refused."""

import numpy as np
import pytest

import psdist as mx
from psdist.contrib.svrg_optimization.svrg_module import SVRGModule
from psdist.contrib.svrg_optimization.svrg_optimizer import _SVRGOptimizer

BATCH, RATE = 5, 0.025
x = np.random.RandomState(0).randint(1, 5, (20, 2)).astype(np.float32)
y = x @ np.array([1.0, 2.0], np.float32)


def data():
    return mx.io.NDArrayIter(x, y, batch_size=BATCH, label_name="l")


def module(update_freq=2, context=None):
    hidden = mx.sym.FullyConnected(mx.sym.Variable("data"), name="fc1", num_hidden=1)
    net = mx.sym.LinearRegressionOutput(hidden, mx.sym.Variable("l"), name="lro")
    it = data()
    mod = SVRGModule(net, ["data"], ["l"], update_freq=update_freq, context=context or mx.cpu())
    mod.bind(it.provide_data, it.provide_label)
    mod.init_params(mx.init.One())
    return mod, it


def weights(mod):
    return {name: value.asnumpy().ravel().tolist() for name, value in mod.get_params()[0].items()}


def by_formula(num_epoch, update_freq):
    """(weight, bias) after Johnson and Zhang's algorithm, in NumPy."""

    def gradient(w, xs, ys):
        off = xs @ w[:2] + w[2] - ys
        return np.array([*(xs.T @ off), off.sum()])

    w = np.array([1.0, 1.0, 0.0])
    batches = [(x[i : i + BATCH], y[i : i + BATCH]) for i in range(0, len(x), BATCH)]
    for epoch in range(num_epoch):
        if epoch % update_freq == 0:
            kept = w.copy()
            full = np.mean([gradient(kept, *b) for b in batches], axis=0)
        for b in batches:
            w -= RATE / BATCH * (gradient(w, *b) - gradient(kept, *b) + full)
    return w


@pytest.mark.parametrize(
    ("kvstore", "context"), [("local", mx.cpu()), ("local", [mx.cpu(0), mx.cpu(1)]), (None, mx.cpu())]
)
@pytest.mark.parametrize("update_freq", [1, 2])
def test_fit_steps_along_the_formula(kvstore, context, update_freq):
    mod, it = module(update_freq, context)
    metric = mx.metric.MSE()
    rates = (("learning_rate", RATE),)
    mod.fit(it, eval_metric=metric, kvstore=kvstore, optimizer_params=rates, num_epoch=5)
    got = weights(mod)
    np.testing.assert_allclose([*got["fc1_weight"], *got["fc1_bias"]], by_formula(5, update_freq), rtol=1e-4)


def test_the_first_epochs_are_mxnet_s():
    mod, it = module()  # MXNet 1.9.1 adds later full gradients to the mean of the earlier ones; we begin anew
    metric = mx.metric.MSE()
    mod.fit(it, eval_metric=metric, optimizer_params=(("learning_rate", RATE),), num_epoch=2)
    assert metric.get()[1] == pytest.approx(0.6724417731165886, rel=1e-5)
    assert weights(mod)["fc1_weight"] == pytest.approx([1.3161143064, 1.6317139863], rel=1e-6)


def test_without_a_full_gradient_a_step_is_an_ordinary_one():
    mod, it = module()
    mod.init_optimizer(optimizer_params=(("learning_rate", RATE),))
    plain = mx.mod.Module(mod.symbol, ["data"], ["l"])
    plain.bind(it.provide_data, it.provide_label)
    plain.init_params(mx.init.One())
    plain.init_optimizer(optimizer_params=(("learning_rate", RATE),))
    for each in (mod, plain):
        each.forward_backward(next(data()))
        each.update()
    assert weights(mod) == weights(plain)


def test_the_optimizer_assigns_to_keys_named_full_and_is_the_default_one_else():
    kv = mx.kv.create("local")
    opt = _SVRGOptimizer("sgd", param_idx2name={0: "w", 1: "w_full"}, learning_rate=1.0)
    kv.set_optimizer(opt)
    for key, first, pushed, wanted in ((0, 0, 1, -1), (1, 1, 2, 2)):
        value = mx.nd.array([first] * 3)
        kv.init(key, value)
        kv.push(key, mx.nd.array([pushed] * 3))
        kv.pull(key, value)
        assert value.asnumpy().tolist() == [wanted] * 3
    opt.lr = 0.5
    assert opt.default_opt.lr == opt.learning_rate == 0.5
    assert opt.to_wire() == opt.default_opt.to_wire()


def test_other_shapes_and_bindings_reach_both_modules():
    mod, it = module()
    mod.init_optimizer()
    mod.update_full_grads(it)
    mod.reshape([("data", (4, 2))], [("l", (4,))])
    mod.forward_backward(mx.io.DataBatch([mx.nd.ones((4, 2))], [mx.nd.ones((4,))]))
    mod.update()
    assert mod.get_outputs()[0].shape == (4, 1)
    mod.bind([("data", (2, 2))], [("l", (2,))], force_rebind=True)
    assert mod._mod_aux.data_shapes[0].shape == (2, 2)


def test_a_frequency_that_is_no_number_of_epochs_is_refused():
    with pytest.raises(TypeError, match="update_freq is None; wanted a whole number of epochs"):
        SVRGModule(mx.sym.Variable("data"), label_names=None)
    with pytest.raises(ValueError, match="update_freq is 0; wanted 1 epoch or more"):
        SVRGModule(mx.sym.Variable("data"), label_names=None, update_freq=0)
    mod, it = module()
    mod.init_optimizer()
    empty = mx.io.ResizeIter(it, 0)
    with pytest.raises(mx.MXNetError, match="train_data has no batch"):
        mod.update_full_grads(empty)

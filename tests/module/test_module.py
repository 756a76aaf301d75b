"""Module: the life of a model, from bind to a checkpoint that goes on training."""

import logging
from collections import namedtuple

import numpy as np
import pytest

import psdist as mx
from psdist.errors import ConfigError, GraphError, ShapeError
from psdist.executor_manager import DataParallelExecutorManager
from psdist.module.executor_group import DataParallelExecutorGroup, split_batch
from psdist.module.store import EarlyPushes

RANDOM = np.random.RandomState(0)
DATA = RANDOM.normal(size=(48, 3)).astype(np.float32)
LABEL = (DATA.sum(axis=1) > 0).astype(np.float32)


def classifier():
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=8, name="fc1")
    net = mx.sym.BatchNorm(net, name="bn", fix_gamma=False)
    net = mx.sym.Activation(net, act_type="tanh")
    net = mx.sym.FullyConnected(net, num_hidden=2, name="fc2")
    return mx.sym.SoftmaxOutput(net, name="softmax")


def linear():
    return mx.sym.LinearRegressionOutput(
        mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=1, no_bias=True, name="fc"),
        mx.sym.Variable("label"),
        name="out",
    )


def batches(batch_size=8, **options):
    return mx.io.NDArrayIter(DATA, LABEL, batch_size=batch_size, **options)


def batch(rows=8, cols=3):
    return mx.io.DataBatch([mx.nd.array(DATA[:rows, :cols])], [mx.nd.array(LABEL[:rows])])


def bound(mod=None, rows=8, **options):
    mod = mod or mx.mod.Module(classifier())
    mod.bind([("data", (rows, 3))], [("softmax_label", (rows,))], **options)
    return mod


def ready(mod=None, seed=0, optimizer_params=(("learning_rate", 0.1),), **options):
    mx.random.seed(seed)
    mod = bound(mod, **options)
    mod.init_params(mx.init.Xavier())
    mod.init_optimizer(optimizer_params=optimizer_params)
    return mod


def values(mod):
    args, auxs = mod.get_params()
    return {name: value.asnumpy() for name, value in {**args, **auxs}.items()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_a_module_learns_scores_and_predicts():
    mx.random.seed(1)
    mod = mx.mod.Module(classifier())
    data = batches()
    mod.fit(data, num_epoch=12, optimizer_params={"learning_rate": 0.5}, initializer=mx.init.Xavier())
    ((name, accuracy),) = mod.score(data, "acc")
    assert name == "accuracy"
    assert accuracy > 0.95
    predicted = mod.predict(data).asnumpy()
    assert predicted.shape == (48, 2)
    assert (predicted.argmax(axis=1) == LABEL).mean() == pytest.approx(accuracy)
    mod.close()


def test_names_tell_inputs_from_parameters():
    mod = bound()
    assert mod.data_names == ["data"]
    assert mod.label_names == ["softmax_label"]
    assert mod.output_names == ["softmax_output"]
    assert mod.data_shapes == [("data", (8, 3))]
    assert mod.output_shapes == [("softmax_output", (8, 2))]
    mod.init_params()
    args, auxs = mod.get_params()
    assert set(args) == {f"{layer}_{part}" for layer in ("fc1", "fc2") for part in ("weight", "bias")} | {
        "bn_gamma",
        "bn_beta",
    }
    assert set(auxs) == {"bn_moving_mean", "bn_moving_var"}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda mod: mod.init_params(), "call bind first"),
        (lambda mod: bound(mod).forward(batch()), "call init_params first"),
        (lambda mod: bound(mod).init_optimizer(), "call init_params first"),
        (lambda mod: (bound(mod).init_params(), mod.update()), "call init_optimizer first"),
        (lambda mod: (bound(mod).init_params(), mod.get_input_grads()), "inputs_need_grad=True"),
        (lambda mod: (bound(mod, for_training=False).init_params(), mod.backward()), "for_training=True"),
        (lambda mod: mod.fit(batches()), "num_epoch is not given"),
        (lambda mod: mod.bind([("image", (8, 3))]), "the data is image; the module's data_names are data"),
    ],
)
def test_a_call_that_comes_too_early_says_which_is_missing(call, words):
    with pytest.raises(ConfigError) as caught:
        call(mx.mod.Module(classifier()))
    assert words in str(caught.value)


def test_a_name_that_the_symbol_does_not_have_is_refused():
    with pytest.raises(
        ConfigError, match="data_names has 'image', which is no argument of the symbol; its inp"
    ):
        mx.mod.Module(classifier(), data_names=["image"])
    with pytest.raises(ConfigError, match="fixed_param_names has 'fc9_weight'"):
        mx.mod.Module(classifier(), fixed_param_names=["fc9_weight"])


def test_one_step_is_the_formula():
    """w ← w − lr · mean over the batch of (w·x − y) x."""
    mod = mx.mod.Module(linear(), label_names=["label"])
    mod.bind([("data", (8, 3))], [("label", (8,))])
    mod.init_params(mx.init.One())
    mod.init_optimizer(optimizer_params={"learning_rate": 0.1})
    mod.forward_backward(batch())
    mod.update()
    x, y = DATA[:8], LABEL[:8]
    grad = (x.sum(axis=1) - y) @ x / 8
    np.testing.assert_allclose(values(mod)["fc_weight"], [1 - 0.1 * grad], rtol=1e-5)


def test_two_devices_learn_what_one_learns():
    two = ready(mx.mod.Module(linear_classifier(), context=[mx.cpu(0), mx.cpu(1)]))
    one = ready(mx.mod.Module(linear_classifier()))
    for data in batches():
        for mod in (one, two):
            mod.forward_backward(data)
            mod.update()
    a, b = values(one), values(two)
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-4, atol=1e-6)
    two.close()


def linear_classifier():
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=2, name="fc")
    return mx.sym.SoftmaxOutput(net, name="softmax")


def test_devices_take_shares_in_proportion_to_their_workloads():
    mod = ready(mx.mod.Module(linear_classifier(), context=[mx.cpu(0), mx.cpu(1)], work_load_list=[3, 1]))
    mod.forward(batch())
    parts = mod.get_outputs(merge_multi_context=False)[0]
    assert [p.shape for p in parts] == [(6, 2), (2, 2)]
    whole = mod.get_outputs()[0]
    np.testing.assert_array_equal(whole.asnumpy(), np.concatenate([p.asnumpy() for p in parts]))
    metric = mx.metric.create("acc")
    mod.update_metric(metric, batch().label)
    assert metric.num_inst == 8
    mod.close()


@pytest.mark.parametrize(
    ("size", "workloads", "ends"), [(10, [1, 1], [5, 10]), (10, [1, 2], [3, 10]), (7, [1, 1, 1], [2, 4, 7])]
)
def test_a_batch_is_split_as_mxnet_splits_it(size, workloads, ends):
    assert [s.stop for s in split_batch(size, workloads)] == ends


def test_a_device_without_samples_is_refused():
    with pytest.raises(ConfigError, match="leaves a device without samples"):
        split_batch(3, [1, 1, 1, 1])


def test_several_devices_run_the_same_bits_again():
    def trained():
        mod = ready(mx.mod.Module(classifier(), context=[mx.cpu(0), mx.cpu(1)]), seed=3)
        for data in batches():
            mod.forward_backward(data)
            mod.update()
        mod.close()
        return values(mod)

    assert_same(trained(), trained())


@pytest.mark.parametrize(("num_devices", "kvstore"), [(1, None), (1, "local"), (2, "local")])
def test_training_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(tmp_path, num_devices, kvstore):
    prefix = str(tmp_path / "model")
    params = (("learning_rate", 0.1), ("momentum", 0.9))
    context = [mx.cpu(i) for i in range(num_devices)]

    def train(mod, epochs):
        for _ in range(epochs):
            for data in batches():
                mod.forward_backward(data)
                mod.update()
            mod.set_params(*mod.get_params())  # as fit does
        return mod

    def start(mod):
        bound(mod)
        mod.init_params(mx.init.Xavier())
        mod.init_optimizer(kvstore=kvstore, optimizer_params=params)
        return mod

    mx.random.seed(2)
    through = train(start(mx.mod.Module(classifier(), context=context)), 2)
    mx.random.seed(2)
    stopped = train(start(mx.mod.Module(classifier(), context=context)), 1)
    stopped.save_checkpoint(prefix, 1, save_optimizer_states=True)
    assert {p.name for p in tmp_path.iterdir()} == {
        "model-symbol.json",
        "model-0001.params",
        "model-0001.states",
    }
    resumed = start(mx.mod.Module.load(prefix, 1, load_optimizer_states=True, context=context))
    train(resumed, 1)
    assert_same(values(resumed), values(through))
    for mod in (through, stopped, resumed):
        mod.close()


def test_parameters_saved_alone_come_back(tmp_path):
    path = str(tmp_path / "model.params")
    mod = ready()
    mod.save_params(path)
    other = bound()
    other.init_params(mx.init.Zero())
    other.load_params(path)
    assert_same(values(other), values(mod))
    assert sorted(mx.nd.load(path))[0] == "arg:bn_beta"


def test_parameters_given_are_taken_and_missing_ones_named():
    mod = bound()
    weight = mx.nd.ones((8, 3))
    with pytest.raises(ConfigError, match="bn_beta is not among the parameters given"):
        mod.init_params(arg_params={"fc1_weight": weight}, aux_params={})
    mod.init_params(mx.init.Zero(), arg_params={"fc1_weight": weight}, allow_missing=True)
    assert values(mod)["fc1_weight"].all()
    assert not values(mod)["fc2_weight"].any()
    mod.set_params({**mod.get_params()[0], "other": weight}, mod.get_params()[1])  # a part of a whole model
    with pytest.raises(ConfigError, match="has no other; allow_extra=True ignores them"):
        mod.set_params({"other": weight}, {}, allow_missing=True)
    with pytest.raises((ShapeError, ValueError)):
        mod.set_params({"fc1_weight": mx.nd.ones((3, 3))}, {}, allow_missing=True)


def test_a_fixed_parameter_is_not_learned():
    mod = ready(mx.mod.Module(classifier(), fixed_param_names=["fc1_weight"]))
    before = values(mod)
    mod.forward_backward(batch())
    mod.update()
    after = values(mod)
    np.testing.assert_array_equal(after["fc1_weight"], before["fc1_weight"])
    assert not np.array_equal(after["fc2_weight"], before["fc2_weight"])


def test_gradients_of_inputs_can_be_asked_for():
    mod = ready(inputs_need_grad=True)
    mod.forward_backward(batch())
    (grad,) = mod.get_input_grads()
    assert grad.shape == (8, 3)
    assert np.abs(grad.asnumpy()).max() > 0


def test_gradients_can_be_added_up_over_batches():
    mod = bound(mx.mod.Module(linear_classifier()), grad_req="add")
    mod.init_params(mx.init.Zero())
    once = None
    for _ in range(2):
        mod.forward_backward(batch())
        grad = mod._exec_group.grad_arrays[0][0].asnumpy()
        once = grad if once is None else once
    np.testing.assert_allclose(grad, 2 * once, rtol=1e-6)


def test_gradients_from_outside_go_in_at_the_outputs():
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=2, no_bias=True, name="fc")
    mod = mx.mod.Module(net, label_names=None, context=[mx.cpu(0), mx.cpu(1)])
    mod.bind([("data", (8, 3))])
    mod.init_params(mx.init.One())
    mod.forward(batch(), is_train=True)
    mod.backward([mx.nd.ones((8, 2))])
    total = sum(g.asnumpy() for g in mod._exec_group.grad_arrays[0])
    np.testing.assert_allclose(total, np.tile(DATA[:8].sum(axis=0), (2, 1)), rtol=1e-5)
    mod.close()


def test_batches_of_another_size_bind_again_on_the_same_parameters():
    mod = ready()
    before = mod._exec_group.param_arrays[0][0]
    mod.forward(batch(rows=3), is_train=False)
    assert mod.get_outputs()[0].shape == (3, 2)
    assert mod.data_shapes == [("data", (3, 3))]
    assert mod._exec_group.param_arrays[0][0] is before
    mod.forward(mx.io.DataBatch([mx.nd.array(DATA[:5])]), is_train=False)  # no labels
    assert mod.get_outputs()[0].shape == (5, 2)
    mod.reshape([("data", (8, 3))], [("softmax_label", (8,))])
    mod.forward_backward(batch())
    mod.update()
    with pytest.raises((ShapeError, GraphError)):
        mod.forward(batch(cols=2))


def test_predictions_leave_the_filler_out():
    mod = ready()
    data = mx.io.NDArrayIter(DATA[:10], LABEL[:10], batch_size=8)
    assert mod.predict(data).shape == (10, 2)
    assert [outs[0].shape[0] for outs in mod.predict(data, merge_batches=False)] == [8, 2]
    assert [(outs[0].shape[0], n) for outs, n, _ in mod.iter_predict(data)] == [(8, 0), (2, 1)]
    assert mod.predict(data, num_batch=1).shape == (8, 2)
    assert len(mod.predict(data, always_output_list=True)) == 1
    assert mod.predict(DATA[:5]).shape == (5, 2)
    with pytest.raises(ConfigError, match="wanted a DataIter or an array"):
        mod.predict("digits")


def test_a_store_of_one_s_own_does_the_updates():
    with mx.kv.create("local") as store:
        mod = bound()
        mod.init_params(mx.init.Xavier())
        mod.init_optimizer(kvstore=store, optimizer="adam", optimizer_params={"learning_rate": 0.01})
        before = values(mod)
        mod.forward_backward(batch())
        mod.update()
        after = values(mod)
        pulled = mx.nd.zeros((8, 3))
        store.pull("fc1_weight", out=pulled)
        np.testing.assert_array_equal(pulled.asnumpy(), after["fc1_weight"])
        assert not np.array_equal(before["fc1_weight"], after["fc1_weight"])


def test_callbacks_and_logs_tell_how_training_goes(caplog):
    calls = []
    mod = mx.mod.Module(classifier())
    with caplog.at_level(logging.INFO):
        mod.fit(
            batches(),
            eval_data=batches(),
            eval_metric=["acc", "ce"],
            num_epoch=2,
            batch_end_callback=[mx.callback.Speedometer(8, frequent=2), calls.append],
            epoch_end_callback=lambda epoch, symbol, args, auxs: calls.append(
                (epoch, symbol.name, len(args))
            ),
            eval_end_callback=lambda param: calls.append("scored"),
        )
    assert [c for c in calls if not hasattr(c, "nbatch")] == [
        (0, "softmax", 6),
        "scored",
        (1, "softmax", 6),
        "scored",
    ]
    assert [c.nbatch for c in calls if hasattr(c, "nbatch")] == 2 * list(range(6))
    assert "Epoch[1] Train-accuracy=" in caplog.text
    assert "Epoch[1] Validation-cross-entropy=" in caplog.text
    assert "samples/sec" in caplog.text


def test_an_optimizer_whose_scale_is_not_the_batch_s_is_warned_about():
    mod = bound()
    mod.init_params()
    with pytest.warns(UserWarning, match="rescale_grad is 1.0, not 1/8"):
        mod.init_optimizer(optimizer=mx.optimizer.SGD())


def test_modules_can_share_parameters_and_optimizer():
    first = ready(mx.mod.Module(linear_classifier()))
    second = mx.mod.Module(linear_classifier())
    second.bind([("data", (4, 3))], [("softmax_label", (4,))], shared_module=first)
    assert second.optimizer_initialized
    second.forward_backward(batch(rows=4))
    second.update()
    first._params_dirty = True
    assert_same(values(first), values(second))


def test_a_layout_says_along_which_axis_a_batch_is_split_and_joined():
    net = mx.sym.Activation(mx.sym.Variable("data"), act_type="relu", __layout__="TNC")
    mod = mx.mod.Module(net, label_names=None, context=[mx.cpu(0), mx.cpu(1)])
    mod.bind([mx.io.DataDesc("data", (3, 8, 7), layout="TNC")], inputs_need_grad=True)
    mod.init_params()
    mod.forward(mx.io.DataBatch([mx.nd.ones((3, 8, 7))]), is_train=True)
    mod.backward([mx.nd.ones((3, 8, 7))])
    assert mod.get_outputs()[0].shape == (3, 8, 7)
    assert [o.shape for o in mod.get_outputs(merge_multi_context=False)[0]] == [(3, 4, 7), (3, 4, 7)]
    assert mod.get_input_grads()[0].shape == (3, 8, 7)
    mod.close()


def test_states_are_carried_by_the_caller():
    data, state = mx.sym.Variable("data"), mx.sym.Variable("state", shape=(8, 3))
    net = mx.sym.Group([data + state])
    mod = mx.mod.Module(net, label_names=None, state_names=["state"])
    mod.bind([("data", (8, 3))], for_training=False)
    mod.init_params()
    mod.set_states(value=2)
    mod.forward(batch())
    np.testing.assert_allclose(mod.get_outputs()[0].asnumpy(), DATA[:8] + 2)
    mod.set_states(states=mod.get_outputs(merge_multi_context=False))
    mod.forward(batch())
    np.testing.assert_allclose(mod.get_outputs()[0].asnumpy(), 2 * DATA[:8] + 2, rtol=1e-6)
    assert mod.get_states()[0].shape == (8, 3)


def test_executors_are_kept_for_a_few_shapes_of_batches():
    mod = ready()
    first = mod._exec_group.execs[0]
    for rows in (3, 5, 8):
        mod.forward(batch(rows=rows), is_train=False)
    assert mod._exec_group.execs[0] is first
    for rows in range(1, 8):
        mod.forward(batch(rows=rows), is_train=False)
    assert len(mod._exec_group._bound) == 4
    mod.forward(batch(), is_train=False)
    assert mod._exec_group.execs[0] is not first


def test_devices_and_buckets_hold_inputs_of_one_name_in_one_memory():
    devices = [mx.cpu(0), mx.cpu(1)]
    symbol, names = classifier(), ("fc1_weight", "fc1_bias", "fc2_weight", "fc2_bias", "bn_gamma", "bn_beta")

    def group(rows, shared=None):
        shapes = [("data", (rows, 3))], [("softmax_label", (rows,))]  # pairs are enough
        return DataParallelExecutorGroup(symbol, devices, [1, 1], *shapes, names, True, False, shared)

    large = group(16)
    small = group(8, large)
    for k, held in enumerate(large.shared_data_arrays):
        assert set(held) == {"data", "softmax_label"}
        for e in (large.execs[k], small.execs[k]):
            assert np.shares_memory(e.arg_dict["data"]._data, held["data"]._data)


def test_a_batch_needs_no_more_than_its_data():
    Request = namedtuple("Request", ["data"])
    mod = mx.mod.Module(classifier())
    mod.bind([("data", (8, 3))], [("softmax_label", (8,))], for_training=False)
    mod.init_params()
    mod.forward(Request([mx.nd.array(DATA[:5])]))
    assert mod.get_outputs()[0].shape == (5, 2)


def test_a_row_sparse_variable_keeps_its_storage_among_the_parameters():
    w = mx.sym.Variable("w", shape=(4, 2), stype="row_sparse", init=mx.init.One())
    mod = mx.mod.Module(
        mx.sym.dot(mx.sym.Variable("data"), w), label_names=None, context=[mx.cpu(0), mx.cpu(1)]
    )
    mod.bind([("data", (4, 4))])
    mod.init_params()
    mod.init_optimizer(kvstore="local", optimizer_params={"learning_rate": 1.0, "rescale_grad": 1.0})
    mod.forward(mx.io.DataBatch([mx.nd.ones((4, 4))]), is_train=True)
    mod.backward([mx.nd.ones((4, 2))])
    mod.update()
    mod.prepare(None, sparse_row_id_fn=lambda _: {"w": mx.nd.array([1, 2])})
    value = mod.get_params()[0]["w"]
    assert value.stype == "row_sparse"
    assert (value.asnumpy() == -3).all()


def test_a_prelu_begins_with_the_slope_of_a_leaky_relu():
    mod = mx.mod.Module(mx.sym.LeakyReLU(mx.sym.Variable("data"), act_type="prelu"), label_names=None)
    mod.bind([("data", (2, 3))])
    mod.init_params()
    (slope,) = mod.get_params()[0].values()
    assert (slope.asnumpy() == 0.25).all()


class Log:
    """A store that writes down what is asked of it."""

    def __init__(self):
        self.calls = []

    def push(self, keys, values, priority):
        self.calls.append(("push", keys, priority))

    def pushpull(self, keys, values, out, priority):
        self.calls.append(("pushpull", keys, priority))

    def pull(self, keys, out, priority):
        self.calls.append(("pull", keys, priority))


def test_large_gradients_go_off_while_backward_is_at_work():
    names, large, small = ["w0", "w1", "w2", "fixed"], mx.nd.zeros((1 << 18,)), mx.nd.zeros((3,))
    grads = [[small], [large], [small], [None]]
    store = Log()
    exchange = EarlyPushes(grads, [[large]] * 4, store, names)
    for name, grad in (("w2", small), ("w1", large), ("w0", small), ("data", large)):
        exchange.on_gradient(name, grad)
    assert store.calls == [("push", ["w1", "w2"], -1)]
    exchange.finish()
    assert store.calls[1:] == [("pushpull", ["w0"], 0), ("pull", ["w1", "w2"], -1)]


def test_small_gradients_are_one_exchange():
    store = Log()
    small = mx.nd.zeros((3,))
    exchange = EarlyPushes([[small], [small]], [[small]] * 2, store, ["w0", "w1"])
    exchange.on_gradient("w1", small)
    exchange.on_gradient("w0", small)
    exchange.finish()
    assert store.calls == [("pushpull", ["w0", "w1"], 0)]


def test_a_manager_runs_a_symbol_over_devices():
    data, metric = batches(8), mx.metric.Accuracy()
    with DataParallelExecutorManager(classifier(), [mx.cpu(0), mx.cpu(1)], data) as manager:
        assert manager.param_names == [
            "fc1_weight",
            "fc1_bias",
            "bn_gamma",
            "bn_beta",
            "fc2_weight",
            "fc2_bias",
        ]
        shapes = {n: c[0].shape for n, c in zip(manager.param_names, manager.param_arrays, strict=True)}
        values = {n: mx.nd.array(RANDOM.normal(size=s)) for n, s in shapes.items()}
        manager.set_params(values, {"bn_moving_mean": mx.nd.zeros((8,)), "bn_moving_var": mx.nd.ones((8,))})
        for b in data:
            manager.load_data_batch(b)
            manager.forward(is_train=True)
            manager.backward()
            manager.update_metric(metric, b.label)
        assert metric.num_inst == len(DATA)
        assert all((g.asnumpy() != 0).any() for g in manager.grad_arrays[-1])
        found = {n: mx.nd.zeros(s) for n, s in shapes.items()}
        manager.copy_to(found, {n: mx.nd.zeros((8,)) for n in manager.aux_names})
        assert all((found[n].asnumpy() == v.asnumpy()).all() for n, v in values.items())


def test_a_label_that_the_symbol_lacks_is_a_warning_and_leaves_logging_alone(monkeypatch):
    monkeypatch.setattr(logging.root, "handlers", [])
    symbol = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=2)
    with pytest.warns(UserWarning, match="label_names has 'softmax_label', which is no argument"):
        mx.mod.Module(symbol)
    assert logging.root.handlers == []  # a script's logging.basicConfig still has its say


def sparse_classifier(num_features):
    x = mx.sym.var("data", stype="csr")
    weight = mx.sym.var("weight", shape=(num_features, 2), stype="row_sparse", init=mx.init.Normal(0.1))
    return mx.sym.SoftmaxOutput(mx.sym.sparse.dot(x, weight), name="softmax")


def test_rows_of_a_row_sparse_parameter_are_pulled_into_a_module():
    mod = mx.mod.Module(sparse_classifier(5))
    mod.bind([("data", (2, 5))], [("softmax_label", (2,))])
    mod.init_params()
    store = mx.kv.create("local")
    mod.init_optimizer(kvstore=store)
    on_devices = mod._exec_group.param_arrays[mod._exec_group.param_names.index("weight")]
    before = on_devices[0].asnumpy()
    store.row_sparse_pull("weight", on_devices, row_ids=[mx.nd.array([1, 3], dtype="int64")])
    assert (on_devices[0].asnumpy() == before).all()
    store.push("weight", mx.nd.sparse.row_sparse_array(([[1, 1], [1, 1]], [2, 3]), shape=(5, 2)))
    store.row_sparse_pull("weight", on_devices, row_ids=[mx.nd.array([3], dtype="int64")])
    assert np.flatnonzero((on_devices[0].asnumpy() != before).any(axis=1)).tolist() == [3]


def test_saved_optimizer_states_are_told_of(tmp_path, caplog):
    mod = mx.mod.Module(sparse_classifier(5))
    mod.bind([("data", (2, 5))], [("softmax_label", (2,))])
    mod.init_params()
    mod.init_optimizer()
    with caplog.at_level(logging.INFO):
        mod.save_checkpoint(str(tmp_path / "m"), 3, save_optimizer_states=True)
    assert f'Saved optimizer state to "{tmp_path / "m"}-0003.states"' in caplog.text

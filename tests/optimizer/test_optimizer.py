"""The optimizers that scripts hold: rates and multipliers by name, counts, states saved and loaded."""

import numpy as np
import pytest

import psdist as mx
from psdist.errors import ConfigError, ProtocolError
from psdist.optimizer import from_wire

NAMES = {0: "fc_weight", 1: "fc_bias", 2: "bn_gamma", 3: "bn_beta"}


def stepped(optimizer, steps=1, dtype="float32"):
    """The weight and the updater after updates with a gradient of ones."""
    updater = mx.optimizer.get_updater(optimizer)
    weight = mx.nd.array([1, 2, 3], dtype=dtype)
    for _ in range(steps):
        updater(0, mx.nd.ones(3, dtype=dtype), weight)
    return weight, updater


def test_weight_decay_is_for_weights_and_gammas_unless_told_otherwise():
    optimizer = mx.optimizer.SGD(param_idx2name=NAMES, wd=0.1)
    assert [optimizer._get_wd(i) for i in range(4)] == [0.1, 0.0, 0.1, 0.0]
    optimizer.set_wd_mult({"fc_bias": 2.0, 0: 0.5})
    assert [optimizer._get_wd(i) for i in range(4)] == pytest.approx([0.05, 0.2, 0.1, 0.0])
    assert optimizer._get_wd("fc_bias") == 0.2  # a store's key may be the name itself


def test_a_variable_s_multipliers_are_its_parameter_s():
    weight = mx.sym.Variable("fc_weight", lr_mult=3.0, wd_mult=0.5)
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), weight=weight, num_hidden=3, name="fc")
    optimizer = mx.optimizer.create("sgd", sym=net, param_idx2name=NAMES, learning_rate=1.0, wd=1.0)
    assert optimizer._get_lr(0) == 3.0
    assert optimizer._get_wd(0) == 0.5
    optimizer.set_lr_mult({"fc_weight": 2.0})
    assert optimizer._get_lr(0) == 2.0


def test_numbers_may_be_changed_between_updates():
    optimizer = mx.optimizer.SGD(learning_rate=1.0)
    weight, updater = stepped(optimizer)
    assert weight.asnumpy().tolist() == [0, 1, 2]
    optimizer.rescale_grad = 0.5
    updater(0, mx.nd.ones(3), weight)
    assert weight.asnumpy().tolist() == [-0.5, 0.5, 1.5]
    optimizer.set_learning_rate(0.1)
    assert optimizer.learning_rate == 0.1


def test_a_half_precision_weight_has_a_full_copy_that_takes_the_updates():
    optimizer = mx.optimizer.SGD(learning_rate=1e-4, momentum=0.9, multi_precision=True)
    weight, updater = stepped(optimizer, steps=8, dtype="float16")
    exact, _ = stepped(mx.optimizer.SGD(learning_rate=1e-4, momentum=0.9), steps=8)
    assert weight.dtype == np.float16
    np.testing.assert_array_equal(weight.asnumpy(), exact.asnumpy().astype(np.float16))
    np.testing.assert_allclose(updater.states[0][1].asnumpy(), exact.asnumpy(), rtol=1e-6)


@pytest.mark.parametrize(("name", "is_lazy"), [("sgd", False), ("adam", True)])
def test_the_full_copy_of_a_half_precision_weight_takes_rows_as_mxnet_s_rule_does(name, is_lazy):
    weight = mx.nd.ones((3, 2), dtype="float16")
    rows = mx.nd.sparse.row_sparse_array((np.ones((1, 2), np.float16), [1]), shape=(3, 2), dtype="float16")
    optimizer = mx.optimizer.create(name, learning_rate=0.1, wd=0.5, multi_precision=True)
    mx.optimizer.get_updater(optimizer)(0, rows, weight)
    assert (weight.asnumpy()[[0, 2]] == 1).all() == is_lazy


# without those that wrap another, which are somewhere else
RULES = {
    name
    for name, cls in mx.optimizer.Optimizer.opt_registry.items()
    if cls.__module__.startswith("psdist.optimizer")
}


@pytest.mark.parametrize("name", sorted(RULES - {"sgld"}))
def test_training_goes_on_from_saved_states_as_if_it_had_not_stopped(name):
    through, _ = stepped(mx.optimizer.create(name, learning_rate=0.1), steps=5)
    weight, updater = stepped(mx.optimizer.create(name, learning_rate=0.1), steps=3)
    saved = updater.get_states(dump_optimizer=True)
    resumed = mx.optimizer.get_updater(mx.optimizer.create(name))
    resumed.set_states(saved)
    assert resumed.optimizer.num_update == 3
    for _ in range(2):
        resumed(0, mx.nd.ones(3), weight)
    np.testing.assert_array_equal(weight.asnumpy(), through.asnumpy())


def test_saved_states_bring_back_the_optimizer_and_its_schedule():
    schedule = mx.lr_scheduler.FactorScheduler(step=2, factor=0.5)
    optimizer = mx.optimizer.Adam(learning_rate=1.0, beta1=0.5, lr_scheduler=schedule)
    _, updater = stepped(optimizer, steps=5)
    other = mx.optimizer.get_updater(mx.optimizer.SGD(lr_scheduler=mx.lr_scheduler.FactorScheduler(step=9)))
    other.set_states(updater.get_states(dump_optimizer=True))
    assert type(other.optimizer) is mx.optimizer.Adam
    assert other.optimizer.beta1 == 0.5
    assert other.optimizer.lr_scheduler.step == 2
    assert other.optimizer.learning_rate == optimizer.learning_rate == 0.25


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (b"\x80\x04K\x01.", ConfigError, "a pickle"),
        (b"", ProtocolError, "not psdist-optimizer-states-1"),
        (b"\xc1garbage", ProtocolError, "not psdist-optimizer-states-1"),
        (b"\x81\xa6format\xa5other", ProtocolError, "not psdist-optimizer-states-1"),
    ],
)
def test_bytes_that_are_no_states_are_refused(data, error, words):
    updater = mx.optimizer.get_updater(mx.optimizer.SGD())
    with pytest.raises(error) as caught:
        updater.set_states(data)
    assert words in str(caught.value)


def test_damaged_states_change_nothing():
    _, updater = stepped(mx.optimizer.SGD(momentum=0.9))
    saved = updater.get_states()
    before = updater.states[0].asnumpy()
    for cut in range(0, len(saved), 7):
        with pytest.raises(ProtocolError):
            updater.set_states(saved[:cut])
    np.testing.assert_array_equal(updater.states[0].asnumpy(), before)


def test_an_optimizer_of_ones_own_runs_here_and_is_not_sent():
    @mx.optimizer.register
    class HalfStep(mx.optimizer.Optimizer):
        def update(self, index, weight, grad, state):
            self._update_count(index)
            weight -= 0.5 * grad

    optimizer = mx.optimizer.create("halfstep")
    assert stepped(optimizer)[0].asnumpy().tolist() == [0.5, 1.5, 2.5]
    with pytest.raises(ConfigError, match="HalfStep is code of your own, which a server does not execute"):
        optimizer.to_wire()

    class Louder(mx.optimizer.SGD):
        def update(self, index, weight, grad, state):
            super().update(index, weight, 2 * grad, state)

    with pytest.raises(ConfigError, match="update_on_kvstore=False"):
        Louder().to_wire()


def test_a_wrong_name_is_answered_with_the_right_one():
    with pytest.raises(ConfigError, match="did you mean 'rmsprop'"):
        mx.optimizer.create("rmspop")
    with pytest.raises(TypeError, match="Adam has no argument beta; it takes beta1, beta2"):
        mx.optimizer.Adam(beta=0.9)
    with pytest.raises(ConfigError, match="wanted a dict"):
        mx.optimizer.SGD(param_idx2name=["fc_weight"])


def test_registering_a_second_class_of_one_name_warns():
    class Twice(mx.optimizer.Optimizer):
        pass

    other = type("Twice", (mx.optimizer.Optimizer,), {})
    mx.optimizer.register(Twice)
    with pytest.warns(UserWarning, match="optimizer 'twice' was"):
        mx.optimizer.register(other)


@pytest.mark.parametrize("stype", ["default", "row_sparse"])
@pytest.mark.parametrize(
    ("name", "options", "is_lazy"),
    [
        ("sgd", {"momentum": 0.9}, True),
        ("sgd", {"momentum": 0.9, "lazy_update": False}, False),
        ("adam", {}, True),
        ("adagrad", {}, True),
        ("ftrl", {}, True),
        ("groupadagrad", {}, True),
        ("rmsprop", {}, False),
    ],
)
def test_rows_without_a_gradient_are_left_alone_by_lazy_optimizers(name, options, is_lazy, stype):
    start = np.arange(1, 13, dtype=np.float32).reshape(4, 3)
    rows = [1, 3]
    sparse = mx.nd.sparse.row_sparse_array((np.ones((2, 3), np.float32), rows), shape=(4, 3))
    weights = [mx.nd.array(start).tostype(stype), mx.nd.array(start)]
    for weight, grad in zip(weights, (sparse, sparse.tostype("default")), strict=True):
        updater = mx.optimizer.get_updater(mx.optimizer.create(name, wd=0.1, **options))
        for _ in range(2):
            updater(0, grad, weight)
    lazy, dense = (weight.asnumpy() for weight in weights)
    np.testing.assert_allclose(lazy[rows], dense[rows], rtol=1e-6)
    np.testing.assert_array_equal(lazy[[0, 2]], start[[0, 2]] if is_lazy else dense[[0, 2]])


def test_a_row_sparse_weight_gets_the_rows_that_it_did_not_have():
    weight = mx.nd.sparse.zeros("row_sparse", (4, 2))
    grad = mx.nd.sparse.row_sparse_array((np.ones((1, 2), np.float32), [2]), shape=(4, 2))
    mx.optimizer.get_updater(mx.optimizer.SGD(learning_rate=1.0))(0, grad, weight)
    assert weight.stype == "row_sparse"
    assert weight.asnumpy().tolist() == [[0, 0], [0, 0], [-1, -1], [0, 0]]


def test_lars_keeps_the_rate_of_the_same_keys_on_a_server_as_in_one_process():
    optimizer = mx.optimizer.LARS(param_idx2name={0: "fc_weight", 1: "fc_bias"})
    rule = from_wire(*optimizer.to_wire())
    on_server = {key: rule.for_key(key) for key in ("i:0", "i:1", "i:2", "s:fc_bias", "s:embed", "s:1")}
    here = {key: optimizer._rule_for(int(key[2:]) if key[0] == "i" else key[2:]) for key in on_server}
    assert on_server == here
    assert [rule.scaled for rule in on_server.values()] == ["all", "none", "all", "none", "all", "all"]


def test_what_mxnet_keeps_apart_is_found_there_and_by_name():
    optimizer = mx.optimizer.contrib.GroupAdaGrad(0.5, learning_rate=2.0)
    assert isinstance(mx.optimizer.create("groupadagrad"), mx.optimizer.contrib.GroupAdaGrad)
    assert optimizer.to_wire() == ("groupadagrad", {"rescale_grad": 1.0, "clip_gradient": None, "eps": 0.5})
    assert optimizer.create_state(0, mx.nd.ones((3, 4))).shape == (3, 1)

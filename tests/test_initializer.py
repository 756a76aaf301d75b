"""Initializers: which name gets what, the distributions' scales, and that a seed settles all of it."""

import json

import numpy as np
import pytest

import psdist as mx
from psdist.errors import ConfigError, ShapeError

SHAPE = (64, 32, 3, 3)


def filled(initializer, name="fc_weight", shape=(4, 6), attrs=None):
    arr = mx.nd.full(shape, 7.0)
    initializer(mx.init.InitDesc(name, attrs), arr)
    return arr.asnumpy()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fc_weight", 3),
        ("fc_bias", 0),
        ("bn_gamma", 1),
        ("bn_beta", 0),
        ("bn_moving_mean", 0),
        ("bn_running_mean", 0),
        ("bn_moving_var", 1),
        ("bn_running_var", 1),
        ("q_min", 0),
        ("q_max", 1),
    ],
)
def test_the_end_of_a_name_says_how_an_array_begins(name, value):
    assert (filled(mx.init.Constant(3), name) == value).all()
    plain = mx.nd.full((4, 6), 7.0)
    mx.init.Constant(3)(name, plain)  # a plain string does as well
    assert (plain.asnumpy() == value).all()


def test_a_variable_s_own_initializer_wins_over_its_name():
    variable = mx.sym.Variable("fc_bias", init=mx.init.Constant(5))
    assert (filled(mx.init.Zero(), "fc_bias", attrs=variable.attr_dict()["fc_bias"]) == 5).all()
    assert (filled(mx.init.Zero(), "anything", attrs={"__init__": '["one", {}]'}) == 1).all()


@pytest.mark.parametrize("factor", ["in", "out", "avg"])
@pytest.mark.parametrize("rnd", ["uniform", "gaussian"])
def test_xavier_keeps_the_signal_s_variance(factor, rnd):
    weight = filled(mx.init.Xavier(rnd, factor, magnitude=2), shape=SHAPE)
    fan = {"in": 32 * 9, "out": 64 * 9, "avg": 48 * 9}[factor]
    scale = np.sqrt(2 / fan)
    if rnd == "uniform":
        assert abs(weight).max() <= scale
        scale /= np.sqrt(3)
    assert weight.std() == pytest.approx(scale, rel=0.03)


def test_orthogonal_rows_are_orthogonal():
    for rand_type in ("uniform", "normal"):
        weight = filled(mx.init.Orthogonal(scale=2.0, rand_type=rand_type), shape=(4, 3, 2))
        rows = weight.reshape(4, 6)
        np.testing.assert_allclose(rows @ rows.T, 4 * np.eye(4), atol=1e-5)


def test_the_other_distributions_have_their_scales():
    assert abs(filled(mx.init.Uniform(0.3), shape=SHAPE)).max() == pytest.approx(0.3, rel=0.01)
    assert filled(mx.init.Normal(0.2), shape=SHAPE).std() == pytest.approx(0.2, rel=0.03)
    prelu = filled(mx.init.MSRAPrelu(slope=0.0), shape=SHAPE)
    assert prelu.std() == pytest.approx(np.sqrt(2 / (48 * 9)), rel=0.03)
    assert filled(mx.init.LSTMBias(2.0), shape=(8,)).tolist() == [0, 0, 2, 2, 0, 0, 0, 0]


def test_bilinear_kernels_interpolate():
    kernel = filled(mx.init.Bilinear(), shape=(2, 1, 4, 4))
    np.testing.assert_allclose(kernel[1, 0, 1], np.array([0.25, 0.75, 0.75, 0.25]) * 0.75)
    upsampled = mx.nd.ones((1, 1, 4, 4))
    mx.init.Zero()("upsampling0", upsampled)
    np.testing.assert_array_equal(upsampled.asnumpy()[0, 0], kernel[0, 0])


@pytest.mark.parametrize("name", sorted({"uniform", "normal", "xavier", "msraprelu", "orthogonal"}))
def test_a_seed_settles_every_draw(name):
    mx.random.seed(4)
    first, second = filled(mx.init.create(name)), filled(mx.init.create(name))
    mx.random.seed(4)
    np.testing.assert_array_equal(filled(mx.init.create(name)), first)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    "initializer",
    [
        mx.init.Xavier(magnitude=2),
        mx.init.Normal(0.3),
        mx.init.Constant(2),
        mx.init.MSRAPrelu(slope=0.1),
        mx.init.LSTMBias(2.0),
        mx.init.One(),
    ],
)
def test_an_initializer_comes_back_from_its_text(initializer):
    again = mx.init.create(initializer.dumps())
    assert again == initializer
    assert json.loads(again.dumps()) == json.loads(initializer.dumps())


def test_patterns_choose_an_initializer():
    mixed = mx.init.Mixed(["fc1.*", ".*"], [mx.init.One(), mx.init.Constant(2)])
    assert (filled(mixed, "fc1_weight") == 1).all()
    assert (filled(mixed, "fc2_weight") == 2).all()
    with pytest.raises(ConfigError, match=r"end the patterns with '\.\*'"):
        filled(mx.init.Mixed(["fc1.*"], [mx.init.One()]), "fc2_weight")


def test_loaded_values_come_first(tmp_path):
    path = str(tmp_path / "some.params")
    mx.nd.save(path, {"arg:fc_weight": mx.nd.full((4, 6), 2.0), "aux:bn_moving_mean": mx.nd.ones(3)})
    loaded = mx.init.Load(path, default_init=mx.init.One())
    assert (filled(loaded, "fc_weight") == 2).all()
    assert (filled(loaded, "other_weight") == 1).all()
    with pytest.raises(ShapeError, match=r"the loaded shape is \(4, 6\); wanted \(2, 2\)"):
        filled(loaded, "fc_weight", shape=(2, 2))
    with pytest.raises(ConfigError, match="no default_init"):
        filled(mx.init.Load(path), "other_weight")


def test_verbosity_logs_each_array(caplog):
    with caplog.at_level("INFO"):
        filled(mx.init.One().set_verbosity(True, lambda arr: "all ones"), "fc_weight")
    assert "initialized fc_weight as One: all ones" in caplog.text


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: filled(mx.init.One(), "something"), ConfigError, "mx.sym.Variable('something', init="),
        (lambda: filled(mx.init.Xavier(), shape=(3,)), ShapeError, "Xavier needs two axes or more"),
        (lambda: filled(mx.init.Xavier("normal")), ConfigError, "wanted 'uniform' or 'gaussian'"),
        (lambda: filled(mx.init.Xavier(factor_type="both")), ConfigError, "wanted 'avg', 'in' or 'out'"),
        (lambda: mx.init.create("xavir"), ConfigError, "did you mean 'xavier'"),
        (lambda: mx.init.One()(3, mx.nd.ones(1)), TypeError, "wanted a string or an InitDesc"),
        (lambda: filled(mx.init.Initializer()), NotImplementedError, "must override _init_weight"),
    ],
)
def test_a_wrong_call_says_what_was_wanted(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert words in str(caught.value)

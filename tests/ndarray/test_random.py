"""Draws: their shapes, dtypes and moments, as arrays and in graphs, and that seeds fix them."""

import numpy as np
import pytest

import psdist as mx

A = mx.nd.array([1, 4])

# distribution: parameters as numbers and as arrays, mean and variance from parameters
DISTRIBUTIONS = {
    "uniform": ((2, 6), (A, A + 2), lambda a, b: ((a + b) / 2, (b - a) ** 2 / 12)),
    "normal": ((3, 2), (A, A), lambda m, s: (m, s**2)),
    "exponential": ((2,), (A,), lambda s: (s, s**2)),
    "gamma": ((3, 2), (A, A), lambda a, b: (a * b, a * b**2)),
    "poisson": ((4,), (A,), lambda m: (m, m)),
    "negative_binomial": ((5, 0.4), (A, A / 8), lambda k, p: (k * (1 - p) / p, k * (1 - p) / p**2)),
    "generalized_negative_binomial": ((3, 0.5), (A, A / 8), lambda m, a: (m, m + a * m**2)),
}
N = 40_000


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_mean_and_variance_are_the_distributions(name):
    numbers, arrays, moments = DISTRIBUTIONS[name]
    draw = getattr(mx.nd.random, name)
    mx.random.seed(7)
    y = draw(*numbers, shape=N)
    assert y.shape == (N,)
    assert y.dtype is np.float32
    mean, variance = moments(*numbers)
    assert y.asnumpy().mean() == pytest.approx(mean, abs=6 * (variance / N) ** 0.5)
    assert y.asnumpy().var() == pytest.approx(variance, rel=0.08)
    each = draw(*arrays, shape=(N, 1))
    assert each.shape == (2, N, 1)
    for i in range(2):
        mean, variance = moments(*(float(a[i].asscalar()) for a in arrays))
        assert each[i].asnumpy().mean() == pytest.approx(mean, abs=6 * (variance / N) ** 0.5)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_shape_dtype_and_out_are_as_asked(name):
    numbers, arrays, _ = DISTRIBUTIONS[name]
    draw = getattr(mx.nd.random, name)
    assert draw(*numbers).shape == (1,)
    assert draw(*numbers, (2, 3)).shape == (2, 3)
    assert draw(*numbers, shape=2, dtype="float64").dtype is np.float64
    assert draw(*numbers, shape=2, dtype="float16").dtype is np.float16
    assert draw(*arrays).shape == (2,)
    out = mx.nd.zeros((2, 3), ctx=mx.cpu(1))
    assert draw(*numbers, out=out) is out
    assert getattr(mx.nd, f"random_{name}")(*numbers, out=out) is out
    assert draw(*numbers, ctx=mx.cpu(2)).context == mx.cpu(2)
    assert getattr(mx.random, name) is draw
    assert getattr(mx.nd.random, f"{name}_like")(out).shape == (2, 3)


def test_a_seed_fixes_every_device_and_one_devices_seed_only_that():
    def draws():
        return [mx.nd.random.normal(shape=3, ctx=mx.cpu(i)).asnumpy().tolist() for i in range(2)]

    mx.random.seed(3)
    first = draws()
    mx.random.seed(3)
    assert draws() == first
    assert first[0] != first[1]
    mx.random.seed(3, ctx=mx.cpu(1))
    one = draws()
    mx.random.seed(3, ctx=mx.cpu(1))
    other = draws()
    assert one[1] == other[1]
    assert one[0] != other[0]


def test_integers_are_drawn_evenly():
    y = mx.nd.random.randint(-2, 3, shape=N)
    assert y.dtype is np.int32
    assert sorted(set(y.asnumpy().tolist())) == [-2, -1, 0, 1, 2]
    assert mx.nd.random.randint(0, 5, shape=2, dtype="int64").dtype is np.int64
    assert mx.nd.random.randn(2, 3, loc=100).asnumpy().min() > 50


def test_indices_are_drawn_by_their_probabilities():
    p = mx.nd.array([[0, 0.25, 0.75], [1, 0, 0]])
    y, log_p = mx.nd.random.multinomial(p, shape=N, get_prob=True)
    assert y.shape == (2, N)
    assert y[0].asnumpy().mean() == pytest.approx(1.75, abs=0.02)
    assert (y[1].asnumpy() == 0).all()
    np.testing.assert_allclose(
        log_p.asnumpy()[0], np.log(np.where(y.asnumpy()[0] == 1, 0.25, 0.75)), rtol=1e-5
    )
    assert mx.nd.random.multinomial(p[1].reshape(3)).shape == (1,)


def test_rows_are_shuffled_whole():
    x = mx.nd.array(np.arange(20).reshape(10, 2))
    y = mx.nd.random.shuffle(x).asnumpy()
    assert (y[:, 1] == y[:, 0] + 1).all()
    assert sorted(y[:, 0]) == list(range(0, 20, 2))


def test_graphs_draw_from_the_devices_generator():
    low, high = mx.sym.var("low"), mx.sym.var("high")
    y = mx.sym.random.uniform(low, high, shape=1000)
    assert y.list_arguments() == ["low", "high"]
    assert y.name.startswith("_sample_uniform")
    ex = y.bind(mx.cpu(), {"low": mx.nd.array([0, 5]), "high": mx.nd.array([1, 9])})
    out = ex.forward()[0].asnumpy()
    assert out.shape == (2, 1000)
    assert 0 <= out[0].min() < out[0].max() < 1
    assert 5 <= out[1].min() < out[1].max() < 9
    normal = mx.sym.random.normal(loc=10, scale=0.1, shape=(2, 3), name="noise")
    assert normal.list_outputs() == ["noise_output"]
    ex = normal.bind(mx.cpu(), {})
    mx.random.seed(5)
    first = ex.forward()[0].asnumpy()
    assert (ex.forward()[0].asnumpy() != first).any()
    mx.random.seed(5)
    assert (ex.forward()[0].asnumpy() == first).all()
    for name in (
        "exponential",
        "gamma",
        "poisson",
        "negative_binomial",
        "generalized_negative_binomial",
        "randn",
    ):
        assert len(getattr(mx.sym.random, name)()) == 1
    assert mx.sym.random.multinomial(mx.sym.var("p")).list_outputs()[1].endswith("_output1")
    assert mx.sym.random.shuffle(mx.sym.var("p")).list_arguments() == ["p"]


def test_errors_name_the_parameter():
    with pytest.raises(ValueError, match="'high' is NDArray, but 'low' is a number"):
        mx.nd.random.uniform(0, A)
    with pytest.raises(ValueError, match="'low' is str; wanted all numbers or all NDArrays"):
        mx.nd.random.uniform("0", 1)
    with pytest.raises(ValueError, match=r"seed_state is 1\.5; wanted an integer"):
        mx.random.seed(1.5)
    with pytest.raises(mx.MXNetError, match="no integer from low=5 to before high=5"):
        mx.nd.random.randint(5, 5)
    with pytest.raises(AttributeError, match=r"mx.random has no 'gauss'; it has seed"):
        mx.random.gauss  # noqa: B018

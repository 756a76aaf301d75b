"""What is special about some kernels, beyond what holds for all."""

import numpy as np
import pytest

import psdist.ops as ops
from psdist.errors import BadIndex, ShapeError
from psdist.ops.indexing import add_rows
from psdist.ops.proposals import _survivors

RNG = np.random.default_rng(0)


def run(name, *arrays, is_train=False, **params):
    op = ops.get(name)
    extra = {"out": None, "outs": None, "is_train": is_train, "rng": RNG}
    with ops.silent():
        return op.kernel(*arrays, **op.parse(params), **{k: extra[k] for k in op.asks})


@pytest.mark.parametrize("repeats", [1, 5, 100])
def test_rows_are_added_where_they_belong(repeats):
    at = np.tile([3, 0, 2], repeats)
    rows = RNG.standard_normal((len(at), 2))
    expected = np.zeros((5, 2))
    np.add.at(expected, at, rows)
    assert np.allclose(add_rows(rows, at, 5), expected)
    assert not add_rows(rows[:0], at[:0], 5).any()


def test_where_keeps_nan_and_infinity_where_they_are():
    x = np.full((70, 70), np.nan, np.float32)
    y = np.full((70, 70), np.inf, np.float32)
    hit = RNG.integers(0, 2, (70, 70)).astype(np.float32)
    assert np.array_equal(run("where", hit, x, y), np.where(hit != 0, x, y), equal_nan=True)


@pytest.mark.parametrize("size", [10, 5000])
def test_relu_passes_nan_and_infinity(size):
    x = np.resize(np.array([np.nan, np.inf, -np.inf, -1, 2], np.float32), size)
    y = run("relu", x)
    assert np.array_equal(y[:5], [np.nan, np.inf, 0, 0, 2], equal_nan=True)


def test_dropout_keeps_the_mean_and_the_share():
    x = np.ones((300, 300), np.float32)
    y, mask = run("Dropout", x, is_train=True, p=0.25)
    assert abs(float((y == 0).mean()) - 0.25) < 0.01
    assert abs(float(y.mean()) - 1) < 0.02
    assert np.array_equal(y, mask)
    assert np.array_equal(run("Dropout", x, p=0.25)[0], x)
    shared, _ = run("Dropout", x, is_train=True, p=0.5, axes=(1,))
    assert all(len(set(row)) == 1 for row in shared.tolist())


def test_batch_norm_moves_its_averages_in_the_backward_pass_alone():
    op = ops.get("BatchNorm")
    x, gamma, beta = RNG.standard_normal((8, 3)), np.ones(3), np.zeros(3)
    mean, var = np.zeros(3), np.ones(3)
    params = op.parse({"momentum": 0.75})
    y = op.kernel(x, gamma, beta, mean, var, **params, is_train=True, out=None)
    assert not mean.any()
    op.backward([np.ones_like(x)], y, [x, gamma, beta, mean, var], params, (True,) * 5)
    assert np.allclose(mean, 0.25 * x.mean(axis=0))
    assert np.allclose(var, 0.75 + 0.25 * x.var(axis=0))


def test_gradients_that_layer_norm_sums_over_many_rows_keep_their_digits():
    op = ops.get("LayerNorm")
    x, g = (RNG.standard_normal((4099, 8)).astype(np.float32) for _ in range(2))
    params = op.parse({})
    gamma, beta = np.ones(8, np.float32), np.zeros(8, np.float32)
    _, _, found = op.backward([g], op.kernel(x, gamma, beta, **params), [x, gamma, beta], params, (True,) * 3)
    exact = g.sum(axis=0, dtype=np.float64)
    assert np.abs(found - exact).max() < 0.5 * np.abs(g.sum(axis=0) - exact).max()


def test_special_functions_are_exact_to_a_few_ulp():
    from math import erf, gamma, lgamma

    x = np.array([0.1, 0.46, 0.48, 1.5, 3.9, 4.1, 20.5])
    assert np.allclose(run("erf", x), [erf(v) for v in x], rtol=1e-15)
    assert np.allclose(run("gamma", x), [gamma(v) for v in x], rtol=1e-14)
    assert np.allclose(run("gammaln", x), [lgamma(v) for v in x], rtol=1e-14, atol=1e-15)
    u = np.array([-0.999999, -0.5, 1e-9, 0.3, 0.999])
    assert np.allclose(run("erf", run("erfinv", u)), u, rtol=1e-12)
    assert run("erfinv", np.array([1.0, -1.0])).tolist() == [np.inf, -np.inf]


def test_a_take_that_raises_names_index_and_size():
    with pytest.raises(ShapeError, match="index 7 is out of range for an axis of size 3"):
        run("take", np.zeros((3, 2)), np.array([0, 7]), mode="raise")


@pytest.mark.parametrize(
    ("name", "params", "mean", "deviation"),
    [
        ("_random_uniform", {"low": -1, "high": 3}, 1, 4 / 12**0.5),
        ("_random_normal", {"loc": 2, "scale": 3}, 2, 3),
        ("_random_gamma", {"alpha": 4, "beta": 0.5}, 2, 1),
        ("_random_exponential", {"lam": 2}, 0.5, 0.5),
        ("_random_poisson", {"lam": 4}, 4, 2),
        ("_random_negative_binomial", {"k": 4, "p": 0.5}, 4, 8**0.5),
        ("_random_generalized_negative_binomial", {"mu": 2, "alpha": 0.5}, 2, 2),
        ("_random_randint", {"low": 0, "high": 11}, 5, 10**0.5),
    ],
)
def test_draws_have_their_mean_and_deviation(name, params, mean, deviation):
    x = run(name, shape=(200, 200), **params)
    assert abs(float(x.mean()) - mean) < 0.05 * max(1, deviation)
    assert abs(float(x.std()) - deviation) < 0.05 * max(1, deviation)


def test_a_multinomial_draws_by_its_probabilities():
    p = np.array([[0.1, 0.2, 0.7], [0.5, 0.5, 0]])
    at, logp = run("_sample_multinomial", p, shape=(4000,), get_prob=True)
    share = np.stack([np.bincount(row, minlength=3) for row in at]) / 4000
    assert np.abs(share - p).max() < 0.05
    assert np.allclose(logp, np.log(np.take_along_axis(p, at, 1)))


def test_a_step_may_write_its_weight_in_place():
    w, g, m = RNG.standard_normal((3, 6)).astype(np.float32)
    op = ops.get("sgd_mom_update")
    params = op.parse({"lr": 0.5, "momentum": 0.9, "wd": 0.1})
    expected = op.kernel(w, g, m.copy(), **params, out=None)
    assert op.kernel(w, g, m.copy(), **params, out=w) is w
    assert np.array_equal(w, expected)


@pytest.mark.parametrize(
    ("name", "shape", "params"),
    [
        ("tile", (4, 4), {"reps": (1, 0)}),
        ("depth_to_space", (2, 3, 4, 4), {"block_size": 2}),
        ("depth_to_space", (2, 4, 4, 4), {"block_size": 0}),
        ("space_to_depth", (2, 4, 4, 4), {"block_size": 0}),
        ("Pooling", (1, 1, 10), {"kernel": (2,), "pad": (2,), "pooling_convention": "same"}),
        ("Pooling", (1, 1, 10), {"kernel": (2,), "pad": (1, 1, 1)}),
    ],
)
def test_parameters_that_make_no_shape_are_refused(name, shape, params):
    op = ops.get(name)
    with pytest.raises(ShapeError):
        op.infer_shape([shape], op.parse(params))


def test_padding_of_nothing_fits_any_dimension():
    op = ops.get("Pooling")
    params = op.parse({"kernel": (2,), "stride": (2,), "pad": (0, 0, 0), "pooling_convention": "same"})
    assert op.infer_shape([(1, 1, 10)], params)[1] == [(1, 1, 5)]


@pytest.mark.parametrize("wrong", [3, -4])
def test_gather_nd_names_the_index_that_is_out_of_bounds(wrong):
    with pytest.raises(BadIndex, match=f"index {wrong} is out of bounds for axis 1 with size 3"):
        run("gather_nd", np.zeros((2, 3)), np.array([[0, 1], [0, wrong]]))


def test_what_a_ctc_loss_does_not_read_may_be_anything():
    data = RNG.standard_normal((5, 2, 4)).astype(np.float32)
    label, lengths = np.array([[1, 2], [3, 1]]), (np.array([3, 3]), np.array([2, 2]))
    given = {"use_data_lengths": True, "use_label_lengths": True}
    loss, grad = run("CTCLoss", data, label, *lengths, **given)
    data[3:] = np.nan
    again = run("CTCLoss", data, label, *lengths, **given)
    np.testing.assert_array_equal(again[0], loss)
    np.testing.assert_array_equal(again[1], grad)
    assert not grad[3:].any()


def test_the_upper_cholesky_factor_is_read_from_the_upper_triangle():
    a = RNG.standard_normal((3, 3))
    a = a @ a.T + np.eye(3)
    upper = run("_linalg_potrf", np.triu(a), lower=False)
    np.testing.assert_allclose(upper.T @ upper, a)
    np.testing.assert_allclose(run("_linalg_potri", upper, lower=False), np.linalg.inv(a))


@pytest.mark.parametrize("count", [3, 5000])
def test_the_boxes_that_survive_are_those_of_the_plain_rule(count):
    corner = RNG.random((400, 2)) * 300
    boxes = np.concatenate([corner, corner + RNG.random((400, 2)) * 90], axis=1).astype(np.float32)
    kept = []
    for i, (left, top, right, bottom) in enumerate(boxes):
        area = (right - left + 1) * (bottom - top + 1)
        for j in kept:
            x0, y0, x1, y1 = boxes[j]
            both = max(min(right, x1) - max(left, x0) + 1, 0) * max(min(bottom, y1) - max(top, y0) + 1, 0)
            if both / (area + (x1 - x0 + 1) * (y1 - y0 + 1) - both) > 0.5:
                break
        else:
            kept.append(i)
    assert len(kept) > 64  # more than one sweep
    assert _survivors(boxes, 0.5, count) == kept[:count]

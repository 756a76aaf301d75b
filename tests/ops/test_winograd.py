"""Winograd's convolution against the direct one."""

import numpy as np
import pytest

import psdist.ops as ops
from psdist.ops import columns, winograd
from psdist.ops.columns import Geometry

CONV = ops.get("Convolution")


def draw(*shape):
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize(("space", "pad"), [((9, 10), 0), ((13, 8), 1), ((16, 16), 2), ((12, 11), 1)])
def test_both_ways_agree_to_a_few_parts_in_a_million(space, pad):
    geometry = Geometry.of(space, (3, 3), (), (), (pad, pad))
    x, w = draw(5, *space, 2), draw(6, 5 * 9)
    g = draw(6, *geometry.out, 2)
    for a, b in (
        (winograd.convolve(x, w, geometry), columns.convolve(x, w, geometry)),
        (
            winograd.convolve_data_gradient(g, w, 5, geometry),
            columns.convolve_data_gradient(g, w, 5, geometry),
        ),
        (winograd.convolve_weight_gradient(g, x, geometry), columns.convolve_weight_gradient(g, x, geometry)),
    ):
        assert a.shape == b.shape
        assert np.sqrt(np.mean(np.square(a - b)) / np.mean(np.square(b))) < 1e-5


def test_it_is_chosen_for_wide_float32_convolutions_alone(monkeypatch):
    geometry = Geometry.of((16, 16), (3, 3), (), (), (1, 1))
    assert winograd.wins(64, 64, geometry, np.float32)
    assert not winograd.wins(64, 64, geometry, np.float64)
    assert not winograd.wins(3, 64, geometry, np.float32)
    assert not winograd.wins(64, 64, Geometry.of((16, 16), (3, 3), (2, 2), (), (1, 1)), np.float32)
    assert not winograd.wins(64, 64, Geometry.of((16, 16), (5, 5), (), (), (2, 2)), np.float32)


def test_tune_off_goes_the_direct_way():
    x, w = draw(2, 32, 8, 8), draw(32, 32, 3, 3)
    params = {"kernel": (3, 3), "pad": (1, 1), "num_filter": 32, "no_bias": True}
    quick, exact = (CONV.kernel(x, w, **CONV.parse({**params, "cudnn_tune": tune})) for tune in (None, "off"))
    direct = columns.batch_first(
        columns.convolve(
            columns.batch_last(x), w.reshape(32, -1), Geometry.of((8, 8), (3, 3), (), (), (1, 1))
        )
    )
    assert np.array_equal(exact, direct)
    assert not np.array_equal(quick, direct)
    assert np.allclose(quick, direct, rtol=1e-4, atol=1e-4)

"""Functions of `mx.nd.contrib` that are more than one operator."""

import numpy as np
import pytest

import psdist as mx
from psdist.errors import BadType, ShapeError


def test_a_mask_selects_slices_and_only_they_get_a_gradient():
    x = mx.nd.array([[1, 2], [3, 4], [5, 6]])
    x.attach_grad()
    with mx.autograd.record():
        y = mx.nd.contrib.boolean_mask(x, mx.nd.array([0, 1, 1]))
        (y * 2).sum().backward()
    assert y.asnumpy().tolist() == [[3, 4], [5, 6]]
    assert x.grad.asnumpy().tolist() == [[0, 0], [2, 2], [2, 2]]
    columns = mx.nd.contrib.boolean_mask(x, mx.nd.array([1, 0]), axis=1)
    assert columns.asnumpy().tolist() == [[1], [3], [5]]
    with pytest.raises(ShapeError, match=r"index is \(2,\); wanted \(3,\)"):
        mx.nd.contrib.boolean_mask(x, mx.nd.array([0, 1]))


def test_a_csr_array_tells_how_much_it_stores_and_where():
    csr = mx.nd.array([[0, 1, 2], [3, 0, 0]]).tostype("csr")
    counts = [mx.nd.contrib.getnnz(csr, axis=axis).asnumpy().tolist() for axis in (None, 0, 1)]
    assert counts == [[3], [1, 1, 1], [2, 1]]
    found = mx.nd.contrib.edge_id(csr, mx.nd.array([0, 0, 1]), mx.nd.array([0, 1, 0]))
    assert found.asnumpy().tolist() == [-1, 1, 3]
    with pytest.raises(BadType, match="getnnz: data is NDArray; wanted a CSRNDArray"):
        mx.nd.contrib.getnnz(mx.nd.zeros((2, 2)))


def steps(function, *more, **options):
    w = [mx.nd.array([1.0, 2.0]), mx.nd.array([3.0])]
    g = [mx.nd.array([0.1, 0.2]), mx.nd.array([0.3])]
    mean, var = ([mx.nd.zeros(x.shape) for x in w] for _ in range(2))
    function(w, g, mean, var, *more, out=w, **options)
    return np.concatenate([x.asnumpy() for x in w])


def test_several_weights_step_as_they_would_alone():
    def one_by_one(w, g, mean, var, scale, out):
        for i in range(2):
            mx.nd.contrib.adamw_update(
                w[i], g[i], mean[i], var[i], scale, lr=0.1 * (i + 1), eta=1, wd=0.1, out=out[i]
            )

    rates = {"lrs": [0.1, 0.2], "wds": [0.1, 0.1], "etas": [1, 1]}
    together = steps(mx.nd.contrib.multi_adamw_update, 0.5, **rates)
    assert np.array_equal(together, steps(one_by_one, mx.nd.array([0.5])))
    moved = steps(mx.nd.contrib.multi_lamb_update, [1, 1], [0.1, 0.2], [0.1, 0.1])
    assert np.allclose(moved, [0.8489038, 1.8351669, 2.4], atol=1e-4)  # MXNet 1.9.1
    assert (moved < [1, 2, 3]).all()

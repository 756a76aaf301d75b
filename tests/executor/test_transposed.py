"""Planned Deconvolution against the walk over the operators."""

import numpy as np
import pytest

import psdist as mx
from psdist.executor.plan import PLAIN, Options

from .test_plan import close, ran

SIZES = {
    "doubling": {"kernel": (4, 4), "stride": (2, 2), "pad": (1, 1)},
    "cells added at the end": {
        "kernel": (3, 3),
        "stride": (2, 2),
        "pad": (1, 1),
        "adj": (1, 1),
        "num_group": 2,
    },
    "uneven": {"kernel": (3, 2), "stride": (2, 1), "pad": (0, 1), "dilate": (2, 2)},
    "one dimension": {"kernel": (3,), "stride": (2,), "pad": (1,), "adj": (1,)},
    "a target shape": {"kernel": (4, 4), "stride": (2, 2), "target_shape": (13, 12)},
    "a target shape with an odd rest": {"kernel": (3, 3), "target_shape": (7, 6)},
    "a stride of one": {"kernel": (3, 3), "pad": (1, 1)},
    "a point": {"kernel": (1, 1)},
}


@pytest.mark.parametrize("no_bias", [True, False])
@pytest.mark.parametrize("name", SIZES)
def test_a_transposed_convolution_is_planned_as_a_convolutions_gradient(name, no_bias):
    sizes, rng = SIZES[name], np.random.default_rng(0)
    x = mx.sym.Deconvolution(mx.sym.Variable("x"), num_filter=6, no_bias=no_bias, **sizes)
    loss = mx.sym.MakeLoss(mx.sym.sum(mx.sym.square(x)))
    executors = [loss.simple_bind(mx.cpu(), x=(3, 4, 6, 5)[: 2 + len(sizes["kernel"])]) for _ in range(2)]
    for a, b in zip(executors[0].arg_arrays, executors[1].arg_arrays, strict=True):
        a[:] = b[:] = rng.standard_normal(a.shape)
    executors[0]._options, executors[1]._options = Options(), PLAIN
    titles = {i.title for i in executors[0]._plan(True).instrs}
    assert ("Deconvolution" not in titles) == (name != "a target shape with an odd rest")
    close(ran(executors[0], True), ran(executors[1], True, walk=True))

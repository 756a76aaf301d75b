"""Transposed convolution in a plan: a convolution's instructions (`window`) with its sides exchanged.

What Deconvolution computes is the gradient of a convolution's data, from the output's. So its result is planned as that
gradient, its data's gradient as the convolution, and its weight's as the convolution's weight's. Promise: tolerance, as
there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ops.columns import full
from ..ops.conv import transposed_geometry
from . import window
from .ir import Value
from .lower import rule
from .trace import Builder, Traced

__all__: list[str] = []


def _geometry(step: Any, x: Value, y: Value) -> tuple[window.Geometry, tuple[int, ...]] | None:
    """The sizes of the convolution that would make `x` of `y`, and its padding; None where it is not planned."""
    params, dims = step.params, len(x.shape) - 2
    if not window.is_plain(params):
        return None
    names = ("kernel", "stride", "dilate", "pad", "adj", "target_shape")
    found = transposed_geometry(x.shape[2:], *(params[n] for n in names))
    pad = full(tuple(found.pad), dims, 0)
    g = window.geometry({**params, "pad": pad}, y, x)
    if g is None:
        return None
    for size, k, s, d, p, out in zip(g.space, g.kernel, g.stride, g.dilate, g.pad, g.out, strict=True):
        if (size + 2 * p - d * (k - 1) - 1) // s + 1 != out:
            return None  # a target shape that is a cell larger than this padding gives
    return g, pad


def _forward(b: Builder, step: Any, ins: Sequence[Value], is_train: bool) -> list[Value] | None:
    x, weight = ins[:2]
    shape = window.step_shape(step, x, weight)
    order = window.innermost(len(shape))
    y = Value(shape, x.dtype, order=order)
    found = _geometry(step, x, y)
    if found is None:
        return None
    made = window.data_gradient(b, b.ordered(x, order), weight, y, *found)
    if len(ins) > 2:
        made = (Traced(b, made) + Traced(b, ins[2]).reshape(-1, *(1,) * (len(shape) - 2))).v
    return [made]


def _backward(
    b: Builder, step: Any, heads: Sequence[Value], outs: Sequence[Value], ins: Sequence[Value], is_train: bool
) -> list[Value | None] | None:
    x, weight = ins[:2]
    found = _geometry(step, x, outs[0])
    if found is None:
        return None
    g, pad = found
    order = window.innermost(len(x.shape))
    head = b.ordered(heads[0], order)
    grads: list[Value | None] = [None] * len(ins)
    wide = window.padded(b, head, pad, pad)
    if step.needs[0]:
        grads[0] = made = Value(x.shape, x.dtype, order=order)
        b.emit(window.Convolve(wide, weight, None, made, g))
    if step.needs[1]:
        grads[1] = made = Value(weight.shape, weight.dtype)
        b.emit(window.ConvolveWeight(b.ordered(x, order), wide, made, g))
    if len(ins) > 2 and step.needs[2]:
        grads[2] = b.reduce(np.add, head, (0, *range(2, len(x.shape))), False)
    return grads


rule("Deconvolution", _forward, _backward)

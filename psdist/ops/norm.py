"""Normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .registry import op
from .signature import Shape

Array = NDArray[Any]


def _channels(s: Shape, axis: int) -> int:
    return s[axis]


def _wide(v: Array, ndim: int, axis: int) -> Array:
    """A vector over the channels, so that it broadcasts with the data."""
    return v.reshape(tuple(-1 if i == axis % ndim else 1 for i in range(ndim)))


@op(
    "(*s), (c), (c), (c), (c) -> (*s), (c), (c)",
    types="T, T, T, T, T -> T, T, T",
    where={"c": _channels},
    aux=("moving_mean", "moving_var"),
    outputs=("output", "mean", "var"),
    num_visible=lambda p: 3 if p["output_mean_var"] else 1,
    aliases=["BatchNorm_v1"],
)
def BatchNorm(
    data: Array,
    gamma: Array,
    beta: Array,
    moving_mean: Array,
    moving_var: Array,
    /,
    *,
    eps: float = 1e-3,
    momentum: float = 0.9,
    fix_gamma: bool = True,
    use_global_stats: bool = False,
    output_mean_var: bool = False,
    axis: int = 1,
    cudnn_off: bool = False,
    min_calib_range: float | None = None,
    max_calib_range: float | None = None,
    is_train: bool,
) -> Any:
    """gamma · (x - mean) / √(var + eps) + beta for each index of `axis`. Ioffe and Szegedy, arXiv:1502.03167.

    In training, mean and variance are the batch's, and the moving ones follow them: m ← momentum · m + (1 - momentum) · batch.
    Elsewhere, or with `use_global_stats`, the moving ones are used. `fix_gamma` takes gamma for 1."""
    x = data
    axes = tuple(i for i in range(x.ndim) if i != axis % x.ndim)
    if is_train and not use_global_stats:
        mean = x.mean(axis=axes)
        var = np.square(x - _wide(mean, x.ndim, axis)).mean(axis=axes)
        for moving, batch in ((moving_mean, mean), (moving_var, var)):
            moving *= moving.dtype.type(momentum)
            moving += batch * batch.dtype.type(1 - momentum)
    else:
        mean, var = moving_mean.copy(), moving_var.copy()
    if fix_gamma:
        gamma[...] = 1
    scale = gamma / np.sqrt(var + var.dtype.type(eps))
    y = x * _wide(scale, x.ndim, axis)
    y += _wide(beta - mean * scale, x.ndim, axis)
    return y, mean, var


@BatchNorm.gradient
def _(
    *arrays: Array,
    eps: float,
    fix_gamma: bool,
    use_global_stats: bool,
    output_mean_var: bool,
    axis: int,
    is_train: bool,
    **_: Any,
) -> Any:
    g = arrays[0]
    mean, var, x, gamma = arrays[-7], arrays[-6], arrays[-5], arrays[-4]
    axes = tuple(i for i in range(x.ndim) if i != axis % x.ndim)
    inv = 1 / np.sqrt(var + var.dtype.type(eps))
    normal = (x - _wide(mean, x.ndim, axis)) * _wide(inv, x.ndim, axis)
    g_beta = g.sum(axis=axes)
    g_gamma = (g * normal).sum(axis=axes)
    if use_global_stats or not is_train:
        g_x = g * _wide(gamma * inv, x.ndim, axis)
    else:
        count = x.dtype.type(g_beta.size / x.size)
        g_x = g - _wide(g_beta * count, x.ndim, axis) - normal * _wide(g_gamma * count, x.ndim, axis)
        g_x *= _wide(gamma * inv, x.ndim, axis)
    return g_x, np.zeros_like(gamma) if fix_gamma else g_gamma, g_beta, None, None

"""Normalisation."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, ShapeError
from .registry import Params, op
from .signature import Shape

Array = NDArray[Any]


def _in_float32(x: Array) -> Array:
    return x.astype(np.float32) if x.dtype == np.float16 else x


def _by_channel(x: Array, axis: int) -> Array:
    """The array as (before, channels, after); a view."""
    s = x.shape
    axis %= len(s)
    return x.reshape(math.prod(s[:axis]), s[axis], math.prod(s[axis + 1 :]))


def _channel_sum(x: Array) -> Any:
    """Σ over all but the channels, of (before, channels, after). The contiguous axis first: pairwise and SIMD."""
    return x.sum(axis=2).sum(axis=0) if x.shape[2] > 1 else x[:, :, 0].sum(axis=0)


def _channel_dot(x: Array, y: Array) -> Any:
    """Σ x y over all but the channels, without a temporary where BLAS can do it."""
    return np.vecdot(x, y).sum(axis=0) if x.shape[2] > 1 else (x[:, :, 0] * y[:, :, 0]).sum(axis=0)


def _batch_norm_shape(ins: list[Shape | None], params: Params, outs: list[Shape | None]) -> Any:
    s = ins[0] or outs[0]
    if s is None:
        return ins, outs
    if not -len(s) <= params.get("axis", 1) < len(s):
        raise ShapeError(f"axis {params.get('axis', 1)} is out of range for {s}")
    c = (s[params.get("axis", 1)],)
    for name, given in zip(("gamma", "beta", "moving_mean", "moving_var"), ins[1:], strict=False):
        if given is not None and given != c and 0 not in c and 0 not in given:
            raise ShapeError(f"{name} is {given}, but there are {c[0]} channels in {s}")
    return [s, *[c] * (len(ins) - 1)], [s, c, c]


def _batch_norm_types(ins: list[str | None], params: Params) -> Any:
    """Statistics of float16 are float32."""
    kept = "float32" if ins[0] == "float16" else ins[0]
    return [ins[0], *(t or kept for t in ins[1:])], [ins[0], kept, kept]


def _batch_norm(data: Array, gamma: Array, beta: Array, moving_mean: Array, moving_var: Array, /, *,
                eps: float, fix_gamma: bool, use_global_stats: bool, axis: int = 1, is_train: bool,
                out: Array | None = None) -> Any:  # fmt: skip
    x = _by_channel(_in_float32(data), axis)
    is_wide = data.dtype != np.float16  # not float16, which is computed in float32 and rounded
    y = np.empty_like(x) if out is None or not is_wide else _by_channel(out, axis)
    if is_train and not use_global_stats:
        count = x.size // x.shape[1]
        mean = _channel_sum(x)
        mean *= 1 / count
        np.subtract(x, mean[:, None], out=y)
        var = _channel_dot(y, y)
        var *= 1 / count
    else:
        mean, var = moving_mean.copy(), moving_var.copy()
        np.subtract(x, mean[:, None], out=y)
    if fix_gamma:
        gamma[...] = 1
    scale = gamma / np.sqrt(var + eps)
    y *= scale[:, None]
    y += beta[:, None]
    return (y.reshape(data.shape) if is_wide else y.reshape(data.shape).astype(data.dtype)), mean, var


@op(shape=_batch_norm_shape, types=_batch_norm_types, aux=("moving_mean", "moving_var"), mutates=("gamma",),
    outputs=("output", "mean", "var"), num_visible=lambda p: 3 if p["output_mean_var"] else 1)  # fmt: skip
def BatchNorm(data: Array, gamma: Array, beta: Array, moving_mean: Array, moving_var: Array, /, *,
              eps: float = 1e-3, momentum: float = 0.9, fix_gamma: bool = True, use_global_stats: bool = False,
              output_mean_var: bool = False, axis: int = 1, cudnn_off: bool = False,
              min_calib_range: float | None = None, max_calib_range: float | None = None, is_train: bool,
              out: Array | None = None) -> Any:  # fmt: skip
    """gamma · (x - mean) / √(var + eps) + beta for each index of `axis`. Ioffe and Szegedy, arXiv:1502.03167.

    In training, mean and variance are the batch's, and in the backward pass the moving ones follow them:
    m ← momentum · m + (1 - momentum) · batch. Elsewhere, or with `use_global_stats`, the moving ones are used.
    `fix_gamma` sets gamma to 1. The outputs that `output_mean_var` shows are the mean and 1 / √(variance + eps)."""
    y, mean, var = _batch_norm(data, gamma, beta, moving_mean, moving_var, eps=eps, fix_gamma=fix_gamma,
                               use_global_stats=use_global_stats, axis=axis, is_train=is_train, out=out)  # fmt: skip
    return y, mean, 1 / np.sqrt(var + eps) if output_mean_var else var


@op(shape=_batch_norm_shape, types=_batch_norm_types, aux=("moving_mean", "moving_var"), mutates=("gamma",),
    outputs=("output", "mean", "var"), num_visible=lambda p: 3 if p["output_mean_var"] else 1)  # fmt: skip
def BatchNorm_v1(data: Array, gamma: Array, beta: Array, moving_mean: Array, moving_var: Array, /, *,
                 eps: float = 1e-3, momentum: float = 0.9, fix_gamma: bool = True, use_global_stats: bool = False,
                 output_mean_var: bool = False, is_train: bool, out: Array | None = None) -> Any:  # fmt: skip
    """BatchNorm over axis 1, under its old name."""
    return _batch_norm(data, gamma, beta, moving_mean, moving_var, eps=eps, fix_gamma=fix_gamma,
                       use_global_stats=use_global_stats, is_train=is_train, out=out)  # fmt: skip


def _batch_norm_gradient(*arrays: Array, eps: float, momentum: float, fix_gamma: bool, use_global_stats: bool,
                         is_train: bool, needs: tuple[bool, ...], axis: int | None = None,
                         output_mean_var: bool, **_: Any) -> Any:  # fmt: skip
    mean, var, data, gamma = arrays[-7:-3]
    if axis is None:
        axis = 1  # BatchNorm_v1's; it shows the variance itself
    elif output_mean_var:
        var = 1 / var**2 - eps
    scale: Any = 1 if fix_gamma else gamma
    g = _by_channel(_in_float32(arrays[0]), axis)
    x = _by_channel(_in_float32(data), axis)
    inv = 1 / np.sqrt(var + eps)
    centred = x - mean[:, None]
    g_beta = _channel_sum(g)
    g_gamma = _channel_dot(g, centred)
    g_gamma *= inv
    if use_global_stats or not is_train:
        g_x = np.multiply(g, (scale * inv)[:, None], out=centred)
    else:
        share = x.shape[1] / x.size
        centred *= (g_gamma * inv * share)[:, None]
        g_x = np.subtract(g, centred, out=centred)
        g_x -= (g_beta * share)[:, None]
        g_x *= (scale * inv)[:, None]
        for moving, batch in zip(arrays[-2:], (mean, var), strict=True):
            moving *= momentum
            moving += batch * (1 - momentum)
    g_x = g_x.reshape(data.shape).astype(data.dtype, copy=False)
    return g_x, np.zeros_like(gamma) if fix_gamma else g_gamma, g_beta, None, None


BatchNorm.gradient(_batch_norm_gradient)
BatchNorm_v1.gradient(_batch_norm_gradient)


# -- over other groups of elements: rows of (rows, size), each with its own mean and deviation --------------------


def _normal_rows(x: Array, eps: float) -> tuple[Any, Any, Any]:
    """(x - mean) / √(var + eps) of each row, the mean, and the deviation √(var + eps)."""
    mean = x.mean(axis=-1, keepdims=True)
    y = x - mean
    std = np.sqrt(np.vecdot(y, y)[..., None] * (1 / x.shape[-1]) + eps)
    y /= std
    return y, mean, std


def _normal_rows_gradient(g: Array, normal: Array, std: Array) -> Any:
    share = 1 / g.shape[-1]
    grad = g - g.mean(axis=-1, keepdims=True)
    grad -= normal * (np.vecdot(g, normal)[..., None] * share)
    grad /= std
    return grad


def _layer_norm_rows(x: Array, axis: int) -> Array:
    return _in_float32(x if axis % x.ndim == x.ndim - 1 else np.moveaxis(x, axis, -1))


def _unmoved(y: Array, axis: int, dtype: Any) -> Any:
    moved = y if axis % y.ndim == y.ndim - 1 else np.moveaxis(y, -1, axis)
    return np.ascontiguousarray(moved.astype(dtype, copy=False))


@op("(*s), (c), (c) -> (*s), (*r), (*r)", where={"c": lambda s, axis: s[axis], "r": lambda s, axis: (
    *s[: axis % len(s)], 1, *s[axis % len(s) + 1 :])}, outputs=("output", "mean", "std"),
    num_visible=lambda p: 3 if p["output_mean_var"] else 1, types="T, T, T -> T, T, T")  # fmt: skip
def LayerNorm(data: Array, gamma: Array, beta: Array, /, *, axis: int = -1, eps: float = 1e-5,
              output_mean_var: bool = False) -> Any:  # fmt: skip
    """gamma · (x - mean) / √(var + eps) + beta, with mean and variance along `axis`. Ba et al., arXiv:1607.06450.

    The second and third output are the mean and the deviation √(var + eps)."""
    y, mean, std = _normal_rows(_layer_norm_rows(data, axis), eps)
    y *= gamma
    y += beta
    return tuple(_unmoved(v, axis, data.dtype) for v in (y, mean, std))


@LayerNorm.gradient
def _(*arrays: Array, axis: int, eps: float, output_mean_var: bool) -> Any:
    g, mean, std, data, gamma = arrays[0], *arrays[-5:-1]
    g, mean, std, x = (_layer_norm_rows(v, axis) for v in (g, mean, std, data))
    normal = (x - mean) / std
    g_x = _normal_rows_gradient(g * gamma, normal, std)
    return (
        _unmoved(g_x, axis, data.dtype),
        _row_sum(g * normal).astype(gamma.dtype),
        _row_sum(g).astype(gamma.dtype),
    )


def _row_sum(x: Array) -> Any:
    """Σ over all axes but the last. In blocks of rows: one long sum of float32 would lose a digit in thousands."""
    rows = x.reshape(-1, x.shape[-1])
    size = math.isqrt(len(rows))
    whole = size * size
    return rows[:whole].reshape(size, size, -1).sum(axis=1).sum(axis=0) + rows[whole:].sum(axis=0)


def _per_channel(v: Array, ndim: int) -> Array:
    return v.reshape(1, -1, *(1,) * (ndim - 2))


@op("(n, c, *s), (c), (c) -> (n, c, *s), (*r), (*r)", where={"r": lambda n, c: (n, c)},
    outputs=("output", "mean", "var"), num_visible=1)  # fmt: skip
def InstanceNorm(data: Array, gamma: Array, beta: Array, /, *, eps: float = 1e-3) -> Any:
    """gamma · (x - mean) / √(var + eps) + beta, with mean and variance over the space of each channel of each
    example. Ulyanov et al., arXiv:1607.08022."""
    y, mean, std = _normal_rows(data.reshape(*data.shape[:2], -1), eps)
    y *= gamma[:, None]
    y += beta[:, None]
    return y.reshape(data.shape), mean[..., 0], np.square(std[..., 0]) - eps


@InstanceNorm.gradient
def _(
    g: Array, _y: Array, mean: Array, var: Array, data: Array, gamma: Array, _beta: Array, /, *, eps: float
) -> Any:
    g, x = g.reshape(*g.shape[:2], -1), data.reshape(*g.shape[:2], -1)
    std = np.sqrt(var + eps)[..., None]
    normal = (x - mean[..., None]) / std
    g_x = _normal_rows_gradient(g * gamma[:, None], normal, std)
    return g_x.reshape(data.shape), np.vecdot(g, normal).sum(axis=0), g.sum(axis=2).sum(axis=0)


@op("(n, c, *s), (num_groups), (num_groups) -> (n, c, *s), (n, num_groups), (n, num_groups)",
    outputs=("output", "mean", "std"), num_visible=lambda p: 3 if p["output_mean_var"] else 1)  # fmt: skip
def GroupNorm(data: Array, gamma: Array, beta: Array, /, *, num_groups: int = 1, eps: float = 1e-5,
              output_mean_var: bool = False) -> Any:  # fmt: skip
    """gamma · (x - mean) / √(var + eps) + beta, with mean and variance over `num_groups` groups of channels of each
    example, and a gamma and a beta for each group. Wu and He, arXiv:1803.08494."""
    if data.shape[1] % num_groups:
        raise ShapeError(f"GroupNorm: {data.shape[1]} channels do not split into num_groups={num_groups}")
    y, mean, std = _normal_rows(data.reshape(len(data), num_groups, -1), eps)
    y *= gamma[:, None]
    y += beta[:, None]
    return y.reshape(data.shape), mean[..., 0], std[..., 0]


@GroupNorm.gradient
def _(*arrays: Array, num_groups: int, eps: float, output_mean_var: bool) -> Any:
    mean, std, data, gamma = arrays[-5:-1]
    g, x = (v.reshape(len(data), num_groups, -1) for v in (arrays[0], data))
    normal = (x - mean[..., None]) / std[..., None]
    g_x = _normal_rows_gradient(g * gamma[:, None], normal, std[..., None])
    return g_x.reshape(data.shape), np.vecdot(g, normal).sum(axis=0), g.sum(axis=2).sum(axis=0)


def _l2_norm_shape(s: Shape, mode: str) -> Shape:
    return {"instance": (s[0],), "channel": (s[0], *s[2:]), "spatial": s[:2]}[mode]


@op("(*s) -> (*s), (*r)", where={"r": _l2_norm_shape}, outputs=("output", "norm"), num_visible=1)
def L2Normalization(data: Array, /, *, eps: float = 1e-10,
                    mode: Literal["channel", "instance", "spatial"] = "instance") -> Any:  # fmt: skip
    """x / √(Σ x² + eps), the sum over each example (`instance`), over the channels of each place (`channel`) or over
    the space of each channel (`spatial`)."""
    axes = {"instance": range(1, data.ndim), "channel": (1,), "spatial": range(2, data.ndim)}[mode]
    norm = np.sqrt(np.square(data).sum(axis=tuple(axes), keepdims=True) + eps)
    return data / norm, norm.reshape(_l2_norm_shape(data.shape, mode))


@L2Normalization.gradient
def _(g: Array, y: Array, norm: Array, _x: Array, /, *, eps: float, mode: str) -> Any:
    axes = tuple({"instance": range(1, g.ndim), "channel": (1,), "spatial": range(2, g.ndim)}[mode])
    wide = norm.reshape([1 if i in axes else n for i, n in enumerate(g.shape)])
    return (g - y * (g * y).sum(axis=axes, keepdims=True)) / wide


def _window_sum(x: Array, size: int) -> Any:
    """Σ over `size` neighbouring channels, centred; a running difference of cumulated sums would lose digits."""
    half = size // 2
    y = x.copy()
    for d in range(1, half + 1):
        y[:, d:] += x[:, :-d]
        y[:, :-d] += x[:, d:]
    return y


@op("(n, c, *s) -> (n, c, *s)", outputs=("output", "tmp_norm"), num_visible=1)
def LRN(data: Array, /, *, alpha: float = 1e-4, beta: float = 0.75, knorm: float = 2.0, nsize: int) -> Any:
    """x / (`knorm` + `alpha`/`nsize` · Σ x²)^`beta`, the sum over `nsize` neighbouring channels. Krizhevsky et al.,
    NIPS 2012."""
    base = _window_sum(np.square(data), nsize)
    base *= alpha / nsize
    base += knorm
    return data * base**-beta, base


@LRN.gradient
def _(g: Array, _y: Array, base: Array, data: Array, /, *, alpha: float, beta: float, knorm: float,
      nsize: int) -> Any:  # fmt: skip
    power = base**-beta
    spread = _window_sum(g * data * power / base, nsize)
    return g * power - (2 * alpha * beta / nsize) * data * spread


@op(shape=_batch_norm_shape, types=_batch_norm_types, aux=("moving_mean", "moving_var"), mutates=("gamma",),
    outputs=("output", "mean", "var"), num_visible=lambda p: 3 if p["output_mean_var"] else 1)  # fmt: skip
def _contrib_SyncBatchNorm(data: Array, gamma: Array, beta: Array, moving_mean: Array, moving_var: Array, /, *,
                           eps: float = 1e-3, momentum: float = 0.9, fix_gamma: bool = True,
                           use_global_stats: bool = False, output_mean_var: bool = False, ndev: int = 1, key: str,
                           is_train: bool, out: Array | None = None) -> Any:  # fmt: skip
    """BatchNorm over axis 1. Devices are not waited for: each normalises its own part of the batch, so that only
    `ndev` = 1 gives what one device with the whole batch would give."""
    if ndev != 1:
        raise ConfigError(
            f"SyncBatchNorm: ndev is {ndev}; wanted 1: devices do not share their statistics here"
        )
    return _batch_norm(data, gamma, beta, moving_mean, moving_var, eps=eps, fix_gamma=fix_gamma,
                       use_global_stats=use_global_stats, is_train=is_train, out=out)  # fmt: skip


_contrib_SyncBatchNorm.gradient(_batch_norm_gradient)

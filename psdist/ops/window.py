"""Operators that look at the data through a window that slides over space: convolution and pooling, in 1 to 3 dimensions.

A convolution is a copy of the windows into *columns* and one matrix product. The columns lie as (channels · window,
batch · places): each is filled by one strided copy for each place of the window, and the product's result needs no reduction.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from .nn import without_bias
from .registry import op
from .signature import Shape

Array = NDArray[Any]


def _full(value: Shape, n: int, default: int) -> Shape:
    """A parameter given for each dimension of space, or its default."""
    if value and len(value) != n:
        raise ShapeError(f"{value} has {len(value)} numbers for {n} dimensions of space")
    return value or (default,) * n


def _conv_out(space: Shape, kernel: Shape, stride: Shape, dilate: Shape, pad: Shape) -> Shape:
    n = len(kernel)
    if len(space) != n:
        raise ShapeError(
            f"a kernel of {n} dimensions over data with {len(space)} dimensions of space, {space}"
        )
    stride, dilate, pad = _full(stride, n, 1), _full(dilate, n, 1), _full(pad, n, 0)
    out = tuple(
        (s + 2 * p - d * (k - 1) - 1) // t + 1
        for s, k, t, d, p in zip(space, kernel, stride, dilate, pad, strict=True)
    )
    if min(out) < 1:
        raise ShapeError(f"kernel {kernel} (dilate {dilate}) exceeds the padded input {space} (pad {pad})")
    return out


def _windows(
    kernel: Shape, stride: Shape, dilate: Shape, out: Shape
) -> Iterator[tuple[Shape, tuple[slice, ...]]]:
    """For each place in the window: its index, and the slices of padded space that it visits."""
    for at in itertools.product(*map(range, kernel)):
        yield (
            at,
            tuple(
                slice(i * d, i * d + t * (o - 1) + 1, t)
                for i, d, t, o in zip(at, dilate, stride, out, strict=True)
            ),
        )


def _padded(x: Array, pad: Shape, value: float = 0.0) -> Array:
    """`x` (n, c, *space) as (c, n, *space), with `pad` cells of `value` on both sides of each dimension of space."""
    x = x.swapaxes(0, 1)
    if not any(pad):
        return x
    space = tuple(s + 2 * p for s, p in zip(x.shape[2:], pad, strict=True))
    wide = np.full(x.shape[:2] + space, value, x.dtype)
    wide[(..., *(slice(p, p + s) for p, s in zip(pad, x.shape[2:], strict=True)))] = x
    return wide


def _columns(x: Array, kernel: Shape, stride: Shape, dilate: Shape, pad: Shape, out: Shape) -> Array:
    """(c · window, n · places) from (n, c, *space)."""
    wide = _padded(x, pad)
    c, n = wide.shape[:2]
    cols = np.empty((c, *kernel, n, *out), x.dtype)
    for at, where in _windows(kernel, stride, dilate, out):
        cols[(slice(None), *at)] = wide[(..., *where)]
    return cols.reshape(c * math.prod(kernel), n * math.prod(out))


def _from_columns(
    cols: Array, shape: Shape, kernel: Shape, stride: Shape, dilate: Shape, pad: Shape, out: Shape
) -> Array:
    """The transpose of `_columns`: every column's share added up at the place in `shape` that it came from."""
    n, c, *space = shape
    cols = cols.reshape(c, *kernel, n, *out)
    wide = np.zeros((c, n, *(s + 2 * p for s, p in zip(space, pad, strict=True))), cols.dtype)
    for at, where in _windows(kernel, stride, dilate, out):
        wide[(..., *where)] += cols[(slice(None), *at)]
    inner = wide[(..., *(slice(p, p + s) for p, s in zip(pad, space, strict=True)))]
    return np.ascontiguousarray(inner.swapaxes(0, 1))


@op(
    "(n, c, *space), (num_filter, cg, *kernel), (num_filter) -> (n, num_filter, *places)",
    types="T, T, T -> T",
    aliases=["Convolution_v1"],
    where={"cg": lambda c, num_group: c // num_group, "places": _conv_out},
    active=without_bias("data", "weight", "bias"),
)
def Convolution(
    data: Array,
    weight: Array,
    bias: Array | None = None,
    /,
    *,
    kernel: tuple[int, ...],
    num_filter: int,
    stride: tuple[int, ...] = (),
    dilate: tuple[int, ...] = (),
    pad: tuple[int, ...] = (),
    num_group: int = 1,
    no_bias: bool = False,
    workspace: int = 1024,
    layout: str | None = None,
    cudnn_tune: str | None = None,
    cudnn_off: bool = False,
) -> Array:
    """Cross-correlation of (n, c, *space) with `num_filter` kernels over 1 to 3 dimensions of space, plus a bias.

    Each output cell is Σ w · x over a window of `kernel` cells, `dilate` apart, that moves by `stride` over the data with `pad`
    zeros around. `num_group` splits channels and filters into groups that do not see one another."""
    n, kernel_dims = len(data), len(kernel)
    stride, dilate, pad = (
        _full(stride, kernel_dims, 1),
        _full(dilate, kernel_dims, 1),
        _full(pad, kernel_dims, 0),
    )
    out = _conv_out(data.shape[2:], kernel, stride, dilate, pad)
    cols = _columns(data, kernel, stride, dilate, pad, out)
    w = weight.reshape(num_group, num_filter // num_group, -1)
    y = np.matmul(w, cols.reshape(num_group, -1, cols.shape[1])).reshape(num_filter, n, *out)
    if bias is not None:
        y += bias.reshape(-1, *(1,) * (y.ndim - 1))
    return np.ascontiguousarray(y.swapaxes(0, 1))


@Convolution.gradient
def _(
    g: Array,
    _y: Array,
    data: Array,
    weight: Array,
    _bias: Array | None = None,
    /,
    *,
    kernel: Shape,
    num_filter: int,
    stride: Shape,
    dilate: Shape,
    pad: Shape,
    num_group: int,
    needs: tuple[bool, ...],
    **_: Any,
) -> Any:
    dims = len(kernel)
    stride, dilate, pad = _full(stride, dims, 1), _full(dilate, dims, 1), _full(pad, dims, 0)
    out = g.shape[2:]
    g2 = np.ascontiguousarray(g.swapaxes(0, 1)).reshape(num_group, num_filter // num_group, -1)
    w = weight.reshape(num_group, num_filter // num_group, -1)
    g_data = g_weight = None
    if needs[0]:
        cols = np.matmul(w.swapaxes(1, 2), g2)
        g_data = _from_columns(cols, data.shape, kernel, stride, dilate, pad, out)
    if needs[1]:
        cols = _columns(data, kernel, stride, dilate, pad, out).reshape(num_group, -1, g2.shape[2])
        g_weight = np.matmul(g2, cols.swapaxes(1, 2)).reshape(weight.shape)
    return g_data, g_weight, g2.sum(axis=2).reshape(-1) if len(needs) > 2 and needs[2] else None


def _pool_geometry(
    space: Shape, kernel: Shape, stride: Shape, pad: Shape, convention: str, global_pool: bool
) -> tuple[Shape, Shape, Shape, Shape]:
    """Kernel, stride, pad and output sizes, complete."""
    n = len(space)
    if global_pool:
        return space, (1,) * n, (0,) * n, (1,) * n
    if len(kernel) != n:
        raise ShapeError(
            f"a kernel of {len(kernel)} dimensions over data with {n} dimensions of space, {space}"
        )
    stride, pad = _full(stride, n, 1), _full(pad, n, 0)
    out = []
    for s, k, t, p in zip(space, kernel, stride, pad, strict=True):
        if k > s + 2 * p:
            raise ShapeError(f"kernel {kernel} exceeds the padded input {space} (pad {pad})")
        if convention == "same":
            out.append(-(-s // t))
        else:
            over = s + 2 * p - k
            out.append((over // t if convention == "valid" else -(-over // t)) + 1)
    return kernel, stride, pad, tuple(out)


def _pool_out(
    space: Shape, kernel: Shape, stride: Shape, pad: Shape, pooling_convention: str, global_pool: bool
) -> Shape:
    return _pool_geometry(space, kernel, stride, pad, pooling_convention, global_pool)[3]


def _pool_padded(x: Array, kernel: Shape, stride: Shape, pad: Shape, out: Shape, value: float) -> Array:
    """(n, c, *space) with room for every window, filled with `value` outside."""
    after = [
        max(0, (o - 1) * t + k - s - p)
        for s, k, t, p, o in zip(x.shape[2:], kernel, stride, pad, out, strict=True)
    ]
    if not any(pad) and not any(after):
        return x
    widths = [(0, 0), (0, 0), *zip(pad, after, strict=True)]
    return np.pad(x, widths, constant_values=value)


def _pool_counts(
    space: Shape, kernel: Shape, stride: Shape, pad: Shape, out: Shape, include_pad: bool
) -> Array:
    """How many cells each window averages; with `include_pad`, padding counts, but not what lies beyond it."""
    counts = np.ones(out, np.float32)
    for i, (s, k, t, p, o) in enumerate(zip(space, kernel, stride, pad, out, strict=True)):
        start = np.arange(o) * t - p
        end = np.minimum(start + k, s + p)
        if not include_pad:
            start, end = np.maximum(start, 0), np.minimum(end, s)
        counts *= (end - start).reshape([-1 if j == i else 1 for j in range(len(out))])
    return counts


@op("(n, c, *space) -> (n, c, *places)", aliases=["Pooling_v1"], where={"places": _pool_out})
def Pooling(
    data: Array,
    /,
    *,
    kernel: tuple[int, ...] = (),
    pool_type: Literal["max", "avg", "sum", "lp"] = "max",
    global_pool: bool = False,
    pooling_convention: Literal["valid", "full", "same"] = "valid",
    stride: tuple[int, ...] = (),
    pad: tuple[int, ...] = (),
    p_value: int | None = None,
    count_include_pad: bool | None = None,
    cudnn_off: bool = False,
    layout: str | None = None,
) -> Array:
    """The largest, mean, sum or p-norm of each window of `kernel` cells that moves by `stride` over the padded data.

    `valid` drops an incomplete last window, `full` keeps it; `global_pool` takes all of space as one window. Padding counts in
    a mean unless `count_include_pad` is False."""
    space = data.shape[2:]
    kernel, stride, pad, out = _pool_geometry(space, kernel, stride, pad, pooling_convention, global_pool)
    x = _pool_padded(data, kernel, stride, pad, out, -math.inf if pool_type == "max" else 0)
    if pool_type == "lp":
        x = np.abs(x) ** p_value
    y: Array | None = None
    for _, where in _windows(kernel, stride, (1,) * len(kernel), out):
        part = x[(..., *where)]
        if y is None:
            y = part.copy()
        elif pool_type == "max":
            np.maximum(y, part, out=y)
        else:
            y += part
    assert y is not None
    if pool_type == "avg":
        y /= _pool_counts(space, kernel, stride, pad, out, count_include_pad is not False).astype(y.dtype)
    elif pool_type == "lp":
        assert p_value is not None
        y **= 1 / p_value
    return y


@Pooling.gradient
def _(
    g: Array,
    y: Array,
    data: Array,
    /,
    *,
    kernel: Shape,
    pool_type: str,
    global_pool: bool,
    pooling_convention: str,
    stride: Shape,
    pad: Shape,
    p_value: int | None,
    count_include_pad: bool | None,
    cudnn_off: bool,
    layout: str | None,
) -> Array:
    space = data.shape[2:]
    kernel, stride, pad, out = _pool_geometry(space, kernel, stride, pad, pooling_convention, global_pool)
    x = _pool_padded(data, kernel, stride, pad, out, -math.inf if pool_type == "max" else 0)
    grad = np.zeros_like(x)
    if pool_type == "avg":
        g = g / _pool_counts(space, kernel, stride, pad, out, count_include_pad is not False).astype(g.dtype)
    elif pool_type == "lp":
        assert p_value is not None
        g = g * np.where(y == 0, 0, y ** (1 - p_value))
    open_ = np.ones(
        y.shape, bool
    )  # windows whose largest element is not found yet: the first one gets it all
    for _, where in _windows(kernel, stride, (1,) * len(kernel), out):
        part = x[(..., *where)]
        if pool_type == "max":
            hit = (part == y) & open_
            open_ &= ~hit
            grad[(..., *where)] += g * hit
        elif pool_type == "lp":
            assert p_value is not None
            grad[(..., *where)] += g * np.sign(part) * np.abs(part) ** (p_value - 1)
        else:
            grad[(..., *where)] += g
    return grad[(..., *(slice(p, p + s) for p, s in zip(pad, space, strict=True)))]

"""Pooling in 1 to 3 dimensions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from .columns import full
from .layout import allow_channels_last
from .registry import op
from .signature import Shape

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Pool:
    """A pooling window over space, complete: all of one length."""

    space: Shape
    kernel: Shape
    stride: Shape
    pad: Shape
    out: Shape

    @classmethod
    def of(
        cls, space: Shape, kernel: Shape, stride: Shape, pad: Shape, convention: str, whole: bool
    ) -> _Pool:
        n = len(space)
        if whole:
            return cls(space, space, (1,) * n, (0,) * n, (1,) * n)
        if len(kernel) != n:
            raise ShapeError(
                f"a kernel of {len(kernel)} dimensions over data with {n} dimensions of space, {space}"
            )
        stride, pad = full(stride, n, 1), full(pad, n, 0)
        if convention == "same" and any(pad):
            raise ShapeError(f"pooling_convention 'same' pads as it must; leave out pad {pad}")
        out = []
        for s, k, t, p in zip(space, kernel, stride, pad, strict=True):
            if k > s + 2 * p:
                raise ShapeError(f"kernel {kernel} exceeds the padded input {space} (pad {pad})")
            over = s + 2 * p - k
            out.append(
                -(-s // t)
                if convention == "same"
                else (over // t if convention == "valid" else -(-over // t)) + 1
            )
        return cls(space, kernel, stride, pad, tuple(out))

    def windows(self) -> Iterator[Any]:
        """For each place in the window, what it visits of padded (n, c, *space)."""
        for at in itertools.product(*map(range, self.kernel)):
            yield (
                ...,
                *(
                    slice(i, i + t * (o - 1) + 1, t)
                    for i, t, o in zip(at, self.stride, self.out, strict=True)
                ),
            )

    def padded(self, x: Array, value: float) -> Array:
        """(n, c, *space) with room for every window, `value` outside."""
        sizes = zip(self.space, self.kernel, self.stride, self.pad, self.out, strict=True)
        after = [max(0, (o - 1) * t + k - s - p) for s, k, t, p, o in sizes]
        if not any(self.pad) and not any(after):
            return x
        return np.pad(x, [(0, 0), (0, 0), *zip(self.pad, after, strict=True)], constant_values=value)

    @property
    def inner(self) -> Any:
        return (..., *(slice(p, p + s) for p, s in zip(self.pad, self.space, strict=True)))

    @property
    def is_tiling(self) -> bool:
        """No cell belongs to two windows."""
        return all(k <= t for k, t in zip(self.kernel, self.stride, strict=True))

    def shares(self, include_pad: bool, dtype: Any) -> Any:
        """1 / how many cells each window averages; with `include_pad` padding counts, but not what lies beyond it."""
        counts = np.ones(self.out)
        for i, (s, k, t, p, o) in enumerate(
            zip(self.space, self.kernel, self.stride, self.pad, self.out, strict=True)
        ):
            start = np.arange(o) * t - p
            stop = np.minimum(start + k, s + p)
            if not include_pad:
                start, stop = np.maximum(start, 0), np.minimum(stop, s)
            counts *= (stop - start).reshape([-1 if j == i else 1 for j in range(len(self.out))])
        return (1 / counts).astype(dtype)


def _pool_out(
    space: Shape, kernel: Shape, stride: Shape, pad: Shape, pooling_convention: str, global_pool: bool
) -> Shape:
    return _Pool.of(space, kernel, stride, pad, pooling_convention, global_pool).out


@op("(n, c, *space) -> (n, c, *places)", aliases=["Pooling_v1"], where={"places": _pool_out})
def Pooling(data: Array, /, *, kernel: tuple[int, ...] = (), pool_type: Literal["avg", "lp", "max", "sum"] = "max",
            global_pool: bool = False, cudnn_off: bool = False,
            pooling_convention: Literal["full", "same", "valid"] = "valid", stride: tuple[int, ...] = (),
            pad: tuple[int, ...] = (), p_value: int | None = None, count_include_pad: bool | None = None,
            layout: str | None = None, out: Array | None = None) -> Any:  # fmt: skip
    """The largest, mean, sum or p-norm of each window of `kernel` cells that moves by `stride` over the padded data.

    `valid` drops an incomplete last window, `full` keeps it, `same` takes as many windows as the stride fits into
    space; `global_pool` takes all of space as one window. Padding counts in a mean unless `count_include_pad` is
    False."""
    pool = _Pool.of(data.shape[2:], kernel, stride, pad, pooling_convention, global_pool)
    x = pool.padded(data, -math.inf if pool_type == "max" else 0)
    if pool_type == "lp":
        x = np.abs(x) ** p_value
    y = np.empty((*data.shape[:2], *pool.out), data.dtype) if out is None else out
    combine = np.maximum if pool_type == "max" else np.add
    first, second, *rest = [x[where] for where in pool.windows()] + [None]
    if second is None:
        y[...] = first
    else:
        combine(first, second, out=y)
        for part in rest[:-1]:
            combine(y, part, out=y)
    if pool_type == "avg":
        y *= pool.shares(count_include_pad is not False, y.dtype)
    elif pool_type == "lp":
        y **= 1 / (p_value or 1)
    return y


@Pooling.gradient
def _(g: Array, y: Array, data: Array, /, *, kernel: Shape, pool_type: str, global_pool: bool,
      pooling_convention: str, stride: Shape, pad: Shape, p_value: int | None, count_include_pad: bool | None,
      **_: Any) -> Any:  # fmt: skip
    pool = _Pool.of(data.shape[2:], kernel, stride, pad, pooling_convention, global_pool)
    if pool_type == "max":
        return _max_gradient(g, y, data, pool)
    if pool_type == "avg":
        g = g * pool.shares(count_include_pad is not False, g.dtype)
    elif pool_type == "lp":
        g = g * np.where(y == 0, 0, y ** (1 - (p_value or 1)))
    x = pool.padded(data, 0)
    grad = np.zeros_like(x)
    for where in pool.windows():
        if pool_type == "lp":
            part = x[where]
            grad[where] += g * np.sign(part) * np.abs(part) ** ((p_value or 1) - 1)
        else:
            grad[where] += g
    return grad[pool.inner]


def _max_gradient(g: Array, y: Array, data: Array, pool: _Pool) -> Any:
    """The first largest element of a window gets the window's gradient."""
    x = pool.padded(data, -math.inf)
    grad = np.zeros_like(x)
    left = g.copy()  # what no element has taken yet
    taken = np.empty_like(left)
    hit = np.empty(left.shape, bool)
    for where in pool.windows():
        np.equal(x[where], y, out=hit)
        np.multiply(left, hit, out=taken)
        left -= taken
        if pool.is_tiling:
            grad[where] = taken
        else:
            grad[where] += taken
    return grad[pool.inner]


allow_channels_last(Pooling)

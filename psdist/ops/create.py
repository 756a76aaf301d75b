"""Operators that make arrays from nothing, and those that repeat what is there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from .params import FLOAT32, Axis, DType
from .registry import op, unbroadcast
from .signature import Shape

Array = NDArray[Any]


@op("-> (*shape)", types="-> dtype")
def _zeros(*, shape: tuple[int, ...] = (), ctx: str = "", dtype: DType = FLOAT32) -> Any:
    """An array of zeros."""
    return np.zeros(shape, dtype)


@op("-> (*out)", types="-> float32", where={"out": lambda shape: shape or ()})
def _zeros_without_dtype(*, shape: tuple[int, ...] | None = None, ctx: str = "", dtype: int = -1) -> Any:
    """An array of zeros, of float32."""
    return np.zeros(shape or (), np.float32)


@op("-> (*shape)", types="-> dtype")
def _ones(*, shape: tuple[int, ...] = (), ctx: str = "", dtype: DType = FLOAT32) -> Any:
    """An array of ones."""
    return np.ones(shape, dtype)


@op("-> (*shape)", types="-> dtype")
def _full(*, shape: tuple[int, ...] = (), ctx: str = "", dtype: DType = FLOAT32, value: float) -> Any:
    """An array whose elements are all `value`."""
    return np.full(shape, value, dtype)


def _arange_values(start: float, stop: float | None, step: float, repeat: int, dtype: str) -> Array:
    first, last = (0.0, start) if stop is None else (start, stop)
    values = np.arange(first, last, step)
    # as MXNet: as many as the numbers given make, by whole steps from a whole start
    if np.dtype(dtype).kind in "iu":
        values = int(first) + int(step) * np.arange(len(values))
    return values.astype(dtype).repeat(repeat)


_LENGTH = {
    "n": lambda start, stop, step, repeat, dtype: len(_arange_values(start, stop, step, repeat, dtype))
}


@op("-> (n)", types="-> dtype", where=_LENGTH)
def _arange(*, start: float, stop: float | None = None, step: float = 1.0, repeat: int = 1,
            infer_range: bool = False, ctx: str = "", dtype: DType = FLOAT32) -> Any:  # fmt: skip
    """Numbers from `start` to before `stop` (from 0 to before `start`, if alone) by `step`, each `repeat` times."""
    return _arange_values(start, stop, step, repeat, dtype)


@op(
    "-> (n)",
    types="-> dtype",
    where={"n": lambda start, stop, step, repeat, dtype: round((stop - start) / step)},
)
def _linspace(*, start: float, stop: float | None = None, step: float = 1.0, repeat: int = 1,
              infer_range: bool = False, ctx: str = "", dtype: DType = FLOAT32) -> Any:  # fmt: skip
    """Numbers from `start` to before `stop` by `step`, each computed on its own."""
    assert stop is not None
    return (start + step * np.arange(round((stop - start) / step))).astype(dtype).repeat(repeat)


@op("-> (N, m)", types="-> dtype", where={"m": lambda N, M: M or N})
def _eye(*, N: int, M: int = 0, k: int = 0, ctx: str = "", dtype: DType = FLOAT32) -> Any:
    """A matrix of `N` rows and `M` columns (as many as rows by default) with ones on the diagonal `k` above the main."""
    return np.eye(N, M or N, k, dtype)


@op("(*s) -> (*s)")
def zeros_like(data: Array, /) -> Any:
    """Zeros in the shape and dtype of `data`."""
    return np.zeros_like(data)


@op("(*s) -> (*s)")
def ones_like(data: Array, /) -> Any:
    """Ones in the shape and dtype of `data`."""
    return np.ones_like(data)


for _maker in (zeros_like, ones_like):
    _maker.gradient(lambda _g, _y, _x: None)


def _to(s: Shape, shape: Shape) -> Shape:
    out = tuple(n or m for n, m in zip(shape, s, strict=True)) if len(shape) == len(s) else shape
    if len(shape) != len(s) or any(n not in (1, m) for n, m in zip(s, out, strict=True)):
        raise ShapeError(f"{s} cannot be broadcast to {shape}")
    return out


@op("(*s) -> (*out)", where={"out": _to})
def broadcast_to(data: Array, /, *, shape: tuple[int, ...] = ()) -> Any:
    """The array with its sizes of 1 repeated up to `shape`; 0 keeps a size."""
    return np.broadcast_to(data, _to(data.shape, shape)).copy()


broadcast_to.gradient(lambda g, _y, x, /, *, shape: unbroadcast(g, x.shape))


def _widened(s: Shape, axis: Axis, size: tuple[int, ...]) -> Shape:
    axes = (axis,) if isinstance(axis, int) else axis or ()
    if len(axes) != len(size):
        raise ShapeError(f"axis {axis} and size {size} differ in length")
    out = list(s)
    for a, n in zip(axes, size, strict=True):
        if out[a] != 1:
            raise ShapeError(f"axis {a} of {s} is not of size 1")
        out[a] = n
    return tuple(out)


@op("(*s) -> (*out)", aliases=["broadcast_axes"], where={"out": _widened})
def broadcast_axis(data: Array, /, *, axis: Axis = None, size: tuple[int, ...] = ()) -> Any:
    """The array with each `axis`, of size 1, repeated `size` times."""
    return np.broadcast_to(data, _widened(data.shape, axis, size)).copy()


broadcast_axis.gradient(lambda g, _y, x, /, **_: unbroadcast(g, x.shape))


def _like(s: Shape, r: Shape, lhs_axes: Axis, rhs_axes: Axis) -> Shape:
    if lhs_axes is None or rhs_axes is None:
        return _to(s, r)
    if lhs_axes == () or rhs_axes == ():
        raise ShapeError("lhs_axes and rhs_axes are empty; leave them out to broadcast along every axis")
    out = list(s)
    pairs = zip(*((a,) if isinstance(a, int) else a for a in (lhs_axes, rhs_axes)), strict=True)
    for a, b in pairs:
        out[a] = r[b]
    return _to(s, tuple(out))


@op("(*s), (*r) -> (*out)", types="T, U -> T", where={"out": _like})
def broadcast_like(lhs: Array, rhs: Array, /, *, lhs_axes: tuple[int, ...] | None = None,
                   rhs_axes: tuple[int, ...] | None = None) -> Any:  # fmt: skip
    """`lhs` with its sizes of 1 repeated up to the shape of `rhs`, or only along pairs of axes."""
    return np.broadcast_to(lhs, _like(lhs.shape, rhs.shape, lhs_axes, rhs_axes)).copy()


broadcast_like.gradient(lambda g, _y, x, _r, /, **_: (unbroadcast(g, x.shape), None))

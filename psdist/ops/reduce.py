"""Reductions over axes. As in MXNet, reducing every axis leaves an array of shape (1,)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from .params import Axis, DType
from .registry import Params, op
from .signature import Shape

Array = NDArray[Any]


def _axes(ndim: int, axis: Axis, exclude: bool = False) -> tuple[int, ...]:
    """The axes to reduce, ascending; no axis means all of them."""
    if axis is None:
        return () if exclude else tuple(range(ndim))
    given = (axis,) if isinstance(axis, int) else axis
    for a in given:
        if not -ndim <= a < ndim:
            raise ShapeError(f"axis {a} is out of range for an array of {ndim} dimensions")
    wanted = {a % ndim for a in given}
    return tuple(i for i in range(ndim) if (i in wanted) != exclude)


def _reduced(s: Shape, axis: Axis, keepdims: bool, exclude: bool = False) -> Shape:
    axes = _axes(len(s), axis, exclude)
    if keepdims:
        return tuple(1 if i in axes else n for i, n in enumerate(s))
    return tuple(n for i, n in enumerate(s) if i not in axes) or (1,)


def _finish(y: Any, x: Array, axis: Axis, keepdims: bool, exclude: bool) -> Array:
    """`y`, reduced with keepdims, in the shape that the call asked for."""
    return np.asarray(y, x.dtype).reshape(_reduced(x.shape, axis, keepdims, exclude))


def _expand(g: Array, x: Array, axis: Axis, exclude: bool) -> Array:
    """`g` with the reduced axes back as sizes of 1."""
    return g.reshape(_reduced(x.shape, axis, True, exclude))


def _register(
    name: str,
    function: Callable[..., Any],
    doc: str,
    gradient: Callable[..., Any],
    aliases: tuple[str, ...] = (),
) -> None:
    def kernel(data: Array, /, *, axis: Axis = None, keepdims: bool = False, exclude: bool = False) -> Any:
        y = function(data, axis=_axes(data.ndim, axis, exclude), keepdims=True)
        return _finish(y, data, axis, keepdims, exclude)

    def backward(g: Array, y: Array, data: Array, /, *, axis: Axis, keepdims: bool, exclude: bool) -> Any:
        return gradient(_expand(g, data, axis, exclude), _expand(y, data, axis, exclude), data)

    kernel.__doc__ = f"""{doc} over `axis` (all axes by default; with `exclude`, over all but these).

    `keepdims` leaves the reduced axes as sizes of 1."""
    op("(*s) -> (*out)", name=name, aliases=aliases, where={"out": _reduced})(kernel).gradient(backward)


def _share(g: Array, y: Array, x: Array) -> Any:
    """The gradient of an extreme goes to every element that attains it."""
    return g * (x == y)


_register("sum", np.sum, "The sum", lambda g, _y, x: np.broadcast_to(g, x.shape), ("sum_axis",))
_register("nansum", np.nansum, "The sum of what is not NaN", lambda g, _y, x: g * ~np.isnan(x))
_register("mean", np.mean, "The mean", lambda g, y, x: np.broadcast_to(g * (y.size / x.size), x.shape))
_register("prod", np.prod, "The product", lambda g, y, x: g * y / x)
_register(
    "nanprod",
    np.nanprod,
    "The product of what is not NaN",
    lambda g, y, x: np.where(np.isnan(x), 0, g * y / x),
)
_register("max", np.max, "The largest element", _share, ("max_axis",))
_register("min", np.min, "The smallest element", _share, ("min_axis",))
_register(
    "_square_sum", lambda x, **kw: np.square(x).sum(**kw), "The sum of squares", lambda g, _y, x: g * (2 * x)
)


@op("(*s) -> (*out)", where={"out": lambda s, axis, keepdims: _reduced(s, axis, keepdims)},
    types=lambda ins, p: (ins, [p["out_dtype"] or ins[0]]))  # fmt: skip
def norm(data: Array, /, *, ord: int = 2, axis: Axis = None, out_dtype: DType | None = None,
         keepdims: bool = False) -> Any:  # fmt: skip
    """The L1 or L2 norm (`ord` 1 or 2) over `axis`, by default over all."""
    if ord not in (1, 2):
        raise ShapeError(f"norm: ord is {ord}; wanted 1 or 2")
    axes = _axes(data.ndim, axis)
    if ord == 1:
        y = np.abs(data).sum(axis=axes, keepdims=True)
    else:
        y = np.sqrt(np.square(data).sum(axis=axes, keepdims=True))
    return y.reshape(_reduced(data.shape, axis, keepdims)).astype(out_dtype or data.dtype)


@norm.gradient
def _(
    g: Array, y: Array, data: Array, /, *, ord: int, axis: Axis, out_dtype: str | None, keepdims: bool
) -> Any:
    g = _expand(g, data, axis, False).astype(data.dtype)
    if ord == 1:
        return g * np.sign(data)
    y = _expand(y, data, axis, False).astype(data.dtype)
    return g * data / np.where(y == 0, 1, y)


def _register_arg(name: str, function: Callable[..., Any], doc: str) -> None:
    def kernel(data: Array, /, *, axis: int | None = None, keepdims: bool = False) -> Any:
        at = function(data.reshape(-1) if axis is None else data, axis=axis or 0)
        return np.asarray(at).astype(data.dtype).reshape(_reduced(data.shape, axis, keepdims))

    kernel.__doc__ = (
        f"The index of {doc} along `axis` (of the flattened array by default), in the data's dtype."
    )
    where = {"out": lambda s, axis, keepdims: _reduced(s, axis, keepdims)}
    op("(*s) -> (*out)", name=name, where=where)(kernel).gradient(lambda _g, _y, _x, /, **_: None)


_register_arg("argmax", np.argmax, "the largest element")
_register_arg("argmin", np.argmin, "the smallest element")


@op("(n, *s) -> (n)")
def argmax_channel(data: Array, /) -> Any:
    """The index of the largest element of each row."""
    return data.reshape(len(data), -1).argmax(axis=1).astype(data.dtype)


argmax_channel.gradient(lambda _g, _y, _x, /: None)


@op("(*s) -> (*out), (*out)", where={"out": lambda s, axes, keepdims: _reduced(s, axes, keepdims)},
    outputs=("output0", "output1"), types="T -> T, T")  # fmt: skip
def moments(data: Array, /, *, axes: Axis = None, keepdims: bool = False) -> Any:
    """The mean and the variance over `axes`, by default over all."""
    over = _axes(data.ndim, axes)
    return (
        _finish(data.mean(axis=over, keepdims=True), data, axes, keepdims, False),
        _finish(data.var(axis=over, keepdims=True), data, axes, keepdims, False),
    )


@moments.gradient
def _(g: Array, h: Array, mean: Array, _var: Array, data: Array, /, *, axes: Axis, keepdims: bool) -> Any:
    g, h, mean = (_expand(v, data, axes, False) for v in (g, h, mean))
    share = mean.size / data.size
    return g * share + h * (2 * share) * (data - mean)


def _cumulated(s: Shape, axis: int | None) -> Shape:
    return (math.prod(s),) if axis is None else s


@op("(*s) -> (*out)", where={"out": _cumulated}, types=lambda ins, p: (ins, [p["dtype"] or ins[0]]))
def cumsum(a: Array, /, *, axis: int | None = None, dtype: DType | None = None) -> Any:
    """The sums of all elements up to each, along `axis` (of the flattened array by default)."""
    return np.cumsum(a, axis, dtype or a.dtype)


@cumsum.gradient
def _(g: Array, _y: Array, a: Array, /, *, axis: int | None, dtype: str | None) -> Any:
    at = axis or 0
    return np.flip(np.cumsum(np.flip(g, at), at), at).reshape(a.shape).astype(a.dtype)


def _histogram_shape(ins: list[Shape | None], params: Params, outs: list[Shape | None]) -> Any:
    bins = ins[1] if len(ins) > 1 else None
    if len(ins) > 1:
        return ins, outs if bins is None else [(bins[0] - 1,), bins]
    return ins, [(params["bin_cnt"],), (params["bin_cnt"] + 1,)]


@op(shape=_histogram_shape, types=lambda ins, _p: (ins, ["int64", ins[0]]), outputs=("output0", "output1"),
    active=lambda p: ("data", "bins") if p["bin_cnt"] is None else ("data",))  # fmt: skip
def _histogram(data: Array, bins: Array | None = None, /, *, bin_cnt: int | None = None,
               range: tuple[float, ...] | None = None) -> Any:  # fmt: skip
    """How many elements fall between neighbouring `bins` (or in each of `bin_cnt` equal parts of `range`), and the
    bins. The last bin includes its end."""
    if bin_cnt is None:
        assert bins is not None
        count, edges = np.histogram(data, bins)
    else:
        assert range is not None
        count, edges = np.histogram(data, bin_cnt, (range[0], range[1]))
    return count.astype(np.int64), edges.astype(data.dtype)

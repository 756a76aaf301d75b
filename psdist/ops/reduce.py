"""Reductions over axes. As in MXNet, reducing every axis leaves an array of shape (1,)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from .params import Axis, DType
from .registry import op
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
    def kernel(data: Array, /, *, axis: Axis = None, keepdims: bool = False, exclude: bool = False) -> Array:
        y = function(data, axis=_axes(data.ndim, axis, exclude), keepdims=True)
        return _finish(y, data, axis, keepdims, exclude)

    def backward(g: Array, y: Array, data: Array, /, *, axis: Axis, keepdims: bool, exclude: bool) -> Array:
        return gradient(_expand(g, data, axis, exclude), _expand(y, data, axis, exclude), data)  # type: ignore[no-any-return]

    kernel.__doc__ = f"""{doc} over `axis` (all axes by default; with `exclude`, over all but these).

    `keepdims` leaves the reduced axes as sizes of 1."""
    op("(*s) -> (*out)", name=name, aliases=aliases, where={"out": _reduced})(kernel).gradient(backward)


def _share(g: Array, y: Array, x: Array) -> Array:
    """The gradient of an extreme goes to every element that attains it."""
    return g * (x == y)


_register("sum", np.sum, "The sum", lambda g, _y, x: np.broadcast_to(g, x.shape), ("sum_axis",))
_register("nansum", np.nansum, "The sum of what is not NaN", lambda g, _y, x: g * ~np.isnan(x))
_register(
    "mean", np.mean, "The mean", lambda g, y, x: np.broadcast_to(g * x.dtype.type(y.size / x.size), x.shape)
)
_register("prod", np.prod, "The product", lambda g, y, x: g * y / x)
_register(
    "nanprod",
    np.nanprod,
    "The product of what is not NaN",
    lambda g, y, x: np.where(np.isnan(x), 0, g * y / x).astype(x.dtype),
)
_register("max", np.max, "The largest element", _share, ("max_axis",))
_register("min", np.min, "The smallest element", _share, ("min_axis",))


@op("(*s) -> (*out)", where={"out": lambda s, axis, keepdims: _reduced(s, axis, keepdims)})
def norm(
    data: Array, /, *, ord: int = 2, axis: Axis = None, out_dtype: DType | None = None, keepdims: bool = False
) -> Array:
    """The L1 or L2 norm (`ord` 1 or 2) over `axis`, by default over all."""
    axes = _axes(data.ndim, axis)
    y = (
        np.abs(data).sum(axis=axes, keepdims=True)
        if ord == 1
        else np.sqrt(np.square(data).sum(axis=axes, keepdims=True))
    )
    return _finish(y, data, axis, keepdims, False)


@norm.gradient
def _(
    g: Array, y: Array, data: Array, /, *, ord: int, axis: Axis, out_dtype: str | None, keepdims: bool
) -> Array:
    g, y = _expand(g, data, axis, False), _expand(y, data, axis, False)
    return g * np.sign(data) if ord == 1 else g * data / np.where(y == 0, 1, y)  # type: ignore[no-any-return]


def _register_arg(name: str, function: Callable[..., Any], doc: str) -> None:
    def kernel(data: Array, /, *, axis: int | None = None, keepdims: bool = False) -> Array:
        flat = data.reshape(-1) if axis is None else data
        y = np.expand_dims(function(flat, axis=0 if axis is None else axis), 0 if axis is None else axis)
        return y.astype(np.float32).reshape(_reduced(data.shape, axis, keepdims))

    kernel.__doc__ = f"The index of {doc} along `axis` (of the flattened array by default), as float32."
    op(
        "(*s) -> (*out)",
        name=name,
        where={"out": lambda s, axis, keepdims: _reduced(s, axis, keepdims)},
        types="T -> float32",
    )(kernel).gradient(lambda _g, _y, _x, /, **_: None)


_register_arg("argmax", np.argmax, "the largest element")
_register_arg("argmin", np.argmin, "the smallest element")


@op("(n, *s) -> (n)", types="T -> float32")
def argmax_channel(data: Array, /) -> Array:
    """The index of the largest element of each row."""
    return data.reshape(len(data), -1).argmax(axis=1).astype(np.float32)


argmax_channel.gradient(lambda _g, _y, _x, /: None)

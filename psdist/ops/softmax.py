"""softmax and its relatives."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .params import DType
from .registry import Params, op
from .signature import Shape

Array = NDArray[Any]


def softmax_along(x: Array, axis: int, out: Array | None = None) -> Any:
    """e^x / Σ e^x along `axis`, safe from overflow."""
    y = np.subtract(x, x.max(axis=axis, keepdims=True), out=out)
    np.exp(y, out=y)
    y /= y.sum(axis=axis, keepdims=True)
    return y


def _types(ins: list[str | None], params: Params) -> Any:
    return ins, [params["dtype"] or ins[0]]


def _active(params: Params) -> tuple[str, ...]:
    return ("data", "length") if params["use_length"] else ("data",)


def _without(s: Shape, axis: int) -> Shape:
    at = axis % len(s)
    return s[:at] + s[at + 1 :]


def _beyond(length: Array, s: Shape, axis: int) -> Any:
    """Where the places along `axis` lie beyond the length."""
    place = np.arange(s[axis]).reshape([-1 if i == axis % len(s) else 1 for i in range(len(s))])
    return place >= np.expand_dims(length, axis)


def _prepared(x: Array, temperature: float | None, dtype: str | None, sign: int = 1) -> Array:
    factor = sign / (temperature or 1.0)
    x = x if dtype is None else x.astype(dtype)
    return x if factor == 1 else x * factor


def _back(grad: Array, data: Array, temperature: float | None, sign: int = 1) -> Any:
    factor = sign / (temperature or 1.0)
    if factor != 1:
        grad *= factor
    return grad if grad.dtype == data.dtype else grad.astype(data.dtype)


@op("(*s), (*r) -> (*s)", types=_types, active=_active, where={"r": _without})
def softmax(data: Array, length: Array | None = None, /, *, axis: int = -1, temperature: float | None = None,
            dtype: DType | None = None, use_length: bool = False, out: Array | None = None) -> Any:  # fmt: skip
    """e^(x/t) / Σ e^(x/t) along `axis`, where t is the `temperature` (1).

    With `use_length`, only the first `length` elements along the axis take part and the others become 0."""
    x = _prepared(data, temperature, dtype)
    if length is None:
        return softmax_along(x, axis, out)
    beyond = _beyond(length, x.shape, axis)
    y = softmax_along(np.where(beyond, -np.inf, x), axis, out)
    y[np.broadcast_to(beyond, y.shape)] = 0
    return y


@softmax.gradient
def _(g: Array, y: Array, data: Array, _length: Array | None = None, /, *, axis: int, temperature: float | None,
      dtype: str | None, use_length: bool) -> Any:  # fmt: skip
    grad = g * y
    grad -= y * grad.sum(axis=axis, keepdims=True)
    return _back(grad, data, temperature), None


@op("(*s) -> (*s)", types=_types)
def softmin(data: Array, /, *, axis: int = -1, temperature: float | None = None, dtype: DType | None = None,
            use_length: bool = False, out: Array | None = None) -> Any:  # fmt: skip
    """softmax of -x."""
    return softmax_along(_prepared(data, temperature, dtype, -1), axis, out)


@softmin.gradient
def _(g: Array, y: Array, data: Array, /, *, axis: int, temperature: float | None, **_: Any) -> Any:
    grad = g * y
    grad -= y * grad.sum(axis=axis, keepdims=True)
    return _back(grad, data, temperature, -1)


@op("(*s) -> (*s)", types=_types)
def log_softmax(data: Array, /, *, axis: int = -1, temperature: float | None = None, dtype: DType | None = None,
                use_length: bool = False, out: Array | None = None) -> Any:  # fmt: skip
    """The logarithm of `softmax`, without taking a logarithm of small numbers."""
    x = _prepared(data, temperature, dtype)
    y = np.subtract(x, x.max(axis=axis, keepdims=True), out=out)
    y -= np.log(np.exp(y).sum(axis=axis, keepdims=True))
    return y


@log_softmax.gradient
def _(g: Array, y: Array, data: Array, /, *, axis: int, temperature: float | None, **_: Any) -> Any:
    grad = np.exp(y)
    grad *= g.sum(axis=axis, keepdims=True)
    np.subtract(g, grad, out=grad)
    return _back(grad, data, temperature)


@op("(*s) -> (*s)")
def SoftmaxActivation(data: Array, /, *, mode: Literal["instance", "channel"] = "instance") -> Any:
    """softmax over the last axis, or over axis 1 (`channel`)."""
    return softmax_along(data, 1 if mode == "channel" else -1)


@SoftmaxActivation.gradient
def _(g: Array, y: Array, _x: Array, /, *, mode: str) -> Any:
    grad = g * y
    grad -= y * grad.sum(axis=1 if mode == "channel" else -1, keepdims=True)
    return grad


@op("(n, c), (n) -> (1)", types="T, I -> T")
def softmax_cross_entropy(data: Array, label: Array, /) -> Any:
    """The sum over rows of -log softmax(row)[label]."""
    x = data - data.max(axis=1, keepdims=True)
    rows = np.arange(len(x))
    losses = np.log(np.exp(x).sum(axis=1)) - x[rows, label.astype(np.int64)]
    return losses.sum(keepdims=True)


@softmax_cross_entropy.gradient
def _(g: Array, _y: Array, data: Array, label: Array, /) -> Any:
    grad = softmax_along(data, 1)
    grad[np.arange(len(data)), label.astype(np.int64)] -= 1
    grad *= g
    return grad, None

"""Operators on one element at a time. Of integers the result is cut to an integer, as in MXNet."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import special
from .params import DType
from .registry import Op, op

Array = NDArray[Any]


def sigmoid(x: Array, out: Array | None = None) -> Any:
    """tanh(x/2)/2 + 1/2: one SIMD call where exp and a division would be three, and it never overflows."""
    half = x.dtype.type(0.5)
    y = np.multiply(x, half, out=out)
    np.tanh(y, out=y)
    y *= half
    y += half
    return y


_SMALL = 2048  # elements below which the shorter way into NumPy counts for more than SIMD


def relu(x: Array, out: Array | None = None) -> Any:
    """max(x, 0). NumPy's clip is SIMD, its maximum with a number is not."""
    if x.size < _SMALL:
        return np.maximum(x, x.dtype.type(0), out=out)
    return np.clip(x, 0, np.inf, out=out)


def softrelu(x: Array, out: Array | None = None) -> Any:
    """max(x, 0) + log1p(e^-|x|): two SIMD calls, where logaddexp has none."""
    y = np.abs(x, out=out)
    np.negative(y, out=y)
    np.exp(y, out=y)
    np.log1p(y, out=y)
    y += relu(x)
    return y


def softsign(x: Array, out: Array | None = None) -> Any:
    y = np.abs(x)
    y += 1
    return np.divide(x, y, out=out)


def _round(x: Array, out: Array | None = None) -> Any:
    """Halves go away from zero."""
    whole = np.trunc(x)
    return np.add(whole, np.copysign(np.abs(x - whole) >= 0.5, x, dtype=x.dtype), out=out)


def _rint(x: Array, out: Array | None = None) -> Any:
    """Halves go down."""
    whole = np.floor(x)
    return np.add(whole, x - whole > 0.5, out=out)


def _sign(x: Array, out: Array | None = None) -> Any:
    y = np.sign(x, out=out)
    return np.nan_to_num(y, copy=False, nan=0.0) if x.dtype.kind == "f" else y


def _inverse_of(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, out=None: np.divide(x.dtype.type(1), function(x), out=out)


def _times(factor: float) -> Callable[..., Any]:
    return lambda x, out=None: np.multiply(x, factor, out=out)


_LN10, _LN2, _DEGREE = math.log(10), math.log(2), math.pi / 180
_2_SQRT_PI, _SQRT_PI_2 = 2 / math.sqrt(math.pi), math.sqrt(math.pi) / 2
_Row = tuple[str, Callable[..., Any], str, Callable[..., Any] | None]
# name, function (x, out=None), the sentence, gradient (g, y, x) or None: zero everywhere
# fmt: off
_ROWS: list[_Row] = [
    ("relu", relu, "max(x, 0)", lambda g, y, _x: g * np.sign(y)),  # NaN where y is: MXNet's rule
    ("sigmoid", sigmoid, "1 / (1 + e^-x)", lambda g, y, _x: g * y * (1 - y)),
    ("tanh", np.tanh, "the hyperbolic tangent", lambda g, y, _x: g * (1 - y * y)),
    ("softsign", softsign, "x / (1 + |x|)", lambda g, _y, x: g / np.square(1 + np.abs(x))),
    ("negative", np.negative, "-x", lambda g, _y, _x: -g),
    ("abs", np.abs, "|x|", lambda g, _y, x: g * np.sign(x)),
    ("sign", _sign, "-1, 0 or 1", None),
    ("square", np.square, "x²", lambda g, _y, x: g * (2 * x)),
    ("sqrt", np.sqrt, "√x", lambda g, y, _x: g * (0.5 / y)),
    ("rsqrt", _inverse_of(np.sqrt), "1 / √x", lambda g, y, x: g * (-0.5 * y / x)),
    ("cbrt", np.cbrt, "the cube root", lambda g, y, _x: g / (3 * y * y)),
    ("rcbrt", _inverse_of(np.cbrt), "1 / the cube root", lambda g, y, x: g * (y / (-3 * x))),
    ("reciprocal", np.reciprocal, "1 / x", lambda g, y, _x: -g * y * y),
    ("exp", np.exp, "e^x", lambda g, y, _x: g * y),
    ("expm1", np.expm1, "e^x - 1", lambda g, y, _x: g * (y + 1)),
    ("log", np.log, "the natural logarithm", lambda g, _y, x: g / x),
    ("log10", np.log10, "the logarithm to base 10", lambda g, _y, x: g / (x * _LN10)),
    ("log2", np.log2, "the logarithm to base 2", lambda g, _y, x: g / (x * _LN2)),
    ("log1p", np.log1p, "log(1 + x)", lambda g, _y, x: g / (1 + x)),
    ("sin", np.sin, "the sine", lambda g, _y, x: g * np.cos(x)),
    ("cos", np.cos, "the cosine", lambda g, _y, x: -g * np.sin(x)),
    ("tan", np.tan, "the tangent", lambda g, y, _x: g * (1 + y * y)),
    ("arcsin", np.arcsin, "the arc sine", lambda g, _y, x: g / np.sqrt(1 - x * x)),
    ("arccos", np.arccos, "the arc cosine", lambda g, _y, x: -g / np.sqrt(1 - x * x)),
    ("arctan", np.arctan, "the arc tangent", lambda g, _y, x: g / (1 + x * x)),
    ("sinh", np.sinh, "the hyperbolic sine", lambda g, _y, x: g * np.cosh(x)),
    ("cosh", np.cosh, "the hyperbolic cosine", lambda g, _y, x: g * np.sinh(x)),
    ("arcsinh", np.arcsinh, "the inverse hyperbolic sine", lambda g, _y, x: g / np.sqrt(x * x + 1)),
    ("arccosh", np.arccosh, "the inverse hyperbolic cosine", lambda g, _y, x: g / np.sqrt(x * x - 1)),
    ("arctanh", np.arctanh, "the inverse hyperbolic tangent", lambda g, _y, x: g / (1 - x * x)),
    ("degrees", _times(1 / _DEGREE), "radians as degrees", lambda g, _y, _x: g / _DEGREE),
    ("radians", _times(_DEGREE), "degrees as radians", lambda g, _y, _x: g * _DEGREE),
    ("floor", np.floor, "the next integer below", None),
    ("ceil", np.ceil, "the next integer above", None),
    ("trunc", np.trunc, "the integer next to x on the side of 0", None),
    ("fix", np.trunc, "the integer next to x on the side of 0", None),
    ("round", _round, "the nearest integer, halves away from 0", None),
    ("rint", _rint, "the nearest integer, halves down", None),
    ("gamma", special.gamma, "Euler's gamma function", lambda g, y, x: g * y * special.digamma(x)),
    ("gammaln", special.gammaln, "the logarithm of |Γ(x)|", lambda g, _y, x: g * special.digamma(x)),
    ("erf", special.erf, "the error function", lambda g, _y, x: g * (_2_SQRT_PI * np.exp(-x * x))),
    ("erfinv", special.erfinv, "the inverse of the error function",
     lambda g, y, _x: g * (_SQRT_PI_2 * np.exp(y * y))),
]
# fmt: on


def _nowhere(_g: Array, _y: Array, _x: Array, **_params: Any) -> None:
    """The gradient of a function made of steps."""


def _register(name: str, function: Callable[..., Any], doc: str, grad: Callable[..., Any] | None) -> Op:
    def kernel(data: Array, /, *, out: Array | None = None) -> Any:
        if data.dtype.kind == "f":
            return function(data, out=out)
        y = function(data.astype(np.float64)).astype(data.dtype)
        if out is None:
            return y
        out[...] = y
        return out

    kernel.__doc__ = f"Elementwise: {doc}."
    new = op("(*s) -> (*s)", name=name, ufunc=function if isinstance(function, np.ufunc) else None)(kernel)
    new.gradient(grad or _nowhere)
    return new


for _row in _ROWS:
    _register(*_row)


@op("(*s) -> (*s)")
def logical_not(data: Array, /, *, out: Array | None = None) -> Any:
    """Elementwise: 1 where x is 0, else 0."""
    return np.equal(data, 0, out=np.empty_like(data) if out is None else out, casting="unsafe")


logical_not.gradient(_nowhere)


@op("(*s) -> (*s)")
def hard_sigmoid(data: Array, /, *, alpha: float = 0.2, beta: float = 0.5, out: Array | None = None) -> Any:
    """`alpha` · x + `beta`, cut to between 0 and 1."""
    y = np.multiply(data, alpha, out=out)
    y += beta
    return np.clip(y, 0, 1, out=y)


@hard_sigmoid.gradient
def _(g: Array, y: Array, _x: Array, /, *, alpha: float, beta: float) -> Any:
    return g * (alpha * ((y > 0) & (y < 1)).astype(g.dtype))


@op("(*s) -> (*s)", aliases=["identity"], passes=True)
def _copy(data: Array, /, *, out: Array | None = None) -> Any:
    """A copy of the array."""
    return np.positive(data, out=out) if data.dtype.kind != "b" else np.array(data)


_copy.gradient(lambda g, _y, _x, /: g)


@op("(*s) -> (*s)", passes=True)
def _copyto(data: Array, /, *, out: Array | None = None) -> Any:
    """A copy of the array, into another one."""
    return np.positive(data, out=out) if data.dtype.kind != "b" else np.array(data)


_copyto.gradient(lambda g, _y, _x, /: g)


@op("(*s) -> (*s)", aliases=["stop_gradient"], passes=True)
def BlockGrad(data: Array, /) -> Any:
    """A copy of the array; no gradient passes back through it."""
    return data.copy()


BlockGrad.gradient(_nowhere)


@op("(*s), (*s) -> (*s)", passes=True)
def _identity_with_attr_like_rhs(lhs: Array, rhs: Array, /) -> Any:
    """A copy of `lhs`, whose shape and dtype are those of `rhs`."""
    return lhs.copy()


_identity_with_attr_like_rhs.gradient(lambda g, _y, _l, _r, /: (g, None))


@op("(*s) -> (*s)", aliases=["cast"], types="A -> dtype")
def Cast(data: Array, /, *, dtype: DType) -> Any:
    """The array with its elements as `dtype`."""
    if data.dtype.kind == "f" and dtype.startswith("uint"):
        return data.astype(np.int64).astype(dtype)  # negative numbers wrap around, as in MXNet
    return data.astype(dtype)


Cast.gradient(lambda g, _y, x, /, *, dtype: g.astype(x.dtype))


@op("(*s) -> (*s)", types="A -> dtype")
def amp_cast(data: Array, /, *, dtype: DType) -> Any:
    """The array with its elements as `dtype`, if they are of floating point."""
    return data.astype(dtype)


amp_cast.gradient(lambda g, _y, x, /, *, dtype: g.astype(x.dtype))


@op("(*s) -> (*s)")
def clip(data: Array, /, *, a_min: float, a_max: float, out: Array | None = None) -> Any:
    """Elements below `a_min` become `a_min`, above `a_max` become `a_max`."""
    if data.dtype.kind != "f":
        info = np.iinfo(data.dtype)
        a_min, a_max = int(max(a_min, info.min)), int(min(a_max, info.max))
    return np.clip(data, a_min, a_max, out=out)


clip.gradient(lambda g, _y, x, /, *, a_min, a_max: g * ((x >= a_min) & (x <= a_max)))


@op("(*s) -> (*s)")
def smooth_l1(data: Array, /, *, scalar: float = 1.0) -> Any:
    """Huber's loss with σ = `scalar`: (σx)²/2 where |x| < 1/σ², else |x| - 1/(2σ²)."""
    s2 = scalar * scalar
    size = np.abs(data)
    core = np.minimum(size, 1 / s2)  # |x| up to the bend, then constant
    size -= core
    size += (0.5 * s2) * np.square(core)
    return size


@smooth_l1.gradient
def _(g: Array, _y: Array, data: Array, /, *, scalar: float) -> Any:
    s2 = scalar * scalar
    return g * np.clip(s2 * data, -1, 1)

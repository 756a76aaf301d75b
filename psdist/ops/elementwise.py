"""Operators on one element at a time: arithmetic, comparison, unary mathematics.

Binary functions come in three families made from one row each: `elemwise_*` (equal shapes), `broadcast_*`, and `_*_scalar`
(with `_r*_scalar` where the order matters). Integers stay integers, and comparisons give 1 and 0 in the operands' dtype,
as in MXNet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .params import DType
from .registry import Op, op

Array = NDArray[Any]


def _divide(a: Any, b: Any, out: Array | None = None) -> Any:
    """a / b; of integers, the quotient cut towards zero."""
    kind = (a if isinstance(a, np.ndarray) else b).dtype.kind
    if kind in "iub":
        return np.trunc(np.true_divide(a, b), out=out, casting="unsafe") if out is not None else np.trunc(
            np.true_divide(a, b)).astype((a if isinstance(a, np.ndarray) else b).dtype)
    return np.true_divide(a, b, out=out)


_Binary = Callable[..., Any]
# name, function, other names of the elementwise form, of the broadcasting form, of the scalar form, the sentence,
# gradient (g, y, a, b) -> (ga, gb); None is zero everywhere
_BINARY: list[tuple[str, _Binary, list[str], list[str], str, _Binary | None]] = [
    ("add", np.add, ["_plus", "_Plus", "_add", "_grad_add"], ["plus"], "a + b", lambda g, _y, _a, _b: (g, g)),
    ("sub", np.subtract, ["_minus", "_Minus", "_sub"], ["minus"], "a - b", lambda g, _y, _a, _b: (g, -g)),
    ("mul", np.multiply, ["_mul", "_Mul"], [], "a × b", lambda g, _y, a, b: (g * b, g * a)),
    ("div", _divide, ["_div", "_Div"], [], "a / b; of integers, cut towards zero",
     lambda g, y, _a, b: ((h := g / b), -h * y)),
    ("mod", np.mod, ["_mod", "_Mod"], [], "the remainder of a / b, with the sign of b",
     lambda g, _y, a, b: (g, -g * np.floor(a / b))),
    ("power", np.power, ["_power", "_Power"], [], "a to the power of b",
     lambda g, y, a, b: (g * b * np.power(a, b - 1), g * y * np.log(np.where(np.asarray(a) > 0, a, 1)))),
    ("maximum", np.maximum, ["_maximum", "_Maximum"], [], "the larger of a and b",
     lambda g, _y, a, b: (g * (a >= b), g * (a < b))),
    ("minimum", np.minimum, ["_minimum", "_Minimum"], [], "the smaller of a and b",
     lambda g, _y, a, b: (g * (a <= b), g * (a > b))),
    ("hypot", np.hypot, ["_hypot", "_Hypot"], [], "the length of the vector (a, b)",
     lambda g, y, a, b: (g * a / y, g * b / y)),
    ("equal", np.equal, ["_equal", "_Equal"], [], "1 where a = b, else 0", None),
    ("not_equal", np.not_equal, ["_not_equal", "_Not_Equal"], [], "1 where a ≠ b, else 0", None),
    ("greater", np.greater, ["_greater", "_Greater"], [], "1 where a > b, else 0", None),
    ("greater_equal", np.greater_equal, ["_greater_equal", "_Greater_Equal"], [], "1 where a ≥ b, else 0", None),
    ("lesser", np.less, ["_lesser", "_Lesser"], [], "1 where a < b, else 0", None),
    ("lesser_equal", np.less_equal, ["_lesser_equal", "_Lesser_Equal"], [], "1 where a ≤ b, else 0", None),
    ("logical_and", np.logical_and, ["_logical_and", "_Logical_And"], [], "1 where both are not 0, else 0", None),
    ("logical_or", np.logical_or, ["_logical_or", "_Logical_Or"], [], "1 where either is not 0, else 0", None),
    ("logical_xor", np.logical_xor, ["_logical_xor", "_Logical_Xor"], [], "1 where just one is not 0, else 0", None),
]
_SCALAR_NAMES = {"add": "plus", "sub": "minus", "mul": "mul", "div": "div", "mod": "mod", "power": "power"}
_REVERSED = ("sub", "div", "mod", "power")   # a ∘ scalar and scalar ∘ a differ
_IN_DTYPE = ("equal", "greater", "lesser", "logical")   # a bool from NumPy, 1 or 0 in the operands' dtype from us


def _register_binary(
    name: str, function: _Binary, elementwise: list[str], broadcast: list[str], doc: str, grad: _Binary | None
) -> None:
    to_dtype = any(part in name for part in _IN_DTYPE)
    ufunc = function if isinstance(function, np.ufunc) and not to_dtype else None

    def kernel(lhs: Array, rhs: Array, /, *, out: Array | None = None) -> Any:
        if out is None and to_dtype:
            return function(lhs, rhs).astype(lhs.dtype)
        return function(lhs, rhs, out=out)

    kernel.__doc__ = f"Elementwise {doc}, for arrays of one shape."
    first = f"elemwise_{name}" if name in ("add", "sub", "mul", "div") else elementwise.pop(0)
    same = op("(*s), (*s) -> (*s)", name=first, aliases=elementwise, ufunc=ufunc)(kernel)

    def broadcast_kernel(lhs: Array, rhs: Array, /, *, out: Array | None = None) -> Any:
        return kernel(lhs, rhs, out=out)

    broadcast_kernel.__doc__ = f"Elementwise {doc}, with sizes of 1 repeated as needed."
    wide = op("(...), (...) -> (...)", name=f"broadcast_{name}", aliases=[f"broadcast_{a}" for a in broadcast],
              ufunc=ufunc)(broadcast_kernel)
    same.gradient(grad or (lambda _g, _y, _a, _b: (None, None)))
    wide.gradient(grad or (lambda _g, _y, _a, _b: (None, None)))
    _register_scalar(name, function, doc, grad, to_dtype)


def _register_scalar(name: str, function: _Binary, doc: str, grad: _Binary | None, to_dtype: bool) -> None:
    def typed(scalar: float, data: Array) -> Any:
        return scalar if data.dtype.kind == "f" else data.dtype.type(scalar)

    def kernel(data: Array, /, *, scalar: float, is_int: bool = True, out: Array | None = None) -> Any:
        if out is None and to_dtype:
            return function(data, scalar).astype(data.dtype)
        return function(data, typed(scalar, data), out=out)

    def gradient(g: Array, y: Array, data: Array, /, *, scalar: float, is_int: bool = True) -> Any:
        return None if grad is None else grad(g, y, data, typed(scalar, data))[0]

    kernel.__doc__ = f"Elementwise {doc}, where b is a number."
    base = f"_{_SCALAR_NAMES.get(name, name)}"
    camel = "".join(part.capitalize() for part in base.split("_")) if name != "lesser" else "Lesser"
    op("(*s) -> (*s)", name=f"{base}_scalar", aliases=[f"_{camel}Scalar"])(kernel).gradient(gradient)
    if name not in _REVERSED:
        return

    def reversed_kernel(data: Array, /, *, scalar: float, is_int: bool = True, out: Array | None = None) -> Any:
        return function(typed(scalar, data), data, out=out)

    def reversed_gradient(g: Array, y: Array, data: Array, /, *, scalar: float, is_int: bool = True) -> Any:
        return None if grad is None else grad(g, y, typed(scalar, data), data)[1]

    reversed_kernel.__doc__ = f"Elementwise {doc}, where a is a number."
    short = base.lstrip("_")
    op("(*s) -> (*s)", name=f"_r{short}_scalar", aliases=[f"_R{short.capitalize()}Scalar"])(reversed_kernel).gradient(
        reversed_gradient)


for _row in _BINARY:
    _register_binary(*_row)


# -- unary: name, function (x, out=None), the sentence, gradient (g, y, x) or None (zero everywhere) ------------


def sigmoid(x: Array, out: Array | None = None) -> Any:
    """tanh(x/2)/2 + 1/2: one SIMD call where exp and a division would be three, and it never overflows."""
    y = np.multiply(x, x.dtype.type(0.5), out=out)
    np.tanh(y, out=y)
    y *= y.dtype.type(0.5)
    y += y.dtype.type(0.5)
    return y


def relu(x: Array, out: Array | None = None) -> Any:
    return np.maximum(x, x.dtype.type(0), out=out)


def softrelu(x: Array, out: Array | None = None) -> Any:
    return np.logaddexp(x, x.dtype.type(0), out=out)


def softsign(x: Array, out: Array | None = None) -> Any:
    return np.divide(x, 1 + np.abs(x), out=out)


def _round(x: Array, out: Array | None = None) -> Any:
    """Halves go away from zero."""
    return np.copysign(np.floor(np.abs(x) + x.dtype.type(0.5)), x, out=out)


def _rint(x: Array, out: Array | None = None) -> Any:
    """Halves go down."""
    return np.ceil(x - x.dtype.type(0.5), out=out)


_PI_180 = np.pi / 180
_UNARY: list[tuple[str, Callable[..., Any], list[str], str, Callable[..., Any] | None]] = [
    ("relu", relu, [], "max(x, 0)", lambda g, y, _x: g * (y > 0)),
    ("sigmoid", sigmoid, [], "1 / (1 + e^-x)", lambda g, y, _x: g * y * (1 - y)),
    ("tanh", np.tanh, [], "the hyperbolic tangent", lambda g, y, _x: g * (1 - y * y)),
    ("softsign", softsign, [], "x / (1 + |x|)",
     lambda g, _y, x: g / np.square(1 + np.abs(x))),
    ("negative", np.negative, ["_np_negative"], "-x", lambda g, _y, _x: -g),
    ("abs", np.abs, [], "|x|", lambda g, _y, x: g * np.sign(x)),
    ("sign", np.sign, [], "-1, 0 or 1", None),
    ("square", np.square, [], "x²", lambda g, _y, x: g * (2 * x)),
    ("sqrt", np.sqrt, [], "√x", lambda g, y, _x: g / (2 * y)),
    ("rsqrt", lambda x, out=None: np.divide(x.dtype.type(1), np.sqrt(x), out=out), [], "1 / √x",
     lambda g, y, _x: -0.5 * g * y * y * y),
    ("cbrt", np.cbrt, [], "the cube root", lambda g, y, _x: g / (3 * y * y)),
    ("rcbrt", lambda x, out=None: np.divide(x.dtype.type(1), np.cbrt(x), out=out), [], "1 / the cube root",
     lambda g, y, x: -g * y / (3 * x)),
    ("reciprocal", lambda x, out=None: np.divide(x.dtype.type(1), x, out=out), [], "1 / x",
     lambda g, y, _x: -g * y * y),
    ("exp", np.exp, [], "e^x", lambda g, y, _x: g * y),
    ("expm1", np.expm1, [], "e^x - 1", lambda g, y, _x: g * (y + 1)),
    ("log", np.log, [], "the natural logarithm", lambda g, _y, x: g / x),
    ("log10", np.log10, [], "the logarithm to base 10", lambda g, _y, x: g / (x * np.log(10))),
    ("log2", np.log2, [], "the logarithm to base 2", lambda g, _y, x: g / (x * np.log(2))),
    ("log1p", np.log1p, [], "log(1 + x)", lambda g, _y, x: g / (1 + x)),
    ("sin", np.sin, [], "the sine", lambda g, _y, x: g * np.cos(x)),
    ("cos", np.cos, [], "the cosine", lambda g, _y, x: -g * np.sin(x)),
    ("tan", np.tan, [], "the tangent", lambda g, y, _x: g * (1 + y * y)),
    ("arcsin", np.arcsin, [], "the arc sine", lambda g, _y, x: g / np.sqrt(1 - x * x)),
    ("arccos", np.arccos, [], "the arc cosine", lambda g, _y, x: -g / np.sqrt(1 - x * x)),
    ("arctan", np.arctan, [], "the arc tangent", lambda g, _y, x: g / (1 + x * x)),
    ("sinh", np.sinh, [], "the hyperbolic sine", lambda g, _y, x: g * np.cosh(x)),
    ("cosh", np.cosh, [], "the hyperbolic cosine", lambda g, _y, x: g * np.sinh(x)),
    ("arcsinh", np.arcsinh, [], "the inverse hyperbolic sine", lambda g, _y, x: g / np.sqrt(x * x + 1)),
    ("arccosh", np.arccosh, [], "the inverse hyperbolic cosine", lambda g, _y, x: g / np.sqrt(x * x - 1)),
    ("arctanh", np.arctanh, [], "the inverse hyperbolic tangent", lambda g, _y, x: g / (1 - x * x)),
    ("degrees", lambda x, out=None: np.multiply(x, x.dtype.type(1 / _PI_180), out=out), [], "radians as degrees",
     lambda g, _y, _x: g / _PI_180),
    ("radians", lambda x, out=None: np.multiply(x, x.dtype.type(_PI_180), out=out), [], "degrees as radians",
     lambda g, _y, _x: g * _PI_180),
    ("floor", np.floor, [], "the next integer below", None),
    ("ceil", np.ceil, [], "the next integer above", None),
    ("trunc", np.trunc, [], "the integer next to x on the side of 0", None),
    ("fix", lambda x, out=None: np.trunc(x, out=out), [], "the integer next to x on the side of 0", None),
    ("round", _round, [], "the nearest integer, halves away from 0", None),
    ("rint", _rint, [], "the nearest integer, halves down", None),
    ("logical_not", lambda x, out=None: np.equal(x, 0, out=np.empty_like(x) if out is None else out), [],
     "1 where x is 0, else 0", None),
]


def _register_unary(
    name: str, function: Callable[..., Any], aliases: list[str], doc: str, grad: Callable[..., Any] | None
) -> Op:
    def kernel(data: Array, /, *, out: Array | None = None) -> Any:
        return function(data, out=out)

    kernel.__doc__ = f"Elementwise: {doc}."
    new = op("(*s) -> (*s)", name=name, aliases=aliases,
             ufunc=function if isinstance(function, np.ufunc) else None)(kernel)
    new.gradient(grad or (lambda _g, _y, _x: None))
    return new


for _unary in _UNARY:
    _register_unary(*_unary)


@op("(*s) -> (*s)", aliases=["identity"])
def _copy(data: Array, /, *, out: Array | None = None) -> Any:
    """A copy of the array."""
    return np.positive(data, out=out) if data.dtype.kind != "b" else np.array(data)


_copy.gradient(lambda g, _y, _x, /: g)


@op("(*s) -> (*s)", aliases=["stop_gradient"])
def BlockGrad(data: Array, /) -> Any:
    """The array itself; no gradient passes back through it."""
    return data


BlockGrad.gradient(lambda _g, _y, _x, /: None)


@op("(*s) -> (*s)", aliases=["cast"], types="A -> dtype")
def Cast(data: Array, /, *, dtype: DType) -> Any:
    """The array with its elements as `dtype`."""
    return data.astype(dtype)


Cast.gradient(lambda g, _y, x, /, *, dtype: g.astype(x.dtype))


@op("(*s) -> (*s)")
def clip(data: Array, /, *, a_min: float, a_max: float, out: Array | None = None) -> Any:
    """Elements below `a_min` become `a_min`, above `a_max` become `a_max`."""
    return np.clip(data, a_min, a_max, out=out)


clip.gradient(lambda g, _y, x, /, *, a_min, a_max: g * ((x >= a_min) & (x <= a_max)))


@op("(*s) -> (*s)")
def smooth_l1(data: Array, /, *, scalar: float = 1.0) -> Any:
    """Huber's loss with σ = `scalar`: (σx)²/2 where |x| < 1/σ², else |x| - 1/(2σ²)."""
    s2 = scalar * scalar
    return np.where(np.abs(data) < 1 / s2, 0.5 * s2 * np.square(data), np.abs(data) - 0.5 / s2).astype(data.dtype)


@smooth_l1.gradient
def _(g: Array, _y: Array, data: Array, /, *, scalar: float) -> Any:
    s2 = scalar * scalar
    return g * np.where(np.abs(data) < 1 / s2, s2 * data, np.sign(data)).astype(data.dtype)


@op("(*s) -> (*s)", aliases=["ElementWiseSum", "_sum"])
def add_n(*args: Array, num_args: int = 0, out: Array | None = None) -> Any:
    """The sum of any number of arrays of one shape, added from the first to the last."""
    y = np.add(args[0], args[1], out=out) if len(args) > 1 else np.positive(args[0], out=out)
    for x in args[2:]:
        y += x
    return y


@add_n.gradient
def _(g: Array, _y: Array, /, *args: Array, num_args: int) -> Any:
    return (g,) * len(args)

"""Operators on two elements at a time: arithmetic and comparison.

Each row of the table below becomes up to four operators: for arrays of equal shape, `broadcast_*`, `_*_scalar`, and
`_r*_scalar` where the order matters. Integers stay integers, and comparisons give 1 and 0 in the operands' dtype, as
in MXNet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .registry import get, op

Array = NDArray[Any]
_Binary = Callable[..., Any]


def _divide(a: Any, b: Any, out: Array | None = None) -> Any:
    """a / b; of integers, the quotient cut towards zero."""
    dtype = (a if isinstance(a, np.ndarray) else b).dtype
    if dtype.kind == "f":
        return np.true_divide(a, b, out=out)
    y = np.trunc(np.true_divide(a, b)).astype(dtype)
    if out is None:
        return y
    out[...] = y
    return out


def _modulo(a: Any, b: Any, out: Array | None = None) -> Any:
    """The remainder with the sign of b; 0 when b is 0."""
    y = np.mod(a, b, out=out)
    if not np.all(b):
        y = np.multiply(np.where(np.isnan(y), y.dtype.type(0), y), b != 0, out=out)
    return y


def _modulo_gradient(g: Any, y: Any, a: Any, b: Any) -> Any:
    """That of integers is 0, as MXNet has it."""
    return (g, -g * np.floor(a / b)) if y.dtype.kind == "f" else (np.zeros_like(g), np.zeros_like(g))


def _hypot(a: Any, b: Any, out: Array | None = None) -> Any:
    dtype = (a if isinstance(a, np.ndarray) else b).dtype
    if dtype.kind == "f":
        return np.hypot(a, b, out=out)
    y = np.hypot(a, b).astype(dtype)
    return y if out is None else np.positive(y, out=out)


def _power_gradient(g: Any, y: Any, a: Any, b: Any) -> Any:
    return g * b * np.power(a, b - 1), g * y * np.log(a)


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    function: _Binary
    doc: str
    gradient: _Binary | None = None  # (g, y, a, b) -> (ga, gb); None: zero everywhere
    same: tuple[str, ...] = ()  # names of the form for equal shapes; empty: `elemwise_<name>`
    aliases: tuple[str, ...] = ()
    broadcast: tuple[str, ...] = ()  # more names of the broadcasting form
    scalar: str = ""  # the scalar form's stem, if it is not the name
    reversible: bool = False  # a ∘ number and number ∘ a differ


# fmt: off
_ROWS = [
    _Row("add", np.add, "a + b", lambda g, _y, _a, _b: (g, g),
         ("elemwise_add",), ("_plus", "_Plus", "_add"), ("plus",), "plus"),
    _Row("sub", np.subtract, "a - b", lambda g, _y, _a, _b: (g, -g),
         ("elemwise_sub",), ("_minus", "_Minus", "_sub"), ("minus",), "minus", True),
    _Row("mul", np.multiply, "a × b", lambda g, _y, a, b: (g * b, g * a), ("elemwise_mul",), ("_mul", "_Mul")),
    _Row("div", _divide, "a / b; of integers, cut towards zero",
         lambda g, y, _a, b: ((h := g / b), -h * y), ("elemwise_div",), ("_div", "_Div"), reversible=True),
    _Row("mod", _modulo, "the remainder of a / b, with the sign of b; 0 where b is 0",
         _modulo_gradient, ("_mod",), ("_Mod",), reversible=True),
    _Row("power", np.power, "a to the power of b", _power_gradient, ("_power",), ("_Power",), reversible=True),
    _Row("maximum", np.maximum, "the larger of a and b", lambda g, _y, a, b: (g * (a >= b), g * (a < b)),
         ("_maximum",), ("_Maximum",)),
    _Row("minimum", np.minimum, "the smaller of a and b", lambda g, _y, a, b: (g * (a <= b), g * (a > b)),
         ("_minimum",), ("_Minimum",)),
    _Row("hypot", _hypot, "the length of the vector (a, b)", lambda g, y, a, b: (g * a / y, g * b / y),
         ("_hypot",), ("_Hypot",)),
    _Row("equal", np.equal, "1 where a = b, else 0", None, ("_equal",), ("_Equal",)),
    _Row("not_equal", np.not_equal, "1 where a ≠ b, else 0", None, ("_not_equal",), ("_Not_Equal",)),
    _Row("greater", np.greater, "1 where a > b, else 0", None, ("_greater",), ("_Greater",)),
    _Row("greater_equal", np.greater_equal, "1 where a ≥ b, else 0", None, ("_greater_equal",), ("_Greater_Equal",)),
    _Row("lesser", np.less, "1 where a < b, else 0", None, ("_lesser",), ("_Lesser",)),
    _Row("lesser_equal", np.less_equal, "1 where a ≤ b, else 0", None, ("_lesser_equal",), ("_Lesser_Equal",)),
    _Row("logical_and", np.logical_and, "1 where both are not 0, else 0", None, ("_logical_and",), ("_Logical_And",)),
    _Row("logical_or", np.logical_or, "1 where either is not 0, else 0", None, ("_logical_or",), ("_Logical_Or",)),
    _Row("logical_xor", np.logical_xor, "1 where just one is not 0, else 0", None, ("_logical_xor",), ("_Logical_Xor",)),
]
# fmt: on


# the gradient of one operand alone, where the other's would be work for nothing
_PARTS: dict[str, tuple[_Binary, ...]] = {
    "mul": (lambda g, _y, _a, b: g * b, lambda g, _y, a, _b: g * a),
    "div": (lambda g, _y, _a, b: g / b, lambda g, y, _a, b: -(g / b) * y),
}


def _nowhere(_g: Array, _y: Array, *_inputs: Array, **_params: Any) -> None:
    """The gradient of a function made of steps."""


def _register(row: _Row) -> None:
    function, to_dtype = row.function, row.gradient is None
    ufunc = function if isinstance(function, np.ufunc) and not to_dtype else None
    if to_dtype:

        def compute(a: Any, b: Any, out: Array | None) -> Any:
            dtype = (a if isinstance(a, np.ndarray) else b).dtype
            return function(a, b).astype(dtype) if out is None else function(a, b, out=out, casting="unsafe")

    else:

        def compute(a: Any, b: Any, out: Array | None) -> Any:
            return function(a, b, out=out)

    def kernel(lhs: Array, rhs: Array, /, *, out: Array | None = None) -> Any:
        return compute(lhs, rhs, out)

    def broadcast_kernel(lhs: Array, rhs: Array, /, *, out: Array | None = None) -> Any:
        return compute(lhs, rhs, out)

    kernel.__doc__ = f"Elementwise {row.doc}, for arrays of one shape."
    broadcast_kernel.__doc__ = f"Elementwise {row.doc}, with sizes of 1 repeated as needed."
    same = op("(*s), (*s) -> (*s)", name=row.same[0], aliases=row.aliases, ufunc=ufunc)(kernel)
    aliases = [f"broadcast_{name}" for name in row.broadcast]
    wide = op("(...), (...) -> (...)", name=f"broadcast_{row.name}", aliases=aliases, ufunc=ufunc)(
        broadcast_kernel
    )
    same.gradient(row.gradient or _nowhere)
    wide.gradient(row.gradient or _nowhere)
    same.gradient_parts = wide.gradient_parts = _PARTS.get(row.name)
    _register_scalar(row, compute)


def _number(scalar: float, data: Array) -> Any:
    """The number as an operand: of integers an integer, as in C."""
    if data.dtype.kind == "f" or data.dtype == bool:
        return scalar
    return (
        data.dtype.type(scalar)
        if float(scalar).is_integer() and scalar >= 0
        else np.asarray(scalar).astype(data.dtype)[()]
    )


def _register_scalar(row: _Row, compute: _Binary) -> None:
    compares = row.gradient is None and not row.name.startswith("logical")
    number: Callable[[float, Array], Any] = (lambda scalar, _data: scalar) if compares else _number

    def types(ins: list[str | None], params: Any) -> Any:
        """A fraction with integers (`is_int` says that there is none) gives float64."""
        given = ins[0]
        if given is None or given.startswith("float") or compares or row.gradient is None:
            return ins, [given]
        return ins, ["int64" if given == "bool" else given if params["is_int"] else "float64"]

    def widened(data: Array, is_int: bool) -> Array:
        if is_int or data.dtype.kind == "f":
            return data.astype(np.int64) if data.dtype == bool and row.gradient is not None else data
        return data.astype(np.float64)

    def kernel(data: Array, /, *, scalar: float = 1.0, is_int: bool = True, out: Array | None = None) -> Any:
        data = widened(data, is_int) if row.gradient is not None else data
        return compute(data, number(scalar, data), out)

    def gradient(g: Array, y: Array, data: Array, /, *, scalar: float, is_int: bool = True) -> Any:
        if row.name == "power":
            return g * (scalar * np.power(data, data.dtype.type(scalar - 1)))
        return None if row.gradient is None else row.gradient(g, y, data, number(scalar, data))[0]

    kernel.__doc__ = f"Elementwise {row.doc}, where b is a number."
    base = f"_{row.scalar or row.name}"
    camel = "".join(part.capitalize() for part in base.split("_"))
    op("(*s) -> (*s)", name=f"{base}_scalar", aliases=[f"_{camel}Scalar"], types=types)(kernel).gradient(
        gradient
    )
    if not row.reversible:
        return

    def reversed_kernel(
        data: Array, /, *, scalar: float = 1.0, is_int: bool = True, out: Array | None = None
    ) -> Any:
        data = widened(data, is_int)
        return compute(number(scalar, data), data, out)

    def reversed_gradient(g: Array, y: Array, data: Array, /, *, scalar: float, is_int: bool = True) -> Any:
        assert row.gradient is not None
        return row.gradient(g, y, data.dtype.type(scalar), data)[1]

    reversed_kernel.__doc__ = f"Elementwise {row.doc}, where a is a number."
    stem = base.lstrip("_")
    names = [f"_r{stem}_scalar", f"_R{stem.capitalize()}Scalar"]
    op("(*s) -> (*s)", name=names[0], aliases=names[1:], types=types)(reversed_kernel).gradient(
        reversed_gradient
    )


for _row in _ROWS:
    _register(_row)


@op("(*s), (*s) -> (*s)", ufunc=np.add)
def _grad_add(lhs: Array, rhs: Array, /, *, out: Array | None = None) -> Any:
    """The sum of two gradients of one array."""
    return np.add(lhs, rhs, out=out)


_grad_add.gradient(lambda g, _y, _a, _b: (g, g))


@op("(*s) -> (*s)", aliases=["ElementWiseSum", "_sum"])
def add_n(*arg: Array, num_args: int = 0, out: Array | None = None) -> Any:
    """The sum of any number of arrays of one shape, added from the first to the last."""
    if len(arg) == 1:
        return np.positive(arg[0], out=out)
    y = np.add(arg[0], arg[1], out=out)
    for x in arg[2:]:
        y += x
    return y


@add_n.gradient
def _(g: Array, _y: Array, /, *arg: Array, num_args: int) -> Any:
    return (g,) * len(arg)


def _scattering(name: str, of: str, doc: str) -> None:
    """MXNet's forms for row_sparse arrays, which touch the stored rows alone; of dense arrays, the plain function."""
    plain = get(of)
    kernel: Any
    if plain.params:

        def kernel(
            data: Array, /, *, scalar: float = 1.0, is_int: bool = True, out: Array | None = None
        ) -> Any:
            return plain.kernel(data, scalar=scalar, is_int=is_int, out=out)

    else:

        def kernel(lhs: Array, rhs: Array, /, *, out: Array | None = None) -> Any:
            return plain.kernel(lhs, rhs, out=out)

    kernel.__doc__ = f"{doc}; of a sparse array, its stored rows alone."
    line = "(*s) -> (*s)" if plain.params else "(*s), (*s) -> (*s)"
    assert plain.gradient_kernel is not None
    op(line, name=name, types=plain.types)(kernel).gradient(plain.gradient_kernel)


_scattering("_scatter_plus_scalar", "_plus_scalar", "Elementwise a + b, where b is a number")
_scattering("_scatter_minus_scalar", "_minus_scalar", "Elementwise a - b, where b is a number")
_scattering("_scatter_elemwise_div", "elemwise_div", "Elementwise a / b")

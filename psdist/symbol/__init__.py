"""Graphs that people write: `Symbol`, `Variable`, `Group`, and every operator as a function of symbols."""

from __future__ import annotations

import difflib
import importlib
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import ops
from ..errors import GraphError
from ..ndarray.invoke import signature_of, split_arguments
from ..ops.registry import Op
from .symbol import Group, Symbol, Variable, compose, fromjson, load, load_json, var

__all__ = [
    "Group",
    "Symbol",
    "Variable",
    "arange",
    "compose",
    "eye",
    "fromjson",
    "full",
    "function_of",
    "hypot",
    "load",
    "load_json",
    "maximum",
    "minimum",
    "ones",
    "pow",
    "power",
    "var",
    "zeros",
]


def function_of(op: Op, known_as: str) -> Callable[..., Symbol]:
    """The function that `sym` shows for an operator."""

    def call(*args: Any, name: str | None = None, attr: Any = None, out: Any = None, **kwargs: Any) -> Symbol:
        if "ctx" in kwargs:
            kwargs["ctx"] = str(kwargs["ctx"])
        row = op.specialise(kwargs)
        arrays, params = split_arguments(row, args, kwargs, Symbol)
        return compose(row, arrays, params, hint=known_as.lower(), name=name, attr=attr)

    call.__name__ = call.__qualname__ = known_as
    call.__doc__ = op.manual()
    call.__module__ = "psdist.symbol"
    call.__signature__ = signature_of(op)  # type: ignore[attr-defined]
    return call


def _lookup(name: str, prefix: str = "") -> Any:
    op = ops.find(prefix + name)
    if op is None:
        near = difflib.get_close_matches(prefix + name, ops.all_names(), 1)
        hint = f"; did you mean '{near[0].removeprefix(prefix)}'?" if near else ""
        raise AttributeError(f"mx.sym has no operator '{name}'{hint}")
    return function_of(op, name if prefix != "_random_" else prefix + name)


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    if name == "random":
        return importlib.import_module(".random", __name__)
    found = _lookup(name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *(n for n in ops.all_names() if not n.startswith("_"))})


class Namespace(types.ModuleType):
    """Operators whose names begin alike, without that beginning: `linalg.gemm` is `linalg_gemm`."""

    def __init__(self, name: str, *prefixes: str) -> None:
        super().__init__(name)
        self._prefixes = prefixes

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in ("cond", "foreach", "while_loop") and "_contrib_" in self._prefixes:
            return getattr(importlib.import_module(".control", __package__), name)
        if name == "rand_zipfian" and "_contrib_" in self._prefixes:
            return importlib.import_module(".random", __package__).rand_zipfian
        for prefix in self._prefixes:
            if ops.find(prefix + name) is not None:
                found = _lookup(name, prefix)
                setattr(self, name, found)
                return found
        return _lookup(name, self._prefixes[0])


op = Namespace("psdist.symbol.op", "")
_internal = Namespace("psdist.symbol._internal", "")
linalg = Namespace("psdist.symbol.linalg", "linalg_", "_linalg_")
contrib = Namespace("psdist.symbol.contrib", "_contrib_")
sparse = Namespace("psdist.symbol.sparse", "_sparse_", "")
image = Namespace("psdist.symbol.image", "_image_")


def _source(name: str, params: dict[str, Any], symbol_name: str | None) -> Symbol:
    return compose(ops.get(name), [], params, hint=name, name=symbol_name)


def _dtype(dtype: Any) -> str:
    return np.dtype(dtype or np.float32).name


def _shape(shape: Any) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


def zeros(shape: Any, dtype: Any = None, name: str | None = None, **kwargs: Any) -> Symbol:
    """An array of zeros."""
    return _source("_zeros", {"shape": _shape(shape), "dtype": _dtype(dtype), **kwargs}, name)


def ones(shape: Any, dtype: Any = None, name: str | None = None, **kwargs: Any) -> Symbol:
    """An array of ones."""
    return _source("_ones", {"shape": _shape(shape), "dtype": _dtype(dtype), **kwargs}, name)


def full(shape: Any, val: float, dtype: Any = None, name: str | None = None, **kwargs: Any) -> Symbol:
    """An array whose elements are all `val`."""
    return _source(
        "_full", {"shape": _shape(shape), "value": float(val), "dtype": _dtype(dtype), **kwargs}, name
    )


def arange(
    start: float,
    stop: float | None = None,
    step: float = 1.0,
    repeat: int = 1,
    infer_range: bool = False,
    name: str | None = None,
    dtype: Any = None,
) -> Symbol:
    """Numbers from `start` to before `stop` (from 0 to before `start`, if alone) by `step`, each `repeat`
    times.
    """
    return _source(
        "_arange",
        {"start": start, "stop": stop, "step": step, "repeat": repeat, "dtype": _dtype(dtype)},
        name,
    )


def eye(N: int, M: int = 0, k: int = 0, dtype: Any = None, name: str | None = None, **kwargs: Any) -> Symbol:
    """Ones on the `k`-th diagonal of N × M (N × N by default), zeros elsewhere."""
    return _source("_eye", {"N": N, "M": M, "k": k, "dtype": _dtype(dtype), **kwargs}, name)


def split_v2(
    ary: Symbol, indices_or_sections: Any, axis: int = 0, squeeze_axis: bool = False, **kwargs: Any
) -> Any:
    """The array cut along `axis`: into that many equal parts, or before each of the indices."""
    if isinstance(indices_or_sections, int):
        cut: dict[str, Any] = {"indices": (), "sections": indices_or_sections}
    else:
        cut = {"indices": (0, *(int(i) for i in indices_or_sections))}
    return _lookup("_split_v2")(ary, axis=axis, squeeze_axis=squeeze_axis, **cut, **kwargs)


def linspace(
    start: float,
    stop: float,
    num: int,
    endpoint: bool = True,
    name: str | None = None,
    dtype: Any = None,
) -> Symbol:
    """`num` numbers at equal distances from `start` to `stop`."""
    step = (stop - start) / ((num - 1 if endpoint else num) or 1) or 1.0
    return _source(
        "_linspace", {"start": start, "stop": start + step * num, "step": step, "dtype": _dtype(dtype)}, name
    )


def histogram(a: Any, bins: Any = 10, range: tuple[float, float] | None = None, **kwargs: Any) -> Symbol:
    """How many elements fall between neighbouring edges, and the edges; `bins` is a Symbol, or a number of equal
    bins over `range`."""
    function = _lookup("_histogram")
    if isinstance(bins, Symbol):
        return function(a, bins, **kwargs)  # type: ignore[no-any-return]
    if range is None:
        raise GraphError("histogram: range is missing; a Symbol has no values to find it from")
    return function(a, bin_cnt=bins, range=range, **kwargs)  # type: ignore[no-any-return]


def _two(
    name: str, python: Callable[[Any, Any], Any], reverse: str | None = None
) -> Callable[[Any, Any], Any]:
    def call(left: Any, right: Any) -> Any:
        if isinstance(left, Symbol) and isinstance(right, Symbol):
            return compose(ops.get(f"_{name}"), [left, right], {}, hint=f"_{name}")
        if isinstance(left, Symbol):
            return compose(ops.get(f"_{name}_scalar"), [left], {"scalar": right}, hint=f"_{name}scalar")
        if isinstance(right, Symbol):
            scalar = reverse or f"_{name}_scalar"
            return compose(
                ops.get(scalar), [right], {"scalar": left}, hint=scalar.replace("_scalar", "scalar")
            )
        if isinstance(left, int | float) and isinstance(right, int | float):
            return python(left, right)
        raise GraphError(f"{name}: {left!r} and {right!r}; wanted Symbols or numbers")

    call.__name__ = name
    call.__doc__ = f"Elementwise {name} of two symbols, or of a symbol and a number."
    return call


maximum = _two("maximum", max)
minimum = _two("minimum", min)
hypot = _two("hypot", lambda a, b: float(np.hypot(a, b)))
power = pow = _two("power", lambda a, b: a**b, "_rpower_scalar")

_METHODS = """
abs arccos arccosh arcsin arcsinh arctan arctanh argmax argmax_channel argmin argsort astype broadcast_axes
broadcast_like broadcast_to cbrt ceil clip cos cosh degrees depth_to_space diag exp expand_dims expm1 fix flatten flip
floor log log10 log1p log2 log_softmax max mean min nanprod nansum norm one_hot ones_like pad pick prod radians rcbrt
reciprocal relu repeat reshape_like rint round rsqrt shape_array sigmoid sign sin sinh size_array slice slice_axis
slice_like softmax softmin sort space_to_depth split split_v2 sqrt square squeeze sum swapaxes take tan tanh tile topk
transpose trunc zeros_like
""".split()


def _method(name: str) -> Any:
    def call(self: Symbol, *args: Any, **kwargs: Any) -> Any:
        if name == "astype":
            return _lookup("cast")(self, *args, **kwargs)
        if name == "transpose" and args:
            args = (args[0] if len(args) == 1 and isinstance(args[0], tuple | list) else args,)
        return (globals().get(name) or __getattr__(name))(self, *args, **kwargs)

    call.__name__ = name
    call.__doc__ = f"See the operator `{name}`."
    return call


for _name in _METHODS:
    setattr(Symbol, _name, _method(_name))

"""`mx.nd.sparse`: sparse arrays, how they are made (`sparse_making`), and functions of them. What operators do with sparse
arrays stands in `sparse_rules`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import ops
from ..autograd import state
from ..errors import ConfigError, GraphError
from .array import NDArray
from .invoke import function_of, invoke, split_arguments
from .sparse_arrays import BaseSparseNDArray, CSRNDArray, RowSparseNDArray, of_stored
from .sparse_making import array, cast_storage, csr_matrix, empty, index_of, row_sparse_array, zeros

__all__ = [
    "BaseSparseNDArray",
    "CSRNDArray",
    "RowSparseNDArray",
    "add",
    "array",
    "cast_storage",
    "csr_matrix",
    "divide",
    "dot",
    "embedding",
    "empty",
    "multiply",
    "of_stored",
    "retain",
    "row_sparse_array",
    "subtract",
    "zeros",
]


def retain(
    data: NDArray, indices: Any = None, out: NDArray | None = None, name: str | None = None, **unknown: Any
) -> NDArray:
    """Only the rows `indices` of a row_sparse array."""
    if unknown or indices is None:
        what = f"no parameter {next(iter(unknown))!r}" if unknown else "no indices given"
        raise ConfigError(f"retain: {what}; it takes data and indices")
    if data.stype != "row_sparse":
        raise ConfigError(f"retain: wanted a row_sparse array, given a {data.stype} one")
    at = indices if isinstance(indices, NDArray) else NDArray(index_of(indices))
    return invoke(ops.get("_sparse_retain"), [data, at], {}, out)  # type: ignore[no-any-return]


def dot(
    lhs: NDArray,
    rhs: NDArray,
    transpose_a: bool = False,
    transpose_b: bool = False,
    forward_stype: str | None = None,
    out: NDArray | None = None,
    name: str | None = None,
) -> NDArray:
    """The product of two arrays, sparse or dense."""
    op = ops.get("dot")
    params = {"transpose_a": transpose_a, "transpose_b": transpose_b}
    if forward_stype is not None:
        params["forward_stype"] = forward_stype  # type: ignore[assignment]
    return invoke(op, [lhs, rhs], op.parse(params), out)  # type: ignore[no-any-return]


def embedding(*args: Any, **kwargs: Any) -> NDArray:
    """`Embedding` whose gradient is row-sparse."""
    op = ops.get("Embedding")
    out = kwargs.pop("out", None)
    kwargs.pop("name", None)
    from .sparse_rules import try_invoke

    named, params = split_arguments(op, args, kwargs, NDArray)
    arrays = list(named.values()) if isinstance(named, dict) else named
    if isinstance(named, dict) and set(named) == {"data", "weight"}:
        arrays = [named["data"], named["weight"]]
    made = try_invoke(op, arrays, op.parse(params), out)
    return invoke(op, arrays, op.parse(params), out) if made is NotImplemented else made  # type: ignore[no-any-return]


def _pair(same: str, broadcast: str, scalar: str, reverse: str | None) -> Callable[[Any, Any], NDArray]:
    def call(lhs: Any, rhs: Any) -> NDArray:
        if isinstance(lhs, NDArray) and isinstance(rhs, NDArray):
            name = same if lhs.shape == rhs.shape else broadcast
            return invoke(ops.get(name), [lhs, rhs], {})  # type: ignore[no-any-return]
        if isinstance(lhs, NDArray):
            return invoke(ops.get(scalar), [lhs], ops.get(scalar).parse({"scalar": rhs}))  # type: ignore[no-any-return]
        back = ops.get(reverse or scalar)
        return invoke(back, [rhs], back.parse({"scalar": lhs}))  # type: ignore[no-any-return]

    call.__doc__ = f"`{same}` that keeps arrays sparse where zeros stay zeros; either side may be a number."
    return call


add = _pair("elemwise_add", "broadcast_add", "_plus_scalar", None)
subtract = _pair("elemwise_sub", "broadcast_sub", "_minus_scalar", "_rminus_scalar")
multiply = _pair("elemwise_mul", "broadcast_mul", "_mul_scalar", None)
divide = _pair("elemwise_div", "broadcast_div", "_div_scalar", "_rdiv_scalar")
for _function, _name in ((add, "add"), (subtract, "subtract"), (multiply, "multiply"), (divide, "divide")):
    _function.__name__ = _function.__qualname__ = _name


def __getattr__(name: str) -> Any:
    found = None if name.startswith("__") else ops.find(name) or ops.find(f"_sparse_{name}")
    if found is None:
        raise AttributeError(f"mx.nd.sparse has no '{name}'")
    return function_of(found, name)


def _attach_operators() -> None:
    """Give sparse arrays their arithmetic."""
    pairs = {
        "add": (add, "add"),
        "sub": (subtract, "sub"),
        "mul": (multiply, "mul"),
        "truediv": (divide, "truediv"),
    }
    numbers = (int, float, np.generic)

    def method(function: Callable[[Any, Any], NDArray], name: str, swapped: bool) -> Any:
        dense = getattr(NDArray, f"__{name.removeprefix('r')}__" if swapped else f"__{name}__")

        def call(self: BaseSparseNDArray, other: Any) -> Any:
            if swapped and isinstance(
                other, NDArray
            ):  # Python asks the subclass first; MXNet's answer is dense
                return dense(other, self)
            if isinstance(other, NDArray | int | float | np.generic):
                return function(other, self) if swapped else function(self, other)
            return dense(self, other)

        return call

    for name, (function, _) in pairs.items():
        setattr(BaseSparseNDArray, f"__{name}__", method(function, name, False))
        setattr(BaseSparseNDArray, f"__r{name}__", method(function, f"r{name}", True))
    for name, scalar in (
        ("eq", "_equal_scalar"),
        ("ne", "_not_equal_scalar"),
        ("gt", "_greater_scalar"),
        ("ge", "_greater_equal_scalar"),
        ("lt", "_lesser_scalar"),
        ("le", "_lesser_equal_scalar"),
    ):
        dense_compare = getattr(NDArray, f"__{name}__")

        def compare(
            self: BaseSparseNDArray, other: Any, _dense: Any = dense_compare, _op: str = scalar
        ) -> Any:
            if isinstance(other, numbers):
                return invoke(ops.get(_op), [self], ops.get(_op).parse({"scalar": other}))
            return _dense(self, other)

        setattr(BaseSparseNDArray, f"__{name}__", compare)
    for name, function in (("iadd", add), ("isub", subtract), ("imul", multiply), ("itruediv", divide)):

        def in_place(self: BaseSparseNDArray, other: Any, _function: Any = function) -> Any:
            if state.recording and self._source is not None:
                raise GraphError(
                    "an in-place operation is not possible while recording: write y = x + … instead"
                )
            self._assign(_function(self, other))
            return self

        setattr(BaseSparseNDArray, f"__{name}__", in_place)


_attach_operators()

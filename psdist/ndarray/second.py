"""Gradients that are recorded themselves, for `autograd.grad(create_graph=True)`.

Gradient functions are written over NumPy arrays. Here they are called with `Recorded` arrays, which answer every
ufunc, reduction and change of shape by the operator of the same meaning, so that what they compute is recorded
like anything else. What has no such operator raises GraphError, naming the operator whose gradient needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from .. import ops
from ..autograd import Leaf, Node, Source, Tape, check_heads, record
from ..errors import GraphError
from ..ops.registry import Op
from .array import NDArray
from .invoke import invoke

__all__ = ["recorded_gradients"]

_BINARY: dict[Any, str] = {
    np.add: "add",
    np.subtract: "sub",
    np.multiply: "mul",
    np.true_divide: "div",
    np.power: "power",
    np.maximum: "maximum",
    np.minimum: "minimum",
    np.greater: "greater",
    np.greater_equal: "greater_equal",
    np.less: "lesser",
    np.less_equal: "lesser_equal",
    np.equal: "equal",
    np.not_equal: "not_equal",
    np.bitwise_and: "logical_and",  # of what comparisons gave
    np.bitwise_or: "logical_or",
}
_SWAPPED = {
    "greater": "lesser",
    "greater_equal": "lesser_equal",
    "lesser": "greater",
    "lesser_equal": "greater_equal",
}
_UNARY = """
exp expm1 log log1p log2 log10 sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh sqrt cbrt square
negative sign floor ceil trunc reciprocal
""".split()
_UNARY_OPS = {getattr(np, name): name for name in _UNARY} | {np.absolute: "abs", np.positive: "_copy"}
_REDUCTIONS: dict[Any, str] = {np.add: "sum", np.maximum: "max", np.minimum: "min", np.multiply: "prod"}


class _Missing(Exception):
    """No operator does this."""


def recorded_gradients(
    heads: Sequence[NDArray],
    variables: Sequence[NDArray],
    head_grads: Sequence[NDArray | None] | None,
    train_mode: bool,
) -> list[NDArray]:
    """The gradients of `heads` with regard to `variables`, recorded. Raises GraphError where that is not known."""
    tape = Tape()
    with record(train_mode):
        for h, g in zip(heads, check_heads(heads, head_grads), strict=True):
            tape.arrive(h._source, h._like(np.ones_like(h._data)) if g is None else g)
        tape.run(lambda node, arrived: _back(node, arrived, heads[0], train_mode))
        found = []
        for v in variables:
            leaf = v._source[0] if v._source is not None else None
            assert isinstance(leaf, Leaf)
            g = tape.of(leaf)
            found.append(v._like(np.zeros_like(v._data)) if g is None else g)
    return found


def _back(node: Node, arrived: Sequence[NDArray | None], like: NDArray, train: bool) -> list[NDArray | None]:
    """The gradients of a node's inputs, by its gradient function over recorded arrays."""
    op = node.op
    name = getattr(op, "name", type(op).__name__)
    if not isinstance(op, Op):
        raise GraphError(f"grad: create_graph=True is not supported through {name}")

    def wrap(data: Any, source: Source) -> Any:
        x = like._like(data)
        x._source = source
        return Recorded(x)

    own = [(node, i) for i in range(len(node.outputs))]
    heads: list[Any] = [
        Recorded(like._like(np.zeros_like(node.outputs[i])) if g is None else g)
        for i, g in enumerate(arrived)
    ]
    outputs = [wrap(y, own[i]) for i, y in enumerate(node.outputs)]
    inputs = [wrap(x, source) for x, source in zip(node.inputs, node.parents, strict=True)]
    needs = tuple(p is not None for p in node.parents)
    try:
        grads = op.backward(heads, outputs, inputs, node.params, needs, node.is_train and train)
        return [
            None if g is None or not need else _plain(g, like) for g, need in zip(grads, needs, strict=True)
        ]
    except (
        _Missing,
        TypeError,
        AttributeError,
    ) as e:  # the last two: a function that wants a real NumPy array
        raise GraphError(
            f"grad: create_graph=True is not supported through {name}: its gradient uses {e}, which has no gradient here"
        ) from e


def _plain(g: Any, like: NDArray) -> NDArray:
    return g.x if isinstance(g, Recorded) else like._like(np.array(g))


def _op(name: str, *arrays: NDArray, **params: Any) -> Recorded:
    op = ops.get(name)
    return Recorded(invoke(op, arrays, op.parse(params)))


class Recorded(NDArrayOperatorsMixin):
    """An NDArray that a gradient function takes for a NumPy array."""

    __slots__ = ("x",)

    def __init__(self, x: NDArray) -> None:
        self.x = x

    @property
    def shape(self) -> tuple[int, ...]:
        return self.x.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.x._data.dtype

    @property
    def ndim(self) -> int:
        return self.x.ndim

    @property
    def size(self) -> int:
        return self.x.size

    def __len__(self) -> int:
        return len(self.x)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise _Missing("a function of NumPy arrays")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", None)
        if method == "reduce" and ufunc in _REDUCTIONS:
            made = _reduced(
                _REDUCTIONS[ufunc], inputs[0], kwargs.get("axis", 0), bool(kwargs.get("keepdims"))
            )
        elif method == "__call__" and not kwargs:
            made = _called(ufunc, inputs)
        else:
            raise _Missing(f"np.{ufunc.__name__}.{method}")
        if out is None:
            return made
        if not isinstance(out[0], Recorded):
            raise _Missing("an output that is a NumPy array")
        out[0].x = made.x  # in place: the object stands for the new array
        return out[0]

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        known = _FUNCTIONS.get(function)
        if known is None:
            raise _Missing(f"np.{function.__name__}")
        return known(*args, **kwargs)

    def reshape(self, *shape: Any) -> Recorded:
        wanted = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
        to = np.broadcast_to(0, self.shape).reshape(wanted).shape
        return _op("_np_reshape", self.x, newshape=to) if ops.find("_np_reshape") else _reshaped(self.x, to)

    def transpose(self, *axes: Any) -> Recorded:
        wanted = axes[0] if len(axes) == 1 and isinstance(axes[0], tuple | list) else axes
        return _op("transpose", self.x, axes=tuple(wanted) or tuple(reversed(range(self.ndim))))

    @property
    def T(self) -> Recorded:
        return self.transpose()

    def swapaxes(self, a: int, b: int) -> Recorded:
        return _op("SwapAxis", self.x, dim1=a % self.ndim, dim2=b % self.ndim)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Recorded:
        return _reduced("sum", self, axis, keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Recorded:
        return _reduced("max", self, axis, keepdims)

    def astype(self, dtype: Any, copy: bool = True) -> Recorded:
        return self if np.dtype(dtype) == self.dtype else _op("Cast", self.x, dtype=np.dtype(dtype).name)

    def copy(self) -> Recorded:
        return Recorded(self.x)


def _reshaped(x: NDArray, shape: tuple[int, ...]) -> Recorded:
    if 0 in shape:
        raise _Missing("an array without elements")
    return _op("Reshape", x, shape=shape)


def _reduced(name: str, x: Recorded, axis: Any, keepdims: bool) -> Recorded:
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if not axes:
        return x
    y = _op(name, x.x, axis=axes, keepdims=True)
    if keepdims:
        return y
    shape = tuple(n for i, n in enumerate(x.shape) if i not in {a % x.ndim for a in axes})
    return y.reshape(shape or (1,))


def _called(ufunc: np.ufunc, inputs: Sequence[Any]) -> Recorded:
    if ufunc in _UNARY_OPS:
        return _op(_UNARY_OPS[ufunc], inputs[0].x)
    if ufunc is np.matmul:
        return _product(*inputs)
    name = _BINARY.get(ufunc)
    if name is None:
        raise _Missing(f"np.{ufunc.__name__}")
    a, b = inputs
    if isinstance(a, Recorded) and isinstance(b, Recorded):
        return _op(f"broadcast_{name}", a.x, b.x)
    recorded, other, swapped = (a, b, False) if isinstance(a, Recorded) else (b, a, True)
    if np.ndim(other):
        if not isinstance(other, np.ndarray):
            raise _Missing(f"np.{ufunc.__name__} of a {type(other).__name__}")
        constant = recorded.x._like(other.astype(recorded.dtype))
        pair = (constant, recorded.x) if swapped else (recorded.x, constant)
        return _op(f"broadcast_{name}", *pair)
    stem = {"add": "plus", "sub": "minus"}.get(name, name)
    if swapped and ops.find(f"_r{stem}_scalar"):
        return _op(f"_r{stem}_scalar", recorded.x, scalar=float(other))
    return _op(f"_{_SWAPPED.get(stem, stem) if swapped else stem}_scalar", recorded.x, scalar=float(other))


def _product(a: Any, b: Any) -> Recorded:
    if not (isinstance(a, Recorded) and isinstance(b, Recorded)):
        raise _Missing("a product with a NumPy array")
    if a.ndim == b.ndim == 2:
        return _op("dot", a.x, b.x)
    if a.ndim == b.ndim == 3:
        return _op("batch_dot", a.x, b.x)
    raise _Missing(f"a product of {a.ndim} and {b.ndim} dimensions")


def _filled(number: float) -> Callable[..., Any]:
    return lambda x, dtype=None: np.full(x.shape, number, dtype or x.dtype)


def _where(mask: Any, yes: Any, no: Any) -> Recorded:
    like = next(v for v in (mask, yes, no) if isinstance(v, Recorded))

    def whole(v: Any) -> NDArray:
        x = v.x if isinstance(v, Recorded) else like.x._like(np.asarray(v, like.dtype))
        return (
            x
            if x.shape == like.shape
            else invoke(
                ops.get("broadcast_to"),
                [x.reshape((1,) * (like.ndim - x.ndim) + x.shape)],
                {"shape": like.shape},
            )
        )

    return _op("where", whole(mask), whole(yes), whole(no))


def _broadcast_to(x: Recorded, shape: Any) -> Recorded:
    if x.ndim < len(shape):
        x = x.reshape((1,) * (len(shape) - x.ndim) + x.shape)
    return x if x.shape == tuple(shape) else _op("broadcast_to", x.x, shape=tuple(shape))


_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.sum: lambda x, axis=None, keepdims=False: x.sum(axis, keepdims),
    np.zeros_like: _filled(0),
    np.ones_like: _filled(1),
    np.where: _where,
    np.broadcast_to: _broadcast_to,
    np.swapaxes: lambda x, a, b: x.swapaxes(a, b),
    np.transpose: lambda x, axes=None: x.transpose(*(axes or ())),
    np.reshape: lambda x, shape: x.reshape(shape),
}

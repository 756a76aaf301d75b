"""Kernels taken apart: what an operator's function does to arrays, as instructions.

A kernel is called once with `Traced` arrays, which compute nothing but write down every ufunc, reduction and view
that is asked of them. The plan then makes exactly these calls, so its results have the kernel's bits; but their
memory is planned, and what lies between operators is as open to the passes as what lies inside.

What cannot be written down (a value that decides what happens next, a function that is not known here) raises
`Untraceable`, and the operator stays one call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from .ir import Apply, Array, Copy, Instr, Random, Reduce, Select, Value, View, full_order, seen

__all__ = ["CLIP", "Builder", "Traced", "TracedGenerator", "Untraceable"]

CLIP = getattr(getattr(np, "_core", None), "umath", np).clip  # the ufunc below np.clip
_Resolved = tuple[np.dtype[Any], ...]
_loops: dict[Any, _Resolved] = {}


class Untraceable(Exception):
    """This function cannot be taken apart."""


class Builder:
    """Collects instructions."""

    def __init__(self) -> None:
        self.instrs: list[Instr] = []
        self.node = ""
        self.back = False
        self.winograd = True  # whether 3×3 convolutions may go by tiles
        self.keeps = True  # whether transforms stay in memory for the way back
        self.compiled = False  # whether reductions of rows will be compiled with what is around them
        self.kept: dict[Value, Value] = {}  # data of a convolution by tiles -> its transform
        self.changing: set[Value] = (
            set()
        )  # bound values that some operator writes: a copy of one is a real copy
        self._ordered: dict[tuple[Value, tuple[int, ...]], Value] = {}
        self._memory: dict[Value, Array] = {}  # of views: how their memory lies; its bytes are never touched

    def emit(self, instr: Instr) -> None:
        """Append an instruction, under the current node's name."""
        instr.node, instr.back = self.node, self.back
        self.instrs.append(instr)

    def value(self, x: Any, dtype: Any = None) -> Value:
        """The value of an operand: a Traced, a Value, or a constant."""
        if isinstance(x, Value):
            return x
        if type(x) is Traced:
            return x.v
        const = np.asarray(x, dtype)
        return Value(const.shape, const.dtype, const=const)

    def ordered(self, v: Value, order: tuple[int, ...]) -> Value:
        """The same array with its axes in another order of memory. Bits are kept."""
        if v.order == order:
            return v
        found = self._ordered.get((v, order))
        if found is None or v in self.changing:
            found = Value(v.shape, v.dtype, order=order)
            self.emit(Copy(v, found))
            self._ordered[v, order] = found
        return found

    def _agreed(self, values: list[Value], shape: tuple[int, ...]) -> tuple[int, ...]:
        """The order of memory for an elementwise result: that of its whole operands, which are made to agree."""
        whole = [v for v in values if v.shape == shape]
        orders = {v.order for v in whole}
        plain = full_order(len(shape))
        order = next((v.order for v in whole if v.order != plain), plain)
        if len(orders) > 1:
            for i, v in enumerate(values):
                if v.shape == shape and v.const is None:
                    values[i] = self.ordered(v, order)
        return order

    def apply(
        self, ufunc: np.ufunc, operands: Sequence[Any], out: Any = None, casting: str | None = None
    ) -> Value:
        """A ufunc's result."""
        if ufunc.nout != 1:
            raise Untraceable(ufunc.__name__)
        loop = _loop(ufunc, operands)
        values = [
            self.value(x, dtype if type(x) in (bool, int, float) else None)
            for x, dtype in zip(operands, loop, strict=False)
        ]
        shape = _result_shape(ufunc, values)
        order = self._agreed(values, shape) if ufunc.signature is None else None
        made = Value(shape, loop[-1] if out is None else out.dtype, order=order)
        if out is not None and out.shape != made.shape:
            raise Untraceable("out of another shape")
        if out is not None and casting is None and not np.can_cast(loop[-1], out.dtype, "same_kind"):
            raise Untraceable("casting")
        self.emit(Apply(ufunc, values, made, casting))
        return made

    def reduce(self, ufunc: np.ufunc, source: Value, axis: Any, keepdims: bool) -> Value:
        """A ufunc's reduction."""
        ndim = len(source.shape)
        axes = tuple(range(ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        axes = tuple(sorted(int(a) % ndim for a in axes))
        shape = tuple(1 if i in axes else n for i, n in enumerate(source.shape) if keepdims or i not in axes)
        dtype = (
            ufunc.reduce(np.ones((1,) * max(1, ndim), source.dtype)).dtype
            if source.dtype.kind != "f"
            else source.dtype
        )
        made = Value(shape, dtype)
        self.emit(Reduce(ufunc, source, made, axes if len(axes) != 1 else axes[0], keepdims))
        return made

    def view(self, how: str, arg: Any, base: Value) -> Value:
        """The same memory seen otherwise."""
        if how == "reshape" and -1 in arg:
            known = -math.prod(arg)
            arg = tuple(base.size // known if n == -1 else n for n in arg)
        if how in ("reshape", "broadcast"):
            shape = tuple(arg)
        else:
            shape = seen(how, arg, np.broadcast_to(np.zeros((), base.dtype), base.shape)).shape
        if shape == base.shape and how in ("reshape", "broadcast"):
            return base
        if how == "reshape" and base.order != full_order(len(base.shape)):
            base = self.ordered(base, full_order(len(base.shape)))
        memory = self._memory.get(base)
        if memory is None:
            memory = np.empty(base.shape, bool)
        if how == "reshape" and base.size and not np.may_share_memory(memory.reshape(arg), memory):
            raise Untraceable("a reshape that copies")
        made = Value(shape, base.dtype)
        self._memory[made] = seen(how, arg, memory)
        self.emit(View(how, arg, base, made))
        return made

    def copy(self, source: Value, dtype: Any = None) -> Value:
        """A copy, perhaps as another dtype."""
        made = Value(source.shape, np.dtype(dtype or source.dtype), order=source.order)
        self.emit(Copy(source, made))
        return made


def _loop(ufunc: np.ufunc, operands: Sequence[Any]) -> _Resolved:
    """The dtypes of the loop that NumPy would choose."""
    kinds: list[Any] = []
    for x in operands:
        if type(x) in (bool, int, float):
            kinds.append(bool if type(x) is bool else type(x))
        elif isinstance(x, Value) or hasattr(x, "dtype"):
            kinds.append(x.dtype)
        else:
            raise Untraceable(f"an operand {type(x).__name__}")
    key = (ufunc, *kinds)
    found = _loops.get(key)
    if found is None:
        asked = tuple(np.dtype(bool) if k is bool else k for k in kinds)
        if all(k is int or k is float for k in kinds):  # not `in`: NumPy's float64 equals Python's float
            raise Untraceable("numbers alone")
        found = _loops[key] = tuple(ufunc.resolve_dtypes((*asked, None)))
    return found


def _result_shape(ufunc: np.ufunc, values: Sequence[Value]) -> tuple[int, ...]:
    if ufunc.signature is None:
        return np.broadcast_shapes(*(v.shape for v in values))
    if ufunc is not np.matmul or any(len(v.shape) < 2 for v in values):
        raise Untraceable(ufunc.__name__)
    a, b = (v.shape for v in values)
    return (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])


class TracedGenerator:
    """Stands for the device's random generator."""

    def __init__(self, builder: Builder, source: Any) -> None:
        self._builder = builder
        self._source = source

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Traced:
        """Uniform numbers between 0 and 1."""
        if size is None or out is not None:
            raise Untraceable("random")
        made = Value(tuple(size) if not isinstance(size, int) else (size,), np.dtype(dtype))
        self._builder.emit(Random(self._source, np.dtype(dtype).type, made))
        return Traced(self._builder, made)


def _no(what: str) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise Untraceable(what)

    return refuse


class Traced(NDArrayOperatorsMixin):
    """An array that is not there: it writes down what is asked of it."""

    __slots__ = ("b", "shared", "v")

    def __init__(self, builder: Builder, value: Value, shared: bool = False) -> None:
        self.b = builder
        self.v = value
        self.shared = shared  # a view, or one was taken: writing into it would have to show in another

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # kernels ask isinstance(x, np.ndarray)
        return np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.v.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.v.dtype

    @property
    def ndim(self) -> int:
        return len(self.v.shape)

    @property
    def size(self) -> int:
        return self.v.size

    @property
    def nbytes(self) -> int:
        return self.v.nbytes

    def __len__(self) -> int:
        return self.v.shape[0]

    __bool__ = __int__ = __float__ = __index__ = __iter__ = __array__ = item = tolist = _no("a value decides")

    # -- ufuncs ----------------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", None)
        target = out[0] if out is not None else None
        if target is not None and (type(target) is not Traced or target.shared):
            raise Untraceable("out")
        if method == "reduce" and ufunc.nin == 2:
            made = self._reduce(ufunc, inputs[0], **kwargs)
        elif method == "__call__":
            casting = kwargs.pop("casting", None)
            kwargs.pop("subok", None)
            if kwargs:
                raise Untraceable(f"{ufunc.__name__} with {', '.join(kwargs)}")
            made = self.b.apply(ufunc, inputs, None if target is None else target.v, casting)
        else:
            raise Untraceable(method)
        if target is None:
            return Traced(self.b, made)
        if made.dtype != target.v.dtype:
            raise Untraceable("out of another dtype")
        target.v = made
        return target

    def _reduce(
        self, ufunc: np.ufunc, x: Any, axis: Any = 0, dtype: Any = None, keepdims: bool = False, **rest: Any
    ) -> Value:
        if (dtype is not None and np.dtype(dtype) != x.dtype) or any(
            v is not None and v is not np._NoValue for v in rest.values()
        ):
            raise Untraceable("reduce")
        return self.b.reduce(ufunc, self.b.value(x), axis, bool(keepdims))

    def sum(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Traced:
        return Traced(self.b, self._reduce(np.add, self, axis, dtype, keepdims, out=out))

    def max(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Traced:
        return Traced(self.b, self._reduce(np.maximum, self, axis, None, keepdims, out=out))

    def min(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> Traced:
        return Traced(self.b, self._reduce(np.minimum, self, axis, None, keepdims, out=out))

    def mean(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Traced:
        """As np.mean does it: the sum divided by the count, rounded once."""
        if self.dtype.itemsize < 4 or self.dtype.kind != "f" or dtype is not None or out is not None:
            raise Untraceable("mean")
        total = self.b.reduce(np.add, self.v, axis, keepdims)
        count = np.asarray(self.size // max(1, total.size), np.intp)
        return Traced(self.b, self.b.apply(np.true_divide, (total, count), total, "unsafe"))

    # -- views -----------------------------------------------------------------------------------------------

    def _view(self, how: str, arg: Any) -> Traced:
        self.shared = True
        return Traced(self.b, self.b.view(how, arg, self.v), True)

    def reshape(self, *shape: Any, order: str = "C") -> Traced:
        if order != "C":
            raise Untraceable("order")
        wanted = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
        return self._view("reshape", tuple(int(n) for n in wanted))

    def transpose(self, *axes: Any) -> Traced:
        wanted = axes[0] if len(axes) == 1 and isinstance(axes[0], tuple | list) else axes
        if not wanted or wanted[0] is None:
            wanted = tuple(reversed(range(self.ndim)))
        return self._view("transpose", tuple(int(a) % self.ndim for a in wanted))

    @property
    def T(self) -> Traced:
        return self.transpose()

    def swapaxes(self, a: int, b: int) -> Traced:
        axes = list(range(self.ndim))
        axes[a], axes[b] = axes[b], axes[a]
        return self.transpose(axes)

    def ravel(self) -> Traced:
        return self.reshape(-1)

    def __getitem__(self, key: Any) -> Traced:
        parts = key if isinstance(key, tuple) else (key,)
        if not all(p is None or p is Ellipsis or isinstance(p, int | slice | np.integer) for p in parts):
            raise Untraceable("an index")
        return self._view("index", key)

    def __setitem__(self, key: Any, value: Any) -> None:
        if key is not Ellipsis or self.shared:
            raise Untraceable("an assignment")
        v = self.b.value(value, self.dtype if not isinstance(value, Traced | np.ndarray) else None)
        if v.shape != self.shape:
            v = self.b.view("broadcast", self.shape, v)
        self.v = self.b.copy(v, self.dtype)

    # -- copies ----------------------------------------------------------------------------------------------

    def copy(self, order: str = "C") -> Traced:
        return Traced(self.b, self.b.copy(self.v) if self.v in self.b.changing else self.v)

    def astype(self, dtype: Any, copy: bool = True, **kwargs: Any) -> Traced:
        if np.dtype(dtype) == self.dtype:
            return self.copy() if copy else self
        return Traced(self.b, self.b.copy(self.v, dtype))

    def clip(self, low: Any = None, high: Any = None, out: Any = None) -> Any:
        if low is None or high is None or (out is not None and (type(out) is not Traced or out.shared)):
            raise Untraceable("clip")
        made = self.b.apply(CLIP, (self, low, high), None if out is None else out.v)
        if out is None:
            return Traced(self.b, made)
        out.v = made
        return out

    # -- functions -------------------------------------------------------------------------------------------

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        known = _FUNCTIONS.get(function)
        if known is None:
            raise Untraceable(getattr(function, "__name__", "a function"))
        return known(*args, **kwargs)


def _filled(number: float) -> Callable[..., Any]:
    def make(x: Any, dtype: Any = None) -> Array:
        return np.broadcast_to(np.asarray(number, dtype or x.dtype), x.shape)

    return make


def _full_like(x: Any, fill_value: Any, dtype: Any = None) -> Array:
    if isinstance(fill_value, Traced):
        raise Untraceable("full_like")
    return np.broadcast_to(np.asarray(fill_value, dtype or x.dtype), x.shape)


def _empty_like(x: Any, dtype: Any = None) -> Traced:
    """Never read before it is written, so any value serves."""
    return Traced(x.b, Value(x.shape, np.dtype(dtype or x.dtype)))


def _where(mask: Any, yes: Any, no: Any) -> Traced:
    b: Builder = next(x.b for x in (mask, yes, no) if type(x) is Traced)
    dtype = np.result_type(*(x.dtype if hasattr(x, "dtype") else x for x in (yes, no)))
    values = [
        b.value(mask),
        *(b.value(x, dtype if type(x) in (bool, int, float) else None) for x in (yes, no)),
    ]
    if values[0].dtype != np.dtype(bool) or any(v.dtype != dtype for v in values[1:]):
        raise Untraceable("where")
    shape = np.broadcast_shapes(*(v.shape for v in values))
    made = Value(shape, dtype, order=b._agreed(values, shape))
    b.emit(Select(values, [made]))
    return Traced(b, made)


def _broadcast_to(x: Any, shape: Any) -> Any:
    return x._view("broadcast", tuple(shape) if not isinstance(shape, int) else (shape,))


def _expand_dims(x: Any, axis: Any) -> Any:
    at = sorted(int(a) % (x.ndim + 1) for a in (axis if isinstance(axis, tuple) else (axis,)))
    if len(at) > 1:
        raise Untraceable("expand_dims")
    return x.reshape(*x.shape[: at[0]], 1, *x.shape[at[0] :])


_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.sum: lambda x, **kw: x.sum(**kw),
    np.mean: lambda x, **kw: x.mean(**kw),
    np.max: lambda x, **kw: x.max(**kw),
    np.min: lambda x, **kw: x.min(**kw),
    np.clip: lambda x, low, high, out=None: x.clip(low, high, out),
    np.reshape: lambda x, shape: x.reshape(shape),
    np.transpose: lambda x, axes=None: x.transpose(axes) if axes is not None else x.T,
    np.swapaxes: lambda x, a, b: x.swapaxes(a, b),
    np.broadcast_to: _broadcast_to,
    np.expand_dims: _expand_dims,
    np.zeros_like: _filled(0),
    np.ones_like: _filled(1),
    np.full_like: _full_like,
    np.empty_like: _empty_like,
    np.copy: lambda x: x.copy(),
    np.where: _where,
}

"""NDArray: a thin wrapper around a NumPy array that knows its device and how it was computed.

Operators run at once. The arithmetic operators below are the hot path of imperative code: each is one NumPy
call and as little else as possible; everything else goes through `invoke`.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import autograd, ops, profiler
from ..autograd import Leaf, Node, Source, anyone, backward, order, state
from ..context import Context, cpu, usable
from ..errors import BadType, GraphError, PSError, ShapeError, UnknownName
from ..malloc import keep_freed_memory
from ..ops.quiet import SILENT, enter, leave, quietly
from ..ops.registry import Op
from ..util import is_np_shape
from . import indexing
from .params import load_one

__all__ = ["NDArray", "array", "empty", "from_numpy", "full", "ones", "waitall", "zeros"]

_CPU0 = cpu(0)
_new = object.__new__
_tuple: Any = tuple.__new__
_NONE = (None, None)
_NUMBERS = (int, float, np.generic, bool)


class NDArray:
    """An array on a device. Make one with `array`, `zeros`, `ones`, …

    `reshape` and a contiguous slice share memory with the array that they come from.
    """

    __slots__ = ("__weakref__", "_ctx", "_data", "_source")
    __array_priority__ = 1000.0  # NumPy leaves arithmetic with us to us
    _takes_rows = False  # whether a store may write single rows into it, though it is dense

    _data: np.ndarray[tuple[int, ...], np.dtype[Any]]
    _ctx: Context
    _source: Source

    def __init__(self, data: Any, ctx: Context = _CPU0) -> None:
        self._data = data
        self._ctx = ctx
        self._source = None

    def _like(self, data: Any) -> NDArray:
        """`data` as an array on the same device."""
        return NDArray(data, self._ctx)

    # -- what it is ------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of its axes."""
        return self._data.shape

    @property
    def dtype(self) -> Any:
        """The type of its elements, as a NumPy scalar type."""
        return self._data.dtype.type

    @property
    def size(self) -> int:
        """How many elements it has."""
        return self._data.size

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return self._data.ndim

    @property
    def context(self) -> Context:
        """The device it lives on."""
        return self._ctx

    ctx = context

    @property
    def stype(self) -> str:
        """How it is stored: `default`, `row_sparse` or `csr`."""
        return "default"

    @property
    def T(self) -> NDArray:
        """Its transpose."""
        return _call("transpose", self)

    @property
    def handle(self) -> int:
        """A number that tells arrays apart."""
        return id(self)

    @property
    def writable(self) -> bool:
        """Whether its elements may be assigned."""
        return self._data.flags.writeable

    def __len__(self) -> int:
        return self._data.shape[0]

    def __bool__(self) -> bool:
        if self._data.size == 0:
            return False
        if self._data.size > 1:
            raise ValueError(
                "The truth value of an NDArray with several elements is ambiguous; use .asnumpy().any() or .all()"
            )
        return bool(self._data.reshape(-1)[0])

    def __float__(self) -> float:
        return float(self.asscalar())

    def __int__(self) -> int:
        return int(self.asscalar())

    def __index__(self) -> int:
        value = self.asscalar()
        if self._data.dtype.kind not in "iu":
            raise TypeError(
                f"only an integer NDArray of one element can be an index; this is {self._data.dtype}"
            )
        return int(value)

    def __iter__(self) -> Iterator[NDArray]:
        for i in range(len(self)):
            yield self[i]

    def __repr__(self) -> str:
        sizes = "x".join(map(str, self.shape))
        return f"\n{self._data!s}\n<{type(self).__name__} {sizes} @{self._ctx}>"

    def __hash__(self) -> int:
        return id(self) >> 4

    def __reduce__(self) -> Any:
        return _rebuild, (self._data, self._ctx)

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Take over what MXNet pickles of an array, which is its part of a .params file, or None for no value.

        So a pickle of MXNet's loads where `mxnet` is psdist (`psdist.compat`).
        """
        held = state["handle"]
        if held is not None:
            self._data = load_one(bytes(held))
        self._ctx, self._source = _CPU0, None

    def __copy__(self) -> NDArray:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> NDArray:
        return self.copy()

    # -- out of it -------------------------------------------------------------------------------------------

    def asnumpy(self) -> np.ndarray[Any, Any]:
        """A copy as a NumPy array."""
        return self._data.copy()

    def asscalar(self) -> Any:
        """Its only element. Raises ValueError if it has several."""
        if self._data.size != 1:
            raise ValueError(
                f"asscalar: wanted one element, this array has {self._data.size} (shape {self.shape})"
            )
        return self._data.reshape(-1)[0]

    item = asscalar

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.array(self._data, dtype=dtype, copy=True if copy is None else copy)

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self._data.__dlpack__(**kwargs)

    def to_dlpack_for_read(self) -> Any:
        """Its memory as a DLPack capsule, which another library turns into an array once."""
        return self._data.__dlpack__()

    to_dlpack_for_write = to_dlpack_for_read

    def __dlpack_device__(self) -> tuple[Any, Any]:
        return self._data.__dlpack_device__()

    def tolist(self) -> Any:
        """Its elements as nested lists."""
        return self._data.tolist()

    def copy(self) -> NDArray:
        """A copy on the same device."""
        return _call("_copy", self)

    def copyto(self, other: NDArray | Context) -> NDArray:
        """Copy into `other`, an array of this shape, or onto the device `other`. Returns the copy."""
        if isinstance(other, Context):
            return NDArray(self._data.copy(), usable(other))
        if not isinstance(other, NDArray):
            raise TypeError(f"copyto: wanted an NDArray or a Context, given {type(other).__name__}")
        if other.shape != self.shape:
            raise ShapeError(
                f"copyto: an array of shape {self.shape} does not fit one of shape {other.shape}"
            )
        if other is not self:
            other._assign(self)
        return other

    def _assign(self, other: NDArray) -> None:
        """Take the elements of `other`, an array of the same shape, keeping dtype and kind of storage."""
        self._data[...] = other._data

    def as_in_context(self, context: Context) -> NDArray:
        """Itself if it lives on that device, else a copy there."""
        return self if context == self._ctx else self.copyto(context)

    as_in_ctx = as_in_context

    def astype(self, dtype: Any, copy: bool = True) -> NDArray:
        """A copy with elements of another type; itself if the type is the same and `copy` is False."""
        if np.dtype(dtype) == self._data.dtype and not copy:
            return self
        return _call("Cast", self, dtype=dtype)

    def detach(self) -> NDArray:
        """The same memory without its history, so that no gradient passes."""
        return NDArray(self._data, self._ctx)

    def wait_to_read(self) -> None:
        """Return when its value is there; here it always is."""

    wait_to_write = wait_to_read

    def tostype(self, stype: str) -> Any:
        """The array in another storage: `default`, `row_sparse` or `csr`."""
        return _call_sparse("cast_storage", self, stype)

    def as_nd_ndarray(self) -> NDArray:
        """Itself."""
        return self

    # -- gradients -------------------------------------------------------------------------------------------

    @property
    def grad(self) -> NDArray | None:
        """Where `backward` puts the gradient, after `attach_grad`."""
        source = self._source
        return source[0].grad if source is not None and isinstance(source[0], Leaf) else None

    @property
    def _fresh_grad(self) -> bool:
        """Whether `backward` has put a gradient into `.grad` since a script last set this to False."""
        source = self._source
        return source is not None and isinstance(source[0], Leaf) and source[0].fresh

    @_fresh_grad.setter
    def _fresh_grad(self, fresh: bool) -> None:
        source = self._source
        if source is None or not isinstance(source[0], Leaf):
            raise GraphError("_fresh_grad: this array wants no gradient; call attach_grad() first")
        source[0].fresh = bool(fresh)

    def attach_grad(self, grad_req: str = "write", stype: str | None = None) -> None:
        """Ask for this array's gradient: `backward` will put it into `.grad` (`write`) or add it there
        (`add`).
        """
        if grad_req not in ("write", "add", "null"):
            raise UnknownName(f"attach_grad: grad_req is {grad_req!r}; wanted 'write', 'add' or 'null'")
        if stype not in (None, "default"):
            _call_sparse("attach", self, grad_req, stype)
            return
        self._source = (Leaf(NDArray(np.zeros_like(self._data), self._ctx), grad_req), 0)

    def backward(
        self, out_grad: NDArray | None = None, retain_graph: bool = False, train_mode: bool = True
    ) -> None:
        """Compute the gradients of this array with regard to the variables that it depends on."""
        backward([self], [out_grad], retain_graph, train_mode)

    def _recorded_gradients(
        self, heads: Any, variables: Any, head_grads: Any, train_mode: bool
    ) -> list[NDArray]:
        """The gradients of `heads`, recorded themselves."""
        from .second import recorded_gradients

        return recorded_gradients(heads, variables, head_grads, train_mode)

    def zero_grad(self) -> None:
        """Set `.grad` to zero."""
        if self.grad is not None:
            self.grad[:] = 0

    # -- shape -----------------------------------------------------------------------------------------------

    def reshape(self, *shape: Any, **kwargs: Any) -> NDArray:
        """The same memory in another shape; `shape` may hold the codes of the operator `reshape`."""
        if len(shape) == 1 and isinstance(shape[0], tuple | list):
            shape = tuple(shape[0])
        if not shape:
            shape = tuple(kwargs.pop("shape", ()))
        reverse = bool(kwargs.pop("reverse", False))
        if kwargs:
            raise TypeError(f"reshape: no argument {next(iter(kwargs))!r}; it takes shape and reverse")
        if shape.count(-1) > 1:
            raise ShapeError(f"reshape: {shape} has -1 twice; one size can be inferred")
        op = ops.get("Reshape")
        params = op.parse({"shape": shape, "reverse": reverse})
        (to,) = op.infer_shape([self.shape], params)[1]
        out = NDArray(self._data.reshape(to), self._ctx)
        if state.recording and self._source is not None:
            out._source = (Node(op, params, (self._data,), (out._data,), (self._source,), 1), 0)
        return out

    def broadcast_to(self, shape: tuple[int, ...]) -> NDArray:
        """The array with its sizes of 1 repeated up to `shape`."""
        if len(shape) > self.ndim:
            return _call(
                "broadcast_to", self.reshape((1,) * (len(shape) - self.ndim) + self.shape), shape=shape
            )
        return _call("broadcast_to", self, shape=shape)

    # -- indexing --------------------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> NDArray:
        return indexing.get(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        source = None
        if anyone.recording and state.recording:
            _forbid_in_graph(self, "assigning to its elements")
            if isinstance(value, NDArray) and value._source is not None:
                if not (key is None or key is ... or (isinstance(key, slice) and key == slice(None))):
                    _forbid_in_graph(value, "assigning to some elements")
                if value.shape != self.shape:
                    fits = value.size == self.size
                    value = value.reshape(self.shape) if fits else value.broadcast_to(self.shape)
                source = value._source  # all of it: from here on it is that array's copy
        indexing.put(self, key, value)
        if source is not None:
            self._source = source

    def _at(self, idx: int) -> NDArray:
        return self[idx]

    def _slice(self, start: int, stop: int) -> NDArray:
        return self[start:stop]

    def _full(self, value: float) -> None:
        self[:] = value

    def _sync_copyfrom(self, source_array: Any) -> None:
        """Take the elements of a NumPy array of this shape."""
        source = np.asarray(source_array)
        if source.shape != self.shape:
            raise ShapeError(f"an array of shape {source.shape} does not fit one of shape {self.shape}")
        self[:] = source

    def slice_assign_scalar(self, value: float, begin: Any, end: Any, step: Any) -> None:
        """Set the slice from `begin` to before `end` to the number `value`."""
        self[tuple(slice(*p) for p in zip(begin, end, step or (None,) * len(begin), strict=True))] = value

    def slice_assign(self, rhs: NDArray, begin: Any, end: Any, step: Any) -> None:
        """Set the slice from `begin` to before `end` to `rhs`."""
        self[tuple(slice(*p) for p in zip(begin, end, step or (None,) * len(begin), strict=True))] = rhs

    # -- arithmetic: attached below --------------------------------------------------------------------------

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...
        def __add__(self, other: Any) -> NDArray: ...
        def __radd__(self, other: Any) -> NDArray: ...
        def __sub__(self, other: Any) -> NDArray: ...
        def __rsub__(self, other: Any) -> NDArray: ...
        def __mul__(self, other: Any) -> NDArray: ...
        def __rmul__(self, other: Any) -> NDArray: ...
        def __truediv__(self, other: Any) -> NDArray: ...
        def __rtruediv__(self, other: Any) -> NDArray: ...
        def __pow__(self, other: Any) -> NDArray: ...
        def __lt__(self, other: Any) -> NDArray: ...
        def __gt__(self, other: Any) -> NDArray: ...

    def __neg__(self) -> NDArray:
        return _call("negative", self)

    def __abs__(self) -> NDArray:
        return _call("abs", self)


autograd.NDArray = NDArray  # type: ignore[misc]  # where `from mxnet.autograd import *` looks for it


def _rebuild(data: np.ndarray[Any, Any], ctx: Context) -> NDArray:
    return NDArray(data, ctx)


def _call(name: str, *arrays: NDArray, **params: Any) -> NDArray:
    from .invoke import invoke

    op = ops.get(name)
    return invoke(op, arrays, op.parse(params))  # type: ignore[no-any-return]


def invoke_by_name(op: Op, *arrays: NDArray) -> Any:
    """An operator without parameters, by the long way, which the profiler watches."""
    from .invoke import invoke

    return invoke(op, arrays, {})


def _call_sparse(name: str, *args: Any) -> Any:
    from . import sparse_making

    return getattr(sparse_making, name)(*args)


def _forbid_in_graph(x: NDArray, what: str) -> None:
    if state.recording and x._source is not None:
        raise GraphError(
            "Inplace operations (+=, -=, x[:]=, etc) are not supported when recording with autograd: "
            f"{what} would change the history of an array that a gradient needs; write y = x + … instead, or do it "
            "outside of autograd.record()"
        )


def _again(op: Op, kernel: Callable[..., Any], x: Any, y: Any) -> Any:
    """The result where `quietly` gave none: another thread was there, or the shapes do not fit."""
    token = enter(SILENT)
    try:
        return kernel(x, y)
    except ValueError as e:
        raise ShapeError(f"{op.name}: shapes {x.shape} and {y.shape} cannot be broadcast together") from e
    finally:
        leave(token)


def _binary(wide: Op, scalar: Op, reverse: Op | None = None) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The methods for self ∘ other and other ∘ self."""
    kernel = wide.ufunc or wide.kernel
    nothing: dict[str, Any] = {}
    by_number = _by_number(scalar, wide.ufunc, False)
    number_by = _by_number(reverse, wide.ufunc, True) if reverse is not None else by_number

    def forward(self: NDArray, other: Any) -> Any:
        if type(other) is not NDArray and not isinstance(other, NDArray):
            return by_number(self, other) if isinstance(other, _NUMBERS) else _unsupported(other)
        x, y = self._data, other._data
        if x.dtype is not y.dtype and x.dtype != y.dtype:
            raise ShapeError(
                f"{wide.name}: dtypes {x.dtype} and {y.dtype} differ; convert one with .astype('{x.dtype}')"
            )
        if watching.imperative:
            return invoke_by_name(wide, self, other)
        try:
            z = quietly(kernel, x, y)
        except (RuntimeError, ValueError):
            z = _again(wide, kernel, x, y)
        out = _new(NDArray)
        out._data = z
        out._ctx = self._ctx
        out._source = None
        if anyone.recording:
            recording, training = state.both
            if recording:
                a, b = self._source, other._source
                if a is not None or b is not None:
                    out._source = (
                        _tuple(Node, (wide, nothing, (x, y), (z,), (a, b), 1, training, next(order))),
                        0,
                    )
        return out

    def backward(self: NDArray, other: Any) -> Any:
        return number_by(self, other) if isinstance(other, _NUMBERS) else _unsupported(other)

    return forward, backward


watching = profiler.watching  # read at every operation
_FLOAT32 = np.dtype(np.float32)
_constants: dict[float, Any] = {}


def _constant(number: float) -> Any:
    """The number as a float32 array, remembered."""
    if len(_constants) > 1000:
        _constants.clear()
    _constants[number] = made = np.asarray(number, np.float32)
    return made


def _by_number(op: Op, ufunc: np.ufunc | None, reverse: bool) -> Callable[[NDArray, Any], NDArray]:
    """The operator of an array and a number."""
    kernel = op.kernel

    def call(x: NDArray, number: Any) -> NDArray:
        data = x._data
        number = float(number)
        start = profiler.now() if profiler.watching.imperative else 0.0
        if ufunc is None or data.dtype.kind != "f":
            token = enter(SILENT)
            try:
                z = kernel(data, scalar=number)
            finally:
                leave(token)
        else:
            operand: Any = number
            if data.dtype is _FLOAT32 and number:  # an array is converted for free, a number is not
                operand = _constants.get(number)
                if operand is None:
                    operand = _constant(number)
            a, b = (operand, data) if reverse else (data, operand)
            try:
                z = quietly(ufunc, a, b)
            except RuntimeError:
                z = _again(op, ufunc, a, b)
        if start:
            profiler.record(op.name, "operator", start, profiler.now() - start)
        out = _new(NDArray)
        out._data, out._ctx, out._source = z, x._ctx, None
        if anyone.recording and state.recording and x._source is not None:
            out._source = (Node(op, {"scalar": number}, (data,), (z,), (x._source,), 1), 0)
        return out

    return call


def _unsupported(other: Any) -> Any:
    raise TypeError(
        f"an NDArray with a {type(other).__name__}: wanted an NDArray or a number; convert with mx.nd.array(...)"
    )


def _in_place(method: Callable[[NDArray, Any], NDArray]) -> Callable[[NDArray, Any], NDArray]:
    def forward(self: NDArray, other: Any) -> NDArray:
        _forbid_in_graph(self, "an in-place operation")
        result = method(self, other)
        if result._source is not None:
            _forbid_in_graph(result, "an in-place operation")
        if result.shape != self.shape:
            raise ShapeError(f"in place: the result has shape {result.shape}, the array {self.shape}")
        self._assign(result)
        return self

    return forward


def _attach() -> None:
    """Give NDArray its operators, from the table's rows."""
    arithmetic = [
        ("add", "add", "plus"),
        ("sub", "sub", "minus"),
        ("mul", "mul", "mul"),
        ("truediv", "div", "div"),
        ("mod", "mod", "mod"),
        ("pow", "power", "power"),
    ]
    comparison = [
        ("eq", "equal"),
        ("ne", "not_equal"),
        ("gt", "greater"),
        ("ge", "greater_equal"),
        ("lt", "lesser"),
        ("le", "lesser_equal"),
    ]
    for method, wide, scalar in arithmetic:
        forward, backward_ = _binary(
            ops.get(f"broadcast_{wide}"), ops.get(f"_{scalar}_scalar"), ops.find(f"_r{scalar}_scalar")
        )
        setattr(NDArray, f"__{method}__", forward)
        setattr(NDArray, f"__r{method}__", backward_)
        if method != "pow":
            setattr(NDArray, f"__i{method}__", _in_place(forward))
    for method, name in comparison:
        forward, _ = _binary(ops.get(f"broadcast_{name}"), ops.get(f"_{name}_scalar"))
        setattr(NDArray, f"__{method}__", forward)


_attach()
keep_freed_memory()  # a fresh page costs more than the arithmetic done in it: results reuse what was freed


# -- making arrays -------------------------------------------------------------------------------------------


def _shape(shape: Any) -> tuple[int, ...]:
    if isinstance(shape, int | np.integer):
        shape = (shape,)
    try:
        sizes = tuple(int(n) for n in shape)
    except (TypeError, ValueError) as e:
        raise ShapeError(f"shape is {shape!r}; wanted a number or a tuple of numbers") from e
    if any(n < 0 for n in sizes):
        raise ShapeError(f"shape is {sizes}; a size cannot be negative")
    return sizes


def _filled_shape(shape: Any) -> tuple[int, ...]:
    """A shape to fill: classic MXNet reads no axes, or a size of 0, as one that is not known yet."""
    sizes = _shape(shape)
    if (not sizes or 0 in sizes) and not is_np_shape():
        raise ShapeError(
            f"shape is {sizes}, which holds no elements or no axes; under mx.np_shape() it would be meant so"
        )
    return sizes


_DTYPES = ("float16", "float32", "float64", "uint8", "int8", "int32", "int64", "bool")


def _dtype(dtype: Any) -> Any:
    """The dtype, float32 if None. Raises BadType for what is none."""
    try:
        return np.dtype(np.float32 if dtype is None else dtype)
    except TypeError as e:
        near = difflib.get_close_matches(str(dtype), _DTYPES, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise BadType(f"dtype is {dtype!r}; wanted one such as 'float32'{hint}") from e


def array(source_array: Any, ctx: Context | None = None, dtype: Any = None) -> NDArray:
    """A copy of `source_array` (numbers, lists, anything NumPy reads, an NDArray) as an NDArray.

    The dtype is float32 unless it is given or `source_array` is an NDArray.
    """
    if isinstance(source_array, NDArray):
        if source_array.stype != "default":
            return _call_sparse("array", source_array, ctx, dtype)  # type: ignore[no-any-return]
        return NDArray(np.array(source_array._data, dtype=dtype, order="C"), usable(ctx or source_array._ctx))
    if type(source_array).__module__.startswith("scipy.sparse"):
        return _call_sparse("array", source_array, ctx, dtype)  # type: ignore[no-any-return]
    try:
        data = np.array(source_array, dtype=_dtype(dtype), order="C")  # operators take views of flat memory
    except (TypeError, ValueError) as e:
        raise BadType(f"array: cannot make an array of {type(source_array).__name__}: {e}") from e
    return NDArray(data, usable(ctx))


def from_numpy(ndarray: np.ndarray[Any, Any], zero_copy: bool = True) -> NDArray:
    """An NDArray that shares the memory of `ndarray`, or with `zero_copy` False a copy of it.

    As in MXNet, an array whose memory is shared becomes read-only under its old name. Raises ValueError for one
    that is not contiguous.
    """
    if not zero_copy:
        return NDArray(ndarray.copy(), _CPU0)
    if not ndarray.flags["C_CONTIGUOUS"]:
        raise BadType(
            "from_numpy: only a C-contiguous array can be shared; use zero_copy=False, or ascontiguousarray"
        )
    with contextlib.suppress(ValueError):  # memory that nobody may write, nor then the result
        ndarray.flags.writeable = True  # one that an earlier call has shared
    shared = ndarray.view()
    ndarray.flags.writeable = False
    return NDArray(shared, _CPU0)


def empty(shape: Any, ctx: Context | None = None, dtype: Any = None, stype: str | None = None) -> NDArray:
    """An array whose elements are not set."""
    if stype not in (None, "default"):
        return _call_sparse("empty", stype, shape, ctx, dtype)  # type: ignore[no-any-return]
    return NDArray(np.empty(_shape(shape), _dtype(dtype)), usable(ctx))


def zeros(shape: Any, ctx: Context | None = None, dtype: Any = None, **kwargs: Any) -> NDArray:
    """An array of zeros."""
    if kwargs.get("stype") not in (None, "default"):
        return _call_sparse("zeros", kwargs["stype"], shape, ctx, dtype)  # type: ignore[no-any-return]
    return _sparse_or(NDArray(np.zeros(_filled_shape(shape), _dtype(dtype)), usable(ctx)), kwargs)


def ones(shape: Any, ctx: Context | None = None, dtype: Any = None, **kwargs: Any) -> NDArray:
    """An array of ones."""
    return _sparse_or(NDArray(np.ones(_filled_shape(shape), _dtype(dtype)), usable(ctx)), kwargs)


def full(
    shape: Any, val: float, ctx: Context | None = None, dtype: Any = None, out: NDArray | None = None
) -> NDArray:
    """An array whose elements are all `val`."""
    made = NDArray(np.full(_shape(shape), val, _dtype(dtype)), usable(ctx))
    return made.copyto(out) if out is not None else made


def _sparse_or(made: NDArray, kwargs: dict[str, Any]) -> NDArray:
    stype = kwargs.pop("stype", None)
    out = kwargs.pop("out", None)
    kwargs.pop("name", None)
    if kwargs:
        raise PSError(f"zeros/ones: no argument {next(iter(kwargs))!r}")
    if stype not in (None, "default"):
        made = made.tostype(stype)
    return made.copyto(out) if out is not None else made


def waitall() -> None:
    """Return when every result is there; here it always is."""

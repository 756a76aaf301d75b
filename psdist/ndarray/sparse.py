"""Sparse arrays: `RowSparseNDArray` (some rows), `CSRNDArray` (some elements, by row), and how they are made.

The value is a record from `psdist.ops.sparse`; writing into the array replaces the record. What operators do with
sparse arrays stands in `sparse_rules`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import ops
from ..autograd import Leaf, state
from ..base import NotSupportedForSparseNDArray
from ..context import Context, usable
from ..errors import ConfigError, GraphError, PSError, ShapeError
from ..ops.sparse import CSR, RowSparse, Sparse
from .array import NDArray
from .array import array as _dense_array
from .array import zeros as _dense_zeros
from .invoke import function_of, invoke, split_arguments

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

Array = np.ndarray[Any, Any]


class BaseSparseNDArray(NDArray):
    """What both kinds of sparse array share."""

    __slots__ = ("_held",)

    _held: Any

    def __init__(self, held: Sparse, ctx: Context | None = None) -> None:
        self._held = held
        self._ctx = usable(ctx)
        self._source = None

    @property
    def _data(self) -> Array:  # type: ignore[override]  # the dense array, made on demand
        """The dense array, for operators without a rule; read-only, since it is a copy."""
        dense: Array = self._held.dense()
        dense.flags.writeable = False
        return dense

    def _like(self, data: Any) -> NDArray:
        return _wrap(data, self._ctx)

    def _assign(self, other: NDArray) -> None:
        """Take the elements of `other`, keeping kind of storage and dtype."""
        if other.shape != self.shape:
            raise ShapeError(
                f"an array of shape {other.shape} does not fit a {self.stype} array of shape {self.shape}"
            )
        held = other._held if other.stype == self.stype else type(self._held).of(other._data)
        self._held = held.with_data(held.data.astype(self.dtype))

    def _stored(self) -> Sparse:
        return self._held  # type: ignore[no-any-return]

    @property
    def _num_aux(self) -> int:
        """How many arrays say where the stored elements are."""
        return 2 if self.stype == "csr" else 1

    # -- what it is ------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of its axes."""
        return self._held.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> Any:
        """The type of its elements."""
        return self._held.data.dtype.type

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Not defined, as in MXNet: stored elements or all elements?"""
        raise NotSupportedForSparseNDArray("size")

    @property
    def data(self) -> NDArray:
        """A copy of the stored elements."""
        return NDArray(self._held.data.copy(), self._ctx)

    @property
    def indices(self) -> NDArray:
        """A copy of the stored rows' numbers, or (csr) of each element's column."""
        return NDArray(self._held.indices.copy(), self._ctx)

    @property
    def writable(self) -> bool:
        """Whether its elements may be assigned."""
        return True

    def __len__(self) -> int:
        return self.shape[0]

    def __bool__(self) -> bool:
        raise ValueError("The truth value of a sparse NDArray is ambiguous; use .asnumpy().any() or .all()")

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        sizes = "x".join(map(str, self.shape))
        return f"\n<{type(self).__name__} {sizes} @{self._ctx}>"

    def __reduce__(self) -> Any:
        return type(self), (self._held, self._ctx)

    # -- out of it -------------------------------------------------------------------------------------------

    def asnumpy(self) -> Array:
        """All elements as a NumPy array."""
        return self._held.dense()  # type: ignore[no-any-return]

    def asscalar(self) -> Any:
        """Not defined for sparse arrays."""
        raise NotSupportedForSparseNDArray("asscalar")

    def copy(self) -> NDArray:
        """A copy on the same device."""
        return type(self)(self._held.with_data(self._held.data.copy()), self._ctx)

    def copyto(self, other: NDArray | Context) -> NDArray:
        """Copy into `other`, a dense array or one of this kind, or onto the device `other`. Returns the copy."""
        if isinstance(other, Context):
            return type(self)(self._held.with_data(self._held.data.copy()), other)
        if not isinstance(other, NDArray):
            raise TypeError(f"copyto: wanted an NDArray or a Context, given {type(other).__name__}")
        if other.stype not in ("default", self.stype):
            raise TypeError(f"copyto: a {self.stype} array cannot be copied into a {other.stype} array")
        if other.shape != self.shape:
            raise ShapeError(
                f"copyto: an array of shape {self.shape} does not fit one of shape {other.shape}"
            )
        other._assign(self)
        return other

    def astype(self, dtype: Any, copy: bool = True) -> NDArray:
        """The same elements, of another type."""
        if not copy and np.dtype(dtype) == self._held.data.dtype:
            return self
        return type(self)(self._held.with_data(self._held.data.astype(dtype)), self._ctx)

    def detach(self) -> NDArray:
        """The same elements without their history."""
        return type(self)(self._held, self._ctx)

    def tostype(self, stype: str) -> Any:
        """The array in another storage: `default` or its own."""
        return cast_storage(self, stype)

    def reshape(self, *shape: Any, **kwargs: Any) -> NDArray:
        """Not defined for sparse arrays."""
        raise NotSupportedForSparseNDArray("reshape", None, shape)

    def check_format(self, full_check: bool = True) -> None:
        """Raise PSError unless the stored indices are what this kind of array wants."""
        raise NotImplementedError

    # -- gradients -------------------------------------------------------------------------------------------

    def attach_grad(self, grad_req: str = "write", stype: str | None = None) -> None:
        """Ask for this array's gradient, which is stored like the array unless `stype` says otherwise."""
        _attach(self, grad_req, stype or self.stype)

    # -- indexing --------------------------------------------------------------------------------------------

    def __setitem__(self, key: Any, value: Any) -> None:
        if not (isinstance(key, slice) and key == slice(None)):
            raise NotSupportedForSparseNDArray("__setitem__ (only x[:] = … is)", None, key)
        if isinstance(value, NDArray):
            if value is not self:
                self._assign(value)
        elif isinstance(value, int | float | np.number):
            if self.stype == "csr" and value != 0:
                raise NotSupportedForSparseNDArray("assigning a number to every element", None, value)
            self._assign(NDArray(np.full(self.shape, value, self.dtype), self._ctx))
        else:
            self._assign(array(value) if _is_scipy(value) else _dense_array(value))

    # -- arithmetic: attached below --------------------------------------------------------------------------

    def __neg__(self) -> NDArray:
        return invoke(ops.get("negative"), [self], {})  # type: ignore[no-any-return]

    __hash__ = NDArray.__hash__


class CSRNDArray(BaseSparseNDArray):
    """A matrix that stores some of its elements, row by row: `data`, their columns `indices`, and `indptr`, where
    each row begins."""

    __slots__ = ()

    _held: CSR

    @property
    def stype(self) -> str:
        """`csr`."""
        return "csr"

    @property
    def indptr(self) -> NDArray:
        """A copy of where each row begins among the stored elements; one entry more than rows."""
        return NDArray(self._held.indptr.copy(), self._ctx)

    def __getitem__(self, key: Any) -> NDArray:
        rows = self.shape[0]
        if isinstance(key, int | np.integer) and not isinstance(key, bool):
            if not -rows <= key < rows:
                raise IndexError(f"index {key} is out of bounds for axis 0 with size {rows}")
            begin = int(key) % rows
            return self._part(begin, begin + 1)
        if isinstance(key, slice):
            if key.step not in (None, 1):
                raise ValueError(f"a csr array can be sliced with step 1 only; given {key}")
            begin, end, _ = key.indices(rows)
            return self if (begin, end) == (0, rows) else self._part(begin, max(begin, end))
        raise ValueError(f"a csr array takes a row's number or a slice of rows as index; given {key!r}")

    def _part(self, begin: int, end: int) -> NDArray:
        if state.recording and self._source is not None:
            op = ops.get("slice_axis")
            return invoke(op, [self], op.parse({"axis": 0, "begin": begin, "end": end}))  # type: ignore[no-any-return]
        return CSRNDArray(self._held.slice(begin, end), self._ctx)

    def asscipy(self) -> Any:
        """The array as a scipy.sparse.csr_matrix. Needs SciPy."""
        import scipy.sparse  # type: ignore[import-untyped,unused-ignore]

        h = self._held
        return scipy.sparse.csr_matrix((h.data, h.indices, h.indptr), shape=h.shape, dtype=h.data.dtype)

    def check_format(self, full_check: bool = True) -> None:
        """Raise PSError unless row pointers ascend and columns are within the matrix, ascending in each row."""
        h = self._held
        if len(h.indptr) != h.shape[0] + 1 or h.indptr[0] != 0 or h.indptr[-1] != len(h.indices):
            raise PSError(
                f"check_format: the row pointers of a csr array of shape {h.shape} with {len(h.indices)} elements "
                f"are {len(h.indptr)}, from {h.indptr[0]} to {h.indptr[-1]}"
            )
        if full_check:
            if (np.diff(h.indptr) < 0).any():
                raise PSError("check_format: the row pointers of a csr array do not ascend")
            if len(h.indices) and (h.indices.min() < 0 or h.indices.max() >= h.shape[1]):
                raise PSError(f"check_format: a column of a csr array is outside of 0..{h.shape[1] - 1}")
            ascending = np.diff(h.indices) > 0
            ascending[h.indptr[1:-1][(h.indptr[1:-1] > 0) & (h.indptr[1:-1] < len(h.indices))] - 1] = True
            if not ascending.all():
                raise PSError("check_format: the columns of a row of a csr array do not ascend")


class RowSparseNDArray(BaseSparseNDArray):
    """An array that stores some of its rows: `data`, and the rows' numbers `indices`."""

    __slots__ = ()

    _held: RowSparse

    @property
    def stype(self) -> str:
        """`row_sparse`."""
        return "row_sparse"

    def __getitem__(self, key: Any) -> NDArray:
        if isinstance(key, slice) and key == slice(None):
            return self
        raise NotSupportedForSparseNDArray("__getitem__ (only x[:] is)", None, key)

    def store(self, data: Array, rows: Array) -> None:
        """Store these rows, in ascending order, and no others."""
        held = _rows(np.asarray(data, self.dtype), np.asarray(rows, np.int64), self.shape)
        self._held = held

    def retain(self, indices: Any) -> NDArray:
        """Only the rows `indices`; what is not stored stays zero."""
        return retain(self, indices)

    def check_format(self, full_check: bool = True) -> None:
        """Raise PSError unless the rows' numbers ascend within the array."""
        h = self._held
        if len(h.indices) != len(h.data):
            raise PSError(
                f"check_format: a row_sparse array has {len(h.indices)} indices for {len(h.data)} rows"
            )
        if full_check and len(h.indices):
            if (np.diff(h.indices) <= 0).any():
                raise PSError("check_format: the rows of a row_sparse array do not ascend")
            if h.indices[0] < 0 or h.indices[-1] >= h.shape[0]:
                raise PSError(f"check_format: a row of a row_sparse array is outside of 0..{h.shape[0] - 1}")


def of_stored(held: Sparse, ctx: Context | None = None) -> BaseSparseNDArray:
    """The array around a record."""
    return RowSparseNDArray(held, ctx) if isinstance(held, RowSparse) else CSRNDArray(held, ctx)


def _wrap(data: Any, ctx: Context) -> NDArray:
    return of_stored(data, ctx) if isinstance(data, RowSparse | CSR) else NDArray(data, ctx)


def _attach(x: NDArray, grad_req: str, stype: str) -> None:
    if grad_req not in ("write", "add", "null"):
        raise GraphError(f"attach_grad: grad_req is {grad_req!r}; wanted 'write', 'add' or 'null'")
    x._source = (Leaf(zeros(stype, x.shape, x._ctx, x.dtype), grad_req), 0)


# -- making them ---------------------------------------------------------------------------------------------


def _is_scipy(x: Any) -> bool:
    return type(x).__module__.startswith("scipy.sparse")


def _plain(x: Any, dtype: Any = None) -> Array:
    """An array's elements: of an NDArray or NumPy array in its own dtype, of anything else float32 by default."""
    if isinstance(x, NDArray):
        return x.asnumpy() if dtype is None else x.asnumpy().astype(dtype, copy=False)
    if dtype is None and not isinstance(x, np.ndarray):
        dtype = np.float32
    return np.array(x, dtype=dtype)


def _index(x: Any) -> Array:
    return np.atleast_1d(np.asarray(x.asnumpy() if isinstance(x, NDArray) else x)).astype(np.int64)


def _is_shape(x: Any) -> bool:
    return isinstance(x, tuple) and bool(x) and all(isinstance(n, int | np.integer) for n in x)


def csr_matrix(
    arg1: Any, shape: tuple[int, ...] | None = None, ctx: Context | None = None, dtype: Any = None
) -> CSRNDArray:
    """A csr array from a shape (all zeros), `(data, indices, indptr)`, `(data, (row, col))`, a sparse array of
    psdist's or SciPy's, or anything dense.

    Raises ShapeError where the parts do not fit.
    """
    held: Any
    if isinstance(arg1, tuple):
        if len(arg1) == 2 and _is_shape(arg1):
            held = CSR(
                np.empty(0, dtype or np.float32),
                np.zeros(arg1[0] + 1, np.int64),
                np.empty(0, np.int64),
                _checked(shape, tuple(map(int, arg1)), "csr_matrix"),
            )
        elif len(arg1) == 2:
            data, (row, column) = arg1
            rows, columns = _index(row), _index(column)
            found = (int(rows.max(initial=-1)) + 1, int(columns.max(initial=-1)) + 1)
            data = _plain(data, dtype) if isinstance(data, NDArray | np.ndarray) else np.array(data, dtype)
            held = CSR.of_triples(data, rows, columns, tuple(shape) if shape else found)
        elif len(arg1) == 3:
            data, indices, indptr = _plain(arg1[0], dtype).reshape(-1), _index(arg1[1]), _index(arg1[2])
            held = _csr(data, indices, indptr, shape)
        else:
            raise ValueError(
                f"csr_matrix: a tuple of {len(arg1)}; wanted (M, N), (data, (row, col)) or (data, indices, indptr)"
            )
    elif isinstance(arg1, CSRNDArray):
        held = arg1._held.with_data(arg1._held.data.astype(dtype or arg1.dtype))
        _checked(shape, held.shape, "csr_matrix")
    elif isinstance(arg1, RowSparseNDArray):
        raise ValueError("csr_matrix: a row_sparse array cannot become a csr array")
    elif _is_scipy(arg1):
        if arg1.format != "csr":
            raise TypeError(f"csr_matrix: a SciPy matrix in {arg1.format} format; convert it with .tocsr()")
        arg1.sort_indices()
        held = _csr(
            np.array(arg1.data, dtype or arg1.dtype), _index(arg1.indices), _index(arg1.indptr), arg1.shape
        )
    else:
        dense = _plain(arg1, dtype)
        if dense.ndim != 2:
            raise ValueError(f"csr_matrix: an array of {dense.ndim} dimensions; wanted 2")
        _checked(shape, dense.shape, "csr_matrix")
        held = CSR.of(dense)
    return CSRNDArray(held, ctx)


def _checked(wanted: Any, found: tuple[int, ...], what: str) -> tuple[int, ...]:
    if wanted is not None and tuple(wanted) != found:
        raise ValueError(f"{what}: shape={tuple(wanted)}, but the source has {found}")
    return found


def _csr(data: Array, indices: Array, indptr: Array, shape: Any) -> CSR:
    if shape is None:
        if len(indices) == 0:
            raise ValueError("csr_matrix: without elements, the shape must be given")
        shape = (len(indptr) - 1, int(indices.max()) + 1)
    shape = tuple(int(n) for n in shape)
    if len(shape) != 2 or len(indptr) != shape[0] + 1 or len(data) != len(indices):
        raise ShapeError(
            f"csr_matrix: {len(data)} elements, {len(indices)} columns and {len(indptr)} row pointers for the shape "
            f"{shape}; wanted as many columns as elements, and one pointer more than rows"
        )
    return CSR(data, indptr, indices, shape)


def row_sparse_array(
    arg1: Any, shape: tuple[int, ...] | None = None, ctx: Context | None = None, dtype: Any = None
) -> RowSparseNDArray:
    """A row_sparse array from a shape (all zeros), `(data, indices)`, another one, or anything dense."""
    held: Any
    if isinstance(arg1, tuple):
        if len(arg1) < 2:
            raise ValueError(f"row_sparse_array: a tuple of {len(arg1)}; wanted a shape or (data, indices)")
        if _is_shape(arg1):
            held = RowSparse(
                np.empty((0, *arg1[1:]), dtype or np.float32),
                np.empty(0, np.int64),
                _checked(shape, tuple(map(int, arg1)), "row_sparse_array"),
            )
        elif len(arg1) == 2:
            data, rows = _plain(arg1[0], dtype), _index(arg1[1])
            if shape is None:
                if not len(rows):
                    raise ValueError("row_sparse_array: without rows, the shape must be given")
                shape = (int(rows.max()) + 1, *data.shape[1:])
            held = _rows(data, rows, tuple(int(n) for n in shape))
        else:
            raise ValueError(f"row_sparse_array: a tuple of {len(arg1)}; wanted a shape or (data, indices)")
    elif isinstance(arg1, RowSparseNDArray):
        held = arg1._held.with_data(arg1._held.data.astype(dtype or arg1.dtype))
        _checked(shape, held.shape, "row_sparse_array")
    elif isinstance(arg1, CSRNDArray):
        raise ValueError("row_sparse_array: a csr array cannot become a row_sparse array")
    else:
        dense = _plain(arg1, dtype)
        _checked(shape, dense.shape, "row_sparse_array")
        held = RowSparse.of(dense)
    return RowSparseNDArray(held, ctx)


def _rows(data: Array, rows: Array, shape: tuple[int, ...]) -> RowSparse:
    if not len(rows):
        data = data.reshape(0, *shape[1:])
    if data.ndim != len(shape) or data.shape[1:] != shape[1:] or len(data) != len(rows):
        raise ShapeError(
            f"row_sparse_array: data {data.shape} and {len(rows)} row numbers for the shape {shape}; wanted data of "
            f"shape ({len(rows)}, {', '.join(map(str, shape[1:]))})"
        )
    return RowSparse(data, rows, shape)


def array(source_array: Any, ctx: Context | None = None, dtype: Any = None) -> BaseSparseNDArray:
    """A copy of a sparse array, psdist's or SciPy's (csr)."""
    if isinstance(source_array, CSRNDArray):
        return csr_matrix(source_array, None, ctx or source_array._ctx, dtype)
    if isinstance(source_array, RowSparseNDArray):
        return row_sparse_array(source_array, None, ctx or source_array._ctx, dtype)
    if _is_scipy(source_array) and source_array.format == "csr":
        return csr_matrix(source_array, None, ctx, dtype)
    if _is_scipy(source_array):
        raise ValueError(f"array: a SciPy matrix in {source_array.format} format; convert it with .tocsr()")
    raise ValueError(f"sparse.array: given {type(source_array).__name__}, which is dense; use mx.nd.array")


def zeros(stype: str, shape: Any, ctx: Context | None = None, dtype: Any = None, **kwargs: Any) -> NDArray:
    """An array of zeros in a storage: `default`, `row_sparse` or `csr`."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if stype == "default":
        return _dense_zeros(shape, ctx, dtype, **kwargs)
    if stype == "csr":
        if len(shape) != 2:
            raise ValueError(f"zeros: a csr array has 2 dimensions; given the shape {shape}")
        return csr_matrix(shape, None, ctx, dtype)
    if stype == "row_sparse":
        held = RowSparse(np.empty((0, *shape[1:]), dtype or np.float32), np.empty(0, np.int64), shape)
        return RowSparseNDArray(held, ctx)
    raise ValueError(f"zeros: unknown storage type {stype!r}; known are default, row_sparse, csr")


def empty(stype: str, shape: Any, ctx: Context | None = None, dtype: Any = None) -> NDArray:
    """An array in a storage; without elements that are set."""
    return zeros(stype, shape, ctx, dtype)


def cast_storage(data: NDArray, stype: str, **kwargs: Any) -> NDArray:
    """The array in another storage: `default`, `row_sparse` or `csr`."""
    have = data.stype
    if stype not in ("default", "row_sparse", "csr"):
        raise ConfigError(f"cast_storage: unknown storage type {stype!r}; known are default, row_sparse, csr")
    if state.recording and data._source is not None:
        dense = invoke(ops.get("cast_storage"), [data], {"stype": stype})
        out = dense if stype == "default" else _sparse_of(dense, stype)
        out._source = dense._source
        return out
    if have == stype:
        return data.copy()
    if have == "default":
        return _sparse_of(data, stype)
    if stype != "default":
        raise ValueError(f"cast_storage: {have} to {stype} is not possible; go by way of 'default'")
    return NDArray(data.asnumpy(), data._ctx)


def _sparse_of(data: NDArray, stype: str) -> BaseSparseNDArray:
    if stype == "csr":
        if data.ndim != 2:
            raise ValueError(
                f"cast_storage: a csr array has 2 dimensions; this one has the shape {data.shape}"
            )
        return CSRNDArray(CSR.of(data._data), data._ctx)
    return RowSparseNDArray(RowSparse.of(data._data), data._ctx)


# -- functions of the namespace ------------------------------------------------------------------------------


def retain(data: NDArray, indices: Any, out: NDArray | None = None, name: str | None = None) -> NDArray:
    """Only the rows `indices` of a row_sparse array."""
    if data.stype != "row_sparse":
        raise ConfigError(f"retain: wanted a row_sparse array, given a {data.stype} one")
    at = indices if isinstance(indices, NDArray) else NDArray(_index(indices))
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

"""Sparse arrays as objects: `RowSparseNDArray` (some rows), `CSRNDArray` (some elements, by row).

The value is a record from `psdist.ops.sparse`; writing into the array replaces the record.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..autograd import state
from ..base import NotSupportedForSparseNDArray
from ..context import Context, usable
from ..errors import PSError, ShapeError
from ..ops.sparse import CSR, RowSparse, Sparse
from .array import NDArray
from .array import array as _dense_array
from .invoke import invoke

__all__ = ["BaseSparseNDArray", "CSRNDArray", "RowSparseNDArray", "of_stored", "rows_of", "wrap"]

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
        return wrap(data, self._ctx)

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
        from .sparse_making import cast_storage

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
        from .sparse_making import attach

        attach(self, grad_req, stype or self.stype)

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
            from .sparse_making import array, is_scipy

            self._assign(array(value) if is_scipy(value) else _dense_array(value))

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
        held = rows_of(np.asarray(data, self.dtype), np.asarray(rows, np.int64), self.shape)
        self._held = held

    def retain(self, indices: Any) -> NDArray:
        """Only the rows `indices`; what is not stored stays zero."""
        from .sparse import retain

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


def wrap(data: Any, ctx: Context) -> NDArray:
    """The array around a record or a dense array."""
    return of_stored(data, ctx) if isinstance(data, RowSparse | CSR) else NDArray(data, ctx)


def rows_of(data: Array, rows: Array, shape: tuple[int, ...]) -> RowSparse:
    """A record of these rows. Raises ShapeError where they do not fit."""
    if not len(rows):
        data = data.reshape(0, *shape[1:])
    if data.ndim != len(shape) or data.shape[1:] != shape[1:] or len(data) != len(rows):
        raise ShapeError(
            f"row_sparse_array: data {data.shape} and {len(rows)} row numbers for the shape {shape}; wanted data of "
            f"shape ({len(rows)}, {', '.join(map(str, shape[1:]))})"
        )
    return RowSparse(data, rows, shape)

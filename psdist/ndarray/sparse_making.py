"""How sparse arrays are made: of their parts, of dense arrays, of SciPy's, of another storage."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..autograd import Leaf, state
from ..context import Context
from ..errors import ConfigError, GraphError, ShapeError
from ..ops.sparse import CSR, RowSparse
from .array import NDArray
from .array import zeros as _dense_zeros
from .invoke import invoke
from .sparse_arrays import BaseSparseNDArray, CSRNDArray, RowSparseNDArray, rows_of

__all__ = [
    "array",
    "attach",
    "cast_storage",
    "csr_matrix",
    "empty",
    "index_of",
    "is_scipy",
    "row_sparse_array",
    "zeros",
]

Array = np.ndarray[Any, Any]


def is_scipy(x: Any) -> bool:
    """Whether this is a sparse matrix of SciPy's."""
    return type(x).__module__.startswith("scipy.sparse")


def _plain(x: Any, dtype: Any = None) -> Array:
    """An array's elements: of an NDArray or NumPy array in its own dtype, of anything else float32 by default."""
    if isinstance(x, NDArray):
        return x.asnumpy() if dtype is None else x.asnumpy().astype(dtype, copy=False)
    if dtype is None and not isinstance(x, np.ndarray):
        dtype = np.float32
    return np.array(x, dtype=dtype)


def index_of(x: Any) -> Array:
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
            rows, columns = index_of(row), index_of(column)
            found = (int(rows.max(initial=-1)) + 1, int(columns.max(initial=-1)) + 1)
            data = _plain(data, dtype) if isinstance(data, NDArray | np.ndarray) else np.array(data, dtype)
            held = CSR.of_triples(data, rows, columns, tuple(shape) if shape else found)
        elif len(arg1) == 3:
            data, indices, indptr = _plain(arg1[0], dtype).reshape(-1), index_of(arg1[1]), index_of(arg1[2])
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
    elif is_scipy(arg1):
        if arg1.format != "csr":
            raise TypeError(f"csr_matrix: a SciPy matrix in {arg1.format} format; convert it with .tocsr()")
        arg1 = arg1.copy()
        arg1.sum_duplicates()  # which sorts each row too
        held = _csr(
            np.array(arg1.data, dtype or arg1.dtype),
            index_of(arg1.indices),
            index_of(arg1.indptr),
            arg1.shape,
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
            data, rows = _plain(arg1[0], dtype), index_of(arg1[1])
            if shape is None:
                if not len(rows):
                    raise ValueError("row_sparse_array: without rows, the shape must be given")
                shape = (int(rows.max()) + 1, *data.shape[1:])
            held = rows_of(data, rows, tuple(int(n) for n in shape))
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


def array(source_array: Any, ctx: Context | None = None, dtype: Any = None) -> BaseSparseNDArray:
    """A copy of a sparse array, psdist's or SciPy's (csr)."""
    if isinstance(source_array, CSRNDArray):
        return csr_matrix(source_array, None, ctx or source_array._ctx, dtype)
    if isinstance(source_array, RowSparseNDArray):
        return row_sparse_array(source_array, None, ctx or source_array._ctx, dtype)
    if is_scipy(source_array) and source_array.format == "csr":
        return csr_matrix(source_array, None, ctx, dtype)
    if is_scipy(source_array):
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


def attach(x: NDArray, grad_req: str, stype: str) -> None:
    """Ask for an array's gradient, in this storage."""
    if grad_req not in ("write", "add", "null"):
        raise GraphError(f"attach_grad: grad_req is {grad_req!r}; wanted 'write', 'add' or 'null'")
    x._source = (Leaf(zeros(stype, x.shape, x._ctx, x.dtype), grad_req), 0)

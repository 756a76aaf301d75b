"""Random shapes and arrays, dense and sparse, from NumPy's global generator, which tests seed."""

from __future__ import annotations

import random as _random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..context import Context
from ..ndarray.array import NDArray, array
from ..ndarray.sparse import CSRNDArray, RowSparseNDArray, csr_matrix, row_sparse_array, zeros
from .settings import default_dtype

__all__ = [
    "create_2d_tensor",
    "create_sparse_array",
    "create_sparse_array_zd",
    "create_vector",
    "get_identity_mat",
    "get_identity_mat_batch",
    "new_matrix_with_real_eigvals_2d",
    "new_matrix_with_real_eigvals_nd",
    "new_orthonormal_matrix_2d",
    "new_sym_matrix_with_real_eigvals_2d",
    "new_sym_matrix_with_real_eigvals_nd",
    "rand_coord_2d",
    "rand_ndarray",
    "rand_shape_2d",
    "rand_shape_3d",
    "rand_shape_nd",
    "rand_sparse_ndarray",
    "random_arrays",
    "random_sample",
    "random_uniform_arrays",
    "shuffle_csr_column_indices",
]

rnd = np.random


def rand_shape_2d(dim0: int = 10, dim1: int = 10, allow_zero_size: bool = False) -> tuple[int, int]:
    """Two sizes of at most `dim0` and `dim1`."""
    low = 0 if allow_zero_size else 1
    return int(rnd.randint(low, dim0 + 1)), int(rnd.randint(low, dim1 + 1))


def rand_shape_3d(
    dim0: int = 10, dim1: int = 10, dim2: int = 10, allow_zero_size: bool = False
) -> tuple[int, int, int]:
    """Three sizes of at most `dim0`, `dim1` and `dim2`."""
    low = 0 if allow_zero_size else 1
    a, b, c = (int(rnd.randint(low, d + 1)) for d in (dim0, dim1, dim2))
    return a, b, c


def rand_shape_nd(num_dim: int, dim: int = 10, allow_zero_size: bool = False) -> tuple[int, ...]:
    """`num_dim` sizes of at most `dim`."""
    return tuple(int(n) for n in rnd.randint(0 if allow_zero_size else 1, dim + 1, size=num_dim))


def rand_coord_2d(x_low: int, x_high: int, y_low: int, y_high: int) -> tuple[int, int]:
    """Two integers within bounds."""
    return int(rnd.randint(x_low, x_high)), int(rnd.randint(y_low, y_high))


def random_arrays(*shapes: tuple[int, ...]) -> Any:
    """Normally distributed NumPy arrays; one, or a list of several."""
    arrays: list[Any] = [np.asarray(rnd.randn(*s), dtype=default_dtype()) for s in shapes]
    return arrays if len(arrays) > 1 else arrays[0]


def random_uniform_arrays(*shapes: tuple[int, ...], **kwargs: Any) -> list[Any]:
    """NumPy arrays of numbers from `low` (0) to before `high` (1)."""
    low, high = kwargs.pop("low", 0.0), kwargs.pop("high", 1.0)
    dtype = kwargs.pop("dtype", default_dtype())
    if kwargs:
        raise TypeError(
            f"random_uniform_arrays: no argument '{next(iter(kwargs))}'; it takes low, high, dtype"
        )
    return [rnd.uniform(low, high, size=s).astype(dtype) for s in shapes]


def random_sample(population: Sequence[Any], k: int) -> list[Any]:
    """`k` elements in random order, none twice."""
    chosen = _random.sample(list(population), k)
    _random.shuffle(chosen)
    return chosen


def rand_ndarray(
    shape: tuple[int, ...],
    stype: str = "default",
    density: float | None = None,
    dtype: Any = None,
    modifier_func: Callable[[Any], Any] | None = None,
    shuffle_csr_indices: bool = False,
    distribution: str | None = None,
    ctx: Context | None = None,
) -> NDArray:
    """A random array in any storage."""
    if stype == "default":
        return array(random_arrays(shape), ctx, dtype)
    return rand_sparse_ndarray(  # type: ignore[no-any-return]
        shape, stype, density, dtype, distribution, None, None, modifier_func, shuffle_csr_indices, ctx
    )[0]


def rand_sparse_ndarray(
    shape: tuple[int, ...],
    stype: str,
    density: float | None = None,
    dtype: Any = None,
    distribution: str | None = None,
    data_init: float | None = None,
    rsp_indices: Any = None,
    modifier_func: Callable[[Any], Any] | None = None,
    shuffle_csr_indices: bool = False,
    ctx: Context | None = None,
) -> Any:
    """A random sparse array and its parts: of a row_sparse one (data, indices), of a csr one (indptr, indices, data).

    `density` is the part of the rows (row_sparse) or elements (csr) that are stored, by default random.
    `distribution` `powerlaw` gives each row of a csr array twice the elements of the one before, while they last.
    """
    density = float(rnd.rand()) if density is None else density
    dtype = np.dtype(dtype or default_dtype())
    if not 0 <= density <= 1:
        raise ValueError(f"rand_sparse_ndarray: density is {density}; wanted 0 to 1")
    if stype == "row_sparse":
        return _rand_row_sparse(
            shape, density, dtype, distribution, data_init, rsp_indices, modifier_func, ctx
        )
    if stype != "csr":
        raise ValueError(f"rand_sparse_ndarray: stype is {stype!r}; wanted row_sparse or csr")
    if len(shape) != 2:
        raise ValueError(f"rand_sparse_ndarray: a csr array has two dimensions; given the shape {shape}")
    if distribution in (None, "uniform"):
        kept = rnd.rand(*shape) < density
    elif distribution == "powerlaw":
        kept = _powerlaw(shape, density)
    else:
        raise ValueError(f"rand_sparse_ndarray: distribution is {distribution!r}; wanted uniform or powerlaw")
    values = rnd.rand(*shape) if data_init is None else np.full(shape, data_init)
    dense = np.where(kept, np.where(values == 0, 1, values), 0).astype(dtype)
    made = csr_matrix(dense, ctx=ctx, dtype=dtype)
    if modifier_func is not None:
        made._held = made._held.with_data(_modified(made._held.data, modifier_func, dtype))
    if shuffle_csr_indices:
        shuffle_csr_column_indices(made)
    return made, (made.indptr, made.indices, made.data)


def _modified(data: Any, function: Callable[[Any], Any], dtype: Any) -> Any:
    return np.array([function(x) for x in data.reshape(-1)], dtype).reshape(data.shape)


def _rand_row_sparse(
    shape: tuple[int, ...],
    density: float,
    dtype: Any,
    distribution: str | None,
    data_init: float | None,
    rsp_indices: Any,
    modifier_func: Callable[[Any], Any] | None,
    ctx: Context | None,
) -> Any:
    if distribution not in (None, "uniform"):
        raise ValueError(
            f"rand_sparse_ndarray: distribution is {distribution!r}; a row_sparse array takes uniform"
        )
    if rsp_indices is not None:
        rows = np.array(rsp_indices, dtype=np.int64)
        if len(rows) > shape[0]:
            raise ValueError(f"rand_sparse_ndarray: {len(rows)} rsp_indices for {shape[0]} rows")
    else:
        rows = np.flatnonzero(rnd.rand(shape[0]) < density)
    if not len(rows):
        empty = zeros("row_sparse", shape, ctx, dtype)
        return empty, (np.array([], dtype), np.array([], "int64"))
    data = rnd.rand(len(rows), *shape[1:]).astype(dtype)
    if data_init is not None:
        data.fill(data_init)
    if modifier_func is not None:
        data = _modified(data, modifier_func, dtype)
    made = row_sparse_array((data, rows), shape, ctx, dtype)
    return made, (data, rows)


def _powerlaw(shape: tuple[int, ...], density: float) -> Any:
    kept = np.zeros(shape, bool)
    left = int(shape[0] * shape[1] * density)
    for row in range(shape[0]):  # one in each row, then twice as many in each row as in the one before
        if left > 0:
            kept[row, 0] = True
            left -= 1
    count = 2
    for row in range(shape[0]):
        take = min(count - 1, shape[1] - 1, left)
        kept[row, 1 : 1 + take] = True
        left -= take
        count *= 2
        if left <= 0:
            break
    return kept


def shuffle_csr_column_indices(csr: CSRNDArray) -> None:
    """Put each row's elements in random order."""
    h = csr._held
    order = np.arange(len(h.data))
    for a, b in zip(h.indptr, h.indptr[1:], strict=False):
        rnd.shuffle(order[a:b])
    csr._held = type(h)(h.data[order], h.indptr, h.indices[order], h.shape)


def create_sparse_array(
    shape: tuple[int, ...],
    stype: str,
    data_init: float | None = None,
    rsp_indices: Any = None,
    dtype: Any = None,
    modifier_func: Callable[[Any], Any] | None = None,
    density: float = 0.5,
    shuffle_csr_indices: bool = False,
) -> CSRNDArray | RowSparseNDArray:
    """A random sparse array."""
    return rand_sparse_ndarray(  # type: ignore[no-any-return]
        shape, stype, density, dtype, None, data_init, rsp_indices, modifier_func, shuffle_csr_indices
    )[0]


def create_sparse_array_zd(
    shape: tuple[int, ...],
    stype: str,
    density: float,
    data_init: float | None = None,
    rsp_indices: Any = None,
    dtype: Any = None,
    modifier_func: Callable[[Any], Any] | None = None,
    shuffle_csr_indices: bool = False,
) -> CSRNDArray | RowSparseNDArray:
    """A random sparse array; with rows given, a density of 0 means these rows."""
    if stype == "row_sparse" and rsp_indices is not None:
        density = 0.0
        if len(rsp_indices) > shape[0]:
            raise ValueError(f"create_sparse_array_zd: {len(rsp_indices)} rsp_indices for {shape[0]} rows")
    return create_sparse_array(
        shape, stype, data_init, rsp_indices, dtype, modifier_func, density, shuffle_csr_indices
    )


def create_2d_tensor(rows: int, columns: int, dtype: Any = np.int64) -> NDArray:
    """A matrix whose rows count up."""
    return array(np.broadcast_to(np.arange(rows).reshape(rows, 1), (rows, columns)), dtype=dtype)


def create_vector(size: int, dtype: Any = np.int64) -> NDArray:
    """0, 1, 2, …"""
    return array(np.arange(size), dtype=dtype)


def get_identity_mat(size: int) -> Any:
    """The identity matrix."""
    return np.eye(size)


def get_identity_mat_batch(size: int) -> Any:
    """Two identity matrices."""
    return np.array([np.eye(size)] * 2)


def new_orthonormal_matrix_2d(n: int) -> Any:
    """A random orthonormal matrix."""
    q, _ = np.linalg.qr(rnd.randn(n, n))
    return q


def new_matrix_with_real_eigvals_2d(n: int) -> Any:
    """A random matrix with the eigenvalues 1 … n."""
    a = rnd.randn(n, n)
    return np.linalg.solve(a, np.diag(np.arange(1.0, n + 1)) @ a)


def new_matrix_with_real_eigvals_nd(shape: tuple[int, ...]) -> Any:
    """Random matrices with real eigenvalues."""
    flat = [new_matrix_with_real_eigvals_2d(shape[-1]) for _ in range(int(np.prod(shape[:-2])))]
    return np.stack(flat).reshape(shape)


def new_sym_matrix_with_real_eigvals_2d(n: int) -> Any:
    """A random symmetric matrix with the eigenvalues 1 … n."""
    q = new_orthonormal_matrix_2d(n)
    return q @ np.diag(np.arange(1.0, n + 1)) @ q.T


def new_sym_matrix_with_real_eigvals_nd(shape: tuple[int, ...]) -> Any:
    """Random symmetric matrices."""
    flat = [new_sym_matrix_with_real_eigvals_2d(shape[-1]) for _ in range(int(np.prod(shape[:-2])))]
    return np.stack(flat).reshape(shape)

"""Sparse values below the API: `RowSparse`, `CSR`, and what is computed on them without making them dense.

Both are plain records of NumPy arrays, never changed in place: an operation returns a new record, which may
share arrays with its operands. A `RowSparse` is also what a gradient may be (of an Embedding, of a product with
a CSR matrix): it adds to another one and to a dense array.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from .registry import op

__all__ = ["CSR", "RowSparse", "Sparse"]

Array = NDArray[Any]
_INDEX = np.int64


@dataclass(frozen=True, slots=True, eq=False)
class RowSparse:
    """An array of `shape` whose rows are zero but for `data[k]` at row `indices[k]`."""

    data: Array  # (n, *shape[1:])
    indices: Array  # (n,), int64, ascending, no row twice
    shape: tuple[int, ...]

    __array_ufunc__ = None  # NumPy leaves dense + RowSparse to us

    @classmethod
    def of(cls, dense: Array) -> RowSparse:
        """The rows of `dense` that are not all zero."""
        rows = (
            np.flatnonzero(dense.reshape(len(dense), -1).any(axis=1)) if dense.size else np.empty(0, _INDEX)
        )
        return cls(dense[rows], rows.astype(_INDEX), dense.shape)

    @classmethod
    def gathered(cls, data: Array, rows: Array, shape: tuple[int, ...]) -> RowSparse:
        """Rows in any order, where those of the same number are summed."""
        unique, inverse = np.unique(rows.astype(_INDEX, copy=False), return_inverse=True)
        if len(unique) == len(rows):
            order = np.argsort(rows, kind="stable")
            return cls(data[order], unique, shape)
        return cls(_sum_by(data, inverse.reshape(-1), len(unique)), unique, shape)

    def dense(self) -> Array:
        """The whole array."""
        out: Array = np.zeros(self.shape, self.data.dtype)
        out[self.indices] = self.data
        return out

    def write(self, out: Array) -> None:
        """The whole array, into one of its shape."""
        out[...] = 0
        out[self.indices] = self.data

    def rows(self, wanted: Array) -> Array:
        """The rows `wanted`, zeros where nothing is stored."""
        out: Array = np.zeros((len(wanted), *self.shape[1:]), self.data.dtype)
        at, found = _find(self.indices, wanted)
        out[found] = self.data[at[found]]
        return out

    def retain(self, wanted: Array) -> RowSparse:
        """Only those of the stored rows that are among `wanted`."""
        keep = np.isin(self.indices, wanted.astype(_INDEX, copy=False))
        return RowSparse(self.data[keep], self.indices[keep], self.shape)

    def with_data(self, data: Array) -> RowSparse:
        """Other values at the same rows."""
        return RowSparse(data, self.indices, self.shape)

    def __add__(self, other: RowSparse | Array) -> Any:
        if isinstance(other, RowSparse):
            return combine(self, other, 1)
        out = other.copy()
        out[self.indices] += self.data
        return out

    __radd__ = __add__


@dataclass(frozen=True, slots=True, eq=False)
class CSR:
    """A matrix by rows: row `r` has `data[a:b]` in columns `indices[a:b]`, with `a, b = indptr[r : r + 2]`."""

    data: Array  # (n,)
    indptr: Array  # (shape[0] + 1,), int64, from 0 to n
    indices: Array  # (n,), int64, each < shape[1]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, dense: Array) -> CSR:
        """The elements of a matrix that are not zero."""
        rows, columns = np.nonzero(dense)
        return cls(dense[rows, columns], _pointers(rows, len(dense)), columns.astype(_INDEX), dense.shape)

    @classmethod
    def of_triples(cls, data: Array, rows: Array, columns: Array, shape: tuple[int, ...]) -> CSR:
        """Elements in any order, where those at the same place are summed."""
        key, inverse = np.unique(rows.astype(_INDEX) * shape[1] + columns, return_inverse=True)
        if len(key) == len(data):
            values = data[np.argsort(rows.astype(_INDEX) * shape[1] + columns, kind="stable")]
        else:
            values = _sum_by(data, inverse.reshape(-1), len(key))
        return cls(values, _pointers(key // shape[1], shape[0]), key % shape[1], shape)

    def row_numbers(self) -> Array:
        """The row of each stored element."""
        return np.repeat(np.arange(self.shape[0], dtype=_INDEX), np.diff(self.indptr))

    def dense(self) -> Array:
        """The whole matrix."""
        out: Array = np.zeros(self.shape, self.data.dtype)
        out[self.row_numbers(), self.indices] = self.data
        return out

    def write(self, out: Array) -> None:
        """The whole matrix, into an array of its shape."""
        out[...] = 0
        out[self.row_numbers(), self.indices] = self.data

    def slice(self, begin: int, end: int) -> CSR:
        """Rows `begin` to before `end`."""
        a, b = int(self.indptr[begin]), int(self.indptr[end])
        return CSR(
            self.data[a:b],
            self.indptr[begin : end + 1] - a,
            self.indices[a:b],
            (end - begin, self.shape[1]),
        )

    def columns(self, begin: int, end: int) -> CSR:
        """Columns `begin` to before `end`."""
        keep = (self.indices >= begin) & (self.indices < end)
        pointers = _pointers(self.row_numbers()[keep], self.shape[0])
        return CSR(self.data[keep], pointers, self.indices[keep] - begin, (self.shape[0], end - begin))

    def take(self, rows: Array) -> CSR:
        """The rows of these numbers, in this order."""
        counts = np.diff(self.indptr)[rows]
        pointers = np.concatenate(([0], np.cumsum(counts))).astype(_INDEX)
        which = np.arange(pointers[-1]) + np.repeat(self.indptr[:-1][rows] - pointers[:-1], counts)
        return CSR(self.data[which], pointers, self.indices[which], (len(rows), self.shape[1]))

    def with_data(self, data: Array) -> CSR:
        """Other values at the same places."""
        return CSR(data, self.indptr, self.indices, self.shape)


Sparse = RowSparse | CSR


def _pointers(sorted_rows: Array, num_rows: int) -> Array:
    return np.searchsorted(sorted_rows, np.arange(num_rows + 1)).astype(_INDEX)


def _find(have: Array, wanted: Array) -> tuple[Array, Array]:
    """Where each of `wanted` stands in the ascending `have`, and which of them do."""
    at = np.searchsorted(have, wanted)
    at_most = np.minimum(at, max(len(have) - 1, 0))
    return at_most, (have[at_most] == wanted if len(have) else np.zeros(len(wanted), bool))


def _sum_by(data: Array, group: Array, num_groups: int) -> Array:
    """The sums of the rows of `data` by their group's number; each group's rows in their order."""
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(num_groups))
    out: Array = np.add.reduceat(data[order], starts, axis=0) if num_groups else data[:0]
    return out.astype(data.dtype, copy=False)


def combine(x: Any, y: Any, sign: int) -> Any:
    """x + sign · y, of two sparse arrays of one kind."""
    other = y.data if sign > 0 else -y.data
    if x.shape != y.shape:
        raise ShapeError(f"sparse arrays of shapes {x.shape} and {y.shape} cannot be added")
    data = np.concatenate([x.data, other])
    if isinstance(x, RowSparse):
        return RowSparse.gathered(data, np.concatenate([x.indices, y.indices]), x.shape)
    rows = np.concatenate([x.row_numbers(), y.row_numbers()])
    return CSR.of_triples(data, rows, np.concatenate([x.indices, y.indices]), x.shape)


def together(f: Callable[[Array, Array], Array], x: Any, y: Any) -> Any:
    """f(x, y) element by element, of two sparse arrays of one kind, for an f that gives 0 for two zeros."""
    if x.shape != y.shape:
        raise ShapeError(f"sparse arrays of shapes {x.shape} and {y.shape} do not go together")
    if isinstance(x, RowSparse):
        rows = np.union1d(x.indices, y.indices)
        return RowSparse(f(x.rows(rows), y.rows(rows)), rows, x.shape)
    keys = [a.row_numbers() * a.shape[1] + a.indices for a in (x, y)]
    every = np.union1d(*keys)
    parts = []
    for a, key in zip((x, y), keys, strict=True):
        parts.append(np.zeros(len(every), a.data.dtype))
        parts[-1][np.searchsorted(every, key)] = a.data
    rows, columns = np.divmod(every, x.shape[1])
    return CSR(f(*parts), _pointers(rows, x.shape[0]), columns, x.shape)


def multiply(x: Any, y: Any) -> Any:
    """x · y element by element, of two sparse arrays of one kind."""
    if x.shape != y.shape:
        raise ShapeError(f"sparse arrays of shapes {x.shape} and {y.shape} cannot be multiplied")
    if isinstance(x, RowSparse):
        at, found = _find(y.indices, x.indices)
        return RowSparse(x.data[found] * y.data[at[found]], x.indices[found], x.shape)
    key_x = x.row_numbers() * x.shape[1] + x.indices
    key_y = y.row_numbers() * y.shape[1] + y.indices
    order = np.argsort(key_y, kind="stable")
    at, found = _find(key_y[order], key_x)
    data = x.data[found] * y.data[order][at[found]]
    return CSR(data, _pointers(x.row_numbers()[found], x.shape[0]), x.indices[found], x.shape)


def at_places(x: Any, dense: Array) -> Array:
    """The elements of `dense`, broadcast to x's shape, where x stores elements."""
    wide = np.broadcast_to(dense, x.shape)
    return wide[x.indices] if isinstance(x, RowSparse) else wide[x.row_numbers(), x.indices]


def product(x: CSR, dense: Array) -> Array:
    """x · dense, for a matrix or a vector `dense`."""
    if not len(x.data):
        return np.zeros((x.shape[0], *dense.shape[1:]), x.data.dtype)
    terms = dense[x.indices]
    terms = terms * x.data.reshape(-1, *(1,) * (terms.ndim - 1))
    out: Array = np.zeros((x.shape[0], *dense.shape[1:]), terms.dtype)
    full = np.flatnonzero(np.diff(x.indptr))  # reduceat cannot sum nothing
    out[full] = np.add.reduceat(terms, x.indptr[:-1][full], axis=0)
    return out


def transposed_product(x: CSR, dense: Array) -> RowSparse:
    """xᵀ · dense: only the rows that are columns of x with elements."""
    rows = x.row_numbers()
    terms = dense[rows] * x.data.reshape(-1, *(1,) * (dense.ndim - 1))
    return RowSparse.gathered(terms, x.indices, (x.shape[1], *dense.shape[1:]))


def sums(x: CSR, axis: int) -> Array:
    """The sums of a matrix's columns (axis 0) or rows (axis 1)."""
    at = x.indices if axis == 0 else x.row_numbers()
    out: Array = np.zeros(x.shape[1 - axis], x.data.dtype)
    np.add.at(out, at, x.data)
    return out


@op(
    "(*s), (*s), (*s) -> (*s)",
    name="_sparse_adagrad_update",
    aliases=["adagrad_update"],
    mutates=("history",),
)
def sparse_adagrad_update(weight: Array, grad: Array, history: Array, /, *, lr: float, epsilon: float = 1e-7,
                          wd: float = 0.0, rescale_grad: float = 1.0, clip_gradient: float = -1.0) -> Any:  # fmt: skip
    """AdaGrad's step: h ← h + g², w - lr · g / √(h + ε), where g is the gradient times `rescale_grad`, clipped to
    ± `clip_gradient` (if not negative). With a row-sparse gradient, only its rows."""
    g = grad * rescale_grad
    if clip_gradient >= 0:
        g = np.clip(g, -clip_gradient, clip_gradient)
    history += g * g
    return weight - lr * (g / np.sqrt(history + epsilon) + wd * weight)


# -- as operators: on dense arrays, in graphs and where gradients are recorded -----------------------------------


@op("(*s) -> (*s)", passes=True)
def cast_storage(data: Array, /, *, stype: str) -> Any:
    """The array in another storage: `default`, `row_sparse` or `csr`. Its elements stay the same."""
    return data.copy()


@cast_storage.gradient
def _(g: Array, _y: Array, _data: Array, /, **_: Any) -> Any:
    return g


@op("(n, *s), (k) -> (n, *s)", types="T, U -> T", name="_sparse_retain", aliases=["sparse_retain"])
def sparse_retain(data: Array, indices: Array, /) -> Any:
    """The rows `indices` of `data`; the other rows are zero."""
    out = np.zeros_like(data)
    rows = indices.astype(_INDEX)
    out[rows] = data[rows]
    return out


@sparse_retain.gradient
def _(g: Array, _y: Array, _data: Array, indices: Array, /) -> Any:
    out = np.zeros_like(g)
    rows = indices.astype(_INDEX)
    out[rows] = g[rows]
    return out, None

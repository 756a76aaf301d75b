"""Some rows of an array, by their numbers: how they add up, and on which server each is."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Rows", "chunks", "is_of", "merge", "put_rows", "row_chunks", "split"]

Array = NDArray[Any]

_MIX: Final = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / the golden ratio: Knuth, TAOCP vol. 3, section 6.4
_HIGH: Final = np.uint64(32)
_CHUNK_NBYTES: Final = 4 << 20  # of an array in a message: below the limit of a frame, whatever the settings


class Rows(NamedTuple):
    """`data[k]` is row `ids[k]`."""

    ids: Array  # (n,), int64, ascending, none twice
    data: Array  # (n, width)


def merge(a: Rows, b: Rows) -> Rows:
    """a + b: a row that both have is a's plus b's, in this order; any other is as it was."""
    if len(a.ids) == len(b.ids) and np.array_equal(a.ids, b.ids):
        return Rows(a.ids, a.data + b.data)
    if not len(a.ids) or not len(b.ids):
        return a if len(a.ids) else b
    at = np.searchsorted(a.ids, b.ids)
    is_shared = a.ids[np.minimum(at, len(a.ids) - 1)] == b.ids
    is_new = ~is_shared
    # where b's own rows go: behind those of a that are lower, and those of b
    place_b = at + np.cumsum(is_new) - is_new
    shared = place_b[is_shared]
    new = place_b[is_new]
    num = len(a.ids) + len(new)
    is_a = np.ones(num, bool)
    is_a[new] = False
    ids = np.empty(num, a.ids.dtype)
    data = np.empty((num, a.data.shape[1]), a.data.dtype)
    ids[is_a], ids[new] = a.ids, b.ids[is_new]
    put_rows(data, place_b, b.data)
    put_rows(data, np.flatnonzero(is_a), a.data)  # over b's, where both have a row
    if len(shared):
        data[shared] += b.data[is_shared]
    return Rows(ids, data)


def put_rows(whole: Array, places: Array, rows: Array) -> None:
    """whole[places] = rows, of contiguous arrays with one dtype. A row as one item is written in two thirds of the
    time that NumPy takes for an array of rows."""
    if not rows.size or not rows.flags.c_contiguous:
        whole[places] = rows
        return
    item = np.dtype((np.void, rows.itemsize * rows.shape[1]))
    np.put(whole.view(item), places, rows.view(item), mode="clip")


def row_chunks(data: Array) -> list[Array]:
    """Whole rows as flat arrays, none too large for a frame."""
    most = max(1, _CHUNK_NBYTES // max(1, data.itemsize * data.shape[1]))
    return [data[low : low + most].reshape(-1) for low in range(0, max(1, len(data)), most)]


def chunks(rows: Rows) -> list[Array]:
    """Rows as flat arrays for a message: numbers, rows, numbers, rows, ..."""
    most = max(1, _CHUNK_NBYTES // max(8, rows.data.itemsize * rows.data.shape[1]))
    out = []
    for low in range(0, max(1, len(rows.ids)), most):
        out += [rows.ids[low : low + most], rows.data[low : low + most].reshape(-1)]
    return out


def split(ids: Array, num_parts: int) -> list[Array]:
    """For each part of a table, the places in `ids` of the rows that it holds.

    A row's part is (row · ⌊2⁶⁴/φ⌋ mod 2⁶⁴ div 2³²) mod `num_parts`: balanced for numbers drawn evenly, by frequency or
    in steps alike, where ranges of rows, or remainders, would give one server most of some of them.
    """
    if num_parts == 1:
        return [np.arange(len(ids))]
    part = _part(ids, num_parts)
    return [np.flatnonzero(part == i) for i in range(num_parts)]


def is_of(ids: Array, part: int, num_parts: int) -> bool:
    """Whether all these rows are that part's."""
    return num_parts == 1 or bool((_part(ids, num_parts) == part).all())


def _part(ids: Array, num_parts: int) -> Array:
    return ((ids.astype(np.uint64) * _MIX) >> _HIGH) % np.uint64(num_parts)

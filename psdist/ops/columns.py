"""Windows that slide over space, and the products that make a convolution of them.

Inside, arrays lie with the batch innermost, (channels, *space, batch): a window's row is then one run of memory as
long as the row times the batch, so that columns are filled and emptied by long copies and pooling is SIMD along the
batch. Columns are made a few rows of output at a time, so that each block of them is multiplied while it is in the
cache: the matrix (channels · window, rows · batch) of a block is at most `_BLOCK` numbers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from .signature import Shape

Array = NDArray[Any]
_PIECE = 1 << 13  # floats of a transposition: 32 KB
_BLOCK = 1 << 18  # floats: 1 MB, about half of a core's second cache


def full(value: Shape, n: int, default: int) -> Shape:
    """A parameter given for each dimension of space, or its default."""
    if len(value) > n and not any(value):  # MXNet's scripts give (0, 0, 0) for padding of any dimension
        return value[:n]
    if value and len(value) != n:
        raise ShapeError(f"{value} has {len(value)} numbers for {n} dimensions of space")
    return value or (default,) * n


def conv_out(space: Shape, kernel: Shape, stride: Shape, dilate: Shape, pad: Shape) -> Shape:
    """How many places the window takes in each dimension."""
    n = len(kernel)
    if len(space) != n:
        raise ShapeError(
            f"a kernel of {n} dimensions over data with {len(space)} dimensions of space, {space}"
        )
    return Geometry.of(space, kernel, stride, dilate, pad).out


@dataclass(frozen=True, slots=True)
class Geometry:
    """A window over space, complete: all of one length."""

    space: Shape
    kernel: Shape
    stride: Shape
    dilate: Shape
    pad: Shape
    out: Shape

    @classmethod
    def of(cls, space: Shape, kernel: Shape, stride: Shape, dilate: Shape, pad: Shape) -> Geometry:
        n = len(kernel)
        stride, dilate, pad = full(stride, n, 1), full(dilate, n, 1), full(pad, n, 0)
        sizes = zip(space, kernel, stride, dilate, pad, strict=True)
        out = tuple((s + 2 * p - d * (k - 1) - 1) // t + 1 for s, k, t, d, p in sizes)
        if min(out) < 1:
            raise ShapeError(
                f"kernel {kernel} (dilate {dilate}) exceeds the padded input {space} (pad {pad})"
            )
        return cls(space, kernel, stride, dilate, pad, out)

    def windows(self, start: int, stop: int) -> Iterator[tuple[Shape, Any]]:
        """For each place in the window: its index, and what it visits of padded (channels, *space, batch) on rows
        `start` to `stop` of the output."""
        span = [(0, o) for o in self.out]
        span[0] = (start, stop)
        for at in itertools.product(*map(range, self.kernel)):
            yield at, (slice(None), *(
                slice(i * d + t * a, i * d + t * (b - 1) + 1, t)
                for i, d, t, (a, b) in zip(at, self.dilate, self.stride, span, strict=True)
            ))  # fmt: skip

    def blocks(self, channels: int, batch: int) -> Iterator[tuple[int, int]]:
        """Rows of the output, as many at a time as the cache holds columns for."""
        row = channels * math.prod(self.kernel) * math.prod(self.out[1:]) * batch
        step = max(1, _BLOCK // row)
        for start in range(0, self.out[0], step):
            yield start, min(start + step, self.out[0])

    @property
    def inner(self) -> Any:
        """What of padded (channels, *space, batch) is the data."""
        return (slice(None), *(slice(p, p + s) for p, s in zip(self.pad, self.space, strict=True)))

    @property
    def is_plain(self) -> bool:
        """A window of one cell that visits every cell: the columns are the data."""
        return math.prod(self.kernel) == 1 and self.out == self.space and not any(self.pad)


def batch_last(x: Array) -> Any:
    """(n, c, *space) as (c, *space, n)."""
    n = len(x)
    return np.ascontiguousarray(x.reshape(n, -1).T).reshape(*x.shape[1:], n)


def batch_first(x: Array, out: Array | None = None) -> Any:
    """(c, *space, n) as (n, c, *space), in pieces that the first cache holds."""
    n = x.shape[-1]
    if out is None:
        out = np.empty((n, *x.shape[:-1]), x.dtype)
    rows, flat = x.reshape(-1, n), out.reshape(n, -1)
    step = max(1, _PIECE // n)
    for start in range(0, len(rows), step):
        flat[:, start : start + step] = rows[start : start + step].T
    return out


def padded(x: Array, geometry: Geometry) -> Any:
    """(c, *space, n) with zeros around."""
    if not any(geometry.pad):
        return x
    space = (s + 2 * p for s, p in zip(geometry.space, geometry.pad, strict=True))
    wide = np.zeros((len(x), *space, x.shape[-1]), x.dtype)
    wide[geometry.inner] = x
    return wide


def _fill(cols: Array, wide: Array, geometry: Geometry, start: int, stop: int) -> Any:
    """The columns of some rows of output: (channels · window, rows · batch), in the memory of `cols`."""
    c, n = len(wide), wide.shape[-1]
    rows = (stop - start, *geometry.out[1:])
    part = cols[: c * math.prod(geometry.kernel) * math.prod(rows) * n].reshape(c, *geometry.kernel, *rows, n)
    for at, where in geometry.windows(start, stop):
        place: Any = (slice(None), *at)
        part[place] = wide[where]
    return part.reshape(c * math.prod(geometry.kernel), -1)


def _workspace(geometry: Geometry, channels: int, batch: int, dtype: Any) -> Any:
    start, stop = next(geometry.blocks(channels, batch))
    size = channels * math.prod(geometry.kernel) * (stop - start) * math.prod(geometry.out[1:]) * batch
    return np.empty(size, dtype)


def convolve(x: Array, w: Array, geometry: Geometry) -> Any:
    """Σ w x over every window: (c, *space, n) and (f, c · window) give (f, *out, n)."""
    c, n = len(x), x.shape[-1]
    y = np.empty((len(w), *geometry.out, n), x.dtype)
    if geometry.is_plain:
        np.matmul(w, x.reshape(c, -1), out=y.reshape(len(w), -1))
        return y
    wide = padded(x, geometry)
    cols = _workspace(geometry, c, n, x.dtype)
    for start, stop in geometry.blocks(c, n):
        part = y[:, start:stop].reshape(len(w), -1) if stop - start == geometry.out[0] else None
        block = _fill(cols, wide, geometry, start, stop)
        if part is None:
            flat = y.reshape(len(w), geometry.out[0], -1)[:, start:stop]
            if stop - start == 1:
                np.matmul(w, block, out=flat[:, 0])
            else:
                flat[...] = (w @ block).reshape(flat.shape)
        else:
            np.matmul(w, block, out=part)
    return y


def _rows(g: Array, start: int, stop: int) -> Any:
    """(f, rows · batch) of some rows of (f, *out, n): a view of one row or of all."""
    return g[:, start:stop].reshape(len(g), -1)


def convolve_weight_gradient(g: Array, x: Array, geometry: Geometry) -> Any:
    """The gradient of w, (f, c · window), given that of the result, (f, *out, n)."""
    c, n = len(x), x.shape[-1]
    if geometry.is_plain:
        return g.reshape(len(g), -1) @ x.reshape(c, -1).T
    wide = padded(x, geometry)
    cols = _workspace(geometry, c, n, x.dtype)
    total: Any = None
    for start, stop in geometry.blocks(c, n):
        part = _rows(g, start, stop) @ _fill(cols, wide, geometry, start, stop).T
        total = part if total is None else np.add(total, part, out=total)
    return total


def convolve_data_gradient(g: Array, w: Array, channels: int, geometry: Geometry) -> Any:
    """The gradient of x, (c, *space, n), given that of the result: every column's share back to where it came from."""
    n = g.shape[-1]
    if geometry.is_plain:
        return (w.T @ g.reshape(len(g), -1)).reshape(channels, *geometry.space, n)
    space = (s + 2 * p for s, p in zip(geometry.space, geometry.pad, strict=True))
    wide = np.zeros((channels, *space, n), g.dtype)
    cols = _workspace(geometry, channels, n, g.dtype)
    w_t = np.ascontiguousarray(w.T)
    for start, stop in geometry.blocks(channels, n):
        rows = (stop - start, *geometry.out[1:])
        part = cols[: len(w_t) * math.prod(rows) * n]
        np.matmul(w_t, _rows(g, start, stop), out=part.reshape(len(w_t), -1))
        part = part.reshape(channels, *geometry.kernel, *rows, n)
        for at, where in geometry.windows(start, stop):
            wide[where] += part[(slice(None), *at)]
    return wide[geometry.inner] if any(geometry.pad) else wide


def columns(x: Array, geometry: Geometry) -> Any:
    """(n, c, *space) as (n, c · window, places)."""
    wide = padded(batch_last(x), geometry)
    c, n = len(wide), wide.shape[-1]
    size = c * math.prod(geometry.kernel) * math.prod(geometry.out) * n
    return batch_first(_fill(np.empty(size, x.dtype), wide, geometry, 0, geometry.out[0]).reshape(
        c * math.prod(geometry.kernel), -1, n))  # fmt: skip


def from_columns(cols: Array, channels: int, geometry: Geometry) -> Any:
    """The transpose of `columns`: (n, c · window, places) summed into (n, c, *space)."""
    n = len(cols)
    part = batch_last(cols).reshape(channels, *geometry.kernel, *geometry.out, n)
    space = (s + 2 * p for s, p in zip(geometry.space, geometry.pad, strict=True))
    wide = np.zeros((channels, *space, n), cols.dtype)
    for at, where in geometry.windows(0, geometry.out[0]):
        wide[where] += part[(slice(None), *at)]
    return batch_first(np.ascontiguousarray(wide[geometry.inner]))

"""3×3 convolution with stride 1 by Winograd's minimal filtering F(4×4, 3×3): a quarter of the multiplications.

A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", arXiv:1509.09308. Tiles of 6×6 data become 36
matrices (channels, tiles), which are multiplied with 36 matrices of weights, one each; what comes out becomes tiles of
4×4 results. The transforms are sums with small factors along one axis at a time, on arrays (channels, *space, batch).
The error is about 2e-6 of the result's rms in float32, ten times that of the direct sum; a convolution with the parameter
`cudnn_tune="off"` avoids it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .columns import Geometry

Array = NDArray[Any]
_TILE = 4
_LEAST = 32  # channels and filters: with fewer, the transforms cost more than they save
_BLOCK = 1 << 18  # floats of transformed data at a time
_G = np.array([[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6], [1 / 24, 1 / 12, 1 / 6],
               [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]])  # fmt: skip
_GG = np.kron(_G, _G)  # (36, 9)


def wins(channels: int, filters: int, geometry: Geometry, dtype: Any) -> bool:
    """Whether this way is quicker, and exact enough."""
    return (
        dtype == np.float32
        and min(channels, filters) >= _LEAST
        and geometry.kernel == (3, 3)
        and geometry.stride == geometry.dilate == (1, 1)
        and max(geometry.pad) <= 2
        and min(geometry.out) >= 2 * _TILE
        and min(geometry.space) >= 2 * _TILE
    )


def _into(d: list[Any], out: list[Any], spare: Any) -> None:
    """Bᵀ d: six sums of the six slices `d`."""
    t0, t1 = spare
    np.multiply(d[2], -4, out=t0)
    t0 += d[4]
    np.multiply(d[1], -4, out=t1)
    t1 += d[3]
    np.add(t0, t1, out=out[1])
    np.subtract(t0, t1, out=out[2])
    np.subtract(d[4], d[2], out=t0)
    np.subtract(d[3], d[1], out=t1)
    t1 *= 2
    np.add(t0, t1, out=out[3])
    np.subtract(t0, t1, out=out[4])
    for first, o in ((0, out[0]), (1, out[5])):
        np.multiply(d[first + 2], -5, out=t0)
        np.multiply(d[first], 4, out=t1)
        t0 += t1
        np.add(t0, d[first + 4], out=o)


def _back(m: list[Any], out: list[Any], spare: Any) -> None:
    """Aᵀ m: four sums of the six slices `m`."""
    near, far, y = spare
    np.add(m[1], m[2], out=near)
    np.add(m[3], m[4], out=far)
    np.add(near, far, out=y)
    np.add(y, m[0], out=out[0])
    far *= 4
    np.add(near, far, out=out[2])
    np.subtract(m[1], m[2], out=near)
    np.subtract(m[3], m[4], out=far)
    far *= 2
    np.add(near, far, out=out[1])
    far *= 4
    near += far
    np.add(near, m[5], out=out[3])


def _spread(g: list[Any], out: list[Any], spare: Any) -> None:
    """A g: six sums of the four slices `g`, the transpose of `_back`."""
    even, odd, _ = spare
    out[0][...] = g[0]
    np.add(g[0], g[2], out=even)
    np.add(g[1], g[3], out=odd)
    np.add(even, odd, out=out[1])
    np.subtract(even, odd, out=out[2])
    np.multiply(g[2], 4, out=even)
    even += g[0]
    np.multiply(g[3], 4, out=odd)
    odd += g[1]
    odd *= 2
    np.add(even, odd, out=out[3])
    np.subtract(even, odd, out=out[4])
    out[5][...] = g[3]


def _weights(w: Array) -> Any:
    """(f, c · 9) as (36, f, c): G w Gᵀ of each kernel, as one product."""
    return (_GG.astype(w.dtype) @ w.reshape(-1, 9).T).reshape(36, len(w), -1)


def _tiles(geometry: Geometry) -> tuple[int, int]:
    return -(-geometry.out[0] // _TILE), -(-geometry.out[1] // _TILE)


def _phases(x: Array, rows: int, columns: int, pad: tuple[int, ...] = (0, 0)) -> Any:
    """(c, h, w, n), padded, as (4, 4, c, rows, columns, n): each place of a tile of 4×4 an array of its own, so that
    a slice of tiles is one run of memory."""
    out = np.zeros((_TILE, _TILE, len(x), rows, columns, x.shape[-1]), x.dtype)
    for i in range(_TILE):
        for j in range(_TILE):
            top, left = (
                (i - pad[0]) % _TILE,
                (j - pad[1]) % _TILE,
            )  # the first row and column of x in this place
            part = x[:, top::_TILE, left::_TILE]
            row, column = (top + pad[0]) // _TILE, (left + pad[1]) // _TILE
            out[i, j, :, row : row + part.shape[1], column : column + part.shape[2]] = part
    return out


class _Data:
    """The transform of data, some rows of tiles at a time, in memory that is used again."""

    def __init__(self, x: Array, geometry: Geometry, step: int) -> None:
        rows, self._columns = _tiles(geometry)
        self._phases = _phases(x, rows + 1, self._columns + 1, geometry.pad)
        c, n = len(x), x.shape[-1]
        self._along = np.empty((6, _TILE, c, step, self._columns + 1, n), x.dtype)
        self._spare = np.empty((2, _TILE, c, step, self._columns + 1, n), x.dtype)
        self._spare2 = np.empty((2, 6, c, step, self._columns, n), x.dtype)
        self._out = np.empty((6, 6, c, step, self._columns, n), x.dtype)

    def rows(self, start: int, stop: int) -> Any:
        """(36, c, tiles · batch). Valid until the next call."""
        k, columns = stop - start, self._columns
        along, spare = self._along[:, :, :, :k], self._spare[:, :, :, :k]
        part = self._phases
        slices = [part[i % _TILE][:, :, start + i // _TILE : stop + i // _TILE] for i in range(6)]
        _into(slices, list(along), spare)
        out = self._out if k == self._out.shape[3] else np.empty_like(self._out[:, :, :, :k])
        slices = [along[:, i % _TILE, :, :, i // _TILE : i // _TILE + columns] for i in range(6)]
        _into(slices, [out[:, j] for j in range(6)], self._spare2[:, :, :, :k])
        return out.reshape(36, out.shape[2], -1)


def _steps(rows: int, columns: int, channels: int, batch: int) -> range:
    """Rows of tiles, as many at a time as the cache holds."""
    return range(0, rows, max(1, min(rows, _BLOCK // (36 * channels * columns * batch))))


def convolve(x: Array, w: Array, geometry: Geometry) -> Any:
    """Σ w x over every window: (c, h, w, n) and (f, c · 9) give (f, *out, n)."""
    rows, columns = _tiles(geometry)
    f, n = len(w), x.shape[-1]
    u = _weights(w)
    steps = _steps(rows, columns, max(len(x), f), n)
    data = _Data(x, geometry, steps.step)
    y = np.empty((f, rows * _TILE, columns * _TILE, n), x.dtype)
    products = np.empty((36, f, steps.step * columns * n), x.dtype)
    along = np.empty((_TILE, 6, f, steps.step, columns, n), x.dtype)
    spare = np.empty((3, 6, f, steps.step, columns, n), x.dtype)
    for start in steps:
        stop = min(start + steps.step, rows)
        k = stop - start
        m = np.matmul(u, data.rows(start, stop), out=products if k == steps.step else None)
        part = along[:, :, :, :k]
        _back(list(m.reshape(6, 6, f, k, columns, n)), list(part), spare[:, :, :, :k])
        into = (
            y[:, start * _TILE : stop * _TILE]
            .reshape(f, k, _TILE, columns, _TILE, n)
            .transpose(2, 4, 0, 1, 3, 5)
        )
        _back([part[:, j] for j in range(6)], [into[:, j] for j in range(_TILE)], spare[:, :_TILE, :, :k])
    return y[:, : geometry.out[0], : geometry.out[1]]


def convolve_data_gradient(g: Array, w: Array, channels: int, geometry: Geometry) -> Any:
    """The gradient of x: the convolution of g with the kernels turned round."""
    turned = w.reshape(len(w), channels, 3, 3)[:, :, ::-1, ::-1].swapaxes(0, 1)
    pad = (2 - geometry.pad[0], 2 - geometry.pad[1])
    back = Geometry(geometry.out, (3, 3), (1, 1), (1, 1), pad, geometry.space)
    return convolve(g, np.ascontiguousarray(turned).reshape(channels, -1), back)


def convolve_weight_gradient(g: Array, x: Array, geometry: Geometry) -> Any:
    """The gradient of w, (f, c · 9): that of the 36 products, and back."""
    rows, columns = _tiles(geometry)
    f, c, n = len(g), len(x), x.shape[-1]
    steps = _steps(rows, columns, max(c, f), n)
    data, phases = _Data(x, geometry, steps.step), _phases(g, rows, columns)
    along = np.empty((6, _TILE, f, steps.step, columns, n), g.dtype)
    spread = np.empty((6, 6, f, steps.step, columns, n), g.dtype)
    spare = np.empty((3, 6, f, steps.step, columns, n), g.dtype)
    total, product = np.zeros((36, f, c), g.dtype), np.empty((36, f, c), g.dtype)
    for start in steps:
        stop = min(start + steps.step, rows)
        k = stop - start
        part = along[:, :, :, :k]
        _spread(list(phases[:, :, :, start:stop]), list(part), spare[:, :_TILE, :, :k])
        out = spread if k == steps.step else np.empty_like(spread[:, :, :, :k])
        _spread([part[:, j] for j in range(_TILE)], [out[:, j] for j in range(6)], spare[:, :, :, :k])
        np.matmul(out.reshape(36, f, -1), data.rows(start, stop).swapaxes(1, 2), out=product)
        total += product
    return (total.reshape(36, -1).T @ _GG.astype(g.dtype)).reshape(f, -1)

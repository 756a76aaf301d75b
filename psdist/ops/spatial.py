"""Operators that look at an image through a grid of points: samplers, transformers, regions of interest.

Sampling is bilinear: each point takes its four neighbours, weighted by nearness; what lies outside counts as 0.
Jaderberg et al., "Spatial transformer networks", arXiv:1506.02025.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from .indexing import add_rows
from .registry import Params, op
from .signature import Shape

Array = NDArray[Any]


def _corners(grid: Array, height: int, width: int) -> Any:
    """For each of the four neighbours: flat place (n, points), weight, and the weight's derivatives by x and y."""
    n = len(grid)
    x = ((grid[:, 0] + 1) * ((width - 1) / 2)).reshape(n, -1)
    y = ((grid[:, 1] + 1) * ((height - 1) / 2)).reshape(n, -1)
    left, top = np.floor(x), np.floor(y)
    for dy in (0, 1):
        for dx in (0, 1):
            col, row = left + dx, top + dy
            inside = (col >= 0) & (col < width) & (row >= 0) & (row < height)
            wx, wy = 1 - np.abs(x - col), 1 - np.abs(y - row)
            at = row.clip(0, height - 1).astype(np.int64) * width + col.clip(0, width - 1).astype(np.int64)
            yield at, wx * wy * inside, (2 * dx - 1) * wy * inside, (2 * dy - 1) * wx * inside


def _sample(data: Array, grid: Array) -> Any:
    n, c, height, width = data.shape
    flat = data.reshape(n, c, -1)
    y = np.zeros((n, c, grid[0, 0].size), data.dtype)
    for at, weight, _, _ in _corners(grid, height, width):
        y += np.take_along_axis(flat, at[:, None], 2) * weight[:, None]
    return y.reshape(n, c, *grid.shape[2:])


def _sample_gradient(g: Array, data: Array, grid: Array) -> tuple[Any, Any]:
    n, c, height, width = data.shape
    flat, g = data.reshape(n, c, -1), g.reshape(n, c, -1)
    rows = g.swapaxes(1, 2).reshape(-1, c)
    g_data = np.zeros((n * height * width, c), data.dtype)
    g_grid = np.zeros((n, 2, grid[0, 0].size), grid.dtype)
    base = np.arange(n)[:, None] * (height * width)
    for at, weight, by_x, by_y in _corners(grid, height, width):
        g_data += add_rows(rows * weight.reshape(-1, 1), (at + base).reshape(-1), len(g_data))
        share = (g * np.take_along_axis(flat, at[:, None], 2)).sum(axis=1)
        g_grid[:, 0] += share * by_x
        g_grid[:, 1] += share * by_y
    g_grid[:, 0] *= (width - 1) / 2
    g_grid[:, 1] *= (height - 1) / 2
    by_channel = np.ascontiguousarray(g_data.reshape(n, height * width, c).swapaxes(1, 2))
    return by_channel.reshape(data.shape), g_grid.reshape(grid.shape)


@op("(n, c, h, w), (n, 2, i, j) -> (n, c, i, j)")
def BilinearSampler(data: Array, grid: Array, /, *, cudnn_off: bool | None = None) -> Any:
    """The image at the points of `grid` (x, then y), whose coordinates run from -1 to 1 over it; 0 outside."""
    return _sample(data, grid)


@BilinearSampler.gradient
def _(g: Array, _y: Array, data: Array, grid: Array, /, *, cudnn_off: bool | None) -> Any:
    return _sample_gradient(g, data, grid)


def _lattice(height: int, width: int, dtype: Any) -> Any:
    """x, y and 1 of each point of a regular grid from -1 to 1, (3, height · width)."""
    x, y = np.linspace(-1, 1, width), np.linspace(-1, 1, height)
    return np.stack([np.tile(x, height), np.repeat(y, width), np.ones(height * width)]).astype(dtype)


def _affine_grid(theta: Array, height: int, width: int) -> Any:
    return (theta.reshape(-1, 2, 3) @ _lattice(height, width, theta.dtype)).reshape(-1, 2, height, width)


def _affine_gradient(g: Array, theta: Array) -> Any:
    height, width = g.shape[2:]
    return (g.reshape(len(g), 2, -1) @ _lattice(height, width, g.dtype).T).reshape(theta.shape)


def _grid_shape(ins: list[Shape | None], params: Params, outs: list[Shape | None]) -> Any:
    s = ins[0]
    if s is None or 0 in s:
        return ins, outs
    if params["transform_type"] == "warp":
        if len(s) != 4 or s[1] != 2:
            raise ShapeError(f"a warp wants a flow of shape (n, 2, h, w), given {s}")
        return ins, [s]
    if len(s) != 2 or s[1] != 6 or min(params["target_shape"]) < 1:
        raise ShapeError(
            f"an affine map wants data (n, 6), given {s}, and a target_shape, {params['target_shape']}"
        )
    return ins, [(s[0], 2, *params["target_shape"])]


@op(shape=_grid_shape)
def GridGenerator(data: Array, /, *, transform_type: Literal["affine", "warp"],
                  target_shape: tuple[int, ...] = (0, 0)) -> Any:  # fmt: skip
    """Points for BilinearSampler: a regular grid of `target_shape` through an affine map of six numbers, or the
    places of an image moved by a flow given in pixels (`warp`)."""
    if transform_type == "affine":
        return _affine_grid(data, target_shape[0], target_shape[1])
    height, width = data.shape[2:]
    place = np.stack(np.meshgrid(np.arange(width), np.arange(height), indexing="xy")).astype(data.dtype)
    y = data + place
    y[:, 0] /= (width - 1) / 2
    y[:, 1] /= (height - 1) / 2
    y -= 1
    return y


@GridGenerator.gradient
def _(g: Array, _y: Array, data: Array, /, *, transform_type: str, target_shape: Shape) -> Any:
    if transform_type == "affine":
        return _affine_gradient(g, data)
    height, width = data.shape[2:]
    return g / np.array([(width - 1) / 2, (height - 1) / 2], g.dtype)[:, None, None]


@op("(n, c, h, w), (n, 6) -> (n, c, *target_shape)")
def SpatialTransformer(data: Array, loc: Array, /, *, target_shape: tuple[int, ...] = (0, 0),
                       transform_type: Literal["affine"], sampler_type: Literal["bilinear"],
                       cudnn_off: bool | None = None) -> Any:  # fmt: skip
    """The image through the affine map of six numbers in `loc`: GridGenerator, then BilinearSampler."""
    return _sample(data, _affine_grid(loc, target_shape[0], target_shape[1]))


@SpatialTransformer.gradient
def _(g: Array, _y: Array, data: Array, loc: Array, /, *, target_shape: Shape, **_: Any) -> Any:
    g_data, g_grid = _sample_gradient(g, data, _affine_grid(loc, target_shape[0], target_shape[1]))
    return g_data, _affine_gradient(g_grid, loc)


def _bins(start: float, stop: float, count: int, size: int) -> list[slice]:
    """`count` overlapping parts of a region from `start` to `stop`, both included, within `size` places."""
    step = np.float32(max(stop - start + 1, 1)) / np.float32(count)
    edges = [
        (int(np.floor(i * step)) + int(start), int(np.ceil((i + 1) * step)) + int(start))
        for i in range(count)
    ]
    return [slice(min(max(a, 0), size), min(max(b, 0), size)) for a, b in edges]


def _rounded(x: Any) -> Any:
    return np.floor(x + 0.5)


@op("(n, c, h, w), (r, 5) -> (r, c, *pooled_size), (r, c, *pooled_size)", types="T, T -> T, int64",
    outputs=("output", "maxidx"), num_visible=1)  # fmt: skip
def ROIPooling(data: Array, rois: Array, /, *, pooled_size: tuple[int, ...], spatial_scale: float) -> Any:
    """The largest element in each of `pooled_size` parts of each region, for every channel. A region is the index of
    an image and the corners x1, y1, x2, y2, times `spatial_scale`. Girshick, arXiv:1504.08083."""
    _, c, height, width = data.shape
    y = np.zeros((len(rois), c, *pooled_size), data.dtype)
    at = np.full(y.shape, -1, np.int64)
    for k, roi in enumerate(rois):
        image = data[int(roi[0])]
        x1, y1, x2, y2 = _rounded(roi[1:] * spatial_scale)
        for i, rows in enumerate(_bins(y1, y2, pooled_size[0], height)):
            for j, columns in enumerate(_bins(x1, x2, pooled_size[1], width)):
                part = image[:, rows, columns]
                if part[0].size:
                    best = part.reshape(c, -1).argmax(axis=1)
                    row, column = np.divmod(best, part.shape[2])
                    y[k, :, i, j] = part[np.arange(c), row, column]
                    at[k, :, i, j] = (rows.start + row) * width + columns.start + column
    return y, at


@ROIPooling.gradient
def _(
    g: Array, _y: Array, at: Array, data: Array, rois: Array, /, *, pooled_size: Shape, spatial_scale: float
) -> Any:
    n, c, height, width = data.shape
    base = (rois[:, 0].astype(np.int64)[:, None] * c + np.arange(c)) * (height * width)
    hit = at >= 0
    place = (base[:, :, None, None] + at)[hit]
    return add_rows(g[hit], place, data.size).reshape(n, c, height, width), None


def _correlation_geometry(s: Shape, p: Params) -> tuple[int, int, int, int, int]:
    """Output height and width, displacements on each side in steps, the kernel's half and the border."""
    half = p["kernel_size"] // 2
    border = p["max_displacement"] + half
    steps = p["max_displacement"] // p["stride2"]
    height, width = (-(-(n + 2 * p["pad_size"] - 2 * border) // p["stride1"]) for n in s[2:])
    if min(height, width) < 1:
        raise ShapeError(f"max_displacement {p['max_displacement']} leaves nothing of {s}")
    return height, width, steps, half, border


def _correlation_shape(ins: list[Shape | None], params: Params, outs: list[Shape | None]) -> Any:
    s = ins[0] or ins[1]
    if s is None or 0 in s:
        return ins, outs
    height, width, steps, _, _ = _correlation_geometry(s, params)
    return [s, s], [(s[0], (2 * steps + 1) ** 2, height, width)]


def _correlation_pairs(a: Array, b: Array, p: Params) -> Any:
    """For each output channel and place in the kernel: which parts of the padded arrays meet."""
    height, width, steps, half, border = _correlation_geometry(a.shape, {**p, "pad_size": 0})  # a is padded
    t1, t2 = p["stride1"], p["stride2"]
    for channel, (dy, dx) in enumerate(
        (i * t2, j * t2) for i in range(-steps, steps + 1) for j in range(-steps, steps + 1)
    ):
        for ky in range(-half, p["kernel_size"] - half):
            for kx in range(-half, p["kernel_size"] - half):
                y, x = border + ky, border + kx
                here = (..., slice(y, y + t1 * (height - 1) + 1, t1), slice(x, x + t1 * (width - 1) + 1, t1))
                y, x = y + dy, x + dx
                there = (..., slice(y, y + t1 * (height - 1) + 1, t1), slice(x, x + t1 * (width - 1) + 1, t1))
                yield channel, here, there


def _wide(x: Array, pad: int) -> Any:
    return np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)])


@op(shape=_correlation_shape)
def Correlation(data1: Array, data2: Array, /, *, kernel_size: int = 1, max_displacement: int = 1, stride1: int = 1,
                stride2: int = 1, pad_size: int = 0, is_multiply: bool = True) -> Any:  # fmt: skip
    """How alike patches of two images are, for each displacement of the second within `max_displacement`: the mean
    product of `kernel_size` × `kernel_size` patches (or absolute difference, unless `is_multiply`). Dosovitskiy et
    al., FlowNet, arXiv:1504.06852."""
    p = {"kernel_size": kernel_size, "max_displacement": max_displacement, "stride1": stride1, "stride2": stride2,
         "pad_size": pad_size}  # fmt: skip
    height, width, steps, _, _ = _correlation_geometry(data1.shape, p)
    a, b = _wide(data1, pad_size), _wide(data2, pad_size)
    y = np.zeros((len(a), (2 * steps + 1) ** 2, height, width), data1.dtype)
    for channel, here, there in _correlation_pairs(a, b, p):
        meet = a[here] * b[there] if is_multiply else np.abs(a[here] - b[there])
        y[:, channel] += meet.sum(axis=1)
    y /= kernel_size**2 * data1.shape[1]
    return y


@Correlation.gradient
def _(g: Array, _y: Array, data1: Array, data2: Array, /, **p: Any) -> Any:
    pad = p["pad_size"]
    a, b = _wide(data1, pad), _wide(data2, pad)
    ga, gb = np.zeros_like(a), np.zeros_like(b)
    g = g / (p["kernel_size"] ** 2 * data1.shape[1])
    for channel, here, there in _correlation_pairs(a, b, p):
        part = g[:, channel, None]
        if p["is_multiply"]:
            ga[here] += part * b[there]
            gb[there] += part * a[here]
        else:
            signed = part * np.where(a[here] >= b[there], 1, -1)
            ga[here] += signed
            gb[there] -= signed
    inner = (..., slice(pad, pad + data1.shape[2]), slice(pad, pad + data1.shape[3]))
    return ga[inner], gb[inner]

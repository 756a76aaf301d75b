"""Operators on regions of a feature map: bilinear samples or means of their parts, and proposals of regions.

A region (`rois`) is the index of an image and the corners x1, y1, x2, y2, times `spatial_scale`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, ShapeError
from .indexing import add_rows
from .registry import op
from .signature import Shape

Array = NDArray[Any]


def _neighbours(y: Array, x: Array, height: int, width: int) -> list[tuple[Array, Array]]:
    """Flat place and weight of the four neighbours of each point; points beyond a margin of 1 have weight 0."""
    inside = (y >= -1) & (y <= height) & (x >= -1) & (x <= width)
    y, x = y.clip(0, height - 1), x.clip(0, width - 1)
    top, left = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    wy, wx = y - top, x - left
    return [
        (top * width + left, (1 - wy) * (1 - wx) * inside),
        (top * width + right, (1 - wy) * wx * inside),
        (bottom * width + left, wy * (1 - wx) * inside),
        (bottom * width + right, wy * wx * inside),
    ]


def _samples(size: float, parts: int, ratio: int) -> Array:
    """Places of the samples along one side of `size`, from its start: (parts, samples of a part)."""
    count = ratio if ratio > 0 else max(math.ceil(size / parts), 0)
    return (np.arange(parts * count).reshape(parts, count) + 0.5) * (size / parts / max(count, 1))


def _grid(roi: Array, pooled: Shape, scale: float, ratio: int, aligned: bool) -> tuple[Array, Array]:
    """y and x of the samples of one upright region, (rows, columns, samples of a part)."""
    x1, y1, x2, y2 = roi[1:5] * scale - (0.5 if aligned else 0)
    width, height = (x2 - x1, y2 - y1) if aligned else (max(x2 - x1, 1.0), max(y2 - y1, 1.0))
    y, x = y1 + _samples(height, pooled[0], ratio), x1 + _samples(width, pooled[1], ratio)
    shape = (*pooled, y.shape[1], x.shape[1])
    y, x = np.broadcast_to(y[:, None, :, None], shape), np.broadcast_to(x[None, :, None, :], shape)
    return y.reshape(*pooled, -1), x.reshape(*pooled, -1)


def _check(pooled: Shape) -> None:
    if len(pooled) != 2 or min(pooled) < 1:
        raise ConfigError(f"pooled_size is {pooled}; wanted two numbers of at least 1")


def _channels(c: int, pooled_size: Shape, position_sensitive: bool) -> int:
    _check(pooled_size)
    if position_sensitive and c % (pooled_size[0] * pooled_size[1]):
        raise ShapeError(f"{c} channels cannot be shared out over {pooled_size} parts")
    return c // (pooled_size[0] * pooled_size[1]) if position_sensitive else c


@op("(n, c, h, w), (r, 5) -> (r, k, *pooled_size)", types="T, T -> T", where={"k": _channels})
def _contrib_ROIAlign(data: Array, rois: Array, /, *, pooled_size: tuple[int, ...], spatial_scale: float,
                      sample_ratio: int = -1, position_sensitive: bool = False,
                      aligned: bool = False) -> Any:  # fmt: skip
    """The mean of bilinear samples in each of `pooled_size` parts of each region: `sample_ratio` along each side of a
    part (as many as it has pixels, unless positive). With `position_sensitive` each part has channels of its own;
    `aligned` takes pixels as squares with their centre at a half. He et al., Mask R-CNN, arXiv:1703.06870."""
    _, c, height, width = data.shape
    flat = data.reshape(len(data), c, -1)
    k = _channels(c, pooled_size, position_sensitive)
    y = np.zeros((len(rois), k, *pooled_size), data.dtype)
    for roi, out in zip(rois, y, strict=True):
        if roi[0] < 0:
            continue
        places = _grid(roi, pooled_size, spatial_scale, sample_ratio, aligned)
        for at, weight in _neighbours(*places, height, width):
            if position_sensitive:
                image = flat[int(roi[0])].reshape(k, *pooled_size, -1)
                out += (np.take_along_axis(image, at[None], 3) * weight).mean(axis=-1)
            else:
                out += (flat[int(roi[0])][:, at] * weight).mean(axis=-1)
    return y


@_contrib_ROIAlign.gradient
def _(g: Array, _y: Array, data: Array, rois: Array, /, *, pooled_size: Shape, spatial_scale: float,
      sample_ratio: int, position_sensitive: bool, aligned: bool) -> Any:  # fmt: skip
    c, height, width = data.shape[1:]
    grad = np.zeros((len(data), c, height * width), data.dtype)
    parts = pooled_size[0] * pooled_size[1]
    for roi, head in zip(rois, g, strict=True):
        if roi[0] < 0:
            continue
        image = grad[int(roi[0])]
        places = _grid(roi, pooled_size, spatial_scale, sample_ratio, aligned)
        for at, weight in _neighbours(*places, height, width):
            share = head[..., None] * (weight / at.shape[-1])  # (k, rows, columns, samples)
            if position_sensitive:
                rows = share.reshape(len(share), parts, -1)
                base = (np.arange(len(share))[:, None] * parts + np.arange(parts))[..., None] * (
                    height * width
                )
                np.add.at(image.reshape(-1), base + at.reshape(parts, -1), rows)
            else:
                image += add_rows(share.reshape(c, -1).T, at.reshape(-1), height * width).T
    return grad.reshape(data.shape), None


@op("(n, c, h, w), (r, 6) -> (r, c, *pooled_size)", types="T, T -> T")
def _contrib_RROIAlign(data: Array, rois: Array, /, *, pooled_size: tuple[int, ...], spatial_scale: float,
                       sampling_ratio: int = -1) -> Any:  # fmt: skip
    """ROIAlign of regions that are turned: a row of `rois` is the index of an image, the centre x, y, the width and
    height, and an angle in degrees."""
    _check(pooled_size)
    c, height, width = data.shape[1:]
    y = np.zeros((len(rois), c, *pooled_size), data.dtype)
    for roi, out in zip(rois, y, strict=True):
        cx, cy, w, h = roi[1:5] * spatial_scale
        w, h = max(w, 1.0), max(h, 1.0)
        dy, dx = (
            _samples(h, pooled_size[0], sampling_ratio) - h / 2,
            _samples(w, pooled_size[1], sampling_ratio) - w / 2,
        )
        dy, dx = dy[:, None, :, None], dx[None, :, None, :]
        turn = math.radians(roi[5])
        x = (dx * math.cos(turn) + dy * math.sin(turn) + cx).reshape(*pooled_size, -1)
        image = data[int(roi[0])].reshape(c, -1)
        down = (dy * math.cos(turn) - dx * math.sin(turn) + cy).reshape(*pooled_size, -1)
        for at, weight in _neighbours(down, x, height, width):
            out += (image[:, at] * weight).mean(axis=-1)
    return y


def _parts(roi: Array, scale: float, pooled: int, size: Shape) -> tuple[list[slice], list[slice]]:
    """Rows and columns of each part of a region whose corners are whole pixels."""
    x1, y1 = np.floor(roi[1:3] + 0.5) * scale
    x2, y2 = (np.floor(roi[3:5] + 0.5) + 1) * scale
    out = []
    for start, stop, limit in ((y1, y2, size[0]), (x1, x2, size[1])):
        step = max(stop - start, 0.1) / pooled
        edges = [(math.floor(i * step + start), math.ceil((i + 1) * step + start)) for i in range(pooled)]
        out.append([slice(min(max(a, 0), limit), min(max(b, 0), limit)) for a, b in edges])
    return out[0], out[1]


@op("(n, c, h, w), (r, 5) -> (r, output_dim, pooled_size, pooled_size)", types="T, T -> T")
def _contrib_PSROIPooling(data: Array, rois: Array, /, *, spatial_scale: float, output_dim: int, pooled_size: int,
                          group_size: int = 0) -> Any:  # fmt: skip
    """The mean of each of `pooled_size`² parts of each region, each part in channels of its own: `output_dim` for each
    of `group_size`² parts. Dai et al., R-FCN, arXiv:1605.06409."""
    group = group_size or pooled_size
    if data.shape[1] != output_dim * group * group:
        raise ShapeError(
            f"{data.shape[1]} channels; wanted output_dim × group_size² = {output_dim * group**2}"
        )
    y = np.zeros((len(rois), output_dim, pooled_size, pooled_size), data.dtype)
    for roi, out in zip(rois, y, strict=True):
        image = data[int(roi[0])].reshape(output_dim, group, group, *data.shape[2:])
        rows, columns = _parts(roi, spatial_scale, pooled_size, data.shape[2:])
        for i, r in enumerate(rows):
            for j, k in enumerate(columns):
                part = image[:, i * group // pooled_size, j * group // pooled_size, r, k]
                if part[0].size:
                    out[:, i, j] = part.mean(axis=(1, 2))
    return y


@_contrib_PSROIPooling.gradient
def _(g: Array, _y: Array, data: Array, rois: Array, /, *, spatial_scale: float, output_dim: int, pooled_size: int,
      group_size: int) -> Any:  # fmt: skip
    group = group_size or pooled_size
    grad = np.zeros_like(data)
    for roi, head in zip(rois, g, strict=True):
        image = grad[int(roi[0])].reshape(output_dim, group, group, *data.shape[2:])
        rows, columns = _parts(roi, spatial_scale, pooled_size, data.shape[2:])
        for i, r in enumerate(rows):
            for j, k in enumerate(columns):
                part = image[:, i * group // pooled_size, j * group // pooled_size, r, k]
                if part[0].size:
                    part += (head[:, i, j] / part[0].size)[:, None, None]
    return grad, None

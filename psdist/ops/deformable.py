"""Convolutions whose windows bend: every cell of a window is sampled where an offset, itself computed, moves it.

`offset` is (n, 2 · groups · cells, *out): for each deformable group and each cell of the window its way down, then its
way to the right. Dai et al., "Deformable convolutional networks", arXiv:1703.06211; with a mask: arXiv:1811.11168.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .columns import Geometry, conv_out
from .indexing import add_rows
from .nn import without_bias
from .registry import op
from .signature import Shape

Array = NDArray[Any]


class _Bent:
    """One image's samples: for each group, cell and place of the output its four neighbours and their weights."""

    def __init__(self, offset: Array, geometry: Geometry, groups: int, margin: bool) -> None:
        height, width = geometry.space
        cells = math.prod(geometry.kernel)
        way = offset.reshape(groups, cells, 2, -1)
        y, x = (
            np.add.outer(np.arange(k) * d - p, np.arange(o) * t)
            for k, d, p, o, t in zip(
                geometry.kernel, geometry.dilate, geometry.pad, geometry.out, geometry.stride, strict=True
            )
        )  # (cells of the window, places) along each side
        shape = (*geometry.kernel, *geometry.out)
        rows = np.broadcast_to(y[:, None, :, None], shape).reshape(cells, -1) + way[:, :, 0]
        columns = np.broadcast_to(x[None, :, None, :], shape).reshape(cells, -1) + way[:, :, 1]
        least = (rows > -1) & (columns > -1) if margin else (rows >= 0) & (columns >= 0)
        inside = least & (rows < height) & (columns < width)
        top, left = np.floor(rows), np.floor(columns)
        self.parts = []  # place, weight, and the weight's derivatives by row and by column
        for down in (0, 1):
            for right in (0, 1):
                row, column = top + down, left + right
                wy, wx = 1 - np.abs(rows - row), 1 - np.abs(columns - column)
                there = inside
                if margin:  # else what lies beyond the last row or column is that row or column itself
                    there = inside & (row >= 0) & (row < height) & (column >= 0) & (column < width)
                by_row, by_column = (2 * down - 1) * wx * there, (2 * right - 1) * wy * there
                row, column = row.clip(0, height - 1), column.clip(0, width - 1)
                at = (row * width + column).astype(np.int64)
                dtype = offset.dtype
                self.parts.append(
                    (at, (wy * wx * there).astype(dtype), by_row.astype(dtype), by_column.astype(dtype))
                )

    def take(self, image: Array, which: int = 1) -> Any:
        """The samples of (groups, channels, space), weighted (`which` 1) or by a derivative (2: row, 3: column)."""
        total: Any = None
        for part in self.parts:
            at, weight = part[0], part[which]
            groups = len(image)
            picked = np.take_along_axis(image, at.reshape(groups, 1, -1), 2) * weight.reshape(groups, 1, -1)
            total = picked if total is None else np.add(total, picked, out=total)
        return total

    def give(self, g: Array, size: int) -> Any:
        """Back to where the samples came from: (groups, channels, samples) to (groups, channels, size)."""
        y = np.zeros((*g.shape[:2], size), g.dtype)
        for at, weight, _, _ in self.parts:
            for group, out in enumerate(y):
                share = g[group] * weight[group].reshape(1, -1)
                out += add_rows(np.ascontiguousarray(share.T), at[group].reshape(-1), size).T
        return y


def _forward(
    data: Array, offset: Array, mask: Array | None, weight: Array, bias: Array | None, p: dict[str, Any]
) -> Any:
    geometry = Geometry.of(data.shape[2:], p["kernel"], p["stride"], p["dilate"], p["pad"])
    n, c = data.shape[:2]
    filters, groups, bent = p["num_filter"], p["num_group"], p["num_deformable_group"]
    w = weight.reshape(groups, filters // groups, -1)
    y = np.empty((n, filters, *geometry.out), data.dtype)
    for i in range(n):
        samples = _Bent(offset[i], geometry, bent, mask is not None).take(
            data[i].reshape(bent, c // bent, -1)
        )
        if mask is not None:
            samples *= mask[i].reshape(bent, 1, -1)
        y[i] = (w @ samples.reshape(groups, w.shape[2], -1)).reshape(y[i].shape)
    if bias is not None:
        y += bias.reshape(-1, 1, 1)
    return y


def _backward(
    g: Array, data: Array, offset: Array, mask: Array | None, weight: Array, p: dict[str, Any]
) -> tuple[Any, Any, Any, Any]:
    """Gradients of data, offset, mask and weight."""
    geometry = Geometry.of(data.shape[2:], p["kernel"], p["stride"], p["dilate"], p["pad"])
    n, c = data.shape[:2]
    groups, bent = p["num_group"], p["num_deformable_group"]
    w = weight.reshape(groups, p["num_filter"] // groups, -1)
    g_data, g_offset, g_weight = np.empty_like(data), np.empty_like(offset), np.zeros_like(w)
    g_mask = None if mask is None else np.empty_like(mask)
    cells = math.prod(geometry.kernel)
    for i in range(n):
        way, image = _Bent(offset[i], geometry, bent, mask is not None), data[i].reshape(bent, c // bent, -1)
        head = g[i].reshape(groups, w.shape[1], -1)
        samples = way.take(image)
        scale = None if mask is None else mask[i].reshape(bent, 1, -1)
        seen = samples if scale is None else samples * scale
        g_weight += head @ seen.reshape(groups, w.shape[2], -1).swapaxes(1, 2)
        back = (w.swapaxes(1, 2) @ head).reshape(bent, c // bent, -1)
        if scale is not None and g_mask is not None:
            g_mask[i] = (back * samples).sum(axis=1).reshape(g_mask[i].shape)
            back = back * scale
        g_data[i] = way.give(back, image.shape[2]).reshape(data[i].shape)
        by = [(back * way.take(image, k)).sum(axis=1).reshape(bent, cells, 1, -1) for k in (2, 3)]
        g_offset[i] = np.concatenate(by, axis=2).reshape(offset[i].shape)
    return g_data, g_offset, g_mask, g_weight.reshape(weight.shape)


def _share(c: int, num_group: int) -> int:
    return c // num_group


def _ways(kernel: Shape, num_deformable_group: int) -> int:
    return 2 * num_deformable_group * math.prod(kernel)


_WHERE: dict[str, Callable[..., Any]] = {"cg": _share, "places": conv_out, "ways": _ways}


@op("(n, c, *space), (n, ways, *places), (num_filter, cg, *kernel), (num_filter) -> (n, num_filter, *places)",
    types="T, T, T, T -> T", where=_WHERE, active=without_bias("data", "offset", "weight", "bias"))  # fmt: skip
def _contrib_DeformableConvolution(data: Array, offset: Array, weight: Array, bias: Array | None = None, /, *,
                                   kernel: tuple[int, ...], stride: tuple[int, ...] = (),
                                   dilate: tuple[int, ...] = (), pad: tuple[int, ...] = (), num_filter: int,
                                   num_group: int = 1, num_deformable_group: int = 1, workspace: int = 1024,
                                   no_bias: bool = False, layout: str | None = None) -> Any:  # fmt: skip
    """A convolution that samples each cell of its window where `offset` moves it, between pixels bilinearly;
    0 outside. Channels in `num_deformable_group` groups have offsets of their own."""
    p = {"kernel": kernel, "stride": stride, "dilate": dilate, "pad": pad, "num_filter": num_filter,
         "num_group": num_group, "num_deformable_group": num_deformable_group}  # fmt: skip
    return _forward(data, offset, None, weight, bias, p)


@_contrib_DeformableConvolution.gradient
def _(
    g: Array, _y: Array, data: Array, offset: Array, weight: Array, _bias: Array | None = None, /, **p: Any
) -> Any:
    g_data, g_offset, _, g_weight = _backward(g, data, offset, None, weight, p)
    return g_data, g_offset, g_weight, g.sum(axis=(0, 2, 3))


@op("(n, c, *space), (n, ways, *places), (n, cells, *places), (num_filter, cg, *kernel), (num_filter)"
    " -> (n, num_filter, *places)", types="T, T, T, T, T -> T",
    where={**_WHERE, "cells": lambda kernel, num_deformable_group: num_deformable_group * math.prod(kernel)},
    active=without_bias("data", "offset", "mask", "weight", "bias"))  # fmt: skip
def _contrib_ModulatedDeformableConvolution(data: Array, offset: Array, mask: Array, weight: Array,
                                            bias: Array | None = None, /, *, kernel: tuple[int, ...],
                                            stride: tuple[int, ...] = (), dilate: tuple[int, ...] = (),
                                            pad: tuple[int, ...] = (), num_filter: int, num_group: int = 1,
                                            num_deformable_group: int = 1, workspace: int = 1024,
                                            no_bias: bool = False, im2col_step: int = 64,
                                            layout: str | None = None) -> Any:  # fmt: skip
    """DeformableConvolution whose samples are also weighted, each by its number in `mask`."""
    p = {"kernel": kernel, "stride": stride, "dilate": dilate, "pad": pad, "num_filter": num_filter,
         "num_group": num_group, "num_deformable_group": num_deformable_group}  # fmt: skip
    return _forward(data, offset, mask, weight, bias, p)


@_contrib_ModulatedDeformableConvolution.gradient
def _(g: Array, _y: Array, data: Array, offset: Array, mask: Array, weight: Array, _bias: Array | None = None, /,
      **p: Any) -> Any:  # fmt: skip
    return *_backward(g, data, offset, mask, weight, p), g.sum(axis=(0, 2, 3))

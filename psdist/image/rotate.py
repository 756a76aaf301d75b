"""Images of floats, channels first, turned about their centre."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np

from .. import ops
from ..errors import BadType, ConfigError, ShapeError
from ..ndarray import NDArray, invoke

__all__ = ["imrotate", "random_rotate"]


def imrotate(src: NDArray, rotation_degrees: Any, zoom_in: bool = False, zoom_out: bool = False) -> NDArray:
    """(c, h, w), or (n, c, h, w) with one angle or n of them, turned clockwise, with 0 where the corners were.

    `zoom_in` enlarges until no corner shows, `zoom_out` shrinks until nothing is cut off. float32 only.
    """
    if zoom_in and zoom_out:
        raise ConfigError("imrotate: zoom_in and zoom_out are both set; wanted one of them at most")
    if src.dtype is not np.float32:
        raise BadType(f"imrotate: src is {np.dtype(src.dtype).name}; wanted float32")
    if src.ndim not in (3, 4):
        raise ShapeError(f"imrotate: src is {src.shape}; wanted (c, h, w) or (n, c, h, w)")
    images = src if src.ndim == 4 else src.expand_dims(0)
    single = isinstance(rotation_degrees, int | float | np.number)
    if src.ndim == 3 and not single:
        raise BadType(
            f"imrotate: rotation_degrees is {type(rotation_degrees).__name__}; wanted a number for one image"
        )
    angles = rotation_degrees._data if isinstance(rotation_degrees, NDArray) else rotation_degrees
    degrees = np.full(len(images), angles) if single else np.asarray(angles)
    if len(degrees) != len(images):
        raise ShapeError(f"imrotate: {len(degrees)} angles for {len(images)} images")
    grid = _grid(np.deg2rad(degrees.astype(np.float32)), images.shape[2], images.shape[3], zoom_in, zoom_out)
    sampler = ops.get("BilinearSampler")
    turned: NDArray = invoke(sampler, [images, NDArray(grid, src._ctx)], sampler.parse({}))
    return turned if src.ndim == 4 else turned[0]


def _grid(angle: Any, height: int, width: int, zoom_in: bool, zoom_out: bool) -> Any:
    """Where each pixel comes from, (n, 2, h, w): x, then y, from -1 to 1."""
    down, right = (height - 1) / 2, (width - 1) / 2
    y, x = np.mgrid[:height, :width].astype(np.float32)
    y, x = y - np.float32(down), x - np.float32(right)
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    grid = np.stack([(x * cos - y * sin) / right, (x * sin + y * cos) / down], axis=1)
    if zoom_in or zoom_out:
        diagonal, slope, turn = math.hypot(height, width), math.atan(height / width), np.abs(angle)
        reach_x = diagonal * np.maximum(np.abs(np.cos(slope + turn)), np.abs(np.cos(slope - turn)))
        reach_y = diagonal * np.maximum(np.abs(np.sin(slope + turn)), np.abs(np.sin(slope - turn)))
        if zoom_out:
            scale = np.maximum(reach_x / width, reach_y / height)
        else:
            scale = np.minimum(width / reach_x, height / reach_y)
        grid *= scale[:, None, None, None]
    return grid.astype(np.float32)


def random_rotate(
    src: NDArray, angle_limits: tuple[float, float], zoom_in: bool = False, zoom_out: bool = False
) -> NDArray:
    """`imrotate` by an angle between the limits, in degrees, drawn for each image."""
    if src.ndim == 3:
        return imrotate(src, random.uniform(*angle_limits), zoom_in, zoom_out)
    degrees = np.random.uniform(*angle_limits, size=len(src)).astype(np.float32)
    return imrotate(src, NDArray(degrees), zoom_in, zoom_out)

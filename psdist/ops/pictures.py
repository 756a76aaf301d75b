"""Operators on images: bilinear resizing of feature maps, and `mx.nd.image`, whose images are (h, w, c) or (n, h, w, c)
until `to_tensor` makes them (c, h, w) or (n, c, h, w)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, ShapeError
from .registry import Params, op
from .signature import Shape

Array = NDArray[Any]
Mode = Literal["like", "odd_scale", "size", "to_even_down", "to_even_up", "to_odd_down", "to_odd_up"]


def _resized(size: int, given: int, scale: float | None, like: int | None, mode: str) -> int:
    if mode == "like":
        assert like is not None
        return like
    if mode == "size":
        return int(size * scale) if scale is not None else given
    if mode == "odd_scale":
        assert scale is not None
        return int(size * scale) if size % 2 == 0 else int((size - 1) * scale) + 1
    odd = mode.startswith("to_odd")
    return size if size % 2 == odd else size + (1 if mode.endswith("up") else -1)


def _resize_shape(ins: list[Shape | None], p: Params, outs: list[Shape | None]) -> Any:
    s = ins[0]
    if s is None or 0 in s:
        return ins, outs
    like = ins[1] if len(ins) > 1 else None
    if len(s) != 4 or (p["mode"] == "like" and like is not None and len(like) != 4):
        raise ShapeError(f"data is {s}{f' and like {like}' if like else ''}; wanted (n, c, h, w)")
    if p["mode"] == "like" and (like is None or 0 in like):
        return ins, outs
    if p["mode"] == "odd_scale" and (p["scale_height"] is None or p["scale_width"] is None):
        raise ConfigError("BilinearResize2D: odd_scale wants scale_height and scale_width")
    height = _resized(s[2], p["height"], p["scale_height"], like[2] if like else None, p["mode"])
    width = _resized(s[3], p["width"], p["scale_width"], like[3] if like else None, p["mode"])
    return ins, [(*s[:2], height, width)]


def _weights(size: int, to: int, align: bool, dtype: Any) -> Any:
    """The (to, size) matrix that samples a line of `size` points at `to` places."""
    if align:
        place = np.arange(to) * ((size - 1) / (to - 1) if to > 1 else 0.0)
    else:
        place = ((np.arange(to) + 0.5) * (size / to) - 0.5).clip(0)
    low = np.minimum(np.floor(place).astype(np.int64), size - 1)
    matrix = np.zeros((to, size))
    rows = np.arange(to)
    matrix[rows, low] += 1 - (place - low)
    matrix[rows, np.minimum(low + 1, size - 1)] += place - low
    return matrix.astype(dtype)


@op(
    shape=_resize_shape,
    types="T, T -> T",
    active=lambda p: ("data", "like") if p["mode"] == "like" else ("data",),
)
def _contrib_BilinearResize2D(data: Array, like: Array | None = None, /, *, height: int = 1, width: int = 1,
                              scale_height: float | None = None, scale_width: float | None = None,
                              mode: Mode = "size", align_corners: bool = True) -> Any:  # fmt: skip
    """The feature map, resized by bilinear interpolation: to `height` × `width` or by `scale_height` and
    `scale_width`, to the size of `like`, or to the next odd or even size. With `align_corners` the corners stay
    where they are, else the edges."""
    like_shape = None if like is None else like.shape
    p = {
        "height": height,
        "width": width,
        "scale_height": scale_height,
        "scale_width": scale_width,
        "mode": mode,
    }
    (_, _, rows, columns) = _resize_shape([data.shape, like_shape], p, [None])[1][0]
    down = _weights(data.shape[2], rows, align_corners, data.dtype)
    across = _weights(data.shape[3], columns, align_corners, data.dtype)
    return down @ data @ across.T


@_contrib_BilinearResize2D.gradient
def _(g: Array, _y: Array, data: Array, *_like: Array, align_corners: bool, **_: Any) -> Any:
    down = _weights(data.shape[2], g.shape[2], align_corners, g.dtype)
    across = _weights(data.shape[3], g.shape[3], align_corners, g.dtype)
    return down.T @ g @ across


def _tensor_shape(s: Shape) -> Shape:
    if len(s) not in (3, 4):
        raise ShapeError(f"data is {s}; wanted (h, w, c) or (n, h, w, c)")
    return (*s[:-3], s[-1], s[-3], s[-2])


@op("(*s) -> (*out)", types="T -> float32", where={"out": _tensor_shape})
def _image_to_tensor(data: Array, /) -> Any:
    """The image as float32 between 0 and 1 (it is between 0 and 255), its channels first."""
    return np.moveaxis(data, -1, -3).astype(np.float32) / np.float32(255)


def _channelwise(numbers: tuple[float, ...], channels: int, what: str, dtype: Any) -> Any:
    if len(numbers) not in (1, channels):
        raise ShapeError(f"{what} has {len(numbers)} numbers; wanted 1, or {channels}, one for each channel")
    return np.array(numbers, dtype)[:, None, None]


@op("(*s) -> (*s)")
def _image_normalize(
    data: Array, /, *, mean: tuple[float, ...] = (0.0,), std: tuple[float, ...] = (1.0,)
) -> Any:
    """(x - `mean`) / `std` of an image with its channels first; one number for all channels, or one for each."""
    if data.ndim not in (3, 4):
        raise ShapeError(f"data is {data.shape}; wanted (c, h, w) or (n, c, h, w)")
    channels = data.shape[-3]
    return (data - _channelwise(mean, channels, "mean", data.dtype)) / _channelwise(
        std, channels, "std", data.dtype
    )


@_image_normalize.gradient
def _(g: Array, _y: Array, data: Array, /, *, mean: Shape, std: tuple[float, ...]) -> Any:
    return g / _channelwise(std, data.shape[-3], "std", data.dtype)


def _crop_shape(s: Shape, x: int, y: int, width: int, height: int) -> Shape:
    if len(s) not in (3, 4):
        raise ShapeError(f"data is {s}; wanted (h, w, c) or (n, h, w, c)")
    if min(x, y) < 0 or min(width, height) < 1 or x + width > s[-2] or y + height > s[-3]:
        raise ShapeError(f"a window of {width} × {height} at {x}, {y} leaves an image of {s[-2]} × {s[-3]}")
    return (*s[:-3], height, width, s[-1])


@op("(*s) -> (*out)", where={"out": _crop_shape})
def _image_crop(data: Array, /, *, x: int, y: int, width: int, height: int) -> Any:
    """The part of the image that is `width` × `height` large and begins at `x`, `y`."""
    return data[..., y : y + height, x : x + width, :].copy()


@_image_crop.gradient
def _(g: Array, _y: Array, data: Array, /, *, x: int, y: int, width: int, height: int) -> Any:
    grad = np.zeros_like(data)
    grad[..., y : y + height, x : x + width, :] = g
    return grad


@op("(*s) -> (*s)")
def _image_flip_left_right(data: Array, /) -> Any:
    """The image as in a mirror."""
    return data[..., ::-1, :].copy()


@op("(*s) -> (*s)")
def _image_flip_top_bottom(data: Array, /) -> Any:
    """The image upside down."""
    return np.flip(data, -3).copy()


_image_flip_left_right.gradient(lambda g, _y, _x, /: g[..., ::-1, :])
_image_flip_top_bottom.gradient(lambda g, _y, _x, /: np.flip(g, -3))

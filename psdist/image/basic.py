"""Reading, resizing and cropping. Sizes are (width, height); what is random uses Python's `random`, as in MXNet."""

from __future__ import annotations

import math
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray as Array

from .. import imagefile
from ..errors import ConfigError, NoSuchFile, ShapeError
from ..ndarray import NDArray

__all__ = [
    "center_crop",
    "color_normalize",
    "copyMakeBorder",
    "fixed_crop",
    "imdecode",
    "imread",
    "imresize",
    "pixels",
    "random_crop",
    "random_size_crop",
    "resize_short",
    "scale_down",
]

Box = tuple[int, int, int, int]  # x, y, width, height


def pixels(src: Any) -> Array[Any]:
    """The (height, width, channels) behind an NDArray or anything that NumPy takes. Raises ShapeError."""
    array: Array[Any] = src._data if isinstance(src, NDArray) else np.asarray(src)
    if array.ndim != 3:
        raise ShapeError(f"an image of shape {array.shape}; wanted (height, width, channels)")
    return array


def imread(filename: str | os.PathLike[str], flag: int = 1, to_rgb: bool = True) -> NDArray:
    """A file's image, uint8: in colour, or grey with `flag` 0; blue first without `to_rgb`. Raises NoSuchFile."""
    try:
        raw = Path(filename).read_bytes()
    except FileNotFoundError as e:
        raise NoSuchFile(f"imread: there is no file {os.fspath(filename)!r}") from e
    return imdecode(raw, flag, to_rgb, what=repr(os.fspath(filename)))


def imdecode(buf: Any, flag: int = 1, to_rgb: bool = True, *, what: str = "image") -> NDArray:
    """The image in encoded bytes (or a uint8 array of them), as `imread`. Errors call it `what`."""
    if isinstance(buf, NDArray):
        buf = buf.asnumpy()
    if isinstance(buf, np.ndarray):
        buf = buf.tobytes()
    color = {0: False, 1: True, -1: None}.get(int(flag), True)
    decoded = imagefile.decode(bytes(buf), color=color, what=what)
    if not to_rgb and decoded.shape[2] >= 3:
        decoded = decoded[:, :, [2, 1, 0, *range(3, decoded.shape[2])]]
    return NDArray(np.ascontiguousarray(decoded))


def imresize(src: Any, w: int, h: int, interp: int = 1) -> NDArray:
    """To width `w` and height `h`. `interp`: 0 nearest, 1 linear, 2 cubic, 3 area, 4 Lanczos, 9 by size, 10 random."""
    img = pixels(src)
    return NDArray(imagefile.resize(img, w, h, _method(interp, img.shape[1], img.shape[0], w, h)))


def _method(interp: int, old_w: int, old_h: int, w: int, h: int) -> int:
    if interp == 9:
        if w > old_w and h > old_h:
            return imagefile.CUBIC
        return imagefile.AREA if w < old_w and h < old_h else imagefile.LINEAR
    return random.randint(0, 4) if interp == 10 else interp


def scale_down(src_size: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """`size`, shrunk in proportion until it fits into `src_size`."""
    (w, h), (sw, sh) = size, src_size
    if sh < h:
        w, h = float(w * sh) / h, sh  # type: ignore[assignment]  # cut to whole numbers below
    if sw < w:
        w, h = sw, float(h * sw) / w  # type: ignore[assignment]
    return int(w), int(h)


def resize_short(src: Any, size: int, interp: int = 2) -> NDArray:
    """In proportion, so that the shorter side is `size`."""
    h, w = pixels(src).shape[:2]
    if h > w:
        return imresize(src, size, size * h // w, interp)
    return imresize(src, size * w // h, size, interp)


def fixed_crop(
    src: Any, x0: int, y0: int, w: int, h: int, size: tuple[int, int] | None = None, interp: int = 2
) -> NDArray:
    """The window of `w` by `h` at (x0, y0), resized to `size`, if given."""
    img = pixels(src)
    if not (0 <= x0 <= x0 + w <= img.shape[1] and 0 <= y0 <= y0 + h <= img.shape[0]):
        raise ConfigError(
            f"fixed_crop: {w} x {h} at ({x0}, {y0}) leaves the image of {img.shape[1]} x {img.shape[0]}"
        )
    out = np.ascontiguousarray(img[y0 : y0 + h, x0 : x0 + w])
    if size is not None and (w, h) != tuple(size):
        return imresize(out, *size, interp)
    return NDArray(out)


def random_crop(src: Any, size: tuple[int, int], interp: int = 2) -> tuple[NDArray, Box]:
    """A window of `size` somewhere (smaller, and then enlarged, if the image is smaller), and where it was."""
    h, w = pixels(src).shape[:2]
    new_w, new_h = scale_down((w, h), size)
    x0 = random.randint(0, w - new_w)
    y0 = random.randint(0, h - new_h)
    return fixed_crop(src, x0, y0, new_w, new_h, size, interp), (x0, y0, new_w, new_h)


def center_crop(src: Any, size: tuple[int, int], interp: int = 2) -> tuple[NDArray, Box]:
    """As `random_crop`, but in the middle."""
    h, w = pixels(src).shape[:2]
    new_w, new_h = scale_down((w, h), size)
    x0 = int((w - new_w) / 2)
    y0 = int((h - new_h) / 2)
    return fixed_crop(src, x0, y0, new_w, new_h, size, interp), (x0, y0, new_w, new_h)


def random_size_crop(
    src: Any,
    size: tuple[int, int],
    area: float | tuple[float, float],
    ratio: tuple[float, float],
    interp: int = 2,
    **kwargs: Any,
) -> tuple[NDArray, Box]:
    """A window of a random part of the area (between `area` and all) and a random width / height, made `size`.

    When ten draws do not fit, the middle, as `center_crop`.
    """
    h, w = pixels(src).shape[:2]
    area = kwargs.pop("min_area", area)
    if kwargs:
        raise ConfigError(f"random_size_crop: unknown arguments {sorted(kwargs)}")
    low, high = area if isinstance(area, tuple | list) else (area, 1.0)
    for _ in range(10):
        target = random.uniform(low, high) * h * w
        new_ratio = math.exp(random.uniform(math.log(ratio[0]), math.log(ratio[1])))
        new_w, new_h = round(math.sqrt(target * new_ratio)), round(math.sqrt(target / new_ratio))
        if new_w <= w and new_h <= h:
            x0 = random.randint(0, w - new_w)
            y0 = random.randint(0, h - new_h)
            return fixed_crop(src, x0, y0, new_w, new_h, size, interp), (x0, y0, new_w, new_h)
    return center_crop(src, size, interp)


def color_normalize(src: Any, mean: Any, std: Any = None) -> NDArray:
    """(src - mean) / std, channel by channel; either may be None."""
    img = pixels(src)
    out = img.astype(np.float32) if img.dtype.kind in "uib" else img.copy()
    if mean is not None:
        out -= _row(mean)
    if std is not None:
        out /= _row(std)
    return NDArray(out)


def _row(value: Any) -> Array[Any]:
    return value._data if isinstance(value, NDArray) else np.asarray(value, np.float32)


def copyMakeBorder(  # MXNet's name
    src: Any, top: int, bot: int, left: int, right: int, type: int = 0, value: Any = 0.0, values: Any = None
) -> NDArray:
    """The image in a frame: of `values` by channel (or `value`) with `type` 0, of its edge's pixels with 1."""
    img = pixels(src)
    if type not in (0, 1):
        raise ConfigError(f"copyMakeBorder: type is {type}; wanted 0 (constant) or 1 (the edge's pixels)")
    edges = ((top, bot), (left, right), (0, 0))
    if type == 1:
        return NDArray(np.pad(img, edges, mode="edge"))
    out = np.empty((img.shape[0] + top + bot, img.shape[1] + left + right, img.shape[2]), img.dtype)
    out[:] = value if values is None else np.asarray(values)
    out[top : top + img.shape[0], left : left + img.shape[1]] = img
    return NDArray(out)

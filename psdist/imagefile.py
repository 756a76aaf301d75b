"""Images in files (JPEG, PNG and whatever else Pillow reads) to uint8 arrays and back; and resizing arrays.

The one place that knows Pillow, which is optional: what needs it imports it when it is called. Arrays are
(height, width, channels) with channels in the order red, green, blue. Resizing is our own: it follows
OpenCV's fixed-point arithmetic (what MXNet ran), where Pillow's differs by smoothing whatever it shrinks.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ConfigError, PSError

__all__ = ["decode", "encode", "resize"]

NEAREST, LINEAR, CUBIC, AREA, LANCZOS = range(5)  # OpenCV's numbers, which MXNet's `interp` uses
_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}


def _pillow() -> Any:
    try:
        import PIL.Image
    except ImportError as e:
        raise ConfigError("images need Pillow, which is not installed: pip install 'psdist[image]'") from e
    return PIL.Image


def decode(raw: bytes, *, color: bool | None = True, what: str = "image") -> NDArray[Any]:
    """The pixels of an encoded image, uint8 (height, width, channels).

    Channels: 3 for `color` True, 1 for False; for None as the file has them (1, 3, or 4 with transparency).
    An orientation noted in a JPEG is not applied, as in MXNet. Raises PSError, which calls the image `what`,
    for bytes that are none.
    """
    pillow = _pillow()
    if not raw:
        raise PSError(f"{what} is empty; wanted the bytes of a JPEG, a PNG or the like")
    try:
        with pillow.open(io.BytesIO(raw)) as img:
            if color is False:
                img.draft("L", None)  # a JPEG's grey is stored as such: do not go through its colours
            if img.mode.startswith("I"):  # 16 bits a pixel
                pixels = (np.asarray(img) >> 8).astype(np.uint8)
                grey: NDArray[Any] = np.repeat(pixels[:, :, None], 3 if color else 1, axis=2)
                return grey
            mode = {True: "RGB", False: "L", None: _own_mode(img.mode)}[color]
            array: NDArray[Any] = np.array(img if img.mode == mode else img.convert(mode))
    except (
        OSError,
        SyntaxError,
        ValueError,
        pillow.DecompressionBombError,
    ) as e:  # what Pillow raises on damage
        raise PSError(f"{what} of {len(raw)} bytes cannot be decoded: {e}") from e
    return array[:, :, None] if array.ndim == 2 else array


def _own_mode(mode: str) -> str:
    return {"1": "L", "L": "L", "RGBA": "RGBA", "LA": "RGBA", "PA": "RGBA"}.get(mode, "RGB")


def encode(array: NDArray[Any], img_fmt: str = ".jpg", quality: int = 95) -> bytes:
    """The file's bytes of uint8 (height, width) or (height, width, 1, 3 or 4).

    `quality` is 1 to 100 for ".jpg", and the compression from 0 to 9 for ".png".
    """
    kind = _FORMATS.get(img_fmt.lower())
    if kind is None:
        raise ConfigError(f"img_fmt is {img_fmt!r}; wanted one of {', '.join(_FORMATS)}")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise ConfigError(f"an image of shape {array.shape}; wanted (height, width) or (height, width, 3)")
    if array.dtype != np.uint8:
        array = np.clip(np.rint(array), 0, 255).astype(np.uint8)
    options = {"quality": quality} if kind == "JPEG" else {"compress_level": min(quality, 9)}
    out = io.BytesIO()
    _pillow().fromarray(np.ascontiguousarray(array)).save(out, kind, **options)
    return out.getvalue()


# ------------------------------------------------------------------------------------------------- resizing


def resize(array: NDArray[Any], width: int, height: int, interp: int = LINEAR) -> NDArray[Any]:
    """(h, w, channels) as (height, width, channels), of the same dtype.

    `interp`: 0 nearest, 1 linear, 2 cubic, 3 by area (linear when it enlarges), 4 Lanczos over 8 pixels.
    """
    if interp not in range(5):
        raise ConfigError(
            f"resize: interp is {interp}; wanted 0 nearest, 1 linear, 2 cubic, 3 area, 4 Lanczos"
        )
    if width < 1 or height < 1:
        raise ConfigError(f"resize: to width {width} and height {height}; wanted at least 1 of each")
    h, w = array.shape[:2]
    if (h, w) == (height, width):
        return array.copy()
    if interp == NEAREST:
        rows, columns = _nearest(h, height), _nearest(w, width)
        picked: NDArray[Any] = array[rows[:, None], columns]
        return picked
    if interp == LINEAR and (h, w) == (2 * height, 2 * width):
        interp = AREA  # as OpenCV does: the four pixels' mean is the same, and exact
    if interp == AREA and height <= h and width <= w:
        return _by_area(array, width, height)
    if interp == AREA:
        return _by_taps(array, _area_taps(w, width), _area_taps(h, height))
    return _by_taps(array, _taps(w, width, interp), _taps(h, height, interp))


def _nearest(size: int, new_size: int) -> NDArray[Any]:
    which: NDArray[Any] = np.floor(np.arange(new_size) * _scale(size, new_size)).astype(np.int64)
    which[which >= size] = size - 1
    return which


def _scale(size: int, new_size: int) -> float:
    return 1 / (
        new_size / size
    )  # OpenCV inverts the inverse, and which pixel is nearest hangs on the last bit


_Taps = tuple[NDArray[Any], NDArray[Any]]  # for each output: which inputs (n, k), and their weights (n, k)


@lru_cache(maxsize=256)
def _taps(size: int, new_size: int, interp: int) -> _Taps:
    centre = ((np.arange(new_size) + 0.5) * _scale(size, new_size) - 0.5).astype(np.float32)
    first = np.floor(centre).astype(np.int64)
    x = centre - first.astype(np.float32)
    if interp == LINEAR:
        x = np.where((first < 0) | (first >= size - 1), np.float32(0), x)
        first = first.clip(0, size - 1)
        weights = np.stack([1 - x, x], axis=1)
    elif interp == CUBIC:
        a = np.float32(-0.75)
        w0 = ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a
        w1 = ((a + 2) * x - (a + 3)) * x * x + 1
        w2 = ((a + 2) * (1 - x) - (a + 3)) * (1 - x) * (1 - x) + 1
        weights = np.stack([w0, w1, w2, 1 - w0 - w1 - w2], axis=1)
        first = first - 1
    else:
        weights = _lanczos(x.astype(np.float64))
        first = first - 3
    which = (first[:, None] + np.arange(weights.shape[1])).clip(0, size - 1)
    return which, weights.astype(np.float32)


def _lanczos(x: NDArray[Any]) -> NDArray[Any]:
    """sinc(t) sinc(t / 4) at the eight pixels around x, made to sum to one."""
    t = x[:, None] - np.arange(-3, 5)
    weights: NDArray[Any] = np.sinc(t) * np.sinc(t / 4)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


@lru_cache(maxsize=256)
def _area_taps(size: int, new_size: int) -> _Taps:
    """OpenCV's area when something is enlarged: linear, but flat over what lies inside one input pixel."""
    scale, inverse = _scale(size, new_size), new_size / size
    out = np.arange(new_size)
    first = np.floor(out * scale).astype(np.int64)
    x = ((out + 1) - (first + 1) * inverse).astype(np.float32)
    x = np.where(x <= 0, np.float32(0), x - np.floor(x))
    x = np.where(first >= size - 1, np.float32(0), x)
    first = first.clip(0, size - 1)
    return np.stack([first, (first + 1).clip(0, size - 1)], axis=1), np.stack([1 - x, x], axis=1)


def _by_taps(array: NDArray[Any], across: _Taps, down: _Taps) -> NDArray[Any]:
    """Weighted sums of columns, then of rows. uint8 in fixed point with 11 bits a weight, like OpenCV."""
    columns, wx = across
    rows, wy = down
    if array.dtype != np.uint8:
        kind = np.float64 if array.dtype == np.float64 else np.float32
        return _as_dtype(_sum(_sum(array.astype(kind), columns, wx, axis=1), rows, wy, axis=0), array.dtype)
    ix, iy = (np.rint(w * np.float32(2048)).astype(np.int32) for w in (wx, wy))
    wide = _sum(array.astype(np.int32), columns, ix, axis=1)
    if wy.shape[1] == 2:  # linear: OpenCV's own way to stay within 32 bits
        wide >>= 4
        tall = wide[rows[:, 0]]
        tall *= iy[:, 0, None, None]
        tall >>= 16
        bottom = wide[rows[:, 1]]
        bottom *= iy[:, 1, None, None]
        bottom >>= 16
        tall += bottom
        tall += 2
        tall >>= 2
    else:
        tall = _sum(wide if wy.shape[1] == 4 else wide.astype(np.int64), rows, iy, axis=0)
        tall += 1 << 21
        tall >>= 22
    np.clip(tall, 0, 255, out=tall)
    return tall.astype(np.uint8)


def _sum(array: NDArray[Any], which: NDArray[Any], weights: NDArray[Any], axis: int) -> NDArray[Any]:
    """Over k: what lies at which[:, k] along the axis, times weights[:, k]."""
    along = weights.reshape((len(weights), -1) + (1,) * (2 - axis))
    total: NDArray[Any] = array.take(which[:, 0], axis=axis)
    total *= along[:, 0]
    part = np.empty_like(total)
    for k in range(1, which.shape[1]):
        array.take(which[:, k], axis=axis, out=part, mode="clip")
        part *= along[:, k]
        total += part
    return total


def _by_area(array: NDArray[Any], width: int, height: int) -> NDArray[Any]:
    """The mean over the rectangle of input that each output pixel covers."""
    h, w, channels = array.shape
    if h % height == 0 and w % width == 0:
        a, b = h // height, w // width
        total = array.reshape(height, a, width, b, channels)
        if array.dtype == np.uint8 and a == b == 2:
            four: NDArray[Any] = (total.sum(axis=(1, 3), dtype=np.int32) + 2) >> 2
            return four.astype(np.uint8)
        mean = total.sum(axis=(1, 3), dtype=np.float64) * np.float32(1 / (a * b))
        return _as_dtype(mean, array.dtype)
    kind = np.float64 if array.dtype == np.float64 else np.float32
    wide = _sum(array.astype(kind), *_shares(w, width), axis=1)
    return _as_dtype(_sum(wide, *_shares(h, height), axis=0), array.dtype)


@lru_cache(maxsize=64)
def _shares(size: int, new_size: int) -> _Taps:
    """Which inputs an output covers, and how much of it each is."""
    edges = np.arange(new_size + 1) * (size / new_size)
    left, right = edges[:-1, None], edges[1:, None]
    which = np.floor(left).astype(np.int64) + np.arange(int(np.ceil(size / new_size)) + 1)
    covered = (np.minimum(right, which + 1) - np.maximum(left, which)).clip(0, None)
    covered[which >= size] = 0
    covered /= covered.sum(axis=1, keepdims=True)
    return which.clip(0, size - 1), covered.astype(np.float32)


def _as_dtype(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind in "ui":
        info = np.iinfo(dtype)
        array = np.rint(array).clip(info.min, info.max)
    return array.astype(dtype)

"""What ImageRecordIter does to an image before it becomes a sample, from random numbers given to it.

The steps and their order are those of MXNet's default augmenter: resize, turn and stretch, pad, crop,
colours, mirror.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray as Array

from .. import imagefile
from ..errors import ConfigError

__all__ = ["Augment", "shift_hls"]

_PCA_VALUES = np.array([55.46, 4.794, 1.148], np.float32)  # of ImageNet's colours, as in AlexNet's paper
_PCA_VECTORS = np.array(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]], np.float32
)
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Augment:
    """From an image of any size to one of `data_shape`. The names are ImageRecordIter's."""

    data_shape: tuple[int, int, int]  # channels, height, width
    resize: int = -1  # the shorter side's length at first; -1 leaves it
    rand_crop: bool = False
    random_resized_crop: bool = False
    max_rotate_angle: int = 0  # degrees, either way
    rotate: int = -1  # degrees, always; -1 for none
    max_aspect_ratio: float = 0.0
    min_aspect_ratio: float | None = None  # None: the ratio is within 1 ± max_aspect_ratio
    max_shear_ratio: float = 0.0
    max_crop_size: int = -1
    min_crop_size: int = -1
    max_random_scale: float = 1.0
    min_random_scale: float = 1.0
    max_random_area: float = 1.0
    min_random_area: float = 1.0
    max_img_size: float = 1e10
    min_img_size: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    pca_noise: float = 0.0
    random_h: int = 0
    random_s: int = 0
    random_l: int = 0
    fill_value: int = 255
    inter_method: int = 1  # 0 to 4 as imagefile.resize, 9 by whether it grows or shrinks, 10 random
    pad: int = 0
    mirror: bool = False
    rand_mirror: bool = False

    def __post_init__(self) -> None:
        if self.inter_method not in (0, 1, 2, 3, 4, 9, 10):
            raise ConfigError(
                f"inter_method is {self.inter_method}; wanted 0 to 4, 9 (by size) or 10 (random)"
            )
        if self.max_crop_size != -1 or self.min_crop_size != -1:
            _, height, width = self.data_shape
            if not 0 < self.min_crop_size <= self.max_crop_size:
                raise ConfigError(
                    f"min_crop_size is {self.min_crop_size} and max_crop_size {self.max_crop_size}; "
                    "wanted both, and 0 < min <= max"
                )
            if height != width:
                raise ConfigError(f"max_crop_size crops squares, but data_shape is {self.data_shape}")
        if self.max_random_scale < self.min_random_scale:
            low, high = self.min_random_scale, self.max_random_scale
            raise ConfigError(f"min_random_scale is {low} and max_random_scale {high}; wanted min <= max")

    def __call__(self, img: Array[Any], rng: np.random.Generator) -> Array[Any]:
        """(height, width, c), uint8."""
        if self.resize != -1:
            img = self.shorter_side(img, self.resize, rng)
        if self._is_affine():
            img = self._affine(img, rng)
        if self.pad > 0:
            edge = ((self.pad, self.pad), (self.pad, self.pad), (0, 0))
            img = np.pad(img, edge, constant_values=self.fill_value)
        img = self._crop(img, rng)
        img = self._colours(img, rng)
        if self.mirror or (self.rand_mirror and rng.random() < 0.5):
            img = img[:, ::-1]
        return img

    def to_size(self, img: Array[Any], width: int, height: int, rng: np.random.Generator) -> Array[Any]:
        """Resized, by `inter_method`."""
        h, w = img.shape[:2]
        method = self.inter_method
        if method == 9:
            grows, shrinks = (height > h and width > w), (height < h and width < w)
            method = imagefile.CUBIC if grows else imagefile.AREA if shrinks else imagefile.LINEAR
        elif method == 10:
            method = int(rng.integers(5))
        return imagefile.resize(img, max(width, 1), max(height, 1), method)

    def shorter_side(self, img: Array[Any], size: int, rng: np.random.Generator) -> Array[Any]:
        """Resized until its shorter side is `size`."""
        h, w = img.shape[:2]
        if h > w:
            return self.to_size(img, size, size * h // w, rng)
        return self.to_size(img, size * w // h, size, rng)

    def _is_affine(self) -> bool:
        return (
            self.max_rotate_angle > 0
            or self.max_shear_ratio > 0
            or self.rotate > 0
            or (self.max_random_scale, self.min_random_scale) != (1, 1)
            or (self.max_aspect_ratio != 0 and not self.random_resized_crop)
            or self.max_img_size != 1e10
            or self.min_img_size != 0
        )

    def _affine(self, img: Array[Any], rng: np.random.Generator) -> Array[Any]:
        """Turn, shear, scale and stretch about the centre, all at once."""
        shear = rng.uniform(-1, 1) * self.max_shear_ratio
        angle: float = self.rotate
        if self.rotate <= 0:
            angle = int(rng.integers(-self.max_rotate_angle, self.max_rotate_angle + 1))
        scale = rng.uniform(self.min_random_scale, self.max_random_scale)
        ratio = 1.0 if self.random_resized_crop else self._aspect_ratio(rng)
        h, w = img.shape[:2]
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        hs = 2 * scale / (1 + ratio)
        ws = ratio * hs
        new_width, new_height = (
            max(self.min_img_size, min(self.max_img_size, scale * side)) for side in (w, h)
        )
        m = np.array([[hs * cos - shear * sin * ws, hs * sin + shear * cos * ws], [-sin * ws, cos * ws]])
        shift = (np.array([new_width, new_height]) - m @ [w, h]) / 2
        return _warp(img, m, shift, int(new_width), int(new_height), self.fill_value)

    def _aspect_ratio(self, rng: np.random.Generator) -> float:
        if self.min_aspect_ratio is not None:
            return float(rng.uniform(self.min_aspect_ratio, self.max_aspect_ratio))
        return float(rng.uniform(1 - self.max_aspect_ratio, 1 + self.max_aspect_ratio))

    def _crop(self, img: Array[Any], rng: np.random.Generator) -> Array[Any]:
        _, height, width = self.data_shape
        if self.random_resized_crop:
            return self.to_size(self._area_of(img, rng), width, height, rng)
        if self.max_crop_size != -1:
            size = int(rng.integers(self.min_crop_size, self.max_crop_size + 1))
            if min(img.shape[:2]) < size:
                raise ConfigError(f"a crop of {size} from an image of {img.shape[1]} x {img.shape[0]}")
            return self.to_size(self._window(img, size, size, rng), width, height, rng)
        h, w = img.shape[:2]
        if h < height:
            img = self.to_size(img, int(w * height / h), height, rng)
        h, w = img.shape[:2]
        if w < width:
            img = self.to_size(img, width, int(h * width / w), rng)
        return self._window(img, height, width, rng)

    def _window(self, img: Array[Any], height: int, width: int, rng: np.random.Generator) -> Array[Any]:
        y, x = img.shape[0] - height, img.shape[1] - width
        if self.rand_crop:
            y, x = int(rng.integers(y + 1)), int(rng.integers(x + 1))
        else:
            y, x = y // 2, x // 2
        return img[y : y + height, x : x + width]

    def _area_of(self, img: Array[Any], rng: np.random.Generator) -> Array[Any]:
        """A window of a random part of the area and a random shape; after ten misses, the middle square."""
        h, w = img.shape[:2]
        for _ in range(10):
            area = h * w * rng.uniform(self.min_random_area, self.max_random_area)
            ratio = max(self._aspect_ratio(rng), 1e-6)
            width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if rng.random() < 0.5:
                width, height = height, width
            if 0 < width <= w and 0 < height <= h:
                y, x = int(rng.integers(h - height + 1)), int(rng.integers(w - width + 1))
                return img[y : y + height, x : x + width]
        size = min(h, w)
        y, x = (h - size) // 2, (w - size) // 2
        return img[y : y + size, x : x + size]

    def _colours(self, img: Array[Any], rng: np.random.Generator) -> Array[Any]:
        if img.shape[2] < 3:
            return img
        jitters = [k for k in range(3) if (self.brightness, self.contrast, self.saturation)[k] > 0]
        if jitters or self.pca_noise > 0:
            pixels = img.astype(np.float32)
            for k in rng.permutation(jitters):
                pixels = self._jitter(pixels, int(k), rng)
            if self.pca_noise > 0:
                alpha = rng.normal(0, self.pca_noise, 3).astype(np.float32)
                pixels = pixels + _PCA_VECTORS @ (alpha * _PCA_VALUES)
            img = np.rint(pixels).clip(0, 255).astype(np.uint8)
        if self.random_h or self.random_s or self.random_l:
            shifts = [rng.uniform(-1, 1) * r for r in (self.random_h, self.random_l, self.random_s)]
            img = shift_hls(img, *shifts)
        return img

    def _jitter(self, pixels: Array[Any], kind: int, rng: np.random.Generator) -> Array[Any]:
        amount = (self.brightness, self.contrast, self.saturation)[kind]
        alpha = np.float32(1 + rng.uniform(-amount, amount))
        if kind == 0:
            return pixels * alpha
        grey = pixels[:, :, :3] @ _GREY
        base = grey.mean() if kind == 1 else grey[:, :, None]
        out: Array[Any] = pixels * alpha + base * (1 - alpha)
        return out


def _warp(
    img: Array[Any], m: Array[Any], shift: Array[Any], width: int, height: int, fill: int
) -> Array[Any]:
    """Each output pixel p is the input where m x + shift = p, between four pixels in steps of 1/32."""
    inverse = np.linalg.inv(m)
    origin = -inverse @ shift
    x, y = np.arange(width), np.arange(height)[:, None]
    places = []
    for row, start in zip(inverse, origin, strict=True):  # fixed point with 10 bits, cut to 5, as OpenCV does
        across = np.rint(row[0] * x * 1024).astype(np.int64)
        down = np.rint((row[1] * y + start) * 1024).astype(np.int64)
        places.append((across + down + 16) >> 5)
    fx, fy = ((p & 31)[:, :, None] / np.float32(32) for p in places)
    ix, iy = (p >> 5 for p in places)
    h, w = img.shape[:2]
    framed = np.pad(img, ((1, 1), (1, 1), (0, 0)), constant_values=fill).astype(np.float32)
    # one pixel of frame stands for all that is outside
    top, bottom = (iy + 1).clip(0, h + 1), (iy + 2).clip(0, h + 1)
    left, right = (ix + 1).clip(0, w + 1), (ix + 2).clip(0, w + 1)
    upper = framed[top, left] * (1 - fx) + framed[top, right] * fx
    lower = framed[bottom, left] * (1 - fx) + framed[bottom, right] * fx
    out: Array[Any] = np.rint(upper * (1 - fy) + lower * fy).clip(0, 255).astype(np.uint8)
    return out


def shift_hls(img: Array[Any], hue: float, lightness: float, saturation: float) -> Array[Any]:
    """Add to hue (0 to 180), lightness and saturation (0 to 255), the scales of OpenCV's bytes."""
    rgb = img[:, :, :3].astype(np.float32) / 255
    high, low = rgb.max(axis=2), rgb.min(axis=2)
    span = high - low
    light = (high + low) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        sat = np.where(span == 0, 0, span / np.where(light < 0.5, high + low, 2 - high - low))
        r, g, b = np.moveaxis(rgb, 2, 0)
        sector = np.where(
            high == r, (g - b) / span, np.where(high == g, 2 + (b - r) / span, 4 + (r - g) / span)
        )
    h = np.where(span == 0, 0, sector) * 60 + 2 * hue
    light = (light + lightness / 255).clip(0, 1)
    sat = (sat + saturation / 255).clip(0, 1)
    # the formula with one function for all three channels: n = 0, 8, 4
    reach = sat * np.minimum(light, 1 - light)
    channels = []
    for n in (0, 8, 4):
        k = (n + h / 30) % 12
        channels.append(light - reach * np.minimum(k - 3, 9 - k).clip(-1, 1))
    out = img.copy()
    out[:, :, :3] = np.rint(np.stack(channels, axis=2) * 255).clip(0, 255)
    return out

"""Images with boxes in them: augmenters that move the boxes with the image, and an iterator over such images.

A label is an array of (objects, 5 or more): a class, then the corners x1, y1, x2, y2 as parts of the width and height.
Crops keep enough of the objects: Liu et al., "SSD", arXiv:1512.02325. What is random is drawn by Python's `random`, in
MXNet's order.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray as Array

from ..errors import BadType, ConfigError
from ..ndarray import NDArray
from . import augmenters, basic
from .basic import pixels

__all__ = [
    "CreateDetAugmenter",
    "CreateMultiRandCropAugmenter",
    "DetAugmenter",
    "DetBorrowAug",
    "DetHorizontalFlipAug",
    "DetRandomCropAug",
    "DetRandomPadAug",
    "DetRandomSelectAug",
]

_Window = tuple[int, int, int, int]  # x, y, width, height
_ROOM = 0.4999999  # rounds up to the next pixel at most


class DetAugmenter:
    """From an image and its label to others. A subclass gives its parameters to `__init__` here, for `dumps`."""

    def __init__(self, **kwargs: Any) -> None:
        self._kwargs = {name: augmenters._plain(value) for name, value in kwargs.items()}

    def dumps(self) -> Any:
        """The augmenter as JSON: its name in small letters, and its parameters."""
        return json.dumps([type(self).__name__.lower(), self._kwargs])

    def __call__(self, src: Any, label: Any) -> tuple[Any, Any]:
        raise NotImplementedError(f"{type(self).__name__} does not say what it does: give it __call__")


class DetBorrowAug(DetAugmenter):
    """An augmenter of images that moves nothing relative to the image, such as a resize or a change of colours."""

    def __init__(self, augmenter: augmenters.Augmenter) -> None:
        if not isinstance(augmenter, augmenters.Augmenter):
            raise BadType(f"DetBorrowAug: augmenter is {type(augmenter).__name__}; wanted an Augmenter")
        super().__init__(augmenter=augmenter.dumps())
        self.augmenter = augmenter

    def dumps(self) -> Any:
        return [type(self).__name__.lower(), self.augmenter.dumps()]

    def __call__(self, src: Any, label: Any) -> tuple[Any, Any]:
        return self.augmenter(src), label


class DetRandomSelectAug(DetAugmenter):
    """One of `aug_list`, or none with the probability `skip_prob`."""

    def __init__(self, aug_list: Any, skip_prob: float = 0) -> None:
        super().__init__(skip_prob=skip_prob)
        self.aug_list = list(aug_list) if isinstance(aug_list, list | tuple) else [aug_list]
        for aug in self.aug_list:
            if not isinstance(aug, DetAugmenter):
                raise BadType(f"DetRandomSelectAug: {type(aug).__name__} in aug_list; wanted DetAugmenters")
        self.skip_prob = skip_prob if self.aug_list else 1

    def dumps(self) -> Any:
        return [type(self).__name__.lower(), [aug.dumps() for aug in self.aug_list]]

    def __call__(self, src: Any, label: Any) -> tuple[Any, Any]:
        if random.random() < self.skip_prob:
            return src, label
        random.shuffle(self.aug_list)
        chosen: DetAugmenter = self.aug_list[0]
        return chosen(src, label)


class DetHorizontalFlipAug(DetAugmenter):
    """As in a mirror, with the probability `p`."""

    def __init__(self, p: float) -> None:
        super().__init__(p=p)
        self.p = p

    def __call__(self, src: Any, label: Any) -> tuple[Any, Any]:
        if random.random() < self.p:
            src = NDArray(np.ascontiguousarray(pixels(src)[:, ::-1]))
            label = label.copy()
            label[:, 1], label[:, 3] = 1 - label[:, 3], 1 - label[:, 1]
        return src, label


def _areas(boxes: Array[Any]) -> Any:
    return (boxes[:, 2:4] - boxes[:, :2]).clip(0).prod(axis=1)


def _range(name: str, value: Any) -> tuple[float, float]:
    low, high = value if isinstance(value, list | tuple) else (value, value)
    if not 0 <= low <= high:
        raise ConfigError(f"{name} is {value}; wanted two numbers of at least 0, in order")
    return float(low), float(high)


class DetRandomCropAug(DetAugmenter):
    """A window of random size and place that shows more than `min_object_covered` of each object it touches.

    `aspect_ratio_range` is of width / height, `area_range` of the window's part of the image. Objects of which it
    shows `min_eject_coverage` or less are dropped. After `max_attempts` that do not fit, the image stays whole.
    """

    def __init__(
        self,
        min_object_covered: float = 0.1,
        aspect_ratio_range: Any = (0.75, 1.33),
        area_range: Any = (0.05, 1.0),
        min_eject_coverage: float = 0.3,
        max_attempts: int = 50,
    ) -> None:
        self.aspect_ratio_range = _range("DetRandomCropAug: aspect_ratio_range", aspect_ratio_range)
        self.area_range = _range(
            "DetRandomCropAug: area_range",
            area_range if isinstance(area_range, list | tuple) else (area_range, 1.0),
        )
        super().__init__(
            min_object_covered=min_object_covered, aspect_ratio_range=self.aspect_ratio_range,
            area_range=self.area_range, min_eject_coverage=min_eject_coverage, max_attempts=max_attempts,
        )  # fmt: skip
        self.min_object_covered = min_object_covered
        self.min_eject_coverage = min_eject_coverage
        self.max_attempts = max_attempts
        self.enabled = self.area_range[1] > 0 and self.aspect_ratio_range[1] > 0

    def __call__(self, src: Any, label: Any) -> tuple[Any, Any]:
        height, width = pixels(src).shape[:2]
        found = self._window(label, height, width)
        if found is None:
            return src, label
        (x, y, w, h), moved = found
        return basic.fixed_crop(src, x, y, w, h), moved

    def _window(self, label: Array[Any], height: int, width: int) -> tuple[_Window, Array[Any]] | None:
        if not self.enabled or height <= 0 or width <= 0:
            return None
        least, most = (part * height * width for part in self.area_range)
        for _ in range(self.max_attempts):
            ratio = random.uniform(*self.aspect_ratio_range)
            if ratio <= 0:
                continue
            h, highest = round(math.sqrt(least / ratio)), round(math.sqrt(most / ratio))
            if round(highest * ratio) > width:
                highest = int((width + _ROOM) / ratio)
            highest = min(highest, height)
            h = random.randint(h, highest) if h < highest else highest
            w = round(h * ratio)
            if w * h < least:
                h += 1
                w = round(h * ratio)
            if w * h > most:
                h -= 1
                w = round(h * ratio)
            if not (least <= w * h <= most and 0 <= w <= width and 0 <= h <= height):
                continue
            y, x = random.randint(0, max(0, height - h)), random.randint(0, max(0, width - w))
            window = x, y, w, h
            if self._shows_enough(label, window, height, width):
                moved = self._moved(label, window, height, width)
                if moved is not None:
                    return window, moved
        return None

    def _shows_enough(self, label: Array[Any], window: _Window, height: int, width: int) -> bool:
        x, y, w, h = window
        if w * h < 2:
            return False
        areas = _areas(label[:, 1:5])
        seen = label[areas * width * height > 2, 1:5]
        if not len(seen):
            return False
        inside = np.array([x / width, y / height, (x + w) / width, (y + h) / height])
        part = np.concatenate(
            [np.maximum(seen[:, :2], inside[:2]), np.minimum(seen[:, 2:], inside[2:])], axis=1
        )
        covered = _areas(part) / _areas(seen)
        covered = covered[covered > 0]
        return covered.size > 0 and float(covered.min()) > self.min_object_covered

    def _moved(self, label: Array[Any], window: _Window, height: int, width: int) -> Array[Any] | None:
        x, y, w, h = window
        start, size = np.array([x / width, y / height] * 2), np.array([w / width, h / height] * 2)
        out = label.copy()
        out[:, 1:5] = ((out[:, 1:5] - start) / size).clip(0, 1)
        covered = _areas(out[:, 1:5]) * size[0] * size[1] / _areas(label[:, 1:5])
        stays = (out[:, 3] > out[:, 1]) & (out[:, 4] > out[:, 2]) & (covered > self.min_eject_coverage)
        return out[stays] if stays.any() else None


class DetRandomPadAug(DetAugmenter):
    """The image somewhere in a larger one of `pad_val`: `area_range` times as large, of a random width / height."""

    def __init__(
        self,
        aspect_ratio_range: Any = (0.75, 1.33),
        area_range: Any = (1.0, 3.0),
        max_attempts: int = 50,
        pad_val: Any = (128, 128, 128),
    ) -> None:
        self.aspect_ratio_range = _range("DetRandomPadAug: aspect_ratio_range", aspect_ratio_range)
        self.area_range = _range("DetRandomPadAug: area_range", area_range)
        self.pad_val = tuple(pad_val) if isinstance(pad_val, list | tuple) else (pad_val,)
        super().__init__(
            aspect_ratio_range=self.aspect_ratio_range, area_range=self.area_range, max_attempts=max_attempts,
            pad_val=self.pad_val,
        )  # fmt: skip
        self.max_attempts = max_attempts
        self.enabled = self.area_range[1] > 1 and self.aspect_ratio_range[1] > 0

    def __call__(self, src: Any, label: Any) -> tuple[Any, Any]:
        height, width = pixels(src).shape[:2]
        found = self._frame(height, width)
        if found is None:
            return src, label
        x, y, w, h = found
        out = basic.copyMakeBorder(src, y, h - y - height, x, w - x - width, values=self.pad_val)
        label = label.copy()
        label[:, (1, 3)] = (label[:, (1, 3)] * width + x) / w
        label[:, (2, 4)] = (label[:, (2, 4)] * height + y) / h
        return out, label

    def _frame(self, height: int, width: int) -> _Window | None:
        if not self.enabled or height <= 0 or width <= 0:
            return None
        least, most = (part * height * width for part in self.area_range)
        for _ in range(self.max_attempts):
            ratio = random.uniform(*self.aspect_ratio_range)
            if ratio <= 0:
                continue
            h, highest = round(math.sqrt(least / ratio)), round(math.sqrt(most / ratio))
            if round(h * ratio) < width:
                h = int((width + _ROOM) / ratio)
            h = min(max(h, height), highest)
            if h < highest:
                h = random.randint(h, highest)
            w = round(h * ratio)
            if h - height >= 2 and w - width >= 2:  # else there is hardly a frame
                y, x = random.randint(0, h - height), random.randint(0, w - width)
                return x, y, w, h
        return None


def CreateMultiRandCropAugmenter(  # MXNet's name
    min_object_covered: Any = 0.1,
    aspect_ratio_range: Any = (0.75, 1.33),
    area_range: Any = (0.05, 1.0),
    min_eject_coverage: Any = 0.3,
    max_attempts: Any = 50,
    skip_prob: float = 0,
) -> DetRandomSelectAug:
    """One of several DetRandomCropAug: each argument may be a list, of one for each of them."""

    def listed(x: Any) -> list[Any]:
        return x if isinstance(x, list) else [x]

    columns = [
        listed(x)
        for x in (min_object_covered, aspect_ratio_range, area_range, min_eject_coverage, max_attempts)
    ]
    count = max(map(len, columns))
    for x in columns:
        if len(x) not in (1, count):
            raise ConfigError(
                f"CreateMultiRandCropAugmenter: {x} has {len(x)} values, another argument {count}"
            )
    rows = zip(*[x * count if len(x) == 1 else x for x in columns], strict=True)
    return DetRandomSelectAug([DetRandomCropAug(*row) for row in rows], skip_prob)


def CreateDetAugmenter(  # MXNet's name
    data_shape: Sequence[int],
    resize: int = 0,
    rand_crop: float = 0,
    rand_pad: float = 0,
    rand_gray: float = 0,
    rand_mirror: bool = False,
    mean: Any = None,
    std: Any = None,
    brightness: float = 0,
    contrast: float = 0,
    saturation: float = 0,
    pca_noise: float = 0,
    hue: float = 0,
    inter_method: int = 2,
    min_object_covered: Any = 0.1,
    aspect_ratio_range: Any = (0.75, 1.33),
    area_range: Any = (0.05, 3.0),
    min_eject_coverage: Any = 0.3,
    max_attempts: Any = 50,
    pad_val: Any = (127, 127, 127),
) -> list[DetAugmenter]:
    """The usual steps to images of `data_shape` (channels, height, width) with boxes. `rand_crop` and `rand_pad` are
    probabilities; the upper part of `area_range`, beyond 1, is for the padding."""
    out: list[DetAugmenter] = []
    if resize > 0:
        out.append(DetBorrowAug(augmenters.ResizeAug(resize, inter_method)))
    if rand_crop > 0:
        out.append(
            CreateMultiRandCropAugmenter(
                min_object_covered,
                aspect_ratio_range,
                area_range,
                min_eject_coverage,
                max_attempts,
                1 - rand_crop,
            )
        )
    if rand_mirror:
        out.append(DetHorizontalFlipAug(0.5))
    if rand_pad > 0:
        pad = DetRandomPadAug(aspect_ratio_range, (1.0, area_range[1]), max_attempts, pad_val)
        out.append(DetRandomSelectAug([pad], 1 - rand_pad))
    rest = augmenters.CreateAugmenter(
        data_shape, mean=mean, std=std, brightness=brightness, contrast=contrast, saturation=saturation, hue=hue,
        pca_noise=pca_noise, rand_gray=rand_gray, inter_method=inter_method,
    )  # fmt: skip
    rest[0] = augmenters.ForceResizeAug((data_shape[2], data_shape[1]), inter_method)  # where a crop would be
    return [*out, *map(DetBorrowAug, rest)]

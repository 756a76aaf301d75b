"""What ImageDetRecordIter does to an image and the boxes in it, from random numbers given to it.

The steps are MXNet's, in its order: resize, colours, mirror, pad, crop, and to `data_shape` as `resize_mode` says.
Crops are those that SSD trains on (Liu et al. 2016): drawn until one keeps enough of an object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray as Array

from ..errors import ConfigError
from .augment import Augment, shift_hls

__all__ = ["DetAugment"]

_Numbers = float | Sequence[float]  # one for every crop sampler, or one for all
_SAMPLER = (
    "min_crop_scales", "max_crop_scales", "min_crop_aspect_ratios", "max_crop_aspect_ratios",
    "min_crop_overlaps", "max_crop_overlaps", "min_crop_sample_coverages", "max_crop_sample_coverages",
    "min_crop_object_coverages", "max_crop_object_coverages", "max_crop_trials",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DetAugment:
    """From an image of any size to one that `data_shape` holds, and its boxes. The names are ImageDetRecordIter's.

    Boxes are rows of class, x1, y1, x2, y2 as parts of width and height, and whatever follows.
    """

    data_shape: tuple[int, int, int]  # channels, height, width
    resize: int = -1  # the shorter side's length at first; -1 leaves it
    resize_mode: Literal["force", "shrink", "fit"] = (
        "force"  # the last two keep the ratio; "shrink" never enlarges
    )
    rand_crop_prob: float = 0.0
    num_crop_sampler: int = 1
    min_crop_scales: _Numbers = 0.0  # of the image's sides, the geometric mean
    max_crop_scales: _Numbers = 1.0
    min_crop_aspect_ratios: _Numbers = 1.0
    max_crop_aspect_ratios: _Numbers = 1.0
    min_crop_overlaps: _Numbers = 0.0  # of crop and box: intersection over union
    max_crop_overlaps: _Numbers = 1.0
    min_crop_sample_coverages: _Numbers = 0.0  # intersection over the crop
    max_crop_sample_coverages: _Numbers = 1.0
    min_crop_object_coverages: _Numbers = 0.0  # intersection over the box
    max_crop_object_coverages: _Numbers = 1.0
    max_crop_trials: _Numbers = 25
    crop_emit_mode: Literal["center", "overlap"] = (
        "center"  # keep a box whose centre, or enough of it, is in the crop
    )
    emit_overlap_thresh: float = 0.3  # what is enough, for "overlap"
    rand_pad_prob: float = 0.0
    max_pad_scale: float = 1.0
    max_random_hue: int = 0
    random_hue_prob: float = 0.0
    max_random_saturation: int = 0
    random_saturation_prob: float = 0.0
    max_random_illumination: int = 0
    random_illumination_prob: float = 0.0
    max_random_contrast: float = 0.0
    random_contrast_prob: float = 0.0
    rand_mirror_prob: float = 0.0
    fill_value: int = 127
    inter_method: int = 1

    def __post_init__(self) -> None:
        for name, allowed in (("resize_mode", "force shrink fit"), ("crop_emit_mode", "center overlap")):
            if getattr(self, name) not in allowed.split():
                raise ConfigError(f"{name} is {getattr(self, name)!r}; wanted one of {allowed}")
        for name in _SAMPLER:
            given = np.atleast_1d(getattr(self, name))
            if given.size not in (1, self.num_crop_sampler):
                raise ConfigError(
                    f"{name} has {given.size} numbers; wanted 1 or num_crop_sampler ({self.num_crop_sampler})"
                )
        if self.max_pad_scale < 1:
            raise ConfigError(f"max_pad_scale is {self.max_pad_scale}; wanted 1 or more")

    def __call__(
        self, img: Array[Any], boxes: Array[Any], rng: np.random.Generator
    ) -> tuple[Array[Any], Array[Any]]:
        """(height, width, c), uint8, with its boxes; both as they are after all steps."""
        sizes = Augment(data_shape=self.data_shape, inter_method=self.inter_method)
        boxes = boxes.copy()
        if self.resize > 0:
            img = sizes.shorter_side(img, self.resize, rng)
        img = self._colours(img, rng)
        if rng.random() < self.rand_mirror_prob:
            img = img[:, ::-1]
            boxes[:, [1, 3]] = 1 - boxes[:, [3, 1]]
        if self.max_pad_scale > 1 and rng.random() < self.rand_pad_prob:
            img, boxes = self._pad(img, boxes, rng)
        if rng.random() < self.rand_crop_prob:
            img, boxes = self._crop(img, boxes, rng)
        _, height, width = self.data_shape
        if self.resize_mode != "force":
            h, w = img.shape[:2]
            factor = min(height / h, width / w)
            if self.resize_mode == "shrink":
                factor = min(factor, 1.0)
            height, width = int(h * factor), int(w * factor)
        return sizes.to_size(img, width, height, rng), boxes

    def _colours(self, img: Array[Any], rng: np.random.Generator) -> Array[Any]:
        def draw(most: float, prob: float) -> float:
            return rng.uniform(-most, most) if rng.random() < prob else 0.0

        shifts = (
            draw(self.max_random_hue, self.random_hue_prob),
            draw(self.max_random_illumination, self.random_illumination_prob),
            draw(self.max_random_saturation, self.random_saturation_prob),
        )
        contrast = draw(self.max_random_contrast, self.random_contrast_prob)
        if any(shifts) and img.shape[2] >= 3:
            img = shift_hls(img, *shifts)
        if contrast:
            img = np.rint(img * (1 + contrast)).clip(0, 255).astype(np.uint8)
        return img

    def _pad(
        self, img: Array[Any], boxes: Array[Any], rng: np.random.Generator
    ) -> tuple[Array[Any], Array[Any]]:
        """The image somewhere on a larger canvas."""
        h, w, c = img.shape
        scale = rng.uniform(1, self.max_pad_scale)
        height, width = int(h * scale), int(w * scale)
        top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
        canvas = np.full((height, width, c), self.fill_value, img.dtype)
        canvas[top : top + h, left : left + w] = img
        boxes[:, [1, 3]] = (boxes[:, [1, 3]] * w + left) / width
        boxes[:, [2, 4]] = (boxes[:, [2, 4]] * h + top) / height
        return canvas, boxes

    def _crop(
        self, img: Array[Any], boxes: Array[Any], rng: np.random.Generator
    ) -> tuple[Array[Any], Array[Any]]:
        """What the first sampler, in random order, finds that keeps an object; the whole image if none does."""
        h, w = img.shape[:2]
        for k in rng.permutation(self.num_crop_sampler):
            numbers = {n: float(np.resize(np.atleast_1d(getattr(self, n)), k + 1)[k]) for n in _SAMPLER}
            for _ in range(int(numbers["max_crop_trials"])):
                crop = _draw(numbers, rng)
                kept = self._kept(crop, boxes, numbers)
                if not len(kept):
                    continue
                x0, y0 = int(crop[0] * w), int(crop[1] * h)
                x1, y1 = max(x0 + 1, int(crop[2] * w)), max(y0 + 1, int(crop[3] * h))
                return img[y0:y1, x0:x1], kept
        return img, boxes

    def _kept(self, crop: Array[Any], boxes: Array[Any], numbers: dict[str, float]) -> Array[Any]:
        """The boxes that stay, as parts of the crop; none if the crop meets no box as it should."""
        x0, y0, x1, y1 = crop
        low = np.maximum(boxes[:, 1:3], (x0, y0))
        high = np.minimum(boxes[:, 3:5], (x1, y1))
        common = np.prod(np.maximum(high - low, 0), axis=1)
        area = np.prod(np.maximum(boxes[:, 3:5] - boxes[:, 1:3], 0), axis=1)
        whole = (x1 - x0) * (y1 - y0)
        covered = common / np.maximum(area, 1e-12)
        found = np.ones(len(boxes), bool)
        for what, value in (
            ("overlaps", common / np.maximum(area + whole - common, 1e-12)),
            ("sample_coverages", common / whole),
            ("object_coverages", covered),
        ):
            found &= (value >= numbers[f"min_crop_{what}"]) & (value <= numbers[f"max_crop_{what}"])
        if not found.any():
            return boxes[:0]
        centre = (boxes[:, 1:3] + boxes[:, 3:5]) / 2
        if self.crop_emit_mode == "center":
            stays = ((centre >= (x0, y0)) & (centre < (x1, y1))).all(axis=1)
        else:
            stays = covered > self.emit_overlap_thresh
        kept: Array[Any] = boxes[stays].copy()
        kept[:, [1, 3]] = ((kept[:, [1, 3]] - x0) / (x1 - x0)).clip(0, 1)
        kept[:, [2, 4]] = ((kept[:, [2, 4]] - y0) / (y1 - y0)).clip(0, 1)
        return kept


def _draw(numbers: dict[str, float], rng: np.random.Generator) -> Array[Any]:
    """x0, y0, x1, y1 of a crop, as parts of the image."""
    scale = max(1e-3, rng.uniform(numbers["min_crop_scales"], numbers["max_crop_scales"]))
    least = max(
        numbers["min_crop_aspect_ratios"], scale * scale
    )  # so that neither side is longer than the image's
    most = min(numbers["max_crop_aspect_ratios"], 1 / (scale * scale))
    ratio = np.sqrt(rng.uniform(min(least, most), most))
    width, height = min(1.0, scale * ratio), min(1.0, scale / ratio)
    x0, y0 = rng.uniform(0, 1 - width), rng.uniform(0, 1 - height)
    return np.array([x0, y0, x0 + width, y0 + height])

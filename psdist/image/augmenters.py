"""Augmenters: callables from image to image, with MXNet's names, made into a list by `CreateAugmenter`.

What is random uses Python's `random` (and NumPy's for noise), in MXNet's order: the same seeds give the same
crops and colours.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..ndarray import NDArray
from . import basic
from .basic import pixels

_GREY = np.array([[[0.299, 0.587, 0.114]]], np.float32)
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.321], [0.211, -0.523, 0.311]], np.float64)
_FROM_YIQ = np.array([[1.0, 0.956, 0.621], [1.0, -0.272, -0.647], [1.0, -1.107, 1.705]], np.float64)
_TO_GREY = np.array([[0.21] * 3, [0.72] * 3, [0.07] * 3], np.float32)
_IMAGENET_MEAN = np.array([123.68, 116.28, 103.53])
_IMAGENET_STD = np.array([58.395, 57.12, 57.375])
_PCA_VALUES = np.array([55.46, 4.794, 1.148])
_PCA_VECTORS = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])


class Augmenter:
    """From one image to another. A subclass gives its parameters to `__init__` here, for `dumps`."""

    def __init__(self, **kwargs: Any) -> None:
        self._kwargs = {name: _plain(value) for name, value in kwargs.items()}

    def dumps(self) -> Any:
        """The augmenter as JSON: its name in small letters, and its parameters."""
        return json.dumps([type(self).__name__.lower(), self._kwargs])

    def __call__(self, src: Any) -> NDArray:
        raise NotImplementedError(f"{type(self).__name__} does not say what it does: give it __call__")


def _plain(value: Any) -> Any:
    if isinstance(value, NDArray):
        value = value.asnumpy()
    return value.tolist() if isinstance(value, np.ndarray) else value


class SequentialAug(Augmenter):
    """One after the other."""

    def __init__(self, ts: Sequence[Augmenter]) -> None:
        super().__init__()
        self.ts = list(ts)

    def dumps(self) -> Any:
        return [type(self).__name__.lower(), [t.dumps() for t in self.ts]]

    def __call__(self, src: Any) -> Any:
        for t in self.ts:
            src = t(src)
        return src


class RandomOrderAug(SequentialAug):
    """One after the other, in a new order each time."""

    def __call__(self, src: Any) -> Any:
        random.shuffle(self.ts)
        return super().__call__(src)


class ResizeAug(Augmenter):
    """The shorter side to `size`."""

    def __init__(self, size: int, interp: int = 2) -> None:
        super().__init__(size=size, interp=interp)
        self.size, self.interp = size, interp

    def __call__(self, src: Any) -> NDArray:
        return basic.resize_short(src, self.size, self.interp)


class ForceResizeAug(Augmenter):
    """To `size` (width, height), in proportion or not."""

    def __init__(self, size: tuple[int, int], interp: int = 2) -> None:
        super().__init__(size=size, interp=interp)
        self.size, self.interp = size, interp

    def __call__(self, src: Any) -> NDArray:
        return basic.imresize(src, *self.size, self.interp)


class RandomCropAug(Augmenter):
    """A window of `size` somewhere."""

    def __init__(self, size: tuple[int, int], interp: int = 2) -> None:
        super().__init__(size=size, interp=interp)
        self.size, self.interp = size, interp

    def __call__(self, src: Any) -> NDArray:
        return basic.random_crop(src, self.size, self.interp)[0]


class CenterCropAug(RandomCropAug):
    """The window of `size` in the middle."""

    def __call__(self, src: Any) -> NDArray:
        return basic.center_crop(src, self.size, self.interp)[0]


class RandomSizedCropAug(Augmenter):
    """A window of random area and proportions, made `size`."""

    def __init__(
        self,
        size: tuple[int, int],
        area: float | tuple[float, float],
        ratio: tuple[float, float],
        interp: int = 2,
        **kwargs: Any,
    ) -> None:
        area = kwargs.pop("min_area", area)
        super().__init__(size=size, area=area, ratio=ratio, interp=interp)
        self.size, self.area, self.ratio, self.interp = size, area, ratio, interp

    def __call__(self, src: Any) -> NDArray:
        return basic.random_size_crop(src, self.size, self.area, self.ratio, self.interp)[0]


class HorizontalFlipAug(Augmenter):
    """Left for right, with probability `p`."""

    def __init__(self, p: float) -> None:
        super().__init__(p=p)
        self.p = p

    def __call__(self, src: Any) -> Any:
        if random.random() < self.p:
            return NDArray(np.ascontiguousarray(pixels(src)[:, ::-1]))
        return src


class CastAug(Augmenter):
    """To another dtype."""

    def __init__(self, typ: Any = "float32") -> None:
        super().__init__(type=typ)
        self.typ = typ

    def __call__(self, src: Any) -> NDArray:
        return NDArray(pixels(src).astype(self.typ))


class BrightnessJitterAug(Augmenter):
    """Times a number within 1 ± `brightness`."""

    def __init__(self, brightness: float) -> None:
        super().__init__(brightness=brightness)
        self.brightness = brightness

    def __call__(self, src: Any) -> NDArray:
        alpha = 1.0 + random.uniform(-self.brightness, self.brightness)
        return NDArray(_floats(src) * np.float32(alpha))


class ContrastJitterAug(Augmenter):
    """Nearer to the image's mean grey, or farther from it."""

    def __init__(self, contrast: float) -> None:
        super().__init__(contrast=contrast)
        self.contrast = contrast

    def __call__(self, src: Any) -> NDArray:
        alpha = 1.0 + random.uniform(-self.contrast, self.contrast)
        img = _floats(src)
        grey = (img * _GREY).sum() * np.float32(3 * (1 - alpha) / img.size)
        return NDArray(img * np.float32(alpha) + grey)


class SaturationJitterAug(Augmenter):
    """Each pixel nearer to its grey, or farther from it."""

    def __init__(self, saturation: float) -> None:
        super().__init__(saturation=saturation)
        self.saturation = saturation

    def __call__(self, src: Any) -> NDArray:
        alpha = 1.0 + random.uniform(-self.saturation, self.saturation)
        img = _floats(src)
        grey = (img * _GREY).sum(axis=2, keepdims=True) * np.float32(1 - alpha)
        return NDArray(img * np.float32(alpha) + grey)


class HueJitterAug(Augmenter):
    """Colours turned about the grey axis, by up to `hue` half turns."""

    def __init__(self, hue: float) -> None:
        super().__init__(hue=hue)
        self.hue = hue

    def __call__(self, src: Any) -> NDArray:
        alpha = random.uniform(-self.hue, self.hue)
        u, w = np.cos(alpha * np.pi), np.sin(alpha * np.pi)
        turn = np.array([[1.0, 0.0, 0.0], [0.0, u, -w], [0.0, w, u]])
        return NDArray(_floats(src) @ (_FROM_YIQ @ turn @ _TO_YIQ).T.astype(np.float32))


class ColorJitterAug(RandomOrderAug):
    """Brightness, contrast and saturation, those that are not 0, in a random order."""

    def __init__(self, brightness: float, contrast: float, saturation: float) -> None:
        ts: list[Augmenter] = []
        if brightness > 0:
            ts.append(BrightnessJitterAug(brightness))
        if contrast > 0:
            ts.append(ContrastJitterAug(contrast))
        if saturation > 0:
            ts.append(SaturationJitterAug(saturation))
        super().__init__(ts)


class LightingAug(Augmenter):
    """Noise along the principal axes of colour (AlexNet's)."""

    def __init__(self, alphastd: float, eigval: Any, eigvec: Any) -> None:
        super().__init__(alphastd=alphastd, eigval=eigval, eigvec=eigvec)
        self.alphastd, self.eigval, self.eigvec = alphastd, np.asarray(eigval), np.asarray(eigvec)

    def __call__(self, src: Any) -> NDArray:
        alpha = np.random.normal(0, self.alphastd, size=(3,))
        return NDArray(_floats(src) + np.dot(self.eigvec * alpha, self.eigval).astype(np.float32))


class ColorNormalizeAug(Augmenter):
    """(image - mean) / std, channel by channel."""

    def __init__(self, mean: Any, std: Any) -> None:
        super().__init__(mean=mean, std=std)
        self.mean, self.std = mean, std

    def __call__(self, src: Any) -> NDArray:
        return basic.color_normalize(src, self.mean, self.std)


class RandomGrayAug(Augmenter):
    """Grey in all three channels, with probability `p`."""

    def __init__(self, p: float) -> None:
        super().__init__(p=p)
        self.p = p

    def __call__(self, src: Any) -> Any:
        return NDArray(_floats(src) @ _TO_GREY) if random.random() < self.p else src


def _floats(src: Any) -> Any:
    img = pixels(src)
    return img if img.dtype.kind == "f" else img.astype(np.float32)


def CreateAugmenter(  # MXNet's name
    data_shape: Sequence[int],
    resize: int = 0,
    rand_crop: bool = False,
    rand_resize: bool = False,
    rand_mirror: bool = False,
    mean: Any = None,
    std: Any = None,
    brightness: float = 0,
    contrast: float = 0,
    saturation: float = 0,
    hue: float = 0,
    pca_noise: float = 0,
    rand_gray: float = 0,
    inter_method: int = 2,
) -> list[Augmenter]:
    """The usual steps to images of `data_shape` (channels, height, width); `mean` and `std` True are ImageNet's."""
    out: list[Augmenter] = []
    if resize > 0:
        out.append(ResizeAug(resize, inter_method))
    size = (data_shape[2], data_shape[1])
    if rand_resize and not rand_crop:
        raise ConfigError("CreateAugmenter: rand_resize is a way of rand_crop; set rand_crop=True too")
    if rand_resize:
        out.append(RandomSizedCropAug(size, 0.08, (3.0 / 4.0, 4.0 / 3.0), inter_method))
    else:
        out.append((RandomCropAug if rand_crop else CenterCropAug)(size, inter_method))
    if rand_mirror:
        out.append(HorizontalFlipAug(0.5))
    out.append(CastAug())
    if brightness or contrast or saturation:
        out.append(ColorJitterAug(brightness, contrast, saturation))
    if hue:
        out.append(HueJitterAug(hue))
    if pca_noise > 0:
        out.append(LightingAug(pca_noise, _PCA_VALUES, _PCA_VECTORS))
    if rand_gray > 0:
        out.append(RandomGrayAug(rand_gray))
    mean = _IMAGENET_MEAN if mean is True else mean
    std = _IMAGENET_STD if std is True else std
    if mean is not None or std is not None:
        out.append(ColorNormalizeAug(mean, std))
    return out

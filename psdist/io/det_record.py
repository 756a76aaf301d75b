"""Batches of images with the boxes in them, from RecordIO files: what SSD's scripts train from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray as Array

from .. import recordio
from ..errors import ConfigError, PSError
from ..ndarray import NDArray
from .det_augment import DetAugment
from .image_record import ImageRecordIter

__all__ = ["ImageDetRecordIter"]

_HEAD = 4  # numbers before a label's own: the image's channels, height and width in the batch, and how many follow


class ImageDetRecordIter(ImageRecordIter):
    """ImageRecordIter whose label says where the objects are.

    A record's label is A, B, whatever fills up A numbers, then B numbers for each object: its class, its corners x1, y1,
    x2, y2 as parts of the width and height, and what else it has. A row of the batch's label is the image's channels,
    height and width, how many numbers its label has, these, then `label_pad_value` up to 4 + `label_pad_width` numbers
    (0: as many as the longest label wants). Augmentations are keywords with MXNet's names:
    see `psdist.io.det_augment.DetAugment`. Where `resize_mode` leaves a part of the batch empty it is 0.
    """

    _augment_class = DetAugment

    def __init__(
        self,
        path_imgrec: str | os.PathLike[str],
        data_shape: Sequence[int],
        batch_size: int,
        label_width: int = -1,
        label_pad_width: int = 0,
        label_pad_value: float = -1.0,
        std_r: float = 0.0,
        std_g: float = 0.0,
        std_b: float = 0.0,
        std_a: float = 0.0,
        label_name: str = "softmax_label",
        **kwargs: Any,
    ) -> None:
        stds: dict[str, Any] = {
            f"std_{c}": std or 1.0 for c, std in zip("rgba", (std_r, std_g, std_b, std_a), strict=True)
        }
        super().__init__(
            path_imgrec,
            data_shape,
            batch_size,
            label_width=label_width,
            label_name=label_name,
            **stds,
            **kwargs,
        )
        try:
            longest = max(self._raw_label(*self._record(i)).size for i in range(self.num_samples))
            if 0 < label_pad_width < longest:
                raise ConfigError(
                    f"label_pad_width is {label_pad_width}; the longest label has {longest} numbers"
                )
        except BaseException:
            self.close()
            raise
        self._row = np.full(
            _HEAD + (label_pad_width if label_pad_width > 0 else longest), label_pad_value, np.float32
        )
        data = self.provide_data[0]
        self._describe((data.name, self._shape, data.dtype), (label_name, self._row.shape, np.float32))

    def _raw_label(self, record: bytes, what: str) -> Array[Any]:
        return self._label_of(recordio.unpack(record)[0], what)

    def _label_of(self, header: recordio.IRHeader, what: str) -> Array[Any]:
        if self._label_width > 0:
            return super()._label_of(header, what)
        if self._labels is None:
            return np.atleast_1d(np.asarray(header.label, np.float32))
        if header.id not in self._labels:
            raise PSError(f"{what}: the record's id {header.id} is not in the list of labels")
        return self._labels[header.id]

    def _augmented(self, record: bytes, what: str, rng: np.random.Generator) -> tuple[Array[Any], Array[Any]]:
        img, label = self._opened(record, what)
        skip, width = (int(label[0]), int(label[1])) if label.size > 1 else (0, 0)
        if skip < 2 or width < 5 or label.size < skip or (label.size - skip) % width:
            raise PSError(
                f"{what}: a label of {label.size} numbers that says that {skip} come before objects of {width}; wanted "
                "A >= 2, B >= 5, and whole objects"
            )
        img, boxes = self._augment(img, label[skip:].reshape(-1, width), rng)
        height, width = img.shape[:2]
        out = np.zeros((*self._shape[1:], img.shape[2]), img.dtype)
        out[:height, :width] = img
        values = np.concatenate([label[:skip], boxes.ravel()])
        return out.transpose(2, 0, 1), np.array(
            [self._shape[0], height, width, values.size, *values], np.float32
        )

    def _sample(self, record: bytes, what: str, key: tuple[int, ...]) -> tuple[Array[Any], Array[Any]]:
        pixels, label = super()._sample(record, what, key)
        height, width = int(label[1]), int(label[2])
        pixels[:, height:] = 0
        pixels[:, :, width:] = 0
        return pixels, label

    def _stack(self, samples: list[tuple[Array[Any], Array[Any]]]) -> tuple[NDArray, NDArray]:
        data = np.stack([pixels for pixels, _ in samples])
        rows = np.tile(self._row, (len(samples), 1))
        for row, (_, label) in zip(rows, samples, strict=True):
            row[: label.size] = label
        return NDArray(data.astype(self._dtype, copy=False)), NDArray(rows)

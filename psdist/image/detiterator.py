"""ImageDetIter: batches of images with the boxes in them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray as Array

from ..errors import BadType, ConfigError, PSError, ShapeError
from ..io import DataBatch, DataDesc
from .detection import CreateDetAugmenter, DetAugmenter
from .iterator import ImageIter

__all__ = ["ImageDetIter"]


class ImageDetIter(ImageIter):
    """ImageIter whose label is (batch, objects, width): the boxes of each image, filled up with -1.

    A label in a list or a record is A, B, whatever fills up A numbers, then B numbers for each object: its class, its
    corners x1, y1, x2, y2 as parts of the width and height, and what else it has. Boxes that are empty are left out.
    Further keywords go to `CreateDetAugmenter`.
    """

    def __init__(
        self,
        batch_size: int,
        data_shape: Sequence[int],
        path_imgrec: str | os.PathLike[str] | None = None,
        path_imglist: str | os.PathLike[str] | None = None,
        path_root: str | os.PathLike[str] | None = None,
        path_imgidx: str | os.PathLike[str] | None = None,
        shuffle: bool = False,
        part_index: int = 0,
        num_parts: int = 1,
        aug_list: Sequence[DetAugmenter] | None = None,
        imglist: Sequence[Sequence[Any]] | None = None,
        data_name: str = "data",
        label_name: str = "label",
        last_batch_handle: str = "pad",
        **kwargs: Any,
    ) -> None:
        if isinstance(imglist, list):  # rows are numbers, then the path
            imglist = [row if len(row) == 2 else [row[:-1], row[-1]] for row in imglist]
        super().__init__(
            batch_size, data_shape, 1, path_imgrec, path_imglist, path_root, path_imgidx, shuffle, part_index, num_parts,
            [], imglist, data_name, label_name, last_batch_handle=last_batch_handle,
        )  # fmt: skip
        self._steps = (
            kwargs if aug_list is None else None
        )  # what the steps are made of, if they are made here
        self.det_auglist = CreateDetAugmenter(data_shape, **kwargs) if aug_list is None else list(aug_list)
        self.label_shape = self._largest_label()
        self._describe()

    def _describe(self) -> None:
        data, label = self.provide_data[0], self.provide_label[0]
        self.provide_data = [DataDesc(data.name, (self.batch_size, *self.data_shape), data.dtype)]
        self.provide_label = [DataDesc(label.name, (self.batch_size, *self.label_shape), label.dtype)]

    def _labels(self) -> Iterator[Any]:
        """The label of every image."""
        self.reset()
        while True:
            try:
                yield self.next_sample()[0]
            except StopIteration:
                break
        self.reset()

    def _largest_label(self) -> tuple[int, int]:
        most, width = 0, 5
        for label in self._labels():
            boxes = self._parse_label(label)
            most, width = max(most, boxes.shape[0]), boxes.shape[1]
        return most, width

    def _parse_label(self, label: Any) -> Array[Any]:
        """(objects, width). Raises PSError where it is no such label."""
        raw = np.asarray(label, np.float32).ravel()
        what = f"ImageDetIter: the label of image {self.seq[self.cur - 1]!r}"
        if raw.size < 7:
            raise PSError(f"{what} has {raw.size} numbers; wanted A, B and at least one object of 5")
        skip, width = int(raw[0]), int(raw[1])
        if width < 5 or skip < 2 or (raw.size - skip) % width:
            raise PSError(
                f"{what} says that {skip} numbers come before objects of {width}, but has {raw.size} in all"
            )
        boxes = raw[skip:].reshape(-1, width)
        boxes = boxes[(boxes[:, 3] > boxes[:, 1]) & (boxes[:, 4] > boxes[:, 2])]
        if not len(boxes):
            raise PSError(f"{what} has no object whose box is not empty")
        return boxes

    def check_label_shape(self, label_shape: Sequence[int]) -> None:
        """Raises ConfigError unless it is (objects, width) with room for every label."""
        if len(label_shape) != 2:
            raise ConfigError(f"ImageDetIter: label_shape is {tuple(label_shape)}; wanted (objects, width)")
        if label_shape[0] < self.label_shape[0] or label_shape[1] != self.label_shape[1]:
            raise ConfigError(
                f"ImageDetIter: label_shape is {tuple(label_shape)}; the labels want {self.label_shape} at least"
            )

    def reshape(
        self, data_shape: Sequence[int] | None = None, label_shape: Sequence[int] | None = None
    ) -> None:
        """Other shapes of images or labels from now on."""
        if data_shape is not None:
            self.check_data_shape(data_shape)
            self.data_shape = tuple(data_shape)
            if self._steps is not None:
                self.det_auglist = CreateDetAugmenter(data_shape, **self._steps)
        if label_shape is not None:
            self.check_label_shape(label_shape)
            self.label_shape = (int(label_shape[0]), int(label_shape[1]))
        self._describe()

    def sync_label_shape(self, it: ImageDetIter, verbose: bool = False) -> ImageDetIter:
        """Give both iterators labels of one shape, as for training and validation; `it` is returned."""
        if not isinstance(it, ImageDetIter):
            raise BadType(f"sync_label_shape: it is {type(it).__name__}; wanted an ImageDetIter")
        if it.label_shape[1] != self.label_shape[1]:
            raise ShapeError(
                f"sync_label_shape: objects of {self.label_shape[1]} numbers here and of {it.label_shape[1]} there"
            )
        most = max(self.label_shape[0], it.label_shape[0])
        for each in (self, it):
            if each.label_shape[0] < most:
                each.reshape(None, (most, each.label_shape[1]))
        return it

    def augmentation_transform(self, data: Any, label: Any = None) -> Any:
        """Image and label through all augmenters."""
        for aug in self.det_auglist:
            data, label = aug(data, label)
        return data, label

    def _fill(self, samples: list[tuple[Array[Any], Array[Any]]]) -> None:
        while len(samples) < self.batch_size:
            try:
                label, raw = self.next_sample()
            except StopIteration:
                return
            image, boxes = self.augmentation_transform(self.imdecode(raw), self._parse_label(label))
            data = self.postprocess_data(image)
            if data.shape != self.data_shape:
                raise ShapeError(
                    f"ImageDetIter: image {self.seq[self.cur - 1]!r} has shape {data.shape} after augmentation; "
                    f"data_shape is {self.data_shape}"
                )
            row = np.full(self.label_shape, -1, np.float32)
            row[: len(boxes)] = boxes
            samples.append((data.asnumpy().astype(self._dtype, copy=False), row))

    def next(self) -> DataBatch:
        self.label_width = 0  # labels are stacked as they are
        return super().next()

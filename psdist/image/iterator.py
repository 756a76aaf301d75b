"""ImageIter: batches of images from a record file, a list of files, or a list in memory."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray as Array

from .. import recordio
from ..errors import ConfigError, PSError, ShapeError
from ..io import DataBatch, DataDesc, DataIter
from ..io.samples import part_of
from ..ndarray import NDArray
from .augmenters import Augmenter, CreateAugmenter
from .basic import imdecode, pixels

__all__ = ["ImageIter"]


class ImageIter(DataIter):
    """Batches of (channels, height, width) images, each passed through `aug_list`.

    The images come from `path_imgrec` (with `path_imgidx` to shuffle or share it), from the files that
    `path_imglist` names (lines of id<TAB>label …<TAB>path) or from `imglist` ([label or labels, path]), under
    `path_root`. Without `aug_list` the further keywords go to `CreateAugmenter`. `last_batch_handle` is "pad",
    "discard" or "roll_over", as NDArrayIter's. An image that cannot be read is an error that names it.
    """

    def __init__(
        self,
        batch_size: int,
        data_shape: Sequence[int],
        label_width: int = 1,
        path_imgrec: str | os.PathLike[str] | None = None,
        path_imglist: str | os.PathLike[str] | None = None,
        path_root: str | os.PathLike[str] | None = None,
        path_imgidx: str | os.PathLike[str] | None = None,
        shuffle: bool = False,
        part_index: int = 0,
        num_parts: int = 1,
        aug_list: Sequence[Augmenter] | None = None,
        imglist: Sequence[Sequence[Any]] | None = None,
        data_name: str = "data",
        label_name: str = "softmax_label",
        dtype: Any = "float32",
        last_batch_handle: str = "pad",
        **kwargs: Any,
    ) -> None:
        super().__init__(batch_size)
        if last_batch_handle not in ("pad", "discard", "roll_over"):
            raise ConfigError(
                f"ImageIter: last_batch_handle is {last_batch_handle!r}; wanted 'pad', 'discard' or 'roll_over'"
            )
        if not (path_imgrec or path_imglist or isinstance(imglist, list)):
            raise ConfigError("ImageIter: no images; give path_imgrec, path_imglist or imglist")
        self.check_data_shape(data_shape)
        self.data_shape = tuple(data_shape)
        self.label_width = label_width
        self.path_root = os.fspath(path_root) if path_root else ""
        self.shuffle = shuffle
        self.last_batch_handle = last_batch_handle
        self.auglist = CreateAugmenter(data_shape, **kwargs) if aug_list is None else list(aug_list)
        self._dtype = np.dtype(dtype)
        label_shape = (batch_size, label_width) if label_width > 1 else (batch_size,)
        self.provide_data = [DataDesc(data_name, (batch_size, *self.data_shape), self._dtype.type)]
        self.provide_label = [DataDesc(label_name, label_shape, np.float32)]

        self.imglist: dict[Any, tuple[Array[Any], str]] = {}
        if path_imglist:
            self.imglist = _read_list(path_imglist)
        elif isinstance(imglist, list):
            self.imglist = {str(i): (_label(row[0]), row[1]) for i, row in enumerate(imglist, 1)}
        self.imgrec: recordio.MXRecordIO | None = None
        keys: list[Any] = list(self.imglist)
        self._offsets: dict[int, int] = {}
        if path_imgrec:
            keys = self._open_records(path_imgrec, path_imgidx)
        share = part_of(len(keys), num_parts, part_index, "ImageIter")
        self.seq = keys[share.start : share.stop]
        self.num_image = len(self.seq)
        self.cur = 0
        self._kept: list[tuple[Array[Any], Array[Any]]] = []  # samples that roll over into the next epoch
        self._finished = False  # the last batch was filled up: nothing more until reset()
        self.reset()

    def _open_records(
        self, path: str | os.PathLike[str], idx_path: str | os.PathLike[str] | None
    ) -> list[Any]:
        if idx_path:
            indexed = recordio.MXIndexedRecordIO(idx_path, path, "r")
            self.imgrec = indexed
            return list(indexed.keys)
        self.imgrec = recordio.MXRecordIO(path, "r")
        self._offsets = dict(enumerate(self.imgrec.offsets()))
        return list(self._offsets)

    def reset(self) -> None:
        if self.shuffle:
            random.shuffle(self.seq)
        self.cur = 0
        self._finished = False

    def hard_reset(self) -> None:
        """Back to the beginning; samples kept for this epoch are dropped."""
        self._kept = []
        self.reset()

    def close(self) -> None:
        """Close the record file, if there is one; it may be called twice."""
        if self.imgrec is not None:
            self.imgrec.close()

    def next_sample(self) -> tuple[Any, bytes]:
        """The next label and the encoded image, or StopIteration."""
        if self.cur >= self.num_image:
            raise StopIteration
        key = self.seq[self.cur]
        self.cur += 1
        if self.imgrec is None:
            label, name = self.imglist[key]
            return label, self.read_image(name)
        if isinstance(self.imgrec, recordio.MXIndexedRecordIO):
            record = self.imgrec.read_idx(key)
        else:
            self.imgrec.seek_to(self._offsets[key])
            found = self.imgrec.read()
            assert found is not None, key
            record = found
        header, raw = recordio.unpack(record)
        if self.imglist:
            number = key if key in self.imglist else header.id
            if number not in self.imglist:
                raise PSError(f"{self.imgrec.uri!r}: record {key!r} is not in the list of labels")
            return self.imglist[number][0], raw
        return header.label, raw

    def read_image(self, fname: str) -> bytes:
        """A file's bytes, under `path_root`."""
        return Path(self.path_root, fname).read_bytes()

    def imdecode(self, s: bytes) -> NDArray:
        """The image in encoded bytes: in three channels, or in one when `data_shape` has one."""
        what = f"image {self.seq[self.cur - 1]!r}"
        return imdecode(s, flag=0 if self.data_shape[0] == 1 else 1, what=what)

    def augmentation_transform(self, data: Any) -> Any:
        """`data` through all augmenters."""
        for aug in self.auglist:
            data = aug(data)
        return data

    def postprocess_data(self, datum: Any) -> NDArray:
        """Channels first."""
        return NDArray(np.ascontiguousarray(pixels(datum).transpose(2, 0, 1)))

    def check_data_shape(self, data_shape: Sequence[int]) -> None:
        """Raises ConfigError unless it is (1 or 3, height, width)."""
        if len(data_shape) != 3 or data_shape[0] not in (1, 3):
            raise ConfigError(
                f"ImageIter: data_shape is {tuple(data_shape)}; wanted (3, height, width) or (1, …)"
            )

    def next(self) -> DataBatch:
        if self._finished:
            raise StopIteration
        samples, self._kept = self._kept, []
        rolled = len(samples)
        self._fill(samples)
        missing = self.batch_size - len(samples)
        if not samples or (missing and self.last_batch_handle == "discard"):
            raise StopIteration
        if missing and self.last_batch_handle == "roll_over":
            self._kept = samples
            raise StopIteration
        while len(samples) < self.batch_size:  # "pad": again from the beginning
            self._finished = True
            self.cur = 0
            self._fill(samples)
        data = np.stack([d for d, _ in samples])
        label = np.stack([la for _, la in samples])
        if self.label_width == 1:
            label = label[:, 0]
        return DataBatch(
            [NDArray(data)],
            [NDArray(label)],
            self.batch_size - rolled
            if rolled
            else missing,  # MXNet's pad of a batch that begins with what was kept
            provide_data=self.provide_data,
            provide_label=self.provide_label,
        )

    def _fill(self, samples: list[tuple[Array[Any], Array[Any]]]) -> None:
        """Append samples until there is a batch of them or no more images."""
        while len(samples) < self.batch_size:
            try:
                label, raw = self.next_sample()
            except StopIteration:
                return
            data = self.postprocess_data(self.augmentation_transform(self.imdecode(raw)))
            if data.shape != self.data_shape:
                raise ShapeError(
                    f"ImageIter: image {self.seq[self.cur - 1]!r} has shape {data.shape} after augmentation; "
                    f"data_shape is {self.data_shape}"
                )
            row = _label(label)
            if len(row) != self.label_width:
                raise ShapeError(
                    f"ImageIter: image {self.seq[self.cur - 1]!r} has {len(row)} labels; "
                    f"label_width is {self.label_width}"
                )
            samples.append((data.asnumpy().astype(self._dtype, copy=False), row))


def _label(value: Any) -> Array[Any]:
    return np.atleast_1d(np.asarray(value, np.float32))


def _read_list(path: str | os.PathLike[str]) -> dict[Any, tuple[Array[Any], str]]:
    """(labels, file) by id."""
    out: dict[Any, tuple[Array[Any], str]] = {}
    for i, line in enumerate(Path(path).read_text().splitlines(), 1):
        words = line.strip().split("\t")
        try:
            out[int(words[0])] = (np.array([float(w) for w in words[1:-1]], np.float32), words[-1])
        except ValueError as e:
            raise PSError(f"{os.fspath(path)!r} line {i}: {line!r}; wanted id<TAB>label …<TAB>path") from e
    return out

"""Batches of images from RecordIO files, decoded and augmented by threads that read ahead."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray as Array

from .. import imagefile, recordio
from ..errors import ClosedError, ConfigError, PSError
from ..ndarray import NDArray
from ..ndarray.params import load_params, save_params
from .augment import Augment
from .samples import SampleIter, ignore, part_of

__all__ = ["ImageRecordInt8Iter", "ImageRecordIter", "ImageRecordUInt8Iter"]

_IGNORED = {
    "verbose",
    "device_id",
    "ctx",
    "shuffle_chunk_size",
    "shuffle_chunk_seed",
    "aug_seq",
    "verify_decode",
}


class ImageRecordIter(SampleIter):
    """Batches of (channels, height, width) images, red first, from a file that im2rec or `pack_img` wrote.

    The augmentations are keywords with MXNet's names: see `psdist.io.augment.Augment`. A pixel becomes
    ((pixel - mean) × contrast + illumination) × scale / std. Every random number comes from `seed`, the epoch
    and the sample's number, so a run is the same with any number of `preprocess_threads`.

    Labels come from the records' headers or, by the records' ids, from `path_imglist`. `num_parts` and
    `part_index` select a worker's share. Use it as a `with` block, or `close()` it, to end the threads.
    """

    _default_dtype = "float32"
    _augment_class: type[Any] = Augment

    def __init__(
        self,
        path_imgrec: str | os.PathLike[str],
        data_shape: Sequence[int],
        batch_size: int,
        path_imglist: str | os.PathLike[str] = "",
        path_imgidx: str | os.PathLike[str] = "",
        label_width: int = 1,
        shuffle: bool = False,
        seed: int = 0,
        seed_aug: int | None = None,
        num_parts: int = 1,
        part_index: int = 0,
        preprocess_threads: int = 4,
        prefetch_buffer: int = 4,
        round_batch: bool = True,
        mean_img: str | os.PathLike[str] = "",
        mean_r: float = 0.0,
        mean_g: float = 0.0,
        mean_b: float = 0.0,
        mean_a: float = 0.0,
        std_r: float = 1.0,
        std_g: float = 1.0,
        std_b: float = 1.0,
        std_a: float = 1.0,
        scale: float = 1.0,
        max_random_contrast: float = 0.0,
        max_random_illumination: float = 0.0,
        dtype: Any = None,
        data_name: str = "data",
        label_name: str = "softmax_label",
        **augmentations: Any,
    ) -> None:
        what = type(self).__name__
        known = {f.name for f in fields(self._augment_class)} - {"data_shape"}
        unknown = {k: v for k, v in augmentations.items() if k not in known | _IGNORED}
        ignore(what, unknown, wanted=known)
        shape = _image_shape(data_shape, what)
        channels = shape[0]
        chosen = {k: v for k, v in augmentations.items() if k in known}
        self._augment = self._augment_class(data_shape=shape, **chosen)
        self._shape = shape
        self._path = os.fspath(path_imgrec)
        self._label_width = label_width
        self._labels = _read_list(path_imglist, label_width) if path_imglist else None
        self._seed = seed if seed_aug is None else seed_aug
        self._dtype = np.dtype(dtype or self._default_dtype)
        self._mean = np.array([mean_r, mean_g, mean_b, mean_a][:channels], np.float32)
        self._std = np.array([std_r, std_g, std_b, std_a][:channels], np.float32)
        self._scale = np.float32(scale)
        self._contrast, self._illumination = max_random_contrast, max_random_illumination

        offsets = _offsets(self._path, path_imgidx)
        share = part_of(len(offsets), num_parts, part_index, what)
        self._offsets = offsets[share.start : share.stop]
        last = "round" if round_batch else "pad"
        super().__init__(len(share), batch_size, last=last, shuffle_seed=seed if shuffle else None)
        self._describe((data_name, shape, self._dtype.type), (label_name, (max(1, label_width),), np.float32))

        self._file = recordio.MXRecordIO(self._path, "r")
        self._pool = ThreadPoolExecutor(max(1, preprocess_threads), thread_name_prefix="psdist-image")
        self._depth = max(1, prefetch_buffer)
        self._ahead: deque[tuple[Array[Any], int, list[Future[_Sample]]]] = deque()
        self._closed = False
        if mean_img:
            try:
                self._mean = self._mean_image(os.fspath(mean_img))
            except BaseException:
                self.close()
                raise

    # -- the batches

    def iter_next(self) -> bool:
        if self._closed:
            raise ClosedError(f"{type(self).__name__}: used after close()")
        while len(self._ahead) < self._depth and (found := self.numbers_of_next()):
            numbers, pad = found
            self._ahead.append((numbers, pad, [self._submit(int(n)) for n in numbers]))
        if not self._ahead:
            self._batch = None
            return False
        numbers, pad, futures = self._ahead.popleft()
        self._batch = self._as_batch(*self._stack([f.result() for f in futures]), pad, numbers)
        return True

    def reset(self) -> None:
        if self._closed:
            raise ClosedError(f"{type(self).__name__}: used after close()")
        if self._ahead:  # the epoch is not over: what was read ahead does not count
            self._drop_ahead()
            self._at = 0
        super().reset()

    def take(self, numbers: Array[Any]) -> tuple[NDArray, NDArray]:
        return self._stack([self._submit(int(n)).result() for n in numbers])

    def _submit(self, number: int) -> Future[_Sample]:
        record, what = self._record(number)
        return self._pool.submit(self._sample, record, what, (self._seed, self._epoch, number))

    def _record(self, number: int) -> tuple[bytes, str]:
        """A record, and what errors call it."""
        offset = int(self._offsets[number])
        what = f"{self._path!r} at offset {offset}"
        self._file.seek_to(offset)
        record = self._file.read()
        if record is None:
            raise PSError(f"{what}: no record is here, where the index or an earlier look put one")
        return record, what

    def _sample(self, record: bytes, what: str, key: tuple[int, ...]) -> _Sample:
        """One record to pixels (channels, height, width) and its label. Runs in the pool's threads."""
        rng = np.random.default_rng([k % 2**64 for k in key])
        img, label = self._augmented(record, what, rng)
        return self._normalise(img, rng), label

    def _augmented(self, record: bytes, what: str, rng: np.random.Generator) -> _Sample:
        img, label = self._opened(record, what)
        return self._augment(img, rng).transpose(2, 0, 1), label

    def _opened(self, record: bytes, what: str) -> _Sample:
        """The decoded image (height, width, channels) of a record, and its label."""
        try:
            header, raw = recordio.unpack(record)
        except PSError as e:
            raise PSError(f"{what}: {e}") from e
        color = {1: False, 3: True}.get(self._shape[0])
        img = imagefile.decode(raw, color=color, what=f"{what}: the image")
        if img.shape[2] != self._shape[0]:
            raise PSError(f"{what}: an image of {img.shape[2]} channels; data_shape wants {self._shape[0]}")
        return img, self._label_of(header, what)

    def _normalise(self, pixels: Array[Any], rng: np.random.Generator) -> Array[Any]:
        if self._dtype.kind in "ui":
            if self._dtype == np.int8:
                return (pixels.astype(np.int16) - 128).astype(np.int8)
            return pixels.astype(self._dtype)
        out = pixels.astype(np.float32)
        out -= self._mean if self._mean.ndim == 3 else self._mean[:, None, None]
        if self._contrast or self._illumination:
            out *= np.float32(1 + rng.uniform(-1, 1) * self._contrast)
            out += np.float32(rng.uniform(-1, 1) * self._illumination)
        out *= (self._scale / self._std)[:, None, None]
        return out

    def _label_of(self, header: recordio.IRHeader, what: str) -> Array[Any]:
        if self._labels is not None:
            label = self._labels.get(header.id)
            if label is None:
                raise PSError(f"{what}: the record's id {header.id} is not in the list of labels")
        else:
            label = np.atleast_1d(np.asarray(header.label, np.float32))
        if len(label) != self._label_width:
            raise ConfigError(f"{what}: {len(label)} labels, but label_width is {self._label_width}")
        return label

    def _stack(self, samples: list[_Sample]) -> tuple[NDArray, NDArray]:
        data = np.stack([pixels for pixels, _ in samples])
        label = np.stack([label for _, label in samples])
        if self._label_width == 1:
            label = label[:, 0]
        return NDArray(data.astype(self._dtype, copy=False)), NDArray(label)

    def _mean_image(self, path: str) -> Array[Any]:
        """The mean of all samples, from the file; made and saved there when it does not exist."""
        if os.path.exists(path):
            loaded = load_params(path)
            mean = loaded.get("mean_img") if isinstance(loaded, dict) else loaded[0] if loaded else None
            if not isinstance(mean, np.ndarray) or mean.shape != self._shape:
                raise ConfigError(f"mean_img {path!r} has no array 'mean_img' of shape {self._shape}")
            return mean.astype(np.float32)
        total = np.zeros(self._shape, np.float64)
        for i in range(self.num_samples):
            total += self._augmented(*self._record(i), np.random.default_rng([self._seed % 2**64, i]))[0]
        mean = (total / self.num_samples).astype(np.float32)
        save_params(path, {"mean_img": mean})
        return mean

    # -- its end

    def _drop_ahead(self) -> None:
        for _, _, futures in self._ahead:
            for future in futures:
                future.cancel()
        self._ahead.clear()

    def close(self) -> None:
        """End the threads and close the file; it may be called twice."""
        self._closed = True
        self._drop_ahead()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_Sample = tuple[Array[Any], Array[Any]]


class ImageRecordUInt8Iter(ImageRecordIter):
    """ImageRecordIter that leaves pixels as they are, uint8: no mean, no scale."""

    _default_dtype = "uint8"


class ImageRecordInt8Iter(ImageRecordIter):
    """ImageRecordIter of int8 pixels: 128 less than they are."""

    _default_dtype = "int8"


def _image_shape(shape: Sequence[int], what: str) -> tuple[int, int, int]:
    if len(shape) != 3 or shape[0] not in (1, 3, 4) or min(shape) < 1:
        raise ConfigError(f"{what}: data_shape is {tuple(shape)}; wanted (1, 3 or 4, height, width)")
    return shape[0], shape[1], shape[2]


def _offsets(path: str, idx_path: str | os.PathLike[str]) -> Array[Any]:
    """Where the records start: from the index, or else by walking through the file."""
    if idx_path:
        with recordio.MXIndexedRecordIO(idx_path, path, "r") as file:
            if not file.keys:
                raise ConfigError(f"the index {os.fspath(idx_path)!r} is empty or not there")
            return np.array([file.idx[k] for k in file.keys], np.int64)
    with recordio.MXRecordIO(path, "r") as file:
        return np.array(list(file.offsets()), np.int64)


def _read_list(path: str | os.PathLike[str], label_width: int) -> dict[int, Array[Any]]:
    """Labels by record id, from lines of `id<TAB>label …<TAB>path`."""
    labels: dict[int, Array[Any]] = {}
    for i, line in enumerate(Path(path).read_text().splitlines(), 1):
        words = line.split("\t")
        try:
            end = 1 + label_width if label_width > 0 else -1  # -1: all that stand before the path
            labels[int(words[0])] = np.array([float(w) for w in words[1:end]], np.float32)
        except (ValueError, IndexError) as e:
            raise PSError(f"{os.fspath(path)!r} line {i}: {line!r}; wanted id<TAB>label …<TAB>path") from e
    return labels

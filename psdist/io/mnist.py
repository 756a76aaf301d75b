"""Batches from IDX files, the format of the MNIST digits."""

from __future__ import annotations

import gzip
import logging
import os
import struct
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray as Array

from ..errors import ConfigError, PSError
from ..ndarray import NDArray
from .samples import SampleIter, ignore, part_of

__all__ = ["MNISTIter", "read_idx"]

_log = logging.getLogger("psdist.io")


class MNISTIter(SampleIter):
    """Batches of images of (1, height, width), or of height × width numbers when `flat`, from 0 up to 1.

    The pixels are divided by 256. `shuffle` permutes the samples once, by `seed`. What does not fill a batch
    is left out. `num_parts` and `part_index` select a worker's share. Files may be gzipped, with or without
    the name saying so.
    """

    def __init__(
        self,
        image: str | os.PathLike[str] = "./train-images-idx3-ubyte",
        label: str | os.PathLike[str] = "./train-labels-idx1-ubyte",
        batch_size: int = 128,
        shuffle: bool = True,
        flat: bool = False,
        seed: int = 0,
        silent: bool = False,
        num_parts: int = 1,
        part_index: int = 0,
        input_shape: Any = None,
        data_name: str = "data",
        label_name: str = "softmax_label",
        dtype: Any = "float32",
        prefetch_buffer: int = 4,
        ctx: str = "cpu",
        **kwargs: Any,
    ) -> None:
        ignore("MNISTIter", kwargs, known=("data_shape",))  # scripts give it; `flat` says it all
        images, labels = read_idx(image, 3), read_idx(label, 1)
        if len(images) != len(labels):
            raise ConfigError(
                f"MNISTIter: {os.fspath(image)!r} has {len(images)} images, "
                f"{os.fspath(label)!r} has {len(labels)} labels; wanted a label for each image"
            )
        share = part_of(len(images), num_parts, part_index, "MNISTIter")
        order = np.array(share, dtype=np.int64)
        if shuffle:
            np.random.default_rng(seed).shuffle(order)
        if batch_size > len(order):
            raise ConfigError(
                f"MNISTIter: batch_size is {batch_size}, but there are only {len(order)} images"
            )
        shape = (prod(images.shape[1:]),) if flat else (1, *images.shape[1:])
        self._images = images[order].reshape(-1, *shape)
        self._labels = labels[order].astype(np.float32)
        self._dtype = np.dtype(dtype or "float32")
        super().__init__(len(order), batch_size, last="discard")
        self._describe((data_name, shape, self._dtype.type), (label_name, (1,), np.float32))
        if not silent:
            _log.info(
                "MNISTIter: %d images, shuffle=%s, batches of %s", len(order), shuffle, (batch_size, *shape)
            )

    def take(self, numbers: Array[Any]) -> tuple[NDArray, NDArray]:
        pixels = self._images[numbers] * np.float32(1 / 256)
        return NDArray(pixels.astype(self._dtype, copy=False)), NDArray(self._labels[numbers])


def read_idx(path: str | os.PathLike[str], ndim: int) -> Array[Any]:
    """The bytes of an IDX file, in `ndim` dimensions, gzipped or not."""
    name = os.fspath(path)
    with open(name, "rb") as plain:
        gzipped = plain.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(name, "rb") if gzipped else open(name, "rb") as file:
            head = file.read(4 + 4 * ndim)
            if len(head) < 4 + 4 * ndim:
                raise PSError(
                    f"{name!r} at offset 0: its header is cut short, {len(head)} of {4 + 4 * ndim} bytes"
                )
            magic, *shape = struct.unpack(f">{1 + ndim}I", head)
            if magic != 0x800 + ndim:
                raise PSError(
                    f"{name!r} at offset 0: not an IDX file of bytes in {ndim} dimensions: "
                    f"it starts with {magic:#x}, wanted {0x800 + ndim:#x}"
                )
            data = bytearray()  # grows by what is there, not by what the header says: that may be damage
            while len(data) <= prod(shape) and (chunk := file.read(1 << 20)):
                data += chunk
    except (EOFError, gzip.BadGzipFile) as e:
        raise PSError(f"{name!r}: its gzip stream is damaged: {e}") from e
    if len(data) != prod(shape):
        raise PSError(
            f"{name!r} at offset {4 + 4 * ndim}: shape {tuple(shape)} needs {prod(shape)} bytes, "
            f"{'more' if len(data) > prod(shape) else len(data)} follow"
        )
    return np.frombuffer(data, np.uint8).reshape(shape)

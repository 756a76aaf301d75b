"""Data for tests: MNIST and CIFAR-10 from a folder, an iterator that repeats one batch, files from the network."""

from __future__ import annotations

import bz2
import os
import shutil
import urllib.request
import zipfile
from typing import Any

import numpy as np

from ..base import data_dir
from ..errors import ConfigError
from ..io import DataIter, MNISTIter

__all__ = [
    "DummyIter",
    "download",
    "get_bz2_data",
    "get_cifar10",
    "get_mnist",
    "get_mnist_iterator",
    "get_mnist_ubyte",
    "get_zip_data",
]

_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


class DummyIter(DataIter):
    """An iterator that gives the first batch of another one again and again, to measure everything else."""

    def __init__(self, real_iter: Any) -> None:
        super().__init__()
        self.real_iter = real_iter
        self.provide_data = real_iter.provide_data
        self.provide_label = real_iter.provide_label
        self.batch_size = real_iter.batch_size
        self.the_batch = next(iter(real_iter))

    def __iter__(self) -> DummyIter:
        return self

    def next(self) -> Any:
        """The same batch."""
        return self.the_batch


def _mnist_folder() -> str:
    for folder in ("data", os.path.join(data_dir(), "datasets", "mnist"), "."):
        for ending in ("", ".gz"):
            if all(os.path.exists(os.path.join(folder, f + ending)) for f in _FILES):
                return folder
    raise ConfigError(
        f"MNIST: the files {', '.join(_FILES)} are not in ./data; put them there (gzip is fine)"
    )


def get_mnist_ubyte() -> None:
    """Check that MNIST's files are in ./data. Raises ConfigError if they are not: nothing is downloaded."""
    _mnist_folder()


def get_cifar10() -> None:
    """Check that CIFAR-10's record files are in ./data/cifar. Raises ConfigError if not: nothing is downloaded."""
    for name in ("train.rec", "test.rec"):
        if not os.path.exists(os.path.join("data", "cifar", name)):
            raise ConfigError(
                f"CIFAR-10: data/cifar/{name} is not there; pack it with im2rec, or copy it there"
            )


def get_mnist() -> dict[str, Any]:
    """MNIST as NumPy arrays: train_data, train_label, test_data, test_label; images are (n, 1, 28, 28), 0 to 1."""
    folder = _mnist_folder()
    found = {}
    for name, (images, labels) in {"train": _FILES[:2], "test": _FILES[2:]}.items():
        paths = [_existing(folder, f) for f in (images, labels)]
        batches = list(MNISTIter(image=paths[0], label=paths[1], batch_size=1000, shuffle=False))
        found[f"{name}_data"] = np.concatenate([b.data[0].asnumpy() for b in batches])
        found[f"{name}_label"] = np.concatenate([(b.label or [])[0].asnumpy() for b in batches])
    return found


def _existing(folder: str, file: str) -> str:
    path = os.path.join(folder, file)
    return path if os.path.exists(path) else path + ".gz"


def get_mnist_iterator(
    batch_size: int, input_shape: tuple[int, ...], num_parts: int = 1, part_index: int = 0
) -> tuple[Any, Any]:
    """Iterators over MNIST's training and test images."""
    folder = _mnist_folder()
    flat = len(input_shape) != 3
    pairs = zip((_FILES[:2], _FILES[2:]), (True, False), strict=True)
    train, test = (
        MNISTIter(
            image=_existing(folder, images),
            label=_existing(folder, labels),
            batch_size=batch_size,
            shuffle=shuffle,
            flat=flat,
            num_parts=num_parts,
            part_index=part_index,
        )
        for (images, labels), shuffle in pairs
    )
    return train, test


def download(
    url: str, fname: str | None = None, dirname: str | None = None, overwrite: bool = False, retries: int = 5
) -> str:
    """Fetch a file over HTTPS (or HTTP) unless it is there; returns its name."""
    if not url.startswith(("https://", "http://")):
        raise ConfigError(f"download: {url!r}; wanted an address that begins with https:// or http://")
    name = os.path.join(dirname or "", fname or url.split("/")[-1])
    if os.path.exists(name) and not overwrite:
        return name
    if dirname:
        os.makedirs(dirname, exist_ok=True)
    for k in range(max(1, retries)):
        try:
            urllib.request.urlretrieve(url, name)
            return name
        except OSError as e:
            if k == max(1, retries) - 1:
                raise ConfigError(f"download: {url}: {e}") from e
    return name


def get_bz2_data(data_dir: str, data_name: str, url: str, data_origin_name: str) -> None:
    """See that `data_dir/data_name` is there: unpacked from `data_origin_name` (.bz2), which is fetched if need be."""
    path = os.path.join(data_dir, data_name)
    if not os.path.exists(path):
        packed = download(url, fname=data_origin_name, dirname=data_dir)
        with bz2.open(packed) as source, open(path, "wb") as target:
            shutil.copyfileobj(source, target)


def get_zip_data(data_dir: str, url: str, data_origin_name: str) -> None:
    """Unpack `data_origin_name` (.zip) in `data_dir`, and fetch it from `url` before if it is not there."""
    with zipfile.ZipFile(download(url, fname=data_origin_name, dirname=data_dir)) as archive:
        archive.extractall(data_dir)

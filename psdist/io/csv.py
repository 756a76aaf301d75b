"""Batches from text files of numbers: CSV, one sample a line."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray as Array

from ..errors import ConfigError, PSError
from ..ndarray import NDArray
from .samples import SampleIter, ignore

__all__ = ["CSVIter"]


class CSVIter(SampleIter):
    """Batches of a CSV file's lines, each reshaped to `data_shape`; labels from a second file, or zeros.

    With `round_batch` the last batch is filled from the beginning, and the next epoch starts behind what was
    taken; without, the next epoch starts at the first line. Files may be gzipped. Both are read whole.
    """

    def __init__(
        self,
        data_csv: str | os.PathLike[str],
        data_shape: Sequence[int],
        batch_size: int,
        label_csv: str | os.PathLike[str] | None = None,
        label_shape: Sequence[int] = (1,),
        round_batch: bool = True,
        dtype: Any = "float32",
        data_name: str = "data",
        label_name: str = "softmax_label",
        prefetch_buffer: int = 4,
        ctx: str = "cpu",
        **kwargs: Any,
    ) -> None:
        ignore("CSVIter", kwargs)
        self._dtype = np.dtype(dtype or "float32")
        data_shape, label_shape = _shape(data_shape), _shape(label_shape)
        self._data = _read(data_csv, data_shape, self._dtype)
        size = len(self._data)
        if label_csv is None or label_csv == "NULL":
            self._labels = np.zeros((size, *label_shape), self._dtype)
        else:
            self._labels = _read(label_csv, label_shape, self._dtype)
            if len(self._labels) != size:
                raise ConfigError(
                    f"CSVIter: {os.fspath(label_csv)!r} has {len(self._labels)} lines, "
                    f"{os.fspath(data_csv)!r} has {size}; wanted a label for each sample"
                )
        super().__init__(size, batch_size, last="round" if round_batch else "pad")
        if tuple(label_shape) == (1,):
            self._labels = self._labels[:, 0]
        self._describe((data_name, data_shape, self._dtype.type), (label_name, label_shape, self._dtype.type))

    def take(self, numbers: Array[Any]) -> tuple[NDArray, NDArray]:
        return NDArray(self._data[numbers]), NDArray(self._labels[numbers])


def _shape(shape: Sequence[int] | int) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


def _read(path: str | os.PathLike[str], shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array[Any]:
    """(lines, *shape)."""
    name = os.fspath(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an empty file: said below, as an error
        try:
            table = np.loadtxt(name, dtype=dtype, delimiter=",", comments=None, ndmin=2)
        except ValueError as e:
            raise PSError(f"{name!r}: {e}; wanted lines of {prod(shape)} numbers with commas between") from e
    if not table.size:
        raise PSError(f"{name!r} is empty; wanted lines of {prod(shape)} numbers with commas between")
    if table.shape[1] != prod(shape):
        raise ConfigError(
            f"{name!r}: its lines have {table.shape[1]} numbers, but shape {shape} needs {prod(shape)}"
        )
    return table.reshape(len(table), *shape)

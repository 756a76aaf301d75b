"""Batches from LibSVM files: a label, and the numbers of a sparse row by their column."""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray as Array

from ..errors import ConfigError, PSError
from ..ndarray import NDArray
from ..ndarray.params import CSR
from .csv import _shape
from .samples import SampleIter, ignore, part_of

__all__ = ["LibSVMIter"]


class LibSVMIter(SampleIter):
    """Batches of csr rows from lines of `label column:value column:value …`, columns counted from 0.

    Labels stand in the lines or, as rows of `label_shape`, in a second file of the same form. `num_parts`
    and `part_index` select a worker's share of the lines.
    """

    def __init__(
        self,
        data_libsvm: str | os.PathLike[str],
        data_shape: Sequence[int],
        batch_size: int,
        label_libsvm: str | os.PathLike[str] | None = None,
        label_shape: Sequence[int] = (1,),
        num_parts: int = 1,
        part_index: int = 0,
        round_batch: bool = True,
        dtype: Any = "float32",
        data_name: str = "data",
        label_name: str = "softmax_label",
        prefetch_buffer: int = 4,
        ctx: str = "cpu",
        **kwargs: Any,
    ) -> None:
        ignore("LibSVMIter", kwargs)
        if not round_batch:
            raise ConfigError("LibSVMIter: round_batch is False; only True is possible for sparse batches")
        data_shape, label_shape = _shape(data_shape), _shape(label_shape)
        if len(data_shape) != 1 or len(label_shape) != 1:
            raise ConfigError(
                f"LibSVMIter: shapes {data_shape} and {label_shape}; wanted one number of columns"
            )
        self._dtype = np.dtype(dtype or "float32")
        rows, labels = _read(data_libsvm, data_shape[0], self._dtype)
        if label_libsvm is not None and label_libsvm != "NULL":
            sparse, _ = _read(label_libsvm, label_shape[0], self._dtype)
            labels = _dense(sparse)
            if len(labels) != rows.shape[0]:
                raise ConfigError(
                    f"LibSVMIter: {os.fspath(label_libsvm)!r} has {len(labels)} lines, "
                    f"{os.fspath(data_libsvm)!r} has {rows.shape[0]}; wanted a label for each sample"
                )
        elif label_shape != (1,):
            raise ConfigError(
                f"LibSVMIter: label_shape is {label_shape}, but each line has one label; give label_libsvm"
            )
        share = part_of(rows.shape[0], num_parts, part_index, "LibSVMIter")
        self._rows = _take(rows, np.array(share, dtype=np.int64))
        self._labels = labels[share.start : share.stop]
        super().__init__(len(share), batch_size)
        if self._labels.ndim == 2 and label_shape == (1,):
            self._labels = self._labels[:, 0]
        self._describe((data_name, data_shape, self._dtype.type), (label_name, label_shape, self._dtype.type))

    def take(self, numbers: Array[Any]) -> tuple[NDArray, NDArray]:
        from ..ndarray.sparse import of_stored  # here: a script without sparse data need not load it

        return of_stored(_take(self._rows, numbers)), NDArray(self._labels[numbers])


def _read(path: str | os.PathLike[str], num_columns: int, dtype: np.dtype[Any]) -> tuple[CSR, Array[Any]]:
    """The rows of a file and the label that each line begins with (0 when it begins with a column)."""
    name = os.fspath(path)
    labels: list[float] = []
    columns: list[int] = []
    values: list[float] = []
    indptr = [0]
    with gzip.open(name, "rt") if name.endswith(".gz") else open(name) as lines:
        for i, line in enumerate(lines, 1):
            words = line.partition("#")[0].split()
            if not words:
                continue
            try:
                labels.append(0.0 if ":" in words[0] else float(words.pop(0)))
                for word in words:
                    column, _, value = word.partition(":")
                    columns.append(int(column))
                    values.append(float(value) if value else 1.0)
            except ValueError as e:
                raise PSError(f"{name!r} line {i}: {e}; wanted: label column:value column:value …") from e
            of_line = columns[indptr[-1] :]
            if of_line and not 0 <= min(of_line) <= max(of_line) < num_columns:
                raise PSError(
                    f"{name!r} line {i}: a column outside 0..{num_columns - 1}, which the shape allows"
                )
            indptr.append(len(columns))
    if not labels:
        raise PSError(f"{name!r} is empty; wanted lines of: label column:value column:value …")
    rows = CSR(
        np.array(values, dtype),
        np.array(indptr, np.int64),
        np.array(columns, np.int64),
        (len(labels), num_columns),
    )
    return rows, np.array(labels, dtype)


def _take(rows: CSR, numbers: Array[Any]) -> CSR:
    begin, length = rows.indptr[numbers], rows.indptr[numbers + 1] - rows.indptr[numbers]
    indptr = np.concatenate([[0], np.cumsum(length)])
    which = np.arange(indptr[-1]) + np.repeat(begin - indptr[:-1], length)
    return CSR(rows.data[which], indptr, rows.indices[which], (len(numbers), rows.shape[1]))


def _dense(rows: CSR) -> Array[Any]:
    out = np.zeros(rows.shape, rows.data.dtype)
    out[np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr)), rows.indices] = rows.data
    return out

"""Batches from arrays in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ConfigError, ShapeError
from ..ndarray import NDArray, array, concatenate, sparse
from .batch import DataBatch, DataDesc, DataIter

__all__ = ["NDArrayIter"]


class NDArrayIter(DataIter):
    """Batches of rows of arrays: one array, a list, or a dict by name.

    The last batch, when the rows run out: `pad` fills it from the beginning and says by how many, `discard`
    drops it, `roll_over` keeps its rows for the next epoch. `shuffle` permutes the rows at the start and at
    each reset, by NumPy's global generator, so that `numpy.random.seed` settles the order.
    """

    def __init__(
        self,
        data: Any,
        label: Any = None,
        batch_size: int = 1,
        shuffle: bool = False,
        last_batch_handle: str = "pad",
        data_name: str = "data",
        label_name: str = "softmax_label",
        layout: str = "NCHW",
    ) -> None:
        super().__init__(batch_size)
        if last_batch_handle not in ("pad", "discard", "roll_over"):
            raise ConfigError(
                f"NDArrayIter: last_batch_handle is {last_batch_handle!r}; "
                "wanted 'pad', 'discard' or 'roll_over'"
            )
        self.data = _named(data, data_name)
        self.label = _named(label, label_name) if label is not None else []
        if not self.data:
            raise ConfigError("NDArrayIter: no data given")
        self.num_data = self.data[0][1].shape[0]
        for name, value in (*self.data, *self.label):
            if value.shape[0] != self.num_data:
                raise ShapeError(
                    f"NDArrayIter: {name} has {value.shape[0]} rows, {self.data[0][0]} has {self.num_data}"
                )
            if value.stype == "csr" and last_batch_handle != "discard":
                raise NotImplementedError(
                    f"NDArrayIter: {name} is a csr array; these need last_batch_handle='discard'"
                )
        self.num_source = len(self.data)
        self.idx = np.arange(self.num_data)
        self.shuffle = shuffle
        self.last_batch_handle = last_batch_handle
        self.layout = layout
        self.cursor = -batch_size
        self._rest: tuple[list[NDArray], list[NDArray]] | None = None  # rows that roll over into this epoch
        if shuffle:
            self._shuffle()

    @property
    def provide_data(self) -> list[DataDesc]:  # type: ignore[override]  # computed here, stored elsewhere
        """The data arrays of a batch."""
        return [self._describe(name, value) for name, value in self.data]

    @property
    def provide_label(self) -> list[DataDesc]:  # type: ignore[override]  # computed here, stored elsewhere
        """The labels of a batch."""
        return [self._describe(name, value) for name, value in self.label]

    @property
    def data_list(self) -> list[NDArray]:
        """The arrays themselves, data first, then labels; writing into one changes the batches to come."""
        return [value for _, value in (*self.data, *self.label)]

    def _describe(self, name: str, value: NDArray) -> DataDesc:
        return DataDesc(name, (self.batch_size, *value.shape[1:]), value.dtype, self.layout)

    def hard_reset(self) -> None:
        """Back to the beginning; rows kept for this epoch are dropped."""
        if self.shuffle:
            self._shuffle()
        self.cursor = -self.batch_size
        self._rest = None

    def reset(self) -> None:
        if self.shuffle:
            self._shuffle()
        rolls_over = self.last_batch_handle == "roll_over"
        if rolls_over and self.num_data - self.batch_size < self.cursor < self.num_data:
            self.cursor -= self.num_data + self.batch_size  # so that the first batch begins in the kept rows
        else:
            self.cursor = -self.batch_size

    def iter_next(self) -> bool:
        self.cursor += self.batch_size
        return self.cursor < self.num_data

    def next(self) -> DataBatch:
        if not self.iter_next():
            raise StopIteration
        data, label = self.getdata(), self.getlabel()
        if data[0].shape[0] != self.batch_size:
            self._rest = (data, label)
            raise StopIteration
        return DataBatch(data, label, self.getpad())

    def getdata(self) -> list[NDArray]:
        return self._batch(self.data, 0)

    def getlabel(self) -> list[NDArray]:
        return self._batch(self.label, 1)

    def getpad(self) -> int:
        if self.last_batch_handle == "pad":
            return max(0, self.cursor + self.batch_size - self.num_data)
        if self.last_batch_handle == "roll_over" and -self.batch_size < self.cursor < 0:
            return -self.cursor
        return 0

    def _batch(self, source: list[tuple[str, NDArray]], kind: int) -> list[NDArray]:
        begin, end = self.cursor, self.cursor + self.batch_size
        if begin < 0:  # the first batch after a roll-over
            if self._rest is None:
                raise ConfigError("NDArrayIter: read before the first iter_next()")
            rest = self._rest[kind]
            return [_join(kept, v[:end]) for kept, (_, v) in zip(rest, source, strict=True)]
        if end <= self.num_data:
            return [v[begin:end].copy() for _, v in source]
        if self.last_batch_handle == "pad":
            return [_wrapped(v, begin, end) for _, v in source]
        return [v[begin:].copy() for _, v in source]

    def _shuffle(self) -> None:
        np.random.shuffle(self.idx)
        self.data = [(name, _rows(value, self.idx)) for name, value in self.data]
        self.label = [(name, _rows(value, self.idx)) for name, value in self.label]


def _rows(value: NDArray, numbers: Any) -> NDArray:
    if value.stype == "csr":
        return sparse.of_stored(value._stored().take(numbers), value.context)
    return value[numbers]


def _named(source: Any, default_name: str) -> list[tuple[str, NDArray]]:
    """(name, array) pairs, a dict's in the order of its names."""
    if isinstance(source, Mapping):
        pairs = sorted(source.items())
    elif isinstance(source, list | tuple):
        single = len(source) == 1
        pairs = [(default_name if single else f"_{i}_{default_name}", v) for i, v in enumerate(source)]
    else:
        pairs = [(default_name, source)]
    out = []
    for name, value in pairs:
        if not isinstance(value, NDArray):
            if not (hasattr(value, "__array__") or hasattr(value, "shape")):
                raise TypeError(
                    f"NDArrayIter: {name} is {type(value).__name__}; wanted an NDArray or a NumPy array, "
                    "a list of them, or a dict by name"
                )
            value = array(value if type(value).__module__.startswith("scipy.sparse") else np.asarray(value))
        out.append((name, value))
    return out


def _init_data(data: Any, allow_empty: bool, default_name: str) -> list[tuple[str, NDArray]]:
    """As `_named`, by the name that scripts call, to give an iterator other labels than it was made with."""
    if data is None:
        data = []
    found = _named(data, default_name)
    if not found and not allow_empty:
        raise ConfigError(f"_init_data: no {default_name} given")
    return found


def _join(a: NDArray, b: NDArray) -> NDArray:
    return concatenate([a, b], axis=0)


def _wrapped(value: NDArray, begin: int, end: int) -> NDArray:
    """Rows begin..end, going on from the first row as often as needed."""
    num_rows = value.shape[0]
    if end - num_rows <= num_rows:
        return _join(value[begin:], value[: end - num_rows])
    return value[np.arange(begin, end) % num_rows]

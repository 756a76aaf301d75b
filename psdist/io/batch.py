"""What every source of data speaks: batches, their description, and the iterator that yields them."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..ndarray import NDArray

__all__ = ["DataBatch", "DataDesc", "DataIter"]


class DataDesc(namedtuple("DataDesc", ["name", "shape"])):  # scripts unpack it into two
    """An array of a batch: its name and shape, and also its dtype and layout; equal to (name, shape)."""

    name: str
    shape: tuple[int, ...]
    dtype: Any
    layout: str

    def __new__(
        cls, name: str, shape: Sequence[int], dtype: Any = np.float32, layout: str = "NCHW"
    ) -> DataDesc:
        desc = super().__new__(cls, name, tuple(shape))
        desc.dtype = dtype
        desc.layout = layout
        return desc

    def __repr__(self) -> str:
        return f"DataDesc[{self.name},{self.shape},{self.dtype},{self.layout}]"

    @staticmethod
    def get_batch_axis(layout: str | None) -> int:
        """The axis along which a batch's samples lie: that of the letter N, 0 if nothing is said."""
        return 0 if layout is None else layout.find("N")

    @staticmethod
    def get_list(
        shapes: Sequence[tuple[str, Sequence[int]]], types: Sequence[tuple[str, Any]] | None
    ) -> list[DataDesc]:
        """Descriptions from (name, shape) pairs and, if given, (name, dtype) pairs."""
        dtypes = dict(types or ())
        if types is None:
            return [DataDesc(name, shape) for name, shape in shapes]
        return [DataDesc(name, shape, dtypes[name]) for name, shape in shapes]


class DataBatch:
    """The arrays of one batch. The last `pad` samples are filler, to be left out of results."""

    def __init__(
        self,
        data: Sequence[NDArray],
        label: Sequence[NDArray] | None = None,
        pad: int | None = None,
        index: Any = None,
        bucket_key: Any = None,
        provide_data: Sequence[DataDesc] | None = None,
        provide_label: Sequence[DataDesc] | None = None,
    ) -> None:
        for what, arrays in (("data", data), ("label", label)):
            if arrays is not None and not isinstance(arrays, list | tuple):
                raise ConfigError(f"DataBatch: {what} is {type(arrays).__name__}; wanted a list of NDArrays")
        self.data = data
        self.label = label
        self.pad = pad
        self.index = index
        self.bucket_key = bucket_key
        self.provide_data = provide_data
        self.provide_label = provide_label
        self.portions: Sequence[int] = ()  # of the data, by number, where they are counted (PortionIter)

    def __str__(self) -> str:
        labels = None if self.label is None else [label.shape for label in self.label]
        return f"{type(self).__name__}: data shapes: {[d.shape for d in self.data]} label shapes: {labels}"


class DataIter:
    """An epoch of batches: iterate, then `reset()`.

    A subclass gives `provide_data` and `provide_label`, and either `next` or the five small methods below it.
    """

    provide_data: Sequence[DataDesc]
    provide_label: Sequence[DataDesc]

    def __init__(self, batch_size: int = 0) -> None:
        self.batch_size = batch_size

    def __iter__(self) -> DataIter:
        return self

    def __next__(self) -> DataBatch:
        return self.next()

    def reset(self) -> None:
        """Go back to the beginning."""

    def next(self) -> DataBatch:
        """The next batch, or StopIteration."""
        if not self.iter_next():
            raise StopIteration
        return DataBatch(self.getdata(), self.getlabel(), self.getpad(), self.getindex())

    def iter_next(self) -> bool:
        """Move to the next batch; False at the end."""
        return False

    def getdata(self) -> Any:
        """The current batch's data arrays."""
        return None

    def getlabel(self) -> Any:
        """The current batch's labels."""
        return None

    def getindex(self) -> Any:
        """The samples' numbers, if the source numbers them."""
        return None

    def getpad(self) -> int | None:
        """How many samples at the end of the current batch are filler."""
        return None

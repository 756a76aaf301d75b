"""Batches of numbered samples: what the iterators over files have in common.

A subclass says how many samples there are and makes arrays of any of them by number; the order, the rounding
of the last batch and the parts for workers are settled here once.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray as Array

from ..errors import ConfigError
from ..ndarray import NDArray
from .batch import DataBatch, DataDesc, DataIter

__all__ = ["SampleIter", "ignore", "part_of"]

_log = logging.getLogger("psdist.io")


def ignore(what: str, given: Iterable[str], wanted: Iterable[str] = (), known: Iterable[str] = ()) -> None:
    """Warn in the log of arguments that have no effect, but for those `known`. MXNet's iterators take any argument,
    and scripts give them the options of other iterators; so a misspelling cannot be an error."""
    for name in sorted(set(given) - set(known)):
        near = difflib.get_close_matches(name, list(wanted), n=1)
        _log.warning("%s: no argument %r%s", what, name, f"; did you mean {near[0]!r}?" if near else "")


def part_of(num_samples: int, num_parts: int, part_index: int, what: str) -> range:
    """The samples of part `part_index`: contiguous, the parts differing in size by at most one."""
    if num_parts < 1 or not 0 <= part_index < num_parts:
        raise ConfigError(
            f"{what}: part_index {part_index} of num_parts {num_parts}; wanted 0 <= index < parts"
        )
    return range(num_samples * part_index // num_parts, num_samples * (part_index + 1) // num_parts)


class SampleIter(DataIter):
    """Batches of samples by number, in order or, given a `shuffle_seed`, in another order each epoch.

    `last` says what becomes of the samples that do not fill a batch. "round": it is filled from the beginning
    of the next epoch, which then starts behind them. "pad": it is filled from the beginning, which the next
    epoch repeats. "discard": they are dropped. The batch's `pad` counts what was filled in, its `index` has
    the samples' numbers.
    """

    def __init__(
        self,
        num_samples: int,
        batch_size: int,
        *,
        last: str = "round",
        shuffle_seed: int | None = None,
    ) -> None:
        super().__init__(batch_size)
        if batch_size < 1:
            raise ConfigError(f"{type(self).__name__}: batch_size is {batch_size}; wanted 1 or more")
        if num_samples < 1:
            raise ConfigError(f"{type(self).__name__}: there is no sample to make a batch of")
        self.num_samples = num_samples
        self._last = last
        self._shuffle_seed = shuffle_seed
        self._epoch = 0
        self._at = 0  # where in the order the next batch begins
        self._order = self._order_of(0)
        self._batch: DataBatch | None = None

    def take(self, numbers: Array[Any]) -> tuple[NDArray, NDArray]:
        """The data and the labels of the samples `numbers`, stacked."""
        raise NotImplementedError

    def _describe(
        self,
        data: tuple[str, Sequence[int], Any],
        label: tuple[str, Sequence[int], Any],
    ) -> None:
        """Set `provide_data` and `provide_label` from names, shapes of one sample, and dtypes."""
        name, shape, dtype = data
        self.provide_data = [DataDesc(name, (self.batch_size, *shape), dtype)]
        name, shape, dtype = label
        shape = () if tuple(shape) == (1,) else shape  # one label a sample is a vector of them
        self.provide_label = [DataDesc(name, (self.batch_size, *shape), dtype)]

    def _order_of(self, epoch: int) -> Array[Any]:
        """A function of the epoch alone, so that nothing depends on how far somebody read ahead."""
        order = np.arange(self.num_samples)
        if self._shuffle_seed is not None:
            np.random.default_rng([self._shuffle_seed % 2**64, epoch]).shuffle(order)
        return order

    def reset(self) -> None:
        overflow = self._at - self.num_samples if self._last == "round" else 0
        self._at = max(0, overflow) % self.num_samples
        self._epoch += 1
        self._order = self._order_of(self._epoch)
        self._batch = None

    def numbers_of_next(self) -> tuple[Array[Any], int] | None:
        """Move on: the samples of the next batch and how many of them are filler; None at the end."""
        begin, end, size = self._at, self._at + self.batch_size, self.num_samples
        if begin >= size or (end > size and self._last == "discard"):
            return None
        self._at = end
        if end <= size:
            return self._order[begin:end], 0
        following = self._order_of(self._epoch + 1) if self._last == "round" else self._order
        filler = np.resize(following, end - size)
        return np.concatenate([self._order[begin:], filler]), end - size

    def iter_next(self) -> bool:
        found = self.numbers_of_next()
        if found is None:
            self._batch = None
            return False
        numbers, pad = found
        data, label = self.take(numbers)
        self._batch = self._as_batch(data, label, pad, numbers)
        return True

    def _as_batch(self, data: NDArray, label: NDArray, pad: int, numbers: Array[Any]) -> DataBatch:
        return DataBatch(
            [data],
            [label],
            pad,
            numbers.astype(np.uint64),
            provide_data=self.provide_data,
            provide_label=self.provide_label,
        )

    def next(self) -> DataBatch:
        if not self.iter_next():
            raise StopIteration
        assert self._batch is not None
        return self._batch

    def _current(self) -> DataBatch:
        if self._batch is None:
            raise ConfigError(f"{type(self).__name__}: there is no current batch; call iter_next() first")
        return self._batch

    def getdata(self) -> NDArray:
        array: NDArray = self._current().data[0]
        return array

    def getlabel(self) -> NDArray:
        labels = self._current().label
        assert labels is not None
        array: NDArray = labels[0]
        return array

    def getpad(self) -> int | None:
        return self._current().pad

    def getindex(self) -> Any:
        return self._current().index

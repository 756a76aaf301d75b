"""Data that is counted: each batch is a portion with a number, and no portion is learned from twice or left out.

Portions are numbered through all epochs: number `e · P + j` is the j-th of the P batches of epoch e, in an order that the
seed and the epoch draw alike on every worker. A worker pushes the number along with the gradient, servers keep it
beside the values (in copies and snapshots too), and of a portion that is in a value already they add nothing. So
whoever hands out need not be exact, and it is simple: the portions that are missing in the values and whose number
leaves this worker's index, divided by the number of workers. It is dealt anew for each epoch and when workers
come or go; a job that is continued from a snapshot goes on where the snapshot was taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..ndarray import array
from .batch import DataBatch, DataDesc, DataIter

__all__ = ["PortionIter"]

_MOST_TIMES = (
    128  # a portion that a dying worker has pushed ahead is there when its round is: after 64 at most
)


class PortionIter(DataIter):
    """This worker's batches of `data` and `label`, arrays with a sample in each row.

    A batch's `portions` is its number, which `Module` pushes along; in a loop of your own say `kv.portions =
    batch.portions` before the push. `first_epoch` is where a resumed job goes on: give it to `fit` as
    `begin_epoch`. With `num_epoch`, nobody leaves the last epoch before all of it is learned: who has nothing left
    does what others have not pushed yet, should they die. Samples that fill no batch are left out of an epoch;
    another order leaves out others.
    """

    def __init__(
        self,
        data: Any,
        label: Any,
        batch_size: int,
        kvstore: Any,
        *,
        num_epoch: int | None = None,
        seed: int = 0,
        shuffle: bool = True,
        data_name: str = "data",
        label_name: str = "softmax_label",
    ) -> None:
        super().__init__(batch_size)
        self._data, self._label = np.asarray(_numpy(data)), np.asarray(_numpy(label))
        if len(self._data) != len(self._label):
            raise ConfigError(f"PortionIter: {len(self._data)} samples with {len(self._label)} labels")
        self.num_portions = len(self._data) // batch_size if batch_size > 0 else 0  # of an epoch
        if not self.num_portions:
            raise ConfigError(f"PortionIter: {len(self._data)} samples are no batch of {batch_size}")
        self._kvstore = kvstore
        self._num_epoch = num_epoch
        self._helped: int | None = None  # the portion of others that was given last,
        self._num_helped = 0  # and how often, one time after the other
        self._seed, self._shuffle = seed, shuffle
        self.provide_data = [DataDesc(data_name, (batch_size, *self._data.shape[1:]), self._data.dtype)]
        self.provide_label = [DataDesc(label_name, (batch_size, *self._label.shape[1:]), self._label.dtype)]
        self._orders: dict[int, Any] = {}  # by epoch
        applied = kvstore.applied_portions()
        self.first_epoch = next(applied.missing(applied.end + 1)) // self.num_portions
        self.epoch = self.first_epoch
        self._share = (0, 0)  # none yet
        self._numbers: Iterator[int] = iter(())

    def reset(self) -> None:
        self.epoch += 1
        self._share = (0, 0)

    def next(self) -> DataBatch:
        """The next batch of this epoch, or StopIteration. Asks the servers at its beginning and when workers have come
        or gone, and waits for this worker's own pushes then."""
        while True:
            if self._kvstore.share != self._share:
                self._deal()
            number = next(self._numbers, None)
            if number is not None:
                return self._batch(number)
            if self._kvstore.share == self._share:
                if (number := self._left_over()) is None:
                    raise StopIteration
                return self._batch(number)

    def _deal(self) -> None:
        num, index = self._share = self._kvstore.share
        missing = self._kvstore.applied_portions().missing((self.epoch + 1) * self.num_portions)
        self._numbers = iter([number for number in missing if number % num == index])

    def _left_over(self) -> int | None:
        """In the last epoch, a portion that others have not pushed yet, and may not live to push."""
        if self._num_epoch is None or self.epoch + 1 < self._num_epoch:
            return None
        applied = self._kvstore.applied_portions()
        number = next(applied.missing((self.epoch + 1) * self.num_portions), None)
        self._num_helped = self._num_helped + 1 if number == self._helped else 0
        if number is not None and self._num_helped > _MOST_TIMES:
            raise ConfigError(
                f"PortionIter: portion {number} was pushed, and is not in all values; set kv.portions for the "
                "pushes of every key"
            )
        self._helped = number
        return number

    def _batch(self, number: int) -> DataBatch:
        epoch, i = divmod(number, self.num_portions)
        rows = self._order(epoch)[i * self.batch_size : (i + 1) * self.batch_size]
        data, label = self._data[rows], self._label[rows]
        batch = DataBatch(
            [array(data, dtype=data.dtype)],
            [array(label, dtype=label.dtype)],
            0,
            rows.astype(np.uint64),
            provide_data=self.provide_data,
            provide_label=self.provide_label,
        )
        batch.portions = (number,)
        return batch

    def _order(self, epoch: int) -> Any:
        if epoch not in self._orders:
            if len(self._orders) > 1:
                del self._orders[min(self._orders)]
            order = np.arange(len(self._data))
            if self._shuffle:
                np.random.default_rng([self._seed % 2**64, epoch]).shuffle(order)
            self._orders[epoch] = order
        return self._orders[epoch]


def _numpy(a: Any) -> Any:
    return a.asnumpy() if hasattr(a, "asnumpy") else a

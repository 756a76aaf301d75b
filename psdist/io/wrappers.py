"""Iterators over iterators: another number of batches an epoch, and reading ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ..errors import ClosedError, ConfigError
from .batch import DataBatch, DataDesc, DataIter

__all__ = ["PrefetchingIter", "ResizeIter"]


class ResizeIter(DataIter):
    """An epoch of `size` batches, however many `data_iter` has: it is begun anew when it ends.

    With `reset_internal` a reset begins `data_iter` anew too; without, it goes on where it stands.
    """

    def __init__(self, data_iter: DataIter, size: int, reset_internal: bool = True) -> None:
        super().__init__(data_iter.batch_size)
        self.data_iter = data_iter
        self.size = size
        self.reset_internal = reset_internal
        self.cur = 0
        self.current_batch: DataBatch | None = None
        self.provide_data = data_iter.provide_data
        self.provide_label = data_iter.provide_label
        if hasattr(data_iter, "default_bucket_key"):
            self.default_bucket_key = data_iter.default_bucket_key

    def reset(self) -> None:
        self.cur = 0
        if self.reset_internal:
            self.data_iter.reset()

    def iter_next(self) -> bool:
        if self.cur == self.size:
            return False
        try:
            self.current_batch = self.data_iter.next()
        except StopIteration:
            self.data_iter.reset()
            self.current_batch = self.data_iter.next()
        self.cur += 1
        return True

    def next(self) -> DataBatch:
        if not self.iter_next():
            raise StopIteration
        assert self.current_batch is not None
        return self.current_batch

    def getdata(self) -> Any:
        return self.current_batch.data if self.current_batch else None

    def getlabel(self) -> Any:
        return self.current_batch.label if self.current_batch else None

    def getindex(self) -> Any:
        return self.current_batch.index if self.current_batch else None

    def getpad(self) -> int | None:
        return self.current_batch.pad if self.current_batch else None


class PrefetchingIter(DataIter):
    """Read the next batch of each of `iters` in a thread of its own while the current one is used.

    The batches of several iterators are put side by side; `rename_data` and `rename_label` give, per
    iterator, new names for those that would collide. Close it, or use it as a `with` block, to end the
    threads.
    """

    def __init__(
        self,
        iters: DataIter | Sequence[DataIter],
        rename_data: Sequence[Mapping[str, str]] | None = None,
        rename_label: Sequence[Mapping[str, str]] | None = None,
    ) -> None:
        self.iters: list[DataIter] = [iters] if isinstance(iters, DataIter) else list(iters)
        if not self.iters:
            raise ConfigError("PrefetchingIter: no iterator given")
        self.n_iter = len(self.iters)
        self.rename_data = rename_data
        self.rename_label = rename_label
        super().__init__(self.provide_data[0].shape[0])
        self.current_batch: DataBatch | None = None
        self._pool = ThreadPoolExecutor(self.n_iter, thread_name_prefix="psdist-prefetch")
        self._ahead: list[Future[DataBatch | None]] = []
        self._closed = False
        self._read_ahead()

    @property
    def provide_data(self) -> list[DataDesc]:  # type: ignore[override]  # computed here, stored elsewhere
        """The data arrays of all iterators."""
        return _renamed([it.provide_data for it in self.iters], self.rename_data)

    @property
    def provide_label(self) -> list[DataDesc]:  # type: ignore[override]  # computed here, stored elsewhere
        """The labels of all iterators."""
        return _renamed([it.provide_label for it in self.iters], self.rename_label)

    def _read_ahead(self) -> None:
        self._ahead = [self._pool.submit(_next_or_none, it) for it in self.iters]

    def close(self) -> None:
        """End the threads; may be called twice."""
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> PrefetchingIter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def reset(self) -> None:
        self._check_open()
        for future in self._ahead:
            future.exception()  # only wait: an error of a batch that nobody will see does not matter
        for it in self.iters:
            it.reset()
        self._read_ahead()

    def iter_next(self) -> bool:
        self._check_open()
        batches = [future.result() for future in self._ahead]
        if any(batch is None for batch in batches):
            if not all(batch is None for batch in batches):
                raise ConfigError("PrefetchingIter: the iterators have different numbers of batches")
            return False
        found = [batch for batch in batches if batch is not None]
        if len({batch.pad for batch in found}) > 1:
            raise ConfigError("PrefetchingIter: the iterators' batches have different numbers of fillers")
        self.current_batch = DataBatch(
            [array for batch in found for array in batch.data],
            [array for batch in found for array in batch.label or ()],
            found[0].pad,
            found[0].index,
            found[0].bucket_key,
            provide_data=self.provide_data,
            provide_label=self.provide_label,
        )
        self._read_ahead()
        return True

    def next(self) -> DataBatch:
        if not self.iter_next():
            raise StopIteration
        assert self.current_batch is not None
        return self.current_batch

    def getdata(self) -> Any:
        return self.current_batch.data if self.current_batch else None

    def getlabel(self) -> Any:
        return self.current_batch.label if self.current_batch else None

    def getindex(self) -> Any:
        return self.current_batch.index if self.current_batch else None

    def getpad(self) -> int | None:
        return self.current_batch.pad if self.current_batch else None

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("PrefetchingIter: used after close()")


def _next_or_none(it: DataIter) -> DataBatch | None:
    try:
        return it.next()
    except StopIteration:
        return None


def _renamed(
    groups: Sequence[Sequence[DataDesc]], names: Sequence[Mapping[str, str]] | None
) -> list[DataDesc]:
    out = []
    for i, group in enumerate(groups):
        new = names[i] if names else {}
        for desc in group:
            desc = desc if isinstance(desc, DataDesc) else DataDesc(*desc)
            out.append(DataDesc(new.get(desc.name, desc.name), desc.shape, desc.dtype, desc.layout))
    return out

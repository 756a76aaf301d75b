"""The data-parallel helpers of MXNet's first days, which some scripts use below `Module`.

A manager is one executor group with the batch kept between `load_data_batch` and `forward`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .context import Context
from .errors import GraphError
from .module.executor_group import DataParallelExecutorGroup, split_batch
from .ndarray import NDArray

__all__ = ["DataParallelExecutorGroup", "DataParallelExecutorManager"]

_split_input_slice = split_batch


def _check_arguments(symbol: Any) -> None:
    """Raise GraphError where two arguments or two auxiliary states have one name."""
    for names in (symbol.list_arguments(), symbol.list_auxiliary_states()):
        twice = {n for n in names if names.count(n) > 1}
        if twice:
            raise GraphError(f"two variables are named {sorted(twice)[0]!r}; give one another name")


class DataParallelExecutorManager:
    """Executors on several devices, for the batches of `train_data`.

    With `sym_gen`, a function from a bucket's key to a symbol, every bucket has a group of its own, on the arrays of
    the first.
    """

    def __init__(
        self,
        symbol: Any,
        ctx: Sequence[Context],
        train_data: Any,
        arg_names: Sequence[str] | None = None,
        param_names: Sequence[str] | None = None,
        aux_names: Sequence[str] | None = None,
        work_load_list: Sequence[float] | None = None,
        logger: Any = None,
        sym_gen: Callable[[Any], Any] | None = None,
    ) -> None:
        _check_arguments(symbol)
        self._contexts = list(ctx)
        self._workloads = list(work_load_list or [1] * len(self._contexts))
        self._logger = logger or logging
        inputs = {desc[0] for desc in [*train_data.provide_data, *train_data.provide_label]}
        arguments = arg_names if arg_names is not None else symbol.list_arguments()
        self.param_names = (
            list(param_names) if param_names is not None else [n for n in arguments if n not in inputs]
        )
        self.aux_names = list(aux_names) if aux_names is not None else symbol.list_auxiliary_states()
        self._sym_gen = sym_gen
        self._first = self._group(symbol, train_data, None)
        self._groups = {getattr(train_data, "default_bucket_key", None): self._first}
        self._current = self._first
        self._batch: Any = None

    def _group(
        self, symbol: Any, data: Any, shared: DataParallelExecutorGroup | None
    ) -> DataParallelExecutorGroup:
        return DataParallelExecutorGroup(
            symbol,
            self._contexts,
            self._workloads,
            data.provide_data,
            data.provide_label,
            self.param_names,
            True,
            False,
            shared,
        )

    @property
    def param_arrays(self) -> list[list[NDArray]]:
        """Every parameter's copies, one per device."""
        return self._first.param_arrays

    @property
    def grad_arrays(self) -> list[list[NDArray | None]]:
        """Their gradients."""
        return self._first.grad_arrays

    @property
    def aux_arrays(self) -> list[list[NDArray]]:
        """Every auxiliary state's copies."""
        return self._first.aux_arrays

    def install_monitor(self, monitor: Any) -> None:
        """Let a monitor look at every executor."""
        for group in self._groups.values():
            group.install_monitor(monitor)

    def set_params(self, arg_params: Mapping[str, NDArray], aux_params: Mapping[str, NDArray]) -> None:
        """Copy parameters to every device."""
        self._first.set_params(arg_params, aux_params)

    def copy_to(self, arg_params: Mapping[str, NDArray], aux_params: Mapping[str, NDArray]) -> None:
        """Copy the devices' parameters into these arrays."""
        self._first.get_params(arg_params, aux_params)

    def load_data_batch(self, data_batch: Any) -> None:
        """The batch that the next `forward` is for."""
        key = getattr(data_batch, "bucket_key", None)
        if self._sym_gen is not None and key is not None:
            if key not in self._groups:
                self._groups[key] = self._group(self._sym_gen(key), data_batch, self._first)
            self._current = self._groups[key]
        self._batch = data_batch

    def forward(self, is_train: bool = False) -> None:
        """Compute the outputs of the batch."""
        self._current.forward(self._batch, is_train)

    def backward(self) -> None:
        """Compute the gradients."""
        self._current.backward()

    def close(self) -> None:
        """End the devices' threads; may be called twice."""
        for group in self._groups.values():
            group.close()

    def __enter__(self) -> DataParallelExecutorManager:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update_metric(self, metric: Any, labels: Any, pre_sliced: bool = False) -> None:
        """Add the outputs and these labels to a metric."""
        self._current.update_metric(metric, labels, pre_sliced)

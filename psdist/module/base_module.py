"""What every module can do once it can bind, compute and update: train, score, predict.

A module goes through states: made, `binded` (it has arrays for the shapes of a batch), `params_initialized`,
`optimizer_initialized`. A method asked for too early says which call is missing.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .. import metric as metrics
from ..callback import BatchEndParam
from ..checkpoint import split_params
from ..errors import ConfigError
from ..initializer import Uniform
from ..io import DataDesc, DataIter, NDArrayIter
from ..ndarray import NDArray, concatenate, load, save

__all__ = ["BaseModule", "as_descs", "check_names"]

Params = Mapping[str, NDArray]
Callbacks = Any  # None, a function or a list of them


class BaseModule:
    """The base of modules. A subclass gives the properties and the computation; training is written here."""

    def __init__(self, logger: Any = logging) -> None:
        self.logger = logger
        self.binded = False
        self.for_training = False
        self.inputs_need_grad = False
        self.params_initialized = False
        self.optimizer_initialized = False
        self._symbol: Any = None
        self._total_exec_bytes = 0  # MXNet's count of its executors' memory, which scripts print

    # --- what a subclass gives ----------------------------------------------------------------------

    @property
    def data_names(self) -> Sequence[str]:
        """The names of the input arrays."""
        raise NotImplementedError

    @property
    def output_names(self) -> Sequence[str]:
        """The names of the outputs."""
        raise NotImplementedError

    @property
    def data_shapes(self) -> Any:
        """The descriptions of the input arrays."""
        raise NotImplementedError

    @property
    def label_shapes(self) -> Any:
        """The descriptions of the labels; None or empty without labels."""
        raise NotImplementedError

    @property
    def output_shapes(self) -> Any:
        """(name, shape) of each output."""
        raise NotImplementedError

    def get_params(self) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
        """Copies of the arguments and the auxiliary states, by name."""
        raise NotImplementedError

    def init_params(
        self,
        initializer: Any = None,
        arg_params: Params | None = None,
        aux_params: Params | None = None,
        allow_missing: bool = False,
        force_init: bool = False,
        allow_extra: bool = False,
    ) -> None:
        """Give the parameters their first values: those given, and the rest by the initializer."""
        raise NotImplementedError

    def bind(
        self,
        data_shapes: Any,
        label_shapes: Any = None,
        for_training: bool = True,
        inputs_need_grad: bool = False,
        force_rebind: bool = False,
        shared_module: Any = None,
        grad_req: Any = "write",
    ) -> None:
        """Make the arrays for batches of these shapes."""
        raise NotImplementedError

    def init_optimizer(
        self,
        kvstore: Any = "local",
        optimizer: Any = "sgd",
        optimizer_params: Any = (("learning_rate", 0.01),),
        force_init: bool = False,
    ) -> None:
        """Make the store and the optimizer."""
        raise NotImplementedError

    def forward(self, data_batch: Any, is_train: bool | None = None) -> None:
        """Compute the outputs; by default as bound, for training or not."""
        raise NotImplementedError

    def backward(self, out_grads: Any = None) -> None:
        """Compute the gradients, from those of the outputs unless the outputs are losses."""
        raise NotImplementedError

    def get_outputs(self, merge_multi_context: bool = True) -> Any:
        """The outputs of the last forward: arrays, or a list per device for each output."""
        raise NotImplementedError

    def get_input_grads(self, merge_multi_context: bool = True) -> Any:
        """The gradients of the inputs, if bound with `inputs_need_grad`."""
        raise NotImplementedError

    def update(self) -> None:
        """Apply the optimizer to the gradients of the last backward."""
        raise NotImplementedError

    def update_metric(self, eval_metric: Any, labels: Any, pre_sliced: bool = False) -> None:
        """Add the last outputs and these labels to a metric."""
        raise NotImplementedError

    def install_monitor(self, mon: Any) -> None:
        """Let a monitor look at the values of every node."""
        raise NotImplementedError

    def prepare(
        self, data_batch: Any, sparse_row_id_fn: Callable[[Any], Mapping[str, Any]] | None = None
    ) -> None:
        """Get ready for a batch: switch to its bucket, pull the rows it needs."""

    def get_states(self, merge_multi_context: bool = True) -> Any:
        """The states that a module carries from batch to batch, if it has any."""
        return []

    def set_states(self, states: Any = None, value: Any = None) -> None:
        """Set those states."""

    def close(self) -> None:
        """End the threads that computing on several devices uses; may be called twice."""

    def __enter__(self) -> BaseModule:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- what follows from it -----------------------------------------------------------------------

    @property
    def symbol(self) -> Any:
        """The graph, for modules that have one."""
        return self._symbol

    def forward_backward(self, data_batch: Any) -> None:
        """Forward for training, then backward."""
        self.forward(data_batch, is_train=True)
        self.backward()

    def set_params(
        self,
        arg_params: Params | None,
        aux_params: Params | None,
        allow_missing: bool = False,
        force_init: bool = True,
        allow_extra: bool = False,
    ) -> None:
        """Overwrite the parameters."""
        self.init_params(None, arg_params, aux_params, allow_missing, force_init, allow_extra)

    def save_params(self, fname: str) -> None:
        """Write the parameters to a file, as `arg:…` and `aux:…`."""
        arg_params, aux_params = self.get_params()
        named = {f"arg:{name}": value for name, value in arg_params.items()}
        save(fname, named | {f"aux:{name}": value for name, value in aux_params.items()})

    def load_params(self, fname: str) -> None:
        """Read what `save_params` wrote."""
        self.set_params(*split_params(load(fname), fname))

    def _require(self, *, binded: bool = False, params: bool = False, optimizer: bool = False) -> None:
        name = type(self).__name__
        if (binded or params or optimizer) and not self.binded:
            raise ConfigError(f"{name} has no arrays yet: call bind first")
        if (params or optimizer) and not self.params_initialized:
            raise ConfigError(f"{name} has no parameters yet: call init_params first")
        if optimizer and not self.optimizer_initialized:
            raise ConfigError(f"{name} has no optimizer yet: call init_optimizer first")

    def _train_on(self, data_batch: Any) -> None:
        """One step of `fit`: the gradients of a batch, applied."""
        self.forward_backward(data_batch)
        self.update()

    def fit(
        self,
        train_data: Any,
        eval_data: Any = None,
        eval_metric: Any = "acc",
        epoch_end_callback: Callbacks = None,
        batch_end_callback: Callbacks = None,
        kvstore: Any = "local",
        optimizer: Any = "sgd",
        optimizer_params: Any = (("learning_rate", 0.01),),
        eval_end_callback: Callbacks = None,
        eval_batch_end_callback: Callbacks = None,
        initializer: Any = None,
        arg_params: Params | None = None,
        aux_params: Params | None = None,
        allow_missing: bool = False,
        force_rebind: bool = False,
        force_init: bool = False,
        begin_epoch: int = 0,
        num_epoch: int | None = None,
        validation_metric: Any = None,
        monitor: Any = None,
        sparse_row_id_fn: Callable[[Any], Mapping[str, Any]] | None = None,
    ) -> None:
        """Train until epoch `num_epoch`: bind and initialise what is not yet, then epochs of steps.

        Each epoch ends with the training metric logged, `epoch_end_callback(epoch, symbol, arg_params,
        aux_params)`, and a score on `eval_data`.
        """
        if num_epoch is None:
            raise ConfigError("fit: num_epoch is not given; wanted the epoch to train up to")
        self.bind(
            data_shapes=train_data.provide_data,
            label_shapes=train_data.provide_label,
            for_training=True,
            force_rebind=force_rebind,
        )
        if monitor is not None:
            self.install_monitor(monitor)
        self.init_params(
            initializer=Uniform(0.01) if initializer is None else initializer,
            arg_params=arg_params,
            aux_params=aux_params,
            allow_missing=allow_missing,
            force_init=force_init,
        )
        self.init_optimizer(kvstore=kvstore, optimizer=optimizer, optimizer_params=optimizer_params)
        eval_metric = metrics.create(eval_metric)
        validation_metric = eval_metric if validation_metric is None else metrics.create(validation_metric)
        for epoch in range(begin_epoch, num_epoch):
            began = time.perf_counter()
            eval_metric.reset()
            train_values = self._fit_epoch(
                train_data, eval_metric, epoch, batch_end_callback, monitor, sparse_row_id_fn
            )
            for name, value in train_values:
                self.logger.info("Epoch[%d] Train-%s=%f", epoch, name, value)
            self.logger.info("Epoch[%d] Time cost=%.3f", epoch, time.perf_counter() - began)

            arg_now, aux_now = self.get_params()
            self.set_params(arg_now, aux_now)  # auxiliary states: the same mean on every device
            for callback in _as_list(epoch_end_callback):
                callback(epoch, self.symbol, arg_now, aux_now)
            if eval_data is not None:
                scores = self.score(
                    eval_data,
                    validation_metric,
                    score_end_callback=eval_end_callback,
                    batch_end_callback=eval_batch_end_callback,
                    epoch=epoch,
                )
                for name, value in scores:
                    self.logger.info("Epoch[%d] Validation-%s=%f", epoch, name, value)
            train_data.reset()

    def _fit_epoch(
        self,
        train_data: Any,
        eval_metric: metrics.EvalMetric,
        epoch: int,
        batch_end_callback: Callbacks,
        monitor: Any,
        sparse_row_id_fn: Callable[[Any], Mapping[str, Any]] | None,
    ) -> list[tuple[str, float]]:
        """One pass over the data. Returns the metric's values over all of it."""
        batches = iter(train_data)
        data_batch = next(batches, None)
        values = eval_metric.get_global_name_value()
        nbatch = 0
        while data_batch is not None:
            if monitor is not None:
                monitor.tic()
            self._train_on(data_batch)
            next_batch = next(batches, None)  # read and prepared while this batch's updates travel
            if next_batch is not None:
                self.prepare(next_batch, sparse_row_id_fn)
            if isinstance(data_batch, list):
                self.update_metric(eval_metric, [part.label for part in data_batch], pre_sliced=True)
            else:
                self.update_metric(eval_metric, data_batch.label)
            if monitor is not None:
                monitor.toc_print()
            if next_batch is None:  # before a callback begins a new window
                values = eval_metric.get_global_name_value()
            for callback in _as_list(batch_end_callback):
                callback(BatchEndParam(epoch=epoch, nbatch=nbatch, eval_metric=eval_metric, locals=locals()))
            nbatch += 1
            data_batch = next_batch
        return values

    def score(
        self,
        eval_data: Any,
        eval_metric: Any,
        num_batch: int | None = None,
        batch_end_callback: Callbacks = None,
        score_end_callback: Callbacks = None,
        reset: bool = True,
        epoch: int = 0,
        sparse_row_id_fn: Callable[[Any], Mapping[str, Any]] | None = None,
    ) -> list[tuple[str, float]]:
        """The metric's (name, value) pairs over `eval_data`, or over its first `num_batch` batches."""
        self._require(params=True)
        if reset:
            eval_data.reset()
        eval_metric = metrics.create(eval_metric)
        eval_metric.reset()
        seen = 0
        for nbatch, eval_batch in enumerate(eval_data):
            if nbatch == num_batch:
                break
            self.prepare(eval_batch, sparse_row_id_fn)
            self.forward(eval_batch, is_train=False)
            if isinstance(eval_batch, list):
                self.update_metric(eval_metric, [part.label for part in eval_batch], pre_sliced=True)
            else:
                self.update_metric(eval_metric, eval_batch.label)
            for callback in _as_list(batch_end_callback):
                callback(BatchEndParam(epoch=epoch, nbatch=nbatch, eval_metric=eval_metric, locals=locals()))
            seen += 1
        for callback in _as_list(score_end_callback):
            callback(BatchEndParam(epoch=epoch, nbatch=seen, eval_metric=eval_metric, locals=locals()))
        values: list[tuple[str, float]] = eval_metric.get_name_value()
        return values

    def iter_predict(
        self,
        eval_data: Any,
        num_batch: int | None = None,
        reset: bool = True,
        sparse_row_id_fn: Callable[[Any], Mapping[str, Any]] | None = None,
    ) -> Iterator[tuple[list[NDArray], int, Any]]:
        """(outputs without filler, number of the batch, batch), one after the other."""
        self._require(params=True)
        if reset:
            eval_data.reset()
        for nbatch, eval_batch in enumerate(eval_data):
            if nbatch == num_batch:
                break
            self.prepare(eval_batch, sparse_row_id_fn)
            self.forward(eval_batch, is_train=False)
            pad = eval_batch.pad or 0
            yield [out[: out.shape[0] - pad] for out in self.get_outputs()], nbatch, eval_batch

    def predict(
        self,
        eval_data: Any,
        num_batch: int | None = None,
        merge_batches: bool = True,
        reset: bool = True,
        always_output_list: bool = False,
        sparse_row_id_fn: Callable[[Any], Mapping[str, Any]] | None = None,
    ) -> Any:
        """The outputs over `eval_data`: one array, or a list for several outputs.

        With `merge_batches=False` a list of each batch's outputs. An array instead of an iterator is one
        batch.
        """
        if isinstance(eval_data, NDArray | np.ndarray):
            eval_data = NDArrayIter(eval_data, batch_size=eval_data.shape[0])
        if not isinstance(eval_data, DataIter) and not hasattr(eval_data, "reset"):
            raise ConfigError(
                f"predict: eval_data is {type(eval_data).__name__}; wanted a DataIter or an array"
            )
        batches = [
            [out.copy() for out in outputs]
            for outputs, _, _ in self.iter_predict(eval_data, num_batch, reset, sparse_row_id_fn)
        ]
        if not merge_batches or not batches:
            return batches
        if len({len(outputs) for outputs in batches}) > 1:
            raise ConfigError("predict: batches have different numbers of outputs; use merge_batches=False")
        merged = [concatenate(list(parts), axis=0) for parts in zip(*batches, strict=True)]
        return merged[0] if len(merged) == 1 and not always_output_list else merged


def _as_list(callbacks: Callbacks) -> list[Any]:
    if callbacks is None:
        return []
    return list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]


def as_descs(shapes: Any) -> list[DataDesc]:
    """Descriptions from DataDescs or (name, shape) pairs."""
    return [s if isinstance(s, DataDesc) else DataDesc(*s) for s in shapes or ()]


def check_names(symbol: Any, names: Sequence[str], what: str, *, must: bool) -> None:
    """Each of `names` is an argument of the symbol. Raises ConfigError, or only warns unless it `must`."""
    arguments = symbol.list_arguments()
    for name in names:
        if name not in arguments:
            inputs = [a for a in arguments if not a.endswith(("_weight", "_bias", "_gamma", "_beta"))]
            text = (
                f"{what} has {name!r}, which is no argument of the symbol; its inputs are {', '.join(inputs)}"
            )
            if must:
                raise ConfigError(text)
            warnings.warn(text, stacklevel=3)  # logging.warning would configure the root logger

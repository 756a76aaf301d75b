"""`FeedForward`, the model of MXNet's first days, and the names that scripts import from here.

It is a thin wrapper of `Module` that takes NumPy arrays, and keeps parameters on itself.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .callback import BatchEndParam, LogValidationMetricsCallback
from .checkpoint import load_checkpoint, load_params, save_checkpoint
from .context import Context, current_context
from .errors import ConfigError
from .initializer import Uniform
from .io import DataIter, NDArrayIter, ResizeIter
from .metric import create as create_metric
from .module import BucketingModule, Module
from .module.store import create_kvstore as _create_kvstore
from .module.store import initialize_kvstore as _initialize_kvstore
from .module.store import update_params as _update_params
from .module.store import update_params_on_kvstore as _update_params_on_kvstore
from .ndarray import NDArray

__all__ = [
    "BatchEndParam",
    "FeedForward",
    "_create_kvstore",
    "_initialize_kvstore",
    "_update_params",
    "_update_params_on_kvstore",
    "load_checkpoint",
    "load_params",
    "save_checkpoint",
]


class FeedForward:
    """A symbol (or a function from a bucket's key to one) and its parameters: fit, predict, score, save.

    Further keyword arguments are the optimizer's. `epoch_size` is the number of batches of an epoch, by
    default all that the data has.
    """

    def __init__(
        self,
        symbol: Any,
        ctx: Context | Sequence[Context] | None = None,
        num_epoch: int | None = None,
        epoch_size: int | None = None,
        optimizer: Any = "sgd",
        initializer: Any = Uniform(0.01),  # noqa: B008 - has no state, and is what help() should show
        numpy_batch_size: int = 128,
        arg_params: Mapping[str, NDArray] | None = None,
        aux_params: Mapping[str, NDArray] | None = None,
        allow_extra_params: bool = False,
        begin_epoch: int = 0,
        **kwargs: Any,
    ) -> None:
        is_symbol = hasattr(symbol, "list_arguments")
        self.symbol = symbol if is_symbol else None
        self.sym_gen = None if is_symbol else symbol
        contexts = [current_context()] if ctx is None else [ctx] if isinstance(ctx, Context) else list(ctx)
        self.ctx = contexts
        self.num_epoch = num_epoch
        self.epoch_size = epoch_size
        self.optimizer = optimizer
        self.initializer = initializer
        self.numpy_batch_size = numpy_batch_size
        self.arg_params = dict(arg_params) if arg_params is not None else None
        self.aux_params = dict(aux_params) if aux_params is not None else None
        self.allow_extra_params = allow_extra_params
        self.begin_epoch = begin_epoch
        self.kwargs = kwargs

    # --- data ---------------------------------------------------------------------------------------

    def _iterator(self, X: Any, y: Any, is_train: bool) -> Any:
        """An iterator over X, which may be one already."""
        if not isinstance(X, np.ndarray | NDArray):
            if not isinstance(X, DataIter) and not hasattr(X, "provide_data"):
                raise TypeError(f"X is {type(X).__name__}; wanted a DataIter, an NDArray or a NumPy array")
            return X
        if y is None:
            if is_train:
                raise ConfigError("y must be given when X is an array")
            y = np.zeros(X.shape[0], np.float32)
        y = y.asnumpy() if isinstance(y, NDArray) else np.asarray(y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = y.ravel()
        if X.shape[0] != y.shape[0]:
            raise ConfigError(f"X has {X.shape[0]} rows, y has {y.shape[0]}")
        batch_size = min(X.shape[0], self.numpy_batch_size)
        last = "roll_over" if is_train else "pad"
        return NDArrayIter(X, y, batch_size, shuffle=is_train, last_batch_handle=last)

    def _module(
        self, data: Any, context: Sequence[Context], logger: Any = logging, work_load_list: Any = None
    ) -> Any:
        """A module whose labels are the data's labels, and whatever else has no parameter."""
        data_names = [desc[0] for desc in data.provide_data]
        label_names = [desc[0] for desc in data.provide_label]
        options: dict[str, Any] = {"logger": logger, "context": context, "work_load_list": work_load_list}

        def inputs_of(symbol: Any) -> tuple[Any, Sequence[str], Sequence[str]]:
            known = {*data_names, *label_names, *(self.arg_params or symbol.list_arguments())}
            others = [name for name in symbol.list_arguments() if name not in known]
            return symbol, data_names, label_names + others

        sym_gen = self.sym_gen
        if sym_gen is None:
            return Module(*inputs_of(self.symbol), **options)
        return BucketingModule(lambda key: inputs_of(sym_gen(key)), data.default_bucket_key, **options)

    def _for_prediction(self, data: Any, with_labels: bool) -> Any:
        if self.arg_params is None:
            raise ConfigError("FeedForward has no parameters yet: call fit, or give arg_params")
        mod = self._module(
            data, self.ctx[:1]
        )  # as MXNet: the same bits however many devices it was trained on
        mod.bind(data.provide_data, data.provide_label if with_labels else None, for_training=False)
        mod.set_params(self.arg_params, self.aux_params or {}, allow_extra=self.allow_extra_params)
        return mod

    # --- what it is for -----------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any = None,
        eval_data: Any = None,
        eval_metric: Any = "acc",
        epoch_end_callback: Any = None,
        batch_end_callback: Any = None,
        kvstore: Any = "local",
        logger: Any = None,
        work_load_list: Sequence[float] | None = None,
        monitor: Any = None,
        eval_end_callback: Any = LogValidationMetricsCallback(),  # noqa: B008 - has no state
        eval_batch_end_callback: Any = None,
    ) -> None:
        """Train on X (an iterator, or arrays X and y) from `begin_epoch` to `num_epoch`."""
        if self.num_epoch is None:
            raise ConfigError("FeedForward: num_epoch is not given")
        data = self._iterator(X, y, is_train=True)
        if self.epoch_size is not None:
            data = ResizeIter(data, self.epoch_size, reset_internal=False)
        if isinstance(eval_data, list | tuple) and len(eval_data) == 2:
            eval_data = self._iterator(eval_data[0], eval_data[1], is_train=False)
        elif eval_data is not None:
            eval_data = self._iterator(eval_data, None, is_train=False)
        with self._module(data, self.ctx, logger or logging, work_load_list) as mod:
            mod.fit(
                data,
                eval_data,
                eval_metric,
                epoch_end_callback=epoch_end_callback,
                batch_end_callback=batch_end_callback,
                kvstore=kvstore,
                optimizer=self.optimizer,
                optimizer_params=self.kwargs,
                eval_end_callback=eval_end_callback,
                eval_batch_end_callback=eval_batch_end_callback,
                initializer=self.initializer,
                arg_params=self.arg_params,
                aux_params=self.aux_params,
                allow_missing=True,
                begin_epoch=self.begin_epoch,
                num_epoch=self.num_epoch,
                monitor=monitor,
            )
            self.arg_params, self.aux_params = mod.get_params()

    def predict(
        self, X: Any, num_batch: int | None = None, return_data: bool = False, reset: bool = True
    ) -> Any:
        """The outputs as NumPy arrays; with `return_data` also the data and the labels they belong to."""
        data = self._iterator(X, None, is_train=False)
        if reset:
            data.reset()
        outputs: list[list[Any]] = []
        inputs: list[list[Any]] = []
        labels: list[list[Any]] = []
        with self._for_prediction(data, with_labels=False) as mod:
            for outs, _, batch in mod.iter_predict(data, num_batch, reset=False):
                outputs.append([o.asnumpy() for o in outs])
                if return_data:
                    keep = batch.data[0].shape[0] - (batch.pad or 0)
                    inputs.append([x[:keep].asnumpy() for x in batch.data])
                    labels.append([x[:keep].asnumpy() for x in batch.label or ()])
        merged = _merged(outputs)
        return (merged, _merged(inputs), _merged(labels)) if return_data else merged

    def score(
        self,
        X: Any,
        eval_metric: Any = "acc",
        num_batch: int | None = None,
        batch_end_callback: Any = None,
        reset: bool = True,
        y: Any = None,
    ) -> float:
        """The metric's value on X."""
        data = self._iterator(X, y, is_train=False)
        metric = create_metric(eval_metric)
        with self._for_prediction(data, with_labels=True) as mod:
            mod.score(data, metric, num_batch, batch_end_callback, reset=reset)
        value: float = metric.get()[1]
        return value

    def save(self, prefix: str, epoch: int | None = None, remove_amp_cast: bool = True) -> None:
        """Write a checkpoint, by default of epoch `num_epoch`."""
        epoch = self.num_epoch if epoch is None else epoch
        if epoch is None:
            raise ConfigError("FeedForward.save: neither epoch nor num_epoch is given")
        save_checkpoint(prefix, epoch, self.symbol, self.arg_params or {}, self.aux_params or {})

    @staticmethod
    def load(prefix: str, epoch: int, ctx: Any = None, **kwargs: Any) -> FeedForward:
        """A model from a checkpoint; to train on, give num_epoch."""
        symbol, arg_params, aux_params = load_checkpoint(prefix, epoch)
        return FeedForward(
            symbol, ctx=ctx, arg_params=arg_params, aux_params=aux_params, begin_epoch=epoch, **kwargs
        )

    @staticmethod
    def create(
        symbol: Any,
        X: Any,
        y: Any = None,
        ctx: Any = None,
        num_epoch: int | None = None,
        epoch_size: int | None = None,
        optimizer: Any = "sgd",
        initializer: Any = Uniform(0.01),  # noqa: B008 - has no state, and is what help() should show
        eval_data: Any = None,
        eval_metric: Any = "acc",
        epoch_end_callback: Any = None,
        batch_end_callback: Any = None,
        kvstore: Any = "local",
        logger: Any = None,
        work_load_list: Sequence[float] | None = None,
        eval_end_callback: Any = LogValidationMetricsCallback(),  # noqa: B008 - has no state
        eval_batch_end_callback: Any = None,
        **kwargs: Any,
    ) -> FeedForward:
        """Make a model and train it."""
        model = FeedForward(
            symbol,
            ctx=ctx,
            num_epoch=num_epoch,
            epoch_size=epoch_size,
            optimizer=optimizer,
            initializer=initializer,
            **kwargs,
        )
        model.fit(
            X,
            y,
            eval_data=eval_data,
            eval_metric=eval_metric,
            epoch_end_callback=epoch_end_callback,
            batch_end_callback=batch_end_callback,
            kvstore=kvstore,
            logger=logger,
            work_load_list=work_load_list,
            eval_end_callback=eval_end_callback,
            eval_batch_end_callback=eval_batch_end_callback,
        )
        return model


def _merged(batches: list[list[Any]]) -> Any:
    arrays = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
    return arrays[0] if len(arrays) == 1 else arrays

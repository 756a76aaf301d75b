"""Batches of several lengths: one symbol for each bucket, all on the same parameters."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import symbol as sym
from ..checkpoint import load_params, params_path, split_params
from ..context import Context
from ..errors import ConfigError
from ..initializer import Uniform
from ..ndarray import NDArray, array, load, save
from .base_module import BaseModule, Params
from .module import Module

__all__ = ["BucketingModule"]

SymGen = Callable[[Any], tuple[Any, Sequence[str], Sequence[str]]]


class BucketingModule(BaseModule):
    """A module for each bucket that comes up; a batch says its own by `bucket_key`.

    `sym_gen(key)` gives (symbol, data_names, label_names). The bucket `default_bucket_key` has all parameters
    and the largest arrays; the others share its parameters, their gradients and the optimizer.
    """

    def __init__(
        self,
        sym_gen: SymGen,
        default_bucket_key: Any = None,
        logger: Any = logging,
        context: Context | Sequence[Context] | None = None,
        work_load_list: Sequence[float] | None = None,
        fixed_param_names: Sequence[str] | None = None,
        state_names: Sequence[str] | None = None,
        group2ctxs: Any = None,
        compression_params: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(logger)
        if default_bucket_key is None:
            raise ConfigError("BucketingModule: default_bucket_key is not given")
        self._sym_gen = sym_gen
        self._default_bucket_key = default_bucket_key
        self._options: dict[str, Any] = {
            "logger": logger,
            "context": context,
            "work_load_list": work_load_list,
            "fixed_param_names": fixed_param_names,
            "state_names": state_names,
            "group2ctxs": group2ctxs,
            "compression_params": compression_params,
        }
        self._make_module(default_bucket_key)  # finds mistakes in sym_gen early
        self._buckets: dict[Any, Module] = {}
        self._curr_module: Any = None
        self._curr_bucket_key: Any = None
        self._grad_req: Any = "write"
        self._monitor: Any = None
        self._loaded: tuple[Params, Params] | None = None

    def _make_module(self, bucket_key: Any) -> Module:
        symbol, data_names, label_names = self._sym_gen(bucket_key)
        return Module(symbol, data_names, label_names, **self._options)

    # --- checkpoints --------------------------------------------------------------------------------

    def save_checkpoint(self, prefix: str, epoch: int, remove_amp_cast: bool = False) -> None:
        """Write each bucket's graph, the buckets' keys, and the parameters."""
        self._require(params=True)
        for key, module in self._buckets.items():
            module.symbol.save(f"{prefix}-{key}-symbol.json")
        save(f"{prefix}.buckets", [array(list(self._buckets), dtype="int32")])
        self.save_params(params_path(prefix, epoch))

    @staticmethod
    def load(
        prefix: str, epoch: int, sym_gen: SymGen | None = None, default_bucket_key: Any = None, **kwargs: Any
    ) -> BucketingModule:
        """A module from a checkpoint; `kwargs` are the constructor's."""
        keys = [int(key) for key in load(f"{prefix}.buckets")[0].asnumpy()]
        symbols = {key: sym.load(f"{prefix}-{key}-symbol.json") for key in keys}
        arg_params, aux_params = load_params(prefix, epoch)
        return BucketingModule.load_dict(
            symbols, sym_gen, default_bucket_key, arg_params, aux_params, **kwargs
        )

    @staticmethod
    def load_dict(
        sym_dict: Mapping[Any, Any] | None = None,
        sym_gen: SymGen | None = None,
        default_bucket_key: Any = None,
        arg_params: Params | None = None,
        aux_params: Params | None = None,
        **kwargs: Any,
    ) -> BucketingModule:
        """A module from symbols by bucket and parameters. Without `sym_gen` only those buckets exist."""
        symbols = dict(sym_dict or {})
        if sym_gen is None:
            data_names = kwargs.pop("data_names", ("data",))
            label_names = kwargs.pop("label_names", ("softmax_label",))

            def known(key: Any) -> tuple[Any, Sequence[str], Sequence[str]]:
                if key not in symbols:
                    raise ConfigError(
                        f"no symbol for bucket {key!r}; there are {', '.join(map(str, symbols))}"
                    )
                return symbols[key], data_names, label_names

            sym_gen = known
        mod = BucketingModule(sym_gen, default_bucket_key, **kwargs)
        for key in symbols:
            mod._buckets[key] = mod._make_module(key)
        mod._loaded = (arg_params or {}, aux_params or {})
        mod.params_initialized = True
        return mod

    # --- descriptions -------------------------------------------------------------------------------

    @property
    def data_names(self) -> Sequence[str]:
        if self.binded:
            return list(self._curr_module.data_names)
        return self._sym_gen(self._default_bucket_key)[1]

    @property
    def output_names(self) -> Sequence[str]:
        if self.binded:
            return list(self._curr_module.output_names)
        return list(self._sym_gen(self._default_bucket_key)[0].list_outputs())

    @property
    def data_shapes(self) -> Any:
        self._require(binded=True)
        return self._curr_module.data_shapes

    @property
    def label_shapes(self) -> Any:
        self._require(binded=True)
        return self._curr_module.label_shapes

    @property
    def output_shapes(self) -> Any:
        self._require(binded=True)
        return self._curr_module.output_shapes

    @property
    def symbol(self) -> Any:
        self._require(binded=True)
        return self._curr_module.symbol

    @property
    def _default(self) -> Module:
        return self._buckets[self._default_bucket_key]

    # --- parameters ---------------------------------------------------------------------------------

    def get_params(self) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
        self._require(params=True)
        return self._default.get_params()

    def init_params(
        self,
        initializer: Any = Uniform(0.01),  # noqa: B008 - has no state, and is what help() should show
        arg_params: Params | None = None,
        aux_params: Params | None = None,
        allow_missing: bool = False,
        force_init: bool = False,
        allow_extra: bool = False,
    ) -> None:
        if self.params_initialized and not force_init:
            return
        self._require(binded=True)
        self._default.init_params(initializer, arg_params, aux_params, allow_missing, force_init, allow_extra)
        self.params_initialized = True

    def set_params(
        self,
        arg_params: Params | None,
        aux_params: Params | None,
        allow_missing: bool = False,
        force_init: bool = True,
        allow_extra: bool = False,
    ) -> None:
        self._require(binded=True)
        self._default.set_params(arg_params, aux_params, allow_missing, force_init, allow_extra)
        self.params_initialized = True

    def load_params(self, fname: str) -> None:
        self.set_params(*split_params(load(fname), fname))

    # --- binding ------------------------------------------------------------------------------------

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
        """Bind the default bucket; the others are bound when they come up."""
        if shared_module is not None:
            raise ConfigError("BucketingModule: shared_module is not supported")
        if force_rebind:
            for bucket in self._buckets.values():
                bucket._reset_bind()
            self.binded = False
        if self.binded:
            self.logger.warning("Already bound, ignoring bind()")
            return
        self.for_training = for_training
        self.inputs_need_grad = inputs_need_grad
        self._grad_req = grad_req
        key = self._default_bucket_key
        module = self._buckets.setdefault(key, self._make_module(key))
        module.bind(data_shapes, label_shapes, for_training, inputs_need_grad, grad_req=grad_req)
        if self._loaded is not None:
            module.set_params(*self._loaded)
            self._loaded = None
        self._curr_module, self._curr_bucket_key = module, key
        self.binded = True
        if self._monitor is not None:
            module.install_monitor(self._monitor)

    def switch_bucket(self, bucket_key: Any, data_shapes: Any, label_shapes: Any = None) -> None:
        """Make a bucket the current one, and bind it if it is new."""
        self._require(binded=True)
        module = self._buckets.get(bucket_key)
        if module is None:
            module = self._buckets[bucket_key] = self._make_module(bucket_key)
        if not module.binded:
            module.bind(
                data_shapes,
                label_shapes,
                self._curr_module.for_training,
                self._curr_module.inputs_need_grad,
                shared_module=self._default,
                grad_req=self._grad_req,
            )
            if self._monitor is not None:
                module.install_monitor(self._monitor)
        if self.optimizer_initialized and not module.optimizer_initialized:
            module.borrow_optimizer(self._default)
        self._curr_module, self._curr_bucket_key = module, bucket_key

    def init_optimizer(
        self,
        kvstore: Any = "local",
        optimizer: Any = "sgd",
        optimizer_params: Any = (("learning_rate", 0.01),),
        force_init: bool = False,
    ) -> None:
        self._require(params=True)
        if self.optimizer_initialized and not force_init:
            self.logger.warning("optimizer already initialized, ignoring...")
            return
        self._default.init_optimizer(kvstore, optimizer, optimizer_params, force_init=force_init)
        for module in self._buckets.values():
            if module is not self._default and module.binded:
                module.borrow_optimizer(self._default)
        self.optimizer_initialized = True

    # --- computing ----------------------------------------------------------------------------------

    def prepare(
        self, data_batch: Any, sparse_row_id_fn: Callable[[Any], Mapping[str, Any]] | None = None
    ) -> None:
        """Bind the batch's bucket ahead of time; the current one stays."""
        self._require(params=True)
        current, key = self._curr_module, self._curr_bucket_key
        self._switch_to(data_batch)
        self._curr_module.prepare(data_batch, sparse_row_id_fn)
        self._curr_module, self._curr_bucket_key = current, key

    def _switch_to(self, data_batch: Any) -> None:
        key = self._default_bucket_key if data_batch.bucket_key is None else data_batch.bucket_key
        self.switch_bucket(key, data_batch.provide_data, data_batch.provide_label)

    def forward(self, data_batch: Any, is_train: bool | None = None) -> None:
        self._require(params=True)
        self._switch_to(data_batch)
        self._curr_module.forward(data_batch, is_train)

    def backward(self, out_grads: Any = None) -> None:
        self._require(params=True)
        self._curr_module.backward(out_grads)

    def update(self) -> None:
        self._require(optimizer=True)
        self._default._params_dirty = True  # it is the one that is asked for parameters
        self._curr_module.update()

    def get_outputs(self, merge_multi_context: bool = True) -> Any:
        self._require(params=True)
        return self._curr_module.get_outputs(merge_multi_context)

    def get_input_grads(self, merge_multi_context: bool = True) -> Any:
        self._require(params=True)
        return self._curr_module.get_input_grads(merge_multi_context)

    def get_states(self, merge_multi_context: bool = True) -> Any:
        self._require(params=True)
        return self._curr_module.get_states(merge_multi_context)

    def set_states(self, states: Any = None, value: Any = None) -> None:
        self._require(params=True)
        self._curr_module.set_states(states, value)

    def update_metric(self, eval_metric: Any, labels: Any, pre_sliced: bool = False) -> None:
        self._require(params=True)
        self._curr_module.update_metric(eval_metric, labels, pre_sliced)

    def install_monitor(self, mon: Any) -> None:
        self._require(binded=True)
        self._monitor = mon
        for module in self._buckets.values():
            if module.binded:
                module.install_monitor(mon)

    def close(self) -> None:
        for module in self._buckets.values():
            module.close()

"""Modules one after the other: the outputs of each are the data of the next."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from typing import Any

from ..errors import ConfigError
from ..initializer import Uniform
from ..io import DataDesc
from ..ndarray import NDArray
from .base_module import BaseModule, Params, as_descs

__all__ = ["SequentialModule"]


class SequentialModule(BaseModule):
    """A chain of modules. `add(module, take_labels=True)` gives a module the labels as well.

    With `auto_wiring=True` a module's inputs are the outputs before it, by position whatever their names.
    """

    META_TAKE_LABELS = "take_labels"
    META_AUTO_WIRING = "auto_wiring"

    def __init__(self, logger: Any = logging) -> None:
        super().__init__(logger)
        self._modules: list[Any] = []
        self._metas: list[dict[str, Any]] = []
        self._label_shapes: Any = None

    def add(self, module: Any, **kwargs: Any) -> SequentialModule:
        """Append a module; returns the chain, so that calls can be chained."""
        for name in kwargs:
            if name not in (self.META_TAKE_LABELS, self.META_AUTO_WIRING):
                raise ConfigError(
                    f"SequentialModule.add: no option {name!r}; it takes take_labels, auto_wiring"
                )
        self._modules.append(module)
        self._metas.append(kwargs)
        self.binded = self.params_initialized = self.optimizer_initialized = False
        return self

    # --- descriptions -------------------------------------------------------------------------------

    @property
    def data_names(self) -> Sequence[str]:
        return self._modules[0].data_names if self._modules else []

    @property
    def output_names(self) -> Sequence[str]:
        return self._modules[-1].output_names if self._modules else []

    @property
    def data_shapes(self) -> Any:
        self._require(binded=True)
        return self._modules[0].data_shapes

    @property
    def label_shapes(self) -> Any:
        self._require(binded=True)
        return self._label_shapes

    @property
    def output_shapes(self) -> Any:
        self._require(binded=True)
        return self._modules[-1].output_shapes

    # --- parameters ---------------------------------------------------------------------------------

    def get_params(self) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
        self._require(params=True)
        arg_params: dict[str, NDArray] = {}
        aux_params: dict[str, NDArray] = {}
        for module in self._modules:
            args, auxs = module.get_params()
            arg_params |= args
            aux_params |= auxs
        return arg_params, aux_params

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
        owner: dict[str, int] = {}
        for i, module in enumerate(self._modules):
            module.init_params(
                initializer=initializer,
                arg_params=arg_params,
                aux_params=aux_params,
                allow_missing=allow_missing,
                force_init=force_init,
                allow_extra=True,  # what is another module's
            )
            for name in (name for params in module.get_params() for name in params):
                if owner.setdefault(name, i) != i:
                    raise ConfigError(
                        f"modules {owner[name]} and {i} of the chain both have a parameter {name!r}; rename one"
                    )
        self.params_initialized = True

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
        if self.binded and not force_rebind:
            self.logger.warning("Already bound, ignoring bind()")
            return
        if inputs_need_grad and not for_training:
            raise ConfigError("bind: inputs_need_grad needs for_training=True")
        if shared_module is not None:
            raise ConfigError("SequentialModule: shared_module is not supported")
        if not self._modules:
            raise ConfigError("SequentialModule: no module was added")
        self.for_training = for_training
        self.inputs_need_grad = inputs_need_grad
        self._label_shapes = None
        shapes = as_descs(data_shapes)
        for i, (module, meta) in enumerate(zip(self._modules, self._metas, strict=True)):
            takes_labels = meta.get(self.META_TAKE_LABELS, False)
            if takes_labels:
                self._label_shapes = label_shapes
            if meta.get(self.META_AUTO_WIRING, False):
                names = module.data_names
                if len(names) != len(shapes):
                    raise ConfigError(f"module {i} has inputs {names}; {len(shapes)} outputs come before it")
                shapes = [DataDesc(n, d.shape, d.dtype, d.layout) for n, d in zip(names, shapes, strict=True)]
            module.bind(
                data_shapes=shapes,
                label_shapes=label_shapes if takes_labels else None,
                for_training=for_training,
                inputs_need_grad=for_training and (inputs_need_grad or i > 0),
                force_rebind=force_rebind,
                grad_req=grad_req,
            )
            shapes = as_descs(module.output_shapes)
        self.binded = True

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
        for module in self._modules:
            module.init_optimizer(kvstore, optimizer, optimizer_params, force_init=force_init)
        self.optimizer_initialized = True

    # --- computing ----------------------------------------------------------------------------------

    def forward(self, data_batch: Any, is_train: bool | None = None) -> None:
        self._require(params=True)
        batch = copy.copy(data_batch)
        for i, module in enumerate(self._modules):
            module.forward(batch, is_train=is_train)
            if i + 1 == len(self._modules):
                return
            batch.data = module.get_outputs()
            names = self._modules[i + 1].data_names
            batch.provide_data = [
                DataDesc(n, x.shape, x.dtype) for n, x in zip(names, batch.data, strict=True)
            ]

    def backward(self, out_grads: Any = None) -> None:
        self._require(params=True)
        for module in reversed(self._modules):
            module.backward(out_grads=out_grads)
            if module is not self._modules[0]:
                out_grads = module.get_input_grads()

    def update(self) -> None:
        self._require(optimizer=True)
        for module in self._modules:
            module.update()

    def get_outputs(self, merge_multi_context: bool = True) -> Any:
        self._require(params=True)
        return self._modules[-1].get_outputs(merge_multi_context)

    def get_input_grads(self, merge_multi_context: bool = True) -> Any:
        self._require(params=True)
        return self._modules[0].get_input_grads(merge_multi_context)

    def update_metric(self, eval_metric: Any, labels: Any, pre_sliced: bool = False) -> None:
        self._require(params=True)
        for module, meta in zip(self._modules, self._metas, strict=True):
            if meta.get(self.META_TAKE_LABELS, False):
                module.update_metric(eval_metric, labels, pre_sliced)

    def install_monitor(self, mon: Any) -> None:
        self._require(binded=True)
        for module in self._modules:
            module.install_monitor(mon)

    def close(self) -> None:
        for module in self._modules:
            module.close()

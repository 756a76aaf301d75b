"""Stochastic variance-reduced gradients (Johnson and Zhang, 2013), for a Module.

Every few epochs the gradient of the whole data is taken at the weights of that moment, w̃. A step then goes along

    g(w) - g(w̃) + mean over all batches of g(w̃)

where both g are of the step's own batch: the same in the mean as g(w), and with little variance while w is near w̃.

On several devices, or several workers in synchronous rounds, each takes its own share of the data for the full gradient:
what is summed over them is the same as if the full gradients were summed first, and nothing more has to travel.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...context import Context
from ...errors import BadType, ConfigError
from ...module import Module
from ...ndarray import NDArray
from .svrg_optimizer import _SVRGOptimizer

__all__ = ["SVRGModule"]


class SVRGModule(Module):
    """A Module that steps along variance-reduced gradients.

    `fit` takes the full gradient in every epoch whose number `update_freq` divides. In a loop of your own call
    `update_full_grads(data)` there; until it was called once, steps are ordinary ones. Other arguments are Module's.
    """

    def __init__(
        self,
        symbol: Any,
        data_names: Sequence[str] | None = ("data",),
        label_names: Sequence[str] | None = ("softmax_label",),
        logger: Any = logging,
        context: Context | Sequence[Context] | None = None,
        work_load_list: Sequence[float] | None = None,
        fixed_param_names: Sequence[str] | None = None,
        state_names: Sequence[str] | None = None,
        group2ctxs: Any = None,
        compression_params: Mapping[str, Any] | None = None,
        update_freq: int | None = None,
    ) -> None:
        if not isinstance(update_freq, int):
            raise BadType(
                f"SVRGModule: update_freq is {update_freq!r}; wanted a whole number of epochs, such as 2"
            )
        if update_freq < 1:
            raise ConfigError(f"SVRGModule: update_freq is {update_freq}; wanted 1 epoch or more")
        arguments = (
            data_names, label_names, logger, context, work_load_list, fixed_param_names, state_names, group2ctxs,
            compression_params,
        )  # fmt: skip
        super().__init__(symbol, *arguments)
        self.update_freq = update_freq
        self._mod_aux = Module(symbol, *arguments)  # at the weights of the latest full gradient
        self._ctx_len = len(self._context)
        self._param_dict: list[dict[str, NDArray]] | None = None  # per device: the full gradients by name

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
        rest = (for_training, inputs_need_grad, force_rebind, shared_module, grad_req)
        super().bind(data_shapes, label_shapes, *rest)
        if for_training and (force_rebind or not self._mod_aux.binded):
            self._mod_aux.bind(data_shapes, label_shapes, *rest)

    def _reset_bind(self) -> None:
        super()._reset_bind()
        self._mod_aux._reset_bind()

    def reshape(self, data_shapes: Any, label_shapes: Any = None) -> None:
        super().reshape(data_shapes, label_shapes)
        self._mod_aux.reshape(data_shapes, label_shapes)

    def close(self) -> None:
        super().close()
        self._mod_aux.close()

    def _make_optimizer(self, given: Any, params: dict[str, Any], store: Any, on_store: bool) -> Any:
        return _SVRGOptimizer(super()._make_optimizer(given, params, store, on_store))

    def forward(self, data_batch: Any, is_train: bool | None = None) -> None:
        super().forward(data_batch, is_train)
        if (self.for_training if is_train is None else is_train) and self._param_dict is not None:
            self._mod_aux.forward(data_batch, is_train)

    def backward(self, out_grads: Any = None) -> None:
        super().backward(out_grads)
        if self._param_dict is not None:
            self._mod_aux.backward(out_grads)

    def forward_backward(self, data_batch: Any) -> None:
        self.forward(data_batch, is_train=True)
        self.backward()

    def update(self) -> None:
        self._update_svrg_gradients()
        super().update()

    def update_full_grads(self, train_data: Any) -> None:
        """Take the gradient of all batches of `train_data`, from its beginning, at the weights of now."""
        self._require(params=True)
        aux = self._mod_aux
        aux.set_params(*self.get_params())
        sums: list[dict[str, NDArray]] = [{} for _ in self._context]
        num_batches = 0
        train_data.reset()
        for batch in train_data:
            aux.forward(batch, is_train=True)
            aux.backward()
            num_batches += 1
            for name, grads in zip(self._param_names, aux._exec_group.grad_arrays, strict=True):
                for mine, grad in zip(sums, grads, strict=True):
                    if grad is not None:
                        mine[name] = mine[name] + grad if name in mine else grad.copy()
        if not num_batches:
            raise ConfigError("update_full_grads: train_data has no batch")
        self._param_dict = [{name: total / num_batches for name, total in mine.items()} for mine in sums]

    def _update_svrg_gradients(self) -> None:
        """Replace the gradients of the batch by variance-reduced ones."""
        if self._param_dict is None:
            return
        pairs = zip(self._exec_group.grad_arrays, self._mod_aux._exec_group.grad_arrays, strict=True)
        for name, (now, then) in zip(self._param_names, pairs, strict=True):
            for k, grad in enumerate(now):
                if grad is not None:
                    grad[:] = self._svrg_grads_update_rule(grad, then[k], self._param_dict[k][name])

    def _svrg_grads_update_rule(
        self,
        g_curr_batch_curr_weight: NDArray,
        g_curr_batch_special_weight: NDArray,
        g_special_weight_all_batch: NDArray,
    ) -> NDArray:
        """g(w) - g(w̃) + mean of g(w̃): the formula above."""
        return g_curr_batch_curr_weight - g_curr_batch_special_weight + g_special_weight_all_batch

    def _fit_epoch(
        self, train_data: Any, eval_metric: Any, epoch: int, *rest: Any
    ) -> list[tuple[str, float]]:
        if epoch % self.update_freq == 0:
            self.update_full_grads(train_data)
            train_data.reset()
        return super()._fit_epoch(train_data, eval_metric, epoch, *rest)

    def prepare(
        self,
        data_batch: Any,
        sparse_row_id_fn: Callable[[Any], Mapping[str, Any]] | None = None,
    ) -> None:
        super().prepare(data_batch, sparse_row_id_fn)
        self._mod_aux.prepare(data_batch)

"""Modules written in Python rather than as a symbol: for a loss, or a step between others in a chain."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ConfigError
from ..ndarray import NDArray, array
from .base_module import BaseModule, Params, as_descs

__all__ = ["PythonLossModule", "PythonModule"]


class PythonModule(BaseModule):
    """A module without parameters, unless a subclass adds them.

    A subclass gives `_compute_output_shapes`, `forward`, `backward`, `get_outputs` and `get_input_grads`.
    """

    def __init__(
        self,
        data_names: Sequence[str],
        label_names: Sequence[str] | None,
        output_names: Sequence[str],
        logger: Any = logging,
    ) -> None:
        super().__init__(logger)
        self._data_names = list(data_names)
        self._label_names = list(label_names or ())
        self._output_names = list(output_names)
        self._data_shapes: Any = None
        self._label_shapes: Any = None
        self._output_shapes: Any = None

    @property
    def data_names(self) -> Sequence[str]:
        return self._data_names

    @property
    def output_names(self) -> Sequence[str]:
        return self._output_names

    @property
    def data_shapes(self) -> Any:
        return self._data_shapes

    @property
    def label_shapes(self) -> Any:
        return self._label_shapes

    @property
    def output_shapes(self) -> Any:
        return self._output_shapes

    def get_params(self) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
        return {}, {}

    def init_params(
        self,
        initializer: Any = None,
        arg_params: Params | None = None,
        aux_params: Params | None = None,
        allow_missing: bool = False,
        force_init: bool = False,
        allow_extra: bool = False,
    ) -> None:
        self.params_initialized = True

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
        if grad_req != "write":
            raise ConfigError(f"{type(self).__name__}: grad_req is {grad_req!r}; only 'write' is supported")
        self.for_training = for_training
        self.inputs_need_grad = inputs_need_grad
        self._data_shapes = as_descs(data_shapes)
        self._label_shapes = as_descs(label_shapes) if label_shapes is not None else None
        for what, descs, names in (
            ("data", self._data_shapes, self._data_names),
            ("labels", self._label_shapes, self._label_names),
        ):
            if descs is not None and [d.name for d in descs] != names:
                raise ConfigError(
                    f"{type(self).__name__}: the {what} are {[d.name for d in descs]}; wanted {names}"
                )
        self._output_shapes = self._compute_output_shapes()
        self.binded = True

    def _compute_output_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """(name, shape) of each output, from `data_shapes` and `label_shapes`."""
        raise NotImplementedError(f"{type(self).__name__} must override _compute_output_shapes()")

    def init_optimizer(
        self,
        kvstore: Any = "local",
        optimizer: Any = "sgd",
        optimizer_params: Any = (("learning_rate", 0.01),),
        force_init: bool = False,
    ) -> None:
        self.optimizer_initialized = True

    def update(self) -> None:
        """Nothing to update without parameters."""

    def update_metric(self, eval_metric: Any, labels: Any, pre_sliced: bool = False) -> None:
        if self._label_shapes is not None:
            if pre_sliced:
                raise ConfigError(f"{type(self).__name__}: labels per device are not supported")
            eval_metric.update(labels, self.get_outputs())

    def install_monitor(self, mon: Any) -> None:
        """There are no nodes to look at."""


class PythonLossModule(PythonModule):
    """A loss in Python: its output is its input, `grad_func(scores, labels)` the gradient with respect to it."""

    def __init__(
        self,
        name: str = "pyloss",
        data_names: Sequence[str] = ("data",),
        label_names: Sequence[str] = ("softmax_label",),
        logger: Any = logging,
        grad_func: Callable[[NDArray, NDArray], Any] | None = None,
    ) -> None:
        super().__init__(data_names, label_names, [f"{name}_output"], logger)
        if len(self._data_names) != 1 or len(self._label_names) != 1:
            raise ConfigError("PythonLossModule: wanted one input and one label")
        if grad_func is not None and not callable(grad_func):
            raise ConfigError(f"PythonLossModule: grad_func is {grad_func!r}; wanted a function")
        self._name = name
        self._grad_func = grad_func
        self._scores: NDArray | None = None
        self._labels: NDArray | None = None
        self._scores_grad: NDArray | None = None

    def _compute_output_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        return [(f"{self._name}_output", self._data_shapes[0].shape)]

    def forward(self, data_batch: Any, is_train: bool | None = None) -> None:
        self._scores = data_batch.data[0]
        if self.for_training if is_train is None else is_train:
            self._labels = data_batch.label[0]

    def get_outputs(self, merge_multi_context: bool = True) -> Any:
        return [self._scores]

    def backward(self, out_grads: Any = None) -> None:
        if out_grads is not None:
            raise ConfigError(
                "PythonLossModule is a loss: nothing comes back to it, so out_grads must be None"
            )
        self._backward_impl()

    def _backward_impl(self) -> None:
        """Set `_scores_grad` from `_scores` and `_labels`."""
        if self._grad_func is None:
            raise NotImplementedError("PythonLossModule: give grad_func, or override _backward_impl()")
        assert self._scores is not None
        assert self._labels is not None
        grad = self._grad_func(self._scores, self._labels)
        self._scores_grad = grad if isinstance(grad, NDArray) else array(grad)

    def get_input_grads(self, merge_multi_context: bool = True) -> Any:
        return [self._scores_grad]

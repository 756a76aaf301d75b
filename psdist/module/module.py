"""A symbol to train: `Module` binds it on devices, holds its parameters, and updates them through a store."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import checkpoint, optimizer
from ..context import Context, cpu
from ..errors import ConfigError, ShapeError
from ..initializer import InitDesc, Uniform
from ..io import DataDesc
from ..ndarray import NDArray, sparse
from .base_module import BaseModule, Params, as_descs, check_names
from .executor_group import DataParallelExecutorGroup
from .store import (
    NOTHING,
    Averages,
    EarlyPushes,
    Exchange,
    create_kvstore,
    initialize_kvstore,
    update_params,
    update_params_on_kvstore,
)

__all__ = ["Module"]


class Module(BaseModule):
    """A symbol with its parameters, on one device or several.

    `data_names` and `label_names` are the symbol's inputs; every other argument is a parameter. With several
    contexts each batch is split over them, as `work_load_list` says, and their gradients are summed in device
    order. `fixed_param_names` are not learned; `state_names` are carried from batch to batch by the caller.
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
    ) -> None:
        super().__init__(logger)
        if context is None:
            context = cpu()
        self._context = [context] if isinstance(context, Context) else list(context)
        self._work_load_list = list(work_load_list or [1] * len(self._context))
        if len(self._work_load_list) != len(self._context):
            raise ConfigError(f"{len(self._work_load_list)} workloads for {len(self._context)} contexts")
        self._symbol = symbol
        self._group2ctxs = group2ctxs
        self._compression_params = compression_params
        self._data_names = list(data_names or ())
        self._label_names = list(label_names or ())
        self._state_names = list(state_names or ())
        self._fixed_param_names = list(fixed_param_names or ())
        check_names(symbol, self._data_names, "data_names", must=True)
        check_names(symbol, self._label_names, "label_names", must=False)
        check_names(symbol, self._state_names, "state_names", must=True)
        check_names(symbol, self._fixed_param_names, "fixed_param_names", must=True)
        inputs = {*self._data_names, *self._label_names, *self._state_names}
        self._param_names = [name for name in symbol.list_arguments() if name not in inputs]
        self._aux_names = symbol.list_auxiliary_states()
        self._output_names: list[str] = symbol.list_outputs()
        self._arg_params: dict[str, NDArray] | None = (
            None  # host copies; behind the devices' when _params_dirty
        )
        self._aux_params: dict[str, NDArray] | None = None
        self._params_dirty = False
        self._tables: set[str] = set()  # parameters that the store holds by rows
        self._by_rows: set[str] = set()  # of these, those whose rows `prepare` pulls, and no update
        self._optimizer: Any = None
        self._kvstore: Any = None
        self._update_on_kvstore = False
        self._updater: Any = None
        self._averages: Averages | None = None  # of the auxiliary states, over several workers
        self._portions: Sequence[int] = ()  # of the data, that the latest batch is of
        self._preload_opt_states: str | None = None  # a file to read when the optimizer is made
        self._exec_group: Any = None
        self._data_shapes: list[DataDesc] | None = None
        self._label_shapes: list[DataDesc] | None = None

    @staticmethod
    def load(prefix: str, epoch: int, load_optimizer_states: bool = False, **kwargs: Any) -> Module:
        """A module from a checkpoint; `kwargs` are the constructor's. `bind` sets its parameters."""
        symbol, arg_params, aux_params = checkpoint.load_checkpoint(prefix, epoch)
        mod = Module(symbol=symbol, **kwargs)
        mod._arg_params, mod._aux_params = arg_params, aux_params
        mod.params_initialized = True
        if load_optimizer_states:
            mod._preload_opt_states = f"{prefix}-{epoch:04d}.states"
        return mod

    def save_checkpoint(
        self, prefix: str, epoch: int, save_optimizer_states: bool = False, remove_amp_cast: bool = True
    ) -> None:
        """Write the graph, the parameters, and if asked the optimizer's states (`prefix-0001.states`)."""
        arg_params, aux_params = self.get_params()
        checkpoint.save_checkpoint(prefix, epoch, self._symbol, arg_params, aux_params, remove_amp_cast)
        if save_optimizer_states:
            states = f"{prefix}-{epoch:04d}.states"
            self.save_optimizer_states(states)
            logging.info('Saved optimizer state to "%s"', states)

    # --- descriptions -------------------------------------------------------------------------------

    @property
    def data_names(self) -> Sequence[str]:
        return self._data_names

    @property
    def label_names(self) -> Sequence[str]:
        """The names of the labels."""
        return self._label_names

    @property
    def output_names(self) -> Sequence[str]:
        return self._output_names

    @property
    def data_shapes(self) -> Any:
        self._require(binded=True)
        return self._data_shapes

    @property
    def label_shapes(self) -> Any:
        self._require(binded=True)
        return self._label_shapes

    @property
    def output_shapes(self) -> Any:
        self._require(binded=True)
        return self._exec_group.get_output_shapes()

    # --- parameters ---------------------------------------------------------------------------------

    def get_params(self) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
        self._require(params=True)
        if self._params_dirty:
            self._sync_params_from_devices()
        assert self._arg_params is not None
        assert self._aux_params is not None
        return self._arg_params, self._aux_params

    def _sync_params_from_devices(self) -> None:
        for name in self._by_rows:  # the devices have of these the rows of the last batches only
            copies = self._exec_group.param_arrays[self._param_names.index(name)]
            self._kvstore.pull(name, out=list(copies))
        self._exec_group.get_params(self._arg_params, self._aux_params)
        if self._averages is not None and self._aux_params is not None:
            for name, mean in self._averages.means.items():
                if name in self._aux_params:
                    mean.copyto(self._aux_params[name])
        self._params_dirty = False

    def _allocate_params(self) -> None:
        group = self._exec_group
        first = {name: copies[0] for name, copies in zip(self._param_names, group.param_arrays, strict=True)}
        first_aux = {name: copies[0] for name, copies in zip(self._aux_names, group.aux_arrays, strict=True)}
        if self._arg_params is None:
            attributes = self._symbol.attr_dict()

            def stype(name: str) -> str:
                number = attributes.get(name, {}).get("__storage_type__", "")
                return "row_sparse" if number == "1" else "default"

            self._arg_params = {n: _zeros(a, stype(n)) for n, a in first.items()}
        if self._aux_params is None:
            self._aux_params = {n: _zeros(a, "default") for n, a in first_aux.items()}

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
        self._allocate_params()
        assert self._arg_params is not None
        assert self._aux_params is not None
        attributes = self._symbol.attr_dict()
        for mine, given in ((self._arg_params, arg_params), (self._aux_params, aux_params)):
            for name, target in sorted(mine.items()):
                value = given.get(name) if given is not None else None
                if value is not None:
                    if value.shape != target.shape:
                        raise ShapeError(
                            f"set_params: '{name}' is {value.shape}; the model's is {target.shape}"
                        )
                    if value is not target:
                        value.copyto(target)
                elif given is not None and not allow_missing:
                    raise ConfigError(
                        f"init_params: {name} is not among the parameters given (allow_missing=False)"
                    )
                elif initializer is not None:
                    initializer(InitDesc(name, attributes.get(name)), target)
        self.params_initialized = True
        self._params_dirty = False
        self._exec_group.set_params(self._arg_params, self._aux_params)

    def set_params(
        self,
        arg_params: Params | None,
        aux_params: Params | None,
        allow_missing: bool = False,
        force_init: bool = True,
        allow_extra: bool = False,
    ) -> None:
        if self.params_initialized and not force_init:
            warnings.warn("set_params: the parameters are set already, and force_init=False", stacklevel=2)
            return
        if allow_missing and not allow_extra:  # a whole model's parameters may be given to a part of it
            known = {*self._param_names, *self._aux_names}
            if extra := sorted({*(arg_params or ()), *(aux_params or ())} - known):
                raise ConfigError(
                    f"set_params: the symbol has no {', '.join(extra)}; allow_extra=True ignores them"
                )
        self.init_params(
            initializer=None,
            arg_params=arg_params,
            aux_params=aux_params,
            allow_missing=allow_missing,
            force_init=force_init,
            allow_extra=allow_extra,
        )

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
        if force_rebind:
            self._reset_bind()
        if self.binded:
            self.logger.warning("Already bound, ignoring bind()")
            return
        if inputs_need_grad and not for_training:
            raise ConfigError("bind: inputs_need_grad needs for_training=True")
        data, labels = self._descs(data_shapes, label_shapes)
        shared_group = None
        if shared_module is not None:
            shared_module._require(params=True)
            shared_group = shared_module._exec_group
            if len(shared_group.execs) < len(self._context):
                raise ConfigError("bind: the shared module runs on fewer devices than this one")
        self.for_training = for_training
        self.inputs_need_grad = inputs_need_grad
        self._data_shapes, self._label_shapes = data, labels
        self._exec_group = DataParallelExecutorGroup(
            self._symbol,
            self._context,
            self._work_load_list,
            data,
            labels,
            self._param_names,
            for_training,
            inputs_need_grad,
            shared_group,
            fixed_param_names=self._fixed_param_names,
            grad_req=grad_req,
            state_names=self._state_names,
            group2ctxs=self._group2ctxs,
        )
        self.binded = True
        if shared_module is not None:
            self._arg_params, self._aux_params = shared_module._arg_params, shared_module._aux_params
            self.params_initialized = True
            if shared_module.optimizer_initialized:
                self.borrow_optimizer(shared_module)
        elif self.params_initialized:  # loaded, or bound before
            assert self._arg_params is not None
            assert self._aux_params is not None
            self._exec_group.set_params(self._arg_params, self._aux_params)

    def _reset_bind(self) -> None:
        if self.binded and self._params_dirty:
            self._sync_params_from_devices()
        self.close()
        self.binded = False
        self._exec_group = None
        self._data_shapes = self._label_shapes = None

    def _descs(self, data_shapes: Any, label_shapes: Any) -> tuple[list[DataDesc], list[DataDesc] | None]:
        data, labels = as_descs(data_shapes), as_descs(label_shapes)
        if [d.name for d in data] != self._data_names and {d.name for d in data} != set(self._data_names):
            raise ConfigError(
                f"the data is {', '.join(d.name for d in data)}; the module's data_names are "
                f"{', '.join(self._data_names)}"
            )
        if labels and {d.name for d in labels} != set(self._label_names):
            names = ", ".join(d.name for d in labels)
            warnings.warn(
                f"the labels are {names}; the module's label_names are {', '.join(self._label_names)}",
                stacklevel=3,
            )
        arguments = self._symbol.list_arguments()
        return data, [d for d in labels if d.name in arguments] or None

    def reshape(self, data_shapes: Any, label_shapes: Any = None) -> None:
        """Bind again for other batch shapes; parameters and optimizer stay."""
        self._require(binded=True)
        self._data_shapes, self._label_shapes = self._descs(data_shapes, label_shapes)
        self._exec_group.reshape(self._data_shapes, self._label_shapes)

    def close(self) -> None:
        if self._exec_group is not None:
            self._exec_group.close()

    # --- the optimizer ------------------------------------------------------------------------------

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
        if self._params_dirty:
            self._sync_params_from_devices()
        assert self._arg_params is not None
        store, on_store = create_kvstore(kvstore, len(self._context), self._arg_params)
        self._optimizer = self._make_optimizer(optimizer, dict(optimizer_params), store, on_store)
        self._kvstore, self._update_on_kvstore, self._updater = store, on_store, None
        if store is not None:
            if self._compression_params:
                store.set_gradient_compression(self._compression_params)
            if on_store:
                store.set_optimizer(self._optimizer)
            self._tables = self._sparse_parameters() if "dist" in store.type else set()
            initialize_kvstore(
                store,
                self._exec_group.param_arrays,
                self._arg_params,
                self._param_names,
                on_store,
                self._tables,
            )
            self._average_states(store)
            self._params_dirty = True  # rank 0's values have come to the devices
        if not on_store:
            self._updater = _updater(self._optimizer)
        self.optimizer_initialized = True
        if self._preload_opt_states is not None:
            self.load_optimizer_states(self._preload_opt_states)
            self._preload_opt_states = None

    def _sparse_parameters(self) -> set[str]:
        """Those whose gradient has few rows, where the optimizer can update rows."""
        if self._update_on_kvstore:
            name, numbers = self._optimizer.to_wire()
            if not optimizer.from_wire(name, numbers).elementwise:
                return set()
        gradients = zip(self._param_names, self._exec_group.grad_arrays, strict=True)
        return {name for name, grads in gradients if grads[0] is not None and grads[0].stype == "row_sparse"}

    def _average_states(self, store: Any) -> None:
        """Have a store of several workers keep the auxiliary states' means; rank 0's are the first of all."""
        self._averages = None
        if "dist" not in store.type or not self._aux_names:
            return
        assert self._aux_params is not None
        averages = self._averages = Averages(store, self._aux_names, self._aux_params)
        for name, copies in zip(self._aux_names, self._exec_group.aux_arrays, strict=True):
            for copy in copies:
                averages.means[name].copyto(copy)

    def _besides(self) -> Exchange:
        """What a step exchanges besides gradients and parameters."""
        if self._averages is None:
            return NOTHING
        return self._averages.exchange(self._aux_names, self._exec_group.aux_arrays)

    def _make_optimizer(self, given: Any, params: dict[str, Any], store: Any, on_store: bool) -> Any:
        batch_size = self._exec_group.batch_size
        if store is not None and "dist" in store.type and "_async" not in store.type:
            batch_size *= store.num_workers  # the round's gradient is a sum over all workers' samples
        num_device = len(self._context)
        names: dict[Any, str] = dict(enumerate(self._param_names))
        if not on_store:
            names = {i * num_device + k: name for i, name in names.items() for k in range(num_device)}
        if isinstance(given, str):
            params.setdefault("rescale_grad", 1.0 / batch_size)
            return optimizer.create(given, sym=self._symbol, param_idx2name=names, **params)
        if not isinstance(given, optimizer.Optimizer):
            raise ConfigError(f"optimizer is {given!r}; wanted a name or an Optimizer")
        if given.rescale_grad != 1.0 / batch_size:
            warnings.warn(
                f"the optimizer's rescale_grad is {given.rescale_grad}, not 1/{batch_size}: intended?",
                stacklevel=3,
            )
        if not given.idx2name:
            given.idx2name = names
            given.set_wd_mult({n: m for n, m in given.wd_mult.items() if m != 0.0})
        return given

    def borrow_optimizer(self, shared_module: Module) -> None:
        """Use another module's optimizer and store, for modules that share their parameters."""
        shared_module._require(optimizer=True)
        self._optimizer = shared_module._optimizer
        self._kvstore = shared_module._kvstore
        self._update_on_kvstore = shared_module._update_on_kvstore
        self._updater = shared_module._updater
        self._averages = shared_module._averages
        self._tables, self._by_rows = shared_module._tables, shared_module._by_rows
        self.optimizer_initialized = True

    def save_optimizer_states(self, fname: str) -> None:
        """Write the optimizer's states, from the store if that has them."""
        self._require(optimizer=True)
        if self._update_on_kvstore:
            self._kvstore.save_optimizer_states(fname)
        else:
            Path(fname).write_bytes(self._updater.get_states())

    def load_optimizer_states(self, fname: str) -> None:
        """Read what `save_optimizer_states` wrote."""
        self._require(optimizer=True)
        if self._update_on_kvstore:
            self._kvstore.load_optimizer_states(fname)
        else:
            self._updater.set_states(Path(fname).read_bytes())

    # --- computing ----------------------------------------------------------------------------------

    def forward(self, data_batch: Any, is_train: bool | None = None) -> None:
        self._require(params=True)
        self._portions = getattr(data_batch, "portions", ())
        self._fit_shapes(data_batch)
        self._exec_group.forward(data_batch, is_train)

    def forward_backward(self, data_batch: Any) -> None:
        self._require(params=True)
        self._portions = getattr(data_batch, "portions", ())
        self._fit_shapes(data_batch)
        self._exec_group.forward_backward(data_batch)

    def _fit_shapes(self, data_batch: Any) -> None:
        """Bind again when the batch has other shapes than the last."""
        assert self._data_shapes is not None
        if isinstance(data_batch, list):  # one batch per device: together they have the bound shapes
            return
        new_shapes = [a.shape for a in data_batch.data]
        if new_shapes == [d.shape for d in self._data_shapes]:
            return
        if getattr(data_batch, "provide_data", None):
            data = as_descs(data_batch.provide_data)
        else:
            data = _with_shapes(self._data_shapes, new_shapes)
        labels = self._label_shapes
        if getattr(data_batch, "provide_label", None):
            labels = as_descs(data_batch.provide_label)
        elif labels and getattr(data_batch, "label", None):
            labels = _with_shapes(labels, [a.shape for a in data_batch.label])
        elif labels:  # a batch without labels, for prediction: as many as it has samples
            group = self._exec_group
            num_samples = data[0].shape[max(0, group.batch_axes[data[0].name])]
            labels = _with_shapes(labels, [_with_size(d, num_samples) for d in labels])
        self.reshape(data, labels)

    def backward(self, out_grads: Any = None) -> None:
        self._require(params=True)
        self._exec_group.backward(out_grads)

    def update(self) -> None:
        self._require(optimizer=True)
        self._params_dirty = True
        group = self._exec_group
        if self._kvstore is not None:
            self._kvstore.portions = self._portions
        if self._update_on_kvstore:
            update_params_on_kvstore(
                group.param_arrays,
                group.grad_arrays,
                self._kvstore,
                self._param_names,
                self._besides(),
                self._by_rows,
            )
        else:
            update_params(
                group.param_arrays,
                group.grad_arrays,
                self._updater,
                len(self._context),
                self._kvstore,
                self._param_names,
                self._besides(),
            )
        if self._kvstore is not None:
            self._kvstore.portions = ()

    def _train_on(self, data_batch: Any) -> None:
        group = self._exec_group
        overlaps = (
            self._update_on_kvstore
            and "dist" in self._kvstore.type
            and len(self._context) == 1
            and type(self).update is Module.update
            and type(self).forward_backward is Module.forward_backward
        )
        if not overlaps:
            super()._train_on(data_batch)
            return
        self._require(optimizer=True)
        self._fit_shapes(data_batch)
        self._kvstore.portions = getattr(data_batch, "portions", ())
        exchange = EarlyPushes(
            group.grad_arrays,
            group.param_arrays,
            self._kvstore,
            self._param_names,
            self._besides(),
            self._by_rows,
        )
        group.forward_backward(data_batch, exchange.on_gradient)
        self._params_dirty = True
        exchange.finish()
        self._kvstore.portions = ()

    def get_outputs(self, merge_multi_context: bool = True) -> Any:
        self._require(params=True)
        return self._exec_group.get_outputs(merge_multi_context)

    def get_input_grads(self, merge_multi_context: bool = True) -> Any:
        self._require(params=True)
        if not self.inputs_need_grad:
            raise ConfigError("get_input_grads: bind with inputs_need_grad=True")
        return self._exec_group.get_input_grads(merge_multi_context)

    def get_states(self, merge_multi_context: bool = True) -> Any:
        self._require(params=True)
        return self._exec_group.get_states(merge_multi_context)

    def set_states(self, states: Any = None, value: Any = None) -> None:
        self._require(params=True)
        self._exec_group.set_states(states, value)

    def update_metric(self, eval_metric: Any, labels: Any, pre_sliced: bool = False) -> None:
        self._exec_group.update_metric(eval_metric, labels, pre_sliced)

    def install_monitor(self, mon: Any) -> None:
        self._require(binded=True)
        self._exec_group.install_monitor(mon)

    def prepare(
        self, data_batch: Any, sparse_row_id_fn: Callable[[Any], Mapping[str, Any]] | None = None
    ) -> None:
        self._require(binded=True)
        if sparse_row_id_fn is None or self._kvstore is None or not self._update_on_kvstore:
            return
        for name, rows in sparse_row_id_fn(data_batch).items():
            i = self._param_names.index(name)
            copies = self._exec_group.param_arrays[i]
            self._kvstore.pull_rows(name, list(copies), [rows] * len(copies), priority=-i)
            if name in self._tables:
                self._by_rows.add(name)


def _zeros(like: NDArray, stype: str) -> NDArray:
    return sparse.zeros(stype, like.shape, cpu(), like.dtype)


def _updater(opt: Any) -> Any:
    return optimizer.get_updater(opt)


def _with_shapes(descs: Sequence[DataDesc], shapes: Sequence[tuple[int, ...]]) -> list[DataDesc]:
    return [DataDesc(d.name, shape, d.dtype, d.layout) for d, shape in zip(descs, shapes, strict=True)]


def _with_size(desc: DataDesc, num_samples: int) -> tuple[int, ...]:
    axis = max(0, DataDesc.get_batch_axis(desc.layout))
    return (*desc.shape[:axis], num_samples, *desc.shape[axis + 1 :])

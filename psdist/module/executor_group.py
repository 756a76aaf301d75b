"""One executor per device: the group splits a batch over them, runs them in parallel, joins their outputs.

Every device has its own copy of the parameters and computes the gradients of its share of the batch. The
shares follow the devices' workloads. With several devices each runs in a thread of its own; NumPy's kernels
release the interpreter's lock, so they overlap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ..blas import one_blas_thread
from ..context import Context
from ..errors import ConfigError, ShapeError
from ..executor import gradient_array, sparse_gradients
from ..io import DataDesc
from ..ndarray import NDArray, concatenate, zeros
from .base_module import as_descs

__all__ = ["DataParallelExecutorGroup", "split_batch"]


def split_batch(batch_size: int, workloads: Sequence[float]) -> list[slice]:
    """Each device's samples, in proportion to the workloads; the last device takes what rounding leaves."""
    total = sum(workloads)
    counts = [round(w * batch_size / total) for w in workloads]
    counts[-1] += batch_size - sum(counts)
    slices, end = [], 0
    for count in counts:
        begin, end = end, min(end + count, batch_size)
        if begin >= end:
            raise ConfigError(
                f"a batch of {batch_size} over workloads {list(workloads)} leaves a device without samples"
            )
        slices.append(slice(begin, end))
    return slices


class _Table(NDArray):
    """A parameter declared row_sparse: dense here, and what `KVStore.row_sparse_pull` may write rows into."""

    __slots__ = ()
    _takes_rows = True


_MAX_BOUND = (
    4  # shapes of batches whose executors are kept: training's, evaluation's, and their last batches'
)


class DataParallelExecutorGroup:
    """The executors of a module, and the arrays they share with its parameters.

    `param_arrays[i][k]` is parameter i on device k; `grad_arrays` likewise, None where nothing is learned.
    """

    def __init__(
        self,
        symbol: Any,
        contexts: Sequence[Context],
        workload: Sequence[float],
        data_shapes: Sequence[Any],
        label_shapes: Sequence[Any] | None,
        param_names: Sequence[str],
        for_training: bool,
        inputs_need_grad: bool,
        shared_group: DataParallelExecutorGroup | None = None,
        logger: Any = None,
        fixed_param_names: Sequence[str] = (),
        grad_req: str | Sequence[str] | Mapping[str, str] = "write",
        state_names: Sequence[str] = (),
        group2ctxs: Any = None,
    ) -> None:
        self.symbol = symbol
        self.contexts = list(contexts)
        self.workload = list(workload)
        self.param_names = list(param_names)
        self.arg_names = symbol.list_arguments()
        self.aux_names = symbol.list_auxiliary_states()
        self.output_names = symbol.list_outputs()
        self._output_axes = [
            DataDesc.get_batch_axis(symbol[i].attr("__layout__")) for i in range(len(self.output_names))
        ]
        self.state_names = list(state_names)
        self.for_training = for_training
        self.inputs_need_grad = inputs_need_grad
        self._group2ctxs = _per_device(group2ctxs, len(self.contexts))
        self._monitors: list[Any] = []
        self._bound: dict[Any, list[Any]] = {}  # executors by the inputs' shapes, the latest last
        self._pool: ThreadPoolExecutor | None = None
        data, labels = as_descs(data_shapes), as_descs(label_shapes)
        data_names = [desc.name for desc in data]
        # inputs and states by name, per device; groups that share one another's hold them in the same memory
        self.shared_data_arrays: list[dict[str, NDArray]] = (
            shared_group.shared_data_arrays if shared_group is not None else [{} for _ in self.contexts]
        )
        self.grad_req = _grad_reqs(
            grad_req,
            self.arg_names,
            self.param_names,
            data_names,
            fixed_param_names,
            for_training,
            inputs_need_grad,
        )
        self._bind(data, labels, shared_group)

    # --- arrays -------------------------------------------------------------------------------------

    def _bind(
        self,
        data_shapes: Sequence[DataDesc],
        label_shapes: Sequence[DataDesc] | None,
        shared: DataParallelExecutorGroup | None,
    ) -> None:
        """Make the executors for these shapes, on the parameters' arrays of `shared` where it has them."""
        self.data_shapes = list(data_shapes)
        self.label_shapes = list(label_shapes or ())
        inputs = self.data_shapes + self.label_shapes
        self.batch_axes = {d.name: DataDesc.get_batch_axis(d.layout) for d in inputs}
        first = self.data_shapes[0]
        self.batch_size = first.shape[max(0, self.batch_axes[first.name])]
        self.slices = split_batch(self.batch_size, self.workload)
        key = tuple((d.name, d.shape, np.dtype(d.dtype), d.layout) for d in inputs)
        known = self._bound.pop(key, None)
        self.execs = known or [self._bind_device(k, shared) for k in range(len(self.contexts))]
        self._bound[key] = self.execs
        if len(self._bound) > _MAX_BOUND:
            del self._bound[next(iter(self._bound))]
        self._collect()
        for monitor in () if known else self._monitors:
            self._install(monitor)

    def _bind_device(self, k: int, shared: DataParallelExecutorGroup | None) -> Any:
        ctx = self.contexts[k]
        inputs = self.data_shapes + self.label_shapes
        shapes = {desc.name: self._share(desc, self.slices[k]) for desc in inputs}
        arg_shapes, _, aux_shapes = self.symbol.infer_shape(**shapes)
        if arg_shapes is None:
            raise ShapeError(f"the shapes {shapes} do not settle the shapes of all arguments")
        dtypes = {desc.name: desc.dtype for desc in inputs}
        arg_types, _, aux_types = self.symbol.bound_types(**dtypes)
        before = shared.execs[k] if shared is not None else None
        tables = {name for name, a in self.symbol.attr_dict().items() if a.get("__storage_type__") == "1"}

        def make(
            name: str, shape: tuple[int, ...], dtype: Any, known: Mapping[str, NDArray] | None
        ) -> NDArray:
            if name not in self.param_names and name not in self.aux_names:
                return _buffer(self.shared_data_arrays[k], name, shape, dtype, ctx)
            old = known.get(name) if known else None
            if old is not None and old.shape == shape and old.dtype == dtype:
                return old
            if old is not None and name in self.param_names:
                raise ShapeError(f"{name} has shape {old.shape}; these inputs would make it {shape}")
            return _Table(np.zeros(shape, dtype), ctx) if name in tables else zeros(shape, ctx, dtype)

        args, grads = {}, {}
        sparse = sparse_gradients(self.symbol)
        for name, shape, dtype in zip(self.arg_names, arg_shapes, arg_types, strict=True):
            args[name] = make(name, shape, dtype, before.arg_dict if before else None)
            if self.grad_req[name] != "null":
                old = before.grad_dict.get(name) if before else None
                fits = old is not None and old.shape == shape and old.dtype == dtype
                grads[name] = old if fits else gradient_array(args[name], name in sparse)
        aux = {
            name: make(name, shape, dtype, before.aux_dict if before else None)
            for name, shape, dtype in zip(self.aux_names, aux_shapes, aux_types, strict=True)
        }
        return self.symbol.bind(
            ctx, args, args_grad=grads, grad_req=self.grad_req, aux_states=aux, group2ctx=self._group2ctxs[k]
        )

    def _share(self, desc: DataDesc, part: slice) -> tuple[int, ...]:
        axis = self.batch_axes[desc.name]
        if axis == -1:
            return desc.shape
        if desc.shape[axis] != self.batch_size:
            raise ShapeError(
                f"{desc.name} has {desc.shape[axis]} samples along axis {axis} of {desc.shape}; "
                f"the batch has {self.batch_size}"
            )
        return (*desc.shape[:axis], part.stop - part.start, *desc.shape[axis + 1 :])

    def _collect(self) -> None:
        present = [name for name in self.param_names if name in self.arg_names]
        self.param_arrays = [[e.arg_dict[name] for e in self.execs] for name in present]
        self.grad_arrays = [
            [e.grad_dict.get(name) if self.for_training else None for e in self.execs] for name in present
        ]
        self.aux_arrays = [[e.aux_dict[name] for e in self.execs] for name in self.aux_names]
        self.input_grad_arrays = [
            [e.grad_dict.get(desc.name) for e in self.execs]
            for desc in self.data_shapes
            if self.inputs_need_grad
        ]

    def reshape(self, data_shapes: Sequence[DataDesc], label_shapes: Sequence[DataDesc] | None) -> None:
        """Bind again for other batch shapes, on the same parameters."""
        if list(data_shapes) != self.data_shapes or list(label_shapes or ()) != self.label_shapes:
            self._bind(data_shapes, label_shapes, self)

    def set_params(self, arg_params: Mapping[str, NDArray], aux_params: Mapping[str, NDArray]) -> None:
        """Copy parameters to every device; names that the graph does not have are left out."""
        for e in self.execs:
            for mine, given in ((e.arg_dict, arg_params), (e.aux_dict, aux_params)):
                for name, value in given.items():
                    if name in mine:
                        if value.shape != mine[name].shape:
                            raise ShapeError(
                                f"{name}: the shape given is {value.shape}; wanted {mine[name].shape}"
                            )
                        mine[name][:] = value

    def get_params(self, arg_params: Mapping[str, NDArray], aux_params: Mapping[str, NDArray]) -> None:
        """Copy the parameters into these arrays: what all devices agree on, otherwise their mean."""
        names = [name for name in self.param_names if name in self.arg_names]
        for name, copies in zip(names, self.param_arrays, strict=True):
            arg_params[name][:] = _agreed(copies)
        for name, copies in zip(self.aux_names, self.aux_arrays, strict=True):
            aux_params[name][:] = _agreed(copies)

    # --- computing ----------------------------------------------------------------------------------

    def _on_each(self, work: Callable[[int], None]) -> None:
        """Run `work(k)` for every device k, side by side. Raises the first device's error."""
        if len(self.contexts) == 1:
            with self.contexts[0]:
                work(0)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(len(self.contexts), thread_name_prefix="psdist-device")

        def on(k: int) -> None:
            with self.contexts[k]:
                work(k)

        with one_blas_thread():
            for future in [self._pool.submit(on, k) for k in range(len(self.contexts))]:
                future.result()

    def close(self) -> None:
        """End the devices' threads; they start again when needed."""
        if self._pool is not None:
            self._pool.shutdown(wait=True)
            self._pool = None

    def _load(self, k: int, data_batch: Any) -> None:
        """Copy device k's share of a batch into its executor's inputs. A list holds each device's batch."""
        is_sliced = isinstance(data_batch, list)
        batch = data_batch[k] if is_sliced else data_batch
        arg_dict = self.execs[k].arg_dict
        labels = getattr(batch, "label", None) or ()  # a batch of a script's own class may have none
        for descs, arrays in ((self.data_shapes, batch.data), (self.label_shapes, labels)):
            for desc, value in zip(descs, arrays, strict=False):
                axis = self.batch_axes[desc.name]
                if axis != -1 and not is_sliced and len(self.contexts) > 1:
                    value = value[_along(axis, self.slices[k])]
                if desc.name in arg_dict:
                    arg_dict[desc.name][:] = value

    def forward(self, data_batch: Any, is_train: bool | None = None) -> None:
        """Load the batch and compute the outputs on every device."""
        training = self.for_training if is_train is None else is_train

        def work(k: int) -> None:
            self._load(k, data_batch)
            self.execs[k].forward(is_train=training)

        self._on_each(work)

    def backward(self, out_grads: Any = None) -> None:
        """Compute the gradients on every device."""
        if not self.for_training:
            raise ConfigError(
                "backward: the module is bound for prediction only; bind with for_training=True"
            )
        grads = [out_grads] if isinstance(out_grads, NDArray) else out_grads

        def work(k: int) -> None:
            self.execs[k].backward(out_grads=self._out_grads(k, grads))

        self._on_each(work)

    def forward_backward(
        self, data_batch: Any, on_gradient: Callable[[str, NDArray], None] | None = None
    ) -> None:
        """Both, without the devices waiting for one another in between.

        `on_gradient(name, gradient)` is called as soon as a gradient is complete: the last layer's come first.
        """

        def work(k: int) -> None:
            e = self.execs[k]
            self._load(k, data_batch)
            e.forward(is_train=True)
            e.on_gradient = on_gradient
            try:
                e.backward()
            finally:
                e.on_gradient = None

        self._on_each(work)

    def _out_grads(self, k: int, grads: Sequence[NDArray] | None) -> list[NDArray] | None:
        if grads is None:
            return None
        if len(self.contexts) == 1:
            return list(grads)
        return [
            g[_along(axis, self.slices[k])].as_in_context(self.contexts[k])
            for g, axis in zip(grads, self._output_axes, strict=False)  # losses at the end need none
        ]

    def _merge(self, per_array: list[list[NDArray]], axes: Sequence[int], merge: bool) -> list[Any]:
        if not merge:
            return per_array
        return [
            parts[0] if len(parts) == 1 or axis < 0 else concatenate(parts, axis=axis)
            for parts, axis in zip(per_array, axes, strict=True)
        ]

    def get_outputs(
        self, merge_multi_context: bool = True, begin: int = 0, end: int | None = None
    ) -> list[Any]:
        """The outputs: whole, or a list per device for each."""
        parts = [[e.outputs[i] for e in self.execs] for i in range(len(self.output_names))]
        return self._merge(parts[begin:end], self._output_axes[begin:end], merge_multi_context)

    def get_output_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """(name, shape) of each output, over all devices."""
        shapes = {desc.name: desc.shape for desc in self.data_shapes + self.label_shapes}
        _, out_shapes, _ = self.symbol.infer_shape(**shapes)
        return list(zip(self.output_names, out_shapes, strict=True))

    def get_input_grads(self, merge_multi_context: bool = True) -> list[Any]:
        """The gradients of the inputs, like the outputs."""
        axes = [self.batch_axes[desc.name] for desc in self.data_shapes]
        return self._merge(self.input_grad_arrays, axes, merge_multi_context)

    def get_states(self, merge_multi_context: bool = True) -> list[Any]:
        """The states, like the outputs."""
        parts = [[e.arg_dict[name] for e in self.execs] for name in self.state_names]
        return self._merge(parts, [0] * len(parts), merge_multi_context)

    def set_states(self, states: Sequence[Any] | None = None, value: float | None = None) -> None:
        """Set the states from `get_states(merge_multi_context=False)`, or all of them to one number."""
        if (states is None) == (value is None):
            raise ConfigError("set_states: give either states or value")
        for i, name in enumerate(self.state_names):
            for k, e in enumerate(self.execs):
                e.arg_dict[name][:] = value if states is None else states[i][k]

    def update_metric(self, eval_metric: Any, labels: Any, pre_sliced: bool = False) -> None:
        """Add each device's outputs and labels to a metric."""
        for k, e in enumerate(self.execs):
            named_labels = {}
            for i, desc in enumerate(self.label_shapes):
                if pre_sliced:
                    named_labels[desc.name] = labels[k][i]
                    continue
                axis = self.batch_axes[desc.name]
                whole = len(self.contexts) == 1 or axis == -1
                part = labels[i] if whole else labels[i][_along(axis, self.slices[k])]
                named_labels[desc.name] = part
            eval_metric.update_dict(named_labels, dict(zip(self.output_names, e.outputs, strict=True)))

    def install_monitor(self, mon: Any) -> None:
        """Let a monitor look at every executor, also after a reshape."""
        self._monitors.append(mon)
        self._install(mon)

    def _install(self, mon: Any) -> None:
        for e in self.execs:
            mon.install(e)


def _buffer(held: dict[str, NDArray], name: str, shape: tuple[int, ...], dtype: Any, ctx: Context) -> NDArray:
    """An array in the memory that inputs of this name share; a larger one takes its place."""
    old, size = held.get(name), math.prod(shape)
    if old is None or old.dtype != dtype or old.size < size:
        old = held[name] = zeros(shape, ctx, dtype)
    return old if old.shape == shape else NDArray(old._data.reshape(-1)[:size].reshape(shape), ctx)


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    """An index that takes a part along one axis."""
    return (*[slice(None)] * axis, part)


def _agreed(copies: Sequence[NDArray]) -> Any:
    first = copies[0].asnumpy()
    others = [c.asnumpy() for c in copies[1:]]
    if all(np.array_equal(first, other, equal_nan=True) for other in others):
        return first  # exactly: a mean would round
    return np.mean([first, *others], axis=0, dtype=first.dtype)


def _grad_reqs(
    grad_req: str | Sequence[str] | Mapping[str, str],
    arg_names: Sequence[str],
    param_names: Sequence[str],
    data_names: Sequence[str],
    fixed: Sequence[str],
    for_training: bool,
    inputs_need_grad: bool,
) -> dict[str, str]:
    """What happens to the gradient of every argument: write, add or null."""
    if not for_training:
        return dict.fromkeys(arg_names, "null")
    if isinstance(grad_req, str):
        reqs = {}
        for name in arg_names:
            learned = name in param_names and name not in fixed
            reqs[name] = grad_req if learned or (name in data_names and inputs_need_grad) else "null"
        return reqs
    if isinstance(grad_req, Mapping):
        reqs = _grad_reqs("write", arg_names, param_names, data_names, fixed, True, inputs_need_grad)
        return reqs | dict(grad_req)
    if len(grad_req) != len(arg_names):
        raise ConfigError(f"grad_req has {len(grad_req)} entries for {len(arg_names)} arguments")
    return dict(zip(arg_names, grad_req, strict=True))


def _per_device(group2ctxs: Any, count: int) -> list[dict[str, Context] | None]:
    """group2ctx for each device, from a list of dicts, or a dict of a context or a list of them."""
    if group2ctxs is None:
        return [None] * count
    if isinstance(group2ctxs, Mapping):
        spread = {
            name: [ctx] * count if isinstance(ctx, Context) else list(ctx) * (count if len(ctx) == 1 else 1)
            for name, ctx in group2ctxs.items()
        }
        return [{name: ctxs[k] for name, ctxs in spread.items()} for k in range(count)]
    if len(group2ctxs) != count:
        raise ConfigError(f"group2ctxs has {len(group2ctxs)} entries for {count} devices")
    return list(group2ctxs)

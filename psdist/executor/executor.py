"""Executor: a symbol bound to arrays, which runs it forward and back."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..context import Context, usable
from ..errors import BadType, GraphError, ShapeError
from ..ndarray.array import NDArray
from ..ndarray.sparse import zeros as sparse_zeros
from ..ops.signature import Shape
from ..random import generator
from ..settings import Settings
from ..symbol.symbol import Symbol, check_known
from .memory import Workspace
from .plan import Options, Plan, compile_plan
from .program import Step, compile_symbol
from .shadows import Shadows, gradient_array, sparse_gradients
from .storage import output_storage
from .walker import Walker

__all__ = ["Executor", "misspelling", "simple_bind"]

Array = np.ndarray[Any, Any]
_REQS = ("write", "add", "null")
_OPTIONS = (
    "grad_req",
    "type_dict",
    "stype_dict",
    "group2ctx",
    "shared_arg_names",
    "shared_exec",
    "shared_buffer",
)


def misspelling(function: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raise for the first keyword that `function` does not know, with the one that was meant."""
    for word in given:
        near = difflib.get_close_matches(word, known, 1, cutoff=0.5)
        raise BadType(
            f"{function}: no argument '{word}'; "
            + (f"did you mean '{near[0]}'?" if near else f"it takes {', '.join(known)}")
        )


class Executor:
    """Runs a bound symbol. Outputs and gradients are the same arrays in every run, overwritten by the next.

    `on_gradient`, if set, is called with an argument's name and its gradient as soon as that is complete,
    while `backward` is still at work on earlier layers: the last layer's come first.
    """

    def __init__(
        self,
        symbol: Symbol,
        ctx: Context,
        args: Any,
        args_grad: Any = None,
        grad_req: Any = "write",
        aux_states: Any = None,
        group2ctx: Mapping[str, Context] | None = None,
        options: Options | None = None,
        shared_exec: Executor | None = None,
    ) -> None:
        self._symbol = symbol
        self._ctx = usable(ctx)
        self._group2ctx = group2ctx
        self._arg_names = symbol.list_arguments()
        self._aux_names = symbol.list_auxiliary_states()
        _refuse_duplicates(self._arg_names + self._aux_names)
        self.arg_arrays: list[NDArray] = _by_order("args", args, self._arg_names)  # type: ignore[assignment]
        self.aux_arrays: list[NDArray] = _by_order("aux_states", aux_states or [], self._aux_names)  # type: ignore[assignment]
        grads = _by_order("args_grad", args_grad, self._arg_names, optional=True)
        self._reqs = _requests(grad_req, self._arg_names, grads)
        self.grad_arrays: list[NDArray | None] = [
            g if r != "null" else None for g, r in zip(grads, self._reqs, strict=True)
        ]
        named = dict(zip(self._arg_names + self._aux_names, self.arg_arrays + self.aux_arrays, strict=True))
        settings = Settings.read()
        wanted = Options(recompute=settings.recompute, winograd=settings.winograd, jit=settings.jit)
        self._options = wanted if options is None else options
        self._program = compile_symbol(
            symbol,
            {n: a.shape for n, a in named.items()},
            {n: a._data.dtype.name for n, a in named.items()},
            [n for n, g in zip(self._arg_names, self.grad_arrays, strict=True) if g is not None],
        )
        for name, a, g in zip(self._arg_names, self.arg_arrays, self.grad_arrays, strict=True):
            if g is not None and g.shape != a.shape:
                raise ShapeError(
                    f"bind: the gradient of '{name}' has shape {g.shape}, the argument {a.shape}"
                )
        self.on_gradient: Callable[[str, NDArray], None] | None = None
        self._monitor: tuple[Callable[[str, NDArray], None], bool] | None = None
        self._state: Plan | Walker | None = (
            None  # what a training pass ran on, so that backward can go on from it
        )
        self._last_is_train = True
        self._draws = any("rng" in step.op.asks for step in self._program.steps)
        self._drawn_from: Any = (
            None  # the generator's state before the last forward, so that it can run again
        )
        self._workspace: Workspace = Workspace() if shared_exec is None else shared_exec._workspace
        self._plans: dict[bool, Plan] = {}  # by is_train, made when first needed
        p = self._program
        self.outputs: list[NDArray] = [NDArray(np.empty(p.shapes[s], p.dtypes[s]), ctx) for s in p.heads]
        for k, kind in enumerate(output_storage(p, [a.stype for a in self.arg_arrays + self.aux_arrays])):
            if kind != "default":
                self.outputs[k] = sparse_zeros(kind, self.outputs[k].shape, ctx, p.dtypes[p.heads[k]])
        self._shadows = Shadows([*self.arg_arrays, *self.aux_arrays, *self.grad_arrays, *self.outputs])
        self._heads: list[Array] = []  # the outputs' gradients, where a plan reads them
        self._ones = [np.broadcast_to(np.ones((), p.dtypes[s]), p.shapes[s]) for s in p.heads]

    # -- running ---------------------------------------------------------------------------------------------

    def forward(self, is_train: bool = False, **kwargs: Any) -> list[NDArray]:
        """Compute the outputs. Arrays given by name are first copied into the arguments."""
        for name, value in kwargs.items():
            self._set_argument(name, value)
        self._run_forward(bool(is_train))
        return self.outputs

    def _set_argument(self, name: str, value: Any) -> None:
        if name not in self._arg_names:
            misspelling("forward", {name: value}, ["is_train", *self._arg_names])
        target = self.arg_arrays[self._arg_names.index(name)]
        data = value._data if isinstance(value, NDArray) else np.asarray(value)
        if data.shape != target.shape:
            raise ShapeError(
                f"forward: '{name}' has shape {data.shape}, bound was {target.shape}; bind again or use reshape()"
            )
        if target.stype == "default":
            target._data[...] = data
        else:
            target[:] = value

    def _run_forward(self, is_train: bool) -> None:
        self._shadows.refresh(self.arg_arrays + self.aux_arrays)
        rng = generator(self._ctx)
        self._last_is_train = is_train
        if self._draws:
            self._drawn_from = rng.bit_generator.state
        if self._monitor is not None:
            walker = Walker(
                self._program, [self._shadows.memory(a) for a in self.arg_arrays + self.aux_arrays]
            )
            walker.forward(is_train, rng, partial(self._report, walker))
            for out, slot in zip(self.outputs, self._program.heads, strict=True):
                self._shadows.memory(out)[...] = walker.slots[slot]
                self._shadows.store(out)
            self._state = walker if is_train else None
            return
        plan = self._plans.get(is_train) or self._plan(is_train)
        plan.run_forward(rng)
        for out in self.outputs:
            self._shadows.store(out)
        self._state = plan if is_train else None

    def _plan(self, is_train: bool) -> Plan:
        """The plan for training or for prediction, compiled and linked when it is first asked for."""
        found = self._plans.get(is_train)
        if found is None:
            wants = is_train and any(r != "null" for r in self._reqs)
            found = compile_plan(self._program, is_train, self._reqs, wants, self._options)
            if not self._heads:
                p = self._program
                self._heads = [np.ones(p.shapes[s], p.dtypes[s]) for s in p.heads]
            bound: dict[tuple[str, int], Array] = {}
            for kind, arrays in (
                ("arg", self.arg_arrays),
                ("aux", self.aux_arrays),
                ("grad", self.grad_arrays),
                ("out", self.outputs),
            ):
                bound.update(
                    {(kind, i): self._shadows.memory(a) for i, a in enumerate(arrays) if a is not None}
                )
            bound.update({("head", k): g for k, g in enumerate(self._heads)})
            found.link(bound, self._workspace)
            self._plans[is_train] = found
        return found

    def _report(self, walker: Walker, step: Step) -> None:
        assert self._monitor is not None
        callback, monitor_all = self._monitor
        if monitor_all:
            for (source, i), slot in zip(step.node.inputs, step.ins, strict=True):
                name = source.output_names[i] if source.op is not None else source.name
                callback(name, NDArray(walker.slots[slot], self._ctx))
        for slot in step.outs[: step.num_visible]:
            callback(self._program.names[slot], NDArray(walker.slots[slot], self._ctx))

    def _report_back(self, step: Step, gradients: Sequence[Array | None]) -> None:
        """Tell the monitor the gradients that a step made of its inputs; an input that has none counts as zeros."""
        assert self._monitor is not None
        ins = step.ins[: sum(not step.node.is_aux(i) for i in range(len(step.ins)))]
        for i, (slot, g) in enumerate(zip(ins, gradients, strict=False)):
            name = f"{step.node.name}_backward_output{i if len(ins) > 1 else ''}"
            made = np.zeros(self._program.shapes[slot], self._program.dtypes[slot]) if g is None else g
            self._monitor[0](name, NDArray(made, self._ctx))

    def backward(self, out_grads: Any = None, is_train: bool = True, **misspelt: Any) -> None:
        """Compute the gradients from those of the outputs (one array or a list; losses need none).

        What it needs of the forward pass is computed first if no training pass went before.
        """
        if misspelt:
            misspelling("backward", misspelt, ("out_grads", "is_train"))
        heads = self._head_gradients(out_grads)
        self._shadows.refresh(self.grad_arrays)
        state = self._state
        if not is_train and not isinstance(
            state, Walker
        ):  # gradients as of prediction, on what training computed
            state = Walker(
                self._program, [self._shadows.memory(a) for a in self.arg_arrays + self.aux_arrays]
            )
            state.forward(self._last_is_train, self._same_draws())
        elif state is None or (isinstance(state, Plan) and self._workspace.last is not state):
            self._run_forward(True)  # nothing went before, or another plan has run in the same memory since
            state = self._state
        if isinstance(state, Walker):
            wanted = [i for i, r in enumerate(self._reqs) if r != "null"]
            report = None if self._monitor is None else self._report_back
            state.backward(heads, is_train, self._deliver, wanted, report)
            return
        assert state is not None
        for k in state.heads:
            self._heads[k][...] = heads[k]
        sparse = self._shadows.any_of(self.grad_arrays)
        state.run_backward(None if self.on_gradient is None and not sparse else self._complete)

    def _reads_head(self, k: int) -> bool:
        """Whether the gradient of output k's operator looks at the output's gradient at all."""
        node, i = self._symbol._heads[k]
        if node.op is None:
            return True
        loss = node.op.ignores_head and not node.params.get("out_grad")
        return not loss and i not in node.op.unused

    def _same_draws(self) -> np.random.Generator:
        """A generator that draws again what the last forward pass drew; the device's own if none has drawn."""
        if self._drawn_from is None:
            return generator(self._ctx)
        again = np.random.SFC64(0)
        again.state = self._drawn_from
        return np.random.Generator(again)

    def _head_gradients(self, out_grads: Any) -> list[Array]:
        """The gradient of each output: as given, or ones where it does not matter. The last ones may be left out;
        more than there are outputs are passed over, as MXNet does."""
        if out_grads is None:
            out_grads = []
        elif isinstance(out_grads, NDArray):
            out_grads = [out_grads]
        elif isinstance(out_grads, Mapping):
            out_grads = [out_grads.get(n) for n in self._symbol.list_outputs()]
        heads = self._program.heads
        grads: list[Array] = []
        for k, slot in enumerate(heads):
            given = out_grads[k] if k < len(out_grads) else None
            shape = self._program.shapes[slot]
            if given is None:
                node = self._symbol._heads[k][0]
                if node.op is not None and not node.op.ignores_head and k in self._plan(True).heads:
                    raise GraphError(
                        f"backward: output '{self._symbol.list_outputs()[k]}' is not a loss, so its gradient is wanted in "
                        "out_grads; for its sum as the loss, give mx.nd.ones of its shape"
                    )
                grads.append(self._ones[k])
            elif not isinstance(given, NDArray):
                raise TypeError(f"backward: out_grads[{k}] is a {type(given).__name__}; wanted an NDArray")
            elif given.shape != shape and (given.size != 1 or shape not in ((), (1,))):
                if not self._reads_head(k):  # MXNet takes an array of any shape here
                    grads.append(self._ones[k])
                    continue
                raise ShapeError(f"backward: out_grads[{k}] has shape {given.shape}, the output {shape}")
            else:
                grads.append(given._data.reshape(shape))
        return grads

    def _deliver(self, slot: int, g: Array | None) -> None:
        """Put an argument's gradient, complete, where it was asked for."""
        target = self.grad_arrays[slot]
        if target is None:
            return
        if self._reqs[slot] == "add":
            if g is not None:
                self._shadows.memory(target)[...] += g
        else:
            self._shadows.memory(target)[...] = 0 if g is None else g
        self._complete(slot)

    def _complete(self, slot: int) -> None:
        target = self.grad_arrays[slot]
        if target is not None:
            self._shadows.store(target)
        if self.on_gradient is not None and target is not None:
            self.on_gradient(self._arg_names[slot], target)

    # -- what it holds ---------------------------------------------------------------------------------------

    @property
    def arg_dict(self) -> dict[str, NDArray]:
        """Arguments by name."""
        return dict(zip(self._arg_names, self.arg_arrays, strict=True))

    @property
    def grad_dict(self) -> dict[str, NDArray | None]:
        """Gradients by their arguments' names; None where none is wanted."""
        return dict(zip(self._arg_names, self.grad_arrays, strict=True))

    @property
    def aux_dict(self) -> dict[str, NDArray]:
        """Auxiliary states by name."""
        return dict(zip(self._aux_names, self.aux_arrays, strict=True))

    @property
    def output_dict(self) -> dict[str, NDArray]:
        """Outputs by name."""
        return dict(zip(self._symbol.list_outputs(), self.outputs, strict=True))

    def set_monitor_callback(
        self, callback: Callable[[str, NDArray], None], monitor_all: bool = False
    ) -> None:
        """Have `callback(name, array)` called for every operator's outputs (with `monitor_all` its inputs
        too).
        """
        self._monitor = (callback, monitor_all)

    def copy_params_from(
        self,
        arg_params: Mapping[str, NDArray],
        aux_params: Mapping[str, NDArray] | None = None,
        allow_extra_params: bool = False,
    ) -> None:
        """Copy arrays by name into arguments and auxiliary states. Raises ValueError for a name that is
        neither.
        """
        for given, own, what in (
            (arg_params, self.arg_dict, "argument"),
            (aux_params or {}, self.aux_dict, "auxiliary state"),
        ):
            for name, value in given.items():
                if name in own:
                    target = own[name]
                    if value.shape != target.shape:
                        raise ShapeError(
                            f"copy_params_from: '{name}' has shape {value.shape}, bound was {target.shape}"
                        )
                    target._data[...] = value._data
                elif not allow_extra_params:
                    raise GraphError(f"copy_params_from: no {what} '{name}'; there are {', '.join(own)}")

    def reshape(
        self, partial_shaping: bool = False, allow_up_sizing: bool = False, **kwargs: Shape
    ) -> Executor:
        """An executor for other shapes of the arguments named. Arrays whose shape stays, and parameters, are
        shared.

        Raises ShapeError if an argument that is not named would change its shape, unless `partial_shaping` is
        set, or if one would grow, unless `allow_up_sizing` is set.
        """
        shapes, _, aux_shapes = self._symbol.infer_shape(**kwargs)
        if shapes is None:
            raise ShapeError("reshape: not all shapes follow from those given")
        args: list[NDArray] = []
        grads: list[NDArray | None] = []
        for name, shape, a, g in zip(self._arg_names, shapes, self.arg_arrays, self.grad_arrays, strict=True):
            if shape != a.shape and not partial_shaping and name not in kwargs:
                raise ShapeError(
                    f"reshape: '{name}' would change from {a.shape} to {shape}; set partial_shaping=True to allow it"
                )
            args.append(_resized(a, shape, name, allow_up_sizing))
            grads.append(None if g is None else _resized(g, shape, name, allow_up_sizing))
        auxs = [
            _resized(a, s, n, allow_up_sizing)
            for n, s, a in zip(self._aux_names, aux_shapes, self.aux_arrays, strict=True)
        ]
        made = Executor(
            self._symbol, self._ctx, args, grads, list(self._reqs), auxs, self._group2ctx, shared_exec=self
        )
        for k, (mine, its) in enumerate(zip(self.outputs, made.outputs, strict=True)):
            if (
                mine.stype == its.stype == "default" and its._data.size <= mine._data.size
            ):  # shared memory, too
                made.outputs[k] = _resized(mine, its.shape, "output", False)
        made._monitor = self._monitor
        return made

    def explain(
        self, is_train: bool | None = None, run: bool = False, picture: str | os.PathLike[str] | None = None
    ) -> str:
        """What the plan is and how it came to be: every pass, the memory, and each instruction's predicted time.

        `run` also measures; the gradients and outputs are then of a run on the arrays as they are. `picture` names a
        file for the graph: .dot, or what Graphviz can draw. `is_train` chooses the plan, by default for training
        if there are gradients.
        """
        from . import explain

        plan = self._plan(any(r != "null" for r in self._reqs) if is_train is None else is_train)
        measured = explain.measure(plan, generator(self._ctx)) if run else None
        if picture is not None:
            explain.write_picture(explain.picture(plan, measured), os.fspath(picture))
        return explain.explain(plan, measured)

    def debug_str(self) -> str:
        """The graph in words, and the memory that the executor's own arrays take."""
        wants = any(r != "null" for r in self._reqs)
        own = self._plan(wants).memory.size + sum(y._data.nbytes for y in self.outputs)
        return self._symbol.debug_str() + f"Total {own >> 20} MB allocated\n"


def _resized(a: NDArray, shape: Shape, name: str, allow_up_sizing: bool) -> NDArray:
    if a.shape == shape:
        return a
    size = int(np.prod(shape))
    if size > a.size:
        if not allow_up_sizing:
            raise ShapeError(
                f"reshape: '{name}' would grow from {a.shape} to {shape}; set allow_up_sizing=True to allow it"
            )
        return NDArray(np.zeros(shape, a._data.dtype), a._ctx)
    return NDArray(a._data.reshape(-1)[:size].reshape(shape), a._ctx)


def _refuse_duplicates(names: Sequence[str]) -> None:
    seen: set[str] = set()
    for n in names:
        if n in seen:
            raise GraphError(f"bind: two different variables are named '{n}'; give one another name")
        seen.add(n)


def _by_order(what: str, given: Any, names: Sequence[str], optional: bool = False) -> list[NDArray | None]:
    """Arrays in the order of `names`, from a list or a dict."""
    if given is None:
        given = {} if optional or not names else None
    if isinstance(given, Mapping):
        missing = [n for n in names if n not in given]
        if missing and not optional:
            raise GraphError(f"bind: '{missing[0]}' is missing in {what}; wanted are {', '.join(names)}")
        found = [given.get(n) for n in names]
    elif isinstance(given, Iterable):
        found = list(given)
        if len(found) != len(names):
            raise GraphError(
                f"bind: {what} has {len(found)} arrays for {len(names)} names: {', '.join(names)}"
            )
    else:
        raise GraphError(
            f"bind: {what} is {given!r}; wanted a list or a dict of NDArrays for {', '.join(names)}"
        )
    for n, a in zip(names, found, strict=True):
        if not (isinstance(a, NDArray) or (optional and a is None)):
            raise TypeError(f"bind: '{n}' in {what} is a {type(a).__name__}; wanted an NDArray")
    return found


def _requests(grad_req: Any, names: Sequence[str], grads: Sequence[NDArray | None]) -> list[str]:
    if isinstance(grad_req, str):
        reqs = [grad_req] * len(names)
    elif isinstance(grad_req, Mapping):
        reqs = [grad_req.get(n, "null") for n in names]
    else:
        reqs = list(grad_req)
        if len(reqs) != len(names):
            raise GraphError(f"bind: grad_req has {len(reqs)} entries for {len(names)} arguments")
    for n, r in zip(names, reqs, strict=True):
        if r not in _REQS:
            raise GraphError(f"bind: grad_req of '{n}' is {r!r}; wanted 'write', 'add' or 'null'")
    return [r if g is not None else "null" for r, g in zip(reqs, grads, strict=True)]


def simple_bind(
    symbol: Symbol,
    ctx: Context,
    grad_req: Any,
    type_dict: Mapping[str, Any] | None,
    group2ctx: Mapping[str, Context] | None,
    shared_arg_names: Sequence[str] | None,
    shared_exec: Executor | None,
    shared_buffer: dict[str, NDArray] | None,
    shapes: Mapping[str, Shape],
) -> Executor:
    """An executor over new arrays (or those of `shared_exec` and `shared_buffer` that fit), from shapes given
    by name.
    """
    names, aux_names = symbol.list_arguments(), symbol.list_auxiliary_states()
    unknown = {n: s for n, s in shapes.items() if n not in names and n not in aux_names}
    for n in unknown:
        if difflib.get_close_matches(n, [*names, *_OPTIONS], 1, cutoff=0.8):
            misspelling("simple_bind", {n: None}, [*names, *_OPTIONS])
    known = {
        n: tuple(s) if not isinstance(s, int) else (s,) for n, s in shapes.items() if n not in unknown
    }  # what is said of something that is not in this part of a network is no error, as in MXNet
    partial, _, aux_partial = symbol.infer_shape_partial(**known)
    if unknown and any(0 in s or not s for s in partial):
        misspelling("simple_bind", unknown, names)
    groups = group2ctx or {}
    places = {
        n.name: groups.get(n.attrs.get("__ctx_group__", ""), ctx) for n in symbol._nodes() if n.op is None
    }
    check_known(
        {
            **dict(zip(names, (s or None for s in partial), strict=True)),
            **dict(zip(aux_names, (s or None for s in aux_partial), strict=True)),
        },
        "simple_bind",
    )
    types, _, aux_types = symbol.bound_types(**(type_dict or {}))
    shared_args = shared_exec.arg_dict if shared_exec is not None else {}
    shared_aux = shared_exec.aux_dict if shared_exec is not None else {}

    def make(name: str, shape: Shape, dtype: Any, shared: Mapping[str, NDArray]) -> NDArray:
        old = shared.get(name)
        if (
            old is not None
            and old.shape == shape
            and old.dtype == dtype
            and (shared_arg_names is None or name in shared_arg_names or name in aux_names)
        ):
            return old
        if shared_buffer is not None and (shared_arg_names is None or name not in shared_arg_names):
            buffer = shared_buffer.get(name)
            if buffer is not None and buffer.dtype == dtype and buffer.size >= int(np.prod(shape)):
                part = buffer._data.reshape(-1)[: int(np.prod(shape))].reshape(shape)
                return NDArray(part, places[name])
            shared_buffer[name] = made = NDArray(np.zeros(shape, dtype), places[name])
            return made
        return NDArray(np.zeros(shape, dtype), places[name])

    args = {n: make(n, s, t, shared_args) for n, s, t in zip(names, partial, types, strict=True)}
    auxs = {n: make(n, s, t, shared_aux) for n, s, t in zip(aux_names, aux_partial, aux_types, strict=True)}
    if isinstance(grad_req, str):
        reqs = dict.fromkeys(names, grad_req)
    elif isinstance(grad_req, Mapping):
        reqs = {n: grad_req.get(n, "null") for n in names}
    else:
        reqs = dict(zip(names, grad_req, strict=True))
    shared_grads = shared_exec.grad_dict if shared_exec is not None else {}
    sparse = sparse_gradients(symbol)
    grads = {
        n: old
        if (old := shared_grads.get(n)) is not None and old.shape == args[n].shape
        else gradient_array(args[n], n in sparse)
        for n in names
        if reqs[n] != "null"
    }
    return Executor(symbol, ctx, args, grads, reqs, auxs, group2ctx, shared_exec=shared_exec)

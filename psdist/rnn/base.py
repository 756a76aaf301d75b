"""What a recurrent cell is: from one step's input and the states to the output and the next states.

A cell makes symbols; nothing is computed here. Names are the contract: parameters are `prefix` + `i2h_weight`
and so on, steps are `prefix` + `t0_`, `t1_`, …, so a model that MXNet saved finds its parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import symbol
from ..errors import GraphError
from ..ndarray import NDArray, concatenate
from ..symbol import Symbol

__all__ = ["BaseRNNCell", "RNNParams", "normalize_sequence"]

Params = dict[str, NDArray]
States = list[Any]  # symbols; of a bidirectional cell that was unrolled, two lists of them
Outputs = Symbol | list[Symbol]


class RNNParams:
    """The variables of cells by name; cells that are given the same share their weights."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._params: dict[str, Symbol] = {}

    def get(self, name: str, **kwargs: Any) -> Symbol:
        """The variable `prefix` + `name`, made when it is first asked for."""
        name = self._prefix + name
        if name not in self._params:
            self._params[name] = symbol.Variable(name, **kwargs)
        return self._params[name]


class BaseRNNCell:
    """The base of all cells. A subclass says `state_info` and `__call__`."""

    _num_hidden: int

    def __init__(self, prefix: str = "", params: RNNParams | None = None) -> None:
        self._own_params = params is None
        self._prefix = prefix
        self._params = RNNParams(prefix) if params is None else params
        self._modified = False  # wrapped by another cell, which is then the one to call
        self._cells: list[BaseRNNCell] = []
        self.reset()

    def reset(self) -> None:
        """Start counting steps anew: before another graph is unrolled."""
        self._init_counter = -1
        self._counter = -1
        for cell in self._cells:
            cell.reset()

    def __call__(self, inputs: Symbol, states: States) -> tuple[Symbol, States]:
        """One step: the output and the next states, from an input (batch, features) and the states."""
        raise NotImplementedError(f"{type(self).__name__} does not say what a step is")

    @property
    def params(self) -> RNNParams:
        """The cell's variables, to be given to another cell."""
        self._own_params = False
        return self._params

    @property
    def state_info(self) -> list[dict[str, Any]]:
        """The shape (0 for the batch) and layout of each state."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its states are")

    @property
    def state_shape(self) -> list[tuple[int, ...]]:
        """The shape of each state, 0 for the batch."""
        return [info["shape"] for info in self.state_info]

    @property
    def _gate_names(self) -> tuple[str, ...]:
        return ()

    @property
    def _num_gates(self) -> int:
        return len(self._gate_names)

    def begin_state(self, func: Callable[..., Symbol] = symbol.zeros, **kwargs: Any) -> States:
        """The states before the first step: zeros, or what `func(name=…, shape=…, **kwargs)` makes."""
        self._refuse_modified()
        states = []
        for info in self.state_info:
            self._init_counter += 1
            states.append(func(name=f"{self._prefix}begin_state_{self._init_counter}", **{**kwargs, **info}))
        return states

    def _refuse_modified(self) -> None:
        if self._modified:
            raise GraphError(f"this {type(self).__name__} is part of a modifier cell; call that one instead")

    def unpack_weights(self, args: Mapping[str, NDArray]) -> Params:
        """The parameters with one array a gate (`i2h_f_weight`) in place of the cell's packed ones."""
        out = dict(args)
        h = getattr(self, "_num_hidden", 0)
        for group in ("i2h", "h2h") if self._gate_names else ():
            for kind in ("weight", "bias"):
                packed = take_param(out, f"{self._prefix}{group}_{kind}")
                for k, gate in enumerate(self._gate_names):
                    out[f"{self._prefix}{group}{gate}_{kind}"] = packed[k * h : (k + 1) * h].copy()
        return out

    def pack_weights(self, args: Mapping[str, NDArray]) -> Params:
        """The reverse of `unpack_weights`."""
        out = dict(args)
        for group in ("i2h", "h2h") if self._gate_names else ():
            for kind in ("weight", "bias"):
                names = [f"{self._prefix}{group}{gate}_{kind}" for gate in self._gate_names]
                out[f"{self._prefix}{group}_{kind}"] = concatenate([take_param(out, n) for n in names])
        return out

    def unroll(
        self,
        length: int,
        inputs: Any,
        begin_state: States | None = None,
        layout: str = "NTC",
        merge_outputs: bool | None = None,
    ) -> tuple[Outputs, States]:
        """`length` steps: the outputs and the last states.

        `inputs` is one symbol with the steps along the T of `layout`, or a list of them, one a step. The outputs
        are one symbol with `merge_outputs` True, a list with False, whatever is easier with None.
        """
        self.reset()
        steps, _ = normalize_sequence(length, inputs, layout, False)
        states = self.begin_state() if begin_state is None else begin_state
        outputs = []
        for step in steps:
            output, states = self(step, states)
            outputs.append(output)
        merged, _ = normalize_sequence(length, outputs, layout, merge_outputs)
        return merged, states

    def _get_activation(self, inputs: Symbol, activation: Any, **kwargs: Any) -> Symbol:
        if isinstance(activation, str):
            return symbol.Activation(inputs, act_type=activation, **kwargs)  # type: ignore[no-any-return]
        return activation(inputs, **kwargs)  # type: ignore[no-any-return]


def take_param(args: Params, name: str) -> NDArray:
    """Take an array out. Raises GraphError, with the names that are there."""
    if name not in args:
        raise GraphError(f"no parameter {name!r}; there are {', '.join(sorted(args)) or 'none'}")
    return args.pop(name)


def normalize_sequence(
    length: int | None, inputs: Any, layout: str, merge: bool | None, in_layout: str | None = None
) -> tuple[Any, int]:
    """Steps as a list (`merge` False), as one symbol (True) or as they are (None); and the axis of time."""
    axis = layout.find("T")
    if axis < 0:
        raise GraphError(f"layout {layout!r} has no T for the steps; wanted 'NTC' or 'TNC'")
    in_axis = in_layout.find("T") if in_layout is not None else axis
    if isinstance(inputs, Symbol):
        if merge is False:
            if len(inputs) != 1:
                raise GraphError(
                    f"unroll: the input has {len(inputs)} outputs; wanted one, or a list of symbols"
                )
            inputs = list(symbol.split(inputs, axis=in_axis, num_outputs=length, squeeze_axis=1))
    else:
        if not isinstance(inputs, Sequence) or (length is not None and len(inputs) != length):
            found = f"{len(inputs)} inputs" if isinstance(inputs, Sequence) else repr(inputs)
            raise GraphError(f"unroll: {found} for {length} steps")
        if merge is True:
            inputs = [symbol.expand_dims(step, axis=axis) for step in inputs]
            inputs = symbol.Concat(*inputs, dim=axis)
            in_axis = axis
    if isinstance(inputs, Symbol) and axis != in_axis:
        inputs = symbol.swapaxes(inputs, dim1=axis, dim2=in_axis)
    return inputs, axis

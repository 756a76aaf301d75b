"""FusedRNNCell: several layers as one operator, RNN, with all parameters in one array."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .. import initializer, ndarray, rnn_weights, symbol
from ..ndarray import NDArray
from ..symbol import Symbol
from .base import BaseRNNCell, Outputs, Params, RNNParams, States, normalize_sequence, take_param
from .cells import GRUCell, LSTMCell, RNNCell
from .compound import BidirectionalCell, SequentialRNNCell
from .modifiers import DropoutCell

__all__ = ["FusedRNNCell"]


class FusedRNNCell(BaseRNNCell):
    """`num_layers` of `mode` (rnn_relu, rnn_tanh, lstm, gru), `bidirectional` or not, with dropout between them.

    It is unrolled as a whole and cannot be stepped; `unfuse` makes the same network of single cells. States are
    returned only with `get_next_state`.
    """

    def __init__(
        self,
        num_hidden: int,
        num_layers: int = 1,
        mode: str = "lstm",
        bidirectional: bool = False,
        dropout: float = 0.0,
        get_next_state: bool = False,
        forget_bias: float = 1.0,
        prefix: str | None = None,
        params: RNNParams | None = None,
    ) -> None:
        rnn_weights.gates_of(mode)
        super().__init__(f"{mode}_" if prefix is None else prefix, params)
        self._num_hidden = num_hidden
        self._num_layers = num_layers
        self._mode = mode
        self._bidirectional = bidirectional
        self._dropout = dropout
        self._get_next_state = get_next_state
        init = initializer.FusedRNN(None, num_hidden, num_layers, mode, bidirectional, forget_bias)
        self._parameter = self._params.get("parameters", init=init)

    @property
    def state_info(self) -> list[dict[str, Any]]:
        shape = ((1 + self._bidirectional) * self._num_layers, 0, self._num_hidden)
        return [{"shape": shape, "__layout__": "LNC"} for _ in range(1 + (self._mode == "lstm"))]

    @property
    def _gate_names(self) -> tuple[str, ...]:
        return rnn_weights.GATES[self._mode]

    def _parts(self, inputs: int) -> list[rnn_weights.Part]:
        return rnn_weights.parts(inputs, self._num_hidden, self._num_layers, self._mode, self._bidirectional)

    @property
    def _name(self) -> str:
        return self._parameter.name or ""

    def unpack_weights(self, args: Mapping[str, NDArray]) -> Params:
        out = dict(args)
        flat = take_param(out, self._name)
        inputs = rnn_weights.num_inputs(
            flat.size, self._num_hidden, self._num_layers, self._mode, self._bidirectional
        )
        for part in self._parts(inputs):
            out[self._prefix + part.name] = flat[part.start : part.stop].reshape(part.shape).copy()
        return out

    def pack_weights(self, args: Mapping[str, NDArray]) -> Params:
        out = dict(args)
        first_name = f"{self._prefix}l0_i2h{self._gate_names[0]}_weight"
        first = take_param(dict(out), first_name)
        parts = self._parts(first.shape[1])
        flat = ndarray.zeros((parts[-1].stop,), ctx=first.context, dtype=first.dtype)
        for part in parts:
            flat[part.start : part.stop] = take_param(out, self._prefix + part.name).reshape((-1,))
        out[self._name] = flat
        return out

    def __call__(self, inputs: Symbol, states: States) -> tuple[Symbol, States]:
        raise NotImplementedError("a FusedRNNCell cannot be stepped; use unroll, or unfuse() it first")

    def unroll(
        self,
        length: int,
        inputs: Any,
        begin_state: States | None = None,
        layout: str = "NTC",
        merge_outputs: bool | None = None,
    ) -> tuple[Outputs, States]:
        self.reset()
        data, axis = normalize_sequence(length, inputs, layout, True)
        if axis == 1:  # the operator wants the steps first
            data = symbol.swapaxes(data, dim1=0, dim2=1)
        begin = self.begin_state() if begin_state is None else begin_state
        rnn = symbol.RNN(
            data=data,
            parameters=self._parameter,
            state_size=self._num_hidden,
            num_layers=self._num_layers,
            bidirectional=self._bidirectional,
            p=self._dropout,
            state_outputs=self._get_next_state,
            mode=self._mode,
            name=f"{self._prefix}rnn",
            **dict(zip(("state", "state_cell"), begin, strict=False)),
        )
        outputs, states = rnn, []
        if self._get_next_state:
            outputs, states = rnn[0], [rnn[k] for k in range(1, len(rnn))]
            for state in states:
                state._set_attr(__layout__="LNC")
        if axis == 1:
            outputs = symbol.swapaxes(outputs, dim1=0, dim2=1)
        outputs, _ = normalize_sequence(length, outputs, layout, merge_outputs)
        return outputs, states

    def unfuse(self) -> SequentialRNNCell:
        """The same network of single cells, whose parameters `unpack_weights` gives."""
        h = self._num_hidden
        makers: dict[str, Callable[[str], BaseRNNCell]] = {
            "rnn_relu": lambda prefix: RNNCell(h, activation="relu", prefix=prefix),
            "rnn_tanh": lambda prefix: RNNCell(h, activation="tanh", prefix=prefix),
            "lstm": lambda prefix: LSTMCell(h, prefix=prefix),
            "gru": lambda prefix: GRUCell(h, prefix=prefix),
        }
        make = makers[self._mode]
        stack = SequentialRNNCell()
        p = self._prefix
        for i in range(self._num_layers):
            if self._bidirectional:
                stack.add(
                    BidirectionalCell(make(f"{p}l{i}_"), make(f"{p}r{i}_"), output_prefix=f"{p}bi_l{i}_")
                )
            else:
                stack.add(make(f"{p}l{i}_"))
            if self._dropout > 0 and i != self._num_layers - 1:
                stack.add(DropoutCell(self._dropout, prefix=f"{p}_dropout{i}_"))
        return stack

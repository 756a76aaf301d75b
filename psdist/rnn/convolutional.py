"""Cells whose products are convolutions, for sequences of pictures (Shi et al. 2015)."""

from __future__ import annotations

from typing import Any

from .. import symbol
from ..errors import ConfigError
from ..symbol import Symbol
from .base import BaseRNNCell, RNNParams, States

__all__ = ["BaseConvRNNCell", "ConvGRUCell", "ConvLSTMCell", "ConvRNNCell"]

Pair = tuple[int, int]


def _leaky(*args: Any, **kwargs: Any) -> Symbol:
    return symbol.LeakyReLU(*args, act_type="leaky", slope=0.2, **kwargs)  # type: ignore[no-any-return]


class BaseConvRNNCell(BaseRNNCell):
    """The base: a convolution of the input, and one of the state, which keeps its size.

    `input_shape` is that of one step's input, with any batch. The kernel over the state has odd sides.
    """

    _default_prefix = ""

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_hidden: int,
        h2h_kernel: Pair = (3, 3),
        h2h_dilate: Pair = (1, 1),
        i2h_kernel: Pair = (3, 3),
        i2h_stride: Pair = (1, 1),
        i2h_pad: Pair = (1, 1),
        i2h_dilate: Pair = (1, 1),
        i2h_weight_initializer: Any = None,
        h2h_weight_initializer: Any = None,
        i2h_bias_initializer: Any = "zeros",
        h2h_bias_initializer: Any = "zeros",
        activation: Any = _leaky,
        prefix: str | None = None,
        params: RNNParams | None = None,
        conv_layout: str = "NCHW",
    ) -> None:
        super().__init__(self._default_prefix if prefix is None else prefix, params)
        if any(side % 2 == 0 for side in h2h_kernel):
            raise ConfigError(f"{type(self).__name__}: h2h_kernel is {tuple(h2h_kernel)}; wanted odd sides")
        self._num_hidden = num_hidden
        self._activation = activation
        self._conv_layout = conv_layout
        self._i2h = {"kernel": i2h_kernel, "stride": i2h_stride, "pad": i2h_pad, "dilate": i2h_dilate}
        pad = tuple(d * (k - 1) // 2 for d, k in zip(h2h_dilate, h2h_kernel, strict=True))
        self._h2h = {"kernel": h2h_kernel, "stride": (1,) * len(pad), "pad": pad, "dilate": h2h_dilate}
        probe = symbol.Convolution(
            data=symbol.Variable("data"), num_filter=num_hidden, layout=conv_layout, **self._i2h
        )
        self._state_shape = (0, *probe.infer_shape(data=input_shape)[1][0][1:])
        self._iW = self._params.get("i2h_weight", init=i2h_weight_initializer)
        self._hW = self._params.get("h2h_weight", init=h2h_weight_initializer)
        self._iB = self._params.get("i2h_bias", init=i2h_bias_initializer)
        self._hB = self._params.get("h2h_bias", init=h2h_bias_initializer)

    @property
    def state_info(self) -> list[dict[str, Any]]:
        return [{"shape": self._state_shape, "__layout__": self._conv_layout}]

    def _gates(self, inputs: Symbol, state: Symbol, name: str) -> tuple[Symbol, Symbol]:
        def convolve(x: Symbol, weight: Symbol, bias: Symbol, options: Any, name: str) -> Symbol:
            return symbol.Convolution(  # type: ignore[no-any-return]
                data=x,
                weight=weight,
                bias=bias,
                num_filter=self._num_hidden * self._num_gates,
                layout=self._conv_layout,
                name=name,
                **options,
            )

        return (
            convolve(inputs, self._iW, self._iB, self._i2h, f"{name}i2h"),
            convolve(state, self._hW, self._hB, self._h2h, f"{name}h2h"),
        )

    def _next_name(self) -> str:
        self._counter += 1
        return f"{self._prefix}t{self._counter}_"


class ConvRNNCell(BaseConvRNNCell):
    """`RNNCell` with convolutions."""

    _default_prefix = "ConvRNN_"

    @property
    def _gate_names(self) -> tuple[str, ...]:
        return ("",)

    def __call__(self, inputs: Symbol, states: States) -> tuple[Symbol, States]:
        name = self._next_name()
        i2h, h2h = self._gates(inputs, states[0], name)
        output = self._get_activation(i2h + h2h, self._activation, name=f"{name}out")
        return output, [output]


class ConvLSTMCell(BaseConvRNNCell):
    """`LSTMCell` with convolutions."""

    _default_prefix = "ConvLSTM_"

    @property
    def state_info(self) -> list[dict[str, Any]]:
        return super().state_info * 2

    @property
    def _gate_names(self) -> tuple[str, ...]:
        return ("_i", "_f", "_c", "_o")

    def __call__(self, inputs: Symbol, states: States) -> tuple[Symbol, States]:
        name = self._next_name()
        i2h, h2h = self._gates(inputs, states[0], name)
        axis = self._conv_layout.find("C")
        gates = symbol.SliceChannel(i2h + h2h, num_outputs=4, axis=axis, name=f"{name}slice")
        write = symbol.Activation(gates[0], act_type="sigmoid", name=f"{name}i")
        keep = symbol.Activation(gates[1], act_type="sigmoid", name=f"{name}f")
        new = self._get_activation(gates[2], self._activation, name=f"{name}c")
        show = symbol.Activation(gates[3], act_type="sigmoid", name=f"{name}o")
        cell = symbol.elemwise_add(keep * states[1], write * new, name=f"{name}state")
        output = symbol.elemwise_mul(show, self._get_activation(cell, self._activation), name=f"{name}out")
        return output, [output, cell]


class ConvGRUCell(BaseConvRNNCell):
    """`GRUCell` with convolutions."""

    _default_prefix = "ConvGRU_"

    @property
    def _gate_names(self) -> tuple[str, ...]:
        return ("_r", "_z", "_o")

    def __call__(self, inputs: Symbol, states: States) -> tuple[Symbol, States]:
        name = self._next_name()
        i2h, h2h = self._gates(inputs, states[0], name)
        axis = self._conv_layout.find("C")
        along = {} if axis == 1 else {"axis": axis}
        i2h_r, i2h_z, i2h = symbol.SliceChannel(i2h, num_outputs=3, name=f"{name}_i2h_slice", **along)
        h2h_r, h2h_z, h2h = symbol.SliceChannel(h2h, num_outputs=3, name=f"{name}_h2h_slice", **along)
        reset = symbol.Activation(i2h_r + h2h_r, act_type="sigmoid", name=f"{name}_r_act")
        update = symbol.Activation(i2h_z + h2h_z, act_type="sigmoid", name=f"{name}_z_act")
        new = self._get_activation(i2h + reset * h2h, self._activation, name=f"{name}_h_act")
        output = symbol.elemwise_add((1.0 - update) * new, update * states[0], name=f"{name}out")
        return output, [output]

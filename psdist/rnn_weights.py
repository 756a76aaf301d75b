"""The RNN operator's one array of parameters, gate by gate: which part is which cell's weight or bias.

First all weights (layer by layer, direction by direction, input then state, gate by gate), then all biases in
the same order. The names are those of unfused cells: `l0_i2h_f_weight`, `r1_h2h_o_bias`.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from .errors import ConfigError, ShapeError

__all__ = ["GATES", "Part", "num_inputs", "parts"]

GATES: dict[str, tuple[str, ...]] = {
    "rnn_relu": ("",),
    "rnn_tanh": ("",),
    "lstm": ("_i", "_f", "_c", "_o"),
    "gru": ("_r", "_z", "_o"),
}


class Part(NamedTuple):
    """A weight or a bias of one gate: where it starts in the array, and its shape."""

    name: str
    start: int
    shape: tuple[int, ...]

    @property
    def stop(self) -> int:
        return self.start + prod(self.shape)


def gates_of(mode: str) -> tuple[str, ...]:
    """The endings of the gates' names. Raises ConfigError for an unknown mode."""
    if mode not in GATES:
        raise ConfigError(f"mode is {mode!r}; wanted one of {', '.join(GATES)}")
    return GATES[mode]


def parts(inputs: int, hidden: int, layers: int, mode: str, bidirectional: bool) -> list[Part]:
    """All parts in order, without gaps."""
    directions = ("l", "r") if bidirectional else ("l",)
    cells = [(layer, d) for layer in range(layers) for d in directions]
    named: list[tuple[str, tuple[int, ...]]] = []
    for layer, d in cells:
        width = inputs if layer == 0 else hidden * len(directions)
        named += [(f"{d}{layer}_i2h{gate}_weight", (hidden, width)) for gate in gates_of(mode)]
        named += [(f"{d}{layer}_h2h{gate}_weight", (hidden, hidden)) for gate in gates_of(mode)]
    for layer, d in cells:
        named += [
            (f"{d}{layer}_{k}{gate}_bias", (hidden,)) for k in ("i2h", "h2h") for gate in gates_of(mode)
        ]
    out: list[Part] = []
    for name, shape in named:
        out.append(Part(name, out[-1].stop if out else 0, shape))
    return out


def num_inputs(size: int, hidden: int, layers: int, mode: str, bidirectional: bool) -> int:
    """The number of inputs of the network whose parameters have `size` elements in all. Raises ShapeError."""
    rows = len(gates_of(mode)) * hidden * (1 + bidirectional)
    above = (layers - 1) * (hidden + hidden * (1 + bidirectional) + 2)
    inputs, rest = divmod(size, rows)
    inputs -= above + hidden + 2
    if rest or inputs < 1:
        raise ShapeError(
            f"{size} elements are no {mode} of {layers} layers, {hidden} hidden"
            f"{', both directions' if bidirectional else ''}: wanted {rows} x (inputs + {above + hidden + 2})"
        )
    return inputs

"""The LSTM's arithmetic between two products, compiled: one loop forward and one back for every step.

Gates, states and gradients lie as `rnn` keeps them, every step's at a fixed distance from the last one's, so that the
tables of addresses for all steps are made at once. Promise: tolerance, as `psdist.jit.lanes` says of tanh.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..jit import engine
from ..jit.loops import FLOATS, Body, Input, Step, source

__all__ = ["StepLoop", "backward_loop", "forward_loop"]

Array = NDArray[Any]
_LEAST = 1024  # elements of a state


class _Writer:
    """Collects the steps of a body; values are numbers."""

    def __init__(self, kind: str, num_inputs: int) -> None:
        self.kind = kind
        self.inputs = [Input(kind, "whole")] * num_inputs + [Input(kind, "const", 0.5)]
        self.half = num_inputs
        self.steps: list[Step] = []

    def do(self, ufunc: str, *args: int) -> int:
        self.steps.append(Step(ufunc, self.kind, args, self.kind))
        return len(self.inputs) + len(self.steps) - 1

    def rise(self, x: int) -> int:
        """From a tanh to a sigmoid."""
        return self.do("add", self.do("multiply", x, self.half), self.half)

    def body(self, *outputs: int) -> Body:
        return Body(tuple(self.inputs), tuple(self.steps), outputs)


@functools.cache
def _forward_body(kind: str) -> Body:
    """Of the shares of i, f, g, o (from the input, then from the state) and c: i, f, g, o, the new c and h."""
    w = _Writer(kind, 9)
    i, f, g, o = (w.do("tanh", w.do("add", k, 4 + k)) for k in range(4))
    i, f, o = w.rise(i), w.rise(f), w.rise(o)
    c = w.do("add", w.do("multiply", 8, f), w.do("multiply", i, g))
    return w.body(i, f, g, o, c, w.do("multiply", w.do("tanh", c), o))


@functools.cache
def _backward_body(kind: str) -> Body:
    """Of i, f, g, o, c, the c before, and the gradients of h, of the output and of c: those of the four sums and of the c
    before."""
    w = _Writer(kind, 9)
    i, f, g, o, c, c_before, g_h, g_out, g_c = range(9)
    wide = w.do("tanh", c)
    through = w.do("multiply", w.do("add", g_h, g_out), o)
    both = w.do("multiply", through, wide)
    g_o = w.do("subtract", both, w.do("multiply", both, o))
    g_c = w.do("add", g_c, w.do("subtract", through, w.do("multiply", both, wide)))

    def sigmoid_back(x: int, gate: int) -> int:
        y = w.do("multiply", x, gate)
        return w.do("subtract", y, w.do("multiply", y, gate))

    g_i, g_f = sigmoid_back(w.do("multiply", g_c, g), i), sigmoid_back(w.do("multiply", g_c, c_before), f)
    g_g = w.do("multiply", g_c, i)
    g_g = w.do("subtract", g_g, w.do("multiply", w.do("multiply", g, g), g_g))
    return w.body(g_i, g_f, g_g, g_o, w.do("multiply", g_c, f))


class StepLoop:
    """A body over arrays that move on from step to step; `run(t)` does step t."""

    def __init__(self, kernel: Any, arrays: Sequence[tuple[Array, bool]], steps: int, size: int) -> None:
        """`arrays` in the kernel's order; True says that it has a leading axis of steps."""
        starts = np.array([a.ctypes.data for a, _ in arrays])
        moves = np.array([a.strides[0] if moving else 0 for a, moving in arrays])
        self.tables = np.full((steps, 2 * len(arrays)), size, np.int64)
        self.tables[:, : len(arrays)] = starts + np.arange(steps)[:, None] * moves
        self._held = [a for a, _ in arrays]
        self._address, self._row = self.tables.ctypes.data, self.tables.strides[0]
        self._call, self._size = kernel.for_size(size), size

    def put(self, t: int, slot: int, a: Array) -> None:
        """Another array in one step."""
        self.tables[t, slot] = a.ctypes.data
        self._held.append(a)

    def run(self, t: int) -> None:
        self._call(self._address + t * self._row, 0, 1, self._size)


def _kernel(body: Any, like: Array, size: int) -> Any:
    """The kernel, or None where there is no compiler or too little to do."""
    if size < _LEAST or like.dtype not in FLOATS:
        return None
    compiler = engine()
    return None if compiler is None else compiler.kernel(source(body(FLOATS[like.dtype])))


def forward_loop(gates: Array, product: Array, kept: Array, c0: Array, backwards: bool) -> StepLoop | None:
    """For `gates` (steps, 4 · h, batch), the state's share of them (4 · h, batch), and `kept` (which, steps, h, batch)."""
    n, size = len(c0), c0.size
    kernel = _kernel(_forward_body, gates, size)
    if kernel is None:
        return None
    own = [(gates[:, k * n : (k + 1) * n], True) for k in range(4)]
    shares = [(product[k * n : (k + 1) * n], False) for k in range(4)]
    hidden, cells = kept[0], kept[1]
    loop = StepLoop(
        kernel, [*own, *shares, (cells, True), *own, (cells, True), (hidden, True)], len(gates), size
    )
    _before(loop, 8, cells, c0, backwards)
    return loop


def backward_loop(
    gates: Array, kept: Array, c0: Array, g_h: Array, g_out: Array, g_c: Array, g_sum: Array, backwards: bool
) -> StepLoop | None:
    """For what `forward_loop` made, and the gradients (h, batch) of the states, which it reads and (of c) writes."""
    n, size = len(c0), c0.size
    kernel = _kernel(_backward_body, gates, size)
    if kernel is None:
        return None
    own = [(gates[:, k * n : (k + 1) * n], True) for k in range(4)]
    made = [(g_sum[:, k * n : (k + 1) * n], True) for k in range(4)]
    cells = kept[1]
    arrays = [
        *own,
        (cells, True),
        (cells, True),
        (g_h, False),
        (g_out, True),
        (g_c, False),
        *made,
        (g_c, False),
    ]
    loop = StepLoop(kernel, arrays, len(gates), size)
    _before(loop, 5, cells, c0, backwards)
    return loop


def _before(loop: StepLoop, slot: int, cells: Array, c0: Array, backwards: bool) -> None:
    """Have `slot` show the cells of the step before."""
    places = loop.tables[:, slot].copy()
    if backwards:
        loop.tables[:-1, slot] = places[1:]
    else:
        loop.tables[1:, slot] = places[:-1]
    loop.put(len(cells) - 1 if backwards else 0, slot, c0)

"""Compiled depthwise convolution: every channel has a filter of its own, so there is no matrix product to make of it.

Over batch-innermost data, with a stride of one along a row, what place (p, q) of every window sees is a view whose rows are
runs of memory. The result is a weighted sum of these views and the filter's gradient a dot product with each: one loop for a
channel, which reads the data once. Without a compiler, columns and products of one row (`window`) are quicker than a
multiplication and an addition of NumPy's for every place.

Promise: tolerance, as of the other convolutions.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ..jit import engine
from ..jit.engine import Table
from ..jit.loops import FLOATS, Body, Input, source
from ..jit.loops import Step as BodyStep
from .ir import Array, At, Instr, Step, Value

__all__ = ["Depthwise", "DepthwiseWeight", "is_depthwise"]

_MOST_PLACES = 32  # of a filter


def is_depthwise(g: Any, dtype: Any) -> bool:
    """Whether each channel of a `Geometry` has one filter of its own, of a size that is compiled."""
    one = g.groups > 1 and g.c == 1 and g.f == 1
    return bool(one and g.stride[1] == 1 and math.prod(g.kernel) <= _MOST_PLACES and dtype in FLOATS)


def _lies(at: At, v: Value) -> Array:
    """(c, h, w, n) as it lies in memory."""
    a = at(v).transpose(v.order)
    return a if a.ndim == 4 else a[:, None]


def _views(x: Array, g: Any) -> list[Array]:
    """What each place of every window sees of one channel's padded (h, w, n)."""
    (dh, dw), (kh, kw) = g.dilate, g.kernel
    return [x[p * dh :, q * dw :] for p in range(kh) for q in range(kw)]


@functools.cache
def _sum_body(places: int, kind: str, has_bias: bool) -> Body:
    """Σ number · view over the places, and the bias."""
    inputs = [Input(kind, "whole")] * places + [Input(kind, "number")] * (places + has_bias)
    steps: list[BodyStep] = []
    for k in range(places):
        steps.append(BodyStep("multiply", kind, (k, places + k), kind))
        if k:
            last = len(inputs) + len(steps) - 1
            steps.append(BodyStep("add", kind, (last - 1, last), kind))
    if has_bias:
        steps.append(BodyStep("add", kind, (len(inputs) + len(steps) - 1, 2 * places), kind))
    return Body(tuple(inputs), tuple(steps), (len(inputs) + len(steps) - 1,))


@functools.cache
def _dot_body(places: int, kind: str) -> Body:
    """Σ head · view along a row, for every place."""
    inputs = (Input(kind, "whole"),) * (places + 1)
    first = len(inputs)
    steps = [BodyStep("multiply", kind, (0, 1 + k), kind) for k in range(places)]
    steps += [BodyStep("add", kind, (first + k,), kind, True) for k in range(places)]
    return Body(inputs, tuple(steps), tuple(first + places + k for k in range(places)))


def _call(body: Body, elements: int) -> Any:
    compiler = engine()
    assert compiler is not None
    return compiler.kernel(source(body)).for_size(elements)


class Depthwise(Instr):
    """Each channel's weighted sum of its windows, plus bias. With `flipped` the filters are turned round."""

    __slots__ = ("flipped", "g")

    def __init__(
        self, x: Value, weight: Value, bias: Value | None, out: Value, g: Any, flipped: bool = False
    ) -> None:
        super().__init__([x, weight] if bias is None else [x, weight, bias], [out])
        self.g = g
        self.flipped = flipped

    def key(self) -> Any:
        return ("depthwise", self.g, self.flipped)

    @property
    def title(self) -> str:
        return "compiled depthwise convolution" + " (flipped)" * self.flipped

    def flops(self) -> float:
        return 2.0 * self.writes[0].size * float(math.prod(self.g.kernel))

    def steps(self, at: At) -> list[Step]:
        g = self.g
        x, y = _lies(at, self.reads[0]), _lies(at, self.writes[0])
        weight = at(self.reads[1]).reshape(g.groups, *g.kernel)
        places, size = math.prod(g.kernel), g.out[1] * g.n
        numbers = [(p, q) for p in range(g.kernel[0]) for q in range(g.kernel[1])]
        if self.flipped:
            numbers.reverse()
        bias = at(self.reads[2]) if len(self.reads) > 2 else None
        call = _call(_sum_body(places, FLOATS[x.dtype], bias is not None), g.out[0] * size)
        line = g.stride[0] * x.shape[2] * g.n  # from a row of windows to the next
        strides = [line] * places + [0] * (places + (bias is not None)) + [size]
        steps: list[Step] = []
        for c in range(g.groups):
            more = [weight[c, p : p + 1, q] for p, q in numbers] + ([] if bias is None else [bias[c : c + 1]])
            table = Table.of([*_views(x[c], g), *more, y[c]], strides)
            steps.append((call, (table, 0, g.out[0], size)))
        return steps


class DepthwiseWeight(Instr):
    """The filters' gradient: for every place the dot product of the output's gradient and what the place sees."""

    __slots__ = ("g",)

    def __init__(self, head: Value, x: Value, out: Value, g: Any) -> None:
        room = Value((math.prod(g.kernel), g.groups, g.out[0]), x.dtype)  # a sum for each row
        super().__init__([head, x], [out], [room])
        self.g = g

    def key(self) -> Any:
        return ("depthwise weight", self.g)

    @property
    def title(self) -> str:
        return "compiled depthwise convolution's weight gradient"

    def flops(self) -> float:
        return 2.0 * self.reads[0].size * float(math.prod(self.g.kernel))

    def steps(self, at: At) -> list[Step]:
        g = self.g
        head, x, room = _lies(at, self.reads[0]), _lies(at, self.reads[1]), at(self.scratch[0])
        places, size = math.prod(g.kernel), g.out[1] * g.n
        call = _call(_dot_body(places, FLOATS[x.dtype]), g.out[0] * size)
        strides = [size] + [g.stride[0] * x.shape[2] * g.n] * places + [1] * places
        steps: list[Step] = []
        for c in range(g.groups):
            table = Table.of([head[c], *_views(x[c], g), *room[:, c]], strides)
            steps.append((call, (table, 0, g.out[0], size)))
        by_place = at(self.writes[0]).reshape(g.groups, places).T
        return [*steps, (np.add.reduce, (room, 2, None, by_place))]

"""Rules: operators whose instructions are planned by hand, because tracing their kernels would not find the best.

Each says what it promises, against the operator's kernel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import window  # noqa: F401  (registers convolution and pooling)
from .ir import Array, At, Instr, Step, Value
from .lower import rule
from .trace import Builder

__all__: list[str] = []


# -- softmax and cross-entropy: p - onehot(label), without making the one-hot ---------------------------------


class CrossEntropy(Instr):
    """(probabilities - onehot(label)) · scale, of (rows, classes) and one label a row. Promise: bitwise."""

    __slots__ = ("scale",)

    def __init__(self, p: Value, label: Value, out: Value, scale: float) -> None:
        rows = p.shape[0]
        super().__init__([p, label], [out], [Value((rows,), np.dtype(np.int64)), Value((rows,), p.dtype)])
        self.scale = scale

    def key(self) -> Any:
        return ("cross entropy", self.scale)

    @property
    def title(self) -> str:
        return "cross-entropy's gradient"

    def steps(self, at: At) -> list[Step]:
        p, label, out = at(self.reads[0]), at(self.reads[1]), at(self.writes[0])
        index, picked = map(at, self.scratch)
        rows, classes = p.shape
        starts = np.arange(rows) * classes
        steps: list[Step] = [
            (_cross_entropy, (p, label.reshape(-1), out, index, picked, starts, classes - 1))
        ]
        if self.scale != 1:
            steps.append((np.multiply, (out, np.asarray(self.scale, out.dtype), out)))
        return steps


def _cross_entropy(
    p: Array, label: Array, out: Array, index: Array, picked: Array, starts: Array, last: int
) -> None:
    np.copyto(index, label, "unsafe")
    np.clip(index, 0, last, out=index)
    np.add(index, starts, out=index)
    np.copyto(out, p)
    flat = out.reshape(-1)
    np.take(flat, index, out=picked)
    np.subtract(picked, np.asarray(1, p.dtype), out=picked)
    flat[index] = picked


def _softmax_output_back(
    b: Builder, step: Any, heads: Sequence[Value], outs: Sequence[Value], ins: Sequence[Value]
) -> list[Value | None] | None:
    q, y, label = step.params, outs[0], ins[1]
    plain = not (q["multi_output"] or q["use_ignore"] or q["out_grad"] or q["smooth_alpha"])
    if (
        not plain
        or (len(y.shape) > 2 and not q["preserve_shape"])
        or label.shape == y.shape
        or len(y.shape) < 2
    ):
        return None
    rows = math.prod(y.shape[:-1])
    if label.size != rows:
        return None
    count = {"null": 1, "batch": y.shape[0], "valid": label.size}[q["normalization"]]
    p = b.view("reshape", (rows, y.shape[-1]), y)
    made = Value(p.shape, y.dtype)
    b.emit(CrossEntropy(p, label, made, q["grad_scale"] / count))
    return [b.view("reshape", y.shape, made), None]


rule("SoftmaxOutput", None, _softmax_output_back)

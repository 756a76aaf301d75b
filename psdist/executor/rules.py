"""Rules: operators whose instructions are planned by hand, because tracing their kernels would not find the best.

Each says what it promises, against the operator's kernel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import window
from .ir import Array, At, Copy, Instr, Step, Value
from .lower import rule
from .trace import CLIP, Builder, Traced

__all__: list[str] = []


# -- BatchNorm over batch-innermost data: a channel is one run of memory --------------------------------------


class ChannelDot(Instr):
    """Σ x y of each channel, by BLAS. Promise: tolerance."""

    __slots__ = ()

    def __init__(self, x: Value, y: Value, out: Value) -> None:
        super().__init__([x, y], [out])

    def key(self) -> Any:
        return "channel dot"

    @property
    def title(self) -> str:
        return "dot of channels"

    def flops(self) -> float:
        return 2.0 * self.reads[0].size

    def steps(self, at: At) -> list[Step]:
        rows = [at(v).transpose(v.order).reshape(v.shape[1], -1) for v in self.reads]
        return [(np.vecdot, (*rows, at(self.writes[0])))]


def _channel_dot(b: Builder, x: Value, y: Value) -> Traced:
    out = Value((x.shape[1],), x.dtype)
    b.emit(ChannelDot(x, y, out))
    return Traced(b, out)


def _suits(step: Any, x: Value) -> bool:
    order = window.innermost(len(x.shape))
    return len(x.shape) > 2 and x.order == order and step.params["axis"] == 1 and x.dtype.itemsize >= 4


def _batch_norm(b: Builder, step: Any, ins: Sequence[Value], is_train: bool) -> list[Value] | None:
    x, q = ins[0], step.params
    if not _suits(step, x):
        return None
    data, gamma, beta, moving_mean, moving_var = (Traced(b, v) for v in ins)
    wide = (-1, *(1,) * (len(x.shape) - 2))
    if is_train and not q["use_global_stats"]:
        share = x.shape[1] / x.size
        mean = data.sum(axis=(0, *range(2, len(x.shape)))) * share
        centred = data - mean.reshape(wide)
        var = _channel_dot(b, centred.v, centred.v) * share
        for moving, now in ((moving_mean, mean), (moving_var, var)):
            b.emit(Copy((moving * q["momentum"] + now * (1 - q["momentum"])).v, moving.v))
    else:
        mean, var = Traced(b, b.copy(moving_mean.v)), Traced(b, b.copy(moving_var.v))
        centred = data - mean.reshape(wide)
    inverse = 1 / np.sqrt(var + q["eps"])
    if q["fix_gamma"]:
        b.emit(Copy(b.value(np.ones(gamma.shape, gamma.dtype)), gamma.v))
    scale = inverse if q["fix_gamma"] else gamma * inverse
    y = centred * scale.reshape(wide) + beta.reshape(wide)
    return [y.v, mean.v, var.v]


def _batch_norm_back(
    b: Builder, step: Any, heads: Sequence[Value], outs: Sequence[Value], ins: Sequence[Value], is_train: bool
) -> list[Value | None] | None:
    x, q = ins[0], step.params
    if not _suits(step, x) or q["output_mean_var"]:
        return None
    g = Traced(b, b.ordered(heads[0], x.order))
    data, gamma, mean, var = (Traced(b, v) for v in (x, ins[1], outs[1], outs[2]))
    wide = (-1, *(1,) * (len(x.shape) - 2))
    inverse = 1 / np.sqrt(var + q["eps"])
    centred = data - mean.reshape(wide)
    g_beta = g.sum(axis=(0, *range(2, len(x.shape))))
    g_gamma = _channel_dot(b, g.v, centred.v) * inverse
    scale = inverse if q["fix_gamma"] else gamma * inverse
    if q["use_global_stats"] or not is_train:
        g_x = g * scale.reshape(wide)
    else:
        share = x.shape[1] / x.size
        g_x = g - centred * (g_gamma * inverse * share).reshape(wide)
        g_x = (g_x - (g_beta * share).reshape(wide)) * scale.reshape(wide)
    zero = b.value(np.broadcast_to(np.zeros((), gamma.dtype), gamma.shape))
    return [g_x.v, zero if q["fix_gamma"] else g_gamma.v, g_beta.v, None, None]


rule("BatchNorm", _batch_norm, _batch_norm_back)


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
    CLIP(index, 0, last, index)
    np.add(index, starts, out=index)
    np.copyto(out, p)
    flat = out.reshape(-1)
    np.take(flat, index, out=picked)
    np.subtract(picked, np.asarray(1, p.dtype), out=picked)
    flat[index] = picked


def _softmax_output_back(
    b: Builder, step: Any, heads: Sequence[Value], outs: Sequence[Value], ins: Sequence[Value], is_train: bool
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


# -- LayerNorm, written out for the compiler: a row stays in the cache from its mean to its result --------------


def _suits_rows(b: Builder, step: Any, x: Value) -> bool:
    last = step.params["axis"] % len(x.shape) == len(x.shape) - 1
    return b.compiled and last and x.dtype.kind == "f" and x.dtype.itemsize >= 4


def _layer_norm(b: Builder, step: Any, ins: Sequence[Value], is_train: bool) -> list[Value] | None:
    if not _suits_rows(b, step, ins[0]):
        return None
    x, gamma, beta = (Traced(b, v) for v in ins)
    share = 1 / ins[0].shape[-1]
    mean = x.sum(axis=-1, keepdims=True) * share
    centred = x - mean
    std = np.sqrt((centred * centred).sum(axis=-1, keepdims=True) * share + step.params["eps"])
    y = centred / std * gamma + beta
    return [y.v, mean.v, std.v]


def _layer_norm_back(
    b: Builder, step: Any, heads: Sequence[Value], outs: Sequence[Value], ins: Sequence[Value], is_train: bool
) -> list[Value | None] | None:
    if not _suits_rows(b, step, ins[0]) or step.params["output_mean_var"]:
        return None
    g, x, gamma, mean, std = (Traced(b, v) for v in (heads[0], ins[0], ins[1], outs[1], outs[2]))
    share = 1 / ins[0].shape[-1]
    normal = (x - mean) / std
    scaled = g * gamma
    along = (scaled * normal).sum(axis=-1, keepdims=True) * share
    g_x = (scaled - scaled.sum(axis=-1, keepdims=True) * share - normal * along) / std
    over = tuple(range(len(ins[0].shape) - 1))
    return [g_x.v, (g * normal).sum(axis=over).v, g.sum(axis=over).v]


rule("LayerNorm", _layer_norm, _layer_norm_back)

"""Layers without a window: affine maps, activations, dropout."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from . import special, unary
from .registry import Params, op
from .signature import Shape

Array = NDArray[Any]


def without_bias(*names: str) -> Any:
    """The arrays in use: `names`, but the last when the call says no_bias."""
    return lambda params: names[:-1] if params["no_bias"] else names


def _fc_lead(rest: Shape, flatten: bool) -> Shape:
    return () if flatten else rest[:-1]


@op("(first, *rest), (num_hidden, i), (num_hidden) -> (first, *lead, num_hidden)", types="T, T, T -> T",
    where={"i": lambda rest, flatten: math.prod(rest) if flatten else rest[-1], "lead": _fc_lead},
    active=without_bias("data", "weight", "bias"))  # fmt: skip
def FullyConnected(data: Array, weight: Array, bias: Array | None = None, /, *, num_hidden: int,
                   no_bias: bool = False, flatten: bool = True, out: Array | None = None) -> Any:  # fmt: skip
    """Affine map y = x wᵀ + b of the last axis, or with `flatten` of all axes but the first taken as one."""
    x = data.reshape(len(data), -1) if flatten else data
    y = np.matmul(x, weight.T, out=out)
    if bias is not None:
        y += bias
    return y


@FullyConnected.gradient
def _(g: Array, _y: Array, data: Array, weight: Array, _bias: Array | None = None, /, *, num_hidden: int,
      no_bias: bool, flatten: bool, needs: tuple[bool, ...]) -> Any:  # fmt: skip
    g2, x2 = g.reshape(-1, num_hidden), data.reshape(-1, weight.shape[1])
    return (
        (g2 @ weight).reshape(data.shape) if needs[0] else None,
        g2.T @ x2 if needs[1] else None,
        g2.sum(axis=0) if len(needs) > 2 and needs[2] else None,
    )


_ACTIVATIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "relu": (unary.relu, lambda g, y: g * (y > 0)),
    "sigmoid": (unary.sigmoid, lambda g, y: g * y * (1 - y)),
    "tanh": (np.tanh, lambda g, y: g * (1 - y * y)),
    "softrelu": (unary.softrelu, lambda g, y: g * -np.expm1(-y)),
    "softsign": (unary.softsign, lambda g, y: g * np.square(1 - np.abs(y))),
}


@op("(*s) -> (*s)")
def Activation(data: Array, /, *, act_type: Literal["relu", "sigmoid", "softrelu", "softsign", "tanh"],
               out: Array | None = None) -> Any:  # fmt: skip
    """An activation function, elementwise. softrelu is log(1 + e^x), softsign x / (1 + |x|)."""
    return _ACTIVATIONS[act_type][0](data, out=out)


@Activation.gradient
def _(g: Array, y: Array, _x: Array, /, *, act_type: str) -> Any:
    return _ACTIVATIONS[act_type][1](g, y)


# Klambauer et al., "Self-normalizing neural networks", arXiv:1706.02515
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805
_SQRT_HALF = math.sqrt(0.5)


def _leaky_shape(ins: list[Shape | None], params: Params, outs: list[Shape | None]) -> Any:
    s = ins[0] or outs[0]
    gamma = [] if len(ins) < 2 else [ins[1] or (s and ((s[1],) if len(s) > 1 else (1,)))]
    return [s, *gamma], [s] * len(outs)


def _aligned(gamma: Array, s: Shape) -> Array:
    """γ beside the first two axes of `s`, of which it may have the second, both, or (a single number) neither."""
    sizes, left = [1] * len(s), list(gamma.shape)
    for i in reversed(range(min(2, len(s)))):
        if left and left[-1] in (1, s[i]):
            sizes[i] = left.pop()
    if left:
        raise ShapeError(
            f"gamma is {gamma.shape}; wanted a number for each channel of {s}, or for each row's"
        )
    return gamma.reshape(sizes)


@op(shape=_leaky_shape, types="T, T -> T, T", active=lambda p: ("data", "gamma")[: 1 + (p["act_type"] == "prelu")],
    num_outputs=lambda p: 1 + (p["act_type"] == "rrelu"), outputs=("output",))  # fmt: skip
def LeakyReLU(data: Array, gamma: Array | None = None, /, *,
              act_type: Literal["elu", "gelu", "leaky", "prelu", "rrelu", "selu"] = "leaky", slope: float = 0.25,
              lower_bound: float = 0.125, upper_bound: float = 0.334, is_train: bool,
              rng: np.random.Generator) -> Any:  # fmt: skip
    """ReLU's relatives: x itself above 0, and below it

    - leaky: `slope` · x; prelu: γ · x with a learnt γ for each channel (or each row's channel, or one for all);
    - rrelu: x times a number drawn between the bounds (their mean, outside training), which is the second output;
    - elu: `slope` · (e^x - 1); selu: the self-normalising elu with fixed constants;
    - gelu: everywhere x · Φ(x), Φ the normal distribution."""
    if act_type == "gelu":
        return (0.5 * data) * (1 + special.erf(data * _SQRT_HALF))
    if act_type in ("elu", "selu"):
        alpha, scale = (slope, 1.0) if act_type == "elu" else (_SELU_ALPHA, _SELU_SCALE)
        y = np.expm1(_below(data))
        y *= alpha
        y += unary.relu(data)
        y *= scale
        return y
    if act_type == "rrelu":
        if is_train:
            mask = rng.uniform(lower_bound, upper_bound, data.shape).astype(data.dtype)
        else:
            mask = np.full_like(data, (lower_bound + upper_bound) / 2)
        mask = np.where(data > 0, data.dtype.type(1), mask)
        return data * mask, mask
    y = _below(data)
    y *= slope if gamma is None else _aligned(gamma, data.shape)
    y += unary.relu(data)
    return y


def _below(x: Array) -> Any:
    """min(x, 0), by SIMD."""
    return np.clip(x, -np.inf, 0)


@LeakyReLU.gradient
def _(*arrays: Array, act_type: str, slope: float, **_: Any) -> Any:
    g, y = arrays[0], arrays[len(arrays) // 2 if act_type == "rrelu" else 1]
    if act_type == "rrelu":
        return arrays[0] * arrays[-2]  # the mask is the last output
    x = arrays[2]
    if act_type == "gelu":
        density = np.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))
        return g * (0.5 * (1 + special.erf(x * _SQRT_HALF)) + x * density)
    if act_type in ("elu", "selu"):
        alpha, scale = (slope, 1.0) if act_type == "elu" else (_SELU_ALPHA, _SELU_SCALE)
        slopes = _below(y)
        slopes += alpha * scale * (x <= 0)
        slopes += scale * (x > 0)
        return g * slopes
    above = g * (x > 0)
    below = g - above
    if act_type == "prelu":
        gamma = _aligned(arrays[3], x.shape)
        axes = tuple(i for i, n in enumerate(gamma.shape) if n == 1)
        g_gamma = (below * x).sum(axis=axes)
        below *= gamma
        return np.add(above, below, out=above), np.reshape(g_gamma, arrays[3].shape)
    below *= slope
    return np.add(above, below, out=above)


@op("(*s) -> (*s)", outputs=("output", "mask"), num_visible=1)
def Dropout(data: Array, /, *, p: float = 0.5, mode: Literal["always", "training"] = "training",
            axes: tuple[int, ...] = (), cudnn_off: bool = False, is_train: bool,
            rng: np.random.Generator, out: Array | None = None) -> Any:  # fmt: skip
    """In training, each element becomes 0 with probability `p` and the others grow by 1/(1-p); else a copy of the
    array. Along `axes` one draw is shared. Srivastava et al., JMLR 15 (2014)."""
    if p == 0 or not (is_train or mode == "always"):
        return np.positive(data, out=out), np.broadcast_to(data.dtype.type(1), data.shape)
    shape = tuple(1 if i in axes else n for i, n in enumerate(data.shape))
    mask = (rng.integers(0, 1 << 16, shape, np.uint16) >= round(p * (1 << 16))).astype(data.dtype)
    mask *= 1 / (1 - p) if p < 1 else math.inf  # with p = 1 nothing but NaN is left, as in MXNet
    return np.multiply(data, mask, out=out), np.broadcast_to(mask, data.shape)


Dropout.gradient(lambda g, _y, mask, _x, /, **_: g * mask)

"""Layers without a window: affine maps, activations, dropout, softmax and the output layers that are also losses."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from . import unary
from ..errors import ShapeError
from .registry import Params, get, op
from .signature import Shape

Array = NDArray[Any]


def without_bias(*names: str) -> Any:
    """The arrays in use: `names`, but the last when the call says no_bias."""
    return lambda params: names[:-1] if params["no_bias"] else names


def _fc_lead(first: int, rest: Shape, flatten: bool) -> Shape:
    return (first,) if flatten else (first, *rest[:-1])


@op(
    "(first, *rest), (num_hidden, i), (num_hidden) -> (*lead, num_hidden)",
    types="T, T, T -> T",
    where={"i": lambda rest, flatten: math.prod(rest) if flatten else rest[-1], "lead": _fc_lead},
    active=without_bias("data", "weight", "bias"),
)
def FullyConnected(
    data: Array,
    weight: Array,
    bias: Array | None = None,
    /,
    *,
    num_hidden: int,
    no_bias: bool = False,
    flatten: bool = True,
    out: Array | None = None,
) -> Array:
    """Affine map y = x wᵀ + b of the last axis, or with `flatten` of all axes but the first taken as one."""
    x = data.reshape(len(data), -1) if flatten else data
    y = np.matmul(x, weight.T, out=out)
    if bias is not None:
        y += bias
    return y


@FullyConnected.gradient
def _(
    g: Array,
    _y: Array,
    data: Array,
    weight: Array,
    _bias: Array | None = None,
    /,
    *,
    num_hidden: int,
    no_bias: bool,
    flatten: bool,
    needs: tuple[bool, ...],
) -> Any:
    g2, x2 = g.reshape(-1, num_hidden), data.reshape(-1, weight.shape[1])
    return (
        (g2 @ weight).reshape(data.shape) if needs[0] else None,
        g2.T @ x2 if needs[1] else None,
        g2.sum(axis=0) if len(needs) > 2 and needs[2] else None,
    )


_ACTIVATIONS = {
    "relu": (unary.relu, lambda g, y: g * (y > 0)),
    "sigmoid": (unary.sigmoid, lambda g, y: g * y * (1 - y)),
    "tanh": (np.tanh, lambda g, y: g * (1 - y * y)),
    "softrelu": (unary.softrelu, lambda g, y: g * -np.expm1(-y)),
    "softsign": (unary.softsign, lambda g, y: g * np.square(1 - np.abs(y))),
}


@op("(*s) -> (*s)")
def Activation(
    data: Array,
    /,
    *,
    act_type: Literal["relu", "sigmoid", "tanh", "softrelu", "softsign"],
    out: Array | None = None,
) -> Array:
    """An activation function, elementwise. softrelu is log(1 + e^x), softsign x / (1 + |x|)."""
    return _ACTIVATIONS[act_type][0](data, out=out)  # type: ignore[no-any-return, operator]


@Activation.gradient
def _(g: Array, y: Array, _x: Array, /, *, act_type: str) -> Array:
    return _ACTIVATIONS[act_type][1](g, y)  # type: ignore[no-any-return]


@op("(*s) -> (*s)", outputs=("output", "mask"), num_visible=1)
def Dropout(
    data: Array,
    /,
    *,
    p: float = 0.5,
    mode: Literal["training", "always"] = "training",
    axes: tuple[int, ...] = (),
    cudnn_off: bool = False,
    is_train: bool,
    rng: np.random.Generator,
) -> Any:
    """In training, each element becomes 0 with probability `p` and the others grow by 1/(1-p); else the array itself.

    Along `axes` one draw is shared. Srivastava et al., JMLR 15 (2014)."""
    if p == 0 or not (is_train or mode == "always"):
        return data, np.ones((1,) * data.ndim, data.dtype)
    shape = tuple(1 if i in axes else n for i, n in enumerate(data.shape))
    mask = (rng.random(shape, dtype=np.float32) >= p).astype(data.dtype) * data.dtype.type(1 / (1 - p))
    return data * mask, mask


Dropout.gradient(lambda g, _y, mask, _x, /, **_: g * mask)


def softmax_along(x: Array, axis: int, out: Array | None = None) -> Array:
    """e^x / Σ e^x along `axis`, safe from overflow."""
    y = np.subtract(x, x.max(axis=axis, keepdims=True), out=out)
    np.exp(y, out=y)
    y /= y.sum(axis=axis, keepdims=True)
    return y


@op("(*s) -> (*s)")
def softmax(
    data: Array, /, *, axis: int = -1, temperature: float | None = None, out: Array | None = None
) -> Array:
    """e^(x/t) / Σ e^(x/t) along `axis`, where t is the `temperature` (1)."""
    return softmax_along(data / data.dtype.type(temperature) if temperature else data, axis, out)


@softmax.gradient
def _(g: Array, y: Array, _x: Array, /, *, axis: int, temperature: float | None) -> Array:
    grad = y * (g - (g * y).sum(axis=axis, keepdims=True))
    return grad / temperature if temperature else grad


@op("(*s) -> (*s)")
def log_softmax(data: Array, /, *, axis: int = -1, temperature: float | None = None) -> Array:
    """The logarithm of `softmax`, without taking a logarithm of small numbers."""
    x = data / data.dtype.type(temperature) if temperature else data
    x = x - x.max(axis=axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=axis, keepdims=True))  # type: ignore[no-any-return]


@log_softmax.gradient
def _(g: Array, y: Array, _x: Array, /, *, axis: int, temperature: float | None) -> Array:
    grad = g - np.exp(y) * g.sum(axis=axis, keepdims=True)
    return grad / temperature if temperature else grad


@op("(*s) -> (*s)")
def SoftmaxActivation(data: Array, /, *, mode: Literal["instance", "channel"] = "instance") -> Array:
    """softmax over all elements of a row, or over axis 1 (`channel`)."""
    if mode == "channel":
        return softmax_along(data, 1)
    return softmax_along(data.reshape(len(data), -1), 1).reshape(data.shape)


@SoftmaxActivation.gradient
def _(g: Array, y: Array, _x: Array, /, *, mode: str) -> Array:
    axes = 1 if mode == "channel" else tuple(range(1, y.ndim))
    return y * (g - (g * y).sum(axis=axes, keepdims=True))  # type: ignore[no-any-return]


def _softmax_output_shape(ins: list[Shape | None], params: Params, outs: list[Shape | None]) -> Any:
    data = ins[0] or outs[0]
    if data is None:
        return ins, outs
    label = ins[1] if len(ins) > 1 else None
    if label is None:
        if params["multi_output"]:
            label = (data[0], *data[2:])
        else:
            label = data[:-1] if params["preserve_shape"] else (data[0],)
    elif (
        label != data and 0 not in data and math.prod(label) != math.prod(data) // _num_classes(data, params)
    ):
        raise ShapeError(
            f"SoftmaxOutput: label {label} does not fit data {data}; wanted one label for each softmax"
        )
    return [data, label], [data]


def _num_classes(shape: Shape, params: Params) -> int:
    if params["multi_output"]:
        return shape[1]
    return shape[-1] if params["preserve_shape"] else math.prod(shape[1:])


@op(shape=_softmax_output_shape, types="T, T -> T", aliases=["Softmax"], ignores_head=True)
def SoftmaxOutput(
    data: Array,
    label: Array,
    /,
    *,
    grad_scale: float = 1.0,
    ignore_label: float = -1.0,
    multi_output: bool = False,
    use_ignore: bool = False,
    preserve_shape: bool = False,
    normalization: Literal["null", "batch", "valid"] = "null",
    out_grad: bool = False,
    smooth_alpha: float = 0.0,
    out: Array | None = None,
) -> Array:
    """softmax, whose gradient is that of its cross-entropy with `label`: p - onehot(label), times `grad_scale`.

    The classes lie in all axes but the first, with `multi_output` in axis 1 (a label for each place of the others), with
    `preserve_shape` in the last. Labels may also be given as probabilities in the shape of `data`. With `use_ignore`, places
    labelled `ignore_label` have no gradient. `normalization` divides by nothing, the batch size, or the number of valid labels.
    `smooth_alpha` is taken from the right class and shared among the others. With `out_grad` the head's gradient multiplies."""
    if multi_output:
        return softmax_along(data, 1, out)
    if preserve_shape:
        return softmax_along(data, -1, out)
    flat = softmax_along(data.reshape(len(data), -1), 1, None if out is None else out.reshape(len(data), -1))
    return flat.reshape(data.shape)


@SoftmaxOutput.gradient
def _(
    g: Array,
    y: Array,
    _data: Array,
    label: Array,
    /,
    *,
    grad_scale: float,
    ignore_label: float,
    multi_output: bool,
    use_ignore: bool,
    preserve_shape: bool,
    normalization: str,
    out_grad: bool,
    smooth_alpha: float,
) -> Any:
    if label.shape == y.shape:
        grad = y - label
        count: Any = len(y) if normalization == "batch" else 1
        grad *= grad.dtype.type(grad_scale / count)
        return (grad * g if out_grad else grad), None
    if multi_output:
        p = y.reshape(len(y), y.shape[1], -1)
    else:
        p = y.reshape(-1, y.shape[-1], 1) if preserve_shape else y.reshape(len(y), -1, 1)
    n, classes, places = p.shape
    at = label.reshape(n, 1, places).astype(np.int64)
    off = smooth_alpha / (classes - 1) if smooth_alpha else 0.0
    grad = p - p.dtype.type(off) if off else p.copy()
    picked = np.take_along_axis(grad, at.clip(0, classes - 1), axis=1)
    np.put_along_axis(grad, at.clip(0, classes - 1), picked - p.dtype.type(1 - smooth_alpha - off), axis=1)
    valid = label.reshape(n, 1, places) != ignore_label if use_ignore else None
    if valid is not None:
        grad *= valid
    if normalization == "valid":
        count = max(1, int(valid.sum()) if valid is not None else label.size)
    else:
        count = (n if normalization == "batch" else 1) * places
    grad *= grad.dtype.type(grad_scale / count)
    grad = grad.reshape(y.shape)
    return (grad * g if out_grad else grad), None


def _regression(name: str, link: str, doc: str, error: Any) -> None:
    def shape(ins: list[Shape | None], params: Params, outs: list[Shape | None]) -> Any:
        data = ins[0] or outs[0]
        label = (ins[1] if len(ins) > 1 else None) or data
        if data and label and math.prod(data) != math.prod(label):
            raise ShapeError(f"{name}: label {label} does not fit data {data}")
        return [data, label], [data]

    function = get(link).kernel

    def kernel(data: Array, label: Array, /, *, grad_scale: float = 1.0, out: Array | None = None) -> Any:
        return function(data, out=out)

    def gradient(_g: Array, y: Array, _data: Array, label: Array, /, *, grad_scale: float) -> Any:
        scale = y.dtype.type(grad_scale / max(1, y.size // len(y)))
        return error(y, label.reshape(y.shape)) * scale, None

    kernel.__doc__ = (
        doc + " `grad_scale` scales the gradient, which is divided by the number of outputs of a row."
    )
    op(shape=shape, types="T, T -> T", name=name, ignores_head=True)(kernel).gradient(gradient)


_regression(
    "LinearRegressionOutput",
    "_copy",
    "The array, whose gradient is that of half the squared error to `label`.",
    lambda y, label: y - label,
)
_regression(
    "MAERegressionOutput",
    "_copy",
    "The array, whose gradient is that of the absolute error to `label`.",
    lambda y, label: np.sign(y - label),
)
_regression(
    "LogisticRegressionOutput",
    "sigmoid",
    "sigmoid, whose gradient is that of its cross-entropy with `label`.",
    lambda y, label: y - label,
)


@op("(*s) -> (*s)", aliases=["make_loss"], ignores_head=True)
def MakeLoss(
    data: Array,
    /,
    *,
    grad_scale: float = 1.0,
    valid_thresh: float = 0.0,
    normalization: Literal["null", "batch", "valid"] = "null",
) -> Array:
    """The array as a loss: its gradient is `grad_scale` everywhere, whatever follows; divided by the batch size or by the
    number of elements above `valid_thresh`, as `normalization` says."""
    return data


@MakeLoss.gradient
def _(
    _g: Array, _y: Array, data: Array, /, *, grad_scale: float, valid_thresh: float, normalization: str
) -> Array:
    count = {"null": 1, "batch": len(data), "valid": max(1, int((data > valid_thresh).sum()))}[normalization]
    return np.full_like(data, grad_scale / count)

"""Output layers: each is a prediction whose gradient is that of a loss, whatever comes after it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from . import unary
from .registry import Params, op
from .signature import Shape
from .softmax import softmax_along

Array = NDArray[Any]


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
) -> Any:
    """softmax, whose gradient is that of its cross-entropy with `label`: p - onehot(label), times `grad_scale`.

    The classes lie in all axes but the first, with `multi_output` in axis 1 (a label for each place of the others),
    with `preserve_shape` in the last. Labels may also be given as probabilities in the shape of `data`. With
    `use_ignore`, places labelled `ignore_label` have no gradient. `normalization` divides by nothing, the batch size,
    or the number of valid labels. `smooth_alpha` is taken from the right class and shared among the others (not with
    `multi_output`). With
    `out_grad` the head's gradient multiplies."""
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
        grad *= grad_scale
        return (grad * g if out_grad else grad), None
    if multi_output:
        p = y.reshape(len(y), y.shape[1], -1)
    else:
        p = y.reshape(-1, y.shape[-1], 1) if preserve_shape else y.reshape(len(y), -1, 1)
    n, classes, places = p.shape
    at = label.reshape(n, 1, places).astype(np.int64)
    smooth = 0.0 if multi_output else smooth_alpha
    off = smooth / (classes - 1) if smooth else 0.0
    grad = p - p.dtype.type(off) if off else p.copy()
    picked = np.take_along_axis(grad, at.clip(0, classes - 1), axis=1)
    np.put_along_axis(grad, at.clip(0, classes - 1), picked - p.dtype.type(1 - smooth - off), axis=1)
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


def _regression(name: str, link: Callable[..., Any], doc: str, error: Callable[[Array, Array], Any]) -> None:
    def shape(ins: list[Shape | None], params: Params, outs: list[Shape | None]) -> Any:
        data = ins[0] or outs[0]
        label = ins[1] or data
        if data and label and 0 not in data + label and math.prod(data) != math.prod(label):
            raise ShapeError(f"label {label} does not fit data {data}; wanted one label for each element")
        return [data, label], [data]

    def kernel(data: Array, label: Array, /, *, grad_scale: float = 1.0, out: Array | None = None) -> Any:
        return link(data, out=out)

    def gradient(_g: Array, y: Array, _data: Array, label: Array, /, *, grad_scale: float) -> Any:
        grad = error(y, label.reshape(y.shape))
        grad *= grad_scale / max(1, y.size // len(y))
        return grad, None

    kernel.__doc__ = (
        f"{doc}\n\n`grad_scale` scales the gradient, which is divided by the number of outputs of a row."
    )
    op(shape=shape, types="T, T -> T", name=name, ignores_head=True)(kernel).gradient(gradient)


_regression("LinearRegressionOutput", np.positive,
            "A copy of the array, whose gradient is that of half the squared error to `label`.", np.subtract)  # fmt: skip
_regression("MAERegressionOutput", np.positive,
            "A copy of the array, whose gradient is that of the absolute error to `label`.",
            lambda y, label: np.sign(y - label))  # fmt: skip
_regression("LogisticRegressionOutput", unary.sigmoid,
            "sigmoid, whose gradient is that of its cross-entropy with `label`.", np.subtract)  # fmt: skip


@op("(*s) -> (*s)", ignores_head=True, passes=True)
def MakeLoss(data: Array, /, *, grad_scale: float = 1.0, valid_thresh: float = 0.0,
             normalization: Literal["batch", "null", "valid"] = "null") -> Any:  # fmt: skip
    """The array as a loss: its gradient is `grad_scale` everywhere, whatever follows; divided by the batch size or by
    the number of elements above `valid_thresh`, as `normalization` says."""
    return data.copy()


@MakeLoss.gradient
def _(
    _g: Array, _y: Array, data: Array, /, *, grad_scale: float, valid_thresh: float, normalization: str
) -> Any:
    valid = int((data > valid_thresh).sum()) if normalization == "valid" else 0
    count = {"null": 1, "batch": len(data), "valid": max(1, valid)}[normalization]
    return np.full_like(data, grad_scale / count)


@op("(*s) -> (*s)", ignores_head=True, passes=True)
def make_loss(data: Array, /) -> Any:
    """The array as a loss: its gradient is 1 everywhere, whatever follows."""
    return data.copy()


make_loss.gradient(lambda _g, y, _x, /: np.ones_like(y))


@op("(n, c), (n) -> (n, c)", ignores_head=True, passes=True)
def SVMOutput(data: Array, label: Array, /, *, margin: float = 1.0, regularization_coefficient: float = 1.0,
              use_linear: bool = False) -> Any:  # fmt: skip
    """The scores of classes, whose gradient is that of a support vector machine's hinge loss (squared, unless
    `use_linear`), one class against the rest."""
    return data.copy()


@SVMOutput.gradient
def _(_g: Array, y: Array, _data: Array, label: Array, /, *, margin: float, regularization_coefficient: float,
      use_linear: bool) -> Any:  # fmt: skip
    sign = np.full_like(y, 1)
    sign[np.arange(len(y)), label.astype(np.int64)] = -1  # the right class is pushed up
    short = margin + sign * y
    slope = (short > 0).astype(y.dtype) if use_linear else 2 * np.maximum(short, 0)
    return regularization_coefficient * sign * slope, None


@op("(n, *s), (c) -> (n, *s)", aux=("moving_avg",), where={"c": lambda s: math.prod(s)}, passes=True)
def IdentityAttachKLSparseReg(data: Array, moving_avg: Array, /, *, sparseness_target: float = 0.1,
                              penalty: float = 0.001, momentum: float = 0.9) -> Any:  # fmt: skip
    """A copy of activations between 0 and 1, whose gradient adds `penalty` times that of the Kullback-Leibler
    divergence between `sparseness_target` and their moving mean, so that few of them are active."""
    return data.copy()


@IdentityAttachKLSparseReg.gradient
def _(g: Array, _y: Array, data: Array, moving_avg: Array, /, *, sparseness_target: float, penalty: float,
      momentum: float) -> Any:  # fmt: skip
    moving_avg *= momentum
    moving_avg += (1 - momentum) * data.reshape(len(data), -1).mean(axis=0)
    push = penalty * ((1 - sparseness_target) / (1 - moving_avg) - sparseness_target / moving_avg)
    return g + push.reshape(data.shape[1:]), None

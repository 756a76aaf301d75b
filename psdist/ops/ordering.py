"""Sorting and ranking. Equal elements keep their order, whichever way one sorts."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from .params import FLOAT32, DType
from .registry import Params, op
from .signature import Shape

Array = NDArray[Any]


def _ranking(x: Array, is_ascend: bool) -> Any:
    """Indices that sort the last axis."""
    if is_ascend:
        return np.argsort(x, axis=-1, kind="stable")
    return x.shape[-1] - 1 - np.argsort(x[..., ::-1], axis=-1, kind="stable")[..., ::-1]


def _flat_or_same(s: Shape, axis: int | None) -> Shape:
    if axis is None:
        return (int(np.prod(s)),)
    if not -len(s) <= axis < len(s):
        raise ShapeError(f"axis {axis} is out of range for {s}")
    return s


def _last(x: Array, axis: int | None) -> Array:
    """The axis in question as the last one."""
    return x.reshape(-1) if axis is None else np.moveaxis(x, axis, -1)


def _back(y: Array, axis: int | None, dtype: Any = None) -> Array:
    """The last axis where it was, in an array of its own."""
    return np.array(y if axis is None else np.moveaxis(y, -1, axis), dtype, order="C")


@op("(*s) -> (*out), (*out)", where={"out": _flat_or_same}, types="T -> T, int32",
    outputs=("output0", "output1"), num_visible=1)  # fmt: skip
def sort(data: Array, /, *, axis: int | None = -1, is_ascend: bool = True) -> Any:
    """The elements in order along `axis` (of the flattened array, if None)."""
    x = _last(data, axis)
    order = _ranking(x, is_ascend)
    return _back(np.take_along_axis(x, order, -1), axis), _back(order, axis, np.int32)


@sort.gradient
def _(g: Array, _y: Array, order: Array, data: Array, /, *, axis: int | None, is_ascend: bool) -> Any:
    grad = np.empty_like(g)
    at = -1 if axis is None else axis
    np.put_along_axis(grad, order.astype(np.int64), g, at)
    return grad.reshape(data.shape)


@op("(*s) -> (*out)", where={"out": _flat_or_same}, types="T -> dtype")
def argsort(data: Array, /, *, axis: int | None = -1, is_ascend: bool = True, dtype: DType = FLOAT32) -> Any:
    """The indices that put the elements in order along `axis`."""
    return _back(_ranking(_last(data, axis), is_ascend), axis, dtype)


argsort.gradient(lambda _g, _y, _x, /, **_: None)


def _count(n: int, k: int) -> int:
    if k > n:
        raise ShapeError(f"k is {k}, but there are {n} elements")
    return k if k >= 1 else n


def _topk_shape(ins: list[Shape | None], params: Params, outs: list[Shape | None]) -> Any:
    s = ins[0]
    if s is None or 0 in s:
        return ins, outs
    axis = params["axis"]
    _flat_or_same(s, axis)
    if params["ret_typ"] == "mask":
        return ins, [s]
    out = list(_flat_or_same(s, axis))
    at = -1 if axis is None else axis
    out[at] = _count(out[at], params["k"])
    return ins, [tuple(out)] * len(outs)


def _topk_types(ins: list[str | None], params: Params) -> Any:
    kind = params["ret_typ"]
    return ins, {"mask": ins, "indices": [params["dtype"]]}.get(kind, [ins[0], params["dtype"]])


@op(shape=_topk_shape, types=_topk_types, num_outputs=lambda p: 2 if p["ret_typ"] in ("both", "value") else 1,
    num_visible=lambda p: 2 if p["ret_typ"] == "both" else 1)  # fmt: skip
def topk(data: Array, /, *, axis: int | None = -1, k: int = 1,
         ret_typ: Literal["value", "indices", "mask", "both"] = "indices", is_ascend: bool = False,
         dtype: DType = FLOAT32) -> Any:  # fmt: skip
    """The `k` largest elements along `axis` in order (smallest, with `is_ascend`; all, if `k` is 0).

    `ret_typ` says what of them: their values, their indices as `dtype`, a mask of 1 and 0 in the shape of the data,
    or both values and indices."""
    x = _last(data, axis)
    order = _ranking(x, is_ascend)[..., : _count(x.shape[-1], k)]
    if ret_typ == "indices":
        return _back(order, axis, dtype)
    if ret_typ == "mask":
        mask = np.zeros(x.shape, data.dtype)
        np.put_along_axis(mask, order, 1, -1)
        return _back(mask, axis).reshape(data.shape)
    return _back(np.take_along_axis(x, order, -1), axis), _back(order, axis, dtype)


@topk.gradient
def _(*arrays: Array, axis: int | None, k: int, ret_typ: str, is_ascend: bool, dtype: str) -> Any:
    if ret_typ in ("indices", "mask"):
        return None
    g, data = arrays[0], arrays[-1]
    x = _last(data, axis)
    order = _ranking(x, is_ascend)[
        ..., : _count(x.shape[-1], k)
    ]  # not from the output: float32 rounds indices
    grad = np.zeros(x.shape, g.dtype)
    np.put_along_axis(grad, order, _last(g, axis), -1)
    return _back(grad, axis).reshape(data.shape)

"""Functions of `mx.nd.contrib` that are more than one operator: selections whose size the values decide, looks into csr
arrays, and AdamW and LAMB steps whose scale is a number or an array.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ops
from ..errors import BadType, ShapeError
from .array import NDArray, array
from .invoke import function_of, invoke
from .sparse import CSRNDArray

__all__ = [
    "adamw_update",
    "boolean_mask",
    "edge_id",
    "getnnz",
    "mp_adamw_update",
    "multi_adamw_update",
    "multi_lamb_update",
    "multi_mp_adamw_update",
    "multi_mp_lamb_update",
]


def boolean_mask(data: NDArray, index: NDArray, axis: int = 0) -> NDArray:
    """The slices of `data` along `axis` where `index`, one number for each, is not 0. Raises ShapeError."""
    mask, size = index._data, data.shape[axis]
    if mask.shape != (size,):
        raise ShapeError(
            f"boolean_mask: index is {mask.shape}; wanted ({size},), a number for each slice of data"
        )
    at = NDArray(np.flatnonzero(mask), data._ctx)
    return invoke(ops.get("take"), [data, at], ops.get("take").parse({"axis": axis}))  # type: ignore[no-any-return]


def _matrix(data: Any, function: str) -> CSRNDArray:
    if not isinstance(data, CSRNDArray):
        raise BadType(f"{function}: data is {type(data).__name__}; wanted a CSRNDArray")
    return data


def getnnz(data: NDArray, axis: int | None = None) -> NDArray:
    """How many elements a csr array stores: in all, in each column (`axis` 0) or in each row (1)."""
    held = _matrix(data, "getnnz")._held
    if axis is None:
        count: Any = np.array([len(held.indices)])
    elif axis == 0:
        count = np.bincount(held.indices, minlength=held.shape[1])
    else:
        count = np.diff(held.indptr)
    return array(count, data._ctx, "int64")


def edge_id(data: NDArray, u: NDArray, v: NDArray) -> NDArray:
    """The stored element in each row `u` and column `v` of a csr array; -1 where none is stored."""
    held = _matrix(data, "edge_id")._held
    rows, columns = u._data.astype(np.int64), v._data.astype(np.int64)
    y = np.full(rows.shape, -1, held.data.dtype)
    for i, (row, column) in enumerate(zip(rows, columns, strict=True)):
        start, stop = held.indptr[row], held.indptr[row + 1]
        hit = np.flatnonzero(held.indices[start:stop] == column)
        if len(hit):
            y[i] = held.data[start + hit[0]]
    return NDArray(y, data._ctx)


def _scale(rescale_grad: Any, weight: NDArray) -> NDArray:
    return (
        rescale_grad if isinstance(rescale_grad, NDArray) else array([rescale_grad], weight._ctx, "float32")
    )


def adamw_update(
    weight: NDArray, grad: NDArray, mean: NDArray, var: NDArray, rescale_grad: Any, lr: float, eta: float, **options: Any
) -> Any:  # fmt: skip
    """The operator `_adamw_update`, whose `rescale_grad` may be a number."""
    scale = _scale(rescale_grad, weight)
    return function_of(ops.get("_adamw_update"), "adamw_update")(
        weight, grad, mean, var, scale, lr=lr, eta=eta, **options
    )


def mp_adamw_update(
    weight: NDArray, grad: NDArray, mean: NDArray, var: NDArray, weight32: NDArray, rescale_grad: Any, lr: float,
    eta: float, **options: Any,
) -> Any:  # fmt: skip
    """The operator `_mp_adamw_update`, whose `rescale_grad` may be a number."""
    scale = _scale(rescale_grad, weight)
    return function_of(ops.get("_mp_adamw_update"), "mp_adamw_update")(
        weight, grad, mean, var, weight32, scale, lr=lr, eta=eta, **options
    )


def _woven(*columns: Sequence[NDArray]) -> list[NDArray]:
    """The arrays of the first weight, then those of the second, …"""
    return [x for row in zip(*columns, strict=True) for x in row]


def multi_adamw_update(
    weights: Sequence[NDArray], grads: Sequence[NDArray], mean: Sequence[NDArray], var: Sequence[NDArray],
    rescale_grad: Any, lrs: Any, wds: Any, etas: Any, out: Any = None, name: str | None = None, size: int = 0,
    **options: Any,
) -> Any:  # fmt: skip
    """adamw_update of several weights, each with its rate, decay and schedule."""
    arrays = [*_woven(weights, grads, mean, var), _scale(rescale_grad, weights[0])]
    return function_of(ops.get("_multi_adamw_update"), "multi_adamw_update")(
        *arrays, out=out, num_weights=size or len(weights), lrs=lrs, wds=wds, etas=etas, **options
    )


def multi_mp_adamw_update(
    weights: Sequence[NDArray], grads: Sequence[NDArray], mean: Sequence[NDArray], var: Sequence[NDArray],
    weights32: Sequence[NDArray], rescale_grad: Any, lrs: Any, wds: Any, etas: Any, out: Any = None,
    name: str | None = None, size: int = 0, **options: Any,
) -> Any:  # fmt: skip
    """mp_adamw_update of several weights, each with its rate, decay and schedule."""
    arrays = [*_woven(weights, grads, mean, var, weights32), _scale(rescale_grad, weights[0])]
    return function_of(ops.get("_multi_mp_adamw_update"), "multi_mp_adamw_update")(
        *arrays, out=out, num_weights=size or len(weights), lrs=lrs, wds=wds, etas=etas, **options
    )


def multi_lamb_update(
    weights: Sequence[NDArray], grads: Sequence[NDArray], mean: Sequence[NDArray], var: Sequence[NDArray],
    step_count: Any, lrs: Any, wds: Any, out: Any = None, num_tensors: int = 0, **options: Any,
) -> Any:  # fmt: skip
    """A LAMB step of several weights, each with its count of steps, rate and decay."""
    return function_of(ops.get("_multi_lamb_update"), "multi_lamb_update")(
        *_woven(weights, grads, mean, var), out=out, num_tensors=num_tensors or len(weights), step_count=step_count,
        learning_rates=lrs, wds=wds, **options,
    )  # fmt: skip


def multi_mp_lamb_update(
    weights: Sequence[NDArray], grads: Sequence[NDArray], mean: Sequence[NDArray], var: Sequence[NDArray],
    weights32: Sequence[NDArray], step_count: Any, lrs: Any, wds: Any, out: Any = None, num_tensors: int = 0,
    **options: Any,
) -> Any:  # fmt: skip
    """A LAMB step of several weights with float32 copies, each with its count of steps, rate and decay."""
    return function_of(ops.get("_multi_mp_lamb_update"), "multi_mp_lamb_update")(
        *_woven(weights, grads, mean, var, weights32), out=out, num_tensors=num_tensors or len(weights),
        step_count=step_count, learning_rates=lrs, wds=wds, **options,
    )  # fmt: skip

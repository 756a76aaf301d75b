"""Products of tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from .registry import Params, op
from .signature import Shape

Array = NDArray[Any]


def _dot_shape(ins: list[Shape | None], params: Params, outs: list[Shape | None]) -> Any:
    a, b = ins
    if not a or not b:
        return ins, outs
    inner_a = a[0] if params["transpose_a"] else a[-1]
    inner_b = b[-1] if params["transpose_b"] else b[0]
    if inner_a and inner_b and inner_a != inner_b:
        raise ShapeError(
            f"dot: the inner sizes of {a} and {b} are {inner_a} and {inner_b}; they must be equal"
        )
    rest_a = a[1:] if params["transpose_a"] else a[:-1]
    rest_b = b[:-1] if params["transpose_b"] else b[1:]
    return ins, [rest_a + rest_b or (1,)]


def _matrix(x: Array, transpose: bool, is_left: bool) -> Any:
    """`x` as the matrix that a product sees: the inner axis last on the left, first on the right."""
    if is_left:
        return x.reshape(x.shape[0], -1).T if transpose else x.reshape(-1, x.shape[-1])
    return x.reshape(-1, x.shape[-1]).T if transpose else x.reshape(x.shape[0], -1)


@op(shape=_dot_shape, types="T, T -> T")
def dot(
    lhs: Array,
    rhs: Array,
    /,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    forward_stype: str | None = None,
) -> Any:
    """The sum of products over the last axis of `lhs` and the first of `rhs` (of their transposes, if asked): the inner
    product of vectors, the product of matrices."""
    y = _matrix(lhs, transpose_a, True) @ _matrix(rhs, transpose_b, False)
    rest = (lhs.shape[1:] if transpose_a else lhs.shape[:-1]) + (
        rhs.shape[:-1] if transpose_b else rhs.shape[1:]
    )
    return y.reshape(rest or (1,))


@dot.gradient
def _(
    g: Array,
    _y: Array,
    lhs: Array,
    rhs: Array,
    /,
    *,
    transpose_a: bool,
    transpose_b: bool,
    forward_stype: str | None,
) -> Any:
    a, b = _matrix(lhs, transpose_a, True), _matrix(rhs, transpose_b, False)
    g = g.reshape(a.shape[0], b.shape[1])
    ga, gb = g @ b.T, a.T @ g
    return (ga.T if transpose_a else ga).reshape(lhs.shape), (gb.T if transpose_b else gb).reshape(rhs.shape)


def _batch_dot_shape(ins: list[Shape | None], params: Params, outs: list[Shape | None]) -> Any:
    a, b = ins
    if not a or not b:
        return ins, outs
    if len(a) != len(b) or len(a) < 3 or any(p and q and p != q for p, q in zip(a[:-2], b[:-2], strict=True)):
        raise ShapeError(f"batch_dot: wanted (…, n, k) and (…, k, m) with equal batches, given {a} and {b}")
    n, k = (a[-1], a[-2]) if params["transpose_a"] else (a[-2], a[-1])
    k2, m = (b[-1], b[-2]) if params["transpose_b"] else (b[-2], b[-1])
    if not k or not k2:  # as MXNet: nothing follows before the inner size is known
        return ins, outs
    if k != k2:
        raise ShapeError(f"batch_dot: the inner sizes of {a} and {b} are {k} and {k2}; they must be equal")
    return ins, [(*(p or q for p, q in zip(a[:-2], b[:-2], strict=True)), n, m)]


@op(shape=_batch_dot_shape, types="T, T -> T")
def batch_dot(
    lhs: Array,
    rhs: Array,
    /,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    forward_stype: str | None = None,
    out: Array | None = None,
) -> Any:
    """The product of the matrices in the last two axes, one for each index of the axes before."""
    a = lhs.swapaxes(-1, -2) if transpose_a else lhs
    b = rhs.swapaxes(-1, -2) if transpose_b else rhs
    return np.matmul(a, b, out=out)


@batch_dot.gradient
def _(
    g: Array,
    _y: Array,
    lhs: Array,
    rhs: Array,
    /,
    *,
    transpose_a: bool,
    transpose_b: bool,
    forward_stype: str | None,
) -> Any:
    a = lhs.swapaxes(-1, -2) if transpose_a else lhs
    b = rhs.swapaxes(-1, -2) if transpose_b else rhs
    ga, gb = g @ b.swapaxes(-1, -2), a.swapaxes(-1, -2) @ g
    return ga.swapaxes(-1, -2) if transpose_a else ga, gb.swapaxes(-1, -2) if transpose_b else gb


def _khatri_rao_shape(ins: list[Shape | None], params: Params, outs: list[Shape | None]) -> Any:
    if any(s is None for s in ins):
        return ins, outs
    known = [s for s in ins if s is not None]
    if any(len(s) != 2 or s[1] != known[0][1] for s in known):
        raise ShapeError(f"wanted matrices with equal numbers of columns, given {known}")
    return ins, [(math.prod(s[0] for s in known), known[0][1])]


@op(shape=_khatri_rao_shape)
def khatri_rao(*arg: Array, num_args: int = 0) -> Any:
    """Kronecker's product of matrices, column by column: (n, k), (m, k), … give (n·m·…, k)."""
    y = arg[0]
    for x in arg[1:]:
        y = (y[:, None, :] * x[None, :, :]).reshape(-1, x.shape[1])
    return y.copy() if len(arg) == 1 else y


@khatri_rao.gradient
def _(g: Array, _y: Array, /, *arg: Array, num_args: int) -> Any:
    k = arg[0].shape[1]
    g = g.reshape(*(len(x) for x in arg), k)
    grads = []
    for i in range(len(arg)):
        part = g
        for j, x in enumerate(arg):
            if j != i:
                part = part * x.reshape(*(len(x) if a == j else 1 for a in range(len(arg))), k)
        grads.append(part.sum(axis=tuple(a for a in range(len(arg)) if a != i)))
    return tuple(grads)

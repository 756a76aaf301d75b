"""Operators that pick elements by index. Indices come as arrays of any dtype and are cut to integers."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import BadIndex, ShapeError
from .params import FLOAT32, DType
from .registry import Params, op
from .signature import Shape, merge_shapes

Array = NDArray[Any]
Mode = Literal["clip", "wrap", "raise"]
_MANY = 32  # rows that go to one place, from which on one call over runs is quicker


def positions(indices: Array, size: int, mode: str = "clip") -> Array:
    """Indices into an axis of `size`: cut to the ends, counted round, or refused outside."""
    at = indices.astype(np.int64)
    if mode == "wrap":
        at %= size
    elif mode == "clip":
        np.clip(at, 0, size - 1, out=at)
    elif at.size and (at.min() < 0 or at.max() >= size):
        bad = at[(at < 0) | (at >= size)][0]
        raise ShapeError(f"index {bad} is out of range for an axis of size {size}")
    return at


def add_rows(rows: Array, at: Array, size: int) -> Array:
    """Σ of the rows that go to each place 0 … size-1, in their order.

    All rows that come first to their place are one assignment, all that come second one addition, and so on; np.add.at
    takes ten times as long. A place that many rows go to gets them by np.add.reduceat."""
    out = np.zeros((size, *rows.shape[1:]), rows.dtype)
    if not len(at):
        return out
    order = np.argsort(at, kind="stable")
    place = at[order]
    starts = np.flatnonzero(np.concatenate(([True], place[1:] != place[:-1])))
    counts = np.diff(starts, append=len(place))
    if counts.max() > _MANY:
        out[place[starts]] = np.add.reduceat(rows[order], starts, axis=0)
        return out
    out[place[starts]] = rows[order[starts]]
    for k in range(1, counts.max()):
        more = starts[counts > k] + k
        out[place[more]] += rows[order[more]]
    return out


def _taken(s: Shape, r: Shape, axis: int) -> Shape:
    if not -len(s) <= axis < len(s):
        raise ShapeError(f"axis {axis} is out of range for {s}")
    at = axis % len(s)
    return s[:at] + r + s[at + 1 :]


@op("(*s), (*r) -> (*out)", where={"out": _taken}, types="T, I -> T")
def take(a: Array, indices: Array, /, *, axis: int = 0, mode: Mode = "clip", out: Array | None = None) -> Any:
    """The slices of `a` along `axis` at `indices`, whose shape replaces that axis.

    `mode` says what an index out of range does: clip to the nearest, wrap round, or raise."""
    return np.take(a, positions(indices, a.shape[axis], mode), axis=axis, out=out, mode="clip")


@take.gradient
def _(g: Array, _y: Array, a: Array, indices: Array, /, *, axis: int, mode: str) -> Any:
    axis %= a.ndim
    at = positions(indices, a.shape[axis], mode).reshape(-1)
    k = indices.ndim
    rows = np.moveaxis(g, range(axis, axis + k), range(k)) if k else g[None]
    rows = rows.reshape(len(at), *a.shape[:axis], *a.shape[axis + 1 :])
    return np.moveaxis(add_rows(rows, at, a.shape[axis]), 0, axis), None


@op("(*r), (input_dim, output_dim) -> (*r, output_dim)", types="I, T -> T")
def Embedding(data: Array, weight: Array, /, *, input_dim: int, output_dim: int, dtype: DType = FLOAT32,
              sparse_grad: bool = False, out: Array | None = None) -> Any:  # fmt: skip
    """The row of `weight` for each index in `data`. Indices out of range are cut to the ends."""
    return np.take(weight, positions(data, input_dim), axis=0, out=out, mode="clip")


@Embedding.gradient
def _(g: Array, _y: Array, data: Array, weight: Array, /, *, input_dim: int, **_: Any) -> Any:
    return None, add_rows(g.reshape(-1, weight.shape[1]), positions(data, input_dim).reshape(-1), input_dim)


@op("(*r), (input_dim, output_dim) -> (*r, output_dim)", types="I, T -> T")
def _contrib_SparseEmbedding(data: Array, weight: Array, /, *, input_dim: int, output_dim: int,
                             dtype: DType = FLOAT32, deterministic: bool = False) -> Any:  # fmt: skip
    """Embedding whose weight gets a row_sparse gradient, of the rows looked up. It is `deterministic` always."""
    return np.take(weight, positions(data, input_dim), axis=0, mode="clip")


@_contrib_SparseEmbedding.gradient
def _(g: Array, _y: Array, data: Array, weight: Array, /, *, input_dim: int, **_: Any) -> Any:
    return None, add_rows(g.reshape(-1, weight.shape[1]), positions(data, input_dim).reshape(-1), input_dim)


@op("(n, m), (n) -> (n)", types="T, I -> T")
def batch_take(a: Array, indices: Array, /) -> Any:
    """From each row the element at its index."""
    return a[np.arange(len(a)), positions(indices, a.shape[1])]


@batch_take.gradient
def _(g: Array, _y: Array, a: Array, indices: Array, /) -> Any:
    grad = np.zeros_like(a)
    grad[np.arange(len(a)), positions(indices, a.shape[1])] = g
    return grad, None


def _pick_shape(ins: list[Shape | None], params: Params, outs: list[Shape | None]) -> Any:
    s, r = ins
    if s is None:
        return ins, outs
    axis = params["axis"]
    if axis is None:
        return [s, r or (1,)], [(1,) * len(s) if params["keepdims"] else (1,)]
    if not -len(s) <= axis < len(s):
        raise ShapeError(f"axis {axis} is out of range for {s}")
    at = axis % len(s)
    kept, dropped = (*s[:at], 1, *s[at + 1 :]), s[:at] + s[at + 1 :]
    if r is not None and len(r) == len(s):
        merge_shapes(r, kept)
    else:
        r = merge_shapes(r, dropped or (1,))
    return [s, r], [kept if params["keepdims"] else dropped or (1,)]


def _pick_place(data: Array, index: Array, axis: int | None, mode: str) -> tuple[Array, Array, int]:
    """The data, the indices with the axis as a size of 1, and the axis."""
    if axis is None:
        return data.reshape(-1), positions(index, data.size, mode).reshape(-1), 0
    shape = list(data.shape)
    shape[axis] = 1
    return data, positions(index, data.shape[axis], mode).reshape(shape), axis


@op(shape=_pick_shape, types="T, I -> T", aliases=["choose_element_0index"])
def pick(data: Array, index: Array, /, *, axis: int | None = -1, keepdims: bool = False,
         mode: Literal["clip", "wrap"] = "clip") -> Any:  # fmt: skip
    """One element along `axis` for each place of the other axes: the one at `index`."""
    x, at, along = _pick_place(data, index, axis, mode)
    y = np.take_along_axis(x, at, along)
    if axis is None:
        return y.reshape((1,) * data.ndim if keepdims else (1,))
    return (
        y
        if keepdims
        else y.reshape(data.shape[: axis % data.ndim] + data.shape[axis % data.ndim + 1 :] or (1,))
    )


@pick.gradient
def _(
    g: Array, _y: Array, data: Array, index: Array, /, *, axis: int | None, keepdims: bool, mode: str
) -> Any:
    x, at, along = _pick_place(data, index, axis, mode)
    grad = np.zeros_like(x)
    np.put_along_axis(grad, at, g.reshape(at.shape), along)
    return grad.reshape(data.shape), None


@op("(*s) -> (*s, depth)", types="I -> dtype")
def one_hot(indices: Array, /, *, depth: int, on_value: float = 1.0, off_value: float = 0.0,
            dtype: DType = FLOAT32) -> Any:  # fmt: skip
    """For each index a row of `depth` elements: `on_value` at the index, `off_value` elsewhere."""
    hot = indices.astype(np.int64)[..., None] == np.arange(depth)
    return np.where(hot, on_value, off_value).astype(dtype)


one_hot.gradient(lambda _g, _y, _x, /, **_: None)


def _gathered(s: Shape, m: int, r: Shape) -> Shape:
    if m > len(s):
        raise ShapeError(f"indices of {m} axes into an array of shape {s}")
    return r + s[m:] or (1,)


def _check_places(indices: Array, shape: Shape) -> None:
    if not indices.size:
        return
    for axis, (i, n) in enumerate(zip(indices, shape, strict=False)):
        low, high = int(i.min()), int(i.max())
        if high >= n or low < -n:
            raise BadIndex(
                f"gather_nd: index {high if high >= n else low} is out of bounds for axis {axis} with size {n}"
            )


def _places(indices: Array, shape: Shape) -> tuple[Array, ...]:
    """One array of indices for each of the first axes; negative ones count from the end."""
    at = indices.astype(np.int64)
    return tuple(np.where(i < 0, i + n, i).clip(0, n - 1) for i, n in zip(at, shape, strict=False))


@op("(*s), (m, *r) -> (*out)", where={"out": _gathered}, types="T, I -> T")
def gather_nd(data: Array, indices: Array, /) -> Any:
    """The elements (or slices) of `data` whose first indices are the columns of `indices`.

    An index beyond the data is an IndexError."""
    _check_places(indices, data.shape)
    return data[_places(indices, data.shape)].reshape(_gathered(data.shape, len(indices), indices.shape[1:]))


@gather_nd.gradient
def _(g: Array, _y: Array, data: Array, indices: Array, /) -> Any:
    return _scattered(g, indices, data.shape), None


def _scattered(g: Array, indices: Array, shape: Shape) -> Array:
    m = len(indices)
    at = np.ravel_multi_index([p.reshape(-1) for p in _places(indices, shape)], shape[:m])
    return add_rows(g.reshape(len(at), -1), at, math.prod(shape[:m])).reshape(shape)


@op("(*d), (m, *r) -> (*shape)", types="T, I -> T")
def scatter_nd(data: Array, indices: Array, /, *, shape: tuple[int, ...]) -> Any:
    """An array of zeros of `shape` with the elements (or slices) of `data` at the columns of `indices`.

    Where an index comes twice, the last one stays."""
    y = np.zeros(shape, data.dtype)
    m = len(indices)
    y[_places(indices, shape)] = data.reshape(indices.shape[1:] + tuple(shape[m:]))
    return y


@scatter_nd.gradient
def _(g: Array, _y: Array, data: Array, indices: Array, /, *, shape: Shape) -> Any:
    return g[_places(indices, g.shape)].reshape(data.shape), None


@op("(*d), (m, *r) -> (*shape)", types="T, I -> T")
def _backward_gather_nd(data: Array, indices: Array, /, *, shape: tuple[int, ...]) -> Any:
    """As `scatter_nd`, but where an index comes twice, the elements are added."""
    return _scattered(data, indices, shape)


@_backward_gather_nd.gradient
def _(g: Array, _y: Array, data: Array, indices: Array, /, *, shape: Shape) -> Any:
    return g[_places(indices, g.shape)].reshape(data.shape), None


@op("(*shape), (*d), (m, *r) -> (*shape)", types="T, T, I -> T", mutates=("lhs",))
def _scatter_set_nd(lhs: Array, rhs: Array, indices: Array, /, *, shape: tuple[int, ...]) -> Any:
    """`lhs` with the elements of `rhs` put at the columns of `indices`, in place."""
    lhs[_places(indices, lhs.shape)] = rhs.reshape(indices.shape[1:] + lhs.shape[len(indices) :])
    return lhs.copy()


def _same_or_rows(ins: list[Shape | None], params: Params, outs: list[Shape | None]) -> Any:
    c, x, y = ins
    s = merge_shapes(merge_shapes(x, y), outs[0])
    if s is not None and c is None:
        c = s
    if s is not None and c is not None and len(c) != 1:
        merge_shapes(c, s)
    elif s is not None and c is not None and c[0] and c[0] != s[0]:
        raise ShapeError(f"a condition of {c[0]} rows for arrays of shape {s}")
    return [c, s, s], [s]


def _condition(condition: Array, ndim: int) -> Any:
    hit = condition != 0
    return hit.reshape(-1, *(1,) * (ndim - 1)) if hit.ndim == 1 else hit


@op(shape=_same_or_rows, types="C, T, T -> T")
def where(condition: Array, x: Array, y: Array, /) -> Any:
    """Elements of `x` where the condition is not 0, of `y` elsewhere. A condition of one axis picks whole rows."""
    hit = _condition(condition, x.ndim)
    if x.size > _LARGE and hit.shape == x.shape and x.itemsize in _WORDS:
        return _select(hit, x, y)
    return np.where(hit, x, y)


_LARGE = 4096
_WORDS = {4: np.uint32, 8: np.uint64}


def _select(hit: Array, x: Array, y: Array) -> Any:
    """np.where by bits, y ^ ((x ^ y) & mask): an unpredictable branch for each element costs five times as much."""
    word = _WORDS[x.itemsize]
    a, b = (np.ascontiguousarray(v).view(word) for v in (x, y))
    mask = hit.astype(word)
    np.negative(mask, out=mask)
    mask &= a ^ b
    mask ^= b
    return mask.view(x.dtype)


@where.gradient
def _(g: Array, _out: Array, condition: Array, x: Array, _y: Array, /) -> Any:
    hit = _condition(condition, x.ndim)
    return None, g * hit, g * ~hit


def _shape_of(shape: Shape) -> tuple[int, ...]:
    return shape


@op("(m, *r) -> (*r)", types="T -> T", aliases=["ravel_multi_index"])
def _ravel_multi_index(data: Array, /, *, shape: tuple[int, ...] | None = None) -> Any:
    """The place in an array of `shape`, counted flat, of each column of indices."""
    assert shape is not None
    strides = np.cumprod((1, *shape[:0:-1]))[::-1]
    return np.tensordot(strides.astype(np.float64), data, 1).astype(data.dtype)


_ravel_multi_index.gradient(lambda _g, _y, _x, /, **_: None)


@op("(*r) -> (m, *r)", types="T -> T", aliases=["unravel_index"],
    where={"m": lambda shape: len(shape or ())})  # fmt: skip
def _unravel_index(data: Array, /, *, shape: tuple[int, ...] | None = None) -> Any:
    """The indices, as a column, of each flat place in an array of `shape`."""
    assert shape is not None
    rest, out = data.astype(np.int64), []
    for n in shape[:0:-1]:
        rest, at = np.divmod(rest, n)
        out.append(at)
    return np.stack([rest, *out[::-1]]).astype(data.dtype)


_unravel_index.gradient(lambda _g, _y, _x, /, **_: None)


@op("(n, c), (n), (n) -> (n, c)", types="T, T, T -> T")
def fill_element_0index(lhs: Array, mhs: Array, rhs: Array, /) -> Any:
    """`lhs` with the element at index `rhs` of each row replaced by that of `mhs`."""
    y = lhs.copy()
    y[np.arange(len(y)), rhs.astype(np.int64)] = mhs
    return y


@op("(n), (n, c) -> (n, c)", types="T, T -> T")
def _onehot_encode(lhs: Array, rhs: Array, /) -> Any:
    """Rows of 0 with a 1 at the index in `lhs`, in the shape of `rhs`."""
    return (lhs.astype(np.int64)[:, None] == np.arange(rhs.shape[1])).astype(rhs.dtype)

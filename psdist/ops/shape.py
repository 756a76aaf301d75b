"""Operators that give the same elements another shape or order."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from .params import Axis
from .registry import op
from .signature import Shape, partial

Array = NDArray[Any]


def reshaped(s: Shape, shape: Shape, reverse: bool = False) -> Shape:
    """The shape that MXNet's codes ask for: 0 keeps a size, -1 is inferred, -2 keeps all that are left, -3 merges
    two, -4 splits one into the next two (one of which may be -1). `reverse` reads both from the right, so that -4 comes
    behind its two."""
    if reverse:
        return reshaped(s[::-1], shape[::-1])[::-1]
    out: list[int] = []
    i, codes, infer = 0, list(shape), -1
    while codes:
        code = codes.pop(0)
        if code > 0:
            out.append(code)
            i += 1
        elif code == 0:
            out.append(_at(s, i, shape))
            i += 1
        elif code == -1:
            infer = len(out)
            out.append(1)
            i += 1
        elif code == -2:
            out.extend(s[i:])
            i = len(s)
        elif code == -3:
            out.append(_at(s, i, shape) * _at(s, i + 1, shape))
            i += 2
        elif code == -4:
            if len(codes) < 2:
                raise ShapeError(f"reshape: -4 in {shape} wants the two sizes that follow it")
            a, b = codes.pop(0), codes.pop(0)
            whole = _at(s, i, shape)
            a = whole // b if a == -1 else a
            b = whole // a if b == -1 else b
            out += [a, b]
            i += 1
        else:
            raise ShapeError(f"reshape: {code} in {shape} is no code; known are 0, -1, -2, -3, -4")
    if infer >= 0:
        out[infer] = math.prod(s) // max(1, math.prod(out))
    if math.prod(out) != math.prod(s):
        raise ShapeError(f"reshape: {s} has {math.prod(s)} elements, {tuple(out)} has {math.prod(out)}")
    return tuple(out)


def _at(s: Shape, i: int, shape: Shape) -> int:
    if i >= len(s):
        raise ShapeError(f"reshape: {shape} reads size {i} of {s}, which has {len(s)}")
    return s[i]


def _own(y: Array, out: Array | None = None) -> Array:
    """A view as an array of its own."""
    if out is None:
        return np.array(y, order="C")
    out[...] = y
    return out


def _reshape_to(s: Shape, shape: Shape, reverse: bool, target_shape: Shape, keep_highest: bool) -> Shape:
    if shape:
        return reshaped(s, shape, reverse)
    old = tuple(n or -1 for n in target_shape)  # the parameter of old: 0 is inferred
    return reshaped(s, (s[0], *old[1:]) if keep_highest else old)


@partial
def _completed(s: Shape, out: Shape) -> Shape:
    """`s` with the one size that it lacks, which its result tells."""
    if 0 in out or s.count(0) != 1:
        return s
    return tuple(n or math.prod(out) // math.prod(m for m in s if m) for n in s)


@op("(*s) -> (*out)", aliases=["reshape"], where={"out": _reshape_to, "s": _completed}, passes=True)
def Reshape(data: Array, /, *, shape: tuple[int, ...] = (), reverse: bool = False,
            target_shape: tuple[int, ...] = (), keep_highest: bool = False, out: Array | None = None) -> Any:  # fmt: skip
    """The same elements in another shape. Besides sizes, `shape` may hold codes: 0 keeps a size, -1 is inferred, -2
    keeps all that are left, -3 merges two, -4 splits one into the two sizes after it."""
    return _own(data.reshape(_reshape_to(data.shape, shape, reverse, target_shape, keep_highest)), out)


Reshape.gradient(lambda g, _y, x, /, **_: g.reshape(x.shape))


def _like_part(
    s: Shape, r: Shape, lhs_begin: int | None, lhs_end: int | None, rhs_begin: int | None, rhs_end: int | None
) -> Shape:
    left, right = slice(lhs_begin, lhs_end).indices(len(s)), slice(rhs_begin, rhs_end).indices(len(r))
    out = s[: left[0]] + r[right[0] : right[1]] + s[left[1] :]
    if math.prod(out) != math.prod(s):
        raise ShapeError(f"{s} has {math.prod(s)} elements, {out} has {math.prod(out)}")
    return out


@op("(*s), (*r) -> (*out)", types="T, U -> T", where={"out": _like_part}, passes=True)
def reshape_like(lhs: Array, rhs: Array, /, *, lhs_begin: int | None = None, lhs_end: int | None = None,
                 rhs_begin: int | None = None, rhs_end: int | None = None) -> Any:  # fmt: skip
    """`lhs` in the shape of `rhs`; or some of its axes in the sizes of some of those of `rhs`."""
    return _own(lhs.reshape(_like_part(lhs.shape, rhs.shape, lhs_begin, lhs_end, rhs_begin, rhs_end)))


reshape_like.gradient(lambda g, _y, x, _r, /, **_: (g.reshape(x.shape), None))


@op("(n, *s) -> (n, m)", aliases=["flatten"], where={"m": lambda s: math.prod(s)}, passes=True)
def Flatten(data: Array, /, *, out: Array | None = None) -> Any:
    """Each row's elements side by side: (n, a, b, …) becomes (n, a·b·…)."""
    return _own(data.reshape(len(data), -1), out)


Flatten.gradient(lambda g, _y, x, /: g.reshape(x.shape))


@partial
def _transposed(s: Shape, axes: Shape) -> Shape:
    if axes and sorted(axes) != list(range(len(s))):
        raise ShapeError(f"axes {axes} are not a permutation of the {len(s)} axes of {s}")
    return tuple(s[a] for a in axes) if axes else s[::-1]


@partial
def _transposed_back(out: Shape, axes: Shape) -> Shape:
    return tuple(out[axes.index(i)] for i in range(len(axes))) if axes else out[::-1]


@op("(*s) -> (*out)", where={"out": _transposed, "s": _transposed_back})
def transpose(data: Array, /, *, axes: tuple[int, ...] = (), out: Array | None = None) -> Any:
    """The array with its axes in the order `axes`, by default reversed."""
    return _own(data.transpose(axes or None), out)


@transpose.gradient
def _(g: Array, _y: Array, _x: Array, /, *, axes: Shape) -> Any:
    return g.transpose(np.argsort(axes)) if axes else g.transpose()


def _expanded(s: Shape, axis: int) -> Shape:
    if not -len(s) - 1 <= axis <= len(s):
        raise ShapeError(f"axis {axis} is out of range for a new axis in {s}")
    i = axis % (len(s) + 1)
    return (*s[:i], 1, *s[i:])


@op("(*s) -> (*out)", where={"out": _expanded}, passes=True)
def expand_dims(data: Array, /, *, axis: int, out: Array | None = None) -> Any:
    """The array with a new axis of size 1 at `axis`."""
    return _own(data.reshape(_expanded(data.shape, axis)), out)


expand_dims.gradient(lambda g, _y, x, /, *, axis: g.reshape(x.shape))


def _swapped(s: Shape, dim1: int, dim2: int) -> Shape:
    if not (-len(s) <= dim1 < len(s) and -len(s) <= dim2 < len(s)):
        raise ShapeError(f"axes {dim1} and {dim2} are not both axes of {s}")
    out = list(s)
    out[dim1], out[dim2] = out[dim2], out[dim1]
    return tuple(out)


@op("(*s) -> (*out)", aliases=["swapaxes"], where={"out": _swapped})
def SwapAxis(data: Array, /, *, dim1: int = 0, dim2: int = 0, out: Array | None = None) -> Any:
    """The array with two of its axes exchanged."""
    return _own(data.swapaxes(dim1, dim2), out)


SwapAxis.gradient(lambda g, _y, _x, /, *, dim1, dim2: g.swapaxes(dim1, dim2))


def _squeezed(s: Shape, axis: Axis) -> Shape:
    given = (axis,) if isinstance(axis, int) else axis
    if given is not None and any(not -len(s) <= a < len(s) or s[a] != 1 for a in given):
        raise ShapeError(f"axis {axis} of {s} is not of size 1")
    axes = range(len(s)) if given is None else [a % len(s) for a in given]
    return tuple(n for i, n in enumerate(s) if not (i in axes and n == 1)) or (1,)


@op("(*s) -> (*out)", where={"out": _squeezed}, passes=True)
def squeeze(data: Array, /, *, axis: Axis = None) -> Any:
    """The array without its axes of size 1, or without those named."""
    return _own(data.reshape(_squeezed(data.shape, axis)))


squeeze.gradient(lambda g, _y, x, /, *, axis: g.reshape(x.shape))


def _tiled(s: Shape, reps: Shape) -> Shape:
    if any(r < 1 for r in reps):
        raise ShapeError(f"reps {reps}: wanted numbers of at least 1")
    n = max(len(s), len(reps))
    return tuple(a * b for a, b in zip((1,) * (n - len(s)) + s, (1,) * (n - len(reps)) + reps, strict=True))


@op("(*s) -> (*out)", where={"out": _tiled})
def tile(data: Array, /, *, reps: tuple[int, ...]) -> Any:
    """The whole array again and again, `reps` times along each axis."""
    return np.tile(data, reps)


@tile.gradient
def _(g: Array, _y: Array, data: Array, /, *, reps: Shape) -> Any:
    n = max(data.ndim, len(reps))
    s, r = (1,) * (n - data.ndim) + data.shape, (1,) * (n - len(reps)) + reps
    split = tuple(size for pair in zip(r, s, strict=True) for size in pair)
    return g.reshape(split).sum(axis=tuple(range(0, 2 * n, 2))).reshape(data.shape)


def _repeated(s: Shape, repeats: int, axis: int | None) -> Shape:
    if axis is None:
        return (math.prod(s) * repeats,)
    return tuple(n * repeats if i == axis % len(s) else n for i, n in enumerate(s))


@op("(*s) -> (*out)", where={"out": _repeated})
def repeat(data: Array, /, *, repeats: int, axis: int | None = None) -> Any:
    """Each element (or slice along `axis`) `repeats` times in a row."""
    return np.repeat(data, repeats, axis)


@repeat.gradient
def _(g: Array, _y: Array, data: Array, /, *, repeats: int, axis: int | None) -> Any:
    if axis is None:
        return g.reshape(-1, repeats).sum(axis=1).reshape(data.shape)
    at = axis % data.ndim
    return g.reshape(*data.shape[: at + 1], repeats, *data.shape[at + 1 :]).sum(axis=at + 1)


def _padded_shape(s: Shape, pad_width: Shape) -> Shape:
    if len(pad_width) != 2 * len(s):
        raise ShapeError(f"pad_width {pad_width} wants two numbers for each axis of {s}")
    return tuple(n + a + b for n, a, b in zip(s, pad_width[::2], pad_width[1::2], strict=True))


def _pairs(pad_width: Shape) -> list[tuple[int, int]]:
    return list(zip(pad_width[::2], pad_width[1::2], strict=True))


@op("(*s) -> (*out)", aliases=["pad"], where={"out": _padded_shape})
def Pad(data: Array, /, *, mode: Literal["constant", "edge", "reflect"], pad_width: tuple[int, ...],
        constant_value: float = 0.0) -> Any:  # fmt: skip
    """The array with a margin, `pad_width` = (before, after) for each axis: filled with `constant_value`, with the
    edge's element, or with the array's reflection about its edge."""
    if mode == "constant":
        return np.pad(data, _pairs(pad_width), constant_values=constant_value)
    return np.pad(data, _pairs(pad_width), mode=mode)


@Pad.gradient
def _(g: Array, _y: Array, data: Array, /, *, mode: str, pad_width: Shape, constant_value: float) -> Any:
    for axis, (before, after) in enumerate(_pairs(pad_width)):
        if not before and not after:
            continue
        n = data.shape[axis]
        g = np.moveaxis(g, axis, 0)
        inner = g[before : before + n].copy()
        if mode != "constant":
            at = np.pad(np.arange(n), (before, after), mode=mode)  # type: ignore[call-overload]
            for i in (*range(before), *range(before + n, len(g))):
                inner[at[i]] += g[i]
        g = np.moveaxis(inner, 0, axis)
    return g


def _axes_within(s: Shape, axis: Shape) -> Shape:
    for a in axis:
        if not -len(s) <= a < len(s):
            raise ShapeError(f"axis {a} is out of range for {s}")
    return s


@op("(*s) -> (*out)", aliases=["flip"], where={"out": _axes_within})
def reverse(data: Array, /, *, axis: tuple[int, ...]) -> Any:
    """The elements in reversed order along `axis`."""
    return _own(np.flip(data, axis))


reverse.gradient(lambda g, _y, _x, /, *, axis: np.flip(g, axis))


def _check_blocks(s: Shape, block_size: int) -> None:
    if block_size < 1:
        raise ShapeError(f"block_size is {block_size}; wanted at least 1")
    if len(s) != 4 or 0 in s:
        raise ShapeError(f"wanted (n, c, h, w) without empty axes, given {s}")


def _to_depth(s: Shape, block_size: int) -> Shape:
    _check_blocks(s, block_size)
    if s[2] % block_size or s[3] % block_size:
        raise ShapeError(f"wanted (n, c, h, w) with h and w multiples of block_size={block_size}, given {s}")
    return s[0], s[1] * block_size**2, s[2] // block_size, s[3] // block_size


def _to_space(s: Shape, block_size: int) -> Shape:
    _check_blocks(s, block_size)
    if s[1] % block_size**2:
        raise ShapeError(f"wanted (n, c, h, w) with c a multiple of block_size²={block_size**2}, given {s}")
    return s[0], s[1] // block_size**2, s[2] * block_size, s[3] * block_size


def _into_depth(x: Array, b: int) -> Array:
    n, c, h, w = x.shape
    parts = x.reshape(n, c, h // b, b, w // b, b).transpose(0, 3, 5, 1, 2, 4)
    return _own(parts).reshape(_to_depth(x.shape, b))


def _into_space(x: Array, b: int) -> Array:
    n, c, h, w = x.shape
    return _own(x.reshape(n, b, b, c // b**2, h, w).transpose(0, 3, 4, 1, 5, 2)).reshape(
        _to_space(x.shape, b)
    )


@op("(*s) -> (*out)", where={"out": _to_depth})
def space_to_depth(data: Array, /, *, block_size: int) -> Any:
    """Each block of `block_size` × `block_size` places as that many times the channels of one place."""
    return _into_depth(data, block_size)


@op("(*s) -> (*out)", where={"out": _to_space})
def depth_to_space(data: Array, /, *, block_size: int) -> Any:
    """Groups of `block_size`² channels as blocks of places: the inverse of space_to_depth."""
    return _into_space(data, block_size)


space_to_depth.gradient(lambda g, _y, _x, /, *, block_size: _into_space(g, block_size))
depth_to_space.gradient(lambda g, _y, _x, /, *, block_size: _into_depth(g, block_size))


def _diagonal(s: Shape, k: int, axis1: int, axis2: int) -> Shape:
    if len(s) == 1:
        return (s[0] + abs(k),) * 2
    a, b = axis1 % len(s), axis2 % len(s)
    n = min(s[a] + min(k, 0), s[b] - max(k, 0))
    if n < 1 or a == b:
        raise ShapeError(f"diagonal {k} over axes {axis1} and {axis2} of {s} is empty")
    return (*(m for i, m in enumerate(s) if i not in (a, b)), n)


@op("(*s) -> (*out)", where={"out": _diagonal})
def diag(data: Array, /, *, k: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonal `k` places above the main one of the matrices in two axes; of a vector, the matrix whose diagonal
    it is."""
    return np.diag(data, k) if data.ndim == 1 else _own(np.diagonal(data, k, axis1, axis2))


@diag.gradient
def _(g: Array, _y: Array, data: Array, /, *, k: int, axis1: int, axis2: int) -> Any:
    if data.ndim == 1:
        return np.diagonal(g, k)
    grad = np.zeros_like(data)
    view = np.moveaxis(grad, (axis1, axis2), (-2, -1))
    i = np.arange(g.shape[-1])
    view[..., i - min(k, 0), i + max(k, 0)] = g
    return grad


@op("(*s) -> (n)", types="T -> int64", where={"n": lambda s: len(s)})
def shape_array(data: Array, /) -> Any:
    """The shape as an array."""
    return np.array(data.shape, np.int64)


@op("(*s) -> (1)", types="T -> int64")
def size_array(data: Array, /) -> Any:
    """The number of elements as an array."""
    return np.array([data.size], np.int64)


shape_array.gradient(lambda _g, _y, _x, /: None)
size_array.gradient(lambda _g, _y, _x, /: None)

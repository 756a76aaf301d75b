"""Operators that move elements and change none."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from .params import Axis
from .registry import op
from .signature import Shape

Array = NDArray[Any]


def reshaped(s: Shape, shape: Shape, reverse: bool = False) -> Shape:
    """The shape that MXNet's codes ask for: 0 keeps a size, -1 is inferred, -2 keeps all that are left, -3 merges two, -4
    splits one into the next two (one of which may be -1). `reverse` reads both from the right."""
    if reverse:
        return reshaped(s[::-1], _reversed_codes(shape))[::-1]
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


def _reversed_codes(shape: Shape) -> Shape:
    out: list[int] = []
    codes = list(shape)
    while codes:
        code = codes.pop(0)
        out[:0] = [code, codes.pop(1), codes.pop(0)] if code == -4 else [code]
    return tuple(out)


def _at(s: Shape, i: int, shape: Shape) -> int:
    if i >= len(s):
        raise ShapeError(f"reshape: {shape} reads size {i} of {s}, which has {len(s)}")
    return s[i]


@op(
    "(*s) -> (*out)",
    aliases=["Reshape"],
    where={"out": lambda s, shape, reverse, target_shape: reshaped(s, shape or target_shape, reverse)},
)
def reshape(
    data: Array,
    /,
    *,
    shape: tuple[int, ...] = (),
    reverse: bool = False,
    target_shape: tuple[int, ...] = (),
    keep_highest: bool = False,
) -> Array:
    """The same elements in another shape. Besides sizes, `shape` may hold codes: 0 keeps a size, -1 is inferred, -2 keeps
    all that are left, -3 merges two, -4 splits one into the two sizes after it."""
    return data.reshape(reshaped(data.shape, shape or target_shape, reverse))


reshape.gradient(lambda g, _y, x, /, **_: g.reshape(x.shape))


@op("(*s), (*r) -> (*r)")
def reshape_like(lhs: Array, rhs: Array, /) -> Array:
    """`lhs` in the shape of `rhs`."""
    return lhs.reshape(rhs.shape)


reshape_like.gradient(lambda g, _y, x, _r, /: (g.reshape(x.shape), None))


@op("(n, *s) -> (n, m)", aliases=["flatten"], where={"m": lambda s: math.prod(s)})
def Flatten(data: Array, /) -> Array:
    """Each row's elements side by side: (n, a, b, …) becomes (n, a·b·…)."""
    return data.reshape(len(data), -1)


Flatten.gradient(lambda g, _y, x, /: g.reshape(x.shape))


def _transposed(s: Shape, axes: Shape) -> Shape:
    if axes and sorted(axes) != list(range(len(s))):
        raise ShapeError(f"axes {axes} are not a permutation of the {len(s)} axes of {s}")
    return tuple(s[a] for a in axes) if axes else s[::-1]


@op("(*s) -> (*out)", where={"out": _transposed})
def transpose(data: Array, /, *, axes: tuple[int, ...] = ()) -> Array:
    """The array with its axes in the order `axes`, by default reversed."""
    return np.ascontiguousarray(data.transpose(axes or None))


@transpose.gradient
def _(g: Array, _y: Array, _x: Array, /, *, axes: Shape) -> Array:
    return g.transpose(np.argsort(axes)) if axes else g.transpose()


def _expanded(s: Shape, axis: int) -> Shape:
    if not -len(s) - 1 <= axis <= len(s):
        raise ShapeError(f"axis {axis} is out of range for a new axis in {s}")
    i = axis % (len(s) + 1)
    return (*s[:i], 1, *s[i:])


@op("(*s) -> (*out)", where={"out": _expanded})
def expand_dims(data: Array, /, *, axis: int) -> Array:
    """The array with a new axis of size 1 at `axis`."""
    return data.reshape(_expanded(data.shape, axis))


expand_dims.gradient(lambda g, _y, x, /, *, axis: g.reshape(x.shape))


def _concatenated(ins: list[Shape | None], params: Any, outs: list[Shape | None]) -> Any:
    dim = params["dim"]
    known = [s for s in ins if s is not None]
    if not known:
        return ins, outs
    ndim = len(known[0])
    if not -ndim <= dim < ndim:
        raise ShapeError(f"dim {dim} is out of range for arrays of {ndim} dimensions")
    at = dim % ndim
    size: list[int] = [0] * ndim
    for s in known + [o for o in outs if o is not None]:
        if len(s) != ndim:
            raise ShapeError(f"arrays of {ndim} and of {len(s)} dimensions: {' '.join(map(str, known))}")
        for i, n in enumerate(s):
            if i != at and n and size[i] not in (0, n):
                raise ShapeError(
                    f"size {i} is {size[i]} and also {n} in {' '.join(map(str, known))}, dim={dim}"
                )
            size[i] = size[i] or n
    filled: list[Shape | None] = [
        s if s is None else tuple(n if i == at else n or size[i] for i, n in enumerate(s)) for s in ins
    ]
    whole = sum(s[at] for s in filled if s) if all(s and s[at] for s in filled) else 0
    size[at] = whole
    return filled, [tuple(size)]


@op(shape=_concatenated, aliases=["concat"])
def Concat(*data: Array, dim: int = 1, num_args: int = 0, out: Array | None = None) -> Array:
    """The arrays one after another along axis `dim`."""
    return np.concatenate(data, axis=dim, out=out)


@Concat.gradient
def _(g: Array, _y: Array, /, *data: Array, dim: int, num_args: int) -> Any:
    ends = np.cumsum([x.shape[dim] for x in data])[:-1]
    return tuple(np.split(g, ends, axis=dim))


def _split_shape(s: Shape, num_outputs: int, axis: int, squeeze_axis: bool) -> Shape:
    if not -len(s) <= axis < len(s):
        raise ShapeError(f"axis {axis} is out of range for {s}")
    at = axis % len(s)
    if s[at] % num_outputs:
        raise ShapeError(f"size {s[at]} of axis {axis} in {s} is not a multiple of num_outputs={num_outputs}")
    part = s[at] // num_outputs
    if squeeze_axis and part == 1:
        return s[:at] + s[at + 1 :]
    return (*s[:at], part, *s[at + 1 :])


@op(
    "(*s) -> (*out)",
    aliases=["split"],
    where={"out": _split_shape},
    num_outputs=lambda p: int(p["num_outputs"]),
)
def SliceChannel(data: Array, /, *, num_outputs: int, axis: int = 1, squeeze_axis: bool = False) -> Any:
    """`num_outputs` equal parts of the array along `axis`; `squeeze_axis` drops that axis from parts of size 1."""
    parts = np.split(data, num_outputs, axis=axis)
    shape = _split_shape(data.shape, num_outputs, axis, squeeze_axis)
    return tuple(np.ascontiguousarray(p).reshape(shape) for p in parts)


@SliceChannel.gradient
def _(*arrays: Array, num_outputs: int, axis: int, squeeze_axis: bool) -> Array:
    heads, data = arrays[:num_outputs], arrays[-1]
    shape = list(data.shape)
    shape[axis] //= num_outputs
    return np.concatenate([g.reshape(shape) for g in heads], axis=axis)


def _sliced_axis(s: Shape, axis: int, begin: int, end: int | None) -> Shape:
    if not -len(s) <= axis < len(s):
        raise ShapeError(f"axis {axis} is out of range for {s}")
    at = axis % len(s)
    return (*s[:at], len(range(*slice(begin, end).indices(s[at]))), *s[at + 1 :])


def _along(ndim: int, axis: int, begin: int, end: int | None) -> tuple[slice, ...]:
    return tuple(slice(begin, end) if i == axis % ndim else slice(None) for i in range(ndim))


@op("(*s) -> (*out)", where={"out": _sliced_axis})
def slice_axis(data: Array, /, *, axis: int, begin: int, end: int | None) -> Array:
    """The part of the array from `begin` to before `end` along `axis`; None is the end, negative counts from it."""
    return np.ascontiguousarray(data[_along(data.ndim, axis, begin, end)])


@slice_axis.gradient
def _(g: Array, _y: Array, data: Array, /, *, axis: int, begin: int, end: int | None) -> Array:
    grad = np.zeros_like(data)
    grad[_along(data.ndim, axis, begin, end)] = g
    return grad


def _swapped(s: Shape, dim1: int, dim2: int) -> Shape:
    out = list(s)
    out[dim1], out[dim2] = out[dim2], out[dim1]
    return tuple(out)


@op("(*s) -> (*out)", aliases=["swapaxes"], where={"out": _swapped})
def SwapAxis(data: Array, /, *, dim1: int = 0, dim2: int = 0) -> Array:
    """The array with two of its axes exchanged."""
    return np.ascontiguousarray(data.swapaxes(dim1, dim2))


SwapAxis.gradient(lambda g, _y, _x, /, *, dim1, dim2: g.swapaxes(dim1, dim2))


def _squeezed(s: Shape, axis: Axis) -> Shape:
    axes = (
        range(len(s)) if axis is None else [a % len(s) for a in ((axis,) if isinstance(axis, int) else axis)]
    )
    if axis is not None and any(s[a] != 1 for a in axes):
        raise ShapeError(f"axis {axis} of {s} is not of size 1")
    return tuple(n for i, n in enumerate(s) if not (i in axes and n == 1)) or (1,)


@op("(*s) -> (*out)", where={"out": _squeezed})
def squeeze(data: Array, /, *, axis: Axis = None) -> Array:
    """The array without its axes of size 1, or without those named."""
    return data.reshape(_squeezed(data.shape, axis))


squeeze.gradient(lambda g, _y, x, /, *, axis: g.reshape(x.shape))

"""Operators that put arrays together, and that cut parts out of them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from .registry import Params, op
from .signature import Shape, merge_shapes, partial

Array = NDArray[Any]


def _concatenated(ins: list[Shape | None], params: Params, outs: list[Shape | None]) -> Any:
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
    filled = [s if s is None else tuple(n if i == at else n or size[i] for i, n in enumerate(s)) for s in ins]
    size[at] = sum(s[at] for s in filled if s) if all(s and s[at] for s in filled) else 0
    if size[at] == 0 and outs[0] is not None and outs[0][at]:
        size[at] = outs[0][at]
        missing = [i for i, s in enumerate(filled) if s is None or not s[at]]
        if len(missing) == 1:  # the one that is not known is what the others leave
            rest = size[at] - sum(s[at] for s in filled if s)
            filled[missing[0]] = tuple(rest if i == at else n for i, n in enumerate(size))
    return filled, [tuple(size)]


@op(shape=_concatenated, aliases=["concat"])
def Concat(*arg: Array, num_args: int = 0, dim: int = 1, out: Array | None = None) -> Any:
    """The arrays one after another along axis `dim`."""
    return np.concatenate(arg, axis=dim, out=out)


def _parted(g: Array, _y: Array, /, *arg: Array, dim: int, num_args: int) -> Any:
    return tuple(np.split(g, np.cumsum([x.shape[dim] for x in arg])[:-1], axis=dim))


Concat.gradient(_parted)


@op(shape=_concatenated)
def _rnn_param_concat(*arg: Array, num_args: int = 0, dim: int = 1, out: Array | None = None) -> Any:
    """The arrays one after another along axis `dim`: how the parameters of a recurrent network become one array."""
    return np.concatenate(arg, axis=dim, out=out)


_rnn_param_concat.gradient(_parted)


def _stacked(ins: list[Shape | None], params: Params, outs: list[Shape | None]) -> Any:
    s: Shape | None = None
    for given in ins:
        s = merge_shapes(s, given)
    if s is None:
        return ins, outs
    axis = params["axis"]
    if not -len(s) - 1 <= axis <= len(s):
        raise ShapeError(f"axis {axis} is out of range for a new axis in {s}")
    at = axis % (len(s) + 1)
    return [s] * len(ins), [(*s[:at], len(ins), *s[at:])]


@op(shape=_stacked)
def stack(*arg: Array, axis: int = 0, num_args: int = 0, out: Array | None = None) -> Any:
    """The arrays, all of one shape, along a new axis."""
    return np.stack(arg, axis=axis, out=out)


@stack.gradient
def _(g: Array, _y: Array, /, *arg: Array, axis: int, num_args: int) -> Any:
    return tuple(np.moveaxis(g, axis, 0))


@partial
def _split_shape(s: Shape, num_outputs: int, axis: int, squeeze_axis: bool) -> Shape:
    if not -len(s) <= axis < len(s):
        raise ShapeError(f"axis {axis} is out of range for {s}")
    at = axis % len(s)
    if s[at] % num_outputs:
        raise ShapeError(f"size {s[at]} of axis {axis} in {s} is not a multiple of num_outputs={num_outputs}")
    part = s[at] // num_outputs
    if squeeze_axis and part > 1:
        raise ShapeError(f"squeeze_axis wants parts of size 1, but axis {axis} of {s} gives parts of {part}")
    return s[:at] + s[at + 1 :] if squeeze_axis else (*s[:at], part, *s[at + 1 :])


@partial
def _split_from(out: Shape, num_outputs: int, axis: int, squeeze_axis: bool) -> Shape:
    """The shape of the whole from that of its parts."""
    ndim = len(out) + squeeze_axis
    at = axis % ndim if -ndim <= axis < ndim else 0
    return (
        (*out[:at], num_outputs, *out[at:])
        if squeeze_axis
        else (*out[:at], out[at] * num_outputs, *out[at + 1 :])
    )


@op(
    "(*s) -> (*out)",
    aliases=["split"],
    where={"out": _split_shape, "s": _split_from},
    num_outputs=lambda p: int(p["num_outputs"]),
)
def SliceChannel(data: Array, /, *, num_outputs: int, axis: int = 1, squeeze_axis: bool = False) -> Any:
    """`num_outputs` equal parts of the array along `axis`; `squeeze_axis` drops that axis from parts of size 1."""
    shape = _split_shape(data.shape, num_outputs, axis, squeeze_axis)
    return tuple(np.array(p, order="C").reshape(shape) for p in np.split(data, num_outputs, axis=axis))


@SliceChannel.gradient
def _(*arrays: Array, num_outputs: int, axis: int, squeeze_axis: bool) -> Any:
    heads, data = arrays[:num_outputs], arrays[-1]
    shape = list(data.shape)
    shape[axis] //= num_outputs
    return np.concatenate([g.reshape(shape) for g in heads], axis=axis)


def _starts(n: int, params: Params) -> Sequence[int]:
    """Where the parts of `_split_v2` begin, and the end."""
    if params["sections"]:
        if n % params["sections"]:
            raise ShapeError(f"a size of {n} does not split into {params['sections']} equal sections")
        return range(0, n + 1, n // params["sections"])
    return [*(min(i if i >= 0 else i + n, n) for i in params["indices"]), n]


def _split_v2_shape(ins: list[Shape | None], params: Params, outs: list[Shape | None]) -> Any:
    s = ins[0]
    if s is None or 0 in s:
        return ins, outs
    at = params["axis"] % len(s)
    starts = _starts(s[at], params)
    sizes = [max(0, b - a) for a, b in itertools.pairwise(starts)]
    squeeze = params["squeeze_axis"]
    return ins, [s[:at] + (() if squeeze and n == 1 else (n,)) + s[at + 1 :] for n in sizes]


@op(shape=_split_v2_shape, num_outputs=lambda p: int(p["sections"]) or len(p["indices"]))
def _split_v2(data: Array, /, *, indices: tuple[int, ...], axis: int = 1, squeeze_axis: bool = False,
              sections: int = 0) -> Any:  # fmt: skip
    """Parts of the array along `axis` that begin at `indices` (the first of which is 0), or `sections` equal ones."""
    params = {"sections": sections, "indices": indices, "axis": axis, "squeeze_axis": squeeze_axis}
    _, shapes = _split_v2_shape([data.shape], params, [])
    starts = _starts(data.shape[axis], params)
    along = [data[_along(data.ndim, axis, a, b)] for a, b in itertools.pairwise(starts)]
    return tuple(np.array(part, order="C").reshape(s) for part, s in zip(along, shapes, strict=True))


@_split_v2.gradient
def _(*arrays: Array, indices: Shape, axis: int, squeeze_axis: bool, sections: int) -> Any:
    data = arrays[-1]
    starts = _starts(data.shape[axis], {"sections": sections, "indices": indices})
    grad = np.zeros_like(data)
    for g, a, b in zip(arrays, starts, starts[1:], strict=False):
        part = grad[_along(data.ndim, axis, a, b)]
        part[...] = g.reshape(part.shape)
    return grad


@partial
def _sliced_axis(s: Shape, axis: int, begin: int, end: int | None) -> Shape:
    if not -len(s) <= axis < len(s):
        raise ShapeError(f"axis {axis} is out of range for {s}")
    at = axis % len(s)
    size = len(range(*slice(begin, end).indices(s[at])))
    if size == 0 and s[at]:
        raise ShapeError(f"from {begin} to {end} is empty on axis {axis} of {s}")
    return (*s[:at], size, *s[at + 1 :])


def _along(ndim: int, axis: int, begin: int, end: int | None) -> tuple[slice, ...]:
    return tuple(slice(begin, end) if i == axis % ndim else slice(None) for i in range(ndim))


def _own(y: Array, out: Array | None = None) -> Array:
    if out is None:
        return np.array(y, order="C")
    out[...] = y
    return out


@op("(*s) -> (*out)", where={"out": _sliced_axis})
def slice_axis(data: Array, /, *, axis: int, begin: int, end: int | None, out: Array | None = None) -> Any:
    """The part of the array from `begin` to before `end` along `axis`; None is the end, negative counts from it."""
    return _own(data[_along(data.ndim, axis, begin, end)], out)


@slice_axis.gradient
def _(g: Array, _y: Array, data: Array, /, *, axis: int, begin: int, end: int | None) -> Any:
    grad = np.zeros_like(data)
    grad[_along(data.ndim, axis, begin, end)] = g
    return grad


_Ends = tuple[int | None, ...]


def _slices(s: Shape, begin: _Ends, end: _Ends, step: _Ends) -> tuple[slice, ...]:
    if len(begin) > len(s) or len(end) != len(begin) or len(step) not in (0, len(begin)):
        raise ShapeError(f"begin {begin}, end {end}, step {step} do not fit an array of shape {s}")
    if 0 in step:
        raise ShapeError(f"step {step} holds a 0")
    return tuple(slice(a, b, c or 1) for a, b, c in zip(begin, end, step or (1,) * len(begin), strict=True))


@partial
def _sliced(s: Shape, begin: _Ends, end: _Ends, step: _Ends) -> Shape:
    cuts = _slices(s, begin, end, step)
    out = tuple(len(range(*cut.indices(n))) for cut, n in zip(cuts, s, strict=False)) + s[len(cuts) :]
    if any(n and not m for n, m in zip(s, out, strict=True)):
        raise ShapeError(f"begin {begin}, end {end}, step {step} select nothing of {s}")
    return out


@op("(*s) -> (*out)", name="slice", aliases=["crop"], where={"out": _sliced})
def slice_(data: Array, /, *, begin: tuple[int | None, ...], end: tuple[int | None, ...],
           step: tuple[int | None, ...] = (), out: Array | None = None) -> Any:  # fmt: skip
    """The part from `begin` to before `end` by `step` along each of the first axes; None is the edge."""
    return _own(data[_slices(data.shape, begin, end, step)], out)


@slice_.gradient
def _(g: Array, _y: Array, data: Array, /, *, begin: _Ends, end: _Ends, step: _Ends) -> Any:
    grad = np.zeros_like(data)
    grad[_slices(data.shape, begin, end, step)] = g
    return grad


@op("(*s), (*r) -> (*s)", aliases=["_crop_assign"])
def _slice_assign(lhs: Array, rhs: Array, /, *, begin: tuple[int | None, ...], end: tuple[int | None, ...],
                  step: tuple[int | None, ...] = ()) -> Any:  # fmt: skip
    """`lhs` with the part from `begin` to before `end` by `step` replaced by `rhs`."""
    y = lhs.copy()
    y[_slices(lhs.shape, begin, end, step)] = rhs
    return y


@_slice_assign.gradient
def _(g: Array, _y: Array, _lhs: Array, _rhs: Array, /, *, begin: _Ends, end: _Ends, step: _Ends) -> Any:
    cuts = _slices(g.shape, begin, end, step)
    rest = g.copy()
    rest[cuts] = 0
    return rest, g[cuts]


@op("(*s) -> (*s)", aliases=["_crop_assign_scalar"])
def _slice_assign_scalar(data: Array, /, *, scalar: float = 0.0, begin: tuple[int | None, ...],
                         end: tuple[int | None, ...], step: tuple[int | None, ...] = ()) -> Any:  # fmt: skip
    """The array with the part from `begin` to before `end` by `step` set to a number."""
    y = data.copy()
    y[_slices(data.shape, begin, end, step)] = scalar
    return y


@_slice_assign_scalar.gradient
def _(g: Array, _y: Array, _x: Array, /, *, scalar: float, begin: _Ends, end: _Ends, step: _Ends) -> Any:
    rest = g.copy()
    rest[_slices(g.shape, begin, end, step)] = 0
    return rest


def _cut_like(s: Shape, r: Shape, axes: Shape) -> Shape:
    wanted = [a % len(s) for a in axes] or range(len(s))
    if not axes and len(s) != len(r):
        raise ShapeError(f"{s} and {r} differ in their number of axes; name the axes to cut")
    for a in wanted:
        if a >= len(r) or r[a] > s[a]:
            raise ShapeError(f"axis {a} of {s} cannot be cut to that of {r}")
    return tuple(r[i] if i in wanted else n for i, n in enumerate(s))


@op("(*s), (*r) -> (*out)", types="T, U -> T", where={"out": _cut_like})
def slice_like(data: Array, shape_like: Array, /, *, axes: tuple[int, ...] = ()) -> Any:
    """The beginning of the array, as long as `shape_like` along `axes` (all of them by default)."""
    return _own(data[tuple(map(slice, _cut_like(data.shape, shape_like.shape, axes)))])


@slice_like.gradient
def _(g: Array, _y: Array, data: Array, _like: Array, /, *, axes: Shape) -> Any:
    grad = np.zeros_like(data)
    grad[tuple(map(slice, g.shape))] = g
    return grad, None


def _crop_geometry(
    s: Shape, like: Shape | None, offset: Shape, h_w: Shape, center_crop: bool
) -> tuple[slice, slice]:
    h, w = like[2:] if like is not None else h_w
    top, left = ((s[2] - h) // 2, (s[3] - w) // 2) if center_crop else offset
    if top + h > s[2] or left + w > s[3] or min(h, w) < 1:
        raise ShapeError(f"a crop of {h} × {w} at ({top}, {left}) leaves the array of shape {s}")
    return slice(top, top + h), slice(left, left + w)


def _crop_shape(ins: list[Shape | None], params: Params, outs: list[Shape | None]) -> Any:
    s = ins[0]
    like = ins[1] if len(ins) > 1 else None
    if s is None or (len(ins) > 1 and like is None):
        return ins, outs
    rows, columns = _crop_geometry(s, like, params["offset"], params["h_w"], params["center_crop"])
    return ins, [(*s[:2], rows.stop - rows.start, columns.stop - columns.start)]


@op(shape=_crop_shape)
def Crop(*arg: Array, num_args: int = 0, offset: tuple[int, ...] = (0, 0), h_w: tuple[int, ...] = (0, 0),
         center_crop: bool = False) -> Any:  # fmt: skip
    """A part of the space of (n, c, h, w): `h_w` in size, or as large as a second array's, at `offset` or centred."""
    like = arg[1].shape if len(arg) > 1 else None
    return _own(arg[0][(..., *_crop_geometry(arg[0].shape, like, offset, h_w, center_crop))])


@Crop.gradient
def _(
    g: Array, _y: Array, /, *arg: Array, num_args: int, offset: Shape, h_w: Shape, center_crop: bool
) -> Any:
    like = arg[1].shape if len(arg) > 1 else None
    grad = np.zeros_like(arg[0])
    grad[(..., *_crop_geometry(arg[0].shape, like, offset, h_w, center_crop))] = g
    return grad, None

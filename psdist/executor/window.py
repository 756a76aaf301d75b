"""Convolution and pooling in a plan: batch-innermost arrays, columns in cache-sized blocks, buffers made once.

The layout is (channel, *space, batch): "CHWN". A window's place then is one contiguous run of `width · batch`
numbers, so columns are filled by large copies; the product `weight (f, c·k) @ columns (c·k, places·batch)` comes
out in the same layout; a channel is one contiguous piece, which biases, BatchNorm and groups want; and pooling
is a few calls on whole rows. Columns are made for as many rows as fit a core's L2 cache, used at once, and made
again on the way back.

Promise: tolerance. The sums are BLAS's, in another order than the operator's kernel adds; rtol 1e-5 of the
largest element. Max pooling is bitwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ops.columns import full
from ..ops.pool import _Pool
from .depthwise import Depthwise, DepthwiseWeight, is_depthwise
from .ir import Array, At, Copy, Instr, Step, Value, call_into
from .lower import rule
from .trace import Builder
from .winograd import WinogradConvolve, WinogradWeight, kept_size, tiles_of

__all__ = [
    "Convolve",
    "ConvolveWeight",
    "Geometry",
    "data_gradient",
    "geometry",
    "innermost",
    "is_plain",
    "padded",
    "step_shape",
]

COLUMNS = 1 << 18  # floats of a block of columns: 1 MB, a core's L2


def innermost(ndim: int) -> tuple[int, ...]:
    """The order of axes with the batch innermost."""
    return (*range(1, ndim), 0)


@dataclass(frozen=True, slots=True)
class Geometry:
    """Sizes of a convolution in two dimensions of space."""

    n: int
    c: int  # channels, of one group
    f: int  # filters, of one group
    groups: int
    space: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilate: tuple[int, int]
    pad: tuple[int, int]
    out: tuple[int, int]

    @property
    def padded(self) -> tuple[int, int]:
        return self.space[0] + 2 * self.pad[0], self.space[1] + 2 * self.pad[1]

    @property
    def depth(self) -> int:
        """Rows of the columns."""
        return self.c * self.kernel[0] * self.kernel[1]

    @property
    def is_point(self) -> bool:
        """Whether the columns are the data itself."""
        return self.kernel == (1, 1) and self.stride == (1, 1) and self.pad == (0, 0)

    def blocks(self) -> Iterator[tuple[int, int, int, int]]:
        """(first row, rows, first column, columns) of the places whose columns are made at once."""
        oh, ow = self.out
        row = self.depth * ow * self.n
        if row <= 2 * COLUMNS:
            rows = max(1, min(oh, COLUMNS // row))
            for i in range(0, oh, rows):
                yield i, min(rows, oh - i), 0, ow
            return
        wide = max(1, min(ow, COLUMNS // (self.depth * self.n)))
        for i in range(oh):
            for j in range(0, ow, wide):
                yield i, 1, j, min(wide, ow - j)

    @property
    def block(self) -> int:
        """Places · batch of the largest block."""
        return max(rows * wide for _, rows, _, wide in self.blocks()) * self.n


def _flat(a: Array, v: Value) -> Array:
    """A batch-innermost value's array as it lies in memory, with two dimensions of space: (c, h, w, n)."""
    lies = a.transpose(v.order)
    return lies if lies.ndim == 4 else lies[:, None]


def _windows(x: Array, g: Geometry) -> Array:
    """(c, kh, kw, oh, ow, n), a view of the padded (c, h, w, n)."""
    sc, sh, sw, sn = x.strides
    shape = (x.shape[0], *g.kernel, *g.out, g.n)
    strides = (sc, g.dilate[0] * sh, g.dilate[1] * sw, g.stride[0] * sh, g.stride[1] * sw, sn)
    return np.lib.stride_tricks.as_strided(x, shape, strides)


def _places(y: Array, g: Geometry, i: int, rows: int, j: int, wide: int) -> Array:
    """(f, rows · wide · n): a block of (f, oh, ow, n); a view."""
    if wide == g.out[1]:
        line = g.out[1] * g.n
        return y.reshape(y.shape[0], -1)[:, i * line : (i + rows) * line]
    return y[:, i, j : j + wide].reshape(y.shape[0], -1)


def _column_steps(
    windows: Array, cols: Array, g: Geometry, block: tuple[int, int, int, int]
) -> tuple[Step, Array]:
    """The copy that fills a block's columns, and the columns as a matrix."""
    i, rows, j, wide = block
    target = cols[: g.depth * rows * wide * g.n]
    shape = (g.c, *g.kernel, rows, wide, g.n)
    return (
        (np.copyto, (target.reshape(shape), windows[:, :, :, i : i + rows, j : j + wide])),
        target.reshape(g.depth, -1),
    )


class Pad(Instr):
    """Batch-innermost data with a border of one number around its space."""

    __slots__ = ("after", "number", "pad")

    def __init__(self, x: Value, out: Value, pad: Sequence[int], after: Sequence[int], number: float) -> None:
        super().__init__([x], [out])
        self.pad = tuple(pad)
        self.after = tuple(after)
        self.number = number

    def key(self) -> Any:
        return ("pad", self.pad, self.after, self.number)

    def steps(self, at: At) -> list[Step]:
        x, out = self.reads[0], self.writes[0]
        source, wide = at(x).transpose(x.order), at(out).transpose(out.order)
        number = np.asarray(self.number, out.dtype)
        steps: list[Step] = []
        inside: list[slice] = [slice(None)]
        for axis, (p, q) in enumerate(zip(self.pad, self.after, strict=True), 1):
            size = source.shape[axis]
            for border in (slice(0, p), slice(p + size, p + size + q)):
                if border.stop > border.start:
                    steps.append((np.copyto, (wide[(*inside, border)], number)))
            inside.append(slice(p, p + size))
        return [*steps, (np.copyto, (wide[tuple(inside)], source))]


def padded(b: Builder, x: Value, pad: Sequence[int], after: Sequence[int], number: float = 0.0) -> Value:
    """`x`, batch-innermost, with a border."""
    x = b.ordered(x, innermost(len(x.shape)))
    if not any(pad) and not any(after):
        return x
    space = (p + s + q for p, s, q in zip(pad, x.shape[2:], after, strict=True))
    out = Value((*x.shape[:2], *space), x.dtype, order=x.order)
    b.emit(Pad(x, out, pad, after, number))
    return out


class Convolve(Instr):
    """weight @ columns + bias. With `flipped` it is the transpose of one: the data's gradient from the output's."""

    __slots__ = ("flipped", "g")

    def __init__(
        self, x: Value, weight: Value, bias: Value | None, out: Value, g: Geometry, flipped: bool = False
    ) -> None:
        scratch = [] if g.is_point else [Value((g.depth * g.block,), x.dtype)]
        if flipped:
            scratch.append(Value((g.groups, g.f, g.c, *g.kernel), x.dtype))
        super().__init__([x, weight] if bias is None else [x, weight, bias], [out], scratch)
        self.g = g
        self.flipped = flipped

    def key(self) -> Any:
        return ("convolve", self.g, self.flipped)

    @property
    def title(self) -> str:
        return "convolve" + (" (flipped)" if self.flipped else "")

    def flops(self) -> float:
        g = self.g
        return 2.0 * g.groups * g.f * g.depth * math.prod(g.out) * g.n

    def steps(self, at: At) -> list[Step]:
        g = self.g
        x, y = _flat(at(self.reads[0]), self.reads[0]), _flat(at(self.writes[0]), self.writes[0])
        weight = at(self.reads[1]).reshape(g.groups, -1, self.reads[1].shape[1], *g.kernel)
        steps: list[Step] = []
        if self.flipped:
            turned = at(self.scratch[-1])
            steps.append((np.copyto, (turned, weight.swapaxes(1, 2)[..., ::-1, ::-1])))
            weight = turned
        for k in range(g.groups):
            w = weight[k].reshape(g.f, g.depth)
            xs, ys = x[k * g.c : (k + 1) * g.c], y[k * g.f : (k + 1) * g.f]
            bias = at(self.reads[2])[k * g.f : (k + 1) * g.f, None] if len(self.reads) > 2 else None
            if g.is_point:
                steps.append((np.matmul, (w, xs.reshape(g.c, -1), ys.reshape(g.f, -1))))
                if bias is not None:
                    steps.append((np.add, (ys.reshape(g.f, -1), bias, ys.reshape(g.f, -1))))
                continue
            windows, cols = _windows(xs, g), at(self.scratch[0])
            for block in g.blocks():
                fill, matrix = _column_steps(windows, cols, g, block)
                part = _places(ys, g, *block)
                steps += [fill, (np.matmul, (w, matrix, part))]
                if bias is not None:
                    steps.append((np.add, (part, bias, part)))
        return steps


class ConvolveWeight(Instr):
    """The weight's gradient: the output's gradient @ columnsᵀ, block after block."""

    __slots__ = ("g",)

    def __init__(self, head: Value, x: Value, out: Value, g: Geometry) -> None:
        room = [Value((g.depth * g.block,), x.dtype), Value((g.f, g.depth), x.dtype)]
        super().__init__([head, x], [out], [] if g.is_point else room)
        self.g = g

    def key(self) -> Any:
        return ("convolve weight", self.g)

    @property
    def title(self) -> str:
        return "convolve's weight gradient"

    def flops(self) -> float:
        g = self.g
        return 2.0 * g.groups * g.f * g.depth * math.prod(g.out) * g.n

    def steps(self, at: At) -> list[Step]:
        g = self.g
        head, x = _flat(at(self.reads[0]), self.reads[0]), _flat(at(self.reads[1]), self.reads[1])
        out = at(self.writes[0]).reshape(g.groups, g.f, g.depth)
        steps: list[Step] = []
        for k in range(g.groups):
            ys, xs = head[k * g.f : (k + 1) * g.f], x[k * g.c : (k + 1) * g.c]
            if g.is_point:
                steps.append((np.matmul, (ys.reshape(g.f, -1), xs.reshape(g.c, -1).T, out[k])))
                continue
            windows, cols, part = _windows(xs, g), at(self.scratch[0]), at(self.scratch[1])
            for m, block in enumerate(g.blocks()):
                fill, matrix = _column_steps(windows, cols, g, block)
                steps += [fill, (np.matmul, (_places(ys, g, *block), matrix.T, part if m else out[k]))]
                if m:
                    steps.append((np.add, (out[k], part, out[k])))
        return steps


class ConvolveData(Instr):
    """The padded data's gradient: weightᵀ @ the output's gradient, added up where each column came from."""

    __slots__ = ("g",)

    def __init__(self, head: Value, weight: Value, out: Value, g: Geometry) -> None:
        super().__init__(
            [head, weight], [out], [] if g.is_point else [Value((g.depth * g.block,), head.dtype)]
        )
        self.g = g

    def key(self) -> Any:
        return ("convolve data", self.g)

    @property
    def title(self) -> str:
        return "convolve's data gradient"

    def flops(self) -> float:
        g = self.g
        return 2.0 * g.groups * g.f * g.depth * math.prod(g.out) * g.n

    def steps(self, at: At) -> list[Step]:
        g = self.g
        head, x = _flat(at(self.reads[0]), self.reads[0]), _flat(at(self.writes[0]), self.writes[0])
        weight = at(self.reads[1]).reshape(g.groups, g.f, g.depth)
        steps: list[Step] = [] if g.is_point else [(np.copyto, (x, np.zeros((), x.dtype)))]
        for k in range(g.groups):
            ys, xs, w = head[k * g.f : (k + 1) * g.f], x[k * g.c : (k + 1) * g.c], weight[k].T
            if g.is_point:
                steps.append((np.matmul, (w, ys.reshape(g.f, -1), xs.reshape(g.c, -1))))
                continue
            windows, cols = _windows(xs, g), at(self.scratch[0])
            for i, rows, j, wide in g.blocks():
                matrix = cols[: g.depth * rows * wide * g.n].reshape(g.depth, -1)
                steps.append((np.matmul, (w, _places(ys, g, i, rows, j, wide), matrix)))
                shares = matrix.reshape(g.c, *g.kernel, rows, wide, g.n)
                for p in range(g.kernel[0]):
                    for q in range(g.kernel[1]):
                        target = windows[:, p, q, i : i + rows, j : j + wide]
                        steps.append((np.add, (target, shares[:, p, q], target)))
        return steps


def geometry(params: Any, x: Value, y: Value) -> Geometry | None:
    """A convolution's sizes, or None if it is not one or two dimensions of space over floats."""
    dims = len(params["kernel"])
    if dims > 2 or x.dtype.kind != "f" or x.dtype.itemsize < 4 or x.size == 0:
        return None

    def two(value: Sequence[int], default: int, missing: int) -> tuple[int, int]:
        sizes = full(tuple(value), dims, default)
        return (sizes[0], sizes[1]) if dims == 2 else (missing, sizes[0])

    groups = params["num_group"]
    return Geometry(
        n=x.shape[0],
        c=x.shape[1] // groups,
        f=y.shape[1] // groups,
        groups=groups,
        space=two(x.shape[2:], 1, 1),
        kernel=two(params["kernel"], 1, 1),
        stride=two(params["stride"], 1, 1),
        dilate=two(params["dilate"], 1, 1),
        pad=two(params["pad"], 0, 0),
        out=two(y.shape[2:], 1, 1),
    )


def is_plain(params: Any) -> bool:
    return params.get("layout") in (None, "NCHW", "NCW")


def _own_pad(g: Geometry, dims: int) -> tuple[int, ...]:
    return g.pad if dims == 2 else g.pad[1:]


def _convolution(b: Builder, step: Any, ins: Sequence[Value], is_train: bool) -> list[Value] | None:
    x, weight = ins[:2]
    shape = step_shape(step, x, weight)
    y = Value(shape, x.dtype, order=innermost(len(shape)))
    g = geometry(step.params, x, y) if is_plain(step.params) else None
    if g is None:
        return None
    bias = ins[2] if len(ins) > 2 else None
    tiles = tiles_of(g, x.dtype) if b.winograd else None
    if tiles is not None:
        x = b.ordered(x, y.order)
        keep = None
        if is_train and b.keeps and step.needs and step.needs[1]:
            keep = b.kept[x] = Value((kept_size(tiles),), x.dtype)
        b.emit(WinogradConvolve(x, weight, bias, y, tiles, keep=keep, compiled=b.compiled))
        return [y]
    pad = _own_pad(g, len(shape) - 2)
    wide = padded(b, x, pad, pad)
    if b.compiled and is_depthwise(g, x.dtype):
        b.emit(Depthwise(wide, weight, bias, y, g))
    else:
        b.emit(Convolve(wide, weight, bias, y, g))
    return [y]


def step_shape(step: Any, x: Value, weight: Value) -> tuple[int, ...]:
    """The shape of a convolution's output."""
    _, outs = step.op.infer_shape([x.shape, weight.shape, *[None] * (len(step.ins) - 2)], step.params)
    return tuple(outs[0])


def _convolution_back(
    b: Builder, step: Any, heads: Sequence[Value], outs: Sequence[Value], ins: Sequence[Value], is_train: bool
) -> list[Value | None] | None:
    x, weight, y = ins[0], ins[1], outs[0]
    g = geometry(step.params, x, y) if is_plain(step.params) else None
    if g is None:
        return None
    order = innermost(len(x.shape))
    head = b.ordered(heads[0], order)
    found: list[Value | None] = [None] * len(ins)
    pad = _own_pad(g, len(x.shape) - 2)
    if step.needs[1]:
        made = Value(weight.shape, weight.dtype)
        tiles = tiles_of(g, x.dtype) if b.winograd else None
        if tiles is not None:
            own = b.ordered(x, order)
            b.emit(WinogradWeight(head, b.kept.get(own, own), made, tiles, own in b.kept, b.compiled))
        elif b.compiled and is_depthwise(g, x.dtype):
            b.emit(DepthwiseWeight(head, padded(b, x, pad, pad), made, g))
        else:
            b.emit(ConvolveWeight(head, padded(b, x, pad, pad), made, g))
        found[1] = made
    if len(ins) > 2 and step.needs[2]:
        found[2] = b.reduce(np.add, head, (0, *range(2, len(x.shape))), False)
    if step.needs[0]:
        found[0] = data_gradient(b, head, weight, x, g, pad)
    return found


def data_gradient(
    b: Builder, head: Value, weight: Value, x: Value, g: Geometry, pad: tuple[int, ...]
) -> Value:
    """Either way costs the same per place; the flipped one has more places but adds nothing up."""
    order = innermost(len(x.shape))
    made = Value(x.shape, x.dtype, order=order)
    border = (g.kernel[0] - 1 - g.pad[0], g.kernel[1] - 1 - g.pad[1])
    if g.is_point:
        b.emit(ConvolveData(head, weight, made, g))
        return made
    more = math.prod(g.space) / math.prod(g.out)
    if g.stride == (1, 1) and g.dilate == (1, 1) and min(border) >= 0 and more <= 1.4:
        turned = Geometry(g.n, g.f, g.c, g.groups, g.out, g.kernel, (1, 1), (1, 1), border, g.space)
        tiles = tiles_of(turned, x.dtype) if b.winograd else None
        if tiles is not None:
            b.emit(WinogradConvolve(head, weight, None, made, tiles, flipped=True, compiled=b.compiled))
            return made
        own = _own_pad(turned, len(x.shape) - 2)
        wide = padded(b, head, own, own)
        if b.compiled and is_depthwise(g, x.dtype):
            b.emit(Depthwise(wide, weight, None, made, turned, flipped=True))
        else:
            b.emit(Convolve(wide, weight, None, made, turned, flipped=True))
        return made
    if not any(pad):
        b.emit(ConvolveData(head, weight, made, g))
        return made
    space = tuple(s + 2 * p for s, p in zip(x.shape[2:], pad, strict=True))
    wide = Value((*x.shape[:2], *space), x.dtype, order=order)
    b.emit(ConvolveData(head, weight, wide, g))
    inside = (slice(None), slice(None), *(slice(p, p + s) for p, s in zip(pad, x.shape[2:], strict=True)))
    b.emit(Copy(b.view("index", inside, wide), made))
    return made


rule("Convolution", _convolution, _convolution_back)


# -- pooling -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pooled:
    """Sizes of a pooling in two dimensions of space, over padded data."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    out: tuple[int, int]

    def part(self, x: Array, p: int, q: int) -> Array:
        """What place (p, q) of every window sees, of (c, h, w, n)."""
        (sh, sw), (oh, ow) = self.stride, self.out
        return x[:, p : p + sh * (oh - 1) + 1 : sh, q : q + sw * (ow - 1) + 1 : sw]

    @property
    def overlaps(self) -> bool:
        return self.stride[0] < self.kernel[0] or self.stride[1] < self.kernel[1]


class Pool(Instr):
    """Rows first, then columns: the largest, or the sum times `scale`, of each window."""

    __slots__ = ("g", "is_max", "scale")

    def __init__(self, x: Value, out: Value, g: Pooled, is_max: bool, scale: float) -> None:
        c, w, n = x.shape[1], x.shape[-1], x.shape[0]
        super().__init__(
            [x], [out], [Value((c, g.out[0], w, n), x.dtype)] if g.kernel[0] > 1 and g.kernel[1] > 1 else []
        )
        self.g = g
        self.is_max = is_max
        self.scale = scale

    def key(self) -> Any:
        return ("pool", self.g, self.is_max, self.scale)

    def flops(self) -> float:
        return float(self.writes[0].size * (self.g.kernel[0] + self.g.kernel[1]))

    def steps(self, at: At) -> list[Step]:
        g = self.g
        x, y = _flat(at(self.reads[0]), self.reads[0]), _flat(at(self.writes[0]), self.writes[0])
        join = np.maximum if self.is_max else np.add
        steps: list[Step] = []

        def line(parts: list[Array], out: Array) -> None:
            if len(parts) == 1:
                steps.append((np.copyto, (out, parts[0])))
                return
            steps.append(call_into(join, parts[0], parts[1], out))
            steps.extend(call_into(join, out, part, out) for part in parts[2:])

        (kh, kw), (sh, sw), (oh, ow) = g.kernel, g.stride, g.out
        if kh > 1:
            rows = [x[:, p : p + sh * (oh - 1) + 1 : sh] for p in range(kh)]
            half = at(self.scratch[0]) if kw > 1 else None
            if half is None:
                line([r[:, :, : sw * (ow - 1) + 1 : sw] for r in rows], y)
            else:
                line(rows, half)
        else:
            half = x[:, : sh * (oh - 1) + 1 : sh]
        if kw > 1 or kh == 1:
            assert half is not None
            line([half[:, :, q : q + sw * (ow - 1) + 1 : sw] for q in range(kw)], y)
        if self.scale != 1:
            steps.append((np.multiply, (y, np.asarray(self.scale, y.dtype), y)))
        return steps


class PoolBack(Instr):
    """The padded data's gradient. Of a maximum, the first place that attains it gets all; of a sum, every place."""

    __slots__ = ("g", "is_max", "scale")

    def __init__(self, reads: Sequence[Value], out: Value, g: Pooled, is_max: bool, scale: float) -> None:
        head = reads[0]
        c, n = head.shape[1], head.shape[0]
        room = (_channels(head), *g.out, n)
        scratch = (
            [Value(room, np.dtype(bool)), Value(room, np.dtype(bool)), Value(room, head.dtype)]
            if is_max
            else []
        )
        if not is_max and scale != 1:
            scratch = [Value((c, *g.out, n), head.dtype)]
        super().__init__(reads, [out], scratch)
        self.g = g
        self.is_max = is_max
        self.scale = scale

    def key(self) -> Any:
        return ("pool back", self.g, self.is_max, self.scale)

    @property
    def title(self) -> str:
        return "pool's gradient"

    def steps(self, at: At) -> list[Step]:
        g = self.g
        head = _flat(at(self.reads[0]), self.reads[0])
        out = _flat(at(self.writes[0]), self.writes[0])
        steps: list[Step] = []
        if g.overlaps or any(
            s * o != size for s, o, size in zip(g.kernel, g.out, out.shape[1:3], strict=True)
        ):
            steps.append((np.copyto, (out, np.zeros((), out.dtype))))
        places = [(p, q) for p in range(g.kernel[0]) for q in range(g.kernel[1])]
        if not self.is_max:
            if self.scale != 1:
                scaled = at(self.scratch[0])
                steps.append((np.multiply, (head, np.asarray(self.scale, head.dtype), scaled)))
                head = scaled
            for p, q in places:
                part = g.part(out, p, q)
                steps.append((np.add, (part, head, part)) if g.overlaps else (np.copyto, (part, head)))
            return steps
        y, x = _flat(at(self.reads[1]), self.reads[1]), _flat(at(self.reads[2]), self.reads[2])
        count = _channels(self.reads[0])
        for k in range(0, len(head), count):
            some = slice(k, min(k + count, len(head)))
            hit, free, share = (at(v)[: some.stop - some.start] for v in self.scratch)
            for m, (p, q) in enumerate(places):
                last = m == len(places) - 1
                if last and m:
                    steps.append((np.copyto, (share, free)))
                else:
                    steps.append((np.equal, (g.part(x[some], p, q), y[some], hit)))
                    if m:
                        steps += [(np.logical_and, (hit, free, hit)), (np.logical_xor, (free, hit, free))]
                    elif not last:
                        steps.append((np.logical_not, (hit, free)))
                    steps.append((np.copyto, (share, hit)))
                part = g.part(out[some], p, q)
                if g.overlaps:
                    steps += [(np.multiply, (share, head[some], share)), (np.add, (part, share, part))]
                else:
                    steps.append((np.multiply, (share, head[some], part)))
        return steps


def _channels(head: Value) -> int:
    """How many channels are worked on at once: what a block needs stays in the cache."""
    one = head.nbytes // max(1, head.shape[1])
    return max(1, min(head.shape[1], (1 << 17) // max(1, one)))


def _pooled(params: Any, x: Value) -> tuple[Pooled, tuple[int, ...], list[int], float] | None:
    """Sizes, padding before and after, and the scale; None where the operator's kernel should do it."""
    dims = len(x.shape) - 2
    kind = params["pool_type"]
    if dims not in (1, 2) or kind not in ("max", "avg", "sum") or x.dtype.kind != "f" or x.size == 0:
        return None
    if params.get("layout") not in (None, "NCHW", "NCW"):
        return None
    space = x.shape[2:]
    of = _Pool.of(
        space,
        params["kernel"],
        params["stride"],
        params["pad"],
        params["pooling_convention"],
        params["global_pool"],
    )
    kernel, stride, pad, out = of.kernel, of.stride, of.pad, of.out
    after = [
        max(0, (o - 1) * t + k - s - p) for s, k, t, p, o in zip(space, kernel, stride, pad, out, strict=True)
    ]
    if kind == "avg" and any(a > p for a, p in zip(after, pad, strict=True)):
        return None  # windows that reach beyond the padding average fewer cells
    if kind == "avg" and params["count_include_pad"] is False and any(pad):
        return None
    if dims == 1:
        kernel, stride, out = (1, *kernel), (1, *stride), (1, *out)
    scale = 1 / math.prod(kernel) if kind == "avg" else 1.0
    sizes = Pooled((kernel[0], kernel[1]), (stride[0], stride[1]), (out[0], out[1]))
    return sizes, tuple(pad), after, scale


def _pooling(b: Builder, step: Any, ins: Sequence[Value], is_train: bool) -> list[Value] | None:
    x, params = ins[0], step.params
    found = _pooled(params, x)
    if found is None:
        return None
    g, pad, after, scale = found
    is_max = params["pool_type"] == "max"
    order = innermost(len(x.shape))
    shape = (*x.shape[:2], *g.out[4 - len(x.shape) :])
    if g.out == (1, 1) and g.kernel[4 - len(x.shape) :] == x.shape[2:] and not any(pad):
        axes = tuple(range(2, len(x.shape)))
        y = b.reduce(np.maximum if is_max else np.add, b.ordered(x, order), axes, True)
        return [b.apply(np.multiply, (y, scale)) if scale != 1 else y]
    wide = padded(b, x, pad, after, -math.inf if is_max else 0.0)
    y = Value(shape, x.dtype, order=order)
    b.emit(Pool(wide, y, g, is_max, scale))
    return [y]


def _pooling_back(
    b: Builder, step: Any, heads: Sequence[Value], outs: Sequence[Value], ins: Sequence[Value], is_train: bool
) -> list[Value | None] | None:
    x, params = ins[0], step.params
    found = _pooled(params, x)
    if found is None:
        return None
    g, pad, after, scale = found
    is_max = params["pool_type"] == "max"
    order = innermost(len(x.shape))
    head = b.ordered(heads[0], order)
    if not is_max and g.out == (1, 1) and g.kernel[4 - len(x.shape) :] == x.shape[2:] and not any(pad):
        head = b.apply(np.multiply, (head, scale)) if scale != 1 else head
        return [b.ordered(b.view("broadcast", x.shape, head), order)]
    wide = padded(b, x, pad, after, -math.inf if is_max else 0.0)
    made = Value(wide.shape, x.dtype, order=order)
    reads = [head, b.ordered(outs[0], order), wide] if is_max else [head]
    b.emit(PoolBack(reads, made, g, is_max, scale))
    if wide.shape == x.shape:
        return [made]
    inside = (slice(None), slice(None), *(slice(p, p + s) for p, s in zip(pad, x.shape[2:], strict=True)))
    whole = Value(x.shape, x.dtype, order=order)
    b.emit(Copy(b.view("index", inside, made), whole))
    return [whole]


rule("Pooling", _pooling, _pooling_back)

"""Winograd's convolution F(4×4, 3×3): four multiplications in place of nine, for 3×3 windows that move by one.

Lavin and Gray, arXiv:1509.09308. A tile of 6×6 of the data gives 4×4 of the output: y = Aᵀ[(G w Gᵀ) ⊙ (Bᵀ d B)]A,
and ⊙ over all channels is 36 matrix products. The transforms are sums of whole rows of tiles, so they run at
SIMD's speed if a tile's columns lie apart: the padded data is copied once into (c, h, 4, tiles + 1, n), where
column 4j + k of a row lies at [k mod 4, j + k div 4]. A few rows of tiles go through all stages while they are in
the cache. The weight's gradient is Gᵀ[Σ (A g Aᵀ) ⊙ (Bᵀ d B)]G, with the same transform of the data.

Promise: tolerance; rounding is amplified by the transforms: rtol 1e-4 of the largest element, about ten times that
of a plain sum. It is chosen for float32 with 32 channels and filters or more, where it saves time, unless
PSDIST_WINOGRAD=0.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..jit.loops import Body, Input
from ..jit.loops import Step as BodyStep
from ..jit.views import calls
from .ir import Array, At, Instr, Step, Value

__all__ = ["Tiles", "WinogradConvolve", "WinogradWeight", "kept_size", "tiles_of"]

_COLUMNS = 128  # of a block's matrix products, at least
_G = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
_GG = np.kron(_G, _G).astype(np.float32)  # (36, 9)
_TWO, _FOUR, _EIGHT = (np.asarray(k, np.float32) for k in (2, 4, 8))


@dataclass(frozen=True, slots=True)
class Tiles:
    """A convolution's sizes in tiles."""

    n: int
    c: int
    f: int
    space: tuple[int, int]
    pad: tuple[int, int]
    out: tuple[int, int]

    @property
    def down(self) -> int:
        return -(-self.out[0] // 4)

    @property
    def across(self) -> int:
        return -(-self.out[1] // 4)

    @property
    def rows(self) -> int:
        """Rows of tiles in a block."""
        return max(1, min(self.down, _COLUMNS // (self.across * self.n)))

    def blocks(self) -> list[tuple[int, int]]:
        """(first row of tiles, rows)."""
        return [(i, min(self.rows, self.down - i)) for i in range(0, self.down, self.rows)]


def tiles_of(g: Any, dtype: np.dtype[Any]) -> Tiles | None:
    """The tiles of a convolution's `Geometry`, or None where Winograd's way does not serve or not pay."""
    plain = g.kernel == (3, 3) and g.stride == (1, 1) and g.dilate == (1, 1) and g.groups == 1
    if (
        not plain
        or dtype != np.float32
        or min(g.c, g.f) < 32
        or min(g.out) < 4
        or g.n * math.ceil(g.out[1] / 4) < 16
    ):
        return None
    return Tiles(g.n, g.c, g.f, g.space, g.pad, g.out)


_Transform = Callable[[Sequence[Array], Sequence[Array], Array, Array], list[Step]]

# -- the transforms: steps over lists of views ---------------------------------------------------------------


def _six(d: Sequence[Array], out: Sequence[Array], s: Array, t: Array) -> list[Step]:
    """Bᵀ: six of six."""
    return [
        (np.multiply, (d[2], _FOUR, s)),
        (np.subtract, (d[4], s, s)),
        (np.multiply, (d[1], _FOUR, t)),
        (np.subtract, (d[3], t, t)),
        (np.add, (s, t, out[1])),
        (np.subtract, (s, t, out[2])),
        (np.subtract, (d[4], d[2], s)),
        (np.subtract, (d[3], d[1], t)),
        (np.multiply, (t, _TWO, t)),
        (np.add, (s, t, out[3])),
        (np.subtract, (s, t, out[4])),
        (np.subtract, (d[0], d[2], t)),
        (np.multiply, (t, _FOUR, t)),
        (np.add, (t, s, out[0])),
        (np.subtract, (d[5], d[3], s)),
        (np.subtract, (d[1], d[3], t)),
        (np.multiply, (t, _FOUR, t)),
        (np.add, (t, s, out[5])),
    ]


def _down(m: Sequence[Array], out: Sequence[Array], s: Array, t: Array) -> list[Step]:
    """Aᵀ: four of six."""
    return [
        (np.add, (m[1], m[2], s)),
        (np.add, (m[3], m[4], t)),
        (np.add, (m[0], s, out[0])),
        (np.add, (out[0], t, out[0])),
        (np.multiply, (t, _FOUR, t)),
        (np.add, (s, t, out[2])),
        (np.subtract, (m[1], m[2], s)),
        (np.subtract, (m[3], m[4], t)),
        (np.multiply, (t, _TWO, t)),
        (np.add, (s, t, out[1])),
        (np.multiply, (t, _FOUR, t)),
        (np.add, (s, m[5], s)),
        (np.add, (s, t, out[3])),
    ]


def _up(d: Sequence[Array], out: Sequence[Array], s: Array, t: Array) -> list[Step]:
    """A: six of four."""
    return [
        (np.copyto, (out[0], d[0])),
        (np.copyto, (out[5], d[3])),
        (np.add, (d[0], d[2], s)),
        (np.add, (d[1], d[3], t)),
        (np.add, (s, t, out[1])),
        (np.subtract, (s, t, out[2])),
        (np.multiply, (d[2], _FOUR, s)),
        (np.add, (s, d[0], s)),
        (np.multiply, (d[3], _FOUR, t)),
        (np.add, (t, d[1], t)),
        (np.multiply, (t, _TWO, t)),
        (np.add, (s, t, out[3])),
        (np.subtract, (s, t, out[4])),
    ]


@functools.cache
def _body(transform: _Transform, num_ins: int, num_outs: int) -> Body:
    """A transform's steps as the body of a loop: the same operations in the same order."""
    ins, outs = [f"in {k}" for k in range(num_ins)], [f"out {k}" for k in range(num_outs)]
    steps: list[tuple[Any, Any]] = transform(ins, outs, "s", "t")  # type: ignore[arg-type]
    numbers = {float(a): None for _, args in steps for a in args if not isinstance(a, str)}
    inputs = [Input("float", "whole")] * num_ins + [Input("float", "const", x) for x in numbers]
    known: dict[Any, int] = {name: k for k, name in enumerate([*ins, *numbers])}
    made: list[BodyStep] = []
    for function, args in steps:
        if function is np.copyto:
            known[args[0]] = known[args[1]]
            continue
        operands = tuple(known[a if isinstance(a, str) else float(a)] for a in args[:-1])
        made.append(BodyStep(function.__name__, "float", operands, "float"))
        known[args[-1]] = len(inputs) + len(made) - 1
    return Body(tuple(inputs), tuple(made), tuple(known[name] for name in outs))


def _transformed(
    transform: _Transform, d: Sequence[Array], out: Sequence[Array], room: Array, compiled: bool
) -> list[Step]:
    """The steps of a transform, by NumPy with two helpers cut out of `room`, or in one loop."""
    if compiled:
        return calls(_body(transform, len(d), len(out)), d, out)
    shape = out[0].shape
    s, t = (flat[: out[0].size].reshape(shape) for flat in room)
    return transform(d, out, s, t)


def _spread(x: Array, wide: Array, first: int, top: int, left: int, tiles: int) -> list[Step]:
    """Copy the rows of (c, h, w, n) that a block sees into (c, rows, 4, columns, n), with zeros around."""
    rows = wide.shape[1]
    steps: list[Step] = [(np.copyto, (wide, np.zeros((), wide.dtype)))]
    begin = first - top  # the row of x that lies in row 0
    low, high = max(0, -begin), min(rows, x.shape[1] - begin)
    if high <= low:
        return steps
    for k in range(4):
        j = 0 if k >= left else -(-(left - k) // 4)  # the first column of this remainder that lies in x
        at = 4 * j + k - left
        count = min(tiles - j, -(-(x.shape[2] - at) // 4)) if at < x.shape[2] else 0
        if count > 0:
            source = x[:, begin + low : begin + high, at : at + 4 * (count - 1) + 1 : 4]
            steps.append((np.copyto, (wide[:, low:high, k, j : j + count], source)))
    return steps


class _Room:
    """The scratch of one block, cut out of one run of floats."""

    def __init__(self, flat: Array) -> None:
        self._flat = flat
        self._at = 0

    def take(self, *shape: int) -> Array:
        size = math.prod(shape)
        self._at += size
        return self._flat[self._at - size : self._at].reshape(shape)


def _data_size(g: Tiles, channels: int) -> int:
    """Floats that the data's transform needs for a block: spread, rows transformed, two helpers, the result."""
    line = 4 * (g.across + 1) * g.n
    one = channels * g.rows * g.across * g.n
    return (
        channels * (4 * g.rows + 2) * line
        + 6 * channels * g.rows * line
        + 2 * 6 * channels * g.rows * line
        + 36 * one
    )


def kept_size(g: Tiles) -> int:
    """Floats of the data's transform, all blocks one after another."""
    return 36 * g.c * g.down * g.across * g.n


def _rows(whole: Array, g: Tiles, channels: int, first: int, rows: int) -> Array:
    """Some rows of tiles, of the transform of all: (6, 6, channels, rows, across, n)."""
    return whole.reshape(6, 6, channels, g.down, g.across, g.n)[:, :, :, first : first + rows]


def _transform_data(
    x: Array, room: _Room, g: Tiles, first: int, rows: int, into: Array | None, compiled: bool
) -> tuple[list[Step], Array]:
    """The steps that give Bᵀ d B of a block's tiles, and where it lies: (6, 6, c, rows, across, n), `into` if given."""
    c, across = x.shape[0], g.across
    wide = room.take(c, 4 * rows + 2, 4, across + 1, g.n)
    steps = _spread(x, wide, 4 * first, g.pad[0], g.pad[1], across + 1)
    half = room.take(6, c, rows, 4, across + 1, g.n)
    helpers = room.take(2, 6 * c * rows * 4 * (across + 1) * g.n)
    lines = [wide[:, k : k + 4 * (rows - 1) + 1 : 4] for k in range(6)]
    steps += _transformed(_six, lines, list(half), helpers, compiled)
    made = room.take(6, 6, c, rows, across, g.n) if into is None else into
    columns = [half[:, :, :, k % 4, k // 4 : k // 4 + across] for k in range(6)]
    steps += _transformed(_six, columns, [made[:, k] for k in range(6)], helpers, compiled)
    return steps, made


class WinogradConvolve(Instr):
    """A 3×3 convolution, by tiles. `flipped`: of the output's gradient, with the weight turned: the data's gradient."""

    __slots__ = ("compiled", "flipped", "g")

    def __init__(
        self,
        x: Value,
        weight: Value,
        bias: Value | None,
        out: Value,
        g: Tiles,
        flipped: bool = False,
        keep: Value | None = None,
        compiled: bool = False,
    ) -> None:
        """With `keep` the data's transform stays there for the weight's gradient."""
        one = g.rows * g.across * g.n
        block = _data_size(g, g.c) + (36 + 24 + 16 + 12) * g.f * one
        room = [Value((block,), x.dtype), Value((36, g.f, g.c), x.dtype), Value((9, g.f, g.c), x.dtype)]
        super().__init__(
            [x, weight] if bias is None else [x, weight, bias], [out] if keep is None else [out, keep], room
        )
        self.g = g
        self.flipped = flipped
        self.compiled = compiled

    def key(self) -> Any:
        return ("winograd", self.g, self.flipped)

    @property
    def title(self) -> str:
        return "convolve (Winograd" + (", flipped)" if self.flipped else ")")

    def flops(self) -> float:
        g = self.g
        return 2.0 * 36 * g.f * g.c * g.down * g.across * g.n

    def steps(self, at: At) -> list[Step]:
        g = self.g
        x, y = (at(v).transpose(v.order) for v in (self.reads[0], self.writes[0]))
        room, turned, nine = map(at, self.scratch)
        kept = at(self.writes[1]) if len(self.writes) > 1 else None
        weight = at(self.reads[1])
        if self.flipped:
            weight = weight.swapaxes(0, 1)[..., ::-1, ::-1]
        steps: list[Step] = [
            (np.copyto, (nine.reshape(3, 3, g.f, g.c), weight.transpose(2, 3, 0, 1))),
            (np.matmul, (_GG, nine.reshape(9, -1), turned.reshape(36, -1))),
        ]
        for first, rows in g.blocks():
            block = _Room(room)
            into = None if kept is None else _rows(kept, g, g.c, first, rows)
            new, data = _transform_data(x, block, g, first, rows, into, self.compiled)
            steps += new
            if kept is None:
                columns = data.reshape(36, g.c, -1)
            else:
                line = g.across * g.n
                columns = kept.reshape(36, g.c, -1)[:, :, first * line : (first + rows) * line]
            product = block.take(36, g.f, rows * g.across * g.n)
            steps.append((np.matmul, (turned, columns, product)))
            steps += self._output(product.reshape(6, 6, g.f, rows, g.across, g.n), block, y, first, rows)
            if len(self.reads) > 2:
                part = y[:, 4 * first : 4 * (first + rows)]
                steps.append((np.add, (part, at(self.reads[2]).reshape(-1, 1, 1, 1), part)))
        return steps

    def _output(self, m: Array, room: _Room, y: Array, first: int, rows: int) -> list[Step]:
        """Aᵀ m A, copied to where the tiles lie in the output."""
        g = self.g
        half, made = room.take(4, *m.shape[1:]), room.take(4, 4, *m.shape[2:])
        helpers = room.take(2, m[0].size)
        steps = _transformed(_down, list(m), list(half), helpers, self.compiled)
        columns = [half[:, k] for k in range(6)]
        steps += _transformed(_down, columns, list(made), helpers, self.compiled)
        if g.out[0] % 4 == 0 and g.out[1] % 4 == 0:
            tiles = y.reshape(g.f, g.down, 4, g.across, 4, g.n)[:, first : first + rows]
            return [*steps, (np.copyto, (tiles.transpose(4, 2, 0, 1, 3, 5), made))]
        for b in range(4):
            for a in range(4):
                into = y[:, 4 * first + a : 4 * (first + rows) : 4, b::4]
                steps.append((np.copyto, (into, made[b, a, :, : into.shape[1], : into.shape[2]])))
        return steps


class WinogradWeight(Instr):
    """The weight's gradient of a 3×3 convolution, by tiles: from the data, or from its transform if that was kept.

    The head is transformed block by block, and the products are made of all tiles at once: long sums are quicker.
    """

    __slots__ = ("compiled", "from_kept", "g")

    def __init__(self, head: Value, x: Value, out: Value, g: Tiles, from_kept: bool, compiled: bool) -> None:
        one = g.rows * g.across * g.n
        block = max(_data_size(g, g.c), (16 + 24 + 2 * 24) * g.f * one)
        whole = [(36 * g.f * g.down * g.across * g.n,)] + ([] if from_kept else [(kept_size(g),)])
        shapes = [(block,), (36, g.f, g.c), (9, g.f, g.c), *whole]
        super().__init__([head, x], [out], [Value(shape, x.dtype) for shape in shapes])
        self.g = g
        self.from_kept = from_kept
        self.compiled = compiled

    def key(self) -> Any:
        return ("winograd weight", self.g, self.from_kept)

    @property
    def title(self) -> str:
        return "convolve's weight gradient (Winograd)"

    def flops(self) -> float:
        g = self.g
        return 2.0 * 36 * g.f * g.c * g.down * g.across * g.n

    def steps(self, at: At) -> list[Step]:
        g = self.g
        head, x = at(self.reads[0]).transpose(self.reads[0].order), at(self.reads[1])
        room, total, nine, heads, *rest = map(at, self.scratch)
        data = x if self.from_kept else rest[0]
        steps: list[Step] = []
        for first, rows in g.blocks():
            if not self.from_kept:
                lies = x.transpose(self.reads[1].order)
                into = _rows(data, g, g.c, first, rows)
                steps += _transform_data(lies, _Room(room), g, first, rows, into, self.compiled)[0]
            steps += self._transform_head(head, _Room(room), _rows(heads, g, g.f, first, rows), first, rows)
        steps.append(
            (np.matmul, (heads.reshape(36, g.f, -1), data.reshape(36, g.c, -1).swapaxes(1, 2), total))
        )
        steps.append((np.matmul, (_GG.T, total.reshape(36, -1), nine.reshape(9, -1))))
        out = at(self.writes[0])
        return [*steps, (np.copyto, (out, nine.reshape(3, 3, g.f, g.c).transpose(2, 3, 0, 1)))]

    def _transform_head(self, head: Array, room: _Room, made: Array, first: int, rows: int) -> list[Step]:
        """A g Aᵀ of a block's tiles."""
        g = self.g
        wide = room.take(g.f, 4 * rows, 4, g.across, g.n)
        steps = _spread(head, wide, 4 * first, 0, 0, g.across)
        half = room.take(6, g.f, rows, 4, g.across, g.n)
        helpers = room.take(2, 6 * g.f * rows * 4 * g.across * g.n)
        lines = [wide[:, k::4] for k in range(4)]
        steps += _transformed(_up, lines, list(half), helpers, self.compiled)
        columns = [half[:, :, :, k] for k in range(4)]
        return steps + _transformed(_up, columns, [made[:, k] for k in range(6)], helpers, self.compiled)

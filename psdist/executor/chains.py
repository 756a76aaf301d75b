"""Chains: runs of elementwise instructions over large arrays, carried out block by block.

Each block goes through the whole chain while it is in the cache, and what only the chain sees takes the room of
one block. That is also how a bias or BatchNorm's affine map merges with the activation after it. Promise: bitwise
(a ufunc treats every element alike, wherever a block ends; the tests compare).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from .ir import Apply, Array, At, Instr, Select, Step, Value, View

__all__ = ["Chain", "chains"]

BLOCK_NBYTES = 1 << 18  # of one operand, at most
CACHE_NBYTES = 1 << 21  # of all operands that a block needs at once: they may spill from the L2 a little
LARGE_NBYTES = 1 << 18  # smaller arrays stay in the cache anyway


class Chain(Instr):
    """Elementwise instructions over arrays of one shape, in blocks.

    The arrays are taken as (outermost axis, the rest); an operand may be a number, or one number for each index of
    the outermost axis.
    """

    __slots__ = ("_block", "_rooms", "members")

    def __init__(self, members: Sequence[Instr], used_later: set[Value]) -> None:
        made = [m.writes[0] for m in members]
        inside = {v for v in made if v.is_temporary and v not in used_later}
        reads = dict.fromkeys(v for m in members for v in m.reads if v not in made)
        self.members = list(members)
        writes = [v for v in made if v not in inside]
        itemsize = max(v.dtype.itemsize for v in made)
        whole = sum(v.size == made[0].size for v in [*reads, *writes]) + len(
            set(_rooms(members, inside, 0).values())
        )
        self._block = min(
            made[0].size, max(CACHE_NBYTES // whole, CACHE_NBYTES // 32) // itemsize, BLOCK_NBYTES // itemsize
        )
        self._rooms = _rooms(members, inside, self._block * itemsize)
        super().__init__(list(reads), writes, list(dict.fromkeys(self._rooms.values())))
        self.node = members[-1].node
        self.back = members[-1].back

    def _sizes(self) -> tuple[int, int]:
        """(outermost axis, the rest), or (1, all) if every operand is whole or a number."""
        out = self.members[0].writes[0]
        if any(_is_column(v, out) for m in self.members for v in m.reads):
            rows = out.shape[out.order[0]]
            return rows, out.size // rows
        return 1, out.size

    def _blocks(self) -> Iterator[tuple[slice, slice]]:
        rows, size = self._sizes()
        block = self._block
        if size <= block:
            for i in range(0, rows, block // size):
                yield slice(i, min(i + block // size, rows)), slice(0, size)
            return
        for i in range(rows):
            for j in range(0, size, block):
                yield slice(i, i + 1), slice(j, min(j + block, size))

    def steps(self, at: At) -> list[Step]:
        out, (rows, size) = self.members[0].writes[0], self._sizes()
        flat: dict[Value, Array] = {}
        for v in [*self.reads, *self.writes]:
            whole = v.shape == out.shape
            flat[v] = at(v).transpose(v.order).reshape(rows, size) if whole else at(v)
            if not whole and _is_column(v, out):
                flat[v] = at(v).reshape(rows, 1)
        rooms = {v: at(room) for v, room in self._rooms.items()}
        steps: list[Step] = []
        for i, j in self._blocks():

            def part(v: Value, i: slice = i, j: slice = j) -> Array:
                if v in rooms:
                    shape = (i.stop - i.start, j.stop - j.start)
                    return rooms[v][: shape[0] * shape[1] * v.dtype.itemsize].view(v.dtype).reshape(shape)
                if v.shape == out.shape:
                    return flat[v][i, j]
                return flat[v][i] if _is_column(v, out) else flat[v].reshape(())

            for m in self.members:
                steps += m.steps(part)
        return steps

    @property
    def title(self) -> str:
        return "chain of " + ", ".join(m.title for m in self.members)

    def flops(self) -> float:
        return sum(m.flops() for m in self.members)

    def in_place(self) -> list[tuple[Value, Value]]:
        """(output, operand) pairs that may share memory: the operand is not read after the output is written."""
        written = {m.writes[0]: k for k, m in enumerate(self.members)}
        read = {v: k for k, m in enumerate(self.members) for v in m.reads}
        return [
            (out, v)
            for out in self.writes
            for v in self.reads
            if v.shape == out.shape and v.dtype == out.dtype and v.order == out.order
            if read[v] <= written[out] and isinstance(self.members[read[v]], Apply)
        ]


def _is_column(v: Value, out: Value) -> bool:
    """Whether `v` holds one number for each index of the outermost axis of `out`."""
    if v.size == 1 or v.size != out.shape[out.order[0]] or v.shape == out.shape:
        return False
    shape = (1,) * (len(out.shape) - len(v.shape)) + v.shape
    return shape[out.order[0]] == v.size


def _rooms(members: Sequence[Instr], inside: set[Value], nbytes: int) -> dict[Value, Value]:
    """Where the chain's own values live, a block at a time: rooms are used again, and written over in place."""
    last = {v: k for k, m in enumerate(members) for v in m.reads if v in inside}
    free: list[Value] = []
    room: dict[Value, Value] = {}
    for k, m in enumerate(members):
        out = m.writes[0]
        dying = [v for v in dict.fromkeys(m.reads) if last.get(v) == k]
        ending = [room[v] for v in dying]
        if out in inside:
            if isinstance(m, Apply) and dying and all(v.dtype == out.dtype for v in dying):
                room[out] = ending.pop()
            else:
                room[out] = free.pop() if free else Value((nbytes,), np.dtype(np.uint8))
        free += ending
    return room


def chains(instrs: Sequence[Instr]) -> list[Instr]:
    """Put runs of elementwise instructions over large arrays of one shape into chains. Promise: bitwise."""
    kept: list[Instr] = []
    run: list[Instr] = []
    last_read: dict[Value, int] = {}
    for k, instr in enumerate(instrs):
        for v in instr.reads:
            last_read[v] = k

    def close(k: int) -> None:
        if len(run) > 1:
            made = {m.writes[0] for m in run}
            kept.append(Chain(run, {v for v in made if last_read.get(v, -1) >= k}))
        else:
            kept.extend(run)
        run.clear()

    for k, instr in enumerate(instrs):
        if isinstance(instr, View) and not any(instr.reads[0] is m.writes[0] for m in run):
            kept.append(instr)
            continue
        fits = _fits(instr)
        if run and not (fits and _joins(instr, run)):
            close(k)
        (run if fits else kept).append(instr)
    close(len(instrs))
    return kept


def _fits(instr: Instr) -> bool:
    """Whether it may be part of a chain: elementwise, on whole arrays in one order of memory, columns and numbers."""
    if not (isinstance(instr, Select) or (isinstance(instr, Apply) and instr.elementwise)):
        return False
    out = instr.writes[0]
    return out.nbytes >= LARGE_NBYTES and all(
        (v.shape == out.shape and v.order == out.order and (v.const is None or v.const.flags.c_contiguous))
        or v.size == 1
        or (_is_column(v, out) and v.const is None)
        for v in instr.reads
    )


def _joins(instr: Instr, run: Sequence[Instr]) -> bool:
    """Whether it goes over arrays as the run does, and does not write what the run reads from outside."""
    out, first = instr.writes[0], run[0].writes[0]
    read = {v.bound for m in run for v in m.reads if v.bound is not None}
    return out.shape == first.shape and out.order == first.order and out.bound not in read

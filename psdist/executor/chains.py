"""Chains: runs of elementwise instructions over large arrays, carried out block by block.

Each block goes through the whole chain while it is in the cache, and what only the chain sees takes the room of
one block. Promise: bitwise (a ufunc treats every element alike, wherever a block ends; the tests compare).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .ir import Apply, At, Instr, Select, Step, Value, View

__all__ = ["Chain", "chains"]

BLOCK_NBYTES = 1 << 18  # of one operand: a few of them fit a core's L2
LARGE_NBYTES = 1 << 20  # smaller arrays stay in the cache anyway


class Chain(Instr):
    """Elementwise instructions over the elements of `size` each, in blocks."""

    __slots__ = ("_rooms", "members", "size")

    def __init__(self, members: Sequence[Instr], used_later: set[Value]) -> None:
        made = [m.writes[0] for m in members]
        inside = {v for v in made if v.is_temporary and v not in used_later}
        reads = dict.fromkeys(v for m in members for v in m.reads if v not in made)
        self.size = made[0].size
        rooms = _rooms(members, inside, min(self.size, _block(members)))
        super().__init__(
            list(reads), [v for v in made if v not in inside], list(dict.fromkeys(rooms.values()))
        )
        self.members = list(members)
        self._rooms = rooms
        self.node = members[-1].node
        self.back = members[-1].back

    def steps(self, at: At) -> list[Step]:
        block = _block(self.members)
        flat = {v: _flat(at(v), v) for v in [*self.reads, *self.writes]}
        rooms = {v: at(room) for v, room in self._rooms.items()}
        steps: list[Step] = []
        for start in range(0, self.size, block):
            stop = min(start + block, self.size)

            def part(v: Value, start: int = start, stop: int = stop) -> np.ndarray:
                if v in rooms:
                    return rooms[v][: (stop - start) * v.dtype.itemsize].view(v.dtype)
                a = flat[v]
                return a[start:stop] if a.size == self.size else a

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
            if v.size == self.size
            and v.dtype == out.dtype
            and v.order == out.order
            and v.shape == out.shape
            and read[v] <= written[out]
            and isinstance(self.members[read[v]], Apply)
        ]


def _block(members: Sequence[Instr]) -> int:
    """Elements in a block."""
    return BLOCK_NBYTES // max(m.writes[0].dtype.itemsize for m in members)


def _flat(a: np.ndarray, v: Value) -> np.ndarray:
    """All elements in memory's order, without a copy."""
    return a.transpose(v.order).reshape(-1)


def _rooms(members: Sequence[Instr], inside: set[Value], block: int) -> dict[Value, Value]:
    """Where the chain's own values live, a block at a time: rooms are used again, and written over in place."""
    last = {v: k for k, m in enumerate(members) for v in m.reads if v in inside}
    free: list[Value] = []
    room: dict[Value, Value] = {}
    for k, m in enumerate(members):
        out = m.writes[0]
        ending = [room[v] for v in dict.fromkeys(m.reads) if last.get(v) == k]
        if out in inside:
            if (
                isinstance(m, Apply)
                and ending
                and all(v.dtype.itemsize == out.dtype.itemsize for v in m.reads if last.get(v) == k)
            ):
                room[out] = ending.pop()
            else:
                room[out] = free.pop() if free else Value((block * 8,), np.dtype(np.uint8))
        free += ending
    return room


def chains(instrs: Sequence[Instr]) -> list[Instr]:
    """Put runs of elementwise instructions over large arrays of one size into chains. Promise: bitwise."""
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
        if not (_fits(instr) and (not run or _joins(instr, run))):
            close(k)
        if _fits(instr):
            run.append(instr)
        else:
            kept.append(instr)
    close(len(instrs))
    return kept


def _fits(instr: Instr) -> bool:
    """Whether it may be part of a chain: elementwise, on whole arrays in one order of memory, and numbers."""
    if not (isinstance(instr, Select) or (isinstance(instr, Apply) and instr.elementwise)):
        return False
    out = instr.writes[0]
    return out.nbytes >= LARGE_NBYTES // 4 and all(
        (v.shape == out.shape and v.order == out.order and (v.const is None or v.const.flags.c_contiguous))
        or v.size == 1
        for v in instr.reads
    )


def _joins(instr: Instr, run: Sequence[Instr]) -> bool:
    out, first = instr.writes[0], run[0].writes[0]
    return (
        out.shape == first.shape
        and out.order == first.order
        and out.bound not in {v.bound for m in run for v in m.reads if v.bound is not None}
    )

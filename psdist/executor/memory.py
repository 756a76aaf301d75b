"""Where a plan's values live: one arena for all intermediates, in which memory is used again once it is free.

Every root (a value with memory of its own; views share their base's) lives from the instruction that writes it
to the last that reads it. An elementwise instruction may write over an operand that dies there. The largest are
placed first, each at the lowest offset where nothing that lives at the same time lies (best-fit decreasing, as in
Pisarchyk and Lee, arXiv:2001.03288). Promise: bitwise.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .ir import Array, Instr, Value, View

__all__ = ["Memory", "Workspace", "intermediates", "plan_memory"]

_ALIGN = 64  # a cache line
_IN_PLACE = 1 << 15  # bytes from which writing over an operand pays: NumPy's check of overlaps takes 0.5 µs


@dataclass
class Memory:
    """The arena's plan."""

    size: int  # bytes of the arena
    unshared: int  # bytes that all intermediates would take in memory of their own, before they were chained
    offsets: dict[Value, int]  # of the roots
    roots: dict[Value, Value]  # what is not a root itself -> the root whose memory it uses
    views: dict[Value, View]

    def array(self, v: Value, arena: Array, bound: dict[tuple[str, int], Array]) -> Array:
        """The array of a value, in `arena` or among the arrays from outside."""
        if v.const is not None:
            return v.const
        if v.bound is not None:
            return bound[v.bound]
        view = self.views.get(v)
        if view is not None:
            return view.see(self.array(view.reads[0], arena, bound))
        at = self.offsets[self.roots.get(v, v)]
        return v.lay(arena[at : at + v.nbytes].view(v.dtype))

    def make_arena(self) -> Array:
        """The memory, on a cache line's start."""
        raw = np.empty(self.size + _ALIGN, np.uint8)
        skip = -raw.ctypes.data % _ALIGN
        return raw[skip : skip + self.size]


class Workspace:
    """The memory in which plans run that do not run at the same time: those of one executor, and of executors that
    were bound to share. The largest plan settles its size.
    """

    def __init__(self) -> None:
        self._buffer: Array | None = None
        self.last: object = None  # the plan that ran last, whose intermediates are there

    def take(self, memory: Memory) -> Array:
        """An arena for a plan."""
        if self._buffer is None or self._buffer.size < memory.size:
            self._buffer = memory.make_arena()
        return self._buffer[: memory.size]


class _Lives:
    """When each value with memory of its own is first written and last read, by positions of instructions."""

    def __init__(self, instrs: Sequence[Instr]) -> None:
        self.views = {v: i for i in instrs if isinstance(i, View) for v in i.writes}
        self.first: dict[Value, int] = {}
        self.last: dict[Value, int] = {}
        for k, instr in enumerate(instrs):
            if isinstance(instr, View):
                continue
            for v in [
                *instr.writes,
                *instr.scratch,
                *instr.reads,
            ]:  # read only: np.empty_like, whatever it holds
                root = self.base(v)
                if root.is_temporary:
                    self.first.setdefault(root, k)
                    self.last[root] = k

    def base(self, v: Value) -> Value:
        """The value whose memory a view shows."""
        while v in self.views:
            v = self.views[v].reads[0]
        return v


def intermediates(instrs: Sequence[Instr]) -> int:
    """Bytes that all intermediates would take in memory of their own."""
    return sum(v.nbytes for v in _Lives(instrs).first)


def plan_memory(instrs: Sequence[Instr], share: bool = True) -> Memory:
    """Lay out the arena. Without `share` every value gets memory of its own."""
    lives = _Lives(instrs)
    views, first, last, base = lives.views, lives.first, lives.last, lives.base
    unshared = sum(v.nbytes for v in first)
    roots: dict[Value, Value] = {}

    def home(v: Value) -> Value:
        v = base(v)
        while v in roots:
            v = roots[v]
        return v

    if share:
        for k, instr in enumerate(instrs):
            for out, operand in instr.in_place():
                old = home(operand)
                if (
                    out.is_temporary
                    and out.nbytes >= _IN_PLACE
                    and out not in views
                    and out not in roots
                    and first.get(out) == k
                    and old.is_temporary
                    and old.nbytes == out.nbytes
                    and last[old] == k
                    and sum(home(r) is old for r in instr.reads) == instr.reads.count(operand)
                ):
                    roots[out] = old
                    last[old] = last[out]
    spans = [(v.nbytes, first[v], last[v], v) for v in first if v not in roots]
    return _packed(spans, unshared, roots, views, share)


def _packed(
    lives: list[tuple[int, int, int, Value]],
    unshared: int,
    roots: dict[Value, Value],
    views: dict[Value, View],
    share: bool,
) -> Memory:
    offsets: dict[Value, int] = {}
    begins: list[int] = []  # of what is placed, in order, and
    placed = np.empty((len(lives), 4), np.int64)  # its (offset, end, first, last)
    size = 0
    for count, (nbytes, first, last, v) in enumerate(sorted(lives, key=lambda item: (-item[0], item[1]))):
        need = -(-max(nbytes, 1) // _ALIGN) * _ALIGN
        at = size
        if share:  # the smallest gap between what lives at the same time, else behind all of that
            offset, end, begun, done = placed[:count].T
            live = (done >= first) & (begun <= last)
            reach = np.maximum.accumulate(np.concatenate(([0], end[live])))
            gaps = offset[live] - reach[:-1]
            fits = np.flatnonzero(gaps >= need)
            at = int(reach[fits[np.argmin(gaps[fits])]] if fits.size else reach[-1])
        offsets[v] = at
        size = max(size, at + need)
        k = bisect_right(begins, at)
        begins.insert(k, at)
        placed[k + 1 : count + 1] = placed[k:count]
        placed[k] = at, at + need, first, last
    return Memory(size, unshared, offsets, roots, views)

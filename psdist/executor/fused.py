"""Compiled groups: runs of elementwise instructions, and reductions of rows among them, as one loop of machine code.

Where llvmlite is installed this goes before `chains`: one trip over memory instead of one for each instruction, and
softmax or LayerNorm while a row lies in the first-level cache. Promise: tolerance: exp, log and tanh are polynomials within
a few units of the last place, and sums of rows are added in another order. Two runs give the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..jit import Engine, engine
from ..jit.engine import Table
from ..jit.loops import KINDS, Body, Input, is_known, last_pass, scratch, source
from ..jit.loops import Step as BodyStep
from .ir import Apply, Array, At, Copy, Instr, Reduce, Select, Step, Value, View, full_order, seen

__all__ = ["Fused", "fuse"]

LEAST = 2048  # elements · instructions: below, a kernel saves less than is worth compiling it
MOST_MEMBERS = 48  # of a group, and
MOST_KERNELS = 32  # of a plan: compiling takes some 10 ms each
_COMMON = {0.0, 1.0, -1.0, math.inf, -math.inf}  # numbers that are part of a kernel's text
_DTYPES = {kind: dtype for dtype, kind in KINDS.items()}


def _along(v: Value, whole: Value) -> tuple[int, ...] | None:
    """The sizes of `v`'s axes in the order in which those of `whole` lie in memory; None if it has more axes."""
    if len(v.shape) > len(whole.shape):
        return None
    shape = (1,) * (len(whole.shape) - len(v.shape)) + v.shape
    return tuple(shape[i] for i in whole.order)


def _splits(v: Value, whole: Value, how: str) -> set[int]:
    """After how many axes, in memory's order, rows may begin so that `v` is a column, or a row, of `whole`."""
    mine, all_ = _along(v, whole), tuple(whole.shape[i] for i in whole.order)
    if mine is None or (sum(n > 1 for n in mine) > 1 and whole.order != full_order(len(whole.shape))):
        return set()
    found = set()
    for p in range(len(all_) + 1):
        fixed, free = (mine[:p], mine[p:]) if how == "column" else (mine[p:], mine[:p])
        if fixed == (all_[:p] if how == "column" else all_[p:]) and all(n == 1 for n in free):
            found.add(p)
    return found


class _Layouts:
    """The strides of a plan's values, in bytes, known before there are arrays."""

    def __init__(self) -> None:
        self._known: dict[Value, tuple[int, ...] | None] = {}
        self._bases: dict[Value, Value] = {}

    def bound(self, v: Value) -> tuple[str, int] | None:
        """Which array from outside it is, or shows."""
        while v in self._bases:
            v = self._bases[v]
        return v.bound

    def note(self, view: View) -> None:
        """A view's strides, from its base's."""
        base, out = view.reads[0], view.writes[0]
        self._bases[out] = base
        steps = self.strides(base)
        moves = view.how == "reshape" and not (
            self.is_plain(base) and base.order == full_order(len(base.shape))
        )
        if steps is None or moves:
            self._known[out] = None
            return
        ghost = np.lib.stride_tricks.as_strided(np.empty(1, base.dtype), base.shape, steps, writeable=False)
        self._known[out] = seen(view.how, view.arg, ghost).strides  # nothing is read: only reshape could copy

    def strides(self, v: Value) -> tuple[int, ...] | None:
        if v.const is not None:
            return v.const.strides
        if v in self._known:
            return self._known[v]
        steps, step = [0] * len(v.shape), v.dtype.itemsize
        for i in reversed(v.order):
            steps[i] = step
            step *= v.shape[i]
        self._known[v] = tuple(steps)
        return self._known[v]

    def is_plain(self, v: Value) -> bool:
        """Whether it lies in memory as an ordinary array in its own order."""
        return self.step(v, v, 0) is not None

    def step(self, v: Value, whole: Value, split: int) -> int | None:
        """Elements between the rows of `v`, laid as `whole` and split after so many axes; None if there is no such
        number."""
        strides = self.strides(v)
        if strides is None:
            return None
        lies = [(v.shape[i], strides[i]) for i in whole.order]
        rows, places = lies[:split], lies[split:]
        step = v.dtype.itemsize
        for n, s in reversed(places):
            if n > 1 and s != step:
                return None
            step *= n
        size = math.prod(n for n, _ in places)
        rows = [(n, s) for n, s in rows if n > 1]
        if not rows:
            return size
        step = first = rows[-1][1]
        for n, s in reversed(rows):
            if s != step:
                return None
            step *= n
        return first // v.dtype.itemsize if first % v.dtype.itemsize == 0 else None


class Group:
    """Instructions that may run as one loop, while they are being collected."""

    def __init__(self, layouts: _Layouts) -> None:
        self.layouts = layouts
        self.members: list[Instr] = []
        self.whole: Value | None = None  # a value whose shape and order all whole ones have
        self.made: dict[Value, str] = {}  # what it makes: whole or column
        self.splits: set[int] = set()
        self.outside: set[Value] = set()

    def takes(self, instr: Instr) -> bool:
        """Add an instruction, if it fits."""
        if len(self.members) >= MOST_MEMBERS or len(instr.writes) != 1:
            return False
        out = instr.writes[0]
        if out in instr.reads or out in self.made or out in self.outside:
            return False  # a sum that grows, as of grad_req="add": in a loop a value has one meaning
        whole = self.whole
        if whole is None:
            whole = instr.reads[0] if isinstance(instr, Reduce) else out
        if any(v.dtype not in KINDS for v in [*instr.writes, *(v for v in instr.reads if v.const is None)]):
            return False
        if not _can(instr):
            return False
        splits = self.splits or set(range(len(whole.shape) + 1))
        hows: list[str] = []
        for v in instr.reads:
            how, allowed = self._how(v, whole, splits)
            splits = splits & allowed
            hows.append(how)
            if not how or not splits or (v not in self.made and self._bounds([v]) & self._bounds(self.made)):
                return False
        made, allowed = self._result(instr, whole, hows)
        splits = splits & allowed
        if not made or not splits or self._bounds([out]) & self._bounds(self.outside):
            return False
        if made == "whole":
            splits = {p for p in splits if self.layouts.step(out, whole, p) is not None}
        elif not self.layouts.is_plain(out):
            return False
        if not splits:
            return False
        self.whole, self.splits = whole, splits
        self.members.append(instr)
        self.made[out] = made
        self.outside |= {v for v in instr.reads if v not in self.made}
        return True

    def _bounds(self, values: Iterable[Value]) -> set[Any]:
        """The arrays from outside that these values are, or show."""
        return {self.layouts.bound(v) for v in values} - {None}

    def _how(self, v: Value, whole: Value, splits: set[int]) -> tuple[str, set[int]]:
        """How an operand is read, and which of `splits`, or of all, allow it."""
        every = set(range(len(whole.shape) + 1))
        if v in self.made:
            return self.made[v], every if self.made[v] == "whole" else _splits(v, whole, "column")
        if v.size == 1:
            return "number", every
        if v.const is not None:
            first = v.const[(0,) * v.const.ndim]
            return ("number", every) if not any(v.const.strides) or (v.const == first).all() else ("", set())
        if v.shape == whole.shape:
            allowed = {p for p in splits if self.layouts.step(v, whole, p) is not None}
            return ("whole", allowed) if v.order == whole.order else ("", set())
        if v.order != full_order(len(v.shape)) or not self.layouts.is_plain(v):
            return "", set()
        for how in ("column", "row"):
            allowed = _splits(v, whole, how)
            if allowed:
                return how, allowed
        return "", set()

    def _result(self, instr: Instr, whole: Value, hows: Sequence[str]) -> tuple[str, set[int]]:
        """Whether the result is whole or a column, and the splits that allow it."""
        out, every = instr.writes[0], set(range(len(whole.shape) + 1))
        if isinstance(instr, Reduce):
            ndim = len(whole.shape)
            axes = instr.axis if isinstance(instr.axis, tuple) else (instr.axis,)
            axes = tuple(range(ndim)) if instr.axis is None else tuple(int(a) % ndim for a in axes)  # type: ignore[arg-type]
            split = ndim - len(axes)
            ends = set(whole.order[split:]) == set(axes)
            kept = whole.order[:split] == tuple(sorted(whole.order[:split]))
            if hows != ["whole"] or not ends or not kept or split == 0:
                return "", set()
            return "column", {split}
        if out.shape == whole.shape and out.order == whole.order and {"whole", "row"} & set(hows):
            return "whole", every
        made = [v for v in instr.reads if self.made.get(v) == "column"]
        if made and set(hows) <= {"column", "number"} and all(v.shape == out.shape for v in made):
            return "column", _splits(out, whole, "column") if len(out.shape) == len(whole.shape) else every
        return "", set()

    @property
    def pays(self) -> bool:
        """Whether one loop is better than the instructions alone."""
        return (
            len(self.members) > 1 and self.whole is not None and self.whole.size * len(self.members) >= LEAST
        )


def _can(instr: Instr) -> bool:
    """Whether the compiler knows the instruction's arithmetic."""
    if isinstance(instr, Reduce):
        return is_known(instr.ufunc.__name__, KINDS.get(instr.reads[0].dtype, "i1"), True)
    if isinstance(instr, Copy | Select):
        return instr.reads[0].const is None
    if not isinstance(instr, Apply) or not instr.elementwise:
        return False
    loop = _loop(instr)
    return loop is not None and is_known(instr.ufunc.__name__, loop)


def _loop(instr: Apply) -> str | None:
    """The kind of the loop that NumPy takes, if it is one for all operands."""
    try:
        found = instr.ufunc.resolve_dtypes((*(v.dtype for v in instr.reads), None))
    except TypeError:
        return None
    kinds = {KINDS.get(d) for d in found[:-1]}
    return kinds.pop() if len(kinds) == 1 else None


class Fused(Instr):
    """A group as one call of a kernel."""

    __slots__ = ("_engine", "body", "layouts", "members", "numbers", "order", "shape", "split", "steps_of")

    def __init__(self, group: Group, used_later: set[Value], compiler: Engine) -> None:
        assert group.whole is not None
        self.members = list(group.members)
        self.shape, self.order = group.whole.shape, group.whole.order
        self.split = max(group.splits) if _has_columns(group) else min(group.splits)
        self._engine = compiler
        made = [m.writes[0] for m in self.members]
        inputs: list[Input] = []
        numbers: list[float] = []
        known: dict[Value, int] = {}
        reads: list[Value] = []
        outside = list(dict.fromkeys(v for m in self.members for v in m.reads if v not in group.made))
        for v in outside:
            how = self._how(group, v)
            known[v] = len(inputs)
            if v.const is not None:
                kind, number = KINDS.get(v.dtype, "double"), float(v.const[(0,) * v.const.ndim])
                if kind == "i1" or number in _COMMON:
                    inputs.append(Input(kind, "const", number))
                else:  # such as 1 / size: what differs from layer to layer is given, so that layers share a kernel
                    inputs.append(Input(kind, "given"))
                    numbers.append(number)
            else:
                inputs.append(Input(KINDS[v.dtype], how))  # type: ignore[arg-type]
                reads.append(v)
        steps: list[BodyStep] = []
        for m in self.members:
            steps.append(_body_step(m, tuple(known[v] for v in m.reads)))
            known[m.writes[0]] = len(inputs) + len(steps) - 1
        writes = [v for v in made if v in used_later or not v.is_temporary]
        self.body = Body(tuple(inputs), tuple(steps), tuple(known[v] for v in writes))
        self.steps_of = {v: group.layouts.step(v, group.whole, self.split) for v in [*reads, *writes]
                         if v.shape == self.shape}  # fmt: skip
        self.numbers = np.array(numbers)
        size = math.prod(self.shape[i] for i in self.order[self.split :])
        rooms = [Value((size,), _DTYPES[kind]) for kind in scratch(self.body)]
        super().__init__(reads, writes, rooms)
        self.node, self.back = self.members[-1].node, self.members[-1].back

    @staticmethod
    def _how(group: Group, v: Value) -> str:
        assert group.whole is not None
        return group._how(v, group.whole, group.splits)[0]

    @property
    def title(self) -> str:
        return "compiled " + ", ".join(m.title for m in self.members)

    def flops(self) -> float:
        return sum(m.flops() for m in self.members)

    def in_place(self) -> list[tuple[Value, Value]]:
        """Pairs that may share memory: every place is read before it is written, and no pass reads it again."""
        passes, written = last_pass(self.body)
        return [
            (out, v)
            for out, at in zip(self.writes, written, strict=True)
            for v in self.reads
            if (at == passes - 1 and v.shape == out.shape == self.shape)
            if v.dtype == out.dtype and v.order == out.order and self.steps_of[v] == self.steps_of[out]
        ]

    def steps(self, at: At) -> list[Step]:
        arrays = [at(v) for v in [*self.reads, *self.writes, *self.scratch]]
        if not all(self._lies(v, a) for v, a in zip([*self.reads, *self.writes], arrays, strict=False)):
            return self._plainly(at)
        rows = math.prod(self.shape[i] for i in self.order[: self.split])
        size = math.prod(self.shape[i] for i in self.order[self.split :])
        table = Table.of(arrays, [self.steps_of.get(v) or 0 for v in [*self.reads, *self.writes]])
        kernel = self._engine.kernel(source(self.body)).for_size(rows * size)
        return [(kernel, (table, self.numbers.ctypes.data, rows, size))]

    def _lies(self, v: Value, a: Array) -> bool:
        """Whether an array lies as the plan expects; one from outside may not."""
        if v.shape != self.shape:
            return a.flags.c_contiguous
        lies = a.transpose(self.order)
        wanted, step = [], a.itemsize
        for k in reversed(range(lies.ndim)):
            if k == self.split - 1:
                step = (self.steps_of[v] or 0) * a.itemsize
            wanted.append(step)
            step *= lies.shape[k]
        sizes = zip(lies.shape, lies.strides, reversed(wanted), strict=True)
        return all(n == 1 or s == w for n, s, w in sizes)

    def _plainly(self, at: At) -> list[Step]:
        """The instructions one by one, with memory of their own: for arrays that lie otherwise than expected."""
        own: dict[Value, Array] = {}
        outer = {*self.reads, *self.writes}

        def find(v: Value) -> Array:
            if v in outer or v.const is not None:
                return at(v)
            if v not in own:
                own[v] = v.lay(np.empty(v.size, v.dtype))
            return own[v]

        return [step for m in self.members for step in m.steps(find)]


def _has_columns(group: Group) -> bool:
    return len(group.splits) == 1


def _body_step(m: Instr, args: tuple[int, ...]) -> BodyStep:
    result = KINDS[m.writes[0].dtype]
    if isinstance(m, Reduce):
        return BodyStep(m.ufunc.__name__, KINDS[m.reads[0].dtype], args, result, True)
    if isinstance(m, Select):
        return BodyStep("where", result, args, result)
    if isinstance(m, Copy):
        return BodyStep("copy", KINDS[m.reads[0].dtype], args, result)
    assert isinstance(m, Apply)
    return BodyStep(m.ufunc.__name__, _loop(m) or result, args, result)


def fuse(instrs: Sequence[Instr]) -> list[Instr]:
    """Compile runs of elementwise instructions, and the reductions of rows among them, to one loop each, where
    llvmlite is installed. Promise: tolerance (polynomials for exp, log and tanh; sums of rows in lanes)."""
    compiler = engine()
    if compiler is None:
        return list(instrs)
    last_read: dict[Value, int] = {}
    for k, instr in enumerate(instrs):
        for v in instr.reads:
            last_read[v] = k
    kept: list[Instr] = []
    layouts = _Layouts()
    group = Group(layouts)
    texts: set[Body] = set()

    def close(k: int) -> None:
        nonlocal group
        if group.pays:
            made = Fused(group, {v for v in group.made if last_read.get(v, -1) >= k}, compiler)
            texts.add(made.body)
            kept.extend([made] if len(texts) <= MOST_KERNELS else group.members)
        else:
            kept.extend(group.members)
        group = Group(layouts)

    for k, instr in enumerate(instrs):
        if isinstance(instr, View):
            layouts.note(instr)
            if instr.reads[0] not in group.made:
                kept.append(instr)
                continue
        if group.takes(instr):
            continue
        close(k)
        if not group.takes(instr):
            kept.append(instr)
    close(len(instrs))
    return kept

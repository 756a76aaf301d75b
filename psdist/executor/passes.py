"""The passes over a plan's instructions. Each says what it promises about the results' bits.

A pass takes the instructions and gives new ones; `Mark`s stay where they are between their neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .ir import Apply, Call, Copy, Instr, Mark, Random, Value, View, full_order

__all__ = ["PASSES", "common", "dead", "recompute", "simplify", "store"]


def simplify(instrs: Sequence[Instr]) -> list[Instr]:
    """Leave out what does nothing: x · 1, x / 1, x - 0, +x, -(-x), copies of what nobody changes, views of views.

    Promise: bitwise (x - 0 keeps -0; x + 0 would not, and stays).
    """
    same: dict[Value, Value] = {}  # a value that is another
    made_by: dict[Value, Instr] = {}
    altered = {v.bound for i in instrs for v in i.alters()}
    kept: list[Instr] = []
    for instr in instrs:
        instr.reads = [same.get(v, v) for v in instr.reads]
        if isinstance(instr, Apply) and instr.elementwise:
            instr.reads = [_number(v, instr) for v in instr.reads]
        found = _nothing(instr, made_by, altered)
        if found is not None:
            same[instr.writes[0]] = found
            continue
        for v in instr.writes:
            made_by[v] = instr
        kept.append(instr)
    return kept


def _number(v: Value, instr: Apply) -> Value:
    """A constant array of one number as that number, where another operand settles the shape."""
    if v.const is None or v.const.ndim == 0 or any(v.const.strides) or v.size == 0:
        return v
    if not any(other is not v and other.shape == instr.writes[0].shape for other in instr.reads):
        return v
    return Value((), v.dtype, const=v.const[(0,) * v.const.ndim].reshape(()))


def _nothing(instr: Instr, made_by: dict[Value, Instr], altered: set[Any]) -> Value | None:
    """The value that the instruction's result is anyway, or None."""
    if not instr.writes or not instr.writes[0].is_temporary:
        return None
    out = instr.writes[0]

    def equals(v: Value) -> bool:
        return (
            v.shape == out.shape
            and v.dtype == out.dtype
            and v.order == out.order
            and v.bound not in altered - {None}
        )

    if isinstance(instr, Copy):
        return instr.reads[0] if equals(instr.reads[0]) else None
    if isinstance(instr, View):
        return _same_view(instr, made_by, out)
    if not isinstance(instr, Apply) or not equals(instr.reads[0]):
        if (
            isinstance(instr, Apply)
            and instr.ufunc is np.multiply
            and _is(instr.reads[0], 1)
            and equals(instr.reads[1])
        ):
            return instr.reads[1]
        return None
    x = instr.reads[0]
    if instr.ufunc is np.positive:
        return x
    if instr.ufunc is np.negative:
        before = made_by.get(x)
        if isinstance(before, Apply) and before.ufunc is np.negative and equals(before.reads[0]):
            return before.reads[0]
        return None
    if len(instr.reads) == 2:
        y = instr.reads[1]
        if instr.ufunc in (np.multiply, np.true_divide) and _is(y, 1):
            return x
        if instr.ufunc is np.subtract and _is(y, 0) and not np.signbit(y.const):  # type: ignore[arg-type]
            return x
    return None


def _same_view(instr: View, made_by: dict[Value, Instr], out: Value) -> Value | None:
    """A reshape of a reshape, or a transpose of a transpose, in one; the array itself if that is what comes out."""
    before = made_by.get(instr.reads[0])
    if not isinstance(before, View) or before.how != instr.how:
        if instr.how == "transpose" and instr.arg == full_order(len(out.shape)):
            return instr.reads[0]
        return None
    base = before.reads[0]
    if instr.how == "reshape":
        if base.shape == out.shape:
            return base
        instr.reads = [base]
    elif instr.how == "transpose":
        axes = tuple(before.arg[a] for a in instr.arg)
        if axes == full_order(len(axes)):
            return base
        instr.reads, instr.arg = [base], axes
    return None


def _is(v: Value, number: float) -> bool:
    return v.const is not None and v.const.ndim == 0 and bool(v.const == number)


def common(instrs: Sequence[Instr]) -> list[Instr]:
    """Compute equal things once: the same instruction on the same values, within one pass (forward or back).

    Promise: bitwise.
    """
    same: dict[Value, Value] = {}
    seen: dict[Any, list[Value]] = {}
    version: dict[Any, int] = {}  # of arrays from outside, which some instructions write
    kept: list[Instr] = []
    for instr in instrs:
        if isinstance(instr, Mark) and instr.argument is None:
            seen.clear()
        instr.reads = [same.get(v, v) for v in instr.reads]
        for v in instr.alters():
            version[v.bound] = version.get(v.bound, 0) + 1
        key = instr.key()
        if instr.pure and key is not None and all(v.is_temporary for v in instr.writes):
            key = (key, *(_identity(v, version) for v in instr.reads))
            found = seen.get(key)
            if found is not None:
                same.update(zip(instr.writes, found, strict=True))
                continue
            seen[key] = instr.writes
        kept.append(instr)
    return kept


def _identity(v: Value, version: dict[Any, int]) -> Any:
    if v.const is not None and v.const.ndim == 0:
        return (v.dtype, v.const.tobytes())
    if v.bound is not None:
        return (v.bound, version.get(v.bound, 0))
    return id(v)


def dead(instrs: Sequence[Instr]) -> list[Instr]:
    """Drop what nobody reads. Random draws stay, so that later draws are the same. Promise: bitwise."""
    wanted: set[Value] = set()
    kept: list[Instr] = []
    for instr in reversed(instrs):
        acts = isinstance(instr, Mark | Random) or (isinstance(instr, Call) and instr.acts)
        if acts or instr.alters() or any(v in wanted for v in instr.writes):
            wanted.update(instr.reads)
            kept.append(instr)
    return kept[::-1]


def store(instrs: Sequence[Instr]) -> list[Instr]:
    """Compute outputs and gradients where they are wanted, instead of copying them there. Promise: bitwise.

    Not where the value is read after its gradient was handed out: by then it may have been overwritten.
    """
    made_by = {v: i for i in instrs for v in i.writes}
    last = _last_reads(instrs)
    handed = {i.argument: k for k, i in enumerate(instrs) if isinstance(i, Mark)}
    home: dict[Value, Value] = {}  # a value -> the array from outside that it is computed in
    seen_as: dict[Value, Instr] = {}  # a home that is the array in another shape -> how it is seen
    done: set[int] = set()  # copies that need not be made any more
    for instr in instrs:
        bound = instr.writes[0].bound if isinstance(instr, Copy) else None
        if bound is None or bound[0] not in ("out", "grad"):
            continue  # what an operator changes may be read until the change
        v, target = instr.reads[0], instr.writes[0]
        place = target
        maker = made_by.get(v)
        if isinstance(maker, View) and maker.how == "reshape" and v.is_temporary:
            v = maker.reads[0]
            place = Value(v.shape, v.dtype)
            view = View("reshape", v.shape, target, place)
            maker = made_by.get(v)
        if (
            v.is_temporary
            and v not in home
            and maker is not None
            and not isinstance(maker, View)
            and v.dtype == target.dtype
            and v.order == full_order(len(v.shape))
            and (bound[0] == "out" or last[v] <= handed.get(bound[1], -1))
        ):
            home[v] = place
            done.add(id(instr))
            if place is not target:
                view.node, view.back = maker.node, maker.back
                seen_as[place] = view
    kept: list[Instr] = []
    for instr in instrs:
        if id(instr) in done:
            continue
        for v in instr.writes:
            if v in home and home[v] in seen_as:
                kept.append(seen_as[home[v]])
        instr.reads = [home.get(v, v) for v in instr.reads]
        instr.writes = [home.get(v, v) for v in instr.writes]
        kept.append(instr)
    return kept


def _last_reads(instrs: Sequence[Instr]) -> dict[Value, int]:
    """Where each value is read last, by itself or through a view."""
    last: dict[Value, int] = {}
    for k, instr in reversed(list(enumerate(instrs))):
        at = max((last.get(v, -1) for v in instr.writes), default=-1) if isinstance(instr, View) else k
        for v in instr.reads:
            last[v] = max(at, last.get(v, -1))
    return last


def recompute(instrs: Sequence[Instr]) -> list[Instr]:
    """Compute cheap elementwise results again on the way back, instead of keeping them: memory for time, as
    MXNET_BACKWARD_DO_MIRROR does. Promise: bitwise.
    """
    end = next(k for k, i in enumerate(instrs) if isinstance(i, Mark) and i.argument is None)
    made_by = {v: i for i in instrs[:end] for v in i.writes}
    altered = {v.bound for i in instrs for v in i.alters()} - {None}
    again: dict[Value, Value] = {}
    kept = list(instrs[: end + 1])

    def cheap(i: Instr | None) -> bool:
        return isinstance(i, View | Copy) or (
            isinstance(i, Apply) and i.elementwise and i.ufunc is not np.matmul
        )

    def value(v: Value) -> Value:
        maker = made_by.get(v)
        if (
            not v.is_temporary
            or maker is None
            or not cheap(maker)
            or any(r.bound in altered for r in maker.reads)
        ):
            return v
        if v not in again:
            reads = [value(r) for r in maker.reads]
            out = Value(v.shape, v.dtype, order=v.order)
            again[v] = out
            new: Instr
            if isinstance(maker, Apply):
                new = Apply(maker.ufunc, reads, out, maker.casting)
            elif isinstance(maker, View):
                new = View(maker.how, maker.arg, reads[0], out)
            else:
                new = Copy(reads[0], out)
            new.node, new.back = maker.node, True
            kept.append(new)
        return again[v]

    for instr in instrs[end + 1 :]:
        instr.reads = [value(v) for v in instr.reads]
        kept.append(instr)
    return kept


Pass = Callable[[Sequence[Instr]], list[Instr]]
PASSES: list[Pass] = [simplify, common, dead, store]

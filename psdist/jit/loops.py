"""Loops over arrays of (rows, size) whose body is any sequence of elementwise operations and reductions of rows.

What is computed is a `Body`: inputs, steps, outputs. An input is a whole array, a column (one number for each row), a
row (one number for each place in it), a single number, or a constant. A step applies a ufunc to earlier values, or
reduces a whole value over its row, which gives a column.

A row is gone over once for every reduction that something later depends on: softmax takes three, the maximum, the
sum of the exponentials, the quotient. What one of these passes leaves to a later one lies in a scratch row, in the
first-level cache. Without reductions there is one pass, and the row may be the whole array.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .lanes import COMPARISONS, FUNCTIONS, LOGIC, Writer

__all__ = ["FLOATS", "IDENTITY", "KINDS", "Body", "Input", "Step", "is_known", "source"]

How = Literal["whole", "column", "row", "number", "given", "const"]
FLOATS: dict[np.dtype[Any], str] = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
KINDS = FLOATS | {np.dtype(bool): "i1"}  # LLVM's names of the dtypes that are compiled
_NBYTES = {"float": 4, "double": 8, "i1": 1}
IDENTITY = {
    "add": 0.0,
    "multiply": 1.0,
    "maximum": -math.inf,
    "minimum": math.inf,
}  # what a reduction begins with


@dataclass(frozen=True)
class Input:
    """An operand from outside. "number" is an array of one element, "given" an entry of the table of numbers."""

    kind: str  # float, double or i1
    how: How
    value: float = 0.0  # of a constant


@dataclass(frozen=True)
class Step:
    """`kind` is that of the operation; operands are cast to it, and the result to `result`."""

    ufunc: str  # or "where", or "copy"
    kind: str
    args: tuple[int, ...]  # inputs come first, then steps
    result: str
    reduces: bool = False


@dataclass(frozen=True)
class Body:
    inputs: tuple[Input, ...]
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]  # values that are written to arrays


def is_known(ufunc: str, kind: str, reduces: bool = False) -> bool:
    """Whether a step of that name can be compiled."""
    if reduces:
        return ufunc in IDENTITY and kind != "i1"
    return ufunc in LOGIC if kind == "i1" else ufunc in FUNCTIONS


class _Levels:
    """How often each value is made, and in which pass over the row."""

    def __init__(self, body: Body) -> None:
        self.level: list[str] = []  # once, column (once a row), whole (once a place)
        self.stage: list[int] = []  # the first pass in which it may be used
        for i in body.inputs:
            self.level.append(
                "whole" if i.how in ("whole", "row") else "column" if i.how == "column" else "once"
            )
            self.stage.append(0)
        for s in body.steps:
            levels = {self.level[a] for a in s.args}
            stage = max((self.stage[a] for a in s.args), default=0)
            if s.reduces:
                self.level.append("column")
                self.stage.append(stage + 1)
            else:
                self.level.append(
                    "whole" if "whole" in levels else "column" if "column" in levels else "once"
                )
                self.stage.append(stage)
        first = len(body.inputs)
        crossing = set()
        for k, s in enumerate(body.steps):
            at = self.stage[first + k] - (1 if s.reduces else 0)
            crossing |= {a for a in s.args if a >= first and self.level[a] == "whole" and self.stage[a] < at}
        self.crossing = sorted(crossing - set(body.outputs))  # left to a later pass, in a scratch row
        self.reloaded = crossing
        self.passes = max(self.stage, default=0) + 1


def scratch(body: Body) -> list[str]:
    """The kinds of the scratch rows that a kernel wants, after its inputs and outputs."""
    levels = _Levels(body)
    kinds = [*(i.kind for i in body.inputs), *(s.result for s in body.steps)]
    return [kinds[v] for v in levels.crossing]


def last_pass(body: Body) -> tuple[int, list[int]]:
    """The number of passes, and for each output the pass in which it is written: an array read later than that must
    not share its memory."""
    levels = _Levels(body)
    return levels.passes, [
        levels.stage[v] if levels.level[v] == "whole" else levels.passes for v in body.outputs
    ]


class _Source:
    def __init__(self, body: Body) -> None:
        self.body = body
        self.levels = _Levels(body)
        self.kinds = [*(i.kind for i in body.inputs), *(s.result for s in body.steps)]
        self.w = Writer(32 if "double" in {*self.kinds, *(s.kind for s in body.steps)} else 64)
        self.names: dict[int, str] = {}  # once and column values; whole ones within a pass

    def text(self) -> str:
        w, body = self.w, self.body
        arrays = [k for k, i in enumerate(body.inputs) if i.how not in ("const", "given")]
        table = [*arrays, *body.outputs, *self.levels.crossing]
        self.slots: list[str] = []
        for slot in range(len(table)):
            where = w.let(f"getelementptr ptr, ptr %arrays, i64 {slot}")
            self.slots.append(w.let(f"load ptr, ptr {where}"))
        steps = []
        for slot in range(len(arrays) + len(body.outputs)):
            where = w.let(f"getelementptr i64, ptr %arrays, i64 {len(table) + slot}")
            steps.append(w.let(f"load i64, ptr {where}"))
        self.in_step = {v: steps[k] for k, v in enumerate(arrays)}
        self.out_step = {v: steps[len(arrays) + k] for k, v in enumerate(body.outputs)}
        self.out_slot = {v: self.slots[len(arrays) + k] for k, v in enumerate(body.outputs)}
        self.room_slot = {
            v: self.slots[len(arrays) + len(body.outputs) + k] for k, v in enumerate(self.levels.crossing)
        }
        self.in_slot = {v: self.slots[k] for k, v in enumerate(arrays)}
        given = 0
        for k, i in enumerate(body.inputs):
            if i.how == "const":
                self.names[k] = w.const(i.value, i.kind)
            elif i.how == "given":
                where = w.let(f"getelementptr double, ptr %numbers, i64 {given}")
                x = w.let(f"load double, ptr {where}")
                x = x if i.kind == "double" else w.let(f"fptrunc double {x} to float")
                self.names[k] = w.splat(x, i.kind)
                given += 1
            elif i.how == "number":
                self.names[k] = self._load_one(self.in_slot[k], i.kind, "0")
        self._steps("once", 0)
        w.do(f"%whole_end = and i64 %size, {-w.width}")
        w.do("%rest = sub i64 %size, %whole_end")
        self._mask()
        w.do("%empty = icmp sle i64 %rows, 0")
        w.do("br label %rows_begin")
        w.do("rows_begin:")
        w.do("br i1 %empty, label %end, label %row")
        w.do("row:")
        row_phi = len(w.lines)
        w.do("")
        self.in_row = {
            v: w.let(f"mul i64 %i, {step}")
            for v, step in self.in_step.items()
            if body.inputs[v].how == "whole"
        }
        self.out_row = {
            v: w.let(f"mul i64 %i, {step}")
            for v, step in self.out_step.items()
            if self.levels.level[v] == "whole"
        }
        for k, i in enumerate(body.inputs):
            if i.how == "column":
                self.names[k] = self._load_one(self.in_slot[k], i.kind, "%i")
        for number in range(self.levels.passes):
            self._steps("column", number)
            self._pass(number)
        self._steps("column", self.levels.passes)
        for v in body.outputs:
            if self.levels.level[v] == "column":
                self._store_one(v)
        w.do("br label %row_next")
        w.do("row_next:")
        w.do("%i_next = add i64 %i, 1")
        w.do("%more = icmp slt i64 %i_next, %rows")
        w.do("br i1 %more, label %row, label %end")
        w.do("end:")
        w.do("ret void")
        w.lines[row_phi] = "  %i = phi i64 [ 0, %rows_begin ], [ %i_next, %row_next ]"
        tables = "ptr noalias readonly %arrays, ptr noalias readonly %numbers"
        head = f"define void @kernel({tables}, i64 %rows, i64 %size) {{\nentry:"
        return "\n".join([*sorted(w.declared), head, *w.lines, "}"]) + "\n"

    def _mask(self) -> None:
        """Which lanes the last, partial vector of a row has."""
        w, t = self.w, f"<{self.w.width} x i32>"
        one = w.let(f"insertelement {t} poison, i32 {w.let('trunc i64 %rest to i32')}, i32 0")
        rest = w.let(f"shufflevector {t} {one}, {t} poison, {t} zeroinitializer")
        lanes = "<" + ", ".join(f"i32 {k}" for k in range(w.width)) + ">"
        self.mask = w.let(f"icmp slt {t} {lanes}, {rest}")

    # -- memory --------------------------------------------------------------------------------------------------

    def _load_one(self, pointer: str, kind: str, index: str) -> str:
        w = self.w
        held = "i8" if kind == "i1" else kind
        where = w.let(f"getelementptr {held}, ptr {pointer}, i64 {index}")
        x = w.let(f"load {held}, ptr {where}")
        return w.splat(x if kind != "i1" else w.let(f"icmp ne i8 {x}, 0"), kind)

    def _store_one(self, v: int) -> None:
        w, kind = self.w, self.kinds[v]
        x = w.let(f"extractelement {w.type(kind)} {self.names[v]}, i32 0")
        held = "i8" if kind == "i1" else kind
        x = x if kind != "i1" else w.let(f"zext i1 {x} to i8")
        where = w.let(f"getelementptr {held}, ptr {self.out_slot[v]}, i64 %i")
        w.do(f"store {held} {x}, ptr {where}")

    def _load(self, pointer: str, kind: str, index: str, mask: str | None) -> str:
        w = self.w
        held = "i8" if kind == "i1" else kind
        t = f"<{w.width} x {held}>"
        where = w.let(f"getelementptr {held}, ptr {pointer}, i64 {index}")
        align = _NBYTES[kind]
        if mask is None:
            x = w.let(f"load {t}, ptr {where}, align {align}")
        else:
            suffix = f"v{w.width}" + {"i8": "i8", "float": "f32", "double": "f64"}[held] + ".p0"
            x = w.call(
                t, f"llvm.masked.load.{suffix}", ("ptr", where), ("i32", str(align)), (f"<{w.width} x i1>", mask),
                (t, "zeroinitializer"),
            )  # fmt: skip
        return x if kind != "i1" else w.let(f"icmp ne {t} {x}, zeroinitializer")

    def _store(self, pointer: str, kind: str, index: str, x: str, mask: str | None) -> None:
        w = self.w
        held = "i8" if kind == "i1" else kind
        t = f"<{w.width} x {held}>"
        if kind == "i1":
            x = w.let(f"zext {w.type('i1')} {x} to {t}")
        where = w.let(f"getelementptr {held}, ptr {pointer}, i64 {index}")
        align = _NBYTES[kind]
        if mask is None:
            w.do(f"store {t} {x}, ptr {where}, align {align}")
            return
        name = f"llvm.masked.store.v{w.width}" + {"i8": "i8", "float": "f32", "double": "f64"}[held] + ".p0"
        w.declared.add(f"declare void @{name}({t}, ptr, i32, <{w.width} x i1>)")
        w.do(f"call void @{name}({t} {x}, ptr {where}, i32 {align}, <{w.width} x i1> {mask})")

    # -- arithmetic ----------------------------------------------------------------------------------------------

    def _steps(self, level: str, stage: int) -> None:
        """The steps of a level that become possible in a stage."""
        first = len(self.body.inputs)
        for k, s in enumerate(self.body.steps):
            if (
                self.levels.level[first + k] == level
                and self.levels.stage[first + k] == stage
                and not s.reduces
            ):
                self.names[first + k] = self._value(s, self.names)

    def _value(self, s: Step, names: dict[int, str]) -> str:
        w = self.w
        if s.ufunc == "where":
            mask, yes, no = s.args
            return w.select(
                s.kind,
                w.cast(names[mask], self.kinds[mask], "i1"),
                *(w.cast(names[v], self.kinds[v], s.kind) for v in (yes, no)),
            )
        args = [w.cast(names[v], self.kinds[v], s.kind) for v in s.args]
        if s.ufunc == "copy":
            return w.cast(args[0], s.kind, s.result)
        if s.kind == "i1":
            return str(LOGIC[s.ufunc](w, *args))
        y = w.apply(s.ufunc, s.kind, *args)
        return y if s.ufunc in COMPARISONS else w.cast(y, s.kind, s.result)

    def _pass(self, number: int) -> None:
        """One trip along a row: whole vectors, then the rest of them."""
        w, first = self.w, len(self.body.inputs)
        reduced = [
            first + k
            for k, s in enumerate(self.body.steps)
            if s.reduces and self.levels.stage[first + k] == number + 1
        ]
        wanted = self._wanted(number, reduced)
        if not wanted and not reduced:
            return
        name = f"p{number}"
        begin = {v: w.const(IDENTITY[self.body.steps[v - first].ufunc], self.kinds[v]) for v in reduced}
        w.do(f"br label %{name}_pre")
        w.do(f"{name}_pre:")
        w.do(f"%{name}_any = icmp sgt i64 %whole_end, 0")
        w.do(f"br i1 %{name}_any, label %{name}_loop, label %{name}_mid")
        w.do(f"{name}_loop:")
        w.do(f"%{name}_j = phi i64 [ 0, %{name}_pre ], [ %{name}_next, %{name}_loop ]")
        phi = len(w.lines)
        held = {v: w.name() for v in reduced}
        w.lines += [""] * len(reduced)
        after = self._body(number, f"%{name}_j", None, wanted, held)
        for k, v in enumerate(reduced):
            t = w.type(self.kinds[v])
            w.lines[phi + k] = (
                f"  {held[v]} = phi {t} [ {begin[v]}, %{name}_pre ], [ {after[v]}, %{name}_loop ]"
            )
        w.do(f"%{name}_next = add i64 %{name}_j, {w.width}")
        w.do(f"%{name}_again = icmp slt i64 %{name}_next, %whole_end")
        w.do(f"br i1 %{name}_again, label %{name}_loop, label %{name}_mid")
        w.do(f"{name}_mid:")
        middle = {}
        for v in reduced:
            t = w.type(self.kinds[v])
            middle[v] = w.let(f"phi {t} [ {begin[v]}, %{name}_pre ], [ {after[v]}, %{name}_loop ]")
        w.do(f"%{name}_left = icmp sgt i64 %rest, 0")
        w.do(f"br i1 %{name}_left, label %{name}_tail, label %{name}_post")
        w.do(f"{name}_tail:")
        tail = self._body(number, "%whole_end", self.mask, wanted, middle)
        w.do(f"br label %{name}_post")
        w.do(f"{name}_post:")
        totals = {
            v: w.let(f"phi {w.type(self.kinds[v])} [ {middle[v]}, %{name}_mid ], [ {tail[v]}, %{name}_tail ]")
            for v in reduced
        }
        for v, total in totals.items():
            self.names[v] = self._across(self.body.steps[v - first].ufunc, self.kinds[v], total)

    def _wanted(self, number: int, reduced: Sequence[int]) -> list[int]:
        """The whole values that a pass leaves in memory."""
        stored = {v for v in self.body.outputs if self.levels.level[v] == "whole"} | set(self.levels.crossing)
        return sorted(v for v in stored if self.levels.stage[v] == number)

    def _body(
        self, number: int, j: str, mask: str | None, wanted: Sequence[int], held: dict[int, str]
    ) -> dict[int, str]:
        """One vector's worth of a pass; gives the reductions' new values."""
        w, first = self.w, len(self.body.inputs)
        local = dict(self.names)
        places: dict[str, str] = {}

        def place(row: str) -> str:
            if row not in places:
                places[row] = w.let(f"add i64 {row}, {j}")
            return places[row]

        def find(v: int) -> str:
            if v in local:
                return local[v]
            if v < first:
                i = self.body.inputs[v]
                at = place(self.in_row[v]) if i.how == "whole" else j
                local[v] = self._load(self.in_slot[v], i.kind, at, mask)
            elif self.levels.stage[v] < number:
                if v in self.room_slot:
                    local[v] = self._load(self.room_slot[v], self.kinds[v], j, mask)
                else:
                    local[v] = self._load(self.out_slot[v], self.kinds[v], place(self.out_row[v]), mask)
            else:
                step = self.body.steps[v - first]
                for a in step.args:
                    find(a)
                local[v] = self._value(step, local)
            return local[v]

        after = {}
        for v in held:
            step = self.body.steps[v - first]
            x = w.cast(find(step.args[0]), self.kinds[step.args[0]], step.kind)
            if mask is not None:
                x = w.select(step.kind, mask, x, w.const(IDENTITY[step.ufunc], step.kind))
            after[v] = w.apply(step.ufunc, step.kind, held[v], x)
        names = [find(v) for v in wanted]
        for v, x in zip(
            wanted, names, strict=True
        ):  # all is read before anything is written: they may share memory
            if v in self.room_slot:
                self._store(self.room_slot[v], self.kinds[v], j, x, mask)
            else:
                self._store(self.out_slot[v], self.kinds[v], place(self.out_row[v]), x, mask)
        return after

    def _across(self, ufunc: str, kind: str, x: str) -> str:
        """All lanes into one, halves upon halves, and that in every lane."""
        w, t = self.w, self.w.type(kind)
        half = w.width // 2
        while half:
            order = ", ".join(f"i32 {(k + half) % w.width}" for k in range(w.width))
            other = w.let(f"shufflevector {t} {x}, {t} poison, <{w.width} x i32> <{order}>")
            x = w.apply(ufunc, kind, x, other)
            half //= 2
        return w.splat(w.let(f"extractelement {t} {x}, i32 0"), kind)


@functools.lru_cache(1024)
def source(body: Body) -> str:
    """The module's text. The table of arrays: the addresses of the inputs that are arrays, of the outputs and of the
    scratch rows; then how many elements lie between the rows of each input and output."""
    return _Source(body).text()

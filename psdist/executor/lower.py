"""A program's steps as instructions: forward, then the gradients, last step first.

Every operator is taken apart by tracing its kernel and its gradient (see `trace`); what cannot be traced is one
call. A *rule* says better for one operator: where its memory or its order of work can be planned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .ir import Apply, Array, Call, Copy, Instr, Mark, Value
from .program import Program, Step
from .trace import Builder, Traced, TracedGenerator, Untraceable

__all__ = ["Lowered", "Rule", "lower", "rule", "rule_of"]


@dataclass(frozen=True)
class Rule:
    """How an operator becomes instructions. Either function may return None: trace it after all.

    `forward(b, step, ins, is_train)` gives the outputs; `backward(b, step, heads, outs, ins, is_train)` the inputs'
    gradients.
    """

    forward: Callable[..., list[Value] | None] | None = None
    backward: Callable[..., list[Value | None] | None] | None = None


_rules: dict[str, Rule] = {}


def rule(name: str, forward: Any = None, backward: Any = None) -> None:
    """Give the operator `name` a rule."""
    _rules[name] = Rule(forward, backward)


def rule_of(name: str) -> Rule | None:
    """The rule of an operator, or None."""
    return _rules.get(name)


class Source:
    """Holds the device's generator, which is looked up when a run begins."""

    rng: np.random.Generator


@dataclass
class Lowered:
    """Instructions in the order of running, and where each array of the program ended up."""

    instrs: list[
        Instr
    ]  # a Mark stands where the forward pass ends, and where an argument's gradient is complete
    slots: list[Value | None]  # of the program's slots
    source: Source  # holds the random generator while the plan runs


def lower(
    program: Program,
    is_train: bool,
    requests: Sequence[str],
    with_backward: bool,
    use_rules: bool = True,
    trace: bool = True,
    winograd: bool = True,
    keeps: bool = True,
    compiled: bool = False,
) -> Lowered:
    """The instructions of a program. `requests` says of each argument: write, add or null."""
    low = _Lowering(program, is_train, requests, use_rules, trace)
    low.b.winograd, low.b.keeps, low.b.compiled = winograd, keeps and with_backward, compiled
    for step in program.steps:
        low.forward(step)
    for k, slot in enumerate(program.heads):
        low.b.node, low.b.back = "", False
        shape, dtype = program.shapes[slot], np.dtype(program.dtypes[slot])
        found = low.slots[slot]
        assert found is not None
        low.b.emit(Copy(found, Value(shape, dtype, bound=("out", k))))
    low.b.emit(Mark())
    if with_backward:
        low.backward()
    return Lowered(low.b.instrs, low.slots, low.source)


class _Lowering:
    def __init__(
        self, program: Program, is_train: bool, requests: Sequence[str], use_rules: bool, trace: bool
    ) -> None:
        self.program = program
        self.is_train = is_train
        self.requests = requests
        self.use_rules = use_rules
        self.trace = trace
        self.source = Source()
        self.b = Builder()
        self.slots: list[Value | None] = [None] * len(program.shapes)
        num_args = len(program.args)
        for i in range(num_args + len(program.auxs)):
            bound = ("arg", i) if i < num_args else ("aux", i - num_args)
            self.slots[i] = Value(program.shapes[i], np.dtype(program.dtypes[i]), bound=bound)
        for step in program.steps:
            if step.op.mutates:
                self.b.changing.update(self._changes(step))

    def _changes(self, step: Step) -> list[Value]:
        """The bound values that a step's kernel writes."""
        names = step.op.active(step.params, len(step.ins) if step.op.variadic else None)
        found = [self.slots[slot] for slot, n in zip(step.ins, names, strict=True) if n in step.op.mutates]
        return [v for v in found if v is not None]

    def _values(self, slots: Sequence[int]) -> list[Value]:
        found = [self.slots[i] for i in slots]
        assert all(v is not None for v in found)
        return found  # type: ignore[return-value]

    def _attempt(self, work: Callable[[], Any]) -> Any:
        """What `work` gives, or None, with nothing emitted, if it cannot be traced."""
        mark = len(self.b.instrs)
        try:
            return work()
        except Exception:  # a traced kernel may fail in any way where it meets no array; then it stays a call
            del self.b.instrs[mark:]
            return None

    # -- forward ---------------------------------------------------------------------------------------------

    def forward(self, step: Step) -> None:
        self.b.node, self.b.back = step.node.name, False
        ins = self._values(step.ins)
        found = None
        special = rule_of(step.op.name) if self.use_rules else None
        if special is not None and special.forward is not None:
            found = special.forward(self.b, step, ins, self.is_train)
        if found is None and self.trace:
            found = self._attempt(partial(self._trace_forward, step, ins))
        if found is None:
            found = self._call_forward(step, ins)
        for slot, v in zip(step.outs, found, strict=True):
            self.slots[slot] = v

    def _extra(self, step: Step) -> dict[str, Any]:
        return {"is_train": self.is_train} if "is_train" in step.op.asks else {}

    def _trace_forward(self, step: Step, ins: Sequence[Value]) -> list[Value]:
        same = step.op.passes and ins[0].dtype == np.dtype(self.program.dtypes[step.outs[0]])
        if same and len(step.outs) == 1 and ins[0] not in self.b.changing:
            return [self.b.view("reshape", self.program.shapes[step.outs[0]], ins[0])]
        extra = self._extra(step)
        if "rng" in step.op.asks:
            extra["rng"] = TracedGenerator(self.b, self.source)
        elif all(v.const is not None for v in ins):  # a constant: compute it here and now
            with np.errstate(all="ignore"):
                made = step.op.kernel(*(v.const for v in ins), **step.params, **extra)
            return [self.b.value(y) for y in (made if isinstance(made, tuple) else (made,))]
        given = [_traced(self.b, v) for v in ins]
        result = step.op.kernel(*given, **step.params, **extra)
        values = [self.b.value(y) for y in (result if isinstance(result, tuple) else (result,))]
        for slot, v in zip(step.outs, values, strict=True):
            if v.shape != self.program.shapes[slot] or v.dtype != np.dtype(self.program.dtypes[slot]):
                raise Untraceable("another shape or dtype than inferred")
        for v, t in zip(ins, given, strict=True):  # what the kernel wrote in place goes back to the array
            if type(t) is Traced and t.v is not v:
                if v not in self.b.changing:
                    raise Untraceable("an input written")
                self.b.emit(Copy(t.v, v))
        return values

    def _call_forward(self, step: Step, ins: Sequence[Value]) -> list[Value]:
        outs = [self._fresh(slot) for slot in step.outs]
        function = partial(step.op.kernel, **step.params, **self._extra(step))
        draws = "rng" in step.op.asks
        if draws:
            function = partial(_with_rng, self.source, function)
        writes_out = "outs" in step.op.asks or ("out" in step.op.asks and len(outs) == 1)
        changes = self._changes(step) if step.op.mutates else []
        self.b.emit(Call(step.op.name, function, ins, outs, writes_out, changes, draws))
        return outs

    def _fresh(self, slot: int) -> Value:
        return Value(self.program.shapes[slot], np.dtype(self.program.dtypes[slot]))

    # -- backward --------------------------------------------------------------------------------------------

    def backward(self) -> None:
        p = self.program
        grads: dict[int, Value] = {}
        for k, slot in enumerate(p.heads):
            head = Value(p.shapes[slot], np.dtype(p.dtypes[slot]), bound=("head", k))
            self._arrive(grads, slot, head)
        for k in reversed(range(len(p.steps))):
            step = p.steps[k]
            self.b.node, self.b.back = step.node.name, True
            if step.needs:
                self._backward(step, grads)
            for slot in p.final.get(k, ()):
                self._deliver(slot, grads.pop(slot, None))
        done = {slot for complete in p.final.values() for slot in complete}
        for slot, request in enumerate(self.requests):
            if request != "null" and slot not in done:
                self._deliver(slot, grads.pop(slot, None))

    def _arrive(self, grads: dict[int, Value], slot: int, g: Value) -> None:
        grads[slot] = self.b.apply(np.add, (grads[slot], g)) if slot in grads else g

    def _backward(self, step: Step, grads: dict[int, Value]) -> None:
        arrived = [grads.pop(slot, None) for slot in step.outs[: step.num_visible]]
        if all(g is None for g in arrived):
            return
        heads = [
            self.b.value(_zeros(self.program, slot)) if g is None else g
            for slot, g in zip(step.outs, arrived, strict=False)
        ]
        outs, ins = self._values(step.outs), self._values(step.ins)
        found = None
        special = rule_of(step.op.name) if self.use_rules else None
        if special is not None and special.backward is not None:
            found = special.backward(self.b, step, heads, outs, ins, self.is_train)
        if found is None and self.trace:
            found = self._attempt(partial(self._trace_backward, step, heads, outs, ins))
        if found is None:
            found = self._call_backward(step, heads, outs, ins)
        for slot, g, need in zip(step.ins, found, step.needs, strict=True):
            if g is not None and need:
                self._arrive(grads, slot, g)

    def _trace_backward(
        self, step: Step, heads: Sequence[Value], outs: Sequence[Value], ins: Sequence[Value]
    ) -> list[Value | None]:
        given = [[_traced(self.b, v) for v in part] for part in (heads, outs, ins)]
        back = step.op.backward(given[0], given[1], given[2], step.params, step.needs, self.is_train)
        for t, v in zip((t for part in given for t in part), (*heads, *outs, *ins), strict=True):
            if type(t) is Traced and t.v is not v:
                raise Untraceable("an input written")
        found: list[Value | None] = []
        for g, v, need in zip(back, ins, step.needs, strict=True):
            made = None if g is None or not need else self.b.value(g)
            if made is not None and made.shape != v.shape:
                made = self.b.view("broadcast", v.shape, made)
            found.append(made)
        return found

    def _call_backward(
        self, step: Step, heads: Sequence[Value], outs: Sequence[Value], ins: Sequence[Value]
    ) -> list[Value | None]:
        parts = [*heads, *outs, *ins]
        reads = [v for i, v in enumerate(parts) if i not in step.op.unused]
        wanted = [i for i, need in enumerate(step.needs) if need]
        writes = [Value(ins[i].shape, ins[i].dtype) for i in wanted]
        shapes = [(v.shape, v.dtype) for v in parts]
        function = partial(
            _backward, step.op, step.params, step.needs, self.is_train, shapes, len(heads), len(outs), wanted
        )
        self.b.emit(Call(f"{step.op.name} gradient", function, reads, writes))
        found: list[Value | None] = [None] * len(ins)
        for i, v in zip(wanted, writes, strict=True):
            found[i] = v
        return found

    def _deliver(self, slot: int, g: Value | None) -> None:
        request = self.requests[slot]
        if request == "null":
            return
        shape, dtype = self.program.shapes[slot], np.dtype(self.program.dtypes[slot])
        target = Value(shape, dtype, bound=("grad", slot))
        if request == "write":
            self.b.emit(Copy(self.b.value(_zeros(self.program, slot)) if g is None else g, target))
        elif g is not None:
            self.b.emit(Apply(np.add, [target, g], target, casting="unsafe" if g.dtype != dtype else None))
        self.b.emit(Mark(slot))


def _traced(b: Builder, v: Value) -> Any:
    return Traced(b, v) if v.const is None else v.const


def _zeros(program: Program, slot: int) -> Array:
    return np.broadcast_to(np.zeros((), program.dtypes[slot]), program.shapes[slot])


def _with_rng(source: Any, function: Callable[..., Any], *arrays: Array, **kwargs: Any) -> Any:
    return function(*arrays, rng=source.rng, **kwargs)


def _backward(
    op: Any,
    params: Mapping[str, Any],
    needs: tuple[bool, ...],
    is_train: bool,
    shapes: Sequence[tuple[tuple[int, ...], Any]],
    num_heads: int,
    num_outs: int,
    wanted: Sequence[int],
    *arrays: Array,
) -> tuple[Array | None, ...]:
    """An operator's gradient as one call. Arrays that it does not use are stood for by zeros of their shape."""
    given = iter(arrays)
    parts = [
        np.broadcast_to(np.zeros((), dtype), shape) if i in op.unused else next(given)
        for i, (shape, dtype) in enumerate(shapes)
    ]
    back = op.backward(
        parts[:num_heads],
        parts[num_heads : num_heads + num_outs],
        parts[num_heads + num_outs :],
        params,
        needs,
        is_train,
    )
    return tuple(back[i] for i in wanted)

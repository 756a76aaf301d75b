"""The plan: a program compiled to a list of calls with every buffer bound, walked in one loop.

Compiling takes the program's steps apart (`lower`), improves the instructions (`passes`, `chains`), lays out
memory (`memory`) and notes what each pass did. Linking binds the arrays. Running is then nothing but calls: no
allocation, no dictionary, no check of a shape.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .. import profiler
from ..errors import PSError, ShapeError
from ..jit import available
from . import rewrite, rules, transposed  # noqa: F401  (the last two register their operators)
from .chains import chains
from .fused import fuse
from .ir import Array, Instr, Mark, Step, View
from .lower import lower
from .memory import Memory, Workspace, intermediates, plan_memory
from .passes import PASSES, recompute
from .program import Program

__all__ = ["Options", "PassReport", "Plan", "compile_plan", "walk"]


@dataclass(frozen=True)
class Options:
    """Which passes run. All off gives the plan that the passes are tested against."""

    rewrite: bool = True  # merge and move operators
    rules: bool = True  # layouts, algorithms and memory chosen for convolution, pooling, …
    winograd: bool = True  # 3×3 convolutions by tiles, where that pays
    trace: bool = True  # take kernels apart
    passes: bool = True  # simplify, common, dead, store
    chains: bool = True  # blocks
    share: bool = True  # one arena
    recompute: bool = False  # elementwise results again on the way back: memory for time
    jit: bool = False  # elementwise groups compiled, where llvmlite is installed


PLAIN = Options(False, False, False, False, False, False, False)


@dataclass
class PassReport:
    """What a pass did."""

    name: str
    promise: str
    before: int  # instructions
    after: int
    notes: list[str] = field(default_factory=list)


@dataclass
class Plan:
    """Compiled, but bound to no arrays yet."""

    program: Program
    is_train: bool
    instrs: list[Instr]
    memory: Memory
    source: Any
    reports: list[PassReport]
    forward: list[Step] = field(default_factory=list)
    backward: list[Step] = field(default_factory=list)
    completed: list[tuple[int, int]] = field(default_factory=list)  # (backward steps before, argument)
    makers: list[Instr] = field(default_factory=list)  # of each step, forward then backward
    workspace: Workspace = field(default_factory=Workspace)

    @cached_property
    def heads(self) -> list[int]:
        """The outputs whose gradients matter to it."""
        return sorted({v.bound[1] for i in self.instrs for v in i.reads if v.bound and v.bound[0] == "head"})

    def link(self, bound: Mapping[tuple[str, int], Array], workspace: Workspace) -> None:
        """Bind every buffer; `bound` are the arrays from outside, and intermediates lie in `workspace`."""
        self.workspace = workspace
        arena, memory = workspace.take(self.memory), self.memory
        known: dict[Any, Array] = {}

        def at(v: Any) -> Array:
            found = known.get(v)
            if found is None:
                found = known[v] = memory.array(v, arena, bound)  # type: ignore[arg-type]
            return found

        self.forward, self.backward, self.completed, self.makers = [], [], [], []
        steps = self.forward
        for instr in self.instrs:
            if isinstance(instr, Mark):
                if instr.argument is None:
                    steps = self.backward
                else:
                    self.completed.append((len(self.backward), instr.argument))
            new = instr.steps(at)
            steps += new
            self.makers += [instr] * len(new)

    def run_forward(self, rng: np.random.Generator) -> None:
        """Compute the outputs."""
        self.source.rng = rng
        self.workspace.last = self
        with np.errstate(all="ignore"):
            walk(self.forward, self._named, 0)

    def run_backward(self, complete: Callable[[int], None] | None) -> None:
        """Compute the gradients. `complete(argument)` is called whenever one is."""
        first = len(self.forward)
        with np.errstate(all="ignore"):
            if complete is None:
                walk(self.backward, self._named, first)
                return
            done = 0
            for stop, argument in self.completed:
                if stop > done:
                    walk(self.backward[done:stop], self._named, first + done)
                    done = stop
                complete(argument)
            walk(self.backward[done:], self._named, first + done)

    def _named(self, k: int) -> Instr:
        return self.makers[k]


def _timed(steps: Sequence[Step], maker: Callable[[int], Instr], first: int) -> list[Step]:
    """The same steps, each recorded by the profiler under its node."""

    def timed(function: Callable[..., Any], k: int) -> Callable[..., None]:
        def run(*args: Any) -> None:
            at = maker(first + k)
            with profiler.span(at.node or at.title, "operator", operator=at.title):
                function(*args)

        return run

    return [(timed(function, k), args) for k, (function, args) in enumerate(steps)]


def walk(steps: Sequence[Step], maker: Callable[[int], Instr], first: int) -> None:
    """Run the steps. A failing one is named by its node; `maker(first + k)` is the instruction of step k."""
    if profiler.watching.symbolic:
        steps = _timed(steps, maker, first)
    left = iter(steps)
    try:
        for function, args in left:
            function(*args)
    except PSError:
        raise
    except (ValueError, TypeError, IndexError, ArithmeticError) as e:
        at = maker(first + len(steps) - operator.length_hint(left) - 1)
        raise ShapeError(f"node '{at.node}' ({at.title}): {e}") from e


def compile_plan(
    program: Program,
    is_train: bool,
    requests: Sequence[str],
    with_backward: bool,
    options: Options = Options(),
) -> Plan:
    """All passes, one after another."""
    reports: list[PassReport] = []
    if options.rewrite:
        before = len(program.steps)
        program, notes = rewrite.rewrite(program, is_train)
        reports.append(PassReport("rewrite", "see the notes", before, len(program.steps), notes))
    lowered = lower(
        program,
        is_train,
        requests,
        with_backward,
        options.rules,
        options.trace,
        options.winograd,
        keeps=not options.recompute,
        compiled=options.jit and available(),
    )
    instrs = lowered.instrs
    reports.append(
        PassReport(
            "lower",
            "bitwise, but for convolution and pooling's order of sums",
            len(program.steps),
            _count(instrs),
        )
    )
    for improve in PASSES if options.passes else ():
        instrs = _reported(improve, instrs, reports)
    if options.recompute and with_backward:
        instrs = _reported(recompute, instrs, reports)
    unshared = intermediates(instrs)
    if options.jit and available():
        instrs = _reported(fuse, instrs, reports)
    if options.chains:
        instrs = _reported(chains, instrs, reports)
    memory = plan_memory(instrs, options.share)
    memory.unshared = unshared
    return Plan(program, is_train, instrs, memory, lowered.source, reports)


def _count(instrs: Sequence[Instr]) -> int:
    return sum(not isinstance(i, Mark | View) for i in instrs)


def _reported(
    improve: Callable[[Sequence[Instr]], list[Instr]], instrs: Sequence[Instr], reports: list[PassReport]
) -> list[Instr]:
    new = improve(instrs)
    text = (improve.__doc__ or "").split("Promise: ")[-1].strip().rstrip(".")
    reports.append(PassReport(improve.__name__, text, _count(instrs), _count(new)))
    return new

"""A symbol compiled: the steps of the forward pass, and which of them the gradients go back through.

Every array has a *slot*, a number; steps name slots, and the executor fills them. The program itself holds no
arrays, so executors of one symbol with other shapes share the reading of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import ShapeError
from ..ops.registry import Op
from ..ops.signature import Shape
from ..symbol.graph import Node, arguments, auxiliaries, topological
from ..symbol.infer import check_shapes, infer_shapes, infer_types
from ..symbol.symbol import Symbol, check_known

__all__ = ["Program", "Step", "compile_symbol", "mark"]


@dataclass(slots=True)
class Step:
    """One operator of the forward pass."""

    node: Node
    op: Op
    params: Mapping[str, Any]
    ins: tuple[int, ...]  # slots
    outs: tuple[int, ...]
    num_visible: int
    needs: tuple[bool, ...] = ()  # which inputs' gradients are wanted; empty if no gradient passes here


@dataclass(slots=True)
class Program:
    """Slots are numbered: arguments, auxiliary states, then the steps' outputs."""

    args: list[Node]
    auxs: list[Node]
    steps: list[Step]
    shapes: list[Shape]  # of each slot
    dtypes: list[str]
    heads: list[int]  # the slots of the symbol's outputs
    names: dict[int, str]  # visible outputs of steps: their slot's name
    wanted: frozenset[str] = frozenset()  # the arguments with gradients
    final: dict[int, list[int]] = field(
        default_factory=dict
    )  # step -> arguments whose gradient is complete after it


def compile_symbol(
    symbol: Symbol,
    shapes: Mapping[str, Shape],
    dtypes: Mapping[str, str],
    wanted: Sequence[str] | None = None,
) -> Program:
    """The program of `symbol` for arrays of these shapes and dtypes, by name; `wanted` names the arguments
    with gradients.

    Raises ShapeError, naming the node or the arguments, where shapes contradict or do not follow.
    """
    nodes = topological(symbol._heads)
    args, auxs = arguments(nodes), auxiliaries(nodes)
    found = infer_shapes(nodes, shapes)
    check_known({n.name: found[id(n)][0] for n in args + auxs}, "bind")
    check_shapes(nodes, found)
    types = infer_types(nodes, dtypes)
    slot: dict[tuple[int, int], int] = {}
    slot_shapes: list[Shape] = []
    slot_dtypes: list[str] = []

    def add(n: Node, i: int) -> int:
        shape = found[id(n)][i]
        if shape is None or 0 in shape:
            raise ShapeError(
                f"bind: the shape of output {i} of node '{n.name}' does not follow from those given"
            )
        slot[id(n), i] = len(slot_shapes)
        slot_shapes.append(shape)
        slot_dtypes.append(types[id(n)][i] or "float32")
        return len(slot_shapes) - 1

    for n in args + auxs:
        add(n, 0)
    steps: list[Step] = []
    names: dict[int, str] = {}
    for n in nodes:
        if n.op is not None:
            outs = tuple(add(n, i) for i in range(n.num_outputs))
            ins = tuple(slot[id(s), i] for s, i in n.inputs)
            params = n.params
            unknown = not ins and any(v in (0, -1) for v in params.get("shape") or ())
            if unknown:  # zeros for a batch whose size the graph settles
                params = {**params, "shape": found[id(n)][0]}
            steps.append(Step(n, n.op.fresh(), params, ins, outs, n.num_visible))
            names.update(zip(outs, n.output_names, strict=False))
    heads = [slot[id(n), i] for n, i in symbol._heads]
    with_gradient = frozenset(n.name for n in args) if wanted is None else frozenset(wanted)
    program = Program(args, auxs, steps, slot_shapes, slot_dtypes, heads, names, with_gradient)
    mark(program)
    return program


def mark(program: Program) -> None:
    """Decide through which steps gradients pass, and when each argument's gradient is complete."""
    live = {i for i, n in enumerate(program.args) if n.name in program.wanted}
    waiting = set(live)
    program.final.clear()
    for step in program.steps:
        step.needs = ()
        needs = tuple(slot in live for slot in step.ins)
        if any(needs) and step.op.gradient_kernel is not None:
            step.needs = needs
            live.update(step.outs[: step.num_visible])
    last: dict[int, int] = {}
    for k in reversed(range(len(program.steps))):
        for slot in program.steps[k].ins:
            if slot in waiting and program.steps[k].needs:
                last[slot] = k
    for slot, k in last.items():
        program.final.setdefault(k, []).append(slot)

"""A program run as it stands: operator after operator, gradient after gradient, each array made when needed.

It is slow and simple. The plan's results are tested against it, and it serves where a plan hides what is asked
for: a monitor wants to see every operator's outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import PSError, ShapeError
from .ir import Array
from .program import Program, Step

__all__ = ["Walker"]


class Walker:
    """Runs a program on arrays. After `forward`, `slots` holds every array of it."""

    def __init__(self, program: Program, arrays: Sequence[Array]) -> None:
        self.program = program
        self.slots: list[Array | None] = [*arrays, *[None] * (len(program.shapes) - len(arrays))]

    def forward(
        self, is_train: bool, rng: np.random.Generator, report: Callable[[Step], None] | None = None
    ) -> None:
        """Compute every array. `report(step)` is called after each step."""
        slots = self.slots
        with np.errstate(all="ignore"):
            for step in self.program.steps:
                op = step.op
                extra: dict[str, Any] = {}
                if "is_train" in op.asks:
                    extra["is_train"] = is_train
                if "rng" in op.asks:
                    extra["rng"] = rng
                try:
                    result = op.kernel(*[slots[i] for i in step.ins], **step.params, **extra)
                except PSError:
                    raise
                except (ValueError, TypeError, IndexError, ArithmeticError) as e:
                    raise ShapeError(f"node '{step.node.name}' ({op.name}): {e}") from e
                results = result if isinstance(result, tuple) else (result,)
                for slot, y in zip(step.outs, results, strict=True):
                    slots[slot] = y
                if report is not None:
                    report(step)

    def backward(
        self,
        heads: Sequence[Array],
        is_train: bool,
        deliver: Callable[[int, Array | None], None],
        wanted: Sequence[int],
        report: Callable[[Step, Sequence[Array | None]], None] | None = None,
    ) -> None:
        """Compute the gradients from those of the heads; `deliver(argument, gradient)` as each is complete.

        `report(step, gradients of its inputs)` is called after each step.
        """
        p = self.program
        grads: dict[int, Array] = {}
        for slot, g in zip(p.heads, heads, strict=True):
            grads[slot] = grads[slot] + g if slot in grads else g
        with np.errstate(all="ignore"):
            for k in reversed(range(len(p.steps))):
                if p.steps[k].needs:
                    self._step_back(p.steps[k], grads, is_train, report)
                for slot in p.final.get(k, ()):
                    deliver(slot, grads.pop(slot, None))
            done = {slot for complete in p.final.values() for slot in complete}
            for slot in wanted:
                if slot not in done:
                    deliver(slot, grads.pop(slot, None))

    def _step_back(
        self,
        step: Step,
        grads: dict[int, Array],
        is_train: bool,
        report: Callable[[Step, Sequence[Array | None]], None] | None,
    ) -> None:
        slots = self.slots
        arrived = [grads.pop(slot, None) for slot in step.outs[: step.num_visible]]
        if all(g is None for g in arrived):
            return
        heads = [
            np.zeros(self.program.shapes[slot], self.program.dtypes[slot]) if g is None else g
            for slot, g in zip(step.outs, arrived, strict=False)
        ]
        back = step.op.backward(
            heads,
            [slots[i] for i in step.outs],
            [slots[i] for i in step.ins],
            step.params,
            step.needs,
            is_train,
        )
        if report is not None:
            report(step, back)
        for slot, g, need in zip(step.ins, back, step.needs, strict=True):
            if g is not None and need:
                grads[slot] = grads[slot] + g if slot in grads else g

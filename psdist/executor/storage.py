"""Which outputs of a bound graph are sparse: what each operator's rule makes of sparse arrays without elements.

A plan computes dense arrays all the same; an output that MXNet would give as a sparse array is stored as one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import autograd
from ..errors import PSError
from ..ndarray import sparse
from ..ndarray.array import NDArray
from ..ndarray.sparse_rules import try_invoke
from .program import Program, Step

__all__ = ["output_storage"]


def output_storage(program: Program, given: Sequence[str]) -> list[str]:
    """The storage type of each output; `given` has those of arguments and auxiliary states."""
    casts = any(step.op.name == "cast_storage" for step in program.steps)
    if not casts and all(kind == "default" for kind in given):
        return ["default"] * len(program.heads)
    kinds = [*given, *["default"] * (len(program.shapes) - len(given))]
    with autograd.pause():
        for step in program.steps:
            kinds[step.outs[0]] = _of(program, step, kinds)
    return [kinds[slot] for slot in program.heads]


def _of(program: Program, step: Step, kinds: Sequence[str]) -> str:
    if step.op.name == "cast_storage":
        return str(step.params["stype"])
    if step.op.mutates or all(kinds[slot] == "default" for slot in step.ins):
        return "default"
    try:
        found = try_invoke(step.op, [_empty(program, slot, kinds[slot]) for slot in step.ins], step.params)
    except (PSError, ValueError, IndexError):  # a rule that looks at elements, and there are none
        return "default"
    return found.stype if isinstance(found, NDArray) else "default"


def _empty(program: Program, slot: int, kind: str) -> NDArray:
    """An array of zeros that takes no memory."""
    shape, dtype = program.shapes[slot], program.dtypes[slot]
    if kind == "default":
        return NDArray(np.broadcast_to(np.zeros((), dtype), shape))
    return sparse.zeros(kind, shape, dtype=dtype)

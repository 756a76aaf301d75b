"""`mx.nd.CachedOp`: a graph as a function of NDArrays, which autograd records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import ShapeError
from ..ndarray.array import NDArray
from ..ndarray.invoke import invoke
from .graph import Node
from .symbol import Symbol

__all__ = ["CachedOp"]


class CachedOp:
    """Calls a symbol's operators one after another on the arrays given for its inputs, in `list_inputs()`'s order."""

    def __init__(self, sym: Symbol, flags: Sequence[Any] = ()) -> None:
        self._heads = sym._heads
        nodes = sym._nodes()
        self._variables = [n for n in nodes if n.op is None]
        self._steps: list[Node] = [n for n in nodes if n.op is not None]

    def __call__(self, *args: NDArray, out: Any = None, **kwargs: Any) -> Any:
        """The outputs: one array, or a list; written into `out` if that is given."""
        if len(args) != len(self._variables):
            names = ", ".join(n.name for n in self._variables)
            raise ShapeError(f"CachedOp: {len(args)} arrays given; wanted {len(self._variables)}: {names}")
        found: dict[tuple[int, int], NDArray] = {
            (id(n), 0): x for n, x in zip(self._variables, args, strict=True)
        }
        for n in self._steps:
            assert n.op is not None
            made = invoke(n.op.fresh(), [found[id(source), i] for source, i in n.inputs], n.params)
            for i, y in enumerate(made if isinstance(made, list) else [made]):
                found[id(n), i] = y
        outputs = [found[id(n), i] for n, i in self._heads]
        if out is not None:
            for target, y in zip([out] if isinstance(out, NDArray) else out, outputs, strict=True):
                y.copyto(target)
            return out
        return outputs[0] if len(outputs) == 1 else outputs

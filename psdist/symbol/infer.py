"""Shapes and dtypes of a whole graph: every operator's own rule, forward and back, until nothing changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import PSError, ShapeError
from ..ops.params import _as_shape
from ..ops.signature import Shape, merge_shapes
from .graph import Node

__all__ = ["DTYPE_NUMBERS", "infer_shapes", "infer_types", "is_known"]

# the numbers of dtypes in graphs' files
DTYPE_NUMBERS = {
    "float32": 0,
    "float64": 1,
    "float16": 2,
    "uint8": 3,
    "int32": 4,
    "int8": 5,
    "int64": 6,
    "bool": 7,
}
_DTYPE_NAMES = {str(number): name for name, number in DTYPE_NUMBERS.items()}


# They conclude nothing before they know how many axes their data has: MXNet's `infer_shape_partial` shows it.
_DATA_FIRST = frozenset({"FullyConnected", "Convolution", "Deconvolution"})


def is_known(shape: Shape | None) -> bool:
    """Whether every size is known."""
    return shape is not None and 0 not in shape


def infer_shapes(nodes: Sequence[Node], known: Mapping[str, Shape]) -> dict[int, list[Shape | None]]:
    """The shapes of every node's outputs, by the node's id; None or 0 where they do not follow from `known`,
    the shapes of variables by name. Raises ShapeError, naming the node, where they contradict."""
    shapes: dict[int, list[Shape | None]] = {}
    for n in nodes:
        given: Shape | None = None
        if n.op is None:
            given = known.get(n.name)
            if given is None and "__shape__" in n.attrs:
                given = _as_shape(n.attrs["__shape__"])
            given = (
                None if given is None else tuple(max(int(s), 0) for s in given) or None
            )  # -1 as 0: not known
        shapes[id(n)] = [given] * n.num_outputs
    operators = [n for n in nodes if n.op is not None]
    changed, forward = True, True
    while changed:
        changed = False
        for n in operators if forward else reversed(operators):
            changed |= _step(n, shapes)
        forward = not forward
    return shapes


def _step(n: Node, shapes: dict[int, list[Shape | None]]) -> bool:
    """Apply one node's rule; whether anything was learnt."""
    ins = [shapes[id(source)][i] for source, i in n.inputs]
    outs = shapes[id(n)]
    if all(map(is_known, ins)) and all(map(is_known, outs)):
        return False
    assert n.op is not None
    if n.op.name in _DATA_FIRST and ins[0] is None:
        return False
    try:
        new_ins, new_outs = n.op.infer_shape(ins, n.params, outs)
        changed = False
        for (source, i), new in zip(n.inputs, new_ins, strict=True):
            merged = merge_shapes(shapes[id(source)][i], new)
            changed |= merged != shapes[id(source)][i]
            shapes[id(source)][i] = merged
        for i, new in enumerate(new_outs):
            merged = merge_shapes(outs[i], new)
            changed |= merged != outs[i]
            outs[i] = merged
    except ShapeError as e:
        given = ", ".join(
            f"{source.name}{'' if s is None else s}" for (source, _), s in zip(n.inputs, ins, strict=True)
        )
        raise ShapeError(f"in node '{n.name}', given {given}: {e}") from e
    return changed


def check_shapes(nodes: Sequence[Node], shapes: Mapping[int, Sequence[Shape | None]]) -> None:
    """Raise ShapeError unless every operator accepts the shapes of its inputs."""
    for n in nodes:
        if n.op is not None:
            try:
                n.op.infer_shape(
                    [shapes[id(source)][i] for source, i in n.inputs], n.params, list(shapes[id(n)])
                )
            except ShapeError as e:
                raise ShapeError(f"in node '{n.name}': {e}") from e


def infer_types(nodes: Sequence[Node], known: Mapping[str, str]) -> dict[int, list[str | None]]:
    """The dtypes of every node's outputs, by the node's id; None where they do not follow."""
    types: dict[int, list[str | None]] = {}
    for n in nodes:
        given: str | None = None
        if n.op is None:
            given = known.get(n.name)
            if given is None and "__dtype__" in n.attrs:
                text = n.attrs["__dtype__"]
                given = _DTYPE_NAMES.get(text) or (np.dtype(text).name if text != "-1" else None)
        types[id(n)] = [given] * n.num_outputs
    operators = [n for n in nodes if n.op is not None]
    changed, forward = True, True
    while changed:
        changed = False
        for n in operators if forward else reversed(operators):
            assert n.op is not None
            ins = [types[id(source)][i] for source, i in n.inputs]
            try:
                new_ins, new_outs = n.op.infer_type(ins, n.params, types[id(n)])
            except PSError as e:
                raise ShapeError(f"in node '{n.name}': {e}") from e
            for (source, i), new in zip(n.inputs, new_ins, strict=True):
                if types[id(source)][i] is None and new is not None:
                    types[id(source)][i] = new
                    changed = True
            for i, new in enumerate(new_outs):
                if types[id(n)][i] is None and new is not None:
                    types[id(n)][i] = new
                    changed = True
        forward = not forward
    return types

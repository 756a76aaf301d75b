"""The graph behind symbols: nodes, and walks over them. A node is never changed once it is in use."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..attribute import HIDDEN
from ..errors import GraphError
from ..ops.params import format_param
from ..ops.registry import Op

__all__ = ["HIDDEN", "Entry", "Node", "arguments", "auxiliaries", "topological"]


@dataclass(eq=False)
class Node:
    """One operator, or a variable if `op` is None."""

    op: Op | None
    name: str
    attrs: dict[str, str] = field(
        default_factory=dict
    )  # as they stand in a file: parameters and __attributes__
    inputs: list[Entry] = field(default_factory=list)
    live: dict[str, Any] = field(
        default_factory=dict
    )  # parameters that have no text, such as a user's object

    @cached_property
    def params(self) -> dict[str, Any]:
        """The operator's parameters, parsed. Raises ConfigError."""
        assert self.op is not None
        given = {k: v for k, v in self.attrs.items() if not k.startswith("__")}
        return self.op.parse({**given, **self.live})

    @cached_property
    def num_outputs(self) -> int:
        """How many arrays it makes."""
        return 1 if self.op is None else self.op.num_outputs(self.params)

    @cached_property
    def num_visible(self) -> int:
        """How many of them a user sees."""
        return 1 if self.op is None else self.op.num_visible(self.params)

    @cached_property
    def output_names(self) -> list[str]:
        """The names of its visible outputs; of a variable, its own."""
        if self.op is None:
            return [self.name]
        return [f"{self.name}_{n}" for n in self.op.output_names(self.params)[: self.num_visible]]

    def is_aux(self, i: int) -> bool:
        """Whether input `i` is an auxiliary state."""
        if self.op is None or not self.op.aux:
            return False
        return self.op.active(self.params, len(self.inputs) if self.op.variadic else None)[i] in self.op.aux


Entry = tuple[Node, int]  # a node's output


def topological(heads: Iterable[Entry]) -> list[Node]:
    """Every node that the heads depend on, inputs before users, in the order of a depth-first walk."""
    order: list[Node] = []
    seen: set[int] = set()
    for head, _ in heads:
        stack: list[tuple[Node, int]] = [(head, 0)] if id(head) not in seen else []
        seen.add(id(head))
        while stack:
            node, i = stack.pop()
            if i < len(node.inputs):
                stack.append((node, i + 1))
                child = node.inputs[i][0]
                if id(child) not in seen:
                    seen.add(id(child))
                    stack.append((child, 0))
            else:
                order.append(node)
    return order


def _auxiliary_ids(nodes: Sequence[Node]) -> set[int]:
    return {
        id(n.inputs[i][0])
        for n in nodes
        if n.op is not None and n.op.aux
        for i in range(len(n.inputs))
        if n.is_aux(i)
    }


def arguments(nodes: Sequence[Node]) -> list[Node]:
    """The variables that are not auxiliary states."""
    aux = _auxiliary_ids(nodes)
    return [n for n in nodes if n.op is None and id(n) not in aux]


def auxiliaries(nodes: Sequence[Node]) -> list[Node]:
    """The variables that are auxiliary states."""
    aux = _auxiliary_ids(nodes)
    return [n for n in nodes if n.op is None and id(n) in aux]


def automatic(node: Node, array_name: str) -> Node:
    """The variable that stands for an operator's array that was not given, with the operator's attributes."""
    assert node.op is not None
    attrs = dict(node.attrs)
    if array_name in node.op.aux:
        attrs["__init__"] = json.dumps(["one" if array_name.endswith("var") else "zero", {}])
    elif node.op.name == "LeakyReLU":  # prelu's slope begins where leaky's stands, not at 1 like other gammas
        attrs["__init__"] = json.dumps(["Constant", {"value": 0.25}])
    return Node(None, f"{node.name}_{array_name}", attrs)


def attribute_text(attrs: Mapping[str, Any]) -> dict[str, str]:
    """User attributes as they stand in a file: text, with __ around the names that MXNet knows."""
    out = {}
    for key, value in attrs.items():
        if value is None:
            continue
        if not isinstance(value, str):
            raise GraphError(f"attribute {key} is {value!r}; wanted text")
        out[f"__{key}__" if key in HIDDEN else key] = value
    return out


def parameter_text(params: Mapping[str, Any]) -> dict[str, str]:
    """Parameters as they stand in a file."""
    return {k: v if isinstance(v, str) else format_param(v) for k, v in params.items() if v is not None}

"""Symbols to and from MXNet's JSON, of every age since 0.8.

Old files differ: parameters under `param` and attributes under `attr` (before 0.11 both under `attr`), inputs
as pairs, and operators' auxiliary states not among their inputs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from .. import ops
from ..errors import GraphError, PSError
from .graph import HIDDEN, Entry, Node, automatic, topological

__all__ = ["dumps", "loads"]

_MAX_NODES = 1_000_000


def dumps(heads: Sequence[Entry], remove_amp_cast: bool = True) -> str:
    """The graph as MXNet 1.9's JSON."""
    nodes = topological(heads)
    index = {id(n): i for i, n in enumerate(nodes)}
    rows, row = [0], 0
    written: list[dict[str, Any]] = []
    for n in nodes:
        if n.live:
            raise GraphError(
                f"node '{n.name}': its parameters {', '.join(n.live)} are objects and cannot be saved"
            )
        entry: dict[str, Any] = {"op": "null" if n.op is None else n.op.name, "name": n.name}
        if n.attrs:
            entry["attrs"] = dict(sorted(n.attrs.items()))
        entry["inputs"] = [[index[id(s)], i, int(n.is_aux(k))] for k, (s, i) in enumerate(n.inputs)]
        parts = getattr(n.op, "parts", None)  # a loop's bodies
        if parts is not None:
            entry["subgraphs"] = [json.loads(dumps(part)) for part in parts]
        written.append(entry)
        row += n.num_outputs
        rows.append(row)
    return json.dumps(
        {
            "nodes": written,
            "arg_nodes": [i for i, n in enumerate(nodes) if n.op is None],
            "node_row_ptr": rows,
            "heads": [[index[id(n)], i, 0] for n, i in heads],
            "attrs": {"mxnet_version": ["int", 10901]},
        },
        indent=2,
    )


def loads(text: str) -> list[Entry]:
    """The heads of the graph in `text`. Raises GraphError, naming the node, for anything that is not such a
    graph.
    """
    try:
        tree = json.loads(text)
        rows = tree["nodes"]
        heads = tree["heads"]
        if not isinstance(rows, list) or not isinstance(heads, list):
            raise TypeError("nodes and heads are not lists")
    except (json.JSONDecodeError, KeyError, TypeError, RecursionError) as e:
        raise GraphError(f"not a symbol's JSON: {e!r}") from e
    nodes: list[Node] = []
    for i, row in enumerate(rows):
        try:
            nodes.append(_node(row, nodes))
        except (PSError, KeyError, TypeError, ValueError, IndexError, AttributeError) as e:
            name = row.get("name", "?") if isinstance(row, dict) else "?"
            raise GraphError(f"node {i} ('{name}') of the symbol's JSON: {e}") from e
    try:
        found = [(nodes[h[0]], int(h[1]) if len(h) > 1 else 0) for h in heads]
    except (IndexError, TypeError) as e:
        raise GraphError(f"heads {heads} of the symbol's JSON do not fit its {len(nodes)} nodes") from e
    for n, i in found:
        if not 0 <= i < n.num_outputs:
            raise GraphError(f"head {i} of node '{n.name}', which has {n.num_outputs} outputs")
    return found


def _node(row: dict[str, Any], before: list[Node]) -> Node:
    attrs: dict[str, str] = {}
    for key in ("param", "attr", "attrs"):
        attrs.update({str(k): str(v) for k, v in (row.get(key) or {}).items()})
    name = str(row["name"])
    kind = str(row["op"])
    inputs: list[Entry] = []
    for pair in row.get("inputs", []):
        at = int(pair[0])
        if not 0 <= at < len(before):
            raise GraphError(f"input {at} does not stand before it")
        inputs.append((before[at], int(pair[1])))
    if kind == "null":
        return Node(None, name, {_hidden(k): v for k, v in attrs.items()})
    if row.get("subgraphs"):
        from .control import restored

        bodies = [loads(json.dumps(part)) for part in row["subgraphs"]]
        return Node(restored(kind, attrs, bodies, len(inputs)), name, attrs, inputs)
    op = ops.get(kind).specialise(attrs)
    known = {}
    moved: dict[str, dict[str, str]] = {}
    for k, v in attrs.items():
        key = _hidden(k)
        if key.startswith("__") or k in op.params:
            known[key] = v
            continue
        owner, _, attribute = k.rpartition("_")  # old files keep weight_lr_mult on the operator
        for hidden in HIDDEN:
            if k.endswith(f"_{hidden}"):
                owner, attribute = k[: -len(hidden) - 1], hidden
        if owner in op.inputs:
            moved.setdefault(owner, {})[f"__{attribute}__"] = v
        else:
            known[f"__{k}__"] = v  # a parameter that is gone, or a user's attribute of old
    node = Node(op, name, known, inputs)
    active = op.active(node.params, len(inputs) if op.variadic else None)
    for missing in active[len(inputs) :]:  # auxiliary states of old files
        node.inputs.append((automatic(node, missing), 0))
    for (source, _), owner in zip(node.inputs, active, strict=True):
        source.attrs.update(moved.get(owner, {}))
    return node


def _hidden(key: str) -> str:
    return f"__{key}__" if key in HIDDEN else key

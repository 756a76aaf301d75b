"""A network in words (`print_summary`) and in a picture (`plot_network`, which needs graphviz)."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

from .errors import ConfigError, GraphError
from .symbol import Symbol

__all__ = ["plot_network", "print_summary"]

Shape = tuple[int, ...]


class Layer(NamedTuple):
    """A node of the graph as these two functions need it."""

    name: str
    op: str  # "null" for a variable
    attrs: dict[str, str]
    inputs: list[tuple[int, int]]  # which layer, which of its outputs


def _layers(symbol: Symbol) -> list[Layer]:
    if not isinstance(symbol, Symbol):
        raise TypeError(f"visualization: wanted a Symbol, got {type(symbol).__name__}")
    return [
        Layer(n["name"], n["op"], n.get("attrs", {}), [(i, k) for i, k, *_ in n["inputs"]])
        for n in json.loads(symbol.tojson())["nodes"]
    ]


def _shapes(symbol: Symbol, shape: Mapping[str, Sequence[int]] | None) -> dict[str, Shape]:
    """The shape of every output of every node, by name; empty when no shape is given."""
    if shape is None:
        return {}
    internals = symbol.get_internals()
    _, found, _ = internals.infer_shape(**shape)
    if found is None:
        known = dict(zip(symbol.list_arguments(), symbol.infer_shape_partial(**shape)[0], strict=True))
        missing = [name for name, s in known.items() if not s or 0 in s]
        raise GraphError(
            f"shape gives {', '.join(shape)}; not enough to know the shape of {', '.join(missing)}"
        )
    return dict(zip(internals.list_outputs(), found, strict=True))


def _size(shapes: Mapping[str, Shape], layer: Layer, k: int) -> str:
    """The shape of a layer's output without the batch, as text; empty when it is not known."""
    found = shapes.get(layer.name if layer.op == "null" else f"{layer.name}_output")
    if found is None and layer.op != "null":  # several outputs, whose names differ by operator
        several = [s for name, s in shapes.items() if name.startswith(f"{layer.name}_")]
        found = several[k] if k < len(several) else ()
    return "x".join(str(s) for s in (found or ())[1:])


def print_summary(
    symbol: Symbol,
    shape: Mapping[str, Sequence[int]] | None = None,
    line_length: int = 120,
    positions: Sequence[float] = (0.44, 0.64, 0.74, 1.0),
) -> None:
    """Print a table of the layers: output shapes without the batch, numbers of parameters, what feeds them.

    `shape` gives the inputs' shapes by name; without it there are no shapes and no numbers. `positions` are the
    columns' right edges, in parts of the line if the last is at most 1, else in characters.
    """
    layers = _layers(symbol)
    shapes = _shapes(symbol, shape)
    auxiliary = set(symbol.list_auxiliary_states())
    edges = [int(line_length * p) if positions[-1] <= 1 else int(p) for p in positions]

    def row(*fields: Any) -> None:
        line = ""
        for field, edge in zip(fields, edges, strict=True):
            line = (line + str(field))[:edge].ljust(edge)
        print(line)

    def is_data(i: int) -> bool:
        return i == 0 or layers[i].name in (shape or ())

    print("_" * line_length)
    row("Layer (type)", "Output Shape", "Param #", "Previous Layer")
    print("=" * line_length)
    counted: set[str] = set()  # a shared weight counts once
    total = 0
    for i, layer in enumerate(layers):
        if layer.op == "null" and not is_data(i):
            continue
        parameters = 0
        before = []
        for j, _ in layer.inputs:
            source = layers[j]
            if source.op != "null" or is_data(j):
                before.append(source.name)
            elif source.name not in counted | auxiliary and not source.name.endswith("label"):
                counted.add(source.name)
                parameters += prod(shapes[source.name]) if shapes else 0
        total += parameters
        row(f"{layer.name}({layer.op})", _size(shapes, layer, 0), parameters, before[0] if before else "")
        for name in before[1:]:
            row("", "", "", name)
        print(("=" if i == len(layers) - 1 else "_") * line_length)
    print(f"Total params: {total}")
    print("_" * line_length)


_WEIGHTS = (
    "_weight", "_bias", "_gamma", "_beta", "_moving_mean", "_moving_var", "_running_mean", "_running_var"
)  # fmt: skip
_DATA, _WEIGHTED, _ACTIVATION, _NORM, _POOL, _SHAPE, _SOFTMAX, _OTHER = (
    "#8dd3c7", "#fb8072", "#ffffb3", "#bebada", "#80b1d3", "#fdb462", "#b3de69", "#fccde5"
)  # fmt: skip  # ColorBrewer's Set3
_COLOURS = {
    "Convolution": _WEIGHTED,
    "Deconvolution": _WEIGHTED,
    "FullyConnected": _WEIGHTED,
    "BatchNorm": _NORM,
    "Activation": _ACTIVATION,
    "LeakyReLU": _ACTIVATION,
    "Pooling": _POOL,
    "Concat": _SHAPE,
    "Flatten": _SHAPE,
    "Reshape": _SHAPE,
    "Softmax": _SOFTMAX,
    "softmax": _SOFTMAX,
}


def plot_network(
    symbol: Symbol,
    title: str = "plot",
    save_format: str = "pdf",
    shape: Mapping[str, Sequence[int]] | None = None,
    dtype: Any = None,
    node_attrs: Mapping[str, str] | None = None,
    hide_weights: bool = True,
) -> Any:
    """The network as a `graphviz.Digraph`, to `render()` or to show in a notebook.

    With `shape` the arrows are labelled with shapes (without the batch). `node_attrs` are graphviz's, for every
    box. Raises ConfigError if graphviz is not installed.
    """
    try:
        from graphviz import Digraph  # type: ignore[import-not-found,import-untyped,unused-ignore]  # optional
    except ImportError as e:
        raise ConfigError(
            "plot_network needs graphviz, which is not installed: pip install 'psdist[graph]'"
        ) from e
    layers = _layers(symbol)
    shapes = _shapes(symbol, shape)
    repeated = [name for name, count in Counter(layer.name for layer in layers).items() if count > 1]
    if repeated:
        warnings.warn(
            "There are multiple variables with the same name in your graph, which are drawn as one: "
            + ", ".join(repeated),
            UserWarning,
            stacklevel=2,
        )
    box = {"shape": "box", "fixedsize": "true", "width": "1.3", "height": "0.8034", "style": "filled"}
    box.update(node_attrs or {})
    dot = Digraph(name=title, format=save_format)
    hidden = {
        i for i, n in enumerate(layers) if hide_weights and n.op == "null" and n.name.endswith(_WEIGHTS)
    }
    for i, layer in enumerate(layers):
        if i in hidden:
            continue
        attrs = dict(box)
        if layer.op == "null":
            attrs["shape"] = "oval"
            attrs["fillcolor"] = _DATA
        else:
            attrs["fillcolor"] = _COLOURS.get(layer.op, _OTHER)
        dot.node(name=layer.name, label=_label(layer), **attrs)
    for i, layer in enumerate(layers):
        for j, k in layer.inputs:
            if i in hidden or j in hidden:
                continue
            arrow = {"dir": "back", "arrowtail": "open", "label": _size(shapes, layers[j], k)}
            dot.edge(tail_name=layer.name, head_name=layers[j].name, **arrow)
    return dot


def _label(layer: Layer) -> str:
    def sides(text: str) -> str:
        return "x".join(word.strip().rstrip("L") for word in text.strip("()[] ").split(",") if word.strip())

    attrs = layer.attrs
    match layer.op:
        case "Convolution" | "Deconvolution":
            stride = sides(attrs.get("stride", "")) or "1"
            return f"{layer.op}\n{sides(attrs['kernel'])}/{stride}, {attrs['num_filter']}"
        case "FullyConnected":
            return f"FullyConnected\n{attrs['num_hidden']}"
        case "Activation" | "LeakyReLU":
            return f"{layer.op}\n{attrs.get('act_type', 'leaky')}"
        case "Pooling":
            kernel, stride = sides(attrs.get("kernel", "")), sides(attrs.get("stride", "")) or "1"
            return f"Pooling\n{attrs.get('pool_type', 'max')}, {kernel}/{stride}"
        case "Custom":
            return attrs["op_type"]
        case _:
            return layer.name

"""Recording what is computed, and going back through it for gradients.

While recording, every operator leaves a `Node` that holds what its gradient needs. `backward` walks the nodes
that a head depends on, latest first: nodes are numbered as they are made, so that order is topological.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .errors import GraphError, ShapeError
from .ops.sparse import RowSparse

if TYPE_CHECKING:
    from .ndarray.array import NDArray

__all__ = [
    "Function",
    "backward",
    "get_symbol",
    "grad",
    "is_recording",
    "is_training",
    "mark_variables",
    "pause",
    "predict_mode",
    "record",
    "set_recording",
    "set_training",
    "train_mode",
]

Array = np.ndarray[Any, Any]
_order = itertools.count()


class _State(threading.local):
    recording = False
    training = False


state = _State()


class Differentiable(Protocol):
    """What a node asks for gradients: an `Op`, or anything that can answer like one."""

    def backward(
        self,
        heads: Sequence[Array],
        outputs: Sequence[Array | None],
        inputs: Sequence[Array | None],
        params: Any,
        needs: tuple[bool, ...],
        is_train: bool = True,
    ) -> Sequence[Array | None]: ...


class Leaf:
    """A variable: an array whose gradient is wanted, and where it goes."""

    __slots__ = ("grad", "req")

    def __init__(self, grad: NDArray, req: str) -> None:
        self.grad = grad
        self.req = req  # write, add or null


Source = tuple["Node | Leaf", int] | None  # where an array came from: a node's output, a variable, or neither


class Node:
    """One recorded operator."""

    __slots__ = ("inputs", "is_train", "num_visible", "op", "order", "outputs", "params", "parents")

    def __init__(
        self,
        op: Differentiable,
        params: Any,
        inputs: Sequence[Array | None],
        outputs: Sequence[Array | None],
        parents: Sequence[Source],
        num_visible: int,
    ) -> None:
        self.op = op
        self.params = params
        self.inputs = inputs  # as they were when recorded
        self.outputs = outputs
        self.parents = parents
        self.num_visible = num_visible
        self.is_train = state.training
        self.order = next(_order)


class _Scope:
    """A `with` block that sets recording and training, and puts both back."""

    def __init__(self, recording: bool | None, training: bool | None) -> None:
        self._wanted = (recording, training)
        self._before: list[tuple[bool, bool]] = []

    def __enter__(self) -> _Scope:
        self._before.append((state.recording, state.training))
        recording, training = self._wanted
        if recording is not None:
            state.recording = recording
        if training is not None:
            state.training = training
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        state.recording, state.training = self._before.pop()


def record(train_mode: bool = True) -> _Scope:
    """Record what is computed in the `with` block, in training mode unless told otherwise."""
    return _Scope(True, train_mode)


def pause(train_mode: bool = False) -> _Scope:
    """Do not record in the `with` block."""
    return _Scope(False, train_mode)


def train_mode() -> _Scope:
    """Operators in the `with` block behave as in training (Dropout drops, BatchNorm uses the batch)."""
    return _Scope(None, True)


def predict_mode() -> _Scope:
    """Operators in the `with` block behave as in prediction."""
    return _Scope(None, False)


def is_recording() -> bool:
    """Whether this thread records."""
    return state.recording


def is_training() -> bool:
    """Whether this thread's operators behave as in training."""
    return state.training


def set_recording(is_recording: bool) -> bool:
    """Turn recording on or off; returns how it was."""
    before, state.recording = state.recording, bool(is_recording)
    return before


def set_training(train_mode: bool) -> bool:
    """Turn training mode on or off; returns how it was."""
    before, state.training = state.training, bool(train_mode)
    return before


def mark_variables(
    variables: NDArray | Sequence[NDArray],
    gradients: NDArray | Sequence[NDArray],
    grad_reqs: str | Sequence[str] = "write",
) -> None:
    """Have `backward` put the gradient of each variable into the array beside it.

    `grad_reqs` says how: `write`, `add`, or `null` for not at all.
    """
    if not isinstance(variables, list | tuple):
        variables, gradients = [variables], [gradients]  # type: ignore[list-item]
    reqs = [grad_reqs] * len(variables) if isinstance(grad_reqs, str) else list(grad_reqs)
    for variable, gradient, req in zip(variables, gradients, reqs, strict=True):  # type: ignore[arg-type]
        if req not in ("write", "add", "null"):
            raise GraphError(f"grad_req is {req!r}; wanted 'write', 'add' or 'null'")
        if variable.shape != gradient.shape:
            raise ShapeError(f"a gradient of shape {gradient.shape} for a variable of shape {variable.shape}")
        variable._source = (Leaf(gradient, req), 0) if req != "null" else None


def _reachable(heads: Sequence[NDArray]) -> list[Node]:
    """The nodes that the heads depend on, latest first."""
    found: dict[int, Node] = {}
    stack = [h._source[0] for h in heads if h._source is not None]
    while stack:
        node = stack.pop()
        if isinstance(node, Node) and node.order not in found:
            found[node.order] = node
            stack.extend(p[0] for p in node.parents if p is not None)
    return [found[i] for i in sorted(found, reverse=True)]


def _gradients(
    heads: Sequence[NDArray], head_grads: Sequence[NDArray | None] | None, train: bool
) -> dict[int, tuple[Leaf, Array]]:
    """The gradient that arrives at each leaf, by the leaf's id."""
    for h in heads:
        if h._source is None:
            raise GraphError(
                "backward: this array was not computed while recording from a variable that wants a gradient; "
                "call attach_grad() on the variable and compute inside `with autograd.record():`"
            )
    sums: dict[tuple[int, int], Array] = {}  # (node's or leaf's id, output) -> gradient so far
    leaves: dict[int, Leaf] = {}

    def arrive(source: Source, g: Array) -> None:
        if source is None:
            return
        if isinstance(source[0], Leaf):
            leaves[id(source[0])] = source[0]
        key = (id(source[0]), source[1])
        before = sums.get(key)
        sums[key] = g if before is None else before + g

    grads = head_grads if head_grads is not None else [None] * len(heads)
    if len(grads) != len(heads):
        raise GraphError(f"backward: {len(heads)} heads and {len(grads)} head gradients")
    for h, hg in zip(heads, grads, strict=True):
        if hg is not None and hg.shape != h.shape:
            raise ShapeError(f"backward: a head gradient of shape {hg.shape} for a head of shape {h.shape}")
        arrive(h._source, np.ones_like(h._data) if hg is None else hg._data)
    for node in _reachable(heads):
        arrived = [_dense(sums.pop((id(node), i), None)) for i in range(node.num_visible)]
        if all(a is None for a in arrived):
            continue
        given = []
        for i, a in enumerate(arrived):
            if a is None:
                like = node.outputs[i]
                assert like is not None
                a = np.zeros_like(like)
            given.append(a)
        needs = tuple(p is not None for p in node.parents)
        back = node.op.backward(given, node.outputs, node.inputs, node.params, needs, node.is_train and train)
        for parent, g in zip(node.parents, back, strict=False):
            if g is not None:
                arrive(parent, g)
    return {i: (leaf, sums[i, 0]) for i, leaf in leaves.items()}


def _dense(g: Array | RowSparse | None) -> Array | None:
    return g.dense() if isinstance(g, RowSparse) else g


def _deliver(leaf: Leaf, g: Array | RowSparse) -> None:
    """Put a gradient, or add it, where its variable wants it."""
    target = leaf.grad
    if target.stype != "default":
        arrived = target._like(g)
        target._assign(target + arrived if leaf.req == "add" else arrived)
    elif leaf.req == "add" and isinstance(g, RowSparse):
        target._data[g.indices] += g.data
    elif leaf.req == "add":
        target._data[...] += g
    else:
        target._data[...] = _dense(g)


def backward(
    heads: NDArray | Sequence[NDArray],
    head_grads: NDArray | Sequence[NDArray | None] | None = None,
    retain_graph: bool = False,
    train_mode: bool = True,
) -> None:
    """Compute the gradients of `heads` and put them where `attach_grad` or `mark_variables` said.

    `head_grads` are the gradients of something with regard to the heads, by default ones. Raises GraphError
    for a head that was not recorded.
    """
    if not isinstance(heads, list | tuple):
        heads = [heads]  # type: ignore[list-item]
        head_grads = None if head_grads is None else [head_grads]  # type: ignore[list-item]
    for leaf, g in _gradients(heads, head_grads, train_mode).values():  # type: ignore[arg-type]
        _deliver(leaf, g)


def grad(
    heads: NDArray | Sequence[NDArray],
    variables: NDArray | Sequence[NDArray],
    head_grads: NDArray | Sequence[NDArray | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    train_mode: bool = True,
) -> NDArray | list[NDArray]:
    """The gradients of `heads` with regard to `variables`, as new arrays; `.grad` stays as it is."""
    if not isinstance(heads, list | tuple):
        heads = [heads]  # type: ignore[list-item]
        head_grads = None if head_grads is None else [head_grads]  # type: ignore[list-item]
    single = not isinstance(variables, list | tuple)
    wanted: Sequence[NDArray] = [variables] if single else variables  # type: ignore[list-item, assignment]
    if create_graph:
        raise GraphError("grad: create_graph=True is not supported")
    found = _gradients(heads, head_grads, train_mode)  # type: ignore[arg-type]
    out = []
    for v in wanted:
        if v._source is None or not isinstance(v._source[0], Leaf):
            raise GraphError("grad: a variable was not marked; call attach_grad() on it before recording")
        _, g = found.get(id(v._source[0]), (None, None))
        out.append(v._like(np.zeros_like(v._data) if g is None else g if isinstance(g, RowSparse) else np.array(g)))
    return out[0] if single else out


def get_symbol(x: NDArray) -> Any:
    """The recorded history of `x` as a Symbol."""
    raise GraphError("get_symbol is not supported: write the graph as a Symbol instead")


class Function:
    """A function with a gradient of your own: override `forward` and `backward`, both over NDArrays.

    Call the instance like a function. `save_for_backward` keeps arrays for `backward`, as `saved_tensors`.
    """

    def __init__(self) -> None:
        self.saved_tensors: tuple[NDArray, ...] = ()

    def save_for_backward(self, *args: NDArray) -> None:
        """Keep arrays that `backward` will need."""
        self.saved_tensors = args

    def forward(self, *inputs: NDArray) -> Any:
        """Outputs from inputs."""
        raise GraphError(f"{type(self).__name__} does not define forward(self, *inputs)")

    def backward(self, *output_grads: NDArray) -> Any:
        """The inputs' gradients from the outputs'."""
        raise GraphError(f"{type(self).__name__} does not define backward(self, *output_grads)")

    def __call__(self, *inputs: NDArray) -> Any:
        recording = state.recording
        with pause(train_mode=state.training):
            result = self.forward(*inputs)
        outputs = list(result) if isinstance(result, list | tuple) else [result]
        if recording and any(x._source is not None for x in inputs):
            node = Node(
                _UserGradient(self, inputs[0]),
                {},
                [x._data for x in inputs],
                [y._data for y in outputs],
                [x._source for x in inputs],
                len(outputs),
            )
            outputs = [y._like(y._data) for y in outputs]
            for i, y in enumerate(outputs):
                y._source = (node, i)
        return outputs if isinstance(result, list | tuple) else outputs[0]


class _UserGradient:
    """A `Function`, answering like an operator."""

    def __init__(self, function: Function, like: NDArray) -> None:
        self._function = function
        self._like = like

    def backward(
        self,
        heads: Sequence[Array],
        outputs: Sequence[Array | None],
        inputs: Sequence[Array | None],
        params: Any,
        needs: tuple[bool, ...],
        is_train: bool = True,
    ) -> list[Array | None]:
        with pause(train_mode=is_train):
            grads = self._function.backward(*(self._like._like(g) for g in heads))
        grads = grads if isinstance(grads, list | tuple) else [grads]
        if len(grads) != len(inputs):
            raise GraphError(
                f"{type(self._function).__name__}.backward returned {len(grads)} gradients for {len(inputs)} inputs"
            )
        return [None if g is None else g._data for g in grads]

"""Recording what is computed, and going back through it for gradients.

While recording, every operator leaves a `Node` that holds what its gradient needs. `backward` walks the nodes
that a head depends on, latest first: nodes are numbered as they are made, so that order is topological.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from .errors import GraphError, ShapeError
from .ops.quiet import SILENT, enter, leave
from .ops.registry import Op, unbroadcast
from .ops.sparse import RowSparse

if TYPE_CHECKING:
    from .ndarray.array import NDArray  # at run time the array's own module puts it here

__all__ = [
    "Function",
    "NDArray",
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
order = itertools.count()


class _State(threading.local):
    """What this thread does. Change it by `_set`."""

    recording = False
    training = False
    both = (False, False)  # the same in one attribute


class _Anyone:
    """Whether any thread records: one attribute instead of a thread's own, where a microsecond counts."""

    __slots__ = ("recording",)

    def __init__(self) -> None:
        self.recording = (
            0  # threads that record; one that ended while recording counts on, which only costs time
        )


state = _State()
anyone = _Anyone()
_lock = threading.Lock()  # guards anyone.recording


def _set(recording: bool, training: bool) -> None:
    if recording != state.recording:
        with _lock:
            anyone.recording += 1 if recording else -1
    state.recording, state.training = state.both = (recording, training)


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

    __slots__ = ("fresh", "grad", "order", "req")

    def __init__(self, grad: NDArray, req: str) -> None:
        self.grad = grad
        self.fresh = False  # whether a gradient has come since a script set it to False
        self.req = req  # write, add or null
        self.order = -1 - next(order)  # below every node's


Source = tuple["Node | Leaf", int] | None  # where an array came from: a node's output, a variable, or neither


class _Fields(NamedTuple):
    op: Differentiable
    params: Any
    inputs: Sequence[Array | None]  # as they were when recorded
    outputs: Sequence[Array | None]
    parents: Sequence[Source]
    num_visible: int
    is_train: bool
    order: int  # nodes are numbered as they are made


class Node(_Fields):
    """One recorded operator: a tuple, which costs less to make than an object."""

    __slots__ = ()

    def __new__(
        cls,
        op: Differentiable,
        params: Any,
        inputs: Sequence[Array | None],
        outputs: Sequence[Array | None],
        parents: Sequence[Source],
        num_visible: int,
    ) -> Node:
        fields = (op, params, inputs, outputs, parents, num_visible, state.training, next(order))
        return tuple.__new__(cls, fields)


class _Scope:
    """A `with` block that sets recording and training, and puts both back."""

    def __init__(self, recording: bool | None, training: bool | None) -> None:
        self._wanted = (recording, training)
        self._before: list[tuple[bool, bool]] = []

    def __enter__(self) -> _Scope:
        before = state.recording, state.training
        self._before.append(before)
        recording, training = self._wanted
        _set(before[0] if recording is None else recording, before[1] if training is None else training)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _set(*self._before.pop())


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
    before = state.recording
    _set(bool(is_recording), state.training)
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
    for variable, gradient, req in zip(variables, gradients, reqs, strict=True):
        if req not in ("write", "add", "null"):
            raise GraphError(f"grad_req is {req!r}; wanted 'write', 'add' or 'null'")
        if variable.shape != gradient.shape:
            raise ShapeError(f"a gradient of shape {gradient.shape} for a variable of shape {variable.shape}")
        variable._source = (Leaf(gradient, req), 0) if req != "null" else None


def check_heads(
    heads: Sequence[NDArray], head_grads: Sequence[NDArray | None] | None
) -> Sequence[NDArray | None]:
    """The heads' gradients, None where they are ones. Raises GraphError for a head that was not recorded."""
    for h in heads:
        if h._source is None:
            raise GraphError(
                "backward: this array was not computed while recording from a variable that wants a gradient; "
                "call attach_grad() on the variable and compute inside `with autograd.record():`; or it is the head of an "
                "earlier backward(), which lets go of the graph unless retain_graph=True"
            )
    grads = head_grads if head_grads is not None else [None] * len(heads)
    if len(grads) != len(heads):
        raise GraphError(f"backward: {len(heads)} heads and {len(grads)} head gradients")
    for h, g in zip(heads, grads, strict=True):
        if g is not None and g.shape != h.shape:
            raise ShapeError(f"backward: a head gradient of shape {g.shape} for a head of shape {h.shape}")
    return grads


def _is_plain(node: Node) -> bool:
    """Whether its gradients may be computed by its operator's functions, without `backward`'s care."""
    op = node[0]
    return node[5] == 1 and type(op) is Op and not op.gradient_asks


class Tape:
    """Gradients on their way back: what has arrived at each node and leaf, and which node is next.

    A node's users have higher numbers, so whichever waiting node has the highest has received everything.
    """

    __slots__ = ("heap", "leaves", "nodes", "sums")

    def __init__(self) -> None:
        self.heap: list[int] = []  # numbers of waiting nodes, negative
        self.nodes: dict[int, Node] = {}  # the waiting nodes
        self.sums: dict[Any, Any] = {}  # number, or (number, output) but for the first -> gradient so far
        self.leaves: dict[int, Leaf] = {}

    def arrive(self, source: Source, g: Any) -> None:
        """Add a gradient to an array's."""
        if source is None:
            return
        node, i = source
        number = node.order
        key: Any = (number, i) if i else number
        before = self.sums.get(key)
        if before is not None:
            self.sums[key] = before + g
            return
        self.sums[key] = g
        if number < 0:
            self.leaves[number] = node  # type: ignore[assignment]
        elif number not in self.nodes:
            self.nodes[number] = node  # type: ignore[assignment]
            heappush(self.heap, -number)

    def run(self, backward: Callable[[Node, list[Any]], Sequence[Any]], is_plain: bool = False) -> None:
        """Go back through every node: `backward(node, heads)` gives the gradients of its inputs, None for zero.

        With `is_plain` the gradients are NumPy arrays, and the commonest case is done here: an operator of one
        output whose gradient asks for nothing. It is what `backward` and `arrive` would do, without their calls.
        """
        heap, nodes, sums, arrive = self.heap, self.nodes, self.sums, self.arrive
        following: Any = None  # the node that is next without having waited, whose gradient is g
        g: Any = None
        while heap or following is not None:
            if following is not None:
                node, following = following, None
            else:
                number = -heappop(heap)
                node = nodes.pop(number)
                if not (is_plain and _is_plain(node)):
                    heads = [sums.pop(number, None)]
                    if node.num_visible > 1:
                        heads += [sums.pop((number, i), None) for i in range(1, node.num_visible)]
                    for source, g in zip(node.parents, backward(node, heads), strict=False):
                        if source is not None and g is not None:
                            arrive(source, g)
                    continue
                g = sums.pop(number)
                if type(g) is RowSparse:
                    g = g.dense()
            op, params, inputs, outputs, parents, _, _, _ = node
            which = -1  # the only input whose gradient is wanted
            if len(parents) == 1:
                which = 0
                g = op.gradient_kernel(g, *outputs, *inputs, **params)
                if type(g) is tuple or type(g) is list:
                    g = g[0]
            elif op.gradient_parts is not None:  # it has two inputs and one output
                first, second = parents
                if first is None or second is None:
                    which = first is None
                    a, b = inputs
                    g = op.gradient_parts[which](g, outputs[0], a, b)
            if which >= 0:
                source, x = parents[which], inputs[which]
                if source is None or g is None:
                    continue
                if x is not None and g.shape != x.shape:
                    g = unbroadcast(g, x.shape)
                parent, i = source
                if not (heap or i) and type(parent) is Node and _is_plain(parent) and parent[7] not in sums:
                    following = parent  # nobody else waits, so it has received everything
                else:
                    arrive(source, g)
                continue
            grads: Any = op.gradient_kernel(g, *outputs, *inputs, **params)
            if type(grads) is not tuple and type(grads) is not list:
                grads = (grads,)
            for source, g, x in zip(parents, grads, inputs, strict=False):
                if source is None or g is None:
                    continue
                if x is not None and g.shape != x.shape:
                    g = unbroadcast(g, x.shape)
                parent, i = source
                if i:
                    arrive(source, g)
                    continue
                number = parent.order
                before = sums.get(number)
                if before is not None:
                    sums[number] = before + g
                else:
                    sums[number] = g
                    if number < 0:
                        self.leaves[number] = parent
                    elif number not in nodes:
                        nodes[number] = parent
                        heappush(heap, -number)

    def of(self, leaf: Leaf) -> Any:
        """What arrived at a leaf, or None."""
        return self.sums.get(leaf.order)


def _backward_of(node: Node, heads: list[Any], train: bool) -> Sequence[Any]:
    """The gradients of a node's inputs."""
    given: list[Any] = [
        np.zeros_like(node.outputs[i]) if g is None else _dense(g) for i, g in enumerate(heads)
    ]
    needs = tuple([p is not None for p in node.parents])
    return node.op.backward(given, node.outputs, node.inputs, node.params, needs, node.is_train and train)


def _gradients(heads: Sequence[NDArray], head_grads: Sequence[NDArray | None] | None, train: bool) -> Tape:
    """The tape after all gradients have arrived."""
    tape = Tape()
    for h, hg in zip(heads, check_heads(heads, head_grads), strict=True):
        tape.arrive(h._source, np.ones_like(h._data) if hg is None else hg._data)
    token = enter(SILENT)
    try:
        tape.run(lambda node, arrived: _backward_of(node, arrived, train), is_plain=True)
    finally:
        leave(token)
    return tape


def _dense(g: Array | RowSparse | None) -> Array | None:
    return g.dense() if isinstance(g, RowSparse) else g


def _deliver(leaf: Leaf, g: Array | RowSparse) -> None:
    """Put a gradient, or add it, where its variable wants it."""
    target, leaf.fresh = leaf.grad, True
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

    `head_grads` are the gradients of something with regard to the heads, by default ones. Without `retain_graph`
    the heads let go of their graph, and cannot be gone back from again. Raises GraphError for a head that was not
    recorded.
    """
    if not isinstance(heads, list | tuple):
        heads = [heads]  # type: ignore[list-item]
        head_grads = None if head_grads is None else [head_grads]  # type: ignore[list-item]
    tape = _gradients(heads, head_grads, train_mode)  # type: ignore[arg-type]
    for leaf in tape.leaves.values():
        _deliver(leaf, tape.of(leaf))
    if not retain_graph:
        for h in heads:
            if h._source is not None and isinstance(h._source[0], Node):
                h._source = None


def grad(
    heads: NDArray | Sequence[NDArray],
    variables: NDArray | Sequence[NDArray],
    head_grads: NDArray | Sequence[NDArray | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    train_mode: bool = True,
) -> list[NDArray]:
    """The gradients of `heads` with regard to `variables`, as a list of new arrays (of one for a single variable);
    `.grad` stays as it is.

    With `create_graph` they are recorded themselves, so that they can be differentiated again. That works for
    operators whose gradient is made of elementwise functions, products and sums; others raise GraphError.
    """
    if not isinstance(heads, list | tuple):
        heads = [heads]  # type: ignore[list-item]
        head_grads = None if head_grads is None else [head_grads]  # type: ignore[list-item]
    wanted: Sequence[NDArray] = (
        variables if isinstance(variables, list | tuple) else [variables]  # type: ignore[list-item]
    )
    for v in wanted:
        if v._source is None or not isinstance(v._source[0], Leaf):
            raise GraphError("grad: a variable was not marked; call attach_grad() on it before recording")
    if create_graph:
        return heads[0]._recorded_gradients(heads, wanted, head_grads, train_mode)
    tape = _gradients(heads, head_grads, train_mode)  # type: ignore[arg-type]
    out = []
    for v in wanted:
        g = tape.of(v._source[0])  # type: ignore[index, arg-type]
        out.append(
            v._like(np.zeros_like(v._data) if g is None else g if isinstance(g, RowSparse) else np.array(g))
        )
    return out


def get_symbol(x: NDArray) -> Any:
    """The recorded history of `x` as a Symbol, whose variables stand for the arrays it began with. Raises
    GraphError for an array without a history, or with a step that no operator of the table made."""
    from .ops.registry import Op
    from .symbol import Variable
    from .symbol.graph import Node as GraphNode
    from .symbol.graph import parameter_text
    from .symbol.symbol import Symbol

    if x._source is None or isinstance(x._source[0], Leaf):
        raise GraphError("get_symbol: this array was not computed while recording")
    made: dict[int, Any] = {}
    count = itertools.count()

    def variable() -> Any:
        return Variable(f"var{next(count)}")._heads[0][0]

    reachable: dict[int, Node] = {}
    stack: list[Any] = [x._source[0]]
    while stack:
        step = stack.pop()
        if isinstance(step, Node) and step.order not in reachable:
            reachable[step.order] = step
            stack += [p[0] for p in step.parents if p is not None]
    for _, node in sorted(reachable.items()):
        if not isinstance(node.op, Op):
            raise GraphError(
                "get_symbol: the history has a step that is no operator, such as a Function or an index"
            )
        inputs = []
        for parent in node.parents:
            if parent is None:
                inputs.append((variable(), 0))
            elif isinstance(parent[0], Leaf):
                inputs.append((made.setdefault(id(parent[0]), variable()), 0))
            else:
                inputs.append((made[id(parent[0])], parent[1]))
        name = f"{node.op.name.lower().lstrip('_')}{next(count)}"
        text = parameter_text(dict(node.params))
        made[id(node)] = GraphNode(node.op, name, text, inputs)
    return Symbol([(made[id(x._source[0])], x._source[1])])


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

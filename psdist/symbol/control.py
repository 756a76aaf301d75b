"""Loops and branches in a graph: `mx.sym.contrib.foreach`, `while_loop` and `cond`.

The body is a graph of its own, made by calling the user's function once with variables. What it uses of the graph around
it (its nodes are told by the attribute `__subgraph_name__`) becomes an input of the loop's node, whose row of the
operators' table is made for it. Running it is `mx.nd.contrib`'s loop over the body, recorded by autograd from the
forward pass to the backward one.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray as Numbers

from .. import autograd
from ..attribute import AttrScope
from ..errors import BadType, GraphError, ShapeError
from ..ndarray import control as eager
from ..ndarray.array import NDArray
from ..ops.params import REQUIRED, Param
from ..ops.registry import Op
from ..ops.signature import Shape, merge_shapes
from . import infer
from .cached import CachedOp
from .graph import Entry, Node, auxiliaries, topological
from .symbol import Symbol, Variable, compose

__all__ = ["cond", "foreach", "restored", "while_loop"]

_KINDS = ("_foreach", "_while_loop", "_cond")


@dataclass(frozen=True)
class Part:
    """A body: its graph, and which input of the loop's node each of its variables is."""

    heads: list[Entry]
    places: list[int]

    @property
    def variables(self) -> list[Node]:
        return [n for n in topological(self.heads) if n.op is None]

    def function(self) -> Callable[[Sequence[NDArray]], list[NDArray]]:
        """The body as a function of all of the node's inputs."""
        run = CachedOp(Symbol(self.heads))

        def call(xs: Sequence[NDArray]) -> list[NDArray]:
            made = run(*[xs[p] for p in self.places])
            return made if isinstance(made, list) else [made]

        return call

    def infer(self, ins: Sequence[Any], types: bool = False) -> tuple[list[Any], list[Any]]:
        """Shapes (or dtypes) of the node's inputs, as far as this body tells them, and of its own outputs."""
        nodes = topological(self.heads)
        known = {
            n.name: ins[p] for n, p in zip(self.variables, self.places, strict=True) if ins[p] is not None
        }
        found: Any = infer.infer_types(nodes, known) if types else infer.infer_shapes(nodes, known)
        told = list(ins)
        for n, p in zip(self.variables, self.places, strict=True):
            new = found[id(n)][0]
            told[p] = (told[p] or new) if types else merge_shapes(told[p], new)
        return told, [found[id(n)][i] for n, i in self.heads]


@dataclass(frozen=True)
class Loop:
    """What a loop's node does. Its inputs are `num_data` arrays to run over, then the rest; `states` are the inputs
    that each step replaces."""

    kind: str
    parts: tuple[Part, ...]
    states: tuple[int, ...] = ()
    num_data: int = 0
    num_out: int = 0  # outputs of a body that are not states
    max_iterations: int = 0

    @property
    def num_outputs(self) -> int:
        return self.num_out + len(self.states)

    # -- running ---------------------------------------------------------------------------------------------

    def run(self, xs: Sequence[NDArray]) -> list[NDArray]:
        """The outputs, computed at once."""
        if self.kind == "_cond":
            pred, yes, no = (part.function() for part in self.parts)
            return yes(xs) if bool(pred(xs)[0]) else no(xs)
        body = self.parts[-1].function()

        def step(
            states: Sequence[NDArray], data: Sequence[NDArray] = ()
        ) -> tuple[list[NDArray], list[NDArray]]:
            feed = [*data, *xs[self.num_data :]]
            for place, state in zip(self.states, states, strict=True):
                feed[place] = state
            made = body(feed)
            return made[: self.num_out], made[self.num_out :]

        states = [xs[place] for place in self.states]
        if self.kind == "_foreach":
            out, last = eager.foreach(lambda part, now: step(now, part), list(xs[: self.num_data]), states)
            return [*out, *last]
        test = self.parts[0].function()

        def goes_on(*now: NDArray) -> Any:
            feed = list(xs)
            for place, state in zip(self.states, now, strict=True):
                feed[place] = state
            return test(feed)[0]

        out, last = eager.while_loop(goes_on, lambda *now: step(now), states, self.max_iterations)
        if not out and self.num_out:
            shapes = self.shapes([x.shape for x in xs], {}, [None] * self.num_outputs)[1]
            types = self.dtypes([np.dtype(x.dtype).name for x in xs], {})[1]
            out = [
                NDArray(np.zeros(s or (), t), xs[0]._ctx)
                for s, t in zip(shapes[: self.num_out], types, strict=False)
            ]
        return [*out, *last]

    # -- inference -------------------------------------------------------------------------------------------

    def shapes(self, ins: list[Shape | None], _params: Any, outs: list[Shape | None]) -> Any:
        """What the bodies say of the shapes of inputs and outputs."""
        count = self.max_iterations
        inner: list[Any] = list(ins)
        if self.num_data:
            for i, s in enumerate(ins[: self.num_data]):
                if s is not None and not s:
                    raise ShapeError(f"foreach: data {i} has no axis to run over")
                if s is not None and count and s[0] and s[0] != count:
                    raise ShapeError(f"foreach: data {i} has {s[0]} slices, others {count}")
                count = count or (s[0] if s is not None else 0)
                inner[i] = s[1:] or (1,) if s is not None else None
        made: list[Any] = [None] * self.num_outputs
        for part in self.parts[-2:] if self.kind == "_cond" else self.parts[-1:]:
            inner, found = part.infer(inner)
            made = [merge_shapes(a, b) for a, b in zip(made, found, strict=True)]
        for place, s in zip(self.states, made[self.num_out :], strict=True):
            inner[place] = merge_shapes(inner[place], s)
        whole = [(count, *s) if i < self.num_data and s is not None else s for i, s in enumerate(inner)]
        for i, s in enumerate(ins):
            if whole[i] is None or (i < self.num_data and s is not None and len(s) == 1):
                whole[i] = s  # the slices of a line are arrays of one element
        if self.kind != "_cond":
            made = [(count, *s) if k < self.num_out and s is not None else s for k, s in enumerate(made)]
        return whole, made

    def dtypes(self, ins: list[str | None], _params: Any) -> Any:
        """What the bodies say of the dtypes of inputs and outputs."""
        told: list[Any] = list(ins)
        made: list[Any] = [None] * self.num_outputs
        for part in self.parts[-2:] if self.kind == "_cond" else self.parts[-1:]:
            told, found = part.infer(told, types=True)
            made = [a or b for a, b in zip(made, found, strict=True)]
        return told, made

    # -- the node --------------------------------------------------------------------------------------------

    @property
    def changed(self) -> set[int]:
        """The inputs that are auxiliary states of a body."""
        found = set()
        for part in self.parts:
            aux = {id(n) for n in auxiliaries(topological(part.heads))}
            found |= {p for n, p in zip(part.variables, part.places, strict=True) if id(n) in aux}
        return found

    def texts(self, num_inputs: int) -> dict[str, str]:
        """The node's parameters, as MXNet writes them."""
        common = {"num_args": str(num_inputs + len(self.parts)), "num_outputs": str(self.num_outputs)}
        if self.kind == "_cond":
            names = ("cond_input_locs", "then_input_locs", "else_input_locs")
            return common | {n: str(p.places) for n, p in zip(names, self.parts, strict=True)}
        places = self.parts[-1].places
        where = {p: i for i, p in enumerate(places)}
        common["num_out_data"] = str(self.num_out)
        if self.kind == "_foreach":
            data = [where.get(i, -1) for i in range(self.num_data)]
            states = [where.get(i, -1) for i in self.states]
            rest = [i for i, p in enumerate(places) if p >= self.num_data and p not in self.states]
            return common | {
                "in_data_locs": str(data), "in_state_locs": str(states), "remain_locs": str(rest)
            }  # fmt: skip
        return common | {
            "cond_input_locs": str(self.parts[0].places),
            "func_input_locs": str(places),
            "func_var_locs": str([where.get(i, -1) for i in self.states]),
            "max_iterations": str(self.max_iterations),
        }

    def row(self, num_inputs: int) -> Op:
        """The operator of one node, at work anew."""
        names = tuple(f"arg{i}" for i in range(num_inputs))
        aux = tuple(names[i] for i in sorted(self.changed))
        held: list[tuple[list[NDArray], list[NDArray]]] = []  # of the last training pass: inputs and outputs

        def kernel(*arrays: Numbers[Any], is_train: bool = False, rng: Any = None, **_: Any) -> Any:
            if not all(type(a) is np.ndarray for a in arrays):
                raise TypeError("a loop runs on arrays only")  # asked for by a tracer: no
            xs = [NDArray(a) for a in arrays]
            if not is_train:
                with autograd.pause():
                    return _own(self.run(xs), arrays)
            for x in xs:
                if x._data.dtype.kind == "f":
                    x.attach_grad()
            with autograd.record():
                ys = self.run(xs)
            held[:] = [(xs, ys)]
            return _own(ys, arrays)

        def gradient(*arrays: Numbers[Any], **_: Any) -> Any:
            if not all(a is None or type(a) is np.ndarray for a in arrays) or not held:
                raise TypeError("a loop goes back only after it ran forward, for training")
            xs, ys = held.pop()
            heads = [NDArray(g) for g in arrays[: len(ys)]]
            pairs = [(y, g) for y, g in zip(ys, heads, strict=True) if y._source is not None]
            if pairs:
                autograd.backward([y for y, _ in pairs], [g for _, g in pairs])
            return tuple(None if x.grad is None else x.grad._data for x in xs)

        return _LoopOp(
            name=self.kind, kernel=kernel, inputs=names, optional=frozenset(), variadic=False,
            params={n: Param.of(n, str, REQUIRED) for n in self.texts(num_inputs)}, signature=None,
            shape_rule=self.shapes, types=self.dtypes, aux=aux, mutates=aux,
            outputs=tuple(f"output{i}" if self.num_outputs > 1 else "output" for i in range(self.num_outputs)),
            num_outputs_rule=None, num_visible_rule=None, active_rule=None, ufunc=None,
            asks=frozenset(("is_train", "rng")),  # rng: so that no two loops are taken for the same
            gradient_kernel=gradient, loop=self,
        )  # fmt: skip


def _own(ys: Sequence[NDArray], arrays: Sequence[Numbers[Any]]) -> Any:
    """The results, none of them in an input's memory; one alone as it is."""
    found = [y._data.copy() if any(np.may_share_memory(y._data, a) for a in arrays) else y._data for y in ys]
    return tuple(found) if len(found) > 1 else found[0]


@dataclass(eq=False, slots=True)
class _LoopOp(Op):
    """The row of one loop."""

    loop: Loop | None = field(default=None)

    __hash__ = None  # type: ignore[assignment]  # keeps rows, and what they hold between passes, out of caches

    def fresh(self) -> Op:
        """The same loop at work anew, for another executor."""
        assert self.loop is not None
        return self.loop.row(len(self.inputs))

    @property
    def parts(self) -> list[list[Entry]]:
        """The bodies' graphs, for a file."""
        assert self.loop is not None
        used = {p for part in self.loop.parts for p in part.places}
        for what, wanted in (("data", range(self.loop.num_data)), ("state", self.loop.states)):
            for i in wanted:
                if i not in used:
                    raise GraphError(
                        f"{self.name}: {what} {i} is not used in the body; MXNet's files cannot say so"
                    )
        return [part.heads for part in self.loop.parts]


# -- composing ---------------------------------------------------------------------------------------------------


def _flat(x: Any, what: str) -> tuple[list[Symbol], Callable[[Sequence[Any]], Any]]:
    """The symbols in a symbol or a list of lists, and how to put others in their place."""
    if isinstance(x, Symbol):
        return ([x], lambda new: new[0]) if len(x) == 1 else (list(x), list)
    if x is None:
        return [], lambda new: []
    if not isinstance(x, list | tuple):
        raise BadType(f"{what} is {type(x).__name__}; wanted a Symbol or a list of Symbols")
    parts = [_flat(y, what) for y in x]

    def regroup(new: Sequence[Any]) -> Any:
        out, start = [], 0
        for symbols, group in parts:
            out.append(group(new[start : start + len(symbols)]))
            start += len(symbols)
        return out

    return [s for symbols, _ in parts for s in symbols], regroup


class _Inputs:
    """The inputs of a loop's node, in the making."""

    def __init__(self) -> None:
        self.outer: list[Entry] = []
        self._cuts: list[
            tuple[Entry, Node]
        ] = []  # what is computed outside, and the variable that stands for it
        self._places: dict[tuple[int, int], int] = {}

    def add(self, entry: Entry) -> int:
        """A new input."""
        self.outer.append(entry)
        return len(self.outer) - 1

    def place(self, entry: Entry) -> int:
        """The input that an entry of the graph around already is, or becomes."""
        key = (id(entry[0]), entry[1])
        if key not in self._places:
            self._places[key] = self.add(entry)
        return self._places[key]

    def part(self, heads: Sequence[Entry], scope: str, variables: Mapping[int, int]) -> Part:
        """A body cut out of the graph around it. `variables` are the places of its own variables, by id."""
        new: dict[tuple[int, int], Entry] = {}
        places: dict[int, int] = {}
        for n in topological(heads):
            if n.op is None:
                places[id(n)] = variables.get(id(n), -1)
                new[id(n), 0] = (n, 0)
            elif n.attrs.get("__subgraph_name__") == scope:
                inside = Node(n.op, n.name, dict(n.attrs), [self._entry(e, new) for e in n.inputs], n.live)
                new.update(((id(n), i), (inside, i)) for i in range(n.num_outputs))
        found = [self._entry(e, new) for e in heads]
        ends = {id(stand_in): entry for entry, stand_in in self._cuts}
        order = [n for n in topological(found) if n.op is None]
        return Part(found, [
            places[id(n)] if places.get(id(n), -1) >= 0 else self.place(ends.get(id(n), (n, 0))) for n in order
        ])  # fmt: skip

    def _entry(self, entry: Entry, new: dict[tuple[int, int], Entry]) -> Entry:
        key = (id(entry[0]), entry[1])
        if key not in new:  # computed outside: a variable stands for it here
            stand_in = Node(None, entry[0].output_names[entry[1]])
            self._cuts.append((entry, stand_in))
            new[key] = (stand_in, 0)
        return new[key]


_count: dict[str, int] = {}


def _scope(name: str) -> str:
    _count[name] = _count.get(name, -1) + 1
    return f"{name}{_count[name]}"


def _variables(symbols: Sequence[Symbol]) -> list[Symbol]:
    return [Variable(f"{s.name}-{i}") for i, s in enumerate(symbols)]


def _node(loop: Loop, inputs: _Inputs) -> list[Symbol]:
    row = loop.row(len(inputs.outer))
    made = compose(row, [Symbol([e]) for e in inputs.outer], loop.texts(len(inputs.outer)), hint=loop.kind)
    return list(made)


def foreach(
    body: Callable[[Any, Any], tuple[Any, Any]], data: Any, init_states: Any, name: str = "foreach"
) -> tuple[Any, Any]:
    """Run `outputs, states = body(slice, states)` over the first axis of `data`: the outputs stacked, and the last
    states. Each is a Symbol or a list. Raises GraphError if the states that come out are not as many as go in."""
    arrays, as_data = _flat(data, "foreach: data")
    states, as_states = _flat(init_states, "foreach: init_states")
    scope, inputs = _scope(name), _Inputs()
    with AttrScope(__subgraph_name__=scope):
        own_variables = _variables([*arrays, *states])
        parts, now = own_variables[: len(arrays)], own_variables[len(arrays) :]
        outputs, new = body(as_data(parts), as_states(now))
        outs, as_outs = _flat(outputs, "foreach: what body gives")
        news, as_news = _flat(new, "foreach: the states that body gives")
        outs, news = _made_inside([*outs], scope), _made_inside([*news], scope)
    if len(news) != len(states):
        raise GraphError(f"foreach: body takes {len(states)} states and gives {len(news)}")
    own = {
        id(v._heads[0][0]): inputs.add(s._heads[0])
        for v, s in zip([*parts, *now], [*arrays, *states], strict=True)
    }
    part = inputs.part([s._heads[0] for s in [*outs, *news]], scope, own)
    first = len(arrays)
    loop = Loop("_foreach", (part,), tuple(range(first, first + len(states))), first, len(outs))
    made = _node(loop, inputs)
    return as_outs(made[: len(outs)]), as_news(made[len(outs) :])


def _made_inside(symbols: list[Symbol], scope: str) -> list[Symbol]:
    """Symbols that a function gives back as they were, from outside or from a variable, as nodes of its own."""
    from ..ops.registry import get

    def is_inside(s: Symbol) -> bool:
        n = s._heads[0][0]
        return n.op is not None and n.attrs.get("__subgraph_name__") == scope

    return [s if is_inside(s) else compose(get("_copy"), [s], {}, hint="identity") for s in symbols]


def while_loop(
    cond: Callable[..., Any], func: Callable[..., Any], loop_vars: Any, max_iterations: int | None = None,
    name: str = "while_loop",
) -> tuple[Any, Any]:  # fmt: skip
    """While `cond(*loop_vars)` is true, `outputs, loop_vars = func(*loop_vars)`: the outputs stacked, and the last
    `loop_vars`. The outputs have `max_iterations` rows; those of steps that did not happen are zero."""
    if max_iterations is None:
        raise GraphError("while_loop: max_iterations is missing; it is the size of the outputs' first axis")
    states, as_states = _flat(loop_vars, "while_loop: loop_vars")
    if not states:
        raise GraphError("while_loop: loop_vars is empty; there is nothing that could end the loop")
    inputs = _Inputs()
    places = [inputs.add(s._heads[0]) for s in states]

    def called(function: Callable[..., Any], scope: str) -> tuple[Any, dict[int, int]]:
        now = _variables(states)
        given = as_states(now)
        own = {id(v._heads[0][0]): p for v, p in zip(now, places, strict=True)}
        return function(*(given if isinstance(given, list) else [given])), own

    with AttrScope(__subgraph_name__=(scope := _scope(f"{name}_cond"))):
        test, own = called(cond, scope)
        (test,) = _made_inside([test], scope)
    first = inputs.part([test._heads[0]], scope, own)
    with AttrScope(__subgraph_name__=(scope := _scope(f"{name}_func"))):
        (outputs, new), own = called(func, scope)
        outs, as_outs = _flat(outputs, "while_loop: what func gives")
        news, as_news = _flat(new, "while_loop: the loop_vars that func gives")
        outs, news = _made_inside(outs, scope), _made_inside(news, scope)
    if len(news) != len(states):
        raise GraphError(f"while_loop: func takes {len(states)} loop_vars and gives {len(news)}")
    second = inputs.part([s._heads[0] for s in [*outs, *news]], scope, own)
    loop = Loop("_while_loop", (first, second), tuple(places), 0, len(outs), int(max_iterations))
    made = _node(loop, inputs)
    return as_outs(made[: len(outs)]), as_news(made[len(outs) :])


def cond(pred: Symbol, then_func: Callable[[], Any], else_func: Callable[[], Any], name: str = "cond") -> Any:
    """`then_func()` if the one element of `pred` is true, else `else_func()`; both give as many outputs."""
    if not isinstance(pred, Symbol):
        raise BadType(f"cond: pred is {type(pred).__name__}; wanted a Symbol")
    inputs, parts, group = _Inputs(), [], None
    counts = []
    for what, function in (("pred", lambda: pred), ("then", then_func), ("else", else_func)):
        with AttrScope(__subgraph_name__=(scope := _scope(f"{name}_{what}"))):
            symbols, regroup = _flat(function(), f"cond: what {what}_func gives")
            symbols = _made_inside(symbols, scope)
        parts.append(inputs.part([s._heads[0] for s in symbols], scope, {}))
        counts.append(len(symbols))
        group = regroup
    if counts[1] != counts[2]:
        raise GraphError(f"cond: then_func gives {counts[1]} outputs and else_func {counts[2]}")
    assert group is not None
    return group(_node(Loop("_cond", tuple(parts), num_out=counts[1]), inputs))


# -- files -------------------------------------------------------------------------------------------------------


def restored(kind: str, attrs: Mapping[str, str], graphs: Sequence[list[Entry]], num_inputs: int) -> Op:
    """The operator of a node that was saved with its bodies. Raises GraphError."""
    if kind not in _KINDS:
        raise GraphError(
            f"no operator '{kind}' has graphs of its own; those that have are {', '.join(_KINDS)}"
        )

    def locs(key: str) -> list[int]:
        found = ast.literal_eval(attrs[key])
        return [int(i) for i in (found if isinstance(found, list | tuple) else [found])]

    if kind == "_cond":
        keys = ("cond_input_locs", "then_input_locs", "else_input_locs")
        parts = tuple(Part(g, locs(k)) for g, k in zip(graphs, keys, strict=True))
        loop = Loop(kind, parts, num_out=int(attrs["num_outputs"]))
    elif kind == "_foreach":
        data, states, rest = locs("in_data_locs"), locs("in_state_locs"), locs("remain_locs")
        order = [*data, *states, *rest]
        if sorted(order) != list(range(len(order))):
            raise GraphError(f"in_data_locs, in_state_locs and remain_locs are {data}, {states} and {rest}")
        part = Part(graphs[0], [order.index(i) for i in range(len(order))])
        num = len(data)
        loop = Loop(kind, (part,), tuple(range(num, num + len(states))), num, int(attrs["num_out_data"]))
    else:
        func = locs("func_input_locs")
        parts = Part(graphs[0], locs("cond_input_locs")), Part(graphs[1], func)
        places = tuple(func[i] for i in locs("func_var_locs"))
        loop = Loop(kind, parts, places, 0, int(attrs["num_out_data"]), int(attrs["max_iterations"]))
    for part in loop.parts:
        if len(part.places) != len(part.variables) or any(not 0 <= p < num_inputs for p in part.places):
            raise GraphError(
                f"a body with the inputs {', '.join(n.name for n in part.variables)} is given {part.places} of "
                f"{num_inputs}"
            )
    return loop.row(num_inputs)

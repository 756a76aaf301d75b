"""Symbol: a graph under construction. Nothing is computed before an executor's `forward`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from .. import attribute, ops
from .. import name as names
from ..base import NotImplementedForSymbol
from ..context import Context, current_context
from ..errors import BadType, GraphError, NoSuchFile, ShapeError
from ..ndarray.invoke import told
from ..ops.params import REQUIRED, Param
from ..ops.registry import Op
from ..ops.signature import Shape
from ..util import is_np_shape
from . import file, infer
from .graph import (
    HIDDEN,
    Entry,
    Node,
    arguments,
    attribute_text,
    automatic,
    auxiliaries,
    parameter_text,
    topological,
)

if TYPE_CHECKING:
    from ..executor import Executor

__all__ = ["Group", "Symbol", "Variable", "compose", "fromjson", "load", "load_json", "var"]


class Symbol:
    """One or more outputs of a graph. Made by `Variable`, by operators, and by arithmetic on other
    symbols.
    """

    __slots__ = ("__weakref__", "_heads")

    def __init__(self, heads: Sequence[Entry]) -> None:
        self._heads = list(heads)

    # -- what it is ------------------------------------------------------------------------------------------

    @property
    def name(self) -> str | None:
        """The name of its node; None for a group."""
        nodes = {id(n): n for n, _ in self._heads}
        return next(iter(nodes.values())).name if len(nodes) == 1 else None

    def __repr__(self) -> str:
        if self.name is None:
            return f"<Symbol group [{', '.join(s.name or '' for s in self)}]>"
        return f"<Symbol {self.name}>"

    def __len__(self) -> int:
        return len(self._heads)

    def __iter__(self) -> Iterator[Symbol]:
        return (Symbol([h]) for h in self._heads)

    def __getitem__(self, index: int | str | slice) -> Symbol:
        if isinstance(index, str):
            found = [i for i, n in enumerate(self.list_outputs()) if n in (index, f"{index}_output")]
            if len(found) != 1:
                raise ValueError(
                    f"{'no' if not found else 'more than one'} output named '{index}'; there are "
                    + ", ".join(self.list_outputs()[-20:])
                )
            index = found[0]
        if isinstance(index, slice):
            return Symbol(self._heads[index])
        if not -len(self._heads) <= index < len(self._heads):
            raise IndexError(f"output {index} of a symbol that has {len(self._heads)}")
        return Symbol([self._heads[index]])

    def __bool__(self) -> bool:
        raise NotImplementedForSymbol("__bool__", None, self)  # it has no value before it is bound and run

    def __copy__(self) -> Symbol:
        return self.__deepcopy__(None)

    def __deepcopy__(self, memo: Any) -> Symbol:
        return _substitute(self, {})

    def __hash__(self) -> int:
        return id(self) >> 4

    def __reduce__(self) -> Any:
        return load_json, (self.tojson(),)

    def _nodes(self) -> list[Node]:
        return topological(self._heads)

    def list_arguments(self) -> list[str]:
        """Names of the variables, in the order of a depth-first walk."""
        return [n.name for n in arguments(self._nodes())]

    def list_auxiliary_states(self) -> list[str]:
        """Names of the auxiliary states, such as BatchNorm's moving averages."""
        return [n.name for n in auxiliaries(self._nodes())]

    def list_inputs(self) -> list[str]:
        """Names of all variables, auxiliary states among them."""
        return [n.name for n in self._nodes() if n.op is None]

    def list_outputs(self) -> list[str]:
        """Names of the outputs."""
        return [n.output_names[i] for n, i in self._heads]

    @property
    def num_outputs(self) -> int:
        """How many outputs it has."""
        return len(self._heads)

    def get_internals(self) -> Symbol:
        """A group of every output of every node."""
        return Symbol([(n, i) for n in self._nodes() for i in range(n.num_visible)])

    def get_children(self) -> Symbol | None:
        """A group of its nodes' inputs; None for variables."""
        seen: set[int] = set()
        heads: list[Entry] = []
        for n, _ in self._heads:
            if id(n) not in seen:
                seen.add(id(n))
                heads += n.inputs
        return Symbol(heads) if heads else None

    # -- attributes ------------------------------------------------------------------------------------------

    def _node(self) -> Node:
        if self.name is None:
            raise GraphError("a group has no attributes of its own; ask one of its outputs")
        return self._heads[0][0]

    def attr(self, key: str) -> str | None:
        """An attribute's text, or None."""
        if key == "name":
            return self.name
        return _shown(self._node().attrs).get(key)

    def list_attr(self, recursive: bool = False) -> dict[str, str]:
        """All attributes of its node."""
        if recursive:
            raise DeprecationWarning("list_attr(recursive=True) is gone; use attr_dict()")
        return _shown(self._node().attrs)

    def attr_dict(self) -> dict[str, dict[str, str]]:
        """The attributes of every node that has any, by name."""
        return {n.name: _shown(n.attrs) for n in self._nodes() if n.attrs}

    def _set_attr(self, **kwargs: str) -> None:
        """Set attributes of its node."""
        self._node().attrs.update(attribute_text(kwargs))

    # -- composition -----------------------------------------------------------------------------------------

    def __call__(self, *args: Symbol, **kwargs: Any) -> Symbol:
        """The same graph with its variables replaced by other symbols, by position or by name."""
        new_name = kwargs.pop("name", None)
        variables = [n.name for n in self._nodes() if n.op is None]
        if args and kwargs:
            raise BadType("compose: give symbols by position or by name, not both")
        if len(args) > len(variables):
            raise GraphError(
                f"compose: {len(args)} symbols for the {len(variables)} variables {', '.join(variables)}"
            )
        given = dict(zip(variables, args, strict=False)) if args else kwargs
        for key, value in given.items():
            if key not in variables:
                raise GraphError(f"compose: no variable '{key}'; there are {', '.join(variables)}")
            if not isinstance(value, Symbol) or len(value) != 1:
                raise GraphError(f"compose: '{key}' is {value!r}; wanted a Symbol of one output")
        made = _substitute(self, {k: v._heads[0] for k, v in given.items()})
        if new_name:
            made._heads[0][0].name = new_name
        return made

    # -- inference -------------------------------------------------------------------------------------------

    def _given(self, args: Sequence[Any], kwargs: Mapping[str, Any], what: str) -> dict[str, Any]:
        for key, value in (*enumerate(args), *kwargs.items()):
            if (
                what == "infer_shape"
                and value is not None
                and not isinstance(value, tuple | list | int | np.integer)
            ):
                raise TypeError(f"infer_shape: the shape of {key!r} is {value!r}; wanted a tuple of numbers")
        wanted = self.list_arguments()
        if args and kwargs:
            raise ValueError(f"{what}: give them by position or by name, not both")
        if args:
            return {n: v for n, v in zip(wanted, args, strict=False) if v is not None}
        known = {*wanted, *self.list_auxiliary_states()}
        for key in kwargs:
            if key not in known:
                raise GraphError(f"{what}: no argument '{key}'; there are {', '.join(wanted)}")
        return {k: v for k, v in kwargs.items() if v is not None}

    def infer_shape(self, *args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
        """Shapes of arguments, outputs and auxiliary states from those given; three times None if something
        does not follow.

        Raises ShapeError, naming the node, where shapes contradict.
        """
        result = self.infer_shape_partial(*args, **kwargs)
        if any(not infer.is_known(s or None) or -1 in s for part in result for s in part):
            return None, None, None
        return result

    def infer_shape_partial(self, *args: Any, **kwargs: Any) -> tuple[list[Shape], list[Shape], list[Shape]]:
        """As `infer_shape`, with () or 0 for what does not follow: under `np_shape` None or -1."""
        known = self._given(args, kwargs, "infer_shape")
        numpy_like = is_np_shape()
        if numpy_like:
            known = {k: tuple(0 if n == -1 else n for n in np.atleast_1d(v)) for k, v in known.items()}
        nodes = self._nodes()
        shapes = infer.infer_shapes(nodes, known)

        def of(n: Node, i: int = 0) -> Any:
            shape = shapes[id(n)][i]
            if numpy_like:
                return shape and tuple(size or -1 for size in shape)
            return shape or ()

        return (
            [of(n) for n in arguments(nodes)],
            [of(n, i) for n, i in self._heads],
            [of(n) for n in auxiliaries(nodes)],
        )

    def infer_type(self, *args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
        """Dtypes of arguments, outputs and auxiliary states from those given; three times None if something does
        not follow."""
        result = self.infer_type_partial(*args, **kwargs)
        if any(t is None for part in result for t in part):
            return None, None, None
        return result

    def infer_type_partial(self, *args: Any, **kwargs: Any) -> tuple[list[Any], list[Any], list[Any]]:
        """As `infer_type`, with None for what does not follow."""
        known = {k: np.dtype(v).name for k, v in self._given(args, kwargs, "infer_type").items()}
        nodes = self._nodes()
        types = infer.infer_types(nodes, known)

        def of(n: Node, i: int = 0) -> Any:
            found = types[id(n)][i]
            return None if found is None else np.dtype(found).type

        return (
            [of(n) for n in arguments(nodes)],
            [of(n, i) for n, i in self._heads],
            [of(n) for n in auxiliaries(nodes)],
        )

    def bound_types(self, **kwargs: Any) -> tuple[list[Any], list[Any], list[Any]]:
        """As `infer_type`, with float32 for what does not follow: the dtypes of arrays that are made."""
        partial = self.infer_type_partial(**kwargs)
        return tuple([np.float32 if t is None else t for t in part] for part in partial)  # type: ignore[return-value]

    # -- files -----------------------------------------------------------------------------------------------

    def tojson(self, remove_amp_cast: bool = True) -> str:
        """The graph as MXNet's JSON."""
        return file.dumps(self._heads, remove_amp_cast)

    def save(self, fname: str | os.PathLike[str], remove_amp_cast: bool = True) -> None:
        """Write the graph's JSON into a file."""
        text = self.tojson(remove_amp_cast)
        try:
            with open(fname, "w", encoding="utf-8") as f:
                f.write(text)
        except FileNotFoundError as e:
            raise NoSuchFile(f"save: {os.fspath(fname)}: no such folder") from e

    def debug_str(self) -> str:
        """The graph in words, a node after another."""
        lines = ["Symbol Outputs:"]
        lines += [f"\toutput[{k}]={n.name}({i})" for k, (n, i) in enumerate(self._heads)]
        for n in self._nodes():
            if n.op is None:
                lines.append(f"Variable:{n.name}")
                continue
            lines += ["-" * 20, f"Op:{n.op.name}, Name={n.name}", "Inputs:"]
            for k, (source, i) in enumerate(n.inputs):
                version = f" version={int(n.is_aux(k))}" if source.op is None else ""
                lines.append(f"\targ[{k}]={source.name}({i}){version}")
            if n.attrs:
                lines += ["Attrs:", *(f"\t{k}={v}" for k, v in sorted(n.attrs.items()))]
        return "\n".join(lines) + "\n"

    # -- running ---------------------------------------------------------------------------------------------

    def bind(
        self,
        ctx: Context | None = None,
        args: Any = None,
        args_grad: Any = None,
        grad_req: Any = "write",
        aux_states: Any = None,
        group2ctx: Mapping[str, Context] | None = None,
        shared_exec: Executor | None = None,
        **misspelt: Any,
    ) -> Executor:
        """An executor over the arrays `args` (a list in the order of `list_arguments`, or a dict).

        Gradients go into `args_grad`, as `grad_req` says (`write`, `add`, `null`; one for all, a list or a
        dict).
        """
        from ..executor import Executor, misspelling

        misspelling(
            "bind",
            misspelt,
            ("ctx", "args", "args_grad", "grad_req", "aux_states", "group2ctx", "shared_exec"),
        )
        device = ctx or current_context()
        return Executor(
            self, device, args, args_grad, grad_req, aux_states, group2ctx, shared_exec=shared_exec
        )

    def simple_bind(
        self,
        ctx: Context | None = None,
        grad_req: Any = "write",
        type_dict: Mapping[str, Any] | None = None,
        stype_dict: Any = None,
        group2ctx: Mapping[str, Context] | None = None,
        shared_arg_names: Sequence[str] | None = None,
        shared_exec: Executor | None = None,
        shared_buffer: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Executor:
        """An executor over new arrays, whose shapes follow from those given by name.

        Raises GraphError, naming the arguments whose shapes do not follow.
        """
        from ..executor import simple_bind

        return simple_bind(
            self,
            ctx or current_context(),
            grad_req,
            type_dict,
            group2ctx,
            shared_arg_names,
            shared_exec,
            shared_buffer,
            kwargs,
        )

    def eval(self, ctx: Context | None = None, **kwargs: Any) -> list[Any]:
        """Bind to the arrays given by name, run once, and return the outputs."""
        return self.bind(ctx, kwargs).forward()

    def gradient(self, wrt: Sequence[str]) -> Symbol:
        """The gradient as a symbol; use an executor's `backward` instead."""
        raise GraphError("Symbol.gradient: use bind(..., args_grad=...) and backward()")

    # -- arithmetic ------------------------------------------------------------------------------------------

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...
        def __add__(self, other: Any) -> Symbol: ...
        def __sub__(self, other: Any) -> Symbol: ...
        def __mul__(self, other: Any) -> Symbol: ...
        def __truediv__(self, other: Any) -> Symbol: ...

    def __neg__(self) -> Symbol:
        return self * -1.0

    def __abs__(self) -> Symbol:
        return compose(ops.get("abs"), [self], {}, hint="abs")

    def reshape(self, *shape: Any, **kwargs: Any) -> Symbol:
        """The operator `reshape`."""
        if len(shape) == 1 and isinstance(shape[0], tuple | list):
            shape = tuple(shape[0])
        return compose(
            ops.get("reshape"), [self], {"shape": shape or kwargs.pop("shape", ()), **kwargs}, hint="reshape"
        )

    def optimize_for(self, backend: str, *args: Any, **kwargs: Any) -> Symbol:
        """The graph itself: every executor optimises what it is bound to."""
        return self

    def get_backend_symbol(self, backend: str) -> Symbol:
        """The graph itself; see `optimize_for`."""
        return self


def _shown(attrs: Mapping[str, str]) -> dict[str, str]:
    """Attributes as scripts read them: those that MXNet hides also under their plain name."""
    out = dict(attrs)
    out.update({h: attrs[f"__{h}__"] for h in HIDDEN if f"__{h}__" in attrs})
    return out


def _substitute(symbol: Symbol, by_name: Mapping[str, Entry]) -> Symbol:
    """A copy of the graph with variables replaced."""
    new: dict[int, Node] = {}
    for n in symbol._nodes():
        if n.op is None and n.name in by_name:
            continue
        inputs = [
            by_name[s.name] if s.op is None and s.name in by_name else (new[id(s)], i) for s, i in n.inputs
        ]
        new[id(n)] = Node(n.op, n.name, dict(n.attrs), inputs, n.live)
    return Symbol(
        [by_name[n.name] if n.op is None and n.name in by_name else (new[id(n)], i) for n, i in symbol._heads]
    )


def compose(
    op: Op,
    arrays: Sequence[Symbol] | Mapping[str, Symbol],
    params: Mapping[str, Any],
    *,
    hint: str,
    name: str | None = None,
    attr: Mapping[str, str] | None = None,
) -> Symbol:
    """An operator's symbol. Arrays that are missing become variables named after it: `fc1` gets
    `fc1_weight`.
    """
    attrs = {
        k if k.startswith("__") else f"__{k}__": v  # plain names are the operator's parameters
        for k, v in attribute.current().get(attribute_text(attr or {})).items()
    }
    user = {k: v for k, v in params.items() if k not in op.params}
    for key in list(user):
        if key.startswith("__") or key in HIDDEN:
            attrs[key if key.startswith("__") else f"__{key}__"] = str(user.pop(key))
        for hidden in HIDDEN:
            if key.endswith(f"_{hidden}") and key[: -len(hidden) - 1] in op.inputs:
                owner = key[: -len(hidden) - 1]
                raise GraphError(
                    f"{op.name}: '{key}' belongs to the variable: give {owner}=mx.sym.Variable(..., {hidden}=...)"
                )
    own = {k: v for k, v in params.items() if k in op.params and v is not None}
    own |= {
        k: "None" for k, v in params.items() if v is None and k in op.params and _says_something(op.params[k])
    }
    if user:
        op.parse(user)  # raises, with the nearest name
    live = {k: v for k, v in own.items() if op.params[k].annotation is Any}
    if op.variadic and "num_args" in op.params:
        own.setdefault("num_args", len(arrays))
    named = names.current().get(name, hint)
    node = Node(
        op, named, {**attrs, **parameter_text({k: v for k, v in own.items() if k not in live})}, [], live
    )
    wanted = op.active(node.params, len(arrays) if op.variadic else None)
    given = dict(arrays) if isinstance(arrays, Mapping) else dict(zip(wanted, arrays, strict=False))
    if not isinstance(arrays, Mapping) and len(arrays) > len(wanted):
        raise GraphError(f"{op.name}: {len(arrays)} symbols given; wanted {len(wanted)}: {', '.join(wanted)}")
    for array_name in given:
        if array_name not in wanted:
            raise GraphError(
                f"{op.name}: no array '{array_name}' with these parameters; it takes {', '.join(wanted)}"
            )
    for array_name in wanted:
        source = given.get(array_name)
        if source is None:
            node.inputs.append((automatic(node, array_name), 0))
        else:
            if not isinstance(source, Symbol):
                raise GraphError(f"{op.name}: '{array_name}' is {told(source)}; wanted a Symbol")
            if len(source) != 1:
                raise GraphError(
                    f"{op.name}: '{array_name}' has {len(source)} outputs ({', '.join(source.list_outputs())}); pick one"
                )
            node.inputs.append(source._heads[0])
    return Symbol([(node, i) for i in range(node.num_visible)])


def _says_something(param: Param) -> bool:
    """Whether None differs from leaving the parameter out, as the axis of a sort does."""
    if param.default is REQUIRED:
        return True
    return param.default is not None and type(None) in get_args(param.annotation)


def Variable(
    name: str,
    attr: Mapping[str, str] | None = None,
    shape: Any = None,
    lr_mult: float | None = None,
    wd_mult: float | None = None,
    dtype: Any = None,
    init: Any = None,
    stype: str | None = None,
    **kwargs: str,
) -> Symbol:
    """A symbol that is bound to an array: an input or a parameter.

    What is known of it (shape, dtype, initialiser, multipliers of learning rate and weight decay) travels
    with the graph.
    """
    if not isinstance(name, str):
        raise TypeError(f"Variable: the name is {name!r}; wanted text")
    attrs = attribute.current().get(attribute_text(attr or {}))
    if shape is not None:
        attrs["__shape__"] = str(tuple(shape) if not isinstance(shape, int) else (shape,))
    for key, value in (("lr_mult", lr_mult), ("wd_mult", wd_mult)):
        if value is not None:
            attrs[f"__{key}__"] = str(value)
    if dtype is not None:
        attrs["__dtype__"] = str(infer.DTYPE_NUMBERS[np.dtype(dtype).name])
    if init is not None:
        attrs["__init__"] = init if isinstance(init, str) else init.dumps()
    if stype is not None and stype != "default":
        attrs["__storage_type__"] = str({"row_sparse": 1, "csr": 2}[stype])
    for key, text in kwargs.items():
        if not (key.startswith("__") and key.endswith("__")):
            raise ValueError(f"Variable: no argument '{key}'; attributes of your own are written __{key}__")
        attrs[key] = str(text)
    return Symbol([(Node(None, name, attrs), 0)])


var = Variable


def Group(symbols: Sequence[Symbol]) -> Symbol:
    """The outputs of several symbols as one symbol."""
    if not symbols or any(not isinstance(s, Symbol) for s in symbols):
        raise TypeError("Group: wanted a list of Symbols")
    return Symbol([h for s in symbols for h in s._heads])


def load_json(json_str: str) -> Symbol:
    """The symbol in a JSON text, as MXNet or psdist wrote it. Raises GraphError naming the node that is
    wrong.
    """
    if not isinstance(json_str, str):
        raise TypeError(f"load_json: wanted text, given {type(json_str).__name__}")
    return Symbol(file.loads(json_str))


fromjson = load_json


def load(fname: str | os.PathLike[str]) -> Symbol:
    """The symbol in a JSON file. Raises GraphError naming the file and the node that is wrong."""
    try:
        with open(fname, encoding="utf-8") as f:
            text = f.read()
    except FileNotFoundError as e:
        raise NoSuchFile(f"load: {os.fspath(fname)}: no such file") from e
    try:
        return load_json(text)
    except GraphError as e:
        raise GraphError(f"{os.fspath(fname)}: {e}") from e


# -- operators: a row is method, operator of two symbols, operator with a number, operator with a number first

_ROWS = [
    ("add", "elemwise_add", "_plus", "_plus_scalar", "_plusscalar", None, None),
    ("sub", "elemwise_sub", "_minus", "_minus_scalar", "_minusscalar", "_rminus_scalar", "_rminusscalar"),
    ("mul", "elemwise_mul", "_mul", "_mul_scalar", "_mulscalar", None, None),
    ("truediv", "elemwise_div", "_div", "_div_scalar", "_divscalar", "_rdiv_scalar", "_rdivscalar"),
    ("mod", "_mod", "_mod", "_mod_scalar", "_modscalar", "_rmod_scalar", "_rmodscalar"),
    ("pow", "_power", "_power", "_power_scalar", "_powerscalar", "_rpower_scalar", "_rpower_scalar"),
    ("eq", "_equal", "_equal", "_equal_scalar", "_equal_scalar", None, None),
    ("ne", "_not_equal", "_not_equal", "_not_equal_scalar", "_not_equal_scalar", None, None),
    ("gt", "_greater", "_greater", "_greater_scalar", "_greater_scalar", None, None),
    ("ge", "_greater_equal", "_greater_equal", "_greater_equal_scalar", "_greater_equal_scalar", None, None),
    ("lt", "_lesser", "_lesser", "_lesser_scalar", "_lesser_scalar", None, None),
    ("le", "_lesser_equal", "_lesser_equal", "_lesser_equal_scalar", "_lesser_equal_scalar", None, None),
]


def _operator(
    both: str, both_hint: str, scalar: str | None, scalar_hint: str | None
) -> Callable[[Symbol, Any], Symbol]:
    def method(self: Symbol, other: Any) -> Symbol:
        if isinstance(other, Symbol):
            return compose(ops.get(both), [self, other], {}, hint=both_hint)
        if isinstance(other, int | float | np.generic):
            if scalar is None or scalar_hint is None:
                raise TypeError(f"{both}: no form with a number")
            return compose(ops.get(scalar), [self], {"scalar": other}, hint=scalar_hint)
        raise TypeError(f"a Symbol with a {type(other).__name__}: wanted a Symbol or a number")

    return method


for _row in _ROWS:
    _m, _both, _hint, _scalar, _scalar_hint, _reverse, _reverse_hint = _row
    setattr(Symbol, f"__{_m}__", _operator(_both, _hint, _scalar, _scalar_hint))
    if _m in ("add", "sub", "mul", "truediv", "mod", "pow"):
        setattr(
            Symbol, f"__r{_m}__", _operator(_both, _hint, _reverse or _scalar, _reverse_hint or _scalar_hint)
        )


def _refusal(name: str) -> Callable[..., Any]:
    def method(self: Symbol, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedForSymbol(name, None, *args)

    method.__name__ = name
    method.__doc__ = "An NDArray's method: a Symbol has no value before it is bound and run."
    return method


for _name in (
    *(
        "asnumpy",
        "asscalar",
        "wait_to_read",
        "copy",
        "copyto",
        "as_in_context",
        "detach",
        "backward",
        "attach_grad",
    ),
    *("__iadd__", "__isub__", "__imul__", "__itruediv__"),
):
    setattr(Symbol, _name, _refusal(_name))


def check_known(shapes: Mapping[str, Shape | None], what: str) -> None:
    """Raise ShapeError naming the arguments whose shapes are not known."""
    unknown = [f"{n}: {s or 'unknown'}" for n, s in shapes.items() if not infer.is_known(s)]
    if unknown:
        raise ShapeError(f"{what}: these shapes do not follow from those given: {', '.join(unknown)}")

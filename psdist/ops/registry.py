"""The table of operators. An operator is one place: signature, kernel, gradient, manual.

    @op("(n, i), (num_hidden, i), (num_hidden) -> (n, num_hidden)")
    def FullyConnected(data, weight, bias, /, *, num_hidden: int):
        "Affine map y = x wᵀ + b."
        return data @ weight.T + bias

    @FullyConnected.gradient
    def _(g, y, data, weight, bias, /, *, num_hidden):
        return g @ weight, g.T @ data, g.sum(axis=0)

The function's name is the operator's, its positional-only arguments are arrays, its annotated keyword-only ones
parameters, its docstring the manual. Kernels and gradients are plain functions over NumPy arrays; what stands
above this table (NDArray, Symbol, autograd, the executor) is written once and knows no operator by name.

What a kernel may ask for, by a keyword of that name:
- `out`: an array of the right shape and dtype to write into, or None. Ask for it wherever a copy is saved.
- `outs`: the same for all outputs, as a tuple, or None.
- `is_train`: whether this is a training pass; `rng`: the NumPy generator of the device.
A gradient gets the heads' gradients (visible outputs only), then all outputs, then all inputs. An argument whose
name begins with `_` is not used, so its memory is free by then. It returns one array or None (zero) for each
input, and may ask for `needs`, a tuple of bools: which inputs' gradients are wanted, and for `is_train`.
Broadcasting is undone by `backward`, not in gradients.

What a kernel returns is its own: never a view of an input, and of the dtype that `infer_type` says. A gradient
may return the head's gradient itself or a view of it. Infinities and NaN are results, not events: kernels leave
NumPy's error state alone, and whoever runs them does so under `silent()`, once for a whole pass.
"""

from __future__ import annotations

import difflib
import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import GraphError, ShapeError
from .arguments import Arguments, read
from .params import REQUIRED, Param, parse_params
from .signature import Shape, Signature, Where

__all__ = ["Op", "all_names", "all_ops", "find", "get", "op", "silent", "unbroadcast"]

Array = NDArray[Any]
Params = Mapping[str, Any]
_INJECTED = ("out", "outs", "is_train", "rng")
_table: dict[str, Op] = {}


def silent() -> np.errstate:
    """The context that kernels and gradients run in: division by zero and the like go unreported, as in MXNet."""
    return np.errstate(all="ignore")


@dataclass(eq=False, slots=True)
class Op:
    """One operator. What depends on a call's parameters is asked through methods, with the parsed parameters."""

    name: str
    kernel: Callable[..., Any]
    inputs: tuple[str, ...]  # names of the arrays, in order; auxiliary states last
    optional: frozenset[str]  # inputs that a call may leave out
    variadic: bool  # the last input stands for any number of arrays
    params: dict[str, Param]
    signature: Signature | None
    shape_rule: Callable[..., tuple[list[Shape | None], list[Shape | None]]] | None
    types: str | Callable[..., Any]
    aux: tuple[str, ...]  # inputs that a training pass changes; they have no gradient
    mutates: tuple[str, ...]  # inputs that the kernel writes (aux among them)
    outputs: tuple[str, ...]
    num_outputs_rule: Callable[[Params], int] | None
    num_visible_rule: Callable[[Params], int] | None
    active_rule: Callable[[Params], Sequence[str]] | None
    ufunc: np.ufunc | None  # on floating-point arrays the kernel is exactly this ufunc
    asks: frozenset[str]  # of _INJECTED
    aliases: tuple[str, ...] = ()
    ignores_head: bool = False  # a loss: its gradient does not look at the head's gradient
    passes: bool = (
        False  # the first output is the first input, reshaped at most: a plan may let them share memory
    )
    gradient_kernel: Callable[..., Any] | None = None
    gradient_parts: tuple[Callable[..., Any], ...] | None = (
        None  # (g, y, *inputs) -> one input's gradient, for each
    )
    gradient_asks: frozenset[str] = frozenset()  # of `needs` and `is_train`
    unused: frozenset[int] = field(default_factory=frozenset)  # positions that the gradient does not use

    def __repr__(self) -> str:
        return f"<operator {self.name}>"

    @property
    def doc(self) -> str:
        """The manual's text."""
        return inspect.cleandoc(self.kernel.__doc__ or "")

    def manual(self) -> str:
        """The whole manual: text, shapes, inputs, parameters, other names."""
        lines = [self.doc, ""]
        if self.signature is not None:
            lines += ["Shapes", f"    {self.signature.text}"]
            lines += [
                f"    {n}: computed from {', '.join(needs)}" for n, needs in self.signature.needs.items()
            ]
        lines += [
            "",
            "Arrays",
            *(
                f"    {'*' if self.variadic and n == self.inputs[-1] else ''}{n}"
                + (" (optional)" if n in self.optional else "")
                + (" (auxiliary state)" if n in self.aux else "")
                for n in self.inputs
            ),
        ]
        if self.params:
            lines += ["", "Parameters"]
            for p in self.params.values():
                default = "required" if p.default is REQUIRED else f"default {p.default!r}"
                lines.append(f"    {p.name}: {p.wanted}, {default}")
        if self.aliases:
            lines += ["", *textwrap.wrap("Also known as " + ", ".join(self.aliases), 110)]
        return "\n".join(lines)

    # -- what a call looks like ------------------------------------------------------------------------------

    def parse(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters of a call, parsed and complete. Raises ConfigError naming operator and parameter."""
        return parse_params(self.name, self.params, given)

    def active(self, params: Params, count: int | None = None) -> tuple[str, ...]:
        """Names of the arrays that a call with these parameters takes; `count` settles a variadic one."""
        if self.variadic and (count is not None or self.active_rule is None):
            fixed, last = self.inputs[:-1], self.inputs[-1]
            rest = (params.get("num_args") or len(fixed)) if count is None else count
            return fixed + tuple(f"{last}{i}" for i in range(rest - len(fixed)))
        return tuple(self.active_rule(params)) if self.active_rule else self.inputs

    def num_outputs(self, params: Params) -> int:
        """How many arrays the kernel returns."""
        return self.num_outputs_rule(params) if self.num_outputs_rule else len(self.outputs)

    def num_visible(self, params: Params) -> int:
        """How many of them a user sees; the rest is kept for the gradient."""
        return self.num_visible_rule(params) if self.num_visible_rule else self.num_outputs(params)

    def output_names(self, params: Params) -> list[str]:
        """`output`, or `output0`, `output1`, …"""
        n = self.num_outputs(params)
        return list(self.outputs[:n]) if n <= len(self.outputs) else [f"output{i}" for i in range(n)]

    def specialise(self, given: Mapping[str, Any]) -> Op:
        """The operator for a call with these parameters: itself, unless it stands for a family of operators."""
        return self

    def fresh(self) -> Op:
        """The operator for another executor: itself, unless it keeps something between forward and backward."""
        return self

    # -- inference -------------------------------------------------------------------------------------------

    def infer_shape(
        self, ins: Sequence[Shape | None], params: Params, outs: Sequence[Shape | None] | None = None
    ) -> tuple[list[Shape | None], list[Shape | None]]:
        """Shapes of inputs and outputs as far as they follow; 0 and None where they do not. Raises ShapeError."""
        if outs is None:
            outs = [None] * self.num_outputs(params)
        try:
            if self.shape_rule is not None:
                return self.shape_rule(list(ins), params, list(outs))
            assert self.signature is not None
            if self.variadic:
                active: Sequence[int] = range(len(ins))
            else:
                active = [self.inputs.index(n) for n in self.active(params)][: len(ins)]
            return self.signature.infer(self.name, ins, outs, active, params)
        except ShapeError as e:
            raise ShapeError(str(e) if str(e).startswith(self.name) else f"{self.name}: {e}") from e
        except (
            IndexError,
            ValueError,
            ZeroDivisionError,
        ) as e:  # a rule that was not made for so many dimensions
            given = ", ".join(map(str, ins))
            raise ShapeError(
                f"{self.name}: arrays of shapes {given} do not fit its parameters {params}: {e}"
            ) from e

    def infer_type(
        self, ins: Sequence[str | None], params: Params, outs: Sequence[str | None] | None = None
    ) -> tuple[list[str | None], list[str | None]]:
        """Dtypes of inputs and outputs, as names. Raises ShapeError when they contradict."""
        if not isinstance(self.types, str):
            given_ins, given_outs = self.types(list(ins), params)
            return list(given_ins), list(given_outs)
        left, right = ([t.strip() for t in side.split(",") if t.strip()] for side in self.types.split("->"))
        if self.variadic:
            wanted_in = [left[min(i, len(left) - 1)] for i in range(len(ins))]
        else:
            wanted_in = [left[min(self.inputs.index(n), len(left) - 1)] for n in self.active(params)][
                : len(ins)
            ]
        num_out = self.num_outputs(params)
        wanted_out = [right[min(i, len(right) - 1)] for i in range(num_out)]
        env: dict[str, str] = {}
        for wanted, given in zip(wanted_in + wanted_out, [*ins, *(outs or [None] * num_out)], strict=True):
            if given is not None and wanted.isupper() and env.setdefault(wanted, given) != given:
                raise ShapeError(
                    f"{self.name}: dtype {wanted} is {env[wanted]} and also {given} in {self.types}"
                )

        def settle(wanted: str, given: str | None) -> str | None:
            if wanted.isupper():
                return env.get(wanted, given)
            value = params.get(wanted, wanted)
            return given if value is None else str(value)

        return (
            [given or settle(w, given) for w, given in zip(wanted_in, ins, strict=True)],
            [settle(w, None) for w in wanted_out],
        )

    # -- gradient --------------------------------------------------------------------------------------------

    def gradient(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: `function(*heads, *outputs, *inputs, **params)` gives the inputs' gradients."""
        self.gradient_kernel = function
        takes = read(function)
        self.gradient_asks = frozenset(takes.keywords) & {"needs", "is_train"}
        self.unused = frozenset(i for i, name in enumerate(takes.positional) if name.startswith("_"))
        return function

    def backward(
        self,
        heads: Sequence[Array],
        outputs: Sequence[Array | None],
        inputs: Sequence[Array | None],
        params: Params,
        needs: tuple[bool, ...],
        is_train: bool = True,
    ) -> list[Array | None]:
        """Gradients of the inputs; None is zero. Arrays that the gradient does not use may be None."""
        assert self.gradient_kernel is not None, self.name
        extra: dict[str, Any] = {"needs": needs} if "needs" in self.gradient_asks else {}
        if "is_train" in self.gradient_asks:
            extra["is_train"] = is_train
        grads = self.gradient_kernel(*heads, *outputs, *inputs, **params, **extra)
        grads = list(grads) if isinstance(grads, tuple | list) else [grads]
        grads = grads[: len(inputs)] + [None] * (len(inputs) - len(grads))
        if self.signature is not None and self.signature.broadcasts:
            for i, (grad, x) in enumerate(zip(grads, inputs, strict=True)):
                if grad is not None and x is not None and grad.shape != x.shape:
                    grads[i] = unbroadcast(grad, x.shape)
        return grads


def unbroadcast(grad: Array, shape: Shape) -> Array:
    """Sum `grad` over what broadcasting repeated, so that it has `shape` again."""
    extra = grad.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(
        i + extra for i, size in enumerate(shape) if size == 1 and grad.shape[i + extra] != 1
    )
    return grad.sum(axis=axes, keepdims=True).reshape(shape) if axes else grad.reshape(shape)


def op(
    signature: str | None = None,
    /,
    *,
    name: str | None = None,
    aliases: Iterable[str] = (),
    where: Where | None = None,
    shape: Callable[..., Any] | None = None,
    types: str | Callable[..., Any] = "T -> T",
    aux: tuple[str, ...] = (),
    mutates: tuple[str, ...] = (),
    outputs: tuple[str, ...] = ("output",),
    num_outputs: Callable[[Params], int] | None = None,
    num_visible: int | Callable[[Params], int] | None = None,
    active: Callable[[Params], Sequence[str]] | None = None,
    ufunc: np.ufunc | None = None,
    ignores_head: bool = False,
    passes: bool = False,
    arguments: Arguments | None = None,
) -> Callable[[Callable[..., Any]], Op]:
    """Register the decorated kernel as an operator (see the module's head).

    `shape(ins, params, outs)` stands in for a signature where one line cannot say it. `types` is such a line for
    dtypes: a capital letter is one dtype throughout, a lower-case word a dtype or a parameter. `active` names the
    inputs in use, where a parameter such as `no_bias` decides that. `passes` says that the first output is the
    first input, reshaped at most. `arguments` are the kernel's, where its own code is more general than they.
    """

    def register(kernel: Callable[..., Any]) -> Op:
        takes = arguments or read(kernel)
        params = {
            key: Param.of(key, kind, takes.defaults.get(key, REQUIRED), kernel.__globals__)
            for key, kind in takes.keywords.items()
            if key not in _INJECTED
        }
        visible = num_visible
        new = Op(
            name=name or kernel.__name__,
            kernel=kernel,
            inputs=(*takes.positional, takes.rest) if takes.rest else takes.positional,
            optional=takes.optional,
            variadic=takes.rest is not None,
            params=params,
            signature=Signature(signature, where or {}) if signature else None,
            shape_rule=shape,
            types=types,
            aux=aux,
            mutates=(*aux, *mutates),
            outputs=outputs,
            num_outputs_rule=num_outputs,
            num_visible_rule=(lambda _: visible) if isinstance(visible, int) else visible,
            active_rule=active,
            ufunc=ufunc,
            asks=frozenset(_INJECTED) & takes.keywords.keys(),
            aliases=tuple(aliases),
            ignores_head=ignores_head,
            passes=passes,
        )
        return enter(new)

    return register


def enter(new: Op) -> Op:
    """Put an operator into the table, under its name and its aliases."""
    for known_as in (new.name, *new.aliases):
        assert known_as not in _table, f"two operators named {known_as}"
        _table[known_as] = new
    return new


def also_known_as(name: str, alias: str) -> None:
    """Give an operator one more name."""
    known = get(name)
    assert alias not in _table, f"two operators named {alias}"
    _table[alias] = known
    known.aliases += (alias,)


def find(name: str) -> Op | None:
    """The operator of this name or alias, or None."""
    return _table.get(name)


def get(name: str) -> Op:
    """The operator of this name or alias. Raises GraphError with the nearest name."""
    found = _table.get(name)
    if found is None:
        near = difflib.get_close_matches(name, _table, 1)
        raise GraphError(f"no operator '{name}'" + (f"; did you mean '{near[0]}'?" if near else ""))
    return found


def all_ops() -> dict[str, Op]:
    """Every operator once, by its own name."""
    return {new.name: new for new in _table.values()}


def all_names() -> dict[str, Op]:
    """Every operator by each of its names."""
    return dict(_table)

"""What a plan is made of: values, and instructions that read and write them.

A `Value` is an array that does not exist yet: shape, dtype, the order in which its axes lie in memory, and where
it will live. Every value is written by one instruction, and by none after that, except what is bound from outside.
An `Instr` knows the values that it reads and writes; `steps` gives the calls that do it, once the arrays are
there. Nothing else of an instruction matters to the passes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np

__all__ = [
    "Apply",
    "Array",
    "Call",
    "Copy",
    "Instr",
    "Mark",
    "Random",
    "Reduce",
    "Select",
    "Step",
    "Value",
    "View",
    "call_into",
    "full_order",
    "seen",
]

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]
Step = tuple[Callable[..., Any], tuple[Any, ...]]
At = Callable[["Value"], Array]  # the array of a value


def full_order(ndim: int) -> tuple[int, ...]:
    """The order of axes in an ordinary array: the last one innermost."""
    return tuple(range(ndim))


class Value:
    """An array of a plan."""

    __slots__ = ("bound", "const", "dtype", "order", "shape")

    def __init__(
        self,
        shape: Shape,
        dtype: np.dtype[Any],
        bound: tuple[str, int] | None = None,
        const: Array | None = None,
        order: tuple[int, ...] | None = None,
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self.order = order or full_order(len(shape))  # its axes from the outermost in memory to the innermost
        self.bound = bound  # which array from outside it is: ("arg", 0), ("grad", 2), …
        self.const = const

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def is_temporary(self) -> bool:
        """Whether the plan chooses where it lives."""
        return self.bound is None and self.const is None

    def __repr__(self) -> str:
        what = (
            f"{self.bound[0]}{self.bound[1]} " if self.bound else "const " if self.const is not None else ""
        )
        return f"<{what}{self.dtype}{list(self.shape)}>"

    def lay(self, flat: Array) -> Array:
        """`flat`, its elements in memory's order, as the array."""
        at_home = flat.reshape([self.shape[i] for i in self.order])
        return (
            at_home.transpose(np.argsort(self.order))
            if self.order != full_order(len(self.shape))
            else at_home
        )


class Instr:
    """One instruction. `node` names the operator that it comes from, `back` says whether for its gradient."""

    __slots__ = ("back", "node", "reads", "scratch", "writes")
    pure: ClassVar[bool] = True  # it does nothing but write its values, and does the same every time
    elementwise: ClassVar[bool] = False  # output may lie where an input of the same shape lay

    def __init__(
        self, reads: Sequence[Value], writes: Sequence[Value], scratch: Sequence[Value] = ()
    ) -> None:
        self.reads = list(reads)
        self.writes = list(writes)
        self.scratch = list(scratch)  # room that only this instruction uses
        self.node = ""
        self.back = False

    def steps(self, at: At) -> list[Step]:
        """The calls, with every array bound."""
        raise NotImplementedError

    def key(self) -> Any:
        """What makes two instructions the same but for what they write; None if that cannot be said."""
        return None

    @property
    def title(self) -> str:
        """Its name in an explanation."""
        return type(self).__name__.lower()

    def flops(self) -> float:
        """Floating-point operations, roughly."""
        return float(sum(v.size for v in self.writes))

    def in_place(self) -> list[tuple[Value, Value]]:
        """(output, operand) pairs that may share memory, if the operand is not needed any more."""
        if not self.elementwise:
            return []
        out = self.writes[0]
        return [
            (out, v)
            for v in self.reads
            if v.shape == out.shape and v.dtype == out.dtype and v.order == out.order
        ]

    def alters(self) -> Sequence[Value]:
        """The values from outside that it writes."""
        return [v for v in self.writes if v.bound is not None]


def call_into(ufunc: np.ufunc, *args: Array) -> Step:
    """The call of a ufunc whose output is the last of `args`."""
    if ufunc in (np.maximum, np.minimum):  # NumPy wants their output by name
        return partial(ufunc, out=args[-1]), args[:-1]
    return ufunc, args


class Apply(Instr):
    """A ufunc: elementwise, or matmul."""

    __slots__ = ("casting", "ufunc")

    def __init__(
        self, ufunc: np.ufunc, reads: Sequence[Value], out: Value, casting: str | None = None
    ) -> None:
        super().__init__(reads, [out])
        self.ufunc = ufunc
        self.casting = casting

    @property
    def elementwise(self) -> bool:  # type: ignore[override]
        return self.ufunc.signature is None

    def steps(self, at: At) -> list[Step]:
        args = (*map(at, self.reads), at(self.writes[0]))
        if self.casting is None:
            return [call_into(self.ufunc, *args)]
        return [(_apply_casting, (self.ufunc, self.casting, args))]

    def key(self) -> Any:
        return ("apply", self.ufunc, self.casting, self.writes[0].dtype)

    @property
    def title(self) -> str:
        return self.ufunc.__name__

    def flops(self) -> float:
        if self.elementwise:
            return float(self.writes[0].size)
        return 2.0 * self.writes[0].size * self.reads[0].shape[-1]


def _apply_casting(ufunc: np.ufunc, casting: Any, args: tuple[Any, ...]) -> None:
    ufunc(*args, casting=casting)


class Select(Instr):
    """np.where: elements of one array or the other."""

    __slots__ = ()

    def steps(self, at: At) -> list[Step]:
        mask, yes, no = map(at, self.reads)
        out = at(self.writes[0])
        return [(np.copyto, (out, no)), (np.copyto, (out, yes, "same_kind", mask))]

    def key(self) -> Any:
        return ("select", self.writes[0].dtype)


class Reduce(Instr):
    """A ufunc's reduction over axes."""

    __slots__ = ("axis", "keepdims", "ufunc")

    def __init__(
        self, ufunc: np.ufunc, source: Value, out: Value, axis: int | tuple[int, ...] | None, keepdims: bool
    ) -> None:
        super().__init__([source], [out])
        self.ufunc = ufunc
        self.axis = axis
        self.keepdims = keepdims

    def steps(self, at: At) -> list[Step]:
        return [(self.ufunc.reduce, (at(self.reads[0]), self.axis, None, at(self.writes[0]), self.keepdims))]

    def key(self) -> Any:
        return ("reduce", self.ufunc, self.axis, self.keepdims)

    @property
    def title(self) -> str:
        return f"{self.ufunc.__name__}.reduce"

    def flops(self) -> float:
        return float(self.reads[0].size)


def seen(how: str, arg: Any, a: Array) -> Array:
    """`a` reshaped, transposed, indexed or broadcast."""
    if how == "reshape":
        return a.reshape(arg)
    if how == "transpose":
        return a.transpose(arg)
    if how == "index":
        return a[arg]  # type: ignore[no-any-return]
    return np.broadcast_to(a, arg)


class View(Instr):
    """The same memory seen otherwise: `how` is reshape, transpose, index or broadcast."""

    __slots__ = ("arg", "how")

    def __init__(self, how: str, arg: Any, base: Value, out: Value) -> None:
        super().__init__([base], [out])
        self.how = how
        self.arg = arg

    def see(self, a: Array) -> Array:
        """`a`, the base's array, as the view."""
        return seen(self.how, self.arg, a)

    def steps(self, at: At) -> list[Step]:
        return []

    def key(self) -> Any:
        return ("view", self.how, repr(self.arg))

    def flops(self) -> float:
        return 0.0


class Copy(Instr):
    """A copy, into another layout, another dtype, or an array bound from outside."""

    __slots__ = ()

    def __init__(self, source: Value, out: Value) -> None:
        super().__init__([source], [out])

    def steps(self, at: At) -> list[Step]:
        return [(np.copyto, (at(self.writes[0]), at(self.reads[0]), "unsafe"))]

    def key(self) -> Any:
        return ("copy", self.writes[0].dtype, self.writes[0].order, self.writes[0].shape)


class Random(Instr):
    """Uniform numbers from the device's generator, which lies in `source` when the plan runs."""

    __slots__ = ("dtype", "source")
    pure: ClassVar[bool] = False

    def __init__(self, source: Any, dtype: Any, out: Value) -> None:
        super().__init__([], [out])
        self.source = source
        self.dtype = dtype

    def steps(self, at: At) -> list[Step]:
        return [(_draw, (self.source, self.dtype, at(self.writes[0])))]


def _draw(source: Any, dtype: Any, out: Array) -> None:
    source.rng.random(dtype=dtype, out=out)


class Mark(Instr):
    """A place in the plan: where the forward pass ends ("forward"), or where the gradient of `argument` is
    complete.
    """

    __slots__ = ("argument",)
    pure: ClassVar[bool] = False

    def __init__(self, argument: int | None = None) -> None:
        super().__init__([], [])
        self.argument = argument

    def steps(self, at: At) -> list[Step]:
        return []


class Call(Instr):
    """Any function of arrays that gives arrays of its own, which are copied to where the plan wants them.

    `function(*arrays)` returns an array or a tuple of them; None means zero. With `writes_out` it takes the
    output as `out=`, several as `outs=`, and fills them. `changes` are values from outside that it writes. One that
    `acts` does more than its outputs show, such as drawing random numbers, and stays although nobody reads them.
    """

    __slots__ = ("acts", "changes", "function", "label", "writes_out")

    def __init__(
        self,
        label: str,
        function: Callable[..., Any],
        reads: Sequence[Value],
        writes: Sequence[Value],
        writes_out: bool = False,
        changes: Sequence[Value] = (),
        acts: bool = False,
    ) -> None:
        super().__init__(reads, writes)
        self.acts = acts or bool(changes)
        self.label = label
        self.function = function
        self.writes_out = writes_out
        self.changes = list(changes)

    pure: ClassVar[bool] = False

    def alters(self) -> Sequence[Value]:
        return [*self.changes, *super().alters()]

    def steps(self, at: At) -> list[Step]:
        ins, outs = tuple(map(at, self.reads)), tuple(map(at, self.writes))
        if self.writes_out and len(outs) == 1:
            return [(_call_out, (self.function, ins, outs[0]))]
        if self.writes_out:
            return [(_call_outs, (self.function, ins, outs))]
        return [(_call, (self.function, ins, outs))]

    @property
    def title(self) -> str:
        return self.label


def _call_out(function: Callable[..., Any], ins: tuple[Array, ...], out: Array) -> None:
    function(*ins, out=out)


def _call_outs(function: Callable[..., Any], ins: tuple[Array, ...], outs: tuple[Array, ...]) -> None:
    function(*ins, outs=outs)


def _call(function: Callable[..., Any], ins: tuple[Array, ...], outs: tuple[Array, ...]) -> None:
    result = function(*ins)
    for out, y in zip(outs, result if isinstance(result, tuple | list) else (result,), strict=False):
        out[...] = 0 if y is None else y

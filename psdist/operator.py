"""Operators of your own, in Python: a `CustomOp` computes, a `CustomOpProp` says what it takes and gives.

    @mx.operator.register("softmax")
    class SoftmaxProp(mx.operator.CustomOpProp):
        def list_arguments(self):
            return ["data", "label"]

        def infer_shape(self, in_shape):
            return [in_shape[0], [in_shape[0][0]]], [in_shape[0]], []

        def create_operator(self, ctx, shapes, dtypes):
            return Softmax()

    y = mx.nd.Custom(x, label, op_type="softmax")
    net = mx.sym.Custom(data=fc, op_type="softmax", name="softmax")

The older `NumpyOp` and `NDArrayOp` are the two classes in one.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin

import numpy as np

from .autograd import pause
from .context import current_context
from .errors import ConfigError, GraphError, PSError, ShapeError
from .ndarray.array import NDArray
from .ops import custom
from .ops.signature import Shape
from .symbol import Custom as _symbol_of
from .symbol import Symbol

__all__ = [
    "CustomOp",
    "CustomOpProp",
    "NDArrayOp",
    "NumpyOp",
    "OperatorArguments",
    "PythonOp",
    "get_all_registered_operators",
    "get_operator_arguments",
    "register",
]

Array = np.ndarray[Any, Any]


class CustomOp:
    """What computes. Override `forward` and `backward`; give results with `assign`.

    One object serves one executor, or one call of `nd.Custom`, so what `forward` keeps in `self` is there in its
    `backward`.
    """

    def __init__(self) -> None:
        pass

    def forward(
        self,
        is_train: bool,
        req: Sequence[str],
        in_data: Sequence[NDArray],
        out_data: Sequence[NDArray],
        aux: Sequence[NDArray],
    ) -> None:
        """Compute `out_data` from `in_data`. `req` says of each output: `null`, `write`, `inplace` or `add`."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def backward(
        self,
        req: Sequence[str],
        out_grad: Sequence[NDArray],
        in_data: Sequence[NDArray],
        out_data: Sequence[NDArray],
        in_grad: Sequence[NDArray],
        aux: Sequence[NDArray],
    ) -> None:
        """Compute `in_grad` from `out_grad`. By default, all gradients are zero."""

    def assign(self, dst: NDArray, req: str, src: Any) -> None:
        """Put `src` into `dst` as `req` says."""
        if req in ("write", "inplace"):
            dst[:] = src
        elif req == "add":
            dst[:] += src
        elif req != "null":
            raise ConfigError(f"assign: req is {req!r}; wanted null, write, inplace or add")


class CustomOpProp:
    """What an operator takes and gives. A parameter of the call arrives in `__init__` as text.

    `need_top_grad` False says that it is a loss: its gradient does not look at `out_grad`.
    """

    def __init__(self, need_top_grad: bool = True) -> None:
        self.need_top_grad_ = need_top_grad

    def list_arguments(self) -> list[str]:
        """Names of the inputs."""
        return ["data"]

    def list_outputs(self) -> list[str]:
        """Names of the outputs."""
        return ["output"]

    def list_auxiliary_states(self) -> list[str]:
        """Names of the arrays that `forward` may change and that have no gradient."""
        return []

    def infer_shape(self, in_shape: list[list[int]]) -> Any:
        """Shapes of inputs and outputs, and of auxiliary states if there are any, from those of the inputs that
        are known (the others are empty lists). By default all are as the first input."""
        return in_shape, (in_shape[0],) * len(self.list_outputs()), ()

    def infer_type(self, in_type: list[Any]) -> Any:
        """Types of inputs, outputs and auxiliary states. By default all are as the first input."""
        first = in_type[0]
        return (
            in_type,
            [first] * len(self.list_outputs()),
            [first] * len(self.list_auxiliary_states()),
        )

    def declare_backward_dependency(
        self, out_grad: Sequence[int], in_data: Sequence[int], out_data: Sequence[int]
    ) -> list[int]:
        """Which of these `backward` looks at."""
        return [*(out_grad if self.need_top_grad_ else ()), *in_data, *out_data]

    def create_operator(self, ctx: Any, in_shapes: Any, in_dtypes: Any) -> CustomOp:
        """The object that computes."""
        return CustomOp()


class _User:
    """A CustomOpProp, answering as `ops.custom` asks."""

    def __init__(self, prop: CustomOpProp, op_type: str) -> None:
        self.prop = prop
        self.op_type = op_type
        self.need_top_grad = bool(getattr(prop, "need_top_grad_", True))

    def ask(self, method: str, *args: Any) -> Any:
        """What a method of the user's gives. Raises GraphError, naming operator and method, for any error in it."""
        try:
            return getattr(self.prop, method)(*args)
        except PSError:
            raise
        except Exception as e:
            raise GraphError(
                f"Custom '{self.op_type}': {type(self.prop).__name__}.{method} raised {type(e).__name__}: {e}"
            ) from e

    def arguments(self) -> list[str]:
        return list(self.ask("list_arguments"))

    def auxiliary(self) -> list[str]:
        return list(self.ask("list_auxiliary_states") or ())

    def outputs(self) -> list[str]:
        return list(self.ask("list_outputs"))

    def infer_shape(
        self, ins: list[Shape | None], outs: list[Shape | None]
    ) -> tuple[list[Shape | None], list[Shape | None]]:
        num_args, num_aux = len(self.arguments()), len(self.auxiliary())
        given = ins[:num_args]
        whole = all(s is not None and 0 not in s for s in given)
        try:
            found = self.ask("infer_shape", [[] if s is None else list(s) for s in given])
        except (GraphError, PSError):
            if whole:
                raise
            return ins, outs  # it needs more than is known so far
        parts = self._three("infer_shape", found, num_args, len(outs), num_aux)
        shapes = [[self._shape(s) for s in part] for part in parts]
        for name, have, new in zip(self.arguments(), given, shapes[0], strict=True):
            if have is not None and new is not None and 0 not in have and have != new:
                raise ShapeError(
                    f"Custom '{self.op_type}': '{name}' has shape {have}; infer_shape wants {new}"
                )
        return shapes[0] + shapes[2], shapes[1]

    def _shape(self, s: Any) -> Shape | None:
        return tuple(int(n) for n in s) or None

    def _three(self, what: str, found: Any, num_args: int, num_outs: int, num_aux: int) -> list[list[Any]]:
        if not isinstance(found, list | tuple) or len(found) not in (2, 3):
            raise GraphError(
                f"Custom '{self.op_type}': {what} gave {found!r}; wanted (inputs, outputs) or (inputs, outputs, "
                "auxiliary states)"
            )
        parts = [list(p) for p in (*found, ())][:3]
        for part, wanted, kind in zip(
            parts, (num_args, num_outs, num_aux), ("inputs", "outputs", "auxiliary states"), strict=True
        ):
            if len(part) != wanted:
                raise GraphError(f"Custom '{self.op_type}': {what} gave {len(part)} {kind}; wanted {wanted}")
        return parts

    def infer_type(self, ins: list[str | None]) -> tuple[list[str | None], list[str | None]]:
        num_args, num_aux = len(self.arguments()), len(self.auxiliary())
        num_outs = len(self.outputs())
        given = [None if t is None else np.dtype(t).type for t in ins[:num_args]]
        if num_args and all(t is None for t in given):
            return ins, [None] * num_outs
        first = next((t for t in given if t is not None), np.float32)
        found = self.ask("infer_type", [t or first for t in given])
        parts = self._three("infer_type", found, num_args, num_outs, num_aux)
        names = [[None if t is None else np.dtype(t).name for t in part] for part in parts]
        wanted = names[0] + names[2]
        return [have or new for have, new in zip(ins, wanted, strict=True)], names[1]

    def session(self) -> _Session:
        return _Session(self)


class _Session:
    """A CustomOp at work."""

    def __init__(self, user: _User) -> None:
        self._user = user
        self._num_args = len(user.arguments())
        self._op: CustomOp | None = None
        self._out: list[tuple[Shape, Any]] = []

    def _operator(self, arrays: Sequence[Array]) -> CustomOp:
        if self._op is None:
            user = self._user
            given = arrays[: self._num_args]
            num_outs = len(user.outputs())
            _, shapes = user.infer_shape([a.shape for a in arrays], [None] * num_outs)
            _, dtypes = user.infer_type([a.dtype.name for a in arrays])
            self._out = [(s or (), t) for s, t in zip(shapes, dtypes, strict=True)]
            self._op = user.ask(
                "create_operator",
                current_context(),
                [list(a.shape) for a in given],
                [a.dtype.type for a in given],
            )
        return self._op

    def _run(self, method: str, *args: Any) -> None:
        op = self._op
        try:
            with np.errstate(all="warn"):
                getattr(op, method)(*args)
        except Exception as e:
            raise GraphError(
                f"Custom '{self._user.op_type}': {type(op).__name__}.{method} raised {type(e).__name__}: {e}"
            ) from e

    def forward(self, is_train: bool, arrays: Sequence[Array]) -> tuple[Array, ...]:
        self._operator(arrays)
        ins, aux = _wrapped(arrays[: self._num_args]), _wrapped(arrays[self._num_args :])
        outs = [NDArray(np.zeros(s, t)) for s, t in self._out]
        with pause(train_mode=is_train):
            self._run("forward", is_train, ["write"] * len(outs), ins, outs, aux)
        return tuple(y._data for y in outs)

    def backward(
        self, heads: Sequence[Array], outputs: Sequence[Array], arrays: Sequence[Array], needs: Sequence[bool]
    ) -> list[Array | None]:
        self._operator(arrays)
        ins, aux = _wrapped(arrays[: self._num_args]), _wrapped(arrays[self._num_args :])
        grads = [NDArray(np.zeros_like(x._data)) for x in ins]
        reqs = ["write" if need else "null" for need in needs[: self._num_args]]
        with pause(train_mode=True):
            self._run("backward", reqs, _wrapped(heads), ins, _wrapped(outputs), grads, aux)
        return [
            *(g._data if need else None for g, need in zip(grads, needs, strict=False)),
            *(None for _ in aux),
        ]


def _wrapped(arrays: Sequence[Array]) -> list[NDArray]:
    return [NDArray(a) for a in arrays]


P = TypeVar("P", bound=type[CustomOpProp])
_registered: dict[str, type[CustomOpProp]] = {}


def register(reg_name: str) -> Callable[[P], P]:
    """A decorator that makes a CustomOpProp available as `op_type=reg_name`. The last one of a name counts."""

    def enter(prop_class: P) -> P:
        if not (isinstance(prop_class, type) and issubclass(prop_class, CustomOpProp)):
            raise ConfigError(f"register('{reg_name}'): {prop_class!r} is no subclass of CustomOpProp")

        def factory(texts: dict[str, str]) -> _User:
            try:
                prop = prop_class(**texts)  # type: ignore[arg-type]  # a subclass takes what it likes
            except PSError:
                raise
            except Exception as e:
                given = ", ".join(f"{k}={v!r}" for k, v in texts.items())
                raise GraphError(
                    f"Custom '{reg_name}': {prop_class.__name__}({given}) raised {type(e).__name__}: {e}"
                ) from e
            return _User(prop, reg_name)

        _registered[reg_name] = prop_class
        custom.factories[reg_name] = factory
        return prop_class

    return enter


def get_all_registered_operators() -> list[str]:
    """Names of all operators: the table's and yours."""
    from . import ops

    return sorted({*ops.all_names(), *_registered})


class OperatorArguments(NamedTuple):
    """What an operator takes: how many arguments, their names, and their types in words."""

    narg: int
    names: list[str]
    types: list[str]


def get_operator_arguments(op_name: str) -> OperatorArguments:
    """An operator's arrays, then its parameters. Raises GraphError for a name that no operator has."""
    from . import ops

    op = ops.get(op_name)
    names, types = list(op.inputs), ["NDArray-or-Symbol"] * len(op.inputs)
    if op.variadic:
        types[-1] += "[]"
    for p in op.params.values():
        choices = get_args(p.annotation) if get_origin(p.annotation) is Literal else ()
        what = "{" + ", ".join(map(repr, choices)) + "}" if choices else p.wanted
        names.append(p.name)
        types.append(f"{what}, {'required' if p.is_required else f'optional, default={str(p.default)!r}'}")
    return OperatorArguments(len(names), names, types)


# -- the older way -------------------------------------------------------------------------------------------

_numbers = itertools.count()
_lock = threading.Lock()  # guards _numbers


class PythonOp:
    """Base of `NumpyOp` and `NDArrayOp`, MXNet's older classes. Calling the object gives a symbol."""

    _as_numpy = False

    def __init__(self, need_top_grad: bool = True) -> None:
        self.need_top_grad_ = need_top_grad
        self._op_type = ""

    def __call__(self, *args: Any, **kwargs: Any) -> Symbol:
        return self.get_symbol(*args, **kwargs)

    def get_symbol(self, *args: Any, **kwargs: Any) -> Symbol:
        """The symbol of this operator over others."""
        if not self._op_type:
            with _lock:
                self._op_type = f"_{type(self).__name__}{next(_numbers)}"
            custom.factories[self._op_type] = lambda texts: _User(_PropOfOld(self), self._op_type)
        made: Symbol = _symbol_of(*args, op_type=self._op_type, **kwargs)
        return made

    def list_arguments(self) -> list[str]:
        """Names of the inputs."""
        return ["data"]

    def list_outputs(self) -> list[str]:
        """Names of the outputs."""
        return ["output"]

    def infer_shape(self, in_shape: list[list[int]]) -> Any:
        """Shapes of inputs and outputs."""
        return in_shape, [in_shape[0]] * len(self.list_outputs())

    def need_top_grad(self) -> bool:
        """Whether the gradient looks at that of the outputs."""
        return self.need_top_grad_

    def forward(self, in_data: Any, out_data: Any) -> None:
        """Compute `out_data` in place. By default a copy of the first input."""
        out_data[0][:] = in_data[0]

    def backward(self, out_grad: Any, in_data: Any, out_data: Any, in_grad: Any) -> None:
        """Compute `in_grad` in place. By default ones."""
        in_grad[0][:] = 1.0


class NumpyOp(PythonOp):
    """An older operator over NumPy arrays: override `forward(in_data, out_data)` and `backward(...)`."""

    _as_numpy = True


class NDArrayOp(PythonOp):
    """An older operator over NDArrays: override `forward(in_data, out_data)` and `backward(...)`."""

    def declare_backward_dependency(
        self, out_grad: Sequence[int], in_data: Sequence[int], out_data: Sequence[int]
    ) -> list[int]:
        """Which of these `backward` looks at."""
        return [*(out_grad if self.need_top_grad() else ()), *in_data, *out_data]


class _PropOfOld(CustomOpProp):
    """An older operator as a CustomOpProp."""

    def __init__(self, old: PythonOp) -> None:
        super().__init__(bool(old.need_top_grad()))
        self._old = old

    def list_arguments(self) -> list[str]:
        return self._old.list_arguments()

    def list_outputs(self) -> list[str]:
        return self._old.list_outputs()

    def infer_shape(self, in_shape: list[list[int]]) -> Any:
        return self._old.infer_shape(in_shape)

    def create_operator(self, ctx: Any, in_shapes: Any, in_dtypes: Any) -> CustomOp:
        return _OpOfOld(self._old)


class _OpOfOld(CustomOp):
    def __init__(self, old: PythonOp) -> None:
        super().__init__()
        self._old = old

    def _given(self, arrays: Sequence[NDArray]) -> list[Any]:
        return [x._data for x in arrays] if self._old._as_numpy else list(arrays)

    def forward(self, is_train: bool, req: Any, in_data: Any, out_data: Any, aux: Any) -> None:
        self._old.forward(in_data=self._given(in_data), out_data=self._given(out_data))

    def backward(self, req: Any, out_grad: Any, in_data: Any, out_data: Any, in_grad: Any, aux: Any) -> None:
        self._old.backward(
            out_grad=self._given(out_grad),
            in_data=self._given(in_data),
            out_data=self._given(out_data),
            in_grad=self._given(in_grad),
        )

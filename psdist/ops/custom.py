"""`Custom`: an operator that users write in Python, as a row of the table.

The row is made when it is asked for: `Custom.specialise(op_type="softmax", ...)` gives an operator whose inputs,
outputs and rules are the user's. What a user's operator is stands in `psdist.operator`, which enters a factory
here; this file knows only the protocol, so that operators need no NDArray.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, GraphError
from .params import REQUIRED, Param
from .registry import Op, enter
from .signature import Shape

__all__ = ["Session", "UserOperator", "factories"]

Array = NDArray[Any]


class Session(Protocol):
    """A user's operator at work: one for each executor, or for each call of `nd.Custom`."""

    def forward(self, is_train: bool, arrays: Sequence[Array]) -> tuple[Array, ...]:
        """The outputs; auxiliary states, the last of `arrays`, are written."""

    def backward(
        self, heads: Sequence[Array], outputs: Sequence[Array], arrays: Sequence[Array], needs: Sequence[bool]
    ) -> list[Array | None]:
        """The gradients of the arguments that are needed."""


class UserOperator(Protocol):
    """What a user says of an operator with its parameters set."""

    need_top_grad: bool

    def arguments(self) -> list[str]:
        """Names of the inputs."""

    def auxiliary(self) -> list[str]:
        """Names of the auxiliary states."""

    def outputs(self) -> list[str]:
        """Names of the outputs."""

    def infer_shape(
        self, ins: list[Shape | None], outs: list[Shape | None]
    ) -> tuple[list[Shape | None], list[Shape | None]]:
        """Shapes of inputs (auxiliary states among them) and outputs, as far as they follow."""

    def infer_type(self, ins: list[str | None]) -> tuple[list[str | None], list[str | None]]:
        """Dtypes of inputs (auxiliary states among them) and outputs."""

    def session(self) -> Session:
        """A new one at work."""


Factory = Callable[[dict[str, str]], UserOperator]
factories: dict[str, Factory] = {}  # by op_type


@dataclass(eq=False, slots=True)
class _Custom(Op):
    """The row of one user's operator; the table's own row stands for all of them."""

    user: UserOperator | None = None

    __hash__ = None  # type: ignore[assignment]  # keeps rows, and what users keep in them, out of caches

    def specialise(self, given: Mapping[str, Any]) -> Op:
        """The row for parameters `op_type=...` and those of the user's operator. Raises ConfigError."""
        texts = {
            k: str(v) for k, v in given.items() if not k.startswith("__") and not hasattr(v, "asnumpy")
        }  # arrays and symbols are no parameters
        op_type = texts.pop("op_type", None)
        if op_type is None:
            raise ConfigError("Custom: the parameter 'op_type' is missing: the name that was registered")
        factory = factories.get(op_type)
        if factory is None:
            near = difflib.get_close_matches(op_type, factories, 1)
            hint = f"did you mean '{near[0]}'?" if near else "register it with mx.operator.register first"
            raise ConfigError(f"Custom: no operator '{op_type}' is registered; {hint}")
        return self._row(factory(texts), ["op_type", *texts])

    def _row(self, user: UserOperator, names: Sequence[str]) -> Op:
        aux = tuple(user.auxiliary())
        arguments = tuple(user.arguments())
        if len({*arguments, *aux}) != len(arguments) + len(aux):
            raise GraphError(f"Custom: names of arguments and states are not unique: {arguments + aux}")
        num_outputs = len(user.outputs())
        row = replace(
            self,
            inputs=arguments + aux,
            optional=frozenset(),
            variadic=False,
            params={n: Param.of(n, str, REQUIRED) for n in names},
            aux=aux,
            mutates=aux,
            outputs=tuple(user.outputs()),
            shape_rule=lambda ins, _params, outs: user.infer_shape(ins, outs),
            types=lambda ins, _params: user.infer_type(list(ins)),
            ignores_head=not user.need_top_grad,
            unused=frozenset() if user.need_top_grad else frozenset(range(num_outputs)),
            user=user,
        )
        session = user.session()

        def kernel(*arrays: Array, is_train: bool = False, rng: Any = None, **_: Any) -> Any:
            if not all(type(a) is np.ndarray for a in arrays) or not isinstance(rng, np.random.Generator):
                raise TypeError("a user's operator runs on arrays only")  # asked for by a tracer: no
            return session.forward(is_train, arrays)

        def gradient(*arrays: Array, needs: tuple[bool, ...], **_: Any) -> Any:
            if not all(type(a) is np.ndarray for a in arrays):
                raise TypeError("a user's operator runs on arrays only")
            heads, outputs = arrays[:num_outputs], arrays[num_outputs : 2 * num_outputs]
            return session.backward(heads, outputs, arrays[2 * num_outputs :], needs)

        row.kernel = kernel
        row.gradient_kernel = gradient
        return row

    def fresh(self) -> Op:
        """The same row at work anew, for another executor."""
        return self if self.user is None else self._row(self.user, list(self.params))


def _unbound(*data: Array, op_type: str, is_train: bool = False, rng: Any = None) -> Any:
    """An operator of your own, registered as `op_type` with `mx.operator.register`; see `mx.operator.CustomOp`."""
    raise ConfigError("Custom: the operator must be made by nd.Custom or sym.Custom")


Custom = enter(
    _Custom(
        name="Custom",
        kernel=_unbound,
        inputs=("data",),
        optional=frozenset(),
        variadic=True,
        params={"op_type": Param.of("op_type", str, REQUIRED)},
        signature=None,
        shape_rule=lambda ins, _params, outs: (ins, outs),
        types=lambda ins, _params: (ins, ["float32"]),
        aux=(),
        mutates=(),
        outputs=("output",),
        num_outputs_rule=None,
        num_visible_rule=None,
        active_rule=None,
        ufunc=None,
        asks=frozenset(("is_train", "rng")),  # rng: so that no two calls are taken for the same
        gradient_asks=frozenset(("needs",)),
    )
)

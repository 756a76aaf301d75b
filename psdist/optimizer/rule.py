"""What an optimizer is to psdist: a frozen dataclass of numbers with pure rules over NumPy arrays.

One rule runs everywhere: in the process that trains, on a parameter server, on a slice of an array or on all
of it. So a rule owns no array and no step count: its state is a tuple of arrays made by `create_state`, and
what changes from step to step (learning rate, weight decay, step number) comes as arguments. It crosses the
wire as its name and its numbers, which `from_wire` looks up in the table of the rules below; nothing
received is executed.

To add an algorithm, write a file with a subclass under `@rule`. An elementwise one writes `step`, which gets
blocks that fit in the cache, so that a parameter of any size is read from memory once.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, ShapeError
from . import traced

__all__ = [
    "Array",
    "ElementwiseRule",
    "Number",
    "Rule",
    "State",
    "from_wire",
    "norm",
    "rescaled",
    "rule",
    "rule_names",
]

Number = float | int | bool | str | None
Array = NDArray[Any]
State = tuple[Array, ...]

_NORM_BLOCK = 8192  # elements: OpenBLAS sums so many in one thread


@dataclass(frozen=True)
class Rule:
    """The numbers that every algorithm has, and its contract."""

    name: ClassVar[str] = ""
    elementwise: ClassVar[bool] = False  # may run on flat slices of value and state
    state_names: ClassVar[tuple[str, ...]] = ()

    def create_state(self, value: Array, /) -> State:
        """The arrays to keep beside `value` between updates, at their initial values."""
        return tuple(np.zeros_like(value) for _ in self.state_names)

    def update(self, value: Array, grad: Array, state: State, /, *, lr: float, wd: float, t: int) -> None:
        """Write the next `value` and `state` in place; `t` counts updates from 1. `grad` is only read."""
        raise NotImplementedError

    def for_key(self, name: str, /) -> Rule:
        """The rule for one key of a store, should its name ("s:fc1_bias" or "i:3") matter."""
        return self

    def to_wire(self) -> tuple[str, dict[str, Number]]:
        """The rule's name and its numbers; `from_wire` is the way back."""
        return self.name, {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}


@dataclass(frozen=True)
class ElementwiseRule(Rule):
    """A rule whose every element is updated on its own, in blocks.

    The gradient reaches `step` rescaled and clipped: g = clip(rescale_grad · grad), or with weight decay
    already in it, g = clip(rescale_grad · grad + wd · w), where `decays_gradient` says so.
    """

    rescale_grad: float = 1.0
    clip_gradient: float | None = None  # None or negative: not clipped

    elementwise: ClassVar[bool] = True
    decays_gradient: ClassVar[bool] = False
    num_scratch: ClassVar[int] = 1

    def step(self, w: Array, g: Array, state: State, tmp: State, lr: float, wd: float, t: int) -> None:
        """Update one block in place. `g` and the arrays of `tmp` may be overwritten."""
        raise NotImplementedError

    def update(self, value: Array, grad: Array, state: State, /, *, lr: float, wd: float, t: int) -> None:
        if grad.shape != value.shape:
            raise ShapeError(f"{self.name}: the gradient's shape is {grad.shape}, the value's {value.shape}")
        if not all(a.flags.c_contiguous for a in (value, *state)):
            self._update_strided(value, grad, state, lr=lr, wd=wd, t=t)
            return
        flat = [a.reshape(-1) for a in (value, *state)]
        flat_grad = grad.reshape(-1)
        if flat_grad.size >= traced.LEAST and self._traced(flat, flat_grad, lr, wd, t):
            return
        buffers = traced.scratch(value.dtype, 1 + self.num_scratch)
        for start in range(0, flat_grad.size, traced.BLOCK):
            w, *block_state = (a[start : start + traced.BLOCK] for a in flat)
            g, *tmp = (b[: w.size] for b in buffers)
            self._prepare(w, flat_grad[start : start + traced.BLOCK], g, tmp[0], wd)
            self.step(w, g, tuple(block_state), tuple(tmp), lr, wd, t)

    def _traced(self, flat: list[Array], grad: Array, lr: float, wd: float, t: int) -> bool:
        """The same to the bit, but faster, where `step` can be written down."""

        def step(w: Any, grad: Any, state: Any, room: Any) -> None:
            g, *tmp = room
            self._prepare(w, grad, g, tmp[0], wd)
            self.step(w, g, state, tuple(tmp), lr, wd, t)

        return traced.run(step, flat[0], grad, flat[1:], 1 + self.num_scratch)

    def _prepare(self, w: Array, grad: Array, g: Array, tmp: Array, wd: float) -> None:
        if grad.dtype == g.dtype:
            np.multiply(grad, self.rescale_grad, out=g)
        else:
            np.copyto(g, grad, casting="same_kind")
            g *= self.rescale_grad
        if self.decays_gradient and wd:
            g += np.multiply(w, wd, out=tmp)
        if self.clip_gradient is not None and self.clip_gradient >= 0:
            g.clip(-self.clip_gradient, self.clip_gradient, out=g)

    def _update_strided(
        self, value: Array, grad: Array, state: State, *, lr: float, wd: float, t: int
    ) -> None:
        dense = tuple(np.ascontiguousarray(a) for a in (value, *state))
        self.update(dense[0], grad, dense[1:], lr=lr, wd=wd, t=t)
        for target, source in zip((value, *state), dense, strict=True):
            np.copyto(target, source)


def rescaled(grad: Array, dtype: Any, rescale_grad: float, clip_gradient: float | None) -> Array:
    """clip(rescale_grad · grad), as a new array: for rules that are not elementwise."""
    g = grad.astype(dtype)
    g *= rescale_grad
    if clip_gradient is not None and clip_gradient >= 0:
        g.clip(-clip_gradient, clip_gradient, out=g)
    return g


def norm(x: Array) -> float:
    """The Euclidean norm of all elements: the same bits whatever the number of BLAS threads, which sum more than
    10,000 elements each a part."""
    flat = x.reshape(-1)
    total = 0.0
    for start in range(0, flat.size, _NORM_BLOCK):
        block = flat[start : start + _NORM_BLOCK]
        total += float(np.dot(block, block))
    return math.sqrt(total)


_RULES: dict[str, type[Rule]] = {}
R = TypeVar("R", bound=Rule)


def rule(cls: type[R]) -> type[R]:
    """Enter a rule into the table, under its class's name in lower case."""
    cls.name = cls.__name__.lower()
    assert cls.name not in _RULES, cls.name
    _RULES[cls.name] = cls
    return cls


def rule_names() -> Iterator[str]:
    """The names that `from_wire` knows."""
    return iter(sorted(_RULES))


def from_wire(name: str, numbers: Mapping[str, Any]) -> Rule:
    """The rule that `to_wire` described. Raises ConfigError for an unknown name or number."""
    cls = _RULES.get(name) if isinstance(name, str) else None
    if cls is None:
        near = difflib.get_close_matches(str(name), _RULES, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(rule_names())}"
        raise ConfigError(f"no optimizer {name!r}; {hint}")
    known = {f.name: f.default for f in dataclasses.fields(cls)}
    for key, value in numbers.items():
        if key not in known:
            raise ConfigError(f"optimizer {name!r}: no number {key!r}; it takes {', '.join(sorted(known))}")
        wanted = str if isinstance(known[key], str) else bool | int | float | None
        if not isinstance(value, wanted):
            what = "a text" if wanted is str else "a number"
            raise ConfigError(f"optimizer {name!r}: {key} is {value!r}; wanted {what}")
    return cls(**numbers)

"""Optimizers compiled from their one rule: what `step` does to NumPy blocks is written down and made one loop.

The rule's Python runs once an update on `Cell`s, which stand for a block's arrays and compute nothing. The kernel does
the same operations in the same order, each rounded as NumPy rounds it; only exact ones are known here (no exp, no fused
multiply-add). So an update has the same bits with and without the compiler, on workers, servers and replicas alike, whether
llvmlite is installed or not; the tests compare every rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from .engine import Kernel, Table, engine
from .lanes import COMPARISONS
from .loops import Body, Input, Step, source

__all__ = ["LEAST", "run"]

LEAST = 1 << 14  # elements from which writing the rule down costs less than it saves
_EXACT = COMPARISONS | {
    "add", "subtract", "multiply", "divide", "negative", "positive", "square", "reciprocal", "sqrt", "absolute",
    "fabs", "maximum", "minimum", "clip", "copysign", "sign",
}  # fmt: skip
_KINDS = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
_Array = np.ndarray[Any, Any]
_Key = tuple[Any, ...]

_kernels: dict[_Key, Kernel] = {}


class Unknown(Exception):
    """The rule does something that cannot be compiled."""


class _Log:
    """What was done to cells."""

    def __init__(self, num_arrays: int, dtype: np.dtype[Any]) -> None:
        self.num_arrays = num_arrays
        self.dtype = dtype
        self.steps: list[tuple[str, tuple[int, ...]]] = []  # operands: arrays, then results; ~k is number k
        self.numbers: list[float] = []

    def operand(self, x: Any) -> int:
        if type(x) is Cell:
            if x.at is None:
                raise Unknown("read before it was written")
            return x.at
        if type(x) in (int, float):
            self.numbers.append(float(x))
            return ~(len(self.numbers) - 1)
        raise Unknown(type(x).__name__)

    def add(self, ufunc: str, operands: Sequence[Any]) -> int:
        if ufunc not in _EXACT:
            raise Unknown(ufunc)
        self.steps.append((ufunc, tuple(map(self.operand, operands))))
        return self.num_arrays + len(self.steps) - 1

    def body(self, outputs: Sequence[int]) -> Body:
        """The kernel's body."""
        kind = _KINDS[self.dtype]
        inputs = [Input(kind, "whole")] * self.num_arrays + [Input(kind, "given")] * len(self.numbers)
        shift = len(self.numbers)

        def place(at: int) -> int:
            return self.num_arrays + ~at if at < 0 else at if at < self.num_arrays else at + shift

        steps, masks = [], set()
        for k, (ufunc, args) in enumerate(self.steps):
            result = "i1" if ufunc in COMPARISONS else kind
            if result == "i1":
                masks.add(self.num_arrays + k)
            steps.append(Step(ufunc, kind, tuple(map(place, args)), result))
        if masks & set(outputs):
            raise Unknown("a truth value as result")
        return Body(tuple(inputs), tuple(steps), tuple(map(place, outputs)))


class Cell(NDArrayOperatorsMixin):
    """A block's array that is not there. Writing into it makes it stand for another result."""

    __slots__ = ("at", "log")

    def __init__(self, log: _Log, at: int | None) -> None:
        self.log = log
        self.at = at

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.log.dtype

    def _refuse(self, *args: Any) -> Any:
        raise Unknown("a value decides")

    __bool__ = __int__ = __float__ = __index__ = __len__ = __iter__ = __getitem__ = __array__ = _refuse

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **kwargs: Any
    ) -> Cell:
        if method != "__call__" or kwargs:
            raise Unknown(f"{ufunc.__name__}.{method}")
        made = self.log.add(ufunc.__name__, inputs)
        if out is None:
            return Cell(self.log, made)
        (target,) = out
        if type(target) is not Cell:
            raise Unknown("out")
        target.at = made
        return target

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function is np.copyto and len(args) == 2 and type(args[0]) is Cell and type(args[1]) is Cell:
            args[0].at = args[1].at
            return None
        raise Unknown(getattr(function, "__name__", "a function"))

    def clip(self, low: Any, high: Any, out: Any = None) -> Cell:
        made = self.log.add("clip", (self, low, high))
        if out is None:
            return Cell(self.log, made)
        if type(out) is not Cell:
            raise Unknown("out")
        out.at = made
        return out


def run(
    step: Callable[..., None], value: _Array, grad: _Array, state: Sequence[_Array], num_scratch: int
) -> bool:
    """Do to flat, contiguous arrays what `step(value, grad, state, scratch)` does to blocks of them, in one loop.

    Writes `value` and `state` in place and gives True; False, with nothing changed, if there is no compiler, or if it
    does not know something that `step` does.
    """
    compiler = engine()
    arrays = [value, grad, *state]
    if compiler is None or value.dtype not in _KINDS or any(a.dtype != value.dtype for a in arrays):
        return False
    log = _Log(len(arrays), value.dtype)
    cells = [Cell(log, k) for k in range(len(arrays))]
    room = tuple(Cell(log, None) for _ in range(num_scratch))
    try:
        step(cells[0], cells[1], tuple(cells[2:]), room)
        changed = [k for k, c in enumerate(cells) if c.at != k and k != 1]
        outputs: list[int] = []
        for k in changed:
            at = log.operand(cells[k])
            is_copy = at < log.num_arrays or at in outputs  # of what an array was, or of another result
            outputs.append(log.add("positive", (cells[k],)) if is_copy else at)
        key = (value.dtype, log.num_arrays, tuple(log.steps), tuple(outputs))
        kernel = _kernels.get(key)
        if kernel is None:
            kernel = _kernels[key] = compiler.kernel(source(log.body(outputs)))
    except (Unknown, TypeError, AttributeError):
        return False
    used = [*arrays, *(arrays[k] for k in changed)]
    table = Table.of(used, [value.size] * len(used))
    numbers = np.array([*log.numbers, 0.0])
    kernel.releasing(table, numbers.ctypes.data, 1, value.size)
    return True

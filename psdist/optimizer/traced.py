"""An optimizer's update written down: what a rule's `step` does to a block, as a list of operations.

The rule's Python runs once an update on `Cell`s, which stand for a block's arrays and compute nothing. The list is then
carried out over arrays of any size: by one compiled loop where llvmlite is installed, else by NumPy, block by block in the
cache, without the rule's Python and without multiplications by one.

Either way does the same operations in the same order, each rounded as NumPy rounds it; only exact ones are known here (no
exp, no fused multiply-add). So an update has the same bits with and without the compiler, on workers, servers and replicas
alike; the tests compare every rule. A rule that does something else is run as it stands (`rule.ElementwiseRule.update`).
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from ..jit.engine import Engine, Kernel, Table, engine
from ..jit.lanes import COMPARISONS
from ..jit.loops import FLOATS, Body, Input, Step, source

__all__ = ["BLOCK", "LEAST", "run", "scratch"]

LEAST = 1 << 14  # elements from which writing the step down costs less than it saves
BLOCK = (
    1 << 18
)  # elements that NumPy works on at once: what stays in the last cache; fewer and the calls cost more
_EXACT = COMPARISONS | {
    "add", "subtract", "multiply", "divide", "negative", "positive", "square", "reciprocal", "sqrt", "absolute",
    "fabs", "maximum", "minimum", "clip", "copysign", "sign",
}  # fmt: skip
_CLIP = getattr(getattr(np, "_core", None), "umath", np).clip  # the ufunc below np.clip
_Array = np.ndarray[Any, Any]

GRAD = 1  # the gradient's number among the arrays

_kernels: dict[tuple[Any, ...], Kernel] = {}


class Unknown(Exception):
    """The rule does something that is not known here."""


class Log:
    """What was done to cells. Operands are numbered: arrays, then results; ~k is the number k."""

    def __init__(self, num_arrays: int, dtype: np.dtype[Any]) -> None:
        self.num_arrays = num_arrays
        self.dtype = dtype
        self.steps: list[tuple[np.ufunc, tuple[int, ...]]] = []
        self.places: list[int] = []  # the array, or the scratch block after them, that holds each result
        self.numbers: list[float] = []
        self.num_places = num_arrays

    def place(self) -> int:
        """Room for a block."""
        self.num_places += 1
        return self.num_places - 1

    def operand(self, x: Any) -> int:
        if type(x) is Cell:
            if x.at is None:
                raise Unknown("read before it was written")
            return x.at
        if type(x) in (int, float):
            self.numbers.append(float(x))
            return ~(len(self.numbers) - 1)
        raise Unknown(type(x).__name__)

    def add(self, ufunc: np.ufunc, operands: Sequence[Any], place: int) -> int:
        """A result, held in `place`."""
        if ufunc.__name__ not in _EXACT:
            raise Unknown(ufunc.__name__)
        if (
            ufunc is np.multiply
            and type(operands[1]) is float
            and operands[1] == 1
            and operands[0].at == GRAD
        ):
            return GRAD  # which nothing overwrites
        self.steps.append((ufunc, tuple(map(self.operand, operands))))
        self.places.append(place)
        return self.num_arrays + len(self.steps) - 1


class Cell(NDArrayOperatorsMixin):
    """A block's array that is not there. Writing into it makes it stand for another result."""

    __slots__ = ("at", "log", "place")

    def __init__(self, log: Log, place: int, at: int | None = None) -> None:
        self.log = log
        self.place = place
        self.at = at

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.log.dtype

    def _refuse(self, *args: Any) -> Any:
        raise Unknown("a value decides")

    __bool__ = __int__ = __float__ = __index__ = __len__ = __iter__ = __getitem__ = __array__ = _refuse

    def _do(self, ufunc: np.ufunc, inputs: Sequence[Any], out: Any) -> Cell:
        target = Cell(self.log, self.log.place()) if out is None else out
        if type(target) is not Cell:
            raise Unknown("out")
        target.at = self.log.add(ufunc, inputs, target.place)
        return target

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **kwargs: Any
    ) -> Cell:
        if method != "__call__" or kwargs:
            raise Unknown(f"{ufunc.__name__}.{method}")
        return self._do(ufunc, inputs, None if out is None else out[0])

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function is not np.copyto or len(args) != 2 or type(args[1]) is not Cell:
            raise Unknown(getattr(function, "__name__", "a function"))
        self._do(np.positive, (args[1],), args[0])

    def clip(self, low: Any, high: Any, out: Any = None) -> Cell:
        return self._do(_CLIP, (self, low, high), out)


class _Buffers(threading.local):
    """Scratch blocks of this thread, per dtype; made once and used by every rule."""

    def __init__(self) -> None:
        self.by_dtype: dict[np.dtype[Any], list[_Array]] = {}


_buffers = _Buffers()


def scratch(dtype: np.dtype[Any], count: int) -> list[_Array]:
    """So many blocks that nobody else in this thread uses until this update is done."""
    buffers = _buffers.by_dtype.setdefault(dtype, [])
    while len(buffers) < count:
        buffers.append(np.empty(BLOCK, dtype))
    return buffers[:count]


def run(
    step: Callable[..., None], value: _Array, grad: _Array, state: Sequence[_Array], num_scratch: int
) -> bool:
    """Do to flat, contiguous arrays what `step(value, grad, state, scratch)` does to blocks of them.

    Writes `value` and `state` in place and gives True; False, with nothing changed, if `step` does something that is not
    known here.
    """
    arrays = [value, grad, *state]
    if value.dtype not in FLOATS or any(a.dtype != value.dtype for a in arrays):
        return False
    if any(np.may_share_memory(grad, a) for a in (value, *state)):
        return False
    log = Log(len(arrays), value.dtype)
    cells = [Cell(log, k, k) for k in range(len(arrays))]
    room = tuple(Cell(log, log.place()) for _ in range(num_scratch))
    try:
        step(cells[0], cells[1], tuple(cells[2:]), room)
    except (Unknown, TypeError, AttributeError):
        return False
    if cells[GRAD].at != GRAD:
        return False  # it is not ours to write
    compiler = engine()
    if compiler is None:
        _by_numpy(log, arrays)
    else:
        _compiled(compiler, log, arrays, [k for k, c in enumerate(cells) if c.at != k], cells)
    return True


def _by_numpy(log: Log, arrays: Sequence[_Array]) -> None:
    """Block by block, every result where the rule put it."""
    numbers = [np.asarray(x, log.dtype) for x in log.numbers]
    rooms = scratch(log.dtype, log.num_places - log.num_arrays)
    first, places = log.num_arrays, log.places

    def where(at: int) -> int:
        """The place of an operand, in a list of blocks, scratch and numbers."""
        return log.num_places + ~at if at < 0 else at if at < first else places[at - first]

    calls = []
    for (ufunc, args), place in zip(log.steps, places, strict=True):
        named = ufunc in (np.maximum, np.minimum)  # NumPy wants their output by name
        gets = (
            operator.itemgetter(*map(where, args), place)
            if not named
            else operator.itemgetter(*map(where, args))
        )
        calls.append((ufunc, gets, place if named else -1))
    size = arrays[0].size
    for start in range(0, size, BLOCK):
        stop = min(start + BLOCK, size)
        blocks = [a[start:stop] for a in arrays]
        blocks += rooms if stop - start == BLOCK else [r[: stop - start] for r in rooms]
        blocks += numbers
        for ufunc, gets, place in calls:
            if place < 0:
                ufunc(*gets(blocks))
            else:
                ufunc(*gets(blocks), out=blocks[place])


def _compiled(
    compiler: Engine, log: Log, arrays: Sequence[_Array], changed: Sequence[int], cells: Sequence[Cell]
) -> None:
    """In one loop, which writes the arrays numbered `changed`."""
    outputs: list[int] = []
    for k in changed:
        at = log.operand(cells[k])
        is_copy = at < log.num_arrays or at in outputs  # of what an array was, or of another result
        outputs.append(log.add(np.positive, (cells[k],), k) if is_copy else at)
    key = (log.dtype, log.num_arrays, tuple(log.steps), tuple(outputs))
    kernel = _kernels.get(key)
    if kernel is None:
        kernel = _kernels[key] = compiler.kernel(source(_body(log, outputs)))
    used = [*arrays, *(arrays[k] for k in changed)]
    table = Table.of(used, [arrays[0].size] * len(used))
    numbers = np.array([*log.numbers, 0.0])
    kernel.releasing(table, numbers.ctypes.data, 1, arrays[0].size)


def _body(log: Log, outputs: Sequence[int]) -> Body:
    """What the kernel computes: the numbers are given with each call."""
    kind, first, shift = FLOATS[log.dtype], log.num_arrays, len(log.numbers)
    inputs = [Input(kind, "whole")] * first + [Input(kind, "given")] * shift

    def number(at: int) -> int:
        return first + ~at if at < 0 else at if at < first else at + shift

    steps = [
        Step(ufunc.__name__, kind, tuple(map(number, args)), "i1" if ufunc.__name__ in COMPARISONS else kind)
        for ufunc, args in log.steps
    ]
    return Body(tuple(inputs), tuple(steps), tuple(map(number, outputs)))

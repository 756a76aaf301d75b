"""Operators on batches of sequences of different length."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .registry import Params, op
from .signature import Shape

Array = NDArray[Any]


def _active(params: Params) -> tuple[str, ...]:
    return ("data", "sequence_length") if params["use_sequence_length"] else ("data",)


def _batch_size(s: Shape, axis: int) -> int:
    return s[1 - axis]


def _beyond(data: Array, length: Array, axis: int) -> Any:
    """Which of (steps, batch), or (batch, steps) with axis 1, lie beyond the sequence's end, with room for the rest."""
    step = np.arange(data.shape[axis])
    hit = step[:, None] >= length if axis == 0 else step >= length[:, None]
    return hit.reshape(hit.shape + (1,) * (data.ndim - 2))


@op("(*s), (b) -> (*s)", types="T, I -> T", active=_active, where={"b": _batch_size})
def SequenceMask(data: Array, sequence_length: Array | None = None, /, *, use_sequence_length: bool = False,
                 value: float = 0.0, axis: int = 0) -> Any:  # fmt: skip
    """The sequences with `value` after their end. Steps lie along `axis` (0 or 1), the batch along the other."""
    if sequence_length is None:
        return data.copy()
    return np.where(_beyond(data, sequence_length, axis), data.dtype.type(value), data)


@SequenceMask.gradient
def _(
    g: Array, _y: Array, data: Array, sequence_length: Array | None = None, /, *, axis: int, **_: Any
) -> Any:
    return (g if sequence_length is None else g * ~_beyond(data, sequence_length, axis)), None


def _last_shape(s: Shape, axis: int) -> Shape:
    return s[:axis] + s[axis + 1 :]


def _last_places(data: Array, length: Array | None, axis: int) -> tuple[Any, ...]:
    batch = np.arange(data.shape[1 - axis])
    at = np.full(len(batch), data.shape[axis] - 1) if length is None else length.astype(np.int64) - 1
    return (at, batch) if axis == 0 else (batch, at)


@op("(*s), (b) -> (*out)", types="T, I -> T", active=_active, where={"b": _batch_size, "out": _last_shape})
def SequenceLast(data: Array, sequence_length: Array | None = None, /, *, use_sequence_length: bool = False,
                 axis: int = 0) -> Any:  # fmt: skip
    """The last step of each sequence."""
    return data[_last_places(data, sequence_length, axis)]


@SequenceLast.gradient
def _(
    g: Array, _y: Array, data: Array, sequence_length: Array | None = None, /, *, axis: int, **_: Any
) -> Any:
    grad = np.zeros_like(data)
    grad[_last_places(data, sequence_length, axis)] = g
    return grad, None


def _turned(x: Array, length: Array | None) -> Any:
    """(steps, batch, …) with the first `length` steps of each sequence in reversed order."""
    if length is None:
        return np.array(x[::-1], order="C")
    step = np.arange(len(x))[:, None]
    at = np.where(step < length, length.astype(np.int64) - 1 - step, step)
    return x[at, np.arange(x.shape[1])]


@op("(*s), (b) -> (*s)", types="T, I -> T", active=_active, where={"b": lambda s: s[1]})
def SequenceReverse(data: Array, sequence_length: Array | None = None, /, *, use_sequence_length: bool = False,
                    axis: Literal[0] = 0) -> Any:  # fmt: skip
    """The sequences, whose steps lie along axis 0, in reversed order; what is beyond their end stays."""
    return _turned(data, sequence_length)


@SequenceReverse.gradient
def _(g: Array, _y: Array, _data: Array, sequence_length: Array | None = None, /, **_: Any) -> Any:
    return _turned(g, sequence_length), None

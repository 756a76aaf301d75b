"""Elementwise bodies over views that are no matrices: as many calls of a kernel as it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .engine import Table, engine
from .loops import Body, source

__all__ = ["calls"]

_Array = np.ndarray[Any, Any]


def calls(body: Body, ins: Sequence[_Array], outs: Sequence[_Array]) -> list[tuple[Any, tuple[Any, ...]]]:
    """(function, arguments) of the calls that carry `body` out, whose inputs are `ins`, whole, and constants, and whose
    outputs are `outs`; all of one shape, the last axis contiguous.

    Axes that lie in all arrays as one are joined; of the rest the last is a row, the one before counts rows, and there is a
    call for each place of the others.
    """
    compiler = engine()
    assert compiler is not None
    arrays = [*ins, *outs]
    itemsize = arrays[0].itemsize
    shape: list[int] = []
    strides: list[list[int]] = []  # of each axis that is left: bytes, by array
    for axis, n in enumerate(arrays[0].shape):
        steps = [a.strides[axis] for a in arrays]
        if n == 1:
            continue
        if shape and all(before == n * step for before, step in zip(strides[-1], steps, strict=True)):
            shape[-1] *= n
            strides[-1] = steps
        else:
            shape.append(n)
            strides.append(steps)
    if not shape or any(step != itemsize for step in strides[-1]):
        shape.append(1)
        strides.append([itemsize] * len(arrays))
    if len(shape) == 1:
        shape.insert(0, 1)
        strides.insert(0, [shape[1] * itemsize] * len(arrays))
    rows, size = shape[-2:]
    call = compiler.kernel(source(body)).for_size(rows * size)
    made = []
    for place in np.ndindex(*shape[:-2]):
        skip = [sum(i * s[k] for i, s in zip(place, strides, strict=False)) for k in range(len(arrays))]
        table = Table.of(arrays, [s // itemsize for s in strides[-2]], skip)
        made.append((call, (table, 0, rows, size)))
    return made

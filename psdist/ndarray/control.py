"""Loops and branches over NDArrays (`mx.nd.contrib.foreach`, `while_loop`, `cond`), which Python runs and autograd
records, and the tests of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import ops
from ..context import Context
from ..errors import BadType, ConfigError
from .array import NDArray, array
from .invoke import invoke

__all__ = ["cond", "foreach", "isfinite", "isinf", "isnan", "rand_zipfian", "while_loop"]


def _listed(x: Any) -> tuple[list[Any], bool]:
    return (list(x), True) if isinstance(x, list | tuple) else ([x], False)


def _stack(steps: Sequence[NDArray]) -> NDArray:
    return invoke(ops.get("stack"), list(steps), {"axis": 0, "num_args": len(steps)})  # type: ignore[no-any-return]


def foreach(body: Callable[[Any, Any], tuple[Any, Any]], data: Any, init_states: Any) -> tuple[Any, Any]:
    """Run `outputs, states = body(slice, states)` over the first axis of `data`; the outputs stacked, and the last
    states.

    `data`, outputs and states are each an array or a list of them.
    """
    arrays, many = _listed(data)
    if not all(isinstance(x, NDArray) for x in arrays):
        raise BadType("foreach: data is not an NDArray or a list of NDArrays")
    states = init_states
    steps: list[list[NDArray]] = []
    listed = False
    for i in range(len(arrays[0])):
        part: Any = [x[i] for x in arrays] if many else arrays[0][i]
        outputs, states = body(part, states)
        outs, listed = _listed(outputs)
        steps.append(outs)
    stacked = [_stack(column) for column in zip(*steps, strict=True)]
    return (stacked if listed else stacked[0]), states


def while_loop(
    cond: Callable[..., Any], func: Callable[..., Any], loop_vars: Any, max_iterations: int | None = None
) -> tuple[Any, Any]:
    """While `cond(*loop_vars)` is true, `outputs, loop_vars = func(*loop_vars)`; the outputs stacked, and the last
    `loop_vars`. The outputs have `max_iterations` rows; those of steps that did not happen are zero."""
    if max_iterations is None:
        raise ConfigError("while_loop: max_iterations is missing; it is the size of the outputs' first axis")
    variables, many = _listed(loop_vars)
    if not variables:
        raise ConfigError("while_loop: loop_vars is empty; there is nothing that could end the loop")
    steps: list[list[NDArray]] = []
    listed = True
    while len(steps) < int(max_iterations) and bool(cond(*variables)):
        outputs, new = func(*variables)
        outs, listed = _listed([] if outputs is None else outputs)
        variables = _listed(new)[0]
        steps.append(outs)
    if not steps:
        return [], loop_vars
    stacked = []
    for column in zip(*steps, strict=True):
        missing = int(max_iterations) - len(column)
        zero = NDArray(np.zeros_like(column[0]._data), column[0]._ctx)
        stacked.append(_stack([*column, *[zero] * missing]))
    return (stacked if listed else stacked[0]), (variables if many else variables[0])


def cond(pred: NDArray, then_func: Callable[[], Any], else_func: Callable[[], Any]) -> Any:
    """`then_func()` if the one element of `pred` is true, else `else_func()`."""
    return then_func() if bool(pred) else else_func()


def _test(function: Callable[[Any], Any], doc: str) -> Callable[[NDArray], NDArray]:
    def call(data: NDArray) -> NDArray:
        return NDArray(function(data._data).astype(data._data.dtype), data._ctx)

    call.__doc__ = doc
    return call


isinf = _test(np.isinf, "Ones where elements are infinite, zeros elsewhere.")
isnan = _test(np.isnan, "Ones where elements are not a number, zeros elsewhere.")
isfinite = _test(np.isfinite, "Ones where elements are finite, zeros elsewhere.")
for _name, _function in (("isinf", isinf), ("isnan", isnan), ("isfinite", isfinite)):
    _function.__name__ = _function.__qualname__ = _name


def rand_zipfian(
    true_classes: NDArray, num_sampled: int, range_max: int, ctx: Context | None = None
) -> tuple[NDArray, NDArray, NDArray]:
    """Classes drawn with probabilities log((k + 2) / (k + 1)) / log(range_max + 1), and the counts expected of the
    true classes and of the drawn ones."""
    from ..random import generator

    ctx = ctx or true_classes._ctx
    log_range = math.log(range_max + 1)
    drawn = np.exp(generator(ctx).uniform(0, log_range, num_sampled)) - 1
    samples = np.minimum(drawn.astype(np.int64), range_max - 1)

    def expected(classes: Any) -> Any:
        k = classes.astype(np.float64)
        return np.log((k + 2) / (k + 1)) / log_range * num_sampled

    return (
        array(samples, ctx, "int64"),
        array(expected(true_classes._data), ctx, "float64"),
        array(expected(samples), ctx, "float64"),
    )

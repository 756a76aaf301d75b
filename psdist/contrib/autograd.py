"""`mx.contrib.autograd`: MXNet's first interface for gradients, before `mx.autograd`, where one switch both records and
trains. New code is better written with `mx.autograd`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ..autograd import backward as _backward
from ..autograd import mark_variables, pause, record, set_recording, set_training
from ..errors import ConfigError
from ..ndarray import NDArray

__all__ = [
    "backward",
    "compute_gradient",
    "grad",
    "grad_and_loss",
    "mark_variables",
    "set_is_training",
    "test_section",
    "train_section",
]


def set_is_training(is_train: bool) -> bool:
    """Record and train from now on, or neither. Gives what held before."""
    set_recording(is_train)
    return set_training(is_train)


def train_section() -> Any:
    """`with train_section():` what is computed inside is recorded, in training mode."""
    return record(train_mode=True)


def test_section() -> Any:
    """`with test_section():` what is computed inside is not recorded, and is for prediction."""
    return pause(train_mode=False)


def backward(outputs: Any, out_grads: Any = None, retain_graph: bool = False) -> None:
    """The gradients of `outputs` go to the variables' arrays."""
    outputs = [outputs] if isinstance(outputs, NDArray) else list(outputs)
    out_grads = [out_grads] if isinstance(out_grads, NDArray) else out_grads
    _backward(outputs, out_grads, retain_graph=retain_graph)


def compute_gradient(outputs: Any) -> None:
    """`backward`, by its older name."""
    backward(outputs)


def grad_and_loss(func: Callable[..., Any], argnum: int | Sequence[int] | None = None) -> Callable[..., Any]:
    """A function that gives the gradients of `func` by its arguments (or those numbered `argnum`), and its value."""

    @functools.wraps(func)
    def wrapped(*args: Any) -> tuple[list[NDArray], Any]:
        numbers = range(len(args)) if argnum is None else [argnum] if isinstance(argnum, int) else argnum
        variables = [args[i] for i in numbers]
        for i, x in zip(numbers, variables, strict=True):
            if not isinstance(x, NDArray):
                raise ConfigError(f"grad_and_loss: argument {i} is a {type(x).__name__}; wanted an NDArray")
        gradients = [x.zeros_like() for x in variables]
        mark_variables(variables, gradients)
        with train_section():
            outputs = func(*args)
        backward(outputs)
        return gradients, outputs

    return wrapped


def grad(func: Callable[..., Any], argnum: int | Sequence[int] | None = None) -> Callable[..., Any]:
    """`grad_and_loss`, the gradients alone."""
    both = grad_and_loss(func, argnum)
    return functools.wraps(func)(lambda *args: both(*args)[0])

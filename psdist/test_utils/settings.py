"""What tests run on: the default context and dtype, and the process around them."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from ..context import Context, _current, current_context, num_gpus

__all__ = [
    "default_context",
    "default_dtype",
    "discard_stderr",
    "environment",
    "get_cuda_compute_capability",
    "has_tvm_ops",
    "is_aarch64_run",
    "is_cd_run",
    "is_op_runnable",
    "list_gpus",
    "retry",
    "set_default_context",
    "set_env_var",
]

F = TypeVar("F", bound=Callable[..., Any])


def default_context() -> Context:
    """Where tests run."""
    return current_context()


def set_default_context(ctx: Context) -> None:
    """Have tests of this thread run on `ctx`."""
    _current.value = Context(ctx)


def default_dtype() -> type:
    """The dtype of arrays that are not given one."""
    return np.float32


def list_gpus() -> range:
    """Numbers of the GPUs that can be used."""
    return range(num_gpus())


def get_cuda_compute_capability(ctx: Context) -> int | None:
    """The compute capability of a GPU; None for a CPU."""
    if ctx.device_type != "gpu":
        return None
    import cupy  # type: ignore[import-not-found,unused-ignore]  # optional

    return int(cupy.cuda.Device(ctx.device_id).compute_capability)


def has_tvm_ops() -> bool:
    """Whether operators are compiled by TVM: no."""
    return False


def is_op_runnable() -> bool:
    """Whether operators run on the default context: yes."""
    return True


def is_cd_run() -> bool:
    """Whether this is a run of continuous delivery."""
    return os.environ.get("CD_JOB", "0") == "1"


def is_aarch64_run() -> bool:
    """Whether this machine is an ARM."""
    return os.uname().machine in ("aarch64", "arm64")


@contextmanager
def discard_stderr() -> Iterator[None]:
    """Throw away what is written to standard error, also by libraries, inside the block."""
    sys.stderr.flush()
    numbers = {2}  # where libraries write
    with contextlib.suppress(OSError, ValueError):
        numbers.add(sys.stderr.fileno())
    kept = {number: os.dup(number) for number in numbers}
    with open(os.devnull, "w") as nowhere:
        for number in numbers:
            os.dup2(nowhere.fileno(), number)
        try:
            yield
        finally:
            sys.stderr.flush()
            for number, copy in kept.items():
                os.dup2(copy, number)
                os.close(copy)


@contextmanager
def environment(*args: Any) -> Iterator[None]:
    """Environment variables for the block: a name and a value, or a dict of them; None removes one."""
    wanted: Mapping[str, Any] = args[0] if len(args) == 1 else {args[0]: args[1]}
    before = {name: os.environ.get(name) for name in wanted}

    def put(values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = str(value)

    put(wanted)
    try:
        yield
    finally:
        put(before)


def set_env_var(key: str, val: str, default_val: str = "") -> str:
    """Set an environment variable; returns what it was."""
    before = os.environ.get(key, default_val)
    os.environ[key] = val
    return before


def retry(n: int) -> Callable[[F], F]:
    """A decorator: an AssertionError counts only if it comes `n` times."""
    if n < 1:
        raise ValueError(f"retry: n is {n}; wanted at least 1")

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for k in range(n):
                try:
                    return function(*args, **kwargs)
                except AssertionError:
                    if k == n - 1:
                        raise
            return None

        return call  # type: ignore[return-value]  # the same signature

    return decorate

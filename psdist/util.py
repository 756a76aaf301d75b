"""What scripts touch of MXNet's `util`: folders, environment variables, and the switches of NumPy's semantics.

psdist has the classic semantics only, so the switches answer "off". Turning `np_shape` on is accepted: `zeros` and
`ones` then make scalars and arrays without elements, and partial shapes say -1 instead of 0 for what is not known.
Turning `np_array` on is refused, since it would change what operators return.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from .context import gpu_memory_info, num_gpus
from .errors import ConfigError

__all__ = [
    "get_gpu_count",
    "get_gpu_memory",
    "getenv",
    "is_np_array",
    "is_np_shape",
    "makedirs",
    "np_array",
    "np_shape",
    "reset_np",
    "set_module",
    "set_np",
    "set_np_shape",
    "setenv",
    "use_np",
    "use_np_array",
    "use_np_shape",
]

F = TypeVar("F", bound=Callable[..., Any] | type)
_np_shape = False


def makedirs(d: str | os.PathLike[str]) -> None:
    """Make a folder and those above it; it may exist."""
    os.makedirs(os.path.expanduser(d), exist_ok=True)


def getenv(name: str) -> str | None:
    """An environment variable, or None."""
    return os.environ.get(name)


def setenv(name: str, value: str | None) -> None:
    """Set an environment variable; None removes it."""
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def get_gpu_count() -> int:
    """How many GPUs can be used."""
    return num_gpus()


def get_gpu_memory(gpu_dev_id: int = 0) -> tuple[int, int]:
    """(free, total) bytes of a GPU."""
    return gpu_memory_info(gpu_dev_id)


def is_np_shape() -> bool:
    """Whether a script has asked for NumPy's idea of shapes."""
    return _np_shape


def is_np_array() -> bool:
    """Whether operators return NumPy-like arrays: never."""
    return False


def set_np_shape(active: bool) -> bool:
    """Note that NumPy's idea of shapes is wanted; returns what was wanted before."""
    global _np_shape
    before, _np_shape = _np_shape, bool(active)
    return before


class np_shape:
    """`set_np_shape` for a `with` block."""

    def __init__(self, active: bool = True) -> None:
        self._active = active
        self._before: list[bool] = []

    def __enter__(self) -> np_shape:
        self._before.append(set_np_shape(self._active))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        set_np_shape(self._before.pop())


class np_array(np_shape):
    """Refused when turned on: psdist has the classic arrays only."""

    def __init__(self, active: bool = True) -> None:
        if active:
            _refuse_np("np_array")
        super().__init__(is_np_shape())


def _refuse_np(name: str) -> None:
    raise ConfigError(f"{name}: psdist has MXNet's classic arrays (mx.nd), not mx.np; leave it off")


def set_np(shape: bool = True, array: bool = True) -> None:
    """`set_np_shape(shape)`; `array` must be off."""
    if array:
        _refuse_np("set_np")
    set_np_shape(shape)


def reset_np() -> None:
    """Back to the classic semantics."""
    set_np_shape(False)


def use_np_shape(func: F) -> F:
    """A decorator: the function, or every method of the class, runs under `np_shape`."""
    if isinstance(func, type):
        for name, method in list(vars(func).items()):
            if callable(method) and not name.startswith("__"):
                setattr(func, name, use_np_shape(method))
        return func

    @functools.wraps(func)
    def inside(*args: Any, **kwargs: Any) -> Any:
        with np_shape(True):
            return func(*args, **kwargs)

    return inside  # type: ignore[return-value]  # the same signature


def use_np_array(func: F) -> F:
    """Refused: psdist has the classic arrays only."""
    _refuse_np("use_np_array")
    return func


use_np = use_np_array


def set_module(module: str | None) -> Callable[[F], F]:
    """A decorator that sets `__module__`, so that help shows the public place."""

    def decorate(function: F) -> F:
        if module is not None:
            function.__module__ = module
        return function

    return decorate

"""Where arrays live: `cpu(i)`, logical devices that share this machine's memory, and `gpu(i)`, through
CuPy.
"""

from __future__ import annotations

import importlib.util
import threading
from types import TracebackType
from typing import ClassVar

from .base import classproperty
from .errors import BadType, ConfigError, UnknownName

__all__ = ["Context", "cpu", "cpu_pinned", "current_context", "gpu", "gpu_memory_info", "num_gpus", "usable"]

_TYPE_IDS = {"cpu": 1, "gpu": 2, "cpu_pinned": 3, "cpu_shared": 5}  # the numbers stand in .params files
_TYPE_NAMES = {number: name for name, number in _TYPE_IDS.items()}


class Context:
    """A device: its type and its number. As a `with` block, the default for arrays made inside.

    `cpu(0)` and `cpu(1)` are different devices to a Module, which runs them in parallel threads.
    """

    __slots__ = ("_outer", "device_id", "device_type")

    device_type: str
    device_id: int
    devtype2str: ClassVar[dict[int, str]] = _TYPE_NAMES
    devstr2type: ClassVar[dict[str, int]] = _TYPE_IDS

    def __init__(self, device_type: str | Context, device_id: int = 0) -> None:
        if isinstance(device_type, Context):
            device_id, device_type = device_type.device_id, device_type.device_type
        if device_type not in _TYPE_IDS:
            raise UnknownName(
                f"Context: unknown device type {device_type!r}; known are {', '.join(_TYPE_IDS)}"
            )
        self.device_type = device_type
        self.device_id = int(device_id)
        self._outer: list[Context] = []

    @classproperty
    def default_ctx(self) -> Context:
        """The context of the innermost `with` of this thread, or `cpu(0)`."""
        return current_context()

    @property
    def device_typeid(self) -> int:
        """The device type's number in MXNet's files."""
        return _TYPE_IDS[self.device_type]

    @classmethod
    def from_typeid(cls, typeid: int, device_id: int) -> Context:
        """The context that a file means by two numbers. Raises ConfigError for an unknown type."""
        if typeid not in _TYPE_NAMES:
            raise ConfigError(f"Context: unknown device type number {typeid}")
        return cls(_TYPE_NAMES[typeid], device_id)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Context)
            and self.device_type == other.device_type
            and self.device_id == other.device_id
        )

    def __hash__(self) -> int:
        return hash((self.device_type, self.device_id))

    def __repr__(self) -> str:
        return f"{self.device_type}({self.device_id})"

    def __enter__(self) -> Context:
        self._outer.append(current_context())
        _current.value = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _current.value = self._outer.pop()

    def empty_cache(self) -> None:
        """Give unused memory of this device back; a CPU keeps none that matters."""

    def __reduce__(self) -> tuple[type[Context], tuple[str, int]]:
        return Context, (self.device_type, self.device_id)


class _Current(threading.local):
    value: Context


_CPU0 = Context("cpu", 0)
_Current.value = _CPU0
_current = _Current()


def cpu(device_id: int = 0) -> Context:
    """The logical CPU device `device_id`."""
    return Context("cpu", device_id)


def cpu_pinned(device_id: int = 0) -> Context:
    """Page-locked memory for a GPU's transfers; here the same as `cpu`."""
    return Context("cpu_pinned", device_id)


def gpu(device_id: int = 0) -> Context:
    """The GPU `device_id`. Naming it is free; making an array on it needs CuPy and a GPU."""
    return Context("gpu", device_id)


def num_gpus() -> int:
    """How many GPUs can be used: 0 without CuPy or without a working driver."""
    if importlib.util.find_spec("cupy") is None:
        return 0
    import cupy  # type: ignore[import-not-found,unused-ignore]  # optional: psdist[cuda12]

    try:
        return int(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError:
        return 0


def current_context() -> Context:
    """The context of the innermost `with`, or `cpu(0)`."""
    return _current.value


def usable(ctx: Context | None) -> Context:
    """The context, or the current one. Raises ConfigError for a device that is not there."""
    ctx = ctx or current_context()
    if not isinstance(ctx, Context):
        raise BadType(f"ctx is {ctx!r}; wanted a Context, such as mx.cpu()")
    if ctx.device_type == "gpu":
        raise ConfigError(f"{ctx}: this machine has no GPU that psdist can use; use mx.cpu()")
    return ctx


def gpu_memory_info(device_id: int = 0) -> tuple[int, int]:
    """(free, total) bytes of a GPU. Raises ConfigError if there is no such GPU."""
    if device_id >= num_gpus():
        raise ConfigError(f"gpu_memory_info: no GPU {device_id}; there are {num_gpus()} that psdist can use")
    import cupy

    with cupy.cuda.Device(device_id):
        free, total = cupy.cuda.runtime.memGetInfo()
    return int(free), int(total)

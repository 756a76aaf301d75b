"""From LLVM's language to functions of this process.

A kernel's text is its identity: equal text is compiled once in a process (a few milliseconds), whoever asks.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..settings import Settings

__all__ = ["Engine", "Kernel", "Table", "available", "engine"]

_LONG = 1 << 14  # elements from which a call is long enough to let other threads run meanwhile


class Kernel:
    """`f(arrays, numbers, rows, size)`: addresses of a table of arrays and of a table of doubles, and two counts."""

    __slots__ = ("holding", "releasing")

    def __init__(self, address: int) -> None:
        shape = (None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
        self.releasing = ctypes.CFUNCTYPE(*shape)(address)  # without the GIL while it runs
        self.holding = ctypes.PYFUNCTYPE(*shape)(address)

    def for_size(self, elements: int) -> Any:
        """The function that suits calls over so many elements."""
        return self.releasing if elements >= _LONG else self.holding


class Table(int):
    """The address of the table of arrays that a kernel takes; it keeps the table and the arrays alive."""

    held: Any

    @classmethod
    def of(cls, arrays: Sequence[Any], steps: Sequence[int] = (), skip: Sequence[int] = ()) -> Table:
        """Where `arrays` lie, `skip` bytes further on, and then the elements between the rows of the first of them."""
        places = [a.ctypes.data for a in arrays]
        places = [at + more for at, more in zip(places, skip, strict=True)] if skip else places
        entries = np.array([*places, *steps, 0], np.int64)
        made = cls(entries.ctypes.data)
        made.held = (entries, list(arrays))
        return made


class Engine:
    """LLVM for this processor. It lives as long as the process, since whoever has a kernel may call it."""

    def __init__(self, llvm: Any) -> None:
        self._llvm = llvm
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        features = llvm.get_host_cpu_features().flatten()
        target = llvm.Target.from_triple(llvm.get_process_triple())
        machine = target.create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=features, opt=2, jit=True
        )
        self._lock = threading.Lock()  # guards the two below, and LLVM while it compiles
        self._compiler = llvm.create_mcjit_compiler(
            llvm.parse_assembly(""), machine
        )  # which now owns the machine
        self._kernels: dict[str, Kernel] = {}

    def kernel(self, text: str) -> Kernel:
        """The function `@kernel` of a module's text."""
        found = self._kernels.get(text)
        if found is not None:
            return found
        with self._lock:
            if text not in self._kernels:
                name = f"kernel{len(self._kernels)}"
                module = self._llvm.parse_assembly(text.replace("@kernel(", f"@{name}("))
                module.verify()
                self._compiler.add_module(module)
                self._compiler.finalize_object()
                self._kernels[text] = Kernel(self._compiler.get_function_address(name))
            return self._kernels[text]

    @property
    def num_kernels(self) -> int:
        """How many were compiled so far."""
        return len(self._kernels)


_starting = threading.Lock()  # devices' threads ask at the same time; a second engine would free its kernels


def engine() -> Engine | None:
    """The one engine of this process; None where llvmlite is not installed or PSDIST_JIT=0."""
    with _starting:
        return _started()


@functools.cache
def _started() -> Engine | None:
    if not Settings.read().jit:
        return None
    try:
        import llvmlite.binding as llvm  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError:
        return None
    try:
        return Engine(llvm)
    except (RuntimeError, OSError) as e:  # a processor or a system that LLVM cannot serve
        logging.getLogger("psdist.jit").warning("llvmlite is installed but does not start: %s", e)
        return None


def available() -> bool:
    """Whether kernels can be compiled here."""
    return engine() is not None

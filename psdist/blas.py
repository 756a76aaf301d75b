"""The threads of NumPy's BLAS. Devices that compute side by side must not each use all cores for a product.

Two Python threads that each call a two-threaded BLAS on two cores are ten times slower than with one thread
each.
"""

from __future__ import annotations

import ctypes
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np  # noqa: F401 - loads the extension

__all__ = ["one_blas_thread"]

_NAMES = ("scipy_openblas_{}_num_threads64_", "scipy_openblas_{}_num_threads", "openblas_{}_num_threads")

_lock = threading.Lock()  # guards _depth and _before
_depth = 0
_before = 1


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Within the block, in all of the process, a product of matrices runs in the thread that asks for it."""
    global _before, _depth
    get, set_ = _openblas()
    with _lock:
        _depth += 1
        if _depth == 1:
            _before = get()
            set_(1)
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                set_(_before)


@functools.cache
def _openblas() -> tuple[Callable[[], int], Callable[[int], None]]:
    """OpenBLAS's own functions, found through the extension that links it; without OpenBLAS, two that do nothing."""
    library = ctypes.CDLL(sys.modules["numpy._core._multiarray_umath"].__file__)
    for name in _NAMES:
        try:
            return getattr(library, name.format("get")), getattr(library, name.format("set"))
        except AttributeError:
            continue
    return lambda: 1, lambda count: None

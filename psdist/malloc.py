"""Keep the memory that is freed: messages of a megabyte come and go a thousand times a second.

glibc gives large blocks back to the kernel when they are freed, and takes fresh ones, page by page, each
filled with zeros, for the next message. Exchanging an array of 1 MB some hundred times made 600,000 page faults without
this, and less than half with it. Elsewhere than on glibc nothing happens.
"""

from __future__ import annotations

import ctypes

__all__ = ["keep_freed_memory"]

_M_TRIM_THRESHOLD = -1  # malloc.h
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3
_LARGEST = 32 << 20  # bytes: glibc takes no higher threshold for blocks of its own heap
_KEPT = 256 << 20  # bytes free at the heap's end, from which they are given back
_STEP = 64 << 20  # bytes by which the heap grows


def keep_freed_memory() -> bool:
    """Have malloc reuse blocks of up to 32 MB; whether it can be told. For a process, once or more."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_M_MMAP_THRESHOLD, _LARGEST), (_M_TRIM_THRESHOLD, _KEPT), (_M_TOP_PAD, _STEP))
    return all(mallopt(option, value) for option, value in settings)

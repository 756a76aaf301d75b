"""Memory that processes of one host share: arrays that travel as a place in it, and not as bytes.

A `Segment` is this process's memory; a `Window` is another's, mapped to be read and never written. A segment is
a memfd: it has no name, so nothing can be left over, whatever kills whom, and the kernel frees it with the last
process that maps it. The other side opens it through /proc/PID/fd/N, which the kernel allows to processes of
the same user. Its first eight bytes hold a random number that the offer repeats: whoever finds that number
there is on the same host, and has opened what was meant.

Nothing offered is trusted. It must be a memfd that can no longer shrink, since reading beyond the end of a file
that did would kill the reader; and every place must lie within it, on a multiple of the item size.

Freed blocks are used again, the last one first: it is still in the cache, and a fresh page costs more than what
is written to it. A block is free when the last array that shows it has gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import mmap
import os
import secrets
import stat
import sys
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["BadPlace", "Counter", "NotShared", "Offer", "Segment", "Window", "host_name", "is_offered_here"]

Array = NDArray[Any]

_SEALS: Final = 0x1 | 0x2 | 0x4  # linux/fcntl.h: F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW
_ADD_SEALS: Final = 1033
_GET_SEALS: Final = 1034
_MAX_NBYTES: Final = 1 << 44  # of a segment of somebody else: address space, not memory
_PAGE: Final = 4096
_COUNTERS: Final = _PAGE  # bytes at the beginning: the token, and counters that the other side reads
_WORD: Final = 8


class NotShared(Exception):
    """The memory that was offered cannot be used; says why."""


class BadPlace(ValueError):
    """A place that does not lie in the segment."""


@dataclass(frozen=True, slots=True)
class Offer:
    """Where a process's segment is."""

    host: str
    pid: int
    fd: int
    nbytes: int
    token: int


def host_name() -> str:
    """This boot of this host, and the numbers that processes have here; "" where memory cannot be shared."""
    if not sys.platform.startswith("linux"):
        return ""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return f"{file.read().strip()}:{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""


def is_offered_here(offer: Offer) -> bool:
    """Whether the offer comes from this host, as far as its words go."""
    return offer.host != "" and offer.host == host_name()


class _Block(np.ndarray[Any, np.dtype[np.uint8]]):
    """The bytes of one block: arrays that show it keep it alive, and its end frees the place."""


class Segment:
    """This process's memory that others may read. `close` ends the offer; arrays in it live on."""

    def __init__(self, nbytes: int) -> None:
        """Address space for `nbytes`; memory is taken when it is used. Raises NotShared where it cannot be."""
        host = host_name()
        if not host:
            raise NotShared("only Linux has memory without a name")
        nbytes = max(nbytes, 2 * _COUNTERS) & -_PAGE
        fd = -1
        try:
            fd = os.memfd_create("psdist", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(fd, nbytes)
            fcntl.fcntl(fd, _ADD_SEALS, _SEALS)
            self._map = mmap.mmap(fd, nbytes)
        except OSError as e:
            if fd >= 0:
                os.close(fd)
            raise NotShared(f"no shared memory here: {e.strerror or e}") from e
        self._fd = fd
        self._bytes = np.frombuffer(self._map, np.uint8)
        self._start = _address(self._bytes)
        self._words = self._bytes[:_COUNTERS].view(np.uint64)
        self._words[0] = token = secrets.randbits(63)
        self._free_words = list(range(_COUNTERS // _WORD - 1, 0, -1))
        self._lock = threading.Lock()  # guards _end; not the lists, which finalizers append to at any time
        self._end = _COUNTERS
        self._free: dict[int, list[int]] = {}  # offsets by room, the last freed last
        self._blocks: dict[int, weakref.ref[_Block]] = {}  # by offset
        self.offer = Offer(host, os.getpid(), fd, nbytes, token)

    def close(self) -> None:
        """Nobody can open it any more. May be called twice."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = -1

    @property
    def nbytes_taken(self) -> int:
        """Bytes that were ever used."""
        return self._end

    def empty(self, size: int, dtype: np.dtype[Any]) -> Array:
        """A flat array in the segment; in ordinary memory when the segment is full."""
        nbytes = size * dtype.itemsize
        room = _room(nbytes)
        free = self._free.setdefault(room, [])
        try:
            offset = free.pop()
        except IndexError:
            with self._lock:
                offset = self._end
                if offset + room > self._bytes.size:
                    return np.empty(size, dtype)
                self._end = offset + room
        # not a view of `_bytes`: NumPy would have views of the block keep that alive instead
        block = _Block((nbytes,), np.uint8, self._map, offset)
        self._blocks[offset] = weakref.ref(block, lambda _: free.append(offset))
        return block.view(np.ndarray).view(dtype)

    def place(self, array: Array) -> int:
        """Where a contiguous array begins; -1: not in the segment."""
        offset = _address(array) - self._start
        return offset if offset >= 0 and offset + array.nbytes <= self._bytes.size else -1

    def new_counter(self) -> Counter:
        """A number that the other side can read at any time."""
        return Counter(self._words, self._free_words.pop())


class Counter:
    """A number in a segment, which its owner counts up."""

    __slots__ = ("_words", "index")

    def __init__(self, words: Array, index: int) -> None:
        self._words = words
        self.index = index
        words[index] = 0

    def add_one(self) -> None:
        self._words[self.index] += np.uint64(1)


class Window:
    """Another process's segment, to be read."""

    def __init__(self, offer: Offer) -> None:
        """Raises NotShared when it cannot be opened, or is not what it should be."""
        if not is_offered_here(offer):
            raise NotShared("it is on another host, or in another container")
        if not 2 * _COUNTERS <= offer.nbytes <= _MAX_NBYTES or offer.pid <= 0 or offer.fd < 0:
            raise NotShared(f"no segment has {offer.nbytes} bytes, process {offer.pid}, file {offer.fd}")
        try:
            # not blocking: whoever offers may have put a pipe there
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
            fd = os.open(f"/proc/{offer.pid}/fd/{offer.fd}", flags)
        except OSError as e:
            raise NotShared(f"process {offer.pid} does not let us read its memory: {e.strerror}") from e
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_size != offer.nbytes:
                raise NotShared("it is no segment of that size")
            if fcntl.fcntl(fd, _GET_SEALS) & _SEALS != _SEALS:
                raise NotShared("it could shrink while it is read")
            self._map = mmap.mmap(fd, offer.nbytes, mmap.MAP_SHARED, mmap.PROT_READ)
        except OSError as e:
            raise NotShared(f"it cannot be mapped: {e.strerror}") from e
        finally:
            os.close(fd)
        self._words = np.frombuffer(self._map, np.uint64, _COUNTERS // _WORD)
        if int(self._words[0]) != offer.token:
            raise NotShared(f"process {offer.pid} here is not the one that offered")
        self.offer = offer

    def read(self, offset: int, size: int, dtype: np.dtype[Any]) -> Array:
        """The array at a place: read-only, and only as long as its owner leaves it there. Raises BadPlace."""
        nbytes = size * dtype.itemsize
        if offset < _COUNTERS or offset + nbytes > self.offer.nbytes or offset % dtype.itemsize:
            raise BadPlace(f"no {size} {dtype.name} lie at byte {offset} of {self.offer.nbytes}")
        return np.frombuffer(self._map, dtype, size, offset)

    def counter(self, index: int) -> Callable[[], int]:
        """Reads a counter. Raises BadPlace."""
        if not 0 < index < self._words.size:
            raise BadPlace(f"no counter has the number {index}")
        words = self._words
        return lambda: int(words[index])

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        try:
            os.kill(self.offer.pid, 0)
        except ProcessLookupError:
            return False
        except OSError:
            return True
        return True


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


def _room(nbytes: int) -> int:
    """The size of the block for so many bytes: eight sizes between each power of two and the next."""
    step = max(_PAGE, 1 << max(0, math.frexp(nbytes)[1] - 4))
    return -(-max(nbytes, 1) // step) * step

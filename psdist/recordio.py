"""RecordIO: many byte strings in one file, as MXNet's `im2rec` and `ImageRecordIter` use it.

    file   = record × n
    record = part × m                   m > 1 only when the data itself holds the magic at a multiple of 4
    part   = magic u32 | kind and length u32 | data | zeros up to a multiple of 4
    kind   = upper 3 bits: 0 whole, 1 first, 2 middle, 3 last; the magic that split the data is left out

So a reader that starts anywhere finds the next record by looking for the magic at a multiple of 4. Beside
such a file an index may lie: lines of `key<TAB>offset`.
"""

from __future__ import annotations

import numbers
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self, TextIO

import numpy as np
from numpy.typing import NDArray

from . import imagefile
from .errors import ClosedError, ConfigError, PSError

__all__ = ["IRHeader", "MXIndexedRecordIO", "MXRecordIO", "pack", "pack_img", "unpack", "unpack_img"]

_MAGIC = struct.pack("<I", 0xCED7230A)
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_KINDS = {_WHOLE: "a whole record", _FIRST: "a first part", _MIDDLE: "a middle part", _LAST: "a last part"}
_MAX_LENGTH = (1 << 29) - 1  # the length has 29 bits
_HEADER = struct.Struct("<IfQQ")


class MXRecordIO:
    """Records one after the other: `write` them with flag "w", `read` them back with flag "r".

    A `with` block, or call `close()`. A reader that is inherited through a fork opens the file anew, since
    two processes would share one position; a writer refuses, since they would overwrite each other.
    """

    def __init__(self, uri: str | os.PathLike[str], flag: str) -> None:
        self.uri = os.fspath(uri)
        self.flag = flag
        self._file: BinaryIO | None = None
        self._size = 0
        self.open()

    def open(self) -> None:
        """Open the file (again), at its start; writing empties it."""
        if self.flag not in ("r", "w"):
            raise ConfigError(f"{type(self).__name__}: flag is {self.flag!r}; wanted 'r' or 'w'")
        self.close()
        self.writable = self.flag == "w"
        self._pid = os.getpid()
        self._file = open(self.uri, "wb" if self.writable else "rb")  # noqa: SIM115  # close() closes it
        self._size = 0 if self.writable else os.fstat(self._file.fileno()).st_size

    @property
    def is_open(self) -> bool:
        return self._file is not None

    def close(self) -> None:
        """Close the file; it may be called twice."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def reset(self) -> None:
        """Back to the first record. A writer starts an empty file."""
        self.open()

    def tell(self) -> int:
        """The offset where the next record starts."""
        return self._opened().tell()

    def seek_to(self, offset: int) -> None:
        """Let `read()` give the record that starts at `offset`."""
        self._opened().seek(offset)

    def offsets(self) -> Iterator[int]:
        """Where each record starts, from the current position on, without reading what is in them."""
        while True:
            at = self.tell()
            part: tuple[int, int] | None = (_FIRST, 0)
            while part is not None and part[0] in (_FIRST, _MIDDLE):
                part = self._next_part(inside=self.tell() != at)
                if part is not None:
                    self._opened().seek(part[1] + -part[1] % 4, os.SEEK_CUR)
            if part is None:
                return
            yield at

    def write(self, buf: bytes) -> None:
        """Append one record."""
        file = self._opened()
        if not self.writable:
            raise PSError(f"{self.uri!r} is open for reading; open it with flag 'w' to write")
        if len(buf) > _MAX_LENGTH:
            raise ConfigError(f"{self.uri!r}: a record of {len(buf)} bytes; at most {_MAX_LENGTH} fit")
        parts = _split(buf)
        last = len(parts) - 1
        for i, part in enumerate(parts):
            kind = _WHOLE if not last else _FIRST if i == 0 else _LAST if i == last else _MIDDLE
            file.write(_MAGIC + struct.pack("<I", kind << 29 | len(part)) + part + bytes(-len(part) % 4))

    def read(self) -> bytes | None:
        """The next record, or None after the last. Raises PSError, naming the offset, for a damaged file."""
        file = self._opened()
        if self.writable:
            raise PSError(f"{self.uri!r} is open for writing; open it with flag 'r' to read")
        parts: list[bytes] = []
        while (part := self._next_part(inside=bool(parts))) is not None:
            kind, length = part
            parts.append(file.read(length + -length % 4)[:length])
            if kind in (_WHOLE, _LAST):
                return _MAGIC.join(parts)
        return None

    def _next_part(self, *, inside: bool) -> tuple[int, int] | None:
        """The kind and the length of the part that follows, whose data are all there; None at the end."""
        file = self._opened()
        at = file.tell()
        head = file.read(8)
        if not head and not inside:
            return None
        if len(head) < 8:
            raise self._damaged(at, f"a record's head is cut short: {len(head)} of 8 bytes")
        if head[:4] != _MAGIC:
            raise self._damaged(at, f"no record starts here: found {head[:4].hex()}, wanted {_MAGIC.hex()}")
        (word,) = struct.unpack_from("<I", head, 4)
        kind, length = word >> 29, word & _MAX_LENGTH
        if kind not in ((_MIDDLE, _LAST) if inside else (_WHOLE, _FIRST)):
            wanted = "a middle or last part" if inside else "a whole record or a first part"
            raise self._damaged(
                at, f"found {_KINDS.get(kind, 'no known kind')} (kind {kind}), wanted {wanted}"
            )
        if at + 8 + length + -length % 4 > self._size:
            raise self._damaged(at, f"a record of {length} bytes, but {self._size - at - 8} bytes follow")
        return kind, length

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        """A copy for another process: it opens the file itself, at its start."""
        if self.writable:
            raise PSError(f"{self.uri!r} is open for writing and cannot be given to another process")
        return {**self.__dict__, "_file": None, "_wanted_open": self.is_open}

    def __setstate__(self, state: dict[str, Any]) -> None:
        wanted_open = state.pop("_wanted_open")
        self.__dict__.update(state)
        if wanted_open:
            self.open()

    def _opened(self) -> BinaryIO:
        if self._file is None:
            raise ClosedError(f"{self.uri!r} is closed; open() opens it again")
        if self._pid != os.getpid():
            if self.writable:
                raise PSError(f"{self.uri!r} was opened for writing by process {self._pid}, before a fork")
            at = self._file.tell()
            self.open()
            self._file.seek(at)
        return self._file

    def _damaged(self, offset: int, why: str) -> PSError:
        return PSError(f"{self.uri!r} at offset {offset}: {why}")


def _split(buf: bytes) -> list[bytes]:
    """The parts of a record: `buf` without the magics that stand in it at multiples of 4."""
    parts: list[bytes] = []
    start = 0
    at = buf.find(_MAGIC)
    while at >= 0:
        if at % 4 == 0:
            parts.append(buf[start:at])
            start = at + 4
        at = buf.find(_MAGIC, at + 4 if at % 4 == 0 else at + 1)
    return [*parts, buf[start:]]


class MXIndexedRecordIO(MXRecordIO):
    """Records by key: `write_idx(key, data)` writes the index beside them, `read_idx(key)` jumps to one.

    `keys` lists the keys in the file's order; `idx` maps each to its offset.
    """

    def __init__(
        self,
        idx_path: str | os.PathLike[str],
        uri: str | os.PathLike[str],
        flag: str,
        key_type: Callable[[str], Any] = int,
    ) -> None:
        self.idx_path = os.fspath(idx_path)
        self.key_type = key_type
        self.idx: dict[Any, int] = {}
        self.keys: list[Any] = []
        self.fidx: TextIO | None = None
        super().__init__(uri, flag)

    def open(self) -> None:
        super().open()
        self.idx = {}
        self.keys = []
        if self.writable:
            self.fidx = open(self.idx_path, "w")  # noqa: SIM115  # close() closes it
        elif os.path.isfile(self.idx_path):
            self._read_index()

    def _read_index(self) -> None:
        with open(self.idx_path) as lines:
            for i, line in enumerate(lines, 1):
                fields = line.split("\t")
                try:
                    key, offset = self.key_type(fields[0]), int(fields[1])
                except (ValueError, IndexError) as e:
                    self.close()
                    raise PSError(
                        f"{self.idx_path!r} line {i}: {line.rstrip()!r}; wanted key<TAB>offset"
                    ) from e
                self.idx[key] = offset
                self.keys.append(key)

    def close(self) -> None:
        super().close()
        if self.fidx is not None:
            self.fidx.close()
            self.fidx = None

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "fidx": None}

    def seek(self, idx: Any) -> None:
        """Let `read()` give the record with the key `idx`."""
        file = self._opened()
        if self.writable:
            raise PSError(f"{self.uri!r} is open for writing; open it with flag 'r' to seek")
        if idx not in self.idx:
            why = f"has no key {idx!r}" if self.idx else "has no keys, or is not there"
            raise PSError(f"the index {self.idx_path!r} {why}")
        file.seek(self.idx[idx])

    def read_idx(self, idx: Any) -> bytes:
        """The record with the key `idx`."""
        self.seek(idx)
        record = self.read()
        if record is None:
            raise self._damaged(self.idx[idx], f"the index puts key {idx!r} here, but the file has ended")
        return record

    def write_idx(self, idx: Any, buf: bytes) -> None:
        """Append a record and its line in the index."""
        key = self.key_type(idx)
        at = self.tell()
        self.write(buf)
        assert self.fidx is not None
        self.fidx.write(f"{key}\t{at}\n")
        self.idx[key] = at
        self.keys.append(key)


class IRHeader(NamedTuple):
    """What stands before an image in a record. `flag` counts the labels of an array, else it is 0."""

    flag: int
    label: float | Sequence[float] | NDArray[Any]
    id: int
    id2: int


def pack(header: IRHeader | tuple[Any, ...], s: bytes) -> bytes:
    """A record of a header and the bytes `s`; a label of several numbers goes in between as float32."""
    _, label, number, number2 = header
    if isinstance(label, numbers.Number):
        return _HEADER.pack(0, label, number, number2) + s
    labels = np.asarray(label, dtype="<f4")
    return _HEADER.pack(labels.size, 0, number, number2) + labels.tobytes() + s


def unpack(s: bytes) -> tuple[IRHeader, bytes]:
    """The header and the bytes of a record that `pack` made."""
    if len(s) < _HEADER.size:
        raise PSError(f"a record of {len(s)} bytes; an image record's header alone has {_HEADER.size}")
    flag, label, number, number2 = _HEADER.unpack_from(s)
    start = _HEADER.size
    if not flag:
        return IRHeader(flag, label, number, number2), s[start:]
    if start + 4 * flag > len(s):
        raise PSError(f"a record of {len(s)} bytes has no room for its {flag} labels and header")
    labels = np.frombuffer(s, dtype="<f4", count=flag, offset=start)
    return IRHeader(flag, labels, number, number2), s[start + 4 * flag :]


def pack_img(
    header: IRHeader | tuple[Any, ...], img: NDArray[Any], quality: int = 95, img_fmt: str = ".jpg"
) -> bytes:
    """A record of an image, (height, width) or (height, width, 3) in OpenCV's order: blue, green, red.

    `quality` is JPEG's 1 to 100, or PNG's compression 0 to 9. Needs Pillow.
    """
    return pack(header, imagefile.encode(_swap_red_and_blue(img), img_fmt, quality))


def unpack_img(s: bytes, iscolor: int = -1) -> tuple[IRHeader, NDArray[Any]]:
    """The header and the image, in OpenCV's order: blue, green, red. Needs Pillow.

    `iscolor` 1 makes it three channels, 0 grey of (height, width), -1 leaves it as it was stored.
    """
    header, raw = unpack(s)
    color = None if iscolor < 0 else bool(iscolor)
    img = _swap_red_and_blue(imagefile.decode(raw, color=color))
    return header, img[:, :, 0] if img.shape[2] == 1 else img


def _swap_red_and_blue(img: NDArray[Any]) -> NDArray[Any]:
    if img.ndim != 3 or img.shape[2] < 3:
        return img
    order = [2, 1, 0, *range(3, img.shape[2])]
    return np.ascontiguousarray(img[:, :, order])

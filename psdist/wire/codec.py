"""Messages to bytes and back.

On the wire a message is a msgpack header, `[number, field, field, ...]`, and zero or more frames with the
bytes of its arrays. In the header an array is only its dtype and length. Arrays of up to `PACKED` bytes
stand side by side in one frame, the first after the header, each aligned to its item size; each larger one
is a frame of its own, in order, sent and received without a copy. A column of numbers (keys, offsets,
clocks) is one msgpack binary of little-endian 64-bit words: quick to read, and it cannot nest.

`decode` checks everything before anything is built from it: sizes and nesting by msgpack's limits, then
number, field types, ranges, dtypes, and that each frame has exactly the bytes that its arrays need. What it
returns is safe to look at but not yet right: whether a key exists is the shard's to say. Wrong bytes raise
`BadMessage`, a ProtocolError, and nothing else.

The work per message is a loop over functions that were chosen from the annotations once, at import. A new
kind of field is a new entry in `_kind`.
"""

from __future__ import annotations

import itertools
import struct
import threading
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from operator import attrgetter
from typing import Any, Final, Protocol, cast, overload

import msgpack  # type: ignore[import-untyped]  # ships no stubs
import numpy as np

from .. import errors
from . import messages
from .kinds import Column
from .messages import MESSAGES, VERSION, Ints, Message, Numbers, Tensor, Tensors

__all__ = [
    "DTYPES",
    "IN_FRAME",
    "MAX_FRAMES",
    "MAX_FRAME_NBYTES",
    "MAX_HEADER",
    "MAX_LIST",
    "MAX_MAP",
    "MAX_PACK_NBYTES",
    "MAX_TEXT",
    "PACKED",
    "BadMessage",
    "Draft",
    "Memory",
    "NoMemory",
    "OldTurn",
    "Packed",
    "decode",
    "draft",
    "encode",
    "frame_limit",
]

PACKED: Final = 8192  # bytes: below this a copy into the common frame costs less than a frame
MAX_HEADER: Final = 4 << 20  # bytes: 100,000 slices in one message
MAX_FRAMES: Final = 4096
MAX_PACK_NBYTES: Final = 8 << 20  # the small arrays of one message; cut a larger batch into several
MAX_FRAME_NBYTES: Final = 1 << 30  # the largest slice that PSDIST_SLICE_BYTES allows
MAX_LIST: Final = 1024  # members, names: msgpack allocates what a list claims, at every level of nesting
MAX_MAP: Final = 65536
IN_FRAME: Final = (1 << 64) - 1  # the place of an array that is a frame all the same
MAX_TEXT: Final = 65536

DTYPES: Final[dict[int, np.dtype[Any]]] = {  # MXNet's numbers, as in .params files
    0: np.dtype("<f4"),
    1: np.dtype("<f8"),
    2: np.dtype("<f2"),
    3: np.dtype("u1"),
    4: np.dtype("<i4"),
    5: np.dtype("i1"),
    6: np.dtype("<i8"),
    7: np.dtype("?"),
}
_CODES: Final = {dtype: code for code, dtype in DTYPES.items()}


def frame_limit(slice_nbytes: int) -> int:
    """The most bytes that a frame of this protocol can have, when slices have `slice_nbytes`: ZeroMQ's
    MAXMSGSIZE."""
    return max(slice_nbytes, MAX_PACK_NBYTES, MAX_HEADER)


class BadMessage(errors.ProtocolError):
    """Bytes that are no message; `seq` is the request's number where that could be read, else -1."""

    def __init__(self, text: str, seq: int = -1) -> None:
        super().__init__(text)
        self.seq = seq


class _Wrong(Exception):
    """A field's value is not what its type says."""


# --- fields: a function to check what msgpack read; for some, one to prepare what it writes -------


def _int(value: Any) -> int:
    if type(value) is not int:
        raise _Wrong
    return value


def _float(value: Any) -> float:
    if type(value) is not float and type(value) is not int:
        raise _Wrong
    return float(value)


def _bool(value: Any) -> bool:
    if type(value) is not bool:
        raise _Wrong
    return value


def _str(value: Any) -> str:
    if type(value) is not str:
        raise _Wrong
    return value


_ONE: Final = struct.Struct("<Q")  # most columns have one number, or very many


def _write_column(column: Ints) -> bytes:
    if type(column) is Column:
        return column.packed
    if len(column) == 1:
        return _ONE.pack(column[0])
    return struct.pack(f"<{len(column)}Q", *column)


def _column(value: Any) -> tuple[int, ...]:
    if type(value) is not bytes or len(value) & 7:
        raise _Wrong
    if len(value) == 8:
        return _ONE.unpack(value)
    return struct.unpack(f"<{len(value) >> 3}Q", value)


def _numbers(value: Any) -> Numbers:
    if type(value) is not dict:
        raise _Wrong
    for name, number in value.items():
        if type(name) is not str or not (number is None or type(number) in (int, float, bool, str)):
            raise _Wrong
    return value


def _floats(value: Any) -> dict[str, float]:
    if type(value) is not dict:
        raise _Wrong
    return {_str(key): _float(number) for key, number in value.items()}


def _tuple_of(item: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def check(value: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise _Wrong
        return tuple([item(i) for i in value])

    return check


def _record(cls: type[Any]) -> tuple[Callable[[Any], Any], Callable[[Any], list[Any]]]:
    names = [f.name for f in fields(cls)]
    hints = typing.get_type_hints(cls, vars(messages))
    checks = [_kind(hints[name])[0] for name in names]
    get = attrgetter(*names)

    def check(value: Any) -> Any:
        if type(value) is not list or len(value) != len(checks):
            raise _Wrong
        return cls(*[c(v) for c, v in zip(checks, value, strict=True)])

    return check, lambda record: list(get(record))


def _kind(hint: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any] | None]:
    """(check, prepare or None) for a field's annotation."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint == Ints:
        return _column, _write_column
    if hint == Numbers:
        return _numbers, None
    if hint == dict[str, float]:
        return _floats, None
    if origin is tuple:
        item, prepare = _kind(args[0])
        if prepare is None:
            return _tuple_of(item), None
        return _tuple_of(item), lambda values, prepare=prepare: [prepare(v) for v in values]
    if origin is typing.Literal:
        return _str, None
    if is_dataclass(hint):
        return _record(cast(type[Any], hint))
    return {int: _int, float: _float, bool: _bool, str: _str}[hint], None


class _Format:
    """How one class of message is written and read."""

    __slots__ = ("checks", "cls", "get", "names", "number", "prepare", "tensors_at")

    def __init__(self, number: int, cls: type[Any]) -> None:
        hints = typing.get_type_hints(cls, vars(messages))
        self.number = number
        self.cls = cls
        self.names = [f.name for f in fields(cls)]
        self.get = attrgetter(*self.names) if len(self.names) > 1 else None
        self.tensors_at = -1  # the field that holds the arrays; always the last
        self.checks: list[Callable[[Any], Any]] = []
        self.prepare: list[tuple[int, Callable[[Any], Any]]] = []
        for i, name in enumerate(self.names):
            if hints[name] == Tensors:
                assert i == len(self.names) - 1, f"{cls.__name__}.{name}: arrays come last"
                self.tensors_at = i
                continue
            check, prepare = _kind(hints[name])
            self.checks.append(check)
            if prepare is not None:
                self.prepare.append((i + 1, prepare))


_BY_NUMBER: Final = {number: _Format(number, cls) for number, cls in MESSAGES.items()}
_BY_CLASS: Final = {f.cls: f for f in _BY_NUMBER.values()}
_HELLO: Final = _BY_CLASS[messages.Hello].number


class _Packers(threading.local):
    """A packer of this thread; making one costs more than most messages."""

    def __init__(self) -> None:
        self.pack: Callable[[Any], bytes] = msgpack.Packer(use_bin_type=True, buf_size=4096).pack


_packers = _Packers()


# --- writing --------------------------------------------------------------------------------------


def encode(message: Message) -> list[bytes | Tensor]:
    """The frames of a message. Arrays larger than PACKED are the caller's own, not copies: they must not
    change until they are sent."""
    return draft(message).frames()


class Packed(Sequence[Tensor]):
    """Small arrays of one dtype that lie side by side: `flat`, and their lengths."""

    __slots__ = ("_starts", "flat", "lengths")

    def __init__(self, flat: Tensor, lengths: tuple[int, ...]) -> None:
        self._starts: list[int] | None = None
        self.flat = flat
        self.lengths = lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[Tensor]:
        low = 0
        for n in self.lengths:
            yield self.flat[low : low + n]
            low += n

    @overload
    def __getitem__(self, i: int) -> Tensor: ...
    @overload
    def __getitem__(self, i: slice) -> list[Tensor]: ...
    def __getitem__(self, i: int | slice) -> Tensor | list[Tensor]:
        if isinstance(i, slice):
            return list(self)[i]
        if self._starts is None:
            self._starts = list(itertools.accumulate(self.lengths, initial=0))
        i = range(len(self.lengths))[i]
        return self.flat[self._starts[i] : self._starts[i + 1]]


class Draft:
    """A message of which only the header is not bytes yet: where its large arrays will be is open."""

    __slots__ = ("_header", "_pack", "large")

    def __init__(self, header: list[Any], pack: bytes | Tensor, large: list[Tensor]) -> None:
        self._header = header
        self._pack = pack
        self.large = large  # arrays of more than PACKED bytes

    def frames(self, turn: int = 0, places: Sequence[int] = ()) -> list[bytes | Tensor]:
        """The message. With `places`, the i-th large array lies there in the segment that `turn` is about; at
        IN_FRAME, it does not."""
        header = self._header
        large: Sequence[Tensor] = self.large
        if places:
            header = [*header, _write_column([turn, *places])]
            large = [t for t, place in zip(large, places, strict=True) if place == IN_FRAME]
        return [_packers.pack(header), *([self._pack] if self._pack is not _NO_PACK else ()), *large]


_NO_PACK: Final = b"no small arrays"


def draft(message: Message) -> Draft:
    """The message up to its frames. Small arrays are copied here, large ones are the caller's own."""
    form = _BY_CLASS[type(message)]
    if form.get is not None:
        header = [form.number, *form.get(message)]
    else:
        header = [form.number, getattr(message, form.names[0])]
    for i, prepare in form.prepare:
        header[i] = prepare(header[i])
    if form.tensors_at < 0:
        return Draft(header, _NO_PACK, [])
    tensors = header.pop()
    if type(tensors) is Packed:
        header.append(_CODES[tensors.flat.dtype])
        header.append(_write_column(tensors.lengths))
        return Draft(header, tensors.flat, [])
    large: list[Tensor] = []
    codes: list[int] = []
    lengths: list[int] = []
    packed: list[Any] = []
    for tensor in tensors:
        assert tensor.ndim == 1, f"an array of shape {tensor.shape}; wanted a flat one"
        assert tensor.flags.c_contiguous, f"an array with strides {tensor.strides}; wanted a contiguous one"
        codes.append(_CODES[tensor.dtype])
        lengths.append(tensor.size)
        if tensor.nbytes > PACKED:
            large.append(tensor)
        else:
            packed.append(tensor)
    same = len(set(codes)) <= 1
    pack = b"".join(packed if same else list(_aligned(packed))) if packed else _NO_PACK
    header.append((codes[0] if codes else 0) if same else bytes(codes))
    header.append(_write_column(lengths))
    return Draft(header, pack, large)


def _aligned(tensors: Sequence[Tensor]) -> Iterator[Any]:
    end = 0
    for tensor in tensors:
        pad = -end % tensor.itemsize
        if pad:
            yield bytes(pad)
        yield tensor
        end += pad + tensor.nbytes


# --- reading --------------------------------------------------------------------------------------


class Memory(Protocol):
    """The segment of a peer, as far as it was agreed upon."""

    turn: int  # which agreement

    def read(self, offset: int, size: int, dtype: np.dtype[Any], /) -> Tensor:
        """The array that lies there. Raises ValueError when none can."""


class NoMemory:
    """Of a peer with which nothing is agreed, or not yet again."""

    turn = -1

    def read(self, offset: int, size: int, dtype: np.dtype[Any], /) -> Tensor:
        raise ValueError("no memory is agreed upon")


class OldTurn(Exception):
    """The arrays of this message lay in memory of an earlier agreement, and may be others by now."""

    def __init__(self, seq: int) -> None:
        super().__init__(seq)
        self.seq = seq


def decode(frames: Sequence[Any], memory: Memory | None = None) -> Message:
    """The message in these frames (anything with a buffer); its arrays are views of them, or of the peer's
    memory. Raises BadMessage; with a memory also OldTurn."""
    if not 1 <= len(frames) <= MAX_FRAMES:
        raise BadMessage(f"a message of {len(frames)} frames; 1 to {MAX_FRAMES} are allowed")
    header = _read_header(frames[0])
    form = _BY_NUMBER.get(header[0]) if type(header[0]) is int else None
    if form is None:
        raise BadMessage(f"no message has the number {header[0]!r:.40}")
    seq = _seq(form, header)
    if form.number == _HELLO and len(header) > 2 and header[2] != VERSION:
        raise BadMessage(
            f"version {header[2]!r:.20} of the protocol was spoken; here it is version {VERSION}: "
            "install the same psdist everywhere",
            seq,
        )
    num_fields = len(form.checks) + (2 if form.tensors_at >= 0 else 0)
    places = (
        header.pop()
        if memory is not None and form.tensors_at >= 0 and len(header) == num_fields + 2
        else None
    )
    if len(header) != num_fields + 1:
        raise BadMessage(f"{form.cls.__name__} has {num_fields} fields, not {len(header) - 1}", seq)
    values = []
    try:
        for check, value in zip(form.checks, header[1:], strict=False):
            values.append(check(value))
    except (_Wrong, OverflowError):
        raise BadMessage(f"{form.cls.__name__}.{form.names[len(values)]} is malformed", seq) from None
    if form.tensors_at >= 0:
        if places is not None and memory is not None:
            values.append(_read_placed(form, header[-2], header[-1], places, frames, memory, seq))
        else:
            values.append(_read_tensors(form, header[-2], header[-1], frames, seq))
    elif len(frames) != 1:
        raise BadMessage(
            f"{form.cls.__name__} has no arrays, but came with {len(frames) - 1} frames of them", seq
        )
    return cast(Message, form.cls(*values))


def _read_header(frame: Any) -> list[Any]:
    view = memoryview(frame)
    if view.nbytes > MAX_HEADER:
        raise BadMessage(f"a header of {view.nbytes} bytes; at most {MAX_HEADER} are allowed")
    try:
        header = msgpack.unpackb(
            view,
            use_list=True,
            raw=False,
            strict_map_key=True,
            max_str_len=MAX_TEXT,
            max_bin_len=MAX_HEADER,
            max_array_len=min(MAX_LIST, view.nbytes),  # lists are allocated before their items are seen
            max_map_len=MAX_MAP,
            max_ext_len=0,
        )
    except (ValueError, TypeError, msgpack.exceptions.UnpackException, RecursionError) as e:
        raise BadMessage(f"a header that is not msgpack: {type(e).__name__}") from None
    if type(header) is not list or not header:
        raise BadMessage(f"a header that is {type(header).__name__}; wanted [number, field, ...]")
    return header


def _seq(form: _Format, header: list[Any]) -> int:
    if form.names[0] == "seq" and len(header) > 1 and type(header[1]) is int:
        return header[1]
    return -1


def _read_tensors(form: _Format, codes: Any, column: Any, frames: Sequence[Any], seq: int) -> Tensors:
    """The arrays of a message, as views of its frames, after checking that they have exactly the bytes
    needed."""
    name = form.cls.__name__
    try:
        lengths = _column(column)
    except _Wrong:
        raise BadMessage(f"{name}: the lengths of its arrays are malformed", seq) from None
    if type(codes) is int and codes in DTYPES:
        dtype = DTYPES[codes]
        if len(lengths) == 1:  # the most common message
            nbytes = lengths[0] * dtype.itemsize
            if nbytes and len(frames) == 2 and memoryview(frames[1]).nbytes == nbytes:
                return [np.frombuffer(frames[1], dtype)]
        return _read_same(name, dtype, lengths, frames, seq)
    if type(codes) is bytes and len(codes) == len(lengths) and all(code in DTYPES for code in codes):
        return _read_mixed(name, [DTYPES[code] for code in codes], lengths, frames, seq)
    raise BadMessage(f"{name}: unknown dtypes {codes!r:.40}", seq)


def _read_placed(
    form: _Format, codes: Any, column: Any, places: Any, frames: Sequence[Any], memory: Memory, seq: int
) -> list[Tensor]:
    """Likewise, when large arrays may lie in the peer's memory."""
    name = form.cls.__name__
    try:
        turn, *offsets = _column(places)
        lengths = _column(column)
    except (_Wrong, ValueError):
        raise BadMessage(f"{name}: the places of its arrays are malformed", seq) from None
    if type(codes) is int:
        codes = bytes([codes]) * len(lengths) if codes in DTYPES else b"\xff"
    if type(codes) is not bytes or len(codes) != len(lengths) or not all(code in DTYPES for code in codes):
        raise BadMessage(f"{name}: unknown dtypes {codes!r:.40}", seq)
    if turn != memory.turn:
        raise OldTurn(seq)
    dtypes = [DTYPES[code] for code in codes]
    large = [i for i, n in enumerate(lengths) if n * dtypes[i].itemsize > PACKED]
    if len(offsets) != len(large):
        raise BadMessage(f"{name}: {len(offsets)} places of {len(large)} large arrays", seq)
    placed = {}
    for i, offset in zip(large, offsets, strict=True):
        if offset != IN_FRAME:
            try:
                placed[i] = memory.read(offset, lengths[i], dtypes[i])
            except ValueError as e:
                raise BadMessage(f"{name}: {e}", seq) from None
    there = [i for i in range(len(lengths)) if i not in placed]
    if there or len(frames) > 1:
        read = _read_mixed(name, [dtypes[i] for i in there], [lengths[i] for i in there], frames, seq)
        placed |= dict(zip(there, read, strict=True))
    return [placed[i] for i in range(len(lengths))]


def _read_same(
    name: str, dtype: np.dtype[Any], lengths: Sequence[int], frames: Sequence[Any], seq: int
) -> Tensors:
    size = dtype.itemsize
    limit = PACKED // size
    small = lengths if max(lengths, default=0) <= limit else [n for n in lengths if n <= limit]
    large = [n * size for n in lengths if n > limit] if len(small) < len(lengths) else []
    _check_frames(name, sum(small) * size, bool(small), large, frames, seq)
    rest = iter(frames[2:] if small else frames[1:])
    pack = np.frombuffer(frames[1], dtype) if small and memoryview(frames[1]).nbytes else np.empty(0, dtype)
    if small and len(small) == len(lengths):
        return Packed(pack, tuple(lengths))
    tensors: list[Tensor] = []
    start = 0
    for n in lengths:
        if n <= limit:
            tensors.append(pack[start : start + n])
            start += n
        else:
            tensors.append(np.frombuffer(next(rest), dtype))
    return tensors


def _read_mixed(
    name: str, dtypes: Sequence[np.dtype[Any]], lengths: Sequence[int], frames: Sequence[Any], seq: int
) -> list[Tensor]:
    starts, big, end, has_pack = [], [], 0, False
    for dtype, n in zip(dtypes, lengths, strict=True):
        nbytes = n * dtype.itemsize
        if nbytes > PACKED:
            starts.append(-1)
            big.append(nbytes)
        else:
            start = end + -end % dtype.itemsize
            starts.append(start)
            end = start + nbytes
            has_pack = True
    _check_frames(name, end, has_pack, big, frames, seq)
    rest = iter(frames[2:] if has_pack else frames[1:])
    tensors: list[Tensor] = []
    for dtype, n, start in zip(dtypes, lengths, starts, strict=True):
        if start < 0:
            tensors.append(np.frombuffer(next(rest), dtype))
        elif n:
            tensors.append(np.frombuffer(frames[1], dtype, n, start))
        else:
            tensors.append(np.empty(0, dtype))
    return tensors


def _check_frames(
    name: str, packed: int, has_pack: bool, big: Sequence[int], frames: Sequence[Any], seq: int
) -> None:
    wanted = [packed, *big] if has_pack else big
    if len(frames) - 1 != len(wanted):
        raise BadMessage(f"{name}: {len(frames) - 1} frames of arrays; its header needs {len(wanted)}", seq)
    for i, nbytes in enumerate(wanted, 1):
        if (got := memoryview(frames[i]).nbytes) != nbytes:
            raise BadMessage(f"{name}: frame {i} has {got} bytes; its header needs {nbytes}", seq)

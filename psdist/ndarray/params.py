"""MXNet's `.params` files, both ways, on NumPy arrays.

    file    = list magic u64 | reserved u64 | count u64 | array × count | names u64 | name × names
    name    = length u64 | UTF-8 bytes
    array   = magic u32 | storage i32 | [stored shape] | shape | device 2 × i32 | dtype i32
              | [aux dtype i32 | aux shape] × n | data | aux data × n       (the parts in [] only when sparse)
    shape   = ndim i32 | i64 × ndim

Three magics have been in use for `array` since MXNet 1.0, and a layout without any before that:
`_read_array` tells them apart. Everything is little-endian and nothing is aligned. There is no checksum, so
damage inside an array's values goes unnoticed; damage anywhere else is an error that names the offset.

Rule for whoever edits this: a number from the file is checked against the bytes that remain *before* anything
is allocated by it, so that a file never costs more memory than a small multiple of its own size.
"""

from __future__ import annotations

import io
import math
import os
import struct
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import PSError, ShapeError
from ..ops.sparse import CSR, RowSparse

__all__ = ["CSR", "Param", "RowSparse", "dump_params", "load_one", "load_params", "save_params"]

_Shape = tuple[int, ...]

_LIST_MAGIC = 0x112
_V1 = 0xF993FAC8  # shapes of 64-bit numbers
_V2 = 0xF993FAC9  # and storage types
_V3 = 0xF993FACA  # and NumPy's idea of a shape: () is one number
_DENSE, _ROW_SPARSE, _CSR = 0, 1, 2
_CPU = struct.pack("<ii", 1, 0)  # device type and number
_MAX_NDIM = 32  # MXNet's own limit; a larger number is damage, or a magic that we do not know
_BFLOAT16 = 12
_DTYPES: dict[int, np.dtype[Any]] = {
    0: np.dtype("<f4"),
    1: np.dtype("<f8"),
    2: np.dtype("<f2"),
    3: np.dtype("u1"),
    4: np.dtype("<i4"),
    5: np.dtype("i1"),
    6: np.dtype("<i8"),
    7: np.dtype("?"),
}
_DTYPE_IDS = {dtype: number for number, dtype in _DTYPES.items()}


Param = NDArray[Any] | RowSparse | CSR


# ------------------------------------------------------------------------------------------------- reading


def load_params(
    source: str | os.PathLike[str] | bytes | bytearray | memoryview, /
) -> list[Param] | dict[str, Param]:
    """The arrays of a file (by path) or of bytes: a dict when they were saved with names, else a list.

    Every array owns its memory and is writable. bfloat16, which NumPy has not, becomes the float32 of equal
    value. Raises PSError, naming the file and the offset, for bytes that are no such file; OSError when it
    cannot be opened.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        view = memoryview(source).cast("B")
        return _read_file(_Reader(io.BytesIO(view), view.nbytes, "bytes"))
    name = os.fspath(source)
    with open(name, "rb") as file:
        return _read_file(_Reader(file, file.seek(0, os.SEEK_END), repr(name)))


def load_one(data: bytes, /) -> NDArray[Any]:
    """The dense array in bytes that hold one `array` and nothing else. Raises PSError as `load_params` does."""
    r = _Reader(io.BytesIO(data), len(data), "bytes")
    value = _read_array(r, "the array")
    if r.left:
        raise r.error(f"{r.left} bytes follow the array")
    if not isinstance(value, np.ndarray):
        raise r.error("a sparse array; wanted a dense one", 0)
    return value


class _Reader:
    """A position in a file of known size; takes nothing that is not there."""

    def __init__(self, file: BinaryIO, size: int, name: str) -> None:
        file.seek(0)
        self._file = file
        self._name = name
        self.left = size
        self.offset = 0

    def error(self, why: str, offset: int | None = None) -> PSError:
        return PSError(f"{self._name} at offset {self.offset if offset is None else offset}: {why}")

    def numbers(self, layout: str, what: str) -> _Shape:
        raw = self.raw(struct.calcsize("<" + layout), what)
        return struct.unpack("<" + layout, raw)

    def number(self, layout: str, what: str) -> int:
        return self.numbers(layout, what)[0]

    def raw(self, nbytes: int, what: str) -> bytes:
        self.require(nbytes, what)
        data = self._file.read(nbytes)
        if len(data) != nbytes:
            raise self.error(f"the file shrank while it was read; {what} is gone")
        self._advance(nbytes)
        return data

    def array(self, shape: _Shape, dtype: np.dtype[Any], what: str) -> NDArray[Any]:
        """Bytes straight into a new array: no second copy of a large file."""
        nbytes = math.prod(shape) * dtype.itemsize
        self.require(nbytes, what)
        array: NDArray[Any] = np.empty(shape, dtype)
        if nbytes:
            target = array.reshape(-1).view(np.uint8).data
            done = 0
            while done < nbytes:
                count = self._file.readinto(target[done:])  # type: ignore[attr-defined]  # every binary file has it
                if not count:
                    raise self.error(f"the file shrank while it was read; {what} is gone")
                done += count
        if dtype == np.bool_ and nbytes and array.view(np.uint8).max() > 1:
            bad = int(np.argmax(array.reshape(-1).view(np.uint8) > 1))
            raise self.error(f"{what} holds a bool that is neither 0 nor 1", self.offset + bad)
        self._advance(nbytes)
        return array

    def require(self, nbytes: int, what: str) -> None:
        if nbytes > self.left:
            raise self.error(
                f"{what} needs {nbytes} bytes, but {self.left} follow; the file is cut short or damaged"
            )

    def _advance(self, nbytes: int) -> None:
        self.offset += nbytes
        self.left -= nbytes


def _read_file(r: _Reader) -> list[Param] | dict[str, Param]:
    magic, _ = r.numbers("QQ", "the header")
    if magic != _LIST_MAGIC:
        raise r.error(f"not a .params file: it starts with {magic:#x}, wanted {_LIST_MAGIC:#x}", 0)
    count = r.number("Q", "the number of arrays")
    if count * 20 > r.left:  # the least of all arrays: ndim, one size that is 0, device, dtype
        raise r.error(f"{count} arrays cannot stand in the {r.left} bytes that follow", r.offset - 8)
    arrays = [_read_array(r, f"array {i} of {count}") for i in range(count)]

    at = r.offset
    num_names = r.number("Q", "the number of names")
    if num_names not in (0, count):
        raise r.error(f"{num_names} names for {count} arrays; wanted one each, or none", at)
    named: dict[str, Param] = {}
    for i in range(num_names):
        at = r.offset
        raw = r.raw(r.number("Q", f"the length of name {i}"), f"name {i}")
        try:
            name = raw.decode()
        except UnicodeDecodeError as e:
            raise r.error(f"name {i} is not UTF-8: {e.reason}", at + 8 + e.start) from e
        if name in named:
            raise r.error(f"name {i}, {name!r}, was already given to another array", at)
        named[name] = arrays[i]
    if r.left:
        raise r.error(f"{r.left} bytes follow the last name; wanted the end of the file")
    return named if num_names else arrays


def _read_array(r: _Reader, what: str) -> Param:
    start = r.offset
    magic = r.number("I", what)
    storage = _DENSE
    stored_shape: _Shape = ()
    if magic in (_V2, _V3):
        storage = r.number("i", f"the storage type of {what}")
        if storage not in (_DENSE, _ROW_SPARSE, _CSR):
            known = "0 (dense), 1 (row_sparse), 2 (csr)"
            raise r.error(f"{what} has storage type {storage}; known are {known}", r.offset - 4)
        if storage != _DENSE:
            stored_shape = _read_shape(r, r.number("i", f"the stored shape of {what}"), "q", what)
        shape = _read_shape(r, r.number("i", f"the shape of {what}"), "q", what)
    elif magic == _V1:
        shape = _read_shape(r, r.number("i", f"the shape of {what}"), "q", what)
    elif magic <= _MAX_NDIM:  # before MXNet 1.0: no magic, the number of dimensions comes first
        shape = _read_shape(r, magic, "I", what)
    else:
        raise r.error(f"{what} starts with {magic:#x}, no known version and no number of dimensions", start)
    if not shape and magic != _V3:
        raise r.error(f"{what} has no shape: it was saved before it had a value", start)

    r.numbers("ii", f"the device of {what}")  # where it lived when it was saved: here it lives in memory
    dtype_id, dtype = _read_dtype(r, what)
    if storage == _ROW_SPARSE:
        return _read_row_sparse(r, shape, stored_shape, dtype_id, dtype, what)
    if storage == _CSR:
        return _read_csr(r, shape, stored_shape, dtype_id, dtype, what)
    return _read_data(r, shape, dtype_id, dtype, what)


def _read_shape(r: _Reader, ndim: int, kind: str, what: str) -> _Shape:
    if not 0 <= ndim <= _MAX_NDIM:
        raise r.error(f"{what} has {ndim} dimensions; at most {_MAX_NDIM} are possible", r.offset - 4)
    shape = r.numbers(f"{ndim}{kind}", f"the shape of {what}")
    if min(shape, default=0) < 0:
        raise r.error(f"{what} has the shape {shape}; a size cannot be negative", r.offset - 8 * ndim)
    return shape


def _read_dtype(r: _Reader, what: str) -> tuple[int, np.dtype[Any]]:
    number = r.number("i", f"the dtype of {what}")
    if number == _BFLOAT16:
        return number, np.dtype("<u2")
    if number not in _DTYPES:
        known = ", ".join(f"{k} ({v})" for k, v in _DTYPES.items())
        raise r.error(f"{what} has dtype {number}; known are {known}, {_BFLOAT16} (bfloat16)", r.offset - 4)
    return number, _DTYPES[number]


def _read_data(r: _Reader, shape: _Shape, dtype_id: int, dtype: np.dtype[Any], what: str) -> NDArray[Any]:
    at = r.offset
    try:
        data = r.array(shape, dtype, f"{what}, {dtype} of shape {shape},")
    except ValueError as e:  # a zero among dimensions whose product NumPy cannot address
        raise r.error(f"{what} has the impossible shape {shape}: {e}", at) from e
    if dtype_id == _BFLOAT16:  # the upper half of a float32
        return (data.astype(np.uint32) << 16).view(np.float32)
    return data


def _read_aux(r: _Reader, what: str) -> tuple[np.dtype[Any], int]:
    """The dtype and the length of an index array."""
    at = r.offset
    _, dtype = _read_dtype(r, what)
    shape = _read_shape(r, r.number("i", f"the shape of {what}"), "q", what)
    if dtype.kind != "i" or len(shape) != 1:
        raise r.error(f"{what} is {dtype} of shape {shape}; wanted integers in one dimension", at)
    return dtype, shape[0]


def _read_row_sparse(
    r: _Reader, shape: _Shape, stored: _Shape, dtype_id: int, dtype: np.dtype[Any], what: str
) -> RowSparse:
    start = r.offset
    aux_dtype, length = _read_aux(r, f"the row indices of {what}")
    if not shape or len(stored) != len(shape) or stored[1:] != shape[1:] or stored[0] != length:
        raise r.error(f"{what}, {shape}, stores {stored}: {length} row indices", start)
    data = _read_data(r, stored, dtype_id, dtype, what)
    at = r.offset
    rows = r.array((length,), aux_dtype, f"the row indices of {what}").astype(np.int64)
    if length and (rows[0] < 0 or rows[-1] >= shape[0] or (rows[1:] <= rows[:-1]).any()):
        raise r.error(f"the row indices of {what} do not ascend within 0..{shape[0] - 1}", at)
    return RowSparse(data, rows, shape)


def _read_csr(
    r: _Reader, shape: _Shape, stored: _Shape, dtype_id: int, dtype: np.dtype[Any], what: str
) -> CSR:
    start = r.offset
    indptr_dtype, indptr_length = _read_aux(r, f"the row pointers of {what}")
    index_dtype, length = _read_aux(r, f"the column indices of {what}")
    if len(shape) != 2 or stored != (length,) or indptr_length != shape[0] + 1:
        raise r.error(
            f"{what}, {shape}, stores {stored}: {length} columns, {indptr_length} row pointers", start
        )
    data = _read_data(r, stored, dtype_id, dtype, what)
    at = r.offset
    indptr = r.array((indptr_length,), indptr_dtype, f"the row pointers of {what}").astype(np.int64)
    if indptr[0] != 0 or indptr[-1] != length or (indptr[1:] < indptr[:-1]).any():
        raise r.error(f"the row pointers of {what} do not ascend from 0 to {length}", at)
    at = r.offset
    columns = r.array((length,), index_dtype, f"the column indices of {what}").astype(np.int64)
    if length and (columns.min() < 0 or columns.max() >= shape[1]):
        raise r.error(f"the column indices of {what} leave 0..{shape[1] - 1}", at)
    return CSR(data, indptr, columns, shape)


# ------------------------------------------------------------------------------------------------- writing


def save_params(path: str | os.PathLike[str], arrays: Mapping[str, Param] | Sequence[Param], /) -> None:
    """Write a file that MXNet 1.9.1 and `load_params` read: with names if given a mapping, else without.

    It is written beside and renamed, so that a crash midway leaves the old file whole. A 0-d array loads in
    MXNet only under its `np_shape` mode. Raises ShapeError for a dtype that the format has not.
    """
    named, values = _split(arrays)
    heads = [_head(value, f"array {named[i]!r}" if named else f"array {i}") for i, value in enumerate(values)]
    target = os.path.realpath(path)
    if os.path.exists(target) and not os.path.isfile(target):  # a pipe or a device cannot be renamed over
        with open(target, "wb") as file:
            _write_file(file, named, values, heads)
        return
    beside = f"{target}.{os.getpid()}.tmp"
    try:
        with open(beside, "wb") as file:
            _write_file(file, named, values, heads)
        os.replace(beside, target)
    except BaseException:
        if os.path.exists(beside):
            os.unlink(beside)
        raise


def dump_params(arrays: Mapping[str, Param] | Sequence[Param], /) -> bytes:
    """The bytes that `save_params` would write."""
    named, values = _split(arrays)
    heads = [_head(value, f"array {named[i]!r}" if named else f"array {i}") for i, value in enumerate(values)]
    file = io.BytesIO()
    _write_file(file, named, values, heads)
    return file.getvalue()


def _split(arrays: Mapping[str, Param] | Sequence[Param]) -> tuple[list[str], list[Param]]:
    if isinstance(arrays, Mapping):
        return list(arrays), list(arrays.values())
    return [], list(arrays)


def _write_file(file: BinaryIO, named: list[str], values: list[Param], heads: list[bytes]) -> None:
    file.write(struct.pack("<QQQ", _LIST_MAGIC, 0, len(values)))
    for value, head in zip(values, heads, strict=True):
        file.write(head)
        match value:
            case RowSparse():
                _write_data(file, value.data)
                _write_data(file, value.indices.astype(np.int64))
            case CSR():
                _write_data(file, value.data)
                _write_data(file, value.indptr.astype(np.int64))
                _write_data(file, value.indices.astype(np.int64))
            case _:
                _write_data(file, value)
    file.write(struct.pack("<Q", len(named)))
    for name in named:
        raw = name.encode()
        file.write(struct.pack("<Q", len(raw)) + raw)


def _write_data(file: BinaryIO, array: NDArray[Any]) -> None:
    plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    if plain.size:
        file.write(plain.reshape(-1).view(np.uint8).data)


def _head(value: Param, what: str) -> bytes:
    """All that stands before an array's data."""
    index = struct.pack("<i", _DTYPE_IDS[np.dtype("<i8")])
    match value:
        case RowSparse():
            middle = struct.pack("<Ii", _V2, _ROW_SPARSE) + _shape(value.data.shape) + _shape(value.shape)
            tail = index + _shape(value.indices.shape)
            dtype = value.data.dtype
        case CSR():
            middle = struct.pack("<Ii", _V2, _CSR) + _shape(value.data.shape) + _shape(value.shape)
            tail = index + _shape(value.indptr.shape) + index + _shape(value.indices.shape)
            dtype = value.data.dtype
        case _:
            middle = struct.pack("<Ii", _V2 if value.ndim else _V3, _DENSE) + _shape(value.shape)
            tail = b""
            dtype = value.dtype
    number = _DTYPE_IDS.get(dtype.newbyteorder("<"))
    if number is None:
        known = ", ".join(str(d) for d in _DTYPES.values())
        raise ShapeError(f"{what} is {dtype}, which a .params file cannot hold; cast it to one of {known}")
    return middle + _CPU + struct.pack("<i", number) + tail


def _shape(shape: _Shape) -> bytes:
    return struct.pack(f"<i{len(shape)}q", len(shape), *shape)

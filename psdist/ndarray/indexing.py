"""`x[key]` and `x[key] = value`, as in MXNet: NumPy's rules, except that

- an index never leaves an array without axes: `x[0]` of a vector has shape (1,);
- an index array may be an NDArray of floats;
- a slice that is contiguous in memory shares it, every other result is a copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..autograd import Node, state
from ..errors import BadIndex, BadType, ShapeError

if TYPE_CHECKING:
    from .array import NDArray

Array = np.ndarray[Any, Any]


def _plain(key: Any) -> Any:
    """The key as NumPy takes it."""
    if isinstance(key, tuple):
        return tuple(_plain(k) for k in key)
    data = getattr(key, "_data", None)
    if data is not None:
        key = data
    elif isinstance(key, list):
        return (
            np.asarray([_plain(k) for k in key])
            if key and not isinstance(key[0], bool)
            else np.asarray(key, np.int64)
        )
    elif isinstance(key, range):
        return np.arange(key.start, key.stop, key.step)
    if isinstance(key, np.ndarray):
        return key if key.dtype.kind in "iub" and key.dtype != np.uint8 else key.astype(np.int64)
    if isinstance(key, slice):
        return slice(*(None if v is None else int(v) for v in (key.start, key.stop, key.step)))
    if isinstance(key, np.integer):
        return int(key)
    return key


def _is_basic(key: Any) -> bool:
    parts = key if isinstance(key, tuple) else (key,)
    return all(isinstance(p, int | slice | type(None) | type(...)) and not isinstance(p, bool) for p in parts)


class _Take:
    """`x[key]` as a recorded operation."""

    def backward(
        self,
        heads: Sequence[Array],
        outputs: Sequence[Array | None],
        inputs: Sequence[Array | None],
        params: Any,
        needs: tuple[bool, ...],
        is_train: bool = True,
    ) -> list[Array | None]:
        (x,), key = inputs, params
        assert x is not None
        grad = np.zeros_like(x)
        g = heads[0].reshape(x[key].shape)
        if _is_basic(key):
            grad[key] = g
        else:
            np.add.at(grad, key, g)  # an element taken twice gets both gradients
        return [grad]


_TAKE = _Take()


def _error(e: IndexError, x: NDArray) -> IndexError:
    text = f"{e} (the array has shape {x.shape})"
    return IndexError(text) if "out of bounds" in text else BadIndex(text)


def get(x: NDArray, key: Any) -> NDArray:
    """`x[key]`."""
    if type(key) is int:  # the commonest key of all: a row
        data = x._data
        n = data.shape[0] if data.ndim else 0
        if not -n <= key < n:
            raise IndexError(f"index {key} is out of bounds for axis 0 with size {n}")
        part = data[key] if data.ndim > 1 else data[key : key + 1 or None]
    else:
        key = _plain(key)
        try:
            part = x._data[key]
        except IndexError as e:
            raise _error(e, x) from e
        if part.ndim == 0:
            part = part.reshape(1) if isinstance(part, np.ndarray) else np.array([part])
        if part.base is not None and not part.flags.c_contiguous:
            part = part.copy()
    out = x._like(part)
    if state.recording and x._source is not None:
        out._source = (Node(_TAKE, key, (x._data,), (part,), (x._source,), 1), 0)
    return out


def put(x: NDArray, key: Any, value: Any) -> None:
    """`x[key] = value`, where value is a number, an NDArray or anything NumPy reads."""
    key = _plain(key)
    stored = getattr(value, "_held", None)  # of a sparse array
    if stored is not None and isinstance(key, slice) and key == slice(None) and stored.shape == x._data.shape:
        stored.write(x._data)  # a dense copy of it would cost more than the assignment
        return
    data = getattr(value, "_data", value)
    if isinstance(data, int | float):
        data = np.asarray(data).astype(x._data.dtype)  # wraps and cuts as C does, without a complaint
    if not x._data.ndim and isinstance(key, slice) and key == slice(None):
        key = ...  # all of an array without axes, which NumPy lets nobody slice
    try:
        target = x._data[key] if _is_basic(key) else None
        if target is not None and not target.ndim:
            data = np.reshape(data, ())  # one element takes whatever holds one
        elif target is not None and isinstance(data, np.ndarray) and data.ndim and target.ndim < data.ndim:
            data = data.reshape(
                data.shape[data.ndim - target.ndim :]
            )  # leading axes of 1 in the value do not matter
        x._data[key] = data
    except IndexError as e:
        raise _error(e, x) from e
    except ValueError as e:
        if isinstance(value, str):
            raise BadType(f"assigning {value!r} to a part of an array: wanted numbers") from e
        raise ShapeError(f"assigning {np.shape(data)} to a part of an array of shape {x.shape}: {e}") from e

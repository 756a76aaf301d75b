"""`nd.save` and `nd.load`: NDArrays to and from MXNet's .params files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError, NoSuchFile
from .array import NDArray
from .params import Param, dump_params, load_params, save_params

__all__ = ["dump", "load", "load_bytes", "save"]


def _plain(value: Any, name: object) -> Param:
    if not isinstance(value, NDArray):
        raise ConfigError(f"save: {name!r} is a {type(value).__name__}; wanted an NDArray")
    return value._stored() if hasattr(value, "_stored") else value._data


def _plains(data: Any) -> dict[str, Param] | list[Param]:
    if isinstance(data, NDArray):
        data = [data]
    if isinstance(data, Mapping):
        return {str(name): _plain(value, name) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value, i) for i, value in enumerate(data)]
    raise ConfigError(f"save: {type(data).__name__} given; wanted an NDArray, a list or a dict of them")


def save(fname: str | os.PathLike[str], data: Any) -> None:
    """Save an NDArray, a list, or a dict of names to NDArrays."""
    try:
        save_params(fname, _plains(data))
    except FileNotFoundError as e:
        raise NoSuchFile(f"save: {os.fspath(fname)}: no such folder") from e


def dump(data: Any) -> bytes:
    """The bytes that `save` would write."""
    return dump_params(_plains(data))


def _wrap(value: Param) -> NDArray:
    import numpy as np

    if isinstance(value, np.ndarray):
        return NDArray(value)
    from . import sparse

    return sparse.of_stored(value)


def load(fname: str | os.PathLike[str]) -> Any:
    """The dict or list that a file holds. Raises PSError, naming the offset, for a damaged file."""
    try:
        return _wrapped(load_params(fname))
    except FileNotFoundError as e:
        raise NoSuchFile(f"load: {os.fspath(fname)}: no such file") from e


def load_bytes(buf: bytes) -> Any:
    """The dict or list in a file's bytes."""
    return _wrapped(load_params(bytes(buf)))


def _wrapped(stored: Any) -> Any:
    if isinstance(stored, Mapping):
        return {name: _wrap(value) for name, value in stored.items()}
    return [_wrap(value) for value in stored]

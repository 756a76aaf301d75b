"""What scripts import from MXNet's `base`: the root of our errors under its old name, the number types, and
helpers of MXNet's own Python layer that ended up in users' code.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from .errors import PSError
from .settings import Settings

__all__ = [
    "MXNetError",
    "NotImplementedForSymbol",
    "NotSupportedForSparseNDArray",
    "classproperty",
    "data_dir",
    "data_dir_default",
    "integer_types",
    "mx_real_t",
    "numeric_types",
    "py_str",
    "string_types",
]

MXNetError = PSError
numeric_types = (float, int, np.generic)
integer_types = (int, np.int32, np.int64)
string_types = (str,)
basestring = str
long = int
mx_real_t = np.float32


def data_dir_default() -> str:
    """Where data sets lie unless MXNET_HOME says otherwise."""
    return os.path.join(os.path.expanduser("~"), ".mxnet")


def data_dir() -> str:
    """The folder of data sets: MXNET_HOME, or `data_dir_default()`."""
    return Settings.read().data_home or data_dir_default()


class _NullType:
    """The default of a parameter that was not given."""

    def __repr__(self) -> str:
        return "_Null"

    def __bool__(self) -> bool:
        return False


_Null = _NullType()


class _Refusal(PSError, NotImplementedError, TypeError):
    """What cannot be asked of this kind of array or symbol."""

    def __init__(self, function: Any, alias: str | None = None, *args: Any) -> None:
        name = getattr(function, "__name__", str(function))
        also = f" (operator {alias})" if alias else ""
        super().__init__(f"{name}{also} is not defined for {self._what}; arguments: {list(map(type, args))}")

    _what = "this"


class NotImplementedForSymbol(_Refusal):
    """An NDArray's method called on a Symbol, which has no value yet."""

    _what = "a Symbol, which has no value before it is bound and run"


class NotSupportedForSparseNDArray(_Refusal):
    """A dense array's method called on a sparse one."""

    _what = "a sparse NDArray"


class classproperty:
    """A read-only property of the class itself."""

    def __init__(self, function: Any) -> None:
        self._function = function

    def __get__(self, instance: Any, owner: type) -> Any:
        return self._function(owner)


def py_str(x: bytes | str) -> str:
    """Bytes as text; what is text already (a monitor's names are, here) stays."""
    return x if isinstance(x, str) else x.decode("utf-8")


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]

"""MXNet's `mxnet.ndarray.ndarray`: what scripts import from there. Everything else is the package's."""

from __future__ import annotations

import builtins
import importlib
from typing import Any

import numpy as np

from .array import NDArray, array, empty, full, ones, waitall, zeros

__all__ = ["NDArray", "array", "empty", "full", "ones", "waitall", "zeros"]

py_slice = builtins.slice
_DTYPE_MX_TO_NP = {
    -1: None,
    0: np.float32,
    1: np.float64,
    2: np.float16,
    3: np.uint8,
    4: np.int32,
    5: np.int8,
    6: np.int64,
    7: np.bool_,
}
_DTYPE_NP_TO_MX = {v: k for k, v in _DTYPE_MX_TO_NP.items()}
_STORAGE_TYPE_ID_TO_STR = {-1: "undefined", 0: "default", 1: "row_sparse", 2: "csr"}
_STORAGE_TYPE_STR_TO_ID = {v: k for k, v in _STORAGE_TYPE_ID_TO_STR.items()}
_GRAD_REQ_MAP = {"null": 0, "write": 1, "add": 3}


def _storage_type(x: NDArray) -> int:
    return _STORAGE_TYPE_STR_TO_ID[x.stype]


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(importlib.import_module(__name__.rpartition(".")[0]), name)

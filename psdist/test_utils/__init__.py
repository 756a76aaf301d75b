"""`mx.test_utils`: comparing arrays, checking operators and graphs, random data. `from psdist.test_utils import *`
also gives `mx` and `np`, which MXNet's tests rely on.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import json
import logging
import numbers
import os
import platform
import struct
import sys
import time
import traceback
import zipfile
from collections import OrderedDict
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.random as rnd

from ..context import Context, current_context
from ..ndarray.array import array
from ..symbol import Symbol
from ..util import getenv, setenv
from . import check, compare, data, draw, settings, statistics
from .check import *  # noqa: F403
from .check import _parse_aux_states, _parse_location
from .compare import *  # noqa: F403
from .data import *  # noqa: F403
from .draw import *  # noqa: F403
from .settings import *  # noqa: F403
from .statistics import *  # noqa: F403

# What a script gets by `from mxnet.test_utils import *`, and relies on: some modules of Python's among it.
__all__ = [
    "Context",
    "OrderedDict",
    "Symbol",
    "array",
    "current_context",
    "getenv",
    "mx",  # noqa: F405
    "np",
    "rnd",
    "setenv",
    "zipfile",
    "traceback",
    "time",
    "sys",
    "struct",
    "platform",
    "os",
    "numbers",
    "logging",
    "json",
    "gzip",
    "errno",
    "contextmanager",
    "bz2",
    *check.__all__,
    *compare.__all__,
    *data.__all__,
    *draw.__all__,
    *settings.__all__,
    *statistics.__all__,
]

_STORAGE_TYPE_STR_TO_ID = {"undefined": -1, "default": 0, "row_sparse": 1, "csr": 2}
_ = _parse_aux_states, _parse_location  # MXNet's tests import them


def __getattr__(name: str) -> Any:
    if name == "mx":
        return sys.modules[__name__.partition(".")[0]]
    raise AttributeError(f"mx.test_utils has no '{name}'")

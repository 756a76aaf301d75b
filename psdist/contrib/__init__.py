"""`mx.contrib`: the operators that MXNet kept apart, as arrays and as symbols, its first `autograd`, and `text`."""

from ..ndarray import contrib as ndarray
from ..symbol import contrib as symbol
from . import autograd, text

__all__ = ["autograd", "nd", "ndarray", "sym", "symbol", "text"]

nd = ndarray
sym = symbol

"""`mx.contrib`: the operators that MXNet kept apart, as arrays and as symbols, and its first `autograd`."""

from ..ndarray import contrib as ndarray
from ..symbol import contrib as symbol
from . import autograd

__all__ = ["autograd", "nd", "ndarray", "sym", "symbol"]

nd = ndarray
sym = symbol

"""`mx.contrib`: the operators that MXNet kept apart, as arrays and as symbols."""

from .ndarray import contrib as ndarray
from .symbol import contrib as symbol

__all__ = ["nd", "ndarray", "sym", "symbol"]

nd = ndarray
sym = symbol

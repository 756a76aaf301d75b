"""`mx.contrib`: operators that MXNet kept apart, as arrays and as symbols; its first `autograd`, texts, and SVRG."""

from ..ndarray import contrib as ndarray
from ..symbol import contrib as symbol
from . import autograd, svrg_optimization, text

__all__ = ["autograd", "nd", "ndarray", "svrg_optimization", "sym", "symbol", "text"]

nd = ndarray
sym = symbol

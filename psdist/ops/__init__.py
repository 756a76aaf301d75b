"""Operators: the table (`registry`), shape rules (`signature`), parameters (`params`), and the operators themselves."""

from . import create, elementwise, indexing, joining, linalg, nn, norm, ordering, products, reduce, shape, special, unary, window
from .registry import Op, all_names, all_ops, find, get

__all__ = [
    "Op",
    "all_names",
    "all_ops",
    "create",
    "elementwise",
    "find",
    "get",
    "linalg",
    "nn",
    "norm",
    "reduce",
    "shape",
    "window",
]

"""Sparse arrays in a bound graph. A plan reads and writes memory, and a sparse array has none that stays: a dense
array, its shadow, takes part in its stead, brought up to date before a pass and read back after it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..ndarray.array import NDArray
from ..symbol.graph import topological
from ..symbol.symbol import Symbol
from .ir import Array

__all__ = ["Shadows", "gradient_array", "sparse_gradients"]


class Shadows:
    """The shadows of an executor's sparse arrays; without any, every method does nothing."""

    def __init__(self, arrays: Iterable[NDArray | None]) -> None:
        self._pairs = {id(a): (a, a.asnumpy()) for a in arrays if a is not None and a.stype != "default"}

    def memory(self, a: NDArray) -> Array:
        """Where a plan reads or writes this array."""
        found = self._pairs.get(id(a)) if self._pairs else None
        return a._data if found is None else found[1]

    def any_of(self, arrays: Iterable[NDArray | None]) -> bool:
        """Whether any of these arrays has a shadow."""
        return any(a is not None and id(a) in self._pairs for a in arrays) if self._pairs else False

    def refresh(self, arrays: Iterable[NDArray | None]) -> None:
        """Bring the shadows of these arrays up to date."""
        for a in arrays if self._pairs else ():
            if a is not None and id(a) in self._pairs:
                a._stored().write(self._pairs[id(a)][1])

    def store(self, a: NDArray) -> None:
        """Read an array back from its shadow."""
        found = self._pairs.get(id(a)) if self._pairs else None
        if found is not None:
            a._assign(NDArray(found[1]))


_FEW_ROWS = ("Embedding", "_contrib_SparseEmbedding", "dot")


def gradient_array(like: NDArray, is_sparse: bool) -> NDArray:
    """An array for the gradient of `like`."""
    made = NDArray(np.zeros(like.shape, like.dtype), like.context)
    return made.tostype("row_sparse") if is_sparse else made


def sparse_gradients(symbol: Symbol) -> set[str]:
    """The arguments whose gradient has few rows: of `Embedding(sparse_grad=True)`, of `SparseEmbedding`, and of a
    product whose left side is a csr variable."""
    nodes = topological(symbol._heads)
    uses: dict[int, int] = {}
    for n in nodes:
        for source, _ in n.inputs:
            uses[id(source)] = uses.get(id(source), 0) + 1
    found = set()
    for n in nodes:
        if n.op is None or n.op.name not in _FEW_ROWS or len(n.inputs) != 2:
            continue
        left, right = n.inputs[0][0], n.inputs[1][0]
        if right.op is not None or uses[id(right)] != 1:
            continue
        if n.op.name == "Embedding":
            sparse = bool(n.params.get("sparse_grad"))
        elif n.op.name == "_contrib_SparseEmbedding":
            sparse = True
        else:
            sparse = (
                left.op is None and left.attrs.get("__storage_type__") == "2" and not n.params["transpose_b"]
            )
        if sparse:
            found.add(right.name)
    return found

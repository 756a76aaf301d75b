"""Attention over projections that lie interleaved, so that one product makes them all: heads side by side, and in each
head its queries, keys and values. Vaswani et al., arXiv:1706.03762.

Arrays are (length, batch, heads × parts × size); the weights of attention (batch × heads, queries, keys).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from .registry import op

Array = NDArray[Any]


def _split(x: Array, heads: int, parts: int) -> list[Array]:
    """Each part as (batch × heads, length, size)."""
    length, batch, width = x.shape
    each = x.reshape(length, batch * heads, parts, width // (heads * parts))
    return [each[:, :, i].swapaxes(0, 1) for i in range(parts)]


def _join(parts: list[Any], shape: tuple[int, ...]) -> Any:
    """The way back."""
    return np.stack([p.swapaxes(0, 1) for p in parts], axis=2).reshape(shape)


def _zero(x: Any) -> Any:
    return np.zeros_like(x)


def _rows(b: int, heads: int) -> int:
    return b * heads


def _width(parts: int) -> Any:
    def rule(e: int, heads: int) -> int:
        if e % (heads * parts):
            raise ShapeError(f"{e} numbers cannot be shared out over {heads} heads of {parts} parts")
        return e // parts

    return rule


@op("(l, b, e) -> (r, l, l)", where={"r": _rows, "o": _width(3)})
def _contrib_interleaved_matmul_selfatt_qk(queries_keys_values: Array, /, *, heads: int) -> Any:
    """How each place attends to each other one, before softmax: queries · keys / √size."""
    q, k, _ = _split(queries_keys_values, heads, 3)
    return (q / math.sqrt(q.shape[2])).astype(q.dtype) @ k.swapaxes(1, 2)


@_contrib_interleaved_matmul_selfatt_qk.gradient
def _(g: Array, _y: Array, x: Array, /, *, heads: int) -> Any:
    q, k, _ = _split(x, heads, 3)
    scale = x.dtype.type(1 / math.sqrt(q.shape[2]))
    return _join([g @ k * scale, g.swapaxes(1, 2) @ q * scale, _zero(q)], x.shape)


@op("(l, b, e), (r, l, l) -> (l, b, o)", where={"r": _rows, "o": _width(3)}, types="T, T -> T")
def _contrib_interleaved_matmul_selfatt_valatt(
    queries_keys_values: Array, attention: Array, /, *, heads: int
) -> Any:
    """The values, mixed with the weights of attention."""
    v = _split(queries_keys_values, heads, 3)[2]
    length, batch, width = queries_keys_values.shape
    return (attention @ v).swapaxes(0, 1).reshape(length, batch, width // 3)


@_contrib_interleaved_matmul_selfatt_valatt.gradient
def _(g: Array, _y: Array, x: Array, attention: Array, /, *, heads: int) -> Any:
    v = _split(x, heads, 3)[2]
    head = _split(g, heads, 1)[0]
    return _join([_zero(v), _zero(v), attention.swapaxes(1, 2) @ head], x.shape), head @ v.swapaxes(1, 2)


@op("(q, b, d), (k, b, e) -> (r, q, k)", where={"r": _rows, "d": _width(2)}, types="T, T -> T")
def _contrib_interleaved_matmul_encdec_qk(queries: Array, keys_values: Array, /, *, heads: int) -> Any:
    """How each place of a decoder attends to each place of an encoder, before softmax: queries · keys / √size."""
    (q,), (k, _) = _split(queries, heads, 1), _split(keys_values, heads, 2)
    return (q / math.sqrt(q.shape[2])).astype(q.dtype) @ k.swapaxes(1, 2)


@_contrib_interleaved_matmul_encdec_qk.gradient
def _(g: Array, _y: Array, queries: Array, keys_values: Array, /, *, heads: int) -> Any:
    (q,), (k, _) = _split(queries, heads, 1), _split(keys_values, heads, 2)
    scale = queries.dtype.type(1 / math.sqrt(q.shape[2]))
    by_keys = _join([g.swapaxes(1, 2) @ q * scale, _zero(k)], keys_values.shape)
    return _join([g @ k * scale], queries.shape), by_keys


@op("(k, b, e), (r, q, k) -> (q, b, o)", where={"r": _rows, "o": _width(2)}, types="T, T -> T")
def _contrib_interleaved_matmul_encdec_valatt(keys_values: Array, attention: Array, /, *, heads: int) -> Any:
    """The encoder's values, mixed with the weights of attention."""
    v = _split(keys_values, heads, 2)[1]
    _, batch, width = keys_values.shape
    return (attention @ v).swapaxes(0, 1).reshape(attention.shape[1], batch, width // 2)


@_contrib_interleaved_matmul_encdec_valatt.gradient
def _(g: Array, _y: Array, keys_values: Array, attention: Array, /, *, heads: int) -> Any:
    v = _split(keys_values, heads, 2)[1]
    head = _split(g, heads, 1)[0]
    by_values = _join([_zero(v), attention.swapaxes(1, 2) @ head], keys_values.shape)
    return by_values, head @ v.swapaxes(1, 2)

"""Operators that MXNet keeps apart (`mx.nd.contrib.arange_like`), as far as classic scripts use them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .params import Axis
from .registry import op
from .signature import Shape

Array = NDArray[Any]


def _nowhere(_g: Array, _y: Array, *_inputs: Array, **_params: Any) -> None:
    """The gradient of what does not depend on the values."""


def _like(s: Shape, axis: int | None) -> Shape:
    return s if axis is None else (s[axis],)


@op("(*s) -> (*out)", where={"out": _like})
def _contrib_arange_like(data: Array, /, *, start: float = 0.0, step: float = 1.0, repeat: int = 1, ctx: str = "",
                         axis: int | None = None) -> Any:  # fmt: skip
    """Numbers from `start` by `step`, each `repeat` times: as many as `data` has elements and in its shape, or as many
    as it has along `axis`."""
    shape = _like(data.shape, axis)
    count = math.prod(shape)
    return (start + step * (np.arange(count) // repeat)).astype(data.dtype).reshape(shape)


@op("(*s) -> (*s)")
def _contrib_div_sqrt_dim(data: Array, /) -> Any:
    """x / √d, where d is the size of the last axis."""
    return data * (1 / math.sqrt(data.shape[-1]))


@op("(*s) -> (*s)")
def _contrib_quadratic(data: Array, /, *, a: float = 0.0, b: float = 0.0, c: float = 0.0) -> Any:
    """`a` x² + `b` x + `c`."""
    return (a * data + b) * data + c


@op("(*s) -> (*s)", passes=True)
def _contrib_gradientmultiplier(data: Array, /, *, scalar: float = 1.0, is_int: bool = True) -> Any:
    """A copy of the array, whose gradient is `scalar` times what comes back."""
    return data.copy()


@op("(*s) -> (*s)")
def _contrib_round_ste(data: Array, /) -> Any:
    """The nearest integer, halves away from 0; the gradient passes as if it were the number itself."""
    whole = np.trunc(data)
    return whole + np.copysign(np.abs(data - whole) >= 0.5, data, dtype=data.dtype)


@op("(*s) -> (*s)")
def _contrib_sign_ste(data: Array, /) -> Any:
    """-1, 0 or 1; the gradient passes as if it were the number itself."""
    return np.sign(data)


_contrib_arange_like.gradient(_nowhere)
_contrib_div_sqrt_dim.gradient(lambda g, _y, _x, /: g * (1 / math.sqrt(g.shape[-1])))
_contrib_quadratic.gradient(lambda g, _y, x, /, *, a, b, c: g * (2 * a * x + b))
_contrib_gradientmultiplier.gradient(lambda g, _y, _x, /, *, scalar, is_int: g * scalar)
_contrib_round_ste.gradient(lambda g, _y, _x, /: g)
_contrib_sign_ste.gradient(lambda g, _y, _x, /: g)


@op("(*s), (*s) -> ()", types="T, T -> uint8")
def _contrib_allclose(
    a: Array, b: Array, /, *, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = True
) -> Any:
    """1 if every two elements agree to within `atol` + `rtol` · |b|, else 0."""
    return np.array(np.allclose(a, b, rtol, atol, equal_nan), np.uint8)


@op("(n, *s), (k), (k, *s) -> (n, *s)", types="T, I, T -> T")
def _contrib_index_copy(old_tensor: Array, index_vector: Array, new_tensor: Array, /) -> Any:
    """`old_tensor` with the rows at `index_vector` replaced by those of `new_tensor`."""
    y = old_tensor.copy()
    y[index_vector.astype(np.int64)] = new_tensor
    return y


@_contrib_index_copy.gradient
def _(g: Array, _y: Array, _old: Array, index: Array, _new: Array, /) -> Any:
    at = index.astype(np.int64)
    rest = g.copy()
    rest[at] = 0
    return rest, None, g[at]


def _index_shape(s: Shape, axes: Axis) -> Shape:
    return (*s, len(_axes(s, axes)))


def _axes(s: Shape, axes: Axis) -> tuple[int, ...]:
    if axes is None:
        return tuple(range(len(s)))
    return tuple(a % len(s) for a in ((axes,) if isinstance(axes, int) else axes))


@op("(*s) -> (*out)", types="T -> int64", where={"out": _index_shape})
def _contrib_index_array(data: Array, /, *, axes: Axis = None) -> Any:
    """The index of each element, along a new last axis: of all axes, or of those named."""
    whole = np.indices(data.shape, np.int64)
    return np.stack([whole[a] for a in _axes(data.shape, axes)], axis=-1)


_contrib_index_array.gradient(_nowhere)


def _edges(size: int, parts: int) -> list[slice]:
    return [slice(i * size // parts, -(-(i + 1) * size // parts)) for i in range(parts)]


def _pooled(output_size: Shape) -> Shape:
    size = output_size or (1, 1)
    return (size[0], size[0]) if len(size) == 1 else size


@op("(n, c, h, w) -> (n, c, *out)", where={"out": _pooled})
def _contrib_AdaptiveAvgPooling2D(data: Array, /, *, output_size: tuple[int, ...] = ()) -> Any:
    """The mean of each of `output_size` parts of the image, whatever its size."""
    rows, columns = _pooled(output_size)
    y = np.empty((*data.shape[:2], rows, columns), data.dtype)
    for i, r in enumerate(_edges(data.shape[2], rows)):
        for j, c in enumerate(_edges(data.shape[3], columns)):
            y[:, :, i, j] = data[:, :, r, c].mean(axis=(2, 3))
    return y


@_contrib_AdaptiveAvgPooling2D.gradient
def _(g: Array, _y: Array, data: Array, /, *, output_size: Shape) -> Any:
    rows, columns = _pooled(output_size)
    grad = np.zeros_like(data)
    for i, r in enumerate(_edges(data.shape[2], rows)):
        for j, c in enumerate(_edges(data.shape[3], columns)):
            part = grad[:, :, r, c]
            part += (g[:, :, i, j] * (1 / (part.shape[2] * part.shape[3])))[:, :, None, None]
    return grad


@op("(n, d) -> (n, e)", where={"e": lambda d: 2 * d})
def _contrib_fft(data: Array, /, *, compute_size: int = 128) -> Any:
    """The Fourier transform of each row: real and imaginary part of each coefficient, side by side."""
    y = np.fft.fft(data, axis=1)
    return np.stack([y.real, y.imag], axis=-1).reshape(len(data), -1).astype(data.dtype)


@_contrib_fft.gradient
def _(g: Array, _y: Array, _data: Array, /, *, compute_size: int) -> Any:
    return np.fft.ifft(_complex(g), axis=1, norm="forward").real.astype(g.dtype)


def _complex(x: Array) -> Any:
    return x[:, 0::2] + 1j * x[:, 1::2]


@op("(n, e) -> (n, d)", where={"d": lambda e: e // 2})
def _contrib_ifft(data: Array, /, *, compute_size: int = 128) -> Any:
    """The inverse Fourier transform of each row, times its length: real and imaginary parts lie side by side in
    `data`; the real part comes out."""
    return np.fft.ifft(_complex(data), axis=1, norm="forward").real.astype(data.dtype)


@_contrib_ifft.gradient
def _(g: Array, _y: Array, _data: Array, /, *, compute_size: int) -> Any:
    y = np.fft.fft(g, axis=1)
    return np.stack([y.real, y.imag], axis=-1).reshape(len(g), -1).astype(g.dtype)


@op("(n, d), (1, d), (1, d) -> (n, out_dim)", types="T, T, T -> T")
def _contrib_count_sketch(
    data: Array, h: Array, s: Array, /, *, out_dim: int, processing_batch_size: int = 32
) -> Any:
    """Each row's numbers, times the signs `s`, summed at the places `h`: a sketch that keeps products. Charikar et
    al., "Finding frequent items in data streams", 2002."""
    y = np.zeros((out_dim, len(data)), data.dtype)
    np.add.at(y, h[0].astype(np.int64), (data * s).T)
    return np.ascontiguousarray(y.T)


@_contrib_count_sketch.gradient
def _(g: Array, _y: Array, _data: Array, h: Array, s: Array, /, **_: Any) -> Any:
    return g[:, h[0].astype(np.int64)] * s

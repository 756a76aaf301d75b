"""Matrix products and factorisations, over the last two axes of a batch of matrices.

Gradients of factorisations: S. F. Walter and L. Lehmann, "Algorithmic differentiation of linear algebra functions
with application in optimum experimental design", 2010; for Cholesky: I. Murray, arXiv:1602.07527; for LQ and the
symmetric eigenproblem: M. Seeger et al., "Auto-differentiating linear algebra", arXiv:1710.08717.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from .registry import Params, op
from .signature import Shape

Array = NDArray[Any]


def _t(x: Array) -> Array:
    return x.swapaxes(-1, -2)


def _half_lower(x: Array) -> Array:
    """The lower triangle with half the diagonal."""
    y = np.tril(x)
    i = np.arange(x.shape[-1])
    y[..., i, i] *= 0.5
    return y


def _symmetric(x: Array) -> Array:
    return 0.5 * (x + _t(x))


def _diagonal(x: Array) -> Array:
    return np.diagonal(x, axis1=-2, axis2=-1)


def _product_shape(ins: list[Shape | None], params: Params, outs: list[Shape | None]) -> Any:
    a, b = ins[:2]
    if not a or not b:
        return ins, outs
    if params["axis"] % len(a) != len(a) - 2:
        a, b = (np.moveaxis(np.empty(s), params["axis"], -2).shape for s in (a, b))
    if len(a) != len(b) or len(a) < 2 or a[:-2] != b[:-2]:
        raise ShapeError(f"wanted (…, n, k) and (…, k, m) with equal batches, given {a} and {b}")
    n, k = (a[-1], a[-2]) if params["transpose_a"] else (a[-2], a[-1])
    k2, m = (b[-1], b[-2]) if params["transpose_b"] else (b[-2], b[-1])
    if k != k2:
        raise ShapeError(f"the inner sizes of {a} and {b} are {k} and {k2}; they must be equal")
    out: Shape = (*a[:-2], n, m)
    if params["axis"] % len(a) != len(a) - 2:
        out = np.moveaxis(np.empty(out), -2, params["axis"]).shape
    return [*ins[:2], *(s or out for s in ins[2:])], [out]


def _rows_second_last(axis: int, *arrays: Array) -> list[Array]:
    return [x if axis % x.ndim == x.ndim - 2 else np.moveaxis(x, axis, -2) for x in arrays]


def _product_gradient(
    g: Array, a: Array, b: Array, transpose_a: bool, transpose_b: bool
) -> tuple[Array, Array]:
    ga = b @ _t(g) if transpose_a and not transpose_b else None
    if ga is None:
        wide = g @ (b if transpose_b else _t(b))
        ga = _t(wide) if transpose_a else wide
    tall = (a if transpose_a else _t(a)) @ g
    return ga, _t(tall) if transpose_b else tall


@op(shape=_product_shape, aliases=["linalg_gemm"])
def _linalg_gemm(A: Array, B: Array, C: Array, /, *, transpose_a: bool = False, transpose_b: bool = False,
                 alpha: float = 1.0, beta: float = 1.0, axis: int = -2) -> Any:  # fmt: skip
    """`alpha` · A B + `beta` · C, with A or B transposed if asked; the rows lie along `axis`."""
    a, b, c = _rows_second_last(axis, A, B, C)
    y = (_t(a) if transpose_a else a) @ (_t(b) if transpose_b else b)
    y *= alpha
    y += beta * c
    return y if axis % C.ndim == C.ndim - 2 else np.ascontiguousarray(np.moveaxis(y, -2, axis))


@_linalg_gemm.gradient
def _(g: Array, _y: Array, A: Array, B: Array, _C: Array, /, *, transpose_a: bool, transpose_b: bool, alpha: float,
      beta: float, axis: int) -> Any:  # fmt: skip
    a, b, rows = _rows_second_last(axis, A, B, g)
    ga, gb = _product_gradient(rows * alpha, a, b, transpose_a, transpose_b)
    if axis % A.ndim != A.ndim - 2:
        ga, gb = np.moveaxis(ga, -2, axis), np.moveaxis(gb, -2, axis)
    return ga, gb, g * beta


@op(shape=_product_shape, aliases=["linalg_gemm2"])
def _linalg_gemm2(A: Array, B: Array, /, *, transpose_a: bool = False, transpose_b: bool = False, alpha: float = 1.0,
                  axis: int = -2) -> Any:  # fmt: skip
    """`alpha` · A B, with A or B transposed if asked; the rows lie along `axis`."""
    a, b = _rows_second_last(axis, A, B)
    y = (_t(a) if transpose_a else a) @ (_t(b) if transpose_b else b)
    y *= alpha
    return y if axis % A.ndim == A.ndim - 2 else np.ascontiguousarray(np.moveaxis(y, -2, axis))


@_linalg_gemm2.gradient
def _(g: Array, _y: Array, A: Array, B: Array, /, *, transpose_a: bool, transpose_b: bool, alpha: float,
      axis: int) -> Any:  # fmt: skip
    a, b, rows = _rows_second_last(axis, A, B, g)
    ga, gb = _product_gradient(rows * alpha, a, b, transpose_a, transpose_b)
    if axis % A.ndim != A.ndim - 2:
        ga, gb = np.moveaxis(ga, -2, axis), np.moveaxis(gb, -2, axis)
    return ga, gb


@op("(*b, n, n) -> (*b, n, n)", aliases=["linalg_potrf"])
def _linalg_potrf(A: Array, /, *, lower: bool = True) -> Any:
    """Cholesky's factor: the lower triangular L with L Lᵀ = A, for a symmetric positive definite A of which only the
    lower triangle is read; with `lower=False` the upper triangular U with Uᵀ U = A, from the upper triangle."""
    return np.linalg.cholesky(A) if lower else np.ascontiguousarray(_t(np.linalg.cholesky(_t(A))))


@_linalg_potrf.gradient
def _(g: Array, y: Array, _A: Array, /, *, lower: bool) -> Any:
    if not lower:
        g, y = _t(g), _t(y)
    inner = _half_lower(_t(y) @ np.tril(g))
    return _symmetric(np.linalg.solve(_t(y), _t(np.linalg.solve(_t(y), _t(inner)))))


@op("(*b, n, n) -> (*b, n, n)", aliases=["linalg_potri"])
def _linalg_potri(A: Array, /, *, lower: bool = True) -> Any:
    """The inverse of L Lᵀ, given its Cholesky factor L; with `lower=False` of Uᵀ U, given U."""
    inverse = np.linalg.inv(_triangle(A, lower, transpose=not lower))
    return _t(inverse) @ inverse


@_linalg_potri.gradient
def _(g: Array, y: Array, A: Array, /, *, lower: bool) -> Any:
    grad = np.tril(-(y @ (g + _t(g)) @ y) @ _triangle(A, lower, transpose=not lower))
    return grad if lower else _t(grad)


def _triangle(A: Array, lower: bool, transpose: bool) -> Array:
    x = np.tril(A) if lower else np.triu(A)
    return _t(x) if transpose else x


def _same_triangle(x: Array, lower: bool) -> Array:
    return np.tril(x) if lower else np.triu(x)


@op("(*b, n, n), (*b, p, q) -> (*b, p, q)", aliases=["linalg_trmm"])
def _linalg_trmm(A: Array, B: Array, /, *, transpose: bool = False, rightside: bool = False, lower: bool = True,
                 alpha: float = 1.0) -> Any:  # fmt: skip
    """`alpha` · A B with a triangular A (B A with `rightside`)."""
    a = _triangle(A, lower, transpose)
    return alpha * (B @ a if rightside else a @ B)


@_linalg_trmm.gradient
def _(g: Array, _y: Array, A: Array, B: Array, /, *, transpose: bool, rightside: bool, lower: bool,
      alpha: float) -> Any:  # fmt: skip
    a, g = _triangle(A, lower, transpose), alpha * g
    ga, gb = (_t(B) @ g, g @ _t(a)) if rightside else (g @ _t(B), _t(a) @ g)
    return _same_triangle(_t(ga) if transpose else ga, lower), gb


@op("(*b, n, n), (*b, p, q) -> (*b, p, q)", aliases=["linalg_trsm"])
def _linalg_trsm(A: Array, B: Array, /, *, transpose: bool = False, rightside: bool = False, lower: bool = True,
                 alpha: float = 1.0) -> Any:  # fmt: skip
    """The X with A X = `alpha` · B for a triangular A (X A with `rightside`)."""
    a = _triangle(A, lower, transpose)
    return alpha * (_t(np.linalg.solve(_t(a), _t(B))) if rightside else np.linalg.solve(a, B))


@_linalg_trsm.gradient
def _(g: Array, y: Array, A: Array, B: Array, /, *, transpose: bool, rightside: bool, lower: bool,
      alpha: float) -> Any:  # fmt: skip
    a = _triangle(A, lower, transpose)
    gb = _t(np.linalg.solve(a, _t(g))) if rightside else np.linalg.solve(_t(a), g)
    ga = -(_t(y) @ gb) if rightside else -(gb @ _t(y))
    return _same_triangle(_t(ga) if transpose else ga, lower), alpha * gb


@op(
    "(*b, n, m) -> (*b, k, k)",
    where={"k": lambda n, m, transpose: m if transpose else n},
    aliases=["linalg_syrk"],
)
def _linalg_syrk(A: Array, /, *, transpose: bool = False, alpha: float = 1.0) -> Any:
    """`alpha` · A Aᵀ, or `alpha` · Aᵀ A with `transpose`."""
    return alpha * (_t(A) @ A if transpose else A @ _t(A))


@_linalg_syrk.gradient
def _(g: Array, _y: Array, A: Array, /, *, transpose: bool, alpha: float) -> Any:
    both = alpha * (g + _t(g))
    return A @ both if transpose else both @ A


@op("(*b, n, n) -> (*out)", where={"out": lambda b: b or (1,)}, aliases=["linalg_sumlogdiag"])
def _linalg_sumlogdiag(A: Array, /) -> Any:
    """The sum of the logarithms of the diagonal."""
    return np.log(_diagonal(A)).sum(axis=-1).reshape(A.shape[:-2] or (1,))


@_linalg_sumlogdiag.gradient
def _(g: Array, _y: Array, A: Array, /) -> Any:
    return g.reshape(*A.shape[:-2], 1, 1) * np.eye(A.shape[-1], dtype=A.dtype) / np.where(A == 0, 1, A)


def _diag_at(n: int, offset: int) -> tuple[Any, Any]:
    i = np.arange(n)
    return i - min(offset, 0), i + max(offset, 0)


@op("(*b, n, n) -> (*b, m)", where={"m": lambda n, offset: n - abs(offset)}, aliases=["linalg_extractdiag"])
def _linalg_extractdiag(A: Array, /, *, offset: int = 0) -> Any:
    """The diagonal, `offset` places above the main one."""
    return A[(..., *_diag_at(A.shape[-1] - abs(offset), offset))]


@op("(*b, n) -> (*b, m, m)", where={"m": lambda n, offset: n + abs(offset)}, aliases=["linalg_makediag"])
def _linalg_makediag(A: Array, /, *, offset: int = 0) -> Any:
    """The square matrix of zeros with the vector as its diagonal, `offset` places above the main one."""
    m = A.shape[-1] + abs(offset)
    y = np.zeros((*A.shape[:-1], m, m), A.dtype)
    y[(..., *_diag_at(A.shape[-1], offset))] = A
    return y


_linalg_extractdiag.gradient(lambda g, _y, _A, /, *, offset: _linalg_makediag.kernel(g, offset=offset))
_linalg_makediag.gradient(lambda g, _y, _A, /, *, offset: _linalg_extractdiag.kernel(g, offset=offset))


def _triangle_places(n: int, offset: int, lower: bool) -> tuple[Any, Any]:
    """MXNet's rule: a positive offset means the upper triangle, a negative one the lower, 0 asks `lower`."""
    low = lower if offset == 0 else offset < 0
    rows, columns = np.tril_indices(n, -abs(offset))
    return (rows, columns) if low else (columns, rows)


@op("(*b, n, n) -> (*b, m)", aliases=["linalg_extracttrian"],
    where={"m": lambda n, offset: (n - abs(offset)) * (n - abs(offset) + 1) // 2})  # fmt: skip
def _linalg_extracttrian(A: Array, /, *, offset: int = 0, lower: bool = True) -> Any:
    """The elements of a triangle in one vector, the lower row by row, the upper column by column. It
    begins `offset` places from the main diagonal: above it if positive, below it if negative."""
    return A[(..., *_triangle_places(A.shape[-1], offset, lower))]


@op("(*b, m) -> (*b, n, n)", aliases=["linalg_maketrian"],
    where={"n": lambda m, offset: int((np.sqrt(8 * m + 1) - 1) / 2 + 0.5) + abs(offset)})  # fmt: skip
def _linalg_maketrian(A: Array, /, *, offset: int = 0, lower: bool = True) -> Any:
    """The matrix of zeros with the vector as a triangle: the inverse of extracttrian."""
    n = int((np.sqrt(8 * A.shape[-1] + 1) - 1) / 2 + 0.5) + abs(offset)
    y = np.zeros((*A.shape[:-1], n, n), A.dtype)
    y[(..., *_triangle_places(n, offset, lower))] = A
    return y


_linalg_extracttrian.gradient(lambda g, _y, _A, /, **p: _linalg_maketrian.kernel(g, **p))
_linalg_maketrian.gradient(lambda g, _y, _A, /, **p: _linalg_extracttrian.kernel(g, **p))


@op("(*b, n, m) -> (*b, n, m), (*b, n, n)", outputs=("output0", "output1"), aliases=["linalg_gelqf"])
def _linalg_gelqf(A: Array, /) -> Any:
    """The LQ factorisation of a matrix with no more rows than columns: A = L Q, L lower triangular, the rows
    of Q orthonormal; the signs are LAPACK's. Returns Q and L."""
    q, r = np.linalg.qr(_t(A))
    return np.array(_t(q), order="C"), np.array(_t(r), order="C")


@_linalg_gelqf.gradient
def _(gq: Array, gl: Array, q: Array, low: Array, _A: Array, /) -> Any:
    m = _t(low) @ np.tril(gl) - gq @ _t(q)
    mirrored = np.tril(m) + _t(np.tril(m, -1))
    return np.linalg.solve(_t(low), gq + mirrored @ q)


@op("(*b, n, n) -> (*b, n, n), (*b, n)", outputs=("output0", "output1"), aliases=["linalg_syevd"])
def _linalg_syevd(A: Array, /) -> Any:
    """Eigenvectors, as rows of U, and ascending eigenvalues L of a symmetric matrix: U A = diag(L) U."""
    values, vectors = np.linalg.eigh(A)
    rows = _t(vectors)
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=-1)[..., None], -1)
    return np.array(rows * np.where(largest < 0, -1, 1).astype(A.dtype), order="C"), values


@_linalg_syevd.gradient
def _(gu: Array, gl: Array, u: Array, values: Array, _A: Array, /) -> Any:
    gap = values[..., :, None] - values[..., None, :]
    inner = np.tril(gu @ _t(u) - _t(gu @ _t(u))) * np.tril(
        1 / np.where(np.abs(gap) < 1e-30, np.inf, 2 * gap), -1
    )
    core = inner + _t(inner)
    i = np.arange(values.shape[-1])
    core[..., i, i] += gl
    return _t(u) @ core @ u


@op("(*b, n, n) -> (*b, n, n)", aliases=["linalg_inverse"])
def _linalg_inverse(A: Array, /) -> Any:
    """The inverse."""
    return np.linalg.inv(A)


@_linalg_inverse.gradient
def _(g: Array, y: Array, _A: Array, /) -> Any:
    return -(_t(y) @ g @ _t(y))


@op("(*b, n, n) -> (*out)", where={"out": lambda b: b or (1,)}, aliases=["linalg_det"])
def _linalg_det(A: Array, /) -> Any:
    """The determinant."""
    return np.linalg.det(A).reshape(A.shape[:-2] or (1,))


@_linalg_det.gradient
def _(g: Array, y: Array, A: Array, /) -> Any:
    return (g * y).reshape(*A.shape[:-2], 1, 1) * _t(np.linalg.inv(A))


@op("(*b, n, n) -> (*out), (*out)", where={"out": lambda b: b or (1,)}, outputs=("output0", "output1"),
    aliases=["linalg_slogdet"])  # fmt: skip
def _linalg_slogdet(A: Array, /) -> Any:
    """The determinant's sign and the logarithm of its absolute value."""
    sign, size = np.linalg.slogdet(A)
    out = A.shape[:-2] or (1,)
    return np.asarray(sign).astype(A.dtype).reshape(out), np.asarray(size).astype(A.dtype).reshape(out)


@_linalg_slogdet.gradient
def _(_gs: Array, g: Array, _sign: Array, _size: Array, A: Array, /) -> Any:
    return g.reshape(*A.shape[:-2], 1, 1) * _t(np.linalg.inv(A))

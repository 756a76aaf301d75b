"""Comparing arrays: MXNet's tolerances by dtype, and messages that say where arrays differ most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..ndarray.array import NDArray
from ..symbol import Symbol

__all__ = [
    "almost_equal",
    "assert_allclose",
    "assert_almost_equal",
    "assert_almost_equal_ignore_nan",
    "assert_almost_equal_with_err",
    "assert_exception",
    "assign_each",
    "assign_each2",
    "checkShapes",
    "collapse_sum_like",
    "compare_ndarray_tuple",
    "default_atols",
    "default_numeric_eps",
    "default_rtols",
    "effective_dtype",
    "get_atol",
    "get_etol",
    "get_rtol",
    "get_tolerance",
    "get_tols",
    "np_reduce",
    "same",
    "same_array",
    "same_symbol_structure",
]

_EXACT = ("bool", "int8", "uint8", "int32", "uint32", "int64", "uint64")


def _by_dtype(half: float, single: float, double: float, exact: float | None = 0) -> dict[Any, Any]:
    table: dict[Any, Any] = {
        np.dtype("float16"): half,
        np.dtype("float32"): single,
        np.dtype("float64"): double,
    }
    return table if exact is None else {**table, **{np.dtype(t): exact for t in _EXACT}}


def default_rtols() -> dict[Any, Any]:
    """The relative tolerance of each dtype."""
    return _by_dtype(1e-2, 1e-4, 1e-5)


def default_atols() -> dict[Any, Any]:
    """The absolute tolerance of each dtype."""
    return _by_dtype(1e-1, 1e-3, 1e-20)


def default_numeric_eps() -> dict[Any, Any]:
    """The step of numeric differentiation in each dtype: a power of 2, so that x ± eps is exact."""
    return _by_dtype(2.0**-6, 2.0**-9, 2.0**-14, None)


def effective_dtype(dat: Any) -> Any:
    """The dtype whose precision `dat` has."""
    return np.dtype(dat.dtype) if hasattr(dat, "dtype") else np.dtype(np.float64)


def get_tolerance(dat: Any, tol: Any, default_tol: Mapping[Any, Any]) -> Any:
    """`tol` itself, or its entry for the dtype of `dat`; the default's if it is None."""
    if isinstance(tol, int | float | np.number):
        return tol
    dtype = np.dtype(dat) if isinstance(dat, type | np.dtype) else effective_dtype(dat)
    return (default_tol if tol is None else tol).get(dtype, 0)


def get_tols(x: Any, y: Any, rtol: Any, atol: Any) -> tuple[Any, Any]:
    """The tolerances for comparing two arrays: the larger of what each one's dtype asks for."""
    pair = [np.asarray(v) if isinstance(v, int | float) else v for v in (x, y)]
    return (
        max(get_tolerance(v, rtol, default_rtols()) for v in pair),
        max(get_tolerance(v, atol, default_atols()) for v in pair),
    )


def get_rtol(rtol: Any = None, dtype: Any = np.dtype(np.float64)) -> Any:  # noqa: B008
    """`rtol`, or the default for a dtype."""
    return default_rtols()[np.dtype(dtype)] if rtol is None else rtol


def get_atol(atol: Any = None, dtype: Any = np.dtype(np.float64)) -> Any:  # noqa: B008
    """`atol`, or the default for a dtype."""
    return default_atols()[np.dtype(dtype)] if atol is None else atol


def get_etol(etol: float | None = None) -> float:
    """The part of elements that may be wrong: none by default."""
    return 0 if etol is None else etol


def _plain(x: Any) -> Any:
    return x.asnumpy() if isinstance(x, NDArray) else np.asarray(x)


def same(a: Any, b: Any) -> bool:
    """Whether two arrays have the same elements."""
    return np.array_equal(_plain(a), _plain(b))


def checkShapes(a: Any, b: Any) -> None:
    """Raise AssertionError unless shapes are the same."""
    if a.shape != b.shape:
        raise AssertionError(f"shapes {a.shape} and {b.shape} differ")


def almost_equal(
    a: Any, b: Any, rtol: Any = None, atol: Any = None, equal_nan: bool = False, use_broadcast: bool = True
) -> bool:
    """Whether two arrays are equal within the tolerances of their dtypes."""
    if not use_broadcast:
        checkShapes(a, b)
    rtol, atol = get_tols(a, b, rtol, atol)
    return np.allclose(_plain(a), _plain(b), rtol=rtol, atol=atol, equal_nan=equal_nan)


def _exceeding(a: Any, b: Any, rtol: float, atol: float, equal_nan: bool) -> tuple[Any, Any, Any]:
    """Both arrays, broadcast, and by how much each element leaves its tolerance (> 1 is too far)."""
    a, b = np.broadcast_arrays(a, b)
    x, y = (v.astype(np.float64) if v.dtype.kind in "fiub" else v for v in (a, b))
    with np.errstate(all="ignore"):
        limit = atol + rtol * np.abs(y)
        off = np.abs(x - y)
        ratio = np.where(off == 0, 0.0, off / np.where(limit == 0, np.finfo(float).tiny, limit))
    ratio = np.where(x == y, 0.0, ratio)  # infinities of one sign
    if equal_nan:
        ratio = np.where(np.isnan(x) & np.isnan(y), 0.0, ratio)
    return a, b, np.where(np.isnan(ratio), np.inf, ratio)


def _difference(
    a: Any, b: Any, ratio: Any, rtol: float, atol: float, names: Sequence[str], mismatches: tuple[int, int]
) -> str:
    wrong = np.flatnonzero(ratio > 1)
    worst = wrong[np.argsort(-ratio.reshape(-1)[wrong], kind="stable")]
    lines = [
        f"{names[0]} and {names[1]} differ in {len(wrong)} of {ratio.size} elements by more than "
        f"rtol={rtol:g} and atol={atol:g} allow; the worst:"
    ]
    for i in worst[: max(mismatches)]:
        at = tuple(int(n) for n in np.unravel_index(i, ratio.shape))
        lines.append(
            f"  at {at}: {names[0]}={a[at]:.8g}, {names[1]}={b[at]:.8g} ({ratio[at]:.3g} times too far)"
        )
    return "\n".join([*lines, f"{names[0]}: {a!r}", f"{names[1]}: {b!r}"])


def assert_almost_equal(
    a: Any,
    b: Any,
    rtol: Any = None,
    atol: Any = None,
    names: Sequence[str] = ("a", "b"),
    equal_nan: bool = False,
    use_broadcast: bool = True,
    mismatches: tuple[int, int] = (10, 10),
) -> None:
    """Raise AssertionError, showing the elements that differ most, unless |a - b| ≤ atol + rtol · |b| everywhere.

    Tolerances not given are those of the dtypes.
    """
    if not use_broadcast:
        checkShapes(a, b)
    rtol, atol = get_tols(a, b, rtol, atol)
    a, b = _plain(a), _plain(b)
    if np.float16 not in (a.dtype, b.dtype) and np.allclose(a, b, rtol, atol, equal_nan):
        return  # what differs, and by how much, takes several times as long
    x, y, ratio = _exceeding(a, b, rtol, atol, equal_nan)
    if ratio.size and (ratio > 1).any():
        raise AssertionError(_difference(x, y, ratio, rtol, atol, names, mismatches))


def assert_allclose(a: Any, b: Any, rtol: float = 1e-07, atol: float = 0, equal_nan: bool = True) -> None:
    """`assert_almost_equal` with NumPy's tolerances."""
    assert_almost_equal(a, b, rtol=rtol, atol=atol, equal_nan=equal_nan)


def assert_almost_equal_with_err(
    a: Any,
    b: Any,
    rtol: Any = None,
    atol: Any = None,
    etol: float | None = None,
    names: Sequence[str] = ("a", "b"),
    equal_nan: bool = False,
    mismatches: tuple[int, int] = (10, 10),
) -> None:
    """`assert_almost_equal`, where a part `etol` of the elements may be wrong."""
    rtol, atol = get_tols(a, b, rtol, atol)
    x, y, ratio = _exceeding(_plain(a), _plain(b), rtol, atol, equal_nan)
    if (ratio > 1).sum() > get_etol(etol) * ratio.size:
        raise AssertionError(_difference(x, y, ratio, rtol, atol, names, mismatches))


def assert_almost_equal_ignore_nan(
    a: Any, b: Any, rtol: Any = None, atol: Any = None, names: Sequence[str] = ("a", "b")
) -> None:
    """`assert_almost_equal` of the elements that are a number in both."""
    x, y = _plain(a).copy(), _plain(b).copy()
    nan = np.isnan(x) | np.isnan(y)
    x[nan] = 0
    y[nan] = 0
    assert_almost_equal(x, y, rtol, atol, names)


def assert_exception(
    f: Callable[..., Any], exception_type: type[BaseException], *args: Any, **kwargs: Any
) -> None:
    """Raise AssertionError unless `f(*args, **kwargs)` raises `exception_type`."""
    try:
        f(*args, **kwargs)
    except exception_type:
        return
    raise AssertionError(f"{getattr(f, '__name__', f)} did not raise {exception_type.__name__}")


def same_array(array1: NDArray, array2: NDArray) -> bool:
    """Whether two NDArrays share memory: a change of the first is seen in the second."""
    array1[:] += 1
    if not same(array1, array2):
        array1[:] -= 1
        return False
    array1[:] -= 1
    return same(array1, array2)


def same_symbol_structure(sym1: Symbol, sym2: Symbol) -> bool:
    """Whether two graphs have the same operators at the same places, whatever their names."""
    first, second = (s.get_internals() for s in (sym1, sym2))
    if len(first) != len(second):
        return False
    kinds = [[n.op.name if n.op is not None else None for n, _ in s._heads] for s in (first, second)]
    return kinds[0] == kinds[1]


def compare_ndarray_tuple(t1: Any, t2: Any, rtol: Any = None, atol: Any = None) -> None:
    """`assert_almost_equal` of arrays in nested tuples."""
    if t1 is None or t2 is None:
        return
    if isinstance(t1, list | tuple):
        for s1, s2 in zip(t1, t2, strict=True):
            compare_ndarray_tuple(s1, s2, rtol, atol)
    else:
        assert_almost_equal(t1, t2, rtol=rtol, atol=atol)


def np_reduce(dat: Any, axis: Any, keepdims: bool, numpy_reduce_func: Callable[..., Any]) -> Any:
    """A NumPy reduction over several axes."""
    axes = [axis] if isinstance(axis, int) else list(range(dat.ndim)) if axis is None else list(axis)
    out = dat
    for i in sorted((a % dat.ndim for a in axes), reverse=True):
        out = numpy_reduce_func(out, axis=i)
    if keepdims:
        out = out.reshape([1 if i in {a % dat.ndim for a in axes} else n for i, n in enumerate(dat.shape)])
    return out


def collapse_sum_like(a: Any, shape: Sequence[int]) -> Any:
    """`a` summed over what broadcasting from `shape` repeated."""
    extra = a.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(i + extra for i, n in enumerate(shape) if n == 1 != a.shape[i + extra])
    return np.sum(a, axis=axes, keepdims=True).reshape(shape)


def assign_each(the_input: Any, function: Callable[[Any], Any] | None) -> Any:
    """`function` of each element, as an array."""
    return np.array(the_input) if function is None else np.vectorize(function)(the_input)


def assign_each2(input1: Any, input2: Any, function: Callable[[Any, Any], Any] | None) -> Any:
    """`function` of each pair of elements, as an array."""
    return np.array(input1) if function is None else np.vectorize(function)(input1, input2)

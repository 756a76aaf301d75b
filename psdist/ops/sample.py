"""Random numbers. All come from the device's generator, `rng`, so that a seed fixes them.

`_random_*` draws an array from one distribution, `_random_*_like` in the shape of another array, and `_sample_*` some
numbers for each element of arrays of parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from .arguments import Arguments
from .params import INT32, DType
from .registry import Params, op
from .signature import Shape

if TYPE_CHECKING:
    from numpy.random import Generator  # 11 ms to load, needed by who draws

Array = NDArray[Any]


def _float_types(ins: list[str | None], params: Params) -> Any:
    return ins, [params["dtype"] or "float32"]


def _in_dtype(x: Any, dtype: str | None) -> Any:
    return np.asarray(x).astype(dtype or "float32", copy=False)


def _uniform(rng: Generator, shape: Shape, low: Any, high: Any) -> Any:
    if isinstance(low, np.ndarray):
        return rng.uniform(low, high, shape)
    y = rng.random(shape, dtype=np.float32)
    y *= np.float32(high - low)
    y += np.float32(low)
    return y


def _normal(rng: Generator, shape: Shape, loc: Any, scale: Any) -> Any:
    y = rng.standard_normal(shape, dtype=np.float32)
    y *= scale
    y += loc
    return y


def _gamma(rng: Generator, shape: Shape, alpha: Any, beta: Any) -> Any:
    return rng.gamma(alpha, beta, shape)


def _exponential(rng: Generator, shape: Shape, lam: Any) -> Any:
    return rng.exponential(1 / np.asarray(lam), shape)


def _poisson(rng: Generator, shape: Shape, lam: Any) -> Any:
    return rng.poisson(lam, shape)


def _negative_binomial(rng: Generator, shape: Shape, k: Any, p: Any) -> Any:
    return rng.negative_binomial(k, p, shape)


def _generalized_negative_binomial(rng: Generator, shape: Shape, mu: Any, alpha: Any) -> Any:
    """A Poisson variable whose mean is gamma distributed, with mean `mu` and variance `alpha` · mu²."""
    mu, alpha = np.asarray(mu, np.float64), np.asarray(alpha, np.float64)
    safe = np.where(alpha == 0, 1, alpha)
    return rng.poisson(np.where(alpha == 0, mu, rng.gamma(1 / safe, safe * mu, shape)), shape)


_Draw = Callable[..., Any]
# name, the function, the parameters with type and default, their names as arrays, the sentence
_ROWS: list[tuple[str, _Draw, list[tuple[str, type, float]], tuple[str, ...], str]] = [
    ("uniform", _uniform, [("low", float, 0.0), ("high", float, 1.0)], ("low", "high"), "from `low` to before `high`"),
    ("normal", _normal, [("loc", float, 0.0), ("scale", float, 1.0)], ("mu", "sigma"), "the normal distribution"),
    ("gamma", _gamma, [("alpha", float, 1.0), ("beta", float, 1.0)], ("alpha", "beta"),
     "the gamma distribution with shape alpha and scale beta"),
    ("exponential", _exponential, [("lam", float, 1.0)], ("lam",), "the exponential distribution with rate lam"),
    ("poisson", _poisson, [("lam", float, 1.0)], ("lam",), "the Poisson distribution with mean lam"),
    ("negative_binomial", _negative_binomial, [("k", int, 1), ("p", float, 1.0)], ("k", "p"),
     "the number of failures before k successes of probability p"),
    ("generalized_negative_binomial", _generalized_negative_binomial, [("mu", float, 1.0), ("alpha", float, 1.0)],
     ("mu", "alpha"), "the negative binomial distribution with mean mu and dispersion alpha"),
]  # fmt: skip


def _nothing(*_arrays: Array, **_params: Any) -> None:
    """A draw has no gradient."""


def _arguments(arrays: tuple[str, ...], options: dict[str, tuple[Any, Any]]) -> Arguments:
    """What a kernel of its own would take: arrays, then options with their types and defaults, then `rng`."""
    types = {n: t for n, (t, _) in options.items()}
    return Arguments(
        arrays, frozenset(), None, {**types, "rng": Any}, {n: d for n, (_, d) in options.items()}
    )


_SHAPE: dict[str, tuple[Any, Any]] = {
    "shape": (tuple[int, ...] | None, None), "ctx": (str, ""), "dtype": (DType | None, None)
}  # fmt: skip


def _register(
    name: str, draw: _Draw, params: list[tuple[str, type, float]], arrays: tuple[str, ...], doc: str
) -> None:
    numbers = {n: (t, d) for n, t, d in params}

    def kernel(*, rng: Generator, shape: Shape | None, dtype: str | None, ctx: str, **given: Any) -> Any:
        if given.get("scale", 0) < 0:
            raise ConfigError(f"_random_{name}: scale is {given['scale']}; wanted 0 or more")
        return _in_dtype(draw(rng, shape or (1,), *given.values()), dtype)

    def like(data: Array, /, *, rng: Generator, **given: Any) -> Any:
        return _in_dtype(draw(rng, data.shape, *given.values()), data.dtype.name)

    def sample(*given: Array, rng: Generator, shape: Shape, dtype: str | None) -> Any:
        wide = [x.reshape(x.shape + (1,) * len(shape)) for x in given]
        return _in_dtype(draw(rng, given[0].shape + shape, *wide), dtype)

    kernel.__doc__ = f"Numbers drawn from {doc}: an array of `shape`."
    like.__doc__ = f"Numbers drawn from {doc}, in the shape and dtype of `data`."
    sample.__doc__ = f"For each element of the arrays, `shape` numbers drawn from {doc}."
    aliases = [f"random_{name}", *([name] if name in ("uniform", "normal") else [])]
    op("-> (*out)", name=f"_random_{name}", aliases=aliases, types=_float_types, where=_GIVEN_OR_ONE,
       arguments=_arguments((), {**numbers, **_SHAPE}))(kernel)  # fmt: skip
    takes = _arguments(("data",), numbers)
    op("(*s) -> (*s)", name=f"_random_{name}_like", arguments=takes)(like).gradient(_nothing)
    sides = ", ".join("(*s)" for _ in arrays)
    takes = _arguments(arrays, {"shape": (tuple[int, ...], ()), "dtype": (DType | None, None)})
    op(f"{sides} -> (*out)", name=f"_sample_{name}", aliases=[f"sample_{name}"], types=_float_types,
       where={"out": lambda s, shape: s + shape}, arguments=takes)(sample).gradient(_nothing)  # fmt: skip


_GIVEN_OR_ONE = {"out": lambda shape: shape or (1,)}
for _row in _ROWS:
    _register(*_row)


@op(
    "-> (*out)",
    aliases=["random_randint"],
    types=lambda ins, p: (ins, [p["dtype"] or "int32"]),
    where=_GIVEN_OR_ONE,
)
def _random_randint(*, low: int, high: int, shape: tuple[int, ...] | None = None, ctx: str = "",
                    dtype: DType | None = None, rng: Generator) -> Any:  # fmt: skip
    """Integers from `low` to before `high`: an array of `shape`."""
    if high <= low:
        raise ConfigError(f"random_randint: no integer from low={low} to before high={high}")
    return rng.integers(low, high, shape or (1,), dtype or "int32")


def _multinomial_shape(ins: list[Shape | None], params: Params, outs: list[Shape | None]) -> Any:
    s = ins[0]
    if s is None or 0 in s:
        return ins, outs
    return ins, [s[:-1] + params["shape"] or (1,)] * len(outs)


def _multinomial_types(ins: list[str | None], params: Params) -> Any:
    return ins, [params["dtype"], *([ins[0]] if params["get_prob"] else [])]


@op(shape=_multinomial_shape, types=_multinomial_types, num_outputs=lambda p: 1 + p["get_prob"],
    aliases=["sample_multinomial"])  # fmt: skip
def _sample_multinomial(data: Array, /, *, shape: tuple[int, ...] = (), get_prob: bool = False,
                        dtype: DType = INT32, rng: Generator) -> Any:  # fmt: skip
    """Indices drawn with the probabilities in the last axis, `shape` of them for each row; with `get_prob` also the
    logarithms of their probabilities."""
    rows = data.reshape(-1, data.shape[-1])
    count = math.prod(shape)
    edges = np.cumsum(rows.astype(np.float64), axis=1)
    u = rng.random((len(rows), count)) * edges[:, -1:]
    at = np.stack([np.searchsorted(e, v, side="right") for e, v in zip(edges, u, strict=True)])
    at = np.minimum(at, data.shape[-1] - 1)
    out = data.shape[:-1] + shape or (1,)
    drawn = at.reshape(out).astype(dtype)
    return (drawn, np.log(np.take_along_axis(rows, at, 1)).reshape(out)) if get_prob else drawn


@_sample_multinomial.gradient
def _(*arrays: Array, shape: Shape, get_prob: bool, dtype: str) -> Any:
    if not get_prob:
        return None
    g, at, data = arrays[1], arrays[2], arrays[-1]
    rows = data.reshape(-1, data.shape[-1])
    at = at.reshape(len(rows), -1).astype(np.int64)
    grad = np.zeros_like(rows)
    share = g.reshape(at.shape) / np.take_along_axis(rows, at, 1)
    np.add.at(grad, (np.arange(len(rows))[:, None], at), share)
    return grad.reshape(data.shape)


@op("(*s) -> (*s)", aliases=["shuffle"])
def _shuffle(data: Array, /, *, rng: Generator) -> Any:
    """The array with its rows in random order."""
    return rng.permutation(data, axis=0)


_shuffle.gradient(_nothing)


@op(
    "-> (*shape), (n)",
    types="-> int64, int64",
    outputs=("output0", "output1"),
    where={"n": lambda shape: shape[0]},
)
def _sample_unique_zipfian(*, range_max: int, shape: tuple[int, ...] | None = None, rng: Generator) -> Any:
    """For each row of `shape`, distinct integers below `range_max` with probabilities log((k + 2)/(k + 1)) /
    log(range_max + 1), and the number of tries that each row took."""
    assert shape is not None
    y, tries = np.empty(shape, np.int64), np.zeros(shape[0], np.int64)
    for i, row in enumerate(y):
        seen: dict[int, None] = {}
        while len(seen) < len(row):
            tries[i] += 1
            seen[(int(math.exp(rng.random() * math.log(range_max + 1))) - 1) % range_max] = None
        row[...] = list(seen)
    return y, tries

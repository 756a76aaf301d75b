"""`mx.nd.random`: draws from distributions, whose parameters are numbers or arrays.

With numbers, `shape` is the result's shape ((1,) by default). With NDArrays, each element of theirs gives `shape`
numbers. All come from the device's generator, which `mx.random.seed` sets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import ops
from ..context import Context, current_context
from ..errors import BadType
from .array import NDArray
from .invoke import function_of, invoke

__all__ = [
    "exponential",
    "exponential_like",
    "gamma",
    "gamma_like",
    "generalized_negative_binomial",
    "generalized_negative_binomial_like",
    "multinomial",
    "negative_binomial",
    "negative_binomial_like",
    "normal",
    "normal_like",
    "poisson",
    "poisson_like",
    "randint",
    "randn",
    "shuffle",
    "uniform",
    "uniform_like",
]


def parameters(
    distribution: str, names: Sequence[str], given: Sequence[Any], kind: type
) -> tuple[str, dict[str, Any]]:
    """The operator that draws, and its parameters by name: numbers, or arrays (of `kind`). Raises BadType."""
    if all(isinstance(x, kind) for x in given):
        return f"_sample_{distribution}", dict(zip(names, given, strict=True))
    for name, x in zip(names, given, strict=True):
        if not isinstance(x, int | float | np.number):
            others = [n for n, y in zip(names, given, strict=True) if not isinstance(y, kind)]
            mixed = f", but '{others[0]}' is a number" if isinstance(x, kind) else ""
            raise BadType(
                f"random.{distribution}: '{name}' is {type(x).__name__}{mixed}; wanted all numbers or all {kind.__name__}s"
            )
    return f"_random_{distribution}", dict(zip(names, given, strict=True))


def as_shape(shape: Any) -> tuple[int, ...]:
    """A shape that may be given as one number."""
    return (int(shape),) if isinstance(shape, int | np.integer) else tuple(int(n) for n in shape)


def _draw(
    distribution: str,
    params: Mapping[str, Any],
    shape: Any,
    dtype: Any,
    ctx: Context | None,
    out: NDArray | None,
) -> NDArray:
    name, given = parameters(distribution, list(params), list(params.values()), NDArray)
    op = ops.get(name)
    options: dict[str, Any] = {} if dtype in (None, "None") else {"dtype": dtype}
    if name.startswith("_sample_"):
        arrays = list(given.values())
        if shape is not None:
            options["shape"] = as_shape(shape)
        return invoke(op, arrays, op.parse(options), out)  # type: ignore[no-any-return]
    options |= given
    if shape is not None:
        options["shape"] = as_shape(shape)
    elif out is not None:
        options["shape"] = out.shape
    if dtype is None and out is not None:
        options["dtype"] = out.dtype
    options["ctx"] = str(ctx or (out._ctx if out is not None else current_context()))
    return invoke(op, [], op.parse(options), out)  # type: ignore[no-any-return]


def uniform(low: Any = 0, high: Any = 1, shape: Any = None, dtype: Any = None, ctx: Context | None = None,
            out: NDArray | None = None, **kwargs: Any) -> NDArray:  # fmt: skip
    """Numbers from `low` to before `high`, each as likely."""
    return _draw("uniform", {"low": low, "high": high}, shape, dtype, ctx, out)


def normal(loc: Any = 0, scale: Any = 1, shape: Any = None, dtype: Any = None, ctx: Context | None = None,
           out: NDArray | None = None, **kwargs: Any) -> NDArray:  # fmt: skip
    """Normally distributed numbers of mean `loc` and standard deviation `scale`."""
    return _draw("normal", {"loc": loc, "scale": scale}, shape, dtype, ctx, out)


def randn(*shape: int, **kwargs: Any) -> NDArray:
    """Normally distributed numbers in an array of the sizes given; `loc` and `scale` by name."""
    return normal(kwargs.pop("loc", 0), kwargs.pop("scale", 1), shape or None, **kwargs)


def poisson(lam: Any = 1, shape: Any = None, dtype: Any = None, ctx: Context | None = None,
            out: NDArray | None = None, **kwargs: Any) -> NDArray:  # fmt: skip
    """Poisson distributed numbers of mean `lam`."""
    return _draw("poisson", {"lam": lam}, shape, dtype, ctx, out)


def exponential(scale: Any = 1, shape: Any = None, dtype: Any = None, ctx: Context | None = None,
                out: NDArray | None = None, **kwargs: Any) -> NDArray:  # fmt: skip
    """Exponentially distributed numbers of mean `scale`."""
    return _draw("exponential", {"lam": 1.0 / scale}, shape, dtype, ctx, out)


def gamma(alpha: Any = 1, beta: Any = 1, shape: Any = None, dtype: Any = None, ctx: Context | None = None,
          out: NDArray | None = None, **kwargs: Any) -> NDArray:  # fmt: skip
    """Gamma distributed numbers of shape `alpha` and scale `beta`."""
    return _draw("gamma", {"alpha": alpha, "beta": beta}, shape, dtype, ctx, out)


def negative_binomial(k: Any = 1, p: Any = 1, shape: Any = None, dtype: Any = None, ctx: Context | None = None,
                      out: NDArray | None = None, **kwargs: Any) -> NDArray:  # fmt: skip
    """How many failures come before `k` successes of probability `p`."""
    return _draw("negative_binomial", {"k": k, "p": p}, shape, dtype, ctx, out)


def generalized_negative_binomial(mu: Any = 1, alpha: Any = 1, shape: Any = None, dtype: Any = None,
                                  ctx: Context | None = None, out: NDArray | None = None,
                                  **kwargs: Any) -> NDArray:  # fmt: skip
    """Negative binomial numbers of mean `mu` and dispersion `alpha`."""
    return _draw("generalized_negative_binomial", {"mu": mu, "alpha": alpha}, shape, dtype, ctx, out)


def randint(low: int, high: int, shape: Any = None, dtype: Any = None, ctx: Context | None = None,
            out: NDArray | None = None, **kwargs: Any) -> NDArray:  # fmt: skip
    """Integers (int32 by default) from `low` to before `high`, each as likely."""
    for name, x in (("low", low), ("high", high)):
        if isinstance(x, NDArray):
            raise BadType(f"random.randint: '{name}' is an NDArray; wanted an integer")
    return _draw("randint", {"low": low, "high": high}, shape, dtype, ctx, out)


def multinomial(data: NDArray, shape: Any = None, get_prob: bool = False, out: Any = None, dtype: Any = "int32",
                **kwargs: Any) -> Any:  # fmt: skip
    """Indices drawn with the probabilities in the last axis of `data`, `shape` for each of its rows; with
    `get_prob`, also the logarithms of their probabilities."""
    op = ops.get("_sample_multinomial")
    options = {"get_prob": get_prob, "dtype": dtype, **({} if shape is None else {"shape": as_shape(shape)})}
    return invoke(op, [data], op.parse(options), out)


def shuffle(data: NDArray, out: NDArray | None = None, **kwargs: Any) -> NDArray:
    """The array with its rows in random order."""
    return invoke(ops.get("_shuffle"), [data], {}, out)  # type: ignore[no-any-return]


def _like(distribution: str) -> Callable[..., NDArray]:
    return function_of(ops.get(f"_random_{distribution}_like"), f"{distribution}_like")


uniform_like = _like("uniform")
normal_like = _like("normal")
gamma_like = _like("gamma")
exponential_like = _like("exponential")
poisson_like = _like("poisson")
negative_binomial_like = _like("negative_binomial")
generalized_negative_binomial_like = _like("generalized_negative_binomial")

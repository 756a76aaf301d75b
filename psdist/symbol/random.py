"""`mx.sym.random`: draws from distributions as nodes of a graph; see `mx.nd.random`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from .. import ops
from ..ndarray.random import as_shape, parameters
from .symbol import Symbol, compose

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


def _draw(
    distribution: str, params: Mapping[str, Any], shape: Any, dtype: Any, kwargs: dict[str, Any]
) -> Symbol:
    op_name, given = parameters(distribution, list(params), list(params.values()), Symbol)
    op = ops.get(op_name)
    options = {
        "shape": None if shape is None else as_shape(shape),
        "dtype": None if dtype == "None" else dtype,
    }
    name, attr = kwargs.pop("name", None), kwargs.pop("attr", None)
    if op_name.startswith("_sample_"):
        return compose(op, list(given.values()), {**options, **kwargs}, hint=op_name, name=name, attr=attr)
    return compose(op, [], {**given, **options, **kwargs}, hint=op_name, name=name, attr=attr)


def uniform(low: Any = 0, high: Any = 1, shape: Any = None, dtype: Any = None, **kwargs: Any) -> Symbol:
    """Numbers from `low` to before `high`, each as likely."""
    return _draw("uniform", {"low": low, "high": high}, shape, dtype, kwargs)


def normal(loc: Any = 0, scale: Any = 1, shape: Any = None, dtype: Any = None, **kwargs: Any) -> Symbol:
    """Normally distributed numbers of mean `loc` and standard deviation `scale`."""
    return _draw("normal", {"loc": loc, "scale": scale}, shape, dtype, kwargs)


def randn(*shape: int, **kwargs: Any) -> Symbol:
    """Normally distributed numbers in an array of the sizes given; `loc` and `scale` by name."""
    return normal(kwargs.pop("loc", 0), kwargs.pop("scale", 1), shape or None, **kwargs)


def poisson(lam: Any = 1, shape: Any = None, dtype: Any = None, **kwargs: Any) -> Symbol:
    """Poisson distributed numbers of mean `lam`."""
    return _draw("poisson", {"lam": lam}, shape, dtype, kwargs)


def exponential(scale: Any = 1, shape: Any = None, dtype: Any = None, **kwargs: Any) -> Symbol:
    """Exponentially distributed numbers of mean `scale`."""
    return _draw("exponential", {"lam": 1.0 / scale}, shape, dtype, kwargs)


def gamma(alpha: Any = 1, beta: Any = 1, shape: Any = None, dtype: Any = None, **kwargs: Any) -> Symbol:
    """Gamma distributed numbers of shape `alpha` and scale `beta`."""
    return _draw("gamma", {"alpha": alpha, "beta": beta}, shape, dtype, kwargs)


def negative_binomial(k: Any = 1, p: Any = 1, shape: Any = None, dtype: Any = None, **kwargs: Any) -> Symbol:
    """How many failures come before `k` successes of probability `p`."""
    return _draw("negative_binomial", {"k": k, "p": p}, shape, dtype, kwargs)


def generalized_negative_binomial(
    mu: Any = 1, alpha: Any = 1, shape: Any = None, dtype: Any = None, **kwargs: Any
) -> Symbol:
    """Negative binomial numbers of mean `mu` and dispersion `alpha`."""
    return _draw("generalized_negative_binomial", {"mu": mu, "alpha": alpha}, shape, dtype, kwargs)


def randint(low: int, high: int, shape: Any = None, dtype: Any = None, **kwargs: Any) -> Symbol:
    """Integers (int32 by default) from `low` to before `high`, each as likely."""
    return _draw("randint", {"low": low, "high": high}, shape, dtype, kwargs)


def multinomial(
    data: Symbol, shape: Any = None, get_prob: bool = True, dtype: Any = "int32", **kwargs: Any
) -> Symbol:
    """Indices drawn with the probabilities in the last axis of `data`, and the logarithms of these."""
    name, attr = kwargs.pop("name", None), kwargs.pop("attr", None)
    options = {"get_prob": get_prob, "dtype": dtype, "shape": None if shape is None else as_shape(shape)}
    op = ops.get("_sample_multinomial")
    return compose(op, [data], {**options, **kwargs}, hint="_sample_multinomial", name=name, attr=attr)


def shuffle(data: Symbol, **kwargs: Any) -> Symbol:
    """The array with its rows in random order."""
    name, attr = kwargs.pop("name", None), kwargs.pop("attr", None)
    return compose(ops.get("_shuffle"), [data], kwargs, hint="_shuffle", name=name, attr=attr)


def _like(distribution: str) -> Callable[..., Symbol]:
    op_name = f"_random_{distribution}_like"

    def call(data: Symbol, name: str | None = None, attr: Any = None, **kwargs: Any) -> Symbol:
        return compose(ops.get(op_name), [data], kwargs, hint=op_name, name=name, attr=attr)

    call.__name__ = call.__qualname__ = f"{distribution}_like"
    call.__doc__ = f"As `{distribution}`, in the shape of `data`."
    return call


uniform_like = _like("uniform")
normal_like = _like("normal")
gamma_like = _like("gamma")
exponential_like = _like("exponential")
poisson_like = _like("poisson")
negative_binomial_like = _like("negative_binomial")
generalized_negative_binomial_like = _like("generalized_negative_binomial")


def rand_zipfian(true_classes: Symbol, num_sampled: int, range_max: int) -> list[Symbol]:
    """`mx.sym.contrib.rand_zipfian`: classes drawn with probabilities log((k + 2) / (k + 1)) / log(range_max + 1), and
    the counts expected of the true classes and of the drawn ones."""
    log_range = math.log(range_max + 1)

    def op(name: str, x: Any, **params: Any) -> Any:
        return compose(ops.get(name), [x], params, hint=name.lower())

    def expected(classes: Symbol) -> Any:
        k = op("Cast", classes, dtype="float64")
        return op("log", (k + 2) / (k + 1)) / log_range * num_sampled

    drawn = op("exp", uniform(0, log_range, shape=(num_sampled,), dtype="float64")) - 1
    samples = op("Cast", drawn, dtype="int64") % range_max
    return [samples, expected(true_classes), expected(samples)]

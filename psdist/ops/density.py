"""Probability densities, with gradients by the sample and by the parameters.

A sample has the parameters' shape, and any more axes after it, along which they are repeated. All is computed from the
logarithm of the density and its derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arguments import read
from .registry import op
from .special import digamma, gammaln

Array = NDArray[Any]
# (log density, derivative by the sample, derivatives by the parameters); None is 0
_Result = tuple[Any, Any, tuple[Any, ...]]


def _uniform(x: Array, low: Array, high: Array) -> _Result:
    width = high - low
    inside = (x >= low) & (x <= high)
    return np.where(inside, -np.log(width), -np.inf), None, (inside / width, -(inside / width))


def _normal(x: Array, mu: Array, sigma: Array) -> _Result:
    u = (x - mu) / sigma
    return -0.5 * u * u - np.log(sigma * math.sqrt(2 * math.pi)), -u / sigma, (u / sigma, (u * u - 1) / sigma)


def _gamma(x: Array, alpha: Array, beta: Array) -> _Result:
    logp = alpha * np.log(beta) + (alpha - 1) * np.log(x) - beta * x - gammaln(alpha)
    return logp, (alpha - 1) / x - beta, (np.log(beta) + np.log(x) - digamma(alpha), alpha / beta - x)


def _exponential(x: Array, lam: Array) -> _Result:
    return np.log(lam) - lam * x, -lam + 0 * x, (1 / lam - x,)


def _poisson(x: Array, lam: Array) -> _Result:
    return x * np.log(lam) - gammaln(x + 1) - lam, None, (x / lam - 1,)


def _negative_binomial(x: Array, k: Array, p: Array) -> _Result:
    logp = gammaln(x + k) - gammaln(x + 1) - gammaln(k) + k * np.log(p) + x * np.log(1 - p)
    return logp, None, (digamma(x + k) - digamma(k) + np.log(p), k / p - x / (1 - p))


def _generalized_negative_binomial(x: Array, mu: Array, alpha: Array) -> _Result:
    k, p = 1 / alpha, 1 / (mu * alpha + 1)
    logp, _, (by_k, by_p) = _negative_binomial(x, k, p)
    return logp, None, (by_p * -alpha * p * p, by_k * -k * k + by_p * -mu * p * p)


_SENTENCES: dict[Callable[..., _Result], tuple[str, str]] = {
    _uniform: ("uniform", "the uniform distribution between `low` and `high`"),
    _normal: ("normal", "the normal distribution with mean `mu` and deviation `sigma`"),
    _gamma: ("gamma", "the gamma distribution with shape `alpha` and rate `beta`"),
    _exponential: ("exponential", "the exponential distribution with rate `lam`"),
    _poisson: ("poisson", "the Poisson distribution with mean `lam`"),
    _negative_binomial: (
        "negative_binomial",
        "the number of failures before `k` successes of probability `p`",
    ),
    _generalized_negative_binomial: (
        "generalized_negative_binomial",
        "the negative binomial distribution with mean `mu` and dispersion `alpha`",
    ),
}


def _wide(sample: Array, parameters: tuple[Array, ...]) -> tuple[Array, ...]:
    extra = sample.ndim - parameters[0].ndim
    return tuple(p.reshape(p.shape + (1,) * extra) for p in parameters)


def _compute(
    density: Callable[..., _Result], sample: Array, parameters: tuple[Array, ...], is_log: bool
) -> Any:
    logp = density(sample, *_wide(sample, parameters))[0]
    return (logp if is_log else np.exp(logp)).astype(sample.dtype)


def _backward(
    density: Callable[..., _Result],
    g: Array,
    y: Array,
    sample: Array,
    parameters: tuple[Array, ...],
    is_log: bool,
) -> Any:
    _, by_sample, by_parameters = density(sample, *_wide(sample, parameters))
    share = g if is_log else g * y
    over = tuple(range(parameters[0].ndim, sample.ndim))
    grads = [
        np.zeros_like(p) if d is None else (share * d).sum(axis=over).astype(p.dtype)
        for d, p in zip(by_parameters, parameters, strict=True)
    ]
    return (None if by_sample is None else (share * by_sample).astype(sample.dtype), *grads)


def _register(density: Callable[..., _Result], name: str, doc: str) -> None:
    names = density.__code__.co_varnames[1 : density.__code__.co_argcount]
    kernel: Callable[..., Any]
    if len(names) == 1:

        def one(sample: Array, lam: Array, /, *, is_log: bool = False) -> Any:
            return _compute(density, sample, (lam,), is_log)

        kernel = one
    else:

        def two(sample: Array, first: Array, second: Array, /, *, is_log: bool = False) -> Any:
            return _compute(density, sample, (first, second), is_log)

        kernel = two
    kernel.__doc__ = f"The density at `sample` of {doc}; its logarithm with `is_log`."
    takes = read(kernel)._replace(positional=("sample", *names))
    line = f"(*s), {', '.join('(*a)' for _ in names)} -> (*s)"
    new = op(line, name=f"_random_pdf_{name}", aliases=[f"random_pdf_{name}"], arguments=takes)(kernel)
    new.gradient(
        lambda g, y, sample, *parameters, is_log: _backward(density, g, y, sample, parameters, is_log)
    )


for _density, (_name, _doc) in _SENTENCES.items():
    _register(_density, _name, _doc)


@op("(*s, k), (*a) -> (*s)", aliases=["random_pdf_dirichlet"])
def _random_pdf_dirichlet(sample: Array, alpha: Array, /, *, is_log: bool = False) -> Any:
    """The density at `sample` of the Dirichlet distribution with concentrations `alpha`, along the last axis; its
    logarithm with `is_log`."""
    a = _concentrations(sample, alpha)
    logp = ((a - 1) * np.log(sample) - gammaln(a)).sum(axis=-1) + gammaln(a.sum(axis=-1))
    return logp if is_log else np.exp(logp)


def _concentrations(sample: Array, alpha: Array) -> Any:
    extra = sample.ndim - alpha.ndim
    return alpha.reshape(*alpha.shape[:-1], *(1,) * extra, alpha.shape[-1])


@_random_pdf_dirichlet.gradient
def _(g: Array, y: Array, sample: Array, alpha: Array, /, *, is_log: bool) -> Any:
    a = _concentrations(sample, alpha)
    share = (g if is_log else g * y)[..., None]
    by_alpha = np.log(sample) - digamma(a) + digamma(a.sum(axis=-1, keepdims=True))
    over = tuple(range(alpha.ndim - 1, sample.ndim - 1))
    return share * ((a - 1) / sample), (share * by_alpha).sum(axis=over)

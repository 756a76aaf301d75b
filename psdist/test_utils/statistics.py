"""Checking random generators by their moments and by the χ² test. Needs SciPy."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = ["chi_square_check", "gen_buckets_probs_with_ppf", "mean_check", "var_check", "verify_generator"]

Draw = Callable[[int], Any]


def gen_buckets_probs_with_ppf(
    ppf: Callable[[float], float], nbuckets: int
) -> tuple[list[tuple[float, float]], list[float]]:
    """Buckets of equal probability, by the inverse of the distribution function, and their probabilities."""
    edges = [float(ppf(i / nbuckets)) for i in range(nbuckets + 1)]
    return list(itertools.pairwise(edges)), [1.0 / nbuckets] * nbuckets


def _drawn(generator: Draw, n: int) -> Any:
    found = generator(n)
    return np.asarray(found.asnumpy() if hasattr(found, "asnumpy") else found).reshape(-1)


def mean_check(generator: Draw, mu: float, sigma: float, nsamples: int = 1000000) -> bool:
    """Whether the mean of many draws is within three standard errors of `mu`."""
    samples = _drawn(generator, nsamples).astype(np.float64)
    return bool(abs(samples.mean() - mu) < 3 * sigma / np.sqrt(nsamples))


def var_check(generator: Draw, sigma: float, nsamples: int = 1000000) -> bool:
    """Whether the variance of many draws is within three standard errors of `sigma`²."""
    samples = _drawn(generator, nsamples).astype(np.float64)
    return bool(abs(samples.var(ddof=1) - sigma**2) < 3 * np.sqrt(2 * sigma**4 / (nsamples - 1)))


def chi_square_check(
    generator: Draw, buckets: Sequence[Any], probs: Sequence[float], nsamples: int = 1000000
) -> tuple[float, Any, Any]:
    """The p-value that draws fall into `buckets` (values, or ranges (from, to)) by `probs`, and the counts found and
    expected."""
    import scipy.stats  # type: ignore[import-untyped,unused-ignore]

    samples = _drawn(generator, nsamples)
    expected = (nsamples * np.asarray(probs)).astype(np.int64)
    if isinstance(buckets[0], tuple | list):
        edges = np.asarray([b[0] for b in buckets] + [buckets[-1][1]], np.float64)
        found = np.searchsorted(edges, samples, side="right") - 1
        counts = np.bincount(found[(found >= 0) & (found < len(buckets))], minlength=len(buckets))
    else:
        counts = np.array([(samples == b).sum() for b in buckets])
    scaled = expected * (counts.sum() / expected.sum())  # SciPy wants equal sums
    _, p = scipy.stats.chisquare(f_obs=counts, f_exp=scaled)
    return float(p), counts, expected


def verify_generator(
    generator: Draw,
    buckets: Sequence[Any],
    probs: Sequence[float],
    nsamples: int = 1000000,
    nrepeat: int = 5,
    success_rate: float = 0.2,
    alpha: float = 0.05,
) -> list[float]:
    """Raise AssertionError unless a part `success_rate` of `nrepeat` χ² tests accepts the draws at level `alpha`.
    Returns their p-values."""
    runs = [chi_square_check(generator, buckets, probs, nsamples) for _ in range(nrepeat)]
    accepted = sum(p > alpha for p, _, _ in runs)
    if accepted < nrepeat * success_rate:
        p, found, expected = runs[-1]
        raise AssertionError(
            f"the χ² test accepts {accepted} of {nrepeat} runs, wanted {nrepeat * success_rate:g}; the last: p = {p}, "
            f"counts {found.tolist()}, expected {expected.tolist()}"
        )
    return [p for p, _, _ in runs]

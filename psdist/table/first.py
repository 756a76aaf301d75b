"""The first value of a row: a function of seed, table, row and column, so that it is the same wherever the row is born.

Random bits are SplitMix64's (Steele, Lea and Flood 2014), of a counter instead of a state. A normal number is the
inverse of the distribution function by Wichura's AS 241 (PPND7, seven digits). Only operations that IEEE 754 rounds
exactly are used, the logarithm included, so that servers of different processors draw the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError

__all__ = ["First"]

Array = NDArray[Any]

_KINDS: Final = {
    "constant": {"value"},
    "uniform": {"low", "high", "seed"},
    "normal": {"sigma", "seed"},
}
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_LN2: Final = 0.6931471805599453


@dataclass(frozen=True, slots=True)
class First:
    """What rows begin with: `kind` and its numbers. "constant": value. "uniform": low, high, seed. "normal" of mean 0:
    sigma, seed."""

    kind: str
    numbers: Mapping[str, float | int | bool | str | None]

    def check(self) -> None:
        """Raise ConfigError unless it can be drawn."""
        wanted = _KINDS.get(self.kind)
        if wanted is None:
            raise ConfigError(
                f"no rows begin as {self.kind!r}; known are {', '.join(_KINDS)}, each with its numbers"
            )
        if set(self.numbers) != wanted:
            raise ConfigError(
                f"rows that begin as {self.kind!r} need the numbers {', '.join(sorted(wanted))}"
            )
        for name, number in self.numbers.items():
            if type(number) not in (int, float) or not math.isfinite(number):  # type: ignore[arg-type]
                raise ConfigError(f"rows that begin as {self.kind!r}: {name} is {number!r}; wanted a number")
            if name == "seed" and type(number) is not int:
                raise ConfigError(f"seed is {number!r}; wanted a whole number")

    def draw(self, ids: Array, width: int, table: int, dtype: np.dtype[Any]) -> Array:
        """The first values of the rows `ids` of a table with this number, (len(ids), width)."""
        with np.errstate(all="ignore"):  # of numbers that the dtype does not hold, and of uint64 that wraps
            if self.kind == "constant":
                value: Any = self.numbers["value"]
                return np.full((len(ids), width), np.float64(value).astype(dtype))
            drawn: Array = self._drawn(ids, width, table).astype(dtype, copy=False)
            return drawn

    def _drawn(self, ids: Array, width: int, table: int) -> Array:
        number: Any = self.numbers
        # numbers of the elements, far apart for tables and seeds
        start = _mixed(np.array([(number["seed"] ^ table) & (2**64 - 1)], np.uint64))
        counter = ids.astype(np.uint64)[:, None] * np.uint64(width) + np.arange(width, dtype=np.uint64)
        u = (_mixed(counter * _GOLDEN + start) >> np.uint64(11)).astype(np.float64)
        if self.kind == "uniform":
            u *= 2.0**-53 * (number["high"] - number["low"])
            u += number["low"]
            return np.asarray(u)
        u += 0.5  # never 0 nor 1
        u *= 2.0**-53
        out: Array = _normal(u.reshape(-1)).reshape(u.shape)
        out *= number["sigma"]
        return out


def _mixed(z: Array) -> Array:
    """SplitMix64's output function."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def _normal(u: Array) -> Array:
    """The standard normal number below which a share `u` lies."""
    q = u - 0.5
    r = 0.180625 - q * q
    out: Array = (
        q
        * _polynomial(r, 5.9109374720e1, 1.5929113202e2, 5.0434271938e1, 3.3871327179)
        / _polynomial(r, 6.7187563600e1, 7.8757757664e1, 1.7895169469e1, 1.0)
    )
    tail = np.flatnonzero(np.abs(q) > 0.425)
    v = np.minimum(u[tail], 1.0 - u[tail])
    r = np.sqrt(-_log(np.maximum(v, 2.0**-54)))
    near = r - 1.6
    x = _polynomial(near, 1.7023821103e-1, 1.3067284816, 2.7568153900, 1.4234372777) / _polynomial(
        near, 1.2021132975e-1, 7.3700164250e-1, 1.0
    )
    far = r - 5.0
    y = _polynomial(far, 1.7337203997e-2, 4.2868294337e-1, 3.0812263860, 6.6579051150) / _polynomial(
        far, 1.2258202635e-2, 2.4197894225e-1, 1.0
    )
    out[tail] = np.copysign(np.where(r <= 5.0, x, y), q[tail])
    return out


def _polynomial(x: Array, *coefficients: float) -> Array:
    """Horner's rule; the highest power first."""
    out = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        out *= x
        out += c
    return out


def _log(x: Array) -> Array:
    """The natural logarithm: x = m · 2ᵉ, and ln m = 2 artanh((m − 1) / (m + 1)) as a series."""
    m, e = np.frexp(x)
    low = m < math.sqrt(0.5)
    m[low] *= 2.0
    s = (m - 1.0) / (m + 1.0)
    series = _polynomial(s * s, *(1.0 / k for k in range(21, 0, -2)))
    return 2.0 * s * series + (e - low) * _LN2

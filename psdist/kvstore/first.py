"""What the rows of a table begin with, as an initializer of `mx.init` says it."""

from __future__ import annotations

from typing import Any

from ..errors import ConfigError
from ..initializer import Constant, Initializer, Normal, One, Uniform, Xavier, Zero, create
from ..random import generator
from ..table import First

__all__ = ["first_of"]


def first_of(initializer: Any, shape: tuple[int, ...], seed: int | None) -> First:
    """The first values of the rows of a table of this shape; `initializer` is one of mx.init, or its name.

    Without a seed, `psdist.random` draws one. Raises ConfigError for an initializer that needs the whole array.
    """
    init: Any = create(initializer) if isinstance(initializer, str) else initializer
    if seed is None:
        seed = int(generator().integers(1 << 62))
    if not -(1 << 63) <= seed < 1 << 64:
        raise ConfigError(f"seed is {seed}; wanted a number of at most 64 bits")
    kind = type(init)
    if kind is Zero:
        return First("constant", {"value": 0.0})
    if kind is One:
        return First("constant", {"value": 1.0})
    if kind is Constant and isinstance(init.value, int | float):
        return First("constant", {"value": float(init.value)})
    if kind is Uniform:
        return First("uniform", {"low": -float(init.scale), "high": float(init.scale), "seed": seed})
    if kind is Normal:
        return First("normal", {"sigma": float(init.sigma), "seed": seed})
    if isinstance(init, Xavier):
        scale = init.scale(shape, "a table")
        if init.rnd_type == "uniform":
            return First("uniform", {"low": -scale, "high": scale, "seed": seed})
        return First("normal", {"sigma": scale, "seed": seed})
    name = kind.__name__ if isinstance(init, Initializer) else repr(init)
    raise ConfigError(
        f"init_table: {name} cannot draw one row alone; wanted Zero, One, Constant of a number, Uniform, Normal, "
        "Xavier or MSRAPrelu"
    )

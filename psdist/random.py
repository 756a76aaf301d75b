"""Random numbers: one generator for each device, all settled by `seed`.

A device has a generator of its own so that the devices of a Module, which run in parallel threads, draw the
same numbers in every run.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from .context import Context, current_context
from .errors import BadType, ConfigError

__all__ = ["generator", "seed"]

_lock = threading.Lock()  # guards _generators and _seed
_generators: dict[Context, np.random.Generator] = {}
_seed: np.random.SeedSequence | None = (
    None  # None: drawn from the system at first use; numpy.random loads late
)


def seed(seed_state: int, ctx: Context | str = "all") -> None:
    """Make what follows reproducible, on one device or on all. Raises ValueError for what is no integer."""
    global _seed
    if not isinstance(seed_state, int | np.integer):
        raise BadType(f"seed: seed_state is {seed_state!r}; wanted an integer")
    if not isinstance(ctx, Context) and ctx != "all":
        raise ConfigError(f"seed: ctx is {ctx!r}; wanted a Context, or 'all'")
    with _lock:
        if isinstance(ctx, Context):
            _generators[ctx] = np.random.Generator(np.random.SFC64(abs(int(seed_state))))
        else:
            _seed = np.random.SeedSequence(abs(int(seed_state)))
            _generators.clear()


def generator(ctx: Context | None = None) -> np.random.Generator:
    """The generator of a device, by default of the current one."""
    global _seed
    ctx = ctx or current_context()
    found = _generators.get(ctx)
    if found is None:
        with _lock:
            _seed = _seed or np.random.SeedSequence()
            child = np.random.SeedSequence(_seed.entropy, spawn_key=(ctx.device_typeid, ctx.device_id))
            found = _generators.setdefault(
                ctx, np.random.Generator(np.random.SFC64(child))
            )  # SFC64: NumPy's fastest
    return found


def __getattr__(name: str) -> Any:
    """`mx.random.uniform` and its kind are `mx.nd.random`'s."""
    if name.startswith("_"):
        raise AttributeError(name)
    from .ndarray import random

    if name not in random.__all__:
        raise AttributeError(f"mx.random has no '{name}'; it has seed, {', '.join(random.__all__)}")
    return getattr(random, name)

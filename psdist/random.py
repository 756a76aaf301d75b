"""Random numbers: one generator for each device, all settled by `seed`.

A device has a generator of its own so that the devices of a Module, which run in parallel threads, draw the
same numbers in every run.
"""

from __future__ import annotations

import threading

import numpy as np

from .context import Context, current_context

__all__ = ["generator", "seed"]

_lock = threading.Lock()  # guards _generators and _seed
_generators: dict[Context, np.random.Generator] = {}
_seed = np.random.SeedSequence()


def seed(seed_state: int, ctx: Context | str = "all") -> None:
    """Make what follows reproducible, on one device or on all."""
    global _seed
    with _lock:
        if isinstance(ctx, Context):
            _generators[ctx] = np.random.Generator(np.random.SFC64(int(seed_state)))
        else:
            _seed = np.random.SeedSequence(int(seed_state))
            _generators.clear()


def generator(ctx: Context | None = None) -> np.random.Generator:
    """The generator of a device, by default of the current one."""
    ctx = ctx or current_context()
    found = _generators.get(ctx)
    if found is None:
        with _lock:
            child = np.random.SeedSequence(_seed.entropy, spawn_key=(ctx.device_typeid, ctx.device_id))
            found = _generators.setdefault(
                ctx, np.random.Generator(np.random.SFC64(child))
            )  # SFC64: NumPy's fastest
    return found

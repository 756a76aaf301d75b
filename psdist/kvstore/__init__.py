"""Parameters shared by devices or by workers: `create(name)` makes a store.

local, device      one process; sums over its devices
dist_sync          a cluster; a round is complete when every worker has pushed
dist_async         a cluster; each push is applied as it comes
dist_ssp           a cluster; the fastest worker leads the slowest by a bounded number of rounds
"""

from __future__ import annotations

import difflib
import importlib
import sys
from typing import Any, cast

from ..errors import ConfigError
from ..settings import Settings
from .base import KVStore
from .local import LocalKVStore

__all__ = ["KVStore", "create"]

_LOCAL = ("local", "local_update_cpu", "local_allreduce_cpu")
_DEVICE = ("device", "local_allreduce_device", "nccl")
_DIST = (
    "dist",
    "dist_sync",
    "dist_async",
    "dist_ssp",
    "dist_device_sync",
    "dist_sync_device",
    "dist_device_async",
    "dist_async_device",
)


def create(name: str = "local") -> KVStore:
    """A store by its name; capitals do not matter. Raises ConfigError for a name that is not known.

    In a process whose DMLC_ROLE is scheduler or server, a name of the `dist` family does not return: it
    serves that role until the job is over, and exits.
    """
    if not isinstance(name, str):
        raise ConfigError(f"kvstore.create: {name!r} is no name; wanted a string such as 'local'")
    kind = name.lower()
    if kind in _LOCAL or kind in _DEVICE:
        return LocalKVStore(kind)
    if kind not in _DIST:
        known = ", ".join((*_LOCAL, *_DEVICE, *_DIST))
        near = difflib.get_close_matches(kind, (*_LOCAL, *_DEVICE, *_DIST), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"kvstore.create: no store is named {name!r}; known are {known}{hint}")
    settings = Settings.read()
    if settings.role != "worker":
        _serve(settings)
    store = importlib.import_module("psdist_worker.store")
    return cast(KVStore, store.create(kind, settings))


def _serve(settings: Settings) -> Any:
    """Be the scheduler or server that the environment says, then exit."""
    sys.exit(importlib.import_module("psdist_server.__main__").main(settings))

"""psdist: a parameter server in Python, with MXNet's classic API.

    import psdist as mx

Parts are loaded when they are first used.
"""

from __future__ import annotations

import difflib
import importlib
import warnings
from typing import Any

__version__ = "0.1.0"

# Infinities and NaNs are results of our operators, not warnings; other people's NumPy code keeps its own.
warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"psdist\.")

_MODULES = {
    "attribute": "attribute",
    "autograd": "autograd",
    "base": "base",
    "callback": "callback",
    "context": "context",
    "engine": "engine",
    "errors": "errors",
    "executor": "executor",
    "image": "image",
    "img": "image",
    "init": "initializer",
    "initializer": "initializer",
    "io": "io",
    "kv": "kvstore",
    "kvstore": "kvstore",
    "lr_scheduler": "lr_scheduler",
    "metric": "metric",
    "mod": "module",
    "model": "model",
    "module": "module",
    "mon": "monitor",
    "monitor": "monitor",
    "name": "name",
    "nd": "ndarray",
    "ndarray": "ndarray",
    "operator": "operator",
    "optimizer": "optimizer",
    "profiler": "profiler",
    "random": "random",
    "recordio": "recordio",
    "rnd": "random",
    "rnn": "rnn",
    "runtime": "runtime",
    "settings": "settings",
    "sym": "symbol",
    "symbol": "symbol",
    "test_utils": "test_utils",
    "util": "util",
    "visualization": "visualization",
    "viz": "visualization",
}
_NAMES = {
    "AttrScope": "attribute",
    "Context": "context",
    "cpu": "context",
    "cpu_pinned": "context",
    "current_context": "context",
    "gpu": "context",
    "num_gpus": "context",
    "MXNetError": "base",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        found: Any = importlib.import_module(f".{_MODULES[name]}", __name__)
    elif name in _NAMES:
        found = getattr(importlib.import_module(f".{_NAMES[name]}", __name__), name)
    else:
        hint = (
            "sym"
            if name == "sys"
            else next(iter(difflib.get_close_matches(name, [*_MODULES, *_NAMES], 1)), "")
        )
        raise AttributeError(f"psdist has no '{name}'" + (f"; did you mean '{hint}'?" if hint else ""))
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_NAMES})

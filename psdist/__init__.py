"""psdist: a parameter server in Python, with MXNet's classic API.

    import psdist as mx

Parts are loaded when they are first used.
"""

from __future__ import annotations

import difflib
import importlib
import warnings
from typing import Any

from . import compat as compat

__version__ = "0.1.0"

# Infinities and NaNs are results of our operators, not warnings; other people's NumPy code keeps its own.
warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"psdist\.")

_MODULES = {  # what scripts call it: the module
    "init": "initializer",
    "img": "image",
    "kv": "kvstore",
    "mod": "module",
    "mon": "monitor",
    "nd": "ndarray",
    "rnd": "random",
    "sym": "symbol",
    "viz": "visualization",
    **{
        name: name
        for name in """
        attribute autograd base callback checkpoint compat context contrib engine errors executor image initializer
        io kvstore libinfo log lr_scheduler metric model module monitor name ndarray operator optimizer profiler
        random recordio registry rnn runtime settings symbol test_utils util visualization
        """.split()
    },
}
_NAMES = {  # names at the top: their module
    "AttrScope": "attribute",
    "Context": "context",
    "MXNetError": "base",
    "cpu": "context",
    "cpu_pinned": "context",
    "current_context": "context",
    "gpu": "context",
    "gpu_memory_info": "context",
    "is_np_array": "util",
    "is_np_shape": "util",
    "np_shape": "util",
    "num_gpus": "context",
    "set_np_shape": "util",
    "use_np_shape": "util",
}
_ABSENT = {  # parts of MXNet that psdist does not have
    "gluon": "write the network as a Symbol and train it with mx.mod.Module",
    "np": "psdist has MXNet's classic arrays, mx.nd",
    "npx": "psdist has MXNet's classic operators, mx.nd",
    "numpy": "psdist has MXNet's classic arrays, mx.nd",
    "onnx": "save the graph with Symbol.save and the parameters with mx.nd.save",
    "rtc": "psdist compiles no CUDA kernels; write an operator with mx.operator.CustomOp",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        found: Any = importlib.import_module(f".{_MODULES[name]}", __name__)
    elif name in _NAMES:
        found = getattr(importlib.import_module(f".{_NAMES[name]}", __name__), name)
    elif name in _ABSENT:
        raise AttributeError(f"psdist has no '{name}': {_ABSENT[name]}")
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

"""Standing in for `mxnet`: scripts that say `import mxnet as mx` run on psdist.

    import psdist.compat
    psdist.compat.install()          # or: sys.modules["mxnet"] = psdist

From then on `import mxnet.ndarray as nd`, `from mxnet.module import Module` and the like give psdist's own
module objects, not second copies of them: a finder in front of Python's answers every import below a name
under which `sys.modules` holds psdist. A second finder, behind Python's, answers for the modules that MXNet
has and psdist keeps elsewhere (`psdist.io.io` is `psdist.io`) or keeps as plain objects (`psdist.ndarray.linalg`).
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.abc import Loader
else:
    Loader = object  # importlib.abc takes longer to import than all of this file

__all__ = ["install"]

_ROOT = __name__.rpartition(".")[0]
_ELSEWHERE = {  # MXNet's module: ours
    "io.io": "io",
    "kvstore.kvstore": "kvstore",
    "ndarray.utils": "ndarray",
    "ndarray.register": "ndarray.invoke",
    "optimizer.updater": "optimizer.updater",
    "symbol.register": "symbol",
}


class _Loader(Loader):
    """Hands out a module that exists."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has just put the alias's there


def _ours(rest: str) -> ModuleType | None:
    """psdist's module for a path below the root, or None."""
    name = f"{_ROOT}.{_ELSEWHERE.get(rest, rest)}"
    if name in sys.modules:
        return sys.modules[name]
    parent_path, _, last = rest.rpartition(".")
    parent = _ours(parent_path) if parent_path else sys.modules[_ROOT]
    if parent is None:
        return None
    if hasattr(parent, "__path__") or rest in _ELSEWHERE:
        real = f"{_ROOT}.{_ELSEWHERE.get(rest, rest)}"
        if importlib.util.find_spec(real) is not None:
            return importlib.import_module(real)
    held = getattr(parent, last, None)
    return held if isinstance(held, ModuleType) else None


class _UnderAnotherName:
    """Answers for `alias.x.y` while `sys.modules["alias"]` is psdist."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        root, _, rest = fullname.partition(".")
        if not rest or root == _ROOT or sys.modules.get(root) is not sys.modules.get(_ROOT):
            return None
        found = _ours(rest)
        return None if found is None else ModuleSpec(fullname, _Loader(found))


class _Elsewhere:
    """Answers for psdist's own paths that Python did not find as files."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        root, _, rest = fullname.partition(".")
        if root != _ROOT or not rest:
            return None
        if rest in _ELSEWHERE:
            return ModuleSpec(fullname, _Loader(importlib.import_module(f"{_ROOT}.{_ELSEWHERE[rest]}")))
        parent = sys.modules.get(fullname.rpartition(".")[0])
        held = vars(parent).get(fullname.rpartition(".")[2]) if parent is not None else None
        return ModuleSpec(fullname, _Loader(held)) if isinstance(held, ModuleType) else None


def install(name: str = "mxnet") -> ModuleType:
    """Make `import mxnet` (or another name) mean psdist, in this process. Returns psdist.

    Raises ImportError if another package of that name is loaded already: its classes would not be ours.
    """
    root = sys.modules[_ROOT]
    loaded = sys.modules.get(name)
    if loaded is not None and loaded is not root:
        raise ImportError(
            f"{name} is loaded already, from {getattr(loaded, '__file__', '?')}; call install() before importing it"
        )
    sys.modules[name] = root
    return root


def _enter() -> None:
    """Put both finders in place, once."""
    if not any(isinstance(finder, _UnderAnotherName) for finder in sys.meta_path):
        sys.meta_path.insert(0, _UnderAnotherName())
        sys.meta_path.append(_Elsewhere())


_enter()

"""Attributes for every symbol made inside a `with AttrScope(ctx_group='stage1'):` block."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import TracebackType

from .base import classproperty
from .errors import ConfigError

__all__ = ["HIDDEN", "AttrScope", "current"]

# attributes that MXNet knows: kept with __ around the name, read and written without as well
HIDDEN = ("ctx_group", "lr_mult", "wd_mult", "force_mirroring", "mirror_stage", "profiler_scope")


class AttrScope:
    """Attributes, given as text, that symbols made inside the block get. Inner scopes add to outer ones."""

    def __init__(self, **kwargs: str) -> None:
        for name, value in kwargs.items():
            if not isinstance(value, str):
                raise ConfigError(f"AttrScope: {name} is {value!r}; wanted text")
        self._attrs = {f"__{k}__" if k in HIDDEN else k: v for k, v in kwargs.items()}
        self._outer: list[AttrScope] = []

    @classproperty
    def current(self) -> AttrScope:
        """The innermost scope of this thread."""
        return current()

    def get(self, attrs: Mapping[str, str] | None) -> dict[str, str]:
        """The scope's attributes with `attrs` over them."""
        return {**self._attrs, **(attrs or {})}

    def __enter__(self) -> AttrScope:
        outer = _current.value
        self._outer.append(outer)
        self._attrs = {**outer._attrs, **self._attrs}
        _current.value = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _current.value = self._outer.pop()


class _Current(threading.local):
    def __init__(self) -> None:
        self.value = AttrScope()


_current = _Current()


def current() -> AttrScope:
    """The innermost scope of this thread."""
    return _current.value

"""Names for symbols that were not given one: the operator's name in lower case and a count."""

from __future__ import annotations

import threading
from types import TracebackType

from .base import classproperty

__all__ = ["NameManager", "Prefix", "current"]


class NameManager:
    """Counts names by hint. As a `with` block, the one that counts inside."""

    def __init__(self) -> None:
        self._counter: dict[str, int] = {}
        self._outer: list[NameManager] = []

    @classproperty
    def current(self) -> NameManager:
        """The innermost manager of this thread."""
        return current()

    def get(self, name: str | None, hint: str) -> str:
        """`name` if it is given, else `hint` with the next number."""
        if name:
            return name
        n = self._counter.get(hint, 0)
        self._counter[hint] = n + 1
        return f"{hint}{n}"

    def __enter__(self) -> NameManager:
        self._outer.append(_current.value)
        _current.value = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _current.value = self._outer.pop()


class Prefix(NameManager):
    """A manager that puts `prefix` before every name, given or counted."""

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self._prefix = prefix

    def get(self, name: str | None, hint: str) -> str:
        return self._prefix + super().get(name, hint)


class _Current(threading.local):
    def __init__(self) -> None:
        self.value = NameManager()


_current = _Current()


def current() -> NameManager:
    """The innermost manager of this thread."""
    return _current.value

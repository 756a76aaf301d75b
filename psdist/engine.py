"""MXNet's engine bundled operators to save on dispatching them. psdist's operators run at once, so the size
of a bundle is only remembered.
"""

from __future__ import annotations

from types import TracebackType

__all__ = ["bulk", "set_bulk_size"]

_size = 15  # MXNet's default


def set_bulk_size(size: int) -> int:
    """Remember `size`; returns what it was."""
    global _size
    before, _size = _size, int(size)
    return before


class bulk:
    """`set_bulk_size` for a `with` block."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._before: list[int] = []

    def __enter__(self) -> bulk:
        self._before.append(set_bulk_size(self._size))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        set_bulk_size(self._before.pop())

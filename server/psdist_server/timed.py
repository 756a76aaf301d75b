"""How long the arithmetic takes, for `psdist bench --profile`: the rules themselves have no clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from psdist.stamps import Stamps

from .rounds import Round
from .updates import Updates

__all__ = ["time_rules"]

_WHAT: Final = (
    (Round, "add_up", "reduce"),
    (Updates, "apply", "update"),
    (Updates, "apply_rows", "update"),
    (Updates, "apply_whole", "update"),
)


def time_rules(stamps: Stamps) -> Callable[[int], None]:
    """Have every addition and update in this process stamped. Returns what ends it, and writes all stamps of this
    server of some rank."""
    plain = [(owner, name, getattr(owner, name)) for owner, name, _ in _WHAT]
    for owner, name, phase in _WHAT:
        setattr(owner, name, stamps.around(phase, getattr(owner, name)))

    def end(rank: int) -> None:
        for owner, name, method in plain:
            setattr(owner, name, method)
        stamps.write(rank)

    return end

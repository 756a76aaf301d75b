"""How large the jobs are that are played, and of what kind: what the command line says before a seed says the rest.

Here, and not beside `Scenario`, so that `psdist --help` need not load NumPy and the rules of both roles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from psdist.errors import ConfigError

__all__ = ["MODES", "Mode", "Size"]

Mode = Literal["sync", "ssp", "async"]
MODES: tuple[Mode, ...] = ("sync", "ssp", "async")


@dataclass(frozen=True, slots=True)
class Size:
    """What the command line says; the seed draws the rest."""

    num_servers: int = 3
    num_workers: int = 4
    mode: str = "mixed"

    def options(self) -> dict[str, int | str]:
        """As on the command line."""
        return {"servers": self.num_servers, "workers": self.num_workers, "mode": self.mode}

    @staticmethod
    def choices(option: str) -> tuple[list[str] | None, str]:
        """What an option may be, and its help."""
        if option == "mode":
            return ["mixed", *MODES], "the consistency to try"
        return None, f"how many {option}"

    @classmethod
    def of(cls, options: Any) -> Size:
        """The size that a parsed command line asks for. Raises ConfigError."""
        for name in ("servers", "workers"):
            if not 1 <= (num := getattr(options, name)) <= 8:
                raise ConfigError(f"--{name} {num}: wanted 1 to 8; more add time, and no new schedules")
        return cls(options.servers, options.workers, options.mode)

"""What is exchanged: so many keys of such a size, so often."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PROFILED", "WORKS", "Work"]


@dataclass(frozen=True, slots=True)
class Work:
    """A list of keys, all of one size, pushed and pulled in one call a round."""

    name: str
    num_keys: int
    size: int  # elements of a key
    rounds: int
    unit: str = "GB/s"  # how its time is told: also "µs", a round, and "µs a key"

    @property
    def nbytes(self) -> int:
        """What a worker pushes and pulls in a round."""
        return 2 * 4 * self.num_keys * self.size


WORKS = {
    work.name: work
    for work in (
        Work("1 KB", 1, 256, 300, "µs"),
        Work("64 KB", 1, 16 << 10, 100),
        Work("1 MB", 1, 1 << 18, 60),
        Work("16 MB", 1, 1 << 22, 8),
        Work("64 MB", 1, 1 << 24, 4),
        Work("100 x 1 MB", 100, 1 << 18, 3),
        Work("1,000 x 1 KB", 1_000, 256, 20, "µs a key"),
        Work("10,000 x 64 B", 10_000, 16, 5, "µs a key"),
    )
}
PROFILED = ("1 KB", "1 MB", "64 MB", "100 x 1 MB", "10,000 x 64 B")

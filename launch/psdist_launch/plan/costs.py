"""What things cost: seconds of a thread, for a message and for each of its bytes, as they were measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from psdist.errors import ConfigError

__all__ = ["THREADS", "VERBS", "Costs", "Line", "Verb", "Way"]

Verb = Literal["push", "pull", "pushpull"]
VERBS: Final[tuple[Verb, ...]] = ("push", "pull", "pushpull")
# of a worker: the script's, the socket's, ZeroMQ's; of a server: the loop's, ZeroMQ's
THREADS: Final = ("script", "io", "net", "loop", "server net")
SHIPPED: Final = Path(__file__).with_name("costs.json")


@dataclass(frozen=True, slots=True)
class Line:
    """`fixed` seconds for a message and its reply together, and `byte` more for each byte of value in one direction."""

    fixed: float
    byte: float


@dataclass(frozen=True, slots=True)
class Way:
    """How arrays travel: through memory, or as between machines."""

    verbs: Mapping[str, Mapping[str, Line]]  # by verb, by thread
    key: Mapping[str, float]  # by thread: seconds for each small key that shares a message
    wake_s: float  # from one thread to the next that was asleep

    def request(self, verb: Verb, thread: str, nbytes: int) -> float:
        """Seconds of a thread for the way there, `nbytes` of gradients."""
        line = self.verbs[verb][thread]
        if verb == "pushpull":
            return line.fixed / 2 + max(0.0, line.byte - self.verbs["pull"][thread].byte) * nbytes
        return line.fixed / 2 + (line.byte * nbytes if verb == "push" else 0.0)

    def reply(self, verb: Verb, thread: str, nbytes: int) -> float:
        """Likewise for the way back, `nbytes` of values."""
        line = self.verbs[verb][thread]
        if verb == "pushpull":
            return line.fixed / 2 + min(line.byte, self.verbs["pull"][thread].byte) * nbytes
        return line.fixed / 2 + (line.byte * nbytes if verb == "pull" else 0.0)


@dataclass(frozen=True, slots=True)
class Costs:
    """All of one machine."""

    machine: str
    ways: Mapping[str, Way]
    reduce_byte: float  # seconds to add a byte of gradient
    update_byte: Mapping[
        str, float
    ]  # by optimizer: seconds to update a byte of value; "" puts the sum in its place

    @classmethod
    def read(cls, path: Path) -> Costs:
        """What `write` has written. Raises ConfigError."""
        try:
            data: dict[str, Any] = json.loads(path.read_text())
            ways = {
                name: Way(
                    {
                        verb: {thread: Line(**line) for thread, line in lines.items()}
                        for verb, lines in way["verbs"].items()
                    },
                    way["key"],
                    way["wake_s"],
                )
                for name, way in data["ways"].items()
            }
            return cls(data["machine"], ways, data["reduce_byte"], data["update_byte"])
        except (OSError, ValueError, TypeError, KeyError) as e:
            raise ConfigError(f"{path} is no table of costs ({e!r}); --calibrate FILE makes one") from None

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

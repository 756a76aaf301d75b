"""Faults by order: a process that kills, stops, delays or breaks itself at a named step of the protocol.

For tests with real processes only. `PSDIST_FAILPOINT` names the steps, separated by commas:

    server1.receive-Push=kill@17     server 1 dies of SIGKILL when its 17th Push comes
    worker.sent-Barrier=stop@1       every worker stops (SIGSTOP) after it has sent its first Barrier

    POINT=ACTION[@COUNT][/each]
    POINT    ROLE[RANK].STEP; without RANK, of any. A step is a moment and a message of docs/PROTOCOL.md:
             receive-M   M has come, and nothing has been done about it
             handled-M   all that M asks for is done, and nothing of it has been sent
             send-M      M is about to be sent
             sent-M      ZeroMQ has M; whether it gets out is not known
             or one of the steps of writing a snapshot: see psdist_server/snapshot.py
    ACTION   kill, kill+MS (so many milliseconds later, whatever is being done then), stop, sleep:S, error,
             errno:NAME (an OSError, such as errno:EIO), exit:CODE
    COUNT    the how-manieth time (default: 1); `/each` means in each life of the process, else only in the first

Where no variable is set there is no object, and a call site is `if points is not None`. Before it acts, a
failpoint says so on standard error, since a test whose fault never came would test nothing.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import threading
import time
from dataclasses import dataclass

from .errors import ConfigError
from .settings import Settings

__all__ = ["Failpoints", "open_failpoints"]

_ORDER = re.compile(
    r"(?P<role>scheduler|server|worker)(?P<rank>\d+)?\.(?P<step>[A-Za-z-]+)"
    r"=(?P<action>kill(\+\d+)?|stop|sleep:[\d.]+|error|errno:E[A-Z]+|exit:\d+)(@(?P<count>\d+))?(?P<each>/each)?"
)


@dataclass(frozen=True, slots=True)
class _Order:
    """Do `action` when `step` is reached for the `count`-th time."""

    text: str
    action: str
    count: int

    def carry_out(self) -> None:
        os.write(2, f"failpoint {self.text} is reached by pid {os.getpid()}\n".encode())
        kind, _, argument = self.action.replace("+", ":").partition(":")
        match kind:
            case "kill" if argument:
                threading.Timer(int(argument) / 1000, os.kill, (os.getpid(), signal.SIGKILL)).start()
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "sleep":
                time.sleep(float(argument))
            case "errno":
                number = getattr(errno, argument)
                raise OSError(number, f"{os.strerror(number)} (failpoint {self.text})")
            case "exit":
                os._exit(int(argument))
            case _:
                raise RuntimeError(f"failpoint {self.text}")


class Failpoints:
    """The orders to one process."""

    def __init__(self, orders: dict[str, list[_Order]]) -> None:
        self._orders = orders
        self._counts = dict.fromkeys(orders, 0)

    def reached(self, step: str) -> None:
        """This process is at `step`."""
        if step in self._orders:
            self._counts[step] += 1
            for order in self._orders[step]:
                if order.count == self._counts[step]:
                    order.carry_out()

    def at(self, moment: str, message: object, who: bytes = b"") -> None:
        """This process is at `moment` of a message; `who` is its connection, for psdist/stamps.py."""
        self.reached(f"{moment}-{type(message).__name__}")


def open_failpoints(settings: Settings) -> Failpoints | None:
    """The failpoints of the process that has these settings, None when it has none. Raises ConfigError."""
    if not settings.failpoint:
        return None
    orders: dict[str, list[_Order]] = {}
    for text in settings.failpoint.split(","):
        match = _ORDER.fullmatch(text.strip())
        if match is None:
            raise ConfigError(
                f"PSDIST_FAILPOINT={settings.failpoint!r}: wanted POINT=ACTION@COUNT, such as "
                f"server1.receive-Push=kill@17, not {text.strip()!r}"
            )
        is_ours = match["role"] == settings.role and match["rank"] in (None, str(settings.rank))
        if is_ours and (match["each"] or not settings.incarnation):
            orders.setdefault(match["step"], []).append(
                _Order(match.string, match["action"], int(match["count"] or 1))
            )
    return Failpoints(orders) if orders else None

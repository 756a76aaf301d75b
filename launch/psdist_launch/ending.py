"""When a job is over, who is told to end, and what was the first cause. No process or clock in here.

The story of every ending: something *sets it off* (a member fails, a signal comes, or the last worker exits
0). The workers are then left alone for `grace_s`, since the scheduler tells them and they have last words
to say; whoever remains gets SIGTERM, and `kill_s` later SIGKILL. Once no worker is left the servers and the
scheduler get SIGTERM at once. What exits after the first signal was told to, and is never the cause.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .cluster import Member

__all__ = ["Ending", "Exit", "Kill", "exit_status"]

_CLEAN_S = 10.0  # after a good end servers may have a snapshot to write
_OF_ANOTHER = (
    "PeerLost",
    "the job ended: ",
)  # what a worker's, and a server's or scheduler's, last words have
_INSTANT_S = 0.25  # ends this close together may have been seen in the wrong order


@dataclass(frozen=True, slots=True)
class Exit:
    """A member's process ended. `code` is negative for a signal, as in `subprocess`."""

    member: Member
    pid: int
    code: int
    at: float  # monotonic
    last_words: str = ""  # its last line on stderr

    @property
    def how(self) -> str:
        if self.code < 0:
            return f"was killed by {_signal_name(-self.code)}"
        said = f" ({self.last_words})" if self.last_words else ""
        return f"exited with code {self.code}{said}"

    @property
    def is_symptom(self) -> bool:
        """Whether it died of another's death: it says so itself."""
        return self.code > 0 and any(words in self.last_words for words in _OF_ANOTHER)


@dataclass(frozen=True, slots=True)
class Kill:
    """Send signal `number` to the process group of `member`."""

    member: Member
    number: int


class Ending:
    """The rules. Tell it what happens; `due` says what to do, `wake_at` when to ask again."""

    def __init__(
        self,
        members: Iterable[Member],
        *,
        grace_s: float,
        kill_s: float,
        survives: Callable[[Member], bool] = lambda member: False,
    ) -> None:
        """`survives`: whether the job may go on without a member."""
        self.running = set(members)
        self.losses: list[Exit] = []  # failures that the job may go on after
        self._survives = survives
        self.failures: list[Exit] = []  # before any signal was sent, in the order they were seen
        self.interrupt: int | None = None  # the signal that stopped the job, if one came before any failure
        self._grace_s = grace_s
        self._kill_s = kill_s
        self._term_at: float | None = None
        self._kill_at: float | None = None
        self._signals: list[Kill] = []
        self._told_to_end = False

    def exited(self, exit: Exit) -> bool:
        """A member ended. True when that is a failure of its own, which the others should hear of."""
        self.running.discard(exit.member)
        told_code = exit.code in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
        if (
            exit.code == 0
            or self.interrupt is not None
            or (self._told_to_end and (told_code or self.failures))
        ):
            return False
        if self._kill_at is not None and exit.code == -signal.SIGKILL:
            return False
        if self._term_at is None and self._survives(exit.member) and self._others_of(exit.member):
            self.losses.append(exit)
            return True
        self.failures.append(exit)
        self._set_off(exit.at)
        return True

    @property
    def is_ending(self) -> bool:
        """Whether something has set off the end."""
        return self._term_at is not None or self._told_to_end or not self._workers()

    def started_again(self, member: Member) -> None:
        """A member that was lost runs again."""
        self.running.add(member)

    def _others_of(self, member: Member) -> bool:
        return member.role == "scheduler" or any(other.role == member.role for other in self.running)

    def interrupted(self, number: int, now: float) -> None:
        """The launcher was sent `number`: so are the workers. A second one, or one while ending, kills."""
        if self._term_at is not None or self.interrupt is not None:
            self._kill_at = now
            return
        self.interrupt = number
        self._signals += [Kill(member, number) for member in self._workers()]
        self._set_off(now)

    def due(self, now: float) -> list[Kill]:
        """The signals to send now."""
        out, self._signals = self._signals, []
        if not self._told_to_end and self.running:
            no_worker = not self._workers()
            if no_worker or (self._term_at is not None and now >= self._term_at):
                self._told_to_end = True
                good = no_worker and self._term_at is None
                self._kill_at = min(self._kill_at or now + 1e9, now + (_CLEAN_S if good else self._kill_s))
                out += [Kill(member, signal.SIGTERM) for member in sorted(self.running)]
        if self._kill_at is not None and now >= self._kill_at:
            self._told_to_end = True
            self._kill_at = now + self._kill_s  # and again, should one be missed
            out += [Kill(member, signal.SIGKILL) for member in sorted(self.running)]
        return out

    def wake_at(self) -> float | None:
        """When `due` will next have something to say, if nothing else happens."""
        times = [t for t in (None if self._told_to_end else self._term_at, self._kill_at) if t is not None]
        return min(times, default=None)

    def first_cause(self, blamed: Member | None = None) -> Exit | None:
        """Which failure was the cause, if any. `blamed` is whom the scheduler names in its Abort.

        The first seen is not always it: when a server is killed, a quick worker may be found dead in the same
        instant. One who says that it died of another's death is a symptom; being killed comes before exiting.
        """
        if not self.failures:
            return None
        instant = self.failures[0].at + _INSTANT_S
        losses = [exit for exit in self.losses if exit.member == blamed]  # not survived, after all
        return min(
            losses + self.failures,  # in order: of equals the first
            key=lambda exit: (
                exit.is_symptom,
                not (exit.code < 0 and exit.at <= instant),
                blamed is not None and exit.member != blamed,
            ),
        )

    def exit_code(self, blamed: Member | None = None) -> int:
        """The launcher's own: of the first cause, 128 + n for signal n, 0 when all went well."""
        if self.interrupt is not None:
            return 128 + self.interrupt
        cause = self.first_cause(blamed)
        return 0 if cause is None else exit_status(cause.code)

    def _workers(self) -> list[Member]:
        return sorted(member for member in self.running if member.role == "worker")

    def _set_off(self, now: float) -> None:
        if self._term_at is None:
            self._term_at = now + self._grace_s


def exit_status(code: int) -> int:
    """A process's return code as a shell has it."""
    return 128 - code if code < 0 else code


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

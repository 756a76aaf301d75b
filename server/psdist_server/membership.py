"""A member's side of belonging to a job: join the scheduler, show signs of life, notice when it has none.

Rules only: messages and time in, messages out. The loop asks `tick` on every turn and looks at `ended`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from psdist.wire.messages import (
    VERSION,
    Abort,
    Alive,
    Error,
    Finish,
    Hello,
    Leave,
    Message,
    View,
    Welcome,
)

__all__ = ["End", "Membership", "who"]

Out = list[Message]


@dataclass(frozen=True, slots=True)
class End:
    """How a process of the job ended: its exit code, and the last line of its log."""

    code: int
    reason: str


def who(role: str, rank: int) -> str:
    """A process's name, for people: `worker 1`, `the scheduler`."""
    return f"{role} {rank}" if rank >= 0 else f"the {role}"


class Membership:
    """A server's membership, from `join` until `ended`."""

    def __init__(
        self,
        *,
        job: str,
        role: Literal["server", "worker"],
        rank: int,
        incarnation: int,
        token: int,
        address: str,
        scheduler: str,
        connect_timeout_s: float,
        start_timeout_s: float,
        heartbeat_s: float,
        dead_after_s: float,
        scheduler_away_s: float = 0.0,
    ) -> None:
        """`scheduler_away_s`: how long a running job goes on without the scheduler, if longer than `dead_after_s`."""
        self.ended: End | None = None
        self.view: View | None = None
        self._hello = Hello(1, VERSION, job, role, rank, incarnation, token, address)
        self._scheduler = scheduler
        self._connect_timeout_s = connect_timeout_s
        self._start_timeout_s = start_timeout_s
        self._heartbeat_s = heartbeat_s
        self._dead_after_s = dead_after_s
        self._scheduler_away_s = scheduler_away_s
        self._welcome_at: float | None = None
        self._heard_at = 0.0
        self._next_alive = 0.0

    @property
    def rank(self) -> int:
        return self.view.rank if self.view else self._hello.rank

    def join(self, now: float) -> Out:
        """The first message to the scheduler."""
        self._heard_at = now
        self._next_alive = now + self._heartbeat_s
        return [self._hello]

    def step(self, message: Message, now: float) -> Out:
        """Take what the scheduler says."""
        self._heard_at = now
        match message:
            case Welcome():
                self._welcome_at = now
                self._heartbeat_s = message.heartbeat_s
                self._dead_after_s = message.dead_after_s
                self._start_timeout_s = message.start_within_s
                self._next_alive = now
                if self.view is not None:  # it may have been started again, and know nothing
                    return [self.view]
            case View():
                if self.view is None or message.epoch >= self.view.epoch:
                    self.view = message
                    self._next_alive = now  # the scheduler waits to hear that it is known
            case Abort():
                self._end(1, f"the job ended: {message.reason}")
            case Finish():
                self._end(0, message.reason)
                return [Leave(2)]
            case Error():
                if message.code == "not-admitted":
                    return [replace(self._hello, rank=self.rank, epoch=self.view.epoch if self.view else 0)]
                self._end(1, f"the scheduler at {self._scheduler} said: {message.text}")
            case _:
                pass
        return []

    def tick(self, now: float, step: int, nbytes: int, num_keys: int) -> Out:
        """What to send because time passed; sets `ended` when a wait has been too long."""
        if self.ended:
            return []
        silent = now - self._heard_at
        if self._welcome_at is None:
            if silent > self._connect_timeout_s:
                self._end(
                    1,
                    f"no scheduler answered at {self._scheduler} within {self._connect_timeout_s:g} s; "
                    "is it running, and are DMLC_PS_ROOT_URI and DMLC_PS_ROOT_PORT right?",
                )
                return []
            if now < self._next_alive:
                return []
            self._next_alive = now + self._heartbeat_s
            return [self._hello]  # a connection that broke has lost the first one, or its answer
        patience = self._dead_after_s
        if self.view is not None:
            patience = max(patience, self._scheduler_away_s)
        if silent > patience:
            self._end(
                1, f"the scheduler at {self._scheduler} has been silent for {silent:.1f} s: taken for dead"
            )
            return []
        waited = now - self._welcome_at
        if self.view is None and waited > self._start_timeout_s + self._dead_after_s:
            self._end(1, f"the job did not start within {waited:.0f} s, and the scheduler did not say why")
            return []
        if now < self._next_alive:
            return []
        self._next_alive = now + self._heartbeat_s
        epoch = self.view.epoch if self.view else 0
        return [Alive(self._hello.role, self.rank, epoch, step, nbytes, num_keys)]

    def slept(self, seconds: float) -> None:
        """This process stood still: the scheduler's silence of that time is our own."""
        self._heard_at += seconds

    def stop(self, reason: str, now: float, step: int) -> Out:
        """End because of ourselves: told to, or broken."""
        if self.ended:
            return []
        self._end(1, reason)
        return [Abort(reason, self._hello.role, self.rank, step, -1.0)]

    def end(self, reason: str) -> None:
        """End without a word to the others, who have gone on without this process."""
        self._end(1, reason)

    def _end(self, code: int, reason: str) -> None:
        if self.ended is None:
            self.ended = End(code, reason)

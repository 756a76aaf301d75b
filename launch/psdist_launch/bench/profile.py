"""Where a round's time goes, from the stamps of all processes (psdist/stamps.py); nothing here is sampled.

Each instant of a round, as worker 0 lives it, belongs to one phase: the first of `PHASES` that is going on then.

    update      a server applies a sum to a value
    reduce      a server adds gradients
    serialise   a message of this worker is made or read, its arrays copied to where they belong; a server makes
                or reads any message
    rules       a server decides what a message means
    wire        a message of this worker, or a reply, is between two processes: ZeroMQ's threads, the kernel, the
                network, and the time until the other process looks
    wait        all that this worker has pushed is at the server, which waits for other workers
    queue       messages wait for their turn, or a thread for the other one to wake it

So the phases of a round add up to the round, and a phase that is hidden behind another costs nothing here: what is
told is what a round would be shorter by, not what the machine does.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from psdist.stamps import Row

__all__ = ["PHASES", "Span", "Stamped", "phases_of", "read_stamps", "share_out"]

PHASES: Final = ("update", "reduce", "serialise", "rules", "wire", "wait", "queue")

Span = tuple[float, float, str]  # from, to, phase


@dataclass(slots=True)
class _Message:
    """A request of worker 0's, and when it was where."""

    made: float = 0.0
    sent: float = 0.0
    came: float = 0.0  # to the server
    handled: float = 0.0
    answered: float = 0.0  # when the server began to make the reply
    replied: float = 0.0
    heard: float = 0.0  # when the reply's frames were there
    done: float = 0.0

    @property
    def is_whole(self) -> bool:
        return 0 < self.made <= self.sent <= self.came <= self.answered <= self.heard <= self.done


@dataclass(slots=True)
class Stamped:
    """What the processes of a job have noted."""

    messages: list[_Message] = field(default_factory=list)  # of worker 0
    calls: list[float] = field(default_factory=list)  # when its training thread handed over what it had made
    servers: list[Span] = field(default_factory=list)  # what server threads did


def read_stamps(folder: Path) -> Stamped:
    """All files of one job."""
    stamped = Stamped()
    messages: dict[int, _Message] = {}
    for path in sorted(folder.glob("server-*.json")):
        _read_server(json.loads(path.read_text()), messages, stamped.servers)
    _read_worker(json.loads((folder / "worker-0.json").read_text()), messages, stamped.calls)
    stamped.messages = sorted((one for one in messages.values() if one.is_whole), key=lambda one: one.made)
    stamped.servers.sort()
    return stamped


def _read_server(rows: Iterable[Row], messages: dict[int, _Message], spans: list[Span]) -> None:
    first: set[str] = set()  # connections of worker 0
    came = since = busy = 0.0
    for at, moment, kind, seq, who, rank in rows:
        match moment:
            case "came":
                came = at
            case "receive" if who:
                if kind == "Hello" and rank == 0:
                    first.add(who)
                spans.append((came, at, "serialise"))
                since = busy = at
                if who in first:
                    messages.setdefault(seq, _Message()).came = came
            case "reduce" | "update":
                busy = at
            case "reduce." | "update.":
                spans.append((busy, at, moment[:-1]))
            case "handled" if who:
                spans.append((since, at, "rules"))  # but for the arithmetic in it, which comes first
                if who in first:
                    messages.setdefault(seq, _Message()).handled = at
            case "send" if who:
                since = at
                if who in first:
                    messages.setdefault(seq, _Message()).answered = at
            case "sent" if who:
                spans.append((since, at, "serialise"))
                if who in first:
                    messages.setdefault(seq, _Message()).replied = at


def _read_worker(rows: Iterable[Row], messages: dict[int, _Message], calls: list[float]) -> None:
    came = 0.0
    for at, moment, _, seq, _, _ in rows:
        match moment:
            case "do":
                calls.append(at)
            case "came":
                came = at
            case "make" | "sent" | "receive" | "handled" if seq in messages:
                message = messages[seq]
                if moment == "make":
                    message.made = at
                elif moment == "sent":
                    message.sent = at
                elif moment == "receive":
                    message.heard = came
                else:
                    message.done = at


def phases_of(stamped: Stamped, rounds: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Seconds of each phase in a round, the mean over `rounds`, which follow one another."""
    total = dict.fromkeys(PHASES, 0.0)
    made_at = [one.made for one in stamped.messages]
    begun_at = [span[0] for span in stamped.servers]
    for began, ended in rounds:
        spans: list[Span] = [(began, ended, "queue")]
        calls = stamped.calls[bisect_left(stamped.calls, began) :][:1]
        spans.append((began, min([*calls, ended]), "serialise"))
        for one in stamped.messages[bisect_left(made_at, began) : bisect_right(made_at, ended)]:
            spans += [
                (one.made, one.sent, "serialise"),
                (one.sent, one.came, "wire"),
                (one.handled, one.answered, "wait"),
                (one.replied, one.heard, "wire"),
                (one.heard, one.done, "serialise"),
            ]
        spans += stamped.servers[bisect_left(begun_at, began) : bisect_right(begun_at, ended)]
        for phase, seconds in share_out(began, ended, spans).items():
            total[phase] += seconds
    return {phase: seconds / max(1, len(rounds)) for phase, seconds in total.items()}


def share_out(began: float, ended: float, spans: Iterable[Span]) -> dict[str, float]:
    """Each instant between `began` and `ended` to the first of `PHASES` that has a span over it."""
    edges: list[tuple[float, int, int]] = []  # when, +1 or -1, phase
    for low, high, phase in spans:
        low, high = max(low, began), min(high, ended)
        if low < high:
            number = PHASES.index(phase)
            edges += [(low, 1, number), (high, -1, number)]
    edges.sort()
    open_ = [0] * len(PHASES)
    seconds = dict.fromkeys(PHASES, 0.0)
    before = began
    for at, step, number in edges:
        if at > before:
            on = next((i for i, num in enumerate(open_) if num), None)
            if on is not None:
                seconds[PHASES[on]] += at - before
            before = at
        open_[number] += step
    return seconds

"""The launcher's line to the scheduler: asks how far the job is, tells who died, hears who is blamed.

One DEALER socket, polled from the supervisor's loop and never waited for: a dead scheduler must not stop
the one who buries it. `ask_status` is the only function here that waits, up to a deadline; `psdist status`
uses it.
"""

from __future__ import annotations

import contextlib
import itertools
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import cast

import zmq
import zmq.auth

from psdist.errors import ConfigError, ProtocolError, RequestTimeout
from psdist.wire import codec
from psdist.wire import messages as m

from .cluster import Member

__all__ = ["SchedulerContact", "ask_scale", "ask_status", "where"]

_EVERY_S = 0.05  # from one question to the next: a dead scheduler's last answer is that old
_JOINING_EVERY_S = 0.2  # until the job runs
_MAX_MESSAGE = 1 << 22  # bytes; a report is a few KB


class SchedulerContact:
    """The line to the scheduler of one job, as a `with` block; for one thread."""

    def __init__(self, host: str, port: int, job: str, key_file: str = "") -> None:
        """`key_file` holds the job's keys, "" where its sockets are plain. Raises ConfigError."""
        self._endpoint = f"tcp://{f'[{host}]' if ':' in host else host}:{port}"
        self._job = job
        self._keys = _read_keys(key_file) if key_file else None
        self._token = secrets.randbits(63)
        self._seq = itertools.count(1)
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._socket: zmq.Socket[bytes] | None = None
        self._ask_at = 0.0
        self._welcome = False
        self._unsent: list[m.Lost] = []  # from before the scheduler answered
        self.report: m.StatusReport | None = None  # the last one
        self.refusal = ""
        self._abort_step = -1
        self.blamed: tuple[Member, str] | None = None  # whom an Abort named, and its reason

    def __enter__(self) -> SchedulerContact:
        self._context = zmq.Context()
        self._socket = socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.MAXMSGSIZE, _MAX_MESSAGE)
        socket.setsockopt(zmq.RCVHWM, 64)
        socket.setsockopt(zmq.SNDHWM, 64)
        if self._keys is not None:
            public, secret = self._keys
            socket.curve_serverkey = socket.curve_publickey = public
            socket.curve_secretkey = secret
        socket.connect(self._endpoint)
        self._say_hello()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up. May be called twice."""
        if self._socket is not None:
            self._socket.close(linger=0)
        if self._context is not None:
            self._context.term()
        self._socket = self._context = None

    def fileno(self) -> int:
        """ZeroMQ's own descriptor: it tells of news once, so `poll` reads until nothing is left."""
        assert self._socket is not None
        return int(self._socket.getsockopt(zmq.FD))

    def poll(self, now: float) -> None:
        """Read what has come, and ask again when it is time. Never waits."""
        if self._socket is None:
            return
        while True:
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            try:
                self._take(codec.decode(frames))
            except ProtocolError:
                continue  # it is only the launcher's view that stays old
        if self._welcome and now >= self._ask_at:
            is_running = self.report is not None and self.report.state != "joining"
            self._ask_at = now + (_EVERY_S if is_running else _JOINING_EVERY_S)
            self._send(m.Status(next(self._seq)))

    def wait(self, timeout_s: float) -> bool:
        """Wait for the scheduler to say something; False when it did not."""
        assert self._socket is not None
        return bool(self._socket.poll(int(timeout_s * 1000) + 1))

    def lost(self, member: Member, why: str) -> None:
        """Tell that the process of `member` ended, and ask at once how far the job had come."""
        message = m.Lost(next(self._seq), member.role, member.rank, why)
        if not self._welcome:
            self._unsent.append(message)
            return
        self._send(message)
        self._ask_at = 0.0

    def where(self, member: Member | None) -> str:
        """Where `member`, or the job, was last: "in step 12"."""
        return where(self.report, member, self._abort_step)

    @property
    def num_servers(self) -> int:
        """How many servers there should be, while the job runs; else 0."""
        return self.report.num_servers if self.report is not None and self.report.state == "running" else 0

    def scale(self, num_servers: int) -> None:
        """Ask for another number of servers."""
        self._send(m.Scale(next(self._seq), num_servers))

    def _take(self, message: m.Message) -> None:
        match message:
            case m.Welcome():
                self._welcome = True
                for lost in self._unsent:
                    self._send(lost)
                self._unsent.clear()
            case m.StatusReport():
                self.report = message
            case m.Abort(role="scheduler" | "server" | "worker" as role):
                self.blamed = Member(role, max(message.rank, 0)), message.reason
                self._abort_step = max(self._abort_step, message.step)
            case m.Error(code="not-admitted"):  # the connection was made anew
                self._say_hello()
            case m.Error(text=text):
                self.refusal = text

    def _say_hello(self) -> None:
        self._send(m.Hello(next(self._seq), m.VERSION, self._job, "launcher", m.ANY_RANK, 0, self._token, ""))

    def _send(self, message: m.Message) -> None:
        assert self._socket is not None
        frames = cast(list[bytes], codec.encode(message))  # none of ours has arrays
        with contextlib.suppress(zmq.Again):  # nobody takes our questions: what we know stays what it was
            self._socket.send_multipart(frames, zmq.NOBLOCK)


def where(report: m.StatusReport | None, member: Member | None, at_least: int = -1) -> str:
    """Where `member`, if it is a worker, or else the job was when last heard of."""
    if report is None:
        return "before the scheduler answered"
    if report.state == "joining":
        return "while the job was joining"
    steps = {(one.role, one.rank): one.step for one in report.members}
    own = steps.get((member.role, member.rank), -1) if member and member.role == "worker" else -1
    return f"in step {max(at_least, own if own >= 0 else max(steps.values(), default=0))}"


def ask_scale(
    host: str, port: int, job: str, num_servers: int, key_file: str = "", timeout_s: float = 60.0
) -> str:
    """Have a running job go on with another number of servers, and wait until its shards are where they should be; what
    has come of it. Raises ConfigError when refused, RequestTimeout saying what is missing."""
    end = time.monotonic() + timeout_s
    asked_at = -1e9
    with SchedulerContact(host, port, job, key_file) as contact:
        while True:
            now = time.monotonic()
            report = contact.report
            if contact.refusal:
                raise ConfigError(f"the scheduler at {host}:{port} refused: {contact.refusal}")
            if report is not None and report.state != "running":
                raise ConfigError(f"job {report.job} is {report.state}; only a running job can be scaled")
            if report is not None:
                alive = [one for one in report.members if one.role == "server" and one.state == "alive"]
                is_done = report.num_servers == num_servers == len(alive) and not report.num_moving
                if is_done and asked_at > 0:
                    served = ", ".join(f"server {one.rank}: {one.num_shards}" for one in alive)
                    return f"job {report.job}: {report.num_shards} shards on {len(alive)} servers ({served})"
                # again, too, when a scheduler that was started anew does not know of it
                if asked_at < 0 or (report.num_servers != num_servers and now - asked_at > 2.0):
                    asked_at = now
                    contact.scale(num_servers)
            if now >= end:
                raise RequestTimeout(_unscaled(report, num_servers, f"{host}:{port}", timeout_s))
            contact.wait(min(end - now, 0.1))
            contact.poll(time.monotonic())


def _unscaled(report: m.StatusReport | None, num_servers: int, where: str, timeout_s: float) -> str:
    if report is None:
        return f"no scheduler answered at {where} within {timeout_s:g} s; is the job running?"
    alive = {one.rank for one in report.members if one.role == "server" and one.state == "alive"}
    missing = [f"server {rank}" for rank in range(num_servers) if rank not in alive]
    waits = f"waits for {', '.join(missing)} to be started" if missing else "is moving shards"
    return (
        f"job {report.job} is not at {num_servers} servers after {timeout_s:g} s: it {waits} ({report.num_moving} of "
        f"{report.num_shards} shards are to move); it goes on by itself, see `psdist status`"
    )


def ask_status(host: str, port: int, job: str, key_file: str = "", timeout_s: float = 5.0) -> str:
    """The running job as a table. Raises RequestTimeout without an answer, ConfigError when refused."""
    end = time.monotonic() + timeout_s
    with SchedulerContact(host, port, job, key_file) as contact:
        while contact.report is None:
            left = end - time.monotonic()
            if left <= 0:
                raise RequestTimeout(
                    f"no scheduler answered at {host}:{port} within {timeout_s:g} s; is the job running, "
                    "and is this its address" + (", and are these its keys?" if key_file else "?")
                )
            contact.wait(left)
            contact.poll(time.monotonic())
            if contact.refusal:
                raise ConfigError(f"the scheduler at {host}:{port} refused: {contact.refusal}")
        return _table(contact.report)


def _table(report: m.StatusReport) -> str:
    head = (
        f"job {report.job}: {report.state}{f' ({report.reason})' if report.reason else ''}, "
        f"up {report.uptime_s:.0f} s, {report.num_workers} workers, {report.num_servers} servers"
    )
    if report.num_moving:
        head += f"; {report.num_moving} of {report.num_shards} shards are moving"
    rows: list[Sequence[str]] = [("MEMBER", "STATE", "STEP", "SILENT", "BYTES", "KEYS", "SHARDS", "ADDRESS")]
    for one in sorted(report.members, key=lambda one: (one.role, one.rank)):
        rows.append(
            (
                one.role if one.role == "scheduler" else f"{one.role} {one.rank}",
                one.state,
                str(one.step),
                f"{one.silent_s:.1f} s",
                f"{one.nbytes:,}",
                str(one.num_keys),
                str(one.num_shards) if one.role == "server" else "-",
                one.address or "-",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join([head, *lines])


def _read_keys(key_file: str) -> tuple[bytes, bytes]:
    try:
        if Path(key_file).stat().st_mode & 0o077:
            raise ConfigError(
                f"{key_file}: others can read these keys; chmod 600 it, or make new ones: psdist keygen"
            )
        public, secret = zmq.auth.load_certificate(key_file)
    except (OSError, ValueError) as e:
        if isinstance(e, ConfigError):
            raise
        raise ConfigError(f"{key_file}: cannot read the job's keys: {e}") from e
    if secret is None:
        raise ConfigError(f"{key_file}: no secret key in it; make a pair: psdist keygen")
    return public, secret

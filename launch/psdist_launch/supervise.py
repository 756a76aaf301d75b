"""Starts a job's processes, prints what they say, and ends every one of them, whatever happens.

One thread and one loop: it waits for output, for a child's end, for a signal, or for the next deadline.
What is decided is decided by `Ending`; how nothing is left behind is told in `orphans`.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import IO, Protocol

from . import orphans
from .cluster import MARK, Cluster, Member
from .ending import Ending, Exit
from .logs import BAR_OWNER, Lines, Screen

__all__ = ["Contact", "Silent", "Supervisor", "Verdict"]

_POLL_S = 0.5  # the longest sleep: the scheduler is asked about once a second
_DRAIN_S = 1.0  # how long to read on after everything was killed
_SWEEP_S = 5.0
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LAST_WORDS = 200  # characters
_PIPE_NBYTES = 1 << 16  # what a Linux pipe holds


class Contact(Protocol):
    """What the supervisor knows of the job from inside it, by way of the scheduler."""

    def fileno(self) -> int | None:
        """What becomes readable when `poll` has something to read, if anything."""

    def poll(self, now: float) -> None:
        """Read what has come, and ask again when it is time. Never waits."""

    def lost(self, member: Member, why: str) -> None:
        """Tell that the process of `member` ended."""

    def where(self, member: Member | None) -> str:
        """Where `member`, or the job, was last: "in step 12"."""

    @property
    def blamed(self) -> tuple[Member, str] | None:
        """Whom the scheduler named when it aborted the job, and its reason."""

    @property
    def num_servers(self) -> int:
        """How many servers there should be, as far as that is known; else 0."""


class Silent:
    """The contact of a job that has none."""

    blamed = None
    num_servers = 0

    def fileno(self) -> int | None:
        return None

    def poll(self, now: float) -> None:
        pass

    def lost(self, member: Member, why: str) -> None:
        pass

    def where(self, member: Member | None) -> str:
        return "before the first step"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the job ended: the launcher's exit code, and its last line ("" when all went well)."""

    exit_code: int
    text: str


@dataclass(slots=True)
class _Process:
    member: Member
    popen: subprocess.Popen[bytes]
    lines: dict[str, Lines] = field(default_factory=lambda: {"out": Lines(), "err": Lines()})
    last_words: str = ""
    ended_at: str = ""  # time of day


class Supervisor:
    """A running job, as a `with` block. Leaving it, in whatever way, ends and reaps every process of the job.

    Made on the main thread, since it catches signals.
    """

    def __init__(
        self,
        cluster: Cluster,
        screen: Screen,
        *,
        base: Mapping[str, str],
        folder: str,
        grace_s: float = 5.0,
        kill_s: float = 3.0,
    ) -> None:
        """`folder` is the job's own, removed at the end even if this process is killed."""
        self._cluster = cluster
        self._screen = screen
        self._base = dict(base)
        self._folder = folder
        self._contact: Contact = Silent()
        self._ending = Ending(cluster.members(), grace_s=grace_s, kill_s=kill_s, survives=self._survives)
        self._num_servers = cluster.num_servers  # that there should be
        self._let_go: set[Member] = set()  # servers that were too many, some time
        self._lives: dict[Member, int] = {}  # the incarnation of those that were started again
        self._processes: dict[int, _Process] = {}  # by pid, the ended ones too
        self._selector = selectors.DefaultSelector()
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._signals: _Signals | None = None
        self._interrupted_at = ""

    def __enter__(self) -> Supervisor:
        try:
            self._signals = _Signals()
            self._selector.register(self._signals.fileno(), selectors.EVENT_READ, None)
            orphans.adopt()
            self._start_watchdog()
            for member in self._cluster.members():
                self._start(member)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, contact: Contact | None = None) -> Verdict:
        """Wait for the end of the job."""
        self._contact = contact or self._contact
        if (line := self._contact.fileno()) is not None:
            self._selector.register(line, selectors.EVENT_READ, None)
        while self._ending.running:
            self._turn()
        self._sweep()
        self._read_the_rest()
        return self._verdict()

    def close(self) -> None:
        """Kill what still runs, children of children included. May be called twice."""
        self._sweep()
        for process in self._processes.values():
            for stream in (process.popen.stdout, process.popen.stderr):
                if stream is not None:
                    stream.close()
        self._selector.close()
        if self._watchdog is not None:
            watchdog, self._watchdog = self._watchdog, None
            assert watchdog.stdin is not None
            try:
                watchdog.stdin.write(b"done")
                watchdog.stdin.close()
            except BrokenPipeError:  # somebody killed it
                pass
            watchdog.wait()
        if self._signals is not None:
            self._signals.close()

    # ── starting ──────────────────────────────────────────────────────────────────────────────────

    def _start_watchdog(self) -> None:
        env = {name: value for name, value in self._base.items() if name != MARK}
        self._watchdog = subprocess.Popen(
            orphans.watchdog_argv(f"{MARK}={self._cluster.mark}", self._folder),
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _start(self, member: Member) -> None:
        env = self._cluster.environ(member, self._base, self._lives.get(member, 0))
        columns = self._screen.bar_width(member)
        if columns is not None:
            env |= {"PSDIST_DRAW_BARS": "1", "COLUMNS": str(columns)}
        popen = subprocess.Popen(
            orphans.with_parent_argv(self._cluster.argv(member)),
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
        )
        process = self._processes[popen.pid] = _Process(member, popen)
        for name, stream in (("out", popen.stdout), ("err", popen.stderr)):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ, self._reader(process, name, stream))

    # ── the loop ──────────────────────────────────────────────────────────────────────────────────

    def _turn(self) -> None:
        now = time.monotonic()
        wake_at = self._ending.wake_at()
        wait = _POLL_S if wake_at is None else max(0.0, min(_POLL_S, wake_at - now))
        for key, _ in self._selector.select(wait):
            if key.data is not None:
                key.data()
        assert self._signals is not None
        for number in self._signals.take():
            if number != signal.SIGCHLD:
                self._interrupted_at = self._interrupted_at or _time_of_day()
                self._ending.interrupted(number, time.monotonic())
        self._reap()
        self._contact.poll(time.monotonic())
        self._scale(self._contact.num_servers)
        for kill in self._ending.due(time.monotonic()):
            self._kill(kill.member, kill.number)

    def _reap(self) -> None:
        """Take note of every child that ended, adopted ones too."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            process = self._processes.get(ended.si_pid)
            if process is not None:
                self._note_exit(process)
            elif self._watchdog is not None and ended.si_pid == self._watchdog.pid:
                self._watchdog.wait()
            else:
                os.waitpid(ended.si_pid, 0)

    def _note_exit(self, process: _Process) -> None:
        code = process.popen.wait()
        process.ended_at = _time_of_day()
        for key in list(self._selector.get_map().values()):  # its last words, if they are still in the pipe
            if key.fileobj in (process.popen.stdout, process.popen.stderr) and key.data():
                key.data()  # twice: a pipe's fill may come in two pieces
        exit = Exit(process.member, process.popen.pid, code, time.monotonic(), process.last_words)
        failed = self._ending.exited(exit)
        if exit.code == 0 and exit.member in self._let_go and not self._ending.is_ending:
            self._start_servers()  # it may be wanted again
        if failed:
            if exit in self._ending.losses:
                self._survive(exit)
            elif len(self._ending.failures) == 1:
                self._screen.say(f"psdist run: {exit.member} {exit.how}; ending the job")
            self._contact.lost(exit.member, exit.how)

    def _survives(self, member: Member) -> bool:
        """Whether the job may go on without a member. Servers that come and go may have nothing to lose."""
        is_scaled = bool(self._let_go) or self._num_servers != self._cluster.num_servers
        return self._cluster.survives(member) or (member.role == "server" and is_scaled)

    def _scale(self, num_servers: int) -> None:
        """Start the servers that are to be added."""
        if num_servers in (0, self._num_servers) or self._ending.is_ending:
            return
        self._screen.say(f"psdist run: {num_servers} servers instead of {self._num_servers}")
        self._let_go |= {Member("server", rank) for rank in range(num_servers, self._num_servers)}
        self._num_servers = num_servers
        self._start_servers()

    def _start_servers(self) -> None:
        alive = {one.member for one in self._processes.values() if one.popen.returncode is None}
        known = {one.member for one in self._processes.values()}
        lost = {exit.member for exit in self._ending.losses}
        for rank in range(self._num_servers):
            member = Member("server", rank)
            is_over = member in known and member not in self._let_go
            if member in alive or member in lost or is_over:
                continue
            if member in known:
                self._lives[member] = self._lives.get(member, 0) + 1
            self._start(member)
            self._ending.started_again(member)

    def _survive(self, exit: Exit) -> None:
        """The job may go on without this member: start it again, as often as that is allowed."""
        member, life = exit.member, self._lives.get(exit.member, 0)
        again = life < self._cluster.restarts
        what = "starting it again" if again else "the job goes on without it, if it can"
        self._screen.say(f"psdist run: {member} {exit.how}; {what}")
        if again:
            self._lives[member] = life + 1
            self._start(member)
            self._ending.started_again(member)

    def _kill(self, member: Member, number: int) -> None:
        for process in self._processes.values():
            alive = process.popen.returncode is None  # not reaped: no one else has its number
            if alive and process.member == member:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.popen.pid, number)

    # ── what they print ───────────────────────────────────────────────────────────────────────────

    def _reader(self, process: _Process, name: str, stream: IO[bytes]) -> Callable[[], bool]:
        """A function that prints what `stream` has now, a pipe's fill at most; True if there was something."""
        lines = process.lines[name]

        def read() -> bool:
            try:
                data = os.read(stream.fileno(), _PIPE_NBYTES)
            except BlockingIOError:
                return False
            whole = lines.feed(data) if data else lines.end()
            if name == "err":
                self._listen(process, whole)
            if process.member == BAR_OWNER:
                self._screen.bar(process.member, _bar(process))
            self._screen.lines(process.member, name, whole)
            if not data:
                self._selector.unregister(stream)
            return bool(data)

        return read

    def _listen(self, process: _Process, lines: list[bytes]) -> None:
        for line in reversed(lines):
            if text := line.decode(errors="replace").strip():
                process.last_words = text if len(text) <= _LAST_WORDS else text[: _LAST_WORDS - 1] + "…"
                return

    def _read_the_rest(self) -> None:
        """Until every stream has ended; no writer is left, so that is at once."""
        end = time.monotonic() + _DRAIN_S
        while time.monotonic() < end:
            open_streams = [key for key in self._selector.get_map().values() if key.data is not None]
            if not open_streams:
                return
            for key, _ in self._selector.select(0.1):
                if key.data is not None:
                    key.data()

    # ── the end ───────────────────────────────────────────────────────────────────────────────────

    def _sweep(self) -> None:
        """Kill and reap all that descends from this process, the watchdog aside."""
        end = time.monotonic() + _SWEEP_S
        spare = {self._watchdog.pid} if self._watchdog is not None else set()
        while self._processes:
            left = set(orphans.descendants(os.getpid())) - spare
            left |= {pid for pid, process in self._processes.items() if process.popen.returncode is None}
            if not left:
                return
            if time.monotonic() > end:
                self._screen.say(f"psdist run: could not end {', '.join(map(str, sorted(left)))}")
                return
            for pid in left:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            self._reap()
            time.sleep(0.005)

    def _verdict(self) -> Verdict:
        blamed = self._contact.blamed
        code = self._ending.exit_code(blamed and blamed[0])
        cause = self._ending.first_cause(blamed and blamed[0])
        if self._ending.interrupt is not None:
            name = signal.Signals(self._ending.interrupt).name
            text = f"psdist run: stopped by {name} at {self._interrupted_at}, {self._contact.where(None)}"
        elif cause is not None:
            when = self._processes[cause.pid].ended_at
            where = self._contact.where(cause.member)
            text = f"psdist run: {cause.member} (pid {cause.pid}) {cause.how} at {when}, {where}"
            if cause.is_symptom and blamed and blamed[0] != cause.member:
                text += f"; first cause: {blamed[0]}: {blamed[1]}"
        else:
            text = ""
        return Verdict(code, text)


def _bar(process: _Process) -> bytes | None:
    return process.lines["err"].bar or process.lines["out"].bar


def _time_of_day() -> str:
    return time.strftime("%H:%M:%S")


class _Signals:
    """The signals this process was sent, as bytes on a socket that a selector can wait for."""

    def __init__(self) -> None:
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        self._old_fd = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        caught = [*_FORWARDED, signal.SIGCHLD]
        if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:  # nohup: the job outlives the terminal
            caught.remove(signal.SIGHUP)
        self._old = {number: signal.signal(number, _note) for number in caught}

    def fileno(self) -> int:
        return self._read.fileno()

    def take(self) -> list[int]:
        """Those that came since the last call."""
        try:
            return list(self._read.recv(4096))
        except BlockingIOError:
            return []

    def close(self) -> None:
        if self._read.fileno() == -1:
            return
        for number, handler in self._old.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_fd)
        self._read.close()
        self._write.close()


def _note(number: int, frame: FrameType | None) -> None:
    """The signal's number is on the wakeup socket; nothing is to be done here."""

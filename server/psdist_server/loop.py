"""The one thread of a scheduler or a server: receive, decode, step, encode, send.

Here is I/O without rules: what a message means is decided in shard.py, scheduler.py and membership.py, and
the time they see is read here. Each loop has a ZeroMQ context of its own, so that two can run in one test.

Bytes that are no message are refused, counted and told of in the log (the 1st, 2nd, 4th, 8th ... time), and
that is all they do. An exception from the rules would be our own bug: the job then ends and says so, rather
than going on with half of a change.
"""

from __future__ import annotations

import logging
import secrets
import time
from types import TracebackType
from typing import Any, Final, Self

import zmq

from psdist.errors import ConfigError
from psdist.settings import Settings
from psdist.wire import BadMessage, Message, decode, encode
from psdist.wire import messages as m

from . import sockets
from .membership import End, Membership, who
from .scheduler import Scheduler
from .shard import SCHEDULER, Out, Shard

__all__ = ["Loop", "SchedulerLoop", "ServerLoop", "open_loop"]

_log = logging.getLogger("psdist.server")

_AT_ONCE: Final = 256  # messages, before time and the scheduler get their turn
_WAIT_MS: Final = 250  # the longest wait: how late a signal may be noticed
_TICK_S: Final = 0.02  # how exactly the rules know the time


class Loop:
    """What the two roles have in common: a ROUTER that others connect to. A `with` block; `run` once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._context: zmq.Context[sockets.Socket] = zmq.Context()
        self._poller = zmq.Poller()
        self._gate: sockets.Gate | None = None
        self._keys: sockets.Keys | None = None
        self._stop_reason = ""
        self._is_closed = False
        self.num_refused = 0  # messages that were none
        self.num_undelivered = 0  # messages to those who were gone
        try:
            if settings.key_file:
                self._keys = sockets.Keys.read(settings.key_file)
                self._gate = sockets.Gate(self._context, self._keys)
                self._poller.register(self._gate.socket, zmq.POLLIN)
            self._router, self.host, self.port = self._listen()
            self._poller.register(self._router, zmq.POLLIN)
        except BaseException:
            self._context.destroy(linger=0)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Send what is still in the queues, as long as PSDIST_CLOSE_TIMEOUT allows. May be called twice."""
        if not self._is_closed:
            self._is_closed = True
            if self._gate is not None:
                self._gate.close()
            self._context.destroy(linger=round(self._settings.close_timeout_s * 1000))

    def stop(self, reason: str) -> None:
        """Have `run` end the job soon, for this reason. A signal handler or another thread may call it."""
        self._stop_reason = reason

    def run(self) -> End:
        """Serve until the job ends."""
        try:
            tick_at = now = time.monotonic()
            self._begin(now)
            while True:
                ready = dict(self._poller.poll(_WAIT_MS))
                self._turn(ready)
                now = time.monotonic()
                if now < tick_at:
                    continue
                tick_at = now + _TICK_S
                if self._stop_reason:
                    self._on_stop(self._stop_reason, now)
                if (end := self._tick(now)) is not None:
                    return end
        except Exception as e:
            _log.exception("a bug in psdist: please report it with the lines above")
            reason = f"internal error: {e!r}"
            self._on_stop(reason, time.monotonic())
            return End(1, reason)

    def _listen(self) -> tuple[sockets.Socket, str, int]:
        raise NotImplementedError

    def _begin(self, now: float) -> None:
        raise NotImplementedError

    def _step(self, sender: bytes, message: Message, now: float) -> Out:
        raise NotImplementedError

    def _tick(self, now: float) -> End | None:
        raise NotImplementedError

    def _on_stop(self, reason: str, now: float) -> None:
        raise NotImplementedError

    def _turn(self, ready: dict[Any, int]) -> None:
        """Handle what has come to the sockets that are ready; not all of it, if it is much."""
        if self._gate is not None and self._gate.socket in ready:
            self._gate.answer()
        router = self._router
        if router not in ready:
            return
        for _ in range(_AT_ONCE):
            frames = sockets.receive(router)
            if frames is None:
                return
            sender = frames.pop(0).bytes
            try:
                message = decode(frames)
            except BadMessage as e:
                self._refuse(sender, e)
                continue
            self._send(self._step(sender, message, time.monotonic()))

    def _refuse(self, sender: bytes, error: BadMessage) -> None:
        self.num_refused += 1
        if self.num_refused & (self.num_refused - 1) == 0:
            _log.warning("refused a message: %s (%d so far)", error, self.num_refused)
        self._send([(sender, m.Error(error.seq, "protocol", str(error)))])

    def _send(self, out: Out) -> None:
        for destination, message in out:
            if not sockets.send(self._router, [destination, *encode(message)]):
                self.num_undelivered += 1
                _log.debug("%s was not delivered: its connection is gone or full", type(message).__name__)


class SchedulerLoop(Loop):
    """The scheduler: everybody says Hello here."""

    def __init__(self, settings: Settings) -> None:
        settings.require_cluster()
        super().__init__(settings)
        self._scheduler = Scheduler(
            job=settings.job,
            num_workers=settings.num_workers,
            num_servers=settings.num_servers,
            now=time.monotonic(),
            heartbeat_s=settings.heartbeat_s,
            dead_after_s=settings.dead_after_s,
            start_timeout_s=settings.start_timeout_s,
        )
        self._state = ""

    def _listen(self) -> tuple[sockets.Socket, str, int]:
        settings = self._settings
        variable = "DMLC_NODE_HOST" if settings.node_host else "DMLC_PS_ROOT_URI"
        host = sockets.resolve(settings.node_host or settings.root_uri, variable)
        if not sockets.is_ours(host):
            raise ConfigError(
                f"{variable}={settings.node_host or settings.root_uri} is no address of this machine, where "
                "the scheduler should listen; behind another address (NAT, containers) "
                "set DMLC_NODE_HOST=0.0.0.0"
            )
        sock, port = sockets.bind(self._context, settings, self._keys, host, settings.root_port)
        return sock, host, port

    def _begin(self, now: float) -> None:
        _log.info(
            "scheduler of job %r listens on %s:%d for %d workers and %d servers",
            self._settings.job,
            self.host,
            self.port,
            self._settings.num_workers,
            self._settings.num_servers,
        )

    def _step(self, sender: bytes, message: Message, now: float) -> Out:
        return self._scheduler.step(sender, message, now)

    def _tick(self, now: float) -> End | None:
        self._send(self._scheduler.tick(now))
        if self._scheduler.state != self._state:
            self._state = self._scheduler.state
            reason = self._scheduler.reason
            _log.log(
                logging.ERROR if self._state == "aborted" else logging.INFO,
                "job %r is %s%s",
                self._settings.job,
                self._state,
                f": {reason}" if reason else "",
            )
        return self._scheduler.ended

    def _on_stop(self, reason: str, now: float) -> None:
        self._send(self._scheduler.stop(reason, now))


class ServerLoop(Loop):
    """A server: workers push and pull here; it is itself a member of the scheduler's job."""

    def __init__(self, settings: Settings) -> None:
        settings.require_root()
        super().__init__(settings)
        try:
            host = sockets.resolve(settings.root_uri, "DMLC_PS_ROOT_URI")
            self._dealer = sockets.connect(self._context, settings, self._keys, host, settings.root_port)
        except BaseException:
            self.close()
            raise
        self._poller.register(self._dealer, zmq.POLLIN)
        shown = settings.node_host or self.host
        self.address = f"tcp://{f'[{shown}]' if ':' in shown else shown}:{self.port}"
        self._shard = Shard(
            settings.job, heartbeat_s=settings.heartbeat_s, dead_after_s=settings.dead_after_s
        )
        self._membership = Membership(
            job=settings.job,
            role="server",
            rank=m.ANY_RANK if settings.rank is None else settings.rank,
            incarnation=settings.incarnation,
            token=secrets.randbits(63),
            address=self.address,
            scheduler=f"{settings.root_uri}:{settings.root_port}",
            connect_timeout_s=settings.connect_timeout_s,
            start_timeout_s=settings.start_timeout_s,
            heartbeat_s=settings.heartbeat_s,
            dead_after_s=settings.dead_after_s,
        )

    def _listen(self) -> tuple[sockets.Socket, str, int]:
        settings = self._settings
        if settings.node_host:
            host = sockets.resolve(settings.node_host, "DMLC_NODE_HOST")
            if not sockets.is_ours(host):
                host = "0.0.0.0"  # reached through another address, as behind NAT
        else:
            host = sockets.local_address(sockets.resolve(settings.root_uri, "DMLC_PS_ROOT_URI"))
        sock, port = sockets.bind(self._context, settings, self._keys, host, 0)
        return sock, host, port

    def _begin(self, now: float) -> None:
        _log.info("server of job %r at %s asks the scheduler to join", self._settings.job, self.address)
        self._tell(self._membership.join(now))

    def _turn(self, ready: dict[Any, int]) -> None:
        if self._dealer in ready:
            self._hear()
        super()._turn(ready)

    def _hear(self) -> None:
        """Take what the scheduler says."""
        while (frames := sockets.receive(self._dealer)) is not None:
            try:
                message = decode(frames)
            except BadMessage as e:
                self.num_refused += 1
                _log.warning("the scheduler sent what is no message: %s", e)
                continue
            now = time.monotonic()
            self._tell(self._membership.step(message, now))
            if isinstance(message, m.Welcome):
                _log.info("the scheduler has let us in; waiting for the others")
            elif isinstance(message, m.View):
                self._send(self._shard.step(SCHEDULER, message, now))
                _log.info(
                    "%s of %d, for %d workers (epoch %d)",
                    who("server", message.rank),
                    message.num_servers,
                    sum(member.role == "worker" for member in message.members),
                    message.epoch,
                )

    def _step(self, sender: bytes, message: Message, now: float) -> Out:
        return self._shard.step(sender, message, now)

    def _tick(self, now: float) -> End | None:
        shard, membership = self._shard, self._membership
        self._tell(membership.tick(now, shard.step_clock, shard.nbytes, len(shard.keys)))
        if membership.ended is not None:
            _log.info(
                "%s held %d keys, %.1f MB with the optimizer's state, for %d rounds",
                shard.where,
                len(shard.keys),
                shard.nbytes / 1e6,
                shard.step_clock,
            )
        return membership.ended

    def _on_stop(self, reason: str, now: float) -> None:
        self._tell(self._membership.stop(reason, now, self._shard.step_clock))

    def _tell(self, messages: list[Message]) -> None:
        for message in messages:
            if not sockets.send(self._dealer, encode(message)):
                self.num_undelivered += 1


def open_loop(settings: Settings) -> SchedulerLoop | ServerLoop:
    """The loop of this process's role. Raises ConfigError when the settings do not make one."""
    match settings.role:
        case "scheduler":
            return SchedulerLoop(settings)
        case "server":
            return ServerLoop(settings)
        case "worker":
            raise ConfigError(
                "DMLC_ROLE=worker: a worker is a training script; here is a scheduler or a server"
            )

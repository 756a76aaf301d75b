"""The one thread of a scheduler or a server: receive, decode, step, encode, send.

Here is I/O without rules: what a message means is decided in shard.py, scheduler.py and membership.py, and
the time they see is read here. Each loop has a ZeroMQ context of its own, so that two can run in one test.

Bytes that are no message are refused, counted and told of in the log (the 1st, 2nd, 4th, 8th ... time), and
that is all they do. An exception from the rules would be our own bug: the job then ends and says so, rather
than going on with half of a change.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import resource
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import zmq

from psdist.errors import ConfigError
from psdist.settings import Settings
from psdist.stamps import Stamps, open_points
from psdist.wire import BadMessage, Message, decode, encode, ipc
from psdist.wire import messages as m
from psdist.wire.codec import OldTurn

from . import sockets
from .disk import Disk
from .lanes import Lanes
from .logs import Logs, check_folder
from .membership import End, Membership, who
from .replica import Changes
from .rounds import Empty
from .scheduler import Scheduler
from .server import LOG, Server
from .shard import SCHEDULER, Destination, Out, Shard
from .shm import Sharing
from .taking import Taken
from .timed import time_rules

__all__ = ["Loop", "SchedulerLoop", "ServerLoop", "open_loop"]

_log = logging.getLogger("psdist.server")

_AT_ONCE: Final = 256  # messages, before time and the scheduler get their turn
_WAIT_MS: Final = 250  # the longest wait: how late a signal may be noticed
_TICK_S: Final = 0.02  # how exactly the rules know the time
_LATE_S: Final = (
    1.0  # a turn that took longer: this process was stopped or starved, and heard nobody meanwhile
)


class Loop:
    """What the two roles have in common: a ROUTER that others connect to. A `with` block; `run` once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._points = open_points(settings)
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
            tick_at = turned_at = now = time.monotonic()
            self._begin(now)
            while True:
                ready = dict(self._poller.poll(_WAIT_MS))
                self._turn(ready)
                now = time.monotonic()
                if now - turned_at > _LATE_S:
                    self._slept(now - turned_at)
                turned_at = now
                if now < tick_at:
                    continue
                tick_at = now + _TICK_S
                if self._stop_reason:
                    self._on_stop(self._stop_reason, now)
                if (end := self._tick(now)) is not None:
                    return end
        except Exception as e:
            if isinstance(e, MemoryError):
                reason = f"out of memory ({e})" if str(e) else "out of memory"
                _log.error("%s: more servers hold less each, or a limit is too low", reason)
            else:
                reason = f"internal error: {e!r}"
                _log.exception("a bug in psdist: please report it with the lines above")
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

    def _slept(self, seconds: float) -> None:
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
            self._handle(frames.pop(0).bytes, frames)

    def _handle(self, sender: bytes, frames: Sequence[Any]) -> None:
        """Take one message."""
        if self._points is not None:
            self._points.reached("came")
        try:
            message = self._decode(sender, frames)
        except OldTurn as e:  # it was under way when its connection broke: what is new says Hello first
            text = "the arrays of this message lie in memory of an agreement that is over"
            self._send([(sender, m.Error(e.seq, "not-admitted", text))])
            return
        except BadMessage as e:
            self._refuse(sender, e)
            return
        if self._points is not None:
            self._points.at("receive", message, sender)
        out = self._step(sender, message, time.monotonic())
        if self._points is not None:
            self._points.at("handled", message, sender)
        self._send(out)

    def _decode(self, sender: bytes, frames: Sequence[Any]) -> Message:
        return decode(frames)

    def _encode(self, destination: bytes, message: Message) -> list[Any] | None:
        """The frames of a message; None: it has gone another way."""
        return list(encode(message))

    def _refuse(self, sender: bytes, error: BadMessage) -> None:
        self.num_refused += 1
        if self.num_refused & (self.num_refused - 1) == 0:
            _log.warning("refused a message: %s (%d so far)", error, self.num_refused)
        self._send([(sender, m.Error(error.seq, "protocol", str(error)))])

    def _send(self, out: Out) -> None:
        for destination, message in out:
            if not self._put(self._router, message, destination):
                _log.debug("%s was not delivered: its connection is gone or full", type(message).__name__)

    def _put(self, sock: sockets.Socket, message: Message, destination: Destination | None = None) -> bool:
        """Give a message to a socket; whether it took it."""
        if self._points is not None:
            self._points.at("send", message, destination or b"")
        if destination is None:
            is_sent = sockets.send(sock, encode(message))
        else:
            frames = self._encode(destination, message)
            is_sent = frames is None or sockets.send(sock, [destination, *frames])
        if self._points is not None:
            self._points.at("sent", message, destination or b"")
        self.num_undelivered += not is_sent
        return is_sent


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
            replicas=settings.replicas,
            elastic=settings.elastic,
            is_restored=bool(settings.restore),
            shards_per_server=settings.shards_per_server,
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

    def _slept(self, seconds: float) -> None:
        self._scheduler.slept(seconds)


def _most_memory() -> int:
    """Bytes that this process has ever had in memory."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(
                "VmHWM:"
            ):  # ru_maxrss would be that of whoever started this process, if it was larger
                return int(line.split()[1]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


class ServerLoop(Loop):
    """A server: workers push and pull here; it is itself a member of the scheduler's job."""

    def __init__(self, settings: Settings) -> None:
        settings.require_root()
        check_folder(settings)
        super().__init__(settings)
        try:
            host = sockets.resolve(settings.root_uri, "DMLC_PS_ROOT_URI")
            self._dealer = sockets.connect(self._context, settings, self._keys, host, settings.root_port)
        except BaseException:
            self.close()
            raise
        self._poller.register(self._dealer, zmq.POLLIN)
        shown = settings.node_host or self.host
        at = settings.advertise or f"{f'[{shown}]' if ':' in shown else shown}:{self.port}"
        self.address = f"tcp://{at}"
        if settings.transport == "ipc":
            sockets.bind_near(self._router, ipc.endpoint(settings.job, self.address))
        self._peers: dict[Destination, sockets.Socket] = {}  # to the servers that keep our copies
        self._sharing = Sharing(settings.shm_nbytes)
        self._lanes = Lanes(self._poller)
        token = secrets.randbits(63)
        self._disk = Disk(settings) if settings.snapshot_dir else None
        self._logs = Logs(settings) if settings.ack == "on-disk" else None
        if self._logs is not None:
            self._poller.register(self._logs.bell, zmq.POLLIN)
        self._untimed = time_rules(self._points) if isinstance(self._points, Stamps) else None
        self._server = Server(
            settings.job,
            incarnation=settings.incarnation,
            token=token,
            heartbeat_s=settings.heartbeat_s,
            dead_after_s=settings.dead_after_s,
            snapshot_every=settings.snapshot_every if settings.snapshot_dir else 0,
            guard=settings.guard,
            first=_restorer(settings, self._sharing.empty) if settings.restore else None,
            empty=self._sharing.empty,
            logs=self._logs is not None,
            is_logged=_is_logged(settings),
        )
        self._membership = Membership(
            job=settings.job,
            role="server",
            rank=m.ANY_RANK if settings.rank is None else settings.rank,
            incarnation=settings.incarnation,
            token=token,
            address=self.address,
            scheduler=f"{settings.root_uri}:{settings.root_port}",
            connect_timeout_s=settings.connect_timeout_s,
            start_timeout_s=settings.start_timeout_s,
            heartbeat_s=settings.heartbeat_s,
            dead_after_s=settings.dead_after_s,
            scheduler_away_s=settings.scheduler_away_s,
        )

    def close(self) -> None:
        if (logs := getattr(self, "_logs", None)) is not None:
            logs.close()
        if (disk := getattr(self, "_disk", None)) is not None:
            disk.close()
        if (untimed := getattr(self, "_untimed", None)) is not None:
            self._untimed = None
            untimed(self._server.rank)
        super().close()
        if (sharing := getattr(self, "_sharing", None)) is not None:  # not when the sockets failed
            sharing.close()
        if (lanes := getattr(self, "_lanes", None)) is not None:
            lanes.close()

    def _listen(self) -> tuple[sockets.Socket, str, int]:
        settings = self._settings
        if settings.node_host:
            host = sockets.resolve(settings.node_host, "DMLC_NODE_HOST")
            if not sockets.is_ours(host):
                host = "0.0.0.0"  # reached through another address, as behind NAT
        else:
            host = sockets.local_address(sockets.resolve(settings.root_uri, "DMLC_PS_ROOT_URI"))
        sock, port = sockets.bind(self._context, settings, self._keys, host, settings.node_port)
        return sock, host, port

    def _begin(self, now: float) -> None:
        _log.info("server of job %r at %s asks the scheduler to join", self._settings.job, self.address)
        self._tell(self._membership.join(now))

    def _turn(self, ready: dict[Any, int]) -> None:
        if self._dealer in ready:
            self._hear()
        for destination, peer in list(self._peers.items()):
            if peer in ready:
                self._hear_peer(destination, peer)
        if self._logs is not None and self._logs.bell in ready:
            self._hear_disk(self._logs)
        if self._lanes.has_callers(ready):
            self._lanes.admit(self._sharing.sender_of)
        for sender in self._lanes.ready(ready):
            self._drain(sender)
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
            if self._points is not None:
                self._points.at("receive", message)
            now = time.monotonic()
            self._tell(self._membership.step(message, now))
            if isinstance(message, m.Welcome):
                _log.info("the scheduler has let us in; waiting for the others")
            elif isinstance(message, m.View):
                if self._logs is not None and self._server.view is None:
                    self._logs.begin(len(m.placements(message)), message.num_servers, message.run)
                out = self._server.step(SCHEDULER, message, now)
                self._connect()
                self._send(out)
                _log.info(
                    "%s of %d, for %d workers (epoch %d)%s",
                    who("server", message.rank),
                    sum(member.role == "server" for member in message.members),
                    sum(member.role == "worker" for member in message.members),
                    message.epoch,
                    _duties(self._server),
                )

    def _connect(self) -> None:
        """Be connected to the servers that keep our copies, and to no others."""
        links = self._server.links
        for destination in [one for one in self._peers if one not in links]:
            self._poller.unregister(self._peers[destination])
            self._peers.pop(destination).close(linger=0)
        for destination, member in links.items():
            if destination not in self._peers:
                host, _, port = member.address.removeprefix("tcp://").rpartition(":")
                peer = sockets.connect(self._context, self._settings, self._keys, host.strip("[]"), int(port))
                self._peers[destination] = peer
                self._poller.register(peer, zmq.POLLIN)

    def _hear_peer(self, destination: Destination, peer: sockets.Socket) -> None:
        """Take what a server says that keeps our copies."""
        while (frames := sockets.receive(peer)) is not None:
            try:
                message = decode(frames)
            except BadMessage as e:
                self.num_refused += 1
                _log.warning("a server sent what is no message: %s", e)
                continue
            if self._points is not None:
                self._points.at("receive", message)
            self._send(self._server.step(destination, message, time.monotonic()))

    def _hear_disk(self, logs: Logs) -> None:
        """Acknowledge what is on the disk now."""
        try:
            safe, marked = logs.news()
        except OSError as e:
            self.stop(str(e))
            return
        self._send(self._server.step(LOG, m.Done(safe, m.ACK_ON_DISK), time.monotonic()))
        for taken in marked:
            self._write(taken)

    def _write(self, taken: Taken) -> None:
        if self._disk is not None and self._server.view is not None:
            self._disk.write(taken, len(m.placements(self._server.view)))

    def _send(self, out: Out) -> None:
        to_others = []
        for pair in out:
            destination, message = pair
            if destination == SCHEDULER:
                self._tell([message])
            elif destination == LOG:
                assert self._logs is not None, message
                assert isinstance(message, Changes), message
                self._logs.write(message)
            elif (peer := self._peers.get(destination)) is None:
                to_others.append(pair)
            else:
                self._put(peer, message)  # what is not acknowledged will be sent again
        super()._send(to_others)

    def _step(self, sender: bytes, message: Message, now: float) -> Out:
        if isinstance(message, m.Share) and self._server.serves(sender):
            return [(sender, self._agree(sender, message))]
        return self._server.step(sender, message, now)

    def _agree(self, sender: bytes, share: m.Share) -> Message:
        """Answer a worker that offers its memory."""
        answer = self._sharing.agree(sender, share, self._lanes.name)
        self._lanes.keep(self._sharing.knows)
        return answer

    def _handle(self, sender: bytes, frames: Sequence[Any]) -> None:
        self._drain(sender)  # what was sent by the lane before this
        super()._handle(sender, frames)

    def _drain(self, sender: bytes) -> None:
        """Take what has come by a lane."""
        for _ in range(_AT_ONCE):
            frames = self._lanes.receive(sender)
            if frames is None:
                return
            super()._handle(sender, frames)

    def _decode(self, sender: bytes, frames: Sequence[Any]) -> Message:
        return decode(frames, self._sharing.memory(sender))

    def _encode(self, destination: bytes, message: Message) -> list[Any] | None:
        return self._sharing.send(destination, message, self._lanes.get(destination))

    def _tick(self, now: float) -> End | None:
        server, membership = self._server, self._membership
        self._send(server.tick(now))
        for warning in server.warnings():
            _log.warning("%s", warning)
        if self._disk is not None and server.view is not None:
            for taken in server.taken():
                if self._logs is not None:
                    self._logs.mark(taken)
                else:
                    self._write(taken)
            self._disk.fill(server.empty(), len(m.placements(server.view)))
        self._sharing.forget()
        self._lanes.admit(self._sharing.sender_of)
        if server.fenced:
            membership.end(server.fenced)
        self._tell(membership.tick(now, server.step_clock, server.nbytes, server.num_keys))
        if membership.ended is not None:
            _log.info(
                "%s held %d keys, %.1f MB with the optimizer's state, for %d rounds, and at most %d MB of memory",
                server.where,
                server.num_keys,
                server.nbytes / 1e6,
                server.step_clock,
                _most_memory() >> 20,
            )
        return membership.ended

    def _on_stop(self, reason: str, now: float) -> None:
        self._tell(self._membership.stop(reason, now, self._server.step_clock))

    def _slept(self, seconds: float) -> None:
        self._membership.slept(seconds)
        self._server.slept(seconds)

    def _tell(self, messages: list[Message]) -> None:
        for message in messages:
            self._put(self._dealer, message)


def _restorer(settings: Settings, empty: Empty) -> Callable[[int, int, int], Shard]:
    """What makes the shards with which a job begins that goes on from a snapshot. Raises ConfigError,
    BadSnapshot."""
    from . import recovery, snapshot  # only now: few servers need it
    from .log import has_log
    from .remote import folder_at

    if "://" not in settings.restore and has_log(path := Path(settings.restore)):
        recovered = recovery.restorer(
            path,
            settings.job,
            heartbeat_s=settings.heartbeat_s,
            dead_after_s=settings.dead_after_s,
            empty=empty,
        )

        def begin(number: int, num_shards: int, num_servers: int) -> Shard:
            shard = recovered(number, num_shards, num_servers)
            _log.info("shard %d begins at step %d of the log in %s", number, shard.step_clock, path)
            return shard

        return begin

    found = snapshot.latest(folder_at(settings.restore))
    restored = snapshot.restorer(
        found,
        settings.job,
        settings.slice_nbytes,
        heartbeat_s=settings.heartbeat_s,
        dead_after_s=settings.dead_after_s,
        empty=empty,
    )

    def first(number: int, num_shards: int, num_servers: int) -> Shard:
        shard = restored(number, num_shards, num_servers)
        _log.info("shard %d begins at step %d of %s", number, found.step, found.path)
        return shard

    return first


def _is_logged(settings: Settings) -> bool:
    """Whether what the job begins with is in its log."""
    from .log import has_log

    return not settings.restore or (
        settings.restore == settings.snapshot_dir and has_log(Path(settings.restore))
    )


def _duties(server: Server) -> str:
    """What a server does besides its own shard, for the log."""
    served = [number for number in server.primaries if number != server.rank]
    words = f"; it serves shards {', '.join(map(str, sorted(served)))}, too" if served else ""
    if server.rank not in server.primaries:
        words = (
            "; it serves no shard"
            if not served
            else f"; it serves shards {', '.join(map(str, sorted(served)))}"
        )
    kept = sorted(server.backups)
    return words + (f"; it keeps copies of shards {', '.join(map(str, kept))}" if kept else "")


def _import(name: str) -> None:
    """Load the module that whoever started this server named. What comes over the wire names no module."""
    try:
        importlib.import_module(name)
    except Exception as e:
        raise ConfigError(f"PSDIST_SERVER_MODULE={name}: {type(e).__name__}: {e}") from e


def open_loop(settings: Settings) -> SchedulerLoop | ServerLoop:
    """The loop of this process's role. Raises ConfigError when the settings do not make one."""
    match settings.role:
        case "scheduler":
            return SchedulerLoop(settings)
        case "server":
            if settings.server_module:
                _import(settings.server_module)
            return ServerLoop(settings)
        case "worker":
            raise ConfigError(
                "DMLC_ROLE=worker: a worker is a training script; here is a scheduler or a server"
            )

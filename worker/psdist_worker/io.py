"""The socket thread: it owns every socket of a worker, and does what the rules in client.py say.

Other threads give it work through `do`, a queue with a bell, and hear back through `Call.on_done`, which runs
here. Frames leave without a copy: ZeroMQ reads the caller's memory, and pyzmq keeps the array alive until the
message is sent. They arrive without one, too: an array of a reply is a view of the frame it came in, copied
once into where it belongs (`Request.deliver`).

What is to be sent waits in a heap, highest priority first, and goes into a socket only while that has room: a
socket's own queue is first come, first served, so it is kept short.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import zmq
import zmq.auth
import zmq.utils.garbage  # now, not at the first send: so its exit handler runs after the store's, which sends

from psdist.errors import PSError, TransportError
from psdist.malloc import keep_freed_memory
from psdist.settings import Settings
from psdist.stamps import Points, Stamps, open_points
from psdist.wire import BadMessage, decode, encode
from psdist.wire import messages as m
from psdist.wire.codec import OldTurn, frame_limit

from .client import SCHEDULER, Client, Connect, Peer, Send
from .shm import Sharing

__all__ = ["IO"]

_log = logging.getLogger("psdist.worker")

_SEND_QUEUE = (
    32  # messages in a socket: 32 slices of 1 MB are 16 ms of a loopback, which a priority waits at most
)
_RECEIVE_QUEUE = 256  # messages
_READ_AT_ONCE = 64  # messages of one socket before the others get their turn
_STUCK_MS = 5  # how soon to look again whether there is room in shared memory
_HURRY = 1 << 60  # the priority of an offer: what comes later may use it
_RECONNECT_MS = 50
_RECONNECT_MAX_MS = 1000

_HANDSHAKE_FAILED = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)

_Socket = zmq.Socket[bytes]


class IO:
    """A `with` block around the thread. `close` joins it."""

    def __init__(self, client: Client, settings: Settings, sharing: Sharing) -> None:
        self._client = client
        self._settings = settings
        self._points = open_points(settings)
        self._sharing = sharing
        self._todo: deque[Callable[[float], None]] = deque()
        self._bell_in, self._bell_out = socket.socketpair()
        self._bell_in.setblocking(False)
        self._bell_out.setblocking(False)
        self._has_rung = False  # a byte is in the bell; racing writers at worst put in another
        self._stop = False
        self._linger_s = 0.0
        self._context: zmq.Context[_Socket] = zmq.Context()
        keep_freed_memory()
        self._thread = threading.Thread(target=self._run, name="psdist-worker-io", daemon=True)
        self._is_closed = False

    def start(self) -> None:
        self._thread.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def do(self, work: Callable[[float], None]) -> None:
        """Have the thread call `work(now)`, which may call the client. May be called by any thread."""
        if self._points is not None:
            self._points.reached("do")
        self._todo.append(work)
        if not self._has_rung:
            self._has_rung = True
            self._ring()

    def close(self, linger_s: float = 0.0) -> None:
        """End the thread, after giving the sockets `linger_s` to send what they hold. May be called twice."""
        if self._is_closed:
            return
        self._is_closed = True
        self._linger_s = linger_s
        self._stop = True
        if self._thread.ident is not None:
            self._ring()
            self._thread.join()
        self._context.destroy(linger=0)
        if isinstance(self._points, Stamps):
            self._points.write(self._client.rank)
        self._sharing.close()
        self._bell_in.close()
        self._bell_out.close()

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):  # the bell is full of rings
            self._bell_in.send(b"!")

    # --- in the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        loop = _Loop(self._client, self._settings, self._sharing, self._context, self._bell_out, self._points)
        try:
            while not self._stop:
                loop.wait()
                self._has_rung = False  # before the queue is emptied: who comes later rings again
                now = time.monotonic()
                todo = self._todo
                while todo:
                    todo.popleft()(now)
                loop.work(now)
            while self._todo:  # what was asked just before close()
                self._todo.popleft()(time.monotonic())
            loop.flush(time.monotonic() + self._linger_s)
        except Exception as e:
            # a bug here must not become a caller that waits for ever
            _log.exception("the socket thread failed")
            error = e if isinstance(e, PSError) else TransportError(f"the socket thread failed: {e!r}")
            self._client.fail(error)
            while not self._stop or self._todo:
                while self._todo:
                    self._todo.popleft()(time.monotonic())
                time.sleep(0.05)
        finally:
            loop.close(self._linger_s)


class _Loop:
    """One thread's sockets."""

    def __init__(
        self,
        client: Client,
        settings: Settings,
        sharing: Sharing,
        context: zmq.Context[_Socket],
        bell: socket.socket,
        points: Points | None,
    ) -> None:
        self._client = client
        self._settings = settings
        self._sharing = sharing
        self._points = points
        self._context = context
        self._bell = bell
        self._sockets: dict[Peer, _Socket] = {}
        self._monitors: dict[Peer, _Socket] = {}
        self._connections: dict[Peer, int] = {}  # how often the connection to a peer came about
        self._heaps: dict[Peer, list[tuple[int, int, Send]]] = {}  # (-priority, order of coming, what)
        self._order = itertools.count()
        self._poller = zmq.Poller()
        self._poller.register(bell, zmq.POLLIN)
        self._is_full: set[Peer] = set()  # sockets that are polled for room
        self._tick_at = 0.0
        self._ready: dict[object, int] = {}

    def wait(self) -> None:
        """Until something happens, or it is time to tick."""
        timeout_s = max(0.0, self._tick_at - time.monotonic())
        timeout_ms = int(timeout_s * 1000) + 1
        if self._sharing.is_stuck:
            timeout_ms = min(timeout_ms, _STUCK_MS)
        self._ready = dict(self._poller.poll(timeout_ms))
        if self._bell.fileno() in self._ready:
            with contextlib.suppress(BlockingIOError):
                self._bell.recv(4096)

    def work(self, now: float) -> None:
        """Read, tick, send."""
        for peer, monitor in list(self._monitors.items()):
            if monitor in self._ready:
                self._read_monitor(peer, monitor, now)
        for peer, sock in list(self._sockets.items()):
            if self._ready.get(sock, 0) & zmq.POLLIN:
                self._read(peer, sock, now)
        if now >= self._tick_at:
            self._client.tick(now)
            self._tick_at = self._client.wake_at(now)
        self._act(now)

    def flush(self, until: float) -> None:
        """Put everything that is to be sent into the sockets, as long as there is time."""
        now = time.monotonic()
        self._act(now)
        while any(self._heaps.values()) and now < until:
            left_ms = _STUCK_MS if self._sharing.is_stuck else int((until - now) * 1000) + 1
            self._ready = dict(self._poller.poll(left_ms))
            now = time.monotonic()
            self._act(now)

    def close(self, linger_s: float) -> None:
        for peer, sock in self._sockets.items():
            sock.disable_monitor()
            self._monitors[peer].close(linger=0)
            sock.close(linger=int(linger_s * 1000))
        if linger_s and self._sockets:
            self._context.term()  # waits for the sockets to linger; bounded by their LINGER

    # --- the rules' wishes ------------------------------------------------------------------------

    def _act(self, now: float) -> None:
        outbox = self._client.outbox
        while outbox:
            action = outbox.popleft()
            if isinstance(action, Connect):
                self._connect(action.peer, action.address)
            else:
                heapq.heappush(self._heaps[action.peer], (-action.priority, next(self._order), action))
        for peer, heap in self._heaps.items():
            if heap:
                self._send_some(peer, heap, now)

    def _connect(self, peer: Peer, address: str) -> None:
        if (old := self._sockets.pop(peer, None)) is not None:
            self._poller.unregister(old)
            self._poller.unregister(self._monitors[peer])
            old.disable_monitor()
            self._monitors.pop(peer).close(linger=0)
            old.close(linger=0)
        sock = _new_socket(self._context, self._settings)
        monitor = sock.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | _HANDSHAKE_FAILED)
        sock.connect(address)
        self._sockets[peer] = sock
        self._monitors[peer] = monitor
        self._connections[peer] = 0
        self._heaps[peer] = []  # what waits for an answer will be sent again when the peer has welcomed us
        self._is_full.discard(peer)
        self._poller.register(sock, zmq.POLLIN)
        self._poller.register(monitor, zmq.POLLIN)

    def _send_some(self, peer: Peer, heap: list[tuple[int, int, Send]], now: float) -> None:
        sock = self._sockets[peer]
        while heap:
            send = heap[0][2]
            request = send.request
            if request is not None and request.call.is_done:
                heapq.heappop(heap)  # given up before it was sent
                continue
            parts: list[Any] | None
            if self._points is not None:
                self._points.at("make", send.message)
            if request is None or request.draft is None:
                parts = list[Any](encode(send.message))
            else:
                parts = self._sharing.frames(peer, request.message.seq, request.draft, now)
                if parts is None:
                    return  # enough is on its way
            if self._points is not None:
                self._points.at("send", send.message)
            try:
                sock.send_multipart(parts, zmq.DONTWAIT, copy=False)
            except zmq.Again:
                if peer not in self._is_full:
                    self._is_full.add(peer)
                    self._poller.modify(sock, zmq.POLLIN | zmq.POLLOUT)
                return
            heapq.heappop(heap)
            if self._points is not None:
                self._points.at("sent", send.message)
        if peer in self._is_full:
            self._is_full.discard(peer)
            self._poller.modify(sock, zmq.POLLIN)

    # --- the sockets' news ------------------------------------------------------------------------

    def _read(self, peer: Peer, sock: _Socket, now: float) -> None:
        sharing = self._sharing
        for _ in range(_READ_AT_ONCE):
            try:
                frames = sock.recv_multipart(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return
            if self._points is not None:
                self._points.reached("came")
            try:
                message = decode(frames, sharing.memory(peer))
            except OldTurn:
                continue  # from before the connection broke; it will be answered again
            except BadMessage as e:
                self._client.bad_message(peer, e, e.seq)
                continue
            if self._points is not None:
                self._points.at("receive", message)
            if isinstance(message, m.Share | m.Error) and sharing.answered(peer, message):
                continue
            self._client.receive(peer, message, now)
            if self._points is not None:
                self._points.at("handled", message)
            if peer == SCHEDULER:
                continue
            sharing.has_read(peer)
            if isinstance(message, m.Welcome):
                self._offer(peer)
            elif isinstance(message, m.Values | m.Done) or (
                isinstance(message, m.Error) and message.code != "not-admitted"
            ):
                sharing.was_answered(message.seq)

    def _offer(self, peer: Peer) -> None:
        """Offer our memory to a server that has let us in."""
        share = self._sharing.offer(peer, self._client.next_seq())
        if share is not None:
            heapq.heappush(self._heaps[peer], (-_HURRY, next(self._order), Send(peer, share, _HURRY)))

    def _read_monitor(self, peer: Peer, monitor: _Socket, now: float) -> None:
        while True:
            try:
                event, _ = monitor.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            if int.from_bytes(event[:2], "little") & _HANDSHAKE_FAILED:
                self._client.turned_away(peer)
                continue
            self._connections[peer] += 1
            if self._connections[peer] > 1:
                _log.warning("the connection to peer %d is back; sending again what was not answered", peer)
                self._client.reconnected(peer, now)


def _new_socket(context: zmq.Context[_Socket], settings: Settings) -> _Socket:
    """A DEALER with every trap of ZeroMQ's defaults closed."""
    sock = context.socket(zmq.DEALER)
    sock.setsockopt(zmq.LINGER, 0)
    sock.setsockopt(zmq.SNDHWM, _SEND_QUEUE)
    sock.setsockopt(zmq.RCVHWM, _RECEIVE_QUEUE)
    sock.setsockopt(zmq.MAXMSGSIZE, frame_limit(settings.slice_nbytes))
    sock.setsockopt(zmq.HANDSHAKE_IVL, int(settings.connect_timeout_s * 1000))
    sock.setsockopt(zmq.HEARTBEAT_IVL, int(settings.heartbeat_s * 1000))
    sock.setsockopt(zmq.HEARTBEAT_TIMEOUT, int(settings.dead_after_s * 1000))
    sock.setsockopt(zmq.CONNECT_TIMEOUT, 2000)
    sock.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
    sock.setsockopt(zmq.RECONNECT_IVL_MAX, _RECONNECT_MAX_MS)
    sock.setsockopt(zmq.IPV6, 1)
    if settings.key_file:
        public, secret = zmq.auth.load_certificate(settings.key_file)
        assert secret is not None, f"{settings.key_file} holds no secret key"
        sock.curve_serverkey = sock.curve_publickey = public
        sock.curve_secretkey = secret
    return sock

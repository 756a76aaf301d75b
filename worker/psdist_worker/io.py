"""The sockets of a worker, and whose turn it is with them: it does what the rules in client.py say.

One thread at a time has the turn, and with it the sockets and the client. Mostly that is the socket thread: others
give it work through `do`, a queue with a bell, and hear back through `Call.on_done`. But a hand-over from thread
to thread costs more than a small message, so that the socket thread keeps the turn only while something is under
way, and a caller who has nothing to do but wait takes it meanwhile (`begin`, `wait`): he sends, and reads until
his reply is there. The socket thread then looks in only now and then.

Frames leave without a copy: ZeroMQ reads the caller's memory, and pyzmq keeps the array alive until the
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
import math
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import zmq
import zmq.auth
import zmq.utils.garbage  # now, not at the first send: so its exit handler runs after the store's, which sends

from psdist.errors import PSError, TransportError
from psdist.malloc import keep_freed_memory
from psdist.settings import Settings
from psdist.stamps import Points, Stamps, open_points
from psdist.wire import BadMessage, decode, encode, ipc
from psdist.wire import messages as m
from psdist.wire.codec import OldTurn, frame_limit
from psdist.wire.lane import Gone, Lane

from .client import SCHEDULER, Call, Client, Connect, Peer, Send
from .shm import Sharing

__all__ = ["IO"]

_log = logging.getLogger("psdist.worker")

_SEND_QUEUE = (
    32  # messages in a socket: 32 slices of 1 MB are 16 ms of a loopback, which a priority waits at most
)
_RECEIVE_QUEUE = 256  # messages
_READ_AT_ONCE = 64  # messages of one socket before the others get their turn
_STUCK_S = 0.005  # how soon to look again whether there is room in shared memory
_HURRY = 1 << 60  # the priority of an offer: what comes later may use it
_HAND_OVER_S = 0.01
_RECONNECT_MS = 50
_RECONNECT_MAX_MS = 1000

_HANDSHAKE_FAILED = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)

_Socket = zmq.Socket[bytes]

_IN = int(zmq.POLLIN)  # arithmetic on zmq's own enumeration takes microseconds
_OUT = int(zmq.POLLOUT)
_NOW = int(zmq.DONTWAIT)


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
        self._turn = _Turn()
        self._asleep = threading.Lock()  # what the socket thread sleeps on; released, it is awake
        self._asleep.acquire()
        self._is_broken = False
        self._loop: _Loop | None = None
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
        """Have whoever has the turn call `work(now)`, which may call the client. May be called by any thread."""
        if self._points is not None:
            self._points.reached("do")
        self._todo.append(work)
        if not self._has_rung:
            self._has_rung = True
            self._ring()

    def begin(self, work: Callable[[float], None]) -> bool:
        """As `do`, but when the turn is free this thread takes it, and must go on by `wait` or `send`."""
        if self._points is not None:
            self._points.reached("do")
        self._todo.append(work)
        if self._loop is not None and not self._stop and self._turn.take():
            return True
        if not self._has_rung:
            self._has_rung = True
            self._ring()
        return False

    def send(self) -> None:
        """Do what was asked for, and give the turn back: replies are read by whoever takes it next."""
        loop = self._loop
        assert loop is not None, "begin() has looked"
        try:
            self._once(loop)
        finally:
            self._give()

    def wait(self, call: Call) -> None:
        """Do the socket thread's work until the call is done (or this store is closed), then give the turn back."""
        loop = self._loop
        assert loop is not None, "begin() has looked"
        try:
            self._once(loop)
            while not call.is_done and not self._stop:
                loop.wait()  # nearly all of the time goes here, where an interrupt does no harm
                self._once(loop)
        finally:
            self._give()

    def wake(self) -> None:
        """Have the socket thread see to what is under way, since somebody waits for it."""
        self._ring()

    def close(self, linger_s: float = 0.0) -> None:
        """End the thread, after giving the sockets `linger_s` to send what they hold. May be called twice."""
        if self._is_closed:
            return
        self._is_closed = True
        self._linger_s = linger_s
        self._stop = True
        self._turn.give()  # this thread may have been interrupted in the middle of its turn
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
        with contextlib.suppress(RuntimeError):  # it is awake, or soon will be
            self._asleep.release()

    # --- by whoever has the turn ------------------------------------------------------------------

    def _give(self) -> None:
        self._turn.give()
        if self._todo or self._stop:  # somebody came when it was not free
            self._ring()

    def _once(self, loop: _Loop) -> None:
        """Do what was asked for, and what has happened."""
        try:
            self._has_rung = False  # before the queue is emptied: who comes later rings again
            now = time.monotonic()
            todo = self._todo
            while todo:
                todo.popleft()(now)
            if not self._is_broken:
                loop.work(now)
        except BaseException as e:
            # a bug, or an interrupt in the middle of a rule: nobody knows how much of a change is done, and
            # it must not become a caller that waits for ever
            self._is_broken = True
            _log.error("the work on the sockets failed", exc_info=e)
            error = e if isinstance(e, PSError) else TransportError(f"the socket thread failed: {e!r}")
            self._client.fail(error)
            if not isinstance(e, Exception):
                raise

    # --- in the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        loop = self._loop = _Loop(
            self._client, self._settings, self._sharing, self._context, self._bell_out, self._points
        )
        try:
            while not self._stop:
                if self._turn.take():
                    try:
                        loop.wait(0.0)
                        self._once(loop)
                        while loop.is_busy and not self._stop:
                            loop.wait()
                            self._once(loop)
                    finally:
                        self._give()
                if not self._todo:
                    self._asleep.acquire(timeout=loop.sleep_s)
            while not self._turn.take():  # a caller in another thread sees _stop soon
                time.sleep(_HAND_OVER_S)
            self._once(loop)  # what was asked just before close()
            loop.flush(time.monotonic() + self._linger_s)
        finally:
            loop.close(self._linger_s)


class _Turn:
    """Whose turn it is. A thread that has it already may take it again: its last turn was cut off by an interrupt."""

    def __init__(self) -> None:
        self._owner: dict[str, int] = {}  # a dict, since setdefault and pop are done at once or not at all

    def take(self) -> bool:
        me = threading.get_ident()
        return self._owner.setdefault("thread", me) == me

    def give(self) -> None:
        """Not if it is another thread's."""
        if self._owner.get("thread") == threading.get_ident():
            self._owner.pop("thread", None)


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
        self._lanes: dict[Peer, Lane] = {}
        self._detours: dict[Peer, set[int]] = {}  # seqs of settings that went by ZeroMQ and are not answered
        self._heaps: dict[Peer, list[tuple[int, int, Send]]] = {}  # (-priority, order of coming, what)
        self._order = itertools.count()
        self._poller = zmq.Poller()
        self._poller.register(bell, _IN)
        self._is_full: set[Peer] = set()  # sockets that are polled for room
        self._tick_at = 0.0
        self._ready: dict[object, int] = {}

    @property
    def is_busy(self) -> bool:
        """Whether something is under way that must be seen to."""
        return self._client.is_busy or self._sharing.is_stuck or any(self._heaps.values())

    @property
    def sleep_s(self) -> float:
        """How long nobody needs to look."""
        return max(0.0, self._tick_at - time.monotonic())

    def wait(self, most_s: float = math.inf) -> None:
        """Until something happens, or it is time to tick."""
        timeout_s = min(self.sleep_s, most_s)
        if self._sharing.is_stuck:
            timeout_s = min(timeout_s, _STUCK_S)
        self._ready = dict(self._poller.poll(math.ceil(timeout_s * 1000)))
        if self._bell.fileno() in self._ready:
            with contextlib.suppress(BlockingIOError):
                self._bell.recv(4096)

    def work(self, now: float) -> None:
        """Read, tick, send."""
        ready = self._ready
        self._ready = {}
        for peer, monitor in list(self._monitors.items()):
            if monitor in ready:
                self._read_monitor(peer, monitor, now)
        for peer, lane in list(self._lanes.items()):
            if lane.fileno() in ready:
                self._read_lane(peer, lane, now)
        for peer, sock in list(self._sockets.items()):
            if ready.get(sock, 0) & _IN:
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
            left_ms = int(_STUCK_S * 1000) if self._sharing.is_stuck else int((until - now) * 1000) + 1
            self._ready = dict(self._poller.poll(left_ms))
            now = time.monotonic()
            self._act(now)

    def close(self, linger_s: float) -> None:
        for peer in list(self._lanes):
            self._close_lane(peer)
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
        self._close_lane(peer)
        sock = _new_socket(self._context, self._settings)
        monitor = sock.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | _HANDSHAKE_FAILED)
        sock.connect(self._near(peer, address))
        self._sockets[peer] = sock
        self._monitors[peer] = monitor
        self._connections[peer] = 0
        self._heaps[peer] = []  # what waits for an answer will be sent again when the peer has welcomed us
        self._is_full.discard(peer)
        self._poller.register(sock, _IN)
        self._poller.register(monitor, _IN)

    def _near(self, peer: Peer, address: str) -> str:
        """The address of a server, or a shorter way to it."""
        if self._settings.transport == "ipc" and peer != SCHEDULER:
            where = ipc.endpoint(self._settings.job, address)
            if ipc.is_there(where):
                return where
            _log.info(
                "server %d (%s) is not reached by ipc: not on this host, or without PSDIST_TRANSPORT=ipc",
                peer,
                address,
            )
        return address

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
                if request is not None and self._goes_by_lane(peer, send.message, parts):
                    heapq.heappop(heap)
                    if self._points is not None:
                        self._points.at("sent", send.message)
                    continue
                sock.send_multipart(parts, _NOW, copy=False)
            except zmq.Again:
                if peer not in self._is_full:
                    self._is_full.add(peer)
                    self._poller.modify(sock, _IN | _OUT)
                return
            heapq.heappop(heap)
            if self._points is not None:
                self._points.at("sent", send.message)
        if peer in self._is_full:
            self._is_full.discard(peer)
            self._poller.modify(sock, _IN)

    # --- the sockets' news ------------------------------------------------------------------------

    def _read(self, peer: Peer, sock: _Socket, now: float) -> None:
        for _ in range(_READ_AT_ONCE):
            try:
                frames = sock.recv_multipart(_NOW, copy=False)
            except zmq.Again:
                return
            self._take(peer, frames, now)

    def _read_lane(self, peer: Peer, lane: Lane, now: float) -> None:
        try:
            for _ in range(_READ_AT_ONCE):
                frames = lane.receive()
                if frames is None:
                    return
                self._take(peer, frames, now)
        except Gone:  # the server is dead, or does not know us any more: what it has read nobody knows
            self._close_lane(peer)
            self._client.reconnected(peer, now)

    def _take(self, peer: Peer, frames: Sequence[Any], now: float) -> None:
        """Take one message."""
        if self._points is not None:
            self._points.reached("came")
        sharing = self._sharing
        try:
            message = decode(frames, sharing.memory(peer))
        except OldTurn:
            return  # from before the connection broke; it will be answered again
        except BadMessage as e:
            self._client.bad_message(peer, e, e.seq)
            return
        if self._points is not None:
            self._points.at("receive", message)
        if isinstance(message, m.Share | m.Error) and sharing.answered(peer, message):
            if isinstance(message, m.Share) and (lane := sharing.lane(peer, message)) is not None:
                self._lanes[peer] = lane
                self._poller.register(lane.fileno(), _IN)
            return
        self._client.receive(peer, message, now)
        if self._points is not None:
            self._points.at("handled", message)
        if peer == SCHEDULER:
            return
        sharing.has_read(peer)
        if isinstance(message, m.Welcome):
            self._offer(peer)
        elif isinstance(message, m.Values | m.RowValues | m.Done) or (
            isinstance(message, m.Error) and message.code != "not-admitted"
        ):
            sharing.was_answered(message.seq)
            if detours := self._detours.get(peer):
                detours.discard(message.seq)

    def _goes_by_lane(self, peer: Peer, message: m.Message, parts: Sequence[Any]) -> bool:
        """Send by the lane, where that is possible and overtakes no setting that gradients must come after."""
        lane = self._lanes.get(peer)
        if lane is not None and not self._detours.get(peer) and lane.send(parts):
            return True
        if isinstance(message, m.SetHyper):
            self._detours.setdefault(peer, set()).add(message.seq)
        return False

    def _close_lane(self, peer: Peer) -> None:
        self._detours.pop(peer, None)
        lane = self._lanes.pop(peer, None)
        if lane is not None:
            self._poller.unregister(lane.fileno())
            lane.close()

    def _offer(self, peer: Peer) -> None:
        """Offer our memory to a server that has let us in."""
        self._close_lane(peer)
        share = self._sharing.offer(peer, self._client.next_seq())
        if share is not None:
            heapq.heappush(self._heaps[peer], (-_HURRY, next(self._order), Send(peer, share, _HURRY)))

    def _read_monitor(self, peer: Peer, monitor: _Socket, now: float) -> None:
        while True:
            try:
                event, _ = monitor.recv_multipart(_NOW)
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

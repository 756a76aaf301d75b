"""Memory shared with the servers on this host: what the socket thread asks before it sends and reads arrays.

When a server has welcomed this worker, the worker offers its segment, and if the server answers with its own,
arrays of more than 8 KB travel as places. A gradient that lies in the segment already (`empty`) goes as it is;
another is copied into a block just before it is sent, and has that block until it is answered: servers may
read it until then, and after a failover the next one must find it. Few blocks are in use at a time, so that
they stay in the cache; but when nothing moves, more are taken, since two workers that each wait for what the
other has not sent would wait for ever.

A value is copied from the server's segment into its parameter, then counted as read, and is the server's again.
"""

from __future__ import annotations

import itertools
import logging
from typing import Any, Final

import numpy as np

from psdist.wire import messages as m
from psdist.wire.codec import IN_FRAME, PACKED, Draft, Memory, NoMemory
from psdist.wire.lane import Lane
from psdist.wire.shm import Counter, NotShared, Offer, Segment, Window

from .client import Peer

__all__ = ["Sharing", "empty"]

_log = logging.getLogger("psdist.worker")

_IN_USE: Final = 4 << 20  # bytes of blocks at first: four slices, which stay in the cache
_MOST_IN_USE: Final = 256 << 20
_NOTHING: Final = NoMemory()
_STUCK_S: Final = 0.02  # without an answer for so long, twice as much may be in use

Array = np.ndarray[Any, np.dtype[Any]]


def empty(shape: tuple[int, ...] | int, dtype: Any = np.float32) -> Array:
    """An array that servers on this host read where it lies: a good place for gradients. Before there is a
    distributed store, and where memory is not shared, an ordinary one."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape))
    for sharing in _of_this_process:
        if sharing.segment is not None and size:
            return sharing.segment.empty(size, dtype).reshape(shape)
    return np.empty(shape, dtype)


_of_this_process: list[Sharing] = []


class _Server:
    """What is agreed with one server."""

    __slots__ = ("turn", "was_read", "window")

    def __init__(self, window: Window, turn: int) -> None:
        self.window = window
        self.turn = turn
        self.was_read = False  # since somebody made it False

    def read(self, offset: int, size: int, dtype: np.dtype[Any]) -> Array:
        self.was_read = True
        return self.window.read(offset, size, dtype)


class Sharing:
    """The segment of a worker, and those of its servers. All but `empty` is the socket thread's."""

    def __init__(self, nbytes: int) -> None:
        """`nbytes` of address space; 0 shares nothing."""
        self.segment: Segment | None = None
        self._turn = itertools.count(1)
        self._asked: dict[Peer, m.Share] = {}  # not answered yet
        self._have_shared: set[Peer] = set()
        self._counters: dict[Peer, Counter] = {}
        self._servers: dict[Peer, _Server] = {}
        self._blocks: dict[int, list[Array]] = {}  # by seq: where its arrays were copied to
        self._in_use = 0  # bytes of them
        self._may_use = _IN_USE
        self._stuck_since = -1.0
        self._told: set[str] = set()
        if nbytes:
            try:
                self.segment = Segment(nbytes)
            except NotShared as e:
                self._tell(str(e))
            else:
                _of_this_process.append(self)

    def close(self) -> None:
        if self.segment is not None:
            self.segment.close()
        if self in _of_this_process:
            _of_this_process.remove(self)
        self._servers.clear()
        self._blocks.clear()

    def empty(self, size: int, dtype: np.dtype[Any]) -> Array:
        """Memory for what will be pushed. May be called by any thread."""
        segment = self.segment
        if segment is None or size * dtype.itemsize <= PACKED:  # never travels as a place
            return np.empty(size, dtype)
        return segment.empty(size, dtype)

    # --- agreeing ---------------------------------------------------------------------------------

    def offer(self, peer: Peer, seq: int) -> m.Share | None:
        """What to say to a server that has welcomed this worker. What was agreed before is over."""
        self._servers.pop(peer, None)
        self._asked.pop(peer, None)
        if self.segment is None:
            return None
        counter = self._counters.get(peer)
        if counter is None:
            counter = self._counters[peer] = self.segment.new_counter()
        own = self.segment.offer
        share = m.Share(
            seq, next(self._turn), own.host, own.pid, own.fd, own.nbytes, own.token, counter.index
        )
        self._asked[peer] = share
        return share

    def answered(self, peer: Peer, reply: m.Share | m.Error) -> bool:
        """A server has answered an offer; whether it was that."""
        asked = self._asked.get(peer)
        if asked is None or reply.seq != asked.seq:
            return isinstance(reply, m.Share)
        del self._asked[peer]
        if isinstance(reply, m.Error):
            self._tell(f"server {peer}: {reply.text}")
            return True
        offer = Offer(reply.host, reply.pid, reply.fd, reply.nbytes, reply.token)
        known = [server.window for server in self._servers.values() if server.window.offer == offer]
        try:
            window = known[0] if known else Window(offer)
        except NotShared as e:
            self._tell(f"server {peer}: {e}")
            return True
        self._servers[peer] = _Server(window, asked.turn)
        self._have_shared.add(peer)
        self._counters[peer].add_one()  # so that it knows that we can
        _log.info("arrays for server %d travel through memory", peer)
        return True

    def lane(self, peer: Peer, reply: m.Share) -> Lane | None:
        """A lane to a server that has answered an offer."""
        server, segment = self._servers.get(peer), self.segment
        if not reply.lane or server is None or segment is None or server.turn != reply.turn:
            return None
        try:
            return Lane.connect(reply.lane, segment.offer.token, reply.turn)
        except OSError as e:
            self._tell(f"server {peer}: short messages go by the network: {e}")
            return None

    def _tell(self, why: str) -> None:
        if why not in self._told:
            self._told.add(why)
            _log.info("arrays travel by the network: %s", why)

    # --- arrays -----------------------------------------------------------------------------------

    def memory(self, peer: Peer) -> Memory:
        """Where arrays of a server's messages may lie."""
        return self._servers.get(peer, _NOTHING)

    def has_read(self, peer: Peer) -> None:
        """The arrays of a message are where they belong."""
        server = self._servers.get(peer)
        if server is not None and server.was_read:
            server.was_read = False
            self._counters[peer].add_one()

    def frames(self, peer: Peer, seq: int, made: Draft, now: float) -> list[Any] | None:
        """A push or a pull as frames; None: not now, too much is on its way, or the connection is new and the
        server's answer to our offer is."""
        server = self._servers.get(peer)
        if server is None and peer in self._asked and peer in self._have_shared:
            return None
        segment = self.segment
        if server is None or segment is None or not made.large:
            return list(made.frames())
        places = [segment.place(array) for array in made.large]
        blocks = self._blocks.get(seq)
        if blocks is None:
            nbytes = sum(a.nbytes for a, place in zip(made.large, places, strict=True) if place < 0)
            if not nbytes:
                return made.frames(server.turn, places)
            if not self._has_room(nbytes, now):
                return None
            blocks = []
            for array, place in zip(made.large, places, strict=True):
                if place < 0:
                    block = segment.empty(array.size, array.dtype)
                    np.copyto(block, array)
                    blocks.append(block)
            self._blocks[seq] = blocks
            self._in_use += nbytes
        copied = iter(blocks)
        places = [place if place >= 0 else segment.place(next(copied)) for place in places]
        return made.frames(server.turn, [place if place >= 0 else IN_FRAME for place in places])

    def _has_room(self, nbytes: int, now: float) -> bool:
        if not self._in_use or self._in_use + nbytes <= self._may_use:
            self._stuck_since = -1.0
            return True
        if self._stuck_since < 0:
            self._stuck_since = now
        elif now - self._stuck_since > _STUCK_S:
            self._stuck_since = now
            self._may_use = min(2 * self._may_use, _MOST_IN_USE)
            return self._in_use + nbytes <= self._may_use
        return False

    @property
    def is_stuck(self) -> bool:
        """Whether something waits for room, so that `frames` wants to be asked again soon."""
        return self._stuck_since >= 0

    def was_answered(self, seq: int) -> None:
        """Servers do not read this request's arrays any more."""
        blocks = self._blocks.pop(seq, None)
        if blocks is not None:
            self._in_use -= sum(block.nbytes for block in blocks)
            self._stuck_since = -1.0
            if self._in_use == 0:
                self._may_use = _IN_USE

"""Memory shared with workers on this host: what the loop asks before it reads and sends arrays.

A worker offers its segment when it has been welcomed; if it can be opened here, this server answers with its own.
From then on the worker's gradients are read where they lie, and values are read by the worker where they lie
in our segment: the shard's accumulators are made there (`empty`). What was shown to a worker is held until
its counter says that it has been read, so that nobody writes to it: the shard looks at who holds an array.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from psdist.wire import Message
from psdist.wire import messages as m
from psdist.wire.codec import IN_FRAME, PACKED, Memory, NoMemory, draft
from psdist.wire.lane import Lane
from psdist.wire.messages import Tensor
from psdist.wire.shm import BadPlace, NotShared, Offer, Segment, Window

__all__ = ["Sharing"]

_log = logging.getLogger("psdist.server")

_MAX_SHOWN: Final = 4096  # messages that a worker may leave unread before it gets frames again

_NOTHING: Final = NoMemory()


class _Peer:
    """What is agreed with one connection."""

    __slots__ = ("by_lane", "counter", "num_read", "num_shown", "read", "shown", "turn", "window")

    def __init__(self, window: Window, share: m.Share) -> None:
        self.window = window
        self.turn = share.turn
        self.read = window.read
        self.counter = share.counter
        self.num_read = window.counter(share.counter)
        self.num_shown = self.num_read() + 1  # the worker counts one when it has mapped our segment
        self.shown: deque[list[Tensor]] = deque()  # messages with places that are not read yet
        self.by_lane = False  # which way they went: two ways would not keep their order

    def forget(self) -> bool:
        """Let go of what was read; whether more may be shown."""
        unread = self.num_shown - self.num_read()
        while len(self.shown) > max(0, unread):
            self.shown.popleft()
        return unread == len(self.shown) < _MAX_SHOWN


class Sharing:
    """The segment of a server, and those of its workers."""

    def __init__(self, nbytes: int) -> None:
        """`nbytes` of address space; 0 shares nothing."""
        self.segment: Segment | None = None
        self._peers: dict[bytes, _Peer] = {}  # by connection
        if nbytes:
            try:
                self.segment = Segment(nbytes)
            except NotShared as e:
                _log.info("arrays travel by the network: %s", e)

    def close(self) -> None:
        if self.segment is not None:
            self.segment.close()
        self._peers.clear()

    def empty(self, size: int, dtype: np.dtype[Any]) -> Tensor:
        """Memory for a value."""
        segment = self.segment
        if segment is None or size * dtype.itemsize <= PACKED:  # never travels as a place
            return np.empty(size, dtype)
        return segment.empty(size, dtype)

    def agree(self, sender: bytes, share: m.Share, lane: str = "") -> Message:
        """Answer a worker's offer; `lane` is where it may open one."""
        if self.segment is None:
            return m.Error(share.seq, "unsupported", "this server shares no memory (PSDIST_SHM_BYTES=0)")
        try:
            offer = Offer(share.host, share.pid, share.fd, share.nbytes, share.token)
            mapped = [peer.window for peer in self._peers.values() if peer.window.offer == offer]
            peer = _Peer(mapped[0] if mapped else Window(offer), share)
        except (NotShared, BadPlace) as e:
            return m.Error(share.seq, "unsupported", str(e))
        # a connection of before, and those of the dead, hold what nobody will read any more
        gone = [
            other
            for other, old in self._peers.items()
            if (old.window.offer == offer and old.counter == peer.counter) or not old.window.is_alive
        ]
        for other in gone:
            del self._peers[other]
        self._peers[sender] = peer
        own = self.segment.offer
        return m.Share(share.seq, share.turn, own.host, own.pid, own.fd, own.nbytes, own.token, 0, lane)

    def memory(self, sender: bytes) -> Memory:
        """Where arrays of this connection's messages may lie."""
        peer = self._peers.get(sender)
        if peer is None:
            return _NOTHING
        if peer.shown:
            peer.forget()
        return peer

    def sender_of(self, token: int, turn: int) -> bytes | None:
        """The connection of the worker whose segment has this token, as long as that agreement stands."""
        for sender, peer in self._peers.items():
            if peer.turn == turn and peer.window.offer.token == token:
                return sender
        return None

    def knows(self, sender: bytes) -> bool:
        """Whether memory is agreed upon with a connection."""
        return sender in self._peers

    def send(self, destination: bytes, message: Message, lane: Lane | None) -> list[Any] | None:
        """Send a message by the lane, if there is one and it fits; else its frames. Its arrays are places where
        they can be."""
        made = draft(message)
        if made.large and self._peers and (peer := self._peers.get(destination)) is not None:
            assert self.segment is not None
            place: Callable[[Tensor], int] = self.segment.place
            places = [place(array) for array in made.large]
            by_lane = lane is not None
            if max(places) >= 0 and peer.forget() and (not peer.shown or peer.by_lane == by_lane):
                frames = made.frames(peer.turn, [p if p >= 0 else IN_FRAME for p in places])
                if lane is None or lane.send(frames):
                    peer.num_shown += 1
                    peer.shown.append(made.large)
                    peer.by_lane = by_lane
                    return None if by_lane else frames
        frames = made.frames()
        return None if lane is not None and lane.send(frames) else frames

    def forget(self) -> None:
        """Let go of what was read, as time passes."""
        for peer in self._peers.values():
            if peer.shown:
                peer.forget()

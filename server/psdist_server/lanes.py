"""Lanes from workers on this host: which of them are open, and whose they are. See psdist/wire/lane.py."""

from __future__ import annotations

import logging
from collections.abc import Callable

import zmq

from psdist.wire.lane import Gone, Lane, Listener

__all__ = ["Lanes"]

_log = logging.getLogger("psdist.server")


class Lanes:
    """By connection: a lane stands beside a connection of ZeroMQ's, and speaks for it."""

    def __init__(self, poller: zmq.Poller) -> None:
        self._poller = poller
        self._lanes: dict[bytes, Lane] = {}
        self._senders: dict[int, bytes] = {}  # by file descriptor
        self._listener: Listener | None = None
        try:
            self._listener = Listener()
        except OSError as e:
            _log.info("short messages travel by the network: %s", e)
        else:
            poller.register(self._listener, zmq.POLLIN)

    @property
    def name(self) -> str:
        """Where workers open theirs; "" where they cannot."""
        return self._listener.name if self._listener is not None else ""

    def close(self) -> None:
        for sender in list(self._lanes):
            self.drop(sender)
        if self._listener is not None:
            self._poller.unregister(self._listener)
            self._listener.close()
            self._listener = None

    def get(self, sender: bytes) -> Lane | None:
        return self._lanes.get(sender)

    def ready(self, ready: dict[object, int]) -> list[bytes]:
        """The connections whose lanes have something."""
        return [sender for fd, sender in self._senders.items() if fd in ready]

    def has_callers(self, ready: dict[object, int]) -> bool:
        return self._listener is not None and self._listener.fileno() in ready

    def admit(self, sender_of: Callable[[int, int], bytes | None]) -> None:
        """Let in who has called. `sender_of(token, turn)` is the connection with which that was agreed."""
        if self._listener is None:
            return
        self._listener.accept()
        for token, turn, lane in self._listener.known():
            sender = sender_of(token, turn)
            if sender is None:
                lane.close()
                continue
            self.drop(sender)
            self._lanes[sender] = lane
            self._senders[lane.fileno()] = sender
            self._poller.register(lane.fileno(), zmq.POLLIN)

    def keep(self, is_known: Callable[[bytes], bool]) -> None:
        """Drop those of connections that are over."""
        for sender in [sender for sender in self._lanes if not is_known(sender)]:
            self.drop(sender)

    def drop(self, sender: bytes) -> None:
        lane = self._lanes.pop(sender, None)
        if lane is not None:
            self._poller.unregister(lane.fileno())
            del self._senders[lane.fileno()]
            lane.close()

    def receive(self, sender: bytes) -> list[memoryview] | None:
        """The frames of the next message of a connection that came by its lane; None: there is none."""
        lane = self._lanes.get(sender)
        if lane is None:
            return None
        try:
            return lane.receive()
        except Gone as e:
            _log.debug("a lane ends: %s", e)
            self.drop(sender)
            return None

"""A short way between two processes of one host, for short messages: a Unix socket that keeps packets whole.

ZeroMQ hands a message from thread to thread four times on its way there and back, which costs more than anything
that is done with a short one. So when a worker and a server have agreed on memory, the worker also connects to a
socket of the server's, and says there which agreement it belongs to. A packet is a message of at most two
frames: lengths of both, the first one, zeros up to a multiple of 8, the second.

A lane never waits: a packet that does not fit goes by ZeroMQ. What comes out of it is as little trusted as what
comes from there. The socket's name is abstract: there is no file that could be left over.
"""

from __future__ import annotations

import os
import secrets
import socket
import struct
import sys
from collections.abc import Sequence
from typing import Any, Final, Self

__all__ = ["MAX_NBYTES", "Gone", "Lane", "Listener"]

MAX_NBYTES: Final = 64 << 10  # of a packet: what is longer loses nothing by going through ZeroMQ
_HEAD: Final = struct.Struct("<II")  # bytes of the first frame; of the second one, plus 1; 0: there is none
_HELLO: Final = struct.Struct("<QQ")  # token and turn of the agreement
_ALIGN: Final = 8
_ZEROS: Final = [bytes(n) for n in range(_ALIGN)]
_PEER: Final = struct.Struct("3i")  # unix(7): pid, uid and gid
_NOW: Final = getattr(socket, "MSG_DONTWAIT", 0) | getattr(socket, "MSG_NOSIGNAL", 0)
_MAX_CALLERS: Final = 64  # who are not let in yet


class Gone(Exception):
    """The other end is closed, or has sent what is no packet."""


class Lane:
    """One end. `send` and `receive` never wait."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._room = memoryview(bytearray(MAX_NBYTES))

    @classmethod
    def connect(cls, name: str, token: int, turn: int) -> Self:
        """To the listener of that name, for the agreement with this token and turn. Raises OSError."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            sock.setblocking(False)
            sock.connect(f"\0{name}")
            sock.send(_HELLO.pack(token, turn))
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    def close(self) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, frames: Sequence[Any]) -> bool:
        """Whether the message is on its way; if not, it must go another way."""
        first = frames[0]
        if len(frames) == 1:
            if len(first) > MAX_NBYTES - _HEAD.size:
                return False
            parts: list[Any] = [_HEAD.pack(len(first), 0), first]
        else:
            second = memoryview(frames[1]).cast("B") if len(frames) == 2 else b""
            if len(frames) > 2 or len(first) + len(second) > MAX_NBYTES - _HEAD.size - _ALIGN:
                return False
            zeros = _ZEROS[-len(first) % _ALIGN]
            parts = [_HEAD.pack(len(first), len(second) + 1), first, zeros, second]
        try:
            self._socket.sendmsg(parts, (), _NOW)
        except OSError:  # it is full, or gone: then `receive` says so
            return False
        return True

    def receive(self) -> list[memoryview] | None:
        """The frames of the next message, None when there is none now. Raises Gone."""
        try:
            nbytes = self._socket.recv_into(self._room, 0, _NOW)
        except BlockingIOError:
            return None
        except OSError as e:
            raise Gone(str(e)) from None
        packet = memoryview(bytes(self._room[:nbytes]))  # 64 KB of its own would cost more than this copy
        if nbytes < _HEAD.size:
            raise Gone("closed")
        first, second = _HEAD.unpack_from(packet)
        end = _HEAD.size + first
        if not second and end == len(packet):
            return [packet[_HEAD.size :]]
        start = end + -end % _ALIGN
        if second and start + second - 1 == len(packet):
            return [packet[_HEAD.size : end], packet[start:]]
        raise Gone(f"a packet of {len(packet)} bytes, with {first} and {second - 1} in its frames")


class Listener:
    """Where lanes to this process begin: knows nobody by name, only agreements."""

    def __init__(self) -> None:
        """Raises OSError where there are no such sockets."""
        if not sys.platform.startswith("linux"):
            raise OSError("only Linux has Unix sockets without a file")
        self.name = f"psdist-{os.getpid()}-{secrets.token_hex(16)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        self._socket.bind(f"\0{self.name}")
        self._socket.listen(_MAX_CALLERS)
        self._callers: list[socket.socket] = []  # they have not said who they are

    def close(self) -> None:
        for sock in (self._socket, *self._callers):
            sock.close()
        self._callers = []

    def fileno(self) -> int:
        return self._socket.fileno()

    def accept(self) -> None:
        """Let in who has called; processes of other users are turned away."""
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            _, uid, _ = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
            if uid != os.geteuid():
                sock.close()
                continue
            sock.setblocking(False)
            self._callers.append(sock)
            if len(self._callers) > _MAX_CALLERS:
                self._callers.pop(0).close()

    def known(self) -> list[tuple[int, int, Lane]]:
        """(token, turn, lane) of callers who have said for which agreement they come; each is given once."""
        found = []
        for sock in list(self._callers):
            try:
                hello = sock.recv(_HELLO.size, _NOW)
            except BlockingIOError:
                continue
            except OSError:
                hello = b""
            self._callers.remove(sock)
            if len(hello) == _HELLO.size:
                found.append((*_HELLO.unpack(hello), Lane(sock)))
            else:
                sock.close()
        return found

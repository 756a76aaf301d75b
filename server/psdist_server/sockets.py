"""ZeroMQ as a server needs it: every default that is a trap is set, and no door is open by accident.

A routing id is ZeroMQ's own, drawn per connection: a peer cannot choose to be somebody else, and a
reconnect is a new one that has to say Hello. A peer that takes no replies fills its own queue and nobody
else's.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

import zmq
import zmq.auth

from psdist.errors import ConfigError
from psdist.settings import Settings
from psdist.wire.codec import MAX_FRAMES, frame_limit

__all__ = [
    "Gate",
    "Keys",
    "Socket",
    "bind",
    "bind_near",
    "connect",
    "is_local_only",
    "local_address",
    "receive",
    "resolve",
    "send",
]

_log = logging.getLogger("psdist.server")

Socket = zmq.Socket[bytes]

_RECEIVE_QUEUE: Final = (
    32  # messages of one connection: what lies here is memory, what does not slows its sender
)
_SEND_QUEUE: Final = 4096  # replies of one connection that its owner does not take
_HANDSHAKE_MS: Final = 5000  # a peer that connects and says nothing
_ZAP_DOMAIN: Final = b"psdist"
_ZAP_ENDPOINT: Final = "inproc://zeromq.zap.01"


class Keys:
    """The job's CURVE keys. Whoever holds them belongs to the job."""

    def __init__(self, public: bytes, secret: bytes) -> None:
        self.public = public
        self.secret = secret

    @classmethod
    def read(cls, path: str) -> Self:
        """From ZeroMQ's certificate file. Raises ConfigError when it is missing, broken, or not private."""
        try:
            mode = Path(path).stat().st_mode
            public, secret = zmq.auth.load_certificate(path)
        except (OSError, ValueError) as e:
            raise ConfigError(f"PSDIST_KEY_FILE={path}: {e}; make one by `psdist keygen`") from e
        if secret is None:
            raise ConfigError(f"PSDIST_KEY_FILE={path} holds no secret key; make one by `psdist keygen`")
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(f"PSDIST_KEY_FILE={path} can be read by others; chmod 600 it")
        return cls(public, secret)


class Gate:
    """Says whom CURVE lets in: ZeroMQ asks it, through ZAP, about every handshake in its context."""

    def __init__(self, context: zmq.Context[Socket], keys: Keys) -> None:
        self._key = zmq.utils.z85.decode(keys.public)
        self.num_refused = 0
        self.socket: Socket = context.socket(zmq.REP)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(_ZAP_ENDPOINT)

    def answer(self) -> None:
        """Answer what ZeroMQ has asked."""
        while True:
            try:
                version, request, domain, address, _, mechanism, *credentials = self.socket.recv_multipart(
                    zmq.NOBLOCK
                )
            except zmq.Again:
                return
            fits = domain == _ZAP_DOMAIN and mechanism == b"CURVE" and credentials == [self._key]
            if not fits:
                self.num_refused += 1
                _log.warning(
                    "refused a caller from %s: it has not this job's keys", address.decode("latin-1")
                )
            status, text = (b"200", b"OK") if fits else (b"400", b"not this job's keys")
            self.socket.send_multipart([version, request, status, text, b"", b""])

    def close(self) -> None:
        self.socket.close(linger=0)


def _options(sock: Socket, settings: Settings) -> None:
    sock.setsockopt(zmq.MAXMSGSIZE, frame_limit(settings.slice_nbytes))
    sock.setsockopt(zmq.RCVHWM, _RECEIVE_QUEUE)
    sock.setsockopt(zmq.SNDHWM, _SEND_QUEUE)
    sock.setsockopt(zmq.HEARTBEAT_IVL, round(settings.heartbeat_s * 1000))
    sock.setsockopt(zmq.HEARTBEAT_TIMEOUT, round(settings.dead_after_s * 1000))
    sock.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
    sock.setsockopt(zmq.LINGER, round(settings.close_timeout_s * 1000))
    sock.setsockopt(zmq.IPV6, 1)


def bind(
    context: zmq.Context[Socket], settings: Settings, keys: Keys | None, host: str, port: int
) -> tuple[Socket, int]:
    """A ROUTER on an address of this machine, and its port (0: the system chooses).
    Raises ConfigError when the port is taken, the address is not ours, or is open to others without keys."""
    if keys is None and not is_local_only(host):
        if not settings.insecure:
            raise ConfigError(
                f"others can reach {host}, and there are no keys: set PSDIST_KEY_FILE (`psdist keygen` makes "
                "one; `psdist run` does it by itself), or PSDIST_INSECURE=1 to let everybody in"
            )
        _log.warning(
            "INSECURE: everybody who reaches %s can read and change this job (PSDIST_INSECURE=1)", host
        )
    sock = context.socket(zmq.ROUTER)
    _options(sock, settings)
    sock.setsockopt(zmq.ROUTER_MANDATORY, 1)
    if keys is not None:
        sock.curve_server = True
        sock.curve_publickey, sock.curve_secretkey = keys.public, keys.secret
        sock.zap_domain = _ZAP_DOMAIN
    try:
        sock.bind(f"tcp://{_bracket(host)}:{port or '*'}")
    except zmq.ZMQError as e:
        sock.close(linger=0)
        if e.errno == zmq.EADDRINUSE:
            raise ConfigError(
                f"port {port} on {host} is in use by another process; stop that, or choose another port "
                "(DMLC_PS_ROOT_PORT for the scheduler, PSDIST_NODE_PORT for a server)"
            ) from e
        raise ConfigError(f"cannot listen on {host}:{port}: {e.strerror or e}") from e
    return sock, int(sock.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])


def bind_near(sock: Socket, where: str) -> None:
    """Have a ROUTER listen on a Unix socket, too; processes of other users are turned away."""
    if not where:
        _log.warning("PSDIST_TRANSPORT=ipc: only Linux has Unix sockets without a file; using TCP")
        return
    sock.setsockopt(zmq.IPC_FILTER_UID, os.geteuid())
    try:
        sock.bind(where)
    except zmq.ZMQError as e:
        _log.warning("cannot listen on %s: %s; using TCP", where, e.strerror or e)


def connect(
    context: zmq.Context[Socket], settings: Settings, keys: Keys | None, host: str, port: int
) -> Socket:
    """A DEALER to the scheduler."""
    sock = context.socket(zmq.DEALER)
    _options(sock, settings)
    sock.setsockopt(zmq.RECONNECT_IVL, 100)
    sock.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
    if keys is not None:
        sock.curve_serverkey = keys.public
        sock.curve_publickey, sock.curve_secretkey = keys.public, keys.secret
    sock.connect(f"tcp://{_bracket(host)}:{port}")
    return sock


def receive(sock: Socket) -> list[Any] | None:
    """The frames of the next message, not copied; None when there is none. What is beyond the frames that a
    message may have is read and thrown away, and one frame too many is returned, so that it is refused."""
    try:
        frame = sock.recv(zmq.NOBLOCK, copy=False)
    except zmq.Again:
        return None
    frames = [frame]
    while frame.more:
        frame = sock.recv(copy=False)
        if len(frames) <= MAX_FRAMES + 1:
            frames.append(frame)
    return frames


def send(sock: Socket, frames: Sequence[Any]) -> bool:
    """Send without waiting and without copying large frames; whether the peer is there and takes it."""
    try:
        sock.send_multipart(frames, zmq.NOBLOCK, copy=False)
    except zmq.ZMQError as e:
        if e.errno in (zmq.EAGAIN, zmq.EHOSTUNREACH):
            return False
        raise
    return True


# --- addresses ------------------------------------------------------------------------------------


def resolve(host: str, variable: str) -> str:
    """The numeric address of a host name. Raises ConfigError naming the variable it came from."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as e:
        raise ConfigError(f"{variable}={host}: {e.strerror or e}; wanted a host name or an address") from e
    found.sort(key=lambda info: info[0] != socket.AF_INET)  # every process must choose the same one
    return str(found[0][4][0])


def is_local_only(host: str) -> bool:
    """Whether only this machine can reach the address."""
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback


def local_address(towards: str) -> str:
    """The address of this machine that a packet to `towards` leaves from: on a machine with several networks,
    the one where the scheduler is."""
    family = socket.AF_INET6 if ":" in towards else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((towards, 9))  # sends nothing
        except OSError as e:
            raise ConfigError(f"no way to {towards}: {e.strerror}; is DMLC_PS_ROOT_URI right?") from e
        return str(probe.getsockname()[0])


def is_ours(host: str) -> bool:
    """Whether the address is one of this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host

"""Unix sockets instead of TCP for ZeroMQ, between a worker and a server on one host: `PSDIST_TRANSPORT=ipc`.

A server is known by its TCP address. Beside it, it listens on a socket whose name follows from job and address,
so that a worker needs not be told: where that name exists, the server is on this host and in this network
namespace, and it is the same one. Names are abstract: there is no file that could be left over.
"""

from __future__ import annotations

import hashlib
import socket
import sys

__all__ = ["endpoint", "is_there"]


def endpoint(job: str, address: str) -> str:
    """Where the server with this TCP address listens, for ZeroMQ; "" where there are no such sockets."""
    if not sys.platform.startswith("linux"):
        return ""
    return f"ipc://@psdist-{hashlib.sha256(f'{job} {address}'.encode()).hexdigest()[:32]}"


def is_there(where: str) -> bool:
    """Whether somebody listens at an endpoint."""
    if not where:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect("\0" + where.removeprefix("ipc://@"))
        except OSError:
            return False
    return True

"""A job's CURVE keys: one pair, in ZeroMQ's own certificate format, in a file that only its owner reads."""

from __future__ import annotations

import os
from pathlib import Path

import zmq

from psdist.errors import ConfigError

__all__ = ["write_keys"]

_TEXT = """\
#   The CURVE keys of one psdist job: whoever reads this file may take part in it.

metadata
curve
    public-key = "{public}"
    secret-key = "{secret}"
"""


def write_keys(path: Path) -> Path:
    """Write a new pair of keys to `path`, mode 0600. Raises ConfigError if that exists or cannot be made."""
    public, secret = zmq.curve_keypair()
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigError(
            f"{path} exists; keys are never overwritten, since a running job may use them"
        ) from None
    except OSError as e:
        raise ConfigError(f"cannot write {path}: {e.strerror}") from e
    with os.fdopen(handle, "w") as file:
        os.fchmod(file.fileno(), 0o600)  # whatever the umask
        file.write(_TEXT.format(public=public.decode(), secret=secret.decode()))
    return path

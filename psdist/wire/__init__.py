"""The protocol: messages and bytes, with no socket in it. Where workers, servers and the scheduler meet.

The messages are loaded when one is asked for: training in one process has none, and making their classes would be a quarter
of the time that importing Module takes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .kinds import Role, key_name, key_number

if TYPE_CHECKING:
    from .codec import BadMessage, decode, encode
    from .messages import Message

__all__ = ["BadMessage", "Message", "Role", "decode", "encode", "key_name", "key_number"]

_MODULES = {"BadMessage": "codec", "decode": "codec", "encode": "codec", "Message": "messages"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
    return found

"""The protocol: messages and bytes, with no socket in it. Where workers, servers and the scheduler meet."""

from .codec import BadMessage, decode, encode
from .messages import Message, Role, key_name, key_number

__all__ = ["BadMessage", "Message", "Role", "decode", "encode", "key_name", "key_number"]

"""What every message is made of: its number and who may send it, the types of its fields, keys and error codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, Final, Literal, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from .. import errors

__all__ = [
    "ACK_APPLIED",
    "ACK_ON_DISK",
    "ACK_REPLICATED",
    "ANY_RANK",
    "MAX_ROUNDS_AHEAD",
    "MESSAGES",
    "NOBODY",
    "SENDERS",
    "VERSION",
    "Column",
    "ErrorCode",
    "Ints",
    "Numbers",
    "Role",
    "Tensor",
    "Tensors",
    "error_class",
    "key_label",
    "key_name",
    "key_number",
    "message",
]

VERSION: Final = 1  # of the protocol; both ends must speak the same one
ANY_RANK: Final = -1
NOBODY: Final = -1  # in the place of a server's rank
MAX_ROUNDS_AHEAD: Final = 64  # rounds that a worker may push beyond a slice's clock: bounds memory

ACK_APPLIED: Final = 1  # in the memory of the key's server
ACK_REPLICATED: Final = 2  # also in its replica's
ACK_ON_DISK: Final = 3  # also in its log on disk

Role = Literal["scheduler", "server", "worker", "launcher"]
ErrorCode = Literal[
    "unknown-key",
    "bad-value",
    "stale-round",
    "stale-epoch",
    "refused",
    "not-admitted",
    "unsupported",
    "aborted",
    "protocol",
]
Tensor = NDArray[Any]  # on the wire: one-dimensional, C-contiguous, dtype of codec.DTYPES
Tensors = Sequence[Tensor]
Ints = Sequence[int]  # a column of unsigned 64-bit numbers


class Column(Sequence[int]):
    """A column whose bytes are made: of a message that is sent again and again, or of numbers from NumPy."""

    __slots__ = ("_numbers", "packed")

    def __init__(self, numbers: Ints | NDArray[Any]) -> None:
        array = np.asarray(numbers, "<u8")
        self.packed: Final = array.tobytes()
        self._numbers: tuple[int, ...] | None = None  # rarely wanted

    def numbers(self) -> tuple[int, ...]:
        """As decoding gives it."""
        if self._numbers is None:
            self._numbers = tuple(np.frombuffer(self.packed, "<u8").tolist())
        return self._numbers

    def __len__(self) -> int:
        return len(self.packed) >> 3

    @overload
    def __getitem__(self, i: int) -> int: ...
    @overload
    def __getitem__(self, i: slice) -> tuple[int, ...]: ...
    def __getitem__(self, i: int | slice) -> int | tuple[int, ...]:
        return self.numbers()[i]

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers())


Numbers = dict[str, float | int | bool | str | None]

_ERROR_CLASSES: Final[dict[str, type[errors.PSError]]] = {
    "unknown-key": errors.UnknownKey,
    "bad-value": errors.BadValue,
    "stale-round": errors.StaleRound,
    "stale-epoch": errors.StaleRound,  # stamped with a membership that is over: take the new View, send again
    "refused": errors.RemoteError,  # may not join, or not do this
    "not-admitted": errors.TransportError,  # no Hello on this connection yet: say it, then send again
    "unsupported": errors.RemoteError,
    "aborted": errors.PeerLost,  # the job has ended
    "protocol": errors.ProtocolError,
}

_T = TypeVar("_T")

MESSAGES: Final[dict[int, type[Any]]] = {}  # by number
SENDERS: Final[dict[type[Any], frozenset[str]]] = {}  # the roles that may send it


def message(number: int, senders: str) -> Callable[[type[Any]], type[Any]]:
    """Give a dataclass its number on the wire, and say which roles may send it."""

    def register(cls: type[_T]) -> type[_T]:
        assert number not in MESSAGES, f"message number {number} is taken by {MESSAGES[number].__name__}"
        MESSAGES[number] = cls
        SENDERS[cls] = frozenset(senders.split())
        return cls

    return register


def error_class(code: str) -> type[errors.PSError]:
    """The class in psdist.errors that a code stands for; RemoteError for one we do not know."""
    return _ERROR_CLASSES.get(code, errors.RemoteError)


def key_name(key: int | str, *, averaged: bool = False) -> str:
    """A key's name on the wire. 3 and "3" are different keys: "i:3" and "s:3". "m:bn_mean" is a key whose value is
    the mean of what a round's workers have pushed, whatever the optimizer."""
    return f"m:{key}" if averaged else f"i:{key}" if isinstance(key, int) else f"s:{key}"


def key_label(name: str) -> str:
    """A key as its user wrote it, for people: `'fc1_weight'` or `3`."""
    return name[2:] if name.startswith("i:") else repr(name[2:])


def key_number(name: str) -> int:
    """The key's number: the first 8 bytes of BLAKE2b of its wire name, little-endian. Init finds a
    collision."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")

"""Every error that psdist raises, in one tree.

Whose fault is it, can a retry help, and what would plain Python have raised? Those three choose the class.
A message names the thing, the values, what was wanted, and the way out where there is one.
"""

__all__ = [
    "BadArgument",
    "BadIndex",
    "BadType",
    "BadValue",
    "ClosedError",
    "ConfigError",
    "GraphError",
    "NoSuchFile",
    "PSError",
    "PeerLost",
    "ProtocolError",
    "RemoteError",
    "RequestTimeout",
    "ShapeError",
    "StaleRound",
    "TransportError",
    "UnknownKey",
    "UnknownName",
]


class PSError(RuntimeError):
    """The root: whatever psdist itself finds wrong. Scripts know it as `MXNetError`."""


class ConfigError(PSError, ValueError):
    """A setting, an argument or a cluster description is wrong."""


class UnknownName(ConfigError, KeyError):
    """A name that is none of those known."""

    __str__ = Exception.__str__  # KeyError would show the message's repr


class BadType(ConfigError, TypeError):
    """A value of a type that nothing can be made of."""


class BadArgument(ConfigError, AssertionError):
    """What MXNet answers with a bare AssertionError, as its text embeddings and SVRG do."""


class NoSuchFile(PSError, FileNotFoundError):
    """A file to load is not there, or the folder to save into."""


class BadIndex(PSError, IndexError, ValueError):
    """A key that an array cannot be indexed by."""


class ShapeError(PSError, ValueError):
    """Shapes or dtypes do not fit an operator."""


class GraphError(PSError, ValueError):
    """A symbol cannot be composed, inferred, bound or loaded."""


class ClosedError(PSError):
    """Something was used after its `close()`."""


class TransportError(PSError):
    """The network failed us; a retry may help."""


class RequestTimeout(TransportError, TimeoutError):
    """No reply within the deadline."""


class PeerLost(TransportError, ConnectionError):
    """A process of the job died or went silent."""


class ProtocolError(PSError):
    """Bytes that the protocol does not allow; never retried."""


class RemoteError(PSError):
    """The other side understood and refused."""


class UnknownKey(RemoteError, KeyError):
    """The key was never initialised."""

    __str__ = Exception.__str__  # KeyError would show the message's repr


class BadValue(RemoteError, ValueError):
    """The value does not fit the key."""


class StaleRound(RemoteError):
    """The push belongs to a round that is closed."""

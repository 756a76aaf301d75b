"""Which server holds which part of an array: a pure function, so that nobody has to be asked.

An array travels and lives in slices. A slice is large enough that its header costs nothing, and small enough
to be added while the next one is on its way. Every worker must cut alike, or a server would be given slices
that overlap: the cut follows from the key's number, the array's size and the setting alone.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Slice", "partition"]

_SPREAD = 64 << 10  # bytes: an array is spread over servers in pieces of at least this; smaller is all header
_ALIGN = 64  # bytes: a slice begins on a cache line of the array


@dataclass(frozen=True, slots=True)
class Slice:
    """`length` elements of the flat array, from element `offset`, in shard `server`: with one shard for each server,
    on the server of that rank."""

    server: int
    offset: int
    length: int


def partition(
    key: int,
    length: int,
    itemsize: int,
    num_servers: int,
    slice_nbytes: int,
    *,
    num_shards: int = 0,
    together: bool = False,
) -> tuple[Slice, ...]:
    """The slices of an array of `length` elements whose key has the number `key`, in order of offset.

    Slices have at most `slice_nbytes` bytes and, up to one cache line, the same size. Small arrays stay
    whole, on a server that the number draws; larger ones go round the servers from there, so that no two
    servers' shares of one array differ by more than a slice. An empty array is one slice of nothing.

    `together`: all slices are on the server that the number draws, for optimizers that look at whole arrays. A
    pure function cannot balance by size: whoever joins later must come to the same, and knows fewer keys.

    `num_shards`: a multiple of `num_servers`, by default the same. What lies on server i of n is then spread over
    its shards i, i + n, i + 2n, ..., each of which can move to another server. The slices are the same.
    """
    shards_per_server = num_shards // num_servers or 1
    key, sub, stride = key % num_servers, key // num_servers, num_servers

    nbytes = length * itemsize
    num_servers = 1 if together else num_servers
    pieces = max(1, -(-nbytes // slice_nbytes), min(num_servers, nbytes // _SPREAD))
    if pieces > num_servers:
        pieces = -(-pieces // num_servers) * num_servers  # the same number for each
    step = max(1, _ALIGN // itemsize)
    each = max(step, -(-length // (pieces * step)) * step)  # rounded up to a cache line
    slices = []
    for i, offset in enumerate(range(0, max(length, 1), each)):
        server, turn = (key, 0) if together else ((key + i) % stride, i // stride)
        shard = server + stride * ((sub + turn) % shards_per_server)
        slices.append(Slice(shard, offset, min(each, length - offset)))
    return tuple(slices)

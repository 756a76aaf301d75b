"""Lanes: short messages between processes of one host arrive whole, or not at all, and nobody waits."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest

from psdist.wire import decode, encode
from psdist.wire import messages as m
from psdist.wire.lane import MAX_NBYTES, Gone, Lane, Listener

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="abstract sockets are Linux's")


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()
    made.close()


@pytest.fixture
def pair(listener: Listener) -> Iterator[tuple[Lane, Lane]]:
    with closing(Lane.connect(listener.name, 5, 6)) as one:
        listener.accept()
        ((token, turn, other),) = listener.known()
        assert (token, turn) == (5, 6)
        assert listener.known() == []
        with closing(other):
            yield one, other


def test_messages_arrive_as_they_were_and_arrays_lie_on_their_item_size(pair: tuple[Lane, Lane]) -> None:
    one, other = pair
    value = np.arange(33, dtype=np.float64)
    sent = [
        m.Push(3, 1, 1, (m.key_number("s:w"),), (0,), (0,), (), [value]),
        m.Pull(4, (1, 2, 3), (0, 0, 0), (1, 1, 1)),
        m.Values(5, (1,), [np.empty(0, np.float32)]),
    ]
    for message in sent:
        assert one.send(encode(message))
    frames = other.receive()
    assert frames is not None
    push = decode(frames)
    assert isinstance(push, m.Push)
    assert push.values[0].tolist() == value.tolist()
    assert push.values[0].flags.aligned
    for message in sent[1:]:
        assert [bytes(frame) for frame in other.receive() or ()] == [
            bytes(frame) for frame in encode(message)
        ]
    assert other.receive() is None


def test_what_is_too_long_or_has_more_frames_goes_another_way(pair: tuple[Lane, Lane]) -> None:
    one, other = pair
    assert not one.send([bytes(MAX_NBYTES)])
    assert not one.send([b"header", np.zeros(MAX_NBYTES // 4, np.float32)])
    assert not one.send([b"header", b"small", b"large"])
    longest = [b"header", bytes(MAX_NBYTES - 8 - 8 - 6)]
    assert one.send(longest)
    assert [bytes(frame) for frame in other.receive() or ()] == longest
    assert other.receive() is None


def test_a_full_lane_takes_nothing_more_and_loses_nothing(pair: tuple[Lane, Lane]) -> None:
    one, other = pair
    num = 0
    while one.send([b"%d" % num, bytes(1000)]):
        num += 1
        assert num < 10_000, "nothing bounds it"
    for i in range(num):
        frames = other.receive()
        assert frames is not None
        assert bytes(frames[0]) == b"%d" % i
    assert one.send([b"there is room again"])


def test_a_closed_end_is_noticed_by_who_reads_and_refused_to_who_writes(pair: tuple[Lane, Lane]) -> None:
    one, other = pair
    one.send([b"the last word"])
    one.close()
    assert [bytes(frame) for frame in other.receive() or ()] == [b"the last word"]
    with pytest.raises(Gone):
        other.receive()
    assert not other.send([b"anybody there?"])


@pytest.mark.parametrize(
    "packet",
    [b"x", struct.pack("<II", 5, 0), struct.pack("<II", 1, 9) + bytes(8), struct.pack("<II", 1 << 31, 7)],
)
def test_what_is_no_packet_ends_the_lane(pair: tuple[Lane, Lane], packet: bytes) -> None:
    one, other = pair
    one._socket.send(packet)
    with pytest.raises(Gone):
        other.receive()


def test_callers_who_do_not_say_who_they_are_get_nowhere(listener: Listener) -> None:
    callers = []
    for i in range(80):
        callers.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        callers[-1].connect(f"\0{listener.name}")
        if i == 0:
            callers[-1].send(b"what is this?")
        listener.accept()
        assert listener.known() == []
    assert len(listener._callers) <= 64
    for caller in callers:
        caller.close()


def test_two_listeners_have_two_names_and_a_closed_one_has_none(listener: Listener) -> None:
    other = Listener()
    assert other.name != listener.name
    other.close()
    with pytest.raises(OSError, match="refused"):
        Lane.connect(other.name, 1, 1)

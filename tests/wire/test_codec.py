"""Messages to bytes and back: every message, and every kind of damage."""

from __future__ import annotations

import dataclasses
import random
import tracemalloc
import typing
from typing import Any

import msgpack  # type: ignore[import-untyped]
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psdist.errors import ProtocolError
from psdist.wire import BadMessage, codec, decode, encode
from psdist.wire import messages as m

from .draw import messages_of

EVERY = sorted(m.MESSAGES.items())
ids = [cls.__name__ for _, cls in EVERY]


def as_bytes(frames: list[Any]) -> list[bytes]:
    return [bytes(frame) for frame in frames]


def assert_same(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    for f in dataclasses.fields(a):
        x, y = getattr(a, f.name), getattr(b, f.name)
        if f.name == "values":
            assert [v.dtype for v in x] == [v.dtype for v in y]
            for v, w in zip(x, y, strict=True):
                np.testing.assert_array_equal(v, w)
        else:
            assert x == y, f.name


@pytest.mark.parametrize("cls", [cls for _, cls in EVERY], ids=ids)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_every_message_comes_back_as_it_was(cls: type[Any], data: st.DataObject) -> None:
    message = data.draw(messages_of(cls))
    assert_same(decode(as_bytes(encode(message))), message)


@pytest.mark.parametrize("cls", [cls for _, cls in EVERY], ids=ids)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_damaged_bytes_are_a_message_or_a_protocol_error(cls: type[Any], data: st.DataObject) -> None:
    frames = as_bytes(encode(data.draw(messages_of(cls))))
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    for _ in range(20):
        try:
            decode(damage(frames, rng))
        except ProtocolError as e:
            assert type(e) is BadMessage  # noqa: PT017  # whether it is raised is not the point


def damage(frames: list[bytes], rng: random.Random) -> list[bytes]:
    frames = list(frames)
    i = rng.randrange(len(frames)) if rng.random() < 0.3 else 0
    frame = bytearray(frames[i])
    match rng.randrange(6):
        case 0 if frame:
            frame[rng.randrange(len(frame))] = rng.randrange(256)
        case 1:
            frame = frame[: rng.randrange(len(frame) + 1)]
        case 2:
            frame += rng.randbytes(rng.randrange(1, 9))
        case 3:
            at = rng.randrange(len(frame) + 1)
            frame[at:at] = rng.randbytes(3)
        case 4:
            frames.insert(rng.randrange(len(frames) + 1), rng.randbytes(rng.randrange(20)))
        case _:
            rng.shuffle(frames)
    if i < len(frames):
        frames[i] = bytes(frame)
    return frames


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=3))
def test_random_bytes_are_refused(frames: list[bytes]) -> None:
    with pytest.raises(BadMessage):
        decode(frames)


def header(*fields: Any) -> bytes:
    return bytes(msgpack.packb(list(fields)))


def word(*numbers: int) -> bytes:
    return b"".join(n.to_bytes(8, "little") for n in numbers)


PULL = m.Pull(7, [1], [2], [3])


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ([], "a message of 0 frames; 1 to 4096 are allowed"),
        ([b""], "a header that is not msgpack: ValueError"),
        ([header(12)[:-1] + b"\xc1"], "a header that is not msgpack: FormatError"),
        ([bytes(msgpack.packb({"a": 1}))], "a header that is dict; wanted [number, field, ...]"),
        ([header(999, 1)], "no message has the number 999"),
        ([header("x", 1)], "no message has the number 'x'"),
        ([header(31, 1, 2)], "Leave has 1 fields, not 2"),
        ([header(31, "one")], "Leave.seq is malformed"),
        ([header(31, True)], "Leave.seq is malformed"),
        ([header(12, 7, b"123", b"", b"")], "Pull.keys is malformed"),
        ([header(31, 5), b"more"], "Leave has no arrays, but came with 1 frames of them"),
        ([header(14, 7, word(1), 99, word(4)), b"1234"], "Values: unknown dtypes 99"),
        ([header(14, 7, word(1), 0, word(2)), b"1234"], "Values: frame 1 has 4 bytes; its header needs 8"),
        ([header(14, 7, word(1), 0, word(2**60)), b"1234"], "needs 4611686018427387904"),
        ([header(14, 7, word(1), 0, word(1))], "Values: 0 frames of arrays; its header needs 1"),
        ([header(14, 7, word(1), b"\0", word(1, 1)), b"1234"], r"Values: unknown dtypes b'\x00'"),
        ([header(14, 7, word(1), 0, b"odd"), b"1234"], "Values: the lengths of its arrays are malformed"),
    ],
)
def test_what_is_wrong_is_said(frames: list[bytes], text: str) -> None:
    with pytest.raises(BadMessage) as e:
        decode(frames)
    assert text in str(e.value)


def test_a_refused_request_keeps_its_number_so_that_it_can_be_answered() -> None:
    with pytest.raises(BadMessage) as e:
        decode([header(12, 41, b"123", b"", b"")])
    assert e.value.seq == 41


def test_another_version_is_refused_naming_both_even_if_its_hello_has_other_fields() -> None:
    with pytest.raises(BadMessage) as e:
        decode([header(1, 5, 99, "job", {"new": "field"})])
    assert e.value.seq == 5
    assert str(e.value) == (
        "version 99 of the protocol was spoken; here it is version 1: install the same psdist everywhere"
    )


@pytest.mark.parametrize(
    "bomb",
    [
        b"\xdd\xff\xff\xff\xff",  # a list that claims 4 G items
        b"\xdf\xff\xff\xff\xff",  # a map that does
        b"\xc6\xff\xff\xff\xff",  # a binary
        b"\xdc\x04\x00" * 20_000,  # lists of 1024 in lists of 1024
        b"\x91" * 65_536,  # nested 65,536 deep
        b"\x9f" + b"\x01" + b"\xdc\xff\xff" * 300,
    ],
    ids=["list", "map", "binary", "lists", "deep", "claims"],
)
def test_a_bomb_is_refused_before_it_takes_memory(bomb: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(BadMessage):
        decode([bomb])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20  # 1024 lists of 1024 claimed items, before msgpack gives up


def test_a_header_that_is_too_large_is_refused_unread() -> None:
    with pytest.raises(BadMessage, match="a header of 4194305 bytes; at most 4194304 are allowed"):
        decode([bytes(codec.MAX_HEADER + 1)])


def test_large_arrays_travel_as_their_own_memory_and_small_ones_share_a_frame() -> None:
    large = np.zeros(codec.PACKED // 4 + 1, np.float32)
    small = [np.full(4, i, np.float32) for i in range(1000)]
    frames = encode(m.Values(1, [0] * 1001, [small[0], large, *small[1:]]))
    assert len(frames) == 3
    assert frames[2] is large
    received = as_bytes(frames)
    values = typing.cast(m.Values, decode(received)).values
    assert np.shares_memory(values[1], np.frombuffer(received[2], np.float32))
    assert [v[0] for v in values[2:]] == list(range(1, 1000))


def test_ten_thousand_small_keys_are_one_header_and_one_frame() -> None:
    num = 10_000
    push = m.Push(1, 1, 1, list(range(num)), [0] * num, [3] * num, [], [np.zeros(16, np.float32)] * num)
    frames = encode(push)
    assert len(frames) == 2
    received = typing.cast(m.Push, decode(as_bytes(frames)))
    assert received.keys == tuple(range(num))
    assert len(received.values) == num


def test_a_key_number_depends_on_the_name_alone_and_int_keys_are_not_str_keys() -> None:
    assert m.key_name(3) == "i:3"
    assert m.key_name("3") == "s:3"
    assert m.key_number("s:fc1_weight") == 0x79333CE4ACBB2AAA
    assert m.key_number("i:3") != m.key_number("s:3")
    assert m.key_label("i:3") == "3"
    assert m.key_label("s:fc1_weight") == "'fc1_weight'"


def test_every_error_code_is_an_error_of_psdist_and_an_unknown_one_is_a_refusal() -> None:
    for code in typing.get_args(m.ErrorCode):
        assert str(m.Error(1, code, "why").to_exception()) == "why"
    assert m.error_class("from the future").__name__ == "RemoteError"

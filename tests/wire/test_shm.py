"""Segments and windows: what one process writes another reads, and nothing offered is trusted."""

from __future__ import annotations

import dataclasses
import gc
import mmap
import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from psdist.wire import BadMessage, decode, shm
from psdist.wire import messages as m
from psdist.wire.codec import IN_FRAME, NoMemory, OldTurn, draft
from psdist.wire.shm import BadPlace, NotShared, Segment, Window

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memfd is Linux's")

F4 = np.dtype(np.float32)


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = Segment(1 << 20)
    yield made
    made.close()
    made.close()


def test_what_is_written_is_read_by_another_process(segment: Segment) -> None:
    array = segment.empty(1000, F4)
    array[:] = np.arange(1000)
    reader = (
        "import sys, numpy as np; from psdist.wire.shm import Offer, Window;"
        "host, pid, fd, nbytes, token, place = sys.argv[1:];"
        "window = Window(Offer(host, int(pid), int(fd), int(nbytes), int(token)));"
        "print(window.read(int(place), 1000, np.dtype(np.float32)).sum())"
    )
    offer = segment.offer
    told = [offer.host, offer.pid, offer.fd, offer.nbytes, offer.token, segment.place(array)]
    argv = [sys.executable, "-c", reader, *map(str, told)]
    assert float(subprocess.run(argv, capture_output=True, text=True, check=True).stdout) == 499500.0


def test_a_window_cannot_be_written(segment: Segment) -> None:
    array = segment.empty(8, F4)
    seen = Window(segment.offer).read(segment.place(array), 8, F4)
    array[:] = 5
    assert (seen == 5).all()
    assert not seen.flags.writeable
    with pytest.raises(ValueError, match="WRITEABLE"):
        seen.flags.writeable = True


def test_a_block_is_used_again_when_its_last_view_has_gone(segment: Segment) -> None:
    array = segment.empty(3000, F4)
    place = segment.place(array)
    view = array[10:20].reshape(2, 5)
    del array
    assert segment.place(segment.empty(3000, F4)) != place
    del view
    gc.collect()
    assert segment.place(segment.empty(3000, F4)) == place


def test_a_full_segment_gives_ordinary_memory(segment: Segment) -> None:
    kept = [segment.empty(1 << 16, F4) for _ in range(6)]
    assert [segment.place(array) >= 0 for array in kept] == [True] * 3 + [False] * 3
    assert segment.place(np.empty(3, F4)) == -1


def test_places_outside_the_segment_are_refused(segment: Segment) -> None:
    window = Window(segment.offer)
    for offset, size in ((0, 1), (4092, 1), (4097, 1), ((1 << 20) - 4, 2), (1 << 63, 1), (4096, 1 << 60)):
        with pytest.raises(BadPlace, match=f"at byte {offset} of 1048576"):
            window.read(offset, size, F4)
    for counter in (0, -1, 512):
        with pytest.raises(BadPlace, match=f"no counter has the number {counter}"):
            window.counter(counter)


def test_an_offer_that_is_not_true_is_refused(segment: Segment) -> None:
    def refused(match: str, **changes: object) -> None:
        with pytest.raises(NotShared, match=match):
            Window(dataclasses.replace(segment.offer, **changes))  # type: ignore[arg-type]

    refused("another host", host="somewhere:1")
    refused("another host", host="")
    refused("not the one that offered", token=1)
    refused("no segment of that size", nbytes=1 << 19)
    refused("does not let us read", fd=999_999)
    refused("no segment has -1 bytes", nbytes=-1)
    refused("process 0", pid=0)


def test_what_is_no_sealed_memory_is_refused(segment: Segment) -> None:
    reading, writing = os.pipe()
    plain = os.memfd_create("plain", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(plain, segment.offer.nbytes)
    try:
        for fd, why in ((reading, "no segment of that size"), (plain, "could shrink")):
            with pytest.raises(NotShared, match=why):
                Window(dataclasses.replace(segment.offer, fd=fd))
    finally:
        for fd in (reading, writing, plain):
            os.close(fd)


def test_nobody_can_open_a_closed_segment_but_what_is_mapped_stays() -> None:
    segment = Segment(1 << 20)
    array = segment.empty(4, F4)
    array[:] = 7
    window = Window(segment.offer)
    seen = window.read(segment.place(array), 4, F4)
    segment.close()
    with pytest.raises(NotShared):
        Window(segment.offer)
    del array, segment
    assert (seen == 7).all()


def test_a_host_without_procfs_shares_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shm.sys, "platform", "darwin")
    with pytest.raises(NotShared, match="only Linux"):
        Segment(1 << 20)


def test_memory_that_cannot_be_had_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(mmap, "mmap", full)
    with pytest.raises(NotShared, match="Cannot allocate memory"):
        Segment(1 << 20)


class Peer:
    """The other side's memory, for decode."""

    def __init__(self, segment: Segment, turn: int) -> None:
        self.turn = turn
        self.read = Window(segment.offer).read


def test_large_arrays_travel_as_places_and_the_others_as_before(segment: Segment) -> None:
    placed = segment.empty(5000, F4)
    placed[:] = 3
    framed = np.arange(4000, dtype=np.float64)
    small = np.arange(5, dtype=np.int32)
    made = draft(m.Values(7, [1, 2, 3], [placed, small, framed]))
    frames = made.frames(4, [segment.place(placed), IN_FRAME])
    assert len(frames) == 3  # header, the small ones, the one that is a frame
    back = decode(frames, Peer(segment, 4))
    assert isinstance(back, m.Values)
    assert [a.tolist() for a in back.values] == [a.tolist() for a in (placed, small, framed)]
    assert not back.values[0].flags.writeable
    for other in (Peer(segment, 5), NoMemory()):
        with pytest.raises(OldTurn) as caught:
            decode(frames, other)
        assert caught.value.seq == 7
    with pytest.raises(BadMessage, match="Values has 4 fields, not 5"):
        decode(frames)


def test_places_that_do_not_fit_are_bad_messages(segment: Segment) -> None:
    placed = segment.empty(5000, F4)
    made = draft(m.Values(7, [1], [placed]))
    for places in ([1], [segment.place(placed) + 1], [1 << 40]):
        with pytest.raises(BadMessage, match="Values: no 5000 float32 lie at byte"):
            decode(made.frames(1, places), Peer(segment, 1))
    with pytest.raises(BadMessage, match="needs 1"):
        decode(made.frames(1, [IN_FRAME])[:1], Peer(segment, 1))
    donor = draft(m.Values(7, [1], [placed, placed])).frames(1, [4096, 4096])[0]
    header = draft(m.Values(7, [1], [placed])).frames(1, [4096])[0]
    assert isinstance(donor, bytes)
    assert isinstance(header, bytes)
    with pytest.raises(BadMessage, match="2 places of 1 large"):
        decode([_with_last_item_of(donor, header)], Peer(segment, 1))


def _with_last_item_of(donor: bytes, header: bytes) -> bytes:
    import msgpack

    items = msgpack.unpackb(header)
    items[-1] = msgpack.unpackb(donor)[-1]
    return bytes(msgpack.packb(items))

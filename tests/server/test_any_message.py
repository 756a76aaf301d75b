"""Whatever well-formed message comes, from whomever: the rules answer it, and go on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psdist_server.scheduler import Scheduler
from psdist_server.shard import SCHEDULER, Shard

from psdist.wire import key_number
from psdist.wire import messages as m

from ..wire.draw import messages_of

CLASSES = [cls for _, cls in sorted(m.MESSAGES.items())]
REQUESTS = [cls for cls in CLASSES if cls.__slots__[0] == "seq" and "Reply:" in (cls.__doc__ or "")]
KEY = key_number("s:w")


def a_shard() -> Shard:
    shard = Shard("job")
    members = (
        m.Member("server", 0, 0, 1, ""),
        m.Member("worker", 0, 0, 2, ""),
        m.Member("worker", 1, 0, 3, ""),
    )
    shard.step(SCHEDULER, m.View(1, 0, 0, 2, 1, members), 0.0)
    shard.step(b"w0", m.Hello(1, m.VERSION, "job", "worker", 0, 0, 2, ""), 0.0)
    init = m.Init(2, ("s:w",), ("float32",), ((3,),), (0,), (3,), [np.zeros(3, np.float32)])
    shard.step(b"w0", init, 0.0)
    return shard


def still_serves(shard: Shard) -> None:
    ((_, reply),) = shard.step(b"w0", m.Pull(2**40, [KEY], [0], [0]), 0.0)
    assert isinstance(reply, m.Values)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_shard_survives_any_message(cls: type[Any], data: st.DataObject) -> None:
    shard = a_shard()
    for sender in (b"stranger", b"w0"):
        shard.step(sender, data.draw(messages_of(cls)), 0.0)
    if cls is not m.Hello:
        still_serves(shard)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_scheduler_survives_any_message(cls: type[Any], data: st.DataObject) -> None:
    scheduler = Scheduler(
        job="job",
        num_workers=2,
        num_servers=1,
        now=0.0,
        heartbeat_s=1.0,
        dead_after_s=5.0,
        start_timeout_s=60.0,
    )
    for role, rank, sender in (("worker", 0, b"w0"), ("server", 0, b"s0"), ("worker", 1, b"w1")):
        scheduler.step(sender, m.Hello(1, m.VERSION, "job", role, rank, 0, hash(sender), ""), 0.0)
    scheduler.step(b"l", m.Hello(1, m.VERSION, "job", "launcher", -1, 0, 9, ""), 0.0)
    for sender in (b"stranger", b"w0", b"s0", b"l"):
        scheduler.step(sender, data.draw(messages_of(cls)), 1.0)
    scheduler.tick(2.0)


@pytest.mark.parametrize("cls", REQUESTS, ids=lambda cls: cls.__name__)
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_a_stranger_gets_exactly_one_reply_a_refusal(cls: type[Any], data: st.DataObject) -> None:
    message = data.draw(messages_of(cls))
    ((destination, reply),) = a_shard().step(b"stranger", message, 0.0)
    assert destination == b"stranger"
    assert isinstance(reply, m.Error)
    assert reply.seq == message.seq


def test_an_optimizer_whose_numbers_break_it_is_refused_when_it_is_set() -> None:
    shard = a_shard()
    ((_, reply),) = shard.step(b"w0", m.SetOptimizer(5, "adam", {"beta1": 1.0}, 0.1, 0.0, {}, {}), 0.0)
    assert isinstance(reply, m.Error)
    assert reply.text.startswith("optimizer 'adam' does not work with these numbers: ZeroDivisionError")
    still_serves(shard)

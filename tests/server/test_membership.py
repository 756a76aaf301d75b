"""A server's side of belonging to a job, where messages get lost with the connection that they were on."""

from __future__ import annotations

from psdist_server.membership import Membership

from psdist.wire.messages import Alive, Hello, Welcome


def joining() -> Membership:
    return Membership(
        job="j",
        role="server",
        rank=0,
        incarnation=0,
        token=7,
        address="tcp://127.0.0.1:9",
        scheduler="127.0.0.1:1",
        connect_timeout_s=8.0,
        start_timeout_s=60.0,
        heartbeat_s=1.0,
        dead_after_s=8.0,
    )


def test_a_hello_that_is_not_answered_is_said_again_until_it_is():
    member = joining()
    (hello,) = member.join(100.0)
    assert isinstance(hello, Hello)
    assert member.tick(100.5, 0, 0, 0) == []
    assert member.tick(101.0, 0, 0, 0) == [hello]
    assert member.tick(101.5, 0, 0, 0) == []
    assert member.tick(102.0, 0, 0, 0) == [hello]
    member.step(Welcome(1, -1, 1.0, 8.0, 60.0), 102.1)
    assert member.tick(102.2, 0, 0, 0) == [Alive("server", 0, 0, 0, 0, 0)]


def test_a_scheduler_that_never_answers_is_an_error_that_says_where_it_was_looked_for():
    member = joining()
    member.join(100.0)
    for i in range(1, 9):
        assert member.ended is None
        member.tick(100.0 + i, 0, 0, 0)
    member.tick(108.5, 0, 0, 0)
    assert member.ended is not None
    assert member.ended.code == 1
    assert member.ended.reason.startswith("no scheduler answered at 127.0.0.1:1 within 8 s")

"""A scheduler that is started again: what members ask before all of them are back."""

from __future__ import annotations

from typing import Any

import pytest
from psdist_server.scheduler import Scheduler

from psdist.wire.messages import VERSION, Barrier, Done, Error, Hello, Member, View

MEMBERS = (
    Member("server", 0, 0, 100, "tcp://127.0.0.1:1"),
    Member("worker", 0, 0, 200, ""),
    Member("worker", 1, 0, 201, ""),
)


def come_back(scheduler: Scheduler, member: Member) -> Any:
    """Say Hello, and tell the View of before."""
    sender = f"{member.role}{member.rank}".encode()
    hello = Hello(
        1, VERSION, "job", member.role, member.rank, 0, member.token, member.address, shard=-1, epoch=3
    )
    view = View(3, 0, member.rank, 2, 1, MEMBERS, 0, (), 1, {})
    return [*scheduler.step(sender, hello, 1.0), *scheduler.step(sender, view, 1.0)]


@pytest.mark.parametrize("first", [0, 1])
def test_a_barrier_that_was_not_the_first_waits_until_all_are_back(first: int) -> None:
    scheduler = Scheduler(
        job="job",
        num_workers=2,
        num_servers=1,
        now=0.0,
        heartbeat_s=1.0,
        dead_after_s=8.0,
        start_timeout_s=60.0,
    )
    one, other = f"worker{first}".encode(), f"worker{1 - first}".encode()
    come_back(scheduler, MEMBERS[1 + first])
    assert scheduler.step(one, Barrier(7, "", 4), 1.0) == []
    come_back(scheduler, MEMBERS[0])
    out = come_back(scheduler, MEMBERS[2 - first])
    assert scheduler.state == "running"
    assert not [message for _, message in out if isinstance(message, Error | Done)]
    out = scheduler.step(other, Barrier(8, "", 4), 1.0)
    assert sorted(out) == sorted([(one, Done(7, 0)), (other, Done(8, 0))], key=lambda pair: pair[0])

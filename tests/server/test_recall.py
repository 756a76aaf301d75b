"""A scheduler that is started again learns from its callers how the job stands."""

from __future__ import annotations

from dataclasses import replace

from psdist_server.scheduler import Scheduler

from psdist.wire.messages import (
    VERSION,
    Alive,
    Barrier,
    Done,
    Finish,
    Hello,
    Leave,
    Lost,
    Member,
    Message,
    Placement,
    View,
    Welcome,
)

JOB = "j"
WHO = [("server", 0), ("worker", 0), ("worker", 1)]


def started() -> Scheduler:
    return Scheduler(
        job=JOB,
        num_workers=2,
        num_servers=1,
        now=0.0,
        heartbeat_s=1.0,
        dead_after_s=8.0,
        start_timeout_s=60.0,
    )


def name(role: str, rank: int) -> bytes:
    return f"{role}{rank}".encode()


def hello(role: str, rank: int, epoch: int = 0) -> Hello:
    return Hello(
        1, VERSION, JOB, role, rank, 0, {"server": 100, "worker": 200}[role] + rank, "tcp://s:1", -1, epoch
    )


def views() -> dict[tuple[str, int], View]:
    """What each member was told by the first scheduler."""
    scheduler, told = started(), {}
    for role, rank in WHO:
        for sender, message in scheduler.step(name(role, rank), hello(role, rank), 0.0):
            if isinstance(message, View):
                told[sender] = message
    return {(role, rank): told[name(role, rank)] for role, rank in WHO}


def come_back(scheduler: Scheduler, role: str, rank: int, passed: int = 0) -> list[tuple[bytes, Message]]:
    view = replace(views()[role, rank], meetings={"": passed} if passed else {})
    out = scheduler.step(name(role, rank), hello(role, rank, view.epoch), 1.0)
    assert isinstance(out[0][1], Welcome)
    return scheduler.step(name(role, rank), view, 1.0)


def test_those_who_come_to_a_barrier_before_the_job_is_taken_up_pass_it_together():
    scheduler = started()
    come_back(scheduler, "worker", 0)
    assert scheduler.step(b"worker0", Barrier(7, "", 3), 1.0) == []
    come_back(scheduler, "worker", 1)
    assert scheduler.step(b"worker1", Barrier(8, "", 3), 1.0) == []
    out = come_back(scheduler, "server", 0)
    assert scheduler.state == "running"
    assert [pair for pair in out if isinstance(pair[1], Done)] == [
        (b"worker0", Done(7, 0)),
        (b"worker1", Done(8, 0)),
    ]


def test_a_barrier_that_one_has_passed_is_open_for_all():
    scheduler = started()
    for role, rank in WHO[:2]:
        come_back(scheduler, role, rank)
    assert scheduler.step(b"worker0", Barrier(7, "", 0), 1.0) == []
    assert (b"worker0", Done(7, 0)) in come_back(scheduler, "worker", 1, passed=1)


def test_workers_that_leave_before_the_job_is_taken_up_have_left():
    scheduler = started()
    for rank in (0, 1):
        come_back(scheduler, "worker", rank)
        assert scheduler.step(name("worker", rank), Leave(9), 1.0) == [(name("worker", rank), Done(9, 0))]
    come_back(scheduler, "server", 0)
    assert scheduler.state == "finished"


def test_a_death_that_the_launcher_saw_while_members_come_back_is_judged_when_the_job_is_taken_up():
    scheduler = Scheduler(
        job=JOB,
        num_workers=2,
        num_servers=1,
        now=0.0,
        heartbeat_s=1.0,
        dead_after_s=8.0,
        start_timeout_s=60.0,
        elastic=(1, 2),
    )
    scheduler.step(b"l", Hello(1, VERSION, JOB, "launcher", -1, 0, 900, ""), 1.0)
    come_back(scheduler, "worker", 0)
    assert scheduler.step(b"l", Lost(2, "worker", 1, "killed"), 1.5) == [(b"l", Done(2, 0))]
    come_back(scheduler, "server", 0)
    scheduler.step(b"worker0", Alive("worker", 0, 1, 3, 0, 0), 2.0)
    scheduler.tick(9.0)
    assert scheduler.state == "running"  # with worker 0 alone


def test_a_newcomer_of_before_is_a_member_still():
    """Its rank is beyond those with which the job began: with an epoch it needs not wait for anybody's first push."""
    members = (Member("server", 0, 0, 100, "tcp://s:1"), Member("worker", 2, 0, 202, ""))
    scheduler = Scheduler(
        job=JOB,
        num_workers=2,
        num_servers=1,
        now=0.0,
        heartbeat_s=1.0,
        dead_after_s=8.0,
        start_timeout_s=60.0,
        elastic=(1, 3),
    )
    for member in members:
        sender = name(member.role, member.rank)
        scheduler.step(sender, hello(member.role, member.rank, 5), 1.0)
        scheduler.step(sender, View(5, 0, member.rank, 1, 1, members, joined=3), 1.0)
    assert (scheduler.state, scheduler.epoch) == ("running", 6)


def test_a_server_that_was_let_go_hears_so_from_a_scheduler_that_was_started_since():
    scheduler = started()
    for role, rank in WHO:
        come_back(scheduler, role, rank)
    late = hello("server", 1, 1)
    out = scheduler.step(b"server1", late, 2.0)
    assert (b"server1", Finish("the job goes on with 1 servers")) in out
    assert scheduler.step(b"server1", Leave(2), 2.0) == [(b"server1", Done(2, 0))]
    assert scheduler.epoch == 2


def test_a_job_that_all_workers_have_left_is_finished_though_a_server_has_ended_since():
    scheduler = started()
    for rank in (0, 1):
        come_back(scheduler, "worker", rank)
        scheduler.step(name("worker", rank), Leave(9), 1.0)
    assert scheduler.state == "joining"
    scheduler.tick(9.5)
    assert (scheduler.state, scheduler.reason) == ("finished", "all workers have finished")


def test_a_hello_from_an_old_epoch_does_not_bring_the_old_view_back():
    """A server that an earlier scheduler took for dead comes to one that has taken up the job without it."""
    members = tuple(Member("server", rank, 0, 100 + rank, "tcp://s:1") for rank in (0, 2))
    members += (Member("worker", 0, 0, 200, ""),)
    shards = tuple(Placement(rank, (2 - rank,), (2 - rank,)) for rank in (0, 2, 0))
    scheduler = Scheduler(
        job=JOB,
        num_workers=1,
        num_servers=3,
        now=0.0,
        heartbeat_s=1.0,
        dead_after_s=8.0,
        start_timeout_s=60.0,
        replicas=1,
    )
    for member in members:
        sender = name(member.role, member.rank)
        scheduler.step(sender, hello(member.role, member.rank, 5), 1.0)
        scheduler.step(sender, View(5, 0, member.rank, 1, 3, members, 1, shards), 1.0)
    assert (scheduler.state, scheduler.epoch) == ("running", 6)
    scheduler.step(b"server1", hello("server", 1, 4), 2.0)
    epoch = scheduler.epoch
    assert epoch > 6
    for sender, role, rank in (
        (b"server0", "server", 0),
        (b"server1", "server", 1),
        (b"server2", "server", 2),
    ):
        scheduler.step(sender, Alive(role, rank, epoch, 0, 0, 0), 9.0)
    scheduler.step(b"worker0", Alive("worker", 0, epoch, 0, 0, 0), 9.0)
    scheduler.tick(12.0)
    assert (scheduler.state, scheduler.epoch) == ("running", epoch)


def test_a_server_of_an_older_view_is_waited_for_to_hear_that_it_was_let_go():
    """It comes when all the others are back already, and the job has finished."""
    first = tuple(Member("server", rank, 0, 100 + rank, "tcp://s:1") for rank in (0, 1))
    workers = tuple(Member("worker", rank, 0, 200 + rank, "") for rank in (0, 1))
    shards = (Placement(0, (), ()), Placement(0, (), ()))
    scheduler = started()
    old = View(3, 0, 1, 2, 2, first + workers, 0, shards)
    new = View(5, 0, 0, 2, 2, (first[0], workers[0]), 0, shards)
    for member, view in ((workers[1], old), (workers[0], new), (first[0], new)):
        sender = name(member.role, member.rank)
        scheduler.step(sender, hello(member.role, member.rank, view.epoch), 1.0)
        scheduler.step(sender, replace(view, rank=member.rank), 1.0)
        scheduler.step(sender, Leave(9), 1.0)
    assert scheduler.state == "finished"
    scheduler.step(b"server0", Leave(2), 1.0)
    scheduler.tick(2.0)
    assert scheduler.ended is None
    out = scheduler.step(b"server1", hello("server", 1, 3), 3.0)
    assert [type(message) for _, message in out] == [Welcome, Finish]
    scheduler.step(b"server1", Leave(2), 3.0)
    scheduler.tick(3.1)
    assert scheduler.ended is not None

"""Copies that come before the View that explains them."""

from __future__ import annotations

from psdist_server.server import Server
from psdist_server.shard import SCHEDULER, Shard
from psdist_server.state import settings_of

from psdist.wire.messages import (
    VERSION,
    CopyEnd,
    CopySettings,
    CopySlices,
    Done,
    Error,
    Hello,
    Member,
    Placement,
    SetOptimizer,
    View,
    Welcome,
)

SERVERS = tuple(Member("server", rank, 0, 100 + rank, f"tcp://s:{rank}") for rank in range(3))


def view(epoch: int, backups: tuple[int, ...]) -> View:
    """As server 0 hears it: shard 1 is on server 2, with copies on these."""
    places = (Placement(0, (), ()), Placement(2, backups, ()), Placement(2, (), ()))
    return View(epoch, 0, 0, 1, 3, SERVERS, 1, places)


def a_server() -> Server:
    """Server 0, to which server 2 has shown itself as `b"s2"`."""
    server = Server("j", token=100)
    server.step(SCHEDULER, view(1, (1,)), 0.0)
    (welcome,) = server.step(b"s2", Hello(9, VERSION, "j", "server", 2, 0, 102, ""), 0.0)
    assert isinstance(welcome[1], Welcome)
    return server


def settings(seq: int, epoch: int) -> CopySettings:
    shard = Shard("j")
    shard.updates.set_optimizer(SetOptimizer(1, "sgd", {}, 1.0, 0.0, {}, {}), [])
    return settings_of(shard, seq, epoch, 1)


def slices(seq: int, epoch: int) -> CopySlices:
    return CopySlices(seq, epoch, 1, (), (), (), [], [], [], [], [], [], [], [], [], [])


def test_a_copy_that_was_begun_under_a_later_view_survives_the_views_before_it():
    server = a_server()
    assert server.step(b"s2", settings(1, 3), 0.0) == [(b"s2", Done(1, 2))]
    server.step(SCHEDULER, view(2, (1,)), 0.0)
    server.step(SCHEDULER, view(3, (0,)), 0.0)
    assert server.step(b"s2", slices(2, 3), 0.0) == [(b"s2", Done(2, 2))]
    assert server.backups[1].shard.updates.rule is None
    assert server.step(b"s2", CopyEnd(3, 3, 1), 0.0) == [(b"s2", Done(3, 2))]
    assert server.backups[1].shard.updates.rule is not None


def test_a_copy_that_is_no_more_is_let_go():
    server = a_server()
    server.step(b"s2", settings(1, 2), 0.0)
    server.step(SCHEDULER, view(2, (0,)), 0.0)
    server.step(SCHEDULER, view(3, (1,)), 0.0)
    assert 1 not in server.backups


def test_a_copy_without_settings_is_refused():
    server = a_server()
    server.step(SCHEDULER, view(2, (0,)), 0.0)
    ((_, refusal),) = server.step(b"s2", slices(1, 2), 0.0)
    assert isinstance(refusal, Error)
    assert "CopySlices came before the settings of the copy" in refusal.text

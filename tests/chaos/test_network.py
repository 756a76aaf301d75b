"""Links that are late, slow, reset or cut: the same bits; or an end that names the cause, and no split brain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .harness import Bare, assert_right, free_port
from .proxy import Proxy

ROUNDS = 20
DEAD_AFTER_S = 4.0
LIVELY = {
    "PSDIST_HEARTBEAT": 0.5,
    "PSDIST_DEAD_AFTER": DEAD_AFTER_S,
    "PSDIST_SCHEDULER_AWAY": 10,
    "PSDIST_SHM_BYTES": 0,  # values go over the links, as between machines
}
slice_ = pytest.mark.slice


@dataclass
class Wired:
    """A job in which every server has a link to the scheduler and one to it, and every worker one to the scheduler."""

    job: Bare
    fronts: list[Proxy]  # by which workers and other servers reach a server
    uplinks: list[Proxy]  # by which a server reaches the scheduler
    worker_uplinks: list[Proxy]

    def hold_all(self, step: int) -> None:
        for rank in range(self.job.num_workers):
            self.job.hold(rank, step)

    def wait_until_held(self, step: int) -> None:
        held = [rf"\[worker {rank}\] holds at {step}$" for rank in range(self.job.num_workers)]
        self.job.wait_for_all(*held)

    def let_all_go(self, step: int) -> None:
        for rank in range(self.job.num_workers):
            self.job.let_go(rank, step)

    def train(self, **training: Any) -> None:
        for rank in range(self.job.num_workers):
            link = {"DMLC_PS_ROOT_PORT": self.worker_uplinks[rank].port}
            self.job.worker(rank, link, **{"rounds": ROUNDS, **training})


@pytest.fixture
def wired(folder: Path) -> Iterator[Callable[..., Wired]]:
    with ExitStack() as stack:

        def make(workers: int = 2, servers: int = 2, **env: Any) -> Wired:
            apart = {"PSDIST_SHM_BYTES": 0}  # as on hosts of their own: arrays go over the links
            job = stack.enter_context(Bare(folder, workers, servers, LIVELY | apart | env))
            job.scheduler()
            fronts, uplinks = [], []
            for rank in range(servers):
                port = free_port()
                fronts.append(stack.enter_context(Proxy(port)))
                uplinks.append(stack.enter_context(Proxy(job.port)))
                job.server(
                    rank,
                    PSDIST_NODE_PORT=port,
                    PSDIST_ADVERTISE=f"127.0.0.1:{fronts[rank].port}",
                    DMLC_PS_ROOT_PORT=uplinks[rank].port,
                )
            worker_uplinks = [stack.enter_context(Proxy(job.port)) for _ in range(workers)]
            return Wired(job, fronts, uplinks, worker_uplinks)

        yield make


def assert_all_well(wired: Wired, digest: str, num_rounds: int = ROUNDS) -> None:
    codes = wired.job.finish()
    assert set(codes.values()) == {0}, (codes, wired.job.text)
    assert_right(wired.job, num_rounds, digest)
    wired.job.assert_nothing_left()


@slice_
def test_late_and_slow_links_change_no_bit(wired: Any, faultless: Any) -> None:
    one = wired(PSDIST_REPLICAS=1)
    for link in (*one.fronts, *one.uplinks, *one.worker_uplinks):
        link.shape(delay_s=0.02, bytes_per_s=4e6)
    one.train()
    assert_all_well(one, faultless())


@slice_
@pytest.mark.parametrize("replicas", [0, 1])
def test_connections_that_are_reset_in_mid_frame_change_no_bit(
    wired: Any, faultless: Any, replicas: int
) -> None:
    one = wired(PSDIST_REPLICAS=replicas)
    for link in one.fronts:
        link.shape(reset_every=300_000)
    one.train()
    assert_all_well(one, faultless())
    assert sum(link.num_resets for link in one.fronts) >= 5


@slice_
def test_resets_while_arrays_travel_through_memory_change_no_bit(wired: Any, faultless: Any) -> None:
    """What is agreed upon for one connection is over with it: memory, and the way for short messages beside it."""
    one = wired(PSDIST_SHM_BYTES=1 << 30)
    holds = [4, 8, 12]
    for step in holds:
        one.hold_all(step)
    one.train(holds=holds)
    for step in holds:
        one.wait_until_held(step)
        for link in one.fronts:
            link.reset()
        one.let_all_go(step)
    assert_all_well(one, faultless())
    assert sum(link.num_resets for link in one.fronts) >= 2 * len(holds)


@pytest.mark.parametrize("role", ["server", "worker"])
def test_connections_to_the_scheduler_that_are_reset_change_no_bit(
    wired: Any, faultless: Any, role: str
) -> None:
    one = wired(PSDIST_REPLICAS=1)
    links = one.uplinks if role == "server" else one.worker_uplinks
    for link in links:
        link.shape(reset_every=700)
    one.train(rounds=150, slow=0.02)
    assert_all_well(one, faultless(), 150)
    assert sum(link.num_resets for link in links) >= 1


@pytest.mark.parametrize("which", ["fronts", "uplinks", "worker_uplinks"])
def test_a_short_cut_changes_no_bit_and_nobody_is_taken_for_dead(
    wired: Any, faultless: Any, which: str
) -> None:
    one = wired(PSDIST_REPLICAS=1)
    one.hold_all(5)
    one.train(holds=[5])
    one.wait_until_held(5)
    link = getattr(one, which)[1]
    link.cut()
    one.let_all_go(5)
    one.job.wait_for(r"acked 4$")  # by now, at the latest
    link.heal()
    assert_all_well(one, faultless())


@slice_
@pytest.mark.parametrize(
    ("there", "back"), [(True, True), (True, False), (False, True)], ids=["both-ways", "there", "back"]
)
def test_a_server_that_is_cut_off_is_replaced_and_ends_when_it_is_back(
    wired: Any, faultless: Any, there: bool, back: bool
) -> None:
    one = wired(PSDIST_REPLICAS=1)
    one.hold_all(5)
    one.train(holds=[5])
    one.wait_until_held(5)
    one.fronts[1].cut(there, back)
    one.uplinks[1].cut(back, there)  # which the server's own connection has the other way round
    one.let_all_go(5)
    one.job.wait_for_all(r"\[worker 0\] RESULT", r"\[worker 1\] RESULT")
    one.fronts[1].heal()
    one.uplinks[1].heal()
    codes = one.job.finish()
    assert codes.pop("server 1") == 1
    assert set(codes.values()) == {0}, (codes, one.job.text)
    assert_right(one.job, ROUNDS, faultless())
    one.job.assert_nothing_left()


@slice_
def test_a_server_that_only_the_scheduler_has_lost_serves_nobody_any_more(wired: Any, faultless: Any) -> None:
    """The split brain: workers still reach it, and another server has taken its shard."""
    one = wired(PSDIST_REPLICAS=1)
    one.hold_all(5)
    one.hold_all(12)
    one.train(holds=[5, 12])
    one.wait_until_held(5)
    one.uplinks[1].cut()
    one.job.wait_for(r"\[server 0\].*it serves shards? .*1")  # the View in which it is replaced
    one.let_all_go(5)
    one.wait_until_held(12)
    one.let_all_go(12)
    one.job.wait_for_all(r"\[worker 0\] RESULT", r"\[worker 1\] RESULT")
    codes = one.job.finish()
    assert codes.pop("server 1") == 1
    assert set(codes.values()) == {0}, (codes, one.job.text)
    assert_right(one.job, ROUNDS, faultless())


def test_a_server_that_workers_cannot_reach_is_named_when_their_patience_ends(wired: Any) -> None:
    one = wired(PSDIST_REQUEST_TIMEOUT=6)
    one.hold_all(5)
    one.train(holds=[5])
    one.wait_until_held(5)
    one.fronts[1].cut()
    one.let_all_go(5)
    codes = one.job.finish()
    assert 0 not in codes.values(), codes
    assert one.job.has(r"no reply to Pu\w+ of .* from server 1 .* after 6 s")
    assert not one.job.violations
    one.job.assert_nothing_left()


def test_a_worker_that_is_cut_off_from_the_scheduler_ends_the_job_and_is_named(wired: Any) -> None:
    one = wired()
    one.hold_all(5)
    one.train(holds=[5])
    one.wait_until_held(5)
    one.worker_uplinks[1].cut()
    one.job.wait_for(r"\[scheduler\].*worker 1 died")
    one.let_all_go(5)
    codes = one.job.finish()
    assert 0 not in codes.values(), codes
    assert one.job.has(r"\[worker 0\].*PeerLost.*worker 1 died")
    assert one.job.has(r"\[worker 1\].*PeerLost.*scheduler .* has been silent")
    one.job.assert_nothing_left()


def test_the_others_go_on_without_a_worker_that_is_cut_off(wired: Any) -> None:
    one = wired(workers=3, PSDIST_ELASTIC="1:3")
    one.hold_all(5)
    one.train(holds=[5], adam=0, elastic=True)
    one.wait_until_held(5)
    one.worker_uplinks[1].cut()
    one.job.wait_for(r"\[server 0\].*for 2 workers")  # the View without it
    one.let_all_go(5)
    codes = one.job.finish()
    assert codes.pop("worker 1") == 1, one.job.text
    assert set(codes.values()) == {0}, (codes, one.job.text)
    assert not one.job.violations
    pushes = {rank: found["pushes"] for rank, found in one.job.results.items()}
    assert pushes[0] == pushes[2]
    assert pushes[0][0] == pushes[0][2] == (1 << ROUNDS) - 1
    assert one.job.acked(1) & ~pushes[0][1] == 0, "acknowledged pushes of the lost worker are lost"

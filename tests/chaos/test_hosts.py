"""Every process on a host of its own, with the job's keys: the links between any two of them, cut one by one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .harness import Bare, assert_right
from .hosts import Hosts

ROUNDS = 20
SCHEDULER, SERVERS, WORKERS = 0, (1, 2), (3, 4)  # which host is whose
slice_ = pytest.mark.slice


class Apart(Bare):
    """A job of two servers with copies and two workers, each on its host; `hosts` has the links."""

    def __init__(self, folder: Path, hosts: Hosts) -> None:
        keys = folder / "keys"
        argv = [sys.executable, "-m", "psdist_launch.cli", "keygen", str(keys)]
        subprocess.run(argv, check=True, capture_output=True)
        lively = {"PSDIST_HEARTBEAT": 0.5, "PSDIST_DEAD_AFTER": 4, "PSDIST_SCHEDULER_AWAY": 10}
        apart = {"PSDIST_SHM_BYTES": 0, "PSDIST_KEY_FILE": keys, "PSDIST_REPLICAS": 1}
        super().__init__(folder, env=lively | apart)
        self.hosts = hosts
        self.env["DMLC_PS_ROOT_URI"] = hosts.address(SCHEDULER)

    def start(self, name: str, argv: list[str], env: dict[str, Any] | None = None, **how: Any) -> None:
        role, _, rank = name.partition(" ")
        host = {"scheduler": (SCHEDULER,), "server": SERVERS, "worker": WORKERS}[role][int(rank or 0)]
        own = (env or {}) | {"DMLC_NODE_HOST": self.hosts.address(host)}
        super().start(name, self.hosts.on(host, argv), own, **how)

    def train(self, holds: tuple[int, ...] = ()) -> None:
        """Start all, and wait until the workers hold."""
        self.scheduler()
        for rank in range(2):
            self.server(rank)
        for step in holds:
            for rank in range(2):
                self.hold(rank, step)
        for rank in range(2):
            self.worker(rank, rounds=ROUNDS, holds=holds)
        for step in holds[:1]:
            self.wait_for_all(*(rf"\[worker {rank}\] holds at {step}$" for rank in range(2)))

    def go_on(self, step: int) -> None:
        for rank in range(2):
            self.let_go(rank, step)


@pytest.fixture
def apart(folder: Path) -> Iterator[Apart]:
    with Hosts(5) as hosts, Apart(folder, hosts) as job:
        yield job


def test_hosts_of_their_own_change_no_bit(apart: Apart, faultless: Any) -> None:
    apart.train()
    assert set(apart.finish().values()) == {0}, apart.text
    assert_right(apart, ROUNDS, faultless())


@slice_
@pytest.mark.parametrize(
    "ways", [((0, 1), (1, 0)), ((0, 1),), ((1, 0),)], ids=["both-ways", "first-to-second", "second-to-first"]
)
def test_two_servers_that_cannot_reach_each_other_go_on_without_copies_and_say_so(
    apart: Apart, faultless: Any, ways: tuple[tuple[int, int], ...]
) -> None:
    """Workers and the scheduler reach both."""
    apart.train(holds=(5,))
    for one, other in ways:
        apart.hosts.cut(SERVERS[one], SERVERS[other])
    apart.go_on(5)
    assert set(apart.finish().values()) == {0}, apart.text
    assert apart.has(r"WARNING server [01] has not answered server [01] for [\d.]+ s: .* not replicated")
    assert_right(apart, ROUNDS, faultless())


def test_a_worker_that_one_server_cannot_answer_goes_on_when_the_link_is_whole_again(
    apart: Apart, faultless: Any
) -> None:
    apart.train(holds=(5,))
    apart.hosts.cut(SERVERS[1], WORKERS[0])
    apart.go_on(5)
    apart.wait_for(r"\[worker 1\] acked 4$")
    apart.listen(3.0)
    apart.hosts.heal(SERVERS[1], WORKERS[0])
    assert set(apart.finish().values()) == {0}, apart.text
    assert_right(apart, ROUNDS, faultless())

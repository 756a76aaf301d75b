"""A server dies in the midst of training, and nothing is lost: the same bits as if it had not."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from .conftest import run_threads

pytestmark = pytest.mark.slow

_FAST = {"PSDIST_HEARTBEAT": 0.3, "PSDIST_DEAD_AFTER": 4}
_KEPT = {"PSDIST_REPLICAS": 1}


def train(cluster: Any, *, kills: dict[int, Any], num_rounds: int = 12, **options: Any) -> list[Any]:
    """Train on all workers; at the rounds in `kills` worker 0 waits while a server is killed, or something
    else is done. What each worker returned."""
    servers = cluster.serve()
    stops = sorted(kills)
    num = int(cluster.env["DMLC_NUM_WORKER"])
    workers = [
        cluster.worker(rank, "train_with_stops", num_rounds=num_rounds, stops=stops, **options)
        for rank in range(num)
    ]
    for stop in stops:
        assert [worker.line() for worker in workers] == [f"round {stop}"] * num
        kills[stop](cluster, servers)
    results = [worker.wait().result for worker in workers]
    assert len({result["digest"] for result in results}) == 1
    return results


def undisturbed(num_servers: int, **options: Any) -> list[Any]:
    """The same, and nobody dies."""
    return run_threads("train_with_stops", num_servers=num_servers, **options)


def kill(*ranks: int) -> Any:
    """Kill these servers at once; only then is their death told of."""

    def do(cluster: Any, servers: list[Any]) -> None:
        for rank in ranks:
            servers[1 + rank].kill(signal.SIGKILL)
        for rank in ranks:
            servers[1 + rank].wait()
        for rank in ranks:
            cluster.lost("server", rank)

    return do


@pytest.mark.parametrize("opt", ["none", "sgd", "adam"])
def test_a_killed_server_changes_no_bit(clusters: Any, opt: str) -> None:
    plain = undisturbed(2, opt=opt)
    kept = train(clusters(2, 2, **_KEPT), kills={5: kill(1)}, opt=opt)
    assert kept[0]["digest"] == plain[0]["digest"]
    assert kept[0]["epoch"] >= 2


@pytest.mark.parametrize("opt", ["none", "sgd"])
def test_a_killed_server_changes_no_bit_of_compressed_pulls(clusters: Any, opt: str) -> None:
    plain = undisturbed(2, opt=opt, pull="4level")
    kept = train(clusters(2, 2, **_KEPT), kills={5: kill(1)}, opt=opt, pull="4level")
    assert kept[0]["digest"] == plain[0]["digest"] != undisturbed(2, opt=opt)[0]["digest"]


def test_a_second_server_may_die_when_the_copies_are_made_anew(clusters: Any) -> None:
    plain = undisturbed(3, opt="adam", num_rounds=40)
    kept = train(clusters(2, 3, **_KEPT), kills={5: kill(1), 25: kill(2)}, opt="adam", num_rounds=40)
    assert kept[0]["digest"] == plain[0]["digest"]
    assert kept[0]["epoch"] >= 3


@pytest.mark.parametrize("ranks", [(0, 1), (1, 0), (2, 1)])
def test_two_servers_may_die_at_once_when_there_are_two_copies(clusters: Any, ranks: tuple[int, int]) -> None:
    plain = undisturbed(3, opt="adam")
    kept = train(clusters(2, 3, PSDIST_REPLICAS=2), kills={5: kill(*ranks)}, opt="adam")
    assert kept[0]["digest"] == plain[0]["digest"]


@pytest.mark.parametrize("way", ["push", "pushpull"])
@pytest.mark.parametrize("moment", [0, 1, 7, 11])
def test_it_does_not_matter_when_a_server_is_killed_nor_how_training_pushes(
    clusters: Any, way: str, moment: int
) -> None:
    plain = undisturbed(2, way=way)
    kept = train(clusters(2, 2, **_KEPT), kills={moment: kill(moment % 2)}, way=way)
    assert kept[0]["digest"] == plain[0]["digest"]


def test_without_a_copy_the_job_ends_naming_the_dead_server(clusters: Any) -> None:
    cluster = clusters(2, 2, **_FAST)
    servers = cluster.serve()
    workers = [cluster.worker(rank, "train_until_killed") for rank in range(2)]
    assert [worker.line() for worker in workers] == ["training"] * 2
    servers[2].kill()
    for worker in workers:
        ended = worker.wait(15)
        assert ended.code == 1
        assert "server 1 died in step" in ended.last_line


def test_when_a_server_and_its_copy_die_the_job_ends_naming_the_cause(clusters: Any) -> None:
    cluster = clusters(2, 3, **_KEPT)
    servers = cluster.serve()
    workers = [cluster.worker(rank, "train_until_killed") for rank in range(2)]
    assert [worker.line() for worker in workers] == ["training"] * 2
    for rank in (0, 1):
        servers[1 + rank].kill()
        servers[1 + rank].wait()
    for rank in (0, 1):
        cluster.lost("server", rank)
    for process in [*workers, servers[0], servers[3]]:
        ended = process.wait(15)
        assert ended.code == 1, ended
        assert "no other server has a complete copy of its shard" in ended.last_line


def test_training_goes_on_without_the_scheduler_and_one_started_again_leads_through_a_servers_death(
    clusters: Any,
) -> None:
    cluster = clusters(2, 3, **_KEPT)
    servers = cluster.serve()
    stops = [5, 15, 25, 60]
    workers = [
        cluster.worker(rank, "train_with_stops", num_rounds=70, stops=stops, opt="adam") for rank in range(2)
    ]
    assert [worker.line() for worker in workers] == ["round 5"] * 2
    servers[0].kill()
    servers[0].wait()
    assert [worker.line() for worker in workers] == ["round 15"] * 2  # that is: without the scheduler
    again = cluster.scheduler()
    assert [worker.line() for worker in workers] == ["round 25"] * 2
    while "is running" not in again.err_line():
        pass
    kill(1)(cluster, servers)
    assert [worker.line() for worker in workers] == ["round 60"] * 2
    results = [worker.wait().result for worker in workers]
    undisturbed_results = undisturbed(3, num_rounds=70, opt="adam")
    assert {result["digest"] for result in results} == {undisturbed_results[0]["digest"]}
    for process in (again, servers[1], servers[3]):
        ended = process.wait()
        assert ended.code == 0, ended


def test_a_server_that_was_stopped_and_taken_for_dead_ends_when_it_goes_on(clusters: Any) -> None:
    cluster = clusters(2, 2, **_KEPT, **_FAST)
    servers = cluster.serve()
    workers = [cluster.worker(rank, "train_with_stops", num_rounds=150, stops=[5, 9]) for rank in range(2)]
    assert [worker.line() for worker in workers] == ["round 5"] * 2
    servers[2].kill(signal.SIGSTOP)
    assert [worker.line() for worker in workers] == ["round 9"] * 2  # that is: without it
    servers[2].kill(signal.SIGCONT)
    zombie = servers[2].wait(15)
    assert zombie.code == 1
    assert (
        "taken for dead, and the job has gone on without" in zombie.last_line
        or "server 1 was taken for dead" in zombie.last_line
    )
    assert len({worker.wait().result["digest"] for worker in workers}) == 1

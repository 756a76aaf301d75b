"""Workers die and come while the others train: nobody waits for the dead, and newcomers begin where the job is."""

from __future__ import annotations

import signal
from typing import Any

import pytest

pytestmark = pytest.mark.slow


def start(cluster: Any, num: int, **options: Any) -> tuple[list[Any], list[Any]]:
    servers = cluster.serve()
    return servers, [cluster.worker(rank, "train_elastic", stop=5, **options) for rank in range(num)]


def kill(cluster: Any, role: str, rank: int, process: Any) -> None:
    process.kill(signal.SIGKILL)
    process.wait()
    cluster.lost(role, rank)


def all_ended_well(processes: list[Any]) -> None:
    for process in processes:
        ended = process.wait()
        assert ended.code == 0, ended


def test_the_survivors_go_on_without_a_killed_worker(clusters: Any) -> None:
    cluster = clusters(3, 2, PSDIST_ELASTIC="1:3")
    servers, workers = start(cluster, 3, until=2)
    assert [worker.line() for worker in workers] == ["round 5"] * 3
    kill(cluster, "worker", 1, workers[1])
    results = [workers[rank].wait().result for rank in (0, 2)]
    assert results[0]["digest"] == results[1]["digest"]
    assert results[0]["pushes"] == results[1]["pushes"]
    assert results[0]["pushes"] == sorted(results[0]["pushes"], reverse=True)
    assert set(results[0]["pushes"]) == {2, 3}
    all_ended_well(servers)


def test_the_first_worker_may_die_too(clusters: Any) -> None:
    cluster = clusters(2, 1, PSDIST_ELASTIC="1:2")
    servers, workers = start(cluster, 2, until=1)
    assert [worker.line() for worker in workers] == ["round 5"] * 2
    kill(cluster, "worker", 0, workers[0])
    assert set(workers[1].wait().result["pushes"]) == {1, 2}
    all_ended_well(servers)


def test_a_worker_that_is_started_again_begins_where_the_job_is(clusters: Any) -> None:
    cluster = clusters(3, 2, PSDIST_ELASTIC="1:3")
    servers, workers = start(cluster, 3, until=3, lost=2)
    assert [worker.line() for worker in workers] == ["round 5"] * 3
    kill(cluster, "worker", 2, workers[2])
    again = cluster.worker(2, "train_elastic", {"PSDIST_INCARNATION": "1"}, until=3, lost=2)
    results = [worker.wait().result for worker in (*workers[:2], again)]
    assert len({result["digest"] for result in results}) == 1
    new = results[2]
    assert new["begins_at"] > 5
    assert new["first"] == sum(results[0]["pushes"][: new["begins_at"]])
    assert new["pushes"] == [3] * 10 == results[0]["pushes"][new["begins_at"] :]
    all_ended_well(servers)


def test_a_worker_may_be_added(clusters: Any) -> None:
    cluster = clusters(1, 2, PSDIST_ELASTIC="1:2")
    servers, workers = start(cluster, 1, until=2)
    assert workers[0].line() == "round 5"
    new = cluster.worker(1, "train_elastic", until=2)
    results = [worker.wait().result for worker in (*workers, new)]
    assert results[0]["digest"] == results[1]["digest"]
    assert results[1]["begins_at"] > 0
    assert results[0]["pushes"] == [1] * results[1]["begins_at"] + [2] * 10
    all_ended_well(servers)


def test_with_too_few_workers_the_job_ends_naming_the_cause(clusters: Any) -> None:
    cluster = clusters(2, 1, PSDIST_ELASTIC="2:3")
    servers, workers = start(cluster, 2, until=5)
    assert [worker.line() for worker in workers] == ["round 5"] * 2
    kill(cluster, "worker", 1, workers[1])
    for process in (workers[0], *servers):
        ended = process.wait(15)
        assert ended.code == 1
        assert "worker 1 died in step" in ended.last_line
        assert "1 workers are left, and --elastic wants at least 2" in ended.last_line


def test_a_worker_and_a_server_may_die_at_once(clusters: Any) -> None:
    cluster = clusters(3, 3, PSDIST_ELASTIC="1:3", PSDIST_REPLICAS=1)
    servers, workers = start(cluster, 3, until=2)
    assert [worker.line() for worker in workers] == ["round 5"] * 3
    kill(cluster, "worker", 0, workers[0])
    kill(cluster, "server", 0, servers[1])
    results = [worker.wait().result for worker in workers[1:]]
    assert results[0]["digest"] == results[1]["digest"]
    assert set(results[0]["pushes"]) == {2, 3}
    all_ended_well([servers[0], *servers[2:]])

"""Every portion of the data is learned from once an epoch, whoever dies, comes or begins again."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from psdist_server import snapshot

from .conftest import run_threads, wait_for_snapshot


def test_workers_share_the_portions_of_every_epoch_alike_in_every_run() -> None:
    runs = [run_threads("train_portions", num_servers=2, num_portions=7, epochs=2) for _ in range(2)]
    assert [[r["mine"][:7] for r in run] for run in runs] == [[r["mine"][:7] for r in runs[0]]] * 2
    first, second = runs[0]
    assert first["mine"][:7] == [0, 2, 4, 6, 8, 10, 12]
    assert second["mine"][:7] == [1, 3, 5, 7, 9, 11, 13]
    assert first["counts"] == second["counts"] == [2.0]


@pytest.mark.slow
@pytest.mark.parametrize("comes_back", [True, False])
def test_what_a_killed_worker_had_not_pushed_is_learned_by_others(clusters: Any, comes_back: bool) -> None:
    cluster = clusters(3, 2, PSDIST_ELASTIC="1:3")
    servers = cluster.serve()
    options = {"num_portions": 240, "stop": 10}
    workers = [cluster.worker(rank, "train_portions", **options) for rank in range(3)]
    assert [worker.line() for worker in workers] == ["batch 10"] * 3
    workers[1].kill(signal.SIGKILL)
    workers[1].wait()
    cluster.lost("worker", 1)
    if comes_back:
        workers[1] = cluster.worker(1, "train_portions", {"PSDIST_INCARNATION": "1"}, **options)
    else:
        del workers[1]
    results = [worker.wait().result for worker in workers]
    assert [result["counts"] for result in results] == [[1.0]] * len(results)
    mine = [number for result in results for number in result["mine"]]
    assert set(range(240)) - set(mine) <= set(range(1, 3 * 16, 3))  # what the dead one had pushed
    for server in servers:
        assert server.wait().code == 0


@pytest.mark.slow
def test_a_job_that_is_continued_goes_on_in_the_data_where_its_snapshot_was_taken(
    clusters: Any, tmp_path: Path
) -> None:
    first = clusters(2, 2, PSDIST_SNAPSHOT_DIR=tmp_path, PSDIST_SNAPSHOT_EVERY=4)
    servers = first.serve()
    options = {"num_portions": 40, "epochs": 3}
    workers = [first.worker(rank, "train_portions", stop=35, **options) for rank in range(2)]
    assert [worker.line() for worker in workers] == ["batch 35"] * 2
    wait_for_snapshot(tmp_path)
    for process in [*servers, *workers]:
        process.kill()
    for process in [*servers, *workers]:
        process.wait()
    step = snapshot.latest(tmp_path).step
    results = clusters(3, 1, PSDIST_RESTORE=tmp_path).run("train_portions", **options)
    assert {number for result in results for number in result["mine"]} == set(range(2 * step, 120))
    assert [result["first_epoch"] for result in results] == [2 * step // 40] * 3
    assert [result["counts"] for result in results] == [[3.0]] * 3

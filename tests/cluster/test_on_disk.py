"""What was acknowledged as on disk is there when everything was killed at once, and training goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import run_threads

pytestmark = pytest.mark.slow

AFTER = 9


def on_disk(folder: Path, **more: Any) -> dict[str, Any]:
    return {
        "PSDIST_ACK": "on-disk",
        "PSDIST_SNAPSHOT_DIR": folder,
        "PSDIST_SNAPSHOT_EVERY": 8,
        "PSDIST_SHARDS_PER_SERVER": 2,
        **more,
    }


@pytest.mark.parametrize(("stop", "every", "replicas"), [(5, 100, 0), (40, 8, 0), (23, 6, 1)])
def test_a_job_of_which_every_process_was_killed_goes_on_without_losing_a_round(
    clusters: Any, tmp_path: Path, stop: int, every: int, replicas: int
) -> None:
    more = {"PSDIST_SNAPSHOT_EVERY": every, "PSDIST_REPLICAS": replicas}
    first = clusters(2, 2, **on_disk(tmp_path, **more))
    servers = first.serve()
    workers = [first.worker(rank, "train_with_stops", num_rounds=10**6, stops=[stop]) for rank in range(2)]
    assert [worker.line() for worker in workers] == [f"round {stop}"] * 2
    for process in [*servers, *workers]:
        process.kill()
    for process in [*servers, *workers]:
        process.wait()

    second = clusters(2, 2, **on_disk(tmp_path, PSDIST_RESTORE=tmp_path, **more))
    results = second.run("train_with_stops", num_rounds=stop + AFTER)
    assert results[0]["begins_at"] == results[1]["begins_at"] >= stop
    undisturbed = run_threads("train_with_stops", num_rounds=stop + AFTER)
    assert {result["digest"] for result in results} == {undisturbed[0]["digest"]}, json.dumps(results)

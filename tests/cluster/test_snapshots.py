"""A job that dies altogether goes on from its last snapshot, on any number of servers, with the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from psdist_server import snapshot

from .conftest import run_threads

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("before", "after", "replicas"), [(1, 2, 0), (3, 2, 1), (2, 3, 1)])
def test_a_job_of_which_everything_was_killed_is_continued(
    clusters: Any, tmp_path: Path, before: int, after: int, replicas: int
) -> None:
    first = clusters(2, before, PSDIST_SNAPSHOT_DIR=tmp_path, PSDIST_SNAPSHOT_EVERY=4)
    servers = first.serve()
    workers = [first.worker(rank, "train_with_stops", num_rounds=10**6, stops=[40]) for rank in range(2)]
    assert [worker.line() for worker in workers] == ["round 40"] * 2
    for process in [*servers, *workers]:
        process.kill()
    for process in [*servers, *workers]:
        process.wait()
    step = snapshot.latest(tmp_path).step
    assert step >= 4
    num_rounds = step + 6

    second = clusters(2, after, PSDIST_RESTORE=tmp_path, PSDIST_REPLICAS=replicas)
    results = second.run("train_with_stops", num_rounds=num_rounds)
    assert [result["begins_at"] for result in results] == [step] * 2
    undisturbed = run_threads("train_with_stops", num_rounds=num_rounds)
    assert {result["digest"] for result in results} == {undisturbed[0]["digest"]}


def test_a_damaged_snapshot_is_refused_before_the_job_begins(clusters: Any, tmp_path: Path) -> None:
    cluster = clusters(1, 1, PSDIST_SNAPSHOT_DIR=tmp_path, PSDIST_SNAPSHOT_EVERY=2)
    cluster.run("train_with_stops", num_rounds=12)
    path = snapshot.latest(tmp_path).path / "shard-0000.psd"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    again = clusters(1, 1, PSDIST_RESTORE=tmp_path)
    ended = again.server(0).wait(15)
    assert ended.code == 2
    assert f"{path}: at byte" in ended.last_line

"""A job that dies altogether goes on from its last snapshot, on any number of servers, with the same bits."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psdist_server import snapshot

from .conftest import DEADLINE_S, free_port, run_threads, wait_for_snapshot

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("before", "after", "replicas"), [(1, 2, 0), (3, 2, 1), (2, 3, 1)])
def test_a_job_of_which_everything_was_killed_is_continued(
    clusters: Any, tmp_path: Path, before: int, after: int, replicas: int
) -> None:
    first = clusters(2, before, PSDIST_SNAPSHOT_DIR=tmp_path, PSDIST_SNAPSHOT_EVERY=4)
    servers = first.serve()
    workers = [first.worker(rank, "train_with_stops", num_rounds=10**6, stops=[40]) for rank in range(2)]
    assert [worker.line() for worker in workers] == ["round 40"] * 2
    wait_for_snapshot(tmp_path)
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


@pytest.fixture
def s3() -> Iterator[dict[str, str]]:
    """What processes need to know of an S3 server that runs for this test, with a bucket `snapshots`."""
    for name in ("fsspec", "s3fs", "moto"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + DEADLINE_S
        while True:
            bucket = urllib.request.Request(f"http://127.0.0.1:{port}/snapshots", method="PUT")
            try:
                with urllib.request.urlopen(bucket, timeout=DEADLINE_S):
                    break
            except urllib.error.URLError:
                assert time.monotonic() < end, "the S3 server does not answer"
                time.sleep(0.1)
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    finally:
        server.kill()
        server.wait()


def test_snapshots_in_s3_are_read_by_the_command_and_by_a_job_on_other_servers(
    clusters: Any, s3: dict[str, str]
) -> None:
    url = "s3://snapshots/some/job"
    clusters(2, 2, PSDIST_SNAPSHOT_DIR=url, PSDIST_SNAPSHOT_EVERY=4, **s3).run(
        "train_with_stops", num_rounds=9
    )
    verify = [sys.executable, "-m", "psdist_server.snapshot", "verify", url]
    said = subprocess.run(verify, env={**os.environ, **s3}, capture_output=True, text=True, check=True).stdout
    assert "step 8: " in said
    assert "in 2 files are whole" in said
    results = clusters(2, 1, PSDIST_RESTORE=url, **s3).run("train_with_stops", num_rounds=12)
    assert [result["begins_at"] for result in results] == [8] * 2
    assert results[0]["digest"] == run_threads("train_with_stops", num_rounds=12)[0]["digest"]


def test_a_damaged_snapshot_is_refused_before_the_job_begins(clusters: Any, tmp_path: Path) -> None:
    cluster = clusters(1, 1, PSDIST_SNAPSHOT_DIR=tmp_path, PSDIST_SNAPSHOT_EVERY=2)
    cluster.run("train_with_stops", num_rounds=12)
    newest = snapshot.latest(tmp_path)
    path = newest.path / next(iter(newest.files))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    again = clusters(1, 1, PSDIST_RESTORE=tmp_path)
    ended = again.server(0).wait(15)
    assert ended.code == 2
    assert f"{path}: at byte" in ended.last_line

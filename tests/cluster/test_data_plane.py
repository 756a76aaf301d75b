"""How arrays travel changes nothing of what arrives: memory or network, all of it or less of it."""

from __future__ import annotations

import re
import signal
import sys
from typing import Any

import pytest

from psdist.settings import Settings

from .conftest import run_threads


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memfd is Linux's")
def test_processes_on_one_host_share_memory_by_themselves(clusters: Any) -> None:
    results = clusters(2, 2).run("share")
    assert [result["shared"] for result in results] == [2, 2]  # connections
    assert [result["sum"] for result in results] == [600_000.0] * 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="abstract sockets are Linux's")
def test_a_lane_that_breaks_is_opened_anew_and_nothing_is_lost() -> None:
    results = run_threads("cut_lanes")
    assert [result["sums"] for result in results] == [[220.0, 22.0 * 30_000]] * 2
    assert all(result["lanes"] > 1 for result in results)


def test_a_worker_that_is_interrupted_in_a_wait_goes_on(clusters: Any) -> None:
    assert clusters(2, 1).run("interrupted") == [[3, 2, 2, 2, 2, 2], [0, 2, 2, 2, 2, 2]]


@pytest.mark.parametrize("side", ["both", "worker", "server"])
def test_where_one_side_shares_nothing_arrays_travel_by_the_network(clusters: Any, side: str) -> None:
    cluster = clusters(2, 1)
    off = {"PSDIST_SHM_BYTES": "0"}
    if side == "both":
        cluster.env |= off
    cluster.scheduler()
    cluster.start(
        "server 0",
        [sys.executable, "-m", "psdist_server"],
        DMLC_ROLE="server",
        PSDIST_RANK="0",
        **(off if side == "server" else {}),
    )
    workers = [cluster.worker(rank, "share", off if side == "worker" else None) for rank in range(2)]
    results = [worker.wait().result for worker in workers]
    assert [result["shared"] for result in results] == [0, 0]
    assert [result["sum"] for result in results] == [600_000.0] * 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="abstract sockets are Linux's")
@pytest.mark.parametrize(("server", "way"), [("ipc", "ipc"), ("tcp", "tcp")])
def test_where_asked_for_messages_travel_by_unix_sockets_if_the_server_has_one(
    clusters: Any, server: str, way: str
) -> None:
    cluster = clusters(1, 1, PSDIST_SHM_BYTES=0)
    cluster.env["PSDIST_TRANSPORT"] = server
    cluster.serve()
    result = cluster.worker(0, "share", {"PSDIST_TRANSPORT": "ipc"}).wait().result
    assert (result["shared"], result["ways"], result["sum"]) == (0, [way], 300_000.0)


def test_a_segment_that_is_full_leaves_the_rest_to_the_network(clusters: Any) -> None:
    results = clusters(2, 1, PSDIST_SHM_BYTES=1 << 20).run("share")
    assert [result["sum"] for result in results] == [600_000.0] * 2


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"type": "2bit", "threshold": 0.5}, 0.2),
        ({"type": "int8"}, 0.05),
        ({"type": "2bit", "threshold": 0.5, "pull": "4level"}, 0.2),
        pytest.param({"type": "1bit"}, 0.2, marks=pytest.mark.slow),
        pytest.param({"type": "fp16"}, 0.05, marks=pytest.mark.slow),
        pytest.param({"type": "bf16"}, 0.05, marks=pytest.mark.slow),
        pytest.param({"type": "topk", "k": 0.3}, 0.6, marks=pytest.mark.slow),
    ],
    ids=lambda value: value["type"] + value.get("pull", "") if isinstance(value, dict) else "",
)
def test_training_with_compressed_gradients_comes_to_the_same_place(
    params: dict[str, Any], error: float
) -> None:
    first, second = run_threads("train_compressed", num_servers=2, **params)
    assert first["digest"] == second["digest"]
    assert first["error"] < error
    assert first["small"] == pytest.approx([3] * 5, abs=0.01)
    if params["type"] == "2bit":
        assert run_threads("train_compressed", num_servers=1, **params)[0]["digest"] == first["digest"]


def test_a_gradient_that_is_refused_leaves_nothing_behind() -> None:
    assert run_threads("refused_midway") == [[0.0, -2.0]] * 2


@pytest.mark.slow
@pytest.mark.parametrize("memory", [0, 1 << 30], ids=["TCP", "memory"])
def test_a_server_that_is_flooded_stays_within_its_window(clusters: Any, memory: int) -> None:
    nothing = _flooded(clusters(2, 1, PSDIST_SHM_BYTES=memory), 1 << 20)
    params = 64 << 20
    flooded = _flooded(clusters(2, 1, PSDIST_SHM_BYTES=memory), params)
    held = 2 * params  # parameters and momentum
    window = 2 * Settings().window_nbytes  # of two workers
    assert params < flooded - nothing <= 2 * held + window


def _flooded(cluster: Any, nbytes: int) -> int:
    """The most bytes of memory that the server had."""
    _, server = cluster.serve()
    workers = [cluster.worker(rank, "flood", num_rounds=6, nbytes=nbytes) for rank in range(2)]
    assert workers[0].line() == "flooded"
    workers[1].kill(signal.SIGCONT)
    results = [worker.wait().out.splitlines()[-1] for worker in workers]
    assert results[0] == results[1]
    told = re.search(r"and at most (\d+) MB of memory", server.wait().err)
    assert told is not None
    return int(told[1]) << 20

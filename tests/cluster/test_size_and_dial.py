"""What only real processes show: a dial that is turned while they run, keys beyond 32 bits, an array beyond 2 GB."""

from __future__ import annotations

from typing import Any

import psutil
import pytest

_HUGE = 2_200_000_000  # bytes: more than 2 GB, and than a signed 32-bit number of elements
_MEMORY = 7 * _HUGE  # worker, server, a round's sum, messages, and others on this machine


@pytest.mark.slow
def test_staleness_is_turned_while_processes_run(clusters: Any) -> None:
    first, second = clusters(2, 2).run("turn_dial")
    assert first["seen"][0] == second["seen"][0] == [2] * 3
    assert first["seen"][1:3] == [[3] * 3, [4] * 3]  # alone, since the bound is 2
    assert second["seen"][1:3] == [[5] * 3, [6] * 3]
    assert first["seen"][3] == second["seen"][3] == [8] * 3


@pytest.mark.slow
def test_a_key_of_more_than_2_gb_goes_there_and_back(clusters: Any) -> None:
    if (free := psutil.virtual_memory().available) < _MEMORY:
        pytest.skip(f"{free / 1e9:.1f} GB of memory are free; this needs {_MEMORY / 1e9:.1f}")
    cluster = clusters(1, 1, PSDIST_REQUEST_TIMEOUT=300)
    servers = cluster.serve()
    assert cluster.worker(0, "exchange_huge", length=_HUGE).wait(300).result == 0
    for server in servers:
        assert server.wait().code == 0

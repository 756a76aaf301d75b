"""Tables over real sockets: whatever the servers, workers get the bits of devices in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import zmq

from . import programs
from .conftest import run_threads

OPTIMIZERS = [
    *("none", "sgd", "sgd-dense", "ftrl"),
    *(pytest.param(opt, marks=pytest.mark.slow) for opt in ("adam", "adam-dense", "adagrad")),
]


@pytest.mark.parametrize("opt", OPTIMIZERS)
def test_tables_have_the_bits_of_one_process_whatever_the_servers(opt: str) -> None:
    wanted = programs.train_rows_here(2, opt)
    assert run_threads("train_rows", num_servers=1, opt=opt) == [wanted] * 2
    assert run_threads("train_rows", num_servers=3, opt=opt, way="list") == [wanted] * 2


@pytest.mark.parametrize("opt", ["sgd", pytest.param("adam", marks=pytest.mark.slow)])
def test_an_embedding_with_a_sparse_gradient_trains_with_the_bits_of_one_process(opt: str) -> None:
    wanted = programs.fit_embedding(num_devices=2, opt=opt)["ends"]
    for prepares in (True, False):
        for result in run_threads("fit_embedding", num_servers=2, opt=opt, prepares=prepares):
            assert result["ends"] == wanted
            # 8 steps of at most 24 rows, and the layer above: not of 400 rows
            assert 8 * 4 * (3 * 18 + 3) < result["pushed"] <= 8 * 4 * (24 * 6 + 3 * 18 + 3)


def test_optimizers_on_the_workers_get_the_sum_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MXNET_UPDATE_ON_KVSTORE", "0")
    wanted = programs.fit_embedding(num_devices=2)["ends"]
    for result in run_threads("fit_embedding", num_servers=2):
        assert result["ends"] == wanted


class CountingSocket(zmq.Socket[bytes]):
    """Counts what workers send to servers and receive from them."""

    nbytes: ClassVar[list[int]] = []

    def send_multipart(self, parts: Any, *args: Any, **options: Any) -> Any:
        if self.type == zmq.DEALER:
            self.nbytes.append(sum(memoryview(part).nbytes for part in parts))
        return super().send_multipart(parts, *args, **options)

    def recv_multipart(self, *args: Any, **options: Any) -> Any:
        parts = super().recv_multipart(*args, **options)
        if self.type == zmq.DEALER:
            self.nbytes.append(sum(memoryview(part).nbytes for part in parts))
        return parts


def test_what_travels_is_hardly_more_than_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zmq.Context, "_socket_class", CountingSocket)
    monkeypatch.setattr(CountingSocket, "nbytes", [])
    results = run_threads(
        "exchange_many_rows", num_servers=2, shm_nbytes=0, counted=CountingSocket.nbytes, num=2000, steps=5
    )
    rows_nbytes = sum(rows for rows, _ in results)
    (traffic,) = {travelled for _, travelled in results if travelled}
    assert rows_nbytes < traffic <= 1.1 * rows_nbytes


BAD = {
    "beyond the last": ([1, 300], "push 'given': row 300; the value has 300 rows"),
    "negative": ([-1, 2], "push 'given': row -1; the value has 300 rows"),
    "descending": ([5, 2], "push 'given': the numbers of rows do not ascend, or one comes twice"),
    "double": ([5, 5], "push 'given': the numbers of rows do not ascend, or one comes twice"),
}


def test_bad_rows_are_an_error_at_the_caller_and_the_servers_go_on() -> None:
    told, values = run_threads(
        "push_bad_rows", num_workers=1, num_servers=2, bad={k: v[0] for k, v in BAD.items()}
    )[0]
    for what, (_, why) in BAD.items():
        assert why in told[what]
    assert "shape (300, 5), wanted (300, 4) as initialised" in told["width"]
    assert "row_sparse_pull 'given': row 300; the value has 300 rows" in told["pull"]
    assert "'gvien' was never initialised; did you mean 'given'?" in told["name"]
    assert "initialised before" in told["twice"]
    assert "Bilinear cannot draw one row alone" in told["initializer"]
    assert "max_rows and ttl are given" in told["evict"]
    assert "'huge' has the shape (1099511627776, 4), and a file has states of whole" in told["states"]
    assert "the optimizer needs whole arrays, and 'given' is a table" in told["lamb"]
    assert values == [-1.0, -1.0]


@pytest.mark.parametrize("opt", ["adam", pytest.param("sgd", marks=pytest.mark.slow)])
def test_states_of_rows_saved_by_three_servers_go_on_with_one_and_in_one_process(
    tmp_path: Path, opt: str
) -> None:
    path = str(tmp_path / "states")
    first, second = run_threads("rows_with_states", num_servers=3, save=path, opt=opt)
    assert first == second == programs.rows_with_states(opt=opt)
    assert run_threads("rows_with_states", num_servers=1, load=path, opt=opt) == [first] * 2
    assert programs.rows_with_states(load=path, opt=opt) == first


def test_rows_that_nobody_touches_are_let_go_and_memory_stays_bounded() -> None:
    assert run_threads("forget_rows", num_servers=2) == [[0.0, -1.0, 3], [0.0, -1.0, 3]]


def test_an_asynchronous_table_applies_every_push_once() -> None:
    assert run_threads("count_row_pushes", num_servers=2, num=20) == [-40.0, -40.0]


@pytest.mark.slow
@pytest.mark.parametrize("when", [2, 5])
def test_a_server_dies_and_the_rows_are_those_of_a_run_without(clusters: Any, when: int) -> None:
    cluster = clusters(2, 2, PSDIST_REPLICAS=1, PSDIST_ACK="replicated")
    servers = cluster.serve()
    workers = [cluster.worker(rank, "train_rows", opt="adam", tell_at=when) for rank in range(2)]
    for worker in workers:
        assert worker.line() == "now"
    servers[2].kill()
    cluster.lost("server", 1)
    assert [worker.wait().result for worker in workers] == [programs.train_rows_here(2, "adam")] * 2
    servers[2].wait()
    for process in servers[:2]:
        assert process.wait().code == 0


def test_rows_of_three_workers_are_summed_in_rank_order() -> None:
    wanted = programs.train_rows_here(3, "sgd")
    assert run_threads("train_rows", num_workers=3, num_servers=2) == [wanted] * 3

"""Tables over real sockets: whatever the servers, workers get the bits of devices in one process."""

from __future__ import annotations

import pytest

from . import programs
from .conftest import run_threads

OPTIMIZERS = ["none", "sgd", "sgd-dense", "adam", "adam-dense", "adagrad", "ftrl"]


@pytest.mark.parametrize("opt", OPTIMIZERS)
def test_tables_have_the_bits_of_one_process_whatever_the_servers(opt: str) -> None:
    wanted = programs.train_rows_here(2, opt)
    assert run_threads("train_rows", num_servers=1, opt=opt) == [wanted] * 2
    assert run_threads("train_rows", num_servers=3, opt=opt, way="list") == [wanted] * 2


def test_rows_of_three_workers_are_summed_in_rank_order() -> None:
    wanted = programs.train_rows_here(3, "sgd")
    assert run_threads("train_rows", num_workers=3, num_servers=2) == [wanted] * 3

"""Whatever the number of servers and the order of arrival, workers get the bits of devices in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from . import programs
from .conftest import run_threads


@pytest.mark.parametrize("opt", ["sgd", "adam", "none"])
def test_a_synchronous_run_has_the_bits_of_one_process_whatever_the_servers_and_the_order(
    opt: str,
) -> None:
    wanted = programs.train_devices(2, opt)
    runs = [
        run_threads("train", num_servers=1, opt=opt, late=0),
        run_threads("train", num_servers=3, opt=opt, late=1, way="list"),
        run_threads("train", num_servers=3, opt=opt, late=0, way="pushpull", reverse=True),
        run_threads("train", num_servers=2, slice_nbytes=65536, opt=opt, late=1),
    ]
    assert [result["digest"] for run in runs for result in run] == [wanted] * 8


@pytest.mark.parametrize("opt", list(programs.WHOLE))
def test_optimizers_that_look_at_whole_arrays_have_the_bits_of_one_process_too(opt: str) -> None:
    wanted = programs.train_devices(2, opt)
    runs = [
        run_threads("train", num_servers=1, opt=opt, late=0),
        run_threads("train", num_servers=3, opt=opt, late=1, way="list", slice_nbytes=65536),
    ]
    assert [result["digest"] for run in runs for result in run] == [wanted] * 4


def test_processes_have_the_same_bits(clusters: Any) -> None:
    wanted = programs.train_devices(2, "sgd")
    for num_servers in (1, 3):
        results = clusters(2, num_servers).run("train", late=num_servers % 2)
        assert [result["digest"] for result in results] == [wanted] * 2


def test_three_workers_are_summed_in_rank_order() -> None:
    wanted = programs.train_devices(3, "sgd")
    for late in (0, 1, 2):
        results = run_threads("train", num_workers=3, late=late)
        assert [result["digest"] for result in results] == [wanted] * 3


def test_an_asynchronous_store_applies_every_push_once() -> None:
    assert run_threads("count_pushes", num_servers=2, num=20) == [40.0, 40.0]


def test_a_worker_that_has_finished_is_not_waited_for() -> None:
    assert run_threads("leave_early") == [[2.0, 2.0, 1.0, 1.0, 1.0], [2.0, 2.0]]


def test_a_worker_that_just_ends_has_delivered_its_pushes_and_left(clusters: Any) -> None:
    assert clusters(2, 2).run("exit_without_close") == ["left to the interpreter"] * 2


def test_a_learning_rate_that_changes_holds_from_that_round_on() -> None:
    assert run_threads("change_rates", num_servers=2) == [[-2.0, -22.0, -222.0]] * 2


def test_connections_cut_in_the_middle_of_a_push_lose_and_double_nothing(clusters: Any) -> None:
    results = clusters(2, 2).run("train_over_cut_wires", num=12)
    assert [value for _, value in results] == [36.0, 36.0]
    assert all(cuts > 0 for cuts, _ in results)


@pytest.mark.parametrize("opt", ["sgd", "adam"])
def test_optimizer_states_saved_by_three_servers_go_on_with_one_and_in_one_process(
    tmp_path: Path, opt: str
) -> None:
    path, values = str(tmp_path / "states"), str(tmp_path / "states.npz")
    first, second = run_threads("save_states", num_servers=3, path=path, opt=opt)
    assert first == second
    again = run_threads("load_states", num_servers=1, path=path, opt=opt, values=values)
    assert again == [first, first]
    assert programs.load_states(path, opt, values) == first

"""Auxiliary states (BatchNorm's moving averages) are the same on every rank: the mean over all workers' data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from psdist import nd
from psdist.errors import ConfigError
from psdist.kvstore import create

from . import programs
from .conftest import run_threads


@pytest.fixture(scope="module")
def on_two_devices() -> Any:
    return programs.fit_batchnorm(num_devices=2)


@pytest.mark.parametrize("num_servers", [1, 3])
def test_workers_with_different_data_have_the_states_of_one_process_with_as_many_devices(
    on_two_devices: Any, num_servers: int
) -> None:
    first, second = run_threads("fit_batchnorm", num_servers=num_servers)
    assert first["epoch_ends"] == second["epoch_ends"] == on_two_devices["epoch_ends"]
    assert first["means"] == second["means"] == on_two_devices["means"]
    assert first["batch_ends"] == 6  # the first worker looked after every batch, alone


def test_optimizers_on_the_workers_change_nothing_about_it(
    on_two_devices: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MXNET_UPDATE_ON_KVSTORE", "0")
    first, second = run_threads("fit_batchnorm")
    assert first["epoch_ends"] == second["epoch_ends"] == on_two_devices["epoch_ends"]


def test_a_worker_with_fewer_batches_is_not_waited_for() -> None:
    first, second = run_threads("fit_batchnorm", epochs=1, num_batches=[4, 2])
    assert first["batch_ends"] == 4
    assert len(second["epoch_ends"]) == 1


def test_averaged_keys_of_a_store_in_one_process_hold_the_mean_of_the_devices() -> None:
    with create("local") as kv:
        kv.init("mean", nd.zeros(2), averaged=True)
        kv.set_optimizer(programs.make_optimizer("sgd"))
        out = nd.zeros(2)
        kv.pushpull("mean", [nd.array([1, 2]), nd.array([3, 6])], out=out)
        np.testing.assert_array_equal(out.asnumpy(), [2, 4])
        with pytest.raises(ConfigError, match="'count': a mean of int32; averaged keys hold floats"):
            kv.init("count", nd.zeros(2, dtype="int32"), averaged=True)

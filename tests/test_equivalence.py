"""Synchronous training gives the same bits, however it is spread: over devices, workers or servers."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import psdist as mx

pytest.importorskip("sklearn", reason="the example's data is scikit-learn's")

SCRIPT = str(Path(__file__).parents[1] / "examples" / "train_digits.py")
TIMEOUT_S = 100


def train(prefix, kv_store, *options, launcher=()):
    """The parameters after two epochs, as bytes by name."""
    command = [*launcher, sys.executable, SCRIPT, "--epochs", "2", "--seed", "5"]
    command += ["--kv-store", kv_store, "--save", str(prefix), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: value.asnumpy() for name, value in mx.nd.load(f"{prefix}-0002.params").items()}


def cluster(num_workers, num_servers):
    """The launcher's command line, up to the script."""
    return [
        sys.executable,
        "-m",
        "psdist_launch.cli",
        "run",
        "-n",
        str(num_workers),
        "-s",
        str(num_servers),
        "--",
    ]


@pytest.fixture(scope="module")
def on_two_devices(tmp_path_factory):
    """What one process with two devices and a local store learns."""
    return train(tmp_path_factory.mktemp("devices") / "digits", "local", "--num-devices", "2")


@pytest.mark.parametrize("num_servers", [1, 3])
def test_two_workers_learn_the_very_bits_that_one_process_with_two_devices_learns(
    on_two_devices, num_servers, tmp_path
):
    on_workers = train(tmp_path / "digits", "dist_sync", launcher=cluster(2, num_servers))
    assert on_workers.keys() == on_two_devices.keys()
    for name, value in on_two_devices.items():
        np.testing.assert_array_equal(on_workers[name].view(np.uint32), value.view(np.uint32), err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["lamb", "lars", "groupadagrad"])
def test_so_they_do_with_an_optimizer_that_looks_at_whole_arrays(optimizer, tmp_path):
    alone = train(tmp_path / "alone", "local", "--num-devices", "2", "--optimizer", optimizer)
    for num_servers in (1, 3):
        launcher = cluster(2, num_servers)
        on_workers = train(tmp_path / "digits", "dist_sync", "--optimizer", optimizer, launcher=launcher)
        for name, value in alone.items():
            np.testing.assert_array_equal(
                on_workers[name].view(np.uint32), value.view(np.uint32), err_msg=name
            )


def test_other_seeds_give_other_bits(on_two_devices, tmp_path):
    other = train(tmp_path / "digits", "local", "--num-devices", "2", "--seed", "6")
    assert not np.array_equal(other["arg:fc2_weight"], on_two_devices["arg:fc2_weight"])

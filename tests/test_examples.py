"""Every example runs, and learns what it says."""

import importlib.util
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn.datasets")

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

# example: arguments, and whether what its main() gives is good
LEARNT = {
    "autograd_regression": (["--epochs", "30"], lambda error: error < 0.45),
    "bucketing_lstm": (["--epochs", "3"], lambda perplexity: perplexity < 4),
    "custom_operator": ([], lambda accuracy: accuracy > 0.75),
    "data_parallel": ([], lambda accuracy: accuracy > 0.75),
    "feedforward": ([], lambda accuracy: accuracy > 0.85),
    "gan": (["--steps", "600"], lambda distance: distance < 0.3),
    "lenet": (["--epochs", "3"], lambda accuracy: accuracy > 0.85),
    "matrix_factorization": (["--epochs", "5"], lambda rmse: rmse < 0.3),
    "multi_task": (["--epochs", "4"], lambda accuracies: min(accuracies) > 0.8),
    "sparse_linear": (["--epochs", "8"], lambda accuracy: accuracy > 0.85),
}
ELSEWHERE = {"train_digits"}  # tested with the launcher


@pytest.mark.parametrize("name", LEARNT)
def test_an_example_learns(name, monkeypatch, tmp_path):
    arguments, good = LEARNT[name]
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging.root, "handlers", logging.root.handlers[:])
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    found = example.main()
    assert good(found), found


@pytest.mark.slow
def test_sparse_classification_learns_over_servers_and_all_workers_end_with_one_model():
    command = [sys.executable, "-m", "psdist_launch.cli", "run", "-n", "2", "-s", "2", "--"]
    command += [
        sys.executable,
        str(EXAMPLES / "sparse_linear.py"),
        "--kv-store",
        "dist_sync",
        "--epochs",
        "8",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.findall(r"accuracy (0\.\d+)$", done.stdout, re.M)
    assert len(found) == 2, done.stdout
    assert found[0] == found[1] > "0.85"


def test_every_example_is_run():
    assert {p.stem for p in EXAMPLES.glob("*.py")} == {*LEARNT, *ELSEWHERE}

"""An optimizer of the operator's own: servers that were started with its module run it, others refuse it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

_MODULE = """
from dataclasses import dataclass
import numpy as np
from psdist.optimizer import from_rule
from psdist.optimizer.rule import ElementwiseRule, rule

@rule
@dataclass(frozen=True)
class SignStep(ElementwiseRule):
    def step(self, w, g, state, tmp, lr, wd, t):
        w -= lr * np.sign(g)

Own = from_rule(SignStep)
"""


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "own_rules.py").write_text(_MODULE)
    return tmp_path


def test_servers_that_were_started_with_its_module_run_it_and_so_do_their_copies(
    clusters: Any, module: Path
) -> None:
    cluster = clusters(2, 2, PYTHONPATH=module, PSDIST_SERVER_MODULE="own_rules", PSDIST_REPLICAS=1)
    assert cluster.run("step_by_own_rule") == [-0.5, -0.5]


def test_servers_that_do_not_know_it_refuse_it_when_it_is_set(clusters: Any, module: Path) -> None:
    cluster = clusters(1, 1, PYTHONPATH=module)
    cluster.serve()
    ended = cluster.worker(0, "step_by_own_rule").wait()
    assert ended.code == 1
    assert "no optimizer 'signstep'" in ended.last_line


def test_a_module_that_is_not_there_is_an_error_at_once(clusters: Any) -> None:
    cluster = clusters(1, 1, PSDIST_SERVER_MODULE="no_such_module")
    ended = cluster.server(0).wait()
    assert ended.code == 2
    assert "PSDIST_SERVER_MODULE=no_such_module: ModuleNotFoundError" in ended.last_line

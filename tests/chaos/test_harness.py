"""The harness finds what it is to find."""

from __future__ import annotations

import numpy as np
import pytest

from . import ledger
from .harness import assert_right


def test_a_ledger_tells_which_pushes_are_in_a_value() -> None:
    value = sum(ledger.push(w, t, 100, 20) for w, t in [(0, 0), (3, 7), (1, 19)])
    assert ledger.read(value, 20) == {0: 1, 1: 1 << 19, 2: 0, 3: 1 << 7}


def test_a_ledger_finds_a_push_that_was_applied_twice() -> None:
    with pytest.raises(ledger.Damaged, match="worker 1's push for round 5 is there 2 times"):
        ledger.read(2 * ledger.push(1, 5, 100, 20), 20)


def test_a_ledger_finds_a_slice_that_lacks_a_push() -> None:
    value = ledger.push(1, 5, 100, 20)
    value[50:] = 0
    with pytest.raises(ledger.Damaged, match="slices differ"):
        ledger.read(value, 20)


def test_a_ledger_finds_what_is_no_sum_of_pushes() -> None:
    with pytest.raises(ledger.Damaged, match="is no sum of pushes"):
        ledger.read(np.full(100, 0.5), 20)


def test_a_ledger_is_read_from_any_slice() -> None:
    value = ledger.push(2, 19, 100, 20)
    assert {str(ledger.read(value[i : i + 20], 20, i)) for i in range(70)} == {
        str({0: 0, 1: 0, 2: 1 << 19, 3: 0})
    }


def test_a_job_without_faults_is_right(launched, faultless) -> None:  # type: ignore[no-untyped-def]
    job = launched(rounds=20)
    assert job.end() == 0, job.text
    assert_right(job, 20, faultless())

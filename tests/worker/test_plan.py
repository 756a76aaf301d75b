"""Where a late worker begins."""

from __future__ import annotations

from psdist_worker.plan import begin_together


def test_keys_that_are_pushed_in_every_step_are_begun_together_and_others_where_they_stand() -> None:
    assert begin_together({1: 20, 2: 19, 3: 16, 4: 15, 5: 0}, ahead=4) == {1: 20, 2: 20, 3: 20, 4: 15, 5: 0}
    assert begin_together({}, ahead=4) == {}

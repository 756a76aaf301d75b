"""docs/GUARANTEES.md and docs/faults.md name tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["GUARANTEES.md", "faults.md"])
def test_every_test_that_a_page_names_is_there(name: str) -> None:
    page = (ROOT / "docs" / name).read_text()
    there = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    names = re.findall(r"`(test_\w+)`", page)
    assert len(names) >= 10
    assert [name for name in names if f"def {name}(" not in there] == []
    paths = re.findall(r"`(tests/[\w/.]+)`", page)
    assert [path for path in paths if not (ROOT / path).exists()] == []

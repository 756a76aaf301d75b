"""The operators' page in the manual."""

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_operators_is_current():
    spec = importlib.util.spec_from_file_location("make_operators", DOCS / "make_operators.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (DOCS / "operators.md").read_text() == module.page(), "run python docs/make_operators.py"

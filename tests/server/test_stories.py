"""The rules of servers and scheduler, told as transcripts in stories/.

`python tests/server/test_stories.py` rewrites the answers; read the diff, and keep it only if you can say
why each line changed.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

HERE = Path(__file__).parent
if TYPE_CHECKING:
    from storyteller import tell
else:
    spec = importlib.util.spec_from_file_location("storyteller", HERE / "storyteller.py")
    storyteller = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(storyteller)
    tell = storyteller.tell

STORIES = sorted((HERE / "stories").glob("*.story"))


@pytest.mark.parametrize("path", STORIES, ids=[path.stem for path in STORIES])
def test_the_story_goes_as_it_is_told(path: Path) -> None:
    assert tell(path.read_text()) == path.read_text()


def test_there_are_stories() -> None:
    assert len(STORIES) >= 12


if __name__ == "__main__":
    for path in STORIES:
        path.write_text(tell(path.read_text()))

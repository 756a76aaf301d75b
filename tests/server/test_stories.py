"""The rules of servers and scheduler, told as transcripts in stories/.

`python -m tests.server.test_stories` rewrites the answers; read the diff, and keep it only if you can say
why each line changed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .storyteller import tell

STORIES = sorted((Path(__file__).parent / "stories").glob("*.story"))


@pytest.mark.parametrize("path", STORIES, ids=[path.stem for path in STORIES])
def test_the_story_goes_as_it_is_told(path: Path) -> None:
    assert tell(path.read_text()) == path.read_text()


def test_there_are_stories() -> None:
    assert len(STORIES) >= 12


if __name__ == "__main__":
    for path in STORIES:
        path.write_text(tell(path.read_text()))

"""Chaos tests run real processes into real faults, and take minutes: `make chaos`; a part of them in CI.

All of them carry the mark `chaos`, which the fast suite leaves out; those with `slice`, too, are the part in CI.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from .harness import Bare, Launched


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.chaos)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: those of sockets have an end."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as path:
        yield Path(path)


@pytest.fixture
def launched(folder: Path) -> Iterator[Callable[..., Launched]]:
    """launched(*options, env=..., **training) is a job under `psdist run`."""
    with ExitStack() as stack:

        def start(*options: object, env: dict[str, Any] | None = None, **training: Any) -> Launched:
            return stack.enter_context(Launched(folder, env)).run(*options, **training)

        yield start


@pytest.fixture
def bare(folder: Path) -> Iterator[Callable[..., Bare]]:
    """bare(workers, servers, **env) is a job whose processes the test starts."""
    with ExitStack() as stack:

        def make(workers: int = 2, servers: int = 2, **env: Any) -> Bare:
            return stack.enter_context(Bare(folder, workers, servers, env))

        yield make


@pytest.fixture(scope="session")
def faultless(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """faultless(workers=2, adam=10): the digest that a job without faults ends with."""
    known: dict[tuple[int, int], str] = {}

    def digest(workers: int = 2, adam: int = 10) -> str:
        if (workers, adam) not in known:
            with Launched(tmp_path_factory.mktemp("faultless")) as job:
                job.run(workers=workers, servers=1, rounds=2, adam=adam)
                assert job.end() == 0, job.text
                (known[workers, adam],) = {one["digest"] for one in job.results.values()}
        return known[workers, adam]

    return digest

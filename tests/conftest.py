"""For every test: what it starts, it ends. A thread, process or socket that outlives its test fails it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_PATIENCE_S = (
    3.0  # ZeroMQ closes a socket's descriptor a moment after close(); init reaps an orphan within 2 s
)


def _threads() -> set[str]:
    # pyzmq's thread that frees sent frames is one per process, begun by the first of them
    return {
        f"thread {thread.name}"
        for thread in threading.enumerate()
        if type(thread).__module__ != "zmq.utils.garbage"
    }


def _children() -> set[str]:
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text(errors="replace")
        except OSError:
            continue
        name, rest = stat[stat.index("(") + 1 : stat.rindex(")")], stat[stat.rindex(")") + 2 :].split()
        if int(rest[1]) == os.getpid():
            found.add(f"process {folder.name} ({name})")
    return found


def _sockets() -> set[str]:
    found = set()
    for link in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{link}")
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(f"descriptor {link} ({target})")
    return found


def _alive() -> set[str]:
    return _threads() | _children() | _sockets()


@pytest.fixture(autouse=True)
def _nothing_outlives_a_test() -> Iterator[None]:
    """Fails the test that leaves something running."""
    before = _alive()
    yield
    end = time.monotonic() + _PATIENCE_S
    while left := _alive() - before:
        if time.monotonic() > end:
            pytest.fail(f"left behind: {', '.join(sorted(left))}")
        time.sleep(0.02)

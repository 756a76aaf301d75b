"""What keeps a job's processes from outliving the launcher, whatever ends it.

Three nets, each of which holds when the one before is gone:

1. The launcher is the *subreaper* of its descendants: a grandchild whose parent dies, in whatever session,
   becomes its child, so `descendants()` at the end misses nobody.
2. Each member is started through `with-parent`, which asks the kernel for SIGKILL when the launcher dies
   and then becomes the member's program.
3. A watchdog, a process of its own in a session of its own, waits on a pipe whose other end only the
   launcher holds. If that closes without the word `done`, it kills whoever carries the launch's mark in the
   environment, grandchildren included.

This file is also run as a script, by `python -I -S orphans.py`, and therefore imports the standard library
only: a start costs some 15 ms. It knows Linux; elsewhere only process groups are ended, and the nets are
silently absent.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["adopt", "descendants", "marked", "watchdog_argv", "with_parent_argv"]

_PR_SET_PDEATHSIG = 1  # prctl(2)
_PR_SET_CHILD_SUBREAPER = 36
_SWEEP_S = 10.0  # how long the watchdog goes on killing what is still being born
_DONE = b"done"

_SCRIPT = (sys.executable, "-I", "-S", str(Path(__file__).resolve()))


def adopt() -> None:
    """From now on orphaned descendants become children of this process."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def with_parent_argv(argv: Sequence[str]) -> list[str]:
    """The command line that runs `argv` and ends with the process that starts it."""
    return [*_SCRIPT, "with-parent", str(os.getpid()), *argv]


def watchdog_argv(mark: str, folder: str) -> list[str]:
    """The command line of a watchdog for `mark` ("VARIABLE=value"), which also removes the job's `folder`."""
    return [*_SCRIPT, "watch", mark, folder]


def descendants(root: int) -> list[int]:
    """The processes under `root` that still run, at any depth, in no particular order."""
    children: dict[int, list[int]] = {}
    for pid, parent, state in _processes():
        if state not in "ZX":
            children.setdefault(parent, []).append(pid)
    found: list[int] = []
    front = [root]
    while front:
        below = children.pop(front.pop(), [])
        found += below
        front += below
    return found


def marked(mark: str) -> list[int]:
    """The running processes, except this one, that were started with `mark` ("VARIABLE=value")."""
    wanted = os.fsencode(mark)
    found = []
    for pid, _, state in _processes():
        if pid == os.getpid() or state in "ZX":
            continue
        try:
            environ = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:  # gone since, or another user's
            continue
        if wanted in environ.split(b"\0"):
            found.append(pid)
    return found


def _processes() -> Iterator[tuple[int, int, str]]:
    """(pid, parent, state) of every process; nothing where there is no /proc."""
    try:
        names = os.listdir("/proc")
    except OSError:
        return
    for name in names:
        if not name.isdigit():
            continue
        try:
            stat = Path(f"/proc/{name}/stat").read_text(errors="replace")
        except OSError:
            continue
        state, parent = stat[stat.rindex(")") + 2 :].split(" ", 2)[:2]  # the name before may hold anything
        yield int(name), int(parent), state


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _with_parent(parent: int, argv: list[str]) -> None:
    """Become `argv`, to be killed when `parent` dies."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and exec would hand that down
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)
    except OSError as e:
        sys.stderr.write(f"cannot run {argv[0]!r}: {e.strerror}\n")
        os._exit(126)


def _watch(mark: str, folder: str) -> None:
    """Wait for the launcher to end; if it did not say `done`, end the processes that carry `mark`."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # they are for the launcher, which then closes the pipe
    words = b""
    while data := os.read(0, 16):
        words += data
    if words == _DONE:
        return
    end = time.monotonic() + _SWEEP_S
    while (pids := marked(mark)) and time.monotonic() < end:
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)  # a killed process takes a moment to go, and may just have had a child
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["with-parent", parent, *argv]:
            _with_parent(int(parent), argv)
        case ["watch", mark, folder]:
            _watch(mark, folder)
        case _:
            sys.exit("orphans.py is run by psdist's launcher")

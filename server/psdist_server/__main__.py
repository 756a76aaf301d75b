"""`python -m psdist_server`: run the scheduler or the server that the environment describes (DMLC_ROLE ...).

Exit code 0: the job has finished. 1: it failed, or this process did; the last line of the log says why.
2: the settings are wrong. Signals and logging are set up here and nowhere else.
"""

from __future__ import annotations

import ctypes
import logging
import signal
import sys
from types import FrameType

from psdist.errors import ConfigError
from psdist.settings import Settings

from .loop import open_loop

__all__ = ["main"]

_M_TRIM_THRESHOLD = -1  # mallopt(3)
_M_MMAP_THRESHOLD = -3

_log = logging.getLogger("psdist.server")


def main(settings: Settings | None = None) -> int:
    """Serve until the job ends; the exit code."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s.%(msecs)03d %(levelname)s %(message)s", datefmt="%H:%M:%S"
    )
    try:
        loop = open_loop(Settings.read() if settings is None else settings)
    except ConfigError as e:
        _log.error("%s", e)
        return 2

    def on_signal(number: int, _: FrameType | None) -> None:
        loop.stop(f"stopped by {signal.Signals(number).name}")

    _keep_memory()
    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with loop:
            end = loop.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    _log.log(logging.INFO if end.code == 0 else logging.ERROR, "%s", end.reason)
    return end.code


def _keep_memory() -> None:
    """Have malloc keep what is freed. By default it gives each large frame back to the kernel, and a page that is
    fetched again costs more than the addition done in it. 32 MB is the largest threshold that glibc takes."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(_M_MMAP_THRESHOLD, 32 << 20)
    mallopt(_M_TRIM_THRESHOLD, 256 << 20)


if __name__ == "__main__":
    sys.exit(main())

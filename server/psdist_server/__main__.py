"""`python -m psdist_server`: run the scheduler or the server that the environment describes (DMLC_ROLE ...).

Exit code 0: the job has finished. 1: it failed, or this process did; the last line of the log says why.
2: the settings are wrong. 128 + n: signal n stopped this process before the job had finished.
Signals and logging are set up here and nowhere else.
"""

from __future__ import annotations

import logging
import signal
import sys
from types import FrameType

from psdist.errors import PSError
from psdist.malloc import keep_freed_memory
from psdist.settings import Settings

from .loop import open_loop

__all__ = ["main"]

_log = logging.getLogger("psdist.server")


def main(settings: Settings | None = None) -> int:
    """Serve until the job ends; the exit code."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s.%(msecs)03d %(levelname)s %(message)s", datefmt="%H:%M:%S"
    )
    try:
        loop = open_loop(Settings.read() if settings is None else settings)
    except PSError as e:
        _log.error("%s", e)
        return 2

    signals: list[int] = []

    def on_signal(number: int, _: FrameType | None) -> None:
        signals.append(number)
        loop.stop(f"stopped by {signal.Signals(number).name}")

    keep_freed_memory()
    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with loop:
            end = loop.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    _log.log(logging.INFO if end.code == 0 else logging.ERROR, "%s", end.reason)
    return 128 + signals[0] if end.code and signals else end.code


if __name__ == "__main__":
    sys.exit(main())

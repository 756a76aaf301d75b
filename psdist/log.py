"""`mx.log.get_logger`: a logger that writes coloured, one-letter levels to a terminal, or plain text to a file."""

from __future__ import annotations

import logging
import sys
from logging import CRITICAL, DEBUG, ERROR, INFO, NOTSET, WARNING

__all__ = ["CRITICAL", "DEBUG", "ERROR", "INFO", "NOTSET", "WARNING", "getLogger", "get_logger"]

_COLOURS = {"C": 35, "E": 31, "W": 33, "I": 32, "D": 34}


class _Formatter(logging.Formatter):
    """`I 0301 12:00:00 123 name:func:line] message`, the head coloured on a terminal."""

    def __init__(self, colored: bool) -> None:
        super().__init__(datefmt="%m%d %H:%M:%S")
        self._colored = colored

    def format(self, record: logging.LogRecord) -> str:
        level = record.levelname[0]
        place = f"{record.pathname}:{record.funcName}:{record.lineno}"
        head = f"{level} {self.formatTime(record, self.datefmt)} {record.process} {place}]"
        if self._colored:
            head = f"\x1b[{_COLOURS.get(level, 0)}m{head}\x1b[0m"
        text = f"{head} {record.getMessage()}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def get_logger(
    name: str | None = None, filename: str | None = None, filemode: str | None = None, level: int = WARNING
) -> logging.Logger:
    """The logger `name`, set up once: to a file if one is given, else to standard error."""
    logger = logging.getLogger(name)
    if name is not None and not getattr(logger, "_psdist_ready", False):
        handler: logging.Handler
        if filename:
            handler = logging.FileHandler(filename, filemode or "a")
            handler.setFormatter(_Formatter(colored=False))
        else:
            handler = logging.StreamHandler()
            handler.setFormatter(_Formatter(colored=sys.stderr.isatty()))
        logger.addHandler(handler)
        logger.setLevel(level)
        logger._psdist_ready = True  # type: ignore[attr-defined]
    return logger


getLogger = get_logger

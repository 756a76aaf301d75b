"""What the members print, under their names.

`Lines` cuts a stream's bytes into lines; `Screen` prints them with a prefix. A progress bar redraws its
line with carriage returns. On a terminal worker 0's bar lives at the foot of the screen, the lines of
everyone scroll above it, and other bars stay unseen until they end. In a pipe every bar is its last state,
one plain line.
"""

from __future__ import annotations

import os
from collections import deque
from typing import BinaryIO, Self

from .cluster import Member

__all__ = ["BAR_OWNER", "Lines", "QuietScreen", "Screen"]

BAR_OWNER = Member("worker", 0)

_MAX_LINE = (
    1 << 16
)  # bytes; a longer line is cut in pieces, so that a stream without line ends fills no memory
_ERASE_REST = b"\x1b[K"  # the bars' own way to end a redrawn line
_ERASE = b"\r" + _ERASE_REST
_COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)  # ANSI foregrounds that read on black and on white


class Lines:
    """One stream's bytes in, whole lines out, each without its line end and in its last state."""

    def __init__(self) -> None:
        self._open = b""  # what follows the last line end

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes."""
        *whole, self._open = (self._open + data).split(b"\n")
        lines = [_last_state(line) for line in whole]
        if len(self._open) > _MAX_LINE:
            if b"\r" in self._open:
                self._open = b"\r" + _last_state(self._open)[:_MAX_LINE]
            else:
                lines.append(self._open)
                self._open = b""
        return lines

    def end(self) -> list[bytes]:
        """What was left without a line end, when the stream ends."""
        left, self._open = self._open, b""
        return [_last_state(left)] if left else []

    @property
    def bar(self) -> bytes | None:
        """What the unfinished line shows, if it redraws itself."""
        return _last_state(self._open) if b"\r" in self._open else None


def _last_state(line: bytes) -> bytes:
    states = [state for state in line.replace(_ERASE_REST, b"").split(b"\r") if state]
    return states[-1] if states else b""


class Screen:
    """Prints the members' lines to `out` and `err`; when either is a terminal, keeps the bar at its foot."""

    def __init__(self, out: BinaryIO, err: BinaryIO, *, colour: bool, width: int | None) -> None:
        """`width` is the terminal's in columns; None when neither stream is one, and then no bar is drawn."""
        self._streams = {"out": out, "err": err}
        self._colour = colour
        self._width = width
        self._foot: tuple[str, bytes] | None = None  # the bar drawn now: its stream, its text

    @classmethod
    def on(cls, out: BinaryIO, err: BinaryIO) -> Self:
        """A screen that draws bars and colours as far as `err` is a terminal."""
        if not err.isatty() or os.environ.get("TERM") == "dumb":
            return cls(out, err, colour=False, width=None)
        columns = os.get_terminal_size(err.fileno()).columns or 80
        return cls(out, err, colour="NO_COLOR" not in os.environ, width=columns)

    def bar_width(self, member: Member) -> int | None:
        """The columns left for the bar of `member`; None where its bar is not drawn."""
        if self._width is None or member != BAR_OWNER:
            return None
        return max(20, self._width - len(f"[{member}] ") - 1)

    def lines(self, member: Member, stream: str, lines: list[bytes]) -> None:
        """Print whole lines of `member`."""
        if lines:
            prefix = self._prefix(member)
            self._write(stream, b"".join(prefix + line + b"\n" for line in lines))

    def bar(self, member: Member, text: bytes | None) -> None:
        """The unfinished line of `member`; None when there is no bar any more."""
        width = self.bar_width(member)
        if width is None:
            return
        foot = None
        if text is not None:
            shown = text if b"\x1b" in text else text.decode(errors="replace")[:width].encode()
            foot = ("err", self._prefix(member) + shown)
        if foot != self._foot:
            self._draw(foot)

    def say(self, text: str) -> None:
        """A line of the launcher's own."""
        self._write("err", text.encode() + b"\n")

    def _prefix(self, member: Member) -> bytes:
        name = f"[{member}] "
        if not self._colour:
            return name.encode()
        place = {"scheduler": 0, "server": 1, "worker": 3}[member.role] + member.rank
        return f"\x1b[{_COLOURS[place % len(_COLOURS)]}m{name}\x1b[0m".encode()

    def _write(self, stream: str, data: bytes) -> None:
        foot = self._foot
        self._draw(None)
        _write_all(self._streams[stream], data)
        self._draw(foot)

    def _draw(self, foot: tuple[str, bytes] | None) -> None:
        if self._foot is None and foot is None:
            return
        _write_all(self._streams["err"], _ERASE + (foot[1] if foot else b""))
        self._foot = foot


class QuietScreen(Screen):
    """Shows what workers print, and keeps what the others log, for the case that something fails."""

    _MOST = 200

    def __init__(self, out: BinaryIO, err: BinaryIO, *, colour: bool, width: int | None) -> None:
        super().__init__(out, err, colour=colour, width=width)
        self._kept: deque[tuple[Member, str, bytes]] = deque(maxlen=self._MOST)

    def lines(self, member: Member, stream: str, lines: list[bytes]) -> None:
        if member.role == "worker":
            super().lines(member, stream, lines)
        else:
            self._kept.extend((member, stream, line) for line in lines)

    def show_kept(self) -> None:
        """What it has kept back."""
        for member, stream, line in self._kept:
            super().lines(member, stream, [line])


def _write_all(stream: BinaryIO, data: bytes) -> None:
    """Write `data` to the last byte: an unbuffered stream (PYTHONUNBUFFERED=1) stops halfway when a signal comes."""
    rest = memoryview(data)
    while rest:
        rest = rest[stream.write(rest) :]
    stream.flush()

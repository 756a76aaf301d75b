"""A shard's log on disk: what its copies hear is appended and synced, and then it can be acknowledged as on disk.

    DIR/log/shard-0003/0001-00000001-000001.log   0001-00000001-000002.log   ...

The name is the life in which it was written (a job's number here, and the epoch since which a server has served the shard)
and the segment's number in it: so they are in order, though a server that has handed a shard over may write later than
its heir.

A file is a segment: records, each with the digests of its frames and, under a digest of its own, how far the file was
synced when it was written. So a tail that a crash has torn, of which nothing was acknowledged, is told from
damage to what was: that is refused, and the tail left out. The first record says whose segment this is; the others are
messages of the protocol, as a copy gets them (replica.py), and marks: the file of a snapshot has what came before. A mark
ends its segment.

Once a snapshot is complete, the segments go that nobody needs any more.
recovery.py reads all this.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, Final

from psdist.errors import ProtocolError, PSError
from psdist.failpoints import Failpoints
from psdist.wire import Message, decode, encode
from psdist.wire.messages import CopySettings

from . import snapshot
from .replica import Changes
from .taking import Taken

__all__ = ["BadLog", "Entry", "Log", "Writer", "about_of", "entries", "has_log", "place_of", "segments"]

_MAGIC: Final = b"\x89PSLOG1\n"
_HEAD: Final = struct.Struct(
    "<8sQII"
)  # magic, how much of the file was synced, number of frames, CRC of all heads
_FRAME: Final = struct.Struct("<Q16s")
_MAX_FRAMES: Final = 4096
_AHEAD: Final = 64  # rounds that one shard may be beyond another: MAX_ROUNDS_AHEAD
_SPARE: Final = 1  # full segments that are kept before the one that ends with a snapshot's mark


class BadLog(PSError):
    """A log of which something is missing that was acknowledged: nothing of it is used."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record of a log: a message, or the mark of a snapshot's file."""

    life: tuple[int, int]  # the job's number, and the epoch
    message: Message | None
    mark: str = ""  # how the file's name ends
    seq: int = 0  # of the message, or of the last one before the mark

    @property
    def at(self) -> tuple[int, int, int]:
        """Where it stands among the messages of its shard."""
        return (*self.life, self.seq)


def segments(folder: Path, shard: int) -> list[Path]:
    """The segments of a shard's log, oldest first."""
    return sorted((folder / "log" / _name(shard)).glob("*.log"))


def has_log(folder: Path) -> bool:
    """Whether any shard has a log there."""
    return any((folder / "log").glob("shard-*/*.log"))


def about_of(folder: Path) -> dict[str, Any] | None:
    """What the log says of its job: shard 0, num_shards, num_servers; None while nothing is there."""
    for path in sorted((folder / "log").glob("shard-*/*.log")):
        if told := _about(path):
            return {"shard": 0, **{name: int(told[name]) for name in ("num_shards", "num_servers")}}
    return None


def _name(shard: int) -> str:
    return f"shard-{shard:04d}"


def place_of(path: Path) -> tuple[int, int, int]:
    """A segment's job, epoch and number."""
    job, epoch, number = path.stem.split("-")
    return int(job), int(epoch), int(number)


def _successors(path: Path, following: Path) -> list[tuple[int, int, int]]:
    """What may come after a segment: the next of its life, or the first of the following one's."""
    job, epoch, number = place_of(path)
    other = place_of(following)[:2]
    return [(job, epoch, number + 1), *([(*other, 1)] if other != (job, epoch) else [])]


def job_number(folder: Path, run: int) -> int:
    """The number of the job's run among those that have written logs here."""
    jobs = {}
    for path in (folder / "log").glob("shard-*/*.log"):
        number = place_of(path)[0]
        if number not in jobs:
            told = _about(path)
            if told.get("run") == run:
                return number
            jobs[number] = told
    return max(jobs, default=0) + 1


# --- writing --------------------------------------------------------------------------------------


class Log:
    """One life of one shard's log, while it is written. What raises OSError must not be used again: what was not
    synced may be lost, and must not be acknowledged."""

    def __init__(
        self,
        folder: Path,
        about: dict[str, Any],
        life: tuple[int, int] = (1, 1),
        run: int = 0,
        points: Failpoints | None = None,
    ) -> None:
        """`about`: shard, num_shards, num_servers; `life`: the job's number here, and the epoch since which the shard
        is served by this process; `run`: by which other servers know the job's number."""
        self._folder = folder / "log" / _name(about["shard"])
        new = [path for path in (self._folder, *self._folder.parents) if not path.exists()]
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in new:
            _sync_folder(path.parent)
        self._life = life
        self._next = 1
        self._about = {**about, "run": run}
        self._first_step: int | None = None  # of which there is a mark
        self._points = points
        self._file: BinaryIO | None = None
        self._size = self._synced = 0
        self._marks: dict[str, tuple[int, int]] = {}  # their steps, and the segments that end with them

    def append(self, message: Message) -> None:
        """Write a message; it is safe after the next `sync`."""
        self._put([b"m", *encode(message)])

    def mark(self, mark: str, seq: int, step: int) -> None:
        """The file of a snapshot whose name ends so has everything up to the message `seq`: here the segment ends."""
        self._put([b"s", json.dumps({"mark": mark, "seq": seq}).encode()])
        self.sync()
        self._marks[mark] = step, self._next - 1
        self._first_step = step if self._first_step is None else self._first_step
        if self._file is not None:
            self._file.close()
            self._file = None

    def sync(self) -> None:
        """Have all that was appended on the disk."""
        if self._file is None or self._synced == self._size:
            return
        self._file.flush()
        if self._points is not None:
            self._points.reached("log-written")
        os.fsync(self._file.fileno())
        self._synced = self._size
        if self._points is not None:
            self._points.reached("log-synced")

    def covered(self, name: str) -> None:
        """The snapshot with a file of this name is complete: remove what it makes needless."""
        found = next((place for mark, place in self._marks.items() if name.endswith(mark)), None)
        if found is None or self._first_step is None:
            return
        step, ends = found
        self._marks = {mark: place for mark, place in self._marks.items() if place[1] > ends}
        paths = sorted(self._folder.glob("*.log"))
        if place_of(paths[0])[:2] != self._life and step < self._first_step + _AHEAD:
            return  # what a shard that was ahead has kept is in an earlier life, and nowhere else
        for path in paths:  # the oldest first, so that a gap is always damage
            if place_of(path) < (*self._life, ends - _SPARE):
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close; what was not synced is not promised. May be called twice."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def _put(self, frames: Sequence[Any]) -> None:
        if self._file is None:
            job, epoch = self._life
            path = self._folder / f"{job:04d}-{epoch:08d}-{self._next:06d}.log"
            self._next += 1
            # it has its name only when it says whose it is: `job_number` of another server may look
            hidden = path.with_suffix(".new")
            self._file = open(hidden, "wb")  # noqa: SIM115  (closed by `mark` or `close`)
            self._size = self._synced = 0
            self._write([b"a", json.dumps(self._about).encode()])
            self.sync()
            os.rename(hidden, path)
            _sync_folder(self._folder)
        self._write(frames)

    def _write(self, frames: Sequence[Any]) -> None:
        assert self._file is not None
        views = [memoryview(frame).cast("B") for frame in frames]
        heads = b"".join(_FRAME.pack(view.nbytes, _digest(view)) for view in views)
        start = _HEAD.pack(_MAGIC, self._synced, len(views), 0)
        head = _HEAD.pack(_MAGIC, self._synced, len(views), zlib.crc32(start + heads))
        self._file.write(head + heads)
        for view in views:
            self._file.write(view)
        self._size += _HEAD.size + len(heads) + sum(view.nbytes for view in views)


class Writer:
    """The logs of all shards of a server."""

    def __init__(
        self, folder: Path, num_shards: int, num_servers: int, run: int = 0, points: Failpoints | None = None
    ) -> None:
        """`num_shards`, `num_servers`: of the job when it began; `run`: as the View names it."""
        self._run = run
        self._job = job_number(folder, run)
        self._folder = folder
        self._about = {"num_shards": num_shards, "num_servers": num_servers}
        self._points = points
        self._logs: dict[int, Log] = {}

    def write(self, batch: Sequence[Changes | Taken]) -> tuple[int, list[Taken]]:
        """Write messages, and the marks of snapshots, and sync them all at once. Returns the number of the last message,
        and the snapshots that may be written now that their marks are there. Raises OSError, BadSnapshot."""
        last, marked = 0, []
        for one in batch:
            if isinstance(one, CopySettings) and one.shard in self._logs:
                self._logs.pop(one.shard).close()  # it was served elsewhere meanwhile
            log = self._logs.get(one.shard)
            if log is None:
                assert not isinstance(one, Taken), "a shard is taken after its first message"
                about = {"shard": one.shard, **self._about}
                log = self._logs[one.shard] = Log(
                    self._folder, about, (self._job, one.epoch), self._run, self._points
                )
            if isinstance(one, Taken):
                log.mark(snapshot.mark_of(one), one.logged, one.step)
                marked.append(one)
                for found in snapshot.find(self._folder):
                    if found.num_shards == self._about["num_shards"]:
                        log.covered(list(found.files)[one.shard])
            else:
                log.append(one)
                last = one.seq
        for log in self._logs.values():
            log.sync()
        return last, marked

    def close(self) -> None:
        """Close all. May be called twice."""
        for log in self._logs.values():
            log.close()


def _digest(data: Any) -> bytes:
    return blake2b(data, digest_size=16).digest()


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


# --- reading --------------------------------------------------------------------------------------


def entries(folder: Path, shard: int, about: dict[str, Any]) -> Iterator[Entry]:
    """All that the log of a shard holds. Raises BadLog."""
    paths = segments(folder, shard)
    for path, following in itertools.zip_longest(paths, paths[1:]):
        *life, _ = place_of(path)
        if following is not None and place_of(following) not in _successors(path, following):
            raise BadLog(f"{following}: a segment before this one is missing; nothing of this log is used")
        with open(path, "rb") as file:
            end = 0
            for frames, start, end in _records(path, file):  # noqa: B007
                kind, *rest = frames
                try:
                    if kind == b"a":
                        told = json.loads(bytes(rest[0]))
                        told.pop("run")
                        if told != about:
                            raise ValueError(f"this is the log of {told}, in the place of {about}")
                    elif kind == b"s":
                        told = json.loads(bytes(rest[0]))
                        yield Entry((life[0], life[1]), None, str(told["mark"]), int(told["seq"]))
                    else:
                        message = decode(rest)
                        yield Entry((life[0], life[1]), message, "", getattr(message, "seq", 0))
                except (ProtocolError, ValueError, KeyError, IndexError) as e:
                    raise BadLog(f"{path}: at byte {start}: {e}; nothing of this log is used") from e
        if end < path.stat().st_size and following is not None and [*place_of(following)[:2]] == life:
            raise BadLog(
                f"{path}: at byte {end}: what was written and synced here is damaged, and {following.name} goes on "
                "from it; nothing of this log is used"
            )


def _about(path: Path) -> dict[str, Any]:
    """What a segment says of itself; nothing when it does not."""
    with open(path, "rb") as file, contextlib.suppress(ValueError, IndexError):
        for frames, _, _ in _records(path, file):
            told = json.loads(bytes(frames[1]))
            return told if isinstance(told, dict) else {}
    return {}


def _records(path: Path, file: BinaryIO) -> Iterator[tuple[list[bytearray], int, int]]:
    """(frames, begin, end) of each record, up to the end or to a tail that was torn. Raises BadLog for damage to what
    had been synced, as far as a later record tells."""
    size = file.seek(0, os.SEEK_END)
    at = 0
    while at < size:
        record = _record_at(file, at, size)
        if record is None:
            later = _synced_later(file, at + 1, size)
            if later > at:
                raise BadLog(
                    f"{path}: at byte {at}: this record is damaged, and {later} bytes had been synced; nothing of this "
                    "log is used"
                )
            return
        frames, end, _ = record
        yield frames, at, end
        at = end


def _record_at(file: BinaryIO, at: int, size: int) -> tuple[list[bytearray], int, int] | None:
    """(frames, end, how much was synced before) of the record that begins there; None: there is none that is whole."""
    file.seek(at)
    start = file.read(_HEAD.size)
    if len(start) < _HEAD.size:
        return None
    magic, synced, num, crc = _HEAD.unpack(start)
    if magic != _MAGIC or not 0 < num <= _MAX_FRAMES:
        return None
    heads = file.read(num * _FRAME.size)
    if zlib.crc32(_HEAD.pack(magic, synced, num, 0) + heads) != crc:
        return None
    frames = []
    for nbytes, wanted in _FRAME.iter_unpack(heads):
        if nbytes > size - file.tell():
            return None
        frame = bytearray(file.read(nbytes))
        if _digest(frame) != wanted:
            return None
        frames.append(frame)
    return frames, file.tell(), synced


def _synced_later(file: BinaryIO, begin: int, size: int) -> int:
    """How much of the file had been synced, as whole records behind `begin` tell."""
    file.seek(begin)
    rest, most, found = file.read(), 0, -1
    while (found := rest.find(_MAGIC, found + 1)) >= 0:
        record = _record_at(file, begin + found, size)
        if record is not None:
            most = max(most, record[2])
    return most

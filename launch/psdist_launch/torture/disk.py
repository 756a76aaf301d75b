"""A disk that can lose its power at any moment, be full, and lie about what is safe.

The real snapshot.py writes real files here; what it syncs and renames is watched. At each step of writing the
power may fail: then a file that was not synced is torn, and a name that its folder was not synced after may be
gone. An image of what is left is read as a job would that is restored from it. What is whole must have the
values of its clocks, and on an honest disk whatever was complete must be whole; a disk that lies may cost a
snapshot, which is then refused.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from psdist_server import log, snapshot
from psdist_server.parts import part_place
from psdist_server.taking import Taken

from psdist.failpoints import Failpoints
from psdist.table import split
from psdist.wire.messages import CopyRows, CopySlices, key_number

if TYPE_CHECKING:
    from .world import World

__all__ = ["Disk", "Watched"]


class Watched:
    """`os`, as snapshot.py sees it: whatever is synced and renamed is noted."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def fsync(self, fd: int) -> None:
        """What the descriptor is of is safe now, if the disk is honest."""
        self._disk.sync(os.fstat(fd))


class _Points(Failpoints):
    """Steps of writing at which the power may fail."""

    def __init__(self, disk: Disk) -> None:
        super().__init__({})
        self._disk = disk

    def reached(self, step: str) -> None:
        self._disk.maybe_fail(step)


class Disk:
    """The folder of a job's snapshots; a `with` block."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.folder = Path(tempfile.mkdtemp(prefix="psdist-torture-"))
        self.points = _Points(self)
        self._watched = Watched(self)
        self._synced: dict[int, int] = {}  # by inode of a file: how many of its bytes are safe
        self._names: set[tuple[int, str]] = set()  # (folder's inode, name): entries that are safe
        self._complete: set[int] = set()  # steps of which a write has returned, that completed them
        self.kind = world.scenario.disk

    def close(self) -> None:
        """Forget it all."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, taken: Taken, num_shards: int) -> None:
        """What a server's disk thread does with a shard's state."""
        world = self._world
        space = 1 << 30
        if self.kind == "full" and world.random.random() < 0.4:
            space = world.random.randint(0, 600)
            world.count("disk full")
        with self.in_place_of_os(space):
            try:
                snapshot.write(self.folder, world.job, num_shards, taken, 2, self.points)
            except (OSError, snapshot.BadSnapshot):
                return  # told in the log; training goes on
            self._complete = {one.step for one in snapshot.find(self.folder)}
        self.maybe_fail("returned")

    @contextlib.contextmanager
    def in_place_of_os(self, space: int = 1 << 30) -> Iterator[None]:
        modules = [vars(snapshot), vars(log)]
        for names in modules:
            names["os"] = self._watched
            names["open"] = _Small(space).open
        try:
            yield
        finally:
            for names in modules:
                names["os"] = os
                del names["open"]

    def sync(self, about: os.stat_result) -> None:
        """A file or a folder is to be safe."""
        if self.kind == "lies" and self._world.random.random() < 0.5:
            return
        if not stat.S_ISDIR(about.st_mode):
            self._synced[about.st_ino] = about.st_size
            return
        for folder in (self.folder, *(path for path in self.folder.rglob("*") if path.is_dir())):
            if folder.stat().st_ino == about.st_ino:
                self._names |= {(about.st_ino, path.name) for path in folder.iterdir()}

    # --- power failures ---------------------------------------------------------------------------

    def maybe_fail(self, step: str) -> None:
        """The power may fail here; what is on the disk then is looked at, and the job goes on."""
        world = self._world
        if world.random.random() >= (0.05 if step.startswith("log-") else 0.3):
            return
        world.count("power failure" if self.kind == "honest" else f"power failure, disk {self.kind}")
        with tempfile.TemporaryDirectory(prefix="psdist-torture-") as image:
            self._keep_what_is_safe(Path(image))
            self._look(Path(image), step)
            if self._world.logs is not None:
                self._world.logs.look(Path(image), step)

    def _keep_what_is_safe(self, image: Path, folder: Path | None = None) -> None:
        random = self._world.random
        folder = self.folder if folder is None else folder
        at = folder.stat().st_ino
        for path in sorted(folder.iterdir()):
            if (at, path.name) not in self._names and random.random() < 0.7:
                continue
            if path.is_dir():
                (image / path.name).mkdir()
                self._keep_what_is_safe(image / path.name, path)
                continue
            data = path.read_bytes()
            safe = min(self._synced.get(path.stat().st_ino, 0), len(data))
            data = data[: safe + int((len(data) - safe) * random.random())]
            (image / path.name).write_bytes(data)

    def _look(self, image: Path, step: str) -> None:
        oracle = self._world.oracle
        is_honest = self.kind != "lies"
        found = set()
        for path in sorted(image.glob("step-*")):
            try:
                for one in snapshot.find(path):
                    messages = list(snapshot.load(one))
                    found.add(one.step)
                    for message in messages:
                        if isinstance(message, CopySlices):
                            self._compare(one.step, message)
                        elif isinstance(message, CopyRows) and message.is_open:
                            self._compare_rows(one.step, message)
            except snapshot.BadSnapshot as e:
                if is_honest:
                    oracle.violation(f"{step}, then the power failed: {e}")
        kept = {int(path.name.removeprefix("step-")) for path in self.folder.glob("step-*")}
        if is_honest and (lost := self._complete & kept - found):
            oracle.violation(f"{step}, then the power failed: snapshot {min(lost)} was complete, and is gone")

    def _compare(self, step: int, message: CopySlices) -> None:
        values = iter(message.values)
        for name, offset, clock, count in zip(
            message.names, message.offsets, message.clocks, message.counts, strict=True
        ):
            value = next(values)
            for _ in range(count):
                next(values)
            self._world.oracle.kept((key_number(name), offset), f"snapshot {step}", clock, value)

    def _compare_rows(self, step: int, message: CopyRows) -> None:
        """Of a table that is small enough for one portion."""
        ids, _, data, *_ = message.values
        rows = split(np.arange(message.shape[0]), message.num_parts)[message.part]
        value = np.zeros((len(rows), *message.shape[1:]), data.dtype)
        value[np.searchsorted(rows, ids)] = data.reshape(len(ids), *message.shape[1:])
        place = part_place(key_number(message.name), message.part)
        self._world.oracle.kept(place, f"snapshot {step}", message.clock, value.reshape(-1))


class _Small:
    """A disk with little room."""

    def __init__(self, space: int) -> None:
        self._space = space

    def open(self, path: Any, mode: str = "r", *rest: Any) -> IO[Any]:
        """As the built-in, but that a write beyond the room fails."""
        file = builtins.open(path, mode, *rest)  # noqa: SIM115  (whoever asked closes it)
        if "w" in mode:
            write = file.write

            def limited(data: Any) -> int:
                self._space -= memoryview(data).nbytes
                if self._space < 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return write(data)

            return _Limited(file, limited)  # type: ignore[return-value]
        return file


class _Limited:
    """A file with another `write`."""

    def __init__(self, file: IO[Any], write: Any) -> None:
        self._file = file
        self.write = write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _Limited:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

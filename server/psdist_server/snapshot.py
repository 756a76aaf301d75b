"""Snapshots on disk: a shard's state as a file, all shards of one step as a folder with a manifest.

    DIR/step-000000000100/shard-0000-RUN-MARK.psd   ...   manifest.json

A file is written beside, synced and renamed, and then the folder is synced: it is there whole, or not at all. Its
name is used once: RUN is the job's run, and MARK the server process and which of its takings this is, so that a shard
that two servers take at one step, because it changed hands, is two files, neither ever written again. Whoever finds that all
shards of a step are there, of one run, writes the manifest, which names the files that count, and removes older
snapshots; a step without a manifest does not count. Every frame has a digest, the file has one of them all, and the manifest
names each file's: what is truncated, flipped or swapped is refused whole, naming file and offset.

A file is a magic line and then records: a message of the protocol each, after the first, which says in JSON
what the file is. A record is the number of its frames, and for each frame its length and digest, then the
frames. The last record has no frames; the file's digest follows.

    python -m psdist_server.snapshot ls | inspect | verify | restore ...
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import re
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from psdist.errors import ConfigError, ProtocolError, PSError
from psdist.failpoints import Failpoints
from psdist.table import split
from psdist.wire import decode, encode
from psdist.wire.messages import CopyRows, CopySettings, CopySlices, key_label, key_number
from psdist.wire.spans import Spans

from .remote import Folder, Remote, folder_at
from .shard import Shard
from .state import put_rows, put_settings, put_slices
from .taking import Taken

__all__ = ["BadSnapshot", "Snapshot", "find", "load", "load_shard", "main", "restorer", "write"]

_MAGIC: Final = b"psdist snapshot 1\n"
_COUNT: Final = struct.Struct("<I")
_FRAME: Final = struct.Struct("<Q16s")
_DIGEST_NBYTES: Final = 16
_MAX_FRAMES: Final = 4096
_MOST_TRIES: Final = 8  # at removing a folder
_FILE: Final = re.compile(r"shard-(\d{4,9})(?:-([0-9a-f]{16})-[0-9a-f-]+)?\.psd")

State = CopySettings | CopySlices | CopyRows  # what the records of a file are
_MANIFEST: Final = "manifest.json"


class BadSnapshot(PSError):
    """A snapshot that is not whole: nothing of it is used."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A complete snapshot, as its manifest tells it."""

    path: Folder
    job: str
    step: int
    num_shards: int
    files: dict[str, str]  # name: digest, in the order of the shards
    written_at: float
    nbytes: int
    run: str = ""  # of the job; "" in those of before runs were told apart


# --- writing --------------------------------------------------------------------------------------


def write(
    folder: Folder, job: str, num_shards: int, taken: Taken, keep: int, points: Failpoints | None = None
) -> Folder:
    """Write one shard of a snapshot; the last shard of a step completes it. Raises OSError."""
    step = folder / f"step-{taken.step:012d}"
    if isinstance(step, Path):
        step.mkdir(parents=True, exist_ok=True)
        _sync(step.parent)
    run = _run_name(taken.run)
    about = {"job": job, "run": run, "shard": taken.shard, "num_shards": num_shards, "step": taken.step}
    path = step / f"shard-{taken.shard:04d}-{mark_of(taken)}"
    with _beside(path, points) as file:
        _write_records(file, about, taken.messages)
    _complete(folder, step, job, run, num_shards, taken.step, keep, points)
    return path


def mark_of(taken: Taken) -> str:
    """How the name of a shard's file ends: no other file's does."""
    return f"{_run_name(taken.run)}-{taken.mark}.psd"


def begun(folder: Folder, run: int) -> list[int]:
    """The steps of which something of this run is there, but not all."""
    name = _run_name(run)
    return [_number(step) for step in _steps(folder) if _files(step, name) and _run_of(step) != name]


def _run_name(run: int) -> str:
    return f"{run:016x}"


def _files(step: Folder, run: str) -> dict[int, Folder]:
    """A run's files in a step's folder, by shard; of several the last, by name."""
    paths = step.children() if isinstance(step, Remote) else step.glob("shard-*.psd")
    found = [(match, path) for path in paths if (match := _FILE.fullmatch(path.name)) is not None]
    return {
        int(match[1]): path for match, path in sorted(found, key=lambda one: one[1].name) if match[2] == run
    }


def _run_of(step: Folder) -> str:
    """The run whose snapshot of this step is complete; "" when there is none, or its manifest cannot be read."""
    path = step / _MANIFEST
    try:
        return str(json.loads(path.read_bytes())["run"]) if path.exists() else ""
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def _number(step: Folder) -> int:
    return int(step.name.removeprefix("step-"))


def fill(folder: Folder, job: str, num_shards: int, nothing: Taken, steps: Sequence[int], keep: int) -> None:
    """Write a shard that holds nothing into these steps, which the others have begun: it has no rounds that would
    tell it when. It must have held nothing after they were begun. Raises OSError."""
    for step in _steps(folder):
        number = _number(step)
        if number in steps and nothing.shard not in _files(step, _run_name(nothing.run)):
            write(folder, job, num_shards, replace(nothing, step=number), keep)


@contextlib.contextmanager
def _beside(path: Folder, points: Failpoints | None) -> Iterator[BinaryIO]:
    """A file that takes its name only when all of it is on the disk; in an object store nothing else is possible.

    Its steps are failpoints, for a shard's file and for the manifest: shard-written (not yet synced),
    shard-synced (not yet renamed), shard-renamed (the folder is not yet synced).
    """
    if isinstance(path, Remote):
        with path.writing() as file:
            yield file
        return
    what = path.name.partition("-")[0].partition(".")[0]  # shard or manifest
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            if points is not None:
                points.reached(f"{what}-written")
            os.fsync(file.fileno())
        if points is not None:
            points.reached(f"{what}-synced")
        os.replace(partial, path)
        if points is not None:
            points.reached(f"{what}-renamed")
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_records(file: BinaryIO, about: dict[str, Any], messages: Sequence[State]) -> None:
    whole = blake2b(digest_size=_DIGEST_NBYTES)

    def put(data: Any) -> None:
        whole.update(data)
        file.write(data)

    put(_MAGIC)
    first: list[Any] = [json.dumps(about).encode()]
    for frames in (first, *(encode(message) for message in messages)):
        views = [memoryview(frame).cast("B") for frame in frames]
        put(_COUNT.pack(len(views)))
        for view in views:
            put(_FRAME.pack(view.nbytes, _digest(view)))
        for view in views:
            file.write(view)  # its digest is in the whole's
    put(_COUNT.pack(0))
    file.write(whole.digest())


def _digest(data: Any) -> bytes:
    return blake2b(data, digest_size=_DIGEST_NBYTES).digest()


def _complete(
    folder: Folder,
    step: Folder,
    job: str,
    run: str,
    num_shards: int,
    number: int,
    keep: int,
    points: Failpoints | None,
) -> None:
    """Write the manifest when all shards are there; then there is one snapshot too many, perhaps. A manifest of this
    run stays as it is."""
    paths = _files(step, run)
    if sorted(paths) != list(range(num_shards)) or _run_of(step) == run:
        return
    manifest = {
        "psdist snapshot": 1,
        "job": job,
        "run": run,
        "step": number,
        "num_shards": num_shards,
        "written_at": time.time(),
        "files": {paths[shard].name: _last_digest(paths[shard]) for shard in sorted(paths)},
    }
    with _beside(step / _MANIFEST, points) as file:
        file.write(json.dumps(manifest, indent=1).encode())
    complete = find(folder)
    for old in complete[:-keep]:
        _remove(old.path)
    for other in _steps(folder):  # what was begun and never completed
        if other.name < step.name and not (other / _MANIFEST).exists():
            _remove(other)


def _steps(folder: Folder) -> list[Folder]:
    paths = folder.children() if isinstance(folder, Remote) else folder.glob("step-*")
    return sorted((path for path in paths if path.name.startswith("step-")), key=lambda path: path.name)


def _remove(step: Folder) -> None:
    """The manifest goes first: what is half removed is no snapshot."""
    if isinstance(step, Remote):
        (step / _MANIFEST).remove()
        step.remove()
        return
    (step / _MANIFEST).unlink(missing_ok=True)
    for _ in range(_MOST_TRIES):  # a server that is late may still write into it
        with contextlib.suppress(FileNotFoundError):  # another one does the same
            for path in list(step.iterdir()):
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            step.rmdir()
        if not step.exists():
            return


def _last_digest(path: Folder) -> str:
    if isinstance(path, Remote):
        return path.last_bytes(_DIGEST_NBYTES).hex()
    with open(path, "rb") as file:
        file.seek(-_DIGEST_NBYTES, os.SEEK_END)
        return file.read().hex()


# --- reading --------------------------------------------------------------------------------------


def find(folder: Folder) -> list[Snapshot]:
    """The complete snapshots in a folder, oldest first; of a snapshot's own folder, that one."""
    paths = [folder] if (folder / _MANIFEST).exists() else _steps(folder)
    return [_manifest(path) for path in paths if (path / _MANIFEST).exists()]


def latest(folder: Folder, step: int | None = None) -> Snapshot:
    """The newest snapshot, or that of a step. Raises ConfigError when there is none."""
    found = [one for one in find(folder) if step is None or one.step == step]
    if not found:
        what = "no complete snapshot" if step is None else f"no complete snapshot of step {step}"
        raise ConfigError(f"{folder}: {what} is there")
    return found[-1]


def _manifest(path: Folder) -> Snapshot:
    file = path / _MANIFEST
    try:
        told = json.loads(file.read_bytes())
        files = {str(name): str(digest) for name, digest in told["files"].items()}
        job, step, num = str(told["job"]), int(told["step"]), int(told["num_shards"])
        if [_shard_of(name) for name in files] != list(range(num)):
            raise ValueError(f"it names {', '.join(files) or 'no files'} for {num} shards")
        nbytes = sum(_nbytes(path / name) for name in files)
        run = str(told.get("run", ""))
        return Snapshot(path, job, step, num, files, float(told["written_at"]), nbytes, run)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise BadSnapshot(f"{file}: not the manifest of a whole snapshot: {e}") from e


def _shard_of(name: str) -> int:
    """Whose file that is, -1 for no name of ours: others would lead out of the folder."""
    match = _FILE.fullmatch(name)
    return int(match[1]) if match is not None else -1


def _nbytes(path: Folder) -> int:
    return path.nbytes() if isinstance(path, Remote) else path.stat().st_size


def load(snapshot: Snapshot) -> Iterator[State]:
    """All that a snapshot holds, shard after shard. Raises BadSnapshot."""
    for shard in range(snapshot.num_shards):
        yield from load_shard(snapshot, shard)


def load_shard(snapshot: Snapshot, shard: int) -> Iterator[State]:
    """What a snapshot holds of one shard. Raises BadSnapshot."""
    name, digest = list(snapshot.files.items())[shard]
    about = {
        "job": snapshot.job,
        "shard": shard,
        "num_shards": snapshot.num_shards,
        "step": snapshot.step,
    }
    if snapshot.run:
        about["run"] = snapshot.run
    yield from _read_records(snapshot.path / name, about, digest)


def _read_records(path: Folder, about: dict[str, Any], digest: str) -> Iterator[State]:
    """The messages of one file, after all of it was checked once: nothing of a bad one is used."""
    for _ in _records(path, about, digest):
        pass
    for frames, offset in _records(path, about, digest):
        try:
            message = decode(frames)
        except ProtocolError as e:
            raise BadSnapshot(f"{path}: at byte {offset}: {e}") from e
        if not isinstance(message, State):
            raise BadSnapshot(
                f"{path}: at byte {offset}: {type(message).__name__} has no place in a snapshot"
            )
        yield message


def _records(path: Folder, about: dict[str, Any], digest: str) -> Iterator[tuple[list[bytearray], int]]:
    """(frames, offset) of each record but the first, checked."""
    whole = blake2b(digest_size=_DIGEST_NBYTES)

    def wrong(offset: int, what: str) -> BadSnapshot:
        return BadSnapshot(f"{path}: at byte {offset}: {what}; nothing of this snapshot is used")

    try:
        file = path.open() if isinstance(path, Remote) else open(path, "rb")  # noqa: SIM115  (the with below)
    except OSError as e:
        raise BadSnapshot(f"{path}: {e.strerror or e}; nothing of this snapshot is used") from e
    with file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)

        def get(num: int, is_told: bool = True) -> bytes:
            offset = file.tell()
            data = file.read(num) if num <= size else b""
            if len(data) != num:
                raise wrong(offset, f"the file ends, {num} bytes were to come")
            if is_told:
                whole.update(data)
            return data

        if get(len(_MAGIC)) != _MAGIC:
            raise wrong(0, "this is no snapshot of psdist")
        is_first = True
        while True:
            offset = file.tell()
            (num,) = _COUNT.unpack(get(_COUNT.size))
            if num == 0:
                break
            if num > _MAX_FRAMES:
                raise wrong(offset, f"a record of {num} frames")
            heads = [_FRAME.unpack(get(_FRAME.size)) for _ in range(num)]
            frames = []
            for nbytes, wanted in heads:
                at = file.tell()
                frame = bytearray(get(nbytes, is_told=False))
                if _digest(frame) != wanted:
                    raise wrong(at, f"the {nbytes} bytes from here have changed since they were written")
                frames.append(frame)
            if not is_first:
                yield frames, offset
                continue
            is_first = False
            told = json.loads(bytes(frames[0]))
            if told != about:
                raise wrong(offset, f"this is {told}, in the place of {about}")
        end = file.tell()
        if file.read(_DIGEST_NBYTES) != whole.digest():
            raise wrong(end, "the digest of the whole file is another")
        if whole.hexdigest() != digest:
            raise wrong(end, "the file is another than the manifest names")
        if file.read(1):
            raise wrong(end + _DIGEST_NBYTES, "there is more than was written")


# --- restoring ------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Whole:
    """One key, put together again."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    arrays: list[Any]  # the value, then the state
    clock: int = 0
    num_updates: int = 0
    learned: Spans | None = None  # portions of the data, that are in all of its slices
    portions: list[CopyRows] = field(default_factory=list)  # of a table, which has no arrays

    @property
    def label(self) -> str:
        return key_label(self.name)


def _wholes(snapshot: Snapshot) -> tuple[CopySettings | None, dict[str, _Whole]]:
    """The settings and the keys of a snapshot. Raises BadSnapshot."""
    settings: CopySettings | None = None
    latest: CopySettings | None = None
    keys: dict[str, _Whole] = {}
    for message in load(snapshot):
        if isinstance(message, CopySettings):
            latest = message
            continue
        settings = latest  # of a shard that holds something: others may not have heard of the newest rates
        if isinstance(message, CopyRows):
            if message.is_open:
                dtype = np.dtype(message.dtype)
                table = keys.setdefault(message.name, _Whole(message.name, dtype, message.shape, []))
                table.clock = max(table.clock, message.clock)
                table.num_updates = max(table.num_updates, message.num_updates)
                table.portions.append(message)
            continue
        values, bounds = iter(message.values), iter(message.bounds)
        for i, name in enumerate(message.names):
            shape = message.shapes[i]
            key = keys.get(name)
            if key is None:
                dtype = np.dtype(message.dtypes[i])
                key = keys[name] = _Whole(
                    name, dtype, shape, [np.zeros(int(np.prod(shape, dtype=np.int64)), dtype)]
                )
            key.clock = max(key.clock, message.clocks[i])
            key.num_updates = max(key.num_updates, message.num_updates[i])
            portions = Spans(list(itertools.islice(bounds, message.num_bounds[i])))
            key.learned = portions if key.learned is None else key.learned & portions
            for j in range(1 + message.counts[i]):
                value = next(values)
                if j == len(key.arrays):
                    key.arrays.append(np.zeros(key.arrays[0].size, value.dtype))
                offset = message.offsets[i]
                key.arrays[j][offset : offset + value.size] = value
    return settings or latest, keys


def restorer(
    snapshot: Snapshot, job: str, slice_nbytes: int, **options: Any
) -> Callable[[int, int, int], Shard]:
    """What makes shard i of n, on m servers, with which a job begins that goes on from a snapshot: cut anew for its
    number of servers. All of the snapshot is read now. Raises BadSnapshot."""
    from psdist.kvstore.partition import partition  # only now: with the store comes much else

    settings, keys = _wholes(snapshot)

    def first(number: int, num_shards: int, num_servers: int) -> Shard:
        shard = Shard(job, **options)
        if settings is not None:
            put_settings(shard, settings)
            shard.controls.clear()  # of workers of another job
        rule = shard.updates.rule
        together = rule is not None and not rule.elementwise

        def cut(number: int, length: int, itemsize: int) -> Iterable[Any]:
            return partition(
                number, length, itemsize, num_servers, slice_nbytes, num_shards=num_shards, together=together
            )

        return _cut(keys, cut, number, num_shards, shard)

    return first


def _cut(
    keys: dict[str, _Whole],
    cut: Callable[[int, int, int], Iterable[Any]],
    number: int,
    num_shards: int,
    shard: Shard,
) -> Shard:
    """Fill shard `number` with what is its own."""
    for key in keys.values():
        for message in key.portions:
            put_rows(shard, _own(message, number, num_shards, key))
        if key.portions:
            continue
        for one in cut(key_number(key.name), key.arrays[0].size, key.dtype.itemsize):
            if one.server != number:
                continue
            values = [array[one.offset : one.offset + one.length] for array in key.arrays]
            num = len(values) - 1
            columns: tuple[list[int], ...]
            bounds = key.learned.bounds if key.learned is not None else []
            columns = (
                [one.offset],
                [key.clock],
                [key.num_updates],
                [num],
                [0],
                [],
                [],
                [len(bounds)],
                bounds,
            )
            put_slices(
                shard,
                CopySlices(0, 0, number, (key.name,), (key.dtype.name,), (key.shape,), *columns, values),
            )
    return shard


def _own(message: CopyRows, number: int, num_shards: int, key: _Whole) -> CopyRows:
    """Of these rows those that are shard `number`'s; all that was pushed is in them, as in the whole."""
    mine = split(message.values[0], num_shards)[number]
    ids, touched, *arrays = message.values
    values = [a.reshape(len(ids), -1)[mine].reshape(-1) for a in arrays]
    return replace(
        message,
        shard=number,
        part=number,
        num_parts=num_shards,
        begins=False,
        clock=key.clock,
        num_updates=key.num_updates,
        ranks=[],
        rounds=[],
        values=[ids[mine], touched[mine], *values],
    )


# --- the command ----------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """`psdist snapshot ...`."""
    parser = argparse.ArgumentParser(prog="psdist snapshot", description="Look at snapshots, and use them.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, action, what in (
        ("ls", _ls, "list the complete snapshots"),
        ("inspect", _inspect, "show what a snapshot holds"),
        ("verify", _verify, "read all of a snapshot and check it"),
        ("restore", _restore, "write the arrays to a .params file; for a job: psdist run --restore DIR"),
    ):
        command = commands.add_parser(name, help=what)
        command.add_argument("folder", metavar="DIR", help="a folder, or a URL such as s3://bucket/job")
        command.set_defaults(action=action)
        if name != "ls":
            command.add_argument("--step", type=int, help="which one (default: the newest)")
        if name == "restore":
            command.add_argument("--to", type=Path, required=True, metavar="FILE", help="the .params file")
    options = parser.parse_args(argv)
    try:
        options.folder = folder_at(options.folder)
        options.action(options)
    except PSError as e:
        print(f"psdist snapshot: {e}", file=sys.stderr)
        return 2 if isinstance(e, ConfigError) else 1
    return 0


def _ls(options: argparse.Namespace) -> None:
    found = find(options.folder)
    if not found:
        print(f"no complete snapshot in {options.folder}", file=sys.stderr)
    for one in found:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.written_at))
        print(
            f"step {one.step:<8} {when}  {one.nbytes / 1e6:10.1f} MB  {one.num_shards} shards  job {one.job}"
        )


def _inspect(options: argparse.Namespace) -> None:
    snapshot = latest(options.folder, options.step)
    settings, keys = _wholes(snapshot)
    rule = settings.name if settings is not None and settings.name else "none"
    print(f"step {snapshot.step} of job {snapshot.job}, {snapshot.num_shards} shards; optimizer: {rule}")
    for key in keys.values():
        num_arrays = max([len(key.arrays), *(message.count + 1 for message in key.portions)])
        state = f", state of {num_arrays - 1} arrays" if num_arrays > 1 else ""
        rows = f"{sum(len(message.values[0]) for message in key.portions)} rows of " if key.portions else ""
        print(f"  {key.label}: {rows}{key.dtype.name} {key.shape}, clock {key.clock}{state}")


def _verify(options: argparse.Namespace) -> None:
    snapshot = latest(options.folder, options.step)
    num = sum(
        1 if isinstance(message, CopyRows) else len(message.names)
        for message in load(snapshot)
        if isinstance(message, CopySlices | CopyRows)
    )
    print(f"step {snapshot.step}: {num} slices in {len(snapshot.files)} files are whole")


def _restore(options: argparse.Namespace) -> None:
    from psdist import nd

    snapshot = latest(options.folder, options.step)
    _, keys = _wholes(snapshot)
    arrays = {key.name[2:]: _array(key) for key in keys.values()}
    nd.save(str(options.to), arrays)
    print(f"wrote {len(arrays)} arrays of step {snapshot.step} to {options.to}")


def _array(key: _Whole) -> Any:
    from psdist import nd

    if not key.portions:
        return nd.array(key.arrays[0].reshape(key.shape), dtype=key.dtype)
    ids = np.concatenate([message.values[0] for message in key.portions])
    data = np.concatenate([message.values[2] for message in key.portions]).reshape(-1, *key.shape[1:])
    order = np.argsort(ids)
    return nd.sparse.row_sparse_array((data[order], ids[order]), shape=key.shape, dtype=key.dtype)


if __name__ == "__main__":
    sys.exit(main())

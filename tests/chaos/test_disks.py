"""Snapshots on real disks: crashes at each step of writing one, full and read-only disks, damage; and going on from one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from .harness import Bare, Launched, assert_right

ROUNDS = 20
EVERY = 4

slice_ = pytest.mark.slice


@contextmanager
def small_disk(path: Path, options: str) -> Iterator[Path]:
    """A disk of its own at `path`; the test is skipped where one cannot be made."""
    path.mkdir()
    mounting = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", str(path)], capture_output=True, text=True
    )
    if mounting.returncode:
        pytest.skip(f"needs the right to mount a tmpfs: {mounting.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def train(folder: Path, *options: object, env: dict[str, Any] | None = None, **training: Any) -> Launched:
    """A job that was run to its end."""
    with Launched(folder, env) as job:
        job.run(*options, rounds=ROUNDS, **training)
        job.codes["launcher"] = job.end()
        return job


def verify(disk: Path) -> int:
    """What `psdist snapshot verify` says of the newest snapshot: 0 whole, 2 there is none, 1 damaged."""
    argv = [sys.executable, "-m", "psdist_server.snapshot", "verify", str(disk)]
    return subprocess.run(argv, capture_output=True).returncode


def begins_at(job: Launched) -> set[int]:
    return {one["begins_at"] for one in job.results.values()}


def last_acked(job: Launched) -> int:
    """The last round that was acknowledged; -1 when none was."""
    acked = (re.search(r"acked (\d+)$", line) for line in job.lines)
    return max((int(match.group(1)) for match in acked if match is not None), default=-1)


@slice_
@pytest.mark.parametrize("servers", [1, 3])
def test_when_all_servers_die_a_new_job_goes_on_from_the_last_snapshot_with_the_same_bits(
    folder: Path, faultless: Any, servers: int
) -> None:
    disk = folder / "disk"
    fault = {"PSDIST_FAILPOINT": "server.handled-Push=kill@120"}
    keep = ("--snapshot-dir", disk, "--snapshot-every", EVERY)
    broken = train(folder, *keep, env=fault, slow=0.1)
    assert broken.codes["launcher"] != 0
    assert broken.has("failpoint .* is reached")
    assert verify(disk) == 0
    again = train(folder, "--restore", disk, servers=servers)
    assert again.codes["launcher"] == 0, again.text
    assert_right(again, ROUNDS, faultless())
    (begun,) = begins_at(again)
    # at most the rounds since the last snapshot are lost, and while one is written the next is on its way
    assert last_acked(broken) - 3 * EVERY <= begun <= last_acked(broken) + 1


STEPS = [f"{what}-{step}" for what in ("shard", "manifest") for step in ("written", "synced", "renamed")]


@pytest.mark.parametrize(
    "step", [pytest.param(one, marks=slice_ if i in (0, 4) else ()) for i, one in enumerate(STEPS)]
)
def test_a_crash_at_any_step_of_writing_leaves_whole_snapshots_only(
    folder: Path, faultless: Any, step: str
) -> None:
    disk = folder / "disk"
    keep = ("--snapshot-dir", disk, "--snapshot-every", EVERY)
    broken = train(folder, *keep, env={"PSDIST_FAILPOINT": f"server.{step}=kill@2"}, slow=0.1)
    if not broken.has("failpoint .* is reached"):
        assert step.startswith("manifest")  # each manifest is written by one server: twice by none
        broken = train(folder, *keep, env={"PSDIST_FAILPOINT": f"server.{step}=kill@1"}, slow=0.1)
        assert broken.has("failpoint .* is reached")
    assert broken.codes["launcher"] != 0
    found = verify(disk)
    assert found in (0, 2)
    if found == 2:
        return
    again = train(folder, "--restore", disk)
    assert again.codes["launcher"] == 0, again.text
    assert_right(again, ROUNDS, faultless())


@pytest.mark.parametrize("step", ["shard-written", "shard-renamed"])
def test_with_replicas_a_crash_while_writing_changes_no_bit_and_the_next_snapshot_is_whole(
    folder: Path, faultless: Any, step: str
) -> None:
    disk = folder / "disk"
    keep = ("--replicas", 1, "--snapshot-dir", disk, "--snapshot-every", EVERY)
    job = train(folder, *keep, env={"PSDIST_FAILPOINT": f"server1.{step}=kill@2"}, slow=0.1)
    assert job.codes["launcher"] == 0, job.text
    assert job.has("failpoint .* is reached")
    assert_right(job, ROUNDS, faultless())
    assert verify(disk) == 0


@slice_
@pytest.mark.parametrize("options", ["size=48k", "size=256k", "size=1m,ro"])
def test_a_full_or_read_only_disk_is_told_of_and_stops_no_training(
    folder: Path, faultless: Any, options: str
) -> None:
    with small_disk(folder / "disk", options) as disk:
        job = train(folder, "--snapshot-dir", disk / "in", "--snapshot-every", EVERY)
        assert job.codes["launcher"] == 0, job.text
        assert_right(job, ROUNDS, faultless())
        assert job.has(r"could not be written for step \d+: .*(No space left|Read-only)"), job.text
        assert verify(disk / "in") in (0, 2)


@slice_
@pytest.mark.parametrize("step", ["shard-written", "manifest-written", "shard-synced"])
def test_a_disk_that_fails_is_told_of_and_the_next_snapshot_is_whole(
    folder: Path, faultless: Any, step: str
) -> None:
    """EIO from writing a file's bytes, or from fsync, whose file is not trusted afterwards."""
    disk = folder / "disk"
    keep = ("--snapshot-dir", disk, "--snapshot-every", EVERY)
    job = train(folder, *keep, env={"PSDIST_FAILPOINT": f"server.{step}=errno:EIO@1"}, slow=0.1)
    assert job.codes["launcher"] == 0, job.text
    assert job.has(r"could not be written for step \d+: .*Input/output error"), job.text
    assert_right(job, ROUNDS, faultless())
    assert verify(disk) == 0
    assert not list(disk.rglob(".*")), "what was not written whole lies about"


@slice_
def test_a_disk_that_is_full_for_a_while_gets_whole_snapshots_again(folder: Path) -> None:
    with small_disk(folder / "disk", "size=2m") as disk, Launched(folder) as job:
        ballast = disk / "ballast"
        with open(ballast, "wb") as file, pytest.raises(OSError, match="No space left"):
            file.write(bytes(3 << 20))
        job.run("--snapshot-dir", disk / "in", "--snapshot-every", EVERY, rounds=4000, adam=0, slow=0.005)
        job.wait_for("could not be written for step")
        ballast.unlink()
        job.wait_for(r"wrote .*shard-0000")
        job.wait_for(r"wrote .*shard-0001")
        job.launcher.terminate()
        assert job.end() == 143
        assert verify(disk / "in") == 0


@slice_
def test_a_damaged_snapshot_is_refused_by_name_and_nothing_of_it_is_used(
    folder: Path, bare: Callable[..., Bare]
) -> None:
    disk = folder / "disk"
    train(folder, "--snapshot-dir", disk, "--snapshot-every", EVERY, adam=0, slow=0.05)
    first, *_, newest = sorted(path.parent for path in disk.glob("step-*/manifest.json"))
    shards = [next(newest.glob(f"shard-000{i}-*.psd")) for i in range(2)]
    size = shards[0].stat().st_size

    def truncate(path: Path) -> None:
        os.truncate(path, path.stat().st_size - 100)

    def flip(at: int) -> Callable[[Path], None]:
        def do(path: Path) -> None:
            data = bytearray(path.read_bytes())
            data[at] ^= 4
            path.write_bytes(data)

        return do

    def swap(path: Path) -> None:
        other = bytes(shards[1].read_bytes())
        path.write_bytes(other)

    def of_another_step(path: Path) -> None:
        path.write_bytes(next(first.glob("shard-0000-*.psd")).read_bytes())

    damages: list[Callable[[Path], None]] = [truncate, swap, of_another_step, Path.unlink]
    damages += [flip(at) for at in (0, 25, 200, size // 2, size - 40, size - 1)]
    whole = shards[0].read_bytes()
    for i, damage in enumerate(damages):
        damage(shards[0])
        job = bare(PSDIST_RESTORE=disk)
        job.server(0)
        assert job.finish() == {"server 0": 2}, (i, job.text)
        assert shards[0].name in job.lines[-1], (i, job.lines[-1])
        shards[0].write_bytes(whole)
    assert verify(disk) == 0
    shutil.rmtree(disk)


ON_DISK = ("--ack", "on-disk", "--snapshot-every", EVERY)


@pytest.mark.parametrize(
    "fault",
    [
        "log-written=kill@23",
        pytest.param("log-synced=kill@23", marks=slice_),
        "log-synced=kill@8",
        "handled-Push=kill@120",
        "log-written=errno:EIO@31",
    ],
)
def test_when_all_servers_die_a_job_with_a_log_goes_on_with_every_round_that_was_acknowledged(
    folder: Path, faultless: Any, fault: str
) -> None:
    disk = folder / "disk"
    broken = train(
        folder, *ON_DISK, "--snapshot-dir", disk, env={"PSDIST_FAILPOINT": f"server.{fault}"}, slow=0.1
    )
    assert broken.codes["launcher"] != 0, broken.text
    if "EIO" in fault:
        assert broken.has(f"the log in {disk} cannot be written: .*Input/output error.*--restore"), (
            broken.text
        )
    again = train(folder, *ON_DISK, "--snapshot-dir", disk, "--restore", disk)
    assert again.codes["launcher"] == 0, again.text
    assert_right(again, ROUNDS, faultless())
    (begun,) = begins_at(again)
    assert begun >= last_acked(broken)


@slice_
def test_a_log_that_fills_its_disk_ends_the_job_and_says_how_to_go_on(folder: Path, faultless: Any) -> None:
    with small_disk(folder / "disk", "size=1m") as disk:
        broken = train(folder, *ON_DISK, "--snapshot-dir", disk / "in", slow=0.1)
        assert broken.codes["launcher"] != 0, broken.text
        assert broken.has("cannot be written: .*No space left.*make room.*--restore"), broken.text
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        again = train(folder, *ON_DISK, "--snapshot-dir", disk / "in", "--restore", disk / "in")
        assert again.codes["launcher"] == 0, again.text
        assert_right(again, ROUNDS, faultless())
        (begun,) = begins_at(again)
        assert begun >= last_acked(broken)

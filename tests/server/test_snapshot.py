"""Snapshots: whole or refused, and put back onto any number of servers with every bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from psdist_server import snapshot
from psdist_server.shard import SCHEDULER, Shard
from psdist_server.snapshot import BadSnapshot
from psdist_server.state import settings_of
from psdist_server.taking import Taken, Taker

from psdist.errors import ConfigError
from psdist.kvstore.partition import partition
from psdist.wire import key_number
from psdist.wire import messages as m

SHAPES = {"s:small": (3,), "s:wide": (50, 400), "s:never": (2, 2)}
SLICE = 4096
FILES = [f"shard-000{shard}-{0:016x}-0.psd" for shard in range(2)]


def view(num_shards: int) -> m.View:
    return m.View(1, 0, 0, 1, num_shards, (m.Member("worker", 0, 0, 1, ""),))


class Job:
    """The shards of a job with one worker, with snapshots taken every 3 rounds."""

    def __init__(self, num_shards: int, shards: list[Shard] | None = None) -> None:
        self.num = num_shards
        self.shards = shards or [Shard("job") for _ in range(num_shards)]
        self.clock = 0
        self.seq = 0
        self.takers = [Taker(i, shard, 3) for i, shard in enumerate(self.shards)]
        self.taken: list[Taken] = []
        for i in range(num_shards):
            self.say(i, view(num_shards), SCHEDULER)
            self.say(i, m.Hello(1, m.VERSION, "job", "worker", 0, 0, 1, ""))
            self.ask(i, m.SetOptimizer, "adam", {}, 0.1, 0.0, {}, {})
        for name, shape in SHAPES.items():
            for one in self.cut(name):
                value = np.linspace(0, 1, one.length, dtype=np.float32)
                args = (name,), ("float32",), (shape,), [one.offset], [one.length], [value]
                self.ask(one.server, m.Init, *args)

    def cut(self, name: str) -> Any:
        return partition(key_number(name), int(np.prod(SHAPES[name])), 4, self.num, SLICE)

    def say(self, shard: int, message: m.Message, sender: bytes = b"w") -> list[m.Message]:
        out = self.shards[shard].step(sender, message, 0.0)
        if (taken := self.takers[shard].look()) is not None:
            self.taken.append(taken)
        assert not any(isinstance(reply, m.Error) for _, reply in out), out
        return [reply for _, reply in out]

    def ask(self, shard: int, cls: Any, *args: Any) -> list[m.Message]:
        self.seq += 1
        return self.say(shard, cls(self.seq, *args))

    def train(self, num_rounds: int) -> None:
        for _ in range(num_rounds):
            for name in ("s:small", "s:wide"):
                grad = np.random.default_rng([self.clock, len(name)]).standard_normal(
                    int(np.prod(SHAPES[name]))
                )
                for one in self.cut(name):
                    part = grad[one.offset : one.offset + one.length].astype(np.float32)
                    where = [key_number(name)], [one.offset], [self.clock]
                    self.ask(one.server, m.Push, 1, 1, *where, [], [part])
            self.clock += 1

    def values(self) -> dict[str, bytes]:
        whole = {name: np.zeros(int(np.prod(shape)), np.float32) for name, shape in SHAPES.items()}
        for shard in self.shards:
            for (number, offset), piece in shard.slices.items():
                name = next(name for name in SHAPES if key_number(name) == number)
                whole[name][offset : offset + piece.value.size] = piece.value
        return {name: value.tobytes() for name, value in whole.items()}


def write(folder: Path, job: Job, keep: int = 3) -> None:
    for taken in job.taken:
        snapshot.write(folder, "job", job.num, taken, keep)
    job.taken.clear()


@pytest.mark.parametrize("num_servers", [1, 2, 3, 5])
def test_a_job_goes_on_from_a_snapshot_on_any_number_of_servers_with_the_same_bits(
    tmp_path: Path, num_servers: int
) -> None:
    job = Job(3)
    job.train(7)
    write(tmp_path, job)
    found = snapshot.latest(tmp_path)
    assert found.step == 3  # of step 6 not all is there: a key that is never pushed is waited for
    job.train(5)
    write(tmp_path, job)
    found = snapshot.latest(tmp_path)
    assert found.step == 9
    restored = snapshot.restorer(found, "job", SLICE)
    shards = [restored(i, num_servers, num_servers) for i in range(num_servers)]
    again = Job(num_servers, shards)
    clocks = [again.ask(i, m.Join)[0] for i in range(num_servers)]
    begins = {
        k: c
        for reply in clocks
        if isinstance(reply, m.Clocks)
        for k, c in zip(reply.keys, reply.clocks, strict=True)
    }
    assert set(begins.values()) == {9, 0}
    for i in range(num_servers):
        again.ask(i, m.Begin, list(begins), list(begins.values()))
    again.clock = 9
    again.train(3)
    assert again.values() == job.values()


def test_only_so_many_snapshots_are_kept_and_what_was_begun_is_removed(tmp_path: Path) -> None:
    (tmp_path / "step-000000000001").mkdir()
    job = Job(2)
    job.train(40)
    write(tmp_path, job, keep=2)
    steps = [one.step for one in snapshot.find(tmp_path)]
    assert len(steps) == 2
    there = sorted(int(path.name[5:]) for path in tmp_path.iterdir())
    assert [step for step in there if step <= steps[-1]] == steps


def test_a_step_of_which_a_shard_is_missing_does_not_count(tmp_path: Path) -> None:
    job = Job(2)
    job.train(7)
    snapshot.write(tmp_path, "job", 2, job.taken[0], 3)
    with pytest.raises(ConfigError, match="no complete snapshot is there"):
        snapshot.latest(tmp_path)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("snapshots")
    job = Job(2)
    job.train(7)
    write(folder, job)
    return snapshot.latest(folder).path


def damaged(written: Path, folder: Path) -> Path:
    for path in written.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize("at", [0, 5, 30, 200, 5000, -200, -17, -1])
def test_a_flipped_bit_is_found_wherever_it_is(written: Path, tmp_path: Path, at: int) -> None:
    folder = damaged(written, tmp_path)
    path = folder / FILES[0]
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)
    with pytest.raises(BadSnapshot, match=r"shard-0000-.*psd: at byte \d+: .*") as e:
        list(snapshot.load(snapshot.latest(folder)))
    assert "nothing of this snapshot is used" in str(e.value) or "no place" in str(e.value)


@pytest.mark.parametrize("length", [0, 10, 100, 3000, -1, -16, -20])
def test_a_truncated_file_is_refused(written: Path, tmp_path: Path, length: int) -> None:
    folder = damaged(written, tmp_path)
    path = folder / FILES[1]
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(BadSnapshot, match=r"shard-0001-.*psd: at byte"):
        list(snapshot.load(snapshot.latest(folder)))


def test_two_files_in_each_others_place_are_refused(written: Path, tmp_path: Path) -> None:
    folder = damaged(written, tmp_path)
    one, other = (folder / name for name in FILES)
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)
    with pytest.raises(BadSnapshot, match=r"this is .*'shard': 1.* in the place of .*'shard': 0"):
        list(snapshot.load(snapshot.latest(folder)))


def test_a_file_of_another_snapshot_of_the_same_step_is_refused(written: Path, tmp_path: Path) -> None:
    folder = damaged(written, tmp_path)
    job = Job(2)
    job.ask(0, m.SetHyper, 1, 5.0, 0.0)
    job.train(7)
    other = tmp_path / "other"
    other.mkdir()
    write(other, job, keep=9)
    same = next(one for one in snapshot.find(other) if one.step == 3)
    (folder / FILES[0]).write_bytes((same.path / FILES[0]).read_bytes())
    with pytest.raises(BadSnapshot, match="the file is another than the manifest names"):
        list(snapshot.load(snapshot.latest(folder)))


def test_a_crash_between_write_and_rename_leaves_no_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(1)
    job.train(7)

    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        snapshot.write(tmp_path, "job", 1, job.taken[0], 3)
    monkeypatch.undo()
    assert snapshot.find(tmp_path) == []
    assert not list(tmp_path.rglob("*.psd"))


def test_the_command_lists_inspects_verifies_and_restores(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert snapshot.main(["ls", str(written.parent)]) == 0
    assert "step 3 " in capsys.readouterr().out
    assert snapshot.main(["inspect", str(written.parent)]) == 0
    assert "optimizer: adam" in (out := capsys.readouterr().out)
    assert "'wide': float32 (50, 400), clock 3, state of 2 arrays" in out
    assert snapshot.main(["verify", str(written.parent), "--step", "3"]) == 0
    assert "are whole" in capsys.readouterr().out
    assert snapshot.main(["verify", str(written.parent), "--step", "4"]) == 2
    assert "no complete snapshot of step 4" in capsys.readouterr().err
    assert snapshot.main(["restore", str(written), "--to", str(tmp_path / "w.params")]) == 0
    from psdist import nd

    assert nd.load(str(tmp_path / "w.params"))["wide"].shape == (50, 400)


def piece(shard: int, step: int, run: int = 7, mark: str = "0") -> Taken:
    """A shard at a step; what it holds tells who took it."""
    of = Shard("job")
    of.step(SCHEDULER, view(1), 0.0)
    of.step(b"w", m.Hello(1, m.VERSION, "job", "worker", 0, 0, 1, ""), 0.0)
    of.step(b"w", m.SetOptimizer(2, "sgd", {}, float(int(mark, 16)), 0.0, {}, {}), 0.0)
    return Taken(shard, step, [settings_of(of, 0, 0, shard)], run, mark)


def rates(found: snapshot.Snapshot) -> list[float]:
    """Who took each shard."""
    return [float(message.values[0][0]) for message in snapshot.load(found)]


def test_a_shard_that_holds_nothing_is_written_into_what_the_others_of_its_run_begin(tmp_path: Path) -> None:
    snapshot.write(tmp_path, "job", 2, piece(0, 3), 3)
    snapshot.write(tmp_path, "job", 2, piece(0, 6, run=8), 3)
    assert snapshot.find(tmp_path) == []
    snapshot.fill(tmp_path, "job", 2, piece(1, 0), [], 3)
    assert snapshot.find(tmp_path) == []
    snapshot.fill(tmp_path, "job", 2, piece(1, 0), snapshot.begun(tmp_path, 7), 3)
    assert [one.step for one in snapshot.find(tmp_path)] == [3]
    assert list(snapshot.load(snapshot.latest(tmp_path)))
    assert not list(tmp_path.glob("step-*6/shard-0001-*.psd"))


def test_a_shard_that_two_servers_take_at_one_step_is_two_files_and_what_is_complete_stays_so(
    tmp_path: Path,
) -> None:
    """It changed hands: whether the other one takes it before all are there or after, the manifest names one file that
    nobody writes again."""
    snapshot.write(tmp_path, "job", 2, piece(0, 3, mark="a"), 3)
    snapshot.write(tmp_path, "job", 2, piece(0, 3, mark="b"), 3)
    snapshot.write(tmp_path, "job", 2, piece(1, 3, mark="c"), 3)
    (found,) = snapshot.find(tmp_path)
    assert rates(found) == [0xB, 0xC]
    for late in ("9", "d"):
        snapshot.write(tmp_path, "job", 2, piece(0, 3, mark=late), 3)
        assert snapshot.find(tmp_path) == [found]
        assert rates(found) == [0xB, 0xC]


def test_runs_of_one_name_do_not_mix_their_shards(tmp_path: Path) -> None:
    """The first ended before its last step was whole; the second, which goes on from an earlier one, comes there too."""
    snapshot.write(tmp_path, "job", 2, piece(0, 3, run=1, mark="1"), 3)
    snapshot.write(tmp_path, "job", 2, piece(1, 3, run=2, mark="2"), 3)
    assert snapshot.find(tmp_path) == []
    assert (snapshot.begun(tmp_path, 1), snapshot.begun(tmp_path, 3)) == ([3], [])
    snapshot.write(tmp_path, "job", 2, piece(0, 3, run=2, mark="3"), 3)
    assert rates(snapshot.latest(tmp_path)) == [3, 2]
    snapshot.write(tmp_path, "job", 2, piece(0, 3, run=4, mark="4"), 3)
    assert rates(snapshot.latest(tmp_path)) == [3, 2]
    snapshot.write(tmp_path, "job", 2, piece(1, 3, run=4, mark="5"), 3)
    assert rates(snapshot.latest(tmp_path)) == [4, 5]


def test_a_manifest_names_no_files_outside_of_its_folder(tmp_path: Path) -> None:
    snapshot.write(tmp_path, "job", 1, piece(0, 3), 3)
    path = snapshot.latest(tmp_path).path / "manifest.json"
    path.write_text(path.read_text().replace("shard-0000-", "../shard-0000-"))
    with pytest.raises(BadSnapshot, match=r"it names \.\./shard-0000-.* for 1 shards"):
        snapshot.find(tmp_path)


def test_snapshots_of_before_runs_were_told_apart_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "step-000000000003"
    folder.mkdir()
    about = {"job": "job", "shard": 0, "num_shards": 1, "step": 3}
    with open(folder / "shard-0000.psd", "wb") as file:
        snapshot._write_records(file, about, piece(0, 3, mark="6").messages)
    digest = (folder / "shard-0000.psd").read_bytes()[-16:].hex()
    told = {"job": "job", "step": 3, "num_shards": 1, "written_at": 0, "files": {"shard-0000.psd": digest}}
    (folder / "manifest.json").write_text(json.dumps(told))
    assert rates(snapshot.latest(tmp_path)) == [6]

"""The log of a shard: what was synced is there or the damage is named; and what comes back has every bit."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from psdist_server import recovery, snapshot
from psdist_server.log import BadLog, Log, entries, place_of, segments
from psdist_server.log import Writer as Files
from psdist_server.replica import Changes
from psdist_server.server import LOG, Server
from psdist_server.shard import SCHEDULER, Shard

from psdist.errors import ConfigError
from psdist.kvstore.partition import partition
from psdist.settings import Settings
from psdist.wire import key_number
from psdist.wire import messages as m

ABOUT = {"shard": 0, "num_shards": 2, "num_servers": 2}
SHAPES = {"s:small": (3,), "s:wide": (50, 40), "s:other": (7,)}
SLICE = 1024


RUNS = itertools.count(1)
OPEN: list[Files | Log] = []


@pytest.fixture(autouse=True)
def _files_are_closed() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


def view(rank: int) -> m.View:
    members = [m.Member("worker", i, 0, i + 1, "") for i in range(2)]
    members += [m.Member("server", i, 0, 10 + i, f"tcp://s{i}") for i in range(2)]
    return m.View(1, 0, rank, 2, 2, tuple(members))


class Job:
    """Two servers with logs, and two workers who push what depends on what they have read."""

    def __init__(self, folder: Path, *, restores: bool = False, every: int = 0, rule: str = "adam") -> None:
        self.folder, self.rule = folder, rule
        run = next(RUNS)
        first = recovery.restorer(folder, "job") if restores else None
        self.servers = [
            Server("job", token=10 + i, logs=True, first=first, snapshot_every=every) for i in range(2)
        ]
        self.files = [Files(folder, 2, 2, run) for _ in range(2)]
        OPEN.extend(self.files)
        self.unlogged: list[list[Changes]] = [[], []]
        self.answers: list[m.Message] = []
        self.seq = itertools.count(1)
        self.together = rule == "lamb"
        for i in range(2):
            self.say(i, view(i), SCHEDULER)
            for rank in range(2):
                self.say(i, m.Hello(next(self.seq), m.VERSION, "job", "worker", rank, 0, rank + 1, ""), rank)
        self.begins = 0
        if restores:
            for i, rank in itertools.product(range(2), range(2)):
                (clocks,) = [a for a in self.say(i, m.Join(next(self.seq)), rank) if isinstance(a, m.Clocks)]
                self.begins = max(self.begins, *clocks.clocks)
                self.say(i, m.Begin(next(self.seq), list(clocks.keys), list(clocks.clocks)), rank)
                self.sync(i)
        for i in range(2):
            if not restores:
                self.say(i, m.SetOptimizer(next(self.seq), rule, {}, 0.1, 0.0, {}, {}))
        for name, shape in SHAPES.items():
            for one in self.cut(name):
                value = np.linspace(0, 1, one.length, dtype=np.float32)
                args = (name,), ("float32",), (shape,), [one.offset], [one.length], [value]
                self.say(one.server, m.Init(next(self.seq), *args))

    def cut(self, name: str) -> Any:
        size = int(np.prod(SHAPES[name]))
        return partition(key_number(name), size, 4, 2, SLICE, together=self.together)

    def say(self, i: int, message: m.Message, sender: bytes | int = 0) -> list[m.Message]:
        where = sender if isinstance(sender, bytes) else b"w%d" % sender
        return self._sort(i, self.servers[i].step(where, message, 0.0))

    def _sort(self, i: int, out: Any) -> list[m.Message]:
        self.unlogged[i] += [message for to, message in out if to == LOG]
        answers = [message for to, message in out if to not in (LOG, SCHEDULER)]
        assert not any(isinstance(answer, m.Error) for answer in answers), answers
        self.answers += answers
        return answers

    def sync(self, i: int) -> list[m.Message]:
        """Write what waits, snapshots too; what is answered then."""
        last, _ = self.files[i].write(self.unlogged[i])
        self.unlogged[i] = []
        for taken in self.servers[i].taken():
            _, marked = self.files[i].write([taken])
            for one in marked:
                snapshot.write(self.folder, "job", 2, one, 9)
        return self._sort(i, self.servers[i].step(LOG, m.Done(last, m.ACK_ON_DISK), 0.0))

    def values(self) -> dict[str, m.Tensor]:
        """All arrays as they are."""
        whole = {}
        for name in SHAPES:
            parts = [
                self.servers[one.server]
                .primaries[one.server]
                .shard.slices[key_number(name), one.offset]
                .value
                for one in self.cut(name)
            ]
            whole[name] = np.concatenate(parts)
        return whole

    def push(self, clock: int, servers: tuple[int, ...] = (0, 1)) -> None:
        """A round of all keys, of which only these servers hear. What is pushed depends on what was read."""
        values = self.values()
        for rank, name in itertools.product(range(2), SHAPES):
            grad = (values[name] * (rank + 1) + clock).astype(np.float32)
            for one in self.cut(name):
                if one.server in servers:
                    part = grad[one.offset : one.offset + one.length].copy()
                    places = [key_number(name)], [one.offset], [clock]
                    push = m.Push(next(self.seq), 1, m.ACK_ON_DISK, *places, [], [part])
                    self.say(one.server, push, rank)

    def train(self, begin: int, end: int) -> None:
        for clock in range(begin, end):
            self.push(clock)
            for i in range(2):
                self.sync(i)


@pytest.mark.parametrize(("rule", "every"), [("adam", 0), ("lamb", 0), ("adam", 3), ("sgd", 2)])
def test_a_crash_between_the_shards_changes_no_bit_and_loses_nothing(
    tmp_path: Path, rule: str, every: int
) -> None:
    undisturbed = Job(tmp_path / "a", rule=rule)
    undisturbed.train(0, 10)
    job = Job(tmp_path / "b", rule=rule, every=every)
    job.train(0, 5)
    job.push(5)
    job.sync(0)  # the one has round 5 on its disk, and has acknowledged it; the other has not
    for crash in range(2):
        job = Job(tmp_path / "b", restores=True, rule=rule, every=every)
        assert job.begins == 5 + crash
        kept = [p for one in job.servers[0].primaries.values() for p in one.shard.slices.values() if p.rounds]
        assert kept, "round 5 of server 0 waits to be done again"
        job.push(5 + crash)
        job.sync(0)
        if not crash:
            job.sync(1)
            job.push(6, servers=(0,))
            job.sync(0)  # and again
    job.sync(1)
    job.train(7, 10)
    for name, value in undisturbed.values().items():
        assert job.values()[name].tobytes() == value.tobytes(), name


def test_what_was_acknowledged_counts_though_something_else_is_pushed_then(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.train(0, 2)
    job.push(2, servers=(0,))
    job.sync(0)
    wanted = job.values()["s:small"], job.values()["s:other"]
    again = Job(tmp_path, restores=True)
    for rank, name in itertools.product(range(2), SHAPES):
        for one in again.cut(name):
            places = [key_number(name)], [one.offset], [2]
            zeros = np.zeros(one.length, np.float32)
            again.say(one.server, m.Push(next(again.seq), 1, 3, *places, [], [zeros]), rank)
    for name, value in zip(("s:small", "s:other"), wanted, strict=True):
        if next(iter(again.cut(name))).server == 0:
            assert again.values()[name].tobytes() == value.tobytes()


def test_a_push_is_acknowledged_when_it_is_on_the_disk_and_not_before(tmp_path: Path) -> None:
    job = Job(tmp_path)
    for i in range(2):
        job.sync(i)
    job.answers.clear()
    job.push(0)
    assert not job.answers
    assert [type(answer) for answer in job.sync(0)].count(m.Done) > 0
    assert all(isinstance(answer, m.Done) and answer.ack == m.ACK_ON_DISK for answer in job.answers)


def filled(folder: Path) -> Path:
    """The one segment of a log of five messages, each synced."""
    log = Log(folder, ABOUT)
    for seq in range(1, 6):
        log.append(m.CopyEnd(seq, 0, 0))
        log.sync()
    log.close()
    (path,) = segments(folder, 0)
    return path


def seqs(folder: Path) -> list[int]:
    return [entry.seq for entry in entries(folder, 0, ABOUT)]


def test_a_torn_tail_is_left_out_wherever_it_was_torn(tmp_path: Path) -> None:
    path = filled(tmp_path)
    data = path.read_bytes()
    begin = data.rindex(b"\x89PSLOG1\n")
    for size in range(begin, len(data)):
        path.write_bytes(data[:size])
        assert seqs(tmp_path) == [1, 2, 3, 4]
    path.write_bytes(data[:-3] + b"???")
    assert seqs(tmp_path) == [1, 2, 3, 4]
    OPEN.append(log := Log(tmp_path, ABOUT, (2, 1)))  # a new life, in a segment of its own
    log.append(m.CopyEnd(9, 0, 0))
    log.sync()
    assert seqs(tmp_path) == [1, 2, 3, 4, 9]


def test_damage_to_what_was_synced_is_named_with_file_and_byte(tmp_path: Path) -> None:
    path = filled(tmp_path)
    data = path.read_bytes()
    starts = [i for i in range(len(data)) if data.startswith(b"\x89PSLOG1\n", i)]
    assert len(starts) == 6
    for at in (*starts[:4], *(start + 12 for start in starts[:4]), *(start - 1 for start in starts[1:5])):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(
            BadLog, match=rf"{path.name}: at byte {max(s for s in starts if s <= at)}: .*synced"
        ):
            seqs(tmp_path)


def test_a_segment_that_ends_early_though_the_log_goes_on_is_refused(tmp_path: Path) -> None:
    log = Log(tmp_path, ABOUT)
    log.append(m.CopyEnd(1, 0, 0))
    log.mark("0-4.psd", 1, 4)
    log.append(m.CopyEnd(2, 0, 0))
    log.close()
    first, _ = segments(tmp_path, 0)
    first.write_bytes(first.read_bytes()[:-1])
    with pytest.raises(BadLog, match=f"{first.name}: at byte .* is damaged"):
        seqs(tmp_path)


def test_what_a_server_writes_late_that_has_handed_its_shard_over_is_before_its_heirs(tmp_path: Path) -> None:
    for epoch, seqs_of in ((3, (1, 2)), (2, (7, 8))):
        OPEN.append(log := Log(tmp_path, ABOUT, (1, epoch)))
        for seq in seqs_of:
            log.append(m.CopyEnd(seq, epoch, 0))
        log.sync()
    assert seqs(tmp_path) == [7, 8, 1, 2]


def test_a_segment_that_is_missing_is_noticed(tmp_path: Path) -> None:
    OPEN.append(log := Log(tmp_path, ABOUT))
    for step in range(1, 5):
        log.append(m.CopyEnd(step, 0, 0))
        log.mark(f"{step}.psd", step, step)
    paths = segments(tmp_path, 0)
    assert [place_of(path)[2] for path in paths] == [1, 2, 3, 4]
    paths[0].unlink()
    assert len(seqs(tmp_path)) == 6
    paths[2].unlink()
    with pytest.raises(BadLog, match=f"{paths[3].name}: a segment before this one is missing"):
        seqs(tmp_path)


def test_the_log_of_another_job_is_refused(tmp_path: Path) -> None:
    filled(tmp_path)
    with pytest.raises(BadLog, match="in the place of"):
        list(entries(tmp_path, 0, {**ABOUT, "num_servers": 3}))
    first = recovery.restorer(tmp_path, "job")
    with pytest.raises(ConfigError, match="the log is of 2 shards on 2 servers; begin with as many"):
        first(0, 3, 3)


def test_complete_snapshots_cut_the_log(tmp_path: Path) -> None:
    job = Job(tmp_path, every=2)
    job.train(0, 12)
    assert 2 <= len(segments(tmp_path, 0)) <= 5
    assert place_of(segments(tmp_path, 0)[0])[2] > 1
    again = Job(tmp_path, restores=True, every=2)
    assert again.begins == 12
    for name, value in job.values().items():
        assert again.values()[name].tobytes() == value.tobytes(), name


def test_a_log_whose_beginning_is_gone_with_its_snapshots_is_refused(tmp_path: Path) -> None:
    job = Job(tmp_path, every=2)
    job.train(0, 12)
    for one in snapshot.find(tmp_path):
        snapshot._remove(one.path)
    with pytest.raises(BadLog, match="begins in the middle"):
        Job(tmp_path, restores=True)


def test_a_round_that_waits_to_be_done_again_counts_the_data_it_is_of() -> None:
    kept = recovery.Kept(np.ones(2), (0, 1), (4, 7))
    kept.order = [0]
    assert not kept.add_up(np.add)
    kept.parts[0] = np.zeros(2)
    assert kept.add_up(np.add)
    assert kept.total is kept.sum
    assert kept.take_portions((0,)) == (4, 7)
    assert sorted(kept.parts) == [0, 1]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"ack": "on-disk"}, "needs a folder for logs, and snapshots that cut them"),
        ({"ack": "on-disk", "snapshot_dir": "s3://b", "snapshot_every": 1}, "cannot do; wanted a folder"),
        ({"snapshot_dir": "HERE", "snapshot_every": 1}, "holds the log of a job that acknowledged on disk"),
        ({"ack": "on-disk", "snapshot_dir": "HERE", "snapshot_every": 1}, "go on from it by --restore"),
    ],
)
def test_settings_that_would_lose_something_are_refused(
    tmp_path: Path, settings: dict[str, Any], text: str
) -> None:
    from psdist_server.logs import check_folder

    filled(tmp_path)
    told = {name: str(tmp_path) if value == "HERE" else value for name, value in settings.items()}
    with pytest.raises(ConfigError, match=text):
        check_folder(Settings(**told))


def test_a_log_with_nothing_in_it_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "log" / "shard-0000").mkdir(parents=True)
    (tmp_path / "log" / "shard-0000" / "0001-00000001-000001.log").write_bytes(b"\x89PSL")
    assert recovery.restorer(tmp_path, "job")(0, 2, 2).num_slices == 0
    assert isinstance(recovery.restorer(tmp_path, "job")(1, 2, 2), Shard)

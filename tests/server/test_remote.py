"""Snapshots in object stores: whole or refused, kept in a rotating number, read by the same command."""

from __future__ import annotations

import os
import sys
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from psdist_server import snapshot
from psdist_server.remote import Remote, folder_at
from psdist_server.shard import Shard
from psdist_server.state import put_slices, settings_of, slices_of
from psdist_server.taking import Taken

from psdist.errors import ConfigError
from psdist.wire import messages as m


def taken(shard: int, step: int) -> Taken:
    """Shard `shard` of two, with half of a key."""
    of = Shard("j")
    value = np.full(6, step, np.float32)
    put_slices(
        of,
        m.CopySlices(
            0,
            0,
            0,
            ("s:w",),
            ("float32",),
            ((12,),),
            [6 * shard],
            [step],
            [0],
            [0],
            [0],
            [],
            [],
            [0],
            [],
            [value],
        ),
    )
    return Taken(shard, step, [settings_of(of, 0, 0, shard), slices_of([*of.slices.values()], 0, 0, shard)])


def write(folder: Any, step: int) -> None:
    for shard in range(2):
        snapshot.write(folder, "j", 2, taken(shard, step), 2)


@pytest.fixture
def in_memory() -> str:
    pytest.importorskip("fsspec", reason="fsspec is not installed: psdist[remote]")
    return f"memory://snapshots-{uuid.uuid4().hex}/job"


def check(where: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Write, list, look at, verify, restore, rotate, damage."""
    folder = folder_at(where)
    assert isinstance(folder, Remote)
    assert snapshot.find(folder) == []
    for step in (2, 4, 6):
        write(folder, step)
    snapshot.write(folder, "j", 2, taken(0, 8), 2)  # the other shard's server died
    assert [one.step for one in snapshot.find(folder)] == [4, 6]
    for command in (["ls"], ["inspect"], ["verify"], ["restore", "--to", str(tmp_path / "w.params")]):
        assert snapshot.main([*command[:1], where, *command[1:]]) == 0, command
    out = capsys.readouterr().out
    assert "step 4" in out
    assert "step 6: 2 slices in 2 files are whole" in out
    restored = snapshot.restorer(snapshot.latest(folder), "k", 1 << 20)
    assert restored(0, 1, 1).slices.popitem()[1].value.tolist() == [6.0] * 12
    victim = folder / "step-000000000006" / f"shard-0001-{0:016x}-0.psd"
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    with victim.writing() as file:
        file.write(bytes(data))
    assert snapshot.main(["verify", where]) == 1
    assert f"{victim}: at byte" in capsys.readouterr().err


def test_snapshots_in_fsspecs_memory(
    in_memory: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    check(in_memory, capsys, tmp_path)


def test_what_fails_while_it_is_written_is_not_there(in_memory: str) -> None:
    file = folder_at(in_memory) / "x"
    assert isinstance(file, Remote)

    def write_half() -> None:
        with file.writing() as out:
            out.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        write_half()
    assert not file.exists()
    with pytest.raises(OSError, match=f"{file}: no such object"):
        file.read_bytes()


def test_a_file_url_is_a_folder_of_this_machine(tmp_path: Path) -> None:
    assert folder_at(f"file://{tmp_path}/a%20b") == tmp_path / "a b"
    assert folder_at(str(tmp_path)) == tmp_path
    write(folder_at(f"file://{tmp_path}"), 3)
    assert snapshot.main(["verify", f"file://{tmp_path}"]) == 0
    assert os.listdir(tmp_path) == ["step-000000000003"]


def test_without_fsspec_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    assert snapshot.main(["ls", "s3://bucket/job"]) == 2
    wanted = "psdist snapshot: s3://bucket/job: object stores need fsspec: pip install 'psdist[remote]'\n"
    assert capsys.readouterr().err == wanted


def test_an_unknown_protocol_is_named(in_memory: str) -> None:
    with pytest.raises(ConfigError, match=r"nosuch://x: .*nosuch"):
        folder_at("nosuch://x")

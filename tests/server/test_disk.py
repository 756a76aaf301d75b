"""The thread that writes snapshots, and the end of it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from psdist_server import snapshot
from psdist_server.disk import Disk
from psdist_server.taking import Taken

from psdist.settings import Settings


def test_a_disk_that_does_not_end_is_given_up_naming_what_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def hangs(*_: Any) -> Path:
        begun.set()
        may_end.wait(30)
        return tmp_path

    monkeypatch.setattr(snapshot, "write", hangs)
    disk = Disk(Settings(job="j", snapshot_dir=str(tmp_path), request_timeout_s=0.05))
    disk.write(Taken(3, 100, []), 4)
    assert begun.wait(30)
    disk.close()
    assert f"the disk has not written shard 3 of step 100 to {tmp_path} within 0.05 s" in caplog.text
    assert disk.num_failed == 1
    may_end.set()
    disk._thread.join(30)

"""The logs of a job's servers, on the disk that disk.py makes unreliable.

The real log.py writes real files, as the thread in logs.py does: what has come while it synced is synced together, and is
acknowledged a moment later. Whenever the power fails, everything dies at once: the shards that recovery.py makes of what is
left must hold every push that any worker was told is on disk, once, and in synchronous jobs have the bits of their clocks.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from psdist_server import recovery, snapshot, whole
from psdist_server.log import BadLog, Writer, has_log
from psdist_server.parts import TablePart
from psdist_server.replica import Changes
from psdist_server.shard import Shard
from psdist_server.taking import Taken

from psdist.errors import ConfigError
from psdist.table import split

if TYPE_CHECKING:
    from .disk import Disk
    from .processes import ServerProcess
    from .world import World

__all__ = ["Logs"]

_SLOWEST_S: Final = 0.02  # that a sync takes


class Logs:
    """All logs of a job."""

    def __init__(self, world: World, disk: Disk) -> None:
        self._world = world
        self._disk = disk
        self._writers: list[Writer] = []

    def close(self) -> None:
        """Close all files."""
        for writer in self._writers:
            writer.close()

    def write(self, server: ServerProcess, what: Changes | Taken) -> None:
        """Have a message written, or the mark of a snapshot, and say so to the server when it is safe."""
        server.unlogged.append(what)
        if len(server.unlogged) == 1:
            self._world.events.after(self._world.random.uniform(0, _SLOWEST_S), lambda: self._turn(server))

    def _turn(self, server: ServerProcess) -> None:
        if not server.is_there:
            return
        batch, server.unlogged = server.unlogged, []
        with self._disk.in_place_of_os():
            try:
                self._maybe_full()
                last, marked = self._writer(server).write(batch)
            except OSError as e:
                self._world.faults.no_log(server)
                text = f"the log of {server.name} cannot be written: {e}"
                server.take(lambda: server.give_up(text))
                return
        server.take(lambda: server.logged(last, marked))

    def _writer(self, server: ServerProcess) -> Writer:
        if server.logs is None:
            scenario, disk = self._world.scenario, self._disk
            server.logs = Writer(disk.folder, scenario.num_shards, scenario.num_servers, 1, disk.points)
            self._writers.append(server.logs)
        return server.logs

    def _maybe_full(self) -> None:
        if self._disk.kind == "full" and self._world.random.random() < 0.02:
            self._world.count("disk full")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def look(self, image: Path, step: str) -> None:
        """Everything died at this step: is what was acknowledged on the disk?"""
        oracle, scenario = self._world.oracle, self._world.scenario
        is_honest = self._disk.kind != "lies"
        shards: list[Shard] = []
        if has_log(image):
            try:
                first = recovery.restorer(image, self._world.job)
                shards = [
                    first(i, scenario.num_shards, scenario.num_servers) for i in range(scenario.num_shards)
                ]
            except (BadLog, snapshot.BadSnapshot, ConfigError) as e:
                if is_honest:
                    oracle.violation(f"{step}, then the power failed: {e}")
                return
        self._world.count("recovery from the log")
        found = set()
        for shard in shards:
            for where, piece in shard.slices.items():
                for _ in range(2):  # as it comes back; and when what it has kept is done again
                    if isinstance(piece, TablePart):
                        rows = split(np.arange(piece.key.shape[0]), piece.num_parts)[piece.part]
                        value = piece.table.read(rows).reshape(-1)
                    else:
                        value = piece.value
                    oracle.kept(where, f"{step}, then the power failed, and the log", piece.clock, value)
                    if piece.key.rule is None:
                        piece.settle((), False, shard.apply)
                    else:
                        whole.settle(piece.key.pieces(), (), False, shard.apply_whole)
                found.add(where)
                if is_honest:
                    oracle.recovered(where, f"{step}, then the power failed, and the log", value)
        if is_honest:
            oracle.must_have(found, f"{step}, then the power failed")

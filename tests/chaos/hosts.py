"""Hosts of their own on one machine: network namespaces on a switch, whose ways to one another can be cut."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from contextlib import ExitStack
from typing import Self

import pytest


class Hosts:
    """`num` hosts with addresses 10.77.0.1, 10.77.0.2, ..., as a `with` block.

    All of it, the switch too, lies in namespaces that the block makes and removes: nothing of this machine's own
    network is touched. The test is skipped where that is not allowed.
    """

    def __init__(self, num: int) -> None:
        self._prefix = f"psdist-{secrets.token_hex(3)}"
        self._num = num
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        if shutil.which("ip") is None or os.geteuid() != 0:
            pytest.skip("needs root, and `ip` of iproute2, to make network namespaces")
        try:
            self._make()
        except subprocess.CalledProcessError as e:
            self._undo.close()
            pytest.skip(f"network namespaces cannot be made here: {e.stderr.strip()}")
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def address(self, host: int) -> str:
        return f"10.77.0.{host + 1}"

    def on(self, host: int, argv: list[str]) -> list[str]:
        """A command, to be run on a host."""
        return ["ip", "netns", "exec", self._name(host), *argv]

    def cut(self, host: int, other: int) -> None:
        """Let nothing go from one host to another any more; the other way is as it was."""
        _ip("-n", self._name(host), "route", "add", "blackhole", f"{self.address(other)}/32")

    def heal(self, host: int, other: int) -> None:
        """Undo `cut`."""
        _ip("-n", self._name(host), "route", "del", "blackhole", f"{self.address(other)}/32")

    def _name(self, host: int | str) -> str:
        return f"{self._prefix}-{host}"

    def _make(self) -> None:
        switch = self._name("switch")
        for name in (switch, *map(self._name, range(self._num))):
            _ip("netns", "add", name)
            self._undo.callback(_ip, "netns", "del", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", switch, "link", "add", "switch", "type", "bridge")
        _ip("-n", switch, "link", "set", "switch", "up")
        for host in range(self._num):
            name, port = self._name(host), f"port{host}"
            _ip("-n", switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("-n", switch, "link", "set", port, "master", "switch", "up")
            _ip("-n", name, "address", "add", f"{self.address(host)}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)

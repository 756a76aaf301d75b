"""What a job consists of: its members, their command lines and environments. Starts nothing."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from psdist.errors import ConfigError
from psdist.settings import Role

__all__ = ["MARK", "Cluster", "Member", "is_loopback", "resolve_command"]

# Carried by every process of a launch and by its children; the watchdog finds them by it.
MARK = "PSDIST_LAUNCH"

# One BLAS thread a process: on two cores two processes give 1.96 times the speed, two BLAS threads 1.25.
_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """One process of the job by role and rank; prints as people name it: `worker 1`, `scheduler`."""

    role: Role
    rank: int = 0

    def __str__(self) -> str:
        return self.role if self.role == "scheduler" else f"{self.role} {self.rank}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A job on this machine. Workers run `command`; the scheduler and the servers run `service_command`."""

    command: tuple[str, ...]
    num_workers: int
    num_servers: int
    host: str
    port: int
    job: str
    mark: str
    service_command: tuple[str, ...] = (sys.executable, "-m", "psdist_server")
    key_file: str = ""  # empty on loopback, where sockets are plain
    insecure: bool = False
    replicas: int = 0  # copies of each server's arrays, on other servers
    elastic: tuple[int, int] | None = None  # the fewest and the most workers with which the job goes on
    max_servers: int = 0  # up to how many there may be; 0: as many as begin
    variables: Mapping[str, str] = field(default_factory=dict)  # further settings of every member
    restarts: int = 0  # how often each member is started again that the job can do without

    def __post_init__(self) -> None:
        for what, option, count in (
            ("workers", "-n", self.num_workers),
            ("servers", "-s", self.num_servers),
        ):
            if not 1 <= count <= 65535:
                raise ConfigError(f"{option} {count}: the number of {what} is 1 or more")
        if not 0 <= self.replicas < max(self.num_servers, 1):
            raise ConfigError(
                f"--replicas {self.replicas}: each server's copies are on other servers, so with -s "
                f"{self.num_servers} at most {self.num_servers - 1}"
            )
        if self.elastic and not self.elastic[0] <= self.num_workers <= self.elastic[1]:
            low, high = self.elastic
            raise ConfigError(f"--elastic {low}:{high}: -n {self.num_workers} is not between them")
        if self.max_servers and not self.num_servers <= self.max_servers <= 1024:
            raise ConfigError(
                f"--max-servers {self.max_servers}: wanted a number from -s {self.num_servers} to 1024"
            )
        if self.host in ("0.0.0.0", "::", "*", ""):
            raise ConfigError(
                f"--host {self.host or repr('')}: wanted an address of this machine, by which members reach each other"
            )
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", self.job):
            raise ConfigError(f"--job {self.job!r}: wanted up to 64 letters, digits, '.', '_' or '-'")
        if not 0 < self.port < 65536:
            raise ConfigError(f"--port {self.port}: a port is a number from 1 to 65535")

    def members(self) -> list[Member]:
        """Everyone, in the order of starting."""
        return [
            Member("scheduler"),
            *(Member("server", rank) for rank in range(self.num_servers)),
            *(Member("worker", rank) for rank in range(self.num_workers)),
        ]

    def argv(self, member: Member) -> tuple[str, ...]:
        """The command line of `member`."""
        return self.command if member.role == "worker" else self.service_command

    def survives(self, member: Member) -> bool:
        """Whether the job may go on without `member`; the scheduler decides."""
        match member.role:
            case "server":
                return self.replicas > 0
            case "worker":
                return self.elastic is not None
            case "scheduler":  # if it is started again
                return self.restarts > 0 and (self.replicas > 0 or self.elastic is not None)

    def environ(self, member: Member, base: Mapping[str, str], incarnation: int = 0) -> dict[str, str]:
        """The environment of `member` in one of its lives: `base`, over it the job's variables, under it
        defaults."""
        env = {
            **dict.fromkeys(_ONE_THREAD, "1"),
            "PYTHONUNBUFFERED": "1",  # a line is seen when it is written, not when the process ends
            **base,
            MARK: self.mark,
            "DMLC_ROLE": member.role,
            "DMLC_PS_ROOT_URI": self.host,
            "DMLC_PS_ROOT_PORT": str(self.port),
            "DMLC_NUM_WORKER": str(self.num_workers),
            "DMLC_NUM_SERVER": str(self.num_servers),
            "DMLC_NODE_HOST": self.host,
            "PSDIST_JOB": self.job,
            "PSDIST_RANK": str(member.rank),
            "PSDIST_KEY_FILE": self.key_file,
            **self.variables,
            "PSDIST_INCARNATION": str(incarnation),
            "PSDIST_REPLICAS": str(self.replicas),
            "PSDIST_ELASTIC": f"{self.elastic[0]}:{self.elastic[1]}" if self.elastic else "",
        }
        if self.max_servers:
            env["PSDIST_MAX_SERVERS"] = str(self.max_servers)
        env.pop("DMLC_WORKER_ID", None)
        if member.role == "worker":
            env["DMLC_WORKER_ID"] = str(member.rank)
        if self.insecure:
            env["PSDIST_INSECURE"] = "1"
        return env


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def resolve_command(command: Sequence[str], path: str | None = None) -> tuple[str, ...]:
    """`command`, its program found; `python` is the one that has psdist. Raises ConfigError."""
    program, *rest = command
    if program in ("python", "python3"):
        return (sys.executable, *rest)
    found = shutil.which(program, path=path)
    if found is not None:
        return (found, *rest)
    if os.path.isfile(program):
        hint = (
            f"it is not executable; write: -- python {program}"
            if program.endswith(".py")
            else "it is not executable"
        )
        raise ConfigError(f"cannot run {program!r}: {hint}")
    raise ConfigError(f"cannot run {program!r}: no such command")

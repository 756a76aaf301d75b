"""Every environment variable that psdist reads, in one frozen object.

`Settings.read()` is the only place that looks at the environment: the rest of the code is handed a
`Settings`, so a test passes one and changes no variable. A variable that is unset or empty means its default.
A new variable is a new field here, with its meaning beside it; `Settings.table()` is what the docs print.
"""

# ruff: noqa: RUF009  (`_setting` is `dataclasses.field` with the variable's name: a field, not a shared default)

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from .errors import ConfigError

__all__ = ["Role", "Settings"]

Role = Literal["scheduler", "server", "worker"]

_SLICE_ALIGN = 64  # a slice ends on a cache line, so that no element and no SIMD register is cut


class _Wrong(Exception):
    """A value that does not parse; says what was wanted."""


def _role(text: str) -> Role:
    if text not in ("scheduler", "server", "worker"):
        raise _Wrong("scheduler, server or worker")
    return cast(Role, text)


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise _Wrong("0 or 1")
    return text == "1"


def _integer(low: int, high: int, wanted: str) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise _Wrong(wanted) from None
        if not low <= value <= high:
            raise _Wrong(wanted)
        return value

    return parse


def _seconds(text: str) -> float:
    wanted = "a number of seconds above 0, such as 30 or 0.5"
    try:
        value = float(text)
    except ValueError:
        raise _Wrong(wanted) from None
    if not 0 < value < 1e9:  # NaN and infinity too: a wait without an end is a hang
        raise _Wrong(wanted)
    return value


def _slice(text: str) -> int:
    wanted = f"a multiple of {_SLICE_ALIGN} from 4096 to {1 << 30} (bytes), such as 1048576"
    value = _integer(4096, 1 << 30, wanted)(text)
    if value % _SLICE_ALIGN:
        raise _Wrong(wanted)
    return value


def _shared(text: str) -> int:
    return _integer(0, 1 << 44, "a whole number of bytes, such as 1073741824, or 0")(text)


def _range(text: str) -> tuple[int, int]:
    low, colon, high = text.partition(":")
    if not colon or not low.isdecimal() or not high.isdecimal() or not 1 <= int(low) <= int(high) <= 65535:
        raise _Wrong("MIN:MAX with 1 <= MIN <= MAX, such as 1:4")
    return int(low), int(high)


def _host_and_port(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536 or (":" in host and host[0] != "["):
        raise _Wrong("HOST:PORT, such as 10.0.0.7:9100 or [fd00::7]:9100")
    return text


def _ack(text: str) -> Literal["applied", "replicated", "on-disk"]:
    if text not in ("applied", "replicated", "on-disk"):
        raise _Wrong("applied, replicated or on-disk")
    return cast(Literal["applied", "replicated", "on-disk"], text)


def _transport(text: str) -> Literal["tcp", "ipc"]:
    if text not in ("tcp", "ipc"):
        raise _Wrong("tcp or ipc")
    return cast(Literal["tcp", "ipc"], text)


def _guard(text: str) -> Literal["off", "warn", "refuse"]:
    if text not in ("off", "warn", "refuse"):
        raise _Wrong("off, warn or refuse")
    return cast(Literal["off", "warn", "refuse"], text)


def _setting(variable: str, default: Any, meaning: str, parse: Callable[[str], Any]) -> Any:
    return dataclasses.field(default=default, metadata={"env": variable, "meaning": meaning, "parse": parse})


_COUNT = _integer(1, 65535, "a whole number from 1 to 65535")
_ROUNDS = _integer(0, 2**31 - 1, "a whole number of rounds")
_MOST = _integer(0, 1024, "a whole number from 0 to 1024")
_COPIES = _integer(0, 16, "a whole number from 0 to 16")
_PORT = _integer(1, 65535, "a port from 1 to 65535")
_RANK = _integer(0, 65534, "a whole number from 0 to 65534")
_LIFE = _integer(0, 2**31 - 1, "a whole number, 0 for the first life of a rank")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What this process is, where its cluster is, and how long it waits."""

    role: Role = _setting("DMLC_ROLE", "worker", "what this process is: scheduler, server or worker", _role)
    root_uri: str = _setting(
        "DMLC_PS_ROOT_URI", "", "the scheduler's host name or address; a scheduler binds to it", str
    )
    root_port: int = _setting("DMLC_PS_ROOT_PORT", 0, "the scheduler's port", _PORT)
    num_workers: int = _setting("DMLC_NUM_WORKER", 0, "how many workers the job has", _COUNT)
    num_servers: int = _setting("DMLC_NUM_SERVER", 0, "how many servers the job has", _COUNT)
    node_host: str = _setting(
        "DMLC_NODE_HOST", "", "the address that others reach this process by; by default found by itself", str
    )
    node_port: int = _setting(
        "PSDIST_NODE_PORT", 0, "the port that a server listens on; by default the system chooses one", _PORT
    )
    advertise: str = _setting(
        "PSDIST_ADVERTISE",
        "",
        "HOST:PORT by which others reach this server, where that is not what it listens on (NAT, mapped ports)",
        _host_and_port,
    )
    worker_id: int | None = _setting(
        "DMLC_WORKER_ID", None, "the rank that a worker wants; PSDIST_RANK goes before it", _RANK
    )
    wanted_rank: int | None = _setting(
        "PSDIST_RANK",
        None,
        "the rank that this process wants in its role; by default the scheduler's choice",
        _RANK,
    )
    job: str = _setting("PSDIST_JOB", "", "the job's id: processes of another job are refused", str)
    incarnation: int = _setting("PSDIST_INCARNATION", 0, "which life of its rank this process is", _LIFE)
    key_file: str = _setting(
        "PSDIST_KEY_FILE", "", "the job's CURVE keys, a file that only its owner reads", str
    )
    insecure: bool = _setting(
        "PSDIST_INSECURE", False, "1 allows plain sockets on addresses that others can reach", _flag
    )
    connect_timeout_s: float = _setting(
        "PSDIST_CONNECT_TIMEOUT",
        8.0,
        "how long a starting process waits for the scheduler's first word",
        _seconds,
    )
    start_timeout_s: float = _setting(
        "PSDIST_START_TIMEOUT", 60.0, "how long it then waits until every member has joined", _seconds
    )
    request_timeout_s: float = _setting(
        "PSDIST_REQUEST_TIMEOUT",
        120.0,
        "how long a pull, a push or a barrier may take, the wait for slower workers included",
        _seconds,
    )
    heartbeat_s: float = _setting(
        "PSDIST_HEARTBEAT", 1.0, "the time from one sign of life to the next", _seconds
    )
    dead_after_s: float = _setting(
        "PSDIST_DEAD_AFTER", 8.0, "silence after which a process counts as dead; several heartbeats", _seconds
    )
    guard: Literal["off", "warn", "refuse"] = _setting(
        "PSDIST_GUARD",
        "off",
        "what servers do with a push that holds NaN or infinity: off, warn, refuse",
        _guard,
    )
    server_module: str = _setting(
        "PSDIST_SERVER_MODULE",
        "",
        "a module that servers import when they start, with optimizers of your own in it",
        str,
    )
    scheduler_away_s: float = _setting(
        "PSDIST_SCHEDULER_AWAY",
        60.0,
        "how long training goes on without the scheduler, which may be started again meanwhile",
        _seconds,
    )
    close_timeout_s: float = _setting(
        "PSDIST_CLOSE_TIMEOUT", 5.0, "how long close() may take to say goodbye and to deliver", _seconds
    )
    replicas: int = _setting(
        "PSDIST_REPLICAS", 0, "copies of each server's arrays, kept by other servers", _COPIES
    )
    max_servers: int = _setting(
        "PSDIST_MAX_SERVERS",
        0,
        "up to how many servers `psdist scale` may give the job; by default those with which it begins. The arrays "
        "are divided into so many shards at least, and workers send each shard its own messages; read by the scheduler",
        _MOST,
    )
    elastic: tuple[int, int] | None = _setting(
        "PSDIST_ELASTIC", None, "MIN:MAX workers with which the job goes on; unset: a death ends it", _range
    )
    ack: Literal["", "applied", "replicated", "on-disk"] = _setting(
        "PSDIST_ACK",
        "",
        "how safe a push is when it counts as done: applied, replicated, or on-disk, for which servers keep logs in "
        "PSDIST_SNAPSHOT_DIR; by default replicated where there are replicas",
        _ack,
    )
    snapshot_dir: str = _setting(
        "PSDIST_SNAPSHOT_DIR", "", "where servers write snapshots; a folder that all of them share", str
    )
    snapshot_every: int = _setting(
        "PSDIST_SNAPSHOT_EVERY", 0, "rounds from one snapshot to the next; 0: none", _ROUNDS
    )
    snapshot_keep: int = _setting("PSDIST_SNAPSHOT_KEEP", 3, "how many snapshots are kept", _COUNT)
    restore: str = _setting(
        "PSDIST_RESTORE", "", "the snapshot, or the folder of snapshots, with which the job begins", str
    )
    draws_bars: bool = _setting(
        "PSDIST_DRAW_BARS",
        False,
        "1 draws progress bars although the output is no terminal; `psdist run` sets it where its own is",
        _flag,
    )
    slice_nbytes: int = _setting(
        "PSDIST_SLICE_BYTES",
        1 << 20,
        "arrays travel in slices of this many bytes; equal in a whole job",
        _slice,
    )

    shm_nbytes: int = _setting(
        "PSDIST_SHM_BYTES",
        8 << 30,
        "the most memory that a process shares with others of its host, instead of sending arrays through "
        "the network; 0 shares none",
        _shared,
    )

    transport: Literal["tcp", "ipc"] = _setting(
        "PSDIST_TRANSPORT",
        "tcp",
        "how messages travel between a worker and a server on one host: tcp, or ipc, a Unix socket without a file",
        _transport,
    )

    window_nbytes: int = _setting(
        "PSDIST_WINDOW_BYTES",
        32 << 20,
        "bytes of gradients that a worker pushes before servers acknowledge them, beyond one round of each key",
        _integer(0, 1 << 44, "a whole number of bytes, such as 33554432"),
    )

    recompute: bool = _setting(
        "MXNET_BACKWARD_DO_MIRROR",
        False,
        "1 computes elementwise results again on the way back instead of keeping them: less memory, more time",
        _flag,
    )

    winograd: bool = _setting(
        "PSDIST_WINOGRAD",
        True,
        "0 computes 3×3 convolutions as plain sums: slower, and rounding errors of 1e-6 instead of 1e-5",
        _flag,
    )

    jit: bool = _setting(
        "PSDIST_JIT", True, "0 leaves llvmlite alone where it is installed: NumPy computes everything", _flag
    )

    data_home: str = _setting(
        "MXNET_HOME", "", "the folder of data sets that `mx.base.data_dir()` names; by default ~/.mxnet", str
    )

    failpoint: str = _setting(
        "PSDIST_FAILPOINT",
        "",
        "faults that tests order, such as server1.receive-Push=kill@17: see psdist/failpoints.py",
        str,
    )

    stamps_dir: str = _setting(
        "PSDIST_STAMPS",
        "",
        "a folder where every process leaves when it did what: `psdist bench --profile`",
        str,
    )

    def __post_init__(self) -> None:
        if self.dead_after_s < 2 * self.heartbeat_s:
            raise ConfigError(
                f"PSDIST_DEAD_AFTER={self.dead_after_s:g}: wanted at least twice PSDIST_HEARTBEAT="
                f"{self.heartbeat_s:g}; else one late heartbeat is a death"
            )

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """The settings in `environ`, by default the process's. Raises ConfigError for a wrong value."""
        environ = os.environ if environ is None else environ
        given: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            variable = field.metadata["env"]
            text = environ.get(variable, "").strip()
            if not text:
                continue
            try:
                given[field.name] = field.metadata["parse"](text)
            except _Wrong as e:
                raise ConfigError(f"{variable}={text!r}: wanted {e}") from None
        return cls(**given)

    @classmethod
    def table(cls) -> list[tuple[str, str, str]]:
        """(variable, default, meaning) of every setting, for the documentation."""
        return [
            (field.metadata["env"], _shown(field.default), field.metadata["meaning"])
            for field in dataclasses.fields(cls)
        ]

    @property
    def rank(self) -> int | None:
        """The rank this process asks for; None leaves it to the scheduler."""
        return self.worker_id if self.wanted_rank is None and self.role == "worker" else self.wanted_rank

    def require_root(self) -> Settings:
        """These settings, when they say where the scheduler is. Raises ConfigError naming what is missing."""
        return self._require({"DMLC_PS_ROOT_URI": self.root_uri, "DMLC_PS_ROOT_PORT": self.root_port})

    def require_cluster(self) -> Settings:
        """These settings, when they describe a whole cluster. Raises ConfigError naming what is missing."""
        return self.require_root()._require(
            {"DMLC_NUM_WORKER": self.num_workers, "DMLC_NUM_SERVER": self.num_servers}
        )

    @property
    def shards_per_server(self) -> int:
        """With how many shards a server begins: so many that PSDIST_MAX_SERVERS servers have one each."""
        return max(1, -(-self.max_servers // max(1, self.num_servers)))

    def _require(self, values: Mapping[str, object]) -> Settings:
        missing = [variable for variable, value in values.items() if not value]
        if missing:
            raise ConfigError(
                f"{' and '.join(missing)} not set: a {self.role} of a distributed store needs a cluster. "
                "Start it by `psdist run -n 2 -s 1 -- python ...`, which sets these, or set them by hand"
            )
        return self


def _shown(default: object) -> str:
    match default:
        case None | "" | 0 if default is not False:
            return "unset"
        case bool():
            return "1" if default else "0"
        case float():
            return f"{default:g}"
        case _:
            return str(default)

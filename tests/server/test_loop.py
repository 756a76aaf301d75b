"""The real loops over loopback: joining, training, garbage, deaths, deadlines, keys."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import numpy as np
import pytest
import zmq
import zmq.auth
from psdist_server.loop import Loop, SchedulerLoop, ServerLoop, open_loop
from psdist_server.membership import End

from psdist.errors import ConfigError
from psdist.settings import Settings
from psdist.wire import decode, encode, key_number
from psdist.wire import messages as m

M = TypeVar("M", bound=m.Message)
WAIT_MS = 8000


def free_port() -> int:
    """A port that the system has just given and taken back."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_settings(role: str = "scheduler", **changes: Any) -> Settings:
    given: dict[str, Any] = {
        "role": role,
        "root_uri": "127.0.0.1",
        "root_port": free_port(),
        "num_workers": 1,
        "num_servers": 1,
        "job": "job",
        "connect_timeout_s": 0.5,
        "start_timeout_s": 5.0,
        "heartbeat_s": 0.1,
        "dead_after_s": 1.0,
        "close_timeout_s": 0.5,
    }
    return Settings(**(given | changes))


class Running:
    """A loop in a thread of its own."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.end: End | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with self.loop:
            self.end = self.loop.run()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.loop.stop("the test is over")
        self._thread.join()

    def join(self) -> End:
        self._thread.join(WAIT_MS / 1000)
        assert self.end is not None, "the loop has not ended"
        return self.end


class Client:
    """A DEALER that says what a test tells it to."""

    def __init__(
        self, address: str, keys: tuple[bytes, bytes] | None = None, server_key: bytes = b""
    ) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.linger = 0
        if keys:
            self.socket.curve_publickey, self.socket.curve_secretkey = keys
            self.socket.curve_serverkey = server_key or keys[0]
        self.socket.connect(address)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.destroy(linger=0)

    def say(self, message: m.Message) -> None:
        self.socket.send_multipart(cast(list[Any], encode(message)), copy=False)

    def hear(self, cls: type[M]) -> M:
        """The next message of this class; others are passed over, an Error is not."""
        while self.socket.poll(WAIT_MS):
            message = decode(self.socket.recv_multipart())
            if isinstance(message, cls):
                return message
            assert not isinstance(message, m.Error), message
        raise AssertionError(f"no {cls.__name__} came")


def hello(role: str = "worker", rank: int = 0, *, job: str = "job", token: int = 7) -> m.Hello:
    return m.Hello(1, m.VERSION, job, role, rank, 0, token, "")


@contextmanager
def cluster(**changes: Any) -> Iterator[tuple[Running, Running, Client, Client]]:
    """A scheduler, a server, and a worker's lines to both."""
    settings = make_settings(**changes)
    with ExitStack() as stack:
        scheduler = stack.enter_context(Running(SchedulerLoop(settings)))
        server = stack.enter_context(Running(ServerLoop(make_settings("server", **_same(settings)))))
        up = stack.enter_context(Client(f"tcp://127.0.0.1:{settings.root_port}"))
        up.say(hello())
        up.hear(m.Welcome)
        view = up.hear(m.View)
        address = next(member.address for member in view.members if member.role == "server")
        down = stack.enter_context(Client(address))
        down.say(hello())
        down.hear(m.Welcome)
        yield scheduler, server, up, down


def _same(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.__slots__ if name != "role"}


def train(down: Client, name: str = "s:w") -> float:
    """Init, push and pull one key; the value's first element."""
    down.say(m.Init(2, (name,), ("float32",), ((4,),), (0,), (4,), [np.zeros(4, np.float32)]))
    down.hear(m.Done)
    down.say(m.PushPull(3, 1, 1, [key_number(name)], [0], [0], [1], [], [np.full(4, 2.5, np.float32)]))
    return float(down.hear(m.Values).values[0][0])


def test_a_job_runs_from_hello_to_finish_and_everybody_ends_with_0() -> None:
    with cluster() as (scheduler, server, up, down):
        assert train(down) == 2.5
        large = np.arange(300_000, dtype=np.float32)
        down.say(m.Init(4, ("s:l",), ("float32",), ((300_000,),), (0,), (300_000,), [large]))
        down.hear(m.Done)
        down.say(m.Pull(5, [key_number("s:l")], [0], [0]))
        np.testing.assert_array_equal(down.hear(m.Values).values[0], large)
        up.say(m.Leave(6))
        up.hear(m.Done)
        assert server.join() == End(0, "all workers have finished")
        assert scheduler.join() == End(0, "all workers have finished")


def test_garbage_is_refused_and_counted_and_the_server_goes_on() -> None:
    with cluster() as (_, server, _, down):
        with socket.create_connection(("127.0.0.1", server.loop.port)) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\n\r\n" + bytes(1000))
        with Client(f"tcp://127.0.0.1:{server.loop.port}") as stranger:
            for frames in ([b""], [b"junk"], [b"\xdd\xff\xff\xff\xff"], [b"x"] * 5000):
                stranger.socket.send_multipart(frames)
                error = stranger.hear(m.Error)
                assert (error.seq, error.code) == (-1, "protocol")
            stranger.say(m.Pull(9, [1], [0], [0]))
            assert stranger.hear(m.Error).code == "not-admitted"
        assert server.loop.num_refused == 4
        assert train(down) == 2.5


def test_a_frame_beyond_the_limit_ends_that_connection_only() -> None:
    with cluster(slice_nbytes=4096) as (_, server, _, down):
        with Client(f"tcp://127.0.0.1:{server.loop.port}") as stranger:
            stranger.socket.send_multipart([b"x", bytes(9 << 20)])
            stranger.say(hello(token=8))
            assert stranger.hear(m.Error).code == "refused"  # on the connection made anew
        assert server.loop.num_refused == 0
        assert train(down) == 2.5


def test_another_version_is_told_both_versions() -> None:
    with cluster() as (_, server, _, _), Client(f"tcp://127.0.0.1:{server.loop.port}") as stranger:
        stranger.say(m.Hello(4, 2, "job", "worker", 0, 0, 7, ""))
        error = stranger.hear(m.Error)
        assert error.seq == 4
        assert "version 2 of the protocol was spoken; here it is version 1" in error.text


def test_a_silent_worker_ends_the_job_naming_it() -> None:
    with cluster() as (scheduler, server, up, _):
        up.say(m.Alive("worker", 0, 1, 41, 0, 0))
        abort = up.hear(m.Abort)
        assert (abort.role, abort.rank, abort.step) == ("worker", 0, 41)
        assert abort.reason.startswith("worker 0 died in step 41, ")
        assert server.join() == End(1, f"the job ended: {abort.reason}")
        assert scheduler.join() == End(1, abort.reason)


def test_a_server_told_to_stop_ends_the_job_naming_it() -> None:
    with cluster() as (scheduler, server, up, _):
        server.loop.stop("stopped by SIGTERM")
        assert "server 0 failed in step 0" in up.hear(m.Abort).reason
        assert server.join() == End(1, "stopped by SIGTERM")
        assert scheduler.join().code == 1


def test_a_server_without_a_scheduler_says_so() -> None:
    settings = make_settings("server")
    with Running(ServerLoop(settings)) as server:
        assert server.join() == End(
            1,
            f"no scheduler answered at 127.0.0.1:{settings.root_port} within 0.5 s; "
            "is it running, and are DMLC_PS_ROOT_URI and DMLC_PS_ROOT_PORT right?",
        )


def test_a_server_notices_that_its_scheduler_is_gone() -> None:
    settings = make_settings()
    with Running(ServerLoop(make_settings("server", **_same(settings)))) as server:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        with context, context.socket(zmq.ROUTER) as mute:
            mute.linger = 0
            mute.bind(f"tcp://127.0.0.1:{settings.root_port}")
            assert mute.poll(WAIT_MS)
            sender = mute.recv_multipart()[0]
            mute.send_multipart([sender, *cast(list[bytes], encode(m.Welcome(1, -1, 0.1, 0.5, 5.0)))])
            end = server.join()
    assert end.code == 1
    assert f"the scheduler at 127.0.0.1:{settings.root_port} has been silent for 0." in end.reason


def test_who_does_not_come_in_time_is_named() -> None:
    settings = make_settings(num_workers=2, start_timeout_s=0.2)
    with Running(SchedulerLoop(settings)) as scheduler:
        assert scheduler.join().reason.startswith(
            "not everyone came within 0.2 s: missing worker 0, worker 1, server 0 (0 of 2 workers came"
        )


def test_a_port_in_use_is_one_clear_error() -> None:
    settings = make_settings()
    with SchedulerLoop(settings), pytest.raises(ConfigError) as e:
        SchedulerLoop(settings)
    assert str(e.value) == (
        f"port {settings.root_port} on 127.0.0.1 is in use by another process; stop that, or choose another port "
        "(DMLC_PS_ROOT_PORT for the scheduler, PSDIST_NODE_PORT for a server)"
    )


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"root_uri": "0.0.0.0"}, "others can reach 0.0.0.0, and there are no keys: set PSDIST_KEY_FILE"),
        ({"root_uri": "192.0.2.1"}, "DMLC_PS_ROOT_URI=192.0.2.1 is no address of this machine"),
        ({"root_uri": "no such host"}, "DMLC_PS_ROOT_URI=no such host: "),
        ({"root_uri": ""}, "DMLC_PS_ROOT_URI not set"),
        ({"key_file": "/no/such/file"}, "PSDIST_KEY_FILE=/no/such/file: "),
        ({"role": "worker"}, "DMLC_ROLE=worker: a worker is a training script"),
    ],
)
def test_wrong_settings_are_one_clear_error(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as e:
        open_loop(make_settings(**changes))
    assert text in str(e.value)


def test_close_may_be_called_twice() -> None:
    loop = ServerLoop(make_settings("server"))
    loop.close()
    loop.close()


def write_keys(folder: Path) -> tuple[str, tuple[bytes, bytes]]:
    _, path = zmq.auth.create_certificates(folder, "job")
    Path(path).chmod(0o600)
    public, secret = zmq.auth.load_certificate(path)
    assert secret is not None
    return path, (public, secret)


def test_with_keys_only_who_has_them_is_heard(tmp_path: Path) -> None:
    path, keys = write_keys(tmp_path)
    settings = make_settings(root_uri="127.0.0.1", key_file=path)
    address = f"tcp://127.0.0.1:{settings.root_port}"
    with Running(SchedulerLoop(settings)), Client(address, keys) as friend:
        stranger_keys = zmq.curve_keypair()
        with Client(address, stranger_keys, keys[0]) as stranger, Client(address) as plain:
            for other in (stranger, plain):
                other.say(hello())
            friend.say(hello())
            friend.hear(m.Welcome)
            assert not stranger.socket.poll(200)
            assert not plain.socket.poll(0)


def test_a_server_with_keys_joins_a_scheduler_with_keys(tmp_path: Path) -> None:
    path, keys = write_keys(tmp_path)
    settings = make_settings(key_file=path)
    with (
        Running(SchedulerLoop(settings)),
        Running(ServerLoop(make_settings("server", **_same(settings)))) as server,
        Client(f"tcp://127.0.0.1:{settings.root_port}", keys) as up,
        Client(f"tcp://127.0.0.1:{server.loop.port}", keys) as down,
    ):
        up.say(hello())
        up.hear(m.View)
        down.say(hello())
        down.hear(m.Welcome)
        assert train(down) == 2.5


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path, _ = write_keys(tmp_path)
    Path(path).chmod(0o644)
    with pytest.raises(ConfigError, match="can be read by others; chmod 600 it"):
        SchedulerLoop(make_settings(key_file=path))


def test_an_address_that_others_can_reach_may_be_plain_when_asked_for_loudly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with SchedulerLoop(make_settings(root_uri="0.0.0.0", insecure=True)):
        pass
    assert "INSECURE: everybody who reaches 0.0.0.0 can read and change this job" in caplog.text


def test_a_connection_that_resets_in_mid_frame_harms_nobody() -> None:
    with cluster() as (_, server, _, down):
        with socket.create_connection(("127.0.0.1", server.loop.port)) as raw:
            raw.sendall(bytes([0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3, 0]) + b"NULL")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert train(down) == 2.5

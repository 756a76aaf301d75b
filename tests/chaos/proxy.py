"""A TCP link that can be late, slow, cut one way or both, or reset in the middle of a frame, changed while it is used.

What a cut link is given is kept, as a sender's kernel keeps it, and delivered when the link is whole again, unless
the connection has ended. Connections can be made all the while: who connects to a cut link is not refused, but
hears nothing, as behind a router that has lost its way.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any, Self

_CHUNK = 1 << 16
_CHUNKS_ON_THE_WAY = 64


class Way:
    """One direction of a link."""

    def __init__(self) -> None:
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.delay_s = 0.0
        self.bytes_per_s = 0.0  # 0: as fast as it goes
        self.reset_every = (
            0  # bytes after which a connection is reset, in the midst of what is being sent; 0: never
        )


class Proxy:
    """A link to a port of this machine, as a `with` block; `port` is its near end."""

    def __init__(self, target_port: int) -> None:
        self._target = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="chaos-proxy")
        self._tasks: set[asyncio.Task[None]] = set()
        self._both_ends: list[list[asyncio.StreamWriter]] = []  # of each connection
        self._server: asyncio.Server | None = None
        self._ready = threading.Event()
        self.port = 0
        self.num_resets = 0
        self.num_connections = 0
        self.there: Way  # towards the target
        self.back: Way

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    # --- what a test does to the link -----------------------------------------------------------------

    def cut(self, there: bool = True, back: bool = True) -> None:
        """Let nothing through any more, in these directions."""
        if there:
            self._do(self.there.is_open.clear)
        if back:
            self._do(self.back.is_open.clear)

    def heal(self) -> None:
        """Let everything through again."""
        self._do(self.there.is_open.set)
        self._do(self.back.is_open.set)

    def reset(self) -> None:
        """Reset every connection that there is."""

        def run() -> None:
            for ends in self._both_ends:
                for one in ends:
                    _reset_at_close(one)
                    one.transport.abort()
                self.num_resets += 1

        self._do(run)

    def shape(self, delay_s: float = 0.0, bytes_per_s: float = 0.0, reset_every: int = 0) -> None:
        """Make both directions so late, so slow, so brittle."""
        for way in (self.there, self.back):
            way.delay_s, way.bytes_per_s, way.reset_every = delay_s, bytes_per_s, reset_every

    def _do(self, work: Callable[[], Any]) -> None:
        done = threading.Event()

        def run() -> None:
            work()
            done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(10)

    # --- in the thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self.there, self.back = Way(), Way()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        self._server.close()
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self._loop.run_until_complete(asyncio.sleep(0))  # transports that were aborted close their sockets
        self._loop.close()
        asyncio.set_event_loop(None)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        writers = [writer]
        self._both_ends.append(writers)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
            writers.append(far_writer)
            ways = [
                asyncio.ensure_future(self._pump(reader, far_writer, self.there)),
                asyncio.ensure_future(self._pump(far_reader, writer, self.back)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                if any(way.done() and way.result() for way in ways):
                    self.num_resets += 1
                    for one in writers:
                        _reset_at_close(one)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            pass  # nobody listens there
        except asyncio.CancelledError:
            pass  # the test is over
        finally:
            self._both_ends.remove(writers)
            for one in writers:
                one.transport.abort()
            self._tasks.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way) -> bool:
        """Carry one direction; True when the connection is to be reset."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS_ON_THE_WAY)
        loop = asyncio.get_running_loop()

        async def take() -> None:
            with contextlib.suppress(OSError):
                while data := await reader.read(_CHUNK):
                    await queue.put((loop.time() + way.delay_s, data))
            await queue.put((loop.time() + way.delay_s, b""))

        taking = asyncio.ensure_future(take())
        num = 0
        try:
            while True:
                at, data = await queue.get()
                await asyncio.sleep(max(0.0, at - loop.time()))
                await way.is_open.wait()
                if not data:
                    return False
                if way.bytes_per_s:
                    await asyncio.sleep(len(data) / way.bytes_per_s)
                num += len(data)
                if way.reset_every and num >= way.reset_every:
                    writer.write(data[: len(data) // 2])
                    return True
                try:
                    writer.write(data)
                    await writer.drain()
                except OSError:
                    return False
        finally:
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)


def _reset_at_close(writer: asyncio.StreamWriter) -> None:
    """Have the end of this connection be a reset."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

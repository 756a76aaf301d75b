"""A network with ZeroMQ's semantics: DEALERs that connect to ROUTERs, over TCP that is late, breaks, is cut.

A connection keeps the order of its messages and loses none, until it is reset. Then of what was on its way
the first part arrives, as late as it likes, even after what a newer connection brings; the next part is lost;
and the last part, which the client's socket had not written yet, goes out on the next connection, before the
client has said Hello there. A ROUTER knows a connection by a routing id that it draws anew for each.

A partition stops one direction between two processes: what is sent waits, as TCP sends it again and again.
At its end the connection goes on, or is found to be broken.

Messages are encoded when they are sent and decoded when they arrive, by the real codec. In between, as in a
ZeroMQ socket, large arrays are the sender's own memory: a server that wrote into a value that is on its way
would be seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from psdist.wire import decode, encode
from psdist.wire.messages import Message

if TYPE_CHECKING:
    from .processes import Process
    from .world import World

__all__ = ["Dealer", "Network"]

_RETRY_S: Final = 0.2  # ZeroMQ tries again to connect after 50 ms, and some more


class Parcel:
    """A message on its way: as frames, or whole where the codec is not to be tried.

    A large array is read little by little: here, one half at once and the other when it arrives.
    """

    __slots__ = ("frames", "halves", "message")

    def __init__(self, message: Message | None, frames: list[Any] | None) -> None:
        self.message = message
        self.frames = frames
        self.halves = [
            frame[: frame.size // 2].tobytes() if isinstance(frame, np.ndarray) else b""
            for frame in frames or ()
        ]

    def open(self) -> Message:
        """The message, in memory of the receiver's own. Raises BadMessage."""
        if self.frames is None:
            assert self.message is not None, "a parcel with nothing in it"
            return self.message
        whole = [bytearray(frame) for frame in self.frames]
        for frame, half in zip(whole, self.halves, strict=True):
            frame[: len(half)] = half
        return decode(whole)


class Lane:
    """One direction of one connection: in order, late, cut off at a reset."""

    def __init__(
        self, world: World, source: Process, target: Process, hand_over: Callable[[Parcel], None]
    ) -> None:
        self._world = world
        self.source = source
        self.target = target
        self._hand_over = hand_over
        self._parcels: deque[Parcel] = deque()
        self._last_at = 0.0
        self._owed = 0  # arrivals that wait for the end of a partition

    def send(self, parcel: Parcel) -> None:
        self._parcels.append(parcel)
        self._plan()

    def _plan(self) -> None:
        world = self._world
        self._last_at = max(self._last_at, world.events.now + world.network.delay_s(self.source, self.target))
        world.events.at(self._last_at, self._arrive)

    def _arrive(self) -> None:
        if not self._parcels:
            return  # lost at a reset
        world = self._world
        if world.network.is_cut(self.source, self.target):
            self._owed += 1
            return
        parcel = self._parcels.popleft()
        self._hand_over(parcel)
        if world.random.random() < world.scenario.duplicates:
            world.count("duplicate")
            world.events.after(world.random.expovariate(5.0), lambda: self._hand_over(parcel))

    def resume(self) -> None:
        """A partition has ended."""
        if not self._world.network.is_cut(self.source, self.target):
            owed, self._owed = self._owed, 0
            for _ in range(owed):
                self._plan()

    def sever(self) -> list[Parcel]:
        """The connection breaks; what the sender's socket had not written yet."""
        parcels = list(self._parcels)
        random = self._world.random
        arrives = 0 if self._owed else random.randint(0, len(parcels))
        written = random.randint(arrives, len(parcels))
        self._parcels = deque(parcels[:arrives])
        self._owed = 0
        return parcels[written:]

    def die(self) -> None:
        """The receiver's process is gone, and all that was on its way to it."""
        self._parcels.clear()


class Dealer:
    """A client's socket: what is sent while there is no connection waits in it."""

    def __init__(self, world: World, owner: Process, peer: Hashable, address: str) -> None:
        self._world = world
        self.owner = owner
        self.peer = peer  # what the owner calls the other end
        self.address = address
        self.target: Process | None = None
        self.is_closed = False
        self.up: Lane | None = None
        self.down: Lane | None = None
        self._routing = b""
        self._waiting: deque[Parcel] = deque()
        self._times = 0  # connections so far
        self._open()

    def send(self, parcel: Parcel) -> None:
        if self.up is not None:
            self.up.send(parcel)
        else:
            self._waiting.append(parcel)

    def _open(self) -> None:
        world, network = self._world, self._world.network
        if self.is_closed or self.up is not None:
            return
        target = network.listeners.get(self.address)
        if target is None or not target.accepts or not self.owner.accepts or network.divides(self):
            if self.owner.is_there:
                self._try_again()
            return
        self._times += 1
        self.target = target
        routing = self._routing = network.register(self)
        owner, peer = self.owner, self.peer
        self.up = Lane(world, owner, target, lambda parcel: world.arrive(target, routing, owner, parcel))
        self.down = Lane(world, target, owner, lambda parcel: world.arrive(owner, peer, target, parcel))
        waiting, self._waiting = self._waiting, deque()
        for parcel in waiting:
            self.up.send(parcel)
        if self._times > 1:
            # the news comes from another thread: a little later
            world.events.after(0.001, lambda: owner.take(lambda: owner.reconnected(peer), peer))

    def reset(self) -> None:
        """The connection breaks, and a new one is made."""
        if self.up is None or self.down is None:
            return
        unwritten = self.up.sever()
        self.down.sever()
        self._waiting.extendleft(reversed(unwritten))
        self._lose()
        self._try_again()

    def _try_again(self) -> None:
        world = self._world
        world.events.after(world.random.uniform(0.01, _RETRY_S), self._open)

    def _lose(self) -> None:
        self._world.network.routes.pop(self._routing, None)
        self.up = self.down = None
        self.target = None

    def close(self, *, gracefully: bool) -> None:
        """The owner is gone: gracefully, what it sent arrives; else some of it does."""
        self.is_closed = True
        if self.up is not None and self.down is not None:
            if not gracefully:
                self.up.sever()
            self.down.die()
            self._lose()

    def lose_target(self, *, gracefully: bool) -> None:
        """The other end is gone."""
        if self.up is not None and self.down is not None:
            if not gracefully:
                self.down.sever()
            self.up.die()
            self._lose()
            self._try_again()


class Network:
    """Who listens where, what connections there are, and what is cut off from what."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.listeners: dict[str, Process] = {}
        self.dealers: list[Dealer] = []
        self.routes: dict[bytes, Dealer] = {}
        self._cuts: dict[tuple[str, str], int] = {}  # (from, to): partitions that divide them
        self._slow: dict[str, float] = {}  # a process whose every message takes longer, by so many seconds
        self._registered = 0

    def connect(self, owner: Process, peer: Hashable, address: str) -> Dealer:
        dealer = Dealer(self._world, owner, peer, address)
        self.dealers.append(dealer)
        return dealer

    def register(self, dealer: Dealer) -> bytes:
        """A routing id for a new connection."""
        self._registered += 1
        routing = b"\0" + self._registered.to_bytes(4, "big")
        self.routes[routing] = dealer
        return routing

    def pack(self, message: Message) -> Parcel:
        """As much of the codec's work as this schedule is to have."""
        if self._world.scenario.encodes or getattr(message, "values", None):
            return Parcel(None, [*encode(message)])
        return Parcel(message, None)

    def send_back(self, routing: bytes, message: Message) -> None:
        """What a ROUTER does: without a word nothing, when the connection is gone."""
        dealer = self.routes.get(routing)
        if dealer is not None and dealer.down is not None:
            dealer.down.send(self.pack(message))

    def delay_s(self, source: Process, target: Process) -> float:
        """How long a message takes: mostly a moment, sometimes long."""
        scenario, random = self._world.scenario, self._world.random
        delay_s = random.expovariate(1 / scenario.delay_s)
        if random.random() < scenario.late:
            delay_s += random.uniform(0.0, scenario.late_s)
        if self._slow:
            delay_s += self._slow.get(source.name, 0.0) + self._slow.get(target.name, 0.0)
        return delay_s

    def slow_down(self, name: str, by_s: float) -> None:
        self._slow[name] = self._slow.get(name, 0.0) + by_s

    # --- partitions -------------------------------------------------------------------------------

    def is_cut(self, source: Process, target: Process) -> bool:
        return bool(self._cuts) and (source.name, target.name) in self._cuts

    def divides(self, dealer: Dealer) -> bool:
        """Whether a connection cannot be made: a handshake needs both directions."""
        if not self._cuts:
            return False
        target = self.listeners[dealer.address].name
        own = dealer.owner.name
        return (own, target) in self._cuts or (target, own) in self._cuts

    def cut(self, pairs: list[tuple[str, str]]) -> None:
        for pair in pairs:
            self._cuts[pair] = self._cuts.get(pair, 0) + 1

    def heal(self, pairs: list[tuple[str, str]], *, reset: bool) -> None:
        """The partition ends; with `reset`, connections that it divided have been given up meanwhile."""
        for pair in pairs:
            self._cuts[pair] -= 1
            if not self._cuts[pair]:
                del self._cuts[pair]
        touched = set(pairs)
        for dealer in self.dealers:
            if dealer.up is None or dealer.down is None or dealer.target is None:
                continue
            own, other = dealer.owner.name, dealer.target.name
            if (own, other) in touched or (other, own) in touched:
                if reset:
                    dealer.reset()
                else:
                    dealer.up.resume()
                    dealer.down.resume()

    # --- processes --------------------------------------------------------------------------------

    def gone(self, process: Process, *, gracefully: bool) -> None:
        """A process has ended: so have its connections."""
        self.listeners = {a: p for a, p in self.listeners.items() if p is not process}
        for dealer in self.dealers:
            if dealer.owner is process:
                dealer.close(gracefully=gracefully)
            elif dealer.target is process:
                dealer.lose_target(gracefully=gracefully)
        self.dealers = [dealer for dealer in self.dealers if not dealer.is_closed]

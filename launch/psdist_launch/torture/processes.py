"""The processes of a job: the real rules, driven as the real loops drive them (loop.py, io.py).

A process is running, stalled (SIGSTOP: what comes waits, and so does its clock's tick), or gone. What it
sends goes into the network; a mute one handles a message and dies before anybody hears of it.
"""

from __future__ import annotations

import heapq
import itertools
import traceback
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from psdist_server.log import Writer
from psdist_server.membership import Membership
from psdist_server.parts import TablePart
from psdist_server.replica import Changes
from psdist_server.scheduler import Scheduler
from psdist_server.server import LOG, Server
from psdist_server.shard import SCHEDULER
from psdist_server.taking import Taken
from psdist_worker import client as rules

from psdist.settings import Settings
from psdist.table import split
from psdist.wire import BadMessage
from psdist.wire.messages import (
    ACK_ON_DISK,
    VERSION,
    Abort,
    Done,
    Error,
    Hello,
    Lost,
    Message,
    Scale,
    View,
    placements,
)

from . import program
from .clock import Clock
from .network import Dealer
from .scenario import DEAD_AFTER_S, HEARTBEAT_S, REQUEST_TIMEOUT_S, SCHEDULER_AWAY_S, START_TIMEOUT_S

if TYPE_CHECKING:
    from .world import World

__all__ = ["SCHEDULER_ADDRESS", "Launcher", "Process", "SchedulerProcess", "ServerProcess", "WorkerProcess"]

SCHEDULER_ADDRESS: Final = "tcp://scheduler:1"
_TICK_S: Final = 0.25  # as the real loops look up when nothing comes
_CONNECT_TIMEOUT_S: Final = 8.0


class Process:
    """A process of the job, of whatever role."""

    role = "stranger"

    def __init__(self, world: World, name: str, rank: int, incarnation: int = 0) -> None:
        self.world = world
        self.name = name
        self.rank = rank
        self.incarnation = incarnation
        self.token = world.random.getrandbits(62)
        self.address = ""
        self.state: Literal["running", "stalled", "crashed", "ended"] = "running"
        self.exit_code: int | None = None
        self.reason = ""
        self.ended_at = 0.0
        self.is_mute = False
        self._is_busy = False
        self._has_begun = False
        self._inbox: dict[Hashable, deque[Callable[[], None]]] = {}  # by connection
        drift = world.scenario.drift
        self.clock = Clock(
            world.events, world.random.uniform(0, 1000), world.random.uniform(1 - drift, 1 + drift)
        )

    @property
    def is_there(self) -> bool:
        """It has not ended, though it may be stalled."""
        return self.state in ("running", "stalled")

    @property
    def is_awake(self) -> bool:
        return self.state == "running"

    @property
    def accepts(self) -> bool:
        """Whether its sockets make connections: a busy process's do, in ZeroMQ's own thread."""
        return self.state == "running" or (self.state == "stalled" and self._is_busy)

    def begin(self) -> None:
        """Start it, and its ticks."""
        self.take(self._begin)

    def _begin(self) -> None:
        self._has_begun = True
        self.start()
        self.world.events.after(self.world.random.uniform(0, _TICK_S), self._next_tick)

    def _next_tick(self) -> None:
        if self.state == "running":
            self.guard(self.tick)
        if self.is_there:
            self.world.events.after(_TICK_S, self._next_tick)

    # --- what the roles do ------------------------------------------------------------------------

    def start(self) -> None:
        pass

    def tick(self) -> None:
        pass

    def handle(self, source: Any, message: Message) -> None:
        """A message has come, from a connection's routing id or from a peer by its name."""
        raise NotImplementedError

    def refuse(self, source: Any, error: BadMessage) -> None:
        """What has come is no message."""

    def reconnected(self, peer: Hashable) -> None:
        """A connection broke, and is there again."""

    # --- what happens to it -----------------------------------------------------------------------

    def take(self, do: Callable[[], None], source: Hashable = None) -> None:
        """Something has come: it is done now, or when the process goes on, or never."""
        if self.state == "running":
            self.guard(do)
        elif self.state == "stalled":
            self._inbox.setdefault(source, deque()).append(do)

    def guard(self, do: Callable[[], None]) -> None:
        """An exception from the rules would be our own bug."""
        try:
            do()
        except Exception as e:
            where = traceback.extract_tb(e.__traceback__)[-1]
            self.world.oracle.violation(
                f"{self.name} raised {type(e).__name__}: {e} (in {where.name}, {where.filename}:{where.lineno})"
            )
            self.end(1, f"internal error: {e!r}")

    def stall(self, *, busy: bool) -> None:
        """SIGSTOP; or `busy` with something else, so that only its sockets go on."""
        if self.state == "running":
            self.state = "stalled"
            self._is_busy = busy

    def wake(self) -> None:
        """Go on: first what has come meanwhile, then the time. ZeroMQ keeps the order of each connection, and
        reads from them in turn, also from those that have been replaced."""
        if self.state != "stalled":
            return
        self.state = "running"
        inbox, self._inbox = self._inbox, {}
        has_begun = self._has_begun
        while inbox:
            source = self.world.random.choice(list(inbox))
            self.take(inbox[source].popleft())
            if not inbox[source]:
                del inbox[source]
        if self.is_awake and has_begun:
            self.guard(self.tick)

    def crash(self) -> None:
        """kill -9."""
        self._stop("crashed", -9, "killed")

    def end(self, code: int, reason: str) -> None:
        """It ends by itself; what it has sent still goes out."""
        self._stop("ended", code, reason)

    def _stop(self, state: Literal["crashed", "ended"], code: int, reason: str) -> None:
        if not self.is_there:
            return
        self.state, self.exit_code, self.reason = state, code, reason
        self.ended_at = self.world.events.now
        self._inbox.clear()
        self.world.note(f"{self.name} {state}: {reason}")
        self.world.network.gone(self, gracefully=state == "ended")
        self.world.launcher.sees_end(self)


class SchedulerProcess(Process):
    """The scheduler, and its socket."""

    role = "scheduler"

    def start(self) -> None:
        scenario = self.world.scenario
        self._rules = Scheduler(
            job=self.world.job,
            num_workers=scenario.num_workers,
            num_servers=scenario.num_servers,
            now=self.clock.read(),
            heartbeat_s=HEARTBEAT_S,
            dead_after_s=DEAD_AFTER_S,
            start_timeout_s=START_TIMEOUT_S,
            replicas=scenario.replicas,
            elastic=scenario.elastic,
            shards_per_server=scenario.shards_per_server,
        )
        self.address = SCHEDULER_ADDRESS
        self.world.network.listeners[self.address] = self

    @property
    def job_state(self) -> str:
        return self._rules.state

    @property
    def job_reason(self) -> str:
        return self._rules.reason

    def handle(self, source: bytes, message: Message) -> None:
        self._send(self._rules.step(source, message, self.clock.read()))

    def refuse(self, source: bytes, error: BadMessage) -> None:
        self._send([(source, Error(error.seq, "protocol", str(error)))])

    def tick(self) -> None:
        self._send(self._rules.tick(self.clock.read()))
        if self._rules.ended is not None:
            self.end(self._rules.ended.code, self._rules.ended.reason)

    def _send(self, out: list[tuple[bytes, Message]]) -> None:
        if not self.is_mute:
            for destination, message in out:
                self.world.network.send_back(destination, message)


class ServerProcess(Process):
    """A server: its socket, and its way to the scheduler."""

    role = "server"

    def start(self) -> None:
        world = self.world
        self.address = f"tcp://{self.name.replace(' ', '-')}.{self.incarnation}:1"
        world.network.listeners[self.address] = self
        self._rules = Server(
            world.job,
            incarnation=self.incarnation,
            token=self.token,
            heartbeat_s=HEARTBEAT_S,
            dead_after_s=DEAD_AFTER_S,
            snapshot_every=world.scenario.snapshot_every,
            logs=world.logs is not None,
        )
        self.logs: Writer | None = None
        self.unlogged: list[Changes | Taken] = []  # to be written into them
        self._membership = Membership(
            job=world.job,
            role="server",
            rank=self.rank,
            incarnation=self.incarnation,
            token=self.token,
            address=self.address,
            scheduler=SCHEDULER_ADDRESS,
            connect_timeout_s=_CONNECT_TIMEOUT_S,
            start_timeout_s=START_TIMEOUT_S,
            heartbeat_s=HEARTBEAT_S,
            dead_after_s=DEAD_AFTER_S,
            scheduler_away_s=SCHEDULER_AWAY_S,
        )
        self._dealer = world.network.connect(self, SCHEDULER, SCHEDULER_ADDRESS)
        self._links: dict[bytes, Dealer] = {}  # to the servers that keep our copies
        self._tell(self._membership.join(self.clock.read()))

    @property
    def is_stray(self) -> bool:
        """It came to a job that had no place for it: so it is told, and ends."""
        is_extra = self.rank >= self.world.scenario.num_servers or self.incarnation > 0
        return is_extra and self.state == "ended" and self._rules.view is None

    def held_values(self) -> Iterator[tuple[tuple[int, int], NDArray[Any], int, bool]]:
        """(place, value, clock, whether it is a copy) of every slice that is here."""
        # a silent one may have been handed over since
        shards = [(one.shard, False) for one in self._rules.primaries.values() if not one.is_silent]
        shards += [(one.shard, True) for one in self._rules.backups.values()]
        for shard, is_copy in shards:
            for place, piece in shard.slices.items():
                if isinstance(piece, TablePart):
                    rows = split(np.arange(piece.key.shape[0]), piece.num_parts)[piece.part]
                    yield place, piece.table.read(rows).reshape(-1), piece.clock, is_copy
                else:
                    yield place, piece.value, piece.clock, is_copy

    def handle(self, source: bytes, message: Message) -> None:
        now = self.clock.read()
        if source == SCHEDULER:
            self._tell(self._membership.step(message, now))
            if not isinstance(message, View):
                return
        out = self._rules.step(source, message, now)
        if source == SCHEDULER:
            self._connect()
        self._send(out)

    def refuse(self, source: bytes, error: BadMessage) -> None:
        if source != SCHEDULER and source not in self._links:
            self._send([(source, Error(error.seq, "protocol", str(error)))])

    def tick(self) -> None:
        server, membership = self._rules, self._membership
        now = self.clock.read()
        self._send(server.tick(now))
        if self.world.disk is not None and server.view is not None:
            for taken in server.taken():
                if self.world.logs is not None:
                    self.world.logs.write(self, taken)
                else:
                    self.world.disk.write(taken, len(placements(server.view)))
        if server.fenced:
            membership.end(server.fenced)
        self._tell(membership.tick(now, server.step_clock, server.nbytes, server.num_keys))
        if membership.ended is not None:
            self.end(membership.ended.code, membership.ended.reason)

    def logged(self, seq: int, marked: list[Taken]) -> None:
        """What was sent up to this number is on the disk, and the marks of these snapshots."""
        self._send(self._rules.step(LOG, Done(seq, ACK_ON_DISK), self.clock.read()))
        if self.world.disk is not None and self._rules.view is not None:
            for taken in marked:
                self.world.disk.write(taken, len(placements(self._rules.view)))

    def give_up(self, reason: str) -> None:
        """End the job, since there is no going on."""
        self._tell(self._membership.stop(reason, self.clock.read(), self._rules.step_clock))
        self.end(1, reason)

    def _connect(self) -> None:
        """Be connected to the servers that keep our copies, and to no others."""
        links, network = self._rules.links, self.world.network
        for destination in [one for one in self._links if one not in links]:
            self._links.pop(destination).close(gracefully=False)
        for destination, member in links.items():
            if destination not in self._links:
                self._links[destination] = network.connect(self, destination, member.address)

    def _send(self, out: list[tuple[bytes, Message]]) -> None:
        if self.is_mute:
            return
        for destination, message in out:
            if destination == SCHEDULER:
                self._tell([message])
            elif destination == LOG:
                assert self.world.logs is not None, message
                assert isinstance(message, Changes), message
                self.world.logs.write(self, message)
            elif (link := self._links.get(destination)) is not None:
                link.send(self.world.network.pack(message))
            else:
                self.world.network.send_back(destination, message)

    def _tell(self, messages: list[Message]) -> None:
        if not self.is_mute:
            for message in messages:
                self._dealer.send(self.world.network.pack(message))


class WorkerProcess(Process):
    """A worker: the client's rules, its sockets, and the script that trains."""

    role = "worker"

    def __init__(self, world: World, name: str, rank: int, incarnation: int = 0, column: int = 0) -> None:
        super().__init__(world, name, rank, incarnation)
        self.column = column  # whose pushes are its own
        self.num_steps = 0  # that its script has done

    def start(self) -> None:
        scenario = self.world.scenario
        settings = Settings(
            role="worker",
            root_uri="scheduler",
            root_port=1,
            num_workers=scenario.num_workers,
            num_servers=scenario.num_servers,
            job=self.world.job,
            wanted_rank=self.rank,
            incarnation=self.incarnation,
            heartbeat_s=HEARTBEAT_S,
            dead_after_s=DEAD_AFTER_S,
            connect_timeout_s=_CONNECT_TIMEOUT_S,
            start_timeout_s=START_TIMEOUT_S,
            request_timeout_s=REQUEST_TIMEOUT_S,
            scheduler_away_s=SCHEDULER_AWAY_S,
            slice_nbytes=scenario.slice_nbytes,
            ack="on-disk" if scenario.logs else "",
        )
        self.client = rules.Client(settings, self.token)
        self._dealers: dict[int, Dealer] = {}
        self._heap: list[tuple[int, int, rules.Send]] = []
        self._order = itertools.count()
        self.script = program.Script(self, scenario)
        self.script.start()
        self._flush()

    def handle(self, source: int, message: Message) -> None:
        self.client.receive(source, message, self.clock.read())
        self.go_on()

    def refuse(self, source: int, error: BadMessage) -> None:
        self.client.bad_message(source, error, error.seq)
        self.go_on()

    def reconnected(self, peer: Hashable) -> None:
        assert isinstance(peer, int), peer
        self.client.reconnected(peer, self.clock.read())
        self.go_on()

    def tick(self) -> None:
        self.client.tick(self.clock.read())
        self.go_on()

    def go_on(self) -> None:
        """Do what the client says, and let the script see what has come."""
        self._flush()
        self.script.go_on()

    def submit(self, requests: list[rules.Request]) -> None:
        """Hand requests to the client, as the script's thread does."""
        now = self.clock.read()
        for request in requests:
            self.client.submit(request, now)
        self._flush()

    def leave(self, call: rules.Call) -> None:
        self.client.leave(call, self.clock.read())
        self._flush()

    def fail(self, error: Exception) -> None:
        """The script has ended with an error."""
        self.client.abort(f"{type(error).__name__}: {error}")
        self._flush()
        self.end(1, f"{type(error).__name__}: {error}")

    def _flush(self) -> None:
        outbox, heap, network = self.client.outbox, self._heap, self.world.network
        while outbox:
            action = outbox.popleft()
            if isinstance(action, rules.Connect):
                if (old := self._dealers.pop(action.peer, None)) is not None:
                    old.close(gracefully=False)
                heap[:] = [entry for entry in heap if entry[2].peer != action.peer]
                heapq.heapify(heap)
                self._dealers[action.peer] = network.connect(self, action.peer, action.address)
            else:
                heapq.heappush(heap, (-action.priority, next(self._order), action))
        while heap:
            send = heapq.heappop(heap)[2]
            if send.request is not None and send.request.call.is_done:
                continue  # given up before it was sent
            if not self.is_mute:
                self._dealers[send.peer].send(network.pack(send.message))


class Launcher(Process):
    """Whoever started the processes, sees them die, and tells the scheduler."""

    role = "launcher"

    def __init__(self, world: World) -> None:
        super().__init__(world, "launcher", 0)
        self._seq = itertools.count(2)
        self.abort: Abort | None = None
        self._scale: Scale | None = None  # that is not answered yet

    def start(self) -> None:
        self._dealer = self.world.network.connect(self, "scheduler", SCHEDULER_ADDRESS)
        self._hello()

    def _hello(self) -> None:
        hello = Hello(next(self._seq), VERSION, self.world.job, "launcher", -1, 0, self.token, "")
        self._dealer.send(self.world.network.pack(hello))

    def handle(self, source: str, message: Message) -> None:
        if isinstance(message, Abort):
            self.abort = message
        elif isinstance(message, Done | Error) and self._scale is not None and message.seq == self._scale.seq:
            num, self._scale = self._scale.num_servers, None
            if isinstance(message, Done):
                self.world.add_servers(num)

    def scale(self, num_servers: int) -> None:
        """Have the job go on with so many servers; asked until somebody answers."""
        self._scale = Scale(next(self._seq), num_servers)
        self._ask()

    def _ask(self) -> None:
        if self._scale is not None and self.world.scheduler.job_state != "finished":
            self._dealer.send(self.world.network.pack(self._scale))
            self.world.events.after(2.0, self._ask)

    def reconnected(self, peer: Hashable) -> None:
        self._hello()

    def saw_death(self, process: Process, after_s: float) -> None:
        """Tell the scheduler, in a moment."""
        lost = Lost(next(self._seq), process.role, process.rank, "killed by signal 9")
        self.world.events.after(after_s, lambda: self._dealer.send(self.world.network.pack(lost)))

    def sees_end(self, process: Process) -> None:
        """A process has ended; by itself, so that it has said why."""

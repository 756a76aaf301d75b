"""A store that is a member of a job: it joins, asks and waits, keeps account of what is acknowledged, and leaves.

A push that fails in the background makes the store fail: its error is raised by the next call, and by every
later one, since the values are no longer what the script believes them to be.
"""

from __future__ import annotations

import atexit
import functools
import operator
import os
import secrets
import sys
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from psdist.errors import ClosedError, ConfigError, PSError, RequestTimeout
from psdist.kvstore.base import Key, KVStore
from psdist.settings import Settings
from psdist.wire import messages as m
from psdist.wire.spans import Spans

from .client import SCHEDULER, Call, Client, Reply, Request
from .io import IO
from .plan import KeyInfo, Layout, begin_together
from .shm import Sharing

__all__ = ["BACKSTOP_S", "ROUNDS_AHEAD", "MemberStore", "Wait", "keys_text"]

ROUNDS_AHEAD = 4  # of a key, pushed and not acknowledged: bounds the pool, and stays within MAX_ROUNDS_AHEAD
BACKSTOP_S = 10.0  # beyond a deadline that the socket thread keeps: if it does not, this thread gives up
_SWITCH_S = 0.0005


class MemberStore(KVStore):
    """One worker's place in a job, with no values yet."""

    def __init__(self, kind: str, settings: Settings, staleness: int) -> None:
        super().__init__(kind)
        self._settings = settings
        self._staleness = staleness
        self._infos: dict[Key, KeyInfo] = {}  # of arrays, not tables
        self._sharing = Sharing(settings.shm_nbytes)
        self._lock = threading.Lock()  # guards clocks: messages are queued in their order
        self._acks = threading.Condition()  # guards `acknowledged`, `_in_flight`, `_unacked_nbytes`, `_error`
        self._in_flight = 0  # calls in the background, pushes above all, without acknowledgement
        self._unacked_nbytes = 0  # of gradients, before compression
        self._error: PSError | None = None  # of something in the background
        self._barriers = 0
        self._begins: dict[int, int] = {}  # by key number: the clock at which this worker, a late one, begins
        self._is_closed = False
        self._pid = os.getpid()
        # half a millisecond, so that a loop of small operators does not starve the socket thread of the GIL
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_S))
        self._client = Client(settings, secrets.randbits(62))
        self._io = IO(self._client, settings, self._sharing)
        self._io.start()
        try:
            self._join()
        except BaseException as e:
            self._abort(e)
            self._io.close(linger_s=0.5)
            raise
        atexit.register(self._at_exit)

    def _join(self) -> None:
        uri, port = self._settings.root_uri, self._settings.root_port
        address = f"tcp://[{uri}]:{port}" if ":" in uri else f"tcp://{uri}:{port}"
        limit_s = self._settings.connect_timeout_s + self._settings.start_timeout_s
        wait = Wait()
        # ten times, since the scheduler's own setting counts, and the client knows when to stop
        call = Call(1, 10 * limit_s, wait.wake)
        self._io.do(lambda now: self._client.start(address, call, now))
        wait.until(call)
        view = self._client.view
        assert view is not None
        if self._settings.ack == "replicated" and not view.replicas:
            raise ConfigError(
                "PSDIST_ACK=replicated, but this job keeps no copies: start it by `psdist run --replicas 1`"
            )
        if self._client.is_late or self._settings.restore:
            self._catch_up()

    def _catch_up(self) -> None:
        """The job was running when this worker came: learn how far it is, and say where this worker begins."""
        clocks: dict[int, int] = {}

        def take(_: int, reply: Reply) -> None:
            assert isinstance(reply, m.Clocks), reply
            for number, clock in zip(reply.keys, reply.clocks, strict=True):
                clocks[number] = max(clock, clocks.get(number, 0))

        next_seq = self._client.next_seq
        shards = range(self._client.num_shards)
        about = "where the job is"
        self._ask_all([(shard, m.Join(next_seq())) for shard in shards], what=lambda: about, deliver=take)
        if self._client.is_late:
            clocks = begin_together(clocks, ROUNDS_AHEAD + max(self._staleness, 0))
        numbers, begins = list(clocks), list(clocks.values())
        self._ask_all([(shard, m.Begin(next_seq(), numbers, begins)) for shard in shards], what=lambda: about)
        self._begins = clocks
        self._client.step = max(begins, default=0)
        view = self._client.view
        assert view is not None
        self._barriers = int(view.meetings.get("", 0) or 0)

    @property
    def begins_at(self) -> int:
        """The round with which this worker begins: 0, or where the job was when it came."""
        return max(self._begins.values(), default=0)

    @property
    def rank(self) -> int:
        return self._client.rank

    @property
    def num_workers(self) -> int:
        assert self._client.view is not None
        return self._client.view.num_workers

    def placement(self) -> dict[int, tuple[int, int]]:
        view = self._client.view
        assert view is not None
        homes = [place.primary for place in m.placements(view)]
        shares = {member.rank: (0, 0) for member in view.members if member.role == "server"}
        for info in self._infos.values():
            for part in info.slices:
                values, nbytes = shares.get(homes[part.server], (0, 0))
                shares[homes[part.server]] = values + part.length, nbytes + part.length * info.dtype.itemsize
        return shares

    @property
    def share(self) -> tuple[int, int]:
        """(num_parts, part_index) for the iterators of psdist.io: which share of the data is this worker's, among
        those who are here now. It changes when workers come, finish or die."""
        view = self._client.view
        assert view is not None
        ranks = sorted(member.rank for member in view.members if member.role == "worker")
        return max(1, len(ranks)), ranks.index(self.rank) if self.rank in ranks else 0

    def applied_portions(self) -> Spans:
        about = "which portions of the data are applied"
        found: list[Spans] = []

        def take(_: int, reply: Reply) -> None:
            assert isinstance(reply, m.Portions), reply
            if reply.is_any:
                found.append(Spans(reply.bounds))

        self._drain()
        self._ask_all(
            [(shard, m.GetPortions(self._client.next_seq())) for shard in range(self._client.num_shards)],
            what=lambda: about,
            deliver=take,
        )
        return functools.reduce(operator.and_, found) if found else Spans()

    # --- acknowledgements -------------------------------------------------------------------------

    def _wait_for_room(self, layout: Layout) -> None:
        """Until no key has too many rounds on their way, nor all of them too many bytes. One round of each key may
        always go: workers push in different orders, and would wait for each other."""
        ahead = ROUNDS_AHEAD + max(self._staleness, 0)
        window = self._settings.window_nbytes

        def has_room() -> bool:
            rounds = layout.num_open
            return not rounds or (rounds < ahead and self._unacked_nbytes < window)

        if has_room():
            return
        limit_s = self._settings.request_timeout_s + BACKSTOP_S
        self._io.wake()
        with self._acks:
            if not self._acks.wait_for(lambda: self._error is not None or has_room(), limit_s):
                raise RequestTimeout(
                    f"push {keys_text(layout.keys)}: {ahead} rounds, or {window} bytes (PSDIST_WINDOW_BYTES), are not "
                    f"acknowledged after {limit_s:g} s"
                )
        self._check()

    def _acknowledged(self, layout: Layout | None, error: PSError | None, nbytes: int = 0) -> None:
        with self._acks:
            self._in_flight -= 1
            self._unacked_nbytes -= nbytes
            if error is not None:
                self._error = self._error or error
            elif layout is not None:
                layout.acknowledge()
            self._acks.notify_all()

    def _check(self) -> None:
        if self._is_closed:
            raise ClosedError("this store is closed")
        if self._error is not None:
            raise _again(self._error)

    def _drain(self) -> None:
        """Wait until what was pushed is applied. Raises the error of a push."""
        limit_s = self._settings.request_timeout_s + BACKSTOP_S
        self._io.wake()
        with self._acks:
            self._acks.wait_for(lambda: self._error is not None or not self._in_flight, limit_s)
        self._check()

    # --- together ---------------------------------------------------------------------------------

    def barrier(self) -> None:
        """Return when every worker has come here as often as this one."""
        self._check()
        with self._lock:
            message = m.Barrier(self._client.next_seq(), "", self._barriers)
            self._barriers += 1
        self._ask_all(
            [(SCHEDULER, message)], what=lambda: f"number {message.clock}, to which every worker must come"
        )

    def close(self) -> None:
        """Wait until what was pushed is applied, say goodbye, and end the thread. May be called twice."""
        self._close(None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(error)

    def _close(self, error: BaseException | None) -> None:
        if self._is_closed:
            return
        atexit.unregister(self._at_exit)
        settings = self._settings
        linger_s = 0.0 if self._client.failure is not None else min(1.0, settings.close_timeout_s)
        try:
            if error is not None and not isinstance(error, SystemExit):
                self._abort(error)
                return
            self._drain()
            wait = Wait()
            call = Call(1, settings.close_timeout_s, wait.wake)
            self._io.do(lambda now: self._client.leave(call, now))
            wait.until(call)
        except PSError as e:
            self._abort(e)
            raise
        finally:
            self._is_closed = True
            self._io.close(linger_s=linger_s)

    def _abort(self, error: BaseException) -> None:
        """Tell the others that this worker has failed, unless they know it or failed first."""
        reason = f"{type(error).__name__}: {error}"
        self._io.do(lambda now: self._client.abort(reason))

    def _at_exit(self) -> None:
        """The script has ended without close(); how, decides what the others hear."""
        if os.getpid() != self._pid:
            return  # a forked child
        error = None if hasattr(sys, "ps1") else getattr(sys, "last_value", None)
        try:
            self._close(error)
        except PSError as e:
            sys.stderr.write(f"psdist: worker {self.rank} could not leave: {type(e).__name__}: {e}\n")

    # --- asking -----------------------------------------------------------------------------------

    def _submit(self, requests: list[Request]) -> None:
        """Have the socket thread send these."""
        self._io.do(self._sending(requests))

    def _begin(self, requests: list[Request]) -> bool:
        """Send these; True: by this thread, which must go on by `_wait` or `IO.send`."""
        return self._io.begin(self._sending(requests))

    def _sending(self, requests: list[Request]) -> Callable[[float], None]:
        submit = self._client.submit

        def work(now: float) -> None:
            for request in requests:
                submit(request, now)

        return work

    def _wait(self, call: Call, wait: Wait, has_turn: bool) -> None:
        """Return when the call is done. Raises its error."""
        if has_turn:
            self._io.wait(call)
        wait.until(call)

    def _ask_all(
        self,
        messages: Sequence[tuple[int, Any]],
        *,
        what: Callable[[], str],
        deliver: Callable[[int, Reply], None] | None = None,
        priority: int = 0,
    ) -> None:
        """Send messages to peers and wait for all replies; the i-th goes to `deliver(i, reply)`."""
        self._check()
        if not messages:
            return
        wait = Wait()
        call = Call(len(messages), self._settings.request_timeout_s, wait.wake)

        def taker(i: int) -> Callable[[Reply], None] | None:
            return (lambda reply: deliver(i, reply)) if deliver is not None else None

        requests = [
            Request(peer, message, call, priority, what, taker(i))
            for i, (peer, message) in enumerate(messages)
        ]
        self._wait(call, wait, self._begin(requests))

    def _ask_servers(self, message: Callable[[], Any], what: str) -> None:
        servers = range(self._client.num_shards)
        self._ask_all([(server, message()) for server in servers], what=lambda: what)


class Wait:
    """One thread's wait for one call."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()  # held until the call is done
        self._lock.acquire()

    def wake(self, call: Call) -> None:
        self._lock.release()

    def until(self, call: Call) -> None:
        """Return when the call is done. Raises its error."""
        limit_s = call.timeout_s + BACKSTOP_S
        if not self._lock.acquire(timeout=limit_s):
            raise RequestTimeout(
                f"the socket thread did not answer within {limit_s:g} s; is this process starved of time?"
            )
        if call.error is not None:
            raise _again(call.error)


def _again(error: PSError) -> PSError:
    """The same error, to be raised in one more place: a traceback belongs to one raise."""
    copy = type(error)(*error.args)
    copy.__cause__ = error.__cause__
    return copy


def keys_text(keys: Sequence[Key]) -> str:
    return f"{keys[0]!r}" + (f" and {len(keys) - 1} more" if len(keys) > 1 else "")

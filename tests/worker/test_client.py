"""A worker's rules, told as stories: what happens goes in, what to send comes out; even time is not real."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from psdist_worker.client import SCHEDULER, Call, Client, Connect, Request, Send

from psdist import errors
from psdist.settings import Settings
from psdist.wire import messages as m

_SCHEDULER_AT = "tcp://127.0.0.1:9091"


class World:
    """One client and everybody around it."""

    def __init__(self, **settings: Any) -> None:
        self.now = 100.0
        self.client = Client(Settings(**({"job": "j"} | settings)), token=7)
        self.calls: list[Call] = []

    def sent(self) -> list[tuple[int, m.Message]]:
        """(peer, message) put out since the last look."""
        out = []
        while self.client.outbox:
            action = self.client.outbox.popleft()
            if isinstance(action, Send):
                out.append((action.peer, action.message))
        return out

    def connected(self) -> list[Connect]:
        return [a for a in self.client.outbox if isinstance(a, Connect)]

    def call(self, num: int = 1, timeout_s: float = 10.0) -> Call:
        return Call(num, timeout_s, self.calls.append)

    def start(self) -> Call:
        join = self.call()
        self.client.start(_SCHEDULER_AT, join, self.now)
        return join

    def hear(self, peer: int, message: m.Message) -> None:
        self.client.receive(peer, message, self.now)

    def pass_time(self, seconds: float, *, alive: bool = True) -> None:
        """Tick every quarter of a second, with the scheduler showing signs of life or not."""
        until = self.now + seconds
        while self.now < until:
            self.now += 0.25
            if alive and self.client.view is not None:
                self.hear(SCHEDULER, m.Alive("scheduler", -1, 1, 0, 0, 0))
            self.client.tick(self.now)

    def join(self, num_servers: int = 1) -> None:
        call = self.start()
        ((_, hello),) = self.sent()
        assert isinstance(hello, m.Hello)
        self.hear(SCHEDULER, m.Welcome(hello.seq, -1, 1.0, 8.0, 60.0))
        self.hear(SCHEDULER, view(num_servers))
        for peer, message in self.sent():
            assert isinstance(message, m.Hello)
            self.hear(peer, m.Welcome(message.seq, peer, 1.0, 8.0, 0.0))
        assert call.is_done
        assert call.error is None
        self.calls.clear()

    def ask(self, peer: int, make: Callable[[int], Any], call: Call | None = None, **options: Any) -> Request:
        request = Request(peer, make(self.client.next_seq()), call or self.call(), **options)
        self.client.submit(request, self.now)
        return request


def view(num_servers: int = 1, epoch: int = 1) -> m.View:
    servers = tuple(m.Member("server", i, 0, i, f"tcp://127.0.0.1:{9100 + i}") for i in range(num_servers))
    workers = (m.Member("worker", 0, 0, 7, ""), m.Member("worker", 1, 0, 8, ""))
    return m.View(epoch, 0, 1, 2, num_servers, servers + workers)


def pull(seq: int) -> m.Pull:
    return m.Pull(seq, [5], [0], [3])


def push(seq: int) -> m.Push:
    return m.Push(seq, 1, m.ACK_APPLIED, [5], [0], [2], [], [np.ones(2, np.float32)])


def values(request: Request, value: float = 1.0) -> m.Values:
    return m.Values(request.message.seq, [3], [np.full(2, value, np.float32)])


# --- joining --------------------------------------------------------------------------------------


def test_a_worker_greets_the_scheduler_then_each_server_and_has_joined_when_all_have_welcomed_it() -> None:
    world = World(wanted_rank=1, incarnation=2)
    join = world.start()
    assert world.connected() == [Connect(SCHEDULER, _SCHEDULER_AT)]
    ((peer, hello),) = world.sent()
    assert (peer, hello) == (SCHEDULER, m.Hello(1, m.VERSION, "j", "worker", 1, 2, 7, ""))
    world.hear(SCHEDULER, m.Welcome(1, -1, 1.0, 8.0, 60.0))
    assert not world.sent()
    world.hear(SCHEDULER, view(num_servers=2))
    assert [c.peer for c in world.connected()] == [0, 1]
    hellos = world.sent()
    assert [peer for peer, _ in hellos] == [0, 1]
    for peer, message in hellos:
        assert not join.is_done
        world.hear(peer, m.Welcome(message.seq, peer, 1.0, 8.0, 0.0))  # type: ignore[union-attr]
    assert join.is_done
    assert join.error is None
    assert world.client.rank == 1


def test_a_missing_scheduler_is_an_error_that_says_where_it_was_looked_for() -> None:
    world = World(connect_timeout_s=8.0)
    join = world.start()
    world.pass_time(7.5)
    assert not join.is_done
    world.pass_time(0.75)
    assert isinstance(join.error, errors.RequestTimeout)
    assert str(join.error) == (
        "no scheduler answered at tcp://127.0.0.1:9091 within 8 s: is it running, and are DMLC_PS_ROOT_URI "
        "and DMLC_PS_ROOT_PORT its address? PSDIST_CONNECT_TIMEOUT is how long to try"
    )


def test_a_scheduler_that_is_started_again_while_a_worker_joins_has_its_time_to_say_who_is_missing() -> None:
    world = World()
    join = world.start()
    world.hear(SCHEDULER, m.Welcome(1, -1, 1.0, 8.0, 10.0))
    world.hear(SCHEDULER, view())  # whose server says nothing: 18 s are left
    world.pass_time(15.0)
    world.sent()
    world.client.reconnected(SCHEDULER, world.now)
    hello = next(message for _, message in world.sent() if isinstance(message, m.Hello))
    world.hear(SCHEDULER, m.Welcome(hello.seq, -1, 1.0, 8.0, 10.0))
    world.pass_time(17.5)
    assert not join.is_done
    world.pass_time(1.0)
    assert "no word from server 0" in str(join.error)


def test_a_scheduler_that_does_not_let_us_in_is_a_matter_of_keys() -> None:
    world = World(connect_timeout_s=2.0)
    join = world.start()
    world.client.turned_away(SCHEDULER)
    world.pass_time(2.0)
    assert str(join.error) == (
        "the scheduler (tcp://127.0.0.1:9091) did not let this worker in: PSDIST_KEY_FILE must name the job's "
        "keys on both sides, or on neither"
    )


def test_a_refusal_to_join_is_raised_with_the_schedulers_words() -> None:
    world = World()
    join = world.start()
    world.hear(SCHEDULER, m.Error(1, "refused", "worker 1 has joined already"))
    assert isinstance(join.error, errors.RemoteError)
    assert str(join.error) == (
        "the scheduler (tcp://127.0.0.1:9091) refused this worker: worker 1 has joined already"
    )


def test_a_server_that_does_not_answer_is_named() -> None:
    world = World()
    join = world.start()
    world.hear(SCHEDULER, m.Welcome(1, -1, 1.0, 8.0, 2.0))
    world.hear(SCHEDULER, view())
    world.pass_time(11.0)
    assert isinstance(join.error, errors.RequestTimeout)
    assert str(join.error) == "could not join: no word from server 0 (tcp://127.0.0.1:9100)"


# --- requests -------------------------------------------------------------------------------------


def test_a_call_is_done_when_all_its_requests_are_whatever_the_order_of_replies() -> None:
    world = World()
    world.join(num_servers=2)
    call, taken = world.call(2), []
    first = world.ask(0, pull, call, deliver=taken.append)
    second = world.ask(1, pull, call, deliver=taken.append)
    assert world.sent() == [(0, first.message), (1, second.message)]
    world.hear(1, values(second))
    assert not call.is_done
    world.hear(0, values(first))
    assert call.is_done
    assert [v.seq for v in taken] == [second.message.seq, first.message.seq]


def test_a_reply_that_comes_twice_counts_once() -> None:
    world = World()
    world.join(num_servers=2)
    call, taken = world.call(2), []
    first = world.ask(0, pull, call, deliver=taken.append)
    world.ask(1, pull, call, deliver=taken.append)
    world.hear(0, values(first))
    world.hear(0, values(first))
    assert not call.is_done
    assert len(taken) == 1


def test_after_a_reconnect_the_worker_greets_and_then_sends_again_what_is_pending_there() -> None:
    world = World()
    world.join(num_servers=2)
    lost = world.ask(0, push)
    answered = world.ask(0, push)
    elsewhere = world.ask(1, push)
    world.sent()
    world.hear(0, m.Done(answered.message.seq, 1))
    world.client.reconnected(0, world.now)
    ((peer, hello),) = world.sent()
    assert peer == 0
    assert isinstance(hello, m.Hello)
    assert (hello.rank, hello.token) == (1, 7)
    late = world.ask(0, pull)
    assert not world.sent()  # not before the server knows us again
    world.hear(0, m.Welcome(hello.seq, 0, 1.0, 8.0, 0.0))
    assert world.sent() == [(0, lost.message), (0, late.message)]
    assert not elsewhere.call.is_done


def test_not_admitted_is_answered_by_one_hello_and_the_request_is_sent_again() -> None:
    world = World()
    world.join()
    requests = [world.ask(0, push) for _ in range(3)]
    world.sent()
    for request in requests:
        world.hear(0, m.Error(request.message.seq, "not-admitted", "say Hello first"))
    ((_, hello),) = world.sent()
    assert isinstance(hello, m.Hello)
    world.hear(0, m.Welcome(hello.seq, 0, 1.0, 8.0, 0.0))
    assert [message for _, message in world.sent()] == [r.message for r in requests]


def test_a_refused_push_fails_its_call_and_those_who_wait_for_its_round() -> None:
    world = World()
    world.join()
    pushed, reader = world.ask(0, push), world.ask(0, pull)
    other = world.ask(0, lambda seq: m.Pull(seq, [6], [0], [3]))
    world.hear(0, m.Error(pushed.message.seq, "stale-round", "round 2 of 'w' closed; now 4"))
    assert isinstance(pushed.call.error, errors.StaleRound)
    assert isinstance(reader.call.error, errors.StaleRound)
    assert not other.call.is_done


@pytest.mark.parametrize(
    ("code", "cls"),
    [
        ("unknown-key", errors.UnknownKey),
        ("bad-value", errors.BadValue),
        ("unsupported", errors.RemoteError),
    ],
)
def test_a_servers_refusal_is_the_exception_that_its_code_stands_for(
    code: m.ErrorCode, cls: type[errors.PSError]
) -> None:
    world = World()
    world.join()
    request = world.ask(0, pull)
    world.hear(0, m.Error(request.message.seq, code, "the words of the server"))
    assert type(request.call.error) is cls
    assert str(request.call.error) == "the words of the server"
    again = world.ask(0, pull)
    world.hear(0, values(again))
    assert again.call.error is None  # the store goes on


# --- time -----------------------------------------------------------------------------------------


def test_a_request_past_its_deadline_names_whom_it_waited_for_what_and_who_is_behind() -> None:
    world = World()
    world.join()
    request = world.ask(0, pull, world.call(timeout_s=10.0), what=lambda: "'w' at clock 3")
    world.client.step = 3
    world.pass_time(10.0)
    (status,) = [message for _, message in world.sent() if isinstance(message, m.Status)]
    assert not request.call.is_done
    members = (
        m.MemberStatus("worker", 0, 0, "", "alive", 2, 0.5, 0, 1),
        m.MemberStatus("worker", 1, 0, "", "alive", 3, 0.1, 0, 1),
    )
    world.hear(SCHEDULER, m.StatusReport(status.seq, "j", "running", "", 1, 20.0, 2, 1, members))
    assert isinstance(request.call.error, errors.RequestTimeout)
    assert str(request.call.error) == (
        "no reply to Pull of 'w' at clock 3 from server 0 (tcp://127.0.0.1:9100) after 10 s: worker 0 is at "
        "step 2, this worker at 3; PSDIST_REQUEST_TIMEOUT is how long to wait"
    )


def test_a_request_past_its_deadline_fails_even_when_the_scheduler_says_nothing() -> None:
    world = World()
    world.join()
    request = world.ask(0, pull, world.call(timeout_s=10.0))
    world.pass_time(11.5)
    assert isinstance(request.call.error, errors.RequestTimeout)


def test_a_reply_after_the_deadline_touches_nothing() -> None:
    world = World()
    world.join()
    taken: list[Any] = []
    request = world.ask(0, pull, world.call(timeout_s=1.0), deliver=taken.append)
    world.pass_time(3.0)
    world.hear(0, values(request))
    assert taken == []


def test_a_worker_shows_signs_of_life_while_it_waits_and_while_it_does_not() -> None:
    world = World()
    world.join()
    world.client.step = 12
    world.pass_time(5.0)
    told = [message for peer, message in world.sent() if peer == SCHEDULER]
    assert 5 <= len(told) <= 6
    assert all(isinstance(t, m.Alive) and (t.role, t.rank, t.step) == ("worker", 1, 12) for t in told)


def test_a_scheduler_that_falls_silent_fails_what_is_pending_and_what_comes_after() -> None:
    world = World(scheduler_away_s=8)
    world.join()
    request = world.ask(0, pull, world.call(timeout_s=60.0))
    world.pass_time(7.5, alive=False)
    assert not request.call.is_done
    world.pass_time(1.0, alive=False)
    assert isinstance(request.call.error, errors.PeerLost)
    assert str(request.call.error).startswith("the scheduler (tcp://127.0.0.1:9091) has been silent for 8.")
    assert world.ask(0, pull).call.error is request.call.error


def test_training_goes_on_without_the_scheduler_and_one_that_was_started_again_is_told_the_view() -> None:
    world = World()
    world.join()
    request = world.ask(0, pull, world.call(timeout_s=200.0))
    world.pass_time(50, alive=False)
    world.sent()
    assert world.client.failure is None
    world.client.reconnected(SCHEDULER, world.now)
    ((_, hello),) = world.sent()
    assert isinstance(hello, m.Hello)
    assert (hello.rank, hello.epoch) == (1, 1)
    world.hear(SCHEDULER, m.Welcome(hello.seq, -1, 1.0, 8.0, 60.0))
    assert world.sent() == [(SCHEDULER, view())]
    assert not request.call.is_done
    world.pass_time(61, alive=False)
    assert str(request.call.error).startswith("the scheduler (tcp://127.0.0.1:9091) has been silent for 60.")


def test_another_server_that_serves_a_shard_is_greeted_and_told_again_what_was_not_answered() -> None:
    world = World()
    world.join(2)
    first, other = world.ask(1, push), world.ask(0, pull)
    world.sent()
    servers = (m.Member("server", 0, 0, 0, "tcp://127.0.0.1:9100"),)
    workers = (m.Member("worker", 0, 0, 7, ""), m.Member("worker", 1, 0, 8, ""))
    places = (m.Placement(0, (), ()), m.Placement(0, (), ()))
    world.hear(SCHEDULER, m.View(2, 0, 1, 2, 2, servers + workers, 1, places))
    assert world.connected() == [Connect(1, "tcp://127.0.0.1:9100")]
    ((peer, hello),) = world.sent()
    assert isinstance(hello, m.Hello)
    assert (peer, hello.shard, hello.epoch) == (1, 1, 2)
    world.hear(1, m.Welcome(hello.seq, 1, 1.0, 8.0, 0.0))
    assert world.sent() == [(1, first.message)]
    assert not other.call.is_done


def test_pushes_that_do_not_wait_for_copies_make_a_servers_death_fatal() -> None:
    world = World(ack="applied")
    world.join(2)
    world.client.step = 3
    servers = (m.Member("server", 0, 0, 0, "tcp://127.0.0.1:9100"),)
    places = (m.Placement(0, (), ()), m.Placement(0, (), (), term=2, survived=2))
    world.hear(SCHEDULER, m.View(2, 0, 1, 2, 2, servers, 1, places))
    assert "PSDIST_ACK=applied does not wait for the copies" in str(world.client.failure)


def test_pushes_that_do_not_wait_for_copies_may_be_handed_over_to_another_server() -> None:
    world = World(ack="applied")
    world.join(2)
    world.client.step = 3
    request = world.ask(1, push)
    world.sent()
    servers = (m.Member("server", 0, 0, 0, "tcp://127.0.0.1:9100"),)
    places = (m.Placement(0, (), ()), m.Placement(0, (), (), term=2))
    world.hear(SCHEDULER, m.View(2, 0, 1, 2, 2, servers, 0, places))
    ((_, hello),) = world.sent()
    assert isinstance(hello, m.Hello)
    world.hear(1, m.Welcome(hello.seq, 0, 1.0, 8.0, 0.0))
    assert world.sent() == [(1, request.message)]


def test_a_server_that_serves_a_shard_again_is_greeted_again() -> None:
    world = World()
    world.join()
    again = m.Placement(0, (), (), term=3)
    world.hear(SCHEDULER, replace(view(), epoch=3, shards=(again,)))
    assert [connect.peer for connect in world.connected()] == [0]


def test_a_worker_that_was_taken_for_dead_is_told_so_and_fails() -> None:
    world = World()
    world.join()
    request = world.ask(0, pull)
    world.hear(SCHEDULER, m.Error(-1, "refused", "worker 1 was taken for dead (silent for 8.1 s)"))
    assert str(request.call.error) == "the scheduler said: worker 1 was taken for dead (silent for 8.1 s)"


def test_time_in_which_this_process_was_stopped_is_not_the_schedulers_silence() -> None:
    world = World()
    world.join()
    world.pass_time(1.0)
    world.now += 30.0  # SIGSTOP, SIGCONT
    world.client.tick(world.now)
    assert world.client.failure is None


def test_an_abort_fails_everything_with_the_first_cause() -> None:
    world = World()
    world.join()
    request = world.ask(0, pull)
    reason = "worker 0 died in step 41, 12.3 s after the start (silent for 8.1 s)"
    world.hear(SCHEDULER, m.Abort(reason, "worker", 0, 41, 12.3))
    assert isinstance(request.call.error, errors.PeerLost)
    assert str(request.call.error) == reason
    assert world.ask(0, pull).call.error is request.call.error


# --- leaving --------------------------------------------------------------------------------------


def test_a_worker_that_has_finished_leaves_and_can_ask_nothing_more() -> None:
    world = World()
    world.join()
    done = world.call()
    world.client.leave(done, world.now)
    ((peer, leave),) = world.sent()
    assert peer == SCHEDULER
    assert isinstance(leave, m.Leave)
    world.hear(SCHEDULER, m.Done(leave.seq, 0))
    assert done.is_done
    assert done.error is None
    assert isinstance(world.ask(0, pull).call.error, errors.ClosedError)


def test_a_worker_that_leaves_has_left_when_a_scheduler_that_was_started_since_does_not_know_it() -> None:
    world = World()
    world.join()
    done = world.call()
    world.client.leave(done, world.now)
    world.sent()
    world.hear(SCHEDULER, m.Error(-1, "not-admitted", "say Hello to the scheduler first"))
    ((_, hello),) = world.sent()
    assert isinstance(hello, m.Hello)
    world.hear(SCHEDULER, m.Error(hello.seq, "refused", "job 'j' has its 2 workers already"))
    assert done.is_done
    assert (done.error, world.client.failure) == (None, None)


@pytest.mark.parametrize("timeout_s", [5.0, 60.0], ids=["the call's deadline", "the scheduler's silence"])
def test_a_goodbye_that_nobody_answers_is_no_failure(timeout_s: float) -> None:
    world = World()
    world.join()
    done = world.call(timeout_s=timeout_s)
    world.client.leave(done, world.now)
    world.pass_time(10, alive=False)
    assert world.client.state == "left"
    assert world.calls == [done]
    assert done.error is None
    assert world.client.failure is None


def test_a_worker_that_fails_tells_the_scheduler_why() -> None:
    world = World()
    world.join()
    world.client.step = 4
    world.client.abort("ValueError: no such file")
    assert world.sent() == [(SCHEDULER, m.Abort("ValueError: no such file", "worker", 1, 4, -1.0))]


def test_bytes_that_are_no_message_fail_the_request_they_answer() -> None:
    world = World()
    world.join()
    request = world.ask(0, pull)
    world.client.bad_message(0, errors.ProtocolError("a header that is not msgpack"), request.message.seq)
    assert isinstance(request.call.error, errors.ProtocolError)
    assert str(request.call.error) == "server 0 (tcp://127.0.0.1:9100) sent a header that is not msgpack"


def test_a_scheduler_that_was_started_again_hears_which_barriers_this_worker_has_passed() -> None:
    world = World()
    world.join()
    for clock in range(2):
        world.ask(SCHEDULER, lambda seq, clock=clock: m.Barrier(seq, "epoch", clock))
        ((_, barrier),) = world.sent()
        assert isinstance(barrier, m.Barrier)
        world.hear(SCHEDULER, m.Done(barrier.seq, 0))
    world.client.reconnected(SCHEDULER, world.now)
    ((_, hello),) = world.sent()
    assert isinstance(hello, m.Hello)
    world.hear(SCHEDULER, m.Welcome(hello.seq, -1, 1.0, 8.0, 0.0))
    ((_, told),) = world.sent()
    assert isinstance(told, m.View)
    assert told.meetings == {"epoch": 2}

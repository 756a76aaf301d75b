"""The simulated world itself: a seed is a schedule, perfect days are perfect, and the network does as ZeroMQ does."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from psdist_launch.cli import main
from psdist_launch.torture.faults import Fault, Trigger
from psdist_launch.torture.oracle import expected_values
from psdist_launch.torture.processes import Process
from psdist_launch.torture.runner import play
from psdist_launch.torture.scenario import Scenario
from psdist_launch.torture.size import MODES, Size
from psdist_launch.torture.world import World

from psdist.wire.messages import Alive, Message

A_CRASH = Fault("crash", Trigger("Push", 3, "after"), "server 1", "", 0.0, True, False, False, 0)


def test_a_seed_is_one_schedule_in_every_process_and_whatever_hashes_are() -> None:
    script = (
        "from psdist_launch.torture.runner import play; from psdist_launch.torture.size import Size\n"
        "print([play(seed, Size()).trace for seed in range(12)])"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": hashes},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hashes in ("1", "2")
    ]
    assert told[0] == told[1] == f"{[play(seed, Size()).trace for seed in range(12)]}\n"


def test_different_seeds_are_different_schedules() -> None:
    assert len({play(seed, Size()).trace for seed in range(12)}) == 12


@pytest.mark.parametrize("mode", MODES)
def test_nothing_that_must_hold_is_violated(mode: str) -> None:
    for seed in range(40):
        outcome = play(seed, Size(mode=mode))
        assert outcome.violations == (), f"psdist torture --seed {seed} --mode {mode} --trace"


@pytest.mark.parametrize(("servers", "workers"), [(1, 1), (1, 2), (2, 8), (8, 2)])
def test_jobs_of_any_size_are_played(servers: int, workers: int) -> None:
    for seed in range(10):
        assert play(seed, Size(servers, workers)).violations == ()


def test_without_faults_every_job_finishes_at_once() -> None:
    for seed in range(20):
        world = World(Scenario.draw(seed, Size()).without_faults())
        outcome = world.run()
        assert (outcome.ending, outcome.violations) == ("finished", ())
        if world.scenario.num_portions:  # dealt anew when the first have finished, also those in hand
            assert outcome.num_steps >= world.scenario.num_portions
        else:
            assert outcome.num_steps == sum(world.scenario.num_steps)
        assert not outcome.faults


def test_a_synchronous_run_with_faults_ends_with_the_bits_of_the_run_without() -> None:
    compared = 0
    for seed in range(30):
        scenario = Scenario.draw(seed, Size(mode="sync"))
        if scenario.is_elastic:
            continue
        values = [_final_values(one) for one in (scenario, scenario.without_faults())]
        if values[0]:
            assert values[0] == values[1]
            compared += 1
    assert compared > 10


def _final_values(scenario: Scenario) -> dict[Any, bytes]:
    """By slice: what the primary holds in the end; nothing when the job did not finish or a server was blamed."""
    world = World(scenario)
    if world.run().ending != "finished" or any("server" in name for name in world.faults.blamed):
        return {}
    return {place: value.tobytes() for place, value, _, is_copy in world.held_values() if not is_copy}


def test_the_oracle_expects_what_the_rules_compute() -> None:
    scenario = Scenario.draw(3, Size(mode="sync")).without_faults()
    world = World(scenario)
    world.run()
    held = {place: value for place, value, _, is_copy in world.held_values() if not is_copy}
    for spec in scenario.keys:
        values = expected_values(scenario, spec)
        assert len(values) == max(scenario.num_steps) + 1
    assert held


def test_a_server_that_dies_without_a_copy_ends_the_job_and_everybody_names_it() -> None:
    scenario = replace(Scenario.draw(1, Size(mode="sync")), replicas=0, faults=(A_CRASH,))
    world = World(scenario)
    outcome = world.run()
    assert outcome.violations == ()
    assert "server 1 died" in outcome.ending
    assert all("server 1 died" in worker.reason for worker in world.workers)


def test_a_server_that_dies_with_a_copy_does_not() -> None:
    scenario = replace(Scenario.draw(1, Size(mode="sync")), replicas=1, faults=(A_CRASH,))
    world = World(scenario)
    outcome = world.run()
    assert (outcome.ending, outcome.violations) == ("finished", ())
    assert outcome.faults["crash"] == 1
    assert outcome.recoveries


# --- the network ----------------------------------------------------------------------------------


class Listener(Process):
    """Remembers what it hears."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name, 0)
        self.heard: list[tuple[Any, int]] = []
        self.reconnections = 0

    def handle(self, source: Any, message: Message) -> None:
        assert isinstance(message, Alive)
        self.heard.append((source, message.step))

    def reconnected(self, peer: Any) -> None:
        self.reconnections += 1


def quiet_world(seed: int = 0) -> World:
    """A world in which nothing has begun."""
    scenario = Scenario.draw(seed, Size()).without_faults()
    return World(replace(scenario, late=0.5, late_s=0.5, encodes=True))


def word(number: int) -> Message:
    return Alive("worker", 0, 0, number, 0, 0)


def pass_time(world: World) -> None:
    while world.events.now < 5.0 and world.events.step():
        pass


@pytest.mark.parametrize("seed", range(10))
def test_a_connection_keeps_the_order_and_a_reset_loses_what_lies_in_the_middle(seed: int) -> None:
    world = quiet_world(seed)
    server, client = Listener(world, "server"), Listener(world, "client")
    world.network.listeners["tcp://here"] = server
    dealer = world.network.connect(client, "peer", "tcp://here")
    for number in range(10):
        dealer.send(world.network.pack(word(number)))
    dealer.reset()
    dealer.send(world.network.pack(word(10)))
    pass_time(world)
    connections = sorted({source for source, _ in server.heard})  # routing ids count up
    *early, last = ([number for s, number in server.heard if s == source] for source in connections)
    assert all(numbers == list(range(len(numbers))) for numbers in early)  # the first few
    assert last == list(range(last[0], 11))  # what was not written yet, and what was sent later
    assert client.reconnections == 1


def test_a_partition_keeps_what_is_sent_and_its_end_delivers_it() -> None:
    world = quiet_world()
    server, client = Listener(world, "server"), Listener(world, "client")
    world.network.listeners["tcp://here"] = server
    dealer = world.network.connect(client, "peer", "tcp://here")
    world.network.cut([("client", "server")])
    dealer.send(world.network.pack(word(1)))
    world.events.after(2.0, lambda: world.network.heal([("client", "server")], reset=False))
    while world.events.now < 2.0 and world.events.step():
        assert server.heard == []
    pass_time(world)
    assert [number for _, number in server.heard] == [1]


def test_a_stalled_process_hears_everything_when_it_goes_on() -> None:
    world = quiet_world()
    server, client = Listener(world, "server"), Listener(world, "client")
    world.network.listeners["tcp://here"] = server
    dealer = world.network.connect(client, "peer", "tcp://here")
    server.stall(busy=False)
    for number in range(3):
        dealer.send(world.network.pack(word(number)))
    pass_time(world)
    assert server.heard == []
    server.wake()
    assert [number for _, number in server.heard] == [0, 1, 2]


# --- the command ----------------------------------------------------------------------------------


def test_the_command_plays_seeds_and_says_what_came_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["torture", "--seeds", "4", "--seed", "5", "-j", "1"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("seeds from 5 to 8\n")
    assert "4 schedules in" in told
    assert "violations: none" in told


def test_so_many_seeds_are_played_as_there_is_time_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["torture", "--seeds", "1000000", "--minutes", "0.005", "-j", "1"]) == 0
    told = capsys.readouterr().out
    assert "seeds from 0 to 999999\n" in told
    assert re.search(r"the time was over after [\d,]+ of 1,000,000 schedules\nviolations: none", told)


def test_one_seed_is_told_message_by_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["torture", "--seed", "7", "--trace"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("seed 7: ")
    assert "worker 0 -> scheduler  Hello(seq=1" in told
    assert f"trace {play(7, Size()).trace:08x}" in told


def test_a_violation_is_told_with_the_command_that_plays_it_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from psdist_server.rounds import Slice

    monkeypatch.setattr(Slice, "knows", lambda self, rank, clock: False)
    assert main(["torture", "--seeds", "30", "-j", "1", "--mode", "sync", "--workers", "2"]) == 1
    told = capsys.readouterr().out
    assert " --workers 2 --mode sync --trace" in told


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--servers", "9"], "--servers 9: wanted 1 to 8"),
        (["--jobs", "0"], "--jobs 0: wanted 1 or more"),
        (["--fresh", "--seed", "1"], "one or the other"),
        (["--minutes", "0"], "--minutes 0: wanted more than 0"),
    ],
)
def test_a_wrong_command_line_is_told_in_words(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["torture", *words]) == 2
    assert complaint in capsys.readouterr().err


def test_a_newcomer_and_the_others_do_not_wait_for_each_other_where_keys_stand_rounds_apart() -> None:
    """Fused calls for each key in an elastic job: begun where each key stood, this schedule came to its deadline."""
    assert play(1353, Size()).violations == ()

"""`psdist bench`: what is told of the rounds, and where a round's time goes."""

import json
from argparse import Namespace
from pathlib import Path

import pytest
from psdist_launch.bench import command
from psdist_launch.bench.profile import PHASES, phases_of, read_stamps, share_out
from psdist_launch.cli import main

from psdist.errors import ConfigError


def test_each_instant_belongs_to_the_first_phase_that_goes_on_then():
    spans = [(0.0, 10.0, "queue"), (1.0, 6.0, "wire"), (2.0, 3.0, "reduce"), (5.0, 12.0, "wait")]
    shares = share_out(0.0, 10.0, spans)
    assert shares == dict.fromkeys(PHASES, 0.0) | {"queue": 1.0, "wire": 4.0, "reduce": 1.0, "wait": 4.0}


def test_phases_add_up_to_the_round_whatever_overlaps():
    spans = [(float(i), i + 2.5, PHASES[i % 6]) for i in range(-3, 40)]
    assert sum(share_out(0.25, 30.75, [(0.0, 31.0, "queue"), *spans]).values()) == pytest.approx(30.5)


# One round of worker 0, from second 10 to 30: two messages are made, and worker 1's push is what the server waits for.
WORKER = [
    [11.0, "do", "NoneType", -1, "", -1],
    [12.0, "make", "PushPull", 7, "", -1],
    [13.0, "sent", "PushPull", 7, "", -1],
    [26.0, "came", "NoneType", -1, "", -1],
    [27.0, "receive", "Values", 7, "", -1],
    [28.0, "handled", "Values", 7, "", -1],
]
SERVER = [
    [1.0, "receive", "Hello", 1, "aa", 0],
    [1.1, "receive", "Hello", 1, "bb", 1],
    [15.0, "came", "NoneType", -1, "", -1],
    [15.5, "receive", "PushPull", 7, "aa", -1],
    [16.0, "handled", "PushPull", 7, "aa", -1],
    [20.0, "came", "NoneType", -1, "", -1],
    [20.5, "receive", "PushPull", 7, "bb", -1],
    [20.6, "reduce", "NoneType", -1, "", -1],
    [21.6, "reduce.", "NoneType", -1, "", -1],
    [21.6, "update", "NoneType", -1, "", -1],
    [23.6, "update.", "NoneType", -1, "", -1],
    [24.0, "handled", "PushPull", 7, "bb", -1],
    [24.0, "send", "Values", 7, "aa", -1],
    [25.0, "sent", "Values", 7, "aa", -1],
]


def test_a_round_is_told_from_the_stamps_of_worker_and_server(tmp_path):
    (tmp_path / "worker-0.json").write_text(json.dumps(WORKER))
    (tmp_path / "server-0.json").write_text(json.dumps(SERVER))
    phases = phases_of(read_stamps(tmp_path), [(10.0, 30.0)])
    assert phases == {
        "update": pytest.approx(2.0),
        "reduce": pytest.approx(1.0),
        # made until 11, frames 12-13, read by the server twice, the reply made, read and delivered
        "serialise": pytest.approx(1.0 + 1.0 + 0.5 + 0.5 + 1.0 + 2.0),
        "rules": pytest.approx(0.5 + 0.1 + 0.4),
        "wire": pytest.approx(2.0 + 1.0),
        "wait": pytest.approx(4.0),
        "queue": pytest.approx(1.0 + 2.0),
    }
    assert sum(phases.values()) == pytest.approx(20.0)


def options(**given):
    defaults = {
        "workers": 2,
        "servers": 1,
        "repeats": 1,
        "over": None,
        "work": ["1 MB", "1 KB"],
        "profile": False,
        "optimizer": None,
        "plot": "",
    }
    return Namespace(**defaults | given)


def test_the_table_tells_goodput_and_latency_of_both_ways(capsys):
    def launch(_, program, variables):
        seconds = 0.002 if variables else 0.001
        Path(program[2]).write_text(json.dumps({"1 MB": [[0, seconds]] * 3, "1 KB": [[0, seconds]] * 3}))
        return 0

    assert command.run(options(), launch) == 0
    shown = capsys.readouterr().out
    assert "memory" in shown
    assert "2.10 GB/s (1.00 ms)" in shown
    assert "1.05 GB/s (2.00 ms)" in shown
    assert "1000 µs, p99 1000 µs" in shown


def test_a_job_that_fails_ends_the_bench_with_its_code():
    assert command.run(options(), lambda *_: 137) == 137


def test_no_repeats_is_refused():
    with pytest.raises(ConfigError, match="--repeats 0: wanted 1 or more"):
        command.run(options(repeats=0), lambda *_: 0)


@pytest.mark.slow
def test_a_profile_of_real_processes_names_every_phase_and_adds_up(capfd, tmp_path):
    picture = tmp_path / "profile.png"
    argv = ["bench", "--profile", "--over", "TCP", "--repeats", "1", "--work", "1 MB", "--plot", str(picture)]
    assert main(argv) == 0
    head, row = [
        line.split() for line in capfd.readouterr().out.splitlines() if line.startswith(("over", "1 MB"))
    ]
    figures = dict(zip(head[3:], map(float, row[2:]), strict=True))
    assert list(figures) == [*PHASES, "sum", "unstamped"]
    assert all(figures[phase] > 0 for phase in ("update", "reduce", "serialise", "rules", "wire"))
    assert sum(figures[phase] for phase in PHASES) == pytest.approx(figures["sum"], abs=0.01)
    assert picture.stat().st_size > 1000

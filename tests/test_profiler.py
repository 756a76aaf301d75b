"""The profiler: what is recorded, and the Chrome trace and tables made of it."""

import json
import threading

import pytest

import psdist as mx
from psdist import profiler
from psdist.errors import ConfigError


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    monkeypatch.setattr(profiler, "_recorder", profiler._Recorder())
    monkeypatch.setattr(profiler, "watching", profiler._Watching())
    profiler.set_config(filename=str(tmp_path / "profile.json"))
    return tmp_path / "profile.json"


def events(path):
    profiler.dump()
    trace = json.loads(path.read_text())
    assert trace["displayTimeUnit"] == "ms"
    assert all({"name", "ph", "ts", "pid", "tid"} <= set(e) for e in trace["traceEvents"])
    return trace["traceEvents"]


def test_nothing_is_recorded_unless_it_runs(fresh):
    def work():
        with profiler.span("work"):
            pass
        profiler.Event("e").__enter__().stop()
        profiler.Domain("d").new_counter("c", 1).increment()
        profiler.Domain("d").new_marker("m").mark()

    work()
    profiler.set_state("run")
    profiler.pause()
    work()
    profiler.resume()
    with profiler.span("seen"):
        pass
    profiler.set_state("stop")
    work()
    assert [e["name"] for e in events(fresh)] == ["seen"]


def test_tasks_frames_and_events_become_complete_events(fresh):
    profiler.set_state("run")
    domain = profiler.Domain("training")
    with domain.new_task("task"), domain.new_frame("frame"):
        event = profiler.Event("event")
        event.start()
        event.stop()
    got = events(fresh)
    assert [(e["name"], e["cat"], e["ph"]) for e in got] == [
        ("event", "event", "X"),
        ("frame", "training", "X"),
        ("task", "training", "X"),
    ]
    inner, outer = got[0], got[2]
    assert outer["ts"] <= inner["ts"] <= inner["ts"] + inner["dur"] <= outer["ts"] + outer["dur"]


def test_counters_and_marks_keep_their_values(fresh):
    profiler.set_state("run")
    domain = profiler.Domain("d")
    counter = domain.new_counter("samples", 5)
    counter += 3
    counter -= 1
    counter.decrement(2)
    domain.new_marker("epoch").mark("global")
    got = events(fresh)
    assert [e["args"]["samples"] for e in got if e["ph"] == "C"] == [5, 8, 7, 5]
    assert [(e["name"], e["s"]) for e in got if e["ph"] == "i"] == [("epoch", "g")]


def test_psdists_own_work_is_watched_as_chosen(fresh):
    def watched():
        w = profiler.watching
        return [kind for kind in ("imperative", "symbolic", "api") if getattr(w, kind)]

    profiler.set_config(profile_imperative=True)
    assert watched() == []
    profiler.set_state("run")
    assert watched() == ["imperative"]
    profiler.set_config(profile_all=True)
    assert watched() == ["imperative", "symbolic", "api"]
    profiler.pause()
    assert watched() == []
    profiler.resume()
    profiler.record("dot", "operator", 0.0, 5.0, shape=[2, 3])
    got = events(fresh)
    assert [(e["name"], e["args"]) for e in got] == [("dot", {"shape": [2, 3]})]
    assert watched() == []


def test_the_table_adds_up_by_name():
    profiler.set_state("run")
    for duration in (1000.0, 3000.0):
        profiler.record("dot", "operator", 0.0, duration)
    profiler.record("exp", "operator", 0.0, 9000.0)
    lines = profiler.dumps().splitlines()
    rows = [line.split() for line in lines if line.startswith(("dot", "exp"))]
    assert rows == [
        ["exp", "1", "9.0000", "9.0000", "9.0000", "9.0000"],
        ["dot", "2", "4.0000", "1.0000", "3.0000", "2.0000"],
    ]
    by_count = json.loads(profiler.dumps(format="json", sort_by="count", ascending=True, reset=True))
    assert list(by_count["Time"]["operator"]) == ["exp", "dot"]
    assert by_count["Time"]["operator"]["dot"] == {"Count": 2, "Total": 4, "Min": 1, "Max": 3, "Avg": 2}
    assert "dot" not in profiler.dumps()


def test_threads_record_side_by_side(fresh):
    profiler.set_state("run")
    threads = [threading.Thread(target=lambda: [profiler.record("x", "t", 0.0, 1.0) for _ in range(200)])]
    threads += [threading.Thread(target=lambda: [profiler.record("y", "t", 0.0, 1.0) for _ in range(200)])]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(events(fresh)) == 400


def test_a_full_trace_counts_what_it_drops(fresh, monkeypatch):
    monkeypatch.setattr(profiler, "_MAX_EVENTS", 2)
    profiler.set_state("run")
    for _ in range(5):
        profiler.record("x", "t", 0.0, 1.0)
    assert len(events(fresh)) == 2
    assert json.loads(fresh.read_text())["otherData"]["dropped"] == 3


def test_the_old_names_still_work(fresh):
    profiler.profiler_set_config("all", str(fresh))
    profiler.profiler_set_state("run")
    with profiler.scope("part:"):
        pass
    profiler.dump_profile()
    assert json.loads(fresh.read_text())["traceEvents"][0]["name"] == "part"
    assert not profiler.is_on()


def test_wrong_arguments_are_named():
    with pytest.raises(
        ConfigError, match=r"unknown options \['profile_everything'\]; known are \['aggregate_s"
    ):
        profiler.set_config(profile_everything=True)
    with pytest.raises(ConfigError, match="state is 'go'; wanted 'run' or 'stop'"):
        profiler.set_state("go")
    with pytest.raises(ConfigError, match="profile_process is 'server'; a worker profiles itself: 'worker'"):
        profiler.set_state("run", profile_process="server")
    with pytest.raises(ConfigError, match="format is 'xml'; wanted 'table' or 'json'"):
        profiler.dumps(format="xml")
    with pytest.raises(ConfigError, match="sort_by is 'name'; wanted one of total, avg"):
        profiler.dumps(sort_by="name")
    with pytest.raises(ConfigError, match="'x' is stopped, but was not started"):
        profiler.Event("x").stop()
    with pytest.raises(ConfigError, match="scope is 'world'; wanted one of global, process"):
        profiler.Domain("d").new_marker("m").mark("world")
    with pytest.raises(ConfigError, match="mode is 'x'; wanted one of symbolic"):
        profiler.profiler_set_config("x")


def test_operators_are_recorded_one_by_one(fresh):
    profiler.set_config(profile_imperative=True, profile_symbolic=True)
    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=2, name="fc")
    exe = net.simple_bind(mx.cpu(), data=(3, 4))
    x = mx.nd.ones((2, 2))
    profiler.set_state("run")
    (mx.nd.sqrt(x) + 1) + 1
    exe.forward()
    by_name = json.loads(profiler.dumps(format="json"))["Time"]["operator"]
    assert (by_name["sqrt"]["Count"], by_name["_plus_scalar"]["Count"]) == (1, 2)
    assert "fc" in by_name

"""Where the time goes: spans of time, counters and marks, as a Chrome trace (chrome://tracing, Perfetto).

    mx.profiler.set_config(filename="profile.json", profile_all=True, aggregate_stats=True)
    mx.profiler.set_state("run")
    ...
    mx.profiler.set_state("stop")
    mx.profiler.dump()

It imports nothing of psdist but its errors, so that every layer may record into it: `with profiler.span(...)`,
or where a microsecond counts, `if profiler.watching.imperative: ...`, which is one attribute.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from .errors import ConfigError

__all__ = [
    "Counter",
    "Domain",
    "Event",
    "Frame",
    "Marker",
    "Task",
    "dump",
    "dump_profile",
    "dumps",
    "is_on",
    "pause",
    "profiler_set_config",
    "profiler_set_state",
    "record",
    "resume",
    "scope",
    "set_config",
    "set_state",
    "span",
    "watching",
]

_MAX_EVENTS = 1_000_000  # some 300 MB: what comes after is counted, not kept
_OPTIONS = {
    "filename",
    "profile_all",
    "profile_symbolic",
    "profile_imperative",
    "profile_memory",
    "profile_api",
    "contiguous_dump",
    "continuous_dump",
    "dump_period",
    "aggregate_stats",
    "profile_process",
    "gpu_memory_profile_filename_prefix",
}
_KINDS = ("imperative", "symbolic", "api")  # of what psdist itself records; users' spans are always kept


@dataclass(slots=True)
class _Total:
    """The aggregate of the spans of one name, in microseconds."""

    count: int = 0
    total: float = 0.0
    low: float = float("inf")
    high: float = 0.0

    def add(self, duration: float) -> None:
        self.count += 1
        self.total += duration
        self.low = min(self.low, duration)
        self.high = max(self.high, duration)


@dataclass
class _Recorder:
    """What has been recorded; `lock` guards `events`, `totals`, `dropped`: several threads record at once."""

    options: dict[str, Any] = field(default_factory=lambda: {"filename": "profile.json"})
    running: bool = False
    paused: bool = False
    events: list[dict[str, Any]] = field(default_factory=list)
    totals: dict[tuple[str, str], _Total] = field(default_factory=lambda: defaultdict(_Total))
    dropped: int = 0
    start: float = field(default_factory=time.perf_counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def now(self) -> float:
        """Microseconds since the program's start, the unit of the trace's format."""
        return (time.perf_counter() - self.start) * 1e6

    def add(self, event: dict[str, Any]) -> None:
        event["pid"] = os.getpid()
        event["tid"] = threading.get_ident()
        with self.lock:
            if event["ph"] == "X":
                self.totals[event["cat"], event["name"]].add(event["dur"])
            if len(self.events) < _MAX_EVENTS:
                self.events.append(event)
            else:
                self.dropped += 1


@dataclass(slots=True)
class _Watching:
    """Which of psdist's own work is recorded now."""

    imperative: bool = False
    symbolic: bool = False
    api: bool = False


_recorder = _Recorder()
watching = _Watching()


def _update() -> None:
    """After a change of state or options."""
    for kind in _KINDS:
        options = _recorder.options
        chosen = options.get("profile_all") or options.get(f"profile_{kind}")
        setattr(watching, kind, is_on() and bool(chosen))


def is_on() -> bool:
    """Whether what is recorded now is kept."""
    return _recorder.running and not _recorder.paused


def now() -> float:
    """The profiler's clock, in microseconds."""
    return _recorder.now()


def record(name: str, category: str, start: float, duration: float, **details: Any) -> None:
    """Keep one span of time, by `now()`'s clock, if the profiler is on."""
    if is_on():
        event: dict[str, Any] = {"name": name, "cat": category, "ph": "X", "ts": start, "dur": duration}
        if details:
            event["args"] = details
        _recorder.add(event)


@contextlib.contextmanager
def span(name: str, category: str = "task", **details: Any) -> Iterator[None]:
    """Record how long the block takes."""
    start = _recorder.now()
    try:
        yield
    finally:
        record(name, category, start, _recorder.now() - start, **details)


# ------------------------------------------------------------------------------------------------- control


def set_config(**kwargs: Any) -> None:
    """Choose what is recorded (`profile_all`, `profile_symbolic`, `profile_imperative`, `profile_api`) and the
    `filename` of the trace. `aggregate_stats` is always on here: see `dumps`.
    """
    unknown = set(kwargs) - _OPTIONS
    if unknown:
        raise ConfigError(f"profiler: unknown options {sorted(unknown)}; known are {sorted(_OPTIONS)}")
    _refuse_servers(kwargs.get("profile_process", "worker"))
    _recorder.options.update(kwargs)
    _update()


def set_state(state: str = "stop", profile_process: str = "worker") -> None:
    """ "run" or "stop"."""
    if state not in ("run", "stop"):
        raise ConfigError(f"profiler: state is {state!r}; wanted 'run' or 'stop'")
    _refuse_servers(profile_process)
    _recorder.running = state == "run"
    _recorder.paused = False
    _update()


def pause(profile_process: str = "worker") -> None:
    """Record nothing until `resume`."""
    _refuse_servers(profile_process)
    _recorder.paused = True
    _update()


def resume(profile_process: str = "worker") -> None:
    """Go on after `pause`."""
    _refuse_servers(profile_process)
    _recorder.paused = False
    _update()


def _refuse_servers(process: str) -> None:
    if process != "worker":
        raise ConfigError(f"profiler: profile_process is {process!r}; a worker profiles itself: 'worker'")


def dump(finished: bool = True, profile_process: str = "worker") -> None:
    """Write the trace into the file that `set_config` named. `finished` also stops the profiler."""
    _refuse_servers(profile_process)
    if finished:
        set_state("stop")
    with _recorder.lock:
        trace = {
            "traceEvents": list(_recorder.events),
            "displayTimeUnit": "ms",
            "otherData": {"producer": "psdist", "dropped": _recorder.dropped},
        }
    with open(_recorder.options["filename"], "w", encoding="utf-8") as file:
        json.dump(trace, file)


def dumps(reset: bool = False, format: str = "table", sort_by: str = "total", ascending: bool = False) -> str:
    """The spans by name as a table or as "json": count, total, minimum, maximum, average in milliseconds.

    `sort_by` is "total", "avg", "min", "max" or "count". `reset` forgets what was recorded.
    """
    keys = {
        "total": lambda t: t.total,
        "avg": lambda t: t.total / t.count,
        "min": lambda t: t.low,
        "max": lambda t: t.high,
        "count": lambda t: t.count,
    }
    if format not in ("table", "json"):
        raise ConfigError(f"profiler: format is {format!r}; wanted 'table' or 'json'")
    if sort_by not in keys:
        raise ConfigError(f"profiler: sort_by is {sort_by!r}; wanted one of {', '.join(keys)}")
    with _recorder.lock:
        totals = sorted(_recorder.totals.items(), key=lambda kv: keys[sort_by](kv[1]), reverse=not ascending)
        if reset:
            _recorder.events.clear()
            _recorder.totals.clear()
            _recorder.dropped = 0
    if format == "json":
        out: dict[str, dict[str, Any]] = defaultdict(dict)
        for (category, name), t in totals:
            average = t.total / t.count
            row = {"Count": t.count, "Total": t.total, "Min": t.low, "Max": t.high, "Avg": average}
            out[category][name] = {k: v if k == "Count" else v / 1000 for k, v in row.items()}
        units = {"Time": "ms", "Memory": "bytes"}
        return json.dumps({"Time": out, "Memory": {}, "Unit": units}, indent=4)
    lines = ["", "Profile Statistics:"]
    for category in dict.fromkeys(category for (category, _), _ in totals):
        lines += ["", category, "=" * len(category)]
        heads = ("Name", "Total Count", "Time (ms)", "Min Time (ms)", "Max Time (ms)", "Avg Time (ms)")
        lines.append(f"{heads[0]:<30}" + "".join(f"{h:>16}" for h in heads[1:]))
        for (of, name), t in totals:
            if of == category:
                times = (t.total, t.low, t.high, t.total / t.count)
                lines.append(f"{name:<30}{t.count:>16}" + "".join(f"{x / 1000:>16.4f}" for x in times))
    return "\n".join(lines) + "\n"


def profiler_set_config(mode: str = "symbolic", filename: str = "profile.json") -> None:
    """The old `set_config`: mode "symbolic", "imperative", "api", "memory" or "all"."""
    modes = ("symbolic", "imperative", "api", "memory", "all")
    if mode not in modes:
        raise ConfigError(f"profiler: mode is {mode!r}; wanted one of {', '.join(modes)}")
    set_config(**{f"profile_{mode}": True, "filename": filename})


def profiler_set_state(state: str = "stop") -> None:
    """The old `set_state`."""
    set_state(state)


def dump_profile() -> None:
    """The old `dump`."""
    dump(True)


# ------------------------------------------------------------------------------------------------- what users record


class Domain:
    """A group of tasks, frames, counters and markers."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return self.name

    def new_task(self, name: str) -> Task:
        """A task of this domain."""
        return Task(self, name)

    def new_frame(self, name: str) -> Frame:
        """A frame of this domain."""
        return Frame(self, name)

    def new_counter(self, name: str, value: float | None = None) -> Counter:
        """A counter of this domain."""
        return Counter(self, name, value)

    def new_marker(self, name: str) -> Marker:
        """A marker of this domain."""
        return Marker(self, name)


class _Span:
    """Something with a start and a stop; also a `with` block."""

    def __init__(self, name: str, category: str) -> None:
        self.name = name
        self._category = category
        self._start: float | None = None

    def start(self) -> None:
        """Begin."""
        self._start = _recorder.now()

    def stop(self) -> None:
        """End. Raises ConfigError if it was not begun."""
        if self._start is None:
            raise ConfigError(f"profiler: {self.name!r} is stopped, but was not started")
        record(self.name, self._category, self._start, _recorder.now() - self._start)
        self._start = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __str__(self) -> str:
        return self.name


class Task(_Span):
    """Work that may be done by any thread."""

    def __init__(self, domain: Domain, name: str) -> None:
        super().__init__(name, str(domain))


class Frame(_Span):
    """One of a sequence, such as a picture of a film."""

    def __init__(self, domain: Domain, name: str) -> None:
        super().__init__(name, str(domain))


class Event(_Span):
    """Work of the thread that starts it."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "event")


class Counter:
    """A number over time."""

    def __init__(self, domain: Domain, name: str, value: float | None = None) -> None:
        self.name = name
        self._category = str(domain)
        self._value = 0.0
        if value is not None:
            self.set_value(value)

    def set_value(self, value: float) -> None:
        """Record the number that it is now."""
        self._value = value
        if is_on():
            event = {"name": self.name, "cat": self._category, "ph": "C", "ts": _recorder.now()}
            _recorder.add({**event, "args": {self.name: value}})

    def increment(self, delta: float = 1) -> None:
        """Record `delta` more."""
        self.set_value(self._value + delta)

    def decrement(self, delta: float = 1) -> None:
        """Record `delta` less."""
        self.set_value(self._value - delta)

    def __iadd__(self, delta: float) -> Self:
        self.increment(delta)
        return self

    def __isub__(self, delta: float) -> Self:
        self.decrement(delta)
        return self

    def __str__(self) -> str:
        return self.name


class Marker:
    """A moment."""

    def __init__(self, domain: Domain, name: str) -> None:
        self.name = name
        self._category = str(domain)

    def mark(self, scope: str = "process") -> None:
        """Record now; `scope` ("global", "process", "thread", "task", "marker") says how far it is drawn."""
        scopes = {"global": "g", "process": "p", "thread": "t", "task": "t", "marker": "t"}
        if scope not in scopes:
            raise ConfigError(f"profiler: scope is {scope!r}; wanted one of {', '.join(scopes)}")
        if is_on():
            event = {"name": self.name, "cat": self._category, "ph": "i", "ts": _recorder.now()}
            _recorder.add({**event, "s": scopes[scope]})


@contextlib.contextmanager
def scope(name: str = "<unk>:", append_mode: bool = True) -> Iterator[None]:
    """Record the block as a span named `name`."""
    with span(name.rstrip(":"), "scope"):
        yield

"""Tells a story to a shard or a scheduler: a line is a message or the time, the indented lines its answers.

The words, with `w0`, `s0`, `l0` for a worker's, a server's and a launcher's connection (`w0'` is another
connection of the same process):

    shard                                    the story is about a server
    scheduler workers=2 servers=1 [start=60 replicas=1 elastic=1:3 shards=2] ... about the scheduler
    view workers=0,1 [epoch=2 fence=2]       shard: the members now; they say Hello by `hello`
    w0 hello [rank=0 job=j incarnation=1 token=7 role=worker seq=9]
    w0 init a 1 2 3 4 | a[4]/8 5 6 7 8       key, value; or key[offset]/elements, slice
    w0 declare a/4                           ... without a value
    w0 push a 0 1 1 1 1 ; b 0 2 2            key, clock, gradient
    w0 pull a 1 ; b 1                        key, min_clock
    w0 pushpull a 0 1 1 1 1 1                key, clock, min_clock, gradient
    w0 optimizer sgd lr=0.5 momentum=0.5     w0 hyper 2 lr=0.1       w0 staleness -1
    w0 getstate a                            w0 setstate a 3 1 0 0 0 0     (updates, arrays, values)
    s1 synced 0 1 [epoch=3]                  shard, backup    s1 handed 0 1 [epoch=3]    shard, heir
    w1 join                                  w1 begin a 3 ; b 3
    w0 alive 12                              w0 barrier name 0       w0 leave      l0 status
    l0 lost worker 1 exit code -9            w0 abort reason          l0 scale 3
    w0 again                                 the last message of w0, byte for byte
    at 5.5                                   the time is 5.5 s: the scheduler ticks
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from psdist_server.scheduler import Scheduler
from psdist_server.shard import SCHEDULER, Out, Shard

from psdist.wire import key_name, key_number
from psdist.wire import messages as m

__all__ = ["tell"]

_TOKENS = {"worker": 100, "server": 200, "launcher": 300}
_USUAL = [("replicas", 0), ("shards", ()), ("joined", 1), ("meetings", {})]  # of a View, not shown
_LETTERS = {"w": "worker", "s": "server", "l": "launcher"}


def tell(story: str) -> str:
    """The story with the answers that it gets today."""
    told = []
    teller = _Teller()
    for line in story.splitlines():
        if line.startswith("    "):
            continue  # an old answer
        told.append(line)
        if line and not line.startswith("#"):
            told += [f"    {answer}" for answer in teller.do(line)]
    return "\n".join(told) + "\n"


class _Teller:
    def __init__(self) -> None:
        self.rules: Shard | Scheduler
        self.now = 0.0
        self.seqs: dict[str, int] = {}
        self.last: dict[str, m.Message] = {}

    def do(self, line: str) -> list[str]:
        first, *words = line.split()
        options = dict(word.split("=", 1) for word in words if re.match(r"[a-z]+=", word))
        plain = [word for word in words if not re.match(r"[a-z]+=", word)]
        match first:
            case "shard":
                self.rules = Shard("job")
                return []
            case "scheduler":
                self.rules = Scheduler(
                    job="job",
                    num_workers=int(options["workers"]),
                    num_servers=int(options["servers"]),
                    now=0.0,
                    heartbeat_s=1.0,
                    dead_after_s=5.0,
                    start_timeout_s=float(options.get("start", 60)),
                    replicas=int(options.get("replicas", 0)),
                    elastic=_range(options["elastic"]) if "elastic" in options else None,
                    shards_per_server=int(options.get("shards", 1)),
                )
                return []
            case "at":
                assert isinstance(self.rules, Scheduler)
                self.now = float(plain[0])
                answers = self.answers(self.rules.tick(self.now))
                return [*answers, f"ended: {self.rules.ended}"] if self.rules.ended else answers
            case "view":
                return self.answers(self.rules.step(SCHEDULER, _view(options), self.now))
        verb, *rest = plain
        if verb == "again":
            message = self.last[first]
        else:
            text = line.split(None, 2)[2] if len(line.split(None, 2)) > 2 else ""
            message = self.message(first, verb, rest, text, options)
            self.last[first] = message
        return self.answers(self.rules.step(first.encode(), _copy(message), self.now))

    def answers(self, out: Out) -> list[str]:
        return [f"{destination.decode() or 'scheduler'} <- {_show(message)}" for destination, message in out]

    def message(
        self, name: str, verb: str, words: list[str], text: str, options: dict[str, str]
    ) -> m.Message:
        seq = self.seqs[name] = self.seqs.get(name, 0) + 1
        role, number = _LETTERS[name[0]], int(name[1])
        parts = [part.split() for part in re.split(r"[;|]", " ".join(words)) if part.strip()]
        match verb:
            case "hello":
                return m.Hello(
                    int(options.get("seq", seq)),
                    m.VERSION,
                    options.get("job", "job"),
                    options.get("role", role),
                    int(options.get("rank", number)),
                    int(options.get("incarnation", 0)),
                    int(options.get("token", _TOKENS[role] + number)),
                    f"tcp://{name}" if role == "server" else "",
                )
            case "init" | "declare":
                return _init(seq, parts, options.get("dtype", "float32"))
            case "push":
                keys, offsets = _places(parts)
                clocks = [int(p[1]) for p in parts]
                epoch, ack = int(options.get("epoch", 1)), int(options.get("ack", 1))
                return m.Push(seq, epoch, ack, keys, offsets, clocks, [], [_array(p[2:]) for p in parts])
            case "pull":
                return m.Pull(seq, *_places(parts), [int(p[1]) for p in parts])
            case "pushpull":
                keys, offsets = _places(parts)
                clocks, mins = [int(p[1]) for p in parts], [int(p[2]) for p in parts]
                return m.PushPull(seq, 1, 1, keys, offsets, clocks, mins, [], [_array(p[3:]) for p in parts])
            case "optimizer":
                numbers: m.Numbers = {key: float(value) for key, value in options.items()}
                lr, wd = float(options.get("lr", 1)), float(options.get("wd", 0))
                numbers = {key: value for key, value in numbers.items() if key not in ("lr", "wd")}
                mult = {key_name(word): 0.5 for word in words[1:]}
                return m.SetOptimizer(seq, words[0], numbers, lr, wd, mult, {})
            case "hyper":
                return m.SetHyper(seq, int(words[0]), float(options["lr"]), float(options.get("wd", 0)))
            case "staleness":
                return m.SetStaleness(seq, int(words[0]))
            case "getstate":
                return m.GetState(seq, *_places(parts))
            case "setstate":
                ((_, updates, count, *values),) = parts
                arrays = list(np.split(_array(values), int(count))) if int(count) else []
                return m.SetState(seq, *_places(parts), [int(updates)], [int(count)], arrays)
            case "alive":
                return m.Alive(role, number, int(options.get("epoch", 1)), int(words[0]), 0, 0)
            case "barrier":
                return m.Barrier(seq, words[0], int(words[1]))
            case "leave":
                return m.Leave(seq)
            case "status":
                return m.Status(seq)
            case "lost":
                return m.Lost(seq, words[0], int(words[1]), " ".join(words[2:]))
            case "synced":
                return m.Synced(int(options.get("epoch", 99)), int(words[0]), int(words[1]))
            case "handed":
                return m.Handed(int(options.get("epoch", 99)), int(words[0]), int(words[1]))
            case "scale":
                return m.Scale(seq, int(words[0]))
            case "join":
                return m.Join(seq)
            case "begin":
                return m.Begin(seq, [key_number(_key(p[0])[0]) for p in parts], [int(p[1]) for p in parts])
            case "abort":
                return m.Abort(text, role, number, 0, -1.0)
        raise AssertionError(f"no word {verb!r} in a story")


def _range(text: str) -> tuple[int, int]:
    low, high = map(int, text.split(":"))
    return low, high


def _view(options: dict[str, str]) -> m.View:
    ranks = [int(rank) for rank in options["workers"].split(",")]
    life = int(options.get("incarnation", 0))
    workers = tuple(m.Member("worker", rank, life, 100 + rank, "") for rank in ranks)
    epoch, fence = int(options.get("epoch", 1)), int(options.get("fence", 0))
    return m.View(epoch, fence, 0, len(ranks), 1, (m.Member("server", 0, 0, 200, "tcp://s0"), *workers))


def _key(word: str) -> tuple[str, int, int]:
    """(key's wire name, offset, elements or -1) of `a`, `a[4]`, `a/8`, `a[4]/8`."""
    found = re.fullmatch(r"(\w+)(?:\[(\d+)\])?(?:/(\d+))?", word)
    assert found, word
    key = int(found[1]) if found[1].isdecimal() else found[1]
    return key_name(key), int(found[2] or 0), int(found[3] or -1)


def _places(parts: list[list[str]]) -> tuple[list[int], list[int]]:
    keys = [_key(part[0]) for part in parts]
    return [key_number(name) for name, _, _ in keys], [offset for _, offset, _ in keys]


def _array(words: list[str]) -> m.Tensor:
    return np.array([float(word) for word in words], np.float32)


def _init(seq: int, parts: list[list[str]], dtype: str) -> m.Init:
    keys = [_key(part[0]) for part in parts]
    values = [_array(part[1:]).astype(dtype) for part in parts if part[1:]]
    sizes = [n if n >= 0 else values[i].size for i, (_, _, n) in enumerate(keys)]
    return m.Init(
        seq,
        tuple(name for name, _, _ in keys),
        (dtype,) * len(keys),
        tuple((n,) for n in sizes),
        [offset for _, offset, _ in keys],
        [v.size for v in values] or sizes,
        values,
    )


def _copy(message: m.Message) -> m.Message:
    """As if it had come over the wire: the shard owns its arrays."""
    if isinstance(message, m.Push | m.PushPull | m.Init | m.SetState):
        fields = {name: getattr(message, name) for name in message.__slots__}
        return type(message)(**(fields | {"values": [v.copy() for v in message.values]}))
    return message


def _show(message: m.Message) -> str:
    names = [
        name for name in message.__slots__ if (name, getattr(message, name)) not in _USUAL and name != "run"
    ]
    fields = [f"{name}={_show_value(getattr(message, name))}" for name in names]
    return f"{type(message).__name__} {' '.join(fields)}"


def _show_value(value: Any) -> str:
    match value:
        case np.ndarray():
            return f"[{' '.join(_show_value(float(x)) for x in value)}]"
        case float():
            return f"{value:g}" if math.isfinite(value) else str(value)
        case m.Member():
            return f"{value.role} {value.rank}"
        case m.Placement():
            copies = (f"+{rank}{'' if rank in value.synced else '?'}" for rank in value.backups)
            heir = f">{value.heir}" if value.heir != m.NOBODY else ""
            return f"{value.primary}{''.join(copies)}{heir}"  # 0+1: complete, 0+1?: not yet; >1: it goes to 1
        case m.MemberStatus():
            return f"{value.role} {value.rank} {value.state} step {value.step} silent {value.silent_s:g}"
        case list() | tuple():
            return f"({', '.join(map(_show_value, value))})"
    return repr(value)

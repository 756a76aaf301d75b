"""What bench/kv.py has measured, as docs/bench-kv.md and its picture."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import figures

Work = Mapping[str, tuple[int, int]]  # by name: keys, elements of a key
Laps = Mapping[
    str, Sequence[Mapping[str, Sequence[float]]]
]  # by contender: one a lap: seconds of each round, by work

LATENCY = "1 KB"
LISTS = ("1,000 x 1 KB", "10,000 x 64 B")

# What is aimed at: (work, ours, theirs, how many times as fast)
TARGETS = (
    ("1 MB", "psdist, TCP", "ps-lite, TCP", 1.5),
    ("16 MB", "psdist, TCP", "ps-lite, TCP", 1.5),
    ("64 MB", "psdist, TCP", "ps-lite, TCP", 2.0),
    ("1 MB", "psdist, TCP", "MXNet dist_sync", 1.3),
    ("64 MB", "psdist, TCP", "MXNet dist_sync", 3.0),
    ("1 MB", "psdist, TCP", "gloo send/recv", 1.0),
    ("1 MB", "psdist, TCP", "torch RPC", 1.0),
    ("64 MB", "psdist, TCP", "gloo send/recv", 1.0),
    ("64 MB", "psdist, TCP", "torch RPC", 1.0),
    ("1 MB", "psdist, ipc", "ps-lite, ipc", 1.3),
    ("16 MB", "psdist, ipc", "ps-lite, ipc", 1.3),
    ("64 MB", "psdist, ipc", "ps-lite, ipc", 1.3),
    ("1 MB", "psdist, memory", "ps-lite, TCP", 4.0),
    ("64 MB", "psdist, memory", "ps-lite, TCP", 4.0),
    ("1 MB", "psdist, memory", "ps-lite, ipc", 3.0),
    ("64 MB", "psdist, memory", "ps-lite, ipc", 3.0),
    ("16 MB", "psdist, memory", "gloo all-reduce", 1.5),
    ("64 MB", "psdist, memory", "gloo all-reduce", 1.5),
    ("64 KB", "psdist, TCP", "ps-lite, TCP", 1.0),
    ("10,000 x 64 B", "psdist, TCP", "ps-lite, TCP", 1.0),
    ("1,000 x 1 KB", "psdist, TCP", "ps-lite, TCP", 1.0),
    ("1,000 x 1 KB", "psdist, TCP", "MXNet dist_sync", 15.0),
    ("10,000 x 64 B", "psdist, TCP", "MXNet dist_sync", 15.0),
    ("1 KB", "psdist, TCP", "ps-lite, TCP", 1 / 1.1),
    ("1 KB", "psdist, TCP", "torch RPC", 2.0),
    ("1 KB", "psdist, TCP", "MXNet dist_sync", 2.5),
    ("10,000 rows of 1 M x 64", "psdist, TCP", "MXNet dist_sync", 3.0),
)


def nbytes(work: tuple[int, int]) -> int:
    """What a worker pushes and pulls in a round."""
    return 2 * 4 * work[0] * work[1]


def seconds(name: str, laps: Sequence[Mapping[str, Sequence[float]]]) -> float:
    """Of a round: the median over laps of the median over rounds."""
    return statistics.median(statistics.median(lap[name]) for lap in laps)


def slowest(name: str, laps: Sequence[Mapping[str, Sequence[float]]]) -> float:
    """The 99th of a hundred rounds, likewise."""
    return statistics.median(sorted(lap[name])[int(0.99 * len(lap[name]))] for lap in laps)


def table(work: Work, laps: Laps, limits: Sequence[Mapping[str, float]]) -> str:
    lines = [f"| work | {' | '.join(laps)} |", "|--" * (len(laps) + 1) + "|"]
    for name, numbers in work.items():
        cells = []
        for found in laps.values():
            if name not in found[0]:
                cells.append("–")
                continue
            middle = seconds(name, found)
            if name == LATENCY:
                cells.append(f"{middle * 1e6:.0f} / {slowest(name, found) * 1e6:.0f}")
            elif name in LISTS:
                cells.append(f"{middle / numbers[0] * 1e6:.2f}")
            else:
                cells.append(f"{nbytes(numbers) / middle / 1e9:.2f}")
        unit = "µs p50 / p99" if name == LATENCY else "µs a key" if name in LISTS else "GB/s"
        lines.append(f"| {name}, {unit} | {' | '.join(cells)} |")
    limit = {name: statistics.median(lap[name] for lap in limits) for name in limits[0]}
    bounds = ", ".join(f"{name} {rate:.1f} GB/s" for name, rate in limit.items())
    return "\n".join(lines) + f"\n\nIn the same run, one thread on 64 MB: {bounds}.\n"


def targets(laps: Laps) -> str:
    """How many times as fast as whom: the median of the laps' own ratios, since a lap meets one state of the machine."""
    lines = ["| work | of | against | times as fast | aimed at | |", "|--|--|--|--|--|--|"]
    for name, ours, theirs, wanted in TARGETS:
        if any(side not in laps or name not in laps[side][0] for side in (ours, theirs)):
            continue
        pairs = zip(laps[ours], laps[theirs], strict=True)
        times = statistics.median(
            statistics.median(them[name]) / statistics.median(us[name]) for us, them in pairs
        )
        lines.append(
            f"| {name} | {ours} | {theirs} | {times:.2f} | {wanted:.2g} | {'✓' if times >= wanted else 'missed'} |"
        )
    return "\n".join(lines) + "\n"


def write(folder: Path, work: Work, laps: Laps, limits: Sequence[Mapping[str, float]], load: str) -> None:
    plot(folder / "bench-kv.svg", work, laps)
    num = len(next(iter(laps.values())))
    (folder / "bench-kv.md").write_text(f"""# Exchanging parameters, beside others

Two workers and one server on one machine, synchronous; each contender is started anew in every one of {num} laps, all in
one run; medians. Goodput is what a worker pushes and pulls, divided by the time of a round. What to take from it are ratios
within a row. This page is written by

    make bench-kv MXNET=/path/to/python TORCH=/path/to/python PSLITE=/path/to/program

of which each is optional. {load}

{table(work, laps, limits)}
![Goodput by size, latency, and the cost of small keys](bench-kv.svg)

## Against what was aimed at

{targets(laps)}
## Who they are

- *psdist, memory*: arrays travel through memory that worker and server share, as they do by themselves on one host; *TCP*:
  as between machines (`PSDIST_SHM_BYTES=0`); *ipc*: over Unix sockets (`PSDIST_TRANSPORT=ipc`). `pushpull` of one
  key, or of a list.
- *ps-lite*: a synchronous server in C++ (`bench/peers/pslite.cc`) on the copy that comes with BytePS. Its receiving threads
  spin, each on a core of its own. Where there are fewer cores than threads that is seconds a round, and they were made to
  wait for their sockets instead, 200 µs at most. A list of small keys is one message.
- *MXNet dist_sync*: MXNet 1.9.1, `pushpull`.
- *gloo send/recv*: a server in 20 lines of torch (receive, add, send). *torch RPC*: a server whose sum is a future; a
  list of small keys is one call. *gloo all-reduce*: no server at all.
""")


def plot(path: Path, work: Work, laps: Laps) -> None:
    plt = figures.pyplot()
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(12, 3.6), layout="constrained", width_ratios=(2, 1, 1)
    )
    names = list(laps)
    sizes = {name: 4 * size for name, (keys, size) in work.items() if keys == 1}
    for name, found in laps.items():
        goodput = [nbytes(work[one]) / seconds(one, found) / 1e9 for one in sizes]
        left.plot(list(sizes.values()), goodput, "o-", label=name)
    left.set(xscale="log", yscale="log", ylabel="GB/s", title="goodput of a worker, one key a call")
    left.set_xticks(list(sizes.values()), list(sizes), fontsize=7)
    left.minorticks_off()
    left.legend(fontsize=7)
    if LATENCY in work:
        for i, found in enumerate(laps.values()):
            p50, p99 = (of(LATENCY, found) * 1e6 for of in (seconds, slowest))
            middle.plot([p50, p99], [i, i], "|-", color=figures.COLOURS[i], markersize=9)
        middle.set(xscale="log", xlabel="µs", title="1 KB there and back, p50 to p99")
    for i, found in enumerate(laps.values()):
        for one, marker in zip(LISTS, "os", strict=True):
            if one in work:
                right.plot(seconds(one, found) / work[one][0] * 1e6, i, marker, color=figures.COLOURS[i])
    right.set(xscale="log", xlabel="µs a key", title="lists: 1,000 x 1 KB ●, 10,000 x 64 B ■")
    for axes in (middle, right):
        axes.set_ylim(len(names) - 0.5, -0.5)
    middle.set_yticks(range(len(names)), names, fontsize=7)
    right.set_yticks(range(len(names)), [""] * len(names))
    figures.save(figure, path)

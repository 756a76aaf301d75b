"""How much of a link is used: a worker and a server in two network namespaces, between them a link of a fixed rate.

    python bench/links.py [--rates 1gbit,10gbit] [--laps 3] [--write docs/links.md]

Both directions are busy: gradients go out while values come in. In each lap iperf3 --bidir goes first, then psdist
without compression, with 2bit for pushes, and with 4level for pulls beside it; then pushes alone. Needs root, `ip`, `tc`
and iperf3, and says so; the namespaces are made by this script, have no way out, and are gone when it ends. Rates are those
of arrays, so headers of all kinds are losses.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import figures
import numpy as np

HERE = Path(__file__).resolve()
HOSTS = ("10.231.77.1", "10.231.77.2")  # of worker and server
KEYS, SIZE = 64, 1 << 18  # 64 MB
LIMIT_S = 120
SECONDS = 3.0  # of exchange in one measurement
WANTED = {"1gbit": 0.97, "10gbit": 0.85}


# --- the worker's process ----------------------------------------------------------------------------


def work(compression: str, pushes_only: bool) -> None:
    """Print the bytes of gradients a second, uncompressed, and unless `pushes_only`, as many are pulled."""
    import psdist.kvstore

    with psdist.kvstore.create("dist_sync") as kv:
        keys = list(range(KEYS))
        random = np.random.default_rng(0)
        grads = [random.normal(size=SIZE).astype(np.float32) for _ in keys]
        outs = [np.empty(SIZE, np.float32) for _ in keys]
        kv.init(keys, grads)
        if compression:
            push, _, pull = compression.partition("+")
            kv.set_gradient_compression({"type": push, "threshold": 0.5} | ({"pull": pull} if pull else {}))
        kv.pushpull(keys, grads, out=outs)
        rounds, began = 0, time.perf_counter()
        while time.perf_counter() < began + SECONDS:
            if pushes_only:
                kv.push(keys, grads)
            else:
                kv.pushpull(keys, grads, out=outs)
            rounds += 1
        if pushes_only:
            kv.pull(keys[0], out=outs[0])  # which waits for the last push of its key, and all but the others'
        seconds = time.perf_counter() - began
    print(json.dumps(rounds * KEYS * SIZE * 4 / seconds))


# --- namespaces --------------------------------------------------------------------------------------


def missing() -> str:
    """Why this cannot run here; "" when it can."""
    if os.geteuid():
        return "network namespaces need root"
    tools = [name for name in ("ip", "tc", "iperf3") if shutil.which(name) is None]
    if tools:
        return f"{' and '.join(tools)} not found; on Debian and Ubuntu: apt-get install iproute2 iperf3"
    return ""


@contextlib.contextmanager
def link(rate: str) -> Iterator[tuple[str, str]]:
    """Two namespaces with a link of this rate between them."""
    names = [f"psdist-bench-{os.getpid()}-{side}" for side in "ab"]
    ends = [f"psb{os.getpid() % 100000}{side}" for side in "ab"]
    burst = "256kb" if rate == "1gbit" else "1mb"
    try:
        for name in names:
            call("ip", "netns", "add", name)
        call("ip", "link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for name, end, host in zip(names, ends, HOSTS, strict=True):
            call("ip", "link", "set", end, "netns", name)
            call("ip", "-n", name, "addr", "add", f"{host}/30", "dev", end)
            call("ip", "-n", name, "link", "set", "lo", "up")
            call("ip", "-n", name, "link", "set", end, "up")
            shape = ("root", "tbf", "rate", rate, "burst", burst, "latency", "50ms")
            call("ip", "netns", "exec", name, "tc", "qdisc", "add", "dev", end, *shape)
        yield names[0], names[1]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)


def call(*argv: str) -> None:
    subprocess.run(argv, check=True, timeout=20)


def within(name: str, *argv: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    command = ["ip", "netns", "exec", name, *argv]
    return subprocess.Popen(
        command, env=os.environ | (env or {}), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def iperf(names: tuple[str, str]) -> float:
    """Bytes a second of each direction, the mean, while both are busy."""
    with within(names[1], "iperf3", "-s", "-1", "-B", HOSTS[1]) as server:
        try:
            for _ in range(20):  # until it listens
                client = within(names[0], "iperf3", "-c", HOSTS[1], "-t", f"{SECONDS:g}", "--bidir", "-J")
                out, _ = client.communicate(timeout=LIMIT_S)
                end = json.loads(out).get("end", {})
                if "sum_received_bidir_reverse" in end:
                    both = (end["sum_received"], end["sum_received_bidir_reverse"])
                    return sum(one["bits_per_second"] for one in both) / 16
                time.sleep(0.2)
        finally:
            server.terminate()
    raise SystemExit(f"iperf3 did not run: {out}")


def psdist(names: tuple[str, str], compression: str, *more: str) -> float:
    """What the worker prints."""
    env = {
        "DMLC_PS_ROOT_URI": HOSTS[1],
        "DMLC_PS_ROOT_PORT": "9400",
        "DMLC_NUM_WORKER": "1",
        "DMLC_NUM_SERVER": "1",
        "PSDIST_SHM_BYTES": "0",  # they share a host, and are to use the link
        "PSDIST_INSECURE": "1",  # nobody else is in these namespaces
        "OPENBLAS_NUM_THREADS": "1",
    }
    serve = [sys.executable, "-m", "psdist_server"]
    started = [
        within(names[1], *serve, env=env | {"DMLC_ROLE": "scheduler"}),
        within(names[1], *serve, env=env | {"DMLC_ROLE": "server"}),
    ]
    argv = [sys.executable, str(HERE), "--as-worker", "--compression", compression, *more]
    worker = within(names[0], *argv, env=env | {"DMLC_ROLE": "worker"})
    try:
        out, err = worker.communicate(timeout=LIMIT_S)
        if worker.returncode:
            raise SystemExit(f"the worker failed:\n{err[-2000:]}")
        return float(json.loads(out.splitlines()[-1]))
    finally:
        for process in started:
            try:
                process.communicate(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


# --- the report --------------------------------------------------------------------------------------


def table(measured: dict[str, list[dict[str, float]]]) -> str:
    heads = (
        "iperf3 --bidir",
        "psdist",
        "of iperf3's",
        "wanted",
        "with 2bit",
        "and 4level back",
        "of uncompressed",
    )
    heads += ("pushes only", "with 2bit", "of uncompressed")
    lines = [f"| link | {' | '.join(heads)} |", "|--" * (1 + len(heads)) + "|"]
    for rate, laps in measured.items():
        middle = {side: statistics.median(lap[side] for lap in laps) for side in laps[0]}
        share = statistics.median(lap["plain"] / lap["iperf3"] for lap in laps)
        gain = statistics.median(lap["both"] / lap["plain"] for lap in laps)
        push = statistics.median(lap["2bit pushes"] / lap["pushes"] for lap in laps)
        figure = {side: f"{8 * value / 1e9:.3f} Gbit/s" for side, value in middle.items()}
        lines.append(
            f"| {rate} | {figure['iperf3']} | {figure['plain']} | {share:.3f} | {WANTED.get(rate, '–')} | "
            f"{figure['2bit']} | {figure['both']} | {gain:.1f} | {figure['pushes']} | {figure['2bit pushes']} | {push:.1f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rates", default="1gbit,10gbit", help="of the link, as tc has them")
    parser.add_argument("--laps", type=int, default=3)
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="put the table between the marks of this page"
    )
    parser.add_argument("--as-worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--pushes-only", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--compression", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.as_worker:
        work(options.compression, options.pushes_only)
        return
    if why := missing():
        print(f"links are not measured: {why}", file=sys.stderr)
        return
    load = figures.load()
    measured: dict[str, list[dict[str, float]]] = {}
    for rate in options.rates.split(","):
        with link(rate) as names:
            for lap in range(options.laps):
                one = {
                    "iperf3": iperf(names),
                    "plain": psdist(names, ""),
                    "2bit": psdist(names, "2bit"),
                    "both": psdist(names, "2bit+4level"),
                    "pushes": psdist(names, "", "--pushes-only"),
                    "2bit pushes": psdist(names, "2bit", "--pushes-only"),
                }
                measured.setdefault(rate, []).append(one)
                told = ", ".join(f"{side} {8 * value / 1e9:.3f}" for side, value in one.items())
                print(f"{rate}, lap {lap + 1} of {options.laps}: {told} Gbit/s", file=sys.stderr)
    text = table(measured) + f"\n{load}\n"
    print(text)
    if options.write:
        figures.put(options.write, text)


if __name__ == "__main__":
    main()

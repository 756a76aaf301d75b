"""Parameter exchange, psdist and others in one run: 2 workers and 1 server on this machine, synchronous.

    python bench/kv.py [--mxnet PYTHON] [--torch PYTHON] [--pslite PROGRAM] [--laps 5] [--only "1 MB"] [--out docs]

Each contender is started anew in every lap, one after the other, so that all of them meet the same changes of
a busy machine; what counts is the median over laps, and the ratios. Goodput is what a worker pushes and pulls,
divided by the time of a round: for an all-reduce, twice the array's bytes, likewise. `--mxnet` and `--torch` name
interpreters that have these installed, `--pslite` a program made from peers/pslite.cc; without, they are left out.
With `--out`, the page bench-kv.md and its picture are written there.

Bounds of the machine are measured in each lap, too: copying, and adding in place, 64 MB arrays in one thread.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import figures
import kv_page
import numpy as np

WORK = {  # name: (keys, elements of a key, rounds in one lap)
    "1 KB": (1, 256, 200),
    "4 KB": (1, 1024, 100),
    "64 KB": (1, 16 << 10, 100),
    "1 MB": (1, 1 << 18, 40),
    "16 MB": (1, 1 << 22, 6),
    "64 MB": (1, 1 << 24, 3),
    "100 x 1 MB": (100, 1 << 18, 2),
    "1,000 x 1 KB": (1_000, 256, 5),
    "10,000 x 64 B": (10_000, 16, 3),
    "10,000 rows of 1 M x 64": (10_000, 64, 10),
}
ROWS = "10,000 rows of 1 M x 64"  # a row_sparse value on which the server runs SGD; not for those that have no such thing
WARM_UP = 2  # rounds that touch fresh memory
LIMIT_S = 300


# --- the contenders' workers: one process each; some run on another interpreter ------------------------------


def psdist_worker(only):
    import psdist.kvstore

    with psdist.kvstore.create("dist_sync") as kv:

        def prepare(name, keys, size):
            if name == ROWS:
                import psdist as mx

                return exchange_rows(mx, kv, ROWS)
            names = [f"{name}:{i}" for i in range(keys)]
            grads = [np.ones(size, np.float32) for _ in names]
            outs = [np.empty(size, np.float32) for _ in names]
            kv.init(names, grads)
            if keys == 1:
                return lambda: kv.pushpull(names[0], grads[0], out=outs[0])
            return lambda: kv.pushpull(names, grads, out=outs)

        return measure(prepare, kv.barrier, only, has_rows=True)


def mxnet_worker(only):
    import mxnet as mx

    kv = mx.kv.create("dist_sync")
    first = [0]

    def prepare(name, keys, size):
        if name == ROWS:
            return exchange_rows(mx, kv, first[0] + 1_000_000)
        numbers = list(range(first[0], first[0] + keys))
        first[0] += keys
        grads = [mx.nd.ones((size,)) for _ in numbers]
        outs = [mx.nd.zeros((size,)) for _ in numbers]
        kv.init(numbers, grads)

        def exchange():
            kv.pushpull(numbers, grads, out=outs)
            mx.nd.waitall()

        return exchange

    return measure(prepare, kv._barrier, only, has_rows=True)


def exchange_rows(mx, kv, key):
    """A round on a table: push the gradient of some rows, pull others; the two libraries have one API."""
    num_rows, (num, width, _) = 1_000_000, WORK[ROWS]
    shape = (num_rows, width)
    kv.init(key, mx.nd.ones(shape).tostype("row_sparse"))
    kv.set_optimizer(mx.optimizer.SGD(learning_rate=0.1))
    rng = np.random.default_rng(kv.rank)
    steps = []
    for _ in range(4):
        ids = np.sort(rng.choice(num_rows, num, replace=False))
        data = mx.nd.array(rng.standard_normal((num, width)).astype(np.float32))
        steps.append(
            (mx.nd.sparse.row_sparse_array((data, ids), shape=shape), mx.nd.array(ids, dtype="int64"))
        )
    out = mx.nd.sparse.zeros("row_sparse", shape)
    count = itertools.count()

    def exchange():
        i = next(count)
        kv.push(key, steps[i % 4][0])
        kv.row_sparse_pull(key, out=out, row_ids=steps[(i + 1) % 4][1])
        mx.nd.waitall()

    return exchange


def gloo_worker(only):
    """Rank 0 is the server: it receives, adds and sends."""
    import torch.distributed as dist

    dist.init_process_group("gloo")

    def prepare(name, keys, size):
        return gloo_round(keys, size)

    return measure(prepare, dist.barrier, only)


def gloo_server(only):
    import torch.distributed as dist

    dist.init_process_group("gloo")
    for keys, size, rounds in chosen(only).values():
        exchange = gloo_round(keys, size)
        dist.barrier()
        for _ in range(WARM_UP):
            exchange()
        dist.barrier()
        for _ in range(rounds):
            exchange()


def gloo_round(keys, size):
    import torch
    import torch.distributed as dist

    values = [torch.ones(size) for _ in range(keys)]
    outs = [torch.empty(size) for _ in range(keys)]
    others = list(range(1, dist.get_world_size()))

    def serve():
        for value, out in zip(values, outs, strict=True):
            dist.recv(value, others[0])
            for other in others[1:]:
                dist.recv(out, other)
                value += out
            for request in [dist.isend(value, other) for other in others]:
                request.wait()

    def work():
        sent = [dist.isend(value, 0) for value in values]
        for request in [dist.irecv(out, 0) for out in outs]:
            request.wait()
        for request in sent:
            request.wait()

    return work if dist.get_rank() else serve


def rpc_worker(only):
    """torch RPC: the server's sum is a future that both workers' calls give back. A list is one call."""
    import torch
    from torch.distributed import rpc

    add = rpc_start(int(os.environ["RANK"]))
    try:

        def prepare(name, keys, size):
            values = [torch.ones(size) for _ in range(keys)]
            together = keys if size <= 1024 else 1
            lists = [values[i : i + together] for i in range(0, keys, together)]

            def exchange():
                for call in [
                    rpc.rpc_async("node0", add, (f"{name}:{i}", one)) for i, one in enumerate(lists)
                ]:
                    call.wait()

            return exchange

        return measure(prepare, lambda: rpc.rpc_sync("node0", add, ("barrier", [torch.ones(1)])), only)
    finally:
        rpc.shutdown()


def rpc_server(only):
    from torch.distributed import rpc

    rpc_start(0)
    rpc.shutdown()


def rpc_start(rank):
    """Join, and give the function that the server runs: torch finds it there by its name."""
    from torch.distributed import rpc

    add = globals()["rpc_add"] = rpc.functions.async_execution(rpc_add)
    rpc.init_rpc(f"node{rank}", rank=rank, world_size=3)
    return add


rpc_sums = {}  # by key, on the server: the first gradients of a round, and the future of the sum
rpc_lock = threading.Lock()


def rpc_add(key, values):
    """On the server. The first caller's answer comes with the second's gradients."""
    import torch

    with rpc_lock:
        first = rpc_sums.pop(key, None)
        if first is None:
            future = torch.futures.Future()
            rpc_sums[key] = values, future
            return future
    totals, future = first
    for total, value in zip(totals, values, strict=True):
        total += value
    future.set_result(totals)
    return future


def all_reduce_worker(only):
    import torch
    import torch.distributed as dist

    dist.init_process_group("gloo")

    def prepare(name, keys, size):
        values = [torch.ones(size) for _ in range(keys)]

        def exchange():
            for request in [dist.all_reduce(value, async_op=True) for value in values]:
                request.wait()

        return exchange

    return measure(prepare, dist.barrier, only)


def measure(prepare, barrier, only, has_rows=False):
    """Seconds of each round, for each kind of work."""
    seconds = {}
    for name, (keys, size, rounds) in chosen(only, has_rows).items():
        exchange = prepare(name, keys, size)
        barrier()
        for _ in range(WARM_UP):
            exchange()
        barrier()
        times = []
        for _ in range(rounds):
            start = time.perf_counter()
            exchange()
            times.append(time.perf_counter() - start)
        seconds[name] = times
    return seconds


def chosen(only, has_rows=False):
    return {
        name: work for name, work in WORK.items() if (not only or only == name) and (has_rows or name != ROWS)
    }


# --- starting them -------------------------------------------------------------------------------------------


def run_psdist(options, env):
    return run_roles(sys.executable, "psdist", ["-m", "psdist_server"], options, env)


def run_mxnet(options, env):
    return run_roles(options.mxnet, "mxnet", ["-c", "import mxnet"], options, env)


def run_roles(python, name, serve, options, env):
    """Scheduler, server and two workers, as DMLC_ROLE tells them."""
    port = free_port()
    env = {
        **env,
        "DMLC_PS_ROOT_URI": "127.0.0.1",
        "DMLC_PS_ROOT_PORT": str(port),
        "DMLC_NUM_WORKER": "2",
        "DMLC_NUM_SERVER": "1",
    }
    argv = [python, str(Path(__file__).resolve()), "--as", name, "--only", options.only]
    started = [
        start([python, *serve], {**env, "DMLC_ROLE": "scheduler"}),
        start([python, *serve], {**env, "DMLC_ROLE": "server"}),
    ]
    started += [start(argv, {**env, "DMLC_ROLE": "worker", "PSDIST_RANK": str(i)}) for i in range(2)]
    return first_result(started, started[2:])


def run_pslite(options, env):
    work = [str(part) for name, numbers in chosen(options.only).items() for part in (name, *numbers)]
    env = {
        **env,
        "DMLC_PS_ROOT_URI": "127.0.0.1",
        "DMLC_PS_ROOT_PORT": str(free_port()),
        "DMLC_NODE_HOST": "127.0.0.1",
        "DMLC_NUM_WORKER": "2",
        "DMLC_NUM_SERVER": "1",
    }
    roles = ("scheduler", "server", "worker", "worker")
    started = [start([options.pslite, *work], {**env, "DMLC_ROLE": role}) for role in roles]
    return first_result(started, started[2:])


def run_torch(name, world, server, options, env):
    env = {**env, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(world)}
    started = []
    for rank in range(world):
        role = server if server and rank == 0 else name
        argv = [options.torch, str(Path(__file__).resolve()), "--as", role, "--only", options.only]
        started.append(start(argv, {**env, "RANK": str(rank)}))
    return first_result(started, started[-2:])


def start(argv, env):
    return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def first_result(started, workers):
    """What the first worker measured, when all have ended."""
    try:
        results = []
        for worker in workers:
            out, err = worker.communicate(timeout=LIMIT_S)
            if worker.returncode:
                raise SystemExit(f"{' '.join(worker.args)} failed:\n{err[-2000:]}")
            results.append(json.loads(out.strip().splitlines()[-1]))
        return results[0]
    finally:
        for process in started:
            try:
                process.communicate(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def bounds():
    """GB/s of copying and of adding in place."""
    a, b = np.ones(1 << 24, np.float32), np.ones(1 << 24, np.float32)
    found = {}
    for name, do in (("copy", lambda: np.copyto(a, b)), ("add in place", lambda: np.add(a, b, out=a))):
        times = []
        for _ in range(4):
            begin = time.perf_counter()
            do()
            times.append(time.perf_counter() - begin)
        found[name] = a.nbytes / min(times) / 1e9
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mxnet", default="", metavar="PYTHON", help="an interpreter with MXNet 1.9.1")
    parser.add_argument("--torch", default="", metavar="PYTHON", help="an interpreter with torch")
    parser.add_argument("--pslite", default="", metavar="PROGRAM", help="made from bench/peers/pslite.cc")
    parser.add_argument("--laps", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=9.5, help="begin no lap that would not end by then")
    parser.add_argument("--only", default="", help="only this work")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for bench-kv.md and bench-kv.svg")
    parser.add_argument("--as", dest="role", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        workers = {
            "psdist": psdist_worker,
            "mxnet": mxnet_worker,
            "gloo": gloo_worker,
            "gloo-server": gloo_server,
            "all-reduce": all_reduce_worker,
            "rpc": rpc_worker,
            "rpc-server": rpc_server,
        }
        sys.stdout.write(json.dumps(workers[options.role](options.only)) + "\n")
        return
    load = figures.load()
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    contenders = {
        "psdist, memory": lambda: run_psdist(options, env),
        "psdist, ipc": lambda: run_psdist(
            options, {**env, "PSDIST_SHM_BYTES": "0", "PSDIST_TRANSPORT": "ipc"}
        ),
        "psdist, TCP": lambda: run_psdist(options, {**env, "PSDIST_SHM_BYTES": "0"}),
    }
    if options.pslite:
        contenders["ps-lite, TCP"] = lambda: run_pslite(options, env)
        contenders["ps-lite, ipc"] = lambda: run_pslite(options, {**env, "DMLC_LOCAL": "1"})
    if options.mxnet:
        contenders["MXNet dist_sync"] = lambda: run_mxnet(options, env)
    if options.torch:
        contenders["gloo send/recv"] = lambda: run_torch("gloo", 3, "gloo-server", options, env)
        contenders["torch RPC"] = lambda: run_torch("rpc", 3, "rpc-server", options, env)
        contenders["gloo all-reduce"] = lambda: run_torch("all-reduce", 2, "", options, env)
    laps = {name: [] for name in contenders}
    limits = []
    began = time.monotonic()
    for lap in range(options.laps):
        if lap and (time.monotonic() - began) * (lap + 1) / lap > options.minutes * 60:
            break  # on a machine that is busy with other things: the page says how many laps there were
        limits.append(bounds())
        for name, run in contenders.items():
            laps[name].append(run())
            sys.stderr.write(f"lap {lap + 1} of {options.laps}: {name}\n")
    work = {name: numbers[:2] for name, numbers in chosen(options.only, has_rows=True).items()}
    sys.stdout.write(kv_page.table(work, laps, limits))
    if options.out:
        kv_page.write(options.out, work, laps, limits, load)


if __name__ == "__main__":
    main()

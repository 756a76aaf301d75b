"""What the workers of the cluster tests do: `python programs.py NAME OPTIONS` prints what NAME returns."""

from __future__ import annotations

import hashlib
import importlib
import itertools
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from psdist_worker import store

import psdist.kvstore
from psdist import cpu, errors, initializer, lr_scheduler, nd, optimizer, sym
from psdist.io import NDArrayIter, PortionIter
from psdist.kvstore import KVStore
from psdist.module import Module
from psdist.settings import Settings

# small ones that share a message, one that is spread over servers, one that is cut into slices, an empty one
SHAPES: dict[str, tuple[int, ...]] = {
    "bias": (7,),
    "empty": (0, 3),
    "scalar": (),
    "weight": (50, 40),
    "wide": (300, 400),
    "large": (700, 1000),
}
ROUNDS = 4


class _Here(threading.local):
    settings: Settings | None = None  # of a worker that is a thread of this process


here = _Here()


def create(name: str) -> KVStore:
    """The store that the environment describes, or this thread's settings."""
    if here.settings is None or "dist" not in name:
        return psdist.kvstore.create(name)
    return store.create(name, here.settings)


def first_values() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {key: rng.standard_normal(shape).astype(np.float32) for key, shape in SHAPES.items()}


def gradients(rank: int, step: int) -> dict[str, Any]:
    rng = np.random.default_rng((2, rank, step))
    return {key: rng.standard_normal(shape).astype(np.float32) for key, shape in SHAPES.items()}


# optimizers that look at whole arrays; set before the keys are initialised
WHOLE: dict[str, Any] = {
    "lamb": lambda: optimizer.LAMB(learning_rate=0.01, wd=0.001, rescale_grad=0.25, clip_gradient=0.3),
    "lars": lambda: optimizer.LARS(learning_rate=0.1, momentum=0.9, wd=0.01, eta=0.1, rescale_grad=0.5),
    "lbsgd": lambda: optimizer.LBSGD(
        learning_rate=0.01, momentum=0.9, wd=0.01, warmup_strategy="lars", batch_scale=2
    ),
    "sgld": lambda: optimizer.SGLD(learning_rate=0.01, wd=0.01),
}


def make_optimizer(kind: str) -> Any:
    if kind in WHOLE:
        return WHOLE[kind]()
    if kind == "adam":
        return optimizer.Adam(learning_rate=0.01, wd=0.001, rescale_grad=0.25)
    schedule = lr_scheduler.FactorScheduler(step=2, factor=0.5)
    return optimizer.SGD(
        learning_rate=0.1, momentum=0.9, wd=0.01, rescale_grad=0.5, clip_gradient=1.5, lr_scheduler=schedule
    )


def digest(arrays: list[Any]) -> str:
    h = hashlib.sha256()
    for array in arrays:
        h.update(array.asnumpy().tobytes())
    return h.hexdigest()


def train(opt: str = "sgd", late: int = 0, way: str = "push", reverse: bool = False) -> dict[str, Any]:
    """A few rounds; worker `late` pushes after the others, `way` is push, pushpull or list."""
    with create("dist_sync") as kv:
        keys = list(SHAPES)[:: -1 if reverse else 1]
        values = first_values()
        if opt in WHOLE:
            kv.set_optimizer(make_optimizer(opt))
        for key in keys:
            kv.init(key, nd.array(values[key] if kv.rank == 0 else np.full(SHAPES[key], 77.0)))
        if opt not in ("none", *WHOLE):
            kv.set_optimizer(make_optimizer(opt))
        outs = {key: nd.array(np.zeros(SHAPES[key], np.float32)) for key in keys}
        for step in range(ROUNDS):
            grads = {key: nd.array(value) for key, value in gradients(kv.rank, step).items()}
            if kv.rank == late:
                kv.barrier()
            if way == "pushpull":
                if kv.rank != late:
                    kv.barrier()
                kv.pushpull(keys, [grads[k] for k in keys], out=[outs[k] for k in keys])
            elif way == "list":
                kv.push(keys, [grads[k] for k in keys])
                for grad in grads.values():
                    grad._data.fill(np.nan)  # push has taken what it needs
                if kv.rank != late:
                    kv.barrier()
                kv.pull(keys, out=[outs[k] for k in keys])
            else:
                for i, key in enumerate(keys):
                    kv.push(key, grads[key], priority=-i)
                    grads[key]._data.fill(np.nan)
                if kv.rank != late:
                    kv.barrier()
                for i, key in enumerate(keys):
                    kv.pull(key, out=outs[key], priority=-i)
        return {"rank": kv.rank, "digest": digest([outs[key] for key in SHAPES])}


def train_with_stops(
    opt: str = "sgd", num_rounds: int = 12, stops: list[int] | None = None, way: str = "push", pull: str = ""
) -> dict[str, Any]:
    """Train; say at which round it is where there is a stop, and go on at once: what happens then is the test's."""
    with create("dist_sync") as kv:
        keys = list(SHAPES)
        for key, value in first_values().items():
            kv.init(key, nd.array(value))
        if opt != "none":
            kv.set_optimizer(make_optimizer(opt))
        if pull:
            kv.set_gradient_compression({"type": "none", "pull": pull})
        outs = [nd.array(np.zeros(SHAPES[key], np.float32)) for key in keys]
        assert isinstance(kv, store.DistKVStore)
        for step in range(kv.begins_at, num_rounds):
            grads = [nd.array(value) for value in gradients(kv.rank, step).values()]
            if step in (stops or ()):
                print(f"round {step}", flush=True)
            if way == "push":
                for i, key in enumerate(keys):
                    kv.push(key, grads[i], priority=-i)
                for i, key in enumerate(keys):
                    kv.pull(key, out=outs[i], priority=-i)
            else:
                kv.pushpull(keys, grads, out=outs)
        view = kv._client.view
        assert view is not None
        return {
            "rank": kv.rank,
            "digest": digest(outs),
            "epoch": view.epoch,
            "begins_at": kv.begins_at,
        }


def train_elastic(until: int, lost: int = 0, stop: int = -1) -> dict[str, Any]:
    """Every push adds 1. Train until, after a round with `lost` pushes (0: at once), there were 10 rounds with
    `until` pushes. All who are there see the same values, so that they end together. Says when it has done
    round `stop`."""
    kv = create("dist_sync")
    assert isinstance(kv, store.DistKVStore)
    shape = (700, 1000)
    kv.init("w", nd.zeros(shape))
    kv.set_optimizer(optimizer.SGD(learning_rate=1.0))
    out = nd.zeros(shape)
    kv.pull("w", out=out)
    begins_at, first = kv.begins_at, float(out.asnumpy()[0, 0])
    values = [first]
    step, was_lost, full = begins_at, lost == 0 or begins_at > 0, 0
    while full < 10:
        kv.push("w", nd.ones(shape) * -1)
        kv.pull("w", out=out)
        values.append(float(out.asnumpy()[0, 0]))
        pushes = values[-1] - values[-2]
        was_lost = was_lost or pushes == lost
        full = full + 1 if was_lost and pushes == until else 0
        if step == stop:
            print(f"round {step}", flush=True)
        step += 1
    kv.close()
    return {
        "rank": kv.rank,
        "begins_at": begins_at,
        "first": first,
        "pushes": [int(b - a) for a, b in itertools.pairwise(values)],
        "digest": digest([out]),
    }


def train_portions(num_portions: int, epochs: int = 1, stop: int = -1) -> dict[str, Any]:
    """Learn from every portion of the data once an epoch; how often each is in the values (of those who are here now,
    if others still learn), and which were this worker's. At its batch number `stop` it says so, and goes on."""
    with create("dist_sync") as kv:
        shapes = {"small": (num_portions,), "large": (num_portions, 5000)}
        kv.set_optimizer(optimizer.SGD(learning_rate=1.0))
        for key, shape in shapes.items():
            kv.init(key, nd.zeros(shape))
        batches = PortionIter(
            np.arange(num_portions), np.zeros(num_portions), 1, kv, num_epoch=epochs, seed=4
        )
        outs = [nd.zeros(shape) for shape in shapes.values()]
        mine = []
        while batches.epoch < epochs:
            for batch in batches:
                if len(mine) == stop:
                    print(f"batch {stop}", flush=True)
                grads = [nd.zeros(shape) for shape in shapes.values()]
                for grad in grads:
                    grad._data[int(batch.index[0])] = -1
                kv.portions = batch.portions
                kv.pushpull(list(shapes), grads, out=outs)
                mine.append(int(batch.portions[0]))
                time.sleep(0.01)  # as if it computed: so that others come and go meanwhile
            batches.reset()
        kv.pull(list(shapes), out=outs)
        counts = sorted({float(count) for out in outs for count in np.unique(out.asnumpy())})
        return {"counts": counts, "mine": mine, "first_epoch": batches.first_epoch}


def step_by_own_rule() -> float:
    """One step of a rule that is in a module of the test's."""
    own_rules = importlib.import_module("own_rules")
    with create("dist_sync") as kv:
        kv.init("w", nd.zeros((5,)))
        kv.set_optimizer(own_rules.Own(learning_rate=0.5))
        out = nd.zeros((5,))
        kv.push("w", nd.ones((5,)) * 7)
        kv.pull("w", out=out)
        return float(out.asnumpy()[0])


def train_compressed(**params: Any) -> dict[str, Any]:
    """Go down a valley: w -= lr * (w - 3), with compressed gradients; where that ends, and the bytes that travelled."""
    with create("dist_sync") as kv:
        kv.set_gradient_compression(params)
        shape = (300, 1000)  # two slices
        kv.init("w", nd.zeros(shape))
        kv.init("small", nd.zeros((5,)))
        kv.set_optimizer(optimizer.SGD(learning_rate=0.1, rescale_grad=1 / kv.num_workers))
        out, small = nd.zeros(shape), nd.zeros((5,))
        noise = np.random.default_rng(kv.rank)
        for step in range(60):
            grad = out.asnumpy() - 3 + noise.standard_normal(shape).astype(np.float32) * 0.01
            if step % 2:
                kv.pushpull("w", nd.array(grad), out=out)
            else:
                kv.push("w", nd.array(grad))
                kv.pull("w", out=out)
            kv.pushpull("small", nd.array(small.asnumpy() - 3), out=small)
        return {
            "digest": digest([out]),
            "error": float(np.abs(out.asnumpy() - 3).max()),
            "small": small.asnumpy().tolist(),
        }


def share() -> dict[str, Any]:
    """Exchange large arrays; with how many servers memory was shared, and what came."""
    with create("dist_sync") as kv:
        assert isinstance(kv, store.DistKVStore)
        kv.init("w", nd.zeros((3000, 100)))
        out = nd.zeros((3000, 100))
        for _ in range(5):
            kv.pushpull("w", nd.ones((3000, 100)), out=out)
            kv.push("w", nd.ones((3000, 100)))
            kv.pull("w", out=out)
        ways = {sock.last_endpoint[:3].decode() for peer, sock in kv._io._loop._sockets.items() if peer >= 0}  # type: ignore[union-attr]
        return {"shared": len(kv._sharing._servers), "ways": [*ways], "sum": float(out.asnumpy().sum())}


def cut_lanes() -> dict[str, Any]:
    """Exchange a small and a large key while the lane to the server breaks, again and again."""
    with create("dist_sync") as kv:
        assert isinstance(kv, store.DistKVStore)
        keys, shapes = ["small", "large"], [(10,), (300, 100)]
        kv.init(keys, [nd.zeros(shape) for shape in shapes])
        outs = [nd.zeros(shape) for shape in shapes]
        names = set()
        for step in range(12):
            kv.push(keys, [nd.ones(shape) * step for shape in shapes])
            if step % 3 == 1:
                for lane in list(kv._io._loop._lanes.values()):  # type: ignore[union-attr]
                    names.add(id(lane))
                    lane._socket.shutdown(socket.SHUT_RDWR)
            kv.pull(keys, out=outs)
        return {"sums": [float(out.asnumpy().sum()) for out in outs], "lanes": len(names)}


def flood(num_rounds: int, nbytes: int) -> float:
    """Push as fast as the store takes it; worker 1 stops itself (SIGSTOP) before its first push."""
    with create("dist_sync") as kv:
        keys, shape = [f"w{i}" for i in range(8)], (nbytes // 32,)
        kv.init(keys, [nd.zeros(shape)] * 8)
        kv.set_optimizer(optimizer.SGD(learning_rate=1.0, momentum=0.5))
        grads, out = [nd.ones(shape)] * 8, nd.zeros(shape)
        kv.barrier()
        if kv.rank == 1:
            os.kill(os.getpid(), signal.SIGSTOP)

        def tell(*_: object) -> None:
            sys.stdout.write("flooded\n")
            sys.stdout.flush()

        if kv.rank == 0:  # by then the store has taken all that it takes
            signal.signal(signal.SIGALRM, tell)
            signal.setitimer(signal.ITIMER_REAL, 2.0)
        for _ in range(num_rounds):
            kv.push(keys, grads)
        kv.pull(keys[0], out=out)
        return float(out.asnumpy()[0])


def refused_midway() -> list[float]:
    """A gradient that cannot be compressed, in a list with one that can: as if it had never been pushed."""
    with create("dist_sync") as kv:
        keys, shape = ["a", "b"], (5000,)
        kv.init(keys, [nd.zeros(shape)] * 2)
        kv.set_optimizer(optimizer.SGD(learning_rate=1.0))
        kv.set_gradient_compression({"type": "2bit", "threshold": 1.0})
        for _ in range(3):
            try:
                kv.push(keys, [nd.ones(shape) * 0.4, nd.ones(shape) * float("nan")])
                raise AssertionError("NaN was taken")
            except errors.BadValue as e:
                if "push 'b': NaN" not in str(e):
                    raise
        kv.push(keys, [nd.ones(shape) * 0.7, nd.ones(shape)])  # 0.7 alone is below the threshold
        outs = [nd.zeros(shape), nd.zeros(shape)]
        kv.pull(keys, out=outs)
        return [float(out.asnumpy()[0]) for out in outs]


def interrupted() -> list[float]:
    """Worker 0 is interrupted while it waits for worker 1, three times, and goes on."""
    with create("dist_sync") as kv:
        kv.init("w", nd.zeros((5,)))
        out = nd.zeros((5,))
        num = 0
        if kv.rank == 0:
            signal.signal(signal.SIGALRM, signal.default_int_handler)
            kv.push("w", nd.ones((5,)))
            for _ in range(3):
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.25)  # by then it waits, on a busy machine too
                    kv.pull("w", out=out)
                except KeyboardInterrupt:
                    num += 1
        kv.barrier()
        if kv.rank == 1:
            kv.push("w", nd.ones((5,)))
        kv.pull("w", out=out)
        return [num, *out.asnumpy().tolist()]


def train_devices(num_devices: int, opt: str) -> str:
    """The same rounds in one process, with a device for each worker."""
    kv = create("local")
    keys = list(SHAPES)
    for key, value in first_values().items():
        kv.init(key, nd.array(value))
    if opt != "none":
        kv.set_optimizer(make_optimizer(opt))
    outs = [nd.array(np.zeros(SHAPES[key], np.float32)) for key in keys]
    for step in range(ROUNDS):
        of = [gradients(device, step) for device in range(num_devices)]
        kv.push(keys, [[nd.array(grads[key]) for grads in of] for key in keys])
    kv.pull(keys, out=outs)
    return digest(outs)


def fit_embedding(
    num_devices: int = 1, opt: str = "sgd", prepares: bool = True, epochs: int = 2
) -> dict[str, Any]:
    """Fit a network on an Embedding with a sparse gradient, each worker or device on data of its own."""
    with create("dist_sync" if num_devices == 1 else "local") as kv:
        rng = np.random.default_rng(4)
        words, labels = rng.integers(0, 400, (4, 2, 8, 3)), rng.integers(0, 3, (4, 2, 8))
        if num_devices == 1:
            words, labels = words[:, kv.rank], labels[:, kv.rank]
        x = sym.Embedding(sym.Variable("data"), input_dim=400, output_dim=6, sparse_grad=True, name="embed")
        x = sym.FullyConnected(sym.Flatten(x), num_hidden=3, name="fc")
        x = sym.SoftmaxOutput(x, name="softmax")
        module = Module(x, context=[cpu(i) for i in range(num_devices)])
        shapes = zip(x.list_arguments(), x.infer_shape(data=(8, 3))[0], strict=True)
        params = {
            name: nd.array(rng.standard_normal(shape).astype(np.float32) + kv.rank)
            for name, shape in shapes
            if name not in ("data", "softmax_label")
        }
        ends: list[str] = []
        data = NDArrayIter(
            words.reshape(-1, 3).astype(np.float32), labels.reshape(-1).astype(np.float32), 8 * num_devices
        )
        before = getattr(kv, "_client", None) and kv._client.nbytes  # type: ignore[attr-defined]
        module.fit(
            data,
            kvstore=kv,
            optimizer=opt,
            optimizer_params={"learning_rate": 0.1, "wd": 0.01, "rescale_grad": 1 / 16},
            arg_params=params,
            num_epoch=epochs,
            epoch_end_callback=lambda _, __, args, ___: ends.append(digest([args[name] for name in params])),
            sparse_row_id_fn=(lambda batch: {"embed_weight": batch.data[0]}) if prepares else None,
        )
        pushed = kv._client.nbytes - before if before is not None else 0  # type: ignore[attr-defined]
        return {"ends": ends, "pushed": pushed}


def fit_batchnorm(
    num_devices: int = 1, epochs: int = 2, num_batches: list[int] | None = None
) -> dict[str, Any]:
    """Fit a small network with BatchNorm, each worker or device on data of its own; what is known at each epoch's end
    and, by the first worker alone, after each batch."""
    with create("dist_sync" if num_devices == 1 else "local") as kv:
        num = (num_batches or [3, 3])[kv.rank]
        rng = np.random.default_rng(3)
        scales = np.array([1.0, 3.0], np.float32)[:, None, None]
        images = rng.standard_normal((num, 2, 8, 6)).astype(np.float32) * scales
        labels = rng.integers(0, 3, (num, 2, 8)).astype(np.float32)
        if num_devices == 1:
            images, labels = images[:, kv.rank], labels[:, kv.rank]
        x = sym.FullyConnected(sym.Variable("data"), num_hidden=5, name="fc1")
        x = sym.BatchNorm(x, name="bn", fix_gamma=False)
        x = sym.SoftmaxOutput(sym.FullyConnected(x, num_hidden=3, name="fc2"), name="softmax")
        module = Module(x, context=[cpu(i) for i in range(num_devices)])
        shapes = zip(x.list_arguments(), x.infer_shape(data=(8, 6))[0], strict=True)
        params = {
            name: nd.array(rng.standard_normal(shape).astype(np.float32) + kv.rank)
            for name, shape in shapes
            if name not in ("data", "softmax_label")
        }
        epoch_ends: list[str] = []
        batch_ends: list[str] = []

        def epoch_end(epoch: int, symbol: Any, args: Any, auxs: Any) -> None:
            epoch_ends.append(digest([*(args[name] for name in params), *(auxs[k] for k in sorted(auxs))]))

        def batch_end(_: Any) -> None:
            if kv.rank == 0:
                batch_ends.append(digest(list(module.get_params()[1].values())))

        batch_size = 8 * num_devices
        module.fit(
            NDArrayIter(images.reshape(-1, 6), labels.reshape(-1), batch_size),
            kvstore=kv,
            optimizer="sgd",
            optimizer_params={"learning_rate": 0.1},
            arg_params=params,
            aux_params={"bn_moving_mean": nd.zeros(5) + kv.rank, "bn_moving_var": nd.ones(5)},
            num_epoch=epochs,
            epoch_end_callback=epoch_end,
            batch_end_callback=batch_end,
        )
        module.close()
        means = [float(value.asnumpy().sum()) for value in module.get_params()[1].values()]
        return {"epoch_ends": epoch_ends, "batch_ends": len(set(batch_ends)), "means": means}


def turn_dial() -> dict[str, Any]:
    """Synchronous rounds, then with a bound of 2, then synchronous again. While the bound is 2 the first worker makes two
    rounds before the other makes one, which without it would wait for ever. Keys differ beyond 32 bits."""
    keys = [5, 2**40 + 5, 2**63 - 1]
    with create("dist_sync") as kv:
        kv.set_optimizer(optimizer.SGD(learning_rate=1.0))
        for key in keys:
            kv.init(key, nd.zeros(3) + key % 7)
        outs = [nd.zeros(3) for _ in keys]
        seen = []

        def step() -> None:
            kv.pushpull(keys, [nd.zeros(3) - 1 for _ in keys], out=outs)
            seen.append([int(out.asnumpy()[0]) - key % 7 for key, out in zip(keys, outs, strict=True)])

        step()
        kv.barrier()
        kv.set_staleness(2)
        kv.barrier()
        if kv.rank == 1:
            kv.barrier()  # until the other has made its rounds
        step()
        step()
        if kv.rank == 0:
            kv.barrier()
        kv.barrier()
        kv.set_staleness(0)
        kv.barrier()
        step()
        return {"seen": seen}


def exchange_huge(length: int) -> int:
    """One round of a key of so many bytes; how many elements came back wrong."""
    with create("dist_sync") as kv:
        value = nd.zeros((length,), dtype="uint8")
        kv.init("huge", value)
        pattern = np.arange(251, dtype=np.uint8)
        data = value._data
        for low in range(0, length, len(pattern) * 4096):
            part = data[low : low + len(pattern) * 4096]
            part[:] = np.resize(pattern, part.size)
        wanted = [int(data[i]) for i in (0, length // 2, 2**31 - 1, 2**31, length - 1)]
        total = int(data.sum(dtype=np.uint64))
        kv.pushpull("huge", value)  # into itself: there is not memory for everything
        data = value._data
        same = [int(data[i]) for i in (0, length // 2, 2**31 - 1, 2**31, length - 1)] == wanted
        return 0 if same and int(data.sum(dtype=np.uint64)) == total else 1


def count_pushes(num: int) -> float:
    """Asynchronous: every push adds 1 by way of the optimizer; what the value is when all are done."""
    with create("dist_async") as kv:
        kv.init("w", nd.zeros((200, 300)))
        kv.set_optimizer(optimizer.SGD(learning_rate=1.0))
        out = nd.zeros((200, 300))
        last = 0.0
        for _ in range(num):
            kv.push("w", nd.ones((200, 300)) * -1)
            kv.pull("w", out=out)
            value = out.asnumpy()
            assert value.min() >= last + 1, "a pull must show the own push, and never go back"
            last = float(value.min())
        kv.barrier()
        kv.pull("w", out=out)
        assert (out.asnumpy() == out.asnumpy()[0, 0]).all()
        return float(out.asnumpy()[0, 0])


def mistakes() -> list[str]:
    """Every mistake is one error at the caller, and the store goes on."""
    said = []

    def expect(cls: type[Exception], do: Callable[[], object]) -> None:
        try:
            do()
        except cls as e:
            said.append(f"{type(e).__name__}: {e}")
        else:
            raise AssertionError(f"no {cls.__name__}")

    with create("dist_sync") as kv:
        one = nd.ones((2, 3))
        expect(errors.UnknownKey, lambda: kv.push("fc1_weight", one))
        kv.init("fc1_weight", one)
        expect(errors.UnknownKey, lambda: kv.pull("fc1_wieght", out=one))
        expect(errors.BadValue, lambda: kv.push("fc1_weight", nd.ones((3, 2))))
        if kv.rank == 0:
            kv.init("uneven", nd.ones((2,)))
        kv.barrier()
        if kv.rank == 1:
            expect(errors.BadValue, lambda: kv.init("uneven", nd.ones((3,))))
        expect(errors.ConfigError, lambda: kv.init("fc1_weight", one))
        expect(errors.ConfigError, lambda: kv.set_updater(print))
        expect(errors.ConfigError, lambda: kv.set_optimizer(OwnOptimizer()))
        kv.push("fc1_weight", one * 2)
        kv.pull("fc1_weight", out=one)
        assert (one.asnumpy() == 2 * kv.num_workers).all()
    expect(errors.ClosedError, lambda: kv.push("fc1_weight", one))
    return said


class OwnOptimizer(optimizer.Optimizer):
    """Code that no server runs."""


def join() -> list[int]:
    with create("dist_sync") as kv:
        return [kv.rank, kv.num_workers]


def train_until_killed(fail_at: int = -1, silent: bool = False) -> None:
    """Rounds without end; says when it has begun. At `fail_at`, worker 1 raises."""
    kv = create("dist_sync")
    kv.init("w", nd.zeros((300, 400)))
    out = nd.zeros((300, 400))
    step = 0
    while True:
        if step == fail_at and kv.rank == 1:
            raise KeyError("the 5th file is not there")
        kv.push("w", nd.ones((300, 400)))
        kv.pull("w", out=out)
        step += 1
        if step == 3:
            print("training", flush=True)


def leave_early() -> list[float]:
    """Worker 1 has data for 2 rounds, worker 0 for 5: it goes on alone."""
    with create("dist_sync") as kv:
        kv.init("w", nd.zeros((3,)))
        out = nd.zeros((3,))
        sums = []
        for _ in range(5 if kv.rank == 0 else 2):
            kv.pushpull("w", nd.ones((3,)), out=out)
            sums.append(float(out.asnumpy()[0]))
        return sums


def exit_without_close() -> str:
    """Push, and end: the push is delivered, the worker leaves by itself."""
    kv = create("dist_sync")
    kv.init("w", nd.zeros((1000, 1000)))
    kv.push("w", nd.ones((1000, 1000)))
    return "left to the interpreter"


def save_states(path: str, opt: str) -> str:
    """Two rounds, states to a file, two more rounds."""
    return _rounds_with_states(opt, save=path)


def load_states(path: str, opt: str, values: str) -> str:
    """The last two rounds again, with the values and states of before."""
    return _rounds_with_states(opt, load=path, values=values)


def _rounds_with_states(opt: str, *, save: str = "", load: str = "", values: str = "") -> str:
    kind = "local" if here.settings is None else "dist_sync"
    with create(kind) as kv:
        keys = list(SHAPES)
        first = first_values() if not load else dict(np.load(values))
        for key in keys:
            kv.init(key, nd.array(first[key]))
        kv.set_optimizer(make_optimizer(opt))
        outs = [nd.array(np.zeros(SHAPES[key], np.float32)) for key in keys]
        if load:
            kv.load_optimizer_states(load)
        for step in range(2 if load else 0, 4):
            if step == 2 and save:
                kv.pull(keys, out=outs)
                if kv.rank == 0:
                    kv.save_optimizer_states(save)
                    named = {key: out.asnumpy() for key, out in zip(keys, outs, strict=True)}
                    np.savez(Path(save).with_suffix(".npz"), **named)
                kv.barrier()
            devices = range(2) if kind == "local" else [kv.rank]
            of = [gradients(device, step) for device in devices]
            kv.push(keys, [[nd.array(grads[key]) for grads in of] for key in keys])
        kv.pull(keys, out=outs)
        return digest(outs)


def change_rates() -> list[float]:
    """w -= lr * 2 each round, while rank 0 changes lr."""
    with create("dist_sync") as kv:
        kv.init("w", nd.zeros((4,)))
        sgd = optimizer.SGD(learning_rate=1.0)
        kv.set_optimizer(sgd)
        out = nd.zeros((4,))
        seen = []
        for lr in (1.0, 10.0, 100.0):
            sgd.set_learning_rate(lr)
            kv.push("w", nd.ones((4,)))
            kv.pull("w", out=out)
            seen.append(float(out.asnumpy()[0]))
        return seen


def train_over_cut_wires(num: int) -> list[Any]:
    """Add exact integers, while the connections to the servers are cut again and again."""
    with create("dist_sync") as kv:
        shape = (1500, 1000)
        kv.init("w", nd.zeros(shape))
        kv.set_optimizer(optimizer.SGD(learning_rate=1.0))
        out = nd.zeros(shape)
        cuts = 0
        for step in range(num):
            kv.push("w", nd.ones(shape) * -(1 + kv.rank))
            if step % 2 == kv.rank:
                cuts += _cut_connections()
            kv.pull("w", out=out)
            assert (out.asnumpy() == 3 * (step + 1)).all(), f"step {step}: {np.unique(out.asnumpy())}"
        return [cuts, float(out.asnumpy()[0, 0])]


def _cut_connections() -> int:
    """Shut down every TCP connection of this process, as a reset in the middle of a frame would."""
    cuts = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            with socket.fromfd(int(name), socket.AF_INET, socket.SOCK_STREAM) as sock:
                if sock.family == socket.AF_INET and isinstance(sock.getpeername(), tuple):
                    sock.shutdown(socket.SHUT_RDWR)
                    cuts += 1
        except OSError:
            continue
    return cuts


def serve_or_train() -> list[int]:
    """One script for every role, as MXNet's launchers start it."""
    return join()


def wait_for_a_slow_worker() -> str:
    """Worker 1 never pushes; what worker 0 hears."""
    kv: KVStore = create("dist_sync")
    kv.init("w", nd.zeros((3,)))
    if kv.rank == 1:
        kv.barrier()
        return ""
    kv.push("w", nd.ones((3,)))
    try:
        kv.pull("w", out=nd.zeros((3,)))
    except errors.RequestTimeout as e:
        sys.stdout.write(json.dumps(str(e)) + "\n")
        sys.stdout.flush()
        os._exit(0)  # without close(), which would wait for the push
    raise AssertionError("no timeout")


# --- tables ---------------------------------------------------------------------------------------------

TABLE = (300, 4)


def sparse_gradient(rank: int, step: int, num: int = 40) -> Any:
    rng = np.random.default_rng((7, rank, step))
    ids = np.sort(rng.choice(TABLE[0], num if (rank + step) % 3 else 0, replace=False))
    data = rng.standard_normal((len(ids), TABLE[1])).astype(np.float32)
    return nd.sparse.row_sparse_array((data, ids), shape=TABLE)


def sparse_optimizer(kind: str) -> Any:
    common = {"rescale_grad": 0.5, "wd": 0.01}
    match kind:
        case "sgd":
            schedule = lr_scheduler.FactorScheduler(step=2, factor=0.5)
            return optimizer.SGD(learning_rate=0.1, momentum=0.9, lr_scheduler=schedule, **common)
        case "sgd-dense":
            return optimizer.SGD(learning_rate=0.1, momentum=0.9, lazy_update=False, **common)
        case "adam-dense":
            return optimizer.Adam(learning_rate=0.1, lazy_update=False, **common)
        case _:
            return optimizer.create(kind, learning_rate=0.1, **common)


def declare_tables(kv: KVStore, opt: str) -> None:
    """One that is given by value, one whose rows begin when they are touched, and an array beside them."""
    rng = np.random.default_rng(3)
    kv.init("given", nd.array(rng.standard_normal(TABLE)).tostype("row_sparse"))
    kv.init("dense", nd.array(rng.standard_normal((10, 3))))
    kv.init_table("touched", TABLE, initializer=initializer.Normal(0.5), seed=11)
    if opt != "none":
        kv.set_optimizer(sparse_optimizer(opt))


def exchange_rows(kv: KVStore, ranks: list[int], step: int, way: str) -> None:
    """One round, of one worker or of devices in one process."""
    grads = [sparse_gradient(rank, step) for rank in ranks]
    dense = [nd.array(np.full((10, 3), 0.1 * rank + step)) for rank in ranks]
    out = nd.zeros((10, 3))
    if way == "list":
        rows = nd.sparse.zeros("row_sparse", TABLE)
        kv.pushpull(["given", "dense", "touched"], [grads, dense, grads], out=[rows, out, rows])
    else:
        kv.push("given", grads)
        kv.push(["touched", "dense"], [grads, dense])
        kv.row_sparse_pull("given", out=grads[0], row_ids=nd.array([1, 2, 299], dtype="int64"))


def all_values(kv: KVStore, opt: str) -> str:
    outs = [nd.zeros(TABLE), nd.zeros((10, 3)), nd.zeros(TABLE)]
    kv.pull(["given", "dense", "touched"], out=outs)
    # one that is not lazy changes rows that nobody has touched, but those are not there on a server
    return digest(outs[:2] if opt.endswith("-dense") else outs)


def train_rows(opt: str = "sgd", way: str = "push", tell_at: int = -1) -> str:
    with create("dist_sync") as kv:
        declare_tables(kv, opt)
        for step in range(ROUNDS + 2):
            if step == tell_at:
                print("now", flush=True)
            exchange_rows(kv, [kv.rank], step, way)
        return all_values(kv, opt)


def train_rows_here(num_workers: int, opt: str) -> str:
    """The same in one process, a device for each worker."""
    with create("local") as kv:
        declare_tables(kv, opt)
        for step in range(ROUNDS + 2):
            exchange_rows(kv, list(range(num_workers)), step, "push")
        return all_values(kv, opt)


def rows_with_states(*, save: str = "", load: str = "", opt: str = "adam") -> str:
    """Two rounds, states and values to files, two more rounds; or the last two again, from the files."""
    kind = "local" if here.settings is None else "dist_sync"
    with create(kind) as kv:
        first = np.random.default_rng(3).standard_normal(TABLE).astype(np.float32)
        value = nd.array(np.load(f"{load}.npy") if load else first)
        kv.init("given", nd.sparse.row_sparse_array((value, np.arange(TABLE[0])), shape=TABLE))
        kv.set_optimizer(sparse_optimizer(opt))
        if load:
            kv.load_optimizer_states(load)
        out = nd.zeros(TABLE)
        for step in range(2 if load else 0, 4):
            if step == 2 and save:
                kv.pull("given", out=out)
                if kv.rank == 0:
                    kv.save_optimizer_states(save)
                    np.save(f"{save}.npy", out.asnumpy())
                kv.barrier()
            ranks = range(2) if kind == "local" else [kv.rank]
            kv.push("given", [sparse_gradient(rank, step) for rank in ranks])
        kv.pull("given", out=out)
        return digest([out])


def exchange_many_rows(counted: list[int], num: int, steps: int) -> tuple[int, int]:
    """Bytes of the rows that this worker has pushed and pulled, and for the first one those on all wires meanwhile."""
    with create("dist_sync") as kv:
        kv.init_table("t", (1_000_000, 64))
        kv.set_optimizer(optimizer.SGD(learning_rate=0.1))
        kv.barrier()
        before = sum(counted)
        kv.barrier()
        out = nd.sparse.zeros("row_sparse", (1_000_000, 64))
        for step in range(steps):
            ids = np.sort(np.random.default_rng([kv.rank, step]).choice(1_000_000, num, replace=False))
            data = nd.array(np.ones((num, 64), np.float32))
            kv.push("t", nd.sparse.row_sparse_array((data, ids), shape=out.shape))
            kv.row_sparse_pull("t", out=out, row_ids=nd.array(ids, dtype="int64"))
            assert (out.data.asnumpy() != 0).all()
        kv.barrier()
        return 2 * steps * num * 64 * 4, sum(counted) - before if kv.rank == 0 else 0


def push_bad_rows(bad: dict[str, list[int]]) -> tuple[dict[str, str], list[float]]:
    """What is said of wrong calls; then a right one, whose value is returned."""
    told = {}

    def attempt(what: str, do: Callable[[], Any]) -> None:
        try:
            do()
        except (errors.PSError, ValueError) as e:
            told[what] = str(e)

    with create("dist_sync") as kv:
        kv.init("given", nd.sparse.zeros("row_sparse", TABLE))
        kv.set_optimizer(optimizer.SGD(learning_rate=1.0))
        ones = nd.ones((2, 4))
        for what, ids in bad.items():
            grad = nd.sparse.row_sparse_array((ones, ids), shape=TABLE)
            attempt(what, lambda grad=grad: kv.push("given", grad))
        wide = nd.sparse.row_sparse_array((nd.ones((2, 5)), [1, 2]), shape=(300, 5))
        attempt("width", lambda: kv.push("given", wide))
        out = nd.sparse.zeros("row_sparse", TABLE)
        attempt("pull", lambda: kv.row_sparse_pull("given", out=out, row_ids=nd.array([300])))
        attempt("name", lambda: kv.row_sparse_pull("gvien", out=out, row_ids=nd.array([3])))
        attempt("twice", lambda: kv.init_table("given", TABLE))
        attempt("initializer", lambda: kv.init_table("new", TABLE, initializer="bilinear"))
        attempt("evict", lambda: kv.init_table("new", TABLE, max_rows=3, ttl=4))
        kv.init_table("huge", (1 << 40, 4))
        attempt("states", lambda: kv.save_optimizer_states("nowhere"))
        attempt("lamb", lambda: kv.set_optimizer(optimizer.LAMB()))
        kv.push("given", nd.sparse.row_sparse_array((ones, [1, 299]), shape=TABLE))
        kv.row_sparse_pull("given", out=out, row_ids=nd.array([1, 299], dtype="int64"))
        return told, out.data.asnumpy()[:, 0].tolist()


def forget_rows() -> list[float]:
    """A row that nobody touches for two rounds, one that is touched, and how many rows are stored in the end."""
    with create("dist_sync") as kv:
        kv.init_table("t", (1 << 40, 2), ttl=2)
        kv.set_optimizer(optimizer.SGD(learning_rate=1.0, rescale_grad=0.5))
        for step in range(8):
            ids = np.array([step, 1 << 39 if step == 7 else 1000 + step])
            kv.push("t", nd.sparse.row_sparse_array((nd.ones((2, 2)), ids), shape=(1 << 40, 2)))
        out = nd.sparse.zeros("row_sparse", (1 << 40, 2))
        kv.row_sparse_pull("t", out=out, row_ids=nd.array([2, 1 << 39], dtype="int64"))
        values = out.data.asnumpy()[:, 0].tolist()
        kv.pull("t", out=out, ignore_sparse=False)
        return [*values, len(out.indices) - 1]


def count_row_pushes(num: int) -> float:
    with create("dist_async") as kv:
        kv.init_table("t", TABLE)
        kv.set_optimizer(optimizer.SGD(learning_rate=1.0))
        for _ in range(num):
            kv.push("t", nd.sparse.row_sparse_array((nd.ones((1, 4)), [7]), shape=TABLE))
        out = nd.sparse.zeros("row_sparse", TABLE)
        kv._drain()  # type: ignore[attr-defined]
        kv.barrier()
        kv.row_sparse_pull("t", out=out, row_ids=nd.array([7], dtype="int64"))
        return float(out.data.asnumpy()[0, 0])


if __name__ == "__main__":
    result = globals()[sys.argv[1]](**json.loads(sys.argv[2]))
    print(json.dumps(result), flush=True)

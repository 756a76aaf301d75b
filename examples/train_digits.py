"""Train a LeNet-style network on scikit-learn's handwritten digits, alone or with workers and servers.

    python examples/train_digits.py
    psdist run -n 2 -s 1 -- python examples/train_digits.py --kv-store dist_sync

`--batch-size` counts the images of one step over all workers and devices. Worker r's i-th batch is part r
of the i-th such step: one process with two devices and two workers with one device each compute the same
numbers.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

import psdist as mx

IMAGE = (1, 8, 8)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train on the handwritten digits.")
    parser.add_argument("--kv-store", default="local", help="local, device, dist_sync or dist_async")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--batch-size", type=int, default=64, help="images of a step, over all workers")
    parser.add_argument("--num-devices", type=int, default=1, help="logical CPU devices of each worker")
    parser.add_argument("--optimizer", default="sgd", help="sgd, adam or any other of mx.optimizer")
    parser.add_argument("--lr", type=float, help="learning rate; by default one that suits the optimizer")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plot", metavar="PATH", help="save a picture of the curves")
    parser.add_argument("--save", metavar="PREFIX", help="save the model as PREFIX-symbol.json and .params")
    return parser.parse_args()


def load_digits() -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """(images, labels) for training and for testing: a fixed 80/20 split."""
    try:
        from sklearn.datasets import load_digits as load
    except ImportError:
        sys.exit("train_digits needs scikit-learn for its data: pip install 'psdist[demo]'")
    digits = load()
    images = (digits.images / 16.0).astype(np.float32).reshape(-1, *IMAGE)
    labels = digits.target.astype(np.float32)
    order = np.random.RandomState(0).permutation(len(images))
    split = len(order) * 4 // 5
    train, test = order[:split], order[split:]
    return (images[train], labels[train]), (images[test], labels[test])


class WorkerBatches(mx.io.DataIter):
    """One worker's part of every step, in an order that all workers draw alike and anew for each epoch."""

    def __init__(
        self, images: Any, labels: Any, batch_size: int, rank: int, num_workers: int, seed: int
    ) -> None:
        if batch_size % num_workers:
            sys.exit(f"a batch of {batch_size} cannot be shared evenly by {num_workers} workers")
        super().__init__(batch_size // num_workers)
        self.images, self.labels = images, labels
        self.num_steps = len(images) // batch_size
        self.rank, self.num_workers = rank, num_workers
        self.random = np.random.RandomState(seed)
        self.provide_data = [mx.io.DataDesc("data", (self.batch_size, *IMAGE))]
        self.provide_label = [mx.io.DataDesc("softmax_label", (self.batch_size,))]
        self.reset()

    def reset(self) -> None:
        order = self.random.permutation(len(self.images))[
            : self.num_steps * self.num_workers * self.batch_size
        ]
        self.rows: Iterator[Any] = iter(order.reshape(self.num_steps, self.num_workers, -1)[:, self.rank])

    def next(self) -> mx.io.DataBatch:
        rows = next(self.rows)
        return mx.io.DataBatch([mx.nd.array(self.images[rows])], [mx.nd.array(self.labels[rows])], pad=0)


def lenet() -> Any:
    """Two convolutions with pooling, two dense layers, a softmax over the ten digits."""
    x = mx.sym.Variable("data")
    for i, num_filter in enumerate((16, 32), start=1):
        x = mx.sym.Convolution(x, kernel=(3, 3), pad=(1, 1), num_filter=num_filter, name=f"conv{i}")
        x = mx.sym.Activation(x, act_type="relu", name=f"relu{i}")
        x = mx.sym.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max", name=f"pool{i}")
    x = mx.sym.Flatten(x, name="flatten")
    x = mx.sym.FullyConnected(x, num_hidden=64, name="fc1")
    x = mx.sym.Activation(x, act_type="relu", name="relu3")
    x = mx.sym.FullyConnected(x, num_hidden=10, name="fc2")
    return mx.sym.SoftmaxOutput(x, name="softmax")


def where_parameters_live(kv: Any, params: dict[str, Any]) -> str:
    """One line: how many values and bytes, and on which servers."""
    values = sum(p.size for p in params.values())
    nbytes = sum(p.size * np.dtype(p.dtype).itemsize for p in params.values())
    total = f"{values:,} values ({nbytes / 1024:,.0f} KiB)"
    shares = kv.placement()
    if not shares:
        return f"parameters: {total} in this process"
    servers = [f"server {rank}: {n:,} ({size / 1024:,.0f} KiB)" for rank, (n, size) in shares.items()]
    return f"parameters: {total} on {'; '.join(servers)}"


def save_curves(path: str, curves: dict[str, list[float]]) -> str:
    """Draw loss and accuracies over the epochs. Returns a sentence about where they are."""
    try:
        import matplotlib as mpl
    except ImportError:
        return "no picture of the curves: it needs matplotlib (pip install 'psdist[plot]')"
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    epochs = range(1, len(curves["loss"]) + 1)
    fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.plot(epochs, curves["loss"], color="tab:red")
    left.set(title="training loss (cross-entropy)", xlabel="epoch", yscale="log")
    right.plot(epochs, curves["train"], label="training")
    right.plot(epochs, curves["test"], label="test")
    right.axhline(0.97, color="grey", linewidth=0.8, linestyle="--")
    right.set(title="accuracy", xlabel="epoch", ylim=(0.8, 1.0))
    right.legend(loc="lower right")
    fig.savefig(path, dpi=120)
    plt.close(fig)
    return f"curves saved to {path}"


def step_sizes(args: argparse.Namespace, kv: Any, num_steps: int) -> dict[str, Any]:
    """The optimizer's numbers that suit it and the store; the rate falls twice towards the end."""
    numbers: dict[str, Any] = {"learning_rate": args.lr or 0.002}
    if args.optimizer in ("sgd", "nag"):
        numbers = {"learning_rate": args.lr or 0.1, "momentum": 0.9, "wd": 1e-3}
        if "async" in kv.type:
            # Every worker's gradient is a step of its own, and the delay acts as momentum (arXiv 1605.09774).
            numbers = {"learning_rate": (args.lr or 0.4) / kv.num_workers, "wd": 1e-3}
    falls = sorted({max(1, num_steps * tenths // 10) for tenths in (6, 8)})
    schedule = mx.lr_scheduler.MultiFactorScheduler(falls, factor=0.2, base_lr=numbers["learning_rate"])
    return numbers | {"lr_scheduler": schedule}


def main() -> None:
    args = parse_args()
    kv = mx.kv.create(args.kv_store)  # in a server's or scheduler's process: serves until the job is over
    is_first = kv.rank == 0
    (train_images, train_labels), (test_images, test_labels) = load_digits()
    mx.random.seed(args.seed)
    train = WorkerBatches(train_images, train_labels, args.batch_size, kv.rank, kv.num_workers, args.seed)
    test = mx.io.NDArrayIter(test_images, test_labels, batch_size=60)
    mod = mx.mod.Module(lenet(), context=[mx.cpu(i) for i in range(args.num_devices)])

    optimizer_params = step_sizes(args, kv, args.epochs * train.num_steps)
    bar = mx.callback.ProgressBar(total=train.num_steps, length=20, file=sys.stdout)
    curves: dict[str, list[float]] = {"loss": [], "train": [], "test": []}

    def accuracy_on_test() -> float:
        return float((mod.predict(test).asnumpy().argmax(axis=1) == test_labels).mean())

    def at_epoch_start(epoch: int) -> None:
        bar.text = f"epoch {epoch + 1:2d}/{args.epochs} "

    def at_epoch_end(epoch: int, *_: Any) -> None:
        if is_first:
            values = dict(metric.get_name_value())
            curves["loss"].append(values["cross-entropy"])
            curves["train"].append(values["accuracy"])
            curves["test"].append(accuracy_on_test())
            at_epoch_start(epoch + 1)

    def at_batch_end(param: Any) -> None:
        if param.epoch == 0 and param.nbatch == 0:
            print(where_parameters_live(kv, mod.get_params()[0]), flush=True)
        bar(param)

    metric = mx.metric.create(["acc", "ce"])
    at_epoch_start(0)
    began = time.perf_counter()
    mod.fit(
        train,
        eval_metric=metric,
        num_epoch=args.epochs,
        kvstore=kv,
        optimizer=args.optimizer,
        optimizer_params=optimizer_params,
        initializer=mx.init.Xavier(),
        batch_end_callback=[at_batch_end] if is_first else [],
        epoch_end_callback=at_epoch_end,
    )
    kv.barrier()
    elapsed = time.perf_counter() - began
    if is_first:
        images = args.epochs * train.num_steps * args.batch_size
        if args.save:
            mod.save_checkpoint(args.save, args.epochs)
        parts = [f"test accuracy {accuracy_on_test():.4f}"]
        workers = f"{kv.num_workers} worker" + "s" * (kv.num_workers > 1)
        parts.append(f"{images / elapsed:,.0f} images/s over {workers}")
        if args.plot:
            parts.append(save_curves(args.plot, curves))
        print("; ".join(parts), flush=True)
    mod.close()
    kv.close()


if __name__ == "__main__":
    main()

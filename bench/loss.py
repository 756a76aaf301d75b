"""What compressed gradients do to training: the digits demo, 2 workers and 1 server, with each code.

    python bench/loss.py [--epochs 25] [--out docs]

Tells test accuracy, the mean over seeds, and the bytes of gradients that a worker has pushed; draws loss over these bytes.
With --out the page compression.md gets its table and its picture. Arrays of up to 8 KB are never compressed, so that the
ratio of all bytes is smaller than a code's own.
"""

from __future__ import annotations

import argparse
import json
import runpy
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import figures

DEMO = Path(__file__).resolve().parents[1] / "examples" / "train_digits.py"
CODES: dict[str, dict[str, Any]] = {
    "none": {"type": "none"},
    "fp16": {"type": "fp16"},
    "bf16": {"type": "bf16"},
    "int8": {"type": "int8"},
    "2bit": {"type": "2bit", "threshold": 3.0},
    "1bit": {"type": "1bit"},
    "topk": {"type": "topk", "k": 0.02},
}
RATES = {
    "1bit": 0.05
}  # learning rates, where not 0.1: signs, each as large as the mean, make the noisiest steps
SEEDS = (1, 2, 3, 4)  # the 360 images of the test are few: one of them is 0.28 %
BATCH = 64  # images of a step
WANTED = 0.005  # of accuracy, that a code may cost


def train(code: str, epochs: int, file: str) -> None:
    """A worker. Rank 0 leaves in `file` what `fit` gives for each seed."""
    from psdist_worker.store import DistKVStore

    import psdist as mx

    nbytes = [0]
    request = DistKVStore._push_request

    def counted(*args: Any, **named: Any) -> Any:
        made = request(*args, **named)
        nbytes[0] += sum(value.nbytes for value in made.message.values)
        return made

    DistKVStore._push_request = counted  # type: ignore[method-assign]
    demo = runpy.run_path(str(DEMO))
    kv = mx.kv.create("dist_sync")
    kv.set_gradient_compression(CODES[code])
    accuracies, curves = [], []
    for seed in SEEDS:
        nbytes[0] = 0
        with mx.name.Prefix(f"seed{seed}_"):  # keys of their own
            symbol = demo["lenet"]()
        accuracy, curve = fit(mx, demo, kv, symbol, (seed, epochs, RATES.get(code, 0.1)), nbytes)
        accuracies.append(accuracy)
        curves.append(curve)
    if kv.rank == 0:
        Path(file).write_text(json.dumps({"accuracies": accuracies, "curves": curves}))
    kv.close()


def fit(
    mx: Any, demo: dict[str, Any], kv: Any, symbol: Any, how: tuple[int, int, float], nbytes: list[int]
) -> tuple[float, list[list[float]]]:
    """Train once: accuracy, and of each epoch [bytes pushed so far, loss]."""
    seed, epochs, rate = how
    (images, labels), (test_images, test_labels) = demo["load_digits"]()
    mx.random.seed(seed)
    batches = demo["WorkerBatches"](images, labels, BATCH, kv.rank, kv.num_workers, seed)
    data, *_, label = symbol.list_arguments()
    batches.provide_data = [mx.io.DataDesc(data, (batches.batch_size, *demo["IMAGE"]))]
    batches.provide_label = [mx.io.DataDesc(label, (batches.batch_size,))]
    mod = mx.mod.Module(symbol, data_names=[data], label_names=[label])
    total = epochs * batches.num_steps
    schedule = mx.lr_scheduler.MultiFactorScheduler(
        [total * 6 // 10, total * 8 // 10], factor=0.2, base_lr=rate
    )
    metric = mx.metric.create("ce")
    curve: list[list[float]] = []
    mod.fit(
        batches,
        eval_metric=metric,
        num_epoch=epochs,
        kvstore=kv,
        optimizer="sgd",
        optimizer_params={"learning_rate": rate, "momentum": 0.9, "wd": 1e-3, "lr_scheduler": schedule},
        initializer=mx.init.Xavier(),
        epoch_end_callback=lambda *_: curve.append([nbytes[0], metric.get()[1]]),
    )
    kv.barrier()
    test = mx.io.NDArrayIter({data: test_images}, {label: test_labels}, batch_size=60)
    accuracy = float((mod.predict(test).asnumpy().argmax(axis=1) == test_labels).mean())
    mod.close()
    return accuracy, curve


def run(code: str, epochs: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder, "curve.json"))
        job = [sys.executable, "-m", "psdist_launch.cli", "run", "-n", "2", "-s", "1", "--"]
        own = [sys.executable, __file__, "--epochs", str(epochs), "--train", code, "--file", file]
        done = subprocess.run([*job, *own], capture_output=True, timeout=280)
        if done.returncode:
            raise SystemExit(done.stderr.decode())
        return dict(json.loads(Path(file).read_text()))


def table(found: dict[str, dict[str, Any]]) -> str:
    plain = found["none"]
    lines = [
        "| code | test accuracy | less than without | pushed by a worker | times fewer |",
        "|--|--|--|--|--|",
    ]
    for code, one in found.items():
        accuracy = statistics.mean(one["accuracies"])
        loss, sent = statistics.mean(plain["accuracies"]) - accuracy, one["curves"][0][-1][0]
        numbers = ", ".join(f"{name} {value}" for name, value in CODES[code].items() if name != "type")
        numbers += f"learning rate {RATES[code]}" if code in RATES else ""
        mark = "" if loss <= WANTED else f" (more than {WANTED:.1%})"
        lines.append(
            f"| {code}{f' ({numbers})' if numbers else ''} | {accuracy:.4f} | {loss:.2%}{mark} | "
            f"{sent / 1e6:.2f} MB | {plain['curves'][0][-1][0] / sent:.1f} |"
        )
    return "\n".join(lines) + "\n"


def plot(found: dict[str, dict[str, Any]], path: Path) -> None:
    plt = figures.pyplot()
    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for code, one in found.items():
        sent = [n / 1e6 for n, _ in one["curves"][0]]
        losses = [statistics.mean(loss for _, loss in same) for same in zip(*one["curves"], strict=True)]
        axes.plot(sent, losses, "-", label=code)
    axes.set(xscale="log", yscale="log", xlabel="MB of gradients pushed by a worker", ylabel="training loss")
    axes.legend()
    figures.save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--out", type=Path, help="a folder with compression.md")
    parser.add_argument("--train", choices=list(CODES), help=argparse.SUPPRESS)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        train(options.train, options.epochs, options.file)
        return
    found = {}
    for code in CODES:
        found[code] = run(code, options.epochs)
        print(f"{code}: accuracies {found[code]['accuracies']}", file=sys.stderr)
    text = table(found)
    print(text)
    if options.out:
        plot(found, options.out / "compression.svg")
        figures.put(options.out / "compression.md", text)


if __name__ == "__main__":
    main()

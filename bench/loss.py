"""What compressed gradients do to training: the digits demo, 2 workers and 1 server, with each code.

    python bench/loss.py [--epochs 25] [--out docs]
    python bench/loss.py --tune

Tells test accuracy, the mean over seeds, and the bytes that a worker has pushed and pulled; draws loss over these bytes.
With --out the page compression.md gets its table and its picture. Arrays of up to 8 KB are never compressed, so that the
ratio of all bytes is smaller than a code's own. --tune tries settings on a fifth of the training images that is held out:
those in CODES and RATES were chosen so.
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
import numpy as np

DEMO = Path(__file__).resolve().parents[1] / "examples" / "train_digits.py"
CODES: dict[str, dict[str, Any]] = {  # as the table calls them
    "none": {"type": "none"},
    "fp16": {"type": "fp16"},
    "bf16": {"type": "bf16"},
    "int8": {"type": "int8"},
    "2bit": {"type": "2bit", "threshold": 0.02},
    "1bit": {"type": "1bit"},
    "topk": {"type": "topk", "k": 0.02},
    "int8, both ways": {"type": "int8", "pull": "int8"},
    "4level back": {"type": "none", "pull": "4level"},
    "2bit, 4level back": {"type": "2bit", "threshold": 0.02, "pull": "4level"},
    "4level, both ways": {"type": "4level", "pull": "4level"},
}
TRIED: list[
    tuple[str, str, dict[str, Any], float]
] = [  # by --tune: code, what of it, settings, learning rate
    ("none", "", {"type": "none"}, 0.1),
    *[
        ("2bit", f"threshold {t}", {"type": "2bit", "threshold": t}, 0.1)
        for t in (0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 2.0, 3.0, 4.0)
    ],
    *[("1bit", f"learning rate {rate}", {"type": "1bit"}, rate) for rate in (0.1, 0.05, 0.03)],
    *[
        ("4level, both ways", f"learning rate {rate}", {"type": "4level", "pull": "4level"}, rate)
        for rate in (0.1, 0.05)
    ],
]
RATES = {
    "1bit": 0.05,
    "4level, both ways": 0.05,
}  # learning rates, where not 0.1: coarse levels make noisy steps
SEEDS = (1, 2, 3, 4)  # the 360 images of the test are few: one of them is 0.28 %
BATCH = 64  # images of a step
WANTED = 0.005  # of accuracy, that a code may cost


def train(params: dict[str, Any], rate: float, epochs: int, held_out: bool, file: str) -> None:
    """A worker. Rank 0 leaves in `file` what `fit` gives for each seed."""
    from psdist_worker.client import Client
    from psdist_worker.store import DistKVStore

    import psdist as mx

    nbytes = [0, 0]  # pushed, pulled
    request, answer = DistKVStore._push_request, Client._answer

    def counted(*args: Any, **named: Any) -> Any:
        made = request(*args, **named)
        nbytes[0] += sum(value.nbytes for value in made.message.values)
        return made

    def counted_back(client: Client, reply: Any) -> None:
        nbytes[1] += sum(value.nbytes for value in getattr(reply, "values", ()))
        answer(client, reply)

    DistKVStore._push_request = counted  # type: ignore[method-assign]
    Client._answer = counted_back  # type: ignore[method-assign]
    demo = runpy.run_path(str(DEMO))
    kv = mx.kv.create("dist_sync")
    kv.set_gradient_compression(params)
    accuracies, curves = [], []
    for seed in SEEDS:
        nbytes[:] = 0, 0
        with mx.name.Prefix(f"seed{seed}_"):  # keys of their own
            symbol = demo["lenet"]()
        accuracy, curve = fit(mx, demo, kv, symbol, (seed, epochs, rate, held_out), nbytes)
        accuracies.append(accuracy)
        curves.append(curve)
    if kv.rank == 0:
        Path(file).write_text(json.dumps({"accuracies": accuracies, "curves": curves}))
    kv.close()


def fit(
    mx: Any, demo: dict[str, Any], kv: Any, symbol: Any, how: tuple[int, int, float, bool], nbytes: list[int]
) -> tuple[float, list[list[float]]]:
    """Train once: accuracy, and of each epoch [bytes pushed so far, bytes pulled, loss]."""
    seed, epochs, rate, held_out = how
    (images, labels), (test_images, test_labels) = demo["load_digits"]()
    if held_out:  # the test images are not looked at
        num = len(images) * 4 // 5
        (images, test_images), (labels, test_labels) = np.split(images, [num]), np.split(labels, [num])
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
        epoch_end_callback=lambda *_: curve.append([*nbytes, metric.get()[1]]),
    )
    kv.barrier()
    test = mx.io.NDArrayIter({data: test_images}, {label: test_labels}, batch_size=60)
    accuracy = float((mod.predict(test).asnumpy().argmax(axis=1) == test_labels).mean())
    mod.close()
    return accuracy, curve


def run(params: dict[str, Any], rate: float, epochs: int, held_out: bool = False) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder, "curve.json"))
        job = [sys.executable, "-m", "psdist_launch.cli", "run", "-n", "2", "-s", "1", "--"]
        own = [
            sys.executable,
            __file__,
            "--epochs",
            str(epochs),
            "--train",
            json.dumps([params, rate, held_out]),
        ]
        done = subprocess.run([*job, *own, "--file", file], capture_output=True, timeout=600)
        if done.returncode:
            raise SystemExit(done.stderr.decode())
        return dict(json.loads(Path(file).read_text()))


def table(found: dict[str, dict[str, Any]]) -> str:
    plain = found["none"]
    lines = [
        "| code | test accuracy | less than without | pushed by a worker | pulled | times fewer in all |",
        "|--|--|--|--|--|--|",
    ]
    for code, one in found.items():
        accuracy = statistics.mean(one["accuracies"])
        loss = statistics.mean(plain["accuracies"]) - accuracy
        pushed, pulled, _ = one["curves"][0][-1]
        numbers = ", ".join(
            f"{name} {value}" for name, value in CODES[code].items() if name not in ("type", "pull")
        )
        numbers += f"learning rate {RATES[code]}" if code in RATES else ""
        mark = "" if loss <= WANTED else f" (more than {WANTED:.1%})"
        lines.append(
            f"| {code}{f' ({numbers})' if numbers else ''} | {accuracy:.4f} | {loss:.2%}{mark} | "
            f"{pushed / 1e6:.2f} MB | {pulled / 1e6:.2f} MB | {sum(plain['curves'][0][-1][:2]) / (pushed + pulled):.1f} |"
        )
    return "\n".join(lines) + "\n"


def plot(found: dict[str, dict[str, Any]], path: Path) -> None:
    plt = figures.pyplot()
    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for code, one in found.items():
        sent = [(pushed + pulled) / 1e6 for pushed, pulled, _ in one["curves"][0]]
        losses = [statistics.mean(loss for *_, loss in same) for same in zip(*one["curves"], strict=True)]
        axes.plot(sent, losses, "-", label=code)
    axes.set(xscale="log", yscale="log", xlabel="MB pushed and pulled by a worker", ylabel="training loss")
    axes.legend()
    figures.save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--out", type=Path, help="a folder with compression.md")
    parser.add_argument(
        "--tune", action="store_true", help="try settings on training images that are held out"
    )
    parser.add_argument("--train", help=argparse.SUPPRESS)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        params, rate, held_out = json.loads(options.train)
        train(params, rate, options.epochs, held_out, options.file)
        return
    if options.tune:
        for code, name, params, rate in TRIED:
            accuracies = run(params, rate, options.epochs, held_out=True)["accuracies"]
            print(f"{code}, {name}: {statistics.mean(accuracies):.4f} {accuracies}", flush=True)
        return
    found = {}
    for code in CODES:
        found[code] = run(CODES[code], RATES.get(code, 0.1), options.epochs)
        print(f"{code}: accuracies {found[code]['accuracies']}", file=sys.stderr)
    text = table(found)
    print(text)
    if options.out:
        plot(found, options.out / "compression.svg")
        figures.put(options.out / "compression.md", text)


if __name__ == "__main__":
    main()

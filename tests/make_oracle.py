"""Ask MXNet 1.9.1 about metrics, schedules and iterators, and keep the answers in oracle.json.

    python tests/make_oracle.py     # in an environment that has mxnet==1.9.1

A case stands in the file with its answer, so that the tests need nothing but the file.
"""

import json
import pathlib

import mxnet as mx
import numpy as np

METRICS = [
    # name, arguments, kind of data
    ("acc", {}, "classes"),
    ("acc", {"axis": 0}, "columns"),
    ("top_k_accuracy", {"top_k": 2}, "classes"),
    ("top_k_accuracy", {"top_k": 4}, "classes"),
    ("f1", {}, "binary"),
    ("f1", {"average": "micro"}, "binary"),
    ("mcc", {}, "binary"),
    ("mcc", {"average": "micro"}, "binary"),
    ("pcc", {}, "classes"),
    ("pcc", {}, "binary"),
    ("perplexity", {"ignore_label": None}, "classes"),
    ("perplexity", {"ignore_label": 0}, "classes"),
    ("mae", {}, "values"),
    ("mse", {}, "values"),
    ("rmse", {}, "values"),
    ("ce", {}, "classes"),
    ("ce", {"eps": 0.1}, "classes"),
    ("nll_loss", {}, "classes"),
    ("pearsonr", {}, "values"),
    ("pearsonr", {"average": "micro"}, "values"),
    ("loss", {}, "values"),
    ("torch", {}, "values"),
    ("caffe", {}, "values"),
]
SCHEDULES = [
    ("FactorScheduler", {"step": 5, "factor": 0.5, "stop_factor_lr": 0.02}),
    ("MultiFactorScheduler", {"step": [3, 12, 30], "factor": 0.5}),
    ("PolyScheduler", {"max_update": 40, "pwr": 3, "final_lr": 0.05}),
    ("CosineScheduler", {"max_update": 40, "final_lr": 0.05}),
]
WARM_UPS = [
    {},
    {"warmup_steps": 7, "warmup_begin_lr": 0.01},
    {"warmup_steps": 7, "warmup_begin_lr": 0.01, "warmup_mode": "constant"},
]
ITERATORS = [
    {"batch_size": size, "shuffle": shuffle, "last_batch_handle": handle}
    for size in (3, 4, 5)
    for shuffle in (False, True)
    for handle in ("pad", "discard", "roll_over")
]


def batches(kind, random):
    """Three batches of (label, prediction)."""
    for _ in range(3):
        if kind == "binary":
            scores = random.rand(8, 2)
            yield random.randint(0, 2, 8), scores / scores.sum(axis=1, keepdims=True)
        elif kind == "classes":
            scores = random.rand(8, 4)
            yield random.randint(0, 4, 8), scores / scores.sum(axis=1, keepdims=True)
        elif kind == "columns":
            yield random.randint(0, 8, 4), random.rand(8, 4)
        else:
            yield random.rand(8, 1), random.rand(8, 1)


def metric_case(number, name, options, kind):
    random = np.random.RandomState(number)
    metric = mx.metric.create(name, **options)
    steps = []
    for label, pred in batches(kind, random):
        label, pred = label.astype(np.float32), pred.astype(np.float32)
        metric.update([mx.nd.array(label)], [mx.nd.array(pred)])
        steps.append({"label": label.tolist(), "pred": pred.tolist(), "value": float(metric.get()[1])})
    return {"name": name, "options": options, "steps": steps}


def schedule_case(name, options):
    schedule = getattr(mx.lr_scheduler, name)(base_lr=0.3, **options)
    return {"name": name, "options": options, "rates": [float(schedule(i)) for i in range(60)]}


def iterator_case(options):
    np.random.seed(3)
    data, label = np.arange(20).reshape(10, 2), np.arange(10)
    iterator = mx.io.NDArrayIter(data, label, **options)
    epochs = []
    for _ in range(4):
        iterator.reset()
        epochs.append([[batch.label[0].asnumpy().tolist(), batch.pad] for batch in iterator])
    return {"options": options, "epochs": epochs}


answers = {
    "metrics": [metric_case(i, *case) for i, case in enumerate(METRICS)],
    "schedules": [schedule_case(name, {**own, **warm_up}) for name, own in SCHEDULES for warm_up in WARM_UPS],
    "iterators": [iterator_case(options) for options in ITERATORS],
}
pathlib.Path(__file__).with_name("oracle.json").write_text(json.dumps(answers, indent=None) + "\n")
print({name: len(cases) for name, cases in answers.items()})

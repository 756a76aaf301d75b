"""Ask MXNet 1.9.1 what its optimizers do, and keep the answers in oracle.npz.

    python tests/optimizer/make_oracle.py     # in an environment that has mxnet==1.9.1

A case is an optimizer's name and arguments; its answer is the weight after each of a few updates from
seeded values and gradients, which stand in the file too, so that the tests need nothing but the file.
"""

import itertools
import json
import pathlib

import mxnet as mx
import numpy as np

NUM_STEPS = 6
_SHAPE = (5, 7)

_SHARED = [
    {},
    {"wd": 0.03},
    {"rescale_grad": 0.5, "clip_gradient": 0.4},
    {"wd": 0.03, "rescale_grad": 2.0, "clip_gradient": 0.7, "learning_rate": 0.05},
]
_OWN = {
    "sgd": [{}, {"momentum": 0.9}],
    "nag": [{}, {"momentum": 0.9}],
    "signum": [{}, {"momentum": 0.0}, {"momentum": 0.5, "wd_lh": 0.02}],
    "dcasgd": [{}, {"lamda": 0.2}],
    "adam": [{}, {"beta1": 0.7, "beta2": 0.9, "epsilon": 1e-3}],
    "adagrad": [{}, {"eps": 1e-2}],
    "adadelta": [{}, {"rho": 0.7, "epsilon": 1e-2}],
    "rmsprop": [
        {},
        {"gamma1": 0.7, "epsilon": 1e-3},
        {"centered": True},
        {"centered": True, "gamma1": 0.7, "gamma2": 0.5},
        {"clip_weights": 0.8},
    ],
    "ftrl": [{}, {"lamda1": 0.1, "beta": 2.0}],
    "ftml": [{}, {"beta1": 0.8, "beta2": 0.9, "epsilon": 1e-3}],
    "nadam": [{}, {"beta1": 0.7, "beta2": 0.9, "schedule_decay": 0.1}],
    "adamax": [{}, {"beta1": 0.7, "beta2": 0.9}],
    "lamb": [{}, {"bias_correction": False}, {"lower_bound": 1.0, "upper_bound": 3.0, "beta1": 0.7}],
    "lars": [{}, {"momentum": 0.9}, {"momentum": 0.9, "eta": 0.1, "eps": 1e-3}],
    "lbsgd": [
        {},
        {"momentum": 0.9},
        {"momentum": 0.9, "batch_scale": 2},
        {"momentum": 0.9, "warmup_strategy": "lars"},
        {"warmup_strategy": "power2", "batch_scale": 2, "updates_per_epoch": 2, "warmup_epochs": 2},
        {"warmup_strategy": "sqrt", "batch_scale": 2, "updates_per_epoch": 2, "warmup_epochs": 1},
    ],
    "test": [{}],
    "groupadagrad": [{}, {"eps": 1e-2}],
}
_WITHOUT_DECAY = {"groupadagrad"}

CASES = [
    (name, {**own, **shared})
    for name, choices in _OWN.items()
    for own, shared in itertools.product(choices, _SHARED)
    if name not in _WITHOUT_DECAY or "wd" not in shared
]


def inputs():
    """The first value, and a gradient for each step."""
    random = np.random.RandomState(7)
    value = random.normal(size=_SHAPE).astype(np.float32)
    return value, random.normal(size=(NUM_STEPS, *_SHAPE)).astype(np.float32)


def run(name, options):
    value, grads = inputs()
    weight = mx.nd.array(value, dtype="float32")
    updater = mx.optimizer.get_updater(mx.optimizer.create(name, **options))
    history = []
    for grad in grads:
        updater(0, mx.nd.array(grad), weight)
        history.append(weight.asnumpy())
    return np.stack(history)


value, grads = inputs()
answers = np.stack([run(name, options) for name, options in CASES])
np.savez_compressed(
    pathlib.Path(__file__).with_name("oracle.npz"),
    cases=json.dumps(CASES),
    value=value,
    grads=grads,
    answers=answers,
)
print(f"{len(CASES)} cases")

"""Schedules of the learning rate: MXNet's rates in every case of oracle.json, and what they refuse."""

import json
from pathlib import Path

import pytest

import psdist as mx
from psdist.errors import ConfigError

CASES = json.loads(Path(__file__).with_name("oracle.json").read_text())["schedules"]


@pytest.mark.parametrize("case", CASES, ids=[f"{c['name']}-{i}" for i, c in enumerate(CASES)])
def test_a_schedule_gives_the_rates_that_mxnet_gives(case):
    schedule = getattr(mx.lr_scheduler, case["name"])(base_lr=0.3, **case["options"])
    assert [schedule(i) for i in range(len(case["rates"]))] == pytest.approx(case["rates"], rel=1e-12)


def test_an_optimizer_follows_its_schedule():
    schedule = mx.lr_scheduler.FactorScheduler(step=2, factor=0.5)
    optimizer = mx.optimizer.SGD(learning_rate=1.0, lr_scheduler=schedule)
    updater = mx.optimizer.get_updater(optimizer)
    weight = mx.nd.zeros(1)
    values = []
    for _ in range(5):
        updater(0, mx.nd.ones(1), weight)
        values.append(weight.asscalar())
    assert values == [-1.0, -2.0, -2.5, -3.0, -3.25]
    with pytest.raises(UserWarning, match="lr_scheduler"):
        optimizer.set_learning_rate(0.1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda s: s.FactorScheduler(step=0), "step is 0"),
        (lambda s: s.FactorScheduler(step=1, factor=1.5), "factor is 1.5; wanted at most 1"),
        (lambda s: s.MultiFactorScheduler(step=[5, 5]), "growing update numbers"),
        (lambda s: s.PolyScheduler(max_update=0), "max_update is 0"),
        (lambda s: s.LRScheduler(warmup_steps=-1), "warmup_steps is -1"),
        (lambda s: s.LRScheduler(base_lr=0.1, warmup_begin_lr=0.2), "above base_lr"),
        (lambda s: s.LRScheduler(warmup_mode="cubic"), "'linear' or 'constant'"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(make, words):
    with pytest.raises(ConfigError) as caught:
        make(mx.lr_scheduler)
    assert words in str(caught.value)

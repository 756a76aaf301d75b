"""Metrics: MXNet's values in every case of oracle.json, windows and epochs, and what a wrong call says."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import psdist as mx
from psdist.errors import ConfigError, ShapeError

CASES = json.loads(Path(__file__).with_name("oracle.json").read_text())["metrics"]
ids = [f"{case['name']}-{case['options']}-{i}" for i, case in enumerate(CASES)]


def arrays(step):
    return [mx.nd.array(step["label"])], [mx.nd.array(step["pred"])]


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_a_metric_gives_the_values_that_mxnet_gives(case):
    metric = mx.metric.create(case["name"], **case["options"])
    for step in case["steps"]:
        metric.update(*arrays(step))
        assert metric.get()[1] == pytest.approx(step["value"], rel=1e-5, nan_ok=True)


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_a_window_forgets_what_was_before_it_and_the_epoch_does_not(case):
    metric = mx.metric.create(case["name"], **case["options"])
    alone = mx.metric.create(case["name"], **case["options"])
    for step in case["steps"]:
        metric.reset_local()
        metric.update(*arrays(step))
        alone.reset()
        alone.update(*arrays(step))
        assert metric.get() == pytest.approx(alone.get(), nan_ok=True)
    assert metric.get_global()[1] == pytest.approx(case["steps"][-1]["value"], rel=1e-5)
    metric.reset()
    assert math.isnan(metric.get_global()[1])


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_a_metric_can_be_made_again_from_its_description(case):
    metric = mx.metric.create(case["name"], **case["options"])
    text = json.dumps(metric.get_config())
    again = mx.metric.create(text)
    assert again.get_config() == metric.get_config()
    both = mx.metric.create([metric, "mse"])
    assert mx.metric.create(json.dumps(both.get_config())).get_config() == both.get_config()


def test_several_metrics_see_the_same_arrays():
    case = next(c for c in CASES if c["name"] == "ce")
    both = mx.metric.create(["acc", mx.metric.CrossEntropy()])
    both.update(*arrays(case["steps"][0]))
    names, values = both.get()
    assert names == ["accuracy", "cross-entropy"]
    assert both.get_name_value() == list(zip(names, values, strict=True))
    assert values[1] == pytest.approx(case["steps"][0]["value"])
    assert both.get_config()["metrics"][0]["metric"] == "Accuracy"


def test_names_choose_what_a_metric_sees():
    metric = mx.metric.Accuracy(output_names=["softmax_output"], label_names=["label"])
    labels = {"label": mx.nd.array([1]), "other": mx.nd.array([0])}
    preds = {"extra": mx.nd.array([[1, 0]]), "softmax_output": mx.nd.array([[0, 1]])}
    metric.update_dict(labels, preds)
    assert metric.get() == ("accuracy", 1.0)


def test_a_function_is_a_metric():
    def total_error(label, pred):
        return float(np.abs(label - pred).sum())

    metric = mx.metric.create(total_error)
    metric.update([mx.nd.array([1, 2])], [mx.nd.array([2, 4])])
    assert metric.get() == ("total_error", 3.0)
    counted = mx.metric.np(lambda label, pred: (6.0, 3), name="mean")
    counted.update([mx.nd.array([1])], [mx.nd.array([1])])
    assert counted.get() == ("mean", 2.0)
    assert mx.metric.np(lambda label, pred: 0.0).name == "custom(<lambda>)"


def test_a_metric_of_ones_own_needs_only_update():
    class Count(mx.metric.EvalMetric):
        def update(self, labels, preds):
            self.sum_metric += len(preds)
            self.num_inst += 1

    metric = Count("count")
    metric.update([], [1, 2])
    assert metric.get() == metric.get_global() == ("count", 2.0)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: mx.metric.create("acuracy"), ConfigError, "did you mean 'accuracy'?"),
        (lambda: mx.metric.TopKAccuracy(top_k=1), ConfigError, "for the best one alone use Accuracy"),
        (lambda: mx.metric.F1(average="mean"), ConfigError, "wanted 'macro' or 'micro'"),
        (lambda: mx.metric.Accuracy().update([1], [1, 2]), ShapeError, "number of the labels is 1"),
        (
            lambda: mx.metric.Accuracy().update([mx.nd.ones(3)], [mx.nd.ones((2, 5))]),
            ShapeError,
            "labels is 3, that of the predictions 2",
        ),
        (
            lambda: mx.metric.F1().update([mx.nd.array([0, 1, 2])], [mx.nd.ones((3, 2))]),
            ShapeError,
            "more than two classes",
        ),
    ],
)
def test_a_wrong_call_says_what_was_wanted(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert words in str(caught.value)


def test_a_script_s_own_metric_is_reset_whole_when_a_window_begins():
    class PerTask(mx.metric.EvalMetric):
        def reset(self):
            self.sum_metric, self.num_inst = [0.0, 0.0], [0, 0]

        def update(self, labels, preds):
            for i, p in enumerate(preds):
                self.sum_metric[i] += p.asnumpy().sum()
                self.num_inst[i] += p.size

        def get(self):
            return ["a", "b"], [s / max(n, 1) for s, n in zip(self.sum_metric, self.num_inst, strict=True)]

    metric = PerTask("tasks")
    metric.update(None, [mx.nd.ones((2,)), mx.nd.zeros((2,))])
    assert metric.get_global_name_value() == [("a", 1.0), ("b", 0.0)]
    metric.reset_local()
    metric.update(None, [mx.nd.zeros((2,)), mx.nd.zeros((2,))])
    assert metric.get_name_value() == [("a", 0.0), ("b", 0.0)]


def test_a_custom_metric_sums_in_double_precision():
    metric = mx.metric.CustomMetric(lambda label, pred: np.float32(0.1))
    for _ in range(1000):
        metric.update([mx.nd.array([0])], [mx.nd.array([0])])
    assert metric.get()[1] == pytest.approx(float(np.float32(0.1)), rel=1e-12)
    assert type(metric.get()[1]) is float

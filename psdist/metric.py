"""How good a model is, summed up batch by batch: `update(labels, preds)`, then `get()`.

A metric is a sum and a count, kept twice: since the last `reset_local` (a callback's window) and since the
last `reset` (an epoch). A new one is a subclass of `EvalMetric` that overrides `update`; most here only say
in `_measure` what one pair of label and prediction adds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy
from numpy.typing import NDArray as Array

from .errors import ConfigError, ShapeError
from .ndarray import NDArray
from .registry import Registry

__all__ = [
    "F1",
    "MAE",
    "MCC",
    "MSE",
    "PCC",
    "RMSE",
    "Accuracy",
    "Caffe",
    "CompositeEvalMetric",
    "CrossEntropy",
    "CustomMetric",
    "EvalMetric",
    "Loss",
    "NegativeLogLikelihood",
    "PearsonCorrelation",
    "Perplexity",
    "TopKAccuracy",
    "Torch",
    "check_label_shapes",
    "create",
    "np",
    "register",
]

Arrays = Any  # an NDArray or a list of them
NameValue = tuple[Any, Any]  # a name and a value, or a list of each


def check_label_shapes(
    labels: Arrays, preds: Arrays, wrap: bool = False, shape: bool = False
) -> tuple[Arrays, Arrays]:
    """Raise ShapeError unless both are as many (or, with `shape`, of one shape); `wrap` makes lists of
    arrays."""
    found = (labels.shape, preds.shape) if shape else (len(labels), len(preds))
    if found[0] != found[1]:
        what = "shape" if shape else "number"
        raise ShapeError(f"the {what} of the labels is {found[0]}, that of the predictions {found[1]}")
    if wrap:
        labels = [labels] if not isinstance(labels, list | tuple) else labels
        preds = [preds] if not isinstance(preds, list | tuple) else preds
    return labels, preds


def _numpy(x: Any) -> Array[Any]:
    return x.asnumpy() if isinstance(x, NDArray) else numpy.asarray(x)


class EvalMetric:
    """The base of metrics. `output_names` and `label_names` choose which arrays `update_dict` passes on."""

    def __init__(
        self,
        name: str,
        output_names: Sequence[str] | None = None,
        label_names: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        self.name = str(name)
        self.output_names = output_names
        self.label_names = label_names
        self._has_global_stats = bool(kwargs.pop("has_global_stats", False))
        self._kwargs = kwargs
        self.reset()

    def __str__(self) -> str:
        return f"EvalMetric: {dict(self.get_name_value())}"

    def get_config(self) -> dict[str, Any]:
        """What `create` needs to make this metric again."""
        return {
            **self._kwargs,
            "metric": type(self).__name__,
            "name": self.name,
            "output_names": self.output_names,
            "label_names": self.label_names,
        }

    def update_dict(self, label: Mapping[str, NDArray], pred: Mapping[str, NDArray]) -> None:
        """`update` with the arrays of those names that the metric asks for, or with all."""
        preds = [pred[name] for name in self.output_names] if self.output_names else list(pred.values())
        labels = [label[name] for name in self.label_names] if self.label_names else list(label.values())
        self.update(labels, preds)

    def update(self, labels: Arrays, preds: Arrays) -> None:
        """Add a batch."""
        raise NotImplementedError(f"{type(self).__name__} must override update(labels, preds)")

    def reset(self) -> None:
        """Forget everything."""
        self.num_inst: float = 0
        self.sum_metric: float = 0.0
        self.global_num_inst: float = 0
        self.global_sum_metric: float = 0.0

    def reset_local(self) -> None:
        """Begin a new window; the global figures go on."""
        if type(self).reset is not EvalMetric.reset and not self._has_global_stats:
            self.reset()  # a script's own metric, with figures of its own
            return
        self.num_inst = 0
        self.sum_metric = 0.0

    def _add(self, total: float, count: float) -> None:
        self.sum_metric += total
        self.num_inst += count
        self.global_sum_metric += total
        self.global_num_inst += count

    def _value(self, total: float, count: float) -> float:
        return total / count if count else math.nan

    def get(self) -> NameValue:
        """The name and the value since `reset_local`; nan when nothing was added."""
        return self.name, self._value(self.sum_metric, self.num_inst)

    def get_global(self) -> NameValue:
        """The name and the value since `reset`."""
        if not self._has_global_stats:
            return self.get()
        return self.name, self._value(self.global_sum_metric, self.global_num_inst)

    def get_name_value(self) -> list[tuple[str, float]]:
        """`get` as a list of pairs."""
        return _pairs(*self.get())

    def get_global_name_value(self) -> list[tuple[str, float]]:
        """`get_global` as a list of pairs."""
        if not self._has_global_stats:
            return self.get_name_value()
        return _pairs(*self.get_global())


def _pairs(name: Any, value: Any) -> list[tuple[str, float]]:
    names = name if isinstance(name, list) else [name]
    values = value if isinstance(value, list) else [value]
    return list(zip(names, values, strict=True))


_registry: Registry[EvalMetric] = Registry(EvalMetric, "metric")
register = _registry.register
alias = _registry.alias


def create(metric: Any, *args: Any, **kwargs: Any) -> EvalMetric:
    """A metric from its name, a function of (label, prediction), a metric, or a list of these."""
    if callable(metric) and not isinstance(metric, EvalMetric):
        return CustomMetric(metric, *args, **kwargs)
    if isinstance(metric, list | tuple):
        composite = CompositeEvalMetric()
        for child in metric:
            composite.add(create(child, *args, **kwargs))
        return composite
    return _registry.create(metric, *args, **kwargs)


@register
@alias("composite")
class CompositeEvalMetric(EvalMetric):
    """Several metrics over the same arrays."""

    def __init__(
        self,
        metrics: Iterable[Any] | None = None,
        name: str = "composite",
        output_names: Sequence[str] | None = None,
        label_names: Sequence[str] | None = None,
    ) -> None:
        self.metrics = [create(m) for m in metrics or ()]
        super().__init__(name, output_names, label_names, has_global_stats=True)

    def add(self, metric: Any) -> None:
        """One more, given as to `create`."""
        self.metrics.append(create(metric))

    def get_metric(self, index: int) -> EvalMetric:
        """The metric at that place."""
        if not -len(self.metrics) <= index < len(self.metrics):
            raise ConfigError(f"no metric {index}; there are {len(self.metrics)}")
        return self.metrics[index]

    def update_dict(self, label: Mapping[str, NDArray], pred: Mapping[str, NDArray]) -> None:
        if self.label_names is not None:
            label = {name: label[name] for name in self.label_names if name in label}
        if self.output_names is not None:
            pred = {name: pred[name] for name in self.output_names if name in pred}
        for metric in self.metrics:
            metric.update_dict(label, pred)

    def update(self, labels: Arrays, preds: Arrays) -> None:
        for metric in self.metrics:
            metric.update(labels, preds)

    def reset(self) -> None:
        for metric in self.metrics:
            metric.reset()

    def reset_local(self) -> None:
        for metric in self.metrics:
            metric.reset_local()

    def get(self) -> NameValue:
        pairs = [pair for metric in self.metrics for pair in metric.get_name_value()]
        return [name for name, _ in pairs], [value for _, value in pairs]

    def get_global(self) -> NameValue:
        pairs = [pair for metric in self.metrics for pair in metric.get_global_name_value()]
        return [name for name, _ in pairs], [value for _, value in pairs]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "metrics": [metric.get_config() for metric in self.metrics]}


class _Pairwise(EvalMetric):
    """A metric that says what one (label, prediction) pair adds to the sum and to the count."""

    def _measure(self, label: Array[Any], pred: Array[Any]) -> tuple[float, float]:
        raise NotImplementedError

    def update(self, labels: Arrays, preds: Arrays) -> None:
        labels, preds = check_label_shapes(labels, preds, wrap=True)
        for label, pred in zip(labels, preds, strict=True):
            self._add(*self._measure(_numpy(label), _numpy(pred)))


@register
@alias("acc")
class Accuracy(_Pairwise):
    """The share of predictions whose greatest entry along `axis` is the label's, or that are the label."""

    def __init__(
        self,
        axis: int = 1,
        name: str = "accuracy",
        output_names: Sequence[str] | None = None,
        label_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__(name, output_names, label_names, axis=axis, has_global_stats=True)
        self.axis = axis

    def _measure(self, label: Array[Any], pred: Array[Any]) -> tuple[float, float]:
        if pred.shape != label.shape:
            pred = pred.argmax(axis=self.axis)
        pred, label = pred.astype(numpy.int32).ravel(), label.astype(numpy.int32).ravel()
        check_label_shapes(label, pred)
        return float((pred == label).sum()), pred.size


@register
@alias("top_k_accuracy", "top_k_acc")
class TopKAccuracy(_Pairwise):
    """The share of labels among the `top_k` greatest entries of a prediction (samples, classes)."""

    def __init__(
        self,
        top_k: int = 1,
        name: str = "top_k_accuracy",
        output_names: Sequence[str] | None = None,
        label_names: Sequence[str] | None = None,
    ) -> None:
        if top_k <= 1:
            raise ConfigError(f"TopKAccuracy: top_k is {top_k}; for the best one alone use Accuracy")
        super().__init__(f"{name}_{top_k}", output_names, label_names, top_k=top_k, has_global_stats=True)
        self.top_k = top_k
        self._base_name = name

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "name": self._base_name}

    def _measure(self, label: Array[Any], pred: Array[Any]) -> tuple[float, float]:
        if pred.ndim > 2:
            raise ShapeError(f"TopKAccuracy: a prediction of shape {pred.shape}; wanted one or two axes")
        label = label.astype(numpy.int32).ravel()
        check_label_shapes(label, pred)
        if pred.ndim == 1:
            return float((pred.astype(numpy.int32) == label).sum()), label.size
        k = min(self.top_k, pred.shape[1])
        best = numpy.argpartition(pred.astype(numpy.float32), -k)[:, -k:]
        return float((best == label[:, None]).sum()), label.size


class _Counts:
    """True and false positives and negatives of a binary classification, class 1 being the positive."""

    def __init__(self) -> None:
        self.tp = self.fp = self.fn = self.tn = 0

    def add(self, label: Array[Any], pred: Array[Any]) -> None:
        pred = pred.argmax(axis=1)
        label = label.astype(numpy.int32)
        check_label_shapes(label, pred)
        if numpy.unique(label).size > 2:
            raise ShapeError("a binary metric got labels of more than two classes")
        is_yes, says_yes = label.ravel() == 1, pred.ravel() == 1
        self.tp += int((is_yes & says_yes).sum())
        self.fp += int((~is_yes & says_yes).sum())
        self.fn += int((is_yes & ~says_yes).sum())
        self.tn += int((~is_yes & ~says_yes).sum())

    @property
    def total(self) -> int:
        return self.tp + self.fp + self.fn + self.tn

    @property
    def f1(self) -> float:
        precision = self.tp / (self.tp + self.fp) if self.tp + self.fp else 0.0
        recall = self.tp / (self.tp + self.fn) if self.tp + self.fn else 0.0
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    @property
    def mcc(self) -> float:
        factors = (self.tp + self.fp, self.tp + self.fn, self.tn + self.fp, self.tn + self.fn)
        scale = math.prod(f for f in factors if f)
        return (self.tp * self.tn - self.fp * self.fn) / math.sqrt(scale) if self.total else 0.0


class _BinaryScore(EvalMetric):
    """A score of the four counts: the mean of the batches' ("macro"), or that of all counts ("micro")."""

    def __init__(
        self, name: str, output_names: Sequence[str] | None, label_names: Sequence[str] | None, average: str
    ) -> None:
        if average not in ("macro", "micro"):
            raise ConfigError(f"{name}: average is {average!r}; wanted 'macro' or 'micro'")
        self.average = average
        super().__init__(name, output_names, label_names, average=average, has_global_stats=True)

    def _score(self, counts: _Counts) -> float:
        raise NotImplementedError

    def update(self, labels: Arrays, preds: Arrays) -> None:
        labels, preds = check_label_shapes(labels, preds, wrap=True)
        batch = _Counts()
        for label, pred in zip(labels, preds, strict=True):
            for counts in (batch, self._counts, self._global_counts):
                counts.add(_numpy(label), _numpy(pred))
        if self.average == "macro":
            self._add(self._score(batch), 1)
        else:
            self.num_inst = self._counts.total
            self.sum_metric = self._score(self._counts) * self.num_inst
            self.global_num_inst = self._global_counts.total
            self.global_sum_metric = self._score(self._global_counts) * self.global_num_inst

    def reset(self) -> None:
        super().reset()
        self._counts, self._global_counts = _Counts(), _Counts()

    def reset_local(self) -> None:
        super().reset_local()
        self._counts = _Counts()


@register
class F1(_BinaryScore):
    """The F1 score of a binary classification: the harmonic mean of precision and recall."""

    def __init__(
        self,
        name: str = "f1",
        output_names: Sequence[str] | None = None,
        label_names: Sequence[str] | None = None,
        average: str = "macro",
    ) -> None:
        super().__init__(name, output_names, label_names, average)

    def _score(self, counts: _Counts) -> float:
        return counts.f1


@register
class MCC(_BinaryScore):
    """Matthews' correlation of a binary classification: fair to classes of very different sizes."""

    def __init__(
        self,
        name: str = "mcc",
        output_names: Sequence[str] | None = None,
        label_names: Sequence[str] | None = None,
        average: str = "macro",
    ) -> None:
        super().__init__(name, output_names, label_names, average)

    def _score(self, counts: _Counts) -> float:
        return counts.mcc


@register
class PCC(EvalMetric):
    """Matthews' correlation for any number of classes, from the confusion matrix of all that was added."""

    def __init__(
        self,
        name: str = "pcc",
        output_names: Sequence[str] | None = None,
        label_names: Sequence[str] | None = None,
        has_global_stats: bool = True,
    ) -> None:
        super().__init__(name, output_names, label_names, has_global_stats=has_global_stats)

    _matrix: Array[Any]  # predicted class, true class -> count
    _global_matrix: Array[Any]

    def update(self, labels: Arrays, preds: Arrays) -> None:
        labels, preds = check_label_shapes(labels, preds, wrap=True)
        for label_array, pred_array in zip(labels, preds, strict=True):
            label = _numpy(label_array).astype(numpy.int32).ravel()
            pred = _numpy(pred_array)
            pred = (pred if pred.shape == label.shape else pred.argmax(axis=1)).astype(numpy.int32).ravel()
            check_label_shapes(label, pred)
            size = int(max(label.max(initial=-1), pred.max(initial=-1))) + 1
            batch = numpy.zeros((size, size))
            numpy.add.at(batch, (pred, label), 1)
            self._matrix = _sum_of_sizes(self._matrix, batch)
            self._global_matrix = _sum_of_sizes(self._global_matrix, batch)
            self.num_inst += 1
            self.global_num_inst += 1
        self.sum_metric = _correlation(self._matrix) * self.num_inst
        self.global_sum_metric = _correlation(self._global_matrix) * self.global_num_inst

    def reset(self) -> None:
        super().reset()
        self._matrix, self._global_matrix = numpy.zeros((0, 0)), numpy.zeros((0, 0))

    def reset_local(self) -> None:
        super().reset_local()
        self._matrix = numpy.zeros((0, 0))


def _sum_of_sizes(a: Array[Any], b: Array[Any]) -> Array[Any]:
    size = max(len(a), len(b))
    total = numpy.zeros((size, size))
    total[: len(a), : len(a)] += a
    total[: len(b), : len(b)] += b
    return total


def _correlation(matrix: Array[Any]) -> float:
    n, x, y = matrix.sum(), matrix.sum(axis=1), matrix.sum(axis=0)
    scale = float((x * (n - x)).sum() * (y * (n - y)).sum())
    return float((numpy.diag(matrix) * n - x * y).sum()) / math.sqrt(scale) if scale else math.nan


@register
class Perplexity(_Pairwise):
    """e to the mean cross-entropy of the labels' probabilities along `axis`, without the label
    `ignore_label`."""

    def __init__(
        self,
        ignore_label: int | None,
        axis: int = -1,
        name: str = "perplexity",
        output_names: Sequence[str] | None = None,
        label_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__(name, output_names, label_names, ignore_label=ignore_label, has_global_stats=True)
        self.ignore_label = ignore_label
        self.axis = axis

    def _measure(self, label: Array[Any], pred: Array[Any]) -> tuple[float, float]:
        if label.size * pred.shape[-1] != pred.size:
            raise ShapeError(f"{self.name}: labels of shape {label.shape}, predictions of {pred.shape}")
        pred = numpy.moveaxis(pred, self.axis, -1).reshape(label.size, -1)
        label = label.ravel().astype(numpy.int32)
        counted = numpy.ones(label.size, bool)
        if self.ignore_label is not None:
            counted = label != self.ignore_label
        prob = pred[numpy.arange(label.size), label.clip(0, pred.shape[1] - 1)][counted]
        return float(-numpy.log(numpy.maximum(prob, 1e-10)).sum()), int(counted.sum())

    def _value(self, total: float, count: float) -> float:
        return math.exp(total / count) if count else math.nan


class _Regression(_Pairwise):
    """The mean over batches of an error between arrays of one shape; (n,) is taken for (n, 1)."""

    _default_name = ""

    def __init__(
        self,
        name: str | None = None,
        output_names: Sequence[str] | None = None,
        label_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__(name or self._default_name, output_names, label_names, has_global_stats=True)

    def _error(self, difference: Array[Any]) -> float:
        raise NotImplementedError

    def _measure(self, label: Array[Any], pred: Array[Any]) -> tuple[float, float]:
        label = label.reshape(-1, 1) if label.ndim == 1 else label
        pred = pred.reshape(-1, 1) if pred.ndim == 1 else pred
        return self._error(label - pred), 1


@register
class MAE(_Regression):
    """Mean absolute error."""

    _default_name = "mae"

    def _error(self, difference: Array[Any]) -> float:
        return float(numpy.abs(difference).mean())


@register
class MSE(_Regression):
    """Mean squared error."""

    _default_name = "mse"

    def _error(self, difference: Array[Any]) -> float:
        return float((difference**2).mean())


@register
class RMSE(_Regression):
    """Root of the mean squared error; over batches, the mean of their roots."""

    _default_name = "rmse"

    def _error(self, difference: Array[Any]) -> float:
        return math.sqrt(float((difference**2).mean()))


@register
@alias("ce")
class CrossEntropy(_Pairwise):
    """The mean of −log(p + eps), p being the probability predicted (samples, classes) for the label."""

    def __init__(
        self,
        eps: float = 1e-12,
        name: str = "cross-entropy",
        output_names: Sequence[str] | None = None,
        label_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__(name, output_names, label_names, eps=eps, has_global_stats=True)
        self.eps = eps

    def _measure(self, label: Array[Any], pred: Array[Any]) -> tuple[float, float]:
        label = label.ravel().astype(numpy.int64)
        if label.shape[0] != pred.shape[0]:
            raise ShapeError(f"{self.name}: {label.shape[0]} labels for {pred.shape[0]} predictions")
        prob = pred[numpy.arange(label.size), label]
        return float(-numpy.log(prob + self.eps).sum()), label.size


@register
@alias("nll_loss")
class NegativeLogLikelihood(CrossEntropy):
    """The mean of −log(p + eps): cross-entropy by its other name."""

    def __init__(
        self,
        eps: float = 1e-12,
        name: str = "nll-loss",
        output_names: Sequence[str] | None = None,
        label_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__(eps, name, output_names, label_names)


@register
@alias("pearsonr")
class PearsonCorrelation(EvalMetric):
    """Pearson's correlation: the mean of the batches' ("macro"), or that of everything added ("micro")."""

    def __init__(
        self,
        name: str = "pearsonr",
        output_names: Sequence[str] | None = None,
        label_names: Sequence[str] | None = None,
        average: str = "macro",
    ) -> None:
        if average not in ("macro", "micro"):
            raise ConfigError(f"pearsonr: average is {average!r}; wanted 'macro' or 'micro'")
        self.average = average
        super().__init__(name, output_names, label_names, average=average, has_global_stats=True)

    def update(self, labels: Arrays, preds: Arrays) -> None:
        labels, preds = check_label_shapes(labels, preds, wrap=True)
        for label_array, pred_array in zip(labels, preds, strict=True):
            label, pred = _numpy(label_array), _numpy(pred_array)
            check_label_shapes(label, pred, shape=True)
            if self.average == "macro":
                self._add(float(numpy.corrcoef(pred.ravel(), label.ravel())[0, 1]), 1)
            else:
                xy = numpy.stack([pred.ravel(), label.ravel()]).astype(numpy.float64)
                self._moments.add(xy)
                self._global_moments.add(xy)
                self.num_inst += 1
                self.global_num_inst += 1
                self.sum_metric = self._moments.correlation * self.num_inst
                self.global_sum_metric = self._global_moments.correlation * self.global_num_inst

    def reset(self) -> None:
        super().reset()
        self._moments, self._global_moments = _Moments(), _Moments()

    def reset_local(self) -> None:
        super().reset_local()
        self._moments = _Moments()


class _Moments:
    """Means and co-moments of two series, merged batch by batch: Chan, Golub and LeVeque (1979)."""

    def __init__(self) -> None:
        self.n = 0
        self.mean = numpy.zeros(2)
        self.comoment = numpy.zeros((2, 2))

    def add(self, xy: Array[Any]) -> None:
        n = xy.shape[1]
        mean = xy.mean(axis=1)
        centred = xy - mean[:, None]
        apart = mean - self.mean
        self.comoment += centred @ centred.T + numpy.outer(apart, apart) * (self.n * n / (self.n + n))
        self.mean += apart * (n / (self.n + n))
        self.n += n

    @property
    def correlation(self) -> float:
        scale = self.comoment[0, 0] * self.comoment[1, 1]
        return float(self.comoment[0, 1] / math.sqrt(scale)) if scale else math.nan


@register
class Loss(EvalMetric):
    """The mean of the outputs themselves, for models whose output is a loss. Labels are ignored."""

    def __init__(
        self,
        name: str = "loss",
        output_names: Sequence[str] | None = None,
        label_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__(name, output_names, label_names, has_global_stats=True)

    def update(self, labels: Arrays, preds: Arrays) -> None:
        for pred in preds if isinstance(preds, list | tuple) else [preds]:
            x = _numpy(pred)
            self._add(float(x.sum()), x.size)


@register
class Torch(Loss):
    """Loss, by a name that old scripts use."""

    def __init__(
        self,
        name: str = "torch",
        output_names: Sequence[str] | None = None,
        label_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__(name, output_names, label_names)


@register
class Caffe(Loss):
    """Loss, by a name that old scripts use."""

    def __init__(
        self,
        name: str = "caffe",
        output_names: Sequence[str] | None = None,
        label_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__(name, output_names, label_names)


@register
class CustomMetric(EvalMetric):
    """What `feval(label, pred)` says of NumPy arrays: a value for the batch, or (sum, count)."""

    def __init__(
        self,
        feval: Callable[[Array[Any], Array[Any]], Any],
        name: str | None = None,
        allow_extra_outputs: bool = False,
        output_names: Sequence[str] | None = None,
        label_names: Sequence[str] | None = None,
    ) -> None:
        if name is None:
            name = getattr(feval, "__name__", type(feval).__name__)
            name = f"custom({name})" if "<" in name else name
        super().__init__(name, output_names, label_names, has_global_stats=True)
        self._feval = feval
        self._allow_extra_outputs = allow_extra_outputs

    def update(self, labels: Arrays, preds: Arrays) -> None:
        if not self._allow_extra_outputs:
            labels, preds = check_label_shapes(labels, preds, wrap=True)
        for pred, label in zip(preds, labels, strict=False):  # outputs beyond the labels are the extra ones
            value = self._feval(_numpy(label), _numpy(pred))
            if isinstance(value, tuple):
                total, count = value
                self._add(float(total), count)
            else:
                self._add(float(value), 1)  # a sum of NumPy's float32 would stay one

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError(f"{self.name}: a metric made from a function cannot be described")


def np(
    numpy_feval: Callable[[Array[Any], Array[Any]], Any],
    name: str | None = None,
    allow_extra_outputs: bool = False,
) -> CustomMetric:
    """A metric from a function of NumPy arrays, named after it or `name`."""

    def feval(label: Array[Any], pred: Array[Any]) -> Any:
        return numpy_feval(label, pred)

    feval.__name__ = numpy_feval.__name__
    return CustomMetric(feval, name, allow_extra_outputs)

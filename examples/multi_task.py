"""Two tasks from one network: which digit it is, and whether it is odd. A Group of two losses, a metric of one's own."""

import argparse
import logging

import numpy as np
from sklearn.datasets import load_digits

import psdist as mx


def network() -> mx.sym.Symbol:
    data = mx.sym.Variable("data")
    fc1 = mx.sym.FullyConnected(data=data, name="fc1", num_hidden=64)
    act1 = mx.sym.Activation(data=fc1, name="relu1", act_type="relu")
    digit = mx.sym.FullyConnected(data=act1, name="digit", num_hidden=10)
    odd = mx.sym.FullyConnected(data=act1, name="odd", num_hidden=2)
    sm1 = mx.sym.SoftmaxOutput(data=digit, name="softmax1")
    sm2 = mx.sym.SoftmaxOutput(data=odd, name="softmax2")
    return mx.sym.Group([sm1, sm2])


class MultiIter(mx.io.DataIter):
    """Gives every batch's label to both tasks."""

    def __init__(self, data_iter: mx.io.DataIter) -> None:
        super().__init__()
        self.data_iter = data_iter
        self.batch_size = data_iter.batch_size

    @property
    def provide_data(self):
        return self.data_iter.provide_data

    @property
    def provide_label(self):
        provided = self.data_iter.provide_label[0]
        return [("softmax1_label", provided[1]), ("softmax2_label", provided[1])]

    def hard_reset(self) -> None:
        self.data_iter.hard_reset()

    def reset(self) -> None:
        self.data_iter.reset()

    def next(self):
        batch = self.data_iter.next()
        label = batch.label[0]
        return mx.io.DataBatch(data=batch.data, label=[label, label % 2], pad=batch.pad, index=batch.index)


class MultiAccuracy(mx.metric.EvalMetric):
    """The accuracy of each task."""

    def __init__(self, num: int) -> None:
        self.num = num
        super().__init__("multi-accuracy")

    def reset(self) -> None:
        self.hits = [0] * self.num
        self.counts = [0] * self.num

    def update(self, labels, preds) -> None:
        mx.metric.check_label_shapes(labels, preds)
        for i in range(len(labels)):
            found = mx.nd.argmax_channel(preds[i]).asnumpy().astype("int32")
            label = labels[i].asnumpy().astype("int32")
            self.hits[i] += (found.flat == label.flat).sum()
            self.counts[i] += len(found.flat)

    def get(self):
        names = [f"task{i}" for i in range(self.num)]
        return names, [h / c if c else float("nan") for h, c in zip(self.hits, self.counts, strict=True)]


def main() -> list[float]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=8)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO)

    mx.random.seed(0)
    np.random.seed(0)
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    train = MultiIter(mx.io.NDArrayIter(x[:1500], y[:1500], 50, shuffle=True))
    test = MultiIter(mx.io.NDArrayIter(x[1500:], y[1500:], 50))
    model = mx.mod.Module(
        context=mx.cpu(), symbol=network(), label_names=("softmax1_label", "softmax2_label")
    )
    model.fit(
        train_data=train,
        eval_data=test,
        eval_metric=MultiAccuracy(num=2),
        num_epoch=args.epochs,
        optimizer_params=(("learning_rate", 0.1), ("momentum", 0.9), ("wd", 0.00001)),
        initializer=mx.init.Xavier(factor_type="in", magnitude=2.34),
        batch_end_callback=mx.callback.Speedometer(50, 10),
    )
    return [value for _, value in model.score(test, MultiAccuracy(num=2))]


if __name__ == "__main__":
    print("accuracies", *(f"{value:.3f}" for value in main()))

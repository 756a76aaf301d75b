"""An operator of one's own, written with NumPy, as the loss of a network; and the same, imperatively, with autograd."""

import argparse
import logging

import numpy as np
from sklearn.datasets import load_digits

import psdist as mx


class Softmax(mx.operator.CustomOp):
    def forward(self, is_train, req, in_data, out_data, aux):
        x = in_data[0].asnumpy()
        y = np.exp(x - x.max(axis=1).reshape((x.shape[0], 1)))
        y /= y.sum(axis=1).reshape((x.shape[0], 1))
        self.assign(out_data[0], req[0], mx.nd.array(y))

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        label = in_data[1].asnumpy().ravel().astype(int)
        y = out_data[0].asnumpy()
        y[np.arange(label.shape[0]), label] -= 1.0
        self.assign(in_grad[0], req[0], mx.nd.array(y))


@mx.operator.register("example_softmax")
class SoftmaxProp(mx.operator.CustomOpProp):
    def __init__(self):
        super().__init__(need_top_grad=False)

    def list_arguments(self):
        return ["data", "label"]

    def list_outputs(self):
        return ["output"]

    def infer_shape(self, in_shape):
        data_shape = in_shape[0]
        label_shape = (in_shape[0][0],)
        output_shape = in_shape[0]
        return [data_shape, label_shape], [output_shape], []

    def infer_type(self, in_type):
        return in_type, [in_type[0]], []

    def create_operator(self, ctx, shapes, dtypes):
        return Softmax()


def main() -> float:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=5)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO)

    mx.random.seed(0)
    np.random.seed(0)
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    train = mx.io.NDArrayIter(x[:1500], y[:1500], 100, shuffle=True)
    test = mx.io.NDArrayIter(x[1500:], y[1500:], 99)

    data = mx.sym.Variable("data")
    net = mx.sym.FullyConnected(data=data, name="fc1", num_hidden=64)
    net = mx.sym.Activation(data=net, name="relu1", act_type="relu")
    net = mx.sym.FullyConnected(data=net, name="fc2", num_hidden=10)
    net = mx.sym.Custom(data=net, name="softmax", op_type="example_softmax")

    module = mx.mod.Module(net, context=mx.cpu())
    module.fit(
        train_data=train,
        eval_data=test,
        optimizer="sgd",
        optimizer_params={"learning_rate": 0.1, "momentum": 0.9, "wd": 0.00001},
        num_epoch=args.epochs,
        batch_end_callback=mx.callback.Speedometer(100, 10),
    )

    scores, labels = mx.nd.array([[1, 2, 3]]), mx.nd.array([2])
    scores.attach_grad()
    with mx.autograd.record():
        out = mx.nd.Custom(scores, labels, op_type="example_softmax")
    out.backward()
    logging.info("probabilities %s, gradient %s", out.asnumpy(), scores.grad.asnumpy())
    return dict(module.score(test, mx.metric.Accuracy()))["accuracy"]


if __name__ == "__main__":
    print(f"accuracy {main():.3f}")

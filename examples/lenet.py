"""LeNet on the handwritten digits of scikit-learn: convolution, pooling, Module.fit with a validation set."""

import argparse
import logging

import numpy as np
from sklearn.datasets import load_digits

import psdist as mx


def lenet(num_classes: int) -> mx.sym.Symbol:
    data = mx.sym.Variable("data")
    conv1 = mx.sym.Convolution(data=data, kernel=(3, 3), pad=(1, 1), num_filter=8, name="conv1")
    act1 = mx.sym.Activation(data=conv1, act_type="tanh")
    pool1 = mx.sym.Pooling(data=act1, pool_type="max", kernel=(2, 2), stride=(2, 2))
    conv2 = mx.sym.Convolution(data=pool1, kernel=(3, 3), num_filter=16, name="conv2")
    act2 = mx.sym.Activation(data=conv2, act_type="tanh")
    fc1 = mx.sym.FullyConnected(data=mx.sym.Flatten(act2), num_hidden=32, name="fc1")
    act3 = mx.sym.Activation(data=fc1, act_type="tanh")
    fc2 = mx.sym.FullyConnected(data=act3, num_hidden=num_classes, name="fc2")
    return mx.sym.SoftmaxOutput(data=fc2, name="softmax")


def main() -> float:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=32)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO)

    mx.random.seed(0)
    np.random.seed(0)
    x, y = load_digits(return_X_y=True)
    x = (x / 16).reshape(-1, 1, 8, 8).astype("float32")
    train = mx.io.NDArrayIter(x[:1500], y[:1500], args.batch_size, shuffle=True)
    test = mx.io.NDArrayIter(x[1500:], y[1500:], args.batch_size)

    module = mx.mod.Module(lenet(10), context=mx.cpu())
    module.fit(
        train,
        eval_data=test,
        optimizer="sgd",
        optimizer_params={"learning_rate": 0.1, "momentum": 0.9},
        initializer=mx.init.Xavier(),
        eval_metric="acc",
        batch_end_callback=mx.callback.Speedometer(args.batch_size, 20),
        num_epoch=args.epochs,
    )
    return dict(module.score(test, "acc"))["accuracy"]


if __name__ == "__main__":
    print(f"accuracy {main():.3f}")

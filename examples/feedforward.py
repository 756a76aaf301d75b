"""FeedForward, MXNet's oldest model: fit on NumPy arrays, predict, save, load."""

import argparse
import logging
import os
import tempfile

import numpy as np
from sklearn.datasets import load_digits

import psdist as mx


def main() -> float:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=6)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO)

    mx.random.seed(0)
    np.random.seed(0)
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")

    data = mx.symbol.Variable("data")
    fc1 = mx.symbol.FullyConnected(data, name="fc1", num_hidden=64)
    act1 = mx.symbol.Activation(fc1, name="relu1", act_type="relu")
    fc2 = mx.symbol.FullyConnected(act1, name="fc2", num_hidden=10)
    softmax = mx.symbol.SoftmaxOutput(fc2, name="softmax")

    model = mx.model.FeedForward(
        softmax,
        ctx=mx.cpu(),
        num_epoch=args.epochs,
        learning_rate=0.1,
        momentum=0.9,
        wd=0.00001,
        numpy_batch_size=50,
        initializer=mx.init.Xavier(),
    )
    model.fit(X=x[:1500], y=y[:1500], eval_data=(x[1500:], y[1500:]))
    with tempfile.TemporaryDirectory() as folder:
        prefix = os.path.join(folder, "digits")
        model.save(prefix)
        loaded = mx.model.FeedForward.load(prefix, args.epochs, ctx=mx.cpu())
    found = loaded.predict(x[1500:])
    return float((found.argmax(axis=1) == y[1500:]).mean())


if __name__ == "__main__":
    print(f"accuracy {main():.3f}")

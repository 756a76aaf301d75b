"""Regression without a graph: NDArrays, autograd and an optimizer called by hand."""

import argparse
import logging

import numpy as np
from sklearn.datasets import load_diabetes

import psdist as mx
from psdist import autograd, nd


def main() -> float:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=60)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO)

    mx.random.seed(0)
    x, y = load_diabetes(return_X_y=True)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    y = (y - y.mean()) / y.std()
    x, y = nd.array(x), nd.array(y.reshape(-1, 1))

    hidden = 16
    params = [
        nd.random.normal(scale=0.3, shape=(x.shape[1], hidden)),
        nd.zeros(hidden),
        nd.random.normal(scale=0.3, shape=(hidden, 1)),
        nd.zeros(1),
    ]
    for p in params:
        p.attach_grad()

    def net(x):
        h = nd.relu(nd.dot(x, params[0]) + params[1])
        return nd.dot(h, params[2]) + params[3]

    optimizer = mx.optimizer.create("adam", learning_rate=0.02, rescale_grad=1.0 / 64)
    updater = mx.optimizer.get_updater(optimizer)
    for epoch in range(args.epochs):
        order = np.random.default_rng(epoch).permutation(x.shape[0])
        total = 0.0
        for i in range(0, len(order), 64):
            rows = nd.array(order[i : i + 64])
            with autograd.record():
                loss = nd.square(net(x.take(rows)) - y.take(rows)).sum()
            loss.backward()
            for k, p in enumerate(params):
                updater(k, p.grad, p)
            total += float(loss.asscalar())
        if epoch % 20 == 0:
            logging.info("epoch %d, mean squared error %.3f", epoch, total / len(order))
    return float(nd.square(net(x) - y).mean().asscalar())


if __name__ == "__main__":
    print(f"error {main():.3f}")

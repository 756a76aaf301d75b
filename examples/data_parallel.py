"""Data parallel training by hand: one executor for each device, a KVStore that sums gradients and updates weights."""

import argparse
import logging

import numpy as np
from sklearn.datasets import load_digits

import psdist as mx


def main() -> float:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--kv-store", default="local")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO)

    np.random.seed(0)
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    devices = [mx.cpu(i) for i in range(args.devices)]
    part = 25

    net = mx.sym.FullyConnected(mx.sym.Variable("data"), num_hidden=64, name="fc1")
    net = mx.sym.Activation(net, act_type="relu")
    net = mx.sym.FullyConnected(net, num_hidden=10, name="fc2")
    net = mx.sym.SoftmaxOutput(net, name="softmax")
    executors = [net.simple_bind(ctx=d, data=(part, 64), grad_req="write") for d in devices]
    params = [n for n in net.list_arguments() if n not in ("data", "softmax_label")]

    kv = mx.kv.create(args.kv_store)
    kv.set_optimizer(
        mx.optimizer.SGD(learning_rate=0.1, momentum=0.9, rescale_grad=1.0 / (part * len(devices)))
    )
    initializer = mx.init.Xavier()
    for i, name in enumerate(params):
        value = mx.nd.zeros(executors[0].arg_dict[name].shape)
        initializer(mx.init.InitDesc(name), value)
        kv.init(i, value)
        kv.pull(i, out=[ex.arg_dict[name] for ex in executors])

    whole = part * len(devices)
    for epoch in range(args.epochs):
        hits = seen = 0
        for start in range(0, 1500 - whole + 1, whole):
            for k, ex in enumerate(executors):
                rows = slice(start + k * part, start + (k + 1) * part)
                ex.forward(is_train=True, data=mx.nd.array(x[rows]), softmax_label=mx.nd.array(y[rows]))
                ex.backward()
                hits += int((ex.outputs[0].asnumpy().argmax(axis=1) == y[rows]).sum())
                seen += part
            for i, name in enumerate(params):
                kv.push(i, [ex.grad_dict[name] for ex in executors], priority=-i)
                kv.pull(i, out=[ex.arg_dict[name] for ex in executors], priority=-i)
        logging.info("epoch %d, accuracy %.3f", epoch, hits / seen)

    hits = 0
    for start in range(1500, 1775, part):
        out = executors[0].forward(is_train=False, data=mx.nd.array(x[start : start + part]))[0]
        hits += int((out.asnumpy().argmax(axis=1) == y[start : start + part]).sum())
    return hits / 275


if __name__ == "__main__":
    print(f"accuracy {main():.3f}")

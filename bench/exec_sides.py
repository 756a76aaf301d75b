"""One side of bench/exec.py: psdist, MXNet, torch or JAX doing one row's work on request.

Runs in the side's own interpreter, which needs no psdist. It reads a row's name from each line of standard input
and answers with a line of JSON: seconds for one unit of the work, or why there is none. Rows are prepared when first
asked for; each answer is one measurement of at least 0.2 s.
"""

import json
import os
import sys
import time

import numpy as np

SIDE = sys.argv[1]
CPU_TIME = (
    sys.argv[2] == "cpu"
)  # this process's CPU time instead of the wall's: for a machine that others use
LEAST_S = 0.2


def clock():
    return time.process_time() if CPU_TIME else time.perf_counter()


rng = np.random.default_rng(0)


def randn(*shape, scale=0.1):
    return (rng.standard_normal(shape) * scale).astype(np.float32)


LENET = [(20, 1, 5, 5), (20,), (50, 20, 5, 5), (50,), (500, 800), (500,), (10, 500), (10,)]
MLP = [(512, 784), (512,), (256, 512), (256,), (10, 256), (10,)]
LSTM = (256, 35, 32, 256)  # hidden, steps, batch, input


# -- psdist and MXNet: one API --------------------------------------------------------------------------------


def classic(mx, is_psdist):
    """Rows of the classic API."""
    nd = mx.nd

    def wait(x=None):
        if not is_psdist:
            (x.wait_to_read if x is not None else nd.waitall)()

    def imperative():
        x, y = nd.ones((1,)), nd.ones((1,))

        def unit():
            for _ in range(2000):
                x + y
            wait()

        return unit, 2000

    def recorded():
        x, y = nd.ones((1,)), nd.ones((1,))
        x.attach_grad()

        def unit():
            with mx.autograd.record():
                z = x
                for _ in range(500):
                    z = z * y
            z.backward()
            wait(x.grad)

        return unit, 500

    def bound(symbol, inputs, grad=True, **shapes):
        reqs = {n: "write" if grad and n not in inputs else "null" for n in symbol.list_arguments()}
        executor = symbol.simple_bind(mx.cpu(), grad_req=reqs, **shapes)
        for n, a in executor.arg_dict.items():
            a[:] = rng.integers(0, 10, a.shape) if n.endswith("label") else randn(*a.shape)
        return executor

    def tiny():
        x = data = mx.sym.Variable("data")
        for _ in range(100):
            x = (x + data) * data
        executor = bound(x, ["data"], grad=False, data=(1,))

        def unit():
            for _ in range(20):
                executor.forward(is_train=False)
            wait()

        return unit, 200 * 20

    def elementwise(x, data, f):
        for _ in range(2):
            x = f.sigmoid(f.tanh(f.exp(x * 0.5 - 1.0)) + data) * 0.3
        return x

    def chain(size):
        def make():
            data = mx.sym.Variable("data")
            executor = bound(elementwise(data, data, mx.sym), ["data"], grad=False, data=(size,))

            def unit():
                executor.forward(is_train=False)
                wait()

            return unit, 1

        return make

    def chain_imperative(size):
        def make():
            data = nd.array(randn(size))

            def unit():
                wait(elementwise(data, data, nd))

            return unit, 1

        return make

    def mlp_symbol():
        x = mx.sym.Variable("data")
        for n in (512, 256):
            x = mx.sym.Activation(mx.sym.FullyConnected(x, num_hidden=n), act_type="relu")
        return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(x, num_hidden=10), name="softmax")

    def mlp():
        it = mx.io.NDArrayIter(randn(128 * 20, 784), rng.integers(0, 10, 128 * 20).astype(np.float32), 128)
        mod = mx.mod.Module(mlp_symbol(), context=mx.cpu())
        import logging

        logging.disable(logging.WARNING)

        def unit():
            it.reset()
            mod.fit(
                it,
                num_epoch=1,
                optimizer="sgd",
                optimizer_params={"learning_rate": 0.01, "momentum": 0.9},
                kvstore=None,
            )
            wait()

        return unit, 20

    def training(executor):
        def unit():
            executor.forward(is_train=True)
            executor.backward()
            wait()

        return unit, 1

    def lenet_symbol():
        x = mx.sym.Variable("data")
        for n in (20, 50):
            x = mx.sym.Activation(mx.sym.Convolution(x, kernel=(5, 5), num_filter=n), act_type="relu")
            x = mx.sym.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max")
        x = mx.sym.Activation(mx.sym.FullyConnected(mx.sym.Flatten(x), num_hidden=500), act_type="relu")
        return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(x, num_hidden=10), name="softmax")

    def lenet():
        return training(bound(lenet_symbol(), ["data", "softmax_label"], data=(64, 1, 28, 28)))

    def conv():
        x = mx.sym.Convolution(
            mx.sym.Variable("data"), kernel=(3, 3), pad=(1, 1), num_filter=64, no_bias=True
        )
        executor = bound(x, [], data=(16, 64, 32, 32))
        head = nd.array(randn(16, 64, 32, 32))

        def unit():
            executor.forward(is_train=True)
            executor.backward(head)
            wait()

        return unit, 1

    def lstm():
        hidden, steps, batch, size = LSTM
        data, params = mx.sym.Variable("data"), mx.sym.Variable("params")
        states = [mx.sym.Variable(n) for n in ("h", "c")]
        x = mx.sym.RNN(data, params, *states, state_size=hidden, num_layers=1, mode="lstm")
        count = 4 * hidden * (size + hidden + 2)
        shapes = {
            "data": (steps, batch, size),
            "params": (count,),
            "h": (1, batch, hidden),
            "c": (1, batch, hidden),
        }
        executor = bound(mx.sym.MakeLoss(mx.sym.mean(x)), ["data", "h", "c"], **shapes)
        return training(executor)

    def optimizer(name, **kwargs):
        def make():
            rule = mx.optimizer.create(name, learning_rate=0.01, **kwargs)
            w, g = nd.array(randn(10_000_000)), nd.array(randn(10_000_000))
            state = rule.create_state(0, w)

            def unit():
                rule.update(0, w, g, state)
                wait()

            return unit, 1

        return make

    return {
        "imperative operator, 1 element": imperative,
        "recorded operator + backward, 1 element": recorded,
        "symbolic plan, per tiny node": tiny,
        "chain of elementwise operators, 1 M": chain(1_000_000),
        "chain of elementwise operators, 10 M": chain(10_000_000),
        "the same chain, imperative, 1 M": chain_imperative(1_000_000),
        "MLP 784-512-256-10, Module.fit step": mlp,
        "LeNet 28×28 batch 64, step": lenet,
        "convolution 3×3 64→64 32×32 batch 16, forward + backward": conv,
        "LSTM 256 hidden, 35 steps, batch 32, step": lstm,
        "SGD momentum, 10 M": optimizer("sgd", momentum=0.9),
        "Adam, 10 M": optimizer("adam"),
    }


# -- torch ----------------------------------------------------------------------------------------------------


def with_torch(channels_last):
    import torch
    from torch import nn

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))

    def imperative():
        x, y = torch.ones(1), torch.ones(1)

        def unit():
            for _ in range(2000):
                x + y

        return unit, 2000

    def recorded():
        x, y = torch.ones(1, requires_grad=True), torch.ones(1)

        def unit():
            z = x
            for _ in range(500):
                z = z * y
            z.backward()
            x.grad = None

        return unit, 500

    def chain(size):
        def make():
            data = torch.from_numpy(randn(size))

            def unit():
                x = data
                for _ in range(2):
                    x = torch.sigmoid(torch.tanh(torch.exp(x * 0.5 - 1.0)) + data) * 0.3

            return unit, 1

        return make

    def step(model, data, label, momentum=None):
        loss = nn.CrossEntropyLoss(reduction="sum")
        rule = torch.optim.SGD(model.parameters(), 0.0001, momentum=momentum) if momentum else None

        def unit():
            model.zero_grad(set_to_none=False)
            y = model(data)
            loss(y, label).backward()
            if rule is not None:
                rule.step()
                (y.argmax(1) == label).sum().item()

        return unit, 1

    labels = torch.from_numpy(rng.integers(0, 10, 128))

    def mlp():
        model = nn.Sequential(
            nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10)
        )
        return step(model, torch.from_numpy(randn(128, 784)), labels, 0.9)

    def ordered(x):
        return x.to(memory_format=torch.channels_last) if channels_last else x

    def lenet():
        model = nn.Sequential(
            nn.Conv2d(1, 20, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10),
        )  # fmt: skip
        return step(ordered(model), ordered(torch.from_numpy(randn(64, 1, 28, 28))), labels[:64])

    def conv():
        model = ordered(nn.Conv2d(64, 64, 3, padding=1, bias=False))
        data = ordered(torch.from_numpy(randn(16, 64, 32, 32))).requires_grad_()
        head = ordered(torch.from_numpy(randn(16, 64, 32, 32)))

        def unit():
            model.weight.grad = data.grad = None
            model(data).backward(head)

        return unit, 1

    def lstm():
        hidden, steps, batch, size = LSTM
        model, data = nn.LSTM(size, hidden), torch.from_numpy(randn(steps, batch, size))

        def unit():
            model.zero_grad(set_to_none=False)
            model(data)[0].mean().backward()

        return unit, 1

    def optimizer(name, **kwargs):
        def make():
            w = torch.from_numpy(randn(10_000_000)).requires_grad_()
            w.grad = torch.from_numpy(randn(10_000_000))
            rule = getattr(torch.optim, name)([w], 0.01, fused=True, **kwargs)
            return rule.step, 1

        return make

    convolutions = {
        "LeNet 28×28 batch 64, step": lenet,
        "convolution 3×3 64→64 32×32 batch 16, forward + backward": conv,
    }
    if channels_last:
        return convolutions
    return {
        "imperative operator, 1 element": imperative,
        "recorded operator + backward, 1 element": recorded,
        "chain of elementwise operators, 1 M": chain(1_000_000),
        "chain of elementwise operators, 10 M": chain(10_000_000),
        "the same chain, imperative, 1 M": chain(1_000_000),
        "MLP 784-512-256-10, Module.fit step": mlp,
        **convolutions,
        "LSTM 256 hidden, 35 steps, batch 32, step": lstm,
        "SGD momentum, 10 M": optimizer("SGD", momentum=0.9),
        "Adam, 10 M": optimizer("Adam"),
    }


# -- JAX ------------------------------------------------------------------------------------------------------


def with_jax():
    import jax
    import jax.numpy as jnp
    from jax import lax

    def imperative():
        x, y = jnp.ones(1), jnp.ones(1)

        def unit():
            for _ in range(500):
                z = x + y
            z.block_until_ready()

        return unit, 500

    def chain(size):
        def make():
            data = randn(size)

            @jax.jit
            def function(data):
                x = data
                for _ in range(2):
                    x = jax.nn.sigmoid(jnp.tanh(jnp.exp(x * 0.5 - 1.0)) + data) * 0.3
                return x

            return lambda: np.asarray(function(data)), 1  # from NumPy's arrays to NumPy's arrays

        return make

    def loss(y, label):
        return -jnp.sum(jnp.take_along_axis(jax.nn.log_softmax(y), label[:, None], 1))

    def training(network, shapes, data):
        params = [jnp.asarray(randn(*s)) for s in shapes]
        label = jnp.asarray(rng.integers(0, 10, len(data)))
        data = jnp.asarray(data)
        step = jax.jit(jax.grad(lambda p: loss(network(p, data), label)))
        return lambda: jax.block_until_ready(step(params)), 1

    def mlp():
        def network(p, x):
            x = jax.nn.relu(x @ p[0].T + p[1])
            return jax.nn.relu(x @ p[2].T + p[3]) @ p[4].T + p[5]

        return training(network, MLP, randn(128, 784))

    def lenet():
        def network(p, x):
            for w, b in ((p[0], p[1]), (p[2], p[3])):
                x = jax.nn.relu(lax.conv(x, w, (1, 1), "VALID") + b[:, None, None])
                x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
            x = x.reshape(len(x), -1)
            return jax.nn.relu(x @ p[4].T + p[5]) @ p[6].T + p[7]

        return training(network, LENET, randn(64, 1, 28, 28))

    def conv():
        x, w, g = (jnp.asarray(randn(*s)) for s in ((16, 64, 32, 32), (64, 64, 3, 3), (16, 64, 32, 32)))

        @jax.jit
        def step(x, w, g):
            y, back = jax.vjp(lambda x, w: lax.conv(x, w, (1, 1), "SAME"), x, w)
            return y, back(g)

        return lambda: jax.block_until_ready(step(x, w, g)), 1

    return {
        "imperative operator, 1 element": imperative,
        "chain of elementwise operators, 1 M": chain(1_000_000),
        "chain of elementwise operators, 10 M": chain(10_000_000),
        "MLP 784-512-256-10, Module.fit step": mlp,
        "LeNet 28×28 batch 64, step": lenet,
        "convolution 3×3 64→64 32×32 batch 16, forward + backward": conv,
    }


def rows():
    """The rows of this side."""
    if SIDE.startswith("psdist"):
        import psdist
        from psdist import jit

        if SIDE == "psdist [jit]" and not jit.available():
            raise ImportError("llvmlite")
        return classic(psdist, True)
    if SIDE == "MXNet":
        import mxnet

        return classic(mxnet, False)
    if SIDE == "JAX":
        return with_jax()
    return with_torch(SIDE == "torch channels-last")


def timed(unit, repeats):
    start = clock()
    for _ in range(repeats):
        unit()
    return (clock() - start) / repeats


def main():
    try:
        known = rows()
    except ImportError as e:
        known, why = {}, f"not installed: {e}"
    else:
        why = "not a row of this side"
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is not an answer
    ready = {}
    for line in sys.stdin:
        row = line.strip()
        if row not in known:
            found = {"missing": why}
        else:
            try:
                if row not in ready:
                    ready.clear()  # one row's arrays at a time
                    unit, count = known[row]()
                    unit()
                    ready[row] = (unit, count, max(1, round(LEAST_S / max(1e-9, timed(unit, 1)))))
                unit, count, repeats = ready[row]
                found = {"seconds": timed(unit, repeats) / count}
            except Exception as e:
                found = {"missing": f"{type(e).__name__}: {e}"[:200]}
        print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    main()

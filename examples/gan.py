"""A generative adversarial network: two modules, the gradients of one's input are the other's output gradients.

The generator learns to draw points of a ring.
"""

import argparse
import logging

import numpy as np

import psdist as mx


def generator() -> mx.sym.Symbol:
    net = mx.sym.Variable("rand")
    for i in range(2):
        net = mx.sym.Activation(mx.sym.FullyConnected(net, num_hidden=32, name=f"g{i}"), act_type="relu")
    return mx.sym.FullyConnected(net, num_hidden=2, name="gout")


def discriminator() -> mx.sym.Symbol:
    net = mx.sym.Variable("data")
    label = mx.sym.Variable("label")
    for i in range(2):
        net = mx.sym.LeakyReLU(
            mx.sym.FullyConnected(net, num_hidden=32, name=f"d{i}"), act_type="leaky", slope=0.2
        )
    net = mx.sym.FullyConnected(net, num_hidden=1, name="dout")
    return mx.sym.LogisticRegressionOutput(data=net, label=label, name="dloss")


def main() -> float:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1500)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO)

    batch, ctx = 64, mx.cpu()
    mx.random.seed(3)
    rng = np.random.default_rng(0)
    mod_g = mx.mod.Module(symbol=generator(), data_names=("rand",), label_names=None, context=ctx)
    mod_g.bind(data_shapes=[("rand", (batch, 4))])
    mod_g.init_params(initializer=mx.init.Xavier())
    mod_g.init_optimizer(optimizer="adam", optimizer_params={"learning_rate": 0.002, "beta1": 0.5})
    mod_d = mx.mod.Module(symbol=discriminator(), data_names=("data",), label_names=("label",), context=ctx)
    mod_d.bind(
        data_shapes=[("data", (batch, 2))], label_shapes=[("label", (batch, 1))], inputs_need_grad=True
    )
    mod_d.init_params(initializer=mx.init.Xavier())
    mod_d.init_optimizer(optimizer="adam", optimizer_params={"learning_rate": 0.002, "beta1": 0.5})

    label = mx.nd.zeros((batch, 1), ctx=ctx)
    for step in range(args.steps):
        noise = mx.io.DataBatch([mx.random.normal(0, 1.0, shape=(batch, 4))], [])
        mod_g.forward(noise, is_train=True)
        fake = mod_g.get_outputs()

        label[:] = 0
        mod_d.forward(mx.io.DataBatch(fake, [label]), is_train=True)
        mod_d.backward()
        kept = [[g.copyto(g.context) for g in grads] for grads in mod_d._exec_group.grad_arrays]

        angle = rng.uniform(0, 2 * np.pi, size=batch)
        real = np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(scale=0.05, size=(batch, 2))
        label[:] = 1
        mod_d.forward(mx.io.DataBatch([mx.nd.array(real)], [label]), is_train=True)
        mod_d.backward()
        for grads, more in zip(mod_d._exec_group.grad_arrays, kept, strict=True):
            for g, m in zip(grads, more, strict=True):
                g += m
        mod_d.update()

        label[:] = 1
        mod_d.forward(mx.io.DataBatch(fake, [label]), is_train=True)
        mod_d.backward()
        mod_g.backward(mod_d.get_input_grads())
        mod_g.update()
        if step % 500 == 0:
            logging.info("step %d, radius %.3f", step, float(mx.nd.norm(fake[0], axis=1).mean().asscalar()))

    mod_g.forward(mx.io.DataBatch([mx.random.normal(0, 1.0, shape=(batch, 4))], []), is_train=False)
    radius = np.linalg.norm(mod_g.get_outputs()[0].asnumpy(), axis=1)
    return float(np.abs(radius - 1).mean())


if __name__ == "__main__":
    print(f"distance {main():.3f}")

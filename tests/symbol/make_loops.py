"""Ask MXNet 1.9.1, the `mxnet` of the Python that runs this, for graphs with loops, and for what they give:

python tests/symbol/make_loops.py
"""

import json
from pathlib import Path

import mxnet as mx
import numpy as np

sym = mx.sym


def graphs():
    d, s, w = sym.var("d"), sym.var("s"), sym.var("w")
    h = sym.exp(w)
    out, states = sym.contrib.foreach(lambda x, now: (x + now[0] * h, [now[0] + x]), d, [s])
    yield "foreach", sym.Group([out, states[0]]), {"d": (3, 2), "s": (2,), "w": (2,)}

    def dense(x, now):
        y = sym.FullyConnected(x, num_hidden=2, name="fc") + now
        return [y, y * 2], sym.tanh(y)

    outs, state = sym.contrib.foreach(dense, d, s)
    yield "dense", sym.Group([*outs, state]), {
        "d": (4, 3, 5), "s": (3, 2), "fc_weight": (2, 5), "fc_bias": (2,)
    }  # fmt: skip
    i, a = sym.var("i"), sym.var("a")
    outs, ends = sym.contrib.while_loop(
        lambda i, a: i < 3, lambda i, a: ([a * w], [i + 1, a * w + a]), [i, a], max_iterations=3
    )
    yield "while", sym.Group([outs[0], *ends]), {"i": (1,), "a": (2,), "w": (2,)}
    yield "cond", sym.contrib.cond(sym.sum(a) < 0, lambda: a + w, lambda: a * h), {"a": (2,), "w": (2,)}


def main():
    kept = {}
    rng = np.random.default_rng(0)
    for name, graph, shapes in graphs():
        arrays = {
            n: np.zeros(shapes[n]) if n == "i" else rng.uniform(-1, 1, shapes[n]).round(3)
            for n in graph.list_arguments()
        }
        given = {n: mx.nd.array(x) for n, x in arrays.items()}
        grads = {n: mx.nd.zeros(x.shape) for n, x in given.items()}
        executor = graph.bind(mx.cpu(), given, grads)
        results = [y.asnumpy() for y in executor.forward(is_train=True)]
        heads = [rng.uniform(-1, 1, y.shape).round(3) for y in results]
        executor.backward([mx.nd.array(g) for g in heads])
        kept[name] = {
            "json": json.loads(graph.tojson()),
            "arguments": graph.list_arguments(),
            "given": {n: x.tolist() for n, x in arrays.items()},
            "heads": [g.tolist() for g in heads],
            "outputs": [y.tolist() for y in results],
            "gradients": {n: g.asnumpy().tolist() for n, g in grads.items() if n != "i"},
        }
    Path(__file__).with_name("loops.json").write_text(json.dumps(kept, separators=(",", ":")))


if __name__ == "__main__":
    main()

"""Make the answers in `oracle/` with MXNet 1.9.1, which has to be the `mxnet` of the Python that runs this:

python tests/rnn/make_oracle.py
"""

import gzip
import json
import random
import sys
from pathlib import Path

import mxnet as mx
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import nets

HERE = Path(__file__).parent / "oracle"


def graphs():
    """The nodes of every network, unrolled in every way: operator, name, attributes, inputs."""
    answers = {}
    for cell in nets.CELLS:
        for way in nets.WAYS:
            symbol = nets.unroll(mx, cell, way)
            nodes = json.loads(symbol.tojson())["nodes"]
            answers[f"{cell}/{way}"] = {
                "nodes": [[n["op"], n["name"], n.get("attrs", {}), n["inputs"]] for n in nodes],
                "arguments": symbol.list_arguments(),
                "outputs": symbol.list_outputs(),
            }
    (HERE / "graphs.json.gz").write_bytes(gzip.compress(json.dumps(answers).encode(), mtime=0))


def runs():
    """Outputs of networks whose parameters are a function of their place."""
    answers = {}
    for cell in nets.RUN:
        symbol = nets.unroll(mx, cell, "one")
        exe = symbol.simple_bind(mx.cpu(), **nets.input_shapes(cell, "one"))
        for k, array in enumerate(exe.arg_arrays):
            array[:] = np.sin(np.arange(array.size) + k).reshape(array.shape) * 0.5
        outputs = exe.forward(is_train=False)
        for k, out in enumerate(outputs):
            answers[f"{cell}/output/{k}"] = out.asnumpy()
    np.savez_compressed(HERE / "runs.npz", **answers)


def weights():
    """The parts of packed parameters, by name."""
    answers = {}
    for mode in ("rnn_relu", "rnn_tanh", "lstm", "gru"):
        for both in (False, True):
            cell = mx.rnn.FusedRNNCell(3, num_layers=2, mode=mode, bidirectional=both, prefix="f_")
            out = cell.unroll(2, mx.sym.Variable("data"), merge_outputs=True)[0]
            shapes, _, _ = out.infer_shape(data=(1, 2, 5))
            size = shapes[out.list_arguments().index("f_parameters")][0]
            unpacked = cell.unpack_weights({"f_parameters": mx.nd.arange(size)})
            for name, part in unpacked.items():
                answers[f"{mode}/{both}/{name}"] = part.asnumpy().astype(np.int32)
    np.savez_compressed(HERE / "weights.npz", **answers)


def sentences():
    """Three epochs of batches from one seed, and encoded texts."""
    answers = {}
    for name, arguments in nets.BUCKETED.items():
        random.seed(1)
        np.random.seed(1)
        it = mx.rnn.BucketSentenceIter(nets.SENTENCES, **arguments)
        epochs = []
        for _ in range(3):
            epochs.append([
                [b.bucket_key, b.data[0].asnumpy().tolist(), b.label[0].asnumpy().tolist()] for b in it
            ])  # fmt: skip
            it.reset()
        described = [[d.name, list(d.shape), d.layout] for d in it.provide_data + it.provide_label]
        answers[name] = {"epochs": epochs, "described": described, "default": it.default_bucket_key}
    encoded = {name: mx.rnn.encode_sentences(nets.TEXTS, **json.loads(json.dumps(kwargs)))
               for name, kwargs in nets.ENCODED.items()}  # fmt: skip
    (HERE / "sentences.json").write_text(json.dumps({"batches": answers, "encoded": encoded}))


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    for part in (graphs, runs, weights, sentences):
        part()
        print(part.__name__)

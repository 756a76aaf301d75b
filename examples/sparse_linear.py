"""Linear classification of sparse samples: csr batches, a row-sparse weight of which a step touches few rows.

    python examples/sparse_linear.py
    psdist run -n 2 -s 2 -- python examples/sparse_linear.py --kv-store dist_sync

Over servers only those rows travel that a batch needs: pulled by `prepare`, pushed by `update`.
"""

import argparse
import logging

import numpy as np

import psdist as mx


def network(num_features: int) -> mx.sym.Symbol:
    x = mx.sym.Variable("data", stype="csr")
    weight = mx.sym.Variable(
        "weight", shape=(num_features, 2), init=mx.init.Normal(sigma=0.01), stype="row_sparse"
    )
    bias = mx.sym.Variable("bias", shape=(2,))
    dot = mx.sym.sparse.dot(x, weight)
    pred = mx.sym.broadcast_add(dot, bias)
    return mx.sym.SoftmaxOutput(data=pred, label=mx.sym.Variable("softmax_label"), name="out")


def samples(count: int, num_features: int, seed: int):
    rng = np.random.default_rng(seed)
    informative = np.random.default_rng(42).normal(size=num_features)
    columns = rng.integers(0, num_features, size=(count, 8))
    values = rng.normal(size=(count, 8)).astype("float32")
    label = ((values * informative[columns]).sum(axis=1) > 0).astype("float32")
    rows = np.repeat(np.arange(count), 8)
    x = mx.nd.sparse.csr_matrix((values.ravel(), (rows, columns.ravel())), shape=(count, num_features))
    return x, label


def main() -> float:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--features", type=int, default=500)
    parser.add_argument("--kv-store", default="local", help="local, device, dist_sync or dist_async")
    parser.add_argument("--optimizer", default="adam", choices=["sgd", "adam", "adagrad", "ftrl"])
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO)

    kv = mx.kv.create(args.kv_store)  # in a server's or scheduler's process: serves until the job is over
    mx.random.seed(0)
    x, y = samples(4000 // kv.num_workers, args.features, 2 + kv.rank if kv.num_workers > 1 else 0)
    train = mx.io.NDArrayIter(x, y, 100, last_batch_handle="discard")
    x, y = samples(1000, args.features, 1)
    test = mx.io.NDArrayIter(x, y, 100, last_batch_handle="discard")

    module = mx.mod.Module(symbol=network(args.features), data_names=["data"], label_names=["softmax_label"])
    module.bind(data_shapes=train.provide_data, label_shapes=train.provide_label)
    module.init_params()
    rescale = 1.0 / (100 * kv.num_workers)
    optimizer = mx.optimizer.create(args.optimizer, learning_rate=0.02, rescale_grad=rescale)
    module.init_optimizer(optimizer=optimizer, kvstore=kv)
    metric = mx.metric.create(["acc", "nll_loss"])

    def rows_of(batch):
        return {"weight": batch.data[0].indices}

    for epoch in range(args.epochs):
        train.reset()
        metric.reset()
        for batch in train:
            module.prepare(batch, sparse_row_id_fn=rows_of)
            module.forward_backward(batch)
            module.update()
            module.update_metric(metric, batch.label)
        logging.info("epoch %d, %s", epoch, dict(metric.get_name_value()))
    accuracy = dict(module.score(test, "acc", sparse_row_id_fn=rows_of))["accuracy"]
    kv.close()
    return accuracy


if __name__ == "__main__":
    print(f"accuracy {main():.3f}")

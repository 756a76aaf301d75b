"""A language model of two LSTM layers over sentences of several lengths: mx.rnn cells and a BucketingModule.

The language is synthetic: each word is followed by one of two others, so the best perplexity is about 2.
"""

import argparse
import logging

import numpy as np

import psdist as mx

WORDS = 20


def sentences(count: int, seed: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        words = [int(rng.integers(1, WORDS))]
        for _ in range(int(rng.integers(4, 12))):
            words.append((words[-1] * 2 + int(rng.integers(0, 2))) % (WORDS - 1) + 1)
        made.append(words)
    return made


def main() -> float:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=5)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO)

    mx.random.seed(0)
    np.random.seed(0)
    buckets, batch_size, hidden = [6, 9, 12], 16, 32
    train = mx.rnn.BucketSentenceIter(sentences(800, 0), batch_size, buckets=buckets, invalid_label=0)
    test = mx.rnn.BucketSentenceIter(sentences(160, 1), batch_size, buckets=buckets, invalid_label=0)

    stack = mx.rnn.SequentialRNNCell()
    for i in range(2):
        stack.add(mx.rnn.LSTMCell(num_hidden=hidden, prefix=f"lstm_l{i}_"))

    def sym_gen(seq_len):
        data, label = mx.sym.Variable("data"), mx.sym.Variable("softmax_label")
        embed = mx.sym.Embedding(data=data, input_dim=WORDS, output_dim=hidden, name="embed")
        stack.reset()
        outputs, _ = stack.unroll(seq_len, inputs=embed, merge_outputs=True)
        pred = mx.sym.Reshape(outputs, shape=(-1, hidden))
        pred = mx.sym.FullyConnected(data=pred, num_hidden=WORDS, name="pred")
        label = mx.sym.Reshape(label, shape=(-1,))
        return mx.sym.SoftmaxOutput(data=pred, label=label, name="softmax"), ("data",), ("softmax_label",)

    model = mx.mod.BucketingModule(sym_gen, default_bucket_key=train.default_bucket_key, context=mx.cpu())
    model.fit(
        train_data=train,
        eval_data=test,
        eval_metric=mx.metric.Perplexity(0),
        optimizer="adam",
        optimizer_params={"learning_rate": 0.01},
        initializer=mx.init.Xavier(factor_type="in", magnitude=2.34),
        num_epoch=args.epochs,
    )
    return dict(model.score(test, mx.metric.Perplexity(0)))["perplexity"]


if __name__ == "__main__":
    print(f"perplexity {main():.3f}")

"""Encoded sentences in buckets, batch by batch as MXNet makes them from the same seed (make_oracle.py)."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

import psdist as mx
from psdist.errors import ConfigError

from . import nets

ANSWERS = json.loads((Path(__file__).parent / "oracle" / "sentences.json").read_text())


@pytest.mark.parametrize("name", nets.BUCKETED)
def test_batches_are_mxnets_for_three_epochs(name):
    random.seed(1)
    np.random.seed(1)
    it = mx.rnn.BucketSentenceIter(nets.SENTENCES, **nets.BUCKETED[name])
    answer = ANSWERS["batches"][name]
    assert it.default_bucket_key == answer["default"]
    assert [[d.name, list(d.shape), d.layout] for d in it.provide_data + it.provide_label] == answer[
        "described"
    ]
    for epoch in answer["epochs"]:
        batches = list(it)
        got = [[b.bucket_key, b.data[0].asnumpy().tolist(), b.label[0].asnumpy().tolist()] for b in batches]
        assert got == epoch
        assert all(b.provide_data[0].shape == b.data[0].shape for b in batches)
        it.reset()


@pytest.mark.parametrize("name", nets.ENCODED)
def test_texts_are_encoded_as_by_mxnet(name):
    encoded, vocab = mx.rnn.encode_sentences(nets.TEXTS, **nets.ENCODED[name])
    assert [encoded, vocab] == ANSWERS["encoded"][name]


def test_unknown_words_are_one_word_or_an_error():
    vocab = {"a": 5, "b": 6, "u": 9}
    assert mx.rnn.encode_sentences([["a", "x", "y"]], vocab, unknown_token="u")[0] == [[5, 9, 9]]
    with pytest.raises(ConfigError, match="encode_sentences: unknown word 'x'; give unknown_token for such"):
        mx.rnn.encode_sentences([["x"]], vocab)


def test_sentences_that_are_too_long_are_left_out_and_counted(caplog):
    it = mx.rnn.BucketSentenceIter([[1, 2], [1, 2, 3]], 1, buckets=[2])
    assert caplog.messages == [
        "BucketSentenceIter: 1 sentences are longer than the largest bucket, 2, and left out"
    ]
    assert [b.data[0].asnumpy().tolist() for b in it] == [[[1, 2]]]


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="layout is 'CTN'; wanted its N, the batch, first"):
        mx.rnn.BucketSentenceIter([[1]], 1, layout="CTN")
    with pytest.raises(ConfigError, match="no length has 3 sentences, a batch; give buckets"):
        mx.rnn.BucketSentenceIter([[1], [1, 2]], 3)


@pytest.mark.parametrize(("layout", "shape"), [("NTC", (2, 5)), ("TNC", (5, 2)), ("CNT", (5, 2))])
def test_of_a_layout_counts_where_the_batch_is(layout, shape):
    it = mx.rnn.BucketSentenceIter(
        [[1, 2, 3]] * 8, 2, buckets=[5], layout=layout
    )  # the answers are MXNet 1.9.1's
    assert it.provide_data[0].shape == it.next().data[0].shape == shape
    assert it.provide_data[0].layout == layout

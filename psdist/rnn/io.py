"""Sentences under the path that scripts know from MXNet: `mx.rnn.io.encode_sentences`."""

from .sentences import BucketSentenceIter, encode_sentences

__all__ = ["BucketSentenceIter", "encode_sentences"]

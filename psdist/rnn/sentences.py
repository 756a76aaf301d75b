"""Sentences for language models: words to numbers, and batches of sentences of similar length."""

from __future__ import annotations

import bisect
import logging
import random
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..io import DataBatch, DataDesc, DataIter
from ..ndarray import array

__all__ = ["BucketSentenceIter", "encode_sentences"]

_log = logging.getLogger("psdist.rnn")


def encode_sentences(
    sentences: Iterable[Iterable[Any]],
    vocab: dict[Any, int] | None = None,
    invalid_label: int = -1,
    invalid_key: Any = "\n",
    start_label: int = 0,
    unknown_token: Any = None,
) -> tuple[list[list[int]], dict[Any, int]]:
    """Sentences of words as lists of numbers, and the vocabulary (number by word).

    Without `vocab` one is made: words are numbered from `start_label` as they come, leaving out
    `invalid_label`, which stands for `invalid_key`. With `vocab` a word that is not in it becomes
    `unknown_token`, or, without one, is an error.
    """
    is_new = vocab is None
    words: dict[Any, int] = {invalid_key: invalid_label} if vocab is None else vocab
    label = start_label
    encoded = []
    for sentence in sentences:
        coded = []
        for word in sentence:
            if word not in words:
                if not is_new and unknown_token is None:
                    raise ConfigError(f"encode_sentences: unknown word {word!r}; give unknown_token for such")
                if unknown_token is not None:
                    word = unknown_token
            if word not in words:
                if label == invalid_label:
                    label += 1
                words[word] = label
                label += 1
            coded.append(words[word])
        encoded.append(coded)
    return encoded, words


class BucketSentenceIter(DataIter):
    """Batches of encoded sentences, each batch from one bucket of length; the label is the next word.

    Sentences are filled up with `invalid_label` to their bucket's length; longer ones than the largest bucket
    are left out, and so is what does not fill a batch. Without `buckets` every length is one that has sentences
    for a batch. Of `layout` counts where its N is: first, as in "NT" and "NTC", or second. The order is drawn
    anew each epoch, by Python's and NumPy's `random`.
    """

    def __init__(
        self,
        sentences: Sequence[Sequence[int]],
        batch_size: int,
        buckets: Sequence[int] | None = None,
        invalid_label: int = -1,
        data_name: str = "data",
        label_name: str = "softmax_label",
        dtype: Any = "float32",
        layout: str = "NT",
    ) -> None:
        super().__init__()
        if layout.find("N") not in (0, 1):
            raise ValueError(
                f"BucketSentenceIter: layout is {layout!r}; wanted its N, the batch, first ('NT', 'NTC') or second ('TN')"
            )
        if not buckets:
            counts = np.bincount([len(s) for s in sentences])
            buckets = [length for length, count in enumerate(counts) if count >= batch_size]
        if not buckets:
            raise ConfigError(
                f"BucketSentenceIter: no length has {batch_size} sentences, a batch; give buckets"
            )
        self.batch_size = batch_size
        self.buckets = sorted(buckets)
        self.data_name = data_name
        self.label_name = label_name
        self.dtype = dtype
        self.invalid_label = invalid_label
        self.layout = layout
        self.major_axis = layout.find("N")
        self.default_bucket_key = max(self.buckets)
        self.data = self._in_buckets(sentences)
        self.nddata: list[Any] = []
        self.ndlabel: list[Any] = []
        shape = self._shape(batch_size, self.default_bucket_key)
        self.provide_data = [DataDesc(data_name, shape, layout=layout)]
        self.provide_label = [DataDesc(label_name, shape, layout=layout)]
        self.idx = [
            (i, j)
            for i, rows in enumerate(self.data)
            for j in range(0, len(rows) - batch_size + 1, batch_size)
        ]
        self.curr_idx = 0
        self.reset()

    def _in_buckets(self, sentences: Sequence[Sequence[int]]) -> list[Any]:
        rows: list[list[Any]] = [[] for _ in self.buckets]
        discarded = 0
        for sentence in sentences:
            i = bisect.bisect_left(self.buckets, len(sentence))
            if i == len(self.buckets):
                discarded += 1
                continue
            row = np.full((self.buckets[i],), self.invalid_label, dtype=self.dtype)
            row[: len(sentence)] = sentence
            rows[i].append(row)
        if discarded:
            _log.warning(
                "BucketSentenceIter: %d sentences are longer than the largest bucket, %d, and left out",
                discarded,
                self.buckets[-1],
            )
        return [
            np.asarray(r, dtype=self.dtype).reshape(len(r), b)
            for r, b in zip(rows, self.buckets, strict=True)
        ]

    def _shape(self, batch: int, length: int) -> tuple[int, int]:
        return (batch, length) if self.major_axis == 0 else (length, batch)

    def reset(self) -> None:
        self.curr_idx = 0
        random.shuffle(self.idx)
        for rows in self.data:
            np.random.shuffle(rows)
        self.nddata, self.ndlabel = [], []
        for rows in self.data:
            label = np.full_like(rows, self.invalid_label)
            label[:, :-1] = rows[:, 1:]
            self.nddata.append(rows)
            self.ndlabel.append(label)

    def next(self) -> DataBatch:
        if self.curr_idx == len(self.idx):
            raise StopIteration
        i, j = self.idx[self.curr_idx]
        self.curr_idx += 1
        data, label = (rows[i][j : j + self.batch_size] for rows in (self.nddata, self.ndlabel))
        if self.major_axis == 1:
            data, label = data.T, label.T
        return DataBatch(
            [array(data, dtype=self.dtype)],
            [array(label, dtype=self.dtype)],
            pad=0,
            bucket_key=self.buckets[i],
            provide_data=[DataDesc(self.data_name, data.shape, layout=self.layout)],
            provide_label=[DataDesc(self.label_name, label.shape, layout=self.layout)],
        )

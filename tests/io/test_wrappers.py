"""Iterators over iterators: another length of the epoch, and reading ahead in threads."""

import threading

import numpy as np
import pytest

import psdist as mx
from psdist.errors import ClosedError, ConfigError

LABEL = np.arange(10)


def numbers(batch_size=4, num_rows=10):
    return mx.io.NDArrayIter(LABEL[:num_rows], LABEL[:num_rows], batch_size=batch_size)


def labels(iterator):
    return [batch.label[0].asnumpy().tolist() for batch in iterator]


def test_a_resized_epoch_goes_on_from_the_beginning_when_the_data_ends():
    iterator = mx.io.ResizeIter(numbers(), 5)
    assert labels(iterator) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1], [0, 1, 2, 3], [4, 5, 6, 7]]
    iterator.reset()
    assert labels(iterator)[0] == [0, 1, 2, 3]
    going_on = mx.io.ResizeIter(numbers(), 2, reset_internal=False)
    assert labels(going_on)[-1] == [4, 5, 6, 7]
    going_on.reset()
    assert labels(going_on)[0] == [8, 9, 0, 1]


def test_reading_ahead_changes_nothing_but_when():
    with mx.io.PrefetchingIter(numbers()) as iterator:
        for _ in range(3):
            assert labels(iterator) == labels(numbers())
            with pytest.raises(StopIteration):
                iterator.next()
            iterator.reset()
        next(iterator)
        iterator.reset()  # in the middle of an epoch
        assert labels(iterator) == labels(numbers())


def test_several_iterators_are_put_side_by_side_under_new_names():
    renames = [{"data": "left"}, {"data": "right"}], [{"softmax_label": "l"}, {"softmax_label": "r"}]
    with mx.io.PrefetchingIter([numbers(), numbers()], *renames) as iterator:
        assert [d.name for d in iterator.provide_data] == ["left", "right"]
        assert [d.name for d in iterator.provide_label] == ["l", "r"]
        batch = next(iterator)
        assert len(batch.data) == len(batch.label) == 2
        assert iterator.batch_size == 4


def test_the_next_batch_is_read_by_another_thread():
    readers = []

    class Noting(mx.io.NDArrayIter):
        def next(self):
            readers.append(threading.current_thread())
            return super().next()

    with mx.io.PrefetchingIter(Noting(LABEL, LABEL, batch_size=5)) as iterator:
        list(iterator)
    assert threading.main_thread() not in readers


def test_iterators_of_different_lengths_are_refused_when_one_ends():
    with mx.io.PrefetchingIter([numbers(2), numbers(2, num_rows=4)]) as iterator:
        next(iterator)
        next(iterator)
        with pytest.raises(ConfigError, match="different numbers of batches"):
            next(iterator)


def test_an_error_of_the_source_comes_out_where_the_batch_is_asked_for():
    class Broken(mx.io.NDArrayIter):
        def next(self):
            raise OSError("the disk is gone")

    with mx.io.PrefetchingIter(Broken(LABEL)) as iterator, pytest.raises(OSError, match="the disk is gone"):
        next(iterator)


def test_a_closed_iterator_says_so():
    iterator = mx.io.PrefetchingIter(numbers())
    iterator.close()
    iterator.close()
    with pytest.raises(ClosedError, match="after close"):
        next(iterator)

"""Rows of a value, pulled by their numbers."""

import numpy as np
import pytest

import psdist as mx

VALUE = np.arange(12, dtype="float32").reshape(4, 3)


@pytest.fixture
def store():
    with mx.kv.create("local") as kv:
        kv.init("w", mx.nd.array(VALUE).tostype("row_sparse"))
        yield kv


def test_a_row_sparse_array_stores_the_rows_asked_for_and_no_others(store):
    out = mx.nd.sparse.zeros("row_sparse", (4, 3))
    store.row_sparse_pull("w", out=out, row_ids=mx.nd.array([3, 1, 1], dtype="int64"))
    assert out.indices.asnumpy().tolist() == [1, 3]
    assert (out.data.asnumpy() == VALUE[[1, 3]]).all()


def test_each_device_may_ask_for_rows_of_its_own(store):
    outs = [mx.nd.sparse.zeros("row_sparse", (4, 3)) for _ in range(2)]
    store.row_sparse_pull("w", out=outs, row_ids=[mx.nd.array([0]), mx.nd.array([2])])
    assert [o.indices.asnumpy().tolist() for o in outs] == [[0], [2]]
    store.row_sparse_pull(["w", "w"], out=outs, row_ids=[mx.nd.array([1]), mx.nd.array([3])])
    assert [o.indices.asnumpy().tolist() for o in outs] == [[1], [3]]


def test_a_dense_array_keeps_its_other_rows_and_is_not_for_row_sparse_pull(store):
    out = mx.nd.ones((4, 3))
    store.pull_rows("w", out, mx.nd.array([2]))
    assert out.asnumpy().tolist() == [[1] * 3, [1] * 3, [6, 7, 8], [1] * 3]
    with pytest.raises(mx.MXNetError, match="`out` is default; wanted row_sparse arrays, or use pull"):
        store.row_sparse_pull("w", out=out, row_ids=mx.nd.array([2]))


def test_pull_leaves_sparse_arrays_alone_unless_told_otherwise(store):
    sparse, dense = mx.nd.sparse.zeros("row_sparse", (4, 3)), mx.nd.zeros((4, 3))
    store.pull("w", out=[sparse, dense])
    assert (sparse.asnumpy() == 0).all()
    assert (dense.asnumpy() == VALUE).all()
    store.pull(["w"], out=[[sparse, dense]], ignore_sparse=False)
    assert (sparse.asnumpy() == VALUE).all()


def test_an_optimizer_leaves_the_rows_without_a_gradient_alone(store):
    store.set_optimizer(mx.optimizer.SGD(learning_rate=1.0, momentum=0.9, wd=0.1))
    g = mx.nd.sparse.row_sparse_array(([[1, 1, 1]], [2]), shape=(4, 3))
    store.push("w", [g, g])
    out = mx.nd.zeros((4, 3))
    store.pushpull("w", g, out=out)
    assert (out.asnumpy()[[0, 1, 3]] == VALUE[[0, 1, 3]]).all()
    assert (out.asnumpy()[2] < VALUE[2] - 2.5).all()


def test_a_sparse_array_is_pulled_whole_and_pushed(store):
    out = mx.nd.sparse.zeros("row_sparse", (4, 3))
    g = mx.nd.sparse.row_sparse_array(([[1, 1, 1]], [2]), shape=(4, 3))
    store.push("w", [g, g])
    store.pull("w", out=out, ignore_sparse=False)
    assert out.asnumpy()[2].tolist() == [2, 2, 2]


def test_errors_say_what_is_missing(store):
    out = mx.nd.sparse.zeros("row_sparse", (4, 3))
    with pytest.raises(mx.MXNetError, match="wanted `out`, arrays to write to, and `row_ids`"):
        store.row_sparse_pull("w", out=out)
    with pytest.raises(mx.MXNetError, match="row 7; the value has 4 rows"):
        store.row_sparse_pull("w", out=out, row_ids=mx.nd.array([7]))
    with pytest.raises(mx.MXNetError, match="2 arrays, but 1 arrays of row_ids"):
        store.row_sparse_pull("w", out=[out, out], row_ids=[mx.nd.array([1])])
    with pytest.raises(KeyError, match="'v' was never initialised"):
        store.row_sparse_pull("v", out=out, row_ids=mx.nd.array([1]))

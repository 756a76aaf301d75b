"""NDArrayIter: MXNet's batches in every case of oracle.json, and what it is given and refuses."""

import json
from pathlib import Path

import numpy as np
import pytest

import psdist as mx
from psdist.errors import ConfigError, ShapeError

CASES = json.loads(Path(__file__).parents[1].joinpath("oracle.json").read_text())["iterators"]
DATA, LABEL = np.arange(20).reshape(10, 2), np.arange(10)


@pytest.mark.parametrize("case", CASES, ids=[str(c["options"]) for c in CASES])
def test_an_iterator_gives_the_batches_that_mxnet_gives(case):
    np.random.seed(3)
    iterator = mx.io.NDArrayIter(DATA, LABEL, **case["options"])
    for wanted in case["epochs"]:
        iterator.reset()
        batches = list(iterator)
        assert [[b.label[0].asnumpy().tolist(), b.pad] for b in batches] == wanted
        for batch in batches:  # rows stay with their labels
            np.testing.assert_array_equal(batch.data[0].asnumpy()[:, 0], 2 * batch.label[0].asnumpy())


def test_names_and_shapes_are_told_before_the_first_batch():
    iterator = mx.io.NDArrayIter({"b": DATA, "a": DATA}, {"l": LABEL}, batch_size=4)
    assert [(d.name, d.shape) for d in iterator.provide_data] == [("a", (4, 2)), ("b", (4, 2))]
    assert iterator.provide_label == [("l", (4,))]
    assert [d.name for d in mx.io.NDArrayIter([DATA, DATA]).provide_data] == ["_0_data", "_1_data"]
    assert mx.io.NDArrayIter(DATA).provide_label == []
    assert iterator.provide_data[0].dtype is np.float32
    assert mx.io.DataDesc.get_batch_axis("TNC") == 1


def test_a_batch_may_be_changed_without_changing_the_data():
    iterator = mx.io.NDArrayIter(DATA, LABEL, batch_size=5)
    next(iterator).data[0][:] = -1
    iterator.reset()
    assert next(iterator).data[0].asnumpy()[0].tolist() == [0, 1]


def test_a_batch_larger_than_the_data_wraps_around():
    iterator = mx.io.NDArrayIter(DATA[:3], LABEL[:3], batch_size=8)
    batch = next(iterator)
    assert batch.label[0].asnumpy().tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert batch.pad == 5


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: mx.io.NDArrayIter(DATA, LABEL[:4]), ShapeError, "softmax_label has 4 rows, data has 10"),
        (lambda: mx.io.NDArrayIter(DATA, last_batch_handle="drop"), ConfigError, "'roll_over'"),
        (lambda: mx.io.NDArrayIter("digits"), TypeError, "data is str; wanted an NDArray"),
        (lambda: mx.io.NDArrayIter([]), ConfigError, "no data given"),
        (lambda: mx.io.DataBatch(mx.nd.ones(3)), ConfigError, "data is NDArray; wanted a list"),
    ],
)
def test_what_cannot_be_iterated_is_refused(make, error, words):
    with pytest.raises(error) as caught:
        make()
    assert words in str(caught.value)


def test_csr_rows_are_shuffled_with_their_labels_also_scipys():
    scipy_sparse = pytest.importorskip("scipy.sparse")
    rows = np.eye(6, dtype=np.float32) * np.arange(1, 7, dtype=np.float32)
    for source in (mx.nd.array(rows).tostype("csr"), scipy_sparse.csr_matrix(rows)):
        batches = mx.io.NDArrayIter(
            {"x": source}, np.arange(1, 7), batch_size=3, shuffle=True, last_batch_handle="discard"
        )
        for batch in batches:
            assert batch.data[0].stype == "csr"
            assert (batch.data[0].asnumpy().sum(axis=1) == batch.label[0].asnumpy()).all()
        with pytest.raises(NotImplementedError):
            mx.io.NDArrayIter({"x": source}, batch_size=3)


def test_writing_into_the_arrays_of_an_iterator_changes_its_batches():
    it = mx.io.NDArrayIter({"data": np.zeros((4, 2))}, {"label": np.zeros(4)}, batch_size=2)
    it.data_list[1][:] = [1, 2, 3, 4]
    assert [b.label[0].asnumpy().tolist() for b in it] == [[1, 2], [3, 4]]


def test_an_iterator_can_be_given_labels_of_another_name():
    it = mx.io.NDArrayIter(np.zeros((4, 2)), np.zeros(4), batch_size=2)
    it.label = mx.io._init_data(np.ones(4), allow_empty=True, default_name="svm_label")
    assert it.provide_label[0].name == "svm_label"
    assert next(iter(it)).label[0].asnumpy().tolist() == [1, 1]
    with pytest.raises(ConfigError, match="no svm_label given"):
        mx.io._init_data(None, allow_empty=False, default_name="svm_label")

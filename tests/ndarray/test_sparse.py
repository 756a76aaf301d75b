"""Sparse arrays: what the table of MXNet's answers does not say."""

import numpy as np
import pytest

import psdist as mx
from psdist.ndarray.sparse import CSRNDArray, RowSparseNDArray
from psdist.ops import sparse as values

scipy_sparse = pytest.importorskip("scipy.sparse")


def random_csr(rows, columns, density=0.3, seed=0):
    rng = np.random.default_rng(seed)
    dense = rng.normal(size=(rows, columns)).astype("float32") * (rng.random((rows, columns)) < density)
    return dense, mx.nd.array(dense).tostype("csr")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("density", [0.0, 0.1, 0.9])
def test_products_with_a_csr_matrix_are_the_dense_ones(seed, density):
    dense, c = random_csr(7, 5, density, seed)
    x = np.random.default_rng(seed).normal(size=(5, 3)).astype("float32")
    y = np.random.default_rng(seed).normal(size=(7, 3)).astype("float32")
    np.testing.assert_allclose(mx.nd.dot(c, mx.nd.array(x)).asnumpy(), dense @ x, atol=1e-6)
    back = mx.nd.dot(c, mx.nd.array(y), transpose_a=True)
    assert back.stype == "row_sparse"
    back.check_format()
    np.testing.assert_allclose(back.asnumpy(), dense.T @ y, atol=1e-6)
    np.testing.assert_allclose(mx.nd.dot(c, mx.nd.array(x[:, 0])).asnumpy(), dense @ x[:, 0], atol=1e-6)
    left = mx.nd.dot(mx.nd.array(y.T), c)
    assert left.stype == "csr"
    np.testing.assert_allclose(left.asnumpy(), y.T @ dense, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_sums_slices_and_rows_of_a_csr_matrix_are_the_dense_ones(seed):
    dense, c = random_csr(6, 5, 0.4, seed)
    for axis in (0, 1):
        np.testing.assert_allclose(c.sum(axis=axis).asnumpy(), dense.sum(axis=axis), atol=1e-6)
        np.testing.assert_allclose(c.mean(axis=axis).asnumpy(), dense.mean(axis=axis), atol=1e-6)
    np.testing.assert_array_equal(c[2:5].asnumpy(), dense[2:5])
    np.testing.assert_array_equal(mx.nd.slice(c, begin=(1, 2), end=(4, 5)).asnumpy(), dense[1:4, 2:5])
    rows = mx.nd.array([4, 0, 0])
    np.testing.assert_array_equal(mx.nd.take(c, rows).asnumpy(), dense[[4, 0, 0]])
    np.testing.assert_array_equal(
        mx.nd.concat(c, c[1:3], dim=0).asnumpy(), np.concatenate([dense, dense[1:3]])
    )


def test_a_matrix_too_large_to_be_dense_is_multiplied_and_differentiated():
    n = 10_000_000
    c = mx.nd.sparse.csr_matrix(([1.0, 2.0, 3.0], [5, n - 1, 5], [0, 2, 3]), shape=(2, n))
    w = mx.nd.sparse.row_sparse_array(([[1.0], [10.0]], [5, n - 1]), shape=(n, 1))
    assert mx.nd.dot(mx.nd.sparse.csr_matrix(c), mx.nd.ones((n, 1))).asnumpy().tolist() == [[3], [3]]
    back = mx.nd.dot(c, mx.nd.ones((2, 1)), transpose_a=True)
    assert back.indices.asnumpy().tolist() == [5, n - 1]
    assert (w + back).data.asnumpy().tolist() == [[5], [12]]
    assert mx.nd.norm(c).asscalar() == pytest.approx(14**0.5)


def test_an_embeddings_gradient_has_the_rows_that_were_looked_up():
    weight = mx.nd.array(np.arange(12).reshape(4, 3))
    weight.attach_grad(stype="row_sparse")
    with mx.autograd.record():
        rows = mx.nd.Embedding(mx.nd.array([1, 3, 1]), weight, input_dim=4, output_dim=3, sparse_grad=True)
        loss = (rows * mx.nd.array([[1], [2], [3]])).sum()
    loss.backward()
    assert isinstance(weight.grad, RowSparseNDArray)
    assert weight.grad.indices.asnumpy().tolist() == [1, 3]
    assert weight.grad.data.asnumpy().tolist() == [[4, 4, 4], [2, 2, 2]]


def test_a_dense_gradient_takes_a_sparse_one_and_adds_it():
    dense, c = random_csr(4, 3)
    w = mx.nd.ones((3, 2))
    w.attach_grad("add")
    for _ in range(2):
        with mx.autograd.record():
            y = mx.nd.dot(c, w) + mx.nd.dot(c, w)
        y.backward()
    wanted = 4 * dense.T @ np.ones((4, 2), "float32")
    np.testing.assert_allclose(w.grad.asnumpy(), wanted, rtol=1e-5)


def test_gradients_pass_through_operators_that_run_dense():
    r = mx.nd.array([[1, 2], [0, 0]]).tostype("row_sparse")
    r.attach_grad()
    with mx.autograd.record():
        y = mx.nd.square(r) * 3
    y.backward()
    assert r.grad.stype == "row_sparse"
    assert r.grad.asnumpy().tolist() == [[6, 12], [0, 0]]


def test_a_lazy_step_changes_only_the_gradients_rows():
    w = mx.nd.ones((3, 2))
    state = mx.nd.ones((3, 2))
    g = mx.nd.sparse.row_sparse_array(([[1.0, 1.0]], [1]), shape=(3, 2))
    mx.nd.sgd_mom_update(w, g, state, out=w, lr=0.5, momentum=0.5, wd=1.0)
    assert w.asnumpy().tolist() == [[1, 1], [0.5, 0.5], [1, 1]]
    assert state.asnumpy().tolist() == [[1, 1], [-0.5, -0.5], [1, 1]]


def test_scipys_matrices_come_in_and_go_out():
    dense, c = random_csr(4, 3)
    theirs = scipy_sparse.csr_matrix(dense)
    assert (mx.nd.array(theirs).asnumpy() == dense).all()
    assert (c.asscipy() != theirs).nnz == 0
    with pytest.raises(ValueError, match=r"coo format; convert it with .tocsr\(\)"):
        mx.nd.array(scipy_sparse.coo_matrix(dense))


def test_sparse_arrays_are_saved_and_loaded(tmp_path):
    dense, c = random_csr(4, 3)
    r = mx.nd.array(dense).astype("float64").tostype("row_sparse")
    mx.nd.save(tmp_path / "x", [c, r])
    c2, r2 = mx.nd.load(tmp_path / "x")
    assert isinstance(c2, CSRNDArray)
    assert isinstance(r2, RowSparseNDArray)
    assert r2.dtype is np.float64
    assert (c2.asnumpy() == dense).all()
    assert (r2.asnumpy() == dense).all()


def test_errors_say_what_does_not_fit():
    with pytest.raises(
        mx.MXNetError, match=r"3 elements, 3 columns and 4 row pointers for the shape \(4, 3\)"
    ):
        mx.nd.sparse.csr_matrix(([1, 2, 3], [1, 0, 2], [0, 1, 1, 3]), shape=(4, 3))
    with pytest.raises(mx.MXNetError, match=r"wanted data of shape \(2, 3\)"):
        mx.nd.sparse.row_sparse_array(([[1, 2], [3, 4]], [0, 2]), shape=(4, 3))
    with pytest.raises(mx.MXNetError, match=r"dot: \(4, 3\) and \(4, 2\) do not fit"):
        mx.nd.dot(random_csr(4, 3)[1], mx.nd.ones((4, 2)))
    with pytest.raises(ValueError, match="csr to row_sparse is not possible; go by way of 'default'"):
        random_csr(4, 3)[1].tostype("row_sparse")
    with pytest.raises(mx.MXNetError, match="retain: wanted a row_sparse array, given a csr one"):
        mx.nd.sparse.retain(random_csr(4, 3)[1], mx.nd.array([0]))


def test_records_add_to_dense_arrays_from_either_side():
    dense = np.ones((3, 2), "float32")
    rows = values.RowSparse(np.full((1, 2), 5.0, "float32"), np.array([1]), (3, 2))
    for total in (dense + rows, rows + dense):
        assert total.tolist() == [[1, 1], [6, 6], [1, 1]]
    assert dense.sum() == 6


def test_scipys_elements_given_twice_are_summed():
    scipy = pytest.importorskip("scipy.sparse")
    given = scipy.csr_matrix((np.array([1.0, 2, 3]), [1, 0, 1], [0, 3]), shape=(1, 2))
    x = mx.nd.sparse.csr_matrix(given)
    assert (x.data.asnumpy().tolist(), x.indices.asnumpy().tolist()) == ([2, 4], [0, 1])
    assert given.data.tolist() == [1, 2, 3]


@pytest.mark.parametrize(("wrong", "words"), [({"invalid": 1}, "no parameter 'invalid'"), ({}, "no indices")])
def test_retain_says_what_it_takes(wrong, words):
    with pytest.raises(mx.base.MXNetError, match=words):
        mx.nd.sparse.retain(mx.nd.sparse.zeros("row_sparse", (2, 2)), **wrong)


@pytest.mark.parametrize("kind", ["row_sparse", "csr"])
@pytest.mark.parametrize("name", ["_maximum", "_minimum", "_hypot"])
def test_two_sparse_arrays_go_together_where_either_stores_something(name, kind):
    a, b = np.array([[1, 0], [0, 0], [2, 3], [0, 0]]), np.array([[0, 0], [4, 0], [-2, 3], [0, 0]])
    call = getattr(mx.nd._internal, name)
    y = call(mx.nd.array(a).tostype(kind), mx.nd.array(b).tostype(kind))
    assert y.stype == kind
    assert len(y.indices) == (3 if kind == "row_sparse" else 4)
    np.testing.assert_array_equal(y.asnumpy(), call(mx.nd.array(a), mx.nd.array(b)).asnumpy())


def test_scattering_operators_and_square_sums_keep_to_the_stored_rows():
    x = mx.nd.array([[1, 0], [0, 0], [2, 3]]).tostype("row_sparse")
    for y, expected in (
        (mx.nd._internal._scatter_plus_scalar(x, 9), [[10, 9], [0, 0], [11, 12]]),
        (mx.nd._internal._scatter_minus_scalar(x, 1), [[0, -1], [0, 0], [1, 2]]),
        (
            mx.nd._internal._scatter_elemwise_div(x, mx.nd.array([[2, 1], [0, 0], [4, 3]])),
            [[0.5, 0], [0, 0], [0.5, 1]],
        ),
        (mx.nd._internal._square_sum(x, axis=1, keepdims=True), [[1], [0], [13]]),
    ):
        assert y.stype == "row_sparse"
        assert y.indices.asnumpy().tolist() == [0, 2]
        assert y.asnumpy().tolist() == expected
    assert mx.nd._internal._square_sum(x, axis=0).asnumpy().tolist() == [5, 9]


@pytest.mark.parametrize("stype", ["csr", "row_sparse"])
def test_a_dense_array_takes_the_elements_of_a_sparse_one(stype):
    held = np.array([[0, 1.5, 0], [0, 0, 0], [2, 0, -3]], np.float32)
    x = mx.nd.ones((3, 3), dtype="float64")
    x[:] = mx.nd.array(held).tostype(stype)
    assert (x.asnumpy() == held).all()
    assert x.dtype == np.float64
    with pytest.raises(mx.errors.ShapeError, match="shape"):
        mx.nd.ones((2, 3))[:] = mx.nd.array(held).tostype(stype)

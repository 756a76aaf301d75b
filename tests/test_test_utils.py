"""mx.test_utils tells right from wrong, and says where it is wrong."""

import bz2
import os
import sys
import zipfile

import numpy as np
import pytest

import psdist as mx
from psdist import test_utils as tu


@pytest.mark.parametrize(
    ("dtype", "near", "far"),
    [("float16", 0.05, 0.2), ("float32", 5e-4, 5e-3), ("float64", 5e-6, 5e-5), ("int32", 0, 1)],
)
def test_the_tolerance_is_the_dtypes(dtype, near, far):
    a = np.array([1, 2], dtype)
    tu.assert_almost_equal(a, (a + near).astype(dtype))
    assert tu.almost_equal(mx.nd.array(a, dtype=dtype), (a + near).astype(dtype))
    with pytest.raises(AssertionError):
        tu.assert_almost_equal(a, (a + far).astype(dtype))
    assert not tu.almost_equal(a, (a + far).astype(dtype))


def test_a_difference_is_shown_where_it_is_worst():
    a, b = np.zeros((2, 3)), np.zeros((2, 3))
    b[1, 2], b[0, 1] = 5, 1
    with pytest.raises(AssertionError) as caught:
        tu.assert_almost_equal(a, b, rtol=0.1, atol=0.1, names=("ours", "theirs"))
    lines = str(caught.value).splitlines()
    assert (
        lines[0]
        == "ours and theirs differ in 2 of 6 elements by more than rtol=0.1 and atol=0.1 allow; the worst:"
    )
    assert lines[1].startswith("  at (1, 2): ours=0, theirs=5 (8.33 times too far)")
    assert lines[2].startswith("  at (0, 1): ours=0, theirs=1")


def test_infinities_and_nans_are_equal_only_where_asked():
    x = np.array([np.inf, -np.inf, 1])
    tu.assert_almost_equal(x, x)
    with pytest.raises(AssertionError):
        tu.assert_almost_equal(x, -x)
    y = np.array([np.nan, 1])
    tu.assert_almost_equal(y, y, equal_nan=True)
    tu.assert_almost_equal_ignore_nan(y, np.array([3, 1.0]))
    with pytest.raises(AssertionError):
        tu.assert_almost_equal(y, y)


def test_some_elements_may_be_wrong_if_that_is_allowed():
    a = np.zeros(10)
    b = a.copy()
    b[3] = 1
    tu.assert_almost_equal_with_err(a, b, etol=0.1)
    with pytest.raises(AssertionError):
        tu.assert_almost_equal_with_err(a, b, etol=0.05)
    with pytest.raises(AssertionError, match=r"shapes \(2,\) and \(1, 2\) differ"):
        tu.assert_almost_equal(np.ones(2), np.ones((1, 2)), use_broadcast=False)


def test_shapes_and_arrays_are_drawn_within_bounds():
    for _ in range(20):
        assert all(
            1 <= n <= 3
            for n in (*tu.rand_shape_2d(3, 3), *tu.rand_shape_3d(3, 3, 3), *tu.rand_shape_nd(4, 3))
        )
    assert tu.random_arrays((2, 3)).shape == (2, 3)
    assert [a.shape for a in tu.random_arrays((2,), (3, 4))] == [(2,), (3, 4)]
    assert tu.rand_ndarray((2, 3), dtype="float64").dtype is np.float64
    assert sorted(tu.random_sample(range(5), 5)) == list(range(5))


@pytest.mark.parametrize("density", [0, 0.3, 1])
def test_sparse_arrays_are_drawn_with_their_parts(density):
    csr, (indptr, indices, data) = tu.rand_sparse_ndarray((6, 5), "csr", density)
    csr.check_format()
    again = mx.nd.sparse.csr_matrix((data, indices, indptr), shape=(6, 5))
    assert (again.asnumpy() == csr.asnumpy()).all()
    rsp, (data, rows) = tu.rand_sparse_ndarray((6, 5), "row_sparse", density)
    rsp.check_format()
    assert (rsp.asnumpy()[rows].ravel() == data.ravel()).all()
    if density == 1:
        assert (csr.asnumpy() != 0).all()
    assert tu.rand_ndarray((6, 5), "csr", density, distribution="powerlaw").stype == "csr"
    chosen = tu.create_sparse_array_zd((6, 5), "row_sparse", 0, rsp_indices=[1, 4], data_init=2)
    assert chosen.indices.asnumpy().tolist() == [1, 4]
    assert (chosen.data.asnumpy() == 2).all()
    with pytest.raises(ValueError, match=r"density is 2; wanted 0 to 1"):
        tu.rand_sparse_ndarray((6, 5), "csr", 2)


x, y = mx.sym.var("x"), mx.sym.var("y")
X = np.array([[1.0, 2], [3, 4]])
Y = np.array([[2.0, 2], [5, 1]])


def test_results_are_checked():
    assert (tu.simple_forward(x * y, x=X, y=Y) == X * Y).all()
    assert len(tu.simple_forward(mx.sym.Group([x, y]), x=X, y=Y)) == 2
    tu.check_symbolic_forward(x * y, [X, Y], [X * Y])
    tu.check_symbolic_forward(x * y, {"x": X, "y": Y}, {(x * y).list_outputs()[0]: X * Y} and [X * Y])
    with pytest.raises(AssertionError, match="FORWARD_"):
        tu.check_symbolic_forward(x * y, [X, Y], [X * Y + 1])
    with pytest.raises(ValueError, match="the symbol's arguments are x, y"):
        tu.check_symbolic_forward(x * y, {"x": X}, [X])


@pytest.mark.parametrize("grad_req", ["write", "add", "null"])
def test_gradients_are_checked(grad_req):
    heads = np.array([[1.0, 0], [2, 3]])
    tu.check_symbolic_backward(x * y, [X, Y], [heads], [heads * Y, heads * X], grad_req=grad_req)
    if grad_req != "null":
        with pytest.raises(AssertionError, match="BACKWARD_y"):
            tu.check_symbolic_backward(x * y, [X, Y], [heads], [heads * Y, heads * Y], grad_req=grad_req)


def test_gradients_are_compared_with_numeric_ones():
    tu.check_numeric_gradient(mx.sym.tanh(x) * y, [X / 4, Y], numeric_eps=1e-3, rtol=1e-2)
    tu.check_numeric_gradient(x * x, {"x": X}, dtype=np.float64, rtol=1e-4, atol=1e-6)
    tu.check_numeric_gradient(
        mx.sym.FullyConnected(x, num_hidden=2, name="fc"),
        {"x": X, "fc_weight": Y, "fc_bias": np.ones(2)},
        grad_nodes=["fc_weight"],
        rtol=0.05,
    )

    class Wrong(mx.operator.CustomOp):
        def forward(self, is_train, req, in_data, out_data, aux):
            self.assign(out_data[0], req[0], in_data[0] * 2)

        def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
            self.assign(in_grad[0], req[0], out_grad[0] * 3)

    @mx.operator.register("test_wrong_gradient")
    class WrongProp(mx.operator.CustomOpProp):
        def create_operator(self, ctx, shapes, dtypes):
            return Wrong()

    with pytest.raises(AssertionError, match="NUMERICAL_x and BACKWARD_x differ in 4 of 4 elements"):
        tu.check_numeric_gradient(mx.sym.Custom(x, op_type="test_wrong_gradient"), [X])


def test_states_are_held_while_differentiating():
    net = mx.sym.BatchNorm(x, name="bn", fix_gamma=False)
    rng = np.random.default_rng(0)
    tu.check_numeric_gradient(
        net,
        {"x": rng.normal(size=(4, 3)), "bn_gamma": np.ones(3), "bn_beta": np.zeros(3)},
        {"bn_moving_mean": np.zeros(3), "bn_moving_var": np.ones(3)},
        numeric_eps=1e-2,
        rtol=0.1,
        atol=0.02,
    )


def test_settings_are_compared_with_one_another():
    net = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=3, name="fc")
    settings = [
        {"ctx": mx.cpu(0), "data": (2, 4), "type_dict": {"data": t}}
        for t in (np.float64, np.float32, np.float16)
    ]
    np.random.seed(0)
    tu.check_consistency(net, settings)
    other = mx.sym.FullyConnected(mx.sym.var("data") * 1.5, num_hidden=3, name="fc")
    with pytest.raises(AssertionError, match="truth differ"):
        tu.check_consistency([net, other], settings[:2])
    assert tu.check_speed(net, data=(2, 4), N=2) > 0


def test_the_environment_and_standard_error_come_back(capfd):
    os.environ["PSDIST_TEST_A"] = "1"
    with tu.environment({"PSDIST_TEST_A": "2", "PSDIST_TEST_B": "3"}):
        assert os.environ["PSDIST_TEST_A"] == "2"
        assert os.environ["PSDIST_TEST_B"] == "3"
    assert os.environ.pop("PSDIST_TEST_A") == "1"
    assert "PSDIST_TEST_B" not in os.environ
    with tu.discard_stderr():
        os.write(2, b"lost")
    print("kept", file=sys.stderr)
    assert "lost" not in capfd.readouterr().err


def test_a_flaky_test_may_be_tried_again():
    tries = []

    @tu.retry(3)
    def third_time():
        tries.append(0)
        assert len(tries) == 3

    third_time()
    tu.assert_exception(lambda: 1 / 0, ZeroDivisionError)
    with pytest.raises(AssertionError, match="did not raise KeyError"):
        tu.assert_exception(len, KeyError, [])


def test_the_default_context_can_be_set():
    before = tu.default_context()
    tu.set_default_context(mx.cpu(1))
    try:
        assert mx.nd.zeros(1).context == mx.cpu(1)
    finally:
        tu.set_default_context(before)
    assert list(tu.list_gpus()) == list(range(mx.num_gpus()))


def test_arrays_that_share_memory_are_recognised():
    a = mx.nd.ones((2, 3))
    assert tu.same_array(a[0], a.reshape((2, 3))[0])
    assert not tu.same_array(a, a.copy())
    assert (a.asnumpy() == 1).all()
    assert tu.same_symbol_structure(x + y, y + x)
    assert not tu.same_symbol_structure(x + y, x * y)


def test_generators_are_judged():
    pytest.importorskip("scipy.stats")
    mx.random.seed(1)
    buckets, probs = tu.gen_buckets_probs_with_ppf(lambda p: 2 * p, 5)
    good = lambda n: mx.nd.random.uniform(0, 2, shape=n).asnumpy()  # noqa: E731
    tu.verify_generator(good, buckets, probs, nsamples=20_000, nrepeat=3)
    assert tu.mean_check(good, 1, (4 / 12) ** 0.5, nsamples=20_000)
    assert tu.var_check(lambda n: mx.nd.random.normal(0, 2, shape=n), 2, nsamples=20_000)
    with pytest.raises(AssertionError, match="the χ² test accepts 0 of 3 runs"):
        tu.verify_generator(lambda n: good(n) ** 2 / 2, buckets, probs, nsamples=20_000, nrepeat=3)


def test_a_star_import_gives_what_mxnets_tests_rely_on():
    space = {}
    exec("from psdist.test_utils import *", space)
    assert space["mx"] is mx
    assert space["np"] is np
    assert {"assert_almost_equal", "check_numeric_gradient", "rand_ndarray", "default_context"} <= set(space)


def test_a_script_finds_pythons_modules_where_mxnet_has_them():
    names = {}
    exec("from psdist.test_utils import *", names)
    assert {
        "os",
        "sys",
        "json",
        "logging",
        "time",
        "struct",
        "gzip",
        "np",
        "rnd",
        "OrderedDict",
    } <= names.keys()


def test_packed_data_that_is_there_is_unpacked_and_missing_data_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "news.bz2").write_bytes(bz2.compress(b"1 2:3"))
    tu.get_bz2_data(".", "news", "https://example.org/news.bz2", "news.bz2")
    assert (tmp_path / "news").read_bytes() == b"1 2:3"
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("in/a.txt", "a")
    tu.get_zip_data(str(tmp_path), "https://example.org/a.zip", "a.zip")
    assert (tmp_path / "in" / "a.txt").read_text() == "a"
    with pytest.raises(mx.MXNetError, match=r"data/cifar/train\.rec is not there"):
        tu.get_cifar10()

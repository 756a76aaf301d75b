"""Recording and going back."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import psdist as mx
from psdist import autograd, nd
from psdist.errors import GraphError, ShapeError


def variable(*values):
    x = nd.array(values)
    x.attach_grad()
    return x


def test_a_gradient_arrives_at_its_variable():
    x = variable(1, 2, 3)
    with autograd.record():
        y = (x * x + 2 * x).sum()
    y.backward()
    assert x.grad.asnumpy().tolist() == [4, 6, 8]


def test_paths_that_meet_are_added_and_broadcasting_is_undone():
    x, row = nd.ones((3, 2)), nd.array([[1.0, 2.0]])
    x.attach_grad()
    row.attach_grad()
    with autograd.record():
        y = x * row
        z = y + y * x
    z.backward()
    assert x.grad.asnumpy().tolist() == [[3, 6]] * 3
    assert row.grad.asnumpy().tolist() == [[6, 6]]


def test_what_is_added_and_what_is_not_wanted():
    a, b, total = nd.ones(2), nd.ones(2), nd.zeros(2)
    autograd.mark_variables([a, b], [total, nd.zeros(2)], ["add", "null"])
    for _ in range(2):
        with autograd.record():
            y = a * 3 + b
        y.backward()
    assert total.asnumpy().tolist() == [6, 6]
    with pytest.raises(GraphError, match="grad_req is 'twice'; wanted 'write', 'add' or 'null'"):
        autograd.mark_variables(a, total, "twice")
    with pytest.raises(ShapeError, match=r"a gradient of shape \(2,\) for a variable of shape \(3,\)"):
        autograd.mark_variables(nd.ones(3), total)


def test_head_gradients_multiply_and_several_heads_add():
    x = variable(1, 2)
    with autograd.record():
        y, z = x * 2, x * x
    autograd.backward([y, z], [nd.array([1, 10]), None], retain_graph=True)
    assert x.grad.asnumpy().tolist() == [2 + 2, 20 + 4]
    with pytest.raises(ShapeError, match=r"a head gradient of shape \(3,\) for a head of shape \(2,\)"):
        y.backward(nd.ones(3))
    with pytest.raises(GraphError, match="2 heads and 1 head gradients"):
        autograd.backward([y, z], [None])


def test_outside_of_record_nothing_is_recorded():
    x = variable(1, 2)
    with pytest.raises(GraphError, match="call attach_grad"):
        (x * 2).backward()
    with autograd.record():
        with autograd.pause():
            y = x * 2
        assert y._source is None
        assert autograd.is_recording()
        assert autograd.is_training()
    assert not autograd.is_recording()


def test_training_and_recording_go_separate_ways():
    with autograd.record(train_mode=False):
        assert autograd.is_recording()
        assert not autograd.is_training()
        with autograd.train_mode():
            assert autograd.is_training()
        with autograd.predict_mode():
            assert not autograd.is_training()
    assert autograd.set_recording(True) is False
    assert autograd.set_training(True) is False
    assert autograd.set_recording(False) is True
    assert autograd.set_training(False) is True


def test_a_thread_that_records_does_not_make_another_record():
    inside, done = threading.Event(), threading.Event()

    def other():
        with autograd.record():
            inside.set()
            done.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(10)
    x = variable(1.0)
    y = x * 2
    done.set()
    thread.join()
    assert y._source is None


def test_grad_gives_new_arrays_and_leaves_the_variables_own_alone():
    x, unused = variable(1, 2), variable(5)
    with autograd.record():
        y = x**3
    gx, gu = autograd.grad(y, [x, unused])
    assert gx.asnumpy().tolist() == [3, 12]
    assert gu.asnumpy().tolist() == [0]
    (alone,) = autograd.grad(y, x)  # a list, though it was one variable
    assert alone.asnumpy().tolist() == [3, 12]
    assert x.grad.asnumpy().tolist() == [0, 0]
    with pytest.raises(GraphError, match=r"a variable was not marked; call attach_grad\(\)"):
        autograd.grad(y, nd.ones(2))


def test_changing_a_recorded_array_in_place_is_refused():
    x = variable(1, 2)
    with autograd.record():
        y = x * 2
        with pytest.raises(GraphError, match=r"write y = x \+ … instead"):
            y += 1
        with pytest.raises(GraphError, match="would change the history"):
            y[0] = 3


def test_a_detached_array_passes_no_gradient():
    x = variable(2.0)
    with autograd.record():
        y = x * x
        z = y.detach() * x
    z.backward()
    assert x.grad.asnumpy().tolist() == [4]


def test_dropout_drops_only_while_training_and_its_gradient_knows_what():
    mx.random.seed(1)
    x = nd.ones(1000)
    x.attach_grad()
    with autograd.record():
        y = nd.Dropout(x, p=0.5)
    y.backward()
    assert set(np.unique(y.asnumpy())) == {0.0, 2.0}
    np.testing.assert_array_equal(x.grad.asnumpy(), y.asnumpy())
    with autograd.record(train_mode=False):
        np.testing.assert_array_equal(nd.Dropout(x, p=0.5).asnumpy(), x.asnumpy())


class Cube(autograd.Function):
    """x³, whose gradient says how often it was asked."""

    calls = 0

    def forward(self, x):
        self.save_for_backward(x)
        return x * x * x

    def backward(self, g):
        (x,) = self.saved_tensors
        Cube.calls += 1
        return 3 * x * x * g


def test_a_function_of_ones_own_has_the_gradient_that_it_says():
    x = variable(1, 2)
    with autograd.record():
        y = Cube()(x) * 2
    y.backward()
    assert x.grad.asnumpy().tolist() == [6, 24]
    assert Cube.calls == 1


def test_a_function_that_gives_too_many_gradients_is_told_so():
    class Wrong(Cube):
        def backward(self, g):
            return g, g

    x = variable(1.0)
    with autograd.record():
        y = Wrong()(x)
    with pytest.raises(GraphError, match=r"Wrong.backward returned 2 gradients for 1 inputs"):
        y.backward()


def test_a_long_history_needs_no_deep_stack():
    x = variable(1.0)
    with autograd.record():
        y = x
        for _ in range(20_000):
            y = y + x
    y.backward()
    assert x.grad.asnumpy().tolist() == [20_001]


def test_infinities_are_results_and_not_warnings():
    zero, one = variable(0.0), nd.array([1.0])
    with autograd.record():
        y = one / zero + zero * (one / 0)
    y.backward()
    assert np.isnan(y.asnumpy()[0])
    with pytest.warns(RuntimeWarning):  # NumPy's own state is as it was
        np.float32(1) / np.zeros(1, np.float32)


# -- gradients of gradients ----------------------------------------------------------------------------------

TWICE = {
    "x³": (lambda x: x * x * x, (3, 2)),
    "a quotient": (lambda x, y: x / y, (3, 2), (3, 2)),
    "broadcasting": (lambda x, y: x * y + x / y, (3, 2), (1, 2)),
    "exp and log": (lambda x: nd.exp(x) * nd.log(x), (4,)),
    "tanh and sigmoid": (lambda x: nd.tanh(x) * nd.sigmoid(x), (4,)),
    "powers": (lambda x, y: x**3 + x**y, (4,), (4,)),
    "numbers on either side": (lambda x: (1 - x) / (2 / x), (3,)),
    "dot": (lambda x, y: nd.dot(x, y) ** 2, (3, 2), (2, 4)),
    "a layer": (lambda x, w, b: nd.tanh(nd.FullyConnected(x, w, b, num_hidden=4)), (3, 2), (4, 2), (4,)),
    "sums and means": (lambda x: nd.sum(x * x, axis=1) ** 2 + nd.mean(x) ** 3, (3, 2)),
    "softmax": (lambda x: nd.softmax(x) ** 2 + nd.log_softmax(x), (3, 4)),
    "shapes": (lambda x: x.reshape((2, 3)).T ** 3, (3, 2)),
    "relu and clip": (lambda x: nd.relu(x) ** 2 + nd.clip(x, 0.1, 5.0) ** 3, (3,)),
}


@pytest.mark.parametrize("name", TWICE)
def test_a_gradient_of_a_gradient_is_the_difference_of_gradients(name):
    function, *shapes = TWICE[name]
    rng = np.random.default_rng(0)
    at = [rng.uniform(0.3, 1.2, s) for s in shapes]
    along = [rng.standard_normal(s) for s in shapes]

    def gradients(step, create_graph=False):
        xs = [nd.array(a + step * v, dtype="float64") for a, v in zip(at, along, strict=True)]
        for x in xs:
            x.attach_grad()
        with autograd.record():
            found = autograd.grad(function(*xs), xs, create_graph=create_graph)
            total = sum((g * nd.array(v, dtype="float64")).sum() for g, v in zip(found, along, strict=True))
        return xs, found, total

    xs, _, total = gradients(0, create_graph=True)
    total.backward()
    eps = 1e-5
    for x, above, below in zip(xs, gradients(eps)[1], gradients(-eps)[1], strict=True):
        numeric = (above.asnumpy() - below.asnumpy()) / (2 * eps)
        np.testing.assert_allclose(x.grad.asnumpy(), numeric, rtol=1e-4, atol=1e-5)


def test_where_a_gradient_cannot_be_recorded_the_operator_is_named():
    x, w = nd.ones((1, 1, 2, 2)), nd.ones((1, 1, 1, 1))
    x.attach_grad()
    with autograd.record():
        y = nd.Convolution(x, w, kernel=(1, 1), num_filter=1, no_bias=True)
        with pytest.raises(GraphError, match="create_graph=True is not supported through Convolution"):
            autograd.grad(y, x, create_graph=True)


def test_a_head_lets_go_of_its_graph_unless_told_to_keep_it():
    x = mx.nd.ones((2,))
    x.attach_grad(grad_req="add")
    with autograd.record():
        y = x * 2
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.asnumpy().tolist() == [4, 4]
    with pytest.raises(mx.MXNetError, match="retain_graph=True"):
        y.backward()


def test_a_gradient_is_fresh_until_a_script_says_otherwise():
    x, y = mx.nd.ones((2,)), mx.nd.ones((2,))
    x.attach_grad()
    y.attach_grad()
    assert not x._fresh_grad
    with autograd.record():
        (x + y.detach()).backward()
    assert x._fresh_grad
    assert not y._fresh_grad
    x._fresh_grad = False
    assert not x._fresh_grad


def test_a_script_that_takes_all_names_of_autograd_has_ndarray_among_them():
    names: dict[str, object] = {}
    exec("from psdist.autograd import *", names)
    assert names["NDArray"] is nd.NDArray

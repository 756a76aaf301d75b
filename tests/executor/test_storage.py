"""The outputs that are sparse, where the arrays bound are."""

import numpy as np
import pytest

import psdist as mx

sym = mx.sym
X = np.array([[0, 1, 0], [0, 0, 0], [2, 0, 3]], np.float32)


def bound(graph, **arrays):
    return graph.bind(mx.cpu(), {n: arrays[n] for n in graph.list_arguments()})


@pytest.mark.parametrize(
    ("graph", "left", "right", "wanted"),
    [
        (sym.elemwise_add(sym.var("a"), sym.var("b")), "row_sparse", "row_sparse", "row_sparse"),
        (sym.elemwise_add(sym.var("a"), sym.var("b")), "row_sparse", "default", "default"),
        (sym.elemwise_mul(sym.var("a"), sym.var("b")), "csr", "csr", "csr"),
        (sym.sqrt(sym.elemwise_add(sym.var("a"), sym.var("b"))), "csr", "csr", "csr"),
        (sym.cos(sym.elemwise_add(sym.var("a"), sym.var("b"))), "csr", "csr", "default"),
        (sym.dot(sym.var("a"), sym.var("b")), "csr", "default", "default"),
        (sym.cast_storage(sym.dot(sym.var("a"), sym.var("b")), stype="csr"), "default", "default", "csr"),
    ],
)
def test_an_output_is_stored_as_mxnet_stores_it(graph, left, right, wanted):
    arrays = [mx.nd.array(X).tostype(left), mx.nd.array(X).tostype(right)]
    executor = bound(graph, a=arrays[0], b=arrays[1])
    (y,) = executor.forward()
    dense = bound(graph, a=mx.nd.array(X), b=mx.nd.array(X)).forward()[0].asnumpy()
    assert y.stype == wanted
    assert np.array_equal(y.asnumpy(), dense)
    y = executor.forward(a=(mx.nd.array(X) * 4).tostype(left))[0]  # again, with other rows
    again = bound(graph, a=mx.nd.array(X) * 4, b=mx.nd.array(X)).forward()[0].asnumpy()
    assert (y.stype, np.array_equal(y.asnumpy(), again)) == (wanted, True)


def test_a_monitored_pass_stores_them_too():
    executor = bound(sym.elemwise_add(sym.var("a"), sym.var("b")), a=mx.nd.array(X).tostype("csr"),
                     b=mx.nd.array(X).tostype("csr"))  # fmt: skip
    seen = []
    executor.set_monitor_callback(lambda name, array: seen.append(name))
    (y,) = executor.forward()
    assert (y.stype, (y.asnumpy() == 2 * X).all(), len(seen)) == ("csr", True, 1)

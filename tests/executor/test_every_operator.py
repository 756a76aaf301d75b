"""Every operator in a plan, on its examples: taken apart it keeps its bits, with rules its tolerance."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import psdist as mx
from psdist import ops
from psdist.executor.executor import Executor
from psdist.executor.plan import PLAIN, Options
from psdist.symbol import Group, Variable, compose

sys.path.insert(0, str(Path(__file__).parents[1] / "ops"))
from examples_of import EXAMPLES

NAMES = sorted(
    set(ops.all_ops()) - {"Custom", "reset_arrays"}
)  # the latter has no output, so no place in a graph
CAREFUL = Options(rewrite=False, rules=False)


def ran(op, params, arrays, options, walk=False):
    """Outputs, gradients and inputs after a training step; None if the operator cannot stand in a graph so."""
    variables = [Variable(f"x{i}") for i in range(len(arrays))]
    symbol = compose(op, variables, params, hint="y")
    names = symbol.list_arguments()
    given = {f"x{i}": mx.nd.array(a, dtype=a.dtype) for i, a in enumerate(arrays)}
    args = {n: given[n] for n in names}
    aux = {n: given[n] for n in symbol.list_auxiliary_states()}
    reqs = {n: "write" if given[n]._data.dtype.kind == "f" else "null" for n in names}
    grads = {n: mx.nd.zeros(a.shape, dtype=a.dtype) for n, a in args.items()}
    executor = Executor(Group(list(symbol)), mx.cpu(), args, grads, reqs, aux, options=options)
    if walk:
        executor.set_monitor_callback(lambda name, array: None)
    mx.random.seed(0)
    rng = np.random.default_rng(1)
    outs = executor.forward(is_train=True)
    found = [y.asnumpy() for y in outs]
    if op.gradient_kernel is not None and all(y.dtype.kind == "f" for y in found):
        executor.backward([mx.nd.array(rng.standard_normal(y.shape), dtype=y.dtype) for y in found])
        found += [g.asnumpy() for n, g in executor.grad_dict.items() if g is not None]
    return found + [a.asnumpy() for a in given.values()]


@pytest.mark.parametrize("name", NAMES)
def test_an_operator_in_a_plan_does_what_it_does_alone(name):
    op = ops.get(name)
    for k, example in enumerate(EXAMPLES[name]):
        for dtype in example.dtypes:
            arrays = example.draw(k, dtype)
            wanted = ran(op, example.params, arrays, PLAIN, walk=True)
            careful = ran(op, example.params, arrays, CAREFUL)
            whole = ran(op, example.params, arrays, Options())
            for w, c, r in zip(wanted, careful, whole, strict=True):
                np.testing.assert_array_equal(c, w, err_msg=f"{example.params} {dtype}")
                finite = np.abs(w[np.isfinite(w)]) if w.dtype.kind == "f" else np.zeros(0)
                atol = (
                    1e-5 * float(finite.max(initial=0))
                    if dtype != "float16"
                    else 2e-3 * float(finite.max(initial=0))
                )
                np.testing.assert_allclose(r, w, rtol=0, atol=atol, err_msg=f"{example.params} {dtype}")

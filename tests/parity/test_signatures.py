"""The names that scripts call by: operators, their arrays, their parameters with order and defaults, against MXNet."""

import ast
import sys
from pathlib import Path

import numpy as np
import pytest

import psdist.ops as ops
from psdist.ops.params import REQUIRED

sys.path.insert(0, str(Path(__file__).parent))
import departures
from scope import missing, signatures, wanted

KNOWN = signatures()
SHARED = sorted(n for n in wanted() if ops.find(n) is not None)
OWN = [n for n in SHARED if KNOWN[n][0] == n]


def is_array(kind):
    return kind.startswith(("NDArray", "Symbol"))


def default(kind):
    """The value after `default=`, or REQUIRED."""
    if "default=" not in kind:
        return REQUIRED
    text = kind.split("default=")[1].strip().strip("'")
    if "boolean" in kind:
        return text in ("1", "True")
    if text in ("None", ""):
        return None if text else ""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return tuple(value) if isinstance(value, list) else value


def same(ours, theirs):
    if ours is REQUIRED or theirs is REQUIRED:
        return ours is theirs
    if isinstance(ours, float | int) and isinstance(theirs, float | int):
        return np.isclose(float(ours), float(theirs), rtol=1e-6)
    return ours == theirs or (not ours and not theirs and not isinstance(ours, int | float))


def test_no_classic_name_is_missing_that_is_not_listed():
    assert missing() == sorted(departures.MISSING)


@pytest.mark.parametrize("name", SHARED)
def test_an_alias_is_the_same_operator_as_in_mxnet(name):
    own = KNOWN[name][0]
    if ops.find(own) is not None and not own.startswith("_contrib"):
        assert ops.get(name) is ops.get(own)


@pytest.mark.parametrize("name", OWN)
def test_arrays_have_mxnets_names_and_order(name):
    op = ops.get(name)
    theirs = [n for n, kind in KNOWN[name][1] if is_array(kind)]
    if not op.variadic and op.name not in departures.ARRAYS:
        assert list(op.inputs) == theirs


@pytest.mark.parametrize("name", OWN)
def test_parameters_have_mxnets_names_order_and_defaults(name):
    op = ops.get(name)
    theirs = {n: default(kind) for n, kind in KNOWN[name][1] if not is_array(kind) and n != "num_args"}
    ours = {n: p.default for n, p in op.params.items() if n != "num_args"}
    extra = departures.PARAMETERS.get(name, {})
    if name in departures.PARAMETERS:
        ours = {n: v for n, v in ours.items() if n not in extra}
        theirs = {n: v for n, v in theirs.items() if n not in extra}
    assert list(ours) == list(theirs)
    for n, value in theirs.items():
        assert same(ours[n], value), f"{n} is {ours[n]!r} by default, not {value!r}"

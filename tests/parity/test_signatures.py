"""The names that scripts call by: operators, their arrays, their parameters with order and defaults, against MXNet."""

import ast
import sys
from pathlib import Path

import numpy as np

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


def test_an_alias_is_the_same_operator_as_in_mxnet():
    owns = {name: KNOWN[name][0] for name in SHARED}
    assert not [
        name
        for name, own in owns.items()
        if ops.find(own) is not None and not own.startswith("_contrib") and ops.get(name) is not ops.get(own)
    ]


def test_arrays_have_mxnets_names_and_order():
    for name in OWN:
        op = ops.get(name)
        theirs = [n for n, kind in KNOWN[name][1] if is_array(kind)]
        assert op.variadic or name in departures.ARRAYS or list(op.inputs) == theirs, name


def test_parameters_have_mxnets_names_order_and_defaults():
    for name in OWN:
        outside = {"num_args", *departures.PARAMETERS.get(name, {})}
        theirs = {n: default(k) for n, k in KNOWN[name][1] if not is_array(k) and n not in outside}
        ours = {n: p.default for n, p in ops.get(name).params.items() if n not in outside}
        assert list(ours) == list(theirs), name
        wrong = {n: (ours[n], value) for n, value in theirs.items() if not same(ours[n], value)}
        assert not wrong, f"{name}: parameter: (our default, MXNet's): {wrong}"

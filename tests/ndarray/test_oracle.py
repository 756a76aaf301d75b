"""NDArray's behaviour, call by call, against MXNet's answers in `oracle.json` (written by `make_oracle.py`)."""

import importlib.util
import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest

import psdist as mx

_HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("ndarray_cases", _HERE / "cases.py")
cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(cases)
ORACLE = json.loads((_HERE / "oracle.json").read_text())

# What we do otherwise, and why.
_NUMBER = "an array of one element is a number to Python"
_MASK = "a boolean array selects, as in NumPy, rather than meaning 0 and 1"
_ZERO = "arrays without elements exist"
_KINDS = "values move between kinds of storage"
_STRICT = "what an operator does not know is named, not ignored"
_WIDER = "integers are compared with the number itself, not with its integer part"
OTHERWISE = {
    "a[1:0].shape": _ZERO,
    "i == 2.5": _WIDER,
    "i < 2.5": _WIDER,
    "float(one)": _NUMBER,
    "int(one)": _NUMBER,
    "int(mx.nd.array([7.9]))": _NUMBER,
    "float(a)": _NUMBER,
    "np.arange(10)[mx.nd.array([3], dtype='int32')]": _NUMBER,
    "[0, 1, 2][mx.nd.array([1], dtype='int64')]": _NUMBER,
    "a[np.array([True, False])]": _MASK,
    "a[mx.nd.array([1, 0], dtype='bool')]": _MASK,
    "a[a.asnumpy() > 3]": _MASK,
    "a[np.array([True, False])] = 0; a": _MASK,
    "mx.nd.square(a, b)": _STRICT,
    "mx.nd.square(a, foo=1)": _STRICT,
    "mx.nd.reshape(a, shape=(4, 4))": _STRICT,
    "mx.nd.hypot(a, b)": "the function is there",
    "mx.nd.batch_take(a, mx.nd.array([0, 2]))": "float indices are accepted",
    "a.copyto(a) is a": "the array itself, not None",
    "c[:] = 0; c": _KINDS,
    "c[:] = r; c": _KINDS,
    "w[:] = c; w": _KINDS,
    "w[:] = r; w": _KINDS,
    "w[0:2] = c[0:2]; w": _KINDS,
    "mx.nd.clip(r, 1, 2)": _KINDS,
    "mx.nd.elemwise_add(r, r, out=r); r": "a sparse array may be its own result",
}


_LOOSE = ("AssertionError", "NotSupportedForSparseNDArray", "NotImplementedError", "Exception")


def same_number(ours, theirs):
    try:
        x, y = float(ours), float(theirs)
    except ValueError:
        return ours == theirs
    if math.isnan(y):
        return math.isnan(x)
    return x == y or abs(x - y) <= 2e-5 + 2e-5 * abs(y)


def difference(ours, theirs):
    """What differs between two answers, or None."""
    if "raises" in theirs:
        if "raises" not in ours:
            return f"MXNet raises {theirs['raises'][0]}"
        # whoever catches what MXNet raises must catch ours
        wanted = theirs["raises"][0].replace("MXNetError", "PSError")
        if wanted not in ours["raises"] and wanted not in (
            "AssertionError",
            "NotSupportedForSparseNDArray",
            "NotImplementedError",
            "Exception",
        ):
            return f"raises {ours['raises'][:3]}, MXNet {wanted}"
        return None
    if "raises" in ours:
        return f"raises {ours['raises'][0]}: {ours['says']}"
    if ours["is"] != theirs["is"]:
        return f"is {ours['is']}, MXNet's {theirs['is']}"
    if "of" in theirs:
        if len(ours["of"]) != len(theirs["of"]):
            return f"{len(ours['of'])} arrays, MXNet's {len(theirs['of'])}"
        return next((d for d in map(difference, ours["of"], theirs["of"]) if d), None)
    for part in ("dtype", "shape", "value"):
        if ours.get(part) != theirs.get(part):
            return f"{part} {ours.get(part)}, MXNet's {theirs.get(part)}"
    if "values" in theirs and not all(map(same_number, ours["values"], theirs["values"])):
        return f"values {ours['values'][:12]}, MXNet's {theirs['values'][:12]}"
    return None


@pytest.mark.parametrize("case", [case for group in cases.GROUPS.values() for case in group])
def test_the_answer_is_mxnets(case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what NumPy says of a case is not the case's point
        ours = cases.answer(case, mx, np)
    found = difference(ours, ORACLE[case])
    if case in OTHERWISE:
        assert found, "the same by now: take it off the list"
    else:
        assert not found, found


def test_every_answer_belongs_to_a_case():
    assert set(ORACLE) == {case for group in cases.GROUPS.values() for case in group}

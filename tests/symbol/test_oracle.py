"""Symbols against MXNet's answers in `oracle.json` (written by `make_oracle.py`)."""

import importlib.util
import json
import warnings
from pathlib import Path

import numpy as np
import pytest

import psdist as mx

_HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("symbol_cases", _HERE / "cases.py")
cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(cases)
ORACLE = json.loads((_HERE / "oracle.json").read_text())

# What we do otherwise, and why.
_FC = "mx.sym.FullyConnected(a,num_hidden=3,name='fc')"
_ATTRIBUTE = "an attribute of one's own needs no __ around its name"
_BROKEN = "MXNet fails over an argument by position in Python 3.11"
OTHERWISE = {
    "mx.sym.FullyConnected(a,num_hidden=3,attr={'mood':'angry'},lr_mult=2)": _ATTRIBUTE,
    "mx.sym.FullyConnected(a,num_hidden=3,name='fc',attr={'mood':'x'}).attr_dict()": _ATTRIBUTE,
    "mx.sym.arange(5)": "what is not given is not written",
    f"{_FC}.get_internals()['fc']": "the node's name will do",
    f"{_FC}.get_internals()[-1]": "counting from the end",
    "(a+b)(V('c'),V('d'))": "by position will do",
    "(a+b).infer_shape((2,3))": _BROKEN,
    "(a+b).infer_shape((2,3),(2,3))": _BROKEN,
    f"{_FC}.infer_type('float16')": _BROKEN,
    f"{_FC}.infer_shape(a=(5,0))": "0 is a size not known, which is no error",
    "mx.sym.sgd_update(a,b,lr=0.1)": "an update may stand in a graph",
}


def difference(ours, theirs):
    """What differs between two answers, or None."""
    if isinstance(theirs, dict) and "raises" in theirs:
        if not (isinstance(ours, dict) and "raises" in ours):
            return f"MXNet raises {theirs['raises'][0]}"
        wanted = theirs["raises"][0].replace("MXNetError", "PSError")
        if wanted not in ours["raises"] and wanted != "AssertionError":
            return f"raises {ours['raises'][:3]}, MXNet {wanted}"
        return None
    if isinstance(ours, dict) and "raises" in ours:
        return f"raises {ours['raises'][0]}: {ours['says']}"
    return None if ours == theirs else f"{ours}, MXNet's {theirs}"


@pytest.mark.parametrize("case", [*cases.CASES, *cases.BLOCKS])
def test_the_answer_is_mxnets(case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = json.loads(json.dumps(cases.answer(case, mx, np)))
    found = difference(ours, ORACLE[case])
    if case in OTHERWISE:
        assert found, "the same by now: take it off the list"
    else:
        assert not found, found


def test_every_answer_belongs_to_a_case():
    assert set(ORACLE) == {*cases.CASES, *cases.BLOCKS}

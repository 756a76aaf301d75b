"""Every optimizer gives MXNet's values, in every seeded case (see make_oracle.py)."""

import json
from pathlib import Path

import numpy as np
import pytest

import psdist as mx

ORACLE = np.load(Path(__file__).with_name("oracle.npz"))
CASES = [
    (*case, answers)
    for case, answers in zip(json.loads(str(ORACLE["cases"])), ORACLE["answers"], strict=True)
]


@pytest.mark.parametrize("name", sorted({case[0] for case in CASES}))
def test_an_optimizer_gives_the_values_that_mxnet_gives(name):
    for _, options, answers in (case for case in CASES if case[0] == name):
        weight = mx.nd.array(ORACLE["value"])
        updater = mx.optimizer.get_updater(mx.optimizer.create(name, **options))
        for grad, wanted in zip(ORACLE["grads"], answers, strict=True):
            updater(0, mx.nd.array(grad), weight)
            np.testing.assert_allclose(
                weight.asnumpy(), wanted, rtol=2e-5, atol=2e-6, err_msg=f"{name} {options}"
            )


def test_every_optimizer_has_cases_but_the_one_that_draws():
    assert {case[0] for case in CASES} == {*mx.optimizer.rule_names()} - {"sgld"}

"""Every optimizer gives MXNet's values, in every seeded case (see make_oracle.py)."""

import json
from pathlib import Path

import numpy as np
import pytest

import psdist as mx

ORACLE = np.load(Path(__file__).with_name("oracle.npz"))
CASES = json.loads(str(ORACLE["cases"]))


@pytest.mark.parametrize(("i", "name", "options"), [(i, *case) for i, case in enumerate(CASES)])
def test_an_optimizer_gives_the_values_that_mxnet_gives(i, name, options):
    weight = mx.nd.array(ORACLE["value"])
    updater = mx.optimizer.get_updater(mx.optimizer.create(name, **options))
    for grad, wanted in zip(ORACLE["grads"], ORACLE["answers"][i], strict=True):
        updater(0, mx.nd.array(grad), weight)
        np.testing.assert_allclose(
            weight.asnumpy(), wanted, rtol=2e-5, atol=2e-6, err_msg=f"{name} {options}"
        )

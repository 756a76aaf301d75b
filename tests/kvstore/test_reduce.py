"""The devices' copies are summed in device order, whatever the size and layout."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from psdist.kvstore.reduce import add_into


@pytest.mark.parametrize("shape", [(), (0,), (3, 5), (1 << 16,), (3, (1 << 16) + 7)])
@pytest.mark.parametrize("num", [1, 2, 3, 4])
def test_the_sum_is_taken_from_left_to_right_in_the_arrays_own_precision(
    shape: tuple[int, ...], num: int
) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape).astype(np.float32) for _ in range(num)]
    wanted: NDArray[Any] = arrays[0]
    for a in arrays[1:]:
        wanted = wanted + a
    out = np.empty(shape, np.float32)
    add_into(out, arrays)
    assert out.tobytes() == wanted.tobytes()
    add_into(arrays[0], arrays)
    assert arrays[0].tobytes() == wanted.tobytes()


def test_arrays_that_are_not_contiguous_are_summed_the_same() -> None:
    arrays = [np.arange(200_000, dtype=np.float32).reshape(400, 500).T for _ in range(3)]
    out = np.empty((500, 400), np.float32)
    add_into(out, arrays)
    assert (out == 3 * arrays[0]).all()

"""Gradients in fewer bytes: what comes back is near, what is lost comes later, and bad bytes are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psdist.errors import BadValue, ConfigError
from psdist.kvstore.compress import Code, code_of, codes_of, pack, unpack, with_feedback

NAMES = ["2bit", "1bit", "int8", "fp16", "bf16", "topk", "4level"]
SIZES = st.sampled_from([0, 1, 3, 4, 5, 8, 1023, 1024, 1025, 5000])


def made(name: str, **numbers: float) -> Code:
    code = code_of({"type": name, **numbers})
    assert code is not None
    return code


def gradient(seed: int, size: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(size) * 10.0 ** rng.integers(-6, 5)).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), SIZES)
def test_what_is_sent_and_what_is_kept_are_the_gradient(name: str, seed: int, size: int) -> None:
    code = made(name)
    given_, residual = gradient(seed, size), np.zeros(size, np.float32)
    data = with_feedback(code, given_, residual)
    assert data.dtype == np.uint8
    back = code.decompress(data, size)
    assert back.shape == (size,)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back + residual, given_, rtol=1e-5, atol=1e-6 * np.abs(given_).max(initial=0))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), SIZES)
def test_the_same_gradient_gives_the_same_bytes(name: str, seed: int, size: int) -> None:
    code = made(name)
    np.testing.assert_array_equal(code.compress(gradient(seed, size)), code.compress(gradient(seed, size)))


@pytest.mark.parametrize(
    ("name", "times_fewer"),
    [("2bit", 16), ("1bit", 28), ("int8", 3.9), ("fp16", 2), ("bf16", 2), ("topk", 49), ("4level", 14.2)],
)
def test_it_takes_as_few_bytes_as_the_manual_says(name: str, times_fewer: float) -> None:
    values = gradient(1, 100_000)
    assert values.nbytes / made(name).compress(values).nbytes >= times_fewer


@pytest.mark.parametrize("name", NAMES)
def test_over_many_rounds_nothing_is_lost(name: str) -> None:
    code = made(name, **({"threshold": 0.3} if name == "2bit" else {"k": 0.2} if name == "topk" else {}))
    rng = np.random.default_rng(7)
    always = rng.uniform(-0.25, 0.25, 3000).astype(np.float32)
    residual, arrived = np.zeros(3000, np.float32), np.zeros(3000, np.float64)
    for _ in range(200):
        arrived += code.decompress(with_feedback(code, always, residual), 3000)
    assert np.abs(arrived / 200 - always).max() < 0.02


def test_2bit_sends_plus_and_minus_the_threshold_as_mxnet_does() -> None:
    code = made("2bit", threshold=0.5)
    residual = np.zeros(6, np.float32)
    first = with_feedback(code, np.array([0.5, 0.4, -0.5, -0.6, 0, 9], np.float32), residual)
    assert code.decompress(first, 6).tolist() == [0.5, 0, -0.5, -0.5, 0, 0.5]
    second = with_feedback(code, np.array([0, 0.2, 0, 0, 0, 0], np.float32), residual)
    assert code.decompress(second, 6).tolist() == [0, 0.5, 0, 0, 0, 0.5]


def test_halves_of_large_numbers_stay_finite() -> None:
    large = np.array([3.4e38, -3.4e38, 1e30, 0], np.float32)
    for name in ("fp16", "bf16"):
        code = made(name)
        assert np.isfinite(code.decompress(code.compress(large), 4)).all()


def test_topk_keeps_the_greatest_and_of_equal_ones_the_first() -> None:
    code = made("topk", k=0.5)
    back = code.decompress(code.compress(np.array([1, -3, 1, 1], np.float32)), 4)
    assert back.tolist() == [1, -3, 0, 0]


@pytest.mark.parametrize("name", NAMES)
def test_other_than_the_bytes_needed_are_refused(name: str) -> None:
    code = made(name)
    data = code.compress(gradient(0, 100))
    with pytest.raises(BadValue, match=f"{name}: {data.size - 1} bytes for 100 elements; wanted {data.size}"):
        code.decompress(data[:-1], 100)


def test_places_outside_the_array_are_refused() -> None:
    code = made("topk", k=0.5)
    data = np.concatenate([np.array([1, 9], np.uint32).view(np.uint8), np.zeros(8, np.uint8)])
    with pytest.raises(BadValue, match="not ascending, or beyond 4 elements"):
        code.decompress(data, 4)


def test_what_no_code_takes_is_said() -> None:
    assert code_of({"type": "none"}) is None
    for params, why in [
        ({"type": "3bit"}, "'3bit'; wanted one of none, 2bit, 1bit, int8, fp16, bf16, topk, 4level"),
        ({}, "compression ''; wanted"),
        ({"type": "1bit", "threshold": 1}, "'1bit' does not take {'threshold': 1}"),
        ({"type": "2bit", "threshold": 0}, "2bit: threshold 0; wanted a finite number above 0"),
        ({"type": "2bit", "threshold": "x"}, "'2bit' does not take {'threshold': 'x'}"),
        ({"type": "topk", "k": 2}, "topk: k 2; wanted a fraction"),
    ]:
        with pytest.raises(ConfigError) as caught:
            code_of(params)
        assert why in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_packed_bytes_say_themselves_how_to_read_them(name: str) -> None:
    code = made(name, **({"threshold": 0.25} if name == "2bit" else {"k": 0.5} if name == "topk" else {}))
    data = code.compress(gradient(3, 1000))
    np.testing.assert_array_equal(unpack(pack(code, data), 1000), code.decompress(data, 1000))


def test_bytes_in_no_code_are_refused() -> None:
    good = pack(made("2bit"), made("2bit").compress(gradient(0, 40)))
    for data, why in [
        (good[:7], "not even its code"),
        (np.full(18, 200, np.uint8), "a gradient in code 200"),
        (good[:-1], "2bit: 9 bytes for 40"),
    ]:
        with pytest.raises(BadValue, match=why):
            unpack(data, 40)
    endless = good.copy()
    endless[4:8] = np.array([np.nan], np.float32).view(np.uint8)
    with pytest.raises(ConfigError, match="threshold nan"):
        unpack(endless, 40)


def test_a_gradient_that_is_not_finite_is_not_compressed_and_leaves_the_residual_alone() -> None:
    residual = np.ones(3, np.float32)
    with pytest.raises(BadValue, match="2bit: a gradient that holds NaN or infinity"):
        with_feedback(made("2bit"), np.array([1, np.nan, 2], np.float32), residual)
    assert residual.tolist() == [1, 1, 1]


def test_four_levels_reach_to_the_greatest_of_each_block() -> None:
    code = made("4level")
    values = np.zeros(2048, np.float32)
    values[:5] = [6, -3, 0.001, 5, -4.1]
    back = code.decompress(code.compress(values), 2048)
    assert back[:5].tolist() == [6, -2, 2, 6, -6]
    assert set(back[5:128].tolist()) == {2}
    assert not back[128:].any()


def test_what_four_levels_lose_stays_below_half_of_the_greatest() -> None:
    code, rng = made("4level"), np.random.default_rng(0)
    residual = np.zeros(4096, np.float32)
    for _ in range(50):
        values = rng.uniform(-1, 1, 4096).astype(np.float32)
        with_feedback(code, values, residual)
        assert np.abs(residual).max() <= 0.5001


def test_pulls_have_a_code_of_their_own() -> None:
    push, pull = codes_of({"type": "2bit", "threshold": 0.5, "pull": "topk", "pull_k": 0.25})
    assert (push, pull) == (made("2bit", threshold=0.5), made("topk", k=0.25))
    assert codes_of({"type": "2bit"})[1] is None
    assert codes_of({"type": "none", "pull": "2bit", "pull_threshold": 0.01})[1] == made(
        "2bit", threshold=0.01
    )
    with pytest.raises(ConfigError, match="wants a 'pull_threshold' of its own; '4level'"):
        codes_of({"type": "2bit", "pull": "2bit"})

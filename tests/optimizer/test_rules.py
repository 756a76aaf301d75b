"""What holds of every optimizer's rule: slices, blocks, the wire, purity."""

import dataclasses

import numpy as np
import pytest

from psdist.errors import ConfigError, ShapeError
from psdist.optimizer import from_wire, rule_names, traced

NAMES = sorted(rule_names())
ELEMENTWISE = [name for name in NAMES if from_wire(name, {}).elementwise]


def trained(name, value, grads, **numbers):
    """The value and state after an update with each gradient."""
    r = from_wire(name, numbers)
    value = value.copy()
    state = r.create_state(value)
    for t, grad in enumerate(grads, start=1):
        r.update(value, grad, state, lr=0.05, wd=0.01, t=t)
    return value, state


def draw(shape, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=shape).astype(np.float32), random.normal(size=(3, *shape)).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_comes_back_from_the_wire_as_it_went(name):
    r = from_wire(name, {})
    assert from_wire(*r.to_wire()) == r
    assert r.to_wire()[0] == name
    assert type(r).__doc__


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_is_only_read(name):
    value, grads = draw((4, 3))
    before = grads.copy()
    grads.flags.writeable = False
    trained(name, value, grads)
    np.testing.assert_array_equal(grads, before)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_updates_give_the_same_bits(name):
    value, grads = draw((4, 3))
    first, again = trained(name, value, grads), trained(name, value, grads)
    np.testing.assert_array_equal(first[0], again[0])
    for a, b in zip(first[1], again[1], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_slices_updated_one_by_one_give_the_bits_of_the_whole(name):
    value, grads = draw((1000,))
    whole, _ = trained(name, value, grads)
    for cut in (1, 333, 512):
        parts = [trained(name, value[s], grads[:, s])[0] for s in (slice(None, cut), slice(cut, None))]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_blocks_do_not_show(name, monkeypatch):
    value, grads = draw((70, 30))
    whole, _ = trained(name, value, grads)
    monkeypatch.setattr(traced, "BLOCK", 101)
    np.testing.assert_array_equal(trained(name, value, grads)[0], whole)


@pytest.mark.parametrize("name", NAMES)
def test_a_value_that_is_not_contiguous_is_updated_where_it_lies(name):
    value, grads = draw((6, 8))
    wanted, _ = trained(name, value, grads)
    r = from_wire(name, {})
    strided = np.zeros((8, 6), np.float32).T
    strided[...] = value
    state = r.create_state(strided)
    for t, grad in enumerate(grads, start=1):
        r.update(strided, grad, state, lr=0.05, wd=0.01, t=t)
    np.testing.assert_allclose(strided, wanted, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_a_value_keeps_its_dtype_whatever_the_gradients(name, dtype):
    value, grads = draw((4, 3))
    updated, state = trained(name, value.astype(dtype), grads)
    assert updated.dtype == dtype
    assert all(s.dtype == dtype for s in state)
    if name != "sgld":  # whose noise depends on every bit
        wanted, _ = trained(name, value, grads)
        np.testing.assert_allclose(updated, wanted, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("name", sorted({*NAMES} - {"test", "sgld"}))  # which add, and wander
def test_an_optimizer_goes_down(name):
    r = from_wire(name, {"lamda1": 0.0} if name == "ftrl" else {})
    value = np.full((3, 4), 2.0, np.float32)
    state = r.create_state(value)
    for t in range(1, 60):
        r.update(value, value.copy(), state, lr=0.05, wd=0.0, t=t)
    assert np.abs(value).max() < 2.0


def test_momentum_is_made_only_where_it_is_used():
    value = np.ones(3, np.float32)
    assert from_wire("sgd", {}).create_state(value) == ()
    assert len(from_wire("sgd", {"momentum": 0.9}).create_state(value)) == 1


def test_noise_has_the_step_s_size():
    r = from_wire("sgld", {})
    value = np.zeros((300, 300), np.float32)
    r.update(value, value.copy(), (), lr=0.04, wd=0.0, t=1)
    assert value.std() == pytest.approx(0.2, rel=0.02)
    assert abs(value.mean()) < 0.01


@pytest.mark.parametrize(
    ("name", "numbers", "words"),
    [
        ("agd", {}, "no optimizer 'agd'; did you mean 'sgd'?"),
        ("__import__", {}, "no optimizer '__import__'"),
        ("sgd", {"momentun": 0.9}, "no number 'momentun'; it takes clip_gradient, momentum, rescale_grad"),
        ("sgd", {"momentum": "0.9"}, "momentum is '0.9'; wanted a number"),
        ("sgd", {"momentum": [0.9]}, "wanted a number"),
        ("lars", {"scaled": 1}, "scaled is 1; wanted a text"),
    ],
)
def test_what_is_no_rule_is_refused(name, numbers, words):
    with pytest.raises(ConfigError) as caught:
        from_wire(name, numbers)
    assert words in str(caught.value)


def test_a_gradient_of_another_shape_is_refused():
    value = np.ones((2, 3), np.float32)
    with pytest.raises(ShapeError, match=r"sgd: the gradient's shape is \(6,\), the value's \(2, 3\)"):
        from_wire("sgd", {}).update(value, np.ones(6, np.float32), (), lr=0.1, wd=0.0, t=1)


def test_a_rule_s_numbers_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        from_wire("sgd", {}).momentum = 0.5

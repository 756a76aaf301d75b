"""Tables against plain dictionaries and dense arrays."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from psdist.errors import ConfigError
from psdist.optimizer import from_wire
from psdist.table import Evict, First, Rows, Table, merge, split
from psdist.table.index import Index

ZERO = First("constant", {"value": 0.0})
F4 = np.dtype(np.float32)


def some_rows(rng, num_rows, num, width=3):
    ids = np.sort(rng.choice(num_rows, num, replace=False)).astype(np.int64)
    return Rows(ids, rng.standard_normal((num, width)).astype(np.float32))


def test_an_index_finds_what_a_dict_would_after_many_additions_and_removals():
    rng = np.random.default_rng(0)
    index, known = Index(), {}
    for step in range(60):
        ids = np.unique(rng.integers(0, 1 << 40, 200) * (64 if step % 2 else 1))
        ids = ids[[int(i) not in known for i in ids]]
        slots = np.arange(len(ids)) + 1000 * step
        index.add(ids, slots)
        known |= dict(zip(ids.tolist(), slots.tolist(), strict=True))
        gone = rng.choice(list(known), len(known) // 3, replace=False)
        index.remove(gone)
        for i in gone.tolist():
            del known[i]
    asked = np.concatenate([np.array(list(known)), np.arange(500)])
    assert index.find(asked).tolist() == [known.get(i, -1) for i in asked.tolist()]
    assert len(index) == len(known)


@pytest.mark.parametrize("sizes", [(5, 7), (0, 4), (4, 0), (0, 0), (10, 10)])
def test_rows_add_up_as_dense_arrays_do(sizes):
    rng = np.random.default_rng(sum(sizes))
    a, b = (some_rows(rng, 10, n) for n in sizes)
    dense = np.zeros((2, 10, 3), np.float32)
    for x, d in zip((a, b), dense, strict=True):
        d[x.ids] = x.data
    total = merge(a, b)
    assert total.ids.tolist() == sorted({*a.ids.tolist(), *b.ids.tolist()})
    assert (total.data == (dense[0] + dense[1])[total.ids]).all()


@pytest.mark.parametrize("num_parts", [1, 2, 3, 5, 8])
def test_every_row_has_one_part_and_the_parts_are_balanced_for_any_kind_of_numbers(num_parts):
    rng = np.random.default_rng(1)
    kinds = {
        "the first": np.arange(20_000),
        "even": rng.integers(0, 1 << 62, 20_000),
        "in steps": np.arange(20_000) * 4096,
        "often the low": rng.zipf(1.3, 60_000).clip(0, 1 << 40)[:20_000],
    }
    for kind, ids in kinds.items():
        ids = np.unique(ids)
        parts = split(ids, num_parts)
        assert sorted(np.concatenate(parts).tolist()) == list(range(len(ids)))
        assert max(map(len, parts)) <= 1.1 * len(ids) / num_parts + 5, kind


def mixed(z: int) -> int:
    z %= 1 << 64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % (1 << 64)
    z = (z ^ z >> 27) * 0x94D049BB133111EB % (1 << 64)
    return z ^ z >> 31


def test_first_values_depend_on_seed_table_and_row_alone():
    first = First("normal", {"sigma": 2.0, "seed": 3})
    ids = np.array([5, 1 << 45, 7])
    whole = first.draw(ids, 64, 11, F4)
    assert (first.draw(ids[1:2], 64, 11, F4) == whole[1:2]).all()
    others = [
        first.draw(ids, 64, 12, F4),
        First("normal", {"sigma": 2.0, "seed": 4}).draw(ids, 64, 11, F4),
    ]
    assert not any((other == whole).any() for other in others)
    # the page of the protocol, in plain integers
    start, golden = mixed(3 ^ 11), 0x9E3779B97F4A7C15
    for row, i in ((5, 0), (1 << 45, 1)):
        for c in range(3):
            u = ((mixed(golden * (row * 64 + c) + start) >> 11) + 0.5) * 2.0**-53
            assert whole[i, c] == pytest.approx(2 * NormalDist().inv_cdf(u), abs=1e-5)
    assert whole[0, :3].tobytes().hex() == "da133840648368bd64c58c40"  # for ever, on every machine


def test_first_values_are_distributed_as_said():
    ids = np.arange(4000)
    u = First("uniform", {"low": -1.0, "high": 3.0, "seed": 0}).draw(ids, 8, 1, F4)
    assert u.min() >= -1
    assert u.max() < 3
    assert abs(u.mean() - 1) < 0.03
    x = np.sort(First("normal", {"sigma": 0.5, "seed": 0}).draw(ids, 8, 1, np.dtype(np.float64)).reshape(-1))
    wanted = [NormalDist(0, 0.5).inv_cdf((i + 0.5) / len(x)) for i in range(len(x))]
    assert np.abs(x - wanted).max() < 0.5  # the extremes
    assert np.abs(x - wanted)[100:-100].max() < 0.03


def test_a_normal_number_is_the_inverse_of_the_distribution_function():
    from psdist.table.first import _normal

    u = np.concatenate([[1e-16, 1e-9, 1e-5], np.linspace(0.001, 0.999, 999), [1 - 1e-9]])
    wanted = np.array([NormalDist().inv_cdf(x) for x in u])
    assert np.abs(_normal(u) - wanted).max() < 2e-6


@pytest.mark.parametrize(
    ("first", "why"),
    [
        (First("zeta", {}), "no rows begin as 'zeta'; known are constant, uniform, normal"),
        (First("normal", {"sigma": 1.0}), "'normal' need the numbers seed, sigma"),
        (First("constant", {"value": float("nan")}), "value is nan; wanted a number"),
        (First("normal", {"sigma": 1.0, "seed": 0.5}), "seed is 0.5; wanted a whole number"),
    ],
)
def test_what_cannot_be_drawn_is_refused(first, why):
    with pytest.raises(ConfigError, match=why):
        first.check()


@pytest.mark.parametrize(("policy", "limit"), [("lfu", 3), ("lru", 0), ("ttl", -1), ("", 5)])
def test_an_eviction_that_makes_no_sense_is_refused(policy, limit):
    with pytest.raises(ConfigError, match="evict"):
        Evict(policy, limit).check()


RULES = [
    ("sgd", {}),
    ("sgd", {"momentum": 0.9}),
    ("adam", {}),
    ("adagrad", {}),
    ("ftrl", {}),
    ("rmsprop", {}),
    ("dcasgd", {"momentum": 0.5}),
]


@pytest.mark.parametrize("lazy", [True, False])
@pytest.mark.parametrize(("name", "numbers"), RULES)
def test_an_update_of_touched_rows_is_that_of_a_dense_array_on_them(name, numbers, lazy):
    rng = np.random.default_rng(5)
    rule = from_wire(name, numbers)
    value = rng.standard_normal((40, 3)).astype(np.float32)
    table = Table(1, 3, F4, ZERO, Evict())
    table.give(Rows(np.arange(40), value.copy()))
    state = rule.create_state(value)
    for t in range(1, 6):
        grad = some_rows(rng, 40, 11)
        table.update(grad, t, rule, lr=0.1, wd=0.01, t=t, lazy=lazy)
        if lazy:
            parts = [a[grad.ids] for a in (value, *state)]
            rule.update(parts[0], grad.data, tuple(parts[1:]), lr=0.1, wd=0.01, t=t)
            for whole, part in zip((value, *state), parts, strict=True):
                whole[grad.ids] = part
        else:
            dense = np.zeros_like(value)
            dense[grad.ids] = grad.data
            rule.update(value, dense, state, lr=0.1, wd=0.01, t=t)
    assert table.read(np.arange(40)).tobytes() == value.tobytes()


def test_a_row_is_there_when_it_is_touched_and_begins_where_reading_said():
    table = Table(9, 2, F4, First("uniform", {"low": 0.0, "high": 1.0, "seed": 1}), Evict())
    ids = np.array([3, 1_000_000_007])
    seen = table.read(ids)
    assert len(table) == 0
    rule = from_wire("sgd", {})
    table.update(Rows(ids, np.ones((2, 2), np.float32)), 0, rule, lr=1.0, wd=0.0, t=1, lazy=True)
    assert len(table) == 2
    assert (table.read(ids) == seen - 1).all()
    assert table.stored().tolist() == ids.tolist()


def touch(table, clock, *ids):
    rows = Rows(np.array(ids), np.ones((len(ids), table.width), np.float32))
    table.update(rows, clock, from_wire("sgd", {"momentum": 0.5}), lr=1.0, wd=0.0, t=clock + 1, lazy=True)
    gone = table.due()
    table.remove(gone)
    return gone.tolist()


def test_lru_keeps_those_touched_last_and_of_equals_those_of_higher_numbers():
    table = Table(1, 2, F4, ZERO, Evict("lru", 3))
    assert touch(table, 0, 1, 2, 3) == []
    assert touch(table, 1, 2) == []
    assert touch(table, 2, 9) == [1]
    assert touch(table, 3, 5, 6, 7, 8) == [2, 3, 5, 9]
    assert table.stored().tolist() == [6, 7, 8]


def test_ttl_counts_rounds_and_a_row_that_comes_back_begins_anew():
    table = Table(1, 2, F4, ZERO, Evict("ttl", 2))
    assert touch(table, 0, 1, 2) == []
    assert touch(table, 1, 1) == []
    assert touch(table, 2, 3) == [2]
    assert touch(table, 3, 2) == [1]
    assert (table.read(np.array([2])) == -1).all()  # once, and without momentum
    assert touch(table, 4, 2) == [3]
    assert (table.read(np.array([2])) == -2.5).all()


def test_slots_of_evicted_rows_are_used_again():
    table = Table(1, 2, F4, ZERO, Evict("lru", 10))
    for clock in range(50):
        touch(table, clock, *range(10 * clock, 10 * clock + 10))
    assert table.num_slots <= 20


def test_a_table_in_portions_is_the_table():
    rng = np.random.default_rng(3)
    table = Table(1, 3, F4, ZERO, Evict("lru", 20))
    rule = from_wire("adam", {})
    for t in range(1, 9):
        table.update(some_rows(rng, 100, 10), t, rule, lr=0.1, wd=0.0, t=t, lazy=True)
        table.remove(table.due())
    copy = Table(1, 3, F4, ZERO, Evict("lru", 20))
    for ids, touched, data, *state in table.portions(7):
        copy.put(ids, touched, data, tuple(state))
    copy.newest = table.newest
    grad = some_rows(rng, 100, 30)
    for one in (table, copy):
        one.update(grad, 9, rule, lr=0.1, wd=0.0, t=9, lazy=True)
        one.remove(one.due())
    ids = table.stored()
    assert ids.tolist() == copy.stored().tolist()
    assert table.read(ids).tobytes() == copy.read(ids).tobytes()
    assert [a.tobytes() for a in table.states_of(ids)] == [a.tobytes() for a in copy.states_of(ids)]

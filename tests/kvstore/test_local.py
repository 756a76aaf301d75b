"""The store of one process: MXNet's answers, and errors where MXNet has accidents."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import psdist.kvstore
from psdist import context, nd, optimizer
from psdist.errors import BadValue, ConfigError, UnknownKey
from psdist.kvstore import KVStore

from . import mxnet_local_store

_MX = SimpleNamespace(kv=psdist.kvstore, nd=nd, cpu=context.cpu, optimizer=optimizer)
_ANSWERS = json.loads(mxnet_local_store.DATA.read_text())["stories"]


@pytest.mark.parametrize("name", mxnet_local_store.STORIES)
def test_the_store_answers_as_mxnet_does(name: str) -> None:
    answers = [a.asnumpy().tolist() for a in mxnet_local_store.STORIES[name](_MX)]
    assert answers == _ANSWERS[name]


@pytest.fixture
def kv() -> KVStore:
    kv = psdist.kvstore.create("local")
    kv.init(["fc1_weight", "fc1_bias"], [nd.ones((2, 3)), nd.ones((2,))])
    return kv


def _pulled(kv: KVStore, key: Any) -> Any:
    out = nd.zeros((2, 3))
    kv.pull(key, out=out)
    return out.asnumpy()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("local", "local"),
        ("LOCAL", "local"),
        ("device", "device"),
        ("local_update_cpu", "local_update_cpu"),
        ("local_allreduce_cpu", "local_allreduce_cpu"),
        ("local_allreduce_device", "local_allreduce_device"),
        ("nccl", "nccl"),
    ],
)
def test_a_local_store_has_many_names_and_one_worker(name: str, kind: str) -> None:
    with psdist.kvstore.create(name) as kv:
        kv.barrier()
        assert (kv.type, kv.rank, kv.num_workers) == (kind, 0, 1)
        assert kv.is_capable("optimizer")


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no store is named 'dist_sink'; known are local, .*, dist_sync"):
        psdist.kvstore.create("dist_sink")
    with pytest.raises(ConfigError, match="None is no name"):
        psdist.kvstore.create(None)  # type: ignore[arg-type]


def test_a_distributed_store_without_a_cluster_names_the_missing_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("DMLC_ROLE", "DMLC_PS_ROOT_URI", "DMLC_PS_ROOT_PORT"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ConfigError, match="DMLC_PS_ROOT_URI and DMLC_PS_ROOT_PORT not set: a worker of"):
        psdist.kvstore.create("dist_sync")


def test_what_was_pushed_may_be_changed_afterwards(kv: KVStore) -> None:
    grad = nd.ones((2, 3))
    kv.push("fc1_weight", grad)
    grad[:] = 7
    assert (_pulled(kv, "fc1_weight") == 1).all()


def test_one_device_with_an_updater_is_not_copied(kv: KVStore) -> None:
    seen = []
    kv.set_updater(lambda key, pushed, value: seen.append(pushed))
    grad = nd.ones((2, 3))
    kv.push("fc1_weight", grad)
    assert np.shares_memory(seen[0]._data, grad._data)


def _read_only() -> Any:
    array = np.ones((2, 3), np.float32)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("do", "cls", "said"),
    [
        (
            lambda kv: kv.push("fc1_wieght", nd.ones((2, 3))),
            UnknownKey,
            "'fc1_wieght' was never initialised; did you mean 'fc1_weight'?",
        ),
        (
            lambda kv: kv.push("fc1_weight", nd.ones((3, 2))),
            BadValue,
            "push 'fc1_weight': shape (3, 2), wanted (2, 3) as initialised",
        ),
        (
            lambda kv: kv.pull("fc1_weight", out=[nd.ones((2, 3)), nd.ones((1,))]),
            BadValue,
            "pull 'fc1_weight': shape (1,), wanted (2, 3) as initialised",
        ),
        (
            lambda kv: kv.pull("fc1_weight", out=_read_only()),
            BadValue,
            "pull 'fc1_weight': `out` is read-only; wanted an array to write to",
        ),
        (
            lambda kv: kv.push("fc1_weight", np.ones((2, 3), np.complex64)),
            BadValue,
            "push 'fc1_weight': complex64 does not fit into float32 as initialised",
        ),
        (
            lambda kv: kv.pull("fc1_weight"),
            ConfigError,
            "pull 'fc1_weight': no `out`; wanted arrays to write to",
        ),
        (
            lambda kv: kv.init("fc1_weight", nd.ones((2, 3))),
            ConfigError,
            "init 'fc1_weight': initialised before; each key is initialised once",
        ),
        (
            lambda kv: kv.init("x", [nd.ones((2, 3)), nd.ones((2, 3))]),
            ConfigError,
            "init 'x': 2 values, wanted one",
        ),
        (
            lambda kv: kv.init(3, nd.ones((2, 3))),
            ConfigError,
            "key 3: this store's keys are strings, like 'fc1_weight'; no store has both",
        ),
        (
            lambda kv: kv.push(["fc1_weight", 3], [nd.ones((2, 3)), nd.ones((2, 3))]),
            ConfigError,
            "push: keys are all strings or all numbers, got ['fc1_weight', 3]",
        ),
        (
            lambda kv: kv.push(["fc1_weight", "fc1_bias"], [nd.ones((2, 3))]),
            ConfigError,
            "push: 2 keys, but 1 values; wanted an array or a list of them for each",
        ),
        (
            lambda kv: kv.push("fc1_weight", 3.0),
            ConfigError,
            "push 'fc1_weight': float, wanted an NDArray",
        ),
        (
            lambda kv: kv.push(1.5, nd.ones((2, 3))),
            ConfigError,
            "push: 1.5 is no key; wanted a string or a whole number",
        ),
        (
            lambda kv: kv.push("fc1_weight", []),
            ConfigError,
            "push 'fc1_weight': no values; wanted an array or a list with each device's",
        ),
        (
            lambda kv: kv.save_optimizer_states("/nowhere"),
            ConfigError,
            "this store has no optimizer, so no states: call set_optimizer first",
        ),
    ],
)
def test_a_mistake_is_one_error_that_says_what_was_wanted_and_changes_nothing(
    kv: KVStore, do: Any, cls: type[Exception], said: str
) -> None:
    with pytest.raises(cls) as e:
        do(kv)
    assert str(e.value) == said
    assert (_pulled(kv, "fc1_weight") == 1).all()


def test_optimizer_states_are_saved_and_loaded(tmp_path: Path) -> None:
    def store() -> KVStore:
        kv = psdist.kvstore.create("local")
        kv.init("w", nd.ones((2, 3)))
        kv.set_optimizer(optimizer.SGD(learning_rate=0.5, momentum=0.9))
        return kv

    first, second = store(), store()
    first.push("w", nd.ones((2, 3)))
    first.save_optimizer_states(tmp_path / "states")
    second.load_optimizer_states(tmp_path / "states")
    first.push("w", nd.ones((2, 3)))
    second.push("w", nd.ones((2, 3)))
    assert np.allclose(_pulled(first, "w"), 1 - 0.5 - 0.5 * 1.9)
    assert np.allclose(_pulled(second, "w"), 1 - 0.5 * 1.9)


def test_a_device_store_shows_what_compressed_gradients_do():
    """The numbers are MXNet 1.9.1's."""
    kv = psdist.kvstore.create("device")
    kv.set_gradient_compression({"type": "2bit", "threshold": 0.5})
    kv.init("a", nd.zeros((3,)))
    seen = []
    for first, second in ((0.3, 0.7), (0.3, 0.7), (-0.2, -1.6), (0.1, 0.1)):
        kv.push(
            "a",
            [nd.array([first, 2 * first, -first], context.cpu(0)), nd.array([second] * 3, context.cpu(1))],
        )
        out = nd.zeros((3,))
        kv.pull("a", out=out)
        seen.append(out.asnumpy().tolist())
    assert seen == [[0.5, 1, 0.5], [1, 1, 0], [-0.5, -0.5, -0.5], [-0.5, -0.5, -0.5]]
    with pytest.raises(ConfigError, match="the 'local' store does not compress gradients"):
        psdist.kvstore.create("local").set_gradient_compression({"type": "2bit"})
    kv.set_gradient_compression({"type": "none"})
    kv.push("a", nd.array([0.1, 0.2, 0.3]))
    kv.pull("a", out=out)
    assert np.allclose(out.asnumpy(), [0.1, 0.2, 0.3])

"""What a local store answers: run under MXNet 1.9.1 this writes data/mxnet_local_store.json; the test runs
the same stories under psdist and compares.

    python tests/kvstore/mxnet_local_store.py      (in an environment that has mxnet)

A story is a function of the module `mx` that returns arrays. Left out, as MXNet's answers are accidents: a
pushed array that is changed later changes the store, a push of another shape replaces the value, and
pushing one key twice in a list makes the next update read a wrong value.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data" / "mxnet_local_store.json"
STORIES = {}


def story(function: Any) -> Any:
    STORIES[function.__name__] = function
    return function


def _ones(mx: Any, scale: float = 1.0, device: int = 0) -> Any:
    return mx.nd.ones((2, 3), ctx=mx.cpu(device)) * scale


def _pulled(mx: Any, kv: Any, key: Any) -> Any:
    out = mx.nd.zeros((2, 3))
    kv.pull(key, out=out)
    return out


@story
def init_then_pull(mx: Any) -> list[Any]:
    kv = mx.kv.create("local")
    kv.init(3, _ones(mx, 5))
    return [_pulled(mx, kv, 3)]


@story
def a_push_without_updater_replaces_the_value_by_the_sum(mx: Any) -> list[Any]:
    kv = mx.kv.create("local")
    kv.init("w", _ones(mx, 5))
    seen = []
    kv.push("w", _ones(mx, 8))
    seen.append(_pulled(mx, kv, "w"))
    kv.push("w", [_ones(mx, 1 + i, i) for i in range(4)])
    seen.append(_pulled(mx, kv, "w"))
    kv.push("w", [_ones(mx, 1, i) for i in range(2)])
    seen.append(_pulled(mx, kv, "w"))
    return seen


@story
def lists_of_keys_and_many_outs(mx: Any) -> list[Any]:
    kv = mx.kv.create("device")
    kv.init(["a", "b"], [_ones(mx), _ones(mx, 2)])
    kv.push(["b", "a"], [[_ones(mx, 3), _ones(mx, 4, 1)], [_ones(mx, 5)]])
    outs = [[mx.nd.zeros((2, 3)), mx.nd.zeros((2, 3), ctx=mx.cpu(1))], [mx.nd.zeros((2, 3))]]
    kv.pull(["a", "b"], out=outs)
    return [out for group in outs for out in group]


@story
def one_key_twice_in_a_push_counts_as_one_push_of_both(mx: Any) -> list[Any]:
    kv = mx.kv.create("local")
    kv.init(["x", "y"], [_ones(mx), _ones(mx)])
    kv.push(["x", "y", "x"], [_ones(mx), _ones(mx, 7), _ones(mx, 5)])
    return [_pulled(mx, kv, "x"), _pulled(mx, kv, "y")]


@story
def pushpull_with_and_without_out(mx: Any) -> list[Any]:
    kv = mx.kv.create("device")
    kv.init("g", _ones(mx, 0))
    a, b, out = _ones(mx), _ones(mx, 2, 1), _ones(mx, 0)
    kv.pushpull("g", [a, b], out=out)
    kv.pushpull("g", [a, b])
    return [out, a, b, _pulled(mx, kv, "g")]


@story
def broadcast_declares_and_reads(mx: Any) -> list[Any]:
    kv = mx.kv.create("device")
    outs = [_ones(mx, 0), _ones(mx, 0)]
    kv.broadcast("h", _ones(mx, 3), out=outs)
    return outs


@story
def an_updater_gets_the_sum_and_changes_the_value(mx: Any) -> list[Any]:
    kv = mx.kv.create("local")
    keys = []

    def update(key: Any, pushed: Any, value: Any) -> None:
        keys.append(key)
        value += pushed * 2

    kv._set_updater(update)
    kv.init(3, _ones(mx, 10))
    kv.push(3, [_ones(mx, 1, i) for i in range(3)])
    kv.push(3, _ones(mx, 0.5))
    assert keys == [3, 3]
    return [_pulled(mx, kv, 3)]


@story
def an_optimizer_keeps_its_state(mx: Any) -> list[Any]:
    kv = mx.kv.create("local")
    kv.init("w_weight", _ones(mx))
    kv.set_optimizer(mx.optimizer.SGD(learning_rate=0.5, momentum=0.75, wd=0.5))
    seen = []
    for scale in (1.0, 2.0, 0.5):
        kv.push("w_weight", [_ones(mx, scale), _ones(mx, scale, 1)])
        seen.append(_pulled(mx, kv, "w_weight"))
    return seen


@story
def a_float64_value_is_read_into_float32(mx: Any) -> list[Any]:
    kv = mx.kv.create("local")
    kv.init("d", mx.nd.ones((2, 3), dtype="float64"))
    return [_pulled(mx, kv, "d")]


def tell(mx: Any) -> dict[str, list[Any]]:
    """Every story's arrays, as lists."""
    return {name: [a.asnumpy().tolist() for a in story(mx)] for name, story in STORIES.items()}


if __name__ == "__main__":
    import mxnet

    DATA.write_text(json.dumps({"mxnet": mxnet.__version__, "stories": tell(mxnet)}, indent=1) + "\n")
    sys.stdout.write(f"wrote {DATA}\n")

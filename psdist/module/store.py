"""How a module's parameters meet a KVStore: who keeps the truth, and who runs the optimizer.

With `update_on_kvstore` the store has the parameters and the optimizer: gradients go in, new values come
out. Without, the store only sums gradients, and each device's copy is updated here. Keys are the
parameters' names; priority −i lets the layers that the next forward pass needs first go first.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import kvstore as kvs
from ..errors import ConfigError
from ..ndarray import NDArray

__all__ = ["create_kvstore", "initialize_kvstore", "update_params", "update_params_on_kvstore"]

_LARGE = (
    16 * 1024 * 1024
)  # elements: beyond it a local store's extra copy costs more than updating per device

Devices = Sequence[NDArray]  # a parameter's copies, one per device


def create_kvstore(kvstore: Any, num_device: int, arg_params: Mapping[str, NDArray]) -> tuple[Any, bool]:
    """The store and whether it runs the optimizer. One device alone needs no local store: (None, False)."""
    on_kvstore = os.environ.get("MXNET_UPDATE_ON_KVSTORE", "1") not in ("0", "false", "False")
    if kvstore is None:
        return None, False
    if isinstance(kvstore, str):
        if num_device == 1 and "dist" not in kvstore:
            return None, False
        store = kvs.create(kvstore)
        if kvstore == "local" and max((math.prod(p.shape) for p in arg_params.values()), default=0) > _LARGE:
            on_kvstore = False
        return store, on_kvstore
    if not hasattr(kvstore, "pushpull"):
        raise ConfigError(f"kvstore is {kvstore!r}; wanted a name, a KVStore or None")
    return kvstore, on_kvstore


def initialize_kvstore(
    kvstore: Any,
    param_arrays: Sequence[Devices],
    arg_params: Mapping[str, NDArray],
    param_names: Sequence[str],
    update_on_kvstore: bool,
) -> None:
    """Declare every parameter with its value; all devices, on all workers, then have the store's value."""
    names = list(param_names)
    kvstore.init(names, [arg_params[name].tostype("default") for name in names])
    if update_on_kvstore or "dist" in kvstore.type:
        kvstore.pull(names, out=[list(on_devices) for on_devices in param_arrays])


def update_params_on_kvstore(
    param_arrays: Sequence[Devices],
    grad_arrays: Sequence[Sequence[NDArray | None]],
    kvstore: Any,
    param_names: Sequence[str],
) -> None:
    """Push all gradients and pull all new values, in one exchange: a step costs one round trip, not one a key."""
    learned = [i for i, grads in enumerate(grad_arrays) if grads[0] is not None]
    if not learned:
        return
    kvstore.pushpull(
        [param_names[i] for i in learned],
        [list(grad_arrays[i]) for i in learned],
        out=[list(param_arrays[i]) for i in learned],
    )


def update_params(
    param_arrays: Sequence[Devices],
    grad_arrays: Sequence[Sequence[NDArray | None]],
    updater: Callable[[int, Any, Any], None],
    num_device: int,
    kvstore: Any = None,
    param_names: Sequence[str] | None = None,
) -> None:
    """Sum the gradients in the store, if there is one, and update each device's copy.

    Parameter i on device k has the optimizer's index i * num_device + k: every copy has its own state.
    """
    learned = [i for i, grads in enumerate(grad_arrays) if grads[0] is not None]
    if kvstore is not None and learned:
        keys: Sequence[Any] = param_names if param_names is not None else range(len(grad_arrays))
        summed = [list(grad_arrays[i]) for i in learned]
        kvstore.pushpull([keys[i] for i in learned], summed, out=summed)
    for k in range(num_device):
        for i in learned:
            updater(i * num_device + k, grad_arrays[i][k], param_arrays[i][k])

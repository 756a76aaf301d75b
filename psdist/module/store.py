"""How a module's parameters meet a KVStore: who keeps the truth, and who runs the optimizer.

With `update_on_kvstore` the store has the parameters and the optimizer: gradients go in, new values come
out. Without, the store only sums gradients, and each device's copy is updated here. Keys are the
parameters' names; priority −i lets the layers that the next forward pass needs first go first.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from .. import kvstore as kvs
from ..errors import ConfigError
from ..kvstore.reduce import add_into
from ..ndarray import NDArray, sparse

__all__ = [
    "Averages",
    "EarlyPushes",
    "create_kvstore",
    "initialize_kvstore",
    "update_params",
    "update_params_on_kvstore",
]

_TOGETHER = 1 << 20  # bytes of gradients that make a message worth its round trip
_LARGE = (
    16 * 1024 * 1024
)  # elements: beyond it a local store's extra copy costs more than updating per device

Devices = Sequence[NDArray]  # a parameter's copies, one per device
Exchange = tuple[Sequence[str], Sequence[Devices], Sequence[Devices]]  # keys, what is pushed, what is pulled
NOTHING: Exchange = ((), (), ())


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
    tables: Collection[str] = (),
) -> None:
    """Declare every parameter with its value; all devices, on all workers, then have the store's value.

    Of those in `tables`, later only the rows travel that a gradient has, or that are asked for."""
    names = list(param_names)
    values = [arg_params[name].tostype("default") for name in names]
    kvstore.init(names, [_as_rows(v) if n in tables else v for n, v in zip(names, values, strict=True)])
    if update_on_kvstore or "dist" in kvstore.type:
        kvstore.pull(names, out=[list(on_devices) for on_devices in param_arrays])


def _as_rows(value: NDArray) -> NDArray:
    """All rows of an array as a row_sparse one, also those that are zero."""
    return sparse.row_sparse_array((value, np.arange(value.shape[0])), shape=value.shape)


class Averages:
    """The mean over all workers of each auxiliary state, such as BatchNorm's moving averages; kept by the store.

    Every worker has its own, from its own data. In the exchange of each step they go along, as keys of their own,
    and their mean comes back: so all ranks know the same, at no time has anybody to wait for another besides the
    steps' own rounds, and one rank alone may save it. The devices go on with their own until `fit` ends the epoch.
    """

    def __init__(self, kvstore: Any, names: Sequence[str], aux_params: Mapping[str, NDArray]) -> None:
        self.means = {name: aux_params[name].copy() for name in names}
        self._local: dict[str, NDArray] = {}  # the mean over devices, where there are several
        kvstore.init(list(names), list(self.means.values()), averaged=True)
        kvstore.pull(list(names), out=list(self.means.values()))

    def exchange(self, names: Sequence[str], arrays: Sequence[Devices]) -> Exchange:
        """What a step's exchange has besides the gradients: keys, what is pushed, and where the means go."""
        known = [(name, copies) for name, copies in zip(names, arrays, strict=True) if name in self.means]
        return (
            [name for name, _ in known],
            [[self._of_devices(name, copies)] for name, copies in known],
            [[self.means[name]] for name, _ in known],
        )

    def _of_devices(self, name: str, copies: Devices) -> NDArray:
        if len(copies) == 1:
            return copies[0]
        mean = self._local.get(name)
        if mean is None:
            mean = self._local[name] = self.means[name].copy()
        add_into(mean._data, [copy._data for copy in copies])
        mean /= len(copies)
        return mean


def update_params_on_kvstore(
    param_arrays: Sequence[Devices],
    grad_arrays: Sequence[Sequence[NDArray | None]],
    kvstore: Any,
    param_names: Sequence[str],
    besides: Exchange = NOTHING,
    by_rows: Collection[str] = (),
) -> None:
    """Push all gradients and pull all new values, in one exchange: a step costs one round trip, not one a key. Of
    the parameters `by_rows` only the gradient is pushed."""
    learned = [i for i, grads in enumerate(grad_arrays) if grads[0] is not None]
    if not learned:
        return
    if some := [i for i in learned if param_names[i] in by_rows]:
        kvstore.push([param_names[i] for i in some], [list(grad_arrays[i]) for i in some])
        learned = [i for i in learned if param_names[i] not in by_rows]
    names, pushed, pulled = besides
    if not learned and not names:
        return
    kvstore.pushpull(
        [*(param_names[i] for i in learned), *names],
        [*(list(grad_arrays[i]) for i in learned), *pushed],
        out=[*(list(param_arrays[i]) for i in learned), *pulled],
    )


class EarlyPushes:
    """A step's exchange that begins while `backward` is still at work on earlier layers.

    Gradients go off as they become complete, `_TOGETHER` bytes at a time; what is left is exchanged at the end, with
    the new values of what went early. So a small model costs one exchange as before, and of a large one only the
    first layers' gradients are left to wait for. A later layer's gradient never goes before an earlier one's that is
    ready as well: priority −i.
    """

    def __init__(
        self,
        grad_arrays: Sequence[Sequence[NDArray | None]],
        param_arrays: Sequence[Devices],
        kvstore: Any,
        param_names: Sequence[str],
        besides: Exchange = NOTHING,
        by_rows: Collection[str] = (),
    ) -> None:
        self._by_rows = {i for i, name in enumerate(param_names) if name in by_rows}  # pushed and not pulled
        self._grads, self._params, self._store = grad_arrays, param_arrays, kvstore
        self._besides = besides  # exchanged at the end
        self._names = list(param_names)
        self._number = {name: i for i, name in enumerate(param_names) if grad_arrays[i][0] is not None}
        self._early: list[int] = []  # pushed
        self._ready: list[int] = []  # complete, and waiting for company
        self._nbytes = 0

    def on_gradient(self, name: str, gradient: NDArray) -> None:
        """A gradient is complete."""
        i = self._number.get(name)
        if i is None:
            return
        self._ready.append(i)
        stored = gradient._data if gradient.stype == "default" else gradient._stored().data
        self._nbytes += stored.nbytes
        if self._nbytes >= _TOGETHER:
            self._push(sorted(self._ready))
            self._ready, self._nbytes = [], 0

    def _push(self, ready: list[int]) -> None:
        self._store.push(
            [self._names[i] for i in ready], [list(self._grads[i]) for i in ready], priority=-ready[0]
        )
        self._early += ready

    def finish(self) -> None:
        """Exchange the rest, and read the new values of what went early."""
        if some := sorted(self._by_rows.intersection(self._number.values()).difference(self._early)):
            self._push(some)
        early = sorted(self._early)
        rest = [i for i in self._number.values() if i not in set(early)]
        names, pushed, pulled = self._besides
        if rest or names:
            self._store.pushpull(
                [*(self._names[i] for i in rest), *names],
                [*(list(self._grads[i]) for i in rest), *pushed],
                out=[*(list(self._params[i]) for i in rest), *pulled],
                priority=-rest[0] if rest else -len(self._names),
            )
        early = [i for i in early if i not in self._by_rows]
        if early:
            self._store.pull(
                [self._names[i] for i in early],
                out=[list(self._params[i]) for i in early],
                priority=-early[0],
            )


def update_params(
    param_arrays: Sequence[Devices],
    grad_arrays: Sequence[Sequence[NDArray | None]],
    updater: Callable[[int, Any, Any], None],
    num_device: int,
    kvstore: Any = None,
    param_names: Sequence[str] | None = None,
    besides: Exchange = NOTHING,
) -> None:
    """Sum the gradients in the store, if there is one, and update each device's copy.

    Parameter i on device k has the optimizer's index i * num_device + k: every copy has its own state.
    """
    learned = [i for i, grads in enumerate(grad_arrays) if grads[0] is not None]
    if kvstore is not None and learned:
        keys: Sequence[Any] = param_names if param_names is not None else range(len(grad_arrays))
        summed = [list(grad_arrays[i]) for i in learned]
        names, pushed, pulled = besides
        kvstore.pushpull([*(keys[i] for i in learned), *names], [*summed, *pushed], out=[*summed, *pulled])
    for k in range(num_device):
        for i in learned:
            updater(i * num_device + k, grad_arrays[i][k], param_arrays[i][k])

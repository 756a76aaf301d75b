"""What a store calls for each gradient: an optimizer together with the state it keeps for each parameter.

States are saved as msgpack: arrays as dtype, shape and bytes, and the counts of updates, so that training
resumes where it was. Nothing in such a file is executed, and the optimizer is changed only in attributes
that it has.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import msgpack  # type: ignore[import-untyped]  # ships no types
import numpy as np

from ..context import Context
from ..errors import BadType, ConfigError, ProtocolError
from ..ndarray import NDArray, array
from .optimizer import Optimizer

__all__ = ["Updater", "get_updater"]

_FORMAT = "psdist-optimizer-states-1"


class Updater:
    """`updater(index, grad, weight)` makes the parameter's state at its first update, and updates."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.states: dict[Hashable, Any] = {}
        self.states_synced: dict[Hashable, bool] = {}  # False: loaded, and not yet on its weight's device
        self.aggregate_updates = optimizer.aggregate_num > 0

    def __call__(self, index: Any, grad: Any, weight: Any) -> None:
        if isinstance(index, list | tuple):
            for i, g, w in zip(index, grad, weight, strict=True):
                self(i, g, w)
            return
        self.optimizer._set_current_context(weight.context.device_id)
        if index not in self.states:
            self.states[index] = self.optimizer.create_state_multi_precision(index, weight)
        elif not self.states_synced[index]:
            self.states[index] = self.sync_state_context(self.states[index], weight.context)
        self.states_synced[index] = True
        self.optimizer.update_multi_precision(index, weight, grad, self.states[index])

    def sync_state_context(self, state: Any, context: Context) -> Any:
        """The state on a device."""
        if isinstance(state, NDArray):
            return state.as_in_context(context)
        if isinstance(state, list | tuple):
            return type(state)(self.sync_state_context(part, context) for part in state)
        return state

    def get_states(self, dump_optimizer: bool = False) -> bytes:
        """All states and counts, and with `dump_optimizer` the optimizer's numbers, as bytes."""
        optimizer = self.optimizer
        counts = optimizer._all_index_update_counts
        content: dict[str, Any] = {
            "format": _FORMAT,
            "states": [[index, _pack(state)] for index, state in self.states.items()],
            "counts": [[device, list(by_index.items())] for device, by_index in counts.items()],
            "num_update": optimizer.num_update,
        }
        if dump_optimizer:
            content["optimizer"] = type(optimizer).__name__.lower()
            content["attributes"] = _plain(vars(optimizer))
            if optimizer.lr_scheduler is not None:
                content["lr_scheduler"] = _plain(vars(optimizer.lr_scheduler))
        packed: bytes = msgpack.packb(content)
        return packed

    def set_states(self, states: bytes) -> None:
        """Take over what `get_states` gave. Raises ProtocolError for bytes that are something else."""
        content = _unpack_file(states)
        try:
            self.states = {index: _unpack(state) for index, state in content["states"]}
            counts = {device: dict(map(tuple, by_index)) for device, by_index in content["counts"]}
            num_update = int(content["num_update"])
        except (KeyError, TypeError, ValueError) as e:
            raise ProtocolError(f"optimizer states: damaged ({e})") from e
        self.states_synced = dict.fromkeys(self.states, False)
        optimizer = self.optimizer
        if "optimizer" in content:
            if content["optimizer"] != type(optimizer).__name__.lower():
                scheduler = optimizer.lr_scheduler
                optimizer = self.optimizer = Optimizer.create_optimizer(content["optimizer"])
                optimizer.lr_scheduler = scheduler
            _assign(optimizer, content.get("attributes", {}))
            if optimizer.lr_scheduler is not None:
                _assign(optimizer.lr_scheduler, content.get("lr_scheduler", {}))
        optimizer._all_index_update_counts = {0: {}} | counts
        optimizer._index_update_count = optimizer._all_index_update_counts[0]
        optimizer.num_update = max(optimizer.begin_num_update, num_update)


def get_updater(optimizer: Optimizer) -> Updater:
    """The function (index, grad, weight) that a store calls."""
    if not isinstance(optimizer, Optimizer):
        hint = f"; mx.optimizer.create({optimizer!r}) makes one" if isinstance(optimizer, str) else ""
        raise BadType(f"set_optimizer: optimizer is {optimizer!r}; wanted an Optimizer{hint}")
    return Updater(optimizer)


def _pack(state: Any) -> Any:
    if state is None:
        return None
    if isinstance(state, list | tuple):
        return [_pack(part) for part in state]
    a = np.ascontiguousarray(state.asnumpy() if isinstance(state, NDArray) else state)
    return {"dtype": a.dtype.name, "shape": list(np.shape(state)), "data": a.tobytes()}


def _unpack(packed: Any) -> Any:
    if packed is None:
        return None
    if isinstance(packed, list):
        return tuple(_unpack(part) for part in packed)
    dtype = np.dtype(packed["dtype"])
    if dtype.kind not in "fiub":
        raise ValueError(f"an array of dtype {dtype}")
    return array(np.frombuffer(packed["data"], dtype).reshape(packed["shape"]), dtype=dtype)


def _unpack_file(data: bytes) -> dict[str, Any]:
    if data[:1] == b"\x80":  # pickle's first byte
        raise ConfigError(
            "optimizer states: these bytes are a pickle, as MXNet writes it; psdist executes nothing that it "
            "loads. Start with fresh states, or convert the arrays"
        )
    try:
        content = msgpack.unpackb(data, strict_map_key=False, max_array_len=1 << 24, max_map_len=1 << 24)
    except (ValueError, msgpack.UnpackException, RecursionError) as e:
        raise ProtocolError(f"optimizer states: not {_FORMAT} ({type(e).__name__}: {e})") from e
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ProtocolError(f"optimizer states: not {_FORMAT}")
    return content


def _plain(attributes: dict[str, Any]) -> dict[str, Any]:
    """Those that are numbers, texts, or lists and dicts of these; no private ones."""

    def is_plain(value: Any) -> bool:
        if isinstance(value, dict):
            return all(is_plain(v) for v in (*value, *value.values()))
        if isinstance(value, list | tuple):
            return all(is_plain(v) for v in value)
        return value is None or isinstance(value, bool | int | float | str)

    return {name: value for name, value in attributes.items() if not name.startswith("_") and is_plain(value)}


def _assign(target: Any, attributes: dict[str, Any]) -> None:
    for name, value in attributes.items():
        if name in vars(target):
            setattr(target, name, value)

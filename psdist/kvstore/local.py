"""The store of one process: sums over its devices, and updates here."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray as Array

from ..errors import BadValue, ConfigError
from ..ndarray import NDArray, array, sparse
from ..optimizer import get_updater
from ..table import Evict, First
from ..wire import key_name, key_number
from ..wire.spans import Spans
from .base import Key, KVStore, Pairs, Spec, each, is_sparse
from .compress import Code, code_of, with_feedback
from .reduce import add_into

__all__ = ["LocalKVStore"]


class LocalKVStore(KVStore):
    """`local` and `device`: the same here, since devices share memory."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self._values: dict[Key, NDArray] = {}
        self._sums: dict[Key, NDArray] = {}  # for keys pushed from several devices: made once, reused
        self._updater: Any = None  # (key, pushed, value) -> None
        self._portions: dict[Key, Spans] = {}  # of the data, by key, where they are counted
        self._code: Code | None = None  # in which gradients would travel between devices
        self._residuals: dict[tuple[Key, int], Array[Any]] = {}  # what a key's code has left over, by device

    def set_updater(self, updater: Any) -> None:
        self._updater = updater

    def set_optimizer(self, optimizer: Any) -> None:
        self._updater = get_updater(optimizer)

    def set_gradient_compression(self, compression_params: Mapping[str, Any]) -> None:
        """What each device pushes from now on arrives as if it had travelled in a code: of a `device` store. Nothing
        gets quicker; it shows what the code does to training. Raises ConfigError for `local`, as in MXNet."""
        if "device" not in self.type:
            super().set_gradient_compression(compression_params)
        self._code = code_of(compression_params)
        self._residuals.clear()

    def _arrived(self, key: Key, arrays: list[Array[Any]]) -> list[Array[Any]]:
        """What is left of each device's array after the code."""
        if self._code is None or key in self._averaged:
            return arrays
        out = []
        for i, a in enumerate(arrays):
            if a.dtype != np.float32:
                raise BadValue(f"push {key!r}: {a.dtype} cannot be compressed; wanted float32")
            residual = self._residuals.setdefault((key, i), np.zeros(a.size, np.float32))
            data = with_feedback(self._code, a.reshape(-1), residual)
            out.append(self._code.decompress(data, a.size).reshape(a.shape))
        return out

    def save_optimizer_states(self, fname: Any, dump_optimizer: bool = False) -> None:
        Path(fname).write_bytes(self._states().get_states(dump_optimizer))

    def load_optimizer_states(self, fname: Any) -> None:
        self._states().set_states(Path(fname).read_bytes())

    def _states(self) -> Any:
        if not hasattr(self._updater, "get_states"):
            raise ConfigError("this store has no optimizer, so no states: call set_optimizer first")
        return self._updater

    def barrier(self) -> None:
        """Nobody else to wait for."""

    def close(self) -> None:
        """Nothing to end."""

    def init(self, key: Any, value: Any, *, averaged: bool = False) -> None:
        super().init(key, value, averaged=averaged)
        for k, arrays in each("init", key, value):
            if is_sparse(arrays[0]):  # stays so, for the optimizers that leave rows alone
                self._values[k] = arrays[0].copy()

    def _init_table(self, key: Key, spec: Spec, first: First, evict: Evict) -> None:
        if evict.policy:
            raise ConfigError(
                f"init_table {key!r}: the {self.type!r} store lets no rows go; leave max_rows and ttl away"
            )
        num_rows, *rest = spec.shape
        ids, width = np.arange(num_rows), math.prod(rest)
        rows = first.draw(ids, width, key_number(key_name(key)), spec.dtype).reshape(spec.shape)
        self._values[key] = sparse.row_sparse_array((rows, ids), spec.shape)

    def push(self, key: Any, value: Any, priority: int = 0) -> None:
        given = each("push", key, value)
        if not any(is_sparse(a) for _, arrays in given for a in arrays):
            super().push(key, value, priority)
            return
        for k, arrays in given:
            if not all(is_sparse(a) for a in arrays):
                super().push(k, arrays, priority)
                continue
            spec = self._spec(k)
            for a in arrays:
                if a.shape != spec.shape:
                    raise BadValue(f"push {k!r}: shape {a.shape}, wanted {spec.shape} as initialised")
            total = arrays[0]
            for a in arrays[1:]:  # device order, as dense arrays are summed
                total = sparse.add(total, a)
            if self._updater is None:
                self._values[k][:] = total
            else:
                self._updater(k, total, self._values[k])

    def pushpull(self, key: Any, value: Any, out: Any = None, priority: int = 0) -> None:
        out = value if out is None else out
        arrays = [a for v in (value, out) for _, arrays in each("pushpull", key, v) for a in arrays]
        if any(is_sparse(a) for a in arrays):
            self.push(key, value, priority)
            self.pull(key, out, priority, ignore_sparse=False)
        else:
            super().pushpull(key, value, out, priority)

    def _init(self, pairs: list[tuple[Key, Array[Any]]]) -> None:
        for key, value in pairs:
            self._values[key] = array(value, dtype=value.dtype)

    def applied_portions(self) -> Spans:
        return functools.reduce(operator.and_, self._portions.values()) if self._portions else Spans()

    def _is_new(self, key: Key) -> bool:
        """Whether what is pushed now is of portions that the key has not; from now on it has."""
        here = self._portions.setdefault(key, Spans())
        new = [portion for portion in self.portions if portion not in here]
        if new and len(new) < len(self.portions):
            raise BadValue(f"push {key!r}: of the portions {list(self.portions)} only {new} are new")
        for portion in new:
            here.add(portion)
        return bool(new)

    def _push(self, pairs: Pairs, priority: int) -> None:
        for key, arrays in pairs:
            if self.portions and key not in self._averaged and not self._is_new(key):
                continue
            value, arrays = self._values[key], self._arrived(key, arrays)
            if key in self._averaged:
                add_into(value._data, arrays)
                np.divide(value._data, len(arrays), out=value._data)
            elif self._updater is None:
                if is_sparse(value):
                    value[:] = self._sum(key, arrays)
                else:
                    add_into(value._data, arrays)
            else:
                pushed = NDArray(arrays[0]) if len(arrays) == 1 else self._sum(key, arrays)
                self._updater(key, pushed, value)

    def _pull(self, pairs: Pairs, priority: int) -> None:
        for key, outs in pairs:
            value = self._values[key]._data
            for out in outs:
                np.copyto(out, value, casting="unsafe")

    def _sum(self, key: Key, arrays: list[Array[Any]]) -> NDArray:
        total = self._sums.get(key)
        if total is None:
            total = self._sums[key] = NDArray(np.zeros_like(arrays[0], order="C"))  # of any shape, () too
        add_into(total._data, arrays)
        return total

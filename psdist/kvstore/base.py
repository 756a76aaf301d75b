"""The store's API: MXNet's methods, and the arguments they take, in one place for every kind of store.

A key is a string or a number, not both in one store. A value is an array, or a list with the array of each
device. Keys and values may be lists; a key that comes twice in a list counts as one key with the values of
both. The public methods turn all of that into `Pairs` and check it against what `init` declared; a store
implements the methods that begin with an underscore, on NumPy arrays, and never sees anything undeclared.
"""

from __future__ import annotations

import builtins
import difflib
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray as Array

from ..errors import BadValue, ConfigError, UnknownKey
from ..table import Evict, First
from ..wire.spans import Spans
from .first import first_of

__all__ = ["KVStore", "Key", "Pairs", "Spec", "check_row_ids", "each", "is_sparse"]

Key = int | str
Pairs = list[tuple[Key, list[Array[Any]]]]  # each key once; its devices' arrays in device order, at least one


@dataclass(frozen=True, slots=True)
class Spec:
    """What `init` declared of a key."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


_LONG = 16  # keys in a list that is worth remembering


_held = operator.attrgetter("_data")


class _Known:
    """A list of keys, each with one array, that was found good; when it comes again, it is the same `pairs`."""

    __slots__ = ("arrays", "keys", "pairs")

    def __init__(self, keys: list[Key], pairs: Pairs) -> None:
        self.keys = keys
        self.pairs = pairs
        self.arrays = [arrays[0] for _, arrays in pairs]

    def is_again(self, key: Any, value: Any) -> bool:
        """Whether these are the very keys and arrays."""
        if type(key) is not list or type(value) not in (list, tuple) or len(value) != len(self.keys):
            return False
        if key != self.keys:
            return False
        try:
            arrays = value if type(value[0]) is np.ndarray else map(_held, value)
            return all(map(operator.is_, arrays, self.arrays))
        except AttributeError:  # some of both kinds
            return False


class KVStore(ABC):
    """Arrays by key, shared by devices or by workers. Made by `create`; a `with` block closes it."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._specs: dict[Key, Spec] = {}
        self._averaged: set[Key] = set()
        self.portions: Sequence[int] = ()  # of the data, by number, that the next pushes are gradients of
        self._known: dict[str, _Known] = {}  # by verb: the last long list, for training repeats it

    @property
    def type(self) -> str:
        """The name that the store was created by."""
        return self._kind

    @property
    def rank(self) -> int:
        """This worker's number, from 0."""
        return 0

    @property
    def num_workers(self) -> int:
        """How many workers share the store."""
        return 1

    def placement(self) -> dict[int, tuple[int, int]]:
        """How many values and bytes each server holds, by its rank; empty when they are in this process."""
        return {}

    @property
    def share(self) -> tuple[int, int]:
        """(num_parts, part_index) for the iterators of psdist.io: which share of the data is this worker's, among
        those who are here now. It changes when workers come, finish or die."""
        return 1, 0

    def applied_portions(self) -> Spans:
        """The portions of the data that are in all values: those of pushes with `portions` that are applied."""
        return Spans()

    # --- values -----------------------------------------------------------------------------------

    def init(self, key: Any, value: Any, *, averaged: bool = False) -> None:
        """Declare keys with their first values. Once for each key, before its first push or pull.

        Of several workers' values, rank 0's counts. `averaged` keys are no parameters: whatever the optimizer, their
        value becomes the mean of what is pushed (of all devices; of the workers of a round; without rounds, in an
        asynchronous store, the latest). Raises ConfigError for a key that is there already.
        """
        pairs = _pairs("init", key, value)
        for k, arrays in pairs:
            self._new_key("init", k)
            if len(arrays) != 1:
                raise ConfigError(f"init {k!r}: {len(arrays)} values, wanted one")
            if averaged and arrays[0].dtype.kind != "f":
                raise ConfigError(f"init {k!r}: a mean of {arrays[0].dtype.name}; averaged keys hold floats")
        if averaged:
            self._averaged.update(k for k, _ in pairs)
        self._init([(k, arrays[0]) for k, arrays in pairs])
        self._specs.update((k, Spec(arrays[0].shape, arrays[0].dtype)) for k, arrays in pairs)

    def push(self, key: Any, value: Any, priority: int = 0) -> None:
        """Send gradients: the sum over devices, in device order, is added to the key's round.

        Without an optimizer or updater the sum of a round becomes the value. The arrays may be changed as
        soon as this returns. Raises UnknownKey, BadValue.
        """
        self._push(self._checked("push", key, value), priority)

    def pull(self, key: Any, out: Any = None, priority: int = 0, ignore_sparse: bool = True) -> None:
        """Read the keys' values into `out`, for each key an array or a list of arrays.

        Sparse arrays are left as they are, unless `ignore_sparse` is False: to read some rows into them, use
        `row_sparse_pull`. Raises UnknownKey, BadValue.
        """
        if out is None:
            raise ConfigError(f"pull {key!r}: no `out`; wanted arrays to write to")
        if any(is_sparse(a) for _, arrays in each("pull", key, out) for a in arrays):
            self._pull_sparse(each("pull", key, out), priority, ignore_sparse)
            return
        self._pull(self._checked("pull", key, out), priority)

    def _pull_sparse(self, pairs: list[tuple[Any, list[Any]]], priority: int, ignore_sparse: bool) -> None:
        """`pull` where some of the arrays are sparse."""
        for k, arrays in pairs:
            dense = [a for a in arrays if not is_sparse(a)]
            sparse = [] if ignore_sparse else [a for a in arrays if is_sparse(a)]
            if sparse:
                spec = self._spec(k)
                dense.append(np.empty(spec.shape, spec.dtype))
            if dense:
                self.pull(k, out=dense, priority=priority)
            for a in sparse:
                a[:] = dense[-1]

    def pushpull(self, key: Any, value: Any, out: Any = None, priority: int = 0) -> None:
        """Push `value` and pull into `out`, by default into `value`, in one exchange.

        Raises UnknownKey, BadValue.
        """
        pushed = self._checked("pushpull", key, value)
        pulled = self._checked("pull", key, value if out is None else out)
        self._pushpull(pushed, pulled, priority)

    def broadcast(self, key: Any, value: Any, out: Any, priority: int = 0) -> None:
        """Declare keys with their first values, then read rank 0's into `out`."""
        self.init(key, value)
        self.pull(key, out=out, priority=priority)

    def row_sparse_pull(self, key: Any, out: Any = None, priority: int = 0, row_ids: Any = None) -> None:
        """Read the rows `row_ids` of the keys' values into `out`: for each key a row_sparse array or a list of them,
        and as many arrays of row numbers (or one for all). The arrays then store these rows only. A module's
        parameter that was declared row_sparse is a dense array, whose other rows stay.

        Raises UnknownKey, BadValue.
        """
        for k, arrays in each("row_sparse_pull", key, out) if out is not None else ():
            for a in arrays:
                if getattr(a, "stype", None) != "row_sparse" and not getattr(a, "_takes_rows", False):
                    kind = getattr(a, "stype", type(a).__name__)
                    raise BadValue(
                        f"row_sparse_pull {k!r}: `out` is {kind}; wanted row_sparse arrays, or use pull"
                    )
        self.pull_rows(key, out, row_ids, priority)

    def pull_rows(self, key: Any, out: Any, row_ids: Any, priority: int = 0) -> None:
        """As `row_sparse_pull`, also into dense arrays, which keep their other rows."""
        if out is None or row_ids is None:
            raise ConfigError(
                f"row_sparse_pull {key!r}: wanted `out`, arrays to write to, and `row_ids`, their rows"
            )
        keys = list(key) if isinstance(key, (list, tuple)) else [key]
        outs = list(out) if isinstance(key, (list, tuple)) else [out]
        ids = list(row_ids) if isinstance(key, (list, tuple)) and isinstance(row_ids, (list, tuple)) else None
        if len(outs) != len(keys) or (ids is not None and len(ids) != len(keys)):
            raise ConfigError(
                f"row_sparse_pull: {len(keys)} keys, {len(outs)} outs, {_count(row_ids)} of row_ids"
            )
        for i, k in enumerate(keys):
            targets = list(outs[i]) if isinstance(outs[i], (list, tuple)) else [outs[i]]
            rows = row_ids if ids is None else ids[i]
            rows = list(rows) if isinstance(rows, (list, tuple)) else [rows] * len(targets)
            if len(rows) != len(targets):
                raise ConfigError(
                    f"row_sparse_pull {k!r}: {len(targets)} arrays, but {len(rows)} arrays of row_ids"
                )
            num_rows = self._spec(k).shape[0]
            read = self._row_reader(k, priority)
            for target, wanted in zip(targets, rows, strict=True):
                numbers = np.asarray(getattr(wanted, "_data", wanted)).reshape(-1).astype(np.int64)
                if not (numbers[1:] > numbers[:-1]).all():
                    numbers = np.unique(numbers)
                check_row_ids("row_sparse_pull", k, numbers, num_rows)
                if target.stype == "row_sparse":
                    target.store(read(numbers), numbers)
                else:
                    target._data[numbers] = read(numbers)

    def init_table(
        self,
        key: Key,
        shape: tuple[int, ...],
        *,
        initializer: Any = "zeros",
        seed: int | None = None,
        dtype: Any = "float32",
        max_rows: int | None = None,
        ttl: int | None = None,
    ) -> None:
        """Declare a row_sparse value by its shape alone: each row begins with what `initializer` draws for it, and
        takes memory from the first push to it on. Like `init`, once for each key, by every worker; rank 0's counts.

        `initializer`: one of mx.init that can draw a row by itself, or its name. A row's first value depends on `seed`,
        key and row only, whatever server holds it; without a seed `mx.random.seed` settles it. `max_rows`: keep only
        those that were pushed to last, so many on all servers together. `ttl`: let a row go that was not pushed to for
        so many rounds. A row that was let go begins anew. Raises ConfigError.
        """
        spec = Spec(tuple(int(n) for n in shape), np.dtype(dtype))
        if not spec.shape or min(spec.shape) < 0:
            raise ConfigError(f"init_table {key!r}: the shape is {shape}; wanted (rows, ...)")
        if max_rows is not None and ttl is not None:
            raise ConfigError(f"init_table {key!r}: max_rows and ttl are given; wanted one of them, or none")
        evict = (
            Evict("lru", max_rows)
            if max_rows is not None
            else Evict("ttl", ttl)
            if ttl is not None
            else Evict()
        )
        evict.check()
        self._new_key("init_table", key)
        self._init_table(key, spec, first_of(initializer, spec.shape, seed), evict)
        self._specs[key] = spec

    def _init_table(self, key: Key, spec: Spec, first: First, evict: Evict) -> None:
        raise ConfigError(f"init_table {key!r}: the {self.type!r} store has no tables")

    def _row_reader(self, key: Key, priority: int) -> Callable[[Array[Any]], Array[Any]]:
        """Reads rows of a key by their numbers; here, from all of it."""
        spec = self._spec(key)
        value = np.empty(spec.shape, spec.dtype)
        self.pull(key, out=value, priority=priority)
        return lambda ids: value[ids]

    # --- how values change ------------------------------------------------------------------------

    @abstractmethod
    def set_optimizer(self, optimizer: Any) -> None:
        """From now on what is pushed is a gradient, and `optimizer` applies it to the value."""

    @abstractmethod
    def set_updater(self, updater: Any) -> None:
        """From now on `updater(key, pushed, value)` changes the value in place."""

    def _set_updater(self, updater: Any) -> None:
        self.set_updater(updater)

    @abstractmethod
    def save_optimizer_states(self, fname: Any, dump_optimizer: bool = False) -> None:
        """Write the optimizer's state of every key, and with `dump_optimizer` its numbers, to a file."""

    @abstractmethod
    def load_optimizer_states(self, fname: Any) -> None:
        """Read back what save_optimizer_states wrote."""

    def set_gradient_compression(self, compression_params: Mapping[str, Any]) -> None:
        """Send gradients compressed. Raises ConfigError where the store does not."""
        raise ConfigError(f"set_gradient_compression: the {self.type!r} store does not compress gradients")

    @staticmethod
    def is_capable(capability: str) -> bool:
        """Whether the store can run an optimizer by itself ("optimizer")."""
        return capability.lower() == "optimizer"

    # --- together ---------------------------------------------------------------------------------

    @abstractmethod
    def barrier(self) -> None:
        """Return when every worker has come here."""

    def _barrier(self) -> None:
        self.barrier()

    @abstractmethod
    def close(self) -> None:
        """End the use of the store; may be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: builtins.type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- for the stores ---------------------------------------------------------------------------

    @abstractmethod
    def _init(self, pairs: list[tuple[Key, Array[Any]]]) -> None: ...

    @abstractmethod
    def _push(self, pairs: Pairs, priority: int) -> None: ...

    @abstractmethod
    def _pull(self, pairs: Pairs, priority: int) -> None: ...

    def _pushpull(self, pushed: Pairs, pulled: Pairs, priority: int) -> None:
        self._push(pushed, priority)
        self._pull(pulled, priority)

    def _spec(self, key: Key) -> Spec:
        """What `init` declared of a key. Raises UnknownKey."""
        spec = self._specs.get(key)
        if spec is None:
            raise UnknownKey(_never_initialised(key, self._specs))
        return spec

    def _checked(self, verb: str, key: Any, value: Any) -> Pairs:
        """The pairs, when each fits its declaration."""
        known = self._known.get(verb)
        if known is not None and known.is_again(key, value):
            return known.pairs
        pairs = _pairs(verb, key, value)
        for k, arrays in pairs:
            spec = self._specs.get(k)
            if spec is None:
                self._check_kind(pairs)
                raise UnknownKey(_never_initialised(k, self._specs))
            for array in arrays:
                if array.shape != spec.shape:
                    raise BadValue(f"{verb} {k!r}: shape {array.shape}, wanted {spec.shape} as initialised")
                if array.dtype != spec.dtype and verb != "pull":
                    _check_cast(verb, k, array.dtype, spec.dtype)
                if verb == "pull" and not array.flags.writeable:
                    raise BadValue(f"pull {k!r}: `out` is read-only; wanted an array to write to")
        if (
            type(key) is list
            and len(key) >= _LONG
            and len(pairs) == len(key) == sum(len(a) for _, a in pairs)
        ):
            self._known[verb] = _Known(list(key), pairs)
        return pairs

    def _new_key(self, verb: str, key: Key) -> None:
        """Raise ConfigError for a key that is there already."""
        self._check_kind([(key, [])])
        if key in self._specs:
            raise ConfigError(f"{verb} {key!r}: initialised before; each key is initialised once")

    def _check_kind(self, pairs: Pairs) -> None:
        """One store's keys are all strings or all numbers. Raises ConfigError."""
        for known in self._specs:
            for k, _ in pairs:
                if isinstance(k, str) != isinstance(known, str):
                    kind = "strings" if isinstance(known, str) else "numbers"
                    raise ConfigError(
                        f"key {k!r}: this store's keys are {kind}, like {known!r}; no store has both"
                    )
            return


def is_sparse(value: Any) -> bool:
    """Whether a value is an array that stores only some of its elements."""
    return type(value) is not np.ndarray and getattr(value, "stype", "default") != "default"


def each(verb: str, key: Any, value: Any) -> list[tuple[Any, list[Any]]]:
    """(key, its arrays) for each key, as they were given."""
    if not isinstance(key, (list, tuple)):
        return [(key, list(value) if isinstance(value, (list, tuple)) else [value])]
    if not isinstance(value, (list, tuple)) or len(key) != len(value):
        raise ConfigError(
            f"{verb}: {len(key)} keys, but {_count(value)}; wanted an array or a list of them for each"
        )
    return [(k, list(v) if isinstance(v, (list, tuple)) else [v]) for k, v in zip(key, value, strict=True)]


def _pairs(verb: str, key: Any, value: Any) -> Pairs:
    """Keys and values in every form that MXNet takes, as each key once with its arrays."""
    grouped: dict[Key, list[Array[Any]]] = {}
    _gather(verb, key, value, grouped)
    kinds = {isinstance(k, str) for k in grouped}
    if len(kinds) > 1:
        raise ConfigError(f"{verb}: keys are all strings or all numbers, got {list(grouped)!r}")
    return list(grouped.items())


def _gather(verb: str, key: Any, value: Any, grouped: dict[Key, list[Array[Any]]]) -> None:
    if isinstance(key, (list, tuple)):
        if not isinstance(value, (list, tuple)) or len(key) != len(value):
            raise ConfigError(
                f"{verb}: {len(key)} keys, but {_count(value)}; wanted an array or a list of them for each"
            )
        for k, v in zip(key, value, strict=True):
            if (type(k) is str or type(k) is int) and k not in grouped:  # the common case, for long lists
                array = v if type(v) is np.ndarray else getattr(v, "_data", None)
                if type(array) is np.ndarray:
                    grouped[k] = [array]
                    continue
            _gather(verb, k, v, grouped)
        return
    if isinstance(key, bool) or not isinstance(key, (str, int, np.integer)):
        raise ConfigError(f"{verb}: {key!r} is no key; wanted a string or a whole number")
    k = key if isinstance(key, str) else int(key)
    values = value if isinstance(value, (list, tuple)) else (value,)
    if not values:
        raise ConfigError(f"{verb} {k!r}: no values; wanted an array or a list with each device's")
    grouped.setdefault(k, []).extend([_array(verb, k, v) for v in values])


def _array(verb: str, key: Key, value: Any) -> Array[Any]:
    array = getattr(value, "_data", value)  # an NDArray's memory
    if not isinstance(array, np.ndarray):
        raise ConfigError(f"{verb} {key!r}: {type(value).__name__}, wanted an NDArray")
    return array


def check_row_ids(verb: str, key: Key, ids: Array[Any], num_rows: int) -> None:
    """Raise BadValue unless the numbers ascend within the rows there are."""
    if ids.size and not (ids[1:] > ids[:-1]).all():
        raise BadValue(f"{verb} {key!r}: the numbers of rows do not ascend, or one comes twice")
    if ids.size and (ids[0] < 0 or ids[-1] >= num_rows):
        bad = ids[0] if ids[0] < 0 else ids[-1]
        raise BadValue(f"{verb} {key!r}: row {bad}; the value has {num_rows} rows")


def _check_cast(verb: str, key: Key, given: np.dtype[Any], wanted: np.dtype[Any]) -> None:
    if not np.can_cast(given, wanted, "same_kind"):
        raise BadValue(f"{verb} {key!r}: {given.name} does not fit into {wanted.name} as initialised")


def _count(value: Any) -> str:
    return f"{len(value)} values" if isinstance(value, Sequence) else f"a {type(value).__name__}"


def _never_initialised(key: Key, known: Mapping[Key, Spec]) -> str:
    near = difflib.get_close_matches(str(key), [str(k) for k in known], n=1)
    hint = f"; did you mean {near[0]!r}?" if near and isinstance(key, str) else ""
    if not known:
        hint = "; no key was: call init first"
    return f"{key!r} was never initialised{hint}"

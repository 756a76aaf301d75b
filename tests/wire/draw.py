"""Any message of the protocol, for tests that want them all."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import numpy as np
from hypothesis import strategies as st

from psdist.wire import codec
from psdist.wire import messages as m

__all__ = ["messages_of"]

TEXT = st.text(max_size=20)
COLUMN = st.lists(st.integers(0, 2**64 - 1), max_size=5).map(tuple)
FLOAT = st.floats(allow_nan=False)


def tensors() -> st.SearchStrategy[list[m.Tensor]]:
    """Empty, small and large arrays, of one dtype or of many."""

    def array(dtype: np.dtype[Any], length: int) -> m.Tensor:
        return np.arange(length).astype(dtype)

    lengths = st.sampled_from([0, 1, 3, 16, 5000, codec.PACKED, codec.PACKED + 1])
    dtypes = st.sampled_from(list(codec.DTYPES.values()))
    mixed = st.lists(st.builds(array, dtypes, lengths), max_size=4)
    same = dtypes.flatmap(lambda dtype: st.lists(st.builds(array, st.just(dtype), lengths), max_size=4))
    return mixed | same


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Anything that a field may hold."""
    if hint == m.Tensors:
        return tensors()
    if hint == m.Ints:
        return COLUMN
    if hint == m.Numbers:
        return st.dictionaries(
            TEXT, st.none() | FLOAT | st.integers(-9, 9) | st.booleans() | TEXT, max_size=3
        )
    if hint == dict[str, float]:
        return st.dictionaries(TEXT, FLOAT, max_size=3)
    if typing.get_origin(hint) is tuple:
        return st.lists(values_of(typing.get_args(hint)[0]), max_size=3).map(tuple)
    if typing.get_origin(hint) is typing.Literal:
        return st.sampled_from(typing.get_args(hint))
    if dataclasses.is_dataclass(hint):
        return messages_of(typing.cast(type[Any], hint))
    return {int: st.integers(-(2**63), 2**64 - 1), float: FLOAT, str: TEXT, bool: st.booleans()}[hint]


def messages_of(cls: type[Any]) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(cls)
    fields = {f.name: values_of(hints[f.name]) for f in dataclasses.fields(cls)}
    if cls is m.Hello:
        fields["version"] = st.just(m.VERSION)
    return st.builds(cls, **fields)

"""What a function takes, read from its code: `inspect.signature` says the same in fifty times the time, and the table
of operators asks a thousand times while it is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Arguments", "read"]

_VARIADIC = 0x04  # inspect.CO_VARARGS


class Arguments(NamedTuple):
    """A function's arguments. Types are as written: text, where the module postpones annotations."""

    positional: tuple[str, ...]
    optional: frozenset[str]  # of those
    rest: str | None  # the name after `*`
    keywords: dict[str, Any]  # keyword-only ones, with their types
    defaults: dict[str, Any]  # of keyword-only ones


def read(function: Callable[..., Any]) -> Arguments:
    """The arguments of a plain Python function."""
    code = function.__code__
    names, count, kwonly = code.co_varnames, code.co_argcount, code.co_kwonlyargcount
    positional = names[:count]
    types = function.__annotations__
    return Arguments(
        positional,
        frozenset(positional[count - len(getattr(function, "__defaults__", None) or ()) :]),
        names[count + kwonly] if code.co_flags & _VARIADIC else None,
        {name: types.get(name, Any) for name in names[count : count + kwonly]},
        getattr(function, "__kwdefaults__", None) or {},
    )

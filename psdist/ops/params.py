"""Parameters of operators: what a kernel's keyword-only arguments accept, and their text in a saved graph.

A parameter's annotation is its type; scripts and files may also give it as text (`kernel="(3, 3)"`).
"""

from __future__ import annotations

import ast
import difflib
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..errors import ConfigError

__all__ = ["FLOAT32", "INT32", "REQUIRED", "Axis", "DType", "Param", "format_param", "parse_params"]

REQUIRED: Any = object()  # the default of a parameter that has none

Axis = int | tuple[int, ...] | None


class DType(str):
    """A NumPy dtype's name. As an annotation: a dtype, a type or a name is accepted."""

    __slots__ = ()


FLOAT32, INT32 = DType("float32"), DType("int32")


def _bad(wanted: str) -> ConfigError:
    return ConfigError(f"wanted {wanted}")


def _as_bool(value: Any) -> bool:
    if isinstance(value, str):
        lowered = value.strip().lower()
        if lowered in ("true", "1"):
            return True
        if lowered in ("false", "0", "none"):
            return False
        raise _bad("True or False")
    return bool(value)


def _as_int(value: Any) -> int:
    if isinstance(value, str):
        return int(value.strip().rstrip("L"))
    if isinstance(value, float) and not value.is_integer():
        raise _bad("an integer")
    return int(value)


def _as_shape(value: Any) -> tuple[int, ...]:
    if isinstance(value, str):
        value = ast.literal_eval(
            value.replace("L", "").replace("[", "(").replace("]", ")")
        )  # numbers and tuples only
    if isinstance(value, int | np.integer):
        return (int(value),)
    return tuple(_as_int(v) for v in value)


def _as_axis(value: Any) -> Axis:
    if isinstance(value, str):
        value = None if value.strip() in ("None", "()", "[]", "") else ast.literal_eval(value)
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, np.integer):
        return int(value)
    return tuple(_as_int(v) for v in value) or None


def _as_slice_tuple(value: Any) -> tuple[int | None, ...]:
    if isinstance(value, str):
        value = ast.literal_eval(value)
    if isinstance(value, int | np.integer) or value is None:
        value = (value,)
    return tuple(None if v is None else _as_int(v) for v in value)


def _as_floats(value: Any) -> tuple[float, ...]:
    if isinstance(value, str):
        value = ast.literal_eval(value.replace("[", "(").replace("]", ")"))
    if isinstance(value, int | float):
        return (float(value),)
    return tuple(float(v) for v in value)


def _as_dtype(value: Any) -> str:
    try:
        return str(np.dtype(value).name)
    except TypeError as e:
        raise _bad("a dtype such as 'float32'") from e


def _optional(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None or value in ("None", "") else parse(value)


def _choice(choices: tuple[Any, ...]) -> Callable[[Any], Any]:
    def parse(value: Any) -> Any:
        for choice in choices:
            if value == choice or str(value) == str(choice):
                return choice
        near = difflib.get_close_matches(str(value), [str(c) for c in choices], 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise _bad("one of " + ", ".join(map(repr, choices)) + hint)

    return parse


_SIMPLE: dict[Any, Callable[[Any], Any]] = {
    bool: _as_bool,
    int: _as_int,
    float: float,
    str: str,
    DType: _as_dtype,
    tuple[int, ...]: _as_shape,
    tuple[int | None, ...]: _as_slice_tuple,
    tuple[float, ...]: _as_floats,
    Axis: _as_axis,
    Any: lambda value: value,
}


def _parser(annotation: Any) -> Callable[[Any], Any]:
    if annotation in _SIMPLE:
        return _SIMPLE[annotation]
    origin = typing.get_origin(annotation)
    if origin is Literal:
        return _choice(typing.get_args(annotation))
    if origin in (types.UnionType, typing.Union):
        inner = [a for a in typing.get_args(annotation) if a is not type(None)]
        assert len(inner) == 1, annotation
        return _optional(_parser(inner[0]))
    raise AssertionError(f"no parser for a parameter of type {annotation}")


_read: dict[
    tuple[Any, str], tuple[Any, Callable[[Any], Any]]
] = {}  # a type as written, and where -> type, parser


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter: its name, its default (REQUIRED if none) and how a given value is read."""

    name: str
    default: Any
    annotation: Any
    parse: Callable[[Any], Any]

    @classmethod
    def of(cls, name: str, written: Any, default: Any, scope: dict[str, Any] | None = None) -> Param:
        """A parameter whose type is given, or `written` in a module with the names of `scope`."""
        key = (written, scope["__name__"] if scope else "")
        found = _read.get(key)
        if found is None:
            annotation = written
            if isinstance(written, str):  # of our own source
                hints = types.SimpleNamespace(__annotations__={"type": written})
                annotation = typing.get_type_hints(hints, scope)["type"]
            found = _read[key] = annotation, _parser(annotation)
        return cls(name, default, *found)

    @property
    def is_required(self) -> bool:
        return self.default is REQUIRED

    @property
    def wanted(self) -> str:
        """The type in words, for the manual."""
        a = self.annotation
        if a is DType:
            return "dtype"
        if typing.get_origin(a) is Literal:
            return "one of " + ", ".join(map(repr, typing.get_args(a)))
        return a.__name__ if isinstance(a, type) else str(a).replace("typing.", "")


def parse_params(op: str, known: Mapping[str, Param], given: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters of a call, parsed, defaults filled in. Raises ConfigError naming operator and parameter."""
    out = {}
    for name, value in given.items():
        param = known.get(name)
        if param is None:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"it takes {', '.join(known) or 'none'}"
            raise ConfigError(f"{op}: no parameter '{name}'; {hint}")
        try:
            out[name] = param.parse(value)
        except (ConfigError, ValueError, TypeError, SyntaxError) as e:
            raise ConfigError(
                f"{op}: {name} is {value!r}; {e if isinstance(e, ConfigError) else 'wanted ' + param.wanted}"
            ) from e
    for name, param in known.items():
        if name not in out:
            if param.default is REQUIRED:
                raise ConfigError(f"{op}: the parameter '{name}' is missing ({param.wanted})")
            out[name] = param.default
    return out


def format_param(value: Any) -> str:
    """A parameter's text in a saved graph."""
    if isinstance(value, tuple | list):
        inner = ", ".join(map(str, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, type | np.dtype):
        return np.dtype(value).name
    return str(value)

"""Classes by name: how initializers, metrics and optimizers are registered, and made from a name.

A name is its class's in lower case, or an alias. A class made from text may carry its arguments in JSON:
`'["normal", {"sigma": 0.1}]'`, which is how a symbol's attributes hold an initializer.
"""

from __future__ import annotations

import difflib
import json
import warnings
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from .errors import ConfigError

__all__ = ["Registry", "get_alias_func", "get_create_func", "get_register_func", "get_registry"]

T = TypeVar("T")
C = TypeVar("C", bound=type)


class Registry(Generic[T]):
    """The subclasses of `base` by name; `kind` is the word for one of them in errors."""

    def __init__(self, base: type[T], kind: str) -> None:
        self.base = base
        self.kind = kind
        self.classes: dict[str, type[T]] = {}  # by lower-case name

    def register(self, cls: C, name: str | None = None) -> C:
        """Enter a class under its own name (or `name`); as a decorator. Taking over a name warns."""
        self._enter(cls, name or cls.__name__)
        return cls

    def _enter(self, cls: type, name: str) -> None:
        if not issubclass(cls, self.base):
            raise ConfigError(f"{cls.__name__} is no {self.kind}; wanted a subclass of {self.base.__name__}")
        known = self.classes.get(name.lower())
        if known is not None and known is not cls:
            warnings.warn(
                f"{self.kind} {name.lower()!r} was {known.__module__}.{known.__qualname__}, "
                f"now {cls.__module__}.{cls.__qualname__}",
                UserWarning,
                stacklevel=3,
            )
        self.classes[name.lower()] = cls

    def alias(self, *names: str) -> Callable[[C], C]:
        """A decorator that enters a class under further names."""

        def enter(cls: C) -> C:
            for name in names:
                self.register(cls, name)
            return cls

        return enter

    def find(self, name: str) -> type[T]:
        """The class of that name. Raises ConfigError, with a near name if there is one."""
        cls = self.classes.get(name.lower())
        if cls is None:
            near = difflib.get_close_matches(name.lower(), self.classes, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(self.classes))}"
            raise ConfigError(f"{self.kind} {name!r} is not registered; {hint}")
        return cls

    def create(self, *args: Any, **kwargs: Any) -> T:
        """An instance from a name and arguments, a JSON text, a dict of both, or one that exists already."""
        if args:
            name, args = args[0], args[1:]
        elif self.kind in kwargs:
            name = kwargs.pop(self.kind)
        else:
            raise ConfigError(f"no {self.kind} given; wanted a name or a {self.base.__name__}")
        if isinstance(name, self.base):
            if args or kwargs:
                raise ConfigError(f"a {self.kind} that exists takes no more arguments, got {args or kwargs}")
            return name
        if isinstance(name, dict):
            return self.create(**name)
        if not isinstance(name, str):
            raise ConfigError(f"{self.kind} is {name!r}; wanted a name or a {self.base.__name__}")
        if name.startswith("["):
            name, options = json.loads(name)
            return self.create(name, **options)
        if name.startswith("{"):
            return self.create(**json.loads(name))
        return self.find(name)(*args, **kwargs)


_registries: dict[tuple[type, str], Registry[Any]] = {}


def _registry(base: type, kind: str) -> Registry[Any]:
    return _registries.setdefault((base, kind), Registry(base, kind))


def get_register_func(base_class: type, nickname: str) -> Callable[..., Any]:
    """A `register(cls, name=None)` for subclasses of `base_class`."""
    return _registry(base_class, nickname).register


def get_alias_func(base_class: type, nickname: str) -> Callable[..., Any]:
    """An `alias(*names)` decorator for subclasses of `base_class`."""
    return _registry(base_class, nickname).alias


def get_create_func(base_class: type, nickname: str) -> Callable[..., Any]:
    """A `create(name, ...)` for subclasses of `base_class`."""
    return _registry(base_class, nickname).create


def get_registry(base_class: type) -> dict[str, type]:
    """A copy of the table of `base_class`'s subclasses, by lower-case name."""
    found: dict[str, type] = {}
    for (base, _), registry in _registries.items():
        if base is base_class:
            found.update(registry.classes)
    return found

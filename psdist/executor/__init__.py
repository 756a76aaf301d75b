"""A graph bound to arrays: what is compiled from a symbol (`program`), and what runs it (`executor`)."""

from .executor import Executor, misspelling, simple_bind

__all__ = ["Executor", "misspelling", "simple_bind"]

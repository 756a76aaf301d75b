"""A graph bound to arrays: what is compiled from a symbol (`program`), and what runs it (`executor`)."""

from .executor import Executor, misspelling, simple_bind
from .shadows import gradient_array, sparse_gradients

__all__ = ["Executor", "gradient_array", "misspelling", "simple_bind", "sparse_gradients"]

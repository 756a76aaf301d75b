"""Batches from anywhere: what a batch is, and the iterators that make them."""

from .arrays import NDArrayIter
from .batch import DataBatch, DataDesc, DataIter
from .wrappers import PrefetchingIter, ResizeIter

__all__ = ["DataBatch", "DataDesc", "DataIter", "NDArrayIter", "PrefetchingIter", "ResizeIter"]

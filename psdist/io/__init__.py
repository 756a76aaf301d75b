"""Batches from anywhere: what a batch is, and the iterators that make them."""

from .arrays import NDArrayIter
from .batch import DataBatch, DataDesc, DataIter
from .csv import CSVIter
from .image_record import ImageRecordInt8Iter, ImageRecordIter, ImageRecordUInt8Iter
from .libsvm import LibSVMIter
from .mnist import MNISTIter
from .samples import SampleIter
from .wrappers import PrefetchingIter, ResizeIter

MXDataIter = SampleIter  # the class of MXNet's file iterators, for scripts that ask isinstance

__all__ = [
    "CSVIter",
    "DataBatch",
    "DataDesc",
    "DataIter",
    "ImageRecordInt8Iter",
    "ImageRecordIter",
    "ImageRecordUInt8Iter",
    "LibSVMIter",
    "MNISTIter",
    "MXDataIter",
    "NDArrayIter",
    "PrefetchingIter",
    "ResizeIter",
]

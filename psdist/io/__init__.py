"""Batches from anywhere: what a batch is, and the iterators that make them."""

from .arrays import NDArrayIter, _init_data  # noqa: F401 - scripts call it
from .batch import DataBatch, DataDesc, DataIter
from .csv import CSVIter
from .det_record import ImageDetRecordIter
from .image_record import ImageRecordInt8Iter, ImageRecordIter, ImageRecordUInt8Iter
from .libsvm import LibSVMIter
from .mnist import MNISTIter
from .portions import PortionIter
from .samples import SampleIter
from .wrappers import PrefetchingIter, ResizeIter

MXDataIter = SampleIter  # the class of MXNet's file iterators, for scripts that ask isinstance

ImageRecordIter_v1, ImageRecordUInt8Iter_v1 = ImageRecordIter, ImageRecordUInt8Iter  # old spellings

__all__ = [
    "CSVIter",
    "DataBatch",
    "DataDesc",
    "DataIter",
    "ImageDetRecordIter",
    "ImageRecordInt8Iter",
    "ImageRecordIter",
    "ImageRecordIter_v1",
    "ImageRecordUInt8Iter",
    "ImageRecordUInt8Iter_v1",
    "LibSVMIter",
    "MNISTIter",
    "MXDataIter",
    "NDArrayIter",
    "PortionIter",
    "PrefetchingIter",
    "ResizeIter",
]

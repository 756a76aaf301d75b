"""What this build can do, as MXNet names it: `mx.runtime.Features()["CUDA"].enabled`."""

from __future__ import annotations

import importlib.util
from typing import ClassVar, NamedTuple

from .context import num_gpus

__all__ = ["Feature", "Features", "feature_list"]

_NAMES = """
CUDA CUDNN NCCL CUDA_RTC TENSORRT CPU_SSE CPU_SSE2 CPU_SSE3 CPU_SSE4_1 CPU_SSE4_2 CPU_SSE4A CPU_AVX CPU_AVX2 OPENMP
SSE F16C JEMALLOC BLAS_OPEN BLAS_ATLAS BLAS_MKL BLAS_APPLE LAPACK MKLDNN ONEDNN OPENCV CAFFE PROFILER DIST_KVSTORE
CXX14 INT64_TENSOR_SIZE SIGNAL_HANDLER DEBUG TVM_OP
""".split()


class Feature(NamedTuple):
    """A feature's name and whether it is there."""

    name: str
    enabled: bool

    def __repr__(self) -> str:
        return f"{'✔' if self.enabled else '✖'} {self.name}"


def feature_list() -> list[Feature]:
    """Every feature that MXNet names."""
    there = {"BLAS_OPEN", "LAPACK", "F16C", "PROFILER", "DIST_KVSTORE", "INT64_TENSOR_SIZE"}
    if importlib.util.find_spec("PIL") is not None:
        there.add("OPENCV")  # scripts ask for it before they decode images; Pillow does that here
    if num_gpus():
        there.add("CUDA")
    return [Feature(name, name in there) for name in _NAMES]


class Features(dict[str, Feature]):
    """The features by name: one object, found out once."""

    _only: ClassVar[Features | None] = None

    def __new__(cls) -> Features:
        if cls._only is None:
            cls._only = super().__new__(cls)
            cls._only.update((feature.name, feature) for feature in feature_list())
        return cls._only

    def __init__(self) -> None:
        """Nothing: `__new__` has filled it."""

    def __repr__(self) -> str:
        return str(list(self.values()))

    def is_enabled(self, feature_name: str) -> bool:
        """Whether a feature is there. Raises RuntimeError for a name that MXNet does not have."""
        found = self.get(feature_name.upper())
        if found is None:
            raise RuntimeError(f"no feature named '{feature_name}'; known are {', '.join(self)}")
        return found.enabled

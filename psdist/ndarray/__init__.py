"""Arrays that people hold: `NDArray`, the functions that make them, and every operator as a function.

An operator's function is made when it is first asked for.
"""

from __future__ import annotations

import ctypes
import difflib
import functools
import importlib
import operator
import os
import types
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ops
from ..context import Context
from ..errors import BadType, PSError, ShapeError
from . import control
from .array import NDArray, array, empty, from_numpy, full, ones, waitall, zeros
from .invoke import function_of, invoke

__all__ = [
    "NDArray",
    "arange",
    "array",
    "concatenate",
    "empty",
    "eye",
    "from_dlpack",
    "from_numpy",
    "full",
    "histogram",
    "imdecode",
    "invoke",
    "linspace",
    "load",
    "load_frombuffer",
    "moveaxis",
    "onehot_encode",
    "ones",
    "save",
    "split_v2",
    "waitall",
    "zeros",
]


def _lookup(name: str, prefix: str = "") -> Any:
    op = ops.find(prefix + name)
    if op is None:
        near = difflib.get_close_matches(prefix + name, ops.all_names(), 1)
        hint = f"; did you mean '{near[0].removeprefix(prefix)}'?" if near else ""
        raise AttributeError(f"mx.nd has no operator '{name}'{hint}")
    function = function_of(op, name)
    return _shaped_by_out(function) if op.name.startswith("_random_") and not op.inputs else function


def _shaped_by_out(function: Any) -> Any:
    """A function that makes an array, with the shape of `out` where none is given."""

    @functools.wraps(function)
    def call(*args: Any, out: NDArray | None = None, **kwargs: Any) -> Any:
        if out is not None:
            kwargs = {"shape": out.shape, "dtype": out.dtype, "ctx": out.context, **kwargs}
        return function(*args, out=out, **kwargs)

    return call


_LAZY = {  # what lies in modules that are loaded when first used
    "CSRNDArray": "sparse",
    "BaseSparseNDArray": "sparse",
    "RowSparseNDArray": "sparse",
    "cast_storage": "sparse",
    "csr_matrix": "sparse",
    "row_sparse_array": "sparse",
}


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    if name in ("sparse", "random", "ndarray"):
        return importlib.import_module(f".{name}", __name__)
    if name == "CachedOp":
        from ..symbol.cached import CachedOp

        found: Any = CachedOp
    elif name in _LAZY:
        found = getattr(importlib.import_module(f".{_LAZY[name]}", __name__), name)
    else:
        found = _lookup(name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *(n for n in ops.all_names() if not n.startswith("_"))})


class Namespace(types.ModuleType):
    """Operators whose names begin alike, without that beginning: `linalg.gemm` is `linalg_gemm`."""

    def __init__(self, name: str, *prefixes: str) -> None:
        super().__init__(name)
        self._prefixes = prefixes

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in control.__all__ and "_contrib_" in self._prefixes:
            return getattr(control, name)
        if "_contrib_" in self._prefixes and ops.find(f"_contrib_{name}") is None:
            apart = importlib.import_module(".apart", __package__)
            if name in apart.__all__:
                return getattr(apart, name)
        for prefix in self._prefixes:
            if ops.find(prefix + name) is not None:
                found = _lookup(name, prefix)
                setattr(self, name, found)
                return found
        return _lookup(name, self._prefixes[0])


op = Namespace("psdist.ndarray.op", "")
_internal = Namespace("psdist.ndarray._internal", "")
linalg = Namespace("psdist.ndarray.linalg", "linalg_", "_linalg_")
contrib = Namespace("psdist.ndarray.contrib", "_contrib_")
image = Namespace("psdist.ndarray.image", "_image_")


def arange(
    start: float,
    stop: float | None = None,
    step: float = 1.0,
    repeat: int = 1,
    infer_range: bool = False,
    ctx: Context | None = None,
    dtype: Any = None,
) -> NDArray:
    """Numbers from `start` to before `stop` (from 0 to before `start`, if alone) by `step`, each `repeat`
    times.
    """
    made = ops.create._arange_values(start, stop, step, repeat, np.dtype(dtype or np.float32).name)
    return array(made, ctx, made.dtype)


def linspace(
    start: float, stop: float, num: int, endpoint: bool = True, ctx: Context | None = None, dtype: Any = None
) -> NDArray:
    """`num` numbers at equal distances from `start` to `stop`."""
    return array(np.linspace(start, stop, num, endpoint), ctx, dtype)


def eye(
    N: int, M: int = 0, k: int = 0, ctx: Context | None = None, dtype: Any = None, **kwargs: Any
) -> NDArray:
    """Ones on the `k`-th diagonal of N × M (N × N by default), zeros elsewhere."""
    return array(np.eye(N, M or N, k), ctx, dtype)


def split_v2(
    ary: NDArray, indices_or_sections: int | Sequence[int], axis: int = 0, squeeze_axis: bool = False
) -> Any:
    """The array cut along `axis`: into that many equal parts, or before each of the indices."""
    indices: tuple[int, ...]
    if isinstance(indices_or_sections, int):
        sections = indices_or_sections
        if sections < 1 or ary.shape[axis] % sections:
            raise ShapeError(
                f"split_v2: axis {axis} of {ary.shape} cannot be cut into {sections} equal parts"
            )
        step = ary.shape[axis] // sections
        indices = tuple(range(0, ary.shape[axis], step))
    else:
        indices = (0, *(int(i) for i in indices_or_sections))
    return _lookup("_split_v2")(ary, indices=indices, axis=axis, squeeze_axis=squeeze_axis)


def histogram(a: NDArray, bins: Any = 10, range: tuple[float, float] | None = None) -> Any:
    """How many elements fall between neighbouring edges, and the edges: `bins` NDArray gives them, or a number of
    equal bins over `range`, by default from the least to the greatest element."""
    function = _lookup("_histogram")
    if isinstance(bins, NDArray):
        return function(a, bins)
    if range is None:
        range = (float(a.min().asscalar()), float(a.max().asscalar()))
        if range[0] == range[1]:
            range = (range[0] - 0.5, range[1] + 0.5)
    return function(a, bin_cnt=bins, range=range)


def moveaxis(tensor: NDArray, source: Any, destination: Any) -> NDArray:
    """The array with the axes `source` moved to `destination`."""
    order = np.moveaxis(np.empty((1,) * tensor.ndim), source, destination)
    del order
    axes = [i for i in range(tensor.ndim) if i not in np.atleast_1d(source) % tensor.ndim]
    for to, at in sorted(
        zip(np.atleast_1d(destination) % tensor.ndim, np.atleast_1d(source) % tensor.ndim, strict=True)
    ):
        axes.insert(int(to), int(at))
    return __getattr__("transpose")(tensor, axes=tuple(axes))  # type: ignore[no-any-return]


def concatenate(arrays: Sequence[NDArray], axis: int = 0, always_copy: bool = True) -> NDArray:
    """The arrays one after another along `axis`."""
    if len(arrays) == 1 and not always_copy:
        return arrays[0]
    return invoke(ops.get("Concat"), arrays, {"dim": axis, "num_args": len(arrays)})  # type: ignore[no-any-return]


def Embedding(*args: Any, **kwargs: Any) -> NDArray:
    """See the operator `Embedding`; with `sparse_grad` True, the weight's gradient is row-sparse."""
    if str(kwargs.get("sparse_grad")) in ("True", "1"):
        return __getattr__("sparse").embedding(*args, **kwargs)  # type: ignore[no-any-return]
    return _lookup("Embedding")(*args, **kwargs)  # type: ignore[no-any-return]


def onehot_encode(indices: NDArray, out: NDArray) -> NDArray:
    """Write into row i of `out` a one at `indices[i]` and zeros elsewhere."""
    out._data[...] = 0
    out._data[np.arange(len(indices)), indices._data.astype(np.int64)] = 1
    return out


def from_dlpack(ext_array: Any) -> NDArray:
    """An NDArray that shares the memory of another library's array, or of a capsule from `to_dlpack_for_read`."""
    if type(ext_array).__name__ != "PyCapsule":
        return NDArray(np.from_dlpack(ext_array))
    seen = np.from_dlpack(_Capsule(ext_array))
    if seen.flags.writeable or not seen.flags.c_contiguous:
        return NDArray(seen)
    # a capsule of the old kind does not say whether it may be written; MXNet's may
    buffer = (ctypes.c_char * seen.nbytes).from_address(seen.ctypes.data)
    buffer._owner = seen  # type: ignore[attr-defined]  # keeps the memory alive as long as the array
    return NDArray(np.frombuffer(memoryview(buffer), np.uint8).view(seen.dtype).reshape(seen.shape))


class _Capsule:
    """A bare DLPack capsule in the form that NumPy takes."""

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # this machine's memory


def _set_value(src: float, out: NDArray) -> NDArray:
    out[:] = src
    return out


_internal._set_value = _set_value  # type: ignore[attr-defined]  # no operator: it has no arrays and no shape


def to_dlpack_for_read(data: NDArray) -> Any:
    """An array's memory as a DLPack capsule."""
    return data.to_dlpack_for_read()


def to_dlpack_for_write(data: NDArray) -> Any:
    """An array's memory as a DLPack capsule."""
    return data.to_dlpack_for_write()


def save(fname: str | os.PathLike[str], data: Any) -> None:
    """Save an NDArray, a list, or a dict of names to NDArrays, in MXNet's .params format."""
    from . import storage

    storage.save(fname, data)


def load(fname: str | os.PathLike[str]) -> Any:
    """What `save` saved (or MXNet did): a dict if the arrays have names, else a list."""
    from . import storage

    return storage.load(fname)


def load_frombuffer(buf: bytes) -> Any:
    """What `load` would give for a file with these bytes."""
    from . import storage

    return storage.load_bytes(buf)


def imdecode(*args: Any, **kwargs: Any) -> Any:
    """An image's bytes as an array; see `mx.image.imdecode`."""
    raise PSError("use mx.image.imdecode(bytes)")


_BINARY_FUNCTIONS = {
    "add": "__add__",
    "subtract": "__sub__",
    "multiply": "__mul__",
    "divide": "__truediv__",
    "true_divide": "__truediv__",
    "modulo": "__mod__",
    "power": "__pow__",
    "equal": "__eq__",
    "not_equal": "__ne__",
    "greater": "__gt__",
    "greater_equal": "__ge__",
    "lesser": "__lt__",
    "lesser_equal": "__le__",
}


def _binary_function(name: str, method: str) -> Any:
    mirrored = {"__gt__": "__lt__", "__ge__": "__le__", "__lt__": "__gt__", "__le__": "__ge__"}

    wide = {"subtract": "sub", "multiply": "mul", "divide": "div", "true_divide": "div", "modulo": "mod"}

    def call(lhs: Any, rhs: Any) -> Any:
        if isinstance(lhs, NDArray) and isinstance(rhs, NDArray) and {lhs.stype, rhs.stype} != {"default"}:
            return invoke(ops.get(f"broadcast_{wide.get(name, name)}"), [lhs, rhs], {})
        if isinstance(lhs, NDArray):
            return getattr(lhs, method)(rhs)
        if isinstance(rhs, NDArray):
            reverse = mirrored.get(method) or (
                method if method in ("__eq__", "__ne__") else "__r" + method[2:]
            )
            return getattr(rhs, reverse)(lhs)
        if not isinstance(lhs, int | float) or not isinstance(rhs, int | float):
            raise BadType(
                f"{name}: {type(lhs).__name__} and {type(rhs).__name__}; wanted NDArrays or numbers"
            )
        python = {"power": "pow", "divide": "truediv", "true_divide": "truediv", "subtract": "sub"}
        python |= {"multiply": "mul", "modulo": "mod", "equal": "eq", "not_equal": "ne", "greater": "gt"}
        python |= {"greater_equal": "ge", "lesser": "lt", "lesser_equal": "le"}
        return getattr(operator, python.get(name, name))(lhs, rhs)

    call.__name__ = name
    call.__doc__ = (
        f"Elementwise {name}, where either side may be a number and sizes of 1 are repeated as needed."
    )
    return call


for _name, _method in _BINARY_FUNCTIONS.items():
    globals()[_name] = _binary_function(_name, _method)


def _extreme(name: str) -> Any:
    def call(lhs: Any, rhs: Any) -> Any:
        if isinstance(lhs, NDArray) and isinstance(rhs, NDArray):
            return _lookup(f"broadcast_{name}")(lhs, rhs)
        if not isinstance(lhs, NDArray) and not isinstance(rhs, NDArray):
            return getattr(np, name)(lhs, rhs).item()
        array_, number = (lhs, rhs) if isinstance(lhs, NDArray) else (rhs, lhs)
        return _lookup(f"_{name}_scalar")(array_, scalar=number)

    call.__name__ = name
    call.__doc__ = f"Elementwise {name} of two arrays, or of an array and a number."
    return call


for _name in ("maximum", "minimum", "hypot", "logical_and", "logical_or", "logical_xor"):
    globals()[_name] = _extreme(_name)

_METHODS = """
abs arccos arccosh arcsin arcsinh arctan arctanh argmax argmax_channel argmin argsort broadcast_axes broadcast_like
cbrt ceil clip cos cosh degrees depth_to_space diag exp expand_dims expm1 fix flatten flip floor log log10 log1p log2
log_softmax max mean min nanprod nansum norm one_hot ones_like pad pick prod radians rcbrt reciprocal relu repeat
reshape_like rint round rsqrt shape_array sigmoid sign sin sinh size_array slice slice_axis slice_like softmax softmin
sort space_to_depth split split_v2 sqrt square squeeze sum swapaxes take tan tanh tile topk transpose trunc zeros_like
""".split()


_RESHAPING = ("flatten", "squeeze", "expand_dims")  # with `inplace` their result shares memory


def _mirror(name: str) -> Any:
    """The method of an operator's name."""

    def call(self: NDArray, *args: Any, **kwargs: Any) -> Any:
        if name in _RESHAPING and kwargs.pop("inplace", False):
            op = ops.get(name)
            axis = dict(zip(("axis",), args, strict=False))
            (shape,) = op.infer_shape([self.shape], op.parse(axis | kwargs))[1]
            return self.reshape(shape)
        if name == "transpose" and args:
            args = (args[0] if len(args) == 1 and isinstance(args[0], tuple | list) else args,)
        function = globals().get(name) or __getattr__(name)
        return function(self, *args, **kwargs)

    call.__name__ = name
    call.__doc__ = f"See the operator `{name}`."
    return call


for _name in _METHODS:
    if not hasattr(NDArray, _name):
        setattr(NDArray, _name, _mirror(_name))

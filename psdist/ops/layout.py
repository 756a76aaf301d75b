"""Arrays whose channels come last (`layout="NHWC"`), for operators that are written for channels that come second."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from .registry import Op, Params
from .signature import Shape

__all__ = ["allow_channels_last"]

Array = NDArray[Any]
_FIRST, _LAST = (None, "NCW", "NCHW", "NCDHW"), ("NWC", "NHWC", "NDHWC")


def _is_last(op: str, layout: str | None) -> bool:
    if layout not in (*_FIRST, *_LAST):
        raise ConfigError(f"{op}: layout is {layout!r}; wanted one of {', '.join((*_FIRST[1:], *_LAST))}")
    return layout in _LAST


def _second(x: Array) -> Any:
    return np.ascontiguousarray(np.moveaxis(x, -1, 1))


def _last(x: Array) -> Any:
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


def _shape_second(s: Shape | None) -> Shape | None:
    return s if s is None or len(s) < 3 else (s[0], s[-1], *s[1:-1])


def _shape_last(s: Shape | None) -> Shape | None:
    return s if s is None or len(s) < 3 else (s[0], *s[2:], s[1])


def allow_channels_last(row: Op) -> None:
    """Let an operator take a `layout` whose channels come last: those of data, weight and result. Biases stay."""
    kernel, gradient, signature = row.kernel, row.gradient_kernel, row.signature
    assert gradient is not None
    assert signature is not None

    @functools.wraps(kernel)
    def call(*arrays: Array, layout: str | None = None, **params: Any) -> Any:
        if not _is_last(row.name, layout):
            return kernel(*arrays, layout=layout, **params)
        out = params.pop("out", None)
        y = np.moveaxis(kernel(*map(_second, arrays[:2]), *arrays[2:], **params), 1, -1)
        if out is None:
            return np.ascontiguousarray(y)
        out[...] = y
        return out

    def back(*arrays: Array | None, layout: str | None = None, **params: Any) -> Any:
        if not _is_last(row.name, layout):
            return gradient(*arrays, layout=layout, **params)
        moved = [_second(x) if x is not None and x.ndim > 2 else x for x in arrays]
        found = gradient(*moved, **params)
        grads = found if isinstance(found, tuple) else (found,)
        return tuple(_last(g) if g is not None and g.ndim > 2 else g for g in grads)

    def shapes(ins: list[Shape | None], params: Params, outs: list[Shape | None]) -> Any:
        if not _is_last(row.name, params["layout"]):
            return signature.infer(row.name, ins, outs, range(len(ins)), params)
        ins, outs = list(map(_shape_second, ins)), list(map(_shape_second, outs))
        ins, outs = signature.infer(row.name, ins, outs, range(len(ins)), params)
        return list(map(_shape_last, ins)), list(map(_shape_last, outs))

    row.kernel, row.gradient_kernel, row.shape_rule = call, back, shapes

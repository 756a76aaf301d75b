"""Convolution in 1 to 3 dimensions, its transpose, and enlarging."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from . import columns as direct
from . import winograd
from .columns import (
    Geometry,
    batch_first,
    batch_last,
    columns,
    conv_out,
    from_columns,
    full,
)
from .layout import allow_channels_last
from .nn import without_bias
from .registry import Params, op
from .signature import Shape, partial

Array = NDArray[Any]


def _group(x: Array, num_group: int) -> Any:
    """(c, …) as one array for each group of channels."""
    return x.reshape(num_group, len(x) // num_group, *x.shape[1:])


def _way(channels: int, filters: int, geometry: Geometry, dtype: Any, tune: str | None) -> Any:
    """The module that does it quickest."""
    return winograd if tune != "off" and winograd.wins(channels, filters, geometry, dtype) else direct


def _forward(x: Array, w: Array, geometry: Geometry, tune: str | None = "off") -> Any:
    """(c, *space, n) and (groups, f, c · window) give (f, *out, n)."""
    if len(w) == 1:
        return _way(len(x), len(w[0]), geometry, x.dtype, tune).convolve(x, w[0], geometry)
    return np.concatenate(
        [direct.convolve(part, v, geometry) for part, v in zip(_group(x, len(w)), w, strict=True)]
    )


def _weight_gradient(g: Array, x: Array, num_group: int, geometry: Geometry, tune: str | None = "off") -> Any:
    if num_group == 1:
        return _way(len(x), len(g), geometry, x.dtype, tune).convolve_weight_gradient(g, x, geometry)
    parts = zip(_group(g, num_group), _group(x, num_group), strict=True)
    return np.stack([direct.convolve_weight_gradient(a, b, geometry) for a, b in parts])


def _data_gradient(g: Array, w: Array, channels: int, geometry: Geometry, tune: str | None = "off") -> Any:
    if len(w) == 1:
        way = _way(channels, len(g), geometry, g.dtype, tune)
        return way.convolve_data_gradient(g, w[0], channels, geometry)
    parts = zip(_group(g, len(w)), w, strict=True)
    return np.concatenate(
        [direct.convolve_data_gradient(a, v, channels // len(w), geometry) for a, v in parts]
    )


def _channel_share(c: int, num_group: int) -> int:
    if c % num_group:
        raise ShapeError(f"{c} channels do not split into num_group={num_group}")
    return c // num_group


@partial
def _conv_space(places: Shape, kernel: Shape, stride: Shape, dilate: Shape, pad: Shape) -> Shape:
    """The data's space from the output's, where windows move by 1: then nothing was left out."""
    ones, zeros = (1,) * len(kernel), (0,) * len(kernel)
    return tuple(
        (k - 1) * d + o - 2 * p if o and s == 1 else 0
        for o, k, s, d, p in zip(places, kernel, stride or ones, dilate or ones, pad or zeros, strict=True)
    )


@op("(n, c, *space), (num_filter, cg, *kernel), (num_filter) -> (n, num_filter, *places)", types="T, T, T -> T",
    aliases=["Convolution_v1"], where={"cg": _channel_share, "places": conv_out, "space": _conv_space},
    active=without_bias("data", "weight", "bias"))  # fmt: skip
def Convolution(data: Array, weight: Array, bias: Array | None = None, /, *, kernel: tuple[int, ...],
                stride: tuple[int, ...] = (), dilate: tuple[int, ...] = (), pad: tuple[int, ...] = (), num_filter: int,
                num_group: int = 1, workspace: int = 1024, no_bias: bool = False, cudnn_tune: str | None = None,
                cudnn_off: bool = False, layout: str | None = None, out: Array | None = None) -> Any:  # fmt: skip
    """Cross-correlation of (n, c, *space) with `num_filter` kernels over 1 to 3 dimensions of space, plus a bias.

    Each output cell is Σ w · x over a window of `kernel` cells, `dilate` apart, that moves by `stride` over the data
    with `pad` zeros around. `num_group` splits channels and filters into groups that do not see one another. Wide 3×3
    convolutions of float32 go Winograd's way, unless `cudnn_tune` is "off"."""
    geometry = Geometry.of(data.shape[2:], kernel, stride, dilate, pad)
    y = _forward(
        batch_last(data), weight.reshape(num_group, num_filter // num_group, -1), geometry, cudnn_tune
    )
    if bias is not None:
        y += bias.reshape(-1, *(1,) * (y.ndim - 1))
    return batch_first(y, out)


@Convolution.gradient
def _(g: Array, _y: Array, data: Array, weight: Array, _bias: Array | None = None, /, *, kernel: Shape,
      num_filter: int, stride: Shape, dilate: Shape, pad: Shape, num_group: int, cudnn_tune: str | None,
      needs: tuple[bool, ...],      **_: Any) -> Any:  # fmt: skip
    geometry = Geometry.of(data.shape[2:], kernel, stride, dilate, pad)
    g = batch_last(g)
    g_data = g_weight = g_bias = None
    if needs[0]:
        w = weight.reshape(num_group, num_filter // num_group, -1)
        g_data = batch_first(np.ascontiguousarray(_data_gradient(g, w, data.shape[1], geometry, cudnn_tune)))
    if needs[1]:
        g_weight = _weight_gradient(g, batch_last(data), num_group, geometry, cudnn_tune).reshape(
            weight.shape
        )
    if len(needs) > 2 and needs[2]:
        g_bias = g.reshape(len(g), -1).sum(axis=1)
    return g_data, g_weight, g_bias


def _deconv_sizes(space: Shape, kernel: Shape, stride: Shape, dilate: Shape, pad: Shape, adj: Shape,
                  target_shape: Shape) -> tuple[Shape, Shape]:  # fmt: skip
    """The output's space and the padding. A target shape settles both."""
    n = len(kernel)
    if len(space) != n:
        raise ShapeError(
            f"a kernel of {n} dimensions over data with {len(space)} dimensions of space, {space}"
        )
    stride, dilate = full(stride, n, 1), full(dilate, n, 1)
    whole = tuple(
        t * (s - 1) + d * (k - 1) + 1 for s, k, t, d in zip(space, kernel, stride, dilate, strict=True)
    )
    if target_shape and any(target_shape):
        total = [w - o for w, o in zip(whole, target_shape, strict=True)]
        if min(total) < 0:
            raise ShapeError(
                f"target_shape {target_shape} is larger than {whole}, all that the kernel reaches"
            )
        return target_shape, tuple((t + 1) // 2 for t in total)
    pad, adj = full(pad, n, 0), full(adj, n, 0)
    out = tuple(w - 2 * p + a for w, p, a in zip(whole, pad, adj, strict=True))
    if min(out) < 1:
        raise ShapeError(f"pad {pad} leaves nothing of {whole}")
    return out, pad


def _deconv_out(space: Shape, kernel: Shape, stride: Shape, dilate: Shape, pad: Shape, adj: Shape,
                target_shape: Shape) -> Shape:  # fmt: skip
    return _deconv_sizes(space, kernel, stride, dilate, pad, adj, target_shape)[0]


def transposed_geometry(space: Shape, kernel: Shape, stride: Shape, dilate: Shape, pad: Shape, adj: Shape,
                     target_shape: Shape) -> Geometry:  # fmt: skip
    """The convolution of which this is the transpose."""
    out, pad = _deconv_sizes(space, kernel, stride, dilate, pad, adj, target_shape)
    n = len(kernel)
    return Geometry(out, kernel, full(stride, n, 1), full(dilate, n, 1), pad, space)


@op("(n, c, *space), (c, fg, *kernel), (num_filter) -> (n, num_filter, *places)", types="T, T, T -> T",
    where={"fg": lambda num_filter, num_group: num_filter // num_group, "places": _deconv_out},
    active=without_bias("data", "weight", "bias"))  # fmt: skip
def Deconvolution(data: Array, weight: Array, bias: Array | None = None, /, *, kernel: tuple[int, ...],
                  stride: tuple[int, ...] = (), dilate: tuple[int, ...] = (), pad: tuple[int, ...] = (),
                  adj: tuple[int, ...] = (), target_shape: tuple[int, ...] = (), num_filter: int, num_group: int = 1,
                  workspace: int = 512, no_bias: bool = True, cudnn_tune: str | None = None, cudnn_off: bool = False,
                  layout: str | None = None) -> Any:  # fmt: skip
    """The transpose of Convolution (the gradient of its data), which enlarges space by `stride`.

    `adj` adds cells at the end, where several sizes would fit; `target_shape` gives the size itself, and settles pad
    and adj."""
    geometry = transposed_geometry(data.shape[2:], kernel, stride, dilate, pad, adj, target_shape)
    w = weight.reshape(num_group, len(weight) // num_group, -1)
    y = np.ascontiguousarray(_data_gradient(batch_last(data), w, num_filter, geometry))
    if bias is not None:
        y += bias.reshape(-1, *(1,) * (y.ndim - 1))
    return batch_first(y)


@Deconvolution.gradient
def _(g: Array, _y: Array, data: Array, weight: Array, _bias: Array | None = None, /, *, kernel: Shape,
      stride: Shape, dilate: Shape, pad: Shape, adj: Shape, target_shape: Shape, num_group: int,
      needs: tuple[bool, ...], **_: Any) -> Any:  # fmt: skip
    geometry = transposed_geometry(data.shape[2:], kernel, stride, dilate, pad, adj, target_shape)
    g = batch_last(g)
    g_data = g_weight = g_bias = None
    if needs[0]:
        g_data = batch_first(_forward(g, weight.reshape(num_group, len(weight) // num_group, -1), geometry))
    if needs[1]:
        g_weight = _weight_gradient(batch_last(data), g, num_group, geometry).reshape(weight.shape)
    if len(needs) > 2 and needs[2]:
        g_bias = g.reshape(len(g), -1).sum(axis=1)
    return g_data, g_weight, g_bias


allow_channels_last(Convolution)
allow_channels_last(Deconvolution)


@op("(n, c, *space) -> (n, m, places)",
    where={
        "m": lambda c, kernel: c * math.prod(kernel),
        "places": lambda space, kernel, stride, dilate, pad: math.prod(conv_out(space, kernel, stride, dilate, pad)),
    })  # fmt: skip
def im2col(data: Array, /, *, kernel: tuple[int, ...], stride: tuple[int, ...] = (), dilate: tuple[int, ...] = (),
           pad: tuple[int, ...] = ()) -> Any:  # fmt: skip
    """Every window as a column: (n, c · window, places)."""
    return columns(data, Geometry.of(data.shape[2:], kernel, stride, dilate, pad))


@op("(n, m, places) -> (n, c, *output_size)", where={"c": lambda m, kernel: m // math.prod(kernel)})
def col2im(data: Array, /, *, output_size: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...] = (),
           dilate: tuple[int, ...] = (), pad: tuple[int, ...] = ()) -> Any:  # fmt: skip
    """Columns summed into the places they were taken from: the transpose of im2col."""
    channels = data.shape[1] // math.prod(kernel)
    return from_columns(data, channels, Geometry.of(output_size, kernel, stride, dilate, pad))


im2col.gradient(lambda g, _y, x, /, **p: from_columns(g, x.shape[1], Geometry.of(x.shape[2:], **p)))
col2im.gradient(lambda g, _y, _x, /, *, output_size, **p: columns(g, Geometry.of(output_size, **p)))


def _upsampling_active(params: Params) -> tuple[str, ...]:
    if params["sample_type"] == "bilinear":
        return "data", "weight"
    return tuple(f"arg{i}" for i in range(params["num_args"]))


def _bilinear(scale: int, num_filter: int) -> dict[str, Any]:
    """The transposed convolution that enlarges by interpolating between neighbours."""
    kernel, pad = 2 * scale - scale % 2, math.ceil((scale - 1) / 2)
    return {
        "kernel": (kernel, kernel), "stride": (scale, scale), "dilate": (), "pad": (pad, pad), "adj": (),
        "target_shape": (), "num_filter": num_filter, "num_group": num_filter,
    }  # fmt: skip


def _upsampling_shape(ins: list[Shape | None], params: Params, outs: list[Shape | None]) -> Any:
    s = ins[0]
    if s is None or 0 in s:
        return ins, outs
    scale = params["scale"]
    space = tuple(n * scale for n in s[2:])
    if params["sample_type"] == "bilinear":
        size = 2 * scale - scale % 2
        return [s, ins[1] or (s[1], 1, size, size)], [(s[0], s[1], *space)]
    if any(t is None for t in ins):
        return ins, outs
    known = [t for t in ins if t is not None]
    for t in known:
        if any(big % small for big, small in zip(space, t[2:], strict=True)):
            raise ShapeError(f"{t} does not grow to {space}, the size of the first array times {scale}")
    channels = sum(t[1] for t in known) if params["multi_input_mode"] == "concat" else s[1]
    return ins, [(s[0], channels, *space)]


@op(shape=_upsampling_shape, active=_upsampling_active)
def UpSampling(*arg: Array, scale: int, num_filter: int = 0, sample_type: Literal["bilinear", "nearest"],
               multi_input_mode: Literal["concat", "sum"] = "concat", num_args: int = 1,
               workspace: int = 512) -> Any:  # fmt: skip
    """Images enlarged `scale` times: each cell repeated (`nearest`; several arrays grow to one size and are
    concatenated or summed) or by a transposed convolution whose weights interpolate (`bilinear`)."""
    if sample_type == "bilinear":
        return Deconvolution.kernel(*arg, **_bilinear(scale, arg[0].shape[1]))
    height = arg[0].shape[2] * scale
    parts = [x.repeat(height // x.shape[2], axis=2).repeat(height // x.shape[2], axis=3) for x in arg]
    if multi_input_mode == "concat":
        return np.concatenate(parts, axis=1)
    y = parts[0]
    for part in parts[1:]:
        y += part
    return y


@UpSampling.gradient
def _(g: Array, _y: Array, /, *arg: Array, scale: int, sample_type: str, multi_input_mode: str,
      needs: tuple[bool, ...], **_: Any) -> Any:  # fmt: skip
    if sample_type == "bilinear":
        assert Deconvolution.gradient_kernel is not None
        return Deconvolution.gradient_kernel(g, None, *arg, **_bilinear(scale, arg[0].shape[1]), needs=needs)[
            :2
        ]
    grads, start = [], 0
    for x in arg:
        n, c, h, w = x.shape
        part = g if multi_input_mode == "sum" else g[:, start : start + c]
        start += c
        grads.append(part.reshape(n, c, h, g.shape[2] // h, w, g.shape[3] // w).sum(axis=(3, 5)))
    return tuple(grads)

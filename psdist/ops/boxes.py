"""Operators on boxes: how much they overlap, which to keep, which belong together, how they are coded.

A box is four numbers on the last axis: the corners x1, y1, x2, y2 ("corner") or its centre and size x, y, w, h
("center").
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, ShapeError
from .registry import Params, op
from .signature import Shape

__all__ = ["overlaps"]

Array = NDArray[Any]


def _nothing(_g: Array, *_arrays: Array, **_params: Any) -> None:
    """The gradient of a choice."""


def _corners(boxes: Array, form: str) -> Any:
    if form == "corner":
        return boxes
    half = boxes[..., 2:] / 2
    return np.concatenate([boxes[..., :2] - half, boxes[..., :2] + half], axis=-1)


def _centers(boxes: Array, form: str) -> Any:
    if form == "center":
        return boxes
    size = boxes[..., 2:] - boxes[..., :2]
    return np.concatenate([boxes[..., :2] + size / 2, size], axis=-1)


def overlaps(a: Array, b: Array) -> Any:
    """The intersection of boxes given by corners over their union, (*a, *b); 0 where they do not meet."""
    a = a.reshape(*a.shape[:-1], *(1,) * (b.ndim - 1), 4)
    both = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    inside = both.clip(0).prod(axis=-1)
    areas = (a[..., 2:] - a[..., :2]).clip(0).prod(axis=-1) + (b[..., 2:] - b[..., :2]).clip(0).prod(axis=-1)
    return np.divide(inside, areas - inside, out=np.zeros_like(inside), where=inside > 0)


@op("(*a, 4), (*b, 4) -> (*out)", where={"out": lambda a, b: a + b})
def _contrib_box_iou(lhs: Array, rhs: Array, /, *, format: Literal["corner", "center"] = "corner") -> Any:
    """How much each box of `lhs` overlaps each of `rhs`: their intersection over their union."""
    return overlaps(_corners(lhs, format), _corners(rhs, format))


_contrib_box_iou.gradient(_nothing)


def _record_shape(s: Shape) -> Shape:
    if len(s) < 2:
        raise ShapeError(f"data is {s}; wanted (..., boxes, numbers of a box)")
    return (*s[:-1], 1)


def _kept(rows: Array, p: Params) -> list[int]:
    """The boxes that stay, best first."""
    score, ids = rows[:, p["score_index"]], rows[:, p["id_index"]] if p["id_index"] >= 0 else None
    valid = score > p["valid_thresh"]
    if ids is not None and p["background_id"] >= 0:
        valid &= ids != p["background_id"]
    order = np.flatnonzero(valid)
    order = order[np.argsort(-score[order], kind="stable")]
    if p["topk"] > 0:
        order = order[: p["topk"]]
    start = p["coord_start"]
    boxes = _corners(rows[order, start : start + 4], p["in_format"])
    stays = np.ones(len(order), bool)
    for i in range(len(order) - 1):
        if stays[i]:
            over = overlaps(boxes[i], boxes[i + 1 :]) > p["overlap_thresh"]
            if ids is not None and not p["force_suppress"]:
                over &= ids[order[i + 1 :]] == ids[order[i]]
            stays[i + 1 :] &= ~over
    return [int(i) for i in order[stays]]


@op("(*s) -> (*s), (*record)", aliases=["_contrib_box_non_maximum_suppression"], types="T -> T, T",
    where={"record": _record_shape}, outputs=("output", "record"), num_visible=1)  # fmt: skip
def _contrib_box_nms(data: Array, /, *, overlap_thresh: float = 0.5, valid_thresh: float = 0.0, topk: int = -1,
                     coord_start: int = 2, score_index: int = 1, id_index: int = -1, background_id: int = -1,
                     force_suppress: bool = False, in_format: Literal["corner", "center"] = "corner",
                     out_format: Literal["corner", "center"] = "corner") -> Any:  # fmt: skip
    """The boxes of each image without those that a better one overlaps by more than `overlap_thresh`, best first;
    what is left of the array is -1. A row of `data` has a score, four coordinates from `coord_start` on, and a class
    at `id_index`: boxes of different classes do not suppress one another, unless `force_suppress`. Boxes that score
    `valid_thresh` or less, and all after the `topk` best, go first."""
    p = {"overlap_thresh": overlap_thresh, "valid_thresh": valid_thresh, "topk": topk, "coord_start": coord_start,
             "score_index": score_index, "id_index": id_index, "background_id": background_id,
             "force_suppress": force_suppress, "in_format": in_format}  # fmt: skip
    width = data.shape[-1]
    if not (0 <= coord_start <= width - 4 and 0 <= score_index < width and id_index < width):
        raise ConfigError(
            f"box_nms: a box has {width} numbers; wanted coordinates at {coord_start} to {coord_start + 3}, a score at "
            f"{score_index} and a class at {id_index}"
        )
    images = data.reshape(-1, *data.shape[-2:])
    y, record = np.full_like(images, -1), np.full((*images.shape[:2], 1), -1, data.dtype)
    where = slice(coord_start, coord_start + 4)
    for image, out, source in zip(images, y, record, strict=True):
        chosen = _kept(image, p)
        out[: len(chosen)] = image[chosen]
        source[: len(chosen), 0] = chosen
        if in_format != out_format:
            convert = _corners if out_format == "corner" else _centers
            out[: len(chosen), where] = convert(out[: len(chosen), where], in_format)
    return y.reshape(data.shape), record.reshape(*data.shape[:-1], 1)


@_contrib_box_nms.gradient
def _(g: Array, _y: Array, record: Array, _data: Array, /, **_: Any) -> Any:
    grad = np.zeros_like(g)
    heads, grads = g.reshape(-1, *g.shape[-2:]), grad.reshape(-1, *g.shape[-2:])
    for head, image, source in zip(heads, grads, record.reshape(grads.shape[:2]), strict=True):
        kept = source >= 0
        image[source[kept].astype(np.int64)] = head[kept]
    return grad


@op("(*s, n, m) -> (*s, n), (*s, m)", types="T -> T, T", outputs=("output0", "output1"))
def _contrib_bipartite_matching(
    data: Array, /, *, is_ascend: bool = False, threshold: float, topk: int = -1
) -> Any:
    """Pairs of a row and a column, taken greedily by their score, the largest first (the smallest, if `is_ascend`),
    until it passes `threshold`: for each row its column, for each column its row, -1 for none."""
    n, m = data.shape[-2:]
    scores = data.reshape(-1, n * m)
    rows, columns = np.full((len(scores), n), -1, data.dtype), np.full((len(scores), m), -1, data.dtype)
    for score, row, column in zip(scores, rows, columns, strict=True):
        count = 0
        for at in np.argsort(score if is_ascend else -score, kind="stable"):
            i, j = divmod(int(at), m)
            if row[i] != -1 or column[j] != -1:
                continue
            if not (score[at] < threshold if is_ascend else score[at] > threshold):
                break
            row[i], column[j] = j, i
            count += 1
            if 0 < topk < count:
                break
    return rows.reshape(*data.shape[:-2], n), columns.reshape(*data.shape[:-2], m)


_contrib_bipartite_matching.gradient(_nothing)


@op("(b, n), (b, n), (b, n, 4), (b, m, 4), (4), (4) -> (b, n, 4), (b, n, 4)",
    types="T, T, T, T, T, T -> T, T", outputs=("output0", "output1"))  # fmt: skip
def _contrib_box_encode(
    samples: Array, matches: Array, anchors: Array, refs: Array, means: Array, stds: Array, /
) -> Any:
    """Targets for anchors whose sample is positive: where the box of `refs` that matches lies from the anchor, in
    the anchor's sizes and logarithms, less `means`, over `stds`; and a mask that is 1 where there is a target."""
    here = _centers(anchors, "corner")
    there = _centers(np.take_along_axis(refs, matches.astype(np.int64)[..., None], 1), "corner")
    move = (there[..., :2] - here[..., :2]) / here[..., 2:]
    code = (np.concatenate([move, np.log(there[..., 2:] / here[..., 2:])], axis=-1) - means) / stds
    mask = np.broadcast_to((samples > 0.5)[..., None], code.shape)
    return np.where(mask, code, 0).astype(anchors.dtype), mask.astype(anchors.dtype)


_contrib_box_encode.gradient(_nothing)


@op("(b, n, 4), (1, n, 4) -> (b, n, 4)", types="T, T -> T")
def _contrib_box_decode(data: Array, anchors: Array, /, *, std0: float = 1.0, std1: float = 1.0, std2: float = 1.0,
                        std3: float = 1.0, clip: float = -1.0,
                        format: Literal["corner", "center"] = "center") -> Any:  # fmt: skip
    """Corners of the boxes that `data` tells relative to `anchors`: moved by their sizes, scaled by exponentials (of
    at most `clip`, if that is positive), both times the four `std`."""
    here = _centers(anchors, format)
    code = data * np.array([std0, std1, std2, std3], data.dtype)
    center = code[..., :2] * here[..., 2:] + here[..., :2]
    scale = code[..., 2:]
    half = np.exp(np.minimum(scale, clip) if clip > 0 else scale) * here[..., 2:] / 2
    return np.concatenate([center - half, center + half], axis=-1).astype(data.dtype)


_contrib_box_decode.gradient(_nothing)

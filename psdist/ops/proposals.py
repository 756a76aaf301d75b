"""Proposals of regions that may hold an object. Ren et al., "Faster R-CNN", arXiv:1506.01497.

Coordinates count pixels of the image, corners included, so that a box from 0 to 15 is 16 wide.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from .registry import Params, op
from .signature import Shape

Array = NDArray[Any]
_SWEEP = 64  # boxes kept between two sweeps: one costs as much as the test of some boxes


def _anchors(stride: int, scales: tuple[float, ...], ratios: tuple[float, ...]) -> Any:
    """Corners of the anchors of the first place, (ratios · scales, 4)."""
    middle, found = (stride - 1) / 2, []
    for ratio in ratios:
        width = np.floor(np.sqrt(np.floor(stride * stride / ratio)) + 0.5)
        height = np.floor(width * ratio + 0.5)
        for scale in scales:
            half = np.array([width * scale - 1, height * scale - 1]) / 2
            found.append([*(middle - half), *(middle + half)])
    return np.array(found, np.float32)


def _moved(boxes: Array, code: Array, iou_loss: bool) -> Any:
    if iou_loss:
        return boxes + code
    size = boxes[:, 2:] - boxes[:, :2] + 1
    center = boxes[:, :2] + (size - 1) / 2 + code[:, :2] * size
    half = (np.exp(code[:, 2:]) * size - 1) / 2
    return np.concatenate([center - half, center + half], axis=1)


def _survivors(boxes: Array, threshold: float, count: int) -> list[int]:
    """Indices of at most `count` boxes of which none overlaps an earlier one by more than `threshold`."""
    places, sides = np.arange(len(boxes)), np.ascontiguousarray(boxes.T)  # whole columns: fewer, longer calls
    areas = (sides[2] - sides[0] + 1) * (sides[3] - sides[1] + 1)
    stays, i = np.ones(len(boxes), bool), 0
    kept: list[int] = []
    while i < len(places) and len(kept) < count:
        if not stays[i]:
            i += 1
            continue
        kept.append(int(places[i]))
        left, top, right, bottom = sides[:, i]
        i += 1
        lefts, tops, rights, bottoms = sides[:, i:]
        both = (np.minimum(right, rights) - np.maximum(left, lefts) + 1).clip(0)
        both *= (np.minimum(bottom, bottoms) - np.maximum(top, tops) + 1).clip(0)
        stays[i:] &= ~(both / (areas[i - 1] + areas[i:] - both) > threshold)
        if len(kept) % _SWEEP == 0:  # leave out those that are gone
            alive = i + np.flatnonzero(stays[i:])
            places, sides, areas, i = places[alive], sides[:, alive], areas[alive], 0
            stays = np.ones(len(alive), bool)
    return kept


def _propose(prob: Array, code: Array, info: Array, p: Params) -> tuple[Array, Array]:
    """Corners and scores of one image's regions, (rpn_post_nms_top_n, 4) and (rpn_post_nms_top_n)."""
    height, width = prob.shape[1:]
    stride = p["feature_stride"]
    first = _anchors(stride, p["scales"], p["ratios"])
    y, x = np.meshgrid(np.arange(height) * stride, np.arange(width) * stride, indexing="ij")
    shift = np.stack([x, y, x, y], axis=-1).astype(np.float32)
    boxes = (shift[:, :, None] + first).reshape(-1, 4)
    boxes = _moved(
        boxes, code.reshape(-1, 4, height, width).transpose(2, 3, 0, 1).reshape(-1, 4), p["iou_loss"]
    )
    boxes[:, 0::2] = boxes[:, 0::2].clip(0, info[1] - 1)
    boxes[:, 1::2] = boxes[:, 1::2].clip(0, info[0] - 1)
    score = prob[len(first) :].transpose(1, 2, 0).copy()
    score[int(info[0] / stride) :] = -1  # what lies beyond the image, which is padded to the batch's size
    score[:, int(info[1] / stride) :] = -1
    score = score.reshape(-1)
    least = p["rpn_min_size"] * info[2]
    small = (boxes[:, 2:] - boxes[:, :2] + 1 < least).any(axis=1)
    boxes[small] += np.array([-least, -least, least, least], boxes.dtype) / 2
    score[small] = -1
    before = p["rpn_pre_nms_top_n"] if p["rpn_pre_nms_top_n"] > 0 else len(score)
    order = np.argsort(-score, kind="stable")[:before]
    boxes, score = boxes[order], score[order]
    kept = _survivors(boxes, p["threshold"], min(p["rpn_post_nms_top_n"], len(order)))
    chosen = np.resize(kept, p["rpn_post_nms_top_n"])  # again from the first, where there are too few
    return boxes[chosen], score[chosen]


def _shapes(ins: list[Shape | None], p: Params, outs: list[Shape | None]) -> Any:
    s = ins[0]
    if s is None or 0 in s:
        return ins, outs
    num = len(p["scales"]) * len(p["ratios"])
    if len(s) != 4 or s[1] != 2 * num:
        raise ShapeError(
            f"cls_prob is {s}; wanted (n, {2 * num}, h, w): two scores for each of {num} anchors"
        )
    wanted = [s, (s[0], 4 * num, *s[2:]), (s[0], 3)]
    for name, given, want in zip(("bbox_pred", "im_info"), ins[1:], wanted[1:], strict=True):
        if given is not None and 0 not in given and given != want:
            raise ShapeError(f"{name} is {given}; wanted {want}")
    rows = s[0] * p["rpn_post_nms_top_n"]
    return wanted, [(rows, 5), (rows, 1)]


def _visible(p: Params) -> int:
    return 2 if p["output_score"] else 1


@op(shape=_shapes, types="T, T, T -> T, T", outputs=("output", "score"), num_visible=_visible,
    ignores_head=True)  # fmt: skip
def _contrib_MultiProposal(cls_prob: Array, bbox_pred: Array, im_info: Array, /, *, rpn_pre_nms_top_n: int = 6000,
                           rpn_post_nms_top_n: int = 300, threshold: float = 0.7, rpn_min_size: int = 16,
                           scales: tuple[float, ...] = (4.0, 8.0, 16.0, 32.0),
                           ratios: tuple[float, ...] = (0.5, 1.0, 2.0), feature_stride: int = 16,
                           output_score: bool = False, iou_loss: bool = False) -> Any:  # fmt: skip
    """Regions of each image, the likeliest first: the image's index and four corners. Anchors of `scales` and `ratios`
    at every place are moved by `bbox_pred`; of the `rpn_pre_nms_top_n` likeliest those go that overlap a likelier one
    by more than `threshold`; `rpn_post_nms_top_n` are left (again from the first, if there are fewer). `im_info` is
    each image's height, width and scale."""
    p = {"rpn_pre_nms_top_n": rpn_pre_nms_top_n, "rpn_post_nms_top_n": rpn_post_nms_top_n, "threshold": threshold,
         "rpn_min_size": rpn_min_size, "scales": scales, "ratios": ratios, "feature_stride": feature_stride,
         "iou_loss": iou_loss}  # fmt: skip
    rows, scores = [], []
    for i, (prob, code, info) in enumerate(zip(cls_prob, bbox_pred, im_info, strict=True)):
        boxes, score = _propose(prob, code, info, p)
        rows.append(np.concatenate([np.full((len(boxes), 1), i), boxes], axis=1))
        scores.append(score[:, None])
    return np.concatenate(rows).astype(cls_prob.dtype), np.concatenate(scores).astype(cls_prob.dtype)


@op(shape=_shapes, types="T, T, T -> T, T", outputs=("output", "score"), num_visible=_visible,
    ignores_head=True)  # fmt: skip
def _contrib_Proposal(cls_prob: Array, bbox_pred: Array, im_info: Array, /, *, rpn_pre_nms_top_n: int = 6000,
                      rpn_post_nms_top_n: int = 300, threshold: float = 0.7, rpn_min_size: int = 16,
                      scales: tuple[float, ...] = (4.0, 8.0, 16.0, 32.0),
                      ratios: tuple[float, ...] = (0.5, 1.0, 2.0), feature_stride: int = 16,
                      output_score: bool = False, iou_loss: bool = False) -> Any:  # fmt: skip
    """MultiProposal of one image."""
    if len(cls_prob) != 1:
        raise ShapeError(f"cls_prob is {cls_prob.shape}; wanted one image (MultiProposal takes several)")
    return _contrib_MultiProposal.kernel(
        cls_prob, bbox_pred, im_info, rpn_pre_nms_top_n=rpn_pre_nms_top_n, rpn_post_nms_top_n=rpn_post_nms_top_n,
        threshold=threshold, rpn_min_size=rpn_min_size, scales=scales, ratios=ratios, feature_stride=feature_stride,
        output_score=output_score, iou_loss=iou_loss)  # fmt: skip


def _nowhere(*_arrays: Array, **_params: Any) -> None:
    """Proposals have no gradient."""


_contrib_MultiProposal.gradient(_nowhere)
_contrib_Proposal.gradient(_nowhere)

"""Operators of single-shot detectors: anchors for each place of a feature map, what they should say, and what they
did say. Liu et al., "SSD: single shot multibox detector", arXiv:1512.02325.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from .boxes import overlaps
from .registry import op

Array = NDArray[Any]
_VARIANCES = (0.1, 0.1, 0.2, 0.2)


def _nothing(_g: Array, *_arrays: Array, **_params: Any) -> None:
    """The gradient of a choice."""


def _num_anchors(h: int, w: int, sizes: tuple[float, ...], ratios: tuple[float, ...]) -> int:
    return h * w * (len(sizes) + len(ratios) - 1)


@op("(b, c, h, w) -> (1, n, 4)", where={"n": _num_anchors}, aliases=["MultiBoxPrior"])
def _contrib_MultiBoxPrior(data: Array, /, *, sizes: tuple[float, ...] = (1.0,), ratios: tuple[float, ...] = (1.0,),
                           clip: bool = False, steps: tuple[float, ...] = (-1.0, -1.0),
                           offsets: tuple[float, ...] = (0.5, 0.5)) -> Any:  # fmt: skip
    """Boxes around each place of the feature map `data`, as corners between 0 and 1: one for each of `sizes` with
    the first of `ratios`, and one for each other ratio with the first size."""
    height, width = data.shape[2:]
    step = (steps[0] if steps[0] > 0 else 1 / height), (steps[1] if steps[1] > 0 else 1 / width)
    shapes = [(s, ratios[0]) for s in sizes] + [(sizes[0], r) for r in ratios[1:]]
    half = np.array([[s * height / width * math.sqrt(r) / 2, s / math.sqrt(r) / 2] for s, r in shapes])
    y, x = (np.arange(height) + offsets[0]) * step[0], (np.arange(width) + offsets[1]) * step[1]
    center = np.stack(np.meshgrid(x, y), axis=-1)[:, :, None]
    found = np.concatenate([center - half, center + half], axis=-1).reshape(1, -1, 4)
    return (found.clip(0, 1) if clip else found).astype(data.dtype)


_contrib_MultiBoxPrior.gradient(_nothing)


def _code(anchors: Array, boxes: Array, variances: tuple[float, ...]) -> Any:
    size, wanted = anchors[:, 2:] - anchors[:, :2], boxes[:, 2:] - boxes[:, :2]
    move = (boxes[:, :2] + boxes[:, 2:] - anchors[:, :2] - anchors[:, 2:]) / 2 / size
    return np.concatenate([move, np.log(wanted / size)], axis=1) / np.array(variances)


def _matched(iou: Array, threshold: float) -> tuple[Array, Array, Array]:
    """For each anchor its box, how much it overlaps, and whether it is that box's: each box gets its best anchor
    first, then each anchor that overlaps a box by more than `threshold` that box."""
    box, best, is_positive = iou.argmax(axis=1), iou.max(axis=1), np.zeros(len(iou), bool)
    left = iou.copy()
    for _ in range(iou.shape[1]):
        i, j = divmod(int(left.argmax()), iou.shape[1])
        if left[i, j] <= 1e-6:
            break
        box[i], best[i], is_positive[i] = j, iou[i, j], True
        left[i], left[:, j] = -1, -1
    if threshold > 0:
        is_positive |= best > threshold
    return box, best, is_positive


@op("(1, n, 4), (b, m, k), (b, c, n) -> (b, w), (b, w), (b, n)", types="T, T, T -> T, T, T",
    where={"w": lambda n: 4 * n}, outputs=("loc_target", "loc_mask", "cls_target"),
    aliases=["MultiBoxTarget"])  # fmt: skip
def _contrib_MultiBoxTarget(anchor: Array, label: Array, cls_pred: Array, /, *, overlap_threshold: float = 0.5,
                            ignore_label: float = -1.0, negative_mining_ratio: float = -1.0,
                            negative_mining_thresh: float = 0.5, minimum_negative_samples: int = 0,
                            variances: tuple[float, ...] = _VARIANCES) -> Any:  # fmt: skip
    """What each anchor should say: where its box lies from it, a mask of the anchors that have one, and its class
    plus 1, or 0 for the background. A row of `label` is a class and four corners; a class of -1 ends them. With
    `negative_mining_ratio` only so many negatives for each positive count, those least sure to be background among
    the ones that overlap by less than `negative_mining_thresh`; the others' class is `ignore_label`.
    `minimum_negative_samples` is accepted and changes nothing, as in MXNet on a CPU."""
    batch, num, dtype = len(label), anchor.shape[1], anchor.dtype
    if label.shape[2] < 5:
        raise ShapeError(
            f"MultiBoxTarget: label is {label.shape}; wanted (b, m, 5): a class, then four corners"
        )
    target, mask = np.zeros((batch, num, 4), dtype), np.zeros((batch, num, 4), dtype)
    classes = np.full((batch, num), ignore_label, dtype)
    for i, rows in enumerate(label):
        ends = np.flatnonzero(rows[:, 0] == -1)
        rows = rows[: ends[0]] if len(ends) else rows
        if not len(rows):
            continue
        box, best, is_positive = _matched(overlaps(anchor[0], rows[:, 1:5]), overlap_threshold)
        is_negative = ~is_positive
        if negative_mining_ratio > 0:
            count = min(int(is_positive.sum() * negative_mining_ratio), num - int(is_positive.sum()))
            surely = np.exp(cls_pred[i] - cls_pred[i].max(axis=0))
            background = surely[0] / surely.sum(axis=0)
            may = np.flatnonzero(is_negative & (best < negative_mining_thresh))
            is_negative = np.zeros(num, bool)
            is_negative[may[np.argsort(background[may], kind="stable")[:count]]] = True
        classes[i, is_positive] = rows[box[is_positive], 0] + 1
        classes[i, is_negative] = 0
        mask[i, is_positive] = 1
        target[i, is_positive] = _code(anchor[0, is_positive], rows[box[is_positive], 1:5], variances)
    return target.reshape(batch, -1), mask.reshape(batch, -1), classes


_contrib_MultiBoxTarget.gradient(_nothing)


def _boxes(code: Array, anchors: Array, variances: tuple[float, ...], clip: bool) -> Any:
    size, center = anchors[:, 2:] - anchors[:, :2], (anchors[:, :2] + anchors[:, 2:]) / 2
    code = code.reshape(-1, 4) * np.array(variances, code.dtype)
    middle, half = code[:, :2] * size + center, np.exp(code[:, 2:]) * size / 2
    found = np.concatenate([middle - half, middle + half], axis=1)
    return found.clip(0, 1) if clip else found


@op("(b, c, n), (b, w), (1, n, 4) -> (b, n, 6)", types="T, T, T -> T", where={"w": lambda n: 4 * n},
    aliases=["MultiBoxDetection"])  # fmt: skip
def _contrib_MultiBoxDetection(cls_prob: Array, loc_pred: Array, anchor: Array, /, *, clip: bool = True,
                               threshold: float = 0.01, background_id: int = 0, nms_threshold: float = 0.5,
                               force_suppress: bool = False, variances: tuple[float, ...] = _VARIANCES,
                               nms_topk: int = -1) -> Any:  # fmt: skip
    """What was detected, best first: a class, its probability and four corners. A class of -1 is nothing: less than
    `threshold` sure, not among the `nms_topk` best, or overlapped by a better box of its class (of any class, if
    `force_suppress`) by `nms_threshold`."""
    y = np.full((len(cls_prob), cls_prob.shape[2], 6), -1, cls_prob.dtype)
    for prob, code, out in zip(cls_prob, loc_pred, y, strict=True):
        label, score = prob[1:].argmax(axis=0), prob[1:].max(axis=0)
        found = np.flatnonzero(score >= threshold)
        boxes = _boxes(code, anchor[0], variances, clip)
        rows = np.concatenate([label[found, None], score[found, None], boxes[found]], axis=1)
        if 0 < nms_threshold <= 1:
            best = rows[np.argsort(-rows[:, 1], kind="stable")]
            if 0 < nms_topk < len(rows):
                rows[:nms_topk] = best[:nms_topk]  # what follows stays in its order, as in MXNet
                rows[nms_topk:, 0] = -1
            else:
                rows = best
            for i, row in enumerate(rows):
                if row[0] >= 0:
                    over = overlaps(row[2:], rows[i + 1 :, 2:]) >= nms_threshold
                    rows[i + 1 :, 0][over & (force_suppress | (rows[i + 1 :, 0] == row[0]))] = -1
        out[: len(rows)] = rows
    return y


_contrib_MultiBoxDetection.gradient(_nothing)

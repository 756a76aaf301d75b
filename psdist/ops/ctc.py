"""Connectionist temporal classification: A. Graves et al., ICML 2006, in logarithms, all of a batch at once."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .registry import Params, op

Array = NDArray[Any]


def _active(params: Params) -> tuple[str, ...]:
    lengths = tuple(n for n in ("data_lengths", "label_lengths") if params[f"use_{n}"])
    return ("data", "label", *lengths)


def _given(lengths: tuple[Array, ...], use_data_lengths: bool, use_label_lengths: bool) -> tuple[Any, Any]:
    rest = list(lengths)
    data = rest.pop(0) if use_data_lengths else None
    return data, rest.pop(0) if use_label_lengths else None


def _log_add(*terms: Array) -> Any:
    return np.logaddexp.reduce(np.stack(terms), axis=0)


def _paths(labels: Array, lengths: Array, blank: int) -> tuple[Array, Array, Array]:
    """The labels with blanks between, (n, 2l+1); which states may be skipped into; how many states there are."""
    longest = labels.shape[1]
    states = np.full((len(labels), 2 * longest + 1), blank)
    states[:, 1::2] = labels
    skip = np.zeros(states.shape, bool)
    skip[:, 3::2] = labels[:, 1:] != labels[:, :-1]
    return states, skip, 2 * lengths + 1


def _shifted(x: Array, by: int) -> Any:
    y = np.full_like(x, -np.inf)
    y[:, by:] = x[:, :-by]
    return y


def _forward(logp: Array, skip: Array, until: Array) -> Array:
    """log α (t, n, s): the probability of all beginnings that reach state s at step t. Frozen beyond `until`."""
    steps, _, s = logp.shape
    alpha = np.full(logp.shape, -np.inf)
    alpha[0, :, :2] = logp[0, :, :2]
    for t in range(1, steps):
        before = alpha[t - 1]
        jump = np.where(skip, _shifted(before, 2), -np.inf) if s > 2 else np.full_like(before, -np.inf)
        reached = _log_add(before, _shifted(before, 1), jump) + logp[t]
        alpha[t] = np.where((t < until)[:, None], reached, before)
    return alpha


def _loss_and_gradient(
    data: Array, label: Array, data_lengths: Array | None, label_lengths: Array | None, blank_label: str
) -> tuple[Array, Array]:
    steps, n, classes = data.shape
    blank = 0 if blank_label == "first" else classes - 1
    labels = label.astype(np.int64)
    if label_lengths is None:
        ended = labels == 0 if blank_label == "first" else labels < 0
        lengths = np.where(ended.any(axis=1), ended.argmax(axis=1), labels.shape[1])
    else:
        lengths = label_lengths.astype(np.int64)
    labels = np.where(np.arange(labels.shape[1]) < lengths[:, None], labels, blank)
    until = np.full(n, steps) if data_lengths is None else data_lengths.astype(np.int64)

    x = data.astype(np.float64)
    x -= x.max(axis=2, keepdims=True)
    logsoft = x - np.log(np.exp(x).sum(axis=2, keepdims=True))
    states, skip, num_states = _paths(labels, lengths, blank)
    logp = np.take_along_axis(logsoft, np.broadcast_to(states, (steps, *states.shape)), 2)
    real = np.arange(states.shape[1]) < num_states[:, None]
    logp = np.where(real, logp, -np.inf)
    alpha = _forward(logp, skip, until)
    rows = np.arange(n)
    end = alpha[-1]
    total = np.logaddexp(end[rows, num_states - 1], np.where(lengths > 0, end[rows, num_states - 2], -np.inf))

    # β by the same rule on the reversed sequences: state s is s' = num_states - 1 - s, step t is until - 1 - t
    flip_s = (num_states[:, None] - 1 - np.arange(states.shape[1])) % states.shape[1]
    flip_t = (until - 1 - np.arange(steps)[:, None]) % steps
    turned = logp[flip_t[:, :, None], rows[:, None], flip_s]
    skip_back = np.zeros_like(skip)
    skip_back[:, 2:] = np.take_along_axis(skip, flip_s, 1)[:, :-2]
    skip_back &= real
    beta = _forward(np.where(real, turned, -np.inf), skip_back, until)[
        flip_t[:, :, None], rows[:, None], flip_s
    ]
    both = np.where(real, alpha + beta - logp, -np.inf)
    share = np.exp(np.where(np.isfinite(both), both, -np.inf) - total[:, None])
    occupied = np.zeros_like(x)
    at = np.broadcast_to(states, share.shape)
    for s in range(states.shape[1]):
        occupied[np.arange(steps)[:, None], rows, at[:, :, s]] += share[:, :, s]
    grad = np.exp(logsoft) - occupied
    grad[np.arange(steps)[:, None] >= until] = 0  # whatever the padding holds, NaN too
    grad[:, ~np.isfinite(total)] = 0
    return (-total).astype(data.dtype), grad.astype(data.dtype)


@op("(t, n, c), (n, l), (n), (n) -> (n), (t, n, c)", types="T, L, A, B -> T, T", active=_active,
    outputs=("output0", "output1"), num_visible=1,
    aliases=["ctc_loss", "_contrib_CTCLoss", "_contrib_ctc_loss"])  # fmt: skip
def CTCLoss(data: Array, label: Array, data_lengths: Array | None = None, label_lengths: Array | None = None, /, *,
            use_data_lengths: bool = False, use_label_lengths: bool = False,
            blank_label: Literal["first", "last"] = "first") -> Any:  # fmt: skip
    """-log of the probability of each label sequence, summed over all its alignments with the (steps, batch, classes)
    of `data`, of which the softmax is taken.

    The blank is the first class (labels count from 1, 0 ends a label) or the last (-1 ends a label); lengths may also
    be given. The second output is the gradient."""
    data_lengths, label_lengths = _given(
        tuple(v for v in (data_lengths, label_lengths) if v is not None), use_data_lengths, use_label_lengths
    )
    return _loss_and_gradient(data, label, data_lengths, label_lengths, blank_label)


CTCLoss.gradient(lambda g, _loss, grad, _data, _label, *_lengths, **_: g[:, None] * grad)

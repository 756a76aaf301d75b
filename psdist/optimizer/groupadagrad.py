"""AdaGrad with one rate for each row, as embeddings are trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .rule import Array, Rule, State, rescaled, rule

__all__ = ["GroupAdaGrad"]


@rule
@dataclass(frozen=True)
class GroupAdaGrad(Rule):
    """Each row's rate falls with the sum of its mean squared gradients.

        h ← h + mean over the row of g²
        w ← w − lr · (g / √(h + ε) + wd · w)

    AdaGrad (Duchi, Hazan and Singer, 2011) with a group for each row: `history` has one number a row. MXNet takes
    matrices without weight decay only; a row here is what an index of the first axis picks.
    """

    rescale_grad: float = 1.0
    clip_gradient: float | None = None
    eps: float = 1e-5

    state_names: ClassVar[tuple[str, ...]] = ("history",)

    def create_state(self, value: Array, /) -> State:
        return (np.zeros((len(np.atleast_1d(value)), 1), value.dtype),)

    def update(self, value: Array, grad: Array, state: State, /, *, lr: float, wd: float, t: int) -> None:
        (h,) = state
        g = rescaled(grad, value.dtype, self.rescale_grad, self.clip_gradient)
        rows = g.reshape(len(h), -1)  # a view: g is our own, and contiguous
        h += np.square(rows).mean(axis=1, keepdims=True)
        rows /= np.sqrt(h + self.eps)
        if wd:
            g += wd * value
        g *= lr
        value -= g

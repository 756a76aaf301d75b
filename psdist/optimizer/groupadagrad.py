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

    AdaGrad (Duchi, Hazan and Singer, 2011) with a group for each row. `history` may have one number a row, or that
    number at each of its elements, as servers keep states. MXNet takes matrices without weight decay only; a row here
    is what an index of the first axis picks.
    """

    rescale_grad: float = 1.0
    clip_gradient: float | None = None
    eps: float = 1e-5

    state_names: ClassVar[tuple[str, ...]] = ("history",)

    def update(self, value: Array, grad: Array, state: State, /, *, lr: float, wd: float, t: int) -> None:
        (h,) = state
        g = rescaled(grad, value.dtype, self.rescale_grad, self.clip_gradient)
        h += np.square(g).mean(axis=tuple(range(1, g.ndim)), keepdims=True)
        g /= np.sqrt(h + self.eps)
        if wd:
            g += wd * value
        g *= lr
        value -= g

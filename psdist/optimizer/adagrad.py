"""AdaGrad: rates that fall with what has been seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .rule import Array, ElementwiseRule, State, rule

__all__ = ["AdaGrad"]


@rule
@dataclass(frozen=True)
class AdaGrad(ElementwiseRule):
    """Each element's rate falls with the sum of its squared gradients.

        h ← h + g²
        w ← w − lr · (g / √(h + ε) + wd · w)

    Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning" (2011).
    """

    eps: float = 1e-7

    state_names: ClassVar[tuple[str, ...]] = ("history",)

    def step(self, w: Array, g: Array, state: State, tmp: State, lr: float, wd: float, t: int) -> None:
        (h,) = state
        (s,) = tmp
        h += np.multiply(g, g, out=s)
        np.add(h, self.eps, out=s)
        g /= np.sqrt(s, out=s)
        if wd:
            g += np.multiply(w, wd, out=s)
        g *= lr
        w -= g

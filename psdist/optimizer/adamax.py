"""AdaMax: Adam by the greatest gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .rule import Array, ElementwiseRule, State, rule

__all__ = ["Adamax"]


@rule
@dataclass(frozen=True)
class Adamax(ElementwiseRule):
    """Adam with the running maximum of the gradient in place of its root mean square.

        m ← β₁ m + (1 − β₁) g
        u ← max(β₂ u, |g|)
        w ← w − lr / (1 − β₁ᵗ) · m / (u + ε)

    where g has weight decay in it. Kingma and Ba, arXiv 1412.6980, section 7.1.
    """

    beta1: float = 0.9
    beta2: float = 0.999

    decays_gradient: ClassVar[bool] = True
    state_names: ClassVar[tuple[str, ...]] = ("mean", "max")

    def step(self, w: Array, g: Array, state: State, tmp: State, lr: float, wd: float, t: int) -> None:
        m, u = state
        (s,) = tmp
        m *= self.beta1
        m += np.multiply(g, 1 - self.beta1, out=s)
        u *= self.beta2
        np.maximum(u, np.abs(g, out=g), out=u)
        np.add(u, 1e-8, out=s)  # keeps elements that never had a gradient where they are
        np.divide(m, s, out=g)
        g *= lr / (1 - self.beta1**t)
        w -= g

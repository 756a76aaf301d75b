"""RMSProp, plain and centered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .rule import Array, ElementwiseRule, State, rule

__all__ = ["RMSProp"]


@rule
@dataclass(frozen=True)
class RMSProp(ElementwiseRule):
    """Steps scaled by the running root mean square of the gradient.

        n ← γ₁ n + (1 − γ₁) g²
        w ← w − lr · g / √(n + ε)

    where g has weight decay in it. Tieleman and Hinton, "Lecture 6.5 — RMSProp" (2012). `centered`
    subtracts the running mean and adds momentum, after Graves, arXiv 1308.0850, equations 38 to 45:

        a ← γ₁ a + (1 − γ₁) g
        d ← γ₂ d − lr · g / √(n − a² + ε)
        w ← w + d

    `clip_weights` bounds the values afterwards.
    """

    gamma1: float = 0.9
    gamma2: float = 0.9
    epsilon: float = 1e-8
    centered: bool = False
    clip_weights: float | None = None  # None, 0 or negative: not clipped

    decays_gradient: ClassVar[bool] = True

    def create_state(self, value: Array, /) -> State:
        return tuple(np.zeros_like(value) for _ in range(3 if self.centered else 1))

    def step(self, w: Array, g: Array, state: State, tmp: State, lr: float, wd: float, t: int) -> None:
        (s,) = tmp
        n = state[0]
        n *= self.gamma1
        np.multiply(g, g, out=s)
        n += np.multiply(s, 1 - self.gamma1, out=s)
        if self.centered:
            a, d = state[1:]
            a *= self.gamma1
            a += np.multiply(g, 1 - self.gamma1, out=s)
            np.multiply(a, a, out=s)
            np.subtract(n, s, out=s)
            s += self.epsilon
            g /= np.sqrt(s, out=s)
            g *= lr
            d *= self.gamma2
            d -= g
            w += d
        else:
            np.add(n, self.epsilon, out=s)
            g /= np.sqrt(s, out=s)
            g *= lr
            w -= g
        if self.clip_weights is not None and self.clip_weights > 0:
            w.clip(-self.clip_weights, self.clip_weights, out=w)

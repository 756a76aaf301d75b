"""Adam: adaptive moment estimation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .rule import Array, ElementwiseRule, State, rule

__all__ = ["Adam"]


@rule
@dataclass(frozen=True)
class Adam(ElementwiseRule):
    """Adam: steps scaled by running means of the gradient and of its square.

        m ← β₁ m + (1 − β₁) g
        v ← β₂ v + (1 − β₂) g²
        w ← w − lr · √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε)

    where g has weight decay in it. Kingma and Ba, arXiv 1412.6980, in the form at the end of its section 2.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    decays_gradient: ClassVar[bool] = True
    state_names: ClassVar[tuple[str, ...]] = ("mean", "var")

    def step(self, w: Array, g: Array, state: State, tmp: State, lr: float, wd: float, t: int) -> None:
        m, v = state
        (s,) = tmp
        m *= self.beta1
        m += np.multiply(g, 1 - self.beta1, out=s)
        np.multiply(g, g, out=g)
        g *= 1 - self.beta2
        v *= self.beta2
        v += g
        np.sqrt(v, out=g)
        g += self.epsilon
        np.divide(m, g, out=g)
        g *= lr * math.sqrt(1 - self.beta2**t) / (1 - self.beta1**t)
        w -= g

"""Follow the moving leader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .rule import Array, ElementwiseRule, State, rule

__all__ = ["FTML"]


@rule
@dataclass(frozen=True)
class FTML(ElementwiseRule):
    """Follow the moving leader: Adam's averages in an FTRL-like form.

        v ← β₂ v + (1 − β₂) g²
        d' = (1 − β₁ᵗ) / lr · (√(v / (1 − β₂ᵗ)) + ε)
        z ← β₁ z + (1 − β₁) g − (d' − β₁ d) · w
        d ← d'
        w ← −z / d

    where g has weight decay in it. Zheng and Kwok, "Follow the moving leader in deep learning" (2017).
    """

    beta1: float = 0.6
    beta2: float = 0.999
    epsilon: float = 1e-8

    decays_gradient: ClassVar[bool] = True
    state_names: ClassVar[tuple[str, ...]] = ("d", "v", "z")

    def step(self, w: Array, g: Array, state: State, tmp: State, lr: float, wd: float, t: int) -> None:
        d, v, z = state
        (s,) = tmp
        z *= self.beta1
        z += np.multiply(g, 1 - self.beta1, out=s)
        v *= self.beta2
        np.multiply(g, g, out=s)
        v += np.multiply(s, 1 - self.beta2, out=s)
        np.multiply(v, 1 / (1 - self.beta2**t), out=s)
        np.sqrt(s, out=s)
        s += self.epsilon
        s *= (1 - self.beta1**t) / lr  # the new d
        d *= self.beta1
        np.subtract(s, d, out=g)
        g *= w
        z -= g
        np.copyto(d, s)
        np.divide(z, d, out=w)
        np.negative(w, out=w)

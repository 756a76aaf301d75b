"""Adam with Nesterov's momentum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .rule import Array, ElementwiseRule, State, rule

__all__ = ["Nadam"]


@rule
@dataclass(frozen=True)
class Nadam(ElementwiseRule):
    """Adam with Nesterov's momentum, whose momentum rises over the first steps.

        μₜ = β₁ · (1 − 0.96^(t · schedule_decay) / 2),  Πₜ = μ₁ · μ₂ ⋯ μₜ
        m ← β₁ m + (1 − β₁) g
        v ← β₂ v + (1 − β₂) g²
        w ← w − lr · ((1 − μₜ) · g / (1 − Πₜ) + μₜ₊₁ · m / (1 − Πₜ₊₁)) / (√(v / (1 − β₂ᵗ)) + ε)

    where g has weight decay in it. Dozat, "Incorporating Nesterov momentum into Adam" (2016).
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    schedule_decay: float = 0.004

    decays_gradient: ClassVar[bool] = True
    state_names: ClassVar[tuple[str, ...]] = ("mean", "var")

    def step(self, w: Array, g: Array, state: State, tmp: State, lr: float, wd: float, t: int) -> None:
        m, v = state
        (s,) = tmp
        now, product = self._momentum(t), _product(self.beta1, self.schedule_decay, t)
        ahead = self._momentum(t + 1)
        m *= self.beta1
        m += np.multiply(g, 1 - self.beta1, out=s)
        v *= self.beta2
        np.multiply(g, g, out=s)
        v += np.multiply(s, 1 - self.beta2, out=s)
        g *= (1 - now) / (1 - product)
        g += np.multiply(m, ahead / (1 - product * ahead), out=s)
        np.multiply(v, 1 / (1 - self.beta2**t), out=s)
        np.sqrt(s, out=s)
        s += self.epsilon
        g /= s
        g *= lr
        w -= g

    def _momentum(self, t: int) -> float:
        return _momentum(self.beta1, self.schedule_decay, t)


def _momentum(beta1: float, decay: float, t: int) -> float:
    return float(beta1 * (1 - 0.5 * 0.96 ** (t * decay)))


_products: dict[tuple[float, float], list[float]] = {}  # Π₀, Π₁, … as far as they were asked for


def _product(beta1: float, decay: float, t: int) -> float:
    known = _products.setdefault((beta1, decay), [1.0])
    while len(known) <= t:
        known.append(known[-1] * _momentum(beta1, decay, len(known)))
    return known[t]

"""Layer-wise adaptive moments for large batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .rule import Array, Rule, State, norm, rescaled, rule

__all__ = ["LAMB"]


@rule
@dataclass(frozen=True)
class LAMB(Rule):
    """Adam's direction, with a step in proportion to the value's own norm.

        m ← β₁ m + (1 − β₁) g
        v ← β₂ v + (1 − β₂) g²
        d = m̂ / (√v̂ + ε) + wd · w
        w ← w − lr · ‖w‖ / ‖d‖ · d

    m̂ and v̂ are corrected for their bias if `bias_correction`; ‖w‖ is bounded by `lower_bound` and
    `upper_bound`; a norm of 0 makes the ratio 1. You et al., arXiv 1904.00962.
    """

    rescale_grad: float = 1.0
    clip_gradient: float | None = None
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-6
    lower_bound: float | None = None
    upper_bound: float | None = None
    bias_correction: bool = True

    state_names: ClassVar[tuple[str, ...]] = ("mean", "var")

    def update(self, value: Array, grad: Array, state: State, /, *, lr: float, wd: float, t: int) -> None:
        m, v = state
        g = rescaled(grad, value.dtype, self.rescale_grad, self.clip_gradient)
        m *= self.beta1
        m += (1 - self.beta1) * g
        v *= self.beta2
        g *= g
        v += np.multiply(g, 1 - self.beta2, out=g)
        correct_m = 1 - self.beta1**t if self.bias_correction else 1.0
        correct_v = 1 - self.beta2**t if self.bias_correction else 1.0
        d = np.sqrt(np.multiply(v, 1 / correct_v, out=g), out=g)
        d += self.epsilon
        np.divide(m, d, out=d)
        d *= 1 / correct_m
        d += wd * value
        size = norm(value)
        if self.lower_bound is not None:
            size = max(size, self.lower_bound)
        if self.upper_bound is not None:
            size = min(size, self.upper_bound)
        step = norm(d)
        d *= lr * (size / step if size and step else 1.0)
        value -= d

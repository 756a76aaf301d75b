"""AdaDelta: steps whose size needs no learning rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .rule import Array, ElementwiseRule, State, rule

__all__ = ["AdaDelta"]


@rule
@dataclass(frozen=True)
class AdaDelta(ElementwiseRule):
    """Steps in the ratio of the running sizes of steps and gradients; there is no learning rate.

        a ← ρ a + (1 − ρ) g²
        d = √(b + ε) / √(a + ε) · g
        b ← ρ b + (1 − ρ) d²
        w ← w − d − wd · w

    Zeiler, arXiv 1212.5701.
    """

    rho: float = 0.9
    epsilon: float = 1e-5

    state_names: ClassVar[tuple[str, ...]] = ("acc_g", "acc_delta")
    num_scratch: ClassVar[int] = 2

    def step(self, w: Array, g: Array, state: State, tmp: State, lr: float, wd: float, t: int) -> None:
        a, b = state
        s, d = tmp
        a *= self.rho
        np.multiply(g, g, out=s)
        a += np.multiply(s, 1 - self.rho, out=s)
        np.sqrt(np.add(b, self.epsilon, out=d), out=d)
        d /= np.sqrt(np.add(a, self.epsilon, out=s), out=s)
        d *= g
        b *= self.rho
        np.multiply(d, d, out=s)
        b += np.multiply(s, 1 - self.rho, out=s)
        if wd:
            d += np.multiply(w, wd, out=s)
        w -= d

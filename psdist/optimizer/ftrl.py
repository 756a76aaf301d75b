"""Follow the regularized leader, proximally."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .rule import Array, ElementwiseRule, State, rule

__all__ = ["Ftrl"]


@rule
@dataclass(frozen=True)
class Ftrl(ElementwiseRule):
    """FTRL-Proximal: sparse weights by an L1 threshold on the summed gradients.

        z ← z + g − (√(n + g²) − √n) / lr · w
        n ← n + g²
        w ← −sign(z) · max(|z| − λ₁, 0) / ((β + √n) / lr + wd)

    McMahan et al., "Ad click prediction: a view from the trenches" (2013).
    """

    lamda1: float = 0.01
    beta: float = 1.0

    state_names: ClassVar[tuple[str, ...]] = ("z", "n")
    num_scratch: ClassVar[int] = 2

    def step(self, w: Array, g: Array, state: State, tmp: State, lr: float, wd: float, t: int) -> None:
        z, n = state
        s, root = tmp
        np.sqrt(n, out=root)
        z += g
        n += np.multiply(g, g, out=g)
        np.sqrt(n, out=s)
        np.subtract(s, root, out=root)
        root *= w
        root *= 1 / lr
        z -= root
        s += self.beta
        s *= 1 / lr
        s += wd
        np.abs(z, out=g)
        g -= self.lamda1
        np.maximum(g, 0, out=g)
        g /= s
        np.multiply(np.sign(z, out=s), g, out=w)
        np.negative(w, out=w)

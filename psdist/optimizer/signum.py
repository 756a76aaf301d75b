"""Signum and signSGD."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .rule import Array, ElementwiseRule, State, rule

__all__ = ["Signum"]


@rule
@dataclass(frozen=True)
class Signum(ElementwiseRule):
    """Steps of one size, by the sign of the momentum; without momentum, signSGD.

        m ← momentum · m − (1 − momentum) · (g + wd · w)
        w ← (1 − lr · wd_lh) · w + lr · sign(m)

    Without momentum w ← (1 − lr · wd) · w − lr · sign(g). Bernstein et al., arXiv 1802.04434; `wd_lh`
    decays the weights apart from the gradient, as in arXiv 1711.05101.
    """

    momentum: float = 0.9
    wd_lh: float = 0.0

    def create_state(self, value: Array, /) -> State:
        return (np.zeros_like(value),) if self.momentum else ()

    def step(self, w: Array, g: Array, state: State, tmp: State, lr: float, wd: float, t: int) -> None:
        if not state:
            w *= 1 - lr * wd
            w -= np.multiply(np.sign(g, out=g), lr, out=g)
            return
        (m,) = state
        if wd:
            g += np.multiply(w, wd, out=tmp[0])
        g *= 1 - self.momentum
        m *= self.momentum
        m -= g
        w *= 1 - lr * self.wd_lh
        w += np.multiply(np.sign(m, out=g), lr, out=g)

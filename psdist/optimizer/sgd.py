"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .rule import Array, ElementwiseRule, State, rule

__all__ = ["SGD"]


@rule
@dataclass(frozen=True)
class SGD(ElementwiseRule):
    """Stochastic gradient descent, with momentum.

        m ← momentum · m − lr · (g + wd · w)
        w ← w + m

    Polyak, "Some methods of speeding up the convergence of iteration methods" (1964). Without momentum
    there is no state.
    """

    momentum: float = 0.0

    def create_state(self, value: Array, /) -> State:
        return (np.zeros_like(value),) if self.momentum else ()

    def step(self, w: Array, g: Array, state: State, tmp: State, lr: float, wd: float, t: int) -> None:
        if wd:
            g += np.multiply(w, wd, out=tmp[0])
        g *= lr
        if state:
            (m,) = state
            m *= self.momentum
            m -= g
            w += m
        else:
            w -= g

"""Nesterov's accelerated gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .rule import Array, ElementwiseRule, State, rule

__all__ = ["NAG"]


@rule
@dataclass(frozen=True)
class NAG(ElementwiseRule):
    """Nesterov's accelerated gradient: momentum that looks one step ahead.

        m ← momentum · m
        w ← w + momentum · m
        d = lr · (g + wd · w)
        m ← m − d
        w ← w − (1 + momentum) · d

    Sutskever et al., "On the importance of initialization and momentum in deep learning" (2013).
    """

    momentum: float = 0.0

    def create_state(self, value: Array, /) -> State:
        return (np.zeros_like(value),) if self.momentum else ()

    def step(self, w: Array, g: Array, state: State, tmp: State, lr: float, wd: float, t: int) -> None:
        (s,) = tmp
        for m in state:
            m *= self.momentum
            w += np.multiply(m, self.momentum, out=s)
        if wd:
            g += np.multiply(w, wd, out=s)
        g *= lr
        w -= g
        for m in state:
            m -= g
            w -= np.multiply(g, self.momentum, out=s)

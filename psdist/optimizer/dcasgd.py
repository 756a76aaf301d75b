"""SGD that makes up for delay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .rule import Array, ElementwiseRule, State, rule

__all__ = ["DCASGD"]


@rule
@dataclass(frozen=True)
class DCASGD(ElementwiseRule):
    """SGD for asynchronous training: a second-order term makes up for the delay of the gradient.

        m ← momentum · m − lr · (g + wd · w + λ · g² · (w − p))
        p ← w
        w ← w + m

    p being the value before the last update. Zheng et al., arXiv 1609.08326.
    """

    momentum: float = 0.0
    lamda: float = 0.04

    num_scratch: ClassVar[int] = 2

    def create_state(self, value: Array, /) -> State:
        previous = value.copy()
        return (np.zeros_like(value), previous) if self.momentum else (previous,)

    def step(self, w: Array, g: Array, state: State, tmp: State, lr: float, wd: float, t: int) -> None:
        s, delay = tmp
        previous = state[-1]
        np.subtract(w, previous, out=delay)
        delay *= np.multiply(g, g, out=s)
        g += np.multiply(delay, self.lamda, out=delay)
        if wd:
            g += np.multiply(w, wd, out=s)
        g *= lr
        np.copyto(previous, w)
        if self.momentum:
            m = state[0]
            m *= self.momentum
            m -= g
            w += m
        else:
            w -= g

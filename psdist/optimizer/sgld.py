"""Stochastic gradient Langevin dynamics."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .rule import Array, ElementwiseRule, State, rule

__all__ = ["SGLD"]


@rule
@dataclass(frozen=True)
class SGLD(ElementwiseRule):
    """Stochastic gradient Langevin dynamics: half a step down, and noise of the step's size.

        w ← w − lr/2 · (g + wd · w) + N(0, lr)

    Welling and Teh, "Bayesian learning via stochastic gradient Langevin dynamics" (2011). The noise is a
    function of `seed`, the step and what is updated, so that a step done again gives the same value; hence
    it needs the whole value, not slices of it.
    """

    seed: int = 0

    elementwise: ClassVar[bool] = False

    def step(self, w: Array, g: Array, state: State, tmp: State, lr: float, wd: float, t: int) -> None:
        g += np.multiply(w, wd, out=tmp[0])
        g *= lr / 2
        key = (self.seed, t, zlib.crc32(w.data), zlib.crc32(g.data))
        w += np.random.default_rng(key).normal(0.0, math.sqrt(lr), w.shape).astype(w.dtype)
        w -= g

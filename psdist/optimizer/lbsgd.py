"""SGD for large batches: gradients gathered over steps, and a rate that warms up."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .rule import Array, Rule, State, norm, rescaled, rule

__all__ = ["LBSGD"]


@rule
@dataclass(frozen=True)
class LBSGD(Rule):
    """SGD with momentum on the mean of `batch_scale` gradients, the rate rising to `batch_scale` times itself.

    Over the warm-up the factor of the rate grows from 1, linearly, as the square ("power2") or as the root
    ("sqrt") of the share done. With the strategy "lars" it is instead √(‖w‖² / (‖g‖² + wd · ‖w‖²)), between
    0.01 and 100. Goyal et al., arXiv 1706.02677; You et al., arXiv 1708.03888.
    """

    rescale_grad: float = 1.0
    clip_gradient: float | None = None
    momentum: float = 0.0
    warmup_strategy: str = "linear"
    warmup_epochs: float = 5
    batch_scale: float = 1
    updates_per_epoch: float = 32
    begin_epoch: float = 0

    def create_state(self, value: Array, /) -> State:
        gathered = (np.zeros_like(value),) if self.batch_scale > 1 else ()
        return (np.zeros_like(value), *gathered) if self.momentum else gathered

    def update(self, value: Array, grad: Array, state: State, /, *, lr: float, wd: float, t: int) -> None:
        if self.batch_scale > 1:
            gathered = state[-1]
            gathered += grad
            if t % int(self.batch_scale):
                return
            grad = gathered / np.asarray(self.batch_scale, value.dtype)
            gathered[...] = 0
        g = rescaled(grad, value.dtype, self.rescale_grad, self.clip_gradient)
        if wd:
            g += wd * value
        g *= lr * (self._lars(value, grad, wd) if self.warmup_strategy == "lars" else self._warm_up(t))
        if self.momentum:
            m = state[0]
            m *= self.momentum
            m -= g
            value += m
        else:
            value -= g

    def _warm_up(self, t: int) -> float:
        num_warm_up = self.warmup_epochs * self.updates_per_epoch
        done = t + self.begin_epoch * self.updates_per_epoch
        if done >= num_warm_up:
            return self.batch_scale
        share = done / num_warm_up
        curves = {"linear": share, "power2": share**2, "sqrt": math.sqrt(share)}
        return 1 + (self.batch_scale - 1) * curves.get(self.warmup_strategy, 0.0)

    def _lars(self, value: Array, grad: Array, wd: float) -> float:
        of_value, of_grad = norm(value) ** 2, norm(grad) ** 2
        return min(100.0, max(0.01, math.sqrt(of_value / (of_grad + wd * of_value + 1e-18))))

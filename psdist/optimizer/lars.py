"""Layer-wise adaptive rate scaling."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .rule import Array, Rule, State, norm, rescaled, rule

__all__ = ["LARS", "UNSCALED"]

UNSCALED = ("gamma", "beta", "bias")  # how the names end of what keeps its rate


@rule
@dataclass(frozen=True)
class LARS(Rule):
    """SGD with momentum, the rate of each value in proportion to its norm over its gradient's.

        r = eta · ‖w‖ / (‖g‖ + wd · ‖w‖ + eps)
        m ← momentum · m + r · (g + wd · w)
        w ← w − lr · m

    r is 1 where a norm is 0, and for vectors: biases and normalisation's scales; `scaled` may say
    otherwise: for none, for all, or ("named") for keys that are called so, and those of `unscaled`.
    With `momentum_correction` the momentum follows a change of lr at once, as written above;
    without, lr is in m. You et al., arXiv 1708.03888.
    """

    rescale_grad: float = 1.0
    clip_gradient: float | None = None
    momentum: float = 0.0
    eta: float = 0.001
    eps: float = 0.0
    momentum_correction: bool = True
    scaled: str = "matrices"  # or "all", "none", "named"
    unscaled: str = ""  # keys of a store, "i:3 i:5": not scaled where `scaled` is "named"

    def create_state(self, value: Array, /) -> State:
        return (np.zeros_like(value),) if self.momentum else ()

    def for_key(self, name: str, /) -> Rule:
        if self.scaled != "named":
            return self
        is_plain = name in self.unscaled.split() or (name.startswith("s:") and name.endswith(UNSCALED))
        return replace(self, scaled="none" if is_plain else "all", unscaled="")

    def update(self, value: Array, grad: Array, state: State, /, *, lr: float, wd: float, t: int) -> None:
        g = rescaled(grad, value.dtype, self.rescale_grad, self.clip_gradient)
        if wd:
            g += wd * value
        g *= self._ratio(value, grad, wd)
        if not self.momentum_correction:
            g *= lr
        if state:
            (m,) = state
            m *= self.momentum
            m += g
            np.copyto(g, m)
        value -= g * lr if self.momentum_correction else g

    def _ratio(self, value: Array, grad: Array, wd: float) -> float:
        if self.scaled == "none" or (self.scaled == "matrices" and value.ndim < 2):
            return 1.0
        of_value, of_grad = norm(value), norm(grad) * self.rescale_grad
        if not of_value or not of_grad:
            return 1.0
        return self.eta * of_value / (of_grad + wd * of_value + self.eps)

"""The simplest optimizer, for tests of stores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .rule import Array, Rule, State, rule

__all__ = ["Test"]


@rule
@dataclass(frozen=True)
class Test(Rule):
    """Add the gradient, and keep a copy: w ← w + rescale_grad · g. For tests of stores."""

    rescale_grad: float = 1.0

    elementwise: ClassVar[bool] = True
    state_names: ClassVar[tuple[str, ...]] = ("copy",)

    def update(self, value: Array, grad: Array, state: State, /, *, lr: float, wd: float, t: int) -> None:
        value += self.rescale_grad * grad
        np.copyto(state[0], value)

"""Learning rates that change with the number of updates: `scheduler(num_update)` is the rate to use.

The same object may be asked for growing numbers only: the step schedulers keep the rate they have come to in
`base_lr`, where a script may read it and overwrite it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from .errors import ConfigError

__all__ = ["CosineScheduler", "FactorScheduler", "LRScheduler", "MultiFactorScheduler", "PolyScheduler"]


class LRScheduler:
    """A constant rate after an optional warm-up. Subclasses say in `_rate` what follows the warm-up.

    For `warmup_steps` updates the rate rises from `warmup_begin_lr` to `base_lr` ("linear") or stays at
    `warmup_begin_lr` ("constant").
    """

    def __init__(
        self,
        base_lr: float = 0.01,
        warmup_steps: int = 0,
        warmup_begin_lr: float = 0,
        warmup_mode: str = "linear",
    ) -> None:
        if not isinstance(warmup_steps, int) or warmup_steps < 0:
            raise ConfigError(f"warmup_steps is {warmup_steps!r}; wanted an integer, 0 or more")
        if warmup_begin_lr > base_lr:
            raise ConfigError(f"warm-up begins at {warmup_begin_lr}, above base_lr {base_lr}")
        if warmup_mode not in ("linear", "constant"):
            raise ConfigError(f"warmup_mode is {warmup_mode!r}; wanted 'linear' or 'constant'")
        self.base_lr = base_lr
        self.warmup_steps = warmup_steps
        self.warmup_begin_lr = warmup_begin_lr
        self.warmup_final_lr = base_lr
        self.warmup_mode = warmup_mode

    def get_warmup_lr(self, num_update: int) -> float:
        """The rate within the warm-up."""
        if self.warmup_mode == "constant":
            return self.warmup_begin_lr
        rise = self.warmup_final_lr - self.warmup_begin_lr
        return self.warmup_begin_lr + rise * num_update / self.warmup_steps

    def _rate(self, num_update: int) -> float:
        raise NotImplementedError(f"{type(self).__name__} must say its rate: override __call__")

    def __call__(self, num_update: int) -> float:
        if num_update < self.warmup_steps:
            return self.get_warmup_lr(num_update)
        return self._rate(num_update)


class FactorScheduler(LRScheduler):
    """Multiply the rate by `factor` after every `step` updates, down to `stop_factor_lr`."""

    def __init__(
        self,
        step: int,
        factor: float = 1,
        stop_factor_lr: float = 1e-8,
        base_lr: float = 0.01,
        warmup_steps: int = 0,
        warmup_begin_lr: float = 0,
        warmup_mode: str = "linear",
    ) -> None:
        super().__init__(base_lr, warmup_steps, warmup_begin_lr, warmup_mode)
        if step < 1:
            raise ConfigError(f"step is {step}; wanted 1 or more updates between changes")
        _check_factor(factor)
        self.step = step
        self.factor = factor
        self.stop_factor_lr = stop_factor_lr
        self.count = 0  # the update after which the rate last changed

    def _rate(self, num_update: int) -> float:
        while num_update > self.count + self.step:
            self.count += self.step
            self.base_lr = max(self.base_lr * self.factor, self.stop_factor_lr)
        return self.base_lr


class MultiFactorScheduler(LRScheduler):
    """Multiply the rate by `factor` after each of the update numbers in `step`."""

    def __init__(
        self,
        step: Sequence[int],
        factor: float = 1,
        base_lr: float = 0.01,
        warmup_steps: int = 0,
        warmup_begin_lr: float = 0,
        warmup_mode: str = "linear",
    ) -> None:
        super().__init__(base_lr, warmup_steps, warmup_begin_lr, warmup_mode)
        if not isinstance(step, list | tuple) or not step or step[0] < 1:
            raise ConfigError(f"step is {step!r}; wanted a list of update numbers, the first 1 or more")
        if any(b <= a for a, b in itertools.pairwise(step)):
            raise ConfigError(f"step is {step!r}; wanted growing update numbers")
        _check_factor(factor)
        self.step = step
        self.factor = factor
        self.count = 0
        self.cur_step_ind = 0  # how many of `step` are behind us

    def _rate(self, num_update: int) -> float:
        while self.cur_step_ind < len(self.step) and num_update > self.step[self.cur_step_ind]:
            self.count = self.step[self.cur_step_ind]
            self.cur_step_ind += 1
            self.base_lr *= self.factor
        return self.base_lr


class _Annealing(LRScheduler):
    """From `base_lr` to `final_lr` at `max_update`, along a curve of the fraction done; then constant."""

    def __init__(
        self,
        max_update: int,
        base_lr: float,
        final_lr: float,
        warmup_steps: int,
        warmup_begin_lr: float,
        warmup_mode: str,
    ) -> None:
        super().__init__(base_lr, warmup_steps, warmup_begin_lr, warmup_mode)
        if not isinstance(max_update, int) or max_update < 1:
            raise ConfigError(f"max_update is {max_update!r}; wanted an integer, 1 or more")
        self.max_update = max_update
        self.base_lr_orig = base_lr
        self.final_lr = final_lr
        self.max_steps = max_update - warmup_steps

    def _share(self, done: float) -> float:
        """How much of the way down is left, 1 to 0."""
        raise NotImplementedError

    def _rate(self, num_update: int) -> float:
        if num_update <= self.max_update:
            share = self._share((num_update - self.warmup_steps) / self.max_steps)
            self.base_lr = self.final_lr + (self.base_lr_orig - self.final_lr) * share
        return self.base_lr


class PolyScheduler(_Annealing):
    """Fall from `base_lr` to `final_lr` as (1 − done)^pwr until `max_update`."""

    def __init__(
        self,
        max_update: int,
        base_lr: float = 0.01,
        pwr: float = 2,
        final_lr: float = 0,
        warmup_steps: int = 0,
        warmup_begin_lr: float = 0,
        warmup_mode: str = "linear",
    ) -> None:
        super().__init__(max_update, base_lr, final_lr, warmup_steps, warmup_begin_lr, warmup_mode)
        self.power = pwr

    def _share(self, done: float) -> float:
        return float((1 - done) ** self.power)


class CosineScheduler(_Annealing):
    """Fall from `base_lr` to `final_lr` along half a cosine until `max_update`.

    Loshchilov and Hutter, arXiv 1608.03983, without restarts.
    """

    def __init__(
        self,
        max_update: int,
        base_lr: float = 0.01,
        final_lr: float = 0,
        warmup_steps: int = 0,
        warmup_begin_lr: float = 0,
        warmup_mode: str = "linear",
    ) -> None:
        super().__init__(max_update, base_lr, final_lr, warmup_steps, warmup_begin_lr, warmup_mode)

    def _share(self, done: float) -> float:
        return (1 + math.cos(math.pi * done)) / 2


def _check_factor(factor: float) -> None:
    if factor > 1:
        raise ConfigError(f"factor is {factor}; wanted at most 1, so that the rate falls")

"""The servers' optimizer as rank 0 knows it: what they must hear, and when; rates change by rounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psdist.errors import ConfigError
from psdist.kvstore.base import Key
from psdist.wire import key_name
from psdist.wire import messages as m

from .plan import KeyInfo

__all__ = ["Rates"]


class Rates:
    """The optimizer that the servers run, and what they were told of its rates."""

    def __init__(self) -> None:
        self.optimizer: Any = None
        self._told: tuple[float, float] = (0.0, 0.0)
        self._wire: tuple[str, dict[str, Any]] = ("", {})
        self._base = 0  # what the optimizer counts at clock 0
        self._round = -1  # the latest round that a push was made for

    def set_optimizer(
        self, optimizer: Any, infos: dict[Key, KeyInfo], next_seq: Callable[[], int], *, goes_on: bool = False
    ) -> Callable[[], m.SetOptimizer]:
        """What to tell each server. `goes_on`: the rounds before were updates of this optimizer, too."""
        self.optimizer = optimizer
        self._wire = name, numbers = optimizer.to_wire()
        clock = max((info.clock for info in infos.values()), default=0)
        self._round = clock - 1
        self._base = optimizer.begin_num_update - (0 if goes_on else clock)
        self._count()
        self._told = lr, wd = float(optimizer.learning_rate), float(optimizer.wd)
        lazy = bool(getattr(optimizer, "lazy_update", False))
        lr_mult, wd_mult = (self._multipliers(which, infos) for which in ("lr_mult", "wd_mult"))
        return lambda: m.SetOptimizer(next_seq(), name, numbers, lr, wd, lr_mult, wd_mult, lazy)

    def for_round(self, clock: int) -> tuple[int, float, float] | None:
        """(from round, lr, wd) if the servers must hear of new rates before round `clock` is pushed.

        A rate that changes when some key's gradient of a round is on its way holds from the next round on.
        """
        optimizer = self.optimizer
        if optimizer is None:
            return None
        begins = clock > self._round
        if begins:
            self._round = clock
            self._count()
            if optimizer.to_wire() != self._wire:
                raise ConfigError(
                    f"{self._wire[0]}: {self._wire[1]} was changed to {optimizer.to_wire()[1]} after "
                    "set_optimizer; the servers hear only of lr and wd. Call set_optimizer again"
                )
        rates = float(optimizer.learning_rate), float(optimizer.wd)
        if rates == self._told:
            return None
        self._told = rates
        return (clock if begins else clock + 1), *rates

    def resume(self) -> None:
        """The optimizer's count was loaded: go on from there."""
        self._base = self.optimizer.num_update - (self._round + 1)

    def _count(self) -> None:
        """Count the updates as the optimizer itself would; its scheduler looks at the number."""
        optimizer = self.optimizer
        optimizer.num_update = max(optimizer.num_update, self._base + self._round + 1)

    def _multipliers(self, which: str, infos: dict[Key, KeyInfo]) -> dict[str, float]:
        optimizer = self.optimizer
        given = getattr(optimizer, which)
        by_name = {key_name(key): float(value) for key, value in given.items() if isinstance(key, (int, str))}
        for index, name in optimizer.idx2name.items():
            if name in given and index not in given:
                by_name[key_name(index)] = float(given[name])
        for key in infos:
            by_name[key_name(key)] = float(optimizer._multiplier(key, given, which))
        return {name: value for name, value in by_name.items() if value != 1.0}

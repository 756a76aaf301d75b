"""Functions that `fit` and `score` call: after a batch with a BatchEndParam, after an epoch with the model.

What they log goes to the root logger, where scripts written for MXNet look for it.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TextIO

from .checkpoint import save_checkpoint
from .settings import Settings

__all__ = [
    "BatchEndParam",
    "LogValidationMetricsCallback",
    "ProgressBar",
    "Speedometer",
    "do_checkpoint",
    "log_train_metric",
    "module_checkpoint",
]


class BatchEndParam(NamedTuple):
    """Where training stands, for a callback at the end of a batch. `locals` are the variables of the loop."""

    epoch: int
    nbatch: int
    eval_metric: Any
    locals: dict[str, Any] | None


def module_checkpoint(
    mod: Any, prefix: str, period: int = 1, save_optimizer_states: bool = False
) -> Callable[..., None]:
    """After every `period` epochs save the module, with its optimizer's states if asked."""
    period = max(1, int(period))

    def save(iter_no: int, sym: Any = None, arg: Any = None, aux: Any = None) -> None:
        if (iter_no + 1) % period == 0:
            mod.save_checkpoint(prefix, iter_no + 1, save_optimizer_states)

    return save


def do_checkpoint(prefix: str, period: int = 1) -> Callable[[int, Any, Any, Any], None]:
    """After every `period` epochs save the graph and the parameters."""
    period = max(1, int(period))

    def save(iter_no: int, sym: Any, arg: Any, aux: Any) -> None:
        if (iter_no + 1) % period == 0:
            save_checkpoint(prefix, iter_no + 1, sym, arg, aux)

    return save


def log_train_metric(period: int, auto_reset: bool = False) -> Callable[[BatchEndParam], None]:
    """Log the metric every `period` batches, and begin its next window if asked."""

    def log(param: BatchEndParam) -> None:
        if param.nbatch % period == 0 and param.eval_metric is not None:
            for name, value in param.eval_metric.get_name_value():
                logging.info("Iter[%d] Batch[%d] Train-%s=%f", param.epoch, param.nbatch, name, value)
            if auto_reset:
                param.eval_metric.reset_local()

    return log


class Speedometer:
    """Log samples per second and the metric every `frequent` batches; then begin the metric's next window."""

    def __init__(self, batch_size: int, frequent: int = 50, auto_reset: bool = True) -> None:
        self.batch_size = batch_size
        self.frequent = frequent
        self.auto_reset = auto_reset
        self.last_count = 0
        self._began: float | None = None  # when the current window did

    def __call__(self, param: BatchEndParam) -> None:
        count = param.nbatch
        if self.last_count > count:  # a new epoch
            self._began = None
        self.last_count = count
        if self._began is None:
            self._began = time.perf_counter()
            return
        if count % self.frequent:
            return
        elapsed = time.perf_counter() - self._began
        speed = self.frequent * self.batch_size / elapsed if elapsed else float("inf")
        parts = [
            f"Epoch[{param.epoch}] Batch [{count - self.frequent}-{count}]",
            f"Speed: {speed:.2f} samples/sec",
        ]
        if param.eval_metric is not None:
            parts += [f"{name}={value:f}" for name, value in param.eval_metric.get_name_value()]
            if self.auto_reset:
                param.eval_metric.reset_local()
        logging.info("%s", "\t".join(parts))
        self._began = time.perf_counter()


class ProgressBar:
    """A bar that fills up over `total` batches: redrawn on a terminal, one line at the end in a pipe."""

    def __init__(self, total: int, length: int = 80, *, file: TextIO | None = None, text: str = "") -> None:
        self.total = total
        self.bar_len = length
        self.text = text  # shown before the bar; may be changed while it runs
        self._file = file or sys.stderr
        self._redraws = self._file.isatty() or Settings.read().draws_bars

    def __call__(self, param: BatchEndParam) -> None:
        done = param.nbatch + 1
        if not self._redraws and done < self.total:
            return
        filled = round(self.bar_len * min(1.0, done / self.total))
        bar = "█" * filled + "░" * (self.bar_len - filled)
        values = param.eval_metric.get_name_value() if param.eval_metric is not None else []
        figures = "  ".join(f"{name} {value:.4f}" for name, value in values)
        line = f"{self.text}{bar} {done}/{self.total}  {figures}".rstrip()
        if self._redraws:
            self._file.write(f"\r{line}\x1b[K" + ("\n" if done >= self.total else ""))
        else:
            self._file.write(line + "\n")
        self._file.flush()


class LogValidationMetricsCallback:
    """Log the metric of an evaluation at its end."""

    def __call__(self, param: BatchEndParam) -> None:
        if param.eval_metric is not None:
            for name, value in param.eval_metric.get_name_value():
                logging.info("Epoch[%d] Validation-%s=%f", param.epoch, name, value)

"""A model on disk, as MXNet keeps it: `prefix-symbol.json`, and `prefix-0007.params` after epoch 7.

In the parameters' file the names are `arg:fc_weight` and `aux:bn_moving_mean`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from . import symbol as sym
from .errors import ConfigError
from .ndarray import NDArray, load, save

__all__ = ["load_checkpoint", "load_params", "params_path", "save_checkpoint", "split_params", "symbol_path"]

Params = dict[str, NDArray]


def symbol_path(prefix: str) -> str:
    """Where the graph of a checkpoint is."""
    return f"{prefix}-symbol.json"


def params_path(prefix: str, epoch: int) -> str:
    """Where the arrays of a checkpoint are."""
    return f"{prefix}-{epoch:04d}.params"


def save_checkpoint(
    prefix: str,
    epoch: int,
    symbol: Any,
    arg_params: Mapping[str, NDArray],
    aux_params: Mapping[str, NDArray],
    remove_amp_cast: bool = True,
) -> None:
    """Write the graph (unless `symbol` is None) and the parameters of an epoch."""
    if symbol is not None:
        symbol.save(symbol_path(prefix))
    named = {f"arg:{name}": value for name, value in arg_params.items()}
    named |= {f"aux:{name}": value for name, value in aux_params.items()}
    path = params_path(prefix, epoch)
    save(path, named)
    logging.info('Saved checkpoint to "%s"', path)


def load_params(prefix: str, epoch: int) -> tuple[Params, Params]:
    """The (arg_params, aux_params) of an epoch."""
    path = params_path(prefix, epoch)
    named = load(path)
    if not isinstance(named, Mapping):
        raise ConfigError(
            f"{path} holds {len(named)} arrays without names; wanted a checkpoint's 'arg:…', 'aux:…'"
        )
    return split_params(named, path)


def split_params(named: Mapping[str, NDArray], source: str) -> tuple[Params, Params]:
    """The arguments and the auxiliary states among a file's `arg:…` and `aux:…` names."""
    parts: dict[str, Params] = {"arg": {}, "aux": {}}
    for full_name, value in named.items():
        kind, colon, name = full_name.partition(":")
        if not colon or kind not in parts:
            raise ConfigError(f"{source}: {full_name!r} is neither 'arg:…' nor 'aux:…'")
        parts[kind][name] = value
    return parts["arg"], parts["aux"]


def load_checkpoint(prefix: str, epoch: int) -> tuple[Any, Params, Params]:
    """The (symbol, arg_params, aux_params) that `save_checkpoint` wrote."""
    return sym.load(symbol_path(prefix)), *load_params(prefix, epoch)

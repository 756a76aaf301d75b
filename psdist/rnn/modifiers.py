"""Cells that change what another cell, or an input, gives: dropout, zoneout, residual."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .. import symbol
from ..errors import ConfigError
from ..ndarray import NDArray
from ..symbol import Symbol
from .base import BaseRNNCell, Outputs, Params, RNNParams, States, normalize_sequence

__all__ = ["DropoutCell", "ModifierCell", "ResidualCell", "ZoneoutCell"]


class DropoutCell(BaseRNNCell):
    """Dropout on the input; no states."""

    def __init__(self, dropout: float, prefix: str = "dropout_", params: RNNParams | None = None) -> None:
        super().__init__(prefix, params)
        if not isinstance(dropout, int | float) or not 0 <= dropout < 1:
            raise ConfigError(f"DropoutCell: dropout is {dropout!r}; wanted a number from 0 to below 1")
        self.dropout = dropout

    @property
    def state_info(self) -> list[dict[str, Any]]:
        return []

    def __call__(self, inputs: Symbol, states: States) -> tuple[Symbol, States]:
        if self.dropout > 0:
            inputs = symbol.Dropout(data=inputs, p=self.dropout)
        return inputs, states

    def unroll(
        self,
        length: int,
        inputs: Any,
        begin_state: States | None = None,
        layout: str = "NTC",
        merge_outputs: bool | None = None,
    ) -> tuple[Outputs, States]:
        self.reset()
        inputs, _ = normalize_sequence(length, inputs, layout, merge_outputs)
        if isinstance(inputs, Symbol):  # all steps at once
            return self(inputs, [])
        return super().unroll(length, inputs, begin_state, layout, merge_outputs)


class ModifierCell(BaseRNNCell):
    """The base of cells around another: its parameters and states are that one's."""

    def __init__(self, base_cell: BaseRNNCell) -> None:
        super().__init__()
        base_cell._modified = True
        self.base_cell = base_cell

    def reset(self) -> None:
        super().reset()
        if hasattr(self, "base_cell"):  # not yet, in the base's constructor
            self.base_cell.reset()

    @property
    def params(self) -> RNNParams:
        self._own_params = False
        return self.base_cell.params

    @property
    def state_info(self) -> list[dict[str, Any]]:
        return self.base_cell.state_info

    def begin_state(self, func: Callable[..., Symbol] = symbol.zeros, **kwargs: Any) -> States:
        self._refuse_modified()
        func = kwargs.pop("init_sym", func)  # MXNet's name for it here
        self.base_cell._modified = False
        try:
            return self.base_cell.begin_state(func=func, **kwargs)
        finally:
            self.base_cell._modified = True

    def unpack_weights(self, args: Mapping[str, NDArray]) -> Params:
        return self.base_cell.unpack_weights(args)

    def pack_weights(self, args: Mapping[str, NDArray]) -> Params:
        return self.base_cell.pack_weights(args)


class ZoneoutCell(ModifierCell):
    """Keeps a random part of the last step's outputs and states (Krueger et al. 2016)."""

    def __init__(
        self, base_cell: BaseRNNCell, zoneout_outputs: float = 0.0, zoneout_states: float = 0.0
    ) -> None:
        from .compound import BidirectionalCell, SequentialRNNCell
        from .fused import FusedRNNCell

        if isinstance(base_cell, FusedRNNCell | BidirectionalCell) or (
            isinstance(base_cell, SequentialRNNCell)
            and any(isinstance(cell, BidirectionalCell) for cell in base_cell._cells)
        ):
            raise ConfigError(
                f"ZoneoutCell: a {type(base_cell).__name__} cannot be stepped; put zoneout on the cells inside "
                "(unfuse() a fused one first)"
            )
        super().__init__(base_cell)
        self.zoneout_outputs = zoneout_outputs
        self.zoneout_states = zoneout_states

    def reset(self) -> None:
        super().reset()
        self.prev_output: Symbol | None = None

    def __call__(self, inputs: Symbol, states: States) -> tuple[Symbol, States]:
        output, new_states = self.base_cell(inputs, states)

        def mixed(p: float, new: Symbol, old: Symbol) -> Symbol:
            mask = symbol.Dropout(symbol.ones_like(new), p=p)
            return symbol.where(mask, new, old)  # type: ignore[no-any-return]

        if self.zoneout_outputs:
            mask = symbol.Dropout(symbol.ones_like(output), p=self.zoneout_outputs)
            before = symbol.zeros((0, 0)) if self.prev_output is None else self.prev_output
            output = symbol.where(mask, output, before)
        if self.zoneout_states:
            pairs = zip(new_states, states, strict=True)
            new_states = [mixed(self.zoneout_states, new, old) for new, old in pairs]
        self.prev_output = output
        return output, new_states


class ResidualCell(ModifierCell):
    """The cell's output plus its input (He et al. 2016)."""

    def __call__(self, inputs: Symbol, states: States) -> tuple[Symbol, States]:
        output, states = self.base_cell(inputs, states)
        return symbol.elemwise_add(output, inputs, name=f"{output.name}_plus_residual"), states

    def unroll(
        self,
        length: int,
        inputs: Any,
        begin_state: States | None = None,
        layout: str = "NTC",
        merge_outputs: bool | None = None,
    ) -> tuple[Outputs, States]:
        self.reset()
        self.base_cell._modified = False
        try:
            outputs, states = self.base_cell.unroll(length, inputs, begin_state, layout, merge_outputs)
        finally:
            self.base_cell._modified = True
        merged = isinstance(outputs, Symbol) if merge_outputs is None else merge_outputs
        inputs, _ = normalize_sequence(length, inputs, layout, merged)
        if isinstance(outputs, Symbol):
            return symbol.elemwise_add(outputs, inputs, name=f"{outputs.name}_plus_residual"), states
        return [
            symbol.elemwise_add(o, i, name=f"{o.name}_plus_residual")
            for o, i in zip(outputs, inputs, strict=True)
        ], states

"""Cells of cells: one on top of the other, and two in opposite directions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .. import symbol
from ..errors import GraphError
from ..ndarray import NDArray
from ..symbol import Symbol
from .base import BaseRNNCell, Outputs, Params, RNNParams, States, normalize_sequence

__all__ = ["BidirectionalCell", "SequentialRNNCell"]


class _Compound(BaseRNNCell):
    """Several cells, whose states and parameters stand side by side."""

    def __init__(self, params: RNNParams | None) -> None:
        super().__init__("", params)
        self._override_cell_params = params is not None

    def _adopt(self, cell: BaseRNNCell) -> None:
        if self._override_cell_params:
            if not cell._own_params:
                raise GraphError(
                    f"{type(self).__name__} was given parameters, and so was a cell in it; give them to one"
                )
            cell.params._params.update(self._params._params)
        self._params._params.update(cell.params._params)
        self._cells.append(cell)

    @property
    def state_info(self) -> list[dict[str, Any]]:
        return [info for cell in self._cells for info in cell.state_info]

    def begin_state(self, func: Callable[..., Symbol] = symbol.zeros, **kwargs: Any) -> States:
        self._refuse_modified()
        return [s for cell in self._cells for s in cell.begin_state(func=func, **kwargs)]

    def unpack_weights(self, args: Mapping[str, NDArray]) -> Params:
        out = dict(args)
        for cell in self._cells:
            out = cell.unpack_weights(out)
        return out

    def pack_weights(self, args: Mapping[str, NDArray]) -> Params:
        out = dict(args)
        for cell in self._cells:
            out = cell.pack_weights(out)
        return out

    def _states_of(self, states: States) -> list[States]:
        """Each cell's part of the states."""
        parts, at = [], 0
        for cell in self._cells:
            n = len(cell.state_info)
            parts.append(states[at : at + n])
            at += n
        return parts


class SequentialRNNCell(_Compound):
    """One cell on top of the other: `add` them from the bottom."""

    def __init__(self, params: RNNParams | None = None) -> None:
        super().__init__(params)

    def add(self, cell: BaseRNNCell) -> None:
        """Put a cell on top."""
        self._adopt(cell)

    def __call__(self, inputs: Symbol, states: States) -> tuple[Symbol, States]:
        self._counter += 1
        next_states = []
        for cell, part in zip(self._cells, self._states_of(states), strict=True):
            inputs, new = cell(inputs, part)
            next_states += new
        return inputs, next_states

    def unroll(
        self,
        length: int,
        inputs: Any,
        begin_state: States | None = None,
        layout: str = "NTC",
        merge_outputs: bool | None = None,
    ) -> tuple[Outputs, States]:
        self.reset()
        states = self.begin_state() if begin_state is None else begin_state
        next_states: States = []
        for cell, part in zip(self._cells, self._states_of(states), strict=True):
            merge = merge_outputs if cell is self._cells[-1] else None
            inputs, new = cell.unroll(length, inputs, part, layout, merge)
            next_states += new
        return inputs, next_states


class BidirectionalCell(_Compound):
    """Two cells, one of which goes from the last step to the first; their outputs are put side by side.

    Unrolled, the states are two lists, the left cell's and the right cell's.
    """

    def __init__(
        self,
        l_cell: BaseRNNCell,
        r_cell: BaseRNNCell,
        params: RNNParams | None = None,
        output_prefix: str = "bi_",
    ) -> None:
        super().__init__(params)
        self._output_prefix = output_prefix
        self._adopt(l_cell)
        self._adopt(r_cell)

    def __call__(self, inputs: Symbol, states: States) -> tuple[Symbol, States]:
        raise NotImplementedError(
            "a BidirectionalCell cannot be stepped, since it needs the last step first; use unroll"
        )

    def unroll(
        self,
        length: int,
        inputs: Any,
        begin_state: States | None = None,
        layout: str = "NTC",
        merge_outputs: bool | None = None,
    ) -> tuple[Outputs, States]:
        self.reset()
        steps, axis = normalize_sequence(length, inputs, layout, False)
        states = self.begin_state() if begin_state is None else begin_state
        begin_l, begin_r = self._states_of(states)
        l_cell, r_cell = self._cells
        left, l_states = l_cell.unroll(length, steps, begin_l, layout, merge_outputs)
        right, r_states = r_cell.unroll(length, steps[::-1], begin_r, layout, merge_outputs)
        last = [l_states, r_states]
        merged = merge_outputs
        if merged is None:
            merged = isinstance(left, Symbol) and isinstance(right, Symbol)
        if merged:
            assert isinstance(left, Symbol)
            right = symbol.reverse(right, axis=axis)
            return symbol.Concat(left, right, dim=2, name=f"{self._output_prefix}out"), last
        lefts, _ = normalize_sequence(length, left, layout, False)
        rights, _ = normalize_sequence(length, right, layout, False)
        return [
            symbol.Concat(a, b, dim=1, name=f"{self._output_prefix}t{i}")
            for i, (a, b) in enumerate(zip(lefts, rights[::-1], strict=True))
        ], last

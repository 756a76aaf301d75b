"""The optimizer that an SVRGModule names: the one asked for, beside keys that only take what is pushed."""

from __future__ import annotations

from typing import Any

from ...ndarray import NDArray
from ...optimizer import Optimizer, create, register

__all__: list[str] = []


@register
class _AssignmentOptimizer(Optimizer):
    """The weight becomes the gradient."""

    def update(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
        weight[:] = grad


@register
class _SVRGOptimizer(Optimizer):
    """`default_optimizer`, a name or an optimizer, for all parameters; assignment for those whose name has `full` in it.

    Everything else that one may ask of an optimizer or set on it is the default optimizer's, which is also what goes to
    a server.
    """

    default_opt: Optimizer
    aux_opt: Optimizer

    def __init__(self, default_optimizer: str | Optimizer, **kwargs: Any) -> None:
        is_name = isinstance(default_optimizer, str)
        default = create(default_optimizer, **kwargs) if is_name else default_optimizer
        self.__dict__.update(default_opt=default, aux_opt=_AssignmentOptimizer())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "default_opt" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.default_opt, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.default_opt, name, value)

    def _for(self, index: Any) -> Optimizer:
        return (
            self.aux_opt if "full" in str(self.default_opt.idx2name.get(index, index)) else self.default_opt
        )

    def create_state(self, index: Any, weight: NDArray) -> Any:
        return self._for(index).create_state(index, weight)

    def create_state_multi_precision(self, index: Any, weight: NDArray) -> Any:
        return self._for(index).create_state_multi_precision(index, weight)

    def update(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
        self._for(index).update(index, weight, grad, state)

    def update_multi_precision(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
        self._for(index).update_multi_precision(index, weight, grad, state)

    def to_wire(self) -> Any:
        return self.default_opt.to_wire()

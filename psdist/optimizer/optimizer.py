"""The optimizer that scripts hold: MXNet's `Optimizer`, keeping the step counts, rates and names of
parameters.

The arithmetic is not here. A class such as `SGD` is made from its rule by `from_rule`: the rule's numbers
become the constructor's arguments and the object's attributes, and each update runs the rule on the arrays'
memory. The same rule's name and numbers are what a parameter server gets.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import operator
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import ConfigError
from ..ndarray import NDArray
from ..registry import Registry
from .rule import Array, Number, Rule

if TYPE_CHECKING:
    from ..lr_scheduler import LRScheduler

__all__ = ["Optimizer", "RuleOptimizer", "create", "from_rule", "register"]

Index = Hashable  # a parameter's number or name


class Optimizer:
    """The base of optimizers. A subclass overrides `create_state` and `update`, both over NDArrays.

    `lr_mult` and `wd_mult`, set by index or by name, multiply learning rate and weight decay; biases and
    betas have no weight decay unless `set_wd_mult` gives it. `num_update` is the greatest number of updates
    that any parameter has had, which is what a scheduler of the learning rate sees.
    """

    opt_registry: ClassVar[dict[str, type[Optimizer]]]
    _master_first: ClassVar[bool] = True  # where a state has the float32 copy of a float16 weight
    _decayed_names: ClassVar[tuple[str, ...]] = ("_weight", "_gamma")  # endings of names with weight decay

    def __init__(
        self,
        rescale_grad: float = 1.0,
        param_idx2name: Mapping[Index, str] | None = None,
        wd: float = 0.0,
        clip_gradient: float | None = None,
        learning_rate: float | None = None,
        lr_scheduler: LRScheduler | None = None,
        sym: Any = None,
        begin_num_update: int = 0,
        multi_precision: bool = False,
        param_dict: Mapping[Index, Any] | None = None,
    ) -> None:
        if not isinstance(param_idx2name, Mapping | None):
            raise ConfigError(f"param_idx2name is {param_idx2name!r}; wanted a dict of indices to names")
        self.rescale_grad = rescale_grad
        self.clip_gradient = clip_gradient
        self.multi_precision = multi_precision
        self.lr_scheduler = lr_scheduler
        self.lr = 0.01 if learning_rate is None else learning_rate
        if lr_scheduler is not None and learning_rate is not None:
            lr_scheduler.base_lr = learning_rate
        self.wd = wd
        self.begin_num_update = begin_num_update
        self.num_update = begin_num_update
        self.aggregate_num = 0
        self._all_index_update_counts: dict[int, dict[Index, int]] = {0: {}}  # by device
        self._index_update_count = self._all_index_update_counts[0]
        self.idx2name: dict[Index, str] = dict(param_idx2name or {})
        self.param_dict = dict(param_dict or {})
        self.sym_info = (sym.attr_dict(), sym.list_arguments()) if sym is not None else ()
        self.lr_mult: dict[Index, float] = {}
        self.wd_mult: dict[Index, float] = {}
        self.set_lr_mult({})
        self.set_wd_mult({})

    @staticmethod
    def register(cls: type[Optimizer]) -> type[Optimizer]:
        """Enter a class under its name in lower case; as a decorator."""
        return _registry.register(cls)

    @staticmethod
    def create_optimizer(name: str | Optimizer, **kwargs: Any) -> Optimizer:
        """An optimizer by its name. Raises ConfigError for an unknown one."""
        return _registry.create(name, **kwargs)

    # --- what a subclass gives ----------------------------------------------------------------------

    def create_state(self, index: Index, weight: NDArray) -> Any:
        """What to keep for a parameter between updates: None, an NDArray, or a tuple of states."""
        return None

    def update(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
        """Change `weight` and `state` in place."""
        raise NotImplementedError(f"{type(self).__name__} must override update(index, weight, grad, state)")

    def create_state_multi_precision(self, index: Index, weight: NDArray) -> Any:
        """`create_state`, and for a float16 weight a float32 copy that takes the updates."""
        if self.multi_precision and weight.dtype == np.float16:
            master = weight.astype(np.float32)
            state = self.create_state(index, master)
            return (master, state) if self._master_first else (state, master)
        return self.create_state(index, weight)

    def update_multi_precision(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
        """`update`, on the float32 copy where there is one."""
        if isinstance(index, list | tuple):
            for i, w, g, s in zip(index, weight, grad, state, strict=True):
                self.update_multi_precision(i, w, g, s)
        elif self.multi_precision and weight.dtype == np.float16:
            master, inner = state if self._master_first else state[::-1]
            if not self._master_first:  # MXNet has rules of their own for these, and none of them for rows
                grad = grad.tostype("default")
            self.update(index, master, grad.astype(np.float32), inner)
            weight[:] = master.astype(np.float16)
        else:
            self.update(index, weight, grad, state)

    def to_wire(self) -> tuple[str, dict[str, Number]]:
        """Name and numbers for a server. Raises ConfigError: code of a script's own is not sent anywhere."""
        raise ConfigError(
            f"{type(self).__name__} is code of your own, which a server does not execute. Use one of "
            "mx.optimizer, or update on the workers: update_on_kvstore=False"
        )

    # --- rates --------------------------------------------------------------------------------------

    @property
    def learning_rate(self) -> float:
        """The rate now, before multipliers."""
        return self.lr if self.lr_scheduler is None else self.lr_scheduler(self.num_update)

    @learning_rate.setter
    def learning_rate(self, lr: float) -> None:
        self.set_learning_rate(lr)

    def set_learning_rate(self, lr: float) -> None:
        """A new rate. Raises UserWarning when a scheduler sets it."""
        if self.lr_scheduler is not None:
            raise UserWarning("the learning rate is set by lr_scheduler; change that one's base_lr instead")
        self.lr = lr

    def set_lr_mult(self, args_lr_mult: Mapping[Index, float]) -> None:
        """Multipliers of the learning rate, by index or name; a variable's `lr_mult` holds where these say
        nothing."""
        self.lr_mult = self._from_attributes("__lr_mult__") | dict(args_lr_mult)

    def set_wd_mult(self, args_wd_mult: Mapping[Index, float]) -> None:
        """Multipliers of weight decay, likewise; 0 for all names but `_weight` and `_gamma` unless given."""
        exempt: dict[Index, float] = {
            name: 0.0 for name in self.idx2name.values() if not name.endswith(self._decayed_names)
        }
        self.wd_mult = exempt | self._from_attributes("__wd_mult__") | dict(args_wd_mult)

    def _from_attributes(self, attribute: str) -> dict[Index, float]:
        if not self.sym_info:
            return {}
        attributes, names = self.sym_info
        return {
            name: float(attributes[name][attribute])
            for name in names
            if attribute in attributes.get(name, {})
        }

    def _multiplier(self, index: Index, by_key: Mapping[Index, float], attribute: str) -> float:
        if index in self.param_dict:
            return float(getattr(self.param_dict[index], attribute))
        if index in by_key:
            return by_key[index]
        return by_key.get(self.idx2name.get(index, ""), 1.0)

    def _get_lrs(self, indices: Sequence[Index]) -> list[float]:
        lr = self.learning_rate
        return [lr * self._multiplier(i, self.lr_mult, "lr_mult") for i in indices]

    def _get_lr(self, index: Index) -> float:
        return self._get_lrs([index])[0]

    def _get_wds(self, indices: Sequence[Index]) -> list[float]:
        return [self.wd * self._multiplier(i, self.wd_mult, "wd_mult") for i in indices]

    def _get_wd(self, index: Index) -> float:
        return self._get_wds([index])[0]

    # --- counts -------------------------------------------------------------------------------------

    def _set_current_context(self, device_id: int) -> None:
        """Count from here on for the parameters' copies on this device."""
        self._index_update_count = self._all_index_update_counts.setdefault(device_id, {})

    def _update_count(self, index: Index | Sequence[Index]) -> None:
        for i in index if isinstance(index, list | tuple) else (index,):
            count = self._index_update_count.get(i, self.begin_num_update) + 1
            self._index_update_count[i] = count
            self.num_update = max(count, self.num_update)


_registry: Registry[Optimizer] = Registry(Optimizer, "optimizer")
Optimizer.opt_registry = _registry.classes
register = Optimizer.register
create = Optimizer.create_optimizer


class RuleOptimizer(Optimizer):
    """An optimizer whose arithmetic is a rule's; its attributes are the rule's numbers, free to change."""

    rule_class: ClassVar[type[Rule]]
    _numbers: ClassVar[Callable[[Any], tuple[Number, ...]]]  # attributes, in the rule's order

    lazy_update: bool = False  # of a row_sparse gradient: rows that it does not have are left as they are

    _rule: Rule | None = None  # made from _rule_numbers
    _rule_numbers: tuple[Number, ...] = ()

    @property
    def rule(self) -> Rule:
        """The rule with the numbers of now."""
        numbers = type(self)._numbers(self)
        if self._rule is None or self._rule_numbers != numbers:
            self._rule = self.rule_class(*numbers)
            self._rule_numbers = numbers
        return self._rule

    def _rule_for(self, index: Index) -> Rule:
        """The rule for one parameter, should its name matter."""
        return self.rule

    def to_wire(self) -> tuple[str, dict[str, Number]]:
        if type(self).update is not RuleOptimizer.update:
            return super().to_wire()
        return self.rule.to_wire()

    def create_state(self, index: Index, weight: NDArray) -> Any:
        return self._pack([_wrap(a, weight) for a in self.rule.create_state(weight._data)])

    @staticmethod
    def _pack(arrays: list[NDArray]) -> Any:
        """A rule's state in the form that scripts know."""
        if len(arrays) > 1:
            return tuple(arrays)
        return arrays[0] if arrays else None

    def update(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
        if isinstance(index, list | tuple):
            for i, w, g, s in zip(index, weight, grad, state, strict=True):
                self.update(i, w, g, s)
            return
        self._update_count(index)
        if weight.stype == "default":
            self._apply(index, weight._data, grad, state)
        elif len(rows := weight._stored().data) == len(weight):  # row_sparse, with every row stored
            self._apply(index, rows, grad, state)
        else:
            value = weight.asnumpy()
            self._apply(index, value, grad, state)
            weight[:] = value

    def _apply(self, index: Index, value: Array, grad: NDArray, state: Any) -> None:
        rule = self._rule_for(index)
        now: Any = {
            "lr": self._get_lr(index),
            "wd": self._get_wd(index),
            "t": self._index_update_count[index],
        }
        arrays = tuple(a._data for a in _leaves(state))
        if grad.stype == "row_sparse" and self.lazy_update:
            held = grad._stored()
            rows = held.indices
            parts = tuple(a[rows] for a in (value, *arrays))
            rule.update(parts[0], held.data, parts[1:], **now)
            for target, source in zip((value, *arrays), parts, strict=True):
                target[rows] = source
        else:
            rule.update(value, grad._data, arrays, **now)


def _wrap(a: Any, like: NDArray) -> NDArray:
    return NDArray(a, like.context)


def _leaves(state: Any) -> list[NDArray]:
    if state is None:
        return []
    if isinstance(state, list | tuple):
        return [leaf for part in state for leaf in _leaves(part)]
    return [state]


def from_rule(
    rule_class: type[Rule],
    *,
    order: str = "",
    learning_rate: float = 0.01,
    pack: Callable[[list[NDArray]], Any] = RuleOptimizer._pack,
    master_first: bool = True,
    always_lazy: bool = False,
    **options: Any,
) -> type[RuleOptimizer]:
    """The class that scripts use for a rule; still to be registered.

    `order` names the constructor's leading arguments; `pack` and `master_first` give the state the form
    that MXNet's has; `always_lazy` leaves rows without a gradient alone; `options` are arguments that the
    rule has no number for, with their defaults. The rest of the arguments are `Optimizer`'s.
    """
    fields = {f.name: f.default for f in dataclasses.fields(rule_class)}
    shared = inspect.signature(Optimizer.__init__).parameters
    own = {name: default for name, default in fields.items() if name not in shared} | options
    defaults = {n: p.default for n, p in shared.items()} | own | {"learning_rate": learning_rate}
    leading = order.split()

    def __init__(self: RuleOptimizer, *args: Any, **kwargs: Any) -> None:
        if len(args) > len(leading):
            raise TypeError(f"{rule_class.__name__} takes {order!r} by position, got {len(args)} arguments")
        given = dict(zip(leading, args, strict=False))
        if twice := given.keys() & kwargs.keys():
            raise TypeError(f"{rule_class.__name__} got {', '.join(twice)} twice")
        given |= kwargs
        if given.get("lr_scheduler") is None:
            given.setdefault("learning_rate", learning_rate)
        values = {name: given.pop(name, default) for name, default in own.items()}
        unknown = given.keys() - shared.keys()
        if unknown:
            takes = [*own, *list(shared)[1:]]
            near = difflib.get_close_matches(min(unknown), takes, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise TypeError(
                f"{rule_class.__name__} has no argument {', '.join(sorted(unknown))}; it takes {', '.join(takes)}{hint}"
            )
        Optimizer.__init__(self, **given)
        for name, value in values.items():
            setattr(self, name, value)

    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter(n, positional, default=defaults[n]) for n in leading]
    parameters += [inspect.Parameter(n, keyword, default=v) for n, v in own.items() if n not in leading]
    parameters += [p.replace(kind=keyword) for n, p in shared.items() if n not in ("self", *leading)]
    signature = inspect.Signature([inspect.Parameter("self", positional), *parameters])
    __init__.__signature__ = signature  # type: ignore[attr-defined]  # what help() shows
    names = tuple(fields)
    getter = operator.attrgetter(*names)
    return type(
        rule_class.__name__,
        (RuleOptimizer,),
        {
            "__doc__": rule_class.__doc__,
            "__init__": __init__,
            "__module__": "psdist.optimizer",
            "rule_class": rule_class,
            "_pack": staticmethod(pack),
            "_master_first": master_first,
            "lazy_update": always_lazy,
            "_numbers": staticmethod(getter if len(names) > 1 else lambda self: (getter(self),)),
        },
    )

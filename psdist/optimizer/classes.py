"""The optimizers that scripts use, each made from its rule."""

from __future__ import annotations

from typing import Any

from . import (
    adadelta,
    adagrad,
    adam,
    adamax,
    dcasgd,
    ftml,
    ftrl,
    groupadagrad,
    lamb,
    lars,
    lbsgd,
    nadam,
    nag,
    rmsprop,
    sgd,
    sgld,
    signum,
    testing,
)
from .optimizer import Optimizer, RuleOptimizer, create, from_rule, register
from .rule import Rule
from .updater import Updater, get_updater

SGD = from_rule(sgd.SGD, order="momentum lazy_update", master_first=False, lazy_update=True)
NAG = from_rule(nag.NAG, order="momentum", master_first=False)
SGLD = from_rule(sgld.SGLD)
Signum = from_rule(signum.Signum, order="learning_rate momentum wd_lh")
DCASGD = from_rule(dcasgd.DCASGD, order="momentum lamda", pack=lambda arrays: (None, *arrays)[-2:])
Adam = from_rule(
    adam.Adam, learning_rate=0.001, order="learning_rate beta1 beta2 epsilon lazy_update", lazy_update=True
)
AdaGrad = from_rule(adagrad.AdaGrad, order="eps", always_lazy=True)
AdaDelta = from_rule(adadelta.AdaDelta, order="rho epsilon")
RMSProp = from_rule(
    rmsprop.RMSProp,
    learning_rate=0.001,
    order="learning_rate gamma1 gamma2 epsilon centered clip_weights",
    pack=tuple,
)
Ftrl = from_rule(ftrl.Ftrl, learning_rate=0.1, order="lamda1 learning_rate beta", always_lazy=True)
GroupAdaGrad = from_rule(
    groupadagrad.GroupAdaGrad,
    order="eps",
    always_lazy=True,
    pack=lambda arrays: arrays[0][(slice(None), *[slice(1)] * (arrays[0].ndim - 1))],  # one number a row
)
FTML = from_rule(ftml.FTML, order="beta1 beta2 epsilon")
Nadam = from_rule(nadam.Nadam, learning_rate=0.001, order="learning_rate beta1 beta2 epsilon schedule_decay")
Adamax = from_rule(adamax.Adamax, learning_rate=0.002, order="learning_rate beta1 beta2")
LAMB = from_rule(
    lamb.LAMB,
    learning_rate=0.001,
    order="learning_rate beta1 beta2 epsilon lower_bound upper_bound bias_correction",
)
LBSGD = from_rule(
    lbsgd.LBSGD,
    order="momentum multi_precision warmup_strategy warmup_epochs batch_scale updates_per_epoch begin_epoch "
    "num_epochs",
    num_epochs=60,
)
Test = from_rule(testing.Test)


_LARSOfRule: Any = from_rule(
    lars.LARS, order="momentum lazy_update eta eps momentum_correction", master_first=False, lazy_update=True
)


class LARS(_LARSOfRule):  # type: ignore[misc]  # made from its rule
    __doc__ = lars.LARS.__doc__

    _decayed_names = ("_weight",)

    def _rule_for(self, index: Any) -> Rule:
        name = self.idx2name.get(index, str(index))
        self.scaled = "none" if name.endswith(lars.UNSCALED) else "all"
        rule: Rule = self.rule
        return rule

    def to_wire(self) -> tuple[str, dict[str, Any]]:
        names = {f"i:{i}": name for i, name in self.idx2name.items() if isinstance(i, int)}
        unscaled = " ".join(key for key, name in names.items() if name.endswith(lars.UNSCALED))
        name, numbers = super().to_wire()
        return name, numbers | {"scaled": "named", "unscaled": unscaled}


class ccSGD(SGD):  # type: ignore[misc,valid-type]  # made from its rule
    """SGD, by a name that old scripts use."""


for _cls in (
    SGD,
    NAG,
    SGLD,
    Signum,
    DCASGD,
    Adam,
    AdaGrad,
    AdaDelta,
    RMSProp,
    Ftrl,
    GroupAdaGrad,
    FTML,
    Nadam,
    Adamax,
    LAMB,
    LARS,
    LBSGD,
    Test,
    ccSGD,
):
    register(_cls)


__all__ = [
    "DCASGD",
    "FTML",
    "LAMB",
    "LARS",
    "LBSGD",
    "NAG",
    "SGD",
    "SGLD",
    "AdaDelta",
    "AdaGrad",
    "Adam",
    "Adamax",
    "Ftrl",
    "GroupAdaGrad",
    "Nadam",
    "Optimizer",
    "RMSProp",
    "RuleOptimizer",
    "Signum",
    "Test",
    "Updater",
    "ccSGD",
    "create",
    "from_rule",
    "get_updater",
    "register",
]

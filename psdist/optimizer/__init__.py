"""Optimizers: one algorithm a file, each a pure rule that runs alike in a trainer and on a server.

A server needs the rules and nothing else, so the classes that scripts use (`mx.optimizer.SGD`, …), which
come with NDArray, are loaded when one of them is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# Importing a rule's file enters it into the table.
from . import (  # noqa: F401
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
from .rule import ElementwiseRule, Rule, from_wire, rule_names

if TYPE_CHECKING:
    from .classes import (
        DCASGD,
        FTML,
        LAMB,
        LARS,
        LBSGD,
        NAG,
        SGD,
        SGLD,
        AdaDelta,
        AdaGrad,
        Adam,
        Adamax,
        Ftrl,
        Nadam,
        Optimizer,
        RMSProp,
        RuleOptimizer,
        Signum,
        Test,
        Updater,
        ccSGD,
        create,
        from_rule,
        get_updater,
        register,
    )

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
    "ElementwiseRule",
    "Ftrl",
    "Nadam",
    "Optimizer",
    "RMSProp",
    "Rule",
    "RuleOptimizer",
    "Signum",
    "Test",
    "Updater",
    "ccSGD",
    "create",
    "from_rule",
    "from_wire",
    "get_updater",
    "register",
    "rule_names",
]


def __getattr__(name: str) -> Any:
    if name == "contrib":
        return importlib.import_module(".contrib", __name__)
    if name in __all__:
        found = getattr(importlib.import_module(".classes", __name__), name)
        globals()[name] = found
        return found
    raise AttributeError(f"psdist.optimizer has no '{name}'")

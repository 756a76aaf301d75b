"""Optimizers: one algorithm a file, each a pure rule that runs alike in a trainer and on a server.

The classes that scripts use (`mx.optimizer.SGD`, …) are made from the rules here.
"""

from . import adam, sgd
from .optimizer import Optimizer, RuleOptimizer, create, from_rule, register
from .rule import ElementwiseRule, Rule, from_wire, rule_names
from .updater import Updater, get_updater

SGD = from_rule(sgd.SGD, order="momentum lazy_update", lazy_update=True)
Adam = from_rule(
    adam.Adam, learning_rate=0.001, order="learning_rate beta1 beta2 epsilon lazy_update", lazy_update=True
)

__all__ = [
    "SGD",
    "Adam",
    "ElementwiseRule",
    "Optimizer",
    "Rule",
    "RuleOptimizer",
    "Updater",
    "create",
    "from_rule",
    "from_wire",
    "get_updater",
    "register",
    "rule_names",
]

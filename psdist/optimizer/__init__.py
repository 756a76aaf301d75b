"""Optimizers: one algorithm a file, each a pure rule that runs alike in a trainer and on a server."""

from . import adam as adam  # importing a rule's file enters it into the table
from . import sgd as sgd
from .rule import ElementwiseRule, Rule, from_wire, rule_names

__all__ = ["ElementwiseRule", "Rule", "from_wire", "rule_names"]

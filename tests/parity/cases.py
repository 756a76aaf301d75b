"""Which cases of an operator are compared: its examples, over and over with other seeds, in each of their dtypes."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "ops"))
from examples_of import EXAMPLES

PER_OPERATOR = 120


def cases(name, count=PER_OPERATOR):
    """(number, example, dtype, inputs) of each case."""
    kinds = [(e, d) for e in EXAMPLES[name] for d in e.dtypes if e.ask]
    if not kinds:
        return
    rounds = max(1, min(count // len(kinds), 1 if not any(e.inputs for e in EXAMPLES[name]) else count))
    for n in range(rounds):
        for k, (example, dtype) in enumerate(kinds):
            number = n * len(kinds) + k
            yield number, example, dtype, example.draw(1000 + number, dtype)

"""Ways to call every operator, for the generic test and for the comparison with MXNet.

Plain NumPy: the oracle's Python reads these files too. `EXAMPLES[name]` is a list of `Example`s.
"""

from . import detection, elementwise, layers, moving, numbers, updates

EXAMPLES = {}
for _part in (detection, elementwise, layers, moving, numbers, updates):
    for _name, _examples in _part.EXAMPLES.items():
        assert _name not in EXAMPLES, _name
        EXAMPLES[_name] = _examples

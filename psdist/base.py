"""What scripts import from MXNet's `base`: the root of our errors under its old name, and the number
types.
"""

import numpy as np

from .errors import PSError

__all__ = ["MXNetError", "integer_types", "numeric_types", "string_types"]

MXNetError = PSError
numeric_types = (float, int, np.generic)
integer_types = (int, np.int32, np.int64)
string_types = (str,)

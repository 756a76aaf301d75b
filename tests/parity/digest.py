"""How a result is kept: in full if it is small and comes early, else as two numbers that any error would change.

Plain NumPy, shared by the oracle and the test.
"""

import base64
import zlib

import numpy as np

FULL_CASES, FULL_SIZE = 4, 48


def fingerprint(arrays):
    """A checksum of a case's inputs: both sides have to have drawn the same."""
    return zlib.crc32(b"".join(np.ascontiguousarray(x).tobytes() for x in arrays))


def finite(x):
    """As float64, with numbers in place of NaN and infinities."""
    return np.nan_to_num(np.asarray(x, np.float64), nan=7.25, posinf=9.5, neginf=-8.75)


def project(x, seed):
    """Two weighted sums, and the size that their error is measured by."""
    flat = finite(x).reshape(-1)
    weights = np.random.default_rng(seed).uniform(-1, 1, (2, flat.size))
    return weights @ flat, np.abs(weights) @ np.abs(flat)


def encode(x, seed, full):
    """As JSON: dtype, shape, and the bytes or the two sums."""
    if x is None:
        return None
    x = np.asarray(x)
    if full and x.size <= FULL_SIZE:
        return [x.dtype.name, list(x.shape), base64.b85encode(x.tobytes()).decode()]
    return [x.dtype.name, list(x.shape), [float(f"{v:.10g}") for v in project(x, seed)[0]]]


TOLERANCE = {"float16": 4e-3, "float32": 2e-5, "float64": 1e-6}


def differs(x, kept, seed, factor=1.0):
    """Why `x` is not what was kept, or None."""
    if x is None:
        x = np.zeros(kept[1], kept[0])  # no gradient is a gradient of zero
    dtype, shape, value = kept
    if x.dtype.name != dtype:
        return f"dtype {x.dtype.name}, not {dtype}"
    if list(x.shape) != shape:
        return f"shape {x.shape}, not {tuple(shape)}"
    tolerance = TOLERANCE.get(dtype, 1e-9) * factor
    if isinstance(value, str):
        want = np.frombuffer(base64.b85decode(value), dtype).reshape(shape)
        a, b = finite(x), finite(want)
        scale = np.abs(b).max(initial=0)
        if np.all(np.abs(a - b) <= tolerance * (np.abs(b) + 0.1 * scale + 0.05)):
            return None
        return f"{x.tolist()}, not {want.tolist()}"
    sums, size = project(x, seed)
    if np.all(np.abs(sums - value) <= tolerance * (size + 0.05) + 1e-9):
        return None
    return f"sums {sums.tolist()}, not {value}, of {x.tolist() if x.size < 50 else x.shape}"

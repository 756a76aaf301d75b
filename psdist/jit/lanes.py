"""Arithmetic over vectors of lanes, written in LLVM's language.

A value is an SSA name whose type is a vector of float, double or i1. The names of operations are those of NumPy's
ufuncs. A vector has 64 lanes, or 32 where there are doubles, on every processor: LLVM splits it into registers, whose
instructions then take turns instead of waiting for one another, and the order of sums does not depend on the processor.

Arithmetic, square roots and comparisons are exact to the bit as NumPy's: nothing is contracted or reordered.
exp, expm1, log, log1p and tanh are polynomials, within `ULPS` units in the last place; e^x is 0 where it is below 2e-38
(3e-308 of doubles).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["FUNCTIONS", "ULPS", "Writer"]

ULPS = 6  # of the functions below, against the exact result; tested
_BITS = {"float": 32, "double": 64}
_LN2 = {
    "float": (0.693359375, -2.12194440054690583e-4),
    "double": (0.6931471803691238, 1.9082149292705877e-10),
}
# ln 2 in two parts, the first with few bits, so that its products with whole numbers are exact (Cody and Waite)
_MANTISSA = {"float": 23, "double": 52}
_BIAS = {"float": 127, "double": 1023}


def number(x: float, kind: str) -> str:
    """A constant as LLVM writes it: the bits of a double, rounded to the kind before."""
    if kind == "float":
        x = struct.unpack("f", struct.pack("f", max(min(x, 3.5e38), -3.5e38) if math.isfinite(x) else x))[0]
    return f"0x{struct.unpack('<Q', struct.pack('<d', x))[0]:016X}"


class Writer:
    """Writes instructions one after another; every method gives the name of its result."""

    def __init__(self, width: int) -> None:
        self.width = width  # lanes
        self.lines: list[str] = []
        self.declared: set[str] = set()
        self._count = 0

    def name(self) -> str:
        """A name that is not used yet."""
        self._count += 1
        return f"%v{self._count}"

    def let(self, text: str) -> str:
        """`text` is an instruction's right side."""
        made = self.name()
        self.lines.append(f"  {made} = {text}")
        return made

    def do(self, text: str) -> None:
        """An instruction without a result, or a label."""
        self.lines.append(text if text.endswith(":") else f"  {text}")

    def call(self, result: str, function: str, *args: tuple[str, str]) -> str:
        """A call of an LLVM intrinsic: (type, name) of each argument."""
        self.declared.add(f"declare {result} @{function}({', '.join(t for t, _ in args)})")
        return self.let(f"call {result} @{function}({', '.join(f'{t} {v}' for t, v in args)})")

    def type(self, kind: str) -> str:
        """The vector's type."""
        return f"<{self.width} x {kind}>"

    def const(self, x: float, kind: str) -> str:
        """A vector of one number."""
        text = ("true" if x else "false") if kind == "i1" else number(float(x), kind)
        return f"splat ({kind} {text})"

    def ints(self, x: int, kind: str) -> str:
        """A vector of one whole number, as wide as `kind`."""
        return f"splat (i{_BITS[kind]} {x})"

    def splat(self, scalar: str, kind: str) -> str:
        """A vector of one scalar."""
        t = self.type(kind)
        one = self.let(f"insertelement {t} poison, {kind} {scalar}, i32 0")
        return self.let(f"shufflevector {t} {one}, {t} poison, <{self.width} x i32> zeroinitializer")

    # -- what the functions are made of ----------------------------------------------------------------------

    def binary(self, what: str, kind: str, a: str, b: str) -> str:
        return self.let(f"{what} {self.type(kind)} {a}, {b}")

    def compare(self, how: str, kind: str, a: str, b: str) -> str:
        return self.let(f"fcmp {how} {self.type(kind)} {a}, {b}")

    def select(self, kind: str, mask: str, yes: str, no: str) -> str:
        t = self.type(kind)
        return self.let(f"select {self.type('i1')} {mask}, {t} {yes}, {t} {no}")

    def intrinsic(self, which: str, kind: str, *args: str) -> str:
        t = self.type(kind)
        suffix = f"v{self.width}f{_BITS[kind]}"
        return self.call(t, f"llvm.{which}.{suffix}", *((t, a) for a in args))

    def fma(self, kind: str, a: str, b: str, c: str) -> str:
        """a · b + c, rounded once where the processor can."""
        return self.intrinsic("fmuladd", kind, a, b, c)

    def cast(self, a: str, source: str, target: str) -> str:
        """Another kind of lane, as NumPy casts."""
        if source == target:
            return a
        if source == "i1":
            return self.select(target, a, self.const(1, target), self.const(0, target))
        if target == "i1":
            return self.compare("une", source, a, self.const(0, source))
        what = "fpext" if target == "double" else "fptrunc"
        return self.let(f"{what} {self.type(source)} {a} to {self.type(target)}")

    def polynomial(self, kind: str, x: str, coefficients: Sequence[float]) -> str:
        """By Horner, the highest coefficient first."""
        y = self.const(coefficients[0], kind)
        for c in coefficients[1:]:
            y = self.fma(kind, y, x, self.const(c, kind))
        return y

    def power_of_two(self, kind: str, n: str) -> str:
        """2^n, of whole numbers within the range of normal exponents."""
        wide = f"<{self.width} x i{_BITS[kind]}>"
        whole = self.let(
            f"freeze {wide} {self.let(f'fptosi {self.type(kind)} {n} to {wide}')}"
        )  # of a NaN: any
        biased = self.let(f"add {wide} {whole}, {self.ints(_BIAS[kind], kind)}")
        shifted = self.let(f"shl {wide} {biased}, {self.ints(_MANTISSA[kind], kind)}")
        return self.let(f"bitcast {wide} {shifted} to {self.type(kind)}")

    def apply(self, ufunc: str, kind: str, *args: str) -> str:
        """The ufunc of that name; `kind` is that of its operands."""
        return str(FUNCTIONS[ufunc](self, kind, *args))


def _reduced(w: Writer, kind: str, x: str) -> tuple[str, str]:
    """(n, e^r - 1), where x = n ln 2 + r and |r| <= ln 2 / 2."""
    high, low = _LN2[kind]
    n = w.intrinsic("roundeven", kind, w.binary("fmul", kind, x, w.const(1 / math.log(2), kind)))
    r = w.fma(kind, n, w.const(-high, kind), x)
    r = w.fma(kind, n, w.const(-low, kind), r)
    terms = 7 if kind == "float" else 13
    inner = w.polynomial(kind, r, [1 / math.factorial(k) for k in range(terms, 1, -1)])
    return n, w.fma(kind, w.binary("fmul", kind, inner, r), r, r)


_EXP = {"float": (-86.98, 88.7229), "double": (-708.04, 709.7828)}
# below the first, where e^x soon ceases to be a normal number, it is 0 here; beyond the second it is infinite


def _exp(w: Writer, kind: str, x: str) -> str:
    low, high = (w.const(k, kind) for k in _EXP[kind])
    n, p = _reduced(w, kind, _inside(w, kind, x, low, high))
    half = w.power_of_two(
        kind, w.binary("fsub", kind, n, w.const(1, kind))
    )  # 2^n itself may be beyond the range
    y = w.fma(kind, p, half, half)
    y = w.binary("fadd", kind, y, y)
    return w.select(kind, w.compare("olt", kind, x, low), w.const(0, kind), y)


_EXPM1 = {"float": (-18.0, 88.0), "double": (-38.0, 709.0)}


def _expm1(w: Writer, kind: str, x: str) -> str:
    low, high = _EXPM1[kind]
    inside = _inside(w, kind, x, w.const(low, kind), w.const(high, kind))
    n, p = _reduced(w, kind, inside)
    two = w.power_of_two(kind, n)
    y = w.fma(kind, two, p, w.binary("fsub", kind, two, w.const(1, kind)))
    return w.select(kind, w.compare("ogt", kind, x, w.const(high, kind)), _exp(w, kind, x), y)


# tanh x = x P(x²) / Q(x²) up to _TANH_ONE, beyond which tanh is 1 within 5 units of the last place. Least squares of the
# relative error, reweighted towards the least maximum: 6e-9 before rounding. From the highest power to the lowest.
_TANH_ONE = 7.9
_TANH_P = (1.5428248900661856e-08, 2.202344148827251e-05, 0.003579003969207406, 0.13450630009174347, 1.0)
_TANH_Q = (8.598891554356669e-07, 0.0003423670132178813, 0.026192283257842064, 0.4678395986557007, 1.0)


def _tanh(w: Writer, kind: str, x: str) -> str:
    """A rational function for float; for double t / (t + 2) with t = e^2|x| - 1, which is exact where |x| is small."""
    size = w.intrinsic("fabs", kind, x)
    if kind == "float":
        z = w.binary("fmul", kind, x, x)
        above = w.binary("fmul", kind, x, w.polynomial(kind, z, _TANH_P))
        y = w.binary("fdiv", kind, above, w.polynomial(kind, z, _TANH_Q))
        one = w.intrinsic("copysign", kind, w.const(1, kind), x)
        return w.select(kind, w.compare("ogt", kind, size, w.const(_TANH_ONE, kind)), one, y)
    most = w.const(40, kind)
    double = w.binary("fadd", kind, size, size)
    double = w.select(kind, w.compare("ogt", kind, double, most), most, double)
    n, p = _reduced(w, kind, double)
    two = w.power_of_two(kind, n)
    t = w.fma(kind, two, p, w.binary("fsub", kind, two, w.const(1, kind)))
    y = w.binary("fdiv", kind, t, w.binary("fadd", kind, t, w.const(2, kind)))
    return w.intrinsic("copysign", kind, y, x)


def _log(w: Writer, kind: str, x: str) -> str:
    """n ln 2 + 2 atanh((m - 1) / (m + 1)) with x = 2^n m, √½ <= m < √2."""
    bits, mantissa, bias = _BITS[kind], _MANTISSA[kind], _BIAS[kind]
    wide = f"<{w.width} x i{bits}>"
    tiny = w.compare("olt", kind, x, w.const(2.0 ** (1 - bias), kind))  # not normal: scaled up first
    scaled = w.binary("fmul", kind, x, w.const(2.0 ** (mantissa + 2), kind))
    raw = w.let(f"bitcast {w.type(kind)} {w.select(kind, tiny, scaled, x)} to {wide}")
    root = struct.unpack(
        "<i" if bits == 32 else "<q", struct.pack("<f" if bits == 32 else "<d", math.sqrt(0.5))
    )[0]
    moved = w.let(f"sub {wide} {raw}, {w.ints(root, kind)}")
    exponent = w.let(f"ashr {wide} {moved}, {w.ints(mantissa, kind)}")
    shifted = w.let(f"shl {wide} {exponent}, {w.ints(mantissa, kind)}")
    m = w.let(f"bitcast {wide} {w.let(f'sub {wide} {raw}, {shifted}')} to {w.type(kind)}")
    n = w.let(f"sitofp {wide} {exponent} to {w.type(kind)}")
    n = w.binary("fsub", kind, n, w.select(kind, tiny, w.const(mantissa + 2, kind), w.const(0, kind)))
    f = w.binary("fsub", kind, m, w.const(1, kind))
    s = w.binary("fdiv", kind, f, w.binary("fadd", kind, f, w.const(2, kind)))
    z = w.binary("fmul", kind, s, s)
    terms = 5 if kind == "float" else 11
    tail = w.polynomial(kind, z, [2 / (2 * k + 1) for k in range(terms, 0, -1)])
    # 2 atanh(s) = 2s + s z tail, and 2s = f - s f: so f - s (f - z tail), with f exact
    high, low = _LN2[kind]
    inner = w.binary("fsub", kind, f, w.binary("fmul", kind, z, tail))
    small = w.fma(
        kind, n, w.const(low, kind), w.let(f"fneg {w.type(kind)} {w.binary('fmul', kind, s, inner)}")
    )
    y = w.fma(kind, n, w.const(high, kind), w.binary("fadd", kind, f, small))
    y = w.select(kind, w.compare("oeq", kind, x, w.const(math.inf, kind)), x, y)
    y = w.select(kind, w.compare("oeq", kind, x, w.const(0, kind)), w.const(-math.inf, kind), y)
    bad = w.compare("ult", kind, x, w.const(0, kind))  # below zero, or not a number
    return w.select(kind, bad, w.const(math.nan, kind), y)


def _log1p(w: Writer, kind: str, x: str) -> str:
    """log(u) · x / (u - 1) with u = 1 + x rounded (Kahan), and x where u is 1 or infinite."""
    u = w.binary("fadd", kind, x, w.const(1, kind))
    d = w.binary("fsub", kind, u, w.const(1, kind))
    y = w.binary("fmul", kind, _log(w, kind, u), w.binary("fdiv", kind, x, d))
    plain = w.let(
        f"or {w.type('i1')} {w.compare('oeq', kind, d, w.const(0, kind))}, "
        f"{w.compare('oeq', kind, x, w.const(math.inf, kind))}"
    )
    y = w.select(kind, plain, x, y)
    return w.select(kind, w.compare("oeq", kind, x, w.const(-1, kind)), w.const(-math.inf, kind), y)


def _most(w: Writer, kind: str, a: str, b: str) -> str:
    """The larger, the second of equal ones; a NaN stays one: as np.maximum does it on vectors."""
    takes = w.let(f"or {w.type('i1')} {w.compare('ogt', kind, a, b)}, {w.compare('uno', kind, a, a)}")
    return w.select(kind, takes, a, b)


def _least(w: Writer, kind: str, a: str, b: str) -> str:
    takes = w.let(f"or {w.type('i1')} {w.compare('olt', kind, a, b)}, {w.compare('uno', kind, a, a)}")
    return w.select(kind, takes, a, b)


def _inside(w: Writer, kind: str, x: str, low: str, high: str) -> str:
    """Not below `low` nor above `high`, itself if equal to one of them, or a NaN: as np.clip does it."""
    x = w.select(kind, w.compare("olt", kind, x, low), low, x)
    return w.select(kind, w.compare("ogt", kind, x, high), high, x)


def _sign(w: Writer, kind: str, x: str) -> str:
    one = w.intrinsic("copysign", kind, w.const(1, kind), x)
    zero = w.compare("oeq", kind, x, w.const(0, kind))
    y = w.select(kind, zero, w.const(0, kind), one)
    return w.select(kind, w.compare("uno", kind, x, x), x, y)


def _plain(what: str) -> Callable[..., str]:
    return lambda w, kind, a, b: w.binary(what, kind, a, b)


def _own(which: str) -> Callable[..., str]:
    return lambda w, kind, a: w.intrinsic(which, kind, a)


def _asks(how: str) -> Callable[..., str]:
    return lambda w, kind, a, b: w.compare(how, kind, a, b)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": _plain("fadd"),
    "subtract": _plain("fsub"),
    "multiply": _plain("fmul"),
    "divide": _plain("fdiv"),
    "negative": lambda w, kind, a: w.let(f"fneg {w.type(kind)} {a}"),
    "positive": lambda w, kind, a: a,
    "square": lambda w, kind, a: w.binary("fmul", kind, a, a),
    "reciprocal": lambda w, kind, a: w.binary("fdiv", kind, w.const(1, kind), a),
    "sqrt": _own("sqrt"),
    "absolute": _own("fabs"),
    "fabs": _own("fabs"),
    "floor": _own("floor"),
    "ceil": _own("ceil"),
    "trunc": _own("trunc"),
    "rint": _own("roundeven"),
    "copysign": lambda w, kind, a, b: w.intrinsic("copysign", kind, a, b),
    "sign": _sign,
    "maximum": _most,
    "minimum": _least,
    "clip": lambda w, kind, a, low, high: _inside(w, kind, a, low, high),
    "exp": _exp,
    "expm1": _expm1,
    "log": _log,
    "log1p": _log1p,
    "tanh": _tanh,
    "greater": _asks("ogt"),
    "greater_equal": _asks("oge"),
    "less": _asks("olt"),
    "less_equal": _asks("ole"),
    "equal": _asks("oeq"),
    "not_equal": _asks("une"),
}
LOGIC: dict[str, Callable[..., Any]] = {
    "logical_and": lambda w, a, b: w.let(f"and {w.type('i1')} {a}, {b}"),
    "logical_or": lambda w, a, b: w.let(f"or {w.type('i1')} {a}, {b}"),
    "logical_xor": lambda w, a, b: w.let(f"xor {w.type('i1')} {a}, {b}"),
    "logical_not": lambda w, a: w.let(f"xor {w.type('i1')} {a}, {w.const(1, 'i1')}"),
}
COMPARISONS = {"greater", "greater_equal", "less", "less_equal", "equal", "not_equal"}

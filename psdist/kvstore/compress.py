"""Gradients in fewer bytes: pure functions of an array and of what earlier rounds have left over.

`compress(gradient)` gives bytes; `decompress(bytes, size)` the array that the receiver adds. Where a code loses
something, the difference is the *residual*: the sender keeps it and adds it to the next gradient, so that nothing
is lost for ever (Seide et al. 2014, "1-Bit Stochastic Gradient Descent"; Karimireddy et al. 2019, "Error
Feedback Fixes SignSGD"). Gradients are flat float32 arrays. All codes give the same bytes for the same array,
on every machine, so that synchronous training stays reproducible.

    2bit    MXNet's: -threshold, 0 or +threshold                                           16 times fewer bytes
    1bit    the sign, times the mean magnitude of each block of 1024                       31
    int8    multiples of 1/127 of the greatest magnitude in each block of 1024             4
    fp16    IEEE half precision: large gradients overflow at 65,504 and are clipped        2
    bf16    the upper half of a float32, rounded to even                                   2
    topk    the fraction `k` of elements with the greatest magnitude, and where they are   1 / 2k
    4level  the nearest of four levels up to the greatest magnitude in each block of 128    14.2

`pack` and `unpack` put the code's name and number before its bytes, so that a receiver needs to know nothing
else, whoever it is and whenever it came.

A new code is a class here and a line in `_CODES`, at its end: its place there is its number on the wire.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import BadValue, ConfigError

__all__ = [
    "Bf16",
    "Code",
    "FourLevels",
    "Fp16",
    "Int8",
    "OneBit",
    "TopK",
    "TwoBit",
    "code_of",
    "codes_of",
    "numbers_of",
    "pack",
    "packed_nbytes",
    "unpack",
    "with_feedback",
]

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

_BLOCK: Final = 1024  # elements with a scale of their own
_FINE: Final = 128  # likewise, of four levels


_LEVELS: Final = np.array([1 / 3, -1 / 3, 1, -1], np.float32)
_BETWEEN: Final = np.float32(2 / 3)
# The four elements that a byte stands for, as one number of 16 bytes, to take them at once.
_FOURS: Final = np.stack([_LEVELS[np.arange(256) >> shift & 3] for shift in (0, 2, 4, 6)], axis=1).view(
    np.complex128
)[:, 0]
_AT_ONCE: Final = 64 * _BLOCK  # elements, so that what is made on the way stays in the cache
_GATHER: Final = np.uint32(1 << 24 | 1 << 18 | 1 << 12 | 1 << 6)


class Code(Protocol):
    """A way to write gradients."""

    name: ClassVar[str]
    is_lossy: ClassVar[bool]  # enough to want a residual

    def compress(self, gradient: Floats, /) -> Bytes:
        """The gradient, written. Its values are finite."""

    def decompress(self, data: Bytes, size: int, /) -> Floats:
        """The `size` elements that were written. Raises BadValue when `data` cannot be such."""


def with_feedback(code: Code, gradient: Floats, residual: Floats, /) -> Bytes:
    """Write gradient + residual; what that loses becomes the residual, in place. Raises BadValue for NaN and
    infinity, which would stay in the residual for ever."""
    if not np.isfinite(gradient).all():
        raise BadValue(f"{code.name}: a gradient that holds NaN or infinity cannot be compressed")
    residual += gradient
    data = code.compress(residual)
    residual -= code.decompress(data, residual.size)
    return data


_HEAD: Final = struct.Struct("<Bxxxf")  # the code's number, and its own, 0 where it has none


def pack(code: Code, data: Bytes) -> Bytes:
    """The bytes with what is needed to read them."""
    number = list(_CODES).index(code.name)
    own = getattr(code, "threshold", getattr(code, "k", 0.0))
    return np.concatenate([np.frombuffer(_HEAD.pack(number, own), np.uint8), data])


def unpack(data: Bytes, size: int) -> Floats:
    """The array of `size` elements. Raises BadValue, ConfigError for bytes that are none."""
    if data.dtype != np.uint8 or data.size < _HEAD.size:
        raise BadValue(f"{data.nbytes} bytes of a gradient; not even its code is there")
    number, own = _HEAD.unpack(data[: _HEAD.size].tobytes())
    if number >= len(_CODES):
        raise BadValue(f"a gradient in code {number}; here are 0 to {len(_CODES) - 1}")
    make = list(_CODES.values())[number]
    code: Code = make(own) if make in (TwoBit, TopK) else make()
    return code.decompress(data[_HEAD.size :], size)


def packed_nbytes(code: Code, size: int) -> int:
    """How long `pack` makes an array of `size` elements."""
    return _HEAD.size + code.compress(np.zeros(size, np.float32)).size


def numbers_of(code: Code) -> dict[str, Any]:
    """A code's numbers, as `code_of` takes them beside its name."""
    return asdict(code)  # type: ignore[call-overload, no-any-return]  # every code is a dataclass


def codes_of(params: Mapping[str, Any]) -> tuple[Code | None, Code | None]:
    """The codes of pushes and of pulls: {'type': '2bit', 'threshold': 0.5, 'pull': '4level'}. What begins with
    "pull_" is the second's: 'pull_k' is the k of a 'pull' by topk. Without 'pull', values are pulled as they are.
    Raises ConfigError."""
    back = {key[5:]: value for key, value in params.items() if key.startswith("pull_")}
    pull = params.get("pull", "none")
    if pull == "2bit" and "threshold" not in back:
        raise ConfigError(
            "gradient compression: values change by less than gradients do, so that a 'pull' by 2bit wants a "
            "'pull_threshold' of its own; '4level' takes as few bits and finds its threshold"
        )
    own = {key: value for key, value in params.items() if key != "pull" and not key.startswith("pull_")}
    return code_of(own), code_of({"type": pull, **back})


def code_of(params: Mapping[str, Any]) -> Code | None:
    """The code that `set_gradient_compression` is given: {'type': '2bit', 'threshold': 0.5}. None for "none".
    Raises ConfigError for a name, or a number, that no code has."""
    numbers = dict(params)
    name = str(numbers.pop("type", ""))
    if name == "none":
        return None
    make = _CODES.get(name)
    if make is None:
        raise ConfigError(f"gradient compression {name!r}; wanted one of none, {', '.join(_CODES)}")
    try:
        return make(**{key: float(value) for key, value in numbers.items()})
    except (TypeError, ValueError) as e:
        raise ConfigError(f"gradient compression {name!r} does not take {numbers}: {e}") from None


@dataclass(frozen=True, slots=True)
class TwoBit:
    """What has grown to `threshold` or beyond is sent as `threshold`, with its sign."""

    threshold: float = 0.5
    name: ClassVar[str] = "2bit"
    is_lossy: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not (math.isfinite(self.threshold) and self.threshold > 0):
            raise ConfigError(f"2bit: threshold {self.threshold:g}; wanted a finite number above 0")

    def compress(self, gradient: Floats, /) -> Bytes:
        """Four elements a byte, the first in the lowest bits: 0, 1 for plus, 2 for minus."""
        threshold = np.float32(self.threshold)
        data = np.empty(-(-gradient.size // 4), np.uint8)
        for low in range(0, gradient.size, _AT_ONCE):
            part = gradient[low : low + _AT_ONCE]
            _pack_twos(part >= threshold, part <= -threshold, data[low // 4 : (low + _AT_ONCE) // 4])
        return data

    def decompress(self, data: Bytes, size: int, /) -> Floats:
        _check(self, data, -(-size // 4), size)
        t = np.float32(self.threshold)
        one = np.array([0, t, -t, 0], np.float32)
        number = np.arange(256)
        table = np.stack([one[number >> shift & 3] for shift in (0, 2, 4, 6)], axis=1)
        fours = table.view(np.complex128)[:, 0]  # a number of 16 bytes, to take four elements at once
        return fours.take(data, mode="clip").view(np.float32)[:size]


@dataclass(frozen=True, slots=True)
class OneBit:
    """Signs; each block of 1024 has the mean magnitude of its elements."""

    name: ClassVar[str] = "1bit"
    is_lossy: ClassVar[bool] = True

    def compress(self, gradient: Floats, /) -> Bytes:
        """Scales as float32, then a bit an element, set for what is not negative."""
        scales = _blocks(np.abs(gradient)).sum(axis=1) / _counts(gradient.size)
        return np.concatenate([_bytes(scales.astype(np.float32)), np.packbits(gradient >= 0)])

    def decompress(self, data: Bytes, size: int, /) -> Floats:
        num = -(-size // _BLOCK)
        _check(self, data, 4 * num + -(-size // 8), size)
        scales = np.repeat(data[: 4 * num].copy().view(np.float32), _BLOCK)[:size]
        signs = np.unpackbits(data[4 * num :], count=size).view(bool)
        return np.where(signs, scales, -scales)


@dataclass(frozen=True, slots=True)
class Int8:
    """Whole numbers from -127 to 127; each block of 1024 has its own unit."""

    name: ClassVar[str] = "int8"
    is_lossy: ClassVar[bool] = True

    def compress(self, gradient: Floats, /) -> Bytes:
        """Units as float32, then a byte an element."""
        units = (_blocks(np.abs(gradient)).max(axis=1) / np.float32(127)).astype(np.float32)
        each = np.repeat(np.where(units > 0, units, np.float32(1)), _BLOCK)[: gradient.size]
        levels = np.clip(np.rint(gradient / each), -127, 127).astype(np.int8)
        return np.concatenate([_bytes(units), levels.view(np.uint8)])

    def decompress(self, data: Bytes, size: int, /) -> Floats:
        num = -(-size // _BLOCK)
        _check(self, data, 4 * num + size, size)
        units = np.repeat(data[: 4 * num].copy().view(np.float32), _BLOCK)[:size]
        return data[4 * num :].view(np.int8) * units


@dataclass(frozen=True, slots=True)
class Fp16:
    """IEEE half precision."""

    name: ClassVar[str] = "fp16"
    is_lossy: ClassVar[bool] = False

    def compress(self, gradient: Floats, /) -> Bytes:
        return _bytes(np.clip(gradient, -65504, 65504).astype(np.float16))

    def decompress(self, data: Bytes, size: int, /) -> Floats:
        _check(self, data, 2 * size, size)
        return data.copy().view(np.float16).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Bf16:
    """The upper half of a float32: its range with 8 bits of precision. Quicker to make than half precision."""

    name: ClassVar[str] = "bf16"
    is_lossy: ClassVar[bool] = False

    def compress(self, gradient: Floats, /) -> Bytes:
        bits = np.ascontiguousarray(gradient).view(np.uint32)
        odd = bits >> np.uint32(16) & np.uint32(1)
        rounded = (bits + (odd + np.uint32(0x7FFF))) >> np.uint32(16)
        # what would round up to infinity stays the largest number
        infinite = rounded & np.uint32(0x7FFF) == np.uint32(0x7F80)
        return _bytes((rounded - infinite).astype(np.uint16))

    def decompress(self, data: Bytes, size: int, /) -> Floats:
        _check(self, data, 2 * size, size)
        return (data.copy().view(np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)


@dataclass(frozen=True, slots=True)
class TopK:
    """Of every array the fraction `k` of elements that are greatest in magnitude, at least one."""

    k: float = 0.01
    name: ClassVar[str] = "topk"
    is_lossy: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < self.k <= 1:
            raise ConfigError(f"topk: k {self.k:g}; wanted a fraction above 0, at most 1")

    def compress(self, gradient: Floats, /) -> Bytes:
        """Places as uint32, ascending, then values."""
        num = self._num(gradient.size)
        # of equal ones, the first: a partition alone would choose by chance
        order = np.argsort(-np.abs(gradient), kind="stable")[:num]
        places = np.sort(order).astype(np.uint32)
        return np.concatenate([_bytes(places), _bytes(gradient[places])])

    def decompress(self, data: Bytes, size: int, /) -> Floats:
        num = self._num(size)
        _check(self, data, 8 * num, size)
        places = data[: 4 * num].copy().view(np.uint32)
        if num and (int(places[-1]) >= size or not (places[1:] > places[:-1]).all()):
            raise BadValue(f"topk: places that are not ascending, or beyond {size} elements")
        full = np.zeros(size, np.float32)
        full[places] = data[4 * num :].copy().view(np.float32)
        return full

    def _num(self, size: int) -> int:
        return min(size, max(1, round(self.k * size))) if size else 0


@dataclass(frozen=True, slots=True)
class FourLevels:
    """The nearest of -m, -m/3, m/3 and m, where m is the greatest magnitude in each block of 128. No number to choose,
    whatever the scale; and since nothing lies beyond the levels, what is lost never exceeds m/3, nor, with feedback, half
    of the greatest magnitude that ever came: no element lags behind, as it can with levels at a mean."""

    name: ClassVar[str] = "4level"
    is_lossy: ClassVar[bool] = True

    def compress(self, gradient: Floats, /) -> Bytes:
        """Each m as float32, then four elements a byte, the first in the lowest bits: bit 0 for minus, bit 1 for m."""
        size = gradient.size
        num = -(-size // _FINE)
        scales = np.empty(num, np.float32)
        data = np.empty(4 * num + -(-size // 4), np.uint8)
        twos = data[4 * num :]
        for low in range(0, size, _AT_ONCE):
            part = gradient[low : low + _AT_ONCE]
            rows = part.reshape(-1, _FINE) if part.size % _FINE == 0 else _blocks(part, _FINE)
            mags = np.abs(rows)
            greatest = scales[low // _FINE : low // _FINE + len(rows)]
            np.max(mags, axis=1, out=greatest)
            is_large = mags > (greatest * _BETWEEN)[:, None]
            _pack_twos(
                np.signbit(part), is_large.reshape(-1)[: part.size], twos[low // 4 : (low + _AT_ONCE) // 4]
            )
        data[: 4 * num] = _bytes(scales)
        return data

    def decompress(self, data: Bytes, size: int, /) -> Floats:
        num = -(-size // _FINE)
        _check(self, data, 4 * num + -(-size // 4), size)
        scales = data[: 4 * num].copy().view(np.float32)
        whole = size // _FINE
        values: Floats = _FOURS.take(data[4 * num :], mode="clip").view(np.float32)
        rows = values[: whole * _FINE].reshape(whole, _FINE)
        rows *= scales[:whole, None]
        if size % _FINE:
            values[whole * _FINE : size] *= scales[whole]
        return values[:size]


_CODES: Final[dict[str, Callable[..., Code]]] = {
    "2bit": TwoBit,
    "1bit": OneBit,
    "int8": Int8,
    "fp16": Fp16,
    "bf16": Bf16,
    "topk": TopK,
    "4level": FourLevels,
}


def _pack_twos(low: NDArray[np.bool_], high: NDArray[np.bool_], out: Bytes) -> None:
    """Two bits an element, `low` and `high`: four elements a byte, the first in the lowest bits."""
    twos = np.zeros(4 * out.size, np.uint8) if low.size % 4 else np.empty(low.size, np.uint8)
    np.add(
        high.view(np.uint8), high.view(np.uint8), out=twos[: low.size]
    )  # a shift of bytes has no SIMD path
    twos[: low.size] |= low.view(np.uint8)
    # four bytes as one number: the product has the fours' bits side by side in its highest byte, and no carries
    fours = twos.view("<u4")
    fours *= _GATHER
    np.right_shift(fours, 24, out=fours)
    np.copyto(out, fours, casting="unsafe")


def _blocks(array: Floats, length: int = _BLOCK) -> Floats:
    """Rows of a length, the last filled with zeros."""
    rows = np.zeros(-(-array.size // length) * length, np.float32)
    rows[: array.size] = array
    return rows.reshape(-1, length)


def _counts(size: int) -> Floats:
    """How many elements each row has."""
    counts = np.full(-(-size // _BLOCK), _BLOCK, np.float32)
    if size % _BLOCK:
        counts[-1] = size % _BLOCK
    return counts


def _bytes(array: NDArray[Any]) -> Bytes:
    return np.ascontiguousarray(array).view(np.uint8)


def _check(code: Code, data: Bytes, wanted: int, size: int) -> None:
    if data.dtype != np.uint8 or data.size != wanted:
        raise BadValue(f"{code.name}: {data.nbytes} bytes for {size} elements; wanted {wanted}")

"""How parameters begin: `initializer(name, array)` fills an array by its name, or as its variable asks.

The end of a name says the role of an array: `_weight` is drawn by the initializer, `_bias` and `_beta` are 0,
`_gamma` is 1, moving means 0, moving variances 1. A variable made with `init=` carries its own initializer
in its attributes, which wins. Random numbers come from `psdist.random`, so `mx.random.seed` settles all of
them.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray as Array

from . import rnn_weights
from .errors import ConfigError, ShapeError
from .ndarray import NDArray, load, zeros
from .random import generator
from .registry import Registry

__all__ = [
    "Bilinear",
    "Constant",
    "FusedRNN",
    "InitDesc",
    "Initializer",
    "LSTMBias",
    "Load",
    "MSRAPrelu",
    "Mixed",
    "Normal",
    "One",
    "Orthogonal",
    "Uniform",
    "Xavier",
    "Zero",
    "alias",
    "create",
    "register",
]

Initialize = Callable[[str, NDArray], None]


class InitDesc(str):
    """A parameter's name with its variable's attributes, and the initializer that serves where those say
    nothing."""

    attrs: dict[str, str]
    global_init: Initializer | None

    def __new__(
        cls, name: str, attrs: Mapping[str, str] | None = None, global_init: Initializer | None = None
    ) -> InitDesc:
        desc = super().__new__(cls, name)
        desc.attrs = dict(attrs or {})
        desc.global_init = global_init
        return desc


class Initializer:
    """The base: sorts an array by its name and calls `_init_weight`, `_init_bias` and so on.

    A subclass overrides `_init_weight(name, arr)`, and passes its arguments to `super().__init__`, from where
    `dumps` writes them.
    """

    def __init__(self, **kwargs: Any) -> None:
        self._kwargs = kwargs
        self._verbose = False
        self._print_func: Callable[[NDArray], str] = _root_mean_square

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Initializer) and type(self) is type(other) and self._kwargs == other._kwargs

    __hash__ = object.__hash__

    def set_verbosity(
        self, verbose: bool = False, print_func: Callable[[NDArray], str] | None = None
    ) -> Initializer:
        """Log each array that is filled, with what `print_func` says of it. Returns the initializer."""
        self._verbose = verbose
        self._print_func = print_func or _root_mean_square
        return self

    def dumps(self) -> str:
        """The initializer as JSON: its name and its arguments."""
        return json.dumps([type(self).__name__.lower(), self._kwargs])

    def __call__(self, desc: str, arr: NDArray) -> None:
        if not isinstance(desc, str):
            raise TypeError(f"the name of a parameter is {desc!r}; wanted a string or an InitDesc")
        own = ""
        if isinstance(desc, InitDesc):
            if desc.global_init is None:
                desc.global_init = self
            own = desc.attrs.get("__init__", "")
        if own:
            create(own)._init_weight(desc, arr)
        else:
            self._by_name(desc, arr)
        if self._verbose:
            logging.getLogger("psdist.initializer").info(
                "initialized %s as %s: %s", desc, own or type(self).__name__, self._print_func(arr)
            )

    def _by_name(self, name: str, arr: NDArray) -> None:
        if not isinstance(name, InitDesc):  # conventions from before variables had attributes
            if name.startswith("upsampling"):
                self._init_bilinear(name, arr)
                return
            if name.startswith("stn_loc") and name.endswith("weight"):
                self._init_zero(name, arr)
                return
            if name.startswith("stn_loc") and name.endswith("bias"):
                self._init_loc_bias(name, arr)
                return
        for ending, method in _BY_ENDING.items():
            if name.endswith(ending):
                getattr(self, method)(name, arr)
                return
        self._init_default(name, arr)

    def _init_bilinear(self, name: str, arr: NDArray) -> None:
        arr[:] = _bilinear(arr.shape)

    def _init_loc_bias(self, name: str, arr: NDArray) -> None:
        if arr.shape != (6,):
            raise ShapeError(f"{name}: the shape is {arr.shape}; an affine transformation's bias is (6,)")
        arr[:] = np.array([1.0, 0, 0, 0, 1.0, 0])

    def _init_zero(self, name: str, arr: NDArray) -> None:
        arr[:] = 0

    def _init_one(self, name: str, arr: NDArray) -> None:
        arr[:] = 1

    def _init_bias(self, name: str, arr: NDArray) -> None:
        arr[:] = 0

    def _init_gamma(self, name: str, arr: NDArray) -> None:
        arr[:] = 1

    def _init_beta(self, name: str, arr: NDArray) -> None:
        arr[:] = 0

    def _init_quantized_bias(self, name: str, arr: NDArray) -> None:
        arr[:] = 0

    def _init_quantized_weight(self, name: str, arr: NDArray) -> None:
        arr[:] = generator().integers(-127, 128, arr.shape).astype(np.int8)

    def _init_weight(self, name: str, arr: NDArray) -> None:
        raise NotImplementedError(f"{type(self).__name__} must override _init_weight(name, arr)")

    def _init_default(self, name: str, arr: NDArray) -> None:
        raise ConfigError(
            f"no rule to initialize {str(name)!r}: names end in weight, bias, gamma, beta, moving_mean or "
            f"moving_var. Give the variable its own: mx.sym.Variable({str(name)!r}, init=mx.init.Zero())"
        )


_BY_ENDING = {  # in this order
    "weight": "_init_weight",
    "bias": "_init_bias",
    "gamma": "_init_gamma",
    "beta": "_init_beta",
    "moving_mean": "_init_zero",
    "running_mean": "_init_zero",
    "moving_var": "_init_one",
    "running_var": "_init_one",
    "moving_inv_var": "_init_zero",
    "moving_avg": "_init_zero",
    "min": "_init_zero",
    "max": "_init_one",
    "weight_quantize": "_init_quantized_weight",
    "bias_quantize": "_init_quantized_bias",
}

_registry: Registry[Initializer] = Registry(Initializer, "initializer")
register = _registry.register
alias = _registry.alias
create = _registry.create


def _root_mean_square(arr: NDArray) -> str:
    x = arr.asnumpy()
    return f"rms {np.sqrt(np.mean(x * x)) if x.size else 0.0}"


class Load:
    """Take parameters from a dict or a `.params` file; the rest from `default_init`, if there is one."""

    def __init__(
        self,
        param: str | Mapping[str, NDArray],
        default_init: Initialize | None = None,
        verbose: bool = False,
    ) -> None:
        saved = load(param) if isinstance(param, str) else param
        if not isinstance(saved, Mapping):
            raise ConfigError(f"Load: {param!r} holds a list of arrays; wanted arrays with names")
        self.param = {re.sub("^(arg|aux):", "", name): arr for name, arr in saved.items()}
        self.default_init = default_init
        self.verbose = verbose

    def __call__(self, name: str, arr: NDArray) -> None:
        found = self.param.get(name)
        if found is not None:
            if found.shape != arr.shape:
                raise ShapeError(f"{name}: the loaded shape is {found.shape}; wanted {arr.shape}")
            arr[:] = found
        elif self.default_init is None:
            raise ConfigError(f"{name} is not among what was loaded, and Load has no default_init")
        else:
            self.default_init(name, arr)
        if self.verbose:
            source = "default_init" if found is None else "what was loaded"
            logging.getLogger("psdist.initializer").info("initialized %s from %s", name, source)


class Mixed:
    """The first pattern (a regular expression) found in a name chooses the initializer."""

    def __init__(self, patterns: Sequence[str], initializers: Sequence[Initialize]) -> None:
        if len(patterns) != len(initializers):
            raise ConfigError(f"Mixed: {len(patterns)} patterns for {len(initializers)} initializers")
        self.map = [(re.compile(p), init) for p, init in zip(patterns, initializers, strict=True)]

    def __call__(self, name: str, arr: NDArray) -> None:
        for pattern, init in self.map:
            if pattern.match(name):
                init(name, arr)
                return
        raise ConfigError(f"no pattern matches {str(name)!r}; end the patterns with '.*' for a default")


@register
@alias("zeros")
class Zero(Initializer):
    """All 0."""

    def _init_weight(self, name: str, arr: NDArray) -> None:
        arr[:] = 0


@register
@alias("ones")
class One(Initializer):
    """All 1."""

    def _init_weight(self, name: str, arr: NDArray) -> None:
        arr[:] = 1


@register
class Constant(Initializer):
    """All `value`, a number or an array."""

    def __init__(self, value: Any) -> None:
        super().__init__(value=value)
        self.value = value

    def _init_weight(self, name: str, arr: NDArray) -> None:
        arr[:] = self.value

    def dumps(self) -> str:
        value = self.value
        if isinstance(value, NDArray):
            value = value.asnumpy()
        value = value.tolist() if isinstance(value, np.ndarray) else value
        return json.dumps(["constant", {"value": value}])


@register
class Uniform(Initializer):
    """Evenly from [−scale, scale)."""

    def __init__(self, scale: float = 0.07) -> None:
        super().__init__(scale=scale)
        self.scale = scale

    def _init_weight(self, name: str, arr: NDArray) -> None:
        arr[:] = _uniform(self.scale, arr.shape)


@register
class Normal(Initializer):
    """From a normal distribution of mean 0 and standard deviation `sigma`."""

    def __init__(self, sigma: float = 0.01) -> None:
        super().__init__(sigma=sigma)
        self.sigma = sigma

    def _init_weight(self, name: str, arr: NDArray) -> None:
        arr[:] = _normal(self.sigma, arr.shape)


@register
class Orthogonal(Initializer):
    """`scale` times a matrix with orthonormal rows or columns: Saxe et al., arXiv 1312.6120."""

    def __init__(self, scale: float = 1.414, rand_type: str = "uniform") -> None:
        super().__init__(scale=scale, rand_type=rand_type)
        self.scale = scale
        self.rand_type = rand_type

    def _init_weight(self, name: str, arr: NDArray) -> None:
        shape = (arr.shape[0], int(np.prod(arr.shape[1:])))
        draw = {"uniform": _uniform, "normal": _normal}.get(self.rand_type)
        if draw is None:
            raise ConfigError(f"Orthogonal: rand_type is {self.rand_type!r}; wanted 'uniform' or 'normal'")
        u, _, v = np.linalg.svd(draw(1.0, shape), full_matrices=False)
        arr[:] = (self.scale * (u if u.shape == shape else v)).reshape(arr.shape)


@register
class Xavier(Initializer):
    """Of a scale that keeps the signal's variance through layers: √(magnitude / factor).

    The factor is the number of a unit's inputs ("in"), outputs ("out") or their mean ("avg"). The weight's
    shape is (out, in, *kernel). Glorot and Bengio, "Understanding the difficulty of training deep
    feedforward neural networks" (2010).
    """

    def __init__(self, rnd_type: str = "uniform", factor_type: str = "avg", magnitude: float = 3) -> None:
        super().__init__(rnd_type=rnd_type, factor_type=factor_type, magnitude=magnitude)
        self.rnd_type = rnd_type
        self.factor_type = factor_type
        self.magnitude = float(magnitude)

    def scale(self, shape: tuple[int, ...], name: str = "a weight") -> float:
        """Half the width of the interval, or the standard deviation, for a weight of this shape."""
        if len(shape) < 2:
            raise ShapeError(f"{name}: {type(self).__name__} needs two axes or more, the shape is {shape}")
        kernel = float(np.prod(shape[2:]))
        fan_in, fan_out = shape[1] * kernel, shape[0] * kernel
        factors = {"avg": (fan_in + fan_out) / 2, "in": fan_in, "out": fan_out}
        if self.factor_type not in factors:
            raise ConfigError(f"Xavier: factor_type is {self.factor_type!r}; wanted 'avg', 'in' or 'out'")
        return float(np.sqrt(self.magnitude / factors[self.factor_type]))

    def _init_weight(self, name: str, arr: NDArray) -> None:
        scale = self.scale(arr.shape, name)
        draw = {"uniform": _uniform, "gaussian": _normal}.get(self.rnd_type)
        if draw is None:
            raise ConfigError(f"Xavier: rnd_type is {self.rnd_type!r}; wanted 'uniform' or 'gaussian'")
        arr[:] = draw(scale, arr.shape)


@register
class MSRAPrelu(Xavier):
    """Xavier for layers with (leaky) ReLU of this slope: He et al., arXiv 1502.01852."""

    def __init__(self, factor_type: str = "avg", slope: float = 0.25) -> None:
        super().__init__("gaussian", factor_type, 2.0 / (1 + slope**2))
        self._kwargs = {"factor_type": factor_type, "slope": slope}


@register
class Bilinear(Initializer):
    """Kernels that interpolate bilinearly, for deconvolutions that enlarge."""

    def _init_weight(self, name: str, arr: NDArray) -> None:
        arr[:] = _bilinear(arr.shape)


@register
class LSTMBias(Initializer):
    """0, but `forget_bias` for the forget gate: the second quarter of an LSTM's bias."""

    def __init__(self, forget_bias: float = 1.0) -> None:
        super().__init__(forget_bias=forget_bias)
        self.forget_bias = forget_bias

    def _init_weight(self, name: str, arr: NDArray) -> None:
        quarter = arr.shape[0] // 4
        bias = np.zeros(arr.shape, np.float32)
        bias[quarter : 2 * quarter] = self.forget_bias
        arr[:] = bias


@register
class FusedRNN(Initializer):
    """For the RNN operator's one array: `init` (None: the network's own initializer) for each gate's part by
    name, and `forget_bias` for an LSTM's forget gates."""

    def __init__(
        self,
        init: Initializer | str | None,
        num_hidden: int,
        num_layers: int,
        mode: str,
        bidirectional: bool = False,
        forget_bias: float = 1.0,
    ) -> None:
        made = create(init) if isinstance(init, str) else init
        super().__init__(
            init=None if made is None else made.dumps(),
            num_hidden=num_hidden,
            num_layers=num_layers,
            mode=mode,
            bidirectional=bidirectional,
            forget_bias=forget_bias,
        )
        self._init = made
        self._net = (num_hidden, num_layers, mode, bidirectional)
        self._forget_bias = forget_bias if mode == "lstm" else None

    def _init_weight(self, name: str, arr: NDArray) -> None:
        init = self._init or (name.global_init if isinstance(name, InitDesc) else None)
        if init is None:
            raise ConfigError(f"FusedRNN: no initializer for the parts of {str(name)!r}; give init")
        for part in rnn_weights.parts(rnn_weights.num_inputs(arr.size, *self._net), *self._net):
            value = zeros(part.shape, dtype=arr.dtype)
            if self._forget_bias is not None and part.name.endswith("_f_bias"):
                value[:] = self._forget_bias
            else:
                init(InitDesc(part.name, global_init=init), value)
            arr[part.start : part.stop] = value.reshape((-1,))


def _uniform(scale: float, shape: tuple[int, ...]) -> Array[Any]:
    return generator().uniform(-scale, scale, shape)


def _normal(sigma: float, shape: tuple[int, ...]) -> Array[Any]:
    return generator().normal(0.0, sigma, shape)


def _bilinear(shape: tuple[int, ...]) -> Array[Any]:
    height, width = shape[2], shape[3]
    half = np.ceil(width / 2.0)
    center = (2 * half - 1 - half % 2) / (2.0 * half)
    x = 1 - np.abs(np.arange(width) / half - center)
    y = 1 - np.abs(np.arange(height) / half - center)
    return np.broadcast_to(np.outer(y, x), shape)

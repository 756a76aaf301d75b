"""Steps over many weights in one call, and what they need of all gradients at once.

The arrays come interleaved: weight, gradient and states of the first, then of the second, and so on; in the
`preloaded_` operators the learning rates and weight decays follow as two arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import update
from .registry import Op, Params, op
from .signature import Shape

Array = NDArray[Any]


def _register(name: str, single: Op, columns: tuple[str, ...], has_momentum: bool) -> None:
    """A step of `single` over groups of `columns`, once with rates as parameters, once with them preloaded."""
    is_master = "weight32" in columns

    def names(params: Params) -> tuple[str, ...]:
        return tuple(f"{c}_{i}" for i in range(params["num_weights"]) for c in columns)

    def shape(ins: list[Shape | None], params: Params, outs: list[Shape | None]) -> Any:
        width, filled, new = len(columns), list(ins), []
        for i in range(params["num_weights"]):
            group = slice(i * width, (i + 1) * width)
            known = next((s for s in ins[group] if s is not None), None)
            filled[group] = [known] * width
            new.append(known)
        return filled, new

    def types(ins: list[str | None], params: Params) -> Any:
        return ins, [ins[i * len(columns)] for i in range(params["num_weights"])]

    def steps(arrays: tuple[Array, ...], lrs: Any, wds: Any, **shared: Any) -> tuple[Array, ...]:
        width = len(columns)
        return tuple(
            single.kernel(*arrays[i * width : (i + 1) * width], lr=float(lr), wd=float(wd), **shared)
            for i, (lr, wd) in enumerate(zip(lrs, wds, strict=True))
        )

    kernels: dict[str, Callable[..., Any]]
    if has_momentum:

        def kernel(*array: Array, lrs: tuple[float, ...], wds: tuple[float, ...], momentum: float = 0.0,
                   rescale_grad: float = 1.0, clip_gradient: float = -1.0, num_weights: int = 1) -> Any:  # fmt: skip
            return steps(
                array, lrs, wds, momentum=momentum, rescale_grad=rescale_grad, clip_gradient=clip_gradient
            )

        def preloaded(*array: Array, momentum: float = 0.0, rescale_grad: float = 1.0, clip_gradient: float = -1.0,
                      num_weights: int = 1) -> Any:  # fmt: skip
            return steps(array[:-2], array[-2], array[-1], momentum=momentum, rescale_grad=rescale_grad,
                         clip_gradient=clip_gradient)  # fmt: skip

        kernels = {name: kernel, f"preloaded_{name}": preloaded}
    else:

        def plain(*array: Array, lrs: tuple[float, ...], wds: tuple[float, ...], rescale_grad: float = 1.0,
                  clip_gradient: float = -1.0, num_weights: int = 1) -> Any:  # fmt: skip
            return steps(array, lrs, wds, rescale_grad=rescale_grad, clip_gradient=clip_gradient)

        def plain_preloaded(*array: Array, rescale_grad: float = 1.0, clip_gradient: float = -1.0,
                            num_weights: int = 1) -> Any:  # fmt: skip
            return steps(
                array[:-2], array[-2], array[-1], rescale_grad=rescale_grad, clip_gradient=clip_gradient
            )

        kernels = {name: plain, f"preloaded_{name}": plain_preloaded}
    for known_as, function in kernels.items():
        is_preloaded = known_as.startswith("preloaded")
        function.__doc__ = (
            f"{single.name} on `num_weights` weights; the arrays are {', '.join(columns)} of each in turn"
            + (", then the learning rates and the weight decays." if is_preloaded else ".")
        )
        extra = ("lrs", "wds") if is_preloaded else ()
        op(shape=shape, types=types, name=known_as, num_outputs=lambda p: int(p["num_weights"]),
           mutates=("array",) if has_momentum or is_master else (),
           active=lambda p, extra=extra: (*names(p), *extra))(function)  # type: ignore[misc]  # fmt: skip


_register("multi_sgd_update", update.sgd_update, ("weight", "grad"), False)
_register("multi_sgd_mom_update", update.sgd_mom_update, ("weight", "grad", "mom"), True)
_register("multi_mp_sgd_update", update.mp_sgd_update, ("weight", "grad", "weight32"), False)
_register("multi_mp_sgd_mom_update", update.mp_sgd_mom_update, ("weight", "grad", "mom", "weight32"), True)


def _numbered(params: Params) -> tuple[str, ...]:
    return tuple(f"array_{i}" for i in range(params["num_arrays"]))


def _one_number(size: Callable[[int], int]) -> Callable[..., Any]:
    return lambda ins, _params, _outs: (ins, [(size(len(ins)),)])


@op(shape=_one_number(lambda n: n), types=lambda ins, _p: (ins, ["float32"]), active=_numbered)
def multi_sum_sq(*array: Array, num_arrays: int) -> Any:
    """The sum of squares of each array, as float32."""
    return np.array(
        [np.vdot(x.reshape(-1), x.reshape(-1)) for x in (a.astype(np.float32) for a in array)], np.float32
    )


@op(shape=_one_number(lambda n: 1), types=lambda ins, _p: (ins, ["float32"]), active=_numbered)
def multi_all_finite(*array: Array, num_arrays: int = 1, init_output: bool = True) -> Any:
    """1 if no array holds an infinity or a NaN, else 0."""
    return np.array([all(np.isfinite(x).all() for x in array)], np.float32)


@op("(*s) -> (1)", types="T -> float32")
def all_finite(data: Array, /, *, init_output: bool = True) -> Any:
    """1 if the array holds no infinity and no NaN, else 0."""
    return np.array([np.isfinite(data).all()], np.float32)


@op(shape=lambda ins, _p, _outs: (ins, []), types=lambda ins, _p: (ins, []), num_outputs=lambda _: 0,
    active=_numbered, mutates=("array",))  # fmt: skip
def reset_arrays(*array: Array, num_arrays: int) -> Any:
    """Fills the arrays with zeros."""
    for x in array:
        x[...] = 0
    return ()


@op("(n), (n), (n), (n) -> (n)")
def multi_lars(lrs: Array, weights_sum_sq: Array, grads_sum_sq: Array, wds: Array, /, *, eta: float, eps: float,
               rescale_grad: float = 1.0) -> Any:  # fmt: skip
    """The learning rates of LARS: lr · eta · |w| / (|g| + wd · |w| + eps) where both norms are positive, else lr.
    You et al., arXiv:1708.03888."""
    w, g = np.sqrt(weights_sum_sq), np.sqrt(grads_sum_sq) * rescale_grad
    return np.where((w > 0) & (g > 0), lrs * (eta * w / (g + wds * w + eps)), lrs).astype(lrs.dtype)


def _widest(ins: list[str | None], params: Params) -> Any:
    floats = [t for t in ins if t is not None]
    if not floats:
        return ins, [None] * len(ins)
    chosen = min(floats, key=lambda t: np.dtype(t).itemsize) if params["cast_narrow"] else max(
        floats, key=lambda t: np.dtype(t).itemsize)  # fmt: skip
    return ins, [chosen] * len(ins)


@op(shape=lambda ins, _p, _outs: (ins, ins), types=_widest, num_outputs=lambda p: int(p["num_outputs"]),
    active=lambda p: tuple(f"data_{i}" for i in range(p["num_outputs"])))  # fmt: skip
def amp_multicast(*data: Array, num_outputs: int, cast_narrow: bool = False) -> Any:
    """The arrays in the widest dtype among them, or with `cast_narrow` in the narrowest."""
    dtype = _widest([x.dtype.name for x in data], {"cast_narrow": cast_narrow})[1][0]
    return tuple(x.astype(dtype) for x in data)


@amp_multicast.gradient
def _(*arrays: Array, num_outputs: int, cast_narrow: bool) -> Any:
    return tuple(
        g.astype(x.dtype) for g, x in zip(arrays[:num_outputs], arrays[2 * num_outputs :], strict=True)
    )


def _groups(columns: tuple[str, ...], count: str) -> Any:
    """Names, shape rule and types of a step over groups of arrays."""

    def names(params: Params) -> tuple[str, ...]:
        return tuple(f"{c}_{i}" for i in range(params[count]) for c in columns)

    def shape(ins: list[Shape | None], params: Params, outs: list[Shape | None]) -> Any:
        return ins, [ins[i * len(columns)] for i in range(params[count])]

    def types(ins: list[str | None], params: Params) -> Any:
        return ins, [ins[i * len(columns)] for i in range(params[count])]

    return {
        "active": names,
        "shape": shape,
        "types": types,
        "num_outputs": lambda p: int(p[count]),
        "mutates": ("array",),
    }


def _register_adamw(name: str, single: Op, columns: tuple[str, ...]) -> None:
    rule = _groups(columns, "num_weights")
    plain = rule["active"]
    rule["active"] = lambda p: (*plain(p), "rescale_grad")

    def kernel(*array: Array, lrs: tuple[float, ...], beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8,
               wds: tuple[float, ...], etas: tuple[float, ...], clip_gradient: float = -1.0,
               num_weights: int = 1) -> Any:  # fmt: skip
        width, scale = len(columns), array[-1]
        return tuple(
            single.kernel(*array[i * width : (i + 1) * width], scale, lr=lrs[i], wd=wds[i], eta=etas[i], beta1=beta1,
                          beta2=beta2, epsilon=epsilon, clip_gradient=clip_gradient)
            for i in range(num_weights)
        )  # fmt: skip

    kernel.__doc__ = f"{single.name} on `num_weights` weights; the arrays are {', '.join(columns)} of each, then the scale."
    op(name=name, **rule)(kernel)


_register_adamw("_multi_adamw_update", update._adamw_update, ("weight", "grad", "mean", "var"))
_register_adamw(
    "_multi_mp_adamw_update", update._mp_adamw_update, ("weight", "grad", "mean", "var", "weight32")
)


def _register_lamb(name: str, columns: tuple[str, ...]) -> None:
    is_master = "weight32" in columns

    def kernel(*array: Array, learning_rates: tuple[float, ...], beta1: float = 0.9, beta2: float = 0.999,
               epsilon: float = 1e-6, wds: tuple[float, ...], rescale_grad: float = 1.0, lower_bound: float = -1.0,
               upper_bound: float = -1.0, clip_gradient: float = -1.0, bias_correction: bool = True,
               step_count: tuple[int, ...], num_tensors: int = 1) -> Any:  # fmt: skip
        out = []
        for i in range(num_tensors):
            weight, grad, mean, var, *master = array[i * len(columns) : (i + 1) * len(columns)]
            full = master[0] if is_master else weight
            step = update.lamb_update_phase1.kernel(
                full, grad.astype(full.dtype), mean, var, beta1=beta1, beta2=beta2, epsilon=epsilon, t=step_count[i],
                bias_correction=bias_correction, wd=wds[i], rescale_grad=rescale_grad,
                clip_gradient=clip_gradient)  # fmt: skip
            r1, r2 = (np.sqrt(np.square(v).sum(keepdims=True)) for v in (weight.astype(full.dtype), step))
            new = update.lamb_update_phase2.kernel(full, step, r1, r2, lr=learning_rates[i], lower_bound=lower_bound,
                                                   upper_bound=upper_bound)  # fmt: skip
            if is_master:
                full[...] = new
            out.append(new.astype(weight.dtype))
        return tuple(out)

    kernel.__doc__ = (
        f"Both phases of LAMB on `num_tensors` weights; the arrays are {', '.join(columns)} of each in turn."
    )
    op(name=name, **_groups(columns, "num_tensors"))(kernel)


_register_lamb("_multi_lamb_update", ("weight", "grad", "mean", "var"))
_register_lamb("_multi_mp_lamb_update", ("weight", "grad", "mean", "var", "weight32"))

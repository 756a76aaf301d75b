"""The optimizers' steps as operators, for scripts that call them (`mx.nd.sgd_update(w, g, out=w, lr=0.1)`).

An operator's result is the new weight; its states are written in place. `out` may be the weight itself: no kernel
reads the weight after it begins to write. The formulas stand here once more, beside `psdist.optimizer`'s pure rules,
because operators lie below that module and because MXNet's operators differ from its optimizers in small ways (what
is clipped, where epsilon stands).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .registry import op

Array = NDArray[Any]
_SAME = "(*s)"


def _step(*names: str) -> str:
    """The signature of a step over arrays of one shape."""
    return ", ".join(_SAME for _ in names) + " -> (*s)"


def _clipped(x: Array, limit: float) -> Array:
    return np.clip(x, -limit, limit, out=x) if limit >= 0 else x


def _gradient(weight: Array, grad: Array, rescale: float, clip: float, wd: float) -> Any:
    """clip(rescale · grad) + wd · weight."""
    g = _clipped(grad * rescale, clip)
    if wd:
        g += wd * weight
    return g


def _gradient_clipped_whole(weight: Array, grad: Array, rescale: float, clip: float, wd: float) -> Any:
    """clip(rescale · grad + wd · weight)."""
    g = grad * rescale
    if wd:
        g += wd * weight
    return _clipped(g, clip)


def _follow(state: Array, target: Array, keep: float) -> None:
    """state ← keep · state + (1 - keep) · target."""
    state *= keep
    state += (1 - keep) * target


@op(_step("weight", "grad"))
def sgd_update(weight: Array, grad: Array, /, *, lr: float, wd: float = 0.0, rescale_grad: float = 1.0,
               clip_gradient: float = -1.0, lazy_update: bool = True, out: Array | None = None) -> Any:  # fmt: skip
    """w - lr · (g + wd · w), where g is the gradient times `rescale_grad`, clipped to ± `clip_gradient` (if not
    negative)."""
    g = _gradient(weight, grad, rescale_grad, clip_gradient, wd)
    g *= lr
    return np.subtract(weight, g, out=out)


@op(_step("weight", "grad", "mom"), mutates=("mom",))
def sgd_mom_update(weight: Array, grad: Array, mom: Array, /, *, lr: float, momentum: float = 0.0, wd: float = 0.0,
                   rescale_grad: float = 1.0, clip_gradient: float = -1.0, lazy_update: bool = True,
                   out: Array | None = None) -> Any:  # fmt: skip
    """w + m, where m ← momentum · m - lr · (g + wd · w)."""
    g = _gradient(weight, grad, rescale_grad, clip_gradient, wd)
    g *= lr
    mom *= momentum
    mom -= g
    return np.add(weight, mom, out=out)


@op(_step("weight", "grad", "mom"), mutates=("mom",))
def nag_mom_update(weight: Array, grad: Array, mom: Array, /, *, lr: float, momentum: float = 0.0, wd: float = 0.0,
                   rescale_grad: float = 1.0, clip_gradient: float = -1.0, out: Array | None = None) -> Any:  # fmt: skip
    """Nesterov's momentum: m ← momentum · m - lr · (g + wd · w), and w + momentum · m - lr · (g + wd · w)."""
    g = _gradient(weight, grad, rescale_grad, clip_gradient, wd)
    g *= lr
    mom *= momentum
    mom -= g
    np.subtract(momentum * mom, g, out=g)
    return np.add(weight, g, out=out)


def _in_master(update: Callable[..., Any], weight: Array, grad: Array, states: tuple[Array, ...], weight32: Array,
               out: Array | None, **params: Any) -> Any:  # fmt: skip
    """The step on the float32 master copy, whose rounding is the new weight."""
    update(weight32, grad.astype(np.float32), *states, out=weight32, **params)
    return _rounded(weight32, weight, out)


def _rounded(weight32: Array, weight: Array, out: Array | None) -> Any:
    if out is None:
        return weight32.astype(weight.dtype)
    out[...] = weight32
    return out


_MASTER = "W, W, S -> W"


@op(_step("weight", "grad", "weight32"), mutates=("weight32",), types=_MASTER)
def mp_sgd_update(weight: Array, grad: Array, weight32: Array, /, *, lr: float, wd: float = 0.0,
                  rescale_grad: float = 1.0, clip_gradient: float = -1.0, lazy_update: bool = True,
                  out: Array | None = None) -> Any:  # fmt: skip
    """sgd_update on a float32 copy of the weight, of which the result is the rounding."""
    return _in_master(sgd_update.kernel, weight, grad, (), weight32, out, lr=lr, wd=wd, rescale_grad=rescale_grad,
                      clip_gradient=clip_gradient)  # fmt: skip


@op(_step("weight", "grad", "mom", "weight32"), mutates=("mom", "weight32"), types="W, W, S, S -> W")
def mp_sgd_mom_update(weight: Array, grad: Array, mom: Array, weight32: Array, /, *, lr: float, momentum: float = 0.0,
                      wd: float = 0.0, rescale_grad: float = 1.0, clip_gradient: float = -1.0,
                      lazy_update: bool = True, out: Array | None = None) -> Any:  # fmt: skip
    """sgd_mom_update on a float32 copy of the weight, of which the result is the rounding."""
    return _in_master(sgd_mom_update.kernel, weight, grad, (mom,), weight32, out, lr=lr, momentum=momentum, wd=wd,
                      rescale_grad=rescale_grad, clip_gradient=clip_gradient)  # fmt: skip


@op(_step("weight", "grad", "mom", "weight32"), mutates=("mom", "weight32"), types="W, W, S, S -> W")
def mp_nag_mom_update(weight: Array, grad: Array, mom: Array, weight32: Array, /, *, lr: float, momentum: float = 0.0,
                      wd: float = 0.0, rescale_grad: float = 1.0, clip_gradient: float = -1.0,
                      out: Array | None = None) -> Any:  # fmt: skip
    """nag_mom_update on a float32 copy of the weight, of which the result is the rounding."""
    return _in_master(nag_mom_update.kernel, weight, grad, (mom,), weight32, out, lr=lr, momentum=momentum, wd=wd,
                      rescale_grad=rescale_grad, clip_gradient=clip_gradient)  # fmt: skip


@op(_step("weight", "grad", "mean", "var"), mutates=("mean", "var"))
def adam_update(weight: Array, grad: Array, mean: Array, var: Array, /, *, lr: float, beta1: float = 0.9,
                beta2: float = 0.999, epsilon: float = 1e-8, wd: float = 0.0, rescale_grad: float = 1.0,
                clip_gradient: float = -1.0, lazy_update: bool = True, out: Array | None = None) -> Any:  # fmt: skip
    """Adam without the correction of the bias, which belongs in `lr`: w - lr · m / (√v + epsilon). Kingma and Ba,
    arXiv:1412.6980. The weight decay is part of the gradient, and is clipped with it."""
    g = _gradient_clipped_whole(weight, grad, rescale_grad, clip_gradient, wd)
    _follow(mean, g, beta1)
    g *= g
    _follow(var, g, beta2)
    np.sqrt(var, out=g)
    g += epsilon
    np.divide(mean, g, out=g)
    g *= lr
    return np.subtract(weight, g, out=out)


@op(_step("weight", "grad", "mean", "var").replace("-> (*s)", ", (*r) -> (*s)"), mutates=("mean", "var"))
def _adamw_update(weight: Array, grad: Array, mean: Array, var: Array, rescale_grad: Array, /, *, lr: float,
                  beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, wd: float = 0.0, eta: float,
                  clip_gradient: float = -1.0, out: Array | None = None) -> Any:  # fmt: skip
    """Adam with decoupled weight decay: w - eta · (lr · m / (√v + epsilon) + wd · w). Loshchilov and Hutter,
    arXiv:1711.05101. `rescale_grad` is an array; a step whose scale is not finite or 0 is left out."""
    scale = float(rescale_grad.reshape(-1)[0])
    if not np.isfinite(scale) or scale == 0:
        return np.positive(weight, out=out)
    g = _gradient(weight, grad, scale, clip_gradient, 0)
    _follow(mean, g, beta1)
    _follow(var, g * g, beta2)
    step = lr * mean / (np.sqrt(var) + epsilon) + wd * weight
    return np.subtract(weight, eta * step, out=out)


@op(_step("weight", "grad", "mean", "var", "weight32").replace("-> (*s)", ", (*r) -> (*s)"),
    mutates=("mean", "var", "weight32"), types="W, W, S, S, S, R -> W")  # fmt: skip
def _mp_adamw_update(weight: Array, grad: Array, mean: Array, var: Array, weight32: Array, rescale_grad: Array, /, *,
                     lr: float, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, wd: float = 0.0,
                     eta: float, clip_gradient: float = -1.0, out: Array | None = None) -> Any:  # fmt: skip
    """_adamw_update on a float32 copy of the weight, of which the result is the rounding."""
    return _in_master(_adamw_update.kernel, weight, grad, (mean, var, rescale_grad), weight32, out, lr=lr, beta1=beta1,
                      beta2=beta2, epsilon=epsilon, wd=wd, eta=eta, clip_gradient=clip_gradient)  # fmt: skip


@op("(n, *s), (n, *s), (n, 1) -> (n, *s)", types="T, T, T -> T", mutates=("history",))
def _contrib_group_adagrad_update(weight: Array, grad: Array, history: Array, /, *, lr: float,
                                  rescale_grad: float = 1.0, clip_gradient: float = -1.0, epsilon: float = 1e-5,
                                  out: Array | None = None) -> Any:  # fmt: skip
    """AdaGrad with one rate for each row, which falls with the mean of the row's squared gradients."""
    g = _gradient(weight, grad, rescale_grad, clip_gradient, 0)
    history += (g * g).reshape(len(g), -1).mean(axis=1, keepdims=True)
    rate = lr / np.sqrt(history + epsilon)
    return np.subtract(weight, g * rate.reshape(-1, *(1,) * (g.ndim - 1)), out=out)


@op(_step("weight", "grad", "d", "v", "z"), mutates=("d", "v", "z"))
def ftml_update(weight: Array, grad: Array, d: Array, v: Array, z: Array, /, *, lr: float, beta1: float = 0.6,
                beta2: float = 0.999, epsilon: float = 1e-8, t: int, wd: float = 0.0, rescale_grad: float = 1.0,
                clip_grad: float = -1.0, out: Array | None = None) -> Any:  # fmt: skip
    """Follow the moving leader. Zheng and Kwok, ICML 2017. `t` counts steps from 1."""
    g = _gradient_clipped_whole(weight, grad, rescale_grad, clip_grad, wd)
    _follow(v, g * g, beta2)
    d_new = (np.sqrt(v / (1 - beta2**t)) + epsilon) * ((1 - beta1**t) / lr)
    sigma = d_new - beta1 * d
    _follow(z, g, beta1)
    z -= sigma * weight
    d[...] = d_new
    return np.divide(-z, d_new, out=out)


@op(_step("weight", "grad", "n"), mutates=("n",))
def rmsprop_update(weight: Array, grad: Array, n: Array, /, *, lr: float, gamma1: float = 0.95, epsilon: float = 1e-8,
                   wd: float = 0.0, rescale_grad: float = 1.0, clip_gradient: float = -1.0, clip_weights: float = -1.0,
                   out: Array | None = None) -> Any:  # fmt: skip
    """w - lr · g / √(n + epsilon), where n follows g². Tieleman and Hinton, 2012."""
    g = _gradient_clipped_whole(weight, grad, rescale_grad, clip_gradient, wd)
    _follow(n, g * g, gamma1)
    return _bounded(np.subtract(weight, lr * g / np.sqrt(n + epsilon), out=out), clip_weights)


def _bounded(weight: Array, limit: float) -> Any:
    return np.clip(weight, -limit, limit, out=weight) if limit >= 0 else weight


@op(_step("weight", "grad", "n", "g", "delta"), mutates=("n", "g", "delta"))
def rmspropalex_update(weight: Array, grad: Array, n: Array, g: Array, delta: Array, /, *, lr: float,
                       gamma1: float = 0.95, gamma2: float = 0.9, epsilon: float = 1e-8, wd: float = 0.0,
                       rescale_grad: float = 1.0, clip_gradient: float = -1.0, clip_weights: float = -1.0,
                       out: Array | None = None) -> Any:  # fmt: skip
    """RMSProp centred, with momentum: n follows the gradient's square, g the gradient, and
    delta ← gamma2 · delta - lr · gradient / √(n - g² + epsilon). Graves, arXiv:1308.0850."""
    grad = _gradient_clipped_whole(weight, grad, rescale_grad, clip_gradient, wd)
    _follow(n, grad * grad, gamma1)
    _follow(g, grad, gamma1)
    delta *= gamma2
    delta -= lr * grad / np.sqrt(n - g * g + epsilon)
    return _bounded(np.add(weight, delta, out=out), clip_weights)


@op(_step("weight", "grad", "z", "n"), mutates=("z", "n"))
def ftrl_update(weight: Array, grad: Array, z: Array, n: Array, /, *, lr: float, lamda1: float = 0.01,
                beta: float = 1.0, wd: float = 0.0, rescale_grad: float = 1.0, clip_gradient: float = -1.0,
                out: Array | None = None) -> Any:  # fmt: skip
    """Follow the regularised leader, with L1 `lamda1` and L2 `wd`. McMahan et al., KDD 2013."""
    g = _gradient(weight, grad, rescale_grad, clip_gradient, 0)
    n_new = n + g * g
    z += g - (np.sqrt(n_new) - np.sqrt(n)) * weight * (1 / lr)
    n[...] = n_new
    step = (np.sign(z) * lamda1 - z) / ((beta + np.sqrt(n)) * (1 / lr) + wd)
    return np.multiply(step, np.abs(z) > lamda1, out=out)


@op(_step("weight", "grad"))
def signsgd_update(weight: Array, grad: Array, /, *, lr: float, wd: float = 0.0, rescale_grad: float = 1.0,
                   clip_gradient: float = -1.0, out: Array | None = None) -> Any:  # fmt: skip
    """(1 - lr · wd) · w - lr · sign(gradient). Bernstein et al., arXiv:1802.04434."""
    return np.subtract((1 - lr * wd) * weight, lr * np.sign(grad), out=out)


@op(_step("weight", "grad", "mom"), mutates=("mom",))
def signum_update(weight: Array, grad: Array, mom: Array, /, *, lr: float, momentum: float = 0.0, wd: float = 0.0,
                  rescale_grad: float = 1.0, clip_gradient: float = -1.0, wd_lh: float = 0.0,
                  out: Array | None = None) -> Any:  # fmt: skip
    """(1 - lr · wd_lh) · w + lr · sign(m), where m ← momentum · m - (1 - momentum) · (g + wd · w)."""
    g = _gradient(weight, grad, rescale_grad, clip_gradient, wd)
    g *= 1 - momentum
    mom *= momentum
    mom -= g
    return np.add((1 - lr * wd_lh) * weight, lr * np.sign(mom), out=out)


@op(_step("weight", "grad", "mean", "var"), mutates=("mean", "var"))
def lamb_update_phase1(weight: Array, grad: Array, mean: Array, var: Array, /, *, beta1: float = 0.9,
                       beta2: float = 0.999, epsilon: float = 1e-6, t: int, bias_correction: bool = True, wd: float,
                       rescale_grad: float = 1.0, clip_gradient: float = -1.0, out: Array | None = None) -> Any:  # fmt: skip
    """The direction of a LAMB step: m / (√v + epsilon) + wd · w. You et al., arXiv:1904.00962."""
    g = _gradient(weight, grad, rescale_grad, clip_gradient, 0)
    _follow(mean, g, beta1)
    _follow(var, g * g, beta2)
    m, v = (mean / (1 - beta1**t), var / (1 - beta2**t)) if bias_correction else (mean, var)
    return np.add(m / (np.sqrt(v) + epsilon), wd * weight, out=out)


def _trust(r1: Array, r2: Array, lower_bound: float, upper_bound: float) -> float:
    """The ratio of two norms, the first of them bounded; 1 when either is 0."""
    a, b = float(r1.reshape(-1)[0]), float(r2.reshape(-1)[0])
    a = max(a, lower_bound) if lower_bound >= 0 else a
    a = min(a, upper_bound) if upper_bound >= 0 else a
    return a / b if a and b else 1.0


_LAMB2 = "(*s), (*s), (*a), (*b) -> (*s)"


@op(_LAMB2)
def lamb_update_phase2(weight: Array, g: Array, r1: Array, r2: Array, /, *, lr: float, lower_bound: float = -1.0,
                       upper_bound: float = -1.0, out: Array | None = None) -> Any:  # fmt: skip
    """w - lr · r1/r2 · g: the step in the direction of phase 1, with the norms of weight and direction."""
    return np.subtract(weight, (lr * _trust(r1, r2, lower_bound, upper_bound)) * g, out=out)


@op(_step("weight", "grad", "mean", "var", "weight32"), mutates=("mean", "var"), types="W, W, S, S, S -> S")
def mp_lamb_update_phase1(weight: Array, grad: Array, mean: Array, var: Array, weight32: Array, /, *,
                          beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-6, t: int,
                          bias_correction: bool = True, wd: float, rescale_grad: float = 1.0,
                          clip_gradient: float = -1.0, out: Array | None = None) -> Any:  # fmt: skip
    """lamb_update_phase1 on a float32 copy of the weight."""
    return lamb_update_phase1.kernel(weight32, grad.astype(np.float32), mean, var, beta1=beta1, beta2=beta2,
                                     epsilon=epsilon, t=t, bias_correction=bias_correction, wd=wd,
                                     rescale_grad=rescale_grad, clip_gradient=clip_gradient, out=out)  # fmt: skip


@op("(*s), (*s), (*a), (*b), (*s) -> (*s)", mutates=("weight32",), types="W, S, S, S, S -> W")
def mp_lamb_update_phase2(weight: Array, g: Array, r1: Array, r2: Array, weight32: Array, /, *, lr: float,
                          lower_bound: float = -1.0, upper_bound: float = -1.0,
                          out: Array | None = None) -> Any:  # fmt: skip
    """lamb_update_phase2 on a float32 copy of the weight, of which the result is the rounding."""
    weight32 -= (lr * _trust(r1, r2, lower_bound, upper_bound)) * g
    return _rounded(weight32, weight, out)
